"""A residual block: split, the ops of the layers inside, the projection if there is one, join."""

from __future__ import annotations

from cbp.engine.plan import Plan, Value
from cbp.layers import Residual

__all__ = ["lower"]


def lower(plan: Plan, name: str, layer: Residual, value: Value) -> Value:
    """The sum of both ways."""
    projection = layer.projection(value.shape)
    inside, around = plan.split(value)
    for index, inner in enumerate(layer.layers):
        try:
            inside = plan.lower(f"{name}.{index}", inner, inside)
        except ValueError as problem:
            raise ValueError(f"Residual, layers[{index}]: {problem}") from None
    if projection is not None:
        around = plan.lower(f"{name}.skip", projection, around)
    return plan.join(inside, around, layer.activation)
