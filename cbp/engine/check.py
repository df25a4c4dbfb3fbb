"""Checks that specifications and data share: each returns the value or says what would be right."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cbp.engine.containers import as_array
from cbp.engine.cpu import core as _core
from cbp.errors import not_by_handler, quoted

Array = npt.NDArray[Any]


BLOCK = 2**20
"""Bytes of data that are converted at a time when they are checked."""


def integer(argument: str, value: object, *, minimum: int = 1, below: int = 2**63) -> int:
    """``value`` as an int of at least ``minimum`` and less than ``below``."""
    try:
        if _is_bool(value):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except not_by_handler(TypeError):
        whole = isinstance(value, (float, np.floating)) and value.is_integer()
        raise TypeError(f"{argument} must be a whole number of at least {minimum}, got {quoted(value)}"
                        f"{f'; int({value}) is one' if whole else ''}") from None
    if number < minimum:
        raise ValueError(f"{argument} must be a whole number of at least {minimum}, got {quoted(number)}")
    if number >= below:
        raise ValueError(f"{argument} must be a whole number below {below}, got {quoted(number)}")
    return number


def _is_bool(value: object) -> bool:
    """Of any package: for some ``operator.index`` gives 0 and 1."""
    return isinstance(value, bool) or str(getattr(value, "dtype", "")).endswith("bool")


MOST_AXES = 8
"""Of one sample."""


def shape(argument: str, sizes: Sequence[object], minimum: int = 1) -> tuple[int, ...]:
    """The shape of one sample, at most MOST_AXES whole numbers of at least ``minimum``."""
    if len(sizes) > MOST_AXES:
        raise ValueError(f"{argument} must have at most {MOST_AXES} axes, got {len(sizes)}")
    return tuple(integer(argument, size, minimum=minimum, below=2**48) for size in sizes)


def input_shape(inputs: object) -> tuple[int, ...]:
    """The shape of one sample from the argument ``inputs``, which may be a number of features."""
    sizes = inputs if isinstance(inputs, (tuple, list)) else (inputs,)
    if isinstance(inputs, (tuple, list)) and any(size is None for size in sizes):
        raise TypeError(f"inputs must be whole numbers, got {quoted(inputs)}; sequences of different lengths are padded to the "
                        f"longest, and lengths= says how long each is")
    checked = shape("inputs", sizes)
    if not checked:
        raise ValueError("inputs must be a number of features or the shape of one sample, got ()")
    return checked


_NO_REALS = (str, bytes, np.complexfloating, np.timedelta64, np.datetime64)
"""What ``float`` takes all the same."""


def real(
    argument: str,
    value: object,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
    maximum: float | None = None,
) -> float:
    """``value`` as a finite float within the bounds, of which ``above`` and ``below`` are excluded."""
    parts = [f"above {above:g}" if above is not None else "", f"of at least {minimum:g}" if minimum is not None else ""]
    parts += [f"below {below:g}" if below is not None else "", f"of at most {maximum:g}" if maximum is not None else ""]
    wanted = " and ".join(part for part in parts if part)
    wanted = f"a finite number {wanted}".rstrip()
    try:
        single = value[()] if isinstance(value, np.ndarray) else value  # of no axes, or an array again
        if _is_bool(single) or single is np.ma.masked or isinstance(single, _NO_REALS) or np.ndim(cast(Any, single)) > 0:
            raise TypeError
        number = float(single)  # type: ignore[arg-type]
    except not_by_handler(OverflowError):
        number = math.inf
    except not_by_handler(TypeError, ValueError):
        raise TypeError(f"{argument} must be {wanted}, got {quoted(value)}") from None
    in_bounds = (
        math.isfinite(number)
        and (above is None or number > above)
        and (minimum is None or number >= minimum)
        and (below is None or number < below)
        and (maximum is None or number <= maximum)
    )
    if not in_bounds:
        raise ValueError(f"{argument} must be {wanted}, got {number:g}")
    return number


def boolean(argument: str, value: object) -> bool:
    """``value`` as a bool; numbers other than 0 and 1 are mistakes."""
    if value is True or value is False:
        return bool(value)
    if type(value).__name__ in ("bool", "bool_"):
        return bool(value)
    raise TypeError(f"{argument} must be True or False, got {quoted(value)}")


def numbers(argument: str, values: object, dtype: np.dtype[Any]) -> Array:
    """``values`` as a C-contiguous array of ``dtype`` without NaN or infinity; not copied where it is one already."""
    given = as_array(argument, values)
    if given.dtype.kind not in "fiub":
        given = _from_objects(argument, given)
    with np.errstate(over="ignore"):
        array = np.require(given, dtype, ["C", "A"])
    place = _core.first_not_finite(array.reshape(-1))
    if place >= 0:
        raise _not_finite(argument, given, place, dtype)
    return array


def finite(argument: str, given: Array, dtype: np.dtype[Any]) -> None:
    """Rows of numbers, not copied but in blocks, must be finite in ``dtype``."""
    if given.dtype.kind in "iub":
        return  # the largest uint64 is far below the largest float32
    for first, block in blocks(given, dtype):
        place = _core.first_not_finite(block.reshape(-1))
        if place >= 0:
            raise _not_finite(argument, given, first * given[0].size + place, dtype)


def row_numbers(argument: str, given: Array, vocabulary: int) -> None:
    """Finite numbers must be whole and from 0 to ``vocabulary - 1``. Seen block by block, as they are."""
    rows = given if given.dtype.kind in "fiub" else given.astype(np.float64)
    step = max(1, BLOCK // max(1, rows.nbytes // len(rows)))
    for first in range(0, len(rows), step):
        block = rows[first : first + step]
        fraction = block.dtype.kind == "f" and bool((block != np.floor(block)).any())
        if fraction or block.min() < 0 or block.max() >= vocabulary:
            # None are found where another thread has mended them since; the core looks again at each number that it takes.
            for wrong in np.argwhere((block < 0) | (block >= vocabulary) | (block != np.floor(block)))[:1].tolist():
                value = block[tuple(wrong)]
                wrong[0] += first
                raise ValueError(f"{argument} holds {value} {_where(tuple(wrong))}; the inputs of an Embedding with a "
                                 f"vocabulary of {vocabulary} must be whole numbers from 0 to {vocabulary - 1}")


def whole(argument: str, given: Array, smallest: int, largest: int, wanted: str) -> Array:
    """A copy of whole numbers from ``smallest`` to ``largest``, which the core takes for places in memory: it is the copy that
    was checked, so that nobody can change them afterwards."""
    integers = given.dtype.kind in "iub"
    values = given if integers else numbers(argument, given, np.dtype(np.float64))
    with np.errstate(invalid="ignore"):  # what no int64 can hold becomes one that is not in the range
        copy = values.astype(np.int64, order="C")
    if copy.min() < smallest or copy.max() > largest or not (integers or np.array_equal(copy, values)):
        for wrong in np.argwhere((copy < smallest) | (copy > largest) | (copy != values))[:1].tolist():
            raise ValueError(f"{argument} holds {given[tuple(wrong)]} {_where(tuple(wrong))}; {wanted}")
    return copy.astype(np.intp, copy=False)


def blocks(rows: Array, dtype: np.dtype[Any]) -> Iterator[tuple[int, Array]]:
    """Index of the first row, and some rows as a C-contiguous array of ``dtype``: so much at a time that Ctrl-C is heard and
    that data which do not fit in memory need not."""
    step = max(1, BLOCK // (rows[0].size * dtype.itemsize))
    for first in range(0, len(rows), step):
        yield first, _converted(rows[first : first + step], dtype)


def _converted(rows: Array, dtype: np.dtype[Any]) -> Array:
    if rows.dtype == dtype:
        return np.ascontiguousarray(rows)
    with np.errstate(over="ignore"):  # what overflows is found by who reads the block
        return np.asarray(rows, dtype, order="C")


def _not_finite(argument: str, given: Array, place: int, dtype: np.dtype[Any]) -> ValueError:
    """What to raise for the number at a flat index."""
    index = tuple(int(i) for i in np.unravel_index(place, given.shape))
    value = given[index]
    reason = f"too large for {dtype.name}" if np.isfinite(value) else "every value must be finite"
    return ValueError(f"{argument} holds {value} {_where(index)}; {reason}")


def _where(index: tuple[int, ...]) -> str:
    return f"at index {index if len(index) > 1 else index[0]}" if index else "as its value"


def _from_objects(argument: str, given: Array) -> Array:
    """Arrays of Python objects are fine when they hold real numbers, and so are dtypes of other packages that a float64 can
    hold (bfloat16); text, dates and complex numbers are not converted."""
    if given.dtype.kind != "O" and np.can_cast(given.dtype, np.float64):
        return given.astype(np.float64)
    if given.dtype.kind != "O":
        raise TypeError(f"{argument} must hold numbers, got an array of dtype {given.dtype}"
                        f"{_converting(argument, given.dtype.kind)}")
    converted = np.empty(given.shape)
    for index, value in np.ndenumerate(given):
        if not isinstance(value, (Real, Decimal, np.bool_)) or isinstance(value, np.timedelta64):
            raise TypeError(f"{argument} must hold numbers, got the object {quoted(value)} {_where(index)}"
                            f"{_replacing(argument, value)}")
        try:
            converted[index] = float(value)
        except not_by_handler(OverflowError):
            raise ValueError(f"{argument} holds a number {_where(index)} that is too large for float64") from None
        except not_by_handler(ValueError):  # a signalling NaN
            raise ValueError(f"{argument} holds {value} {_where(index)}; every value must be finite") from None
    return converted


def _converting(argument: str, kind: str) -> str:
    """How an array of another kind of dtype becomes numbers."""
    return {
        "U": _TEXT.format(argument), "S": _TEXT.format(argument),
        "c": f"; np.concatenate([{argument}.real, {argument}.imag], axis=-1) has both parts",
        "M": f"; ({argument} - {argument}.min()) / np.timedelta64(1, 'D') counts days",
        "m": f"; {argument} / np.timedelta64(1, 's') counts seconds",
    }.get(kind, "")


_TEXT = "; of text that spells numbers np.asarray({0}, float) makes them, of names np.unique({0}, return_inverse=True) numbers"


def _replacing(argument: str, value: object) -> str:
    """What to do about an object among numbers."""
    if isinstance(value, (str, bytes)):
        return _TEXT.format(argument)
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return "; a missing value has to be filled in, or its row left out"
    if isinstance(value, (date, time, timedelta, np.datetime64, np.timedelta64)):  # those of pandas are such
        return "; make numbers of dates and times first, or leave them out"
    return ""


def float_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """float32 or float64, however it was named."""
    try:
        checked = np.dtype(dtype)
    except not_by_handler(TypeError):
        checked = np.dtype(object)
    if dtype is None or checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {quoted(dtype)}")
    return checked
