"""PyTorch's modules whose windows move over positions: convolutions, pools, and the padding before them.

They take (channels, length) or (channels, height, width), cbp's layers the channels last. Where the value lies as PyTorch has
it, behind a Linear for example, layers of cbp still serve that read it as an image of one channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cbp import layers
from cbp.activations import ACTIVATIONS
from cbp.layers.base import Layer
from cbp.pytorch.options import each, only, single
from cbp.pytorch.way import Array, Module, Way, numbers_of

INCREASING = frozenset(name for name, row in ACTIVATIONS.items() if row.increasing)
"""The largest of some numbers is the largest after these too, so they may come before a maximum as well as behind it."""


@dataclass(frozen=True)
class Windows:
    """The windows on one axis of ``size`` numbers: so many, of which the first begins ``before`` numbers before the axis."""

    size: int
    span: int
    stride: int
    before: int
    count: int


def padding_of(rows: list[Windows]) -> Any:
    """The padding with which cbp's windows stand there; raises ValueError if it has none.

    A number of pads is the same at both ends; "same" may have one more behind. What no window reaches makes no difference.
    """
    if all((row.size + 2 * row.before - row.span) // row.stride + 1 == row.count for row in rows):
        return single(tuple(row.before for row in rows)) if any(row.before for row in rows) else "valid"
    if all(-(-row.size // row.stride) == row.count
           and max((row.count - 1) * row.stride + row.span - row.size, 0) // 2 == row.before for row in rows):
        return "same"
    raise ValueError("its windows reach further beyond one end of the positions than beyond the other, as no padding of cbp "
                     "does; take the same padding at both ends and ceil_mode=False")


def padding(way: Way, module: Module) -> None:
    """Zeros for the convolution that follows; the last axis comes first in PyTorch's pairs."""
    if getattr(module, "value", 0) != 0:
        raise ValueError(f"value={module.value!r} has no counterpart in cbp, whose padding is 0; pad the data before")
    for place, pair in enumerate(zip(module.padding[::2], module.padding[1::2], strict=True)):
        axis = way.rank - 1 - place
        if axis < 0 or min(pair) < 0:
            raise ValueError(f"padding={tuple(module.padding)} of {way.torch_shape} has no counterpart in cbp, which adds "
                             "zeros to positions; change the data before")
        if any(pair):
            before, after = way.pads.get(axis, (0, 0))
            way.pads[axis] = (before + pair[0], after + pair[1])


def convolution(way: Way, module: Module) -> None:
    axes = len(module.kernel_size)
    only(module, padding_mode="zeros")
    way.positions(axes)
    way.first_axis("in_channels", module.in_channels)
    rows = [_convolved(way, module, axis) for axis in range(axes)]
    _room(way, module, rows)
    if way.pads:
        raise ValueError("the padding before it adds channels; cbp's padding adds positions alone")
    bias = None if module.bias is None else numbers_of(module.bias)
    weight = np.moveaxis(numbers_of(module.weight), (0, 1), (-1, -2))  # (..., inputs of a group, filters)
    if axes == 1 and not way.arrange(way.channels_last):
        _across_channels(way, module, rows[0], weight, bias)
        return
    way.have_channels_last(f"in_channels={module.in_channels}")
    way.arrange(way.channels_last)
    how: dict[str, Any] = {
        "stride": single(module.stride), "padding": padding_of(rows), "dilation": single(module.dilation),
        "bias": bias is not None,
    }
    size = single(module.kernel_size)
    if axes == 2 and module.groups == module.in_channels > 1:
        layer: Layer = layers.DepthwiseConv2D(size, multiplier=module.out_channels // module.in_channels, **how)
        weight = weight[..., 0, :]
    else:
        kind = layers.Conv1D if axes == 1 else layers.Conv2D
        layer = kind(module.out_channels, size, groups=module.groups, **how)
    way.add(layer, weight=weight, bias=bias)


def _across_channels(way: Way, module: Module, row: Windows, weight: Array, bias: Array | None) -> None:
    """A Conv1d of (channels, length) as they are: an image, of which every window holds the whole height."""
    if module.groups != 1:
        raise ValueError(f"groups={module.groups} of {way.torch_shape}, where the channels come first in cbp too, has no "
                         "counterpart; put it before the module that acts on the last axis, or take groups=1")
    channels, length = way.shape
    (before,) = each(0 if (pads := padding_of([row])) == "valid" else pads, 1)
    if before == "same":
        raise ValueError(f"padding={module.padding!r} of {way.torch_shape} has one zero more at the end, as cbp has not where "
                         "the channels come first; take a kernel_size that is odd")
    layer = layers.Conv2D(
        module.out_channels, (channels, *module.kernel_size), stride=(1, *module.stride), padding=(0, before),
        dilation=(1, *module.dilation), bias=bias is not None,
    )
    way.reshape((channels, length, 1), way.axes)
    way.add(layer, weight=np.swapaxes(weight, 0, 1)[:, :, None], bias=bias)
    way.reshape(way.shape[1:], way.channels_last)


def _convolved(way: Way, module: Module, axis: int) -> Windows:
    """The windows on one of the positions' axes, with the padding before the module."""
    size, given = way.size(axis + 1), way.pads.pop(axis + 1, (0, 0))
    stride, span = module.stride[axis], module.dilation[axis] * (module.kernel_size[axis] - 1) + 1
    if isinstance(module.padding, str):
        missing = span - 1 if module.padding == "same" else 0
        own = (missing // 2, missing - missing // 2)
    else:
        own = (module.padding[axis],) * 2
    return Windows(size, span, stride, given[0] + own[0], (size + sum(given) + sum(own) - span) // stride + 1)


def _room(way: Way, module: Module, rows: list[Windows]) -> None:
    if any(row.count < 1 for row in rows):
        raise ValueError(f"kernel_size={module.kernel_size} has no room in what comes here, {way.torch_shape} a sample; "
                         "take a smaller one, or more padding")


def pool(way: Way, module: Module) -> None:
    name = type(module).__name__
    largest, axes = name.startswith("Max"), int(name[-2])
    if largest:
        only(module, return_indices=False)
        if set(each(module.dilation, axes)) != {1}:
            only(module, dilation=1)
    elif any(each(module.padding, axes)):
        only(module, count_include_pad=False)
    if not largest and axes == 2:
        only(module, divisor_override=None)
    way.positions(axes, 1 if axes == 1 else axes + 1)
    rows = [_pooled(*numbers, ceil=module.ceil_mode) for numbers in zip(
        map(way.size, way.as_in_pytorch[-axes:]), each(module.kernel_size, axes), each(module.stride, axes),
        each(module.padding, axes), strict=True)]
    _room(way, module, rows)
    _add_pool(way, rows, largest=largest)


def _pooled(size: int, span: int, stride: int, before: int, *, ceil: bool) -> Windows:
    """With ``ceil`` a last window may reach beyond the end, but begins before it."""
    count = (size + 2 * before - span + (stride - 1 if ceil else 0)) // stride + 1
    return Windows(size, span, stride, before, count - (ceil and (count - 1) * stride >= size + before))


def adaptive_pool(way: Way, module: Module) -> None:
    name = type(module).__name__
    largest, axes = "Max" in name, int(name[-2])
    if largest:
        only(module, return_indices=False)
    way.positions(axes, 1 if axes == 1 else axes + 1)
    sizes = [way.size(axis) for axis in way.as_in_pytorch[-axes:]]
    counts = [there if count is None else count for count, there in zip(each(module.output_size, axes), sizes, strict=True)]
    if any(there % count for count, there in zip(counts, sizes, strict=True)):
        raise ValueError(f"output_size={module.output_size!r} does not divide the size of {way.torch_shape}; cbp's windows all "
                         "have one size")
    if set(counts) == {1} and way.rank > axes and way.arrange(way.channels_last):
        way.add_between(*((layers.GlobalMaxPool(), INCREASING) if largest else (layers.GlobalAveragePool(), frozenset())))
        way.axes = (0,)
        return
    spans = [there // count for count, there in zip(counts, sizes, strict=True)]
    _add_pool(way, [Windows(*row) for row in zip(sizes, spans, spans, (0,) * axes, counts, strict=True)], largest=largest)


def _add_pool(way: Way, rows: list[Windows], *, largest: bool) -> None:
    """A pool of the last axes; where cbp does not have the channels last, of an image of one channel."""
    axes, passes = len(rows), INCREASING if largest else frozenset()
    name = "MaxPool" if largest else "AveragePool"
    pads = padding_of(rows)
    if way.rank == axes + 1 and way.arrange(way.channels_last):
        size, stride = (single(tuple(getattr(row, field) for row in rows)) for field in ("span", "stride"))
        way.add_between(getattr(layers, f"{name}{axes}D")(size, stride=stride, padding=pads), passes)
        return
    if axes == 2:
        way.have_channels_last(f"{'x'.join(str(row.span) for row in rows)} windows")
    way.arrange(way.as_in_pytorch)
    before = (1,) * (way.rank - 1)
    layer = getattr(layers, f"{name}{way.rank}D")(
        single((*before, rows[0].span)), stride=single((*before, rows[0].stride)),
        padding=pads if isinstance(pads, str) else single((*(0 for _ in before), pads)))
    way.reshape((*way.shape, 1), way.axes)
    way.add_between(layer, passes)
    way.reshape(way.shape[:-1], way.axes)
