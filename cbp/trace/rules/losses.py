"""Every loss in plain Python, one output at a time, and the pairs of activation and loss that are one step.

As in activations.py the derivative stands directly below the forward expression; formulas are filled with the parameters
of the loss too, under their names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from cbp.trace.rules.activations import Pair, Row, probabilities, sigmoid, softplus

TINY = {"float32": 1e-7, "float64": 1e-15}
"""The smallest number whose logarithm is taken, by the network's dtype."""


class Constants(NamedTuple):
    """What the losses need beside outputs and targets: the loss with its parameters, and the smallest probability."""

    loss: Any
    tiny: float


class LossRule(NamedTuple):
    """``compute(p, y, constants)`` gives one output's part l of the loss and dl/dp; a row's loss is the sum or mean."""

    compute: Callable[[float, float, Constants], Pair]
    mean: bool
    formula: str
    slope: str

    def row(self, outputs: Row, targets: Row, constants: Constants) -> tuple[float, list[float]]:
        """The loss of one row and its derivative by every output."""
        pairs = [self.compute(p, y, constants) for p, y in zip(outputs, targets, strict=True)]
        share = 1 / len(pairs) if self.mean else 1.0
        return share * sum(part for part, _ in pairs), [share * slope for _, slope in pairs]


LOSS_RULES: dict[str, LossRule] = {}
_LossFunction = Callable[[float, float, Constants], Pair]


def _loss(reduction: str, formula: str, slope: str) -> Callable[[_LossFunction], _LossFunction]:
    def register(compute: _LossFunction) -> _LossFunction:
        LOSS_RULES[compute.__name__] = LossRule(compute, reduction == "mean", formula, slope)
        return compute

    return register


class FusedRule(NamedTuple):
    """An activation and the loss made for it as one step: log and exp cancel, and of the two derivatives p - y is left.
    ``compute(sums, targets)`` gives the loss of one row and its derivative by every sum."""

    compute: Callable[[Row, Row], tuple[float, list[float]]]
    delta: str


FUSED_RULES: dict[tuple[str, str], FusedRule] = {}
_FusedFunction = Callable[[Row, Row], tuple[float, list[float]]]


def _fused(activation: str, loss: str, delta: str) -> Callable[[_FusedFunction], _FusedFunction]:
    def register(compute: _FusedFunction) -> _FusedFunction:
        FUSED_RULES[activation, loss] = FusedRule(compute, delta)
        return compute

    return register


def _sign(number: float) -> float:
    return (number > 0) - (number < 0) + 0.0


@_loss("mean", "({p} - {y})²", "2·({p} - {y})")
def mean_squared_error(p: float, y: float, _: Constants) -> Pair:
    part = (p - y) * (p - y)
    slope = 2 * (p - y)
    return part, slope


@_loss("sum", "({p} - {y})² / 2", "{p} - {y}")
def half_squared_error(p: float, y: float, _: Constants) -> Pair:
    part = (p - y) * (p - y) / 2
    slope = p - y
    return part, slope


@_loss("mean", "|{p} - {y}|", "sign({p} - {y})")
def mean_absolute_error(p: float, y: float, _: Constants) -> Pair:
    part = abs(p - y)
    slope = _sign(p - y)
    return part, slope


@_loss("mean", "(e²/2 if |e| <= {delta} else {delta}·(|e| - {delta}/2) for e = {p} - {y})",
       "clip({p} - {y}, -{delta}, {delta})")
def huber(p: float, y: float, c: Constants) -> Pair:
    e, delta = p - y, c.loss.delta
    part = e * e / 2 if abs(e) <= delta else delta * (abs(e) - delta / 2)
    slope = e if abs(e) <= delta else delta * _sign(e)
    return part, slope


@_loss("mean", "max({tau}·({y} - {p}), ({tau} - 1)·({y} - {p}))", "(-{tau} if {p} < {y} else 1 - {tau} if {y} < {p} else 0)")
def quantile(p: float, y: float, c: Constants) -> Pair:
    e, tau = y - p, c.loss.tau
    part = max(tau * e, (tau - 1) * e)
    slope = -tau if e > 0 else 1 - tau if e < 0 else 0.0
    return part, slope


def _clip(p: float, tiny: float) -> float:
    return min(max(p, tiny), 1 - tiny)


@_loss("mean", "-{y}·log({p}) - (1 - {y})·log(1 - {p})", "({p} - {y}) / ({p}·(1 - {p}))")
def binary_cross_entropy(p: float, y: float, c: Constants) -> Pair:
    p = _clip(p, c.tiny)
    part = -y * math.log(p) - (1 - y) * math.log1p(-p)
    slope = (p - y) / (p * (1 - p))
    return part, slope


@_fused("sigmoid", "binary_cross_entropy", "{p} - {y}")
def sigmoid_binary_cross_entropy(sums: Row, y: Row) -> tuple[float, list[float]]:
    loss = sum(softplus(s)[0] - y_i * s for s, y_i in zip(sums, y, strict=True)) / len(y)
    deltas = [(sigmoid(s)[0] - y_i) / len(y) for s, y_i in zip(sums, y, strict=True)]
    return loss, deltas


@_loss("sum", "-{y}·log({p})", "-{y} / {p}")
def cross_entropy(p: float, y: float, c: Constants) -> Pair:
    p = _clip(p, c.tiny)
    part = -y * math.log(p)
    slope = -y / p
    return part, slope


@_fused("softmax", "cross_entropy", "{p} - {y}")
def softmax_cross_entropy(sums: Row, y: Row) -> tuple[float, list[float]]:
    largest = max(sums)
    log_total = largest + math.log(sum(math.exp(s - largest) for s in sums))
    loss = sum(y_i * (log_total - s) for s, y_i in zip(sums, y, strict=True))
    deltas = [p * sum(y) - y_i for p, y_i in zip(probabilities(sums), y, strict=True)]
    return loss, deltas


@_loss("mean", "{p} - {y}·log({p})", "1 - {y} / {p}")
def poisson(p: float, y: float, c: Constants) -> Pair:
    p = max(p, c.tiny)
    part = p - y * math.log(p)
    slope = 1 - y / p
    return part, slope


@_loss("mean", "max(0, 1 - {y}·{p})", "(-{y} if {y}·{p} < 1 else 0)")
def hinge(p: float, y: float, _: Constants) -> Pair:
    part = max(0.0, 1 - y * p)
    slope = -y if y * p < 1 else 0.0
    return part, slope
