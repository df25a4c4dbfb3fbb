"""Layers that give numbers a mean and a deviation that learning can rely on.

Each is one op, whose weight is the row of scales and whose bias is the row of shifts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from cbp.engine import check
from cbp.layers.base import ONES, ZEROS, Layer, Parameter, Plan, Shape, Value, biases, brief, checked_activation, checked_axis

__all__ = ["LayerNorm", "GroupNorm", "BatchNorm"]


class _Normalization(Layer):
    """What they have in common: the shape stays, and every channel (number of the last axis) has a scale and a shift."""

    each_step_alone: ClassVar[bool] = True

    def output_shape(self, input_shape: Shape) -> Shape:
        return checked_axis(self, input_shape, "channels")

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        return {"scale": Parameter(input_shape[-1:], ONES, penalised=False), "shift": biases(input_shape[-1])}

    def multiplications(self, input_shape: Shape) -> int:
        return prod(input_shape)


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


@dataclass(frozen=True)
class GroupNorm(_Normalization):
    """Group normalization: ``activation((x - mean) / sqrt(variance + epsilon) * scale + shift)``, the mean and the (biased)
    variance being those of some channels of a sample, over all its positions (pixels, time steps).

    Takes (..., channels), gives the same shape.

    The channels are cut into ``groups`` of as many neighbours. With 1 group all numbers of a sample are normalized together,
    with as many groups as channels each channel by itself (instance normalization). A sample does not depend on the others in
    the batch. Steps of a sequence depend on each other, so samples cannot have lengths.

    Parameters
    ----------
    groups : int
        A divisor of the number of channels.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``, applied last.
    epsilon : float
        Added to the variance, at least 1e-12.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name; or, in a network, the groups do not divide the
        channels.

    Notes
    -----
    Wu & He (2018), Group normalization.

    Examples
    --------
    >>> net = cbp.Network(4, [cbp.GroupNorm(2)], loss="huber")
    >>> net.predict([[1, 3, 100, 100]]).round(3).tolist()
    [[-1.0, 1.0, 0.0, 0.0]]
    """

    kind: ClassVar[str] = "group_norm"
    arrays: ClassVar[str] = "`scale` (inputs), `shift` (inputs)"
    each_step_alone: ClassVar[bool] = False

    groups: int
    activation: str = field(default="identity", kw_only=True)
    epsilon: float = field(default=1e-5, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", check.integer("groups", self.groups, below=2**48))
        checked_activation(self.activation)
        object.__setattr__(self, "epsilon", check.real("epsilon", self.epsilon, minimum=1e-12))

    def output_shape(self, input_shape: Shape) -> Shape:
        shape = super().output_shape(input_shape)
        if shape[-1] % self.groups:
            raise ValueError(f"{brief(self)} needs groups that divide the channels, its input has the shape {input_shape}")
        return shape

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        plan.mixes_time(brief(self), value)
        output = plan.value(value.shape)
        plan.add(
            "group_norm", value, output, activation=self.activation, weight=f"{name}.scale", weight_rows=1,
            bias=f"{name}.shift", groups=self.groups, epsilon=self.epsilon,
        )
        return output
