"""Flatten and Reshape cost nothing where no pads lie between the numbers, and are a copy elsewhere."""

from __future__ import annotations

from cbp.engine.plan import Plan, Value
from cbp.layers import Flatten, Reshape
from cbp.layers.base import brief

__all__ = ["lower"]


def lower(plan: Plan, name: str, layer: Flatten | Reshape, value: Value) -> Value:
    """The value in another shape, which is a sequence of the same steps only if all of its axes stay."""
    shape = layer.output_shape(value.shape)
    if shape != value.shape:
        plan.mixes_time(brief(layer), value)
    return plan.reshaped(value, shape)
