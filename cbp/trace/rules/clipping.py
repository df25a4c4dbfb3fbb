"""What an optimizer makes of a gradient before it follows it: clipped number by number, array by array, and as a whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from cbp.optimizers import Optimizer

__all__ = ["clipped"]


def clipped(spec: Optimizer, gradient: Sequence[float], arrays: Iterable[Sequence[int]]) -> list[float]:
    """The gradient that is followed; ``arrays`` have the numbers of the parameters that change, array by array."""
    found, moved = list(gradient), [list(array) for array in arrays]
    for number in (number for array in moved for number in array):
        if spec.clip_value is not None:
            found[number] = max(-spec.clip_value, min(spec.clip_value, found[number]))
    if spec.clip_array is not None:
        for array in moved:
            _shorten(found, array, spec.clip_array)
    if spec.clip_norm is not None:
        _shorten(found, [number for array in moved for number in array], spec.clip_norm)
    return found


def _shorten(gradient: list[float], numbers: Sequence[int], most: float) -> None:
    """To the norm ``most``, where it is longer."""
    norm = math.hypot(*(gradient[number] for number in numbers))
    if norm > most:
        for number in numbers:
            gradient[number] *= most / norm
