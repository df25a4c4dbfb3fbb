"""Normalisation: numbers with mean 0 and variance 1, then a scale γ and a shift β that are learned.

Mean and variance depend on all numbers that are normalised, so the gradient flows through them as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cbp.layers import BatchNorm, LayerNorm
from cbp.trace.graph import Formula, Place
from cbp.trace.layers.pooling import mean, mean_formula
from cbp.trace.layers.registry import batch_rule, rule
from cbp.trace.layers.scope import Scope, Values


def variance(values: Sequence[float], center: float) -> tuple[float, list[float]]:
    """The mean of the squared distances, with its derivative by every value, and by the center (0: the distances cancel)."""
    value = sum((x - center) * (x - center) for x in values) / len(values)
    slopes = [2 * (x - center) / len(values) for x in values] + [-2 * sum(x - center for x in values) / len(values)]
    return value, slopes


def normalised(x: float, center: float, spread: float, epsilon: float) -> tuple[float, tuple[float, ...]]:
    root = math.sqrt(spread + epsilon)
    value = (x - center) / root
    slopes = (1 / root, -1 / root, -value / (2 * (spread + epsilon)))
    return value, slopes


NORMALISED = Formula(
    ("x", "μ", "v"), "({x} - {μ}) / √({v} + {ε})",
    ("1/√({v} + {ε})", "-1/√({v} + {ε})", "-({x} - {μ}) / (2·√({v} + {ε})³)"),
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


def _unit(
    scope: Scope, node: int, moments: tuple[int, int], epsilon: float, names: tuple[str, str],
    scale: tuple[Place | None, Place | None, int],
) -> int:
    """(x - μ) / √(v + ε), then γ·x̂ + β."""
    x, center, spread = scope.value(node), scope.value(moments[0]), scope.value(moments[1])
    made = scope.formula(
        names[0], NORMALISED, [node, *moments], normalised(x, center, spread, epsilon), ε=epsilon
    )
    gamma, beta, c = scale
    assert gamma is not None
    return scope.sum(names[1], [made], [gamma.number(c)], beta.number(c) if beta else None)


LINES = ["x̂ = (x - μ) / √(v + ε),   h = γ·x̂ + β"]


@batch_rule(BatchNorm)
def batch_norm(scope: Scope, layer: BatchNorm, batch: list[Values]) -> list[Values]:
    """Mean and variance of each channel over all rows and positions of the batch.

    (Ioffe & Szegedy, 2015, Batch normalization.) The running statistics, which take part at prediction only, move by
    ``momentum`` towards those of the batch; theirs is the unbiased variance.
    """
    gamma, beta = scope.symbols("scale", "γ"), scope.symbols("shift", "β")
    channels, count = batch[0].shape[-1], len(batch) * len(batch[0].nodes) // batch[0].shape[-1]
    scope.row, scope.group = -1, "over the batch"
    moments = [
        _moments(scope, [node for values in batch for node in values.nodes[c::channels]], f"[{c + 1}]")
        for c in range(channels)
    ]
    scope.group = ""
    scope.graph.statistics |= {
        f"{scope.prefix}mean": [scope.value(center) for center, _ in moments],
        f"{scope.prefix}variance": [scope.value(spread) * count / max(count - 1, 1) for _, spread in moments],
    }
    scope.say([f"mean μ and variance v of every channel, over {count} numbers of the batch", *LINES])
    outputs = []
    for row, values in enumerate(batch):
        scope.row = row
        nodes = []
        for position, sources in values.positions():
            for c, node in enumerate(sources):
                names = tuple(scope.name((*position, c), values.shape, base) for base in ("x̂", "h"))
                nodes.append(_unit(scope, node, moments[c], layer.epsilon, (names[0], names[1]), (gamma, beta, c)))
        outputs.append(Values(values.shape, nodes))
    return outputs


@rule(LayerNorm)
def layer_norm(scope: Scope, layer: LayerNorm, x: Values) -> Values:
    """Mean and variance of the channels at each position. (Ba et al., 2016, Layer normalization.)"""
    gamma, beta = scope.symbols("scale", "γ"), scope.symbols("shift", "β")
    scope.say([f"mean μ and variance v of the {x.shape[-1]} channels of each position", *LINES])
    outputs = []
    for position, sources in x.positions():
        end = f"[{','.join(str(i + 1) for i in position)}]" if position else ""
        moments = _moments(scope, sources, end)
        for c, node in enumerate(sources):
            names = tuple(scope.name((*position, c), x.shape, base) for base in ("x̂", "h"))
            outputs.append(_unit(scope, node, moments, layer.epsilon, (names[0], names[1]), (gamma, beta, c)))
    return Values(x.shape, outputs)
