"""The rules that a trace follows: every activation, loss and optimizer in plain Python, on one number at a time.

Each rule is a function with its local derivative directly below the forward expression, registered under its name
together with its formula. A formula is a template that is filled twice: with symbols, and with the numbers of one step.
Nothing here is shared with the compiled core, so the two can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from cbp.optimizers import Optimizer

__all__ = ["ACTIVATION_RULES", "FUSED_RULES", "LOSS_RULES", "OPTIMIZER_RULES"]

Row = Sequence[float]
Pair = tuple[float, float]


# ------------------------------------------------------------------------------------------------------ activations


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


def _activation(formula: str, slope: str) -> Callable[[Callable[[float], Pair]], Callable[[float], Pair]]:
    def register(compute: Callable[[float], Pair]) -> Callable[[float], Pair]:
        ACTIVATION_RULES[compute.__name__] = ActivationRule(compute, formula, slope)
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


def _probabilities(sums: Row) -> list[float]:
    largest = max(sums)
    powers = [math.exp(s - largest) for s in sums]
    total = sum(powers)
    return [power / total for power in powers]


def softmax(sums: Row) -> tuple[list[float], list[list[float]]]:
    """Every value depends on every sum, so the derivative is the Jacobian da_i/ds_j = a_i·([i = j] - a_j)."""
    values = _probabilities(sums)
    slopes = [[a_i * ((i == j) - a_j) for j, a_j in enumerate(values)] for i, a_i in enumerate(values)]
    return values, slopes


ACTIVATION_RULES["softmax"] = ActivationRule(softmax, "exp({s}) / Σ exp(s)", "{a}·(1 - {a})", joint=True)


# ----------------------------------------------------------------------------------------------------------- losses


class Constants(NamedTuple):
    """What the losses need beside outputs and targets: huber's bend, and the smallest probability."""

    delta: float
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
    e = p - y
    part = e * e / 2 if abs(e) <= c.delta else c.delta * (abs(e) - c.delta / 2)
    slope = e if abs(e) <= c.delta else c.delta * _sign(e)
    return part, slope


def _clip(p: float, tiny: float) -> float:
    return min(max(p, tiny), 1 - tiny)


@_loss("mean", "-{y}·log({p}) - (1 - {y})·log(1 - {p})", "({p} - {y}) / ({p}·(1 - {p}))")
def binary_cross_entropy(p: float, y: float, c: Constants) -> Pair:
    p = _clip(p, c.tiny)
    part = -y * math.log(p) - (1 - y) * math.log1p(-p)
    slope = (p - y) / (p * (1 - p))
    return part, slope


@_loss("sum", "-{y}·log({p})", "-{y} / {p}")
def cross_entropy(p: float, y: float, c: Constants) -> Pair:
    p = _clip(p, c.tiny)
    part = -y * math.log(p)
    slope = -y / p
    return part, slope


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


# An activation and the loss made for it are one step: log and exp cancel, and of the two derivatives p - y is left.


class FusedRule(NamedTuple):
    """``compute(sums, targets)`` gives the loss of one row and its derivative by every sum."""

    compute: Callable[[Row, Row], tuple[float, list[float]]]
    delta: str


def softmax_cross_entropy(sums: Row, y: Row) -> tuple[float, list[float]]:
    largest = max(sums)
    log_total = largest + math.log(sum(math.exp(s - largest) for s in sums))
    loss = sum(y_i * (log_total - s) for s, y_i in zip(sums, y, strict=True))
    deltas = [p * sum(y) - y_i for p, y_i in zip(_probabilities(sums), y, strict=True)]
    return loss, deltas


def sigmoid_binary_cross_entropy(sums: Row, y: Row) -> tuple[float, list[float]]:
    loss = sum(softplus(s)[0] - y_i * s for s, y_i in zip(sums, y, strict=True)) / len(y)
    deltas = [(sigmoid(s)[0] - y_i) / len(y) for s, y_i in zip(sums, y, strict=True)]
    return loss, deltas


FUSED_RULES: dict[tuple[str, str], FusedRule] = {
    ("softmax", "cross_entropy"): FusedRule(softmax_cross_entropy, "{p} - {y}"),
    ("sigmoid", "binary_cross_entropy"): FusedRule(sigmoid_binary_cross_entropy, "{p} - {y}"),
}


# ------------------------------------------------------------------------------------------------------- optimizers


class OptimizerRule(NamedTuple):
    """``compute(spec, t, g, state)`` gives what is subtracted from the parameter, and the state after."""

    compute: Callable[[Any, int, float, Mapping[str, float]], tuple[float, dict[str, float]]]
    formulas: Callable[[Any], dict[str, str]]
    """``formulas(spec)``: the formula of every state slot and of ``"update"``; ``{slot_new}`` is the slot after it."""

    def step(
        self, spec: Optimizer, t: int, w: float, g: float, state: Mapping[str, float], decays: bool
    ) -> tuple[float, dict[str, float]]:
        """The parameter and its state after step ``t``; ``decays`` for weights, not for biases."""
        update, state_after = self.compute(spec, t, g, state)
        decay = spec.rate * spec.weight_decay * w if decays else 0.0
        return w - update - decay, state_after


def sgd(o: Any, t: int, g: float, state: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    if not o.momentum:
        return o.rate * g, {}
    velocity = o.momentum * state["velocity"] + g
    ahead = g + o.momentum * velocity if o.nesterov else velocity
    return o.rate * ahead, {"velocity": velocity}


def _sgd_formulas(o: Any) -> dict[str, str]:
    if not o.momentum:
        return {"update": "{rate}·{g}"}
    ahead = "({g} + {momentum}·{velocity_new})" if o.nesterov else "{velocity_new}"
    return {"velocity": "{momentum}·{velocity} + {g}", "update": "{rate}·" + ahead}


def adam(o: Any, t: int, g: float, state: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    mean = o.beta1 * state["mean"] + (1 - o.beta1) * g
    variance = o.beta2 * state["variance"] + (1 - o.beta2) * g * g
    corrected_mean = mean / (1 - o.beta1**t)  # both averages start at 0: without this they would be too small at first
    corrected_variance = variance / (1 - o.beta2**t)
    update = o.rate * corrected_mean / (math.sqrt(corrected_variance) + o.epsilon)
    return update, {"mean": mean, "variance": variance}


def _adam_formulas(_: Any) -> dict[str, str]:
    return {
        "mean": "{beta1}·{mean} + (1 - {beta1})·{g}",
        "variance": "{beta2}·{variance} + (1 - {beta2})·{g}²",
        "update": "{rate}·({mean_new} / (1 - {beta1}^{t})) / (√({variance_new} / (1 - {beta2}^{t})) + {epsilon})",
    }


def rmsprop(o: Any, t: int, g: float, state: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    variance = o.rho * state["variance"] + (1 - o.rho) * g * g
    return o.rate * g / (math.sqrt(variance) + o.epsilon), {"variance": variance}


def _rmsprop_formulas(_: Any) -> dict[str, str]:
    return {
        "variance": "{rho}·{variance} + (1 - {rho})·{g}²",
        "update": "{rate}·{g} / (√{variance_new} + {epsilon})",
    }


def adagrad(o: Any, t: int, g: float, state: Mapping[str, float]) -> tuple[float, dict[str, float]]:
    squares = state["squares"] + g * g
    return o.rate * g / (math.sqrt(squares) + o.epsilon), {"squares": squares}


def _adagrad_formulas(_: Any) -> dict[str, str]:
    return {"squares": "{squares} + {g}²", "update": "{rate}·{g} / (√{squares_new} + {epsilon})"}


OPTIMIZER_RULES: dict[str, OptimizerRule] = {
    "sgd": OptimizerRule(sgd, _sgd_formulas),
    "adam": OptimizerRule(adam, _adam_formulas),
    "adamw": OptimizerRule(adam, _adam_formulas),
    "rmsprop": OptimizerRule(rmsprop, _rmsprop_formulas),
    "adagrad": OptimizerRule(adagrad, _adagrad_formulas),
}
