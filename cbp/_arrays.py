"""The boundary: whatever a user passes as data becomes checked, C-contiguous arrays of the network's dtype, or an error that
names the argument, what came and what would be right. Data that fit already are not copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp._cpu import core as _core
from cbp.losses import Loss

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Data:
    """What a pass runs over. An empty array stands for what is not there: targets or labels, weights."""

    x: Array
    targets: Array
    labels: Array
    weights: Array


def shape_of(argument: str, values: Any) -> tuple[int, ...]:
    """The shape of an array or of nested lists."""
    try:
        return tuple(np.shape(values))
    except ValueError as problem:
        raise ValueError(f"{argument} must be a rectangular array of numbers ({problem})") from None


def is_masked(values: Any) -> bool:
    return isinstance(values, np.ma.MaskedArray) and bool(np.ma.getmaskarray(values).any())


def numbers(argument: str, values: object, dtype: np.dtype[Any]) -> Array:
    """``values`` as a C-contiguous array of ``dtype`` without NaN or infinity."""
    if is_masked(values):
        raise ValueError(f"{argument} is a masked array with masked values; fill them first")
    try:
        given = np.asarray(values)
    except ValueError as problem:
        raise ValueError(f"{argument} must be a rectangular array of numbers ({problem})") from None
    if given.dtype.kind not in "fiub":
        given = _from_objects(argument, given, dtype)
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(given, dtype=dtype)
    place = _core.first_not_finite(array.reshape(-1))
    if place >= 0:
        index = tuple(int(i) for i in np.unravel_index(place, given.shape))
        value = given[index]
        reason = f"too large for {dtype.name}" if np.isfinite(value) else "every value must be finite"
        where = f"at index {index if len(index) > 1 else index[0]}" if index else "as its value"
        raise ValueError(f"{argument} holds {value} {where}; {reason}")
    return array


def _from_objects(argument: str, given: Array, dtype: np.dtype[Any]) -> Array:
    """Arrays of Python objects are fine when they hold numbers; text, dates and complex numbers are not converted."""
    if given.dtype.kind == "O" and not any(isinstance(value, (str, bytes, complex)) for value in given.flat):
        try:
            return given.astype(np.float64)
        except (TypeError, ValueError):
            pass
    raise TypeError(f"{argument} must hold numbers that fit {dtype.name}, got an array of dtype {given.dtype}")


def features(argument: str, values: object, input_shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Inputs as (samples, features)."""
    shape = shape_of(argument, values)
    if len(shape) == len(input_shape) and shape == input_shape:
        raise ValueError(f"{argument} must have the shape {_wanted(input_shape)}, got {shape}; one row alone goes to "
                         f"predict_one, or into a batch as {argument}[None]")
    if len(shape) != len(input_shape) + 1 or shape[1:] != input_shape:
        raise ValueError(f"{argument} must have the shape {_wanted(input_shape)}, got {shape}")
    if shape[0] == 0:
        raise ValueError(f"{argument} is empty: it has the shape {shape}, at least one sample is needed")
    if shape[0] >= 2**32:
        raise ValueError(f"{argument} has {shape[0]} samples; at most 2**32 - 1 are possible")
    return numbers(argument, values, dtype)


def _wanted(input_shape: tuple[int, ...]) -> str:
    return "(samples, " + ", ".join(map(str, input_shape)) + ")"


def data(
    x: object, y: object, sample_weight: object, input_shape: tuple[int, ...], outputs: int, loss: Loss, dtype: np.dtype[Any],
    names: tuple[str, str] = ("X", "y"),
) -> Data:
    """Checked inputs, targets and weights for this loss."""
    inputs = features(names[0], x, input_shape, dtype)
    samples = len(inputs)
    targets, labels = np.empty((0, 0), dtype), np.empty(0, np.intp)
    given = _target_array(names[1], y)
    if len(given) != samples:
        raise ValueError(f"{names[0]} has {samples} samples and {names[1]} has {len(given)}; they must have the same number")
    if loss.traits.targets == "class" and (given.ndim == 1 or given.shape[1:] == (1,)):
        labels = _labels(names[1], given.reshape(-1), outputs)
    else:
        targets = _targets(names[1], given, outputs, loss, dtype)
    return Data(inputs, targets, labels, _weights(sample_weight, samples, dtype))


def _target_array(name: str, y: object) -> Array:
    if is_masked(y):
        raise ValueError(f"{name} is a masked array with masked values; fill them first")
    try:
        given = np.asarray(y)
    except ValueError as problem:
        raise ValueError(f"{name} must be a rectangular array ({problem})") from None
    if given.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got the single value {y!r}")
    return given


def _labels(name: str, given: Array, classes: int) -> Array:
    """Class numbers 0 ... classes - 1."""
    wanted = f"labels must be whole numbers from 0 to {classes - 1}, one for each of the {classes} outputs"
    if given.dtype.kind not in "fiubO" or any(isinstance(v, (str, bytes)) for v in given if given.dtype.kind == "O"):
        raise TypeError(f"{name} holds values of dtype {given.dtype}; {wanted}: "
                        f"classes, {name} = np.unique({name}, return_inverse=True) numbers them")
    values = numbers(name, given, np.dtype(np.float64))
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
    targets = numbers(name, given, dtype).reshape(len(given), outputs)
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


def _weights(sample_weight: object, samples: int, dtype: np.dtype[Any]) -> Array:
    if sample_weight is None:
        return np.empty(0, dtype)
    weights = numbers("sample_weight", sample_weight, dtype)
    if weights.shape != (samples,):
        raise ValueError(f"sample_weight must have the shape ({samples},), one weight per sample, got {weights.shape}")
    if weights.min() < 0:
        raise ValueError(f"sample_weight holds {weights.min():g} at index {weights.argmin()}; weights must be at least 0")
    if not weights.any():
        raise ValueError("sample_weight holds only zeros; at least one weight must be above 0")
    return weights
