"""The boundary: whatever a user passes as data becomes checked, C-contiguous arrays of the network's dtype, or an error that
names the argument, what came and what would be right. Data that fit already are not copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp import _check
from cbp.losses import Loss

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Data:
    """What a pass runs over. An empty array stands for what is not there: targets or labels, weights."""

    x: Array
    targets: Array
    labels: Array
    weights: Array


def features(argument: str, values: object, shape: tuple[int, ...], dtype: np.dtype[Any], one: str = "") -> Array:
    """Inputs, or gradients of outputs, as (samples, features). ``one`` names where a single row goes."""
    given = _check.rectangular(argument, values)
    if given.shape == shape:
        raise ValueError(f"{argument} must have the shape {_wanted(shape)}, got {given.shape}; one row alone goes "
                         f"{f'to {one}, or ' if one else ''}into a batch as {argument}[None]")
    if given.shape[1:] != shape:
        raise ValueError(f"{argument} must have the shape {_wanted(shape)}, got {given.shape}")
    if given.shape[0] == 0:
        raise ValueError(f"{argument} is empty: it has the shape {given.shape}, at least one sample is needed")
    if given.shape[0] >= 2**32:
        raise ValueError(f"{argument} has {given.shape[0]} samples; at most 2**32 - 1 are possible")
    return _check.numbers(argument, given, dtype)


def row(argument: str, values: object, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The inputs of one sample, as a batch of one."""
    given = _check.rectangular(argument, values)
    if given.shape != shape:
        raise ValueError(f"{argument} must have the shape {shape}, got {given.shape}; several rows go to predict")
    return _check.numbers(argument, given, dtype)[None]


def _wanted(input_shape: tuple[int, ...]) -> str:
    return "(samples, " + ", ".join(map(str, input_shape)) + ")"


def data(
    x: object, y: object, sample_weight: object, input_shape: tuple[int, ...], outputs: int, loss: Loss, dtype: np.dtype[Any],
    names: tuple[str, str, str] = ("X", "y", "sample_weight"),
) -> Data:
    """Checked inputs, targets and weights for this loss."""
    inputs = features(names[0], x, input_shape, dtype, "predict_one")
    samples = len(inputs)
    targets, labels = np.empty((0, 0), dtype), np.empty(0, np.intp)
    given = _target_array(names[1], y)
    if len(given) != samples:
        raise ValueError(f"{names[0]} has {samples} samples and {names[1]} has {len(given)}; they must have the same number")
    if loss.traits.targets == "class" and (given.ndim == 1 or given.shape[1:] == (1,)):
        labels = _labels(names[1], given.reshape(-1), outputs)
    else:
        targets = _targets(names[1], given, outputs, loss, dtype)
    return Data(inputs, targets, labels, _weights(names[2], sample_weight, samples, dtype))


def _target_array(name: str, y: object) -> Array:
    given = _check.rectangular(name, y)
    if given.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got the single value {y!r}")
    return given


def _labels(name: str, given: Array, classes: int) -> Array:
    """Class numbers 0 ... classes - 1."""
    wanted = f"labels must be whole numbers from 0 to {classes - 1}, one for each of the {classes} outputs"
    text = given.dtype.kind == "O" and any(isinstance(value, (str, bytes)) for value in given)
    if text or given.dtype.kind not in "fiubO":
        raise TypeError(f"{name} holds values of dtype {given.dtype}; {wanted}: "
                        f"classes, {name} = np.unique({name}, return_inverse=True) numbers them")
    values = _check.numbers(name, given, np.dtype(np.float64))
    wrong = np.flatnonzero((values != np.floor(values)) | (values < 0) | (values >= classes))
    if len(wrong):
        raise ValueError(f"{name} holds {given[wrong[0]]} at index {wrong[0]}; {wanted}")
    return values.astype(np.intp)


_RANGES: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "class": ("probabilities from 0 to 1", lambda y: (y >= 0) & (y <= 1)),
    "fraction": ("values from 0 to 1", lambda y: (y >= 0) & (y <= 1)),
    "count": ("counts of at least 0", lambda y: y >= 0),
    "sign": ("-1 or 1 (from 0 and 1: 2 * y - 1)", lambda y: (y == 1) | (y == -1)),
}


def _targets(name: str, given: Array, outputs: int, loss: Loss, dtype: np.dtype[Any]) -> Array:
    """One row of numbers per sample, in the range that the loss is defined for."""
    fits = given.shape[1:] == (outputs,) or (given.ndim == 1 and outputs == 1)
    if not fits:
        one = "(samples,) or (samples, 1)" if outputs == 1 else f"(samples, {outputs})"
        labels = "(samples,) with labels or " if loss.traits.targets == "class" else ""
        raise ValueError(f"{name} must have the shape {labels}{one} for {outputs} output(s) and {loss.name}, got {given.shape}")
    targets = _check.numbers(name, given, dtype).reshape(len(given), outputs)
    if loss.traits.targets in _RANGES:
        wanted, allowed = _RANGES[loss.traits.targets]
        wrong = np.argwhere(~allowed(targets))
        if len(wrong):
            raise ValueError(f"{name} holds {targets[tuple(wrong[0])]} for sample {wrong[0][0]}; {loss.name} needs {wanted}")
    if loss.traits.targets == "class":
        off = np.flatnonzero(np.abs(targets.sum(axis=1, dtype=np.float64) - 1) > 1e-3)
        if len(off):
            raise ValueError(f"{name} holds probabilities with the sum {targets[off[0]].sum():g} for sample {off[0]}; "
                             f"every row must sum to 1")
    return targets


def _weights(name: str, given: object, samples: int, dtype: np.dtype[Any]) -> Array:
    if given is None:
        return np.empty(0, dtype)
    weights = _check.numbers(name, given, dtype)
    if weights.shape != (samples,):
        raise ValueError(f"{name} must have the shape ({samples},), one weight per sample, got {weights.shape}")
    if weights.min() < 0:
        raise ValueError(f"{name} holds {weights.min():g} at index {weights.argmin()}; weights must be at least 0")
    if not weights.any():
        raise ValueError(f"{name} holds only zeros; at least one weight must be above 0")
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum(dtype=np.float64)):
            raise ValueError(f"{name} sums to more than a float64 can hold; scale the weights down")
    largest = weights.max()
    return weights if 1e-30 < largest < 1e30 else weights / largest  # or their sum, or its inverse, would overflow
