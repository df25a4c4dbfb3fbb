"""Dense becomes one op, the product of every position with a matrix."""

from __future__ import annotations

from cbp.engine.cpu import core as _core
from cbp.engine.plan import Plan, Value
from cbp.layers import Dense


def lower(plan: Plan, name: str, layer: Dense, value: Value) -> Value:
    """Weighted sums of the last axis."""
    output = plan.value((*value.shape[:-1], layer.units), timed=value.timed)
    add_product(plan, name, value, output, activation=layer.activation)
    return output


def add_product(plan: Plan, name: str, value: Value, output: Value, *, activation: str, weight: str = "weight") -> None:
    """The op that multiplies every position by the matrix ``name.weight`` and adds ``name.bias``, if there is one."""
    inputs, units = value.shape[-1], output.shape[-1]
    plan.add("dense", value, output, activation=activation, weight=f"{name}.{weight}", weight_rows=inputs, bias=f"{name}.bias")
    plan.need_scratch(_core.STRIP * (units + inputs))
