"""Recurrent layers: one op each, Bidirectional two and what joins them."""

from __future__ import annotations

from cbp.engine.cpu import core as _core
from cbp.engine.plan import Plan, Value, padded
from cbp.layers.recurrent import GRU, LSTM, RNN, Bidirectional, Recurrent

KINDS = {RNN: "rnn", LSTM: "lstm", GRU: "gru"}

# Rows of `width` numbers that the core keeps of every step: gates, and factors between two states.
GATES = {RNN: 1, LSTM: 4, GRU: 4}
KEEP = {RNN: 0, LSTM: 2, GRU: 1}

# Rows of `width` numbers of the state, as it goes from batch to batch.
STATE = {RNN: 1, LSTM: 2, GRU: 1}


def lower(plan: Plan, name: str, layer: Recurrent, value: Value) -> Value:
    """All steps of the layer."""
    kind = type(layer)
    steps, inputs = value.shape
    width = padded(layer.units)
    columns = layer.GATES * width
    output = plan.value(layer.output_shape(value.shape), timed=value.timed and layer.return_sequences)
    extra = padded(steps * (inputs + width)) + steps * (GATES[kind] + KEEP[kind]) * width
    carry = plan.carry if layer.stateful else -1
    plan.carry += STATE[kind] * width if layer.stateful else 0
    plan.add(
        KINDS[kind], value, output, weight=f"{name}.weight", weight_rows=inputs + layer.units, weight_width=columns,
        bias=f"{name}.bias", bias_width=layer.BIASES * width, extra=plan.slot(extra), sequences=layer.return_sequences,
        timed=value.timed, reverse=layer.reverse, bptt=layer.bptt or 0, carry=carry,
        state_activation=_core.ACTIVATIONS[getattr(layer, "activation", "tanh")])
    plan.need_scratch(columns * (width + _core.STRIP) + 2 * _core.WALKERS * width)
    return output


def bidirectional(plan: Plan, name: str, layer: Bidirectional, value: Value) -> Value:
    """Both directions over one input, their outputs side by side."""
    source = plan.split(value)
    first, second = (plan.lower(f"{name}.{side}", each, reader)
                     for (side, each), reader in zip(layer.sides.items(), source, strict=True))
    return plan.concat(first, second)
