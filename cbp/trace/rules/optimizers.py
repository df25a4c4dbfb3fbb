"""Every optimizer in plain Python, one parameter at a time.

A rule is a function registered under the name that an optimizer has for its arithmetic (``Optimizer.rule``), together with
its formulas and the symbols in them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from cbp.optimizers import Optimizer

State = Mapping[str, float]
_Compute = Callable[[Any, int, float, State], tuple[float, dict[str, float]]]


class OptimizerRule(NamedTuple):
    """``compute(spec, t, g, state)`` gives what is subtracted from the parameter, and the state after."""

    compute: _Compute
    update: str
    """The formula of what is subtracted; ``{slot_new}`` is a state slot after the step."""
    slots: dict[str, str]
    """The formula of every state slot."""
    symbols: dict[str, str]
    """How settings and slots are written."""

    def step(
        self, spec: Optimizer, t: int, w: float, g: float, state: State, decays: bool
    ) -> tuple[float, dict[str, float]]:
        """The parameter and its state after step ``t``; ``decays`` for weights, not for biases."""
        update, state_after = self.compute(spec, t, g, state)
        decay = cast(float, spec.rate) * spec.weight_decay * w if decays else 0.0
        return w - update - decay, state_after


OPTIMIZER_RULES: dict[str, OptimizerRule] = {}


def _optimizer(update: str, slots: dict[str, str], **symbols: str) -> Callable[[_Compute], _Compute]:
    def register(compute: _Compute) -> _Compute:
        known = {"rate": "η", **symbols, "weight_decay": "λ"}
        OPTIMIZER_RULES[compute.__name__] = OptimizerRule(compute, update, slots, known)
        return compute

    return register


@_optimizer("{rate}·{g}", {})
def sgd(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    return o.rate * g, {}


@_optimizer("{rate}·{velocity_new}", {"velocity": "{momentum}·{velocity} + {g}"}, momentum="μ", velocity="v")
def momentum(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    velocity = o.momentum * state["velocity"] + g
    return o.rate * velocity, {"velocity": velocity}


@_optimizer("{rate}·({g} + {momentum}·{velocity_new})", {"velocity": "{momentum}·{velocity} + {g}"}, momentum="μ", velocity="v")
def nesterov(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    velocity = o.momentum * state["velocity"] + g
    return o.rate * (g + o.momentum * velocity), {"velocity": velocity}


@_optimizer(
    "{rate}·({mean_new} / (1 - {beta1}^{t})) / (√({variance_new} / (1 - {beta2}^{t})) + {epsilon})",
    {"mean": "{beta1}·{mean} + (1 - {beta1})·{g}", "variance": "{beta2}·{variance} + (1 - {beta2})·{g}²"},
    beta1="β1", beta2="β2", epsilon="ε", mean="m", variance="v",
)
def adam(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    mean = o.beta1 * state["mean"] + (1 - o.beta1) * g
    variance = o.beta2 * state["variance"] + (1 - o.beta2) * g * g
    corrected_mean = mean / (1 - o.beta1**t)  # both averages start at 0: without this they would be too small at first
    corrected_variance = variance / (1 - o.beta2**t)
    update = o.rate * corrected_mean / (math.sqrt(corrected_variance) + o.epsilon)
    return update, {"mean": mean, "variance": variance}


@_optimizer(
    "{rate}·{g} / (√{variance_new} + {epsilon})", {"variance": "{rho}·{variance} + (1 - {rho})·{g}²"},
    rho="ρ", epsilon="ε", variance="v",
)
def rmsprop(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    variance = o.rho * state["variance"] + (1 - o.rho) * g * g
    return o.rate * g / (math.sqrt(variance) + o.epsilon), {"variance": variance}


@_optimizer("{rate}·{g} / (√{squares_new} + {epsilon})", {"squares": "{squares} + {g}²"}, epsilon="ε", squares="q")
def adagrad(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    squares = state["squares"] + g * g
    return o.rate * g / (math.sqrt(squares) + o.epsilon), {"squares": squares}


@_optimizer(
    "{rate}·sign({beta1}·{mean} + (1 - {beta1})·{g})", {"mean": "{beta2}·{mean} + (1 - {beta2})·{g}"},
    beta1="β1", beta2="β2", mean="m",
)
def lion(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    way = o.beta1 * state["mean"] + (1 - o.beta1) * g
    sign = math.copysign(1, way) if way else way
    return o.rate * sign, {"mean": o.beta2 * state["mean"] + (1 - o.beta2) * g}


@_optimizer(
    "{rate}·({mean_new} / (1 - {beta1}^{t})) / (√({largest_new} / (1 - {beta2}^{t})) + {epsilon})",
    {"mean": "{beta1}·{mean} + (1 - {beta1})·{g}", "variance": "{beta2}·{variance} + (1 - {beta2})·{g}²",
     "largest": "max({largest}, {variance_new})"},
    beta1="β1", beta2="β2", epsilon="ε", mean="m", variance="v", largest="u",
)
def amsgrad(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    _, averages = adam(o, t, g, state)
    largest = max(state["largest"], averages["variance"])
    root = math.sqrt(largest / (1 - o.beta2**t))
    return o.rate * averages["mean"] / (1 - o.beta1**t) / (root + o.epsilon), {**averages, "largest": largest}


@_optimizer(
    "{size_new}·sign({gradient_new})",
    {"size": "({size} if {g} == 0 else max({shortest}, min({longest}, ({size} if {size} > 0 else {rate})"
             "·(({grow} if {gradient}·{g} > 0 else 0) + ({shrink} if {gradient}·{g} < 0 else 0)"
             " + (1 if {gradient}·{g} == 0 else 0)))))",
     "gradient": "(0 if {gradient}·{g} < 0 else {g})"},
    grow="η+", shrink="η-", shortest="smin", longest="smax", size="s", gradient="h",
)
def rprop(o: Any, t: int, g: float, state: State) -> tuple[float, dict[str, float]]:
    sign, before = (math.copysign(1, number) if number else 0.0 for number in (g, state["gradient"]))
    factor = {1.0: o.grow, -1.0: o.shrink}.get(sign * before, 1.0)
    size = max(o.shortest, min(o.longest, (state["size"] or o.rate) * factor)) if g else state["size"]
    if sign * before < 0:
        return 0.0, {"gradient": 0.0, "size": size}
    return size * sign, {"gradient": g, "size": size}
