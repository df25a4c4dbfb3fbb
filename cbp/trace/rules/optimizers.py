"""Every optimizer in plain Python, one parameter at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from cbp.optimizers import Optimizer


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
