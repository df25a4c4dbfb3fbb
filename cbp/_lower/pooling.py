"""A pool becomes one op; a global one has a single window."""

from __future__ import annotations

from typing import Any

from cbp._plan import Plan, Value, padded
from cbp.layers import AveragePool1D, AveragePool2D, GlobalAveragePool, GlobalMaxPool, MaxPool1D, MaxPool2D
from cbp.layers.pooling import Windows

__all__ = ["lower", "lower_global"]


def lower(plan: Plan, name: str, layer: MaxPool1D | MaxPool2D | AveragePool1D | AveragePool2D, value: Value) -> Value:
    """Windows along one or two axes; a sequence is a picture of one row."""
    plan.mixes_time(type(layer).__name__, value)
    windows = layer.windows(value.shape)
    output = plan.value(layer.output_shape(value.shape))
    _add(plan, isinstance(layer, MaxPool1D | MaxPool2D), value, output, windows)
    return output


def lower_global(plan: Plan, name: str, layer: GlobalMaxPool | GlobalAveragePool, value: Value) -> Value:
    """One window over all positions."""
    positions = value.positions
    output = plan.value(layer.output_shape(value.shape))
    timed = value.timed and len(value.shape) == 2
    if not timed:
        plan.mixes_time(type(layer).__name__, value)
    _add(plan, isinstance(layer, GlobalMaxPool), value, output, [Windows(positions, 1, positions, 1, 0)], timed=timed)
    return output


def _add(plan: Plan, largest: bool, value: Value, output: Value, windows: list[Windows], *, timed: bool = False) -> None:
    rows, columns = windows if len(windows) == 2 else (Windows(1, 1, 1, 1, 0), windows[0])
    fields: dict[str, Any] = {
        "in_h": rows.inputs, "out_h": rows.outputs, "kernel_h": rows.size, "stride_h": rows.stride, "pad_h": rows.before,
        "in_w": columns.inputs, "out_w": columns.outputs, "kernel_w": columns.size, "stride_w": columns.stride,
        "pad_w": columns.before, "timed": timed,
    }
    if largest:
        size = output.positions * padded(output.shape[-1])
        fields |= {"extra": plan.slot(size), "extra_size": size}
    plan.add("max_pool" if largest else "average_pool", value, output, **fields)
