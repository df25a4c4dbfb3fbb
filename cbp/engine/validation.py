"""Data that are held out of a training: which of them, and what is measured on them after every epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import arrays, check
from cbp.engine.arrays import Data, Form
from cbp.engine.columns import rows, table_or_array
from cbp.engine.containers import as_array
from cbp.engine.cpu import core as _core
from cbp.engine.model import Model
from cbp.engine.runner import Runner, predict
from cbp.engine.specs import Measure
from cbp.engine.team import Crew
from cbp.errors import quoted

__all__ = ["Validation", "divided", "held_out"]

Places = npt.NDArray[np.intp]
Given = tuple[Any, ...]

_STREAM = 1001
"""Of random numbers; 1000 is that of ``cbp.datasets``."""

MOST_STRATA = 0.5
"""Targets with more different values than this share of the samples are no classes."""


class Validation:
    """Measures a model on the same data again and again: what that needs is prepared once.

    Parameters
    ----------
    model : Model
    data : Data
        Checked.
    crew : Crew or None
    measure : Measure or None
        What is measured on the outputs beside the loss and its metric. A value of the same name takes its place.
    """

    def __init__(self, model: Model, data: Data, crew: Crew | None, measure: Measure | None = None):
        self._model, self._data, self._measure = model, data, measure
        self._runner = Runner(model.still, data, mode="evaluate", crew=crew)
        self._core_names = ("loss", model.loss.metric)
        self.names = tuple(dict.fromkeys((*self._core_names, *(() if measure is None else measure.names))))
        self.higher_is_better = {} if measure is None else measure.higher_is_better

    def __call__(self) -> dict[str, float]:
        """The values of now by name."""
        values = self._runner.epochs(1)[0]
        found = dict(zip(self._core_names, values[:2].tolist(), strict=True))
        if self._measure is not None:
            found |= self._measure.of(predict(self._model, self._data.x, self._data.lengths))
        return found


def divided(
    form: Form, given: Given, validation_data: object, share: object, groups: object, seed: int,
) -> tuple[Given, Given]:
    """The data of a fit, (X, y, sample_weight, lengths), as those to train on and those to validate with, which are copies.

    Raises ValueError or TypeError where the data or the arguments ``validation_split`` and ``validation_groups`` are wrong, or
    ``validation_data`` are given too.
    """
    if share is None:
        raise ValueError("validation_groups says what stays together in validation_split, which is missing: "
                         "validation_split=0.1")
    if validation_data is not None:
        raise ValueError("validation_data and validation_split both say what to validate with; give one of them")
    checked = arrays.data(form, *given)
    X, y, weights, lengths = given
    X = table_or_array("X", X)
    y = arrays.target_array("y", y)
    train, held = held_out(share, y, groups, len(checked.x), seed)

    def of(places: Places) -> Given:
        return (rows(X, places), y[places], None if weights is None else np.asarray(weights)[places],
                None if lengths is None else np.asarray(lengths)[places])

    return of(train), of(held)


def held_out(share: object, y: object, groups: object, samples: int, seed: int) -> tuple[Places, Places]:
    """The places of the samples to train on and of those to validate with, each in their order.

    Parameters
    ----------
    share : float
        ``validation_split``: the part to hold out, above 0 and below 1; at least one sample goes to either side.
    y : array
        Targets. Where they are labels, or zeros and ones, of every class the same part is held out, as far as whole samples go.
    groups : array, (samples,), or None
        ``validation_groups``: samples of one group stay together, and classes do not count.
    seed : int
        Which samples are held out depends on this, on ``y`` or ``groups`` and on nothing else.

    Raises
    ------
    ValueError, TypeError
        An argument is wrong, or there is nothing to split.
    """
    part = check.real("validation_split", share, above=0, below=1)
    if samples < 2:
        raise ValueError(f"validation_split needs at least 2 samples, got {samples}")
    order = _shuffled(samples, seed)
    wanted = min(max(round(samples * part), 1), samples - 1)
    if groups is not None:
        held = _whole_groups(_groups(groups, samples), order, wanted)
    else:
        held = _of_every_class(_classes(y, samples), order, wanted)
    chosen = np.zeros(samples, bool)
    chosen[held] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _shuffled(samples: int, seed: int) -> Places:
    keys = np.empty(samples)
    _core.draw(seed, _STREAM, 0, "uniform", keys)
    return np.argsort(keys, kind="stable")


def _classes(y: object, samples: int) -> npt.NDArray[np.intp]:
    """The number of each sample's class; all 0 where targets are no classes."""
    given = np.asarray(y)
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    of_one_kind = given.ndim == 1 and (given.dtype.kind in "iub" or (given.dtype.kind == "f" and np.isin(given, (0, 1)).all()))
    if not of_one_kind:
        return np.zeros(samples, np.intp)
    values, places = np.unique(given, return_inverse=True)
    return places.reshape(-1) if len(values) <= MOST_STRATA * samples else np.zeros(samples, np.intp)


def _of_every_class(classes: npt.NDArray[np.intp], order: Places, wanted: int) -> Places:
    """``wanted`` samples, of every class its part of them: rounded down, and one more where the remainder is largest."""
    counts = np.bincount(classes)
    exact = counts * wanted / len(classes)
    takes = np.floor(exact).astype(np.intp)
    largest = np.argsort(takes - exact, kind="stable")
    takes[largest[: wanted - int(takes.sum())]] += 1
    shuffled = classes[order]
    return np.concatenate([order[shuffled == number][:take] for number, take in enumerate(takes)])


def _groups(given: object, samples: int) -> npt.NDArray[np.intp]:
    groups = as_array("validation_groups", given, "be an array with the group of every sample")
    if groups.shape != (samples,):
        raise ValueError(f"validation_groups must have the shape ({samples},), the group of every sample, got {groups.shape}")
    values, places = np.unique(groups, return_inverse=True)
    if len(values) < 2:
        raise ValueError(f"validation_groups must name at least 2 groups, got {quoted(values.tolist())}")
    return places.reshape(-1)


def _whole_groups(groups: npt.NDArray[np.intp], order: Places, wanted: int) -> Places:
    """Groups in the order in which their first samples come, until ``wanted`` samples are reached as nearly as they can be; at
    least one group goes to either side."""
    counts = np.bincount(groups)
    _, first = np.unique(groups[order], return_index=True)
    numbers = np.argsort(first, kind="stable")[:-1]
    sums = np.cumsum(counts[numbers])
    nearest = int(np.argmin(np.abs(sums - wanted)))
    return np.flatnonzero(np.isin(groups, numbers[: nearest + 1]))
