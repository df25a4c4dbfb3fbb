"""Every activation in plain Python, on one number at a time.

Each rule is a function with its local derivative directly below the forward expression, registered under its name
together with its formula, a template that is filled twice: with symbols, and with the numbers of one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

Row = Sequence[float]
Pair = tuple[float, float]


class ActivationRule(NamedTuple):
    """``compute(s)`` gives the value a and the derivative da/ds; of a whole row, and a Jacobian, where ``joint``."""

    compute: Callable[[Any], Any]
    formula: str
    slope: str
    joint: bool = False

    def row(self, sums: Row) -> tuple[list[float], list[float] | list[list[float]]]:
        """Values and derivatives of a layer; ``derivatives[i][j]`` is da_i/ds_j where ``joint``."""
        if self.joint:
            values, jacobian = self.compute(sums)
            return values, jacobian
        pairs = [self.compute(s) for s in sums]
        return [value for value, _ in pairs], [slope for _, slope in pairs]


ACTIVATION_RULES: dict[str, ActivationRule] = {}
_Compute = TypeVar("_Compute", bound=Callable[..., Any])


def _activation(formula: str, slope: str, *, joint: bool = False) -> Callable[[_Compute], _Compute]:
    def register(compute: _Compute) -> _Compute:
        ACTIVATION_RULES[compute.__name__] = ActivationRule(compute, formula, slope, joint)
        return compute

    return register


@_activation("{s}", "1")
def identity(s: float) -> Pair:
    value = s
    slope = 1.0
    return value, slope


@_activation("max(0, {s})", "(1 if {s} > 0 else 0)")
def relu(s: float) -> Pair:
    value = max(0.0, s)
    slope = 1.0 if s > 0 else 0.0
    return value, slope


@_activation("({s} if {s} > 0 else 0.01·{s})", "(1 if {s} > 0 else 0.01)")
def leaky_relu(s: float) -> Pair:
    value = s if s > 0 else 0.01 * s
    slope = 1.0 if s > 0 else 0.01
    return value, slope


@_activation("({s} if {s} > 0 else exp({s}) - 1)", "(1 if {s} > 0 else exp({s}))")
def elu(s: float) -> Pair:
    value = s if s > 0 else math.expm1(s)
    slope = 1.0 if s > 0 else math.exp(s)
    return value, slope


SELU_ALPHA = 1.6732632423543772  # Klambauer et al., 2017, Self-normalizing neural networks
SELU_SCALE = 1.0507009873554805


@_activation("1.0507·({s} if {s} > 0 else 1.6733·(exp({s}) - 1))", "1.0507·(1 if {s} > 0 else 1.6733·exp({s}))")
def selu(s: float) -> Pair:
    value = SELU_SCALE * (s if s > 0 else SELU_ALPHA * math.expm1(s))
    slope = SELU_SCALE * (1.0 if s > 0 else SELU_ALPHA * math.exp(s))
    return value, slope


@_activation("{s}·Φ({s})", "Φ({s}) + {s}·φ({s})")
def gelu(s: float) -> Pair:
    below = 0.5 * math.erfc(-s / math.sqrt(2))  # Φ, the normal distribution; φ is its density
    value = s * below
    slope = below + s * math.exp(-s * s / 2) / math.sqrt(2 * math.pi)
    return value, slope


@_activation("{s}·σ({s})", "σ({s}) + {a}·(1 - σ({s}))")
def silu(s: float) -> Pair:
    gate, _ = sigmoid(s)
    value = s * gate
    slope = gate + value * (1 - gate)
    return value, slope


@_activation("{s}·tanh(softplus({s}))", "tanh(softplus({s})) + {s}·(1 - tanh(softplus({s}))²)·σ({s})")
def mish(s: float) -> Pair:
    inner, gate = softplus(s)
    bounded, bend = tanh(inner)
    value = s * bounded
    slope = bounded + s * bend * gate
    return value, slope


@_activation("log(1 + exp({s}))", "σ({s})")
def softplus(s: float) -> Pair:
    value = max(s, 0.0) + math.log1p(math.exp(-abs(s)))
    slope, _ = sigmoid(s)
    return value, slope


@_activation("tanh({s})", "1 - {a}²")
def tanh(s: float) -> Pair:
    value = math.tanh(s)
    slope = 1 - value * value
    return value, slope


@_activation("1 / (1 + exp(-{s}))", "{a}·(1 - {a})")
def sigmoid(s: float) -> Pair:
    value = 1 / (1 + math.exp(-s)) if s >= 0 else math.exp(s) / (1 + math.exp(s))  # neither exp can overflow
    slope = value * (1 - value)
    return value, slope


@_activation("clip({s}/6 + 1/2, 0, 1)", "(1/6 if -3 < {s} < 3 else 0)")
def hard_sigmoid(s: float) -> Pair:
    value = min(max(s / 6 + 0.5, 0.0), 1.0)
    slope = 1 / 6 if -3 < s < 3 else 0.0
    return value, slope


@_activation("{s} / (1 + |{s}|)", "1 / (1 + |{s}|)²")
def softsign(s: float) -> Pair:
    value = s / (1 + abs(s))
    slope = 1 / ((1 + abs(s)) * (1 + abs(s)))
    return value, slope


def probabilities(sums: Row) -> list[float]:
    largest = max(sums)
    powers = [math.exp(s - largest) for s in sums]
    total = sum(powers)
    return [power / total for power in powers]


@_activation("exp({s}) / Σ exp(s)", "{a}·(1 - {a})", joint=True)
def softmax(sums: Row) -> tuple[list[float], list[list[float]]]:
    """Every value depends on every sum, so the derivative is the Jacobian da_i/ds_j = a_i·([i = j] - a_j)."""
    values = probabilities(sums)
    slopes = [[a_i * ((i == j) - a_j) for j, a_j in enumerate(values)] for i, a_i in enumerate(values)]
    return values, slopes
