"""Normalisation: numbers with mean 0 and variance 1, then a scale γ and a shift β that are learned.

Mean and variance depend on all numbers that are normalised, so the gradient flows through them as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cbp.layers import BatchNorm, GroupNorm, LayerNorm
from cbp.trace.graph import Formula
from cbp.trace.layers.pooling import mean, mean_formula
from cbp.trace.layers.registry import batch_rule, rule
from cbp.trace.layers.scope import Scope, Values


def variance(values: Sequence[float], center: float) -> tuple[float, list[float]]:
    """The mean of the squared distances, with its derivative by every value, and by the center: 0, the distances cancel."""
    value = sum((x - center) * (x - center) for x in values) / len(values)
    slopes = [2 * (x - center) / len(values) for x in values] + [0.0]
    return value, slopes


def normalised(x: float, center: float, spread: float, epsilon: float) -> tuple[float, tuple[float, ...]]:
    root = math.sqrt(spread + epsilon)
    value = (x - center) / root
    slopes = (1 / root, -1 / root, -value / (2 * (spread + epsilon)))
    return value, slopes


NORMALISED = Formula(
    ("x", "μ", "v"), "({x} - {μ}) / √({v} + {ε})",
    ("1/√({v} + {ε})", "-1/√({v} + {ε})", "-{self}/(2·({v} + {ε}))"),
)  # fmt: skip


def variance_formula(count: int) -> Formula:
    keys = tuple(f"x{i}" for i in range(count))
    slopes = tuple(f"2·({{{key}}} - {{μ}})/{count}" for key in keys)
    text = f"({' + '.join('({' + key + '} - {μ})²' for key in keys)}) / {count}"
    return Formula((*keys, "μ"), text, (*slopes, "0"), f"the mean of {count} squared distances from {{μ}}")


def _moments(scope: Scope, sources: Sequence[int], end: str) -> tuple[int, int]:
    """Nodes of mean and variance of the sources."""
    values = [scope.value(source) for source in sources]
    center = scope.formula(f"μ{scope.tag}{end}", mean_formula(len(values)), sources, mean(values))
    spread = scope.formula(
        f"v{scope.tag}{end}", variance_formula(len(values)), [*sources, center], variance(values, scope.value(center))
    )
    return center, spread


def _units(
    scope: Scope, layer: BatchNorm | LayerNorm | GroupNorm, x: Values, position: tuple[int, ...], sources: Sequence[int],
    moments: Sequence[tuple[int, int]],
) -> list[int]:
    """(x - μ) / √(v + ε), then γ·x̂ + β, of the channels of one position; ``moments``: the nodes of every channel's μ and v."""
    gamma, beta = scope.symbols("scale", "γ"), scope.symbols("shift", "β")
    assert gamma is not None
    assert beta is not None
    names = [[scope.name((*position, c), x.shape, base) for c in range(x.shape[-1])] for base in ("x̂", "h")]
    made = []
    for name, *three in zip(names[0], sources, *zip(*moments, strict=True), strict=True):
        node, center, spread = map(scope.value, three)
        result = normalised(node, center, spread, layer.epsilon)
        made.append(scope.formula(name, NORMALISED, three, result, ε=layer.epsilon))
    units = [scope.sum(name, [made[c]], [gamma.number(c)], beta.number(c)) for c, name in enumerate(names[1])]
    scope.graph.activate(units, layer.activation)
    return units


LINES = ["x̂ = (x - μ) / √(v + ε),   s = γ·x̂ + β"]


@batch_rule(BatchNorm)
def batch_norm(scope: Scope, layer: BatchNorm, batch: list[Values]) -> list[Values]:
    """Mean and variance of each channel over all positions of all rows, but for rows of weight 0 and steps that do not count.

    (Ioffe & Szegedy, 2015, Batch normalization.)
    """
    channels = batch[0].shape[-1]
    rows = [row for row in range(len(batch)) if scope.given.weights[row]]
    counted = [batch[row].nodes[: scope.counted(batch[row], row) * channels] for row in rows]
    count = sum(map(len, counted)) // channels
    scope.row, outer = -1, scope.group
    if count > 1 and not scope.given.frozen.issuperset({f"{scope.prefix}scale", f"{scope.prefix}shift"}):
        scope.group = scope.within("over the batch")
        columns = [[node for nodes in counted for node in nodes[c::channels]] for c in range(channels)]
        moments = [_moments(scope, column, f"[{c + 1}]") for c, column in enumerate(columns)]
        _remember(scope, moments, count, layer.momentum)
        scope.say([f"mean μ and variance v of every channel, over {count} numbers of the batch", *LINES])
    else:
        moments = _remembered(scope, channels)
        scope.say(LINES)
    scope.group = outer
    outputs = []
    for scope.row, values in enumerate(batch):
        positions = values.positions()
        outputs.append(values.like([u for at, nodes in positions for u in _units(scope, layer, values, at, nodes, moments)]))
    return outputs


def _remember(scope: Scope, moments: Sequence[tuple[int, int]], count: int, momentum: float) -> None:
    """What the running statistics, which take part at prediction, move towards; their variance is the unbiased one."""
    found = {
        "mean": [scope.value(center) for center, _ in moments],
        "variance": [scope.value(spread) * count / (count - 1) for _, spread in moments],
    }
    scope.graph.statistics |= {f"{scope.prefix}{name}": (momentum, values) for name, values in found.items()}


def _remembered(scope: Scope, channels: int) -> list[tuple[int, int]]:
    """The running statistics, as numbers on which no parameter acts."""
    pairs = zip(scope.given.statistics[f"{scope.prefix}mean"], scope.given.statistics[f"{scope.prefix}variance"], strict=True)
    return [
        (scope.constant(f"μ{scope.tag}[{c + 1}]", center), scope.constant(f"v{scope.tag}[{c + 1}]", spread))
        for c, (center, spread) in zip(range(channels), pairs, strict=True)
    ]


@rule(LayerNorm)
def layer_norm(scope: Scope, layer: LayerNorm, x: Values) -> Values:
    """Mean and variance of the channels at each position. (Ba et al., 2016, Layer normalization.)"""
    where = " of each position" if len(x.shape) > 1 else ""
    scope.say([f"mean μ and variance v of the {x.shape[-1]} channels{where}", *LINES])
    outputs = []
    for position, sources in x.positions():
        end = f"[{','.join(str(i + 1) for i in position)}]" if position else ""
        moments = _moments(scope, sources, end)
        outputs += _units(scope, layer, x, position, sources, [moments] * len(sources))
    return x.like(outputs)


@rule(GroupNorm)
def group_norm(scope: Scope, layer: GroupNorm, x: Values) -> Values:
    """Mean and variance of some channels of a row, over all positions. (Wu & He, 2018, Group normalization.)"""
    size = x.shape[-1] // layer.groups
    where = " at all positions" if len(x.shape) > 1 else ""
    scope.say([f"mean μ and variance v of every group of {size} channels{where}", *LINES])
    moments = []
    for c in range(0, x.shape[-1], size):
        sources = [node for _, nodes in x.positions() for node in nodes[c : c + size]]
        moments += [_moments(scope, sources, f"[{c // size + 1}]")] * size
    return x.like([unit for at, nodes in x.positions() for unit in _units(scope, layer, x, at, nodes, moments)])
