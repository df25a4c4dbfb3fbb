"""Convolutions become one op: of all channels ("convolution") or of groups of them ("grouped"). A window of one pixel is a
dense layer; a separable convolution is a grouped one and a dense layer."""

from __future__ import annotations

from math import prod
from typing import Any

from cbp._lower.dense import add_product
from cbp.engine.cpu import core as _core
from cbp.engine.plan import LANES, Plan, Value, padded
from cbp.layers import Conv1D, Conv2D, DepthwiseConv2D, Layer, SeparableConv2D
from cbp.layers.base import brief
from cbp.layers.window import Window


def filters(plan: Plan, name: str, layer: Conv1D | Conv2D, value: Value) -> Value:
    """Conv1D and Conv2D."""
    window = layer.window(value.shape)
    if layer.groups == 1 and window.kernel == window.stride == (1,) * len(window.kernel) and window.input == window.output:
        output = plan.value((*window.output, layer.filters), timed=value.timed)
        add_product(plan, name, value, output, activation=layer.activation)
        return output
    output = plan.value((*window.output, layer.filters))
    _add(plan, name, layer, value, output, window, layer.groups, activation=layer.activation)
    return output


def depthwise(plan: Plan, name: str, layer: DepthwiseConv2D, value: Value) -> Value:
    """As many groups as channels."""
    output = plan.value(layer.output_shape(value.shape))
    _add(plan, name, layer, value, output, layer.window(value.shape), value.shape[-1], activation=layer.activation)
    return output


def separable(plan: Plan, name: str, layer: SeparableConv2D, value: Value) -> Value:
    """Depthwise without activation and bias, then pointwise."""
    window = layer.window(value.shape)
    between = plan.value((*window.output, value.shape[-1] * layer.multiplier))
    _add(plan, name, layer, value, between, window, value.shape[-1], weight="depthwise", bias="")
    output = plan.value((*window.output, layer.filters))
    add_product(plan, name, between, output, activation=layer.activation, weight="pointwise")
    return output


def add_window(
    plan: Plan, kind: str, layer: Layer, value: Value, output: Value, window: Window, *, timed: bool = False, **fields: Any
) -> dict[str, int]:
    """The op of a layer whose windows lie over steps or pixels, its record; ``timed`` tells that it looks at lengths.

    It always has two axes: an axis of time is the width of a single line.
    """
    if not timed:
        plan.mixes_time(brief(layer), value)
    for name, numbers, otherwise in (
        ("in", window.input, 1), ("out", window.output, 1), ("kernel", window.kernel, 1), ("stride", window.stride, 1),
        ("dilation", window.dilation, 1), ("pad", window.before, 0),
    ):
        fields[f"{name}_h"], fields[f"{name}_w"] = (otherwise, *numbers)[-2:]
    return plan.add(kind, value, output, timed=timed, **fields)


def _add(
    plan: Plan, name: str, layer: Layer, value: Value, output: Value, window: Window, groups: int, *,
    activation: str = "identity", weight: str = "weight", bias: str = "bias",
) -> None:
    """The op, and the scratch that its directions need."""
    op = add_window(plan, "convolution" if groups == 1 else "grouped", layer, value, output, window, activation=activation,
                    weight=f"{name}.{weight}", weight_rows=prod(window.kernel) * value.shape[-1] // groups,
                    bias=f"{name}.{bias}" if bias else "", groups=groups)
    image = prod((o - 1) * s + (k - 1) * d + 1
                 for o, s, k, d in zip(window.output, window.stride, window.kernel, window.dilation, strict=True))
    if groups == 1:
        plan.need_scratch(_scratch(op, image, value.shape[-1], output.shape[-1]))
    else:
        plan.need_scratch(_grouped_scratch(op, image, output.width))


def _scratch(op: dict[str, int], image: int, channels: int, units: int) -> int:
    """Tables and a copy of the image; or tables, turned weights and products for some lines of dz (``_convolution.pxi``)."""
    taps = op["kernel_h"] * op["kernel_w"] * channels
    line = padded(op["kernel_w"] * channels)
    positions = op["out_h"] * op["out_w"]
    images = max(1, min(_core.SAMPLES, _core.PIXELS // positions)) * image * channels + LANES
    pairs = (2 * taps + _core.PIXELS // 2 + 1) * LANES   # doubled weights and dz, where filters are few
    copying = _table(max(2 * taps, _core.PIXELS)) + images + pairs
    backward = (_table(op["kernel_h"] * units + op["in_w"] * (op["kernel_w"] + 1))
                + (op["kernel_h"] * units + max(48, op["out_w"])) * line + LANES)
    return max(copying, backward)


def _grouped_scratch(op: dict[str, int], image: int, width: int) -> int:
    """A table and the image of a plane, or that of dz within zeros and the flipped weights."""
    taps = op["kernel_h"] * op["kernel_w"]
    around = ((op["in_h"] + (op["kernel_h"] - 1) * op["dilation_h"])
              * (op["in_w"] + (op["kernel_w"] - 1) * op["dilation_w"]))
    return _table(max(taps, _core.PIXELS)) + (max(image, op["in_h"] * op["in_w"], around) + taps) * width


def _table(entries: int) -> int:
    """Numbers of scratch that hold so many offsets: two of float32 for one of eight bytes."""
    return padded(2 * entries)
