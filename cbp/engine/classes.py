"""Weights of classes as weights of samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.engine.containers import as_array
from cbp.errors import quoted

__all__ = ["weighted"]


def weighted(given: object, y: object, sample_weight: object, outputs: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The weight of every sample, times that of its class."""
    weights = weights_of_classes(given, y, outputs)
    if sample_weight is None:
        return weights
    own = as_array("sample_weight", sample_weight)
    if own.shape != weights.shape:
        raise ValueError(f"sample_weight must have the shape {weights.shape}, got {own.shape}")
    return weights * own


def weights_of_classes(given: object, y: object, outputs: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """The weight that the class of every sample has.

    Parameters
    ----------
    given : mapping or "balanced"
        ``class_weight``: weights by class, 1 where there is none; or samples / (classes * samples of the class), over the
        classes that occur, so that all count alike (King & Zeng, 2001, Logistic regression in rare events data).
    y : array
        Targets.
    outputs : tuple of int
        The shape of the outputs for a sample; of a single one the classes are 0 and 1.

    Raises
    ------
    ValueError, TypeError
        The weights are wrong, or the targets are no classes.
    """
    count = max(outputs[-1], 2)
    classes = classes_of(y, outputs, count)
    if isinstance(given, str) and given == "balanced":
        occurring = np.bincount(classes, minlength=count)
        weights = len(classes) / (np.count_nonzero(occurring) * np.maximum(occurring, 1))
        return weights[classes]
    if not isinstance(given, Mapping):
        raise TypeError(f"class_weight must be 'balanced' or a mapping such as {{0: 1.0, 1: 5.0}}, got {quoted(given)}")
    weights = np.ones(count)
    for key, weight in given.items():
        place = check.integer("a class of class_weight", key, minimum=0)
        if place >= count:
            raise ValueError(f"class_weight has the class {place}, and the classes are 0 to {count - 1}")
        weights[place] = check.real(f"class_weight[{key!r}]", weight, minimum=0)
    return weights[classes]


def classes_of(y: object, outputs: tuple[int, ...], count: int) -> npt.NDArray[np.intp]:
    """The class of every sample; raises ValueError where the targets do not say one."""
    targets = as_array("y", y)
    single = outputs[-1] == 1
    if len(outputs) == 1 and targets.ndim == 2 and targets.shape[1] == outputs[0]:
        if single:
            targets = targets[:, 0]
        elif np.isin(targets, (0, 1)).all() and (targets.sum(axis=1) == 1).all():
            targets = targets.argmax(axis=1)
    if len(outputs) == 1 and targets.ndim == 1 and targets.dtype.kind in "iubf":
        classes = targets.astype(np.intp)
        if (classes == targets).all() and classes.min(initial=0) >= 0 and classes.max(initial=0) < count:
            return classes
    raise ValueError("class_weight needs targets that are one class for every sample: labels, or zeros and ones for a single "
                     "output; sample_weight takes a weight for every sample whatever the targets are")
