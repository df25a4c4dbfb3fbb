"""Pools: the largest number of a window, or its mean; and the same over the whole value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbp.layers import AveragePool1D, AveragePool2D, GlobalAveragePool, GlobalMaxPool, MaxPool1D, MaxPool2D
from cbp.trace.graph import Formula
from cbp.trace.layers.convolution import Window, window
from cbp.trace.layers.registry import rule
from cbp.trace.layers.scope import Scope, Values, indices


def largest(values: Sequence[float]) -> tuple[float, list[float]]:
    """The first of the largest numbers wins: it alone hands the gradient back."""
    value = max(values)
    winner = list(values).index(value)
    slopes = [float(i == winner) for i in range(len(values))]
    return value, slopes


def mean(values: Sequence[float]) -> tuple[float, list[float]]:
    value = sum(values) / len(values)
    slopes = [1 / len(values)] * len(values)
    return value, slopes


def largest_formula(slopes: Sequence[float]) -> Formula:
    keys = tuple(f"x{i}" for i in range(len(slopes)))
    text = f"max({', '.join('{' + key + '}' for key in keys)})"
    return Formula(keys, text, tuple(f"{slope:g}" for slope in slopes), f"the largest of {len(slopes)}")


def mean_formula(count: int) -> Formula:
    keys = tuple(f"x{i}" for i in range(count))
    text = f"({' + '.join('{' + key + '}' for key in keys)}) / {count}"
    return Formula(keys, text, (f"1/{count}",) * count, f"the mean of {count}")


def _pool(scope: Scope, x: Values, view: Window, kind: str) -> Values:
    """One unit for every position of the window and every channel; what lies in the padding is not there."""
    extent, channels = x.shape[:-1], x.shape[-1]
    shape = (*view.output, channels)
    outputs = []
    for position in indices(view.output):
        places = [place for _, place in view.taps(position, extent)]
        for c in range(channels):
            sources = [x.at(*place, c) for place in places]
            outputs.append(_unit(scope, scope.name((*position, c), shape), sources, kind))
    return Values(shape, outputs)


def _unit(scope: Scope, name: str, sources: list[int], kind: str) -> int:
    values = [scope.value(source) for source in sources]
    if kind == "max":
        result = largest(values)
        winner = scope.graph.nodes[sources[result[1].index(1.0)]].name
        return scope.formula(name, largest_formula(result[1]), sources, result, f"from {winner}")
    return scope.formula(name, mean_formula(len(sources)), sources, mean(values))


def _window(layer: Any, x: Values) -> Window:
    stride = layer.size if layer.stride is None else layer.stride
    return window(layer.size, stride, layer.padding, 1, x.shape[:-1])


@rule(MaxPool1D, MaxPool2D)
def max_pool(scope: Scope, layer: Any, x: Values) -> Values:
    scope.say(["the largest number of the window; only it gets the gradient"])
    return _pool(scope, x, _window(layer, x), "max")


@rule(AveragePool1D, AveragePool2D)
def average_pool(scope: Scope, layer: Any, x: Values) -> Values:
    scope.say(["the mean of the window (of what lies inside the input)"])
    return _pool(scope, x, _window(layer, x), "mean")


@rule(GlobalMaxPool)
def global_max_pool(scope: Scope, layer: GlobalMaxPool, x: Values) -> Values:
    scope.say(["the largest number of each channel; only it gets the gradient"])
    return _global(scope, x, "max")


@rule(GlobalAveragePool)
def global_average_pool(scope: Scope, layer: GlobalAveragePool, x: Values) -> Values:
    scope.say(["the mean of each channel"])
    return _global(scope, x, "mean")


def _global(scope: Scope, x: Values, kind: str) -> Values:
    shape = x.shape[-1:]
    positions = [nodes for _, nodes in x.positions()][: scope.counted(x, scope.row)]
    outputs = [
        _unit(scope, scope.name((c,), shape), [nodes[c] for nodes in positions], kind) for c in range(shape[0])
    ]
    return Values(shape, outputs)
