"""Flatten and Reshape cost nothing where no pads lie between the numbers, and are a copy elsewhere."""

from __future__ import annotations

from cbp._plan import Plan, Value
from cbp.layers import Flatten, Reshape

__all__ = ["lower"]


def lower(plan: Plan, name: str, layer: Flatten | Reshape, value: Value) -> Value:
    """The value in another shape; if its first axis stays, that is the same time."""
    shape = layer.output_shape(value.shape)
    if shape[0] != value.shape[0] or len(shape) == 1:
        plan.mixes_time(type(layer).__name__, value)
    return plan.reshaped(value, shape)
