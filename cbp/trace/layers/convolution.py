"""Convolutions: a window moves over the input, and every unit weighs what it sees there with the same taps.

Axes of space (one for Conv1D, two for Conv2D) come first in the value, the channels last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from cbp.layers import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D
from cbp.trace.graph import BIAS, Place
from cbp.trace.layers.registry import rule
from cbp.trace.layers.scope import Scope, Values, indices

Sizes = tuple[int, ...]


class Window(NamedTuple):
    """Where a window looks, per axis of space: its size, its stride, the pads before, and the dilation of its taps."""

    size: Sizes
    stride: Sizes
    before: Sizes
    dilation: Sizes
    output: Sizes  # positions of the window

    def taps(self, position: Sizes, extent: Sizes) -> list[tuple[Sizes, Sizes]]:
        """(tap, place in the input) of the window at this position; taps in the padding read nothing."""
        found = []
        for tap in indices(self.size):
            place = tuple(
                stride * p - before + dilation * k
                for stride, p, before, dilation, k in zip(
                    self.stride, position, self.before, self.dilation, tap, strict=True
                )
            )
            if all(0 <= i < n for i, n in zip(place, extent, strict=True)):
                found.append((tap, place))
        return found


def each(setting: Any, axes: int) -> Sizes:
    """A setting of a layer, for every axis."""
    return (setting,) * axes if isinstance(setting, int) else tuple(setting)


def window(size: Any, stride: Any, padding: Any, dilation: Any, extent: Sizes) -> Window:
    """The window of a layer over an input of this extent. Under "same" the output has ceil(input / stride) positions, and
    of the pads the smaller half lies before."""
    axes = len(extent)
    sizes, strides, dilations = each(size, axes), each(stride, axes), each(dilation, axes)
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, sizes, strict=True)]
    if padding == "same":
        output = tuple(-(-n // s) for n, s in zip(extent, strides, strict=True))
        totals = [(out - 1) * s + span - n for out, s, span, n in zip(output, strides, spans, extent, strict=True)]
        return Window(sizes, strides, tuple(max(total, 0) // 2 for total in totals), dilations, output)
    pads = each(0 if padding == "valid" else padding, axes)
    output = tuple((n + 2 * p - span) // s + 1 for n, p, span, s in zip(extent, pads, spans, strides, strict=True))
    return Window(sizes, strides, pads, dilations, output)


def where(view: Window) -> str:
    """The place in the input that tap k reads at position p, in symbols."""
    letters = (("y", "ky"), ("x", "kx")) if len(view.size) == 2 else (("t", "k"),)
    places = []
    for (at, tap), stride, before, dilation in zip(letters, view.stride, view.before, view.dilation, strict=True):
        start = f"{stride}({at}-1)+1" if stride > 1 else at
        step = f"{dilation}({tap}-1)" if dilation > 1 else f"{tap}-1"
        places.append(f"{start}+{step}" + (f"-{before}" if before else ""))
    return ", ".join(places)


def axes_of(view: Window) -> tuple[str, str]:
    """What a position and a tap are called."""
    return ("y,x", "ky,kx") if len(view.size) == 2 else ("t=t", "k")


@rule(Conv1D, Conv2D)
def convolution(scope: Scope, layer: Any, x: Values) -> Values:
    """s[position, filter] = Σ over taps and channels of w·x + b, a = f(s). With groups a filter sees its channels only."""
    extent, channels = x.shape[:-1], x.shape[-1]
    view = window(layer.kernel_size, layer.stride, layer.padding, layer.dilation, extent)
    weight, bias = scope.symbols("weight", "w", kept=len(extent)), scope.symbols("bias", "b")
    assert weight is not None
    seen = channels // layer.groups
    shape = (*view.output, layer.filters)
    outputs: list[int] = []
    for position in indices(view.output):
        taps = view.taps(position, extent)
        units = []
        for f in range(layer.filters):
            first = f // (layer.filters // layer.groups) * seen
            sources = [x.at(*place, first + c) for _, place in taps for c in range(seen)]
            weights = [weight.number(*tap, c, f) for tap, _ in taps for c in range(seen)]
            name = scope.name((*position, f), shape)
            units.append(scope.sum(name, sources, weights, bias.number(f) if bias else None))
        scope.graph.activate(units, layer.activation)
        outputs += units
    one = seen == layer.filters == 1
    at, tap = axes_of(view)
    scope.say([
        f"s[{at}] = Σ w[{tap}]·input[{where(view)}] + b" if one else
        f"s[{at},f] = Σ w[{tap},c,f]·input[{where(view)}, c] + b[f]",
        f"the taps w are the same at all {len(outputs) // layer.filters} positions",
    ])  # fmt: skip
    return Values(shape, outputs, x.timed)


def _depthwise(
    scope: Scope, layer: Any, x: Values, weight: Place, bias: Place | None, base: str, activation: str
) -> Values:
    """Every channel is weighed on its own: channel c of the input makes the channels c·multiplier, … of the output."""
    extent, channels = x.shape[:-1], x.shape[-1] * layer.multiplier
    view = window(layer.kernel_size, layer.stride, layer.padding, layer.dilation, extent)
    shape = (*view.output, channels)
    outputs: list[int] = []
    for position in indices(view.output):
        taps = view.taps(position, extent)
        units = []
        for c in range(channels):
            sources = [x.at(*place, c // layer.multiplier) for _, place in taps]
            weights = [weight.number(*tap, c) for tap, _ in taps]
            name = scope.name((*position, c), shape, base)
            units.append(scope.sum(name, sources, weights, bias.number(c) if bias else None))
        scope.graph.activate(units, activation)
        outputs += units
    at, tap = axes_of(view)
    letter, end = ("w", " + b[c]" if bias else "") if base == "h" else ("d", "")
    channel = "c" if layer.multiplier == 1 else f"⌈c/{layer.multiplier}⌉"
    scope.say([f"{'s' if base == 'h' else base}[{at},c] = Σ {letter}[{tap},c]·input[{where(view)}, {channel}]{end}"])
    return Values(shape, outputs)


@rule(DepthwiseConv2D)
def depthwise(scope: Scope, layer: DepthwiseConv2D, x: Values) -> Values:
    weight, bias = scope.symbols("weight", "w", kept=2), scope.symbols("bias", "b")
    assert weight is not None
    return _depthwise(scope, layer, x, weight, bias, "h", layer.activation)


@rule(SeparableConv2D)
def separable(scope: Scope, layer: SeparableConv2D, x: Values) -> Values:
    """A depthwise convolution d, then at every position a weighted sum of its channels."""
    taps, points = scope.symbols("depthwise", "d", kept=2), scope.symbols("pointwise", "p")
    bias = scope.symbols("bias", "b")
    assert taps is not None
    assert points is not None
    middle = _depthwise(scope, layer, x, taps, None, "d", "identity")
    shape = (*middle.shape[:-1], layer.filters)
    outputs: list[int] = []
    for position, nodes in middle.positions():
        sources = [*nodes, BIAS] if bias else nodes
        units = []
        for f in range(layer.filters):
            weights = [points.number(c, f) for c in range(len(nodes))] + ([bias.number(f)] if bias else [])
            units.append(scope.sum(scope.name((*position, f), shape), sources, weights))
        scope.graph.activate(units, layer.activation)
        outputs += units
    scope.noted.lines += ["s[y,x,f] = Σ p[c,f]·d[y,x,c] + b[f]"] if len(scope.noted.lines) == 1 else []
    return Values(shape, outputs)
