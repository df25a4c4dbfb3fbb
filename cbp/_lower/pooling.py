"""A pool becomes one op; a global one has a single window."""

from __future__ import annotations

from cbp._lower.convolution import add_window
from cbp.engine.plan import Plan, Value, padded
from cbp.layers import AveragePool1D, AveragePool2D, GlobalAveragePool, GlobalMaxPool, Layer, MaxPool1D, MaxPool2D
from cbp.layers.window import Window

__all__ = ["lower", "lower_global"]


def lower(plan: Plan, name: str, layer: MaxPool1D | MaxPool2D | AveragePool1D | AveragePool2D, value: Value) -> Value:
    """Windows along one or two axes."""
    return _add(plan, layer, value, layer.window(value.shape))


def lower_global(plan: Plan, name: str, layer: GlobalMaxPool | GlobalAveragePool, value: Value) -> Value:
    """One window over all positions; of a sequence, over the steps that count."""
    all_of_it = (value.positions,)
    window = Window(input=all_of_it, output=(1,), kernel=all_of_it, stride=all_of_it, dilation=(1,), before=(0,))
    return _add(plan, layer, value, window, timed=value.timed)


def _add(plan: Plan, layer: Layer, value: Value, window: Window, *, timed: bool = False) -> Value:
    output = plan.value(layer.output_shape(value.shape))
    if isinstance(layer, MaxPool1D | MaxPool2D | GlobalMaxPool):
        size = output.positions * padded(output.shape[-1])
        add_window(plan, "max_pool", layer, value, output, window, timed=timed, extra=plan.slot(size), extra_size=size)
    else:
        add_window(plan, "average_pool", layer, value, output, window, timed=timed)
    return output
