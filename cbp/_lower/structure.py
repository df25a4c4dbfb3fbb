"""How values part and meet: what more than one layer is built with."""

from __future__ import annotations

from dataclasses import replace

from cbp._plan import Plan, Value, padded

__all__ = ["concatenate", "join", "split"]


def split(plan: Plan, value: Value) -> tuple[Value, Value]:
    """The value for two readers, each with a gradient of its own; on the way back their sum is the value's gradient."""
    width = padded(value.shape[-1])
    one, other = (replace(value, delta=plan.slot(value.positions * width)) for _ in range(2))
    # The op writes nothing. Its output is the first gradient, so that whoever clears the output of a sample clears nothing else.
    plan.add("split", value, Value(value.shape, slot=one.delta, delta=one.delta, width=width), second_units=value.shape[-1],
             d_second=other.delta)
    return one, other


def join(plan: Plan, one: Value, other: Value, activation: str) -> Value:
    """The activation of the sum of two values of one shape. The sum's gradient takes the slot of the other one's, so nothing
    else may read or change that: whatever writes ``other`` is without an activation."""
    size = one.positions * padded(one.shape[-1])
    output = Value(one.shape, slot=plan.slot(size), delta=other.delta, width=padded(one.shape[-1]),
                   timed=one.timed and other.timed)
    plan.add("join", one, output, activation=activation, second=other.slot, second_units=other.shape[-1], d_second=other.delta)
    return output


def concatenate(plan: Plan, one: Value, other: Value) -> Value:
    """Two values, equal in all axes but the last, one behind the other on the last."""
    shape = (*one.shape[:-1], one.shape[-1] + other.shape[-1])
    output = plan.value(shape, timed=one.timed and other.timed)
    plan.add("concat", one, output, second=other.slot, second_units=other.shape[-1], d_second=other.delta)
    return output
