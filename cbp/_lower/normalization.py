"""BatchNorm and LayerNorm: one op each, whose weight is the row of scales and whose bias is the row of shifts."""

from __future__ import annotations

from cbp.engine.cpu import core as _core
from cbp.engine.plan import Plan, Value
from cbp.layers import BatchNorm, LayerNorm


def batch_norm(plan: Plan, name: str, layer: BatchNorm, value: Value) -> Value:
    output = plan.value(value.shape, timed=value.timed)
    plan.add(
        "batch_norm", value, output, activation=layer.activation, weight=f"{name}.scale", weight_rows=1, bias=f"{name}.shift",
        unpenalised=1, statistics=plan.offset(f"{name}.mean"), shared=plan.shared(_core.BATCH_NORM_ROWS * output.width),
        timed=value.timed, epsilon=layer.epsilon, momentum=layer.momentum,
    )
    plan.need_scratch(output.width)
    plan.whole_batch = True
    return output


def layer_norm(plan: Plan, name: str, layer: LayerNorm, value: Value) -> Value:
    output = plan.value(value.shape, timed=value.timed)
    moments = 3 * output.positions
    plan.add(
        "layer_norm", value, output, activation=layer.activation, weight=f"{name}.scale", weight_rows=1, bias=f"{name}.shift",
        unpenalised=1, extra=plan.slot(moments), extra_size=-(-moments // 16) * 16, epsilon=layer.epsilon,
    )
    plan.need_scratch(output.width)
    return output
