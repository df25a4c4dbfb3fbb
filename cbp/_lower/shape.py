"""Flatten and Reshape cost nothing where no pads lie between the numbers, and are a copy elsewhere."""

from __future__ import annotations

from dataclasses import replace

from cbp._plan import Plan, Value, padded
from cbp.layers import Flatten, Reshape
from cbp.layers.base import Shape

__all__ = ["lower", "reshaped"]


def lower(plan: Plan, name: str, layer: Flatten | Reshape, value: Value) -> Value:
    """The value in another shape."""
    shape = layer.output_shape(value.shape)
    if shape[0] != value.shape[0] or len(shape) == 1:
        plan.mixes_time(type(layer).__name__, value)
    return reshaped(plan, value, shape)


def reshaped(plan: Plan, value: Value, shape: Shape) -> Value:
    """The same slots, seen as another shape, if there are pads neither before nor after, else a copy."""
    timed = value.timed and shape[0] == value.shape[0] and len(shape) > 1
    bare = padded(value.shape[-1]) == value.shape[-1] and padded(shape[-1]) == shape[-1]
    if (value.slot < 0 or bare) and (value.delta < 0 or bare):
        return replace(value, shape=shape, width=shape[-1], timed=timed)
    output = plan.value(shape, timed=timed)
    plan.add("copy", value, output)
    return output
