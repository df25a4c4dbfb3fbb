"""Layers that give the numbers of a sample another shape. The numbers and their order stay as they are.

They cost nothing where no pads lie between the numbers, and are a copy elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar

from cbp.engine import check
from cbp.errors import quoted
from cbp.layers.base import Layer, Plan, Shape, Value, brief

__all__ = ["Flatten", "Reshape"]


class _Reshaping(Layer):
    """What the two have in common: the numbers stay."""

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """The value in another shape, which is a sequence of the same steps only if all of its axes stay."""
        shape = self.output_shape(value.shape)
        if shape != value.shape:
            plan.mixes_time(brief(self), value)
        return plan.reshaped(value, shape)


@dataclass(frozen=True)
class Flatten(_Reshaping):
    """All numbers of a sample on one axis, the last axis running fastest.

    Takes any shape, gives (numbers,).
    """

    kind: ClassVar[str] = "flatten"

    def output_shape(self, input_shape: Shape) -> Shape:
        return (prod(input_shape),)


@dataclass(frozen=True)
class Reshape(_Reshaping):
    """The numbers of a sample in another shape, the last axis running fastest.

    Takes any shape of as many numbers, gives ``shape``.

    Parameters
    ----------
    shape : int or tuple of int
        Of one sample's output, at most 8 axes; one may be -1, which is what the others leave.

    Raises
    ------
    ValueError, TypeError
        An axis is out of range or no whole number, or several are -1.
    """

    kind: ClassVar[str] = "reshape"

    shape: int | Sequence[int]

    def __post_init__(self) -> None:
        given = self.shape if isinstance(self.shape, Sequence) and not isinstance(self.shape, str) else (self.shape,)
        shape = check.shape("shape", given, minimum=-1)
        if not shape or 0 in shape or shape.count(-1) > 1:
            raise ValueError(f"shape must have axes of at least 1, of which one may be -1, got {quoted(self.shape)}")
        object.__setattr__(self, "shape", shape)

    def output_shape(self, input_shape: Shape) -> Shape:
        assert isinstance(self.shape, tuple)
        numbers, known = prod(input_shape), prod(axis for axis in self.shape if axis != -1)
        if numbers % known or (-1 not in self.shape and numbers != known):
            wanted = f"a multiple of {known}" if -1 in self.shape else str(known)
            raise ValueError(f"{brief(self)} needs {wanted} numbers, its input has the shape {input_shape} with {numbers}")
        return tuple(numbers // known if axis == -1 else axis for axis in self.shape)
