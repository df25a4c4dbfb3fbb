"""What the tests know of every activation, loss, optimizer, schedule and layer, whatever the package says of them: a row each.

Every list in the tests derives from these rows. Whoever adds a member of a family adds its row, and every contract of the
tests runs through it; a public member without one is a failed test (``house/test_facts.py``).

What PyTorch computes is named by functions of ``torch``, because the tests run without PyTorch too.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from math import cos, erfc, pi, sqrt
from typing import Any

import numpy as np
from oracles.decimals import below, clip, density, expm1, sigmoid, softplus, tanh

import cbp

# --- activations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Activation:
    """f and its derivative, and what is to be expected of the kernel."""

    module: Callable | None = None
    """PyTorch's module, from ``torch.nn``; None where it has none."""
    function: Callable | None = None
    """(torch, z) -> f(z), where there is no module, or it will not do."""
    numpy: Callable
    """f of an array."""
    value: Callable[[Decimal], Decimal] | None = None
    """f; None for softmax, whose values depend on all sums of a row and which has tests of its own."""
    slope: Callable[[Decimal], Any] | None = None
    """f', away from kinks."""
    kinks: dict[float, float] = field(default_factory=dict)
    """Where f' or f'' jumps, and what is f' there."""
    ulps: Any = 0
    """Allowed error of f in units in the last place; a function of x where it grows."""
    eps: Any = 2
    """Allowed error of f' in units of the last place of 1."""
    reach: float | None = None
    """How far from 0 the error is looked at; None: wherever neither e^x nor e^-x overflows."""
    nan_at_infinity: bool = False
    """Whether f multiplies or divides two infinities there, or one and 0. That gives NaN, as PyTorch's do: an infinite sum
    means that the training has diverged, and NaN does not hide it."""
    init: str = "glorot_uniform"
    """The initializer that suits it."""

    @cached_property
    def range(self):
        """(least, largest) value, found at many points."""
        if self.value is None:
            return 0.0, 1.0
        near = [Decimal(n) / 32 for n in range(-320, 321)]
        found = [float(self.value(x)) for x in [*near, Decimal("-1e400"), Decimal("1e400")]]
        return min(found), max(found)

    @property
    def limits(self):
        """f(-inf) and f(inf)"""
        return float(self.value(Decimal("-1e400"))), float(self.value(Decimal("1e400")))


ALPHA, SCALE = Decimal("1.6732632423543772848170429916717"), Decimal("1.0507009873554804934193349852946")


def logistic(z):
    return np.exp(-np.logaddexp(0, -z))


def shares(z):
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def normal(z):
    """The normal distribution."""
    return np.vectorize(lambda x: erfc(-x / sqrt(2)) / 2, otypes=[float])(z)


# The worst error that was found in any build and dtype stands behind the allowed one.
ACTIVATIONS = {
    "identity": Activation(
        numpy=lambda z: z,
        value=lambda x: x, slope=lambda x: 1, module=lambda nn: nn.Identity(),
    ),
    "relu": Activation(
        numpy=lambda z: np.maximum(z, 0),
        value=lambda x: max(x, Decimal(0)), slope=lambda x: int(x > 0), kinks={0.0: 0.0}, init="he_normal",
        module=lambda nn: nn.ReLU(),
    ),
    "leaky_relu": Activation(
        numpy=lambda z: np.where(z > 0, z, z / 100),
        value=lambda x: x if x > 0 else x / 100, slope=lambda x: 1 if x > 0 else Decimal("0.01"), kinks={0.0: 0.01},
        ulps=1,  # 0.84
        init="he_normal", module=lambda nn: nn.LeakyReLU(),
    ),
    "elu": Activation(
        numpy=lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0))),
        value=lambda x: x if x > 0 else expm1(x), slope=lambda x: 1 if x > 0 else x.exp(), kinks={0.0: 1.0},
        ulps=2,  # 1.2
        init="he_normal", module=lambda nn: nn.ELU(),
    ),
    "selu": Activation(
        numpy=lambda z: float(SCALE) * np.where(z > 0, z, float(ALPHA) * np.expm1(np.minimum(z, 0))),
        value=lambda x: SCALE * (x if x > 0 else ALPHA * expm1(x)),
        slope=lambda x: SCALE * (1 if x > 0 else ALPHA * x.exp()), kinks={0.0: float(SCALE * ALPHA)},
        ulps=4,  # 3.0
        eps=4, init="lecun_normal", module=lambda nn: nn.SELU(),
    ),
    "gelu": Activation(
        numpy=lambda z: z * normal(z),
        value=lambda x: x * below(x), slope=lambda x: below(x) + x * density(x),
        # At z < 0 the rounding of z² in e^(-z²/2) is multiplied by z²: 17 were found down to -5, 48 down to -8; 1.7 at z > 0.
        ulps=lambda x: np.where(x > 0, 3, 6 + 2 * x**2), reach=8,
        nan_at_infinity=True, init="he_normal", module=lambda nn: nn.GELU(),
    ),
    "silu": Activation(
        numpy=lambda z: z * logistic(z),
        value=lambda x: x * sigmoid(x), slope=lambda x: sigmoid(x) * (1 + x * sigmoid(-x)),
        ulps=3.5,  # 2.7
        eps=lambda x: 2 + np.abs(x),  # a difference of numbers near x
        nan_at_infinity=True, init="he_normal", module=lambda nn: nn.SiLU(),
    ),
    "mish": Activation(
        numpy=lambda z: z * np.tanh(np.logaddexp(0, z)),
        value=lambda x: x * tanh(softplus(x)),
        slope=lambda x: tanh(softplus(x)) + x * (1 - tanh(softplus(x)) ** 2) * sigmoid(x),
        ulps=4.5, reach=760,  # 4.0, also where e^z is subnormal or 0
        nan_at_infinity=True, init="he_normal", module=lambda nn: nn.Mish(),
    ),
    "softplus": Activation(
        numpy=lambda z: np.logaddexp(0, z),
        value=softplus, slope=sigmoid,
        ulps=3.5,  # 2.8
        module=lambda nn: nn.Softplus(),
        function=lambda torch, z: torch.nn.functional.softplus(z, threshold=500),  # the module turns into a line at 20
    ),
    "tanh": Activation(
        numpy=np.tanh,
        value=tanh, slope=lambda x: 1 - tanh(x) ** 2,
        ulps=2,  # 1.4
        module=lambda nn: nn.Tanh(),
    ),
    "sigmoid": Activation(
        numpy=logistic,
        value=sigmoid, slope=lambda x: sigmoid(x) * sigmoid(-x),
        ulps=3,  # 2.3
        module=lambda nn: nn.Sigmoid(),
    ),
    "hard_sigmoid": Activation(
        numpy=lambda z: np.clip(z / 6 + 0.5, 0, 1),
        value=lambda x: clip(x / 6 + Decimal("0.5")), slope=lambda x: 1 / Decimal(6) if abs(x) < 3 else 0,
        kinks={-3.0: 0.0, 3.0: 0.0},
        ulps=2,  # 1.3
        module=lambda nn: nn.Hardsigmoid(),
        function=lambda torch, z: (z / 6 + 0.5).clamp(0, 1),  # the module's derivative is the 1/6 of float32 in float64 too
    ),
    "softsign": Activation(
        numpy=lambda z: z / (1 + np.abs(z)),
        value=lambda x: x / (1 + abs(x)), slope=lambda x: 1 / (1 + abs(x)) ** 2, kinks={0.0: 1.0},
        ulps=2,  # 1.5
        nan_at_infinity=True, module=lambda nn: nn.Softsign(),
    ),
    "softmax": Activation(numpy=shares, module=lambda nn: nn.Softmax(dim=-1)),
}  # fmt: skip

ELEMENTWISE = {name: row for name, row in ACTIVATIONS.items() if row.value}

# --- losses -----------------------------------------------------------------------------------------------------------

NUMBERS = (-np.inf, np.inf)


def numbers(rng, rows, units):
    return rng.normal(size=(rows, units))


def classes(rng, rows, units):
    """Labels or probabilities, by chance."""
    return rng.integers(units, size=rows) if rng.random() < 0.5 else rng.dirichlet(np.ones(units), size=rows)


def error(p, y):
    return np.abs(p - y).mean(1)


def spread(y, units):
    """Rows of probabilities, also for labels."""
    return np.eye(units)[y] if y.ndim == 1 else y


def clipped(p):
    return p.clamp(1e-15, 1 - 1e-15)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """What a loss is of every sample, and for which outputs and targets it is defined."""

    value: Callable
    """(the loss, p, y) -> the loss of every row, in NumPy."""
    torch: Callable
    """(F, the loss, z, p, y) -> the same, from the sums or the outputs of the last layer; F is ``torch.nn.functional``."""
    targets: Callable = numbers
    """(rng, rows, units) -> targets that it is defined for."""
    range: tuple[float, float] = NUMBERS
    """Where outputs must lie."""
    distribution: bool = False
    """Whether the outputs must be probabilities that add up to 1."""
    output: str = "identity"
    """The usual activation of the last layer."""
    fused: bool = False
    """Whether the core computes loss and usual activation together, from the sums."""
    torch_fused: Callable | None = None
    """(F, the loss, z, y) where PyTorch has a function of the sums behind the usual activation."""
    metric: str = "mean_absolute_error"
    measure: Callable = error
    """(p, y) -> the metric of every row."""
    kinks: Callable | None = None
    """(the loss, p, y) -> distances from where the derivative jumps or has a pole."""
    options: dict[str, Any] = field(default_factory=dict)
    """Losses of this name that differ from the usual one."""


LOSSES = {
    "mean_squared_error": Loss(
        value=lambda o, p, y: ((p - y) ** 2).mean(1),
        torch=lambda F, o, z, p, y: F.mse_loss(p, y, reduction="none").mean(1),
    ),
    "half_squared_error": Loss(
        value=lambda o, p, y: ((p - y) ** 2).sum(1) / 2,
        torch=lambda F, o, z, p, y: F.mse_loss(p, y, reduction="none").sum(1) / 2,
    ),
    "mean_absolute_error": Loss(
        value=lambda o, p, y: error(p, y), kinks=lambda o, p, y: np.abs(p - y),
        torch=lambda F, o, z, p, y: F.l1_loss(p, y, reduction="none").mean(1),
    ),
    "huber": Loss(
        value=lambda o, p, y: np.where(
            np.abs(p - y) <= o.delta, (p - y) ** 2 / 2, o.delta * (np.abs(p - y) - o.delta / 2)).mean(1),
        kinks=lambda o, p, y: np.abs(np.abs(p - y) - o.delta),
        torch=lambda F, o, z, p, y: F.huber_loss(p, y, reduction="none", delta=o.delta).mean(1),
        options={f"huber, {delta}": cbp.losses.Huber(delta) for delta in (0.1, 0.5, 2.5)},
    ),
    "quantile": Loss(
        value=lambda o, p, y: np.maximum(o.tau * (y - p), (o.tau - 1) * (y - p)).mean(1), kinks=lambda o, p, y: np.abs(p - y),
        torch=lambda F, o, z, p, y: (o.tau * F.relu(y - p) + (1 - o.tau) * F.relu(p - y)).mean(1),
        options={f"quantile, {tau}": cbp.losses.Quantile(tau) for tau in (0.01, 0.3, 0.9)},
    ),
    "binary_cross_entropy": Loss(
        value=lambda o, p, y: -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean(1),
        # Not kinks but poles: either well inside, or exactly at the end, where nothing moves.
        kinks=lambda o, p, y: np.where((p == 0) | (p == 1), 1, np.minimum(p, 1 - p) / 100),
        torch=lambda F, o, z, p, y: -(y * clipped(p).log() + (1 - y) * (1 - clipped(p)).log()).mean(1),
        torch_fused=lambda F, o, z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none").mean(1),
        targets=lambda rng, rows, units: rng.random((rows, units)), range=(0, 1), output="sigmoid", fused=True,
        metric="accuracy", measure=lambda p, y: ((p > 0.5) == (y > 0.5)).mean(1),
    ),
    "cross_entropy": Loss(
        value=lambda o, p, y: -(spread(y, p.shape[1]) * np.log(p)).sum(1),
        torch=lambda F, o, z, p, y: F.cross_entropy(z, y, reduction="none"),
        targets=classes, range=(0, 1), distribution=True, output="softmax", fused=True,
        metric="accuracy", measure=lambda p, y: p.argmax(1) == spread(y, p.shape[1]).argmax(1),
    ),
    "poisson": Loss(
        value=lambda o, p, y: (p - y * np.log(p)).mean(1), kinks=lambda o, p, y: np.where(p == 0, 1, p / 100),
        torch=lambda F, o, z, p, y: (p.clamp(min=1e-15) - y * p.clamp(min=1e-15).log()).mean(1),
        targets=lambda rng, rows, units: rng.poisson(2.0, (rows, units)).astype(float), range=(0, np.inf), output="softplus",
    ),
    "hinge": Loss(
        value=lambda o, p, y: np.maximum(0, 1 - y * p).mean(1), kinks=lambda o, p, y: np.abs(1 - p * y),
        torch=lambda F, o, z, p, y: (1 - y * p).clamp(min=0).mean(1),
        targets=lambda rng, rows, units: rng.choice([-1.0, 1.0], (rows, units)),
        metric="accuracy", measure=lambda p, y: ((p > 0) == (y > 0)).mean(1),
    ),
}  # fmt: skip


def suits(loss, activation):
    """Whether the values of the activation are outputs that the loss is defined for."""
    low, high = loss.range
    least, largest = activation.range
    return low <= least and largest <= high and (activation.value is None or not loss.distribution)


# --- optimizers -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """A rule: instances of it, and what a step is in NumPy and in PyTorch."""

    plain: dict[str, Any]
    """One for every kernel of the rule."""
    options: dict[str, Any]
    """Ones with everything set, and at the ends of what is allowed."""
    step: Callable
    """(optimizer, t, g, *state) -> (what is subtracted from w before decay, *new state), in NumPy; t counts from 1."""
    torch: Callable | None = None
    """(torch.optim, optimizer) -> (class of PyTorch, its settings), with ``weight_decay`` if that is decoupled there too; None
    where PyTorch has no such rule."""
    slots: dict[str, str]
    """The arrays of state, and their names in PyTorch."""
    begins: dict[str, str] = field(default_factory=dict)
    """Arrays that are 0 where no gradient has come yet, and the setting that PyTorch has there."""
    refused: tuple = ()
    """(settings, words of the ValueError) of what is out of range; the rate is checked for all."""
    golden: dict[str, float]
    """Of ``plain``: the loss at the end of a certain run (``core/test_random.py``)."""


def sgd_step(o, t, g, velocity=None):
    if not o.momentum:
        return (o.rate * g,)
    velocity = o.momentum * velocity + g
    return o.rate * (g + o.momentum * velocity if o.nesterov else velocity), velocity


def adam_step(o, t, g, mean, variance):
    mean, variance = o.beta1 * mean + (1 - o.beta1) * g, o.beta2 * variance + (1 - o.beta2) * g**2
    return o.rate * mean / (1 - o.beta1**t) / (np.sqrt(variance / (1 - o.beta2**t)) + o.epsilon), mean, variance


def amsgrad_step(o, t, g, mean, variance, largest):
    mean, variance = o.beta1 * mean + (1 - o.beta1) * g, o.beta2 * variance + (1 - o.beta2) * g**2
    largest = np.maximum(largest, variance)
    return o.rate * mean / (1 - o.beta1**t) / (np.sqrt(largest / (1 - o.beta2**t)) + o.epsilon), mean, variance, largest


def rprop_step(o, t, g, before, size):
    turn = np.sign(g * before)
    factor = np.where(turn > 0, o.grow, np.where(turn < 0, o.shrink, 1.0))
    size = np.where(g == 0, size, np.clip(np.where(size > 0, size, o.rate) * factor, o.shortest, o.longest))
    g = np.where(turn < 0, 0, g)
    return size * np.sign(g), g, size


def rmsprop_step(o, t, g, variance):
    variance = o.rho * variance + (1 - o.rho) * g**2
    return o.rate * g / (np.sqrt(variance) + o.epsilon), variance


def adagrad_step(o, t, g, squares):
    squares = squares + g**2
    return o.rate * g / (np.sqrt(squares) + o.epsilon), squares


ADAM = {
    "step": lambda o, *more: (amsgrad_step if o.amsgrad else adam_step)(o, *more),
    "slots": {"mean": "exp_avg", "variance": "exp_avg_sq", "largest": "max_exp_avg_sq"},
    "torch": lambda optim, o: (
        optim.AdamW, {"betas": (o.beta1, o.beta2), "eps": o.epsilon, "weight_decay": o.weight_decay, "amsgrad": o.amsgrad}),
}  # fmt: skip

OPTIMIZERS = {
    "sgd": Optimizer(
        plain={
            "sgd": cbp.SGD(0.05), "momentum": cbp.SGD(0.05, momentum=0.9),
            "nesterov": cbp.SGD(0.05, momentum=0.8, nesterov=True),
        },
        options={
            "sgd, decay": cbp.SGD(0.05, weight_decay=0.3),
            "momentum, decay": cbp.SGD(0.02, momentum=0.5, weight_decay=0.3),
            "nesterov, decay": cbp.SGD(0.02, momentum=0.5, nesterov=True, weight_decay=0.3),
        },
        step=sgd_step, slots={"velocity": "momentum_buffer"},
        torch=lambda optim, o: (optim.SGD, {"momentum": o.momentum, "nesterov": o.nesterov}),
        refused=(
            ({"momentum": 1}, ["momentum", "below 1", "got 1"]), ({"momentum": -0.1}, ["momentum", "at least 0", "-0.1"]),
            ({"momentum": np.nan}, ["momentum", "nan"]), ({"nesterov": True}, ["nesterov", "momentum"]),
            ({"weight_decay": -1}, ["weight_decay", "at least 0", "-1"]),
        ),
        golden={"sgd": 1.4518603293919825, "momentum": 0.1779185651353802, "nesterov": 0.3774629349667652},
    ),
    "adam": Optimizer(
        plain={"adam": cbp.Adam(0.01), "amsgrad": cbp.Adam(0.01, beta2=0.9, amsgrad=True)},
        options={
            "adam, options": cbp.Adam(0.02, beta1=0.5, beta2=0.9, epsilon=1e-3, weight_decay=0.2),
            "adam, no memory": cbp.Adam(0.02, beta1=0.0, beta2=0.0),
        },
        refused=(
            ({"beta1": 1.0}, ["beta1", "below 1", "got 1"]), ({"beta2": 1.5}, ["beta2", "below 1", "1.5"]),
            ({"beta2": -0.5}, ["beta2", "at least 0", "-0.5"]), ({"epsilon": 0}, ["epsilon", "above 0", "got 0"]),
        ),
        golden={"adam": 0.2575716104302787, "amsgrad": 0.3323382418818486}, **ADAM,
    ),
    "adamw": Optimizer(
        plain={"adamw": cbp.AdamW(0.01), "adamw, amsgrad": cbp.AdamW(0.01, beta2=0.8, amsgrad=True)},
        options={"adamw, options": cbp.AdamW(0.02, beta1=0.7, beta2=0.95, epsilon=1e-5, weight_decay=0.5)},
        refused=(({"weight_decay": np.inf}, ["weight_decay", "inf"]),),
        golden={"adamw": 0.25973273850667017, "adamw, amsgrad": 0.41163672704586923}, **ADAM,
    ),
    "rmsprop": Optimizer(
        plain={"rmsprop": cbp.RMSprop(0.01)},
        options={
            "rmsprop, options": cbp.RMSprop(0.02, rho=0.5, epsilon=1e-3, weight_decay=0.2),
            "rmsprop, no memory": cbp.RMSprop(0.02, rho=0.0),
        },
        step=rmsprop_step, slots={"variance": "square_avg"},
        torch=lambda optim, o: (optim.RMSprop, {"alpha": o.rho, "eps": o.epsilon}),
        refused=(({"rho": 1}, ["rho", "below 1", "got 1"]), ({"epsilon": -1e-8}, ["epsilon", "above 0", "-1e-08"])),
        golden={"rmsprop": 0.2210993904038938},
    ),
    "adagrad": Optimizer(
        plain={"adagrad": cbp.Adagrad(0.05)},
        options={"adagrad, options": cbp.Adagrad(0.1, epsilon=1e-3, weight_decay=0.2)},
        step=adagrad_step, slots={"squares": "sum"},
        torch=lambda optim, o: (optim.Adagrad, {"eps": o.epsilon}),
        refused=(({"epsilon": 0.0}, ["epsilon", "above 0", "got 0"]),),
        golden={"adagrad": 0.28561539279427933},
    ),
    "lion": Optimizer(
        plain={"lion": cbp.Lion(0.002)},
        options={
            "lion, options": cbp.Lion(0.005, beta1=0.5, beta2=0.8, weight_decay=0.2),
            "lion, no memory": cbp.Lion(0.005, beta1=0.0, beta2=0.0),
        },
        step=lambda o, t, g, mean: (
            o.rate * np.sign(o.beta1 * mean + (1 - o.beta1) * g), o.beta2 * mean + (1 - o.beta2) * g),
        slots={"mean": "exp_avg"},
        refused=(({"beta1": 1}, ["beta1", "below 1", "got 1"]), ({"beta2": -0.1}, ["beta2", "at least 0", "-0.1"])),
        golden={"lion": 1.0639388340573552},
    ),
    "rprop": Optimizer(
        plain={"rprop": cbp.Rprop()},
        options={
            "rprop, options": cbp.Rprop(0.1, shrink=0.3, grow=1.5, shortest=0.02, longest=0.12, weight_decay=0.1),
            "rprop, one length": cbp.Rprop(0.02, shortest=0.01, longest=0.011),
        },
        step=rprop_step, slots={"gradient": "prev", "size": "step_size"}, begins={"size": "rate"},
        torch=lambda optim, o: (optim.Rprop, {"etas": (o.shrink, o.grow), "step_sizes": (o.shortest, o.longest)}),
        refused=(
            ({"shrink": 1}, ["shrink", "below 1", "got 1"]), ({"grow": 1.0}, ["grow", "above 1", "got 1"]),
            ({"shortest": 0}, ["shortest", "above 0"]), ({"shortest": 2.0, "longest": 1.0}, ["longest", "at least 2"]),
        ),
        golden={"rprop": 0.2114515438339074},
    ),
}  # fmt: skip

# --- schedules --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Instances of it, in the order of ``formulas``, and what is refused."""

    plain: dict[str, Any]
    """Ones with usual numbers and with every option."""
    formulas: dict[str, Callable]
    """t -> rate of each, written down by hand."""
    torch: dict[str, Callable] = field(default_factory=dict)
    """(torch.optim.lr_scheduler, optimizer) -> its scheduler of the same rates, for those that have one. The optimizer's rate
    is 0.5 before."""
    refused: tuple = ()
    """(arguments, words of the error)."""


S = cbp.schedules


def half_wave(part):
    return (1 + cos(pi * part)) / 2


SCHEDULES = {
    "constant": Schedule(
        plain={"constant": S.Constant(0.5)}, formulas={"constant": lambda t: 0.5},
        torch={"constant": lambda sch, o: sch.LambdaLR(o, lambda t: 1.0)},
        refused=(((-1,), ["rate", "at least 0", "-1"]), ((np.nan,), ["rate", "nan"]), (("0.1",), ["rate", "'0.1'"])),
    ),
    "exponential_moving_average": Schedule(
        plain={"ema": S.ExponentialMovingAverage(0.5, 0.01, 0.9), "ema, up": S.ExponentialMovingAverage(0.0, 0.3, decay=0.5),
               "ema, at once": S.ExponentialMovingAverage(0.5, 0.1, 0.0),
               "ema, never": S.ExponentialMovingAverage(0.5, 0.1, 1)},
        formulas={"ema": lambda t: 0.01 + 0.49 * 0.9**t, "ema, up": lambda t: 0.3 - 0.3 * 0.5**t,
                  "ema, at once": lambda t: 0.1 if t else 0.5, "ema, never": lambda t: 0.5},
        torch={"ema": lambda sch, o: sch.LambdaLR(o, lambda t: (0.01 + 0.49 * 0.9**t) / 0.5)},
        refused=(((0.1, 0.1, 1.5), ["decay", "at most 1", "1.5"]), ((0.1, -0.1, 0.5), ["end", "at least 0"]),
                 ((np.inf, 0.1, 0.5), ["start", "inf"])),
    ),
    "exponential_decay": Schedule(
        plain={"exponential": S.ExponentialDecay(0.5, 0.9), "exponential, slow": S.ExponentialDecay(0.5, 0.5, every=7),
               "staircase": S.ExponentialDecay(0.5, 0.5, every=7, staircase=True)},
        formulas={"exponential": lambda t: 0.5 * 0.9**t, "exponential, slow": lambda t: 0.5 * 0.5 ** (t / 7),
                  "staircase": lambda t: 0.5 * 0.5 ** (t // 7)},
        torch={"exponential": lambda sch, o: sch.ExponentialLR(o, 0.9),
               "staircase": lambda sch, o: sch.StepLR(o, step_size=7, gamma=0.5)},
        refused=(((0.1, 0), ["factor", "above 0"]), ((0.1, 1.1), ["factor", "at most 1"]),
                 ((0.1, 0.5, 0), ["every", "at least 1", "0"]), ((0.1, 0.5, 2.0), ["every", "2.0", "int(2.0)"])),
    ),
    "inverse_scaling": Schedule(
        plain={"inverse": S.InverseScaling(0.5, 0.5), "inverse, steep": S.InverseScaling(0.5, power=10)},
        formulas={"inverse": lambda t: 0.5 / sqrt(t + 1), "inverse, steep": lambda t: 0.5 / (t + 1) ** 10},
        torch={"inverse": lambda sch, o: sch.LambdaLR(o, lambda t: (t + 1) ** -0.5)},
        refused=(((0.1, -1), ["power", "at least 0"]), ((0.1, 11), ["power", "at most 10"])),
    ),
    "steps": Schedule(
        plain={"steps": S.Steps(0.5, 0.1, at=[3, 10, 11]), "steps, none": S.Steps(0.5, 0.1, at=()),
               "steps, up": S.Steps(0.5, 2, at=np.array([5]))},
        formulas={"steps": lambda t: 0.5 * 0.1 ** sum(t >= place for place in (3, 10, 11)), "steps, none": lambda t: 0.5,
                  "steps, up": lambda t: 1.0 if t >= 5 else 0.5},
        torch={"steps": lambda sch, o: sch.MultiStepLR(o, [3, 10, 11], gamma=0.1)},
        refused=(((0.1, 0.5, [0]), ["at[0]", "at least 1"]), ((0.1, 0.5, [5, 5]), ["at must grow", "at[1]", "5 after 5"]),
                 ((0.1, 0.5, 30), ["at must be a list", "30"]), ((0.1, 0.5, [1.5]), ["at[0]", "1.5"]),
                 ((0.1, 0, [1]), ["factor", "above 0"])),
    ),
    "polynomial": Schedule(
        plain={"line": S.Polynomial(0.5, 0.1, 20), "parabola": S.Polynomial(0.5, 0, steps=20, power=2)},
        formulas={"line": lambda t: 0.1 + 0.4 * (1 - min(t, 20) / 20),
                  "parabola": lambda t: 0.5 * (1 - min(t, 20) / 20) ** 2},
        torch={"line": lambda sch, o: sch.LinearLR(o, start_factor=1.0, end_factor=0.2, total_iters=20),
               "parabola": lambda sch, o: sch.PolynomialLR(o, total_iters=20, power=2)},
        refused=(((0.1, 0, 0), ["steps", "at least 1"]), ((0.1, 0, 5, 0), ["power", "above 0"])),
    ),
    "cosine": Schedule(
        plain={"cosine": S.Cosine(0.5, 0.1, steps=40), "cosine, over": S.Cosine(0.5, steps=9),
               "restarts": S.Cosine(0.5, 0.1, steps=9, restarts=1), "restarts, longer": S.Cosine(0.5, steps=3, restarts=2)},
        formulas={"cosine": lambda t: 0.1 + 0.4 * half_wave(min(t, 40) / 40),
                  "cosine, over": lambda t: 0.5 * half_wave(min(t, 9) / 9),
                  "restarts": lambda t: 0.1 + 0.4 * half_wave(t % 9 / 9),
                  "restarts, longer": lambda t: 0.5 * half_wave(
                      next((t - first) / (first + 3) for first in (93, 45, 21, 9, 3, 0) if t >= first))},
        torch={"cosine": lambda sch, o: sch.CosineAnnealingLR(o, 40, eta_min=0.1),
               "restarts": lambda sch, o: sch.CosineAnnealingWarmRestarts(o, 9, eta_min=0.1),
               "restarts, longer": lambda sch, o: sch.CosineAnnealingWarmRestarts(o, 3, T_mult=2)},
    ),
    "one_cycle": Schedule(
        plain={"one cycle": S.OneCycle(0.5, 40), "one cycle, options": S.OneCycle(0.5, 41, rising=0.5, first=10, last=100),
               "one cycle, short": S.OneCycle(0.5, 2)},
        formulas={"one cycle": lambda t: cycle(t, 0.5, 0.02, 2e-6, 11, 39),
                  "one cycle, options": lambda t: cycle(t, 0.5, 0.05, 5e-4, 19.5, 40),
                  "one cycle, short": lambda t: 2e-6 if t else 0.5},
        torch={"one cycle": lambda sch, o: sch.OneCycleLR(o, 0.5, total_steps=40, cycle_momentum=False),
               "one cycle, options": lambda sch, o: sch.OneCycleLR(
                   o, 0.5, total_steps=41, pct_start=0.5, div_factor=10, final_div_factor=100, cycle_momentum=False)},
        refused=(((0.1, 1), ["steps", "at least 2"]),),
    ),
    "function": Schedule(
        plain={"function": S.Function(lambda t: 0.5 / (1 + t))}, formulas={"function": lambda t: 0.5 / (1 + t)},
        torch={"function": lambda sch, o: sch.LambdaLR(o, lambda t: 1 / (1 + t))},
        refused=((("cosine",), ["function", "'cosine'"]),),
    ),
    "warm_up": Schedule(
        plain={"warm up": S.WarmUp(4, 0.5), "warm up, then": S.WarmUp(4, S.ExponentialDecay(0.5, 0.9))},
        formulas={"warm up": lambda t: 0.5 * min(t + 1, 5) / 5,
                  "warm up, then": lambda t: 0.5 * (t + 1) / 5 if t < 4 else 0.5 * 0.9 ** (t - 4)},
        torch={"warm up": lambda sch, o: sch.LinearLR(o, start_factor=0.2, total_iters=4),
               "warm up, then": lambda sch, o: sch.SequentialLR(
                   o, [sch.LinearLR(o, start_factor=0.2, total_iters=4), sch.ExponentialLR(o, 0.9)], [4])},
        refused=(((0, 0.1), ["steps", "at least 1"]), ((5, "cosine"), ["then", "'cosine'"]), ((5, -1), ["then", "at least 0"])),
    ),
    "sequence": Schedule(
        plain={"sequence": S.Sequence([0.5, S.ExponentialDecay(0.5, 0.9), S.Polynomial(0.5, 0, 5)], at=[3, 20]),
               "sequence of one": S.Sequence([0.5], at=[])},
        formulas={"sequence": lambda t: 0.5 if t < 3 else 0.5 * 0.9 ** (t - 3) if t < 20 else 0.5 * (1 - min(t - 20, 5) / 5),
                  "sequence of one": lambda t: 0.5},
        torch={"sequence": lambda sch, o: sch.SequentialLR(
            o, [sch.LambdaLR(o, lambda t: 1.0), sch.ExponentialLR(o, 0.9), sch.PolynomialLR(o, total_iters=5)], [3, 20])},
        refused=((([0.1, 0.2], []), ["at must have a place", "1", "got 0"]), (([], []), ["schedules", "[]"]),
                 (([0.1, None], [1]), ["schedules[1]", "None"]),
                 (([S.Cosine(0.1, steps=5), S.Cosine(0.1, steps=5, per="epoch")], [3]), ["Sequence", "per step", "per epoch"])),
    ),
    "sum": Schedule(
        plain={"sum": S.Sum([S.ExponentialDecay(0.25, 0.9), 0.25]),
               "sum, written": S.Constant(0.1) + 0.2 + S.Steps(0.3, 0.5, [2])},
        formulas={"sum": lambda t: 0.25 * 0.9**t + 0.25, "sum, written": lambda t: 0.45 if t >= 2 else 0.6},
        refused=(((0.1,), ["schedules", "0.1"]), (([],), ["schedules", "[]"]),
                 (([S.Cosine],), ["schedules[0]", "class Cosine"])),
    ),
}


def cycle(t, peak, first, end, top, last):
    if t < top:
        return peak + (first - peak) * half_wave(t / top)
    return end + (peak - end) * half_wave(min((t - top) / (last - top), 1))


# --- layers -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Examples of a kind of layer."""

    cases: dict[str, tuple]
    """Name -> (a layer, the shape of its input), for what every layer promises (``layers/test_layers.py``)."""
    traced: dict[str, tuple] = field(default_factory=dict)
    """Name -> (shape of a sample, layers): a small network around it, for the trace. Others stand before and behind, so that
    its way back is traced too. Empty where the network of another row holds one."""


def dense(units=2, activation="identity"):
    return cbp.Dense(units, activation)


LAYERS = {
    cbp.Dense: Layer(
        cases={
            "dense": (dense(5, "tanh"), (4,)),
            "dense, steps": (cbp.Dense(17, "gelu", bias=False), (3, 4)),
        },
        traced={
            "dense on steps": ((3, 2), [dense(3, "tanh"), cbp.Flatten(), dense()]),
            "dense on pixels": ((2, 3, 2), [dense(3, "gelu"), cbp.GlobalAveragePool(), dense()]),
        },
    ),
    cbp.PReLU: Layer(
        cases={
            "prelu": (cbp.PReLU(), (4,)),
            "prelu, pixels": (cbp.PReLU(init="lecun_normal"), (2, 1, 17)),
        },
        traced={
            "prelu": ((3,), [cbp.PReLU(init=[0.5, 0.0, -0.25]), dense(4), cbp.PReLU(), dense()]),
            "prelu on steps": ((3, 2), [dense(3), cbp.PReLU(init=[0.1, 0.3, 1.2]), cbp.Flatten(), dense()]),
        },
    ),
    cbp.Conv1D: Layer(
        cases={
            "conv1d": (cbp.Conv1D(5, 3, "tanh", stride=2, padding="same"), (7, 3)),
        },
        traced={
            "conv1d": (
                (6, 2), [dense(2, "tanh"), cbp.Conv1D(4, 3, "tanh", stride=2, padding="same", groups=2), cbp.Flatten(),
                 dense()]
            ),
            "conv1d of 1": ((4, 2), [cbp.Conv1D(3, 1, "tanh"), cbp.Flatten(), dense()]),
        },
    ),
    cbp.Conv2D: Layer(
        cases={
            "conv2d": (cbp.Conv2D(5, (3, 2), "silu", stride=(2, 1), padding=1), (6, 5, 2)),
            "conv2d, groups": (cbp.Conv2D(6, 3, dilation=2, groups=2), (6, 7, 4)),
            "conv2d, pixels": (cbp.Conv2D(5, 1, "tanh", bias=False), (3, 4, 3)),
        },
        traced={
            "conv2d": ((4, 3, 1), [cbp.Conv2D(2, 2, "tanh"), cbp.Conv2D(2, 2, "relu"), cbp.Flatten(), dense()]),
            "conv2d with all": (
                (6, 5, 2), [dense(4, "tanh"),
                 cbp.Conv2D(4, (3, 2), "tanh", stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
                 cbp.Flatten(), dense()]
            ),
            "conv2d same, stride 2": (
                (5, 4, 2), [cbp.Conv2D(2, 3, "softplus", padding="same", stride=2), cbp.Flatten(), dense()]
            ),
        },
    ),
    cbp.DepthwiseConv2D: Layer(
        cases={
            "depthwise": (cbp.DepthwiseConv2D(3, multiplier=2, padding="same", activation="tanh"), (5, 4, 3)),
        },
        traced={
            "depthwise": (
                (4, 4, 2), [dense(2, "tanh"), cbp.DepthwiseConv2D(3, activation="tanh", multiplier=2, padding="same"),
                 cbp.GlobalAveragePool(), dense()]
            ),
        },
    ),
    cbp.SeparableConv2D: Layer(
        cases={
            "separable": (cbp.SeparableConv2D(6, 3, activation="tanh"), (5, 4, 3)),
        },
        traced={
            "separable": (
                (4, 4, 2), [dense(2, "tanh"), cbp.SeparableConv2D(3, 2, "tanh", multiplier=2, stride=2), cbp.GlobalMaxPool(),
                 dense()]
            ),
        },
    ),
    cbp.MaxPool1D: Layer(
        cases={
            "max pool 1d": (cbp.MaxPool1D(3, stride=2, padding=1), (7, 3)),
        },
        traced={
            "pools of steps": (
                (7, 2), [dense(2, "tanh"), cbp.MaxPool1D(2, stride=1), cbp.AveragePool1D(3, padding="same"), cbp.Flatten(),
                 dense()]
            ),
        },
    ),
    cbp.MaxPool2D: Layer(
        cases={
            "max pool 2d": (cbp.MaxPool2D(2), (5, 4, 17)),
        },
        traced={
            "max pools": (
                (5, 5, 2), [dense(2, "tanh"), cbp.MaxPool2D(2, stride=1), cbp.MaxPool2D(3, padding="same", stride=2),
                 cbp.Flatten(), dense()]
            ),
        },
    ),
    cbp.AveragePool1D: Layer(
        cases={
            "average pool 1d": (cbp.AveragePool1D(2, padding="same"), (7, 3)),
        },
    ),
    cbp.AveragePool2D: Layer(
        cases={
            "average pool 2d": (cbp.AveragePool2D((3, 2), stride=1, padding="same"), (4, 4, 3)),
        },
        traced={
            "average pools": (
                (5, 4, 2), [dense(2, "tanh"), cbp.AveragePool2D(2, padding=1), cbp.AveragePool2D((2, 1)), cbp.Flatten(),
                 dense()]
            ),
        },
    ),
    cbp.GlobalMaxPool: Layer(
        cases={
            "global max pool": (cbp.GlobalMaxPool(), (3, 4, 5)),
        },
    ),
    cbp.GlobalAveragePool: Layer(
        cases={
            "global average pool": (cbp.GlobalAveragePool(), (6, 5)),
        },
    ),
    cbp.RNN: Layer(
        cases={
            "rnn": (cbp.RNN(5), (6, 3)),
            "rnn, sequences": (cbp.RNN(17, "sigmoid", return_sequences=True, reverse=True), (6, 3)),
        },
        traced={
            "rnn": ((4, 2), [cbp.RNN(2, return_sequences=True), cbp.RNN(3, "sigmoid", reverse=True, bias=False), dense()]),
            "rnn truncated": (
                (5, 2), [cbp.RNN(2, return_sequences=True, bptt=2), cbp.RNN(2, return_sequences=True, reverse=True, bptt=3),
                 dense()]
            ),
        },
    ),
    cbp.LSTM: Layer(
        cases={
            "lstm": (cbp.LSTM(5, reverse=True), (6, 3)),
            "lstm, sequences": (cbp.LSTM(17, return_sequences=True), (6, 3)),
            "lstm, truncated": (cbp.LSTM(4, return_sequences=True, bptt=2), (6, 3)),
        },
        traced={
            "lstm": ((3, 2), [cbp.LSTM(2, return_sequences=True), cbp.LSTM(3, reverse=True), dense()]),
            "lstm truncated": ((4, 2), [dense(2, "tanh"), cbp.LSTM(2, return_sequences=True, bptt=2)]),
        },
    ),
    cbp.GRU: Layer(
        cases={
            "gru": (cbp.GRU(5, bias=False), (6, 3)),
            "gru, sequences": (cbp.GRU(17, return_sequences=True), (6, 3)),
        },
        traced={
            "gru": ((3, 2), [cbp.GRU(2, return_sequences=True), cbp.GRU(3, reverse=True), dense()]),
            "gru truncated": ((4, 2), [dense(2, "tanh"), cbp.GRU(2, return_sequences=True, bptt=2, bias=False)]),
        },
    ),
    cbp.Bidirectional: Layer(
        cases={
            "bidirectional": (cbp.Bidirectional(cbp.LSTM(4, return_sequences=True)), (6, 3)),
        },
        traced={
            "bidirectional": (
                (3, 2), [cbp.Bidirectional(cbp.LSTM(2, return_sequences=True)), cbp.Bidirectional(cbp.GRU(2)), dense()]
            ),
            "bidirectional, every step": ((3, 2), [dense(2, "tanh"), cbp.Bidirectional(cbp.RNN(1, return_sequences=True))]),
        },
    ),
    cbp.Embedding: Layer(
        cases={
            "embedding": (cbp.Embedding(7, 5), (6,)),
            "embedding, sparse": (cbp.Embedding(30, 5, sparse=True), (6,)),
        },
        traced={
            "embedding": ((4,), [cbp.Embedding(5, 3), cbp.RNN(2), dense()]),
            "sparse embedding": ((4,), [cbp.Embedding(6, 2, sparse=True), cbp.Flatten(), dense()]),
        },
    ),
    cbp.Flatten: Layer(
        cases={
            "flatten": (cbp.Flatten(), (3, 4, 5)),
        },
        traced={
            "flatten last": ((2, 2), [dense(2, "tanh"), cbp.Flatten()]),
        },
    ),
    cbp.Reshape: Layer(
        cases={
            "reshape": (cbp.Reshape((4, -1)), (3, 4, 5)),
        },
        traced={
            "reshape": ((6,), [dense(6, "tanh"), cbp.Reshape((3, 2)), cbp.GRU(2), dense()]),
        },
    ),
    cbp.BatchNorm: Layer(
        cases={
            "batch norm": (cbp.BatchNorm(), (4,)),
            "batch norm, pixels": (cbp.BatchNorm(activation="tanh", momentum=0.3), (3, 2, 17)),
        },
        traced={
            "batch norm": ((3,), [dense(3), cbp.BatchNorm(activation="tanh", momentum=0.3), dense()]),
            "batch norm of steps": (
                (3, 2), [cbp.BatchNorm(epsilon=1e-3), dense(2, "tanh"), cbp.BatchNorm(), cbp.Flatten(), dense()]
            ),
        },
    ),
    cbp.LayerNorm: Layer(
        cases={
            "layer norm": (cbp.LayerNorm(), (5,)),
            "layer norm, steps": (cbp.LayerNorm(activation="gelu", epsilon=0.1), (3, 17)),
        },
        traced={
            "layer norm": ((3, 4), [cbp.LayerNorm(), dense(3), cbp.LayerNorm(activation="tanh"), cbp.Flatten(), dense()]),
        },
    ),
    cbp.GroupNorm: Layer(
        cases={
            "group norm": (cbp.GroupNorm(2), (6,)),
            "group norm, pixels": (cbp.GroupNorm(3, activation="gelu", epsilon=0.1), (3, 2, 18)),
            "group norm, each channel": (cbp.GroupNorm(5), (7, 5)),
        },
        traced={
            "group norm": ((3, 4), [cbp.GroupNorm(1), dense(4), cbp.GroupNorm(2, activation="tanh"), cbp.Flatten(), dense()]),
        },
    ),
    cbp.Dropout: Layer(
        cases={
            "dropout": (cbp.Dropout(0.4), (6,)),
        },
        traced={
            "dropout": ((20,), [cbp.Dropout(0.3), dense(18, "tanh"), cbp.Dropout(0.5), dense()]),
            "dropout of pixels": ((3, 3, 2), [dense(3, "tanh"), cbp.Dropout(0.4), cbp.Flatten(), dense()]),
        },
    ),
    cbp.GaussianNoise: Layer(
        cases={
            "gaussian noise": (cbp.GaussianNoise(0.3), (3, 5)),
        },
        traced={
            "gaussian noise": (
                (3, 18), [cbp.GaussianNoise(0.5), dense(2, "tanh"), cbp.GaussianNoise(0.1), cbp.Flatten(), dense()]
            ),
        },
    ),
    cbp.Residual: Layer(
        cases={
            "residual": (cbp.Residual([dense(6, "tanh"), dense(5), cbp.BatchNorm()], activation="tanh"), (3, 5)),
            "residual, projection": (
                cbp.Residual([cbp.Conv2D(4, 3, "tanh", stride=2, padding="same"), cbp.Dropout(0.2)]), (6, 4, 3),
            ),
        },
        traced={
            "residual": ((3, 2), [cbp.Residual([dense(3, "tanh"), dense(2)]), cbp.Flatten(), dense()]),
            "residual, projected": (
                (4, 4, 2), [dense(2, "tanh"),
                 cbp.Residual([cbp.Conv2D(3, 3, padding="same", stride=2, bias=False), cbp.BatchNorm()], activation="relu"),
                 cbp.GlobalAveragePool(), dense()]
            ),
        },
    ),
}  # fmt: skip
