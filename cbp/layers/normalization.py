"""Layers that give numbers a mean and a deviation that learning can rely on.

Each is one op, whose weight is the row of scales and whose bias is the row of shifts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cbp.engine import check
from cbp.layers.base import ONES, ZEROS, Layer, Parameter, Plan, Shape, Value, biases, checked_activation, checked_axis

__all__ = ["LayerNorm", "BatchNorm"]


class _Normalization(Layer):
    """What the two have in common: the shape stays, and every channel (number of the last axis) has a scale and a shift."""

    each_step_alone: ClassVar[bool] = True

    def output_shape(self, input_shape: Shape) -> Shape:
        return checked_axis(self, input_shape, "channels")

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        return {"scale": Parameter(input_shape[-1:], ONES, penalised=False), "shift": biases(input_shape[-1])}


@dataclass(frozen=True, kw_only=True)
class BatchNorm(_Normalization):
    """Batch normalization: ``activation((x - mean) / sqrt(variance + epsilon) * scale + shift)`` for every channel.

    Takes (..., channels), gives the same shape.

    While training, mean and variance are those of the batch: over its samples and over all positions of a sample (pixels, time
    steps). So the outputs of a sample depend on the others in the batch. At prediction, in ``evaluate`` and in gradients on
    demand (unless ``training=True``) they are ``network.statistics``, running means that every training step moves:
    ``running += momentum * (batch's - running)``. The variance that is remembered is the unbiased one, divided by n - 1.

    Samples of weight 0, and time steps beyond a sample's length, do not count in the statistics; other weights make no
    difference to them. A batch in which a channel has a single value, which has no variance, is normalised with the running
    statistics, and these stay. A training batch goes through the network in one piece, so memory grows with its size. Sums of
    float32 numbers are completed in float64, so that a mean of ten thousand times the deviation does no harm.

    Parameters
    ----------
    activation : str
        One of ``cbp.layers.ACTIVATIONS``, applied last: the layer before, such as ``Dense(64, bias=False)``, needs none.
    momentum : float
        How far a step moves the running statistics, above 0 and at most 1 (PyTorch's meaning; in Keras 1 - momentum).
    epsilon : float
        Added to the variance, at least 1e-12.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.

    Notes
    -----
    Ioffe & Szegedy (2015), Batch normalization: accelerating deep network training by reducing internal covariate shift.
    """

    kind: ClassVar[str] = "batch_norm"
    arrays: ClassVar[str] = "`scale` (inputs), `shift` (inputs), `mean`* (inputs), `variance`* (inputs)"

    activation: str = "identity"
    momentum: float = 0.1
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        checked_activation(self.activation)
        object.__setattr__(self, "momentum", check.real("momentum", self.momentum, above=0, maximum=1))
        object.__setattr__(self, "epsilon", check.real("epsilon", self.epsilon, minimum=1e-12))

    def statistics(self, input_shape: Shape) -> dict[str, Parameter]:
        return {"mean": Parameter(input_shape[-1:], ZEROS), "variance": Parameter(input_shape[-1:], ONES)}

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        output = plan.value(value.shape, timed=value.timed)
        plan.add(
            "batch_norm", value, output, activation=self.activation, weight=f"{name}.scale", weight_rows=1,
            bias=f"{name}.shift", statistics=plan.offset(f"{name}.mean"),
            timed=value.timed, epsilon=self.epsilon, momentum=self.momentum,
        )
        plan.whole_batch = True
        return output


@dataclass(frozen=True, kw_only=True)
class LayerNorm(_Normalization):
    """Layer normalization: ``activation((x - mean) / sqrt(variance + epsilon) * scale + shift)``, the mean and the (biased)
    variance being those of the last axis, for every position of every sample by itself.

    Takes (..., channels), gives the same shape.

    Parameters
    ----------
    activation : str
        One of ``cbp.layers.ACTIVATIONS``, applied last.
    epsilon : float
        Added to the variance, at least 1e-12.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.

    Notes
    -----
    Ba, Kiros & Hinton (2016), Layer normalization.
    """

    kind: ClassVar[str] = "layer_norm"
    arrays: ClassVar[str] = "`scale` (inputs), `shift` (inputs)"

    activation: str = "identity"
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        checked_activation(self.activation)
        object.__setattr__(self, "epsilon", check.real("epsilon", self.epsilon, minimum=1e-12))

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        output = plan.value(value.shape, timed=value.timed)
        plan.add(
            "layer_norm", value, output, activation=self.activation, weight=f"{name}.scale", weight_rows=1,
            bias=f"{name}.shift", epsilon=self.epsilon,
        )
        return output
