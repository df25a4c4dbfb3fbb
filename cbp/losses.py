"""Loss functions: what a network's outputs ŷ are compared with, and how.

A loss is a specification. The arithmetic is in ``kernels/losses.pxd``; the table here says which outputs and which
targets a loss is defined for, so that a network can refuse a combination before it trains.

===================  ==========================================  ==========================================
name                 loss of one sample                          targets
===================  ==========================================  ==========================================
mean_squared_error   mean over outputs of (ŷ - y)²               numbers
half_squared_error   sum over outputs of (ŷ - y)² / 2            numbers
mean_absolute_error  mean over outputs of |ŷ - y|                numbers
huber                mean over outputs of e²/2 where |e| <= δ,   numbers
                     δ (|e| - δ/2) elsewhere, e = ŷ - y
binary_cross_entropy mean over outputs of                        0 ... 1
                     -y log ŷ - (1 - y) log (1 - ŷ)
cross_entropy        -sum over classes of y log ŷ                labels 0 ... classes - 1, or a row of
                                                                 probabilities (one-hot) for every sample
poisson              mean over outputs of ŷ - y log ŷ            counts, at least 0
hinge                mean over outputs of max(0, 1 - y ŷ)        -1 or 1
===================  ==========================================  ==========================================

The loss of a batch is the weighted mean over its samples, ``sum(w_i l_i) / sum(w_i)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from cbp.activations import ACTIVATIONS, Activation
from cbp.engine import check
from cbp.errors import unknown_name

__all__ = ["LOSSES", "Loss", "LossTraits", "get", "huber", "usual"]


@dataclass(frozen=True)
class LossTraits:
    """What a loss is defined for: its targets, the range its outputs must have, and the metric shown beside it."""

    targets: str  # "number", "fraction", "class", "count" or "sign"
    outputs: str  # "number", "fraction" (0 ... 1), "distribution" (a softmax) or "positive"
    metric: str  # "accuracy" or "mean_absolute_error"


LOSSES = {
    "mean_squared_error": LossTraits("number", "number", "mean_absolute_error"),
    "half_squared_error": LossTraits("number", "number", "mean_absolute_error"),
    "mean_absolute_error": LossTraits("number", "number", "mean_absolute_error"),
    "huber": LossTraits("number", "number", "mean_absolute_error"),
    "binary_cross_entropy": LossTraits("fraction", "fraction", "accuracy"),
    "cross_entropy": LossTraits("class", "distribution", "accuracy"),
    "poisson": LossTraits("count", "positive", "mean_absolute_error"),
    "hinge": LossTraits("sign", "number", "accuracy"),
}


_RANGES = {"fraction": (0, 1), "positive": (0, inf)}


def _suits(outputs: str, activation: Activation) -> bool:
    """Whether an activation gives outputs of a kind, those of ``LossTraits``."""
    if outputs == "number":
        return True
    low, high = _RANGES.get(outputs, (0, 1))
    return low <= activation.range[0] and activation.range[1] <= high and (activation.joint or outputs in _RANGES)


@dataclass(frozen=True)
class Loss:
    """A loss by name.

    Parameters
    ----------
    name : str
        One of ``cbp.losses.LOSSES``.
    delta : float
        Where ``huber`` turns from a parabola into a line; the other losses ignore it.
    """

    name: str
    delta: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"loss must be a name, got {self.name!r}")
        if self.name not in LOSSES:
            raise unknown_name("loss", self.name, LOSSES, {})
        object.__setattr__(self, "delta", check.real("delta", self.delta, above=0))

    @property
    def traits(self) -> LossTraits:
        """What the loss is defined for."""
        return LOSSES[self.name]

    def check_output(self, layer: str, activation: str | None, outputs: int) -> None:
        """Raise ValueError unless the activation of the last layer gives what the loss takes the logarithm of."""
        suitable = [row.name for row in ACTIVATIONS.values() if _suits(self.traits.outputs, row)]
        if self.traits.outputs != "number" and activation not in suitable:
            got = f"got {activation!r}" if activation else f"but {layer}, which is last, has none"
            raise ValueError(f"loss {self.name!r} needs {' or '.join(map(repr, suitable))} as the activation of the last "
                             f"layer, {got}")
        if self.name == "cross_entropy" and outputs == 1:
            raise ValueError("loss 'cross_entropy' needs one output per class, at least 2; for a single output take "
                             "'sigmoid' and 'binary_cross_entropy'")


def huber(delta: float = 1.0) -> Loss:
    """The Huber loss with its bend at ``delta`` (P. J. Huber, 1964, Robust estimation of a location parameter)."""
    return Loss("huber", delta)


def usual(activation: str) -> str:
    """The loss that is taken where none is named, by the activation of the last layer."""
    return {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy"}.get(activation, "mean_squared_error")


def get(loss: str | Loss) -> Loss:
    """The loss that a user named or built."""
    if isinstance(loss, Loss):
        return loss
    if isinstance(loss, str):
        return Loss(loss)
    raise TypeError(f"loss must be a name or a cbp.losses.Loss, got {loss!r}")
