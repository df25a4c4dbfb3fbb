"""Layers that disturb what passes through them while the network trains, and do nothing at prediction.

The noise is a pure function of the network's seed, the layer, the epoch, the number of updates, the sample's place in the
batch and the number's place in the sample: it has the same bits for every number of threads, and in a run that was saved and
goes on. ``network.gradient(X, y, training=True)`` sees what the next training step would. Each is one op, with a stream of
random numbers of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from cbp.engine import check
from cbp.layers.base import Layer, Plan, Shape, Value, checked_axis

__all__ = ["Dropout", "GaussianNoise"]


class _Noise(Layer):
    """What the two have in common: the shape stays."""

    each_step_alone: ClassVar[bool] = True

    def output_shape(self, input_shape: Shape) -> Shape:
        return checked_axis(self, input_shape)

    def _output(self, plan: Plan, value: Value) -> Value:
        """A value whose gradient becomes the input's in its place, except among the samples, whose positions have no pads."""
        if value.slot < 0:
            return plan.value(value.shape, timed=value.timed)
        return replace(value, slot=plan.slot(value.positions * value.width))


@dataclass(frozen=True)
class Dropout(_Noise):
    """While training, every number becomes 0 with the probability ``rate`` and else is divided by ``1 - rate``, so that its
    mean stays; at prediction nothing happens.

    Takes (..., features), gives the same shape.

    Parameters
    ----------
    rate : float
        From 0 to below 1. The probability is a multiple of 2^-32.

    Raises
    ------
    ValueError, TypeError
        The rate is out of range or no number.

    Notes
    -----
    Srivastava, Hinton, Krizhevsky, Sutskever & Salakhutdinov (2014), Dropout: a simple way to prevent neural networks from
    overfitting.
    """

    kind: ClassVar[str] = "dropout"

    rate: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", check.real("rate", self.rate, minimum=0, below=1))

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        output = self._output(plan, value)
        plan.add("dropout", value, output, drop_rate=self.rate, stream=plan.stream())
        return output


@dataclass(frozen=True)
class GaussianNoise(_Noise):
    """While training, a normal number of mean 0 and this deviation is added to every number; at prediction nothing happens.

    Takes (..., features), gives the same shape. The normal numbers come from 32 random bits each (Box & Muller, 1958), so none
    is more than 6.7 deviations from 0.

    Parameters
    ----------
    deviation : float
        Not below 0, in the unit of the numbers.

    Raises
    ------
    ValueError, TypeError
        The deviation is below 0, not finite or no number.
    """

    kind: ClassVar[str] = "gaussian_noise"

    deviation: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "deviation", check.real("deviation", self.deviation, minimum=0))

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        output = self._output(plan, value)
        plan.add("gaussian_noise", value, output, deviation=self.deviation, stream=plan.stream())
        return output
