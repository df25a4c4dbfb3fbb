"""Where answers go: into new arrays, or into those that a caller gives, so that a loop allocates nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.errors import quoted

__all__ = ["pair", "room"]

Array = npt.NDArray[Any]


def room(name: str, given: object, shape: tuple[int, ...], dtype: np.dtype[Any], others: Mapping[str, object]) -> Array:
    """The array that was given for an answer, or for None a new one; raises TypeError or ValueError where it does not suit.

    ``others`` are the arrays by name that are read while the answer is written, so that it must not share memory with them.
    """
    if given is None:
        return np.empty(shape, dtype)
    make = f"np.empty({shape}, '{dtype.name}') makes one"
    if not isinstance(given, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, got {quoted(given)}; {make}")
    if given.dtype != dtype:
        raise TypeError(f"{name} must have the dtype {dtype.name}, as the network has, got {given.dtype}; {make}")
    if given.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, got {given.shape}; {make}")
    if not (given.flags.c_contiguous and given.flags.aligned):
        raise ValueError(f"{name} must be C-contiguous and aligned: the core writes its numbers one after the other; {make}")
    if not given.flags.writeable:
        raise ValueError(f"{name} is read-only; {make}")
    for other, values in others.items():
        if isinstance(values, np.ndarray) and np.may_share_memory(given, values):
            raise ValueError(f"{name} shares memory with {other}, which is read while {name} is written; {make}")
    return given


def pair(name: str, given: object, parts: tuple[str, str]) -> tuple[object, object]:
    """Two arrays, or None for either; raises TypeError where something else was given."""
    if given is None:
        return None, None
    if not isinstance(given, tuple) or len(given) != 2:
        raise TypeError(f"{name} must be a tuple ({parts[0]}, {parts[1]}) of arrays, None for one that is to be new, got "
                        f"{quoted(given)}")
    return given
