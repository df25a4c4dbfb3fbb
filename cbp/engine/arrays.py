"""The boundary: whatever a user passes as data is checked and described for the core, or is an error that names the argument,
what came and what would be right.

Inputs and targets stay where they are, in any plain dtype and nearly any strides: the core converts the rows of a batch when it
needs them, so that data may be larger than the memory. The checks go over them block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.engine.columns import Names, check_names, check_row_names
from cbp.engine.containers import as_array
from cbp.engine.cpu import core as _core
from cbp.engine.plan import Plan
from cbp.engine.specs import Loss
from cbp.errors import not_by_handler, quoted

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

NO_LENGTHS = np.empty(0, np.intp)

_DTYPES = {np.dtype(name): number for name, number in _core.SOURCES.items()}
"""The dtypes that the core can read, and its numbers of them: those of NumPy that are bool, int or float in the byte order of
the machine."""


@dataclass(frozen=True, slots=True)
class Source:
    """Checked rows of numbers, in an array of a dtype of ``_DTYPES``, and the core's record of where they lie.

    The record is only as good as the array lives.
    """

    array: Array
    record: bytes

    def __len__(self) -> int:
        return len(self.array)


@dataclass(frozen=True)
class Data:
    """What a pass runs over. Something empty stands for what is not there: targets or labels, weights, lengths. ``flat`` tells
    whether the targets came without the last axis of the outputs, which has one number."""

    x: Source
    targets: Source
    labels: Array
    weights: Array
    lengths: Array
    flat: bool = False


@dataclass(frozen=True)
class Form:
    """What a network takes and gives, of one sample.

    Attributes
    ----------
    inputs, outputs : tuple of int
        Shapes.
    loss : Loss
        It says what targets are.
    dtype : dtype
    vocabulary : int
        How many whole numbers inputs may be, where they name rows of an embedding; 0: inputs are any numbers.
    no_lengths : str
        Why samples cannot have lengths of their own; empty where they can.
    names : tuple of str or None
        Of the columns of the table that the network was trained on.
    """

    inputs: Shape
    outputs: Shape
    loss: Loss
    dtype: np.dtype[Any]
    vocabulary: int
    no_lengths: str
    names: Names | None = None

    @classmethod
    def of(cls, plan: Plan, loss: Loss, dtype: np.dtype[Any]) -> Form:
        """What a plan takes and gives; raises ValueError where the dtype cannot hold it."""
        if plan.vocabulary > 2**24 and dtype == np.float32:
            raise ValueError(f"layers: an Embedding has a vocabulary of {plan.vocabulary}; inputs of a float32 network "
                             f"are whole numbers only up to 2**24, so it needs dtype='float64'")
        return cls(plan.input_shape, plan.output_shape, loss, dtype, plan.vocabulary, plan.no_lengths)


def _source(argument: str, given: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Source:
    """Numbers as rows of this shape: where they are, if the core can read them there, else converted as a whole."""
    number = _DTYPES.get(given.dtype)
    if number is None or not given.flags.aligned or _is_better_turned(given):
        given = check.numbers(argument, given, dtype)
        number = _DTYPES[dtype]
    else:
        check.finite(argument, given, dtype)
    rows = given if given.shape == shape else given.reshape(shape)
    return Source(rows, _core.source(rows, number))


def _is_better_turned(given: Array) -> bool:
    """Whether the numbers lie column by column in memory that NumPy allocated: each number of a row then costs a cache line,
    in every epoch, and a copy costs once what is there already. A file, or memory of others, may be larger than the memory."""
    if given.flags.c_contiguous or given.ndim < 2 or not abs(given.strides[1]) > abs(given.strides[0]) > 0:
        return False
    owner = given
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return owner.flags.owndata


def features(
    argument: str, values: object, shape: tuple[int, ...], dtype: np.dtype[Any], one: str = "", *, vocabulary: int = 0,
) -> Source:
    """Inputs, or gradients of outputs, as (samples, features). ``one`` names where a single row goes; with a ``vocabulary``
    they are whole numbers below that."""
    given = as_array(argument, values, f"be an array of the shape {_wanted(shape)}")
    if given.shape == shape:
        raise ValueError(f"{argument} must have the shape {_wanted(shape)}, got {given.shape}; one row alone goes "
                         f"{f'to {one}, or ' if one else ''}into a batch as {argument}[None]")
    if given.shape[1:] != shape:
        raise ValueError(f"{argument} must have the shape {_wanted(shape)}, got {given.shape}"
                         f"{_remedy(argument, given.shape, shape) or _of_objects(argument, given)}")
    if given.shape[0] == 0:
        raise ValueError(f"{argument} is empty: it has the shape {given.shape}, at least one sample is needed")
    if given.shape[0] >= 2**32:
        raise ValueError(f"{argument} has {given.shape[0]} samples; at most 2**32 - 1 are possible")
    return _samples(argument, given, (len(given), prod(shape)), dtype, vocabulary)


def inputs(form: Form, X: object, one: str = "") -> Source:
    """The samples ``X``; ``one`` names where a single row goes."""
    check_names("X", X, form.names)
    return features("X", X, form.inputs, form.dtype, one, vocabulary=form.vocabulary)


def d_outputs(form: Form, d_output: object) -> Source:
    """The gradient with respect to the outputs, also without a last axis of one number."""
    *places, outputs = form.outputs
    given = as_array("d_output", d_output, f"be an array of the shape {_wanted(form.outputs)}")
    if outputs == 1 and given.ndim == len(form.outputs) and given.shape[1:] == tuple(places):
        given = given[..., None]
    return features("d_output", given, form.outputs, form.dtype)


def row(form: Form, x: object) -> Source:
    """One sample ``x``, as a batch of one."""
    check_row_names("x", x, form.names)
    given = as_array("x", x, f"be an array of the shape {form.inputs}")
    if given.shape != form.inputs:
        raise ValueError(f"x must have the shape {form.inputs}, got {given.shape}; several rows go to predict")
    return _samples("x", given, (1, prod(form.inputs)), form.dtype, form.vocabulary)


def _samples(argument: str, given: Array, shape: Shape, dtype: np.dtype[Any], vocabulary: int) -> Source:
    """Inputs of the shape that was asked for, as rows of finite numbers; with a vocabulary, of whole ones below it."""
    rows = _source(argument, given, shape, dtype)
    if vocabulary:
        check.row_numbers(argument, given, vocabulary)
    return rows


def _remedy(argument: str, given: Shape, wanted: Shape) -> str:
    """How samples of this shape become those that are wanted, if that can be told."""
    shape = given[1:]
    if len(wanted) == len(shape) == 1 and given[0] == wanted[0]:
        return f"; {argument}.T has a row for each sample"
    if given[1:] == () and wanted == (1,):
        return f"; np.asarray({argument})[:, None] makes one column of it"
    if (*shape, 1) == wanted:
        return f"; {argument}[..., None] adds the axis of one channel"
    if len(shape) == len(wanted) == 3 and (*shape[1:], shape[0]) == wanted:
        return f"; np.moveaxis({argument}, 1, -1) puts the channels last"
    if len(shape) == 1 and shape[0] == prod(wanted):
        return f"; {argument}.reshape(-1, {', '.join(map(str, wanted))}) is that"
    if len(wanted) == 1 and len(shape) > 1 and prod(shape) == wanted[0]:
        return f"; {argument}.reshape(len({argument}), -1) is that"
    if len(shape) == len(wanted) == 2 and shape[1] == wanted[1] and shape[0] < wanted[0]:
        return f"; shorter sequences are padded to {wanted[0]} steps, and lengths= says how long each is"
    if len(shape) == len(wanted) == 2 and shape[1] == wanted[1]:
        return f"; longer sequences are cut, or the network is built for inputs of {shape}"
    return ""


def _of_objects(argument: str, given: Array) -> str:
    """What to do about one object a sample: a row as a list, an array, or a record."""
    first = given[0] if given.dtype.kind == "O" and given.ndim == 1 and len(given) else None
    if isinstance(first, Mapping):
        return f"; [list(row.values()) for row in {argument}] has the numbers of its records"
    return f"; np.stack({argument}) makes one array of its rows" if isinstance(first, (list, tuple, np.ndarray)) else ""


def _wanted(input_shape: tuple[int, ...]) -> str:
    return "(samples, " + ", ".join(map(str, input_shape)) + ")"


_NOTHING = Source(np.empty((0, 0)), _core.source(np.empty((0, 0)), _DTYPES[np.dtype(np.float64)]))


def data(
    form: Form, x: object, y: object, sample_weight: object = None, lengths: object = None,
    names: tuple[str, str, str, str] = ("X", "y", "sample_weight", "lengths"),
) -> Data:
    """Checked inputs, targets, weights and lengths for a network."""
    if lengths is not None:
        _check_no_lengths(form)
    check_names(names[0], x, form.names)
    try:
        rows = features(names[0], x, form.inputs, form.dtype, vocabulary=form.vocabulary)
    except not_by_handler(ValueError) as problem:
        if _shape_of(y)[1:] == form.inputs != _shape_of(x)[1:]:
            raise ValueError(f"{problem}; {names[1]} has that shape: were the two swapped?") from None
        raise
    samples = len(rows)
    targets, labels = _NOTHING, np.empty(0, np.intp)
    given = target_array(names[1], y)
    if len(given) != samples:
        raise ValueError(f"{names[0]} has {samples} samples and {names[1]} has {len(given)}; they must have the same number"
                         f"{_turned(names[1], given.shape, samples)}")
    *places, outputs = form.outputs
    if form.loss.targets == "class" and given.shape[1:] in (tuple(places), (*places, 1)):
        labels = _labels(names[1], given.reshape(samples, *places), outputs).reshape(-1)
    else:
        targets = _targets(names[1], given, form)
    weights = _weights(names[2], sample_weight, samples, form.dtype)
    flat = outputs == 1 and given.shape[1:] == tuple(places)
    return Data(rows, targets, labels, weights, checked_lengths(form, lengths, samples, names[3]), flat)


def _shape_of(values: object) -> Shape:
    """For messages: no shape where there is none to tell."""
    try:
        return as_array("", values).shape
    except not_by_handler(TypeError, ValueError):
        return ()


def _turned(name: str, shape: Shape, samples: int) -> str:
    """How targets with the samples along the second axis are to be passed."""
    if shape == (1, samples):
        return f"; {name}[0] has"
    return f"; {name}.T has" if len(shape) == 2 and shape[1] == samples else ""


def validation(form: Form, given: object, with_lengths: bool) -> Data | None:
    """What the argument ``validation_data`` of a fit, with or without lengths of its own, holds."""
    if given is None:
        return None
    if not isinstance(given, (tuple, list)) or not 2 <= len(given) <= 4:
        raise TypeError("validation_data must be a tuple (X, y), (X, y, sample_weight) or (X, y, sample_weight, lengths), "
                        f"got {type(given).__name__}{f' of {len(given)}' if isinstance(given, (tuple, list)) else ''}")
    if len(given) == 3 and with_lengths:
        raise ValueError("validation_data (X, y, sample_weight) has no lengths, but fit got some: give "
                         "(X, y, None, lengths), or (X, y, sample_weight, None) where all steps count")
    x, y, weight, lengths = (*given, None, None)[:4]
    return data(form, x, y, weight, lengths,
                ("validation_data[0]", "validation_data[1]", "validation_data[2]", "validation_data[3]"))


def _check_no_lengths(form: Form) -> None:
    if form.no_lengths:
        raise ValueError(f"lengths cannot be used with this network: {form.no_lengths}")


def checked_lengths(form: Form, given: object, samples: int, name: str = "lengths") -> Array:
    """How many steps of every sample count; empty for None."""
    if given is None:
        return NO_LENGTHS
    _check_no_lengths(form)
    steps = form.inputs[0]
    lengths = as_array(name, given)
    if lengths.shape != (samples,):
        mask = f"; of a mask of steps that is {name}.sum(axis=1)" if lengths.shape == (samples, steps) else ""
        raise ValueError(f"{name} must have the shape ({samples},), one length per sample, got {lengths.shape}{mask}")
    if lengths.dtype.kind not in "iuO":
        raise TypeError(f"{name} must hold whole numbers from 1 to {steps}, got dtype {lengths.dtype}")
    return check.whole(name, lengths, 1, steps, f"lengths are from 1 to {steps}, the steps of X")


def target_array(name: str, y: object) -> Array:
    given = as_array(name, y, "be an array with one entry per sample")
    if given.ndim == 0:
        raise ValueError(f"{name} must have one entry per sample, got the single value {quoted(y)}")
    return given


def _labels(name: str, given: Array, classes: int) -> Array:
    """Class numbers 0 ... classes - 1."""
    wanted = f"labels must be whole numbers from 0 to {classes - 1}, one for each of the {classes} outputs"
    text = given.dtype.kind == "O" and any(isinstance(value, (str, bytes)) for value in given.flat)
    if text or given.dtype.kind not in "fiubO":
        raise TypeError(f"{name} holds values of dtype {given.dtype}; {wanted}: {_NUMBERED.format(name)}")
    try:
        return check.whole(name, given, 0, classes - 1, wanted)
    except not_by_handler(ValueError) as problem:
        raise ValueError(f"{problem}{_renumbered(name, given, classes)}") from None


_NUMBERED = "classes, {0} = np.unique({0}, return_inverse=True) numbers them"


def _renumbered(name: str, given: Array, classes: int) -> str:
    """How numbers that are no labels, those from 1 on for example, become some."""
    try:
        found = np.unique(check.numbers(name, given, np.dtype(np.float64)))
    except not_by_handler(ValueError):
        return ""
    if not np.array_equal(found, np.floor(found)):
        return "; numbers that are no classes need another loss, 'mean_squared_error' for example"
    outputs = f", and the last layer needs {len(found)} outputs for these {len(found)} classes" if len(found) > classes else ""
    return f": {_NUMBERED.format(name)}{outputs}"


_RANGES: dict[str, tuple[str, Callable[[Array], Array]]] = {
    "class": ("probabilities from 0 to 1", lambda y: (y >= 0) & (y <= 1)),
    "fraction": ("values from 0 to 1 (from -1 and 1: (y + 1) / 2; from any two: np.unique(y, return_inverse=True)[1])",
                 lambda y: (y >= 0) & (y <= 1)),
    "count": ("counts of at least 0 (for numbers of either sign take 'mean_squared_error')", lambda y: y >= 0),
    "sign": ("-1 or 1 (from 0 and 1: 2 * y - 1)", lambda y: (y == 1) | (y == -1)),
}


def _targets(name: str, given: Array, form: Form) -> Source:
    """One row of numbers per sample, in the range that the loss is defined for."""
    *places, outputs = form.outputs
    fits = given.shape[1:] == form.outputs or (outputs == 1 and given.shape[1:] == tuple(places))
    if not fits:
        one = _wanted((*places, outputs))
        short = _wanted(tuple(places)) if places else "(samples,)"
        both = f"{short} with labels or {one}" if form.loss.targets == "class" else f"{short} or {one}"
        wanted = both if outputs == 1 or form.loss.targets == "class" else one
        raise ValueError(f"{name} must have the shape {wanted} for {outputs} output(s) and {form.loss.name}, got {given.shape}"
                         f"{_fitting(name, given, form)}")
    targets = _source(name, given, (len(given), prod(form.outputs)), form.dtype)
    if form.loss.targets in _RANGES:
        for first, block in check.blocks(targets.array, form.dtype):
            _check_range(name, block.reshape(-1, outputs), first * prod(places), form, places)
    return targets


def _fitting(name: str, given: Array, form: Form) -> str:
    """How targets, or the network, could be made to fit."""
    *places, outputs = form.outputs
    shape, whole = given.shape[1:], given.dtype.kind in "iub"
    if places and shape in ((), (1,), (outputs,)):
        return ("; this network answers at every step or pixel: for one answer a sample let a recurrent layer without "
                "return_sequences, cbp.Flatten() or a global pool come before its last layer")
    if prod(shape) == prod(form.outputs):
        return f"; {name}.reshape(-1, {', '.join(map(str, form.outputs))}) is that"
    if shape == () and outputs > 1 and whole:
        return f"; labels are for 'softmax' and 'cross_entropy', np.eye({outputs})[{name}] makes a column of each"
    if len(shape) == 1 and not places and form.loss.targets == "class":
        return f"; for {shape[0]} classes the last layer needs {shape[0]} outputs"
    if shape == (2,) and outputs == 1 and whole:
        return f"; {name}[:, 1] of two classes is that"
    return ""


def _check_range(name: str, targets: Array, first: int, form: Form, places: list[int]) -> None:
    """Targets of some samples, those from row number ``first`` on, must be what the loss is defined for."""
    wanted, allowed = _RANGES[form.loss.targets]

    def where(row: int) -> str:
        sample, *place = np.unravel_index(first + row, (2**62 // prod(places), *places))
        return f"sample {sample}" + (f" at {', '.join(map(str, place))}" if place else "")

    wrong = np.argwhere(~allowed(targets))
    if len(wrong):
        raise ValueError(f"{name} holds {targets[tuple(wrong[0])]} for {where(wrong[0][0])}; {form.loss.name} needs {wanted}")
    if form.loss.targets == "class":
        off = np.flatnonzero(np.abs(targets.sum(axis=1, dtype=np.float64) - 1) > 1e-3)
        if len(off):
            raise ValueError(f"{name} holds probabilities with the sum {targets[off[0]].sum():g} for {where(off[0])}; "
                             f"every row must sum to 1 (where several classes hold at once: 'sigmoid' and "
                             f"'binary_cross_entropy')")


def _weights(name: str, given: object, samples: int, dtype: np.dtype[Any]) -> Array:
    if given is None:
        return np.empty(0, dtype)
    if isinstance(given, Mapping):
        raise TypeError(f"{name} must hold one number per sample, got a {type(given).__name__}; weights by class become that "
                        f"with np.array([weights[label] for label in y])")
    weights = check.numbers(name, given, dtype)
    if weights.shape != (samples,):
        column = f"; np.asarray({name})[:, 0] has it" if weights.shape == (samples, 1) else ""
        raise ValueError(f"{name} must have the shape ({samples},), one weight per sample, got {weights.shape}{column}")
    if weights.min() < 0:
        raise ValueError(f"{name} holds {weights.min():g} at index {weights.argmin()}; weights must be at least 0")
    if not weights.any():
        raise ValueError(f"{name} holds only zeros; at least one weight must be above 0")
    with np.errstate(over="ignore"):
        if not np.isfinite(weights.sum(dtype=np.float64)):
            raise ValueError(f"{name} sums to more than a float64 can hold; scale the weights down")
    largest = weights.max()
    return weights if 1e-30 < largest < 1e30 else weights / largest  # or their sum, or its inverse, would overflow
