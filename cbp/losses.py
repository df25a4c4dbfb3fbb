"""Loss functions: what a network's outputs ŷ are compared with, and how.

A loss is a specification. The arithmetic is in ``kernels/losses.pxd``; a class says for which outputs and which targets y a
loss is defined, so that a network can refuse a combination before it trains. Users name a loss, ``loss="huber"``, or build
one, ``loss=cbp.losses.Huber(0.5)``.

The loss of a batch is the weighted mean over its samples, ``sum(w_i l_i) / sum(w_i)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import ClassVar

from cbp._registry import Registry
from cbp.activations import ACTIVATIONS, Activation
from cbp.engine import check
from cbp.errors import quoted
from cbp.habits import understood

__all__ = ["LOSSES", "Loss", "get", "huber", "usual"]


@dataclass(frozen=True)
class Loss:
    """What all losses share. A loss cannot be of one's own making: the arithmetic is in the core.

    Attributes
    ----------
    name : str
        What users write, and the core's name.
    targets : str
        ``"number"``, ``"fraction"`` (0 to 1), ``"count"`` (at least 0), ``"sign"`` (-1 or 1) or ``"class"``: labels
        0 ... classes - 1, or a row of probabilities (one-hot) for every sample.
    outputs : str
        ``"number"``, ``"fraction"``, ``"positive"`` or ``"distribution"`` (fractions whose sum is 1).
    metric : str
        ``"accuracy"`` or ``"mean_absolute_error"``, which is shown beside the loss.
    advised : str or None
        The activation of the last layer that suits best.
    aliases : tuple of str
        What other libraries call it, for the errors that suggest a name.

    Examples
    --------
    >>> cbp.losses.get("huber")
    Huber(delta=1.0)
    >>> cbp.losses.Huber.targets
    'number'
    """

    name: ClassVar[str]
    targets: ClassVar[str] = "number"
    outputs: ClassVar[str] = "number"
    metric: ClassVar[str] = "mean_absolute_error"
    advised: ClassVar[str | None] = None
    aliases: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        if type(self) is Loss:
            raise TypeError("Loss is what the losses share; take one of them, for example cbp.losses.Huber(1.0)")

    @property
    def constant(self) -> float:
        """The one number that the core takes beside outputs and targets."""
        return 0.0

    def check_output(self, layer: str, activation: str | None, outputs: int) -> None:
        """Raise ValueError unless the activation of the last layer gives what the loss takes the logarithm of."""
        suitable = [row.name for row in ACTIVATIONS.values() if _GIVES[self.outputs](row)]
        if self.outputs != "number" and activation not in suitable:
            suitable.sort(key=lambda name: name != self.advised)
            got = f"got {activation!r}" if activation else f"but {layer}, which is last, has none"
            raise ValueError(f"loss {self.name!r} needs {' or '.join(map(repr, suitable))} as the activation of the last "
                             f"layer, {got}")
        if self.targets == "class" and outputs == 1:
            raise ValueError(f"loss {self.name!r} needs one output per class, at least 2; for a single output take "
                             "'sigmoid' and 'binary_cross_entropy'")


def _within(row: Activation, low: float, high: float) -> bool:
    return low <= row.range[0] and row.range[1] <= high


_GIVES: dict[str, Callable[[Activation], bool]] = {
    "number": lambda row: True,
    "fraction": lambda row: _within(row, 0, 1),
    "positive": lambda row: _within(row, 0, inf),
    "distribution": lambda row: _within(row, 0, 1) and row.joint,
}
"""Whether an activation gives such outputs."""

LOSSES: Registry[type[Loss]] = Registry("loss")
"""The losses by name, each entered by its class: in ``__all__``, which type checkers read, and by ``LOSSES.add``."""


__all__ += ["MeanSquaredError"]
@LOSSES.add
@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """The mean over the outputs of ``(ŷ - y)²``; y are numbers.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss=cbp.losses.MeanSquaredError())
    >>> net.evaluate([[3.0]], [1.0])["loss"]
    4.0
    """

    name: ClassVar[str] = "mean_squared_error"
    aliases: ClassVar[tuple[str, ...]] = ("mse", "l2")


__all__ += ["HalfSquaredError"]
@LOSSES.add
@dataclass(frozen=True)
class HalfSquaredError(Loss):
    """The sum over the outputs of ``(ŷ - y)² / 2``, whose derivative is ``ŷ - y``; y are numbers.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss=cbp.losses.HalfSquaredError())
    >>> net.evaluate([[3.0]], [1.0])["loss"]
    2.0
    """

    name: ClassVar[str] = "half_squared_error"


__all__ += ["MeanAbsoluteError"]
@LOSSES.add
@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """The mean over the outputs of ``|ŷ - y|``; y are numbers.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss=cbp.losses.MeanAbsoluteError())
    >>> net.evaluate([[3.0]], [1.0])["loss"]
    2.0
    """

    name: ClassVar[str] = "mean_absolute_error"
    aliases: ClassVar[tuple[str, ...]] = ("mae", "l1")


__all__ += ["Huber"]
@LOSSES.add
@dataclass(frozen=True)
class Huber(Loss):
    """The mean over the outputs of ``e² / 2`` where ``|e| <= δ`` and of ``δ (|e| - δ/2)`` elsewhere, ``e = ŷ - y``; y are
    numbers (P. J. Huber, 1964, Robust estimation of a location parameter).

    Parameters
    ----------
    delta : float
        δ, above 0, where the parabola turns into a line.

    Raises
    ------
    ValueError, TypeError
        ``delta`` is not a finite number above 0.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss=cbp.losses.Huber(delta=1.0))
    >>> net.evaluate([[3.0]], [1.0])["loss"]
    1.5
    """

    name: ClassVar[str] = "huber"
    aliases: ClassVar[tuple[str, ...]] = ("smooth_l1",)

    delta: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "delta", check.real("delta", self.delta, above=0))

    @property
    def constant(self) -> float:
        return self.delta


__all__ += ["Quantile"]
@LOSSES.add
@dataclass(frozen=True)
class Quantile(Loss):
    """The mean over the outputs of ``max(τ e, (τ - 1) e)``, ``e = y - ŷ``, least where ŷ is the τ-quantile of y; y are numbers
    (R. Koenker and G. Bassett, 1978, Regression quantiles).

    Parameters
    ----------
    tau : float
        τ, above 0 and below 1: the part of the targets that shall lie below the outputs. 0.5 is the median.

    Raises
    ------
    ValueError, TypeError
        ``tau`` is not a number between 0 and 1.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss=cbp.losses.Quantile(tau=0.75))
    >>> net.evaluate([[3.0]], [1.0])["loss"], net.evaluate([[3.0]], [5.0])["loss"]
    (0.5, 1.5)
    """

    name: ClassVar[str] = "quantile"
    aliases: ClassVar[tuple[str, ...]] = ("pinball", "pinball_loss")

    tau: float = 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "tau", check.real("tau", self.tau, above=0, below=1))

    @property
    def constant(self) -> float:
        return self.tau


__all__ += ["BinaryCrossEntropy"]
@LOSSES.add
@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """The mean over the outputs of ``-y log ŷ - (1 - y) log (1 - ŷ)``; y are fractions, from 0 to 1.

    After a sigmoid both are computed as one, from the weighted sum, so that no logarithm is of 0.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=0.0)], loss=cbp.losses.BinaryCrossEntropy())
    >>> round(net.evaluate([[3.0]], [1.0])["loss"], 4)  # log 2
    0.6931
    """

    name: ClassVar[str] = "binary_cross_entropy"
    targets: ClassVar[str] = "fraction"
    outputs: ClassVar[str] = "fraction"
    metric: ClassVar[str] = "accuracy"
    advised: ClassVar[str | None] = "sigmoid"
    aliases: ClassVar[tuple[str, ...]] = ("bce", "binary_crossentropy")


__all__ += ["CrossEntropy"]
@LOSSES.add
@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Minus the sum over the classes of ``y log ŷ``; y are labels 0 ... classes - 1, or a row of probabilities (one-hot)
    for every sample.

    With the softmax that it needs it is computed as one, from the weighted sums, so that no logarithm is of 0.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(4, "softmax", init=0.0)], loss=cbp.losses.CrossEntropy())
    >>> round(net.evaluate([[3.0]], [2])["loss"], 4)  # log 4
    1.3863
    """

    name: ClassVar[str] = "cross_entropy"
    targets: ClassVar[str] = "class"
    outputs: ClassVar[str] = "distribution"
    metric: ClassVar[str] = "accuracy"
    advised: ClassVar[str | None] = "softmax"
    aliases: ClassVar[tuple[str, ...]] = ("log_loss", "categorical_crossentropy", "sparse_categorical_crossentropy", "nll")


__all__ += ["Poisson"]
@LOSSES.add
@dataclass(frozen=True)
class Poisson(Loss):
    """The mean over the outputs of ``ŷ - y log ŷ``, the negative log-likelihood of a Poisson distribution with the mean ŷ, but
    for what depends on y alone; y are counts, at least 0.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "softplus", init=1.0)], loss=cbp.losses.Poisson())
    >>> round(net.evaluate([[3.0]], [0])["loss"], 4)
    3.0486
    """

    name: ClassVar[str] = "poisson"
    targets: ClassVar[str] = "count"
    outputs: ClassVar[str] = "positive"
    advised: ClassVar[str | None] = "softplus"


__all__ += ["Hinge"]
@LOSSES.add
@dataclass(frozen=True)
class Hinge(Loss):
    """The mean over the outputs of ``max(0, 1 - y ŷ)``; y are -1 or 1.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss=cbp.losses.Hinge())
    >>> net.evaluate([[3.0]], [-1])["loss"]
    4.0
    """

    name: ClassVar[str] = "hinge"
    targets: ClassVar[str] = "sign"
    metric: ClassVar[str] = "accuracy"


@understood
def huber(delta: float = 1.0) -> Loss:
    """The Huber loss with its bend at ``delta``: ``Huber(delta)``."""
    return Huber(delta)


def usual(activation: str) -> str:
    """The loss that is taken where none is named, by the activation of the last layer."""
    return {"softmax": CrossEntropy, "sigmoid": BinaryCrossEntropy}.get(activation, MeanSquaredError).name


def get(loss: str | Loss) -> Loss:
    """The loss that a user named (with its usual parameters) or built."""
    if type(loss) in LOSSES.values():
        return loss  # type: ignore[return-value]
    if isinstance(loss, str):
        return LOSSES.find(loss)()
    given: object = loss
    name = next((kind.__name__ for kind in LOSSES.values() if kind is given), "")
    call = f"; call it: cbp.losses.{name}()" if name else ""
    raise TypeError(f"loss must be a name or one of cbp's losses, for example cbp.losses.Huber(1.0), got {quoted(loss)}{call}")
