"""Checks of single values that specifications share: each returns the value or says what would be right."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
import numpy.typing as npt


def integer(argument: str, value: object, *, minimum: int = 1, below: int = 2**63) -> int:
    """``value`` as an int of at least ``minimum`` and less than ``below``."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{argument} must be a whole number of at least {minimum}, got {value!r}") from None
    if number < minimum:
        raise ValueError(f"{argument} must be a whole number of at least {minimum}, got {number}")
    if number >= below:
        raise ValueError(f"{argument} must be a whole number below {below}, got {number}")
    return number


def real(
    argument: str,
    value: object,
    *,
    above: float | None = None,
    minimum: float | None = None,
    below: float | None = None,
) -> float:
    """``value`` as a finite float within the bounds (``above`` and ``below`` excluded, ``minimum`` included)."""
    parts = [f"above {above:g}" if above is not None else "", f"of at least {minimum:g}" if minimum is not None else ""]
    parts.append(f"below {below:g}" if below is not None else "")
    wanted = " and ".join(part for part in parts if part)
    wanted = f"a finite number {wanted}".rstrip()
    try:
        if isinstance(value, (bool, str, bytes)):
            raise TypeError
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{argument} must be {wanted}, got {value!r}") from None
    in_bounds = (
        math.isfinite(number)
        and (above is None or number > above)
        and (minimum is None or number >= minimum)
        and (below is None or number < below)
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
    raise TypeError(f"{argument} must be True or False, got {value!r}")


def float_dtype(dtype: npt.DTypeLike) -> np.dtype[Any]:
    """float32 or float64, however it was named."""
    try:
        checked = np.dtype(dtype)
    except TypeError:
        checked = np.dtype(object)
    if dtype is None or checked not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}")
    return checked
