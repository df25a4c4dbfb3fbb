"""A rectifier whose slope below 0 is learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import numpy.typing as npt

from cbp.initializers import Initializer
from cbp.initializers import get as get_initializer
from cbp.layers.base import Layer, Parameter, Plan, Shape, Value, checked_axis

__all__ = ["PReLU"]


@dataclass(frozen=True)
class PReLU(Layer):
    """A rectifier with a learned slope for every channel: ``x if x > 0 else slope * x``.

    Takes (..., channels), gives the same shape.

    It takes the place of the activation of the layer before, which has none. At 0 the derivative is the slope. ``l1``, ``l2``
    and ``weight_decay`` do not act on the slopes, because they would pull the layer towards ``relu``.

    Parameters
    ----------
    init : float, array, str or Initializer
        How the slopes, of shape (channels), start.

    Raises
    ------
    ValueError, TypeError
        The initializer is unknown or of the wrong kind.

    Notes
    -----
    He, Zhang, Ren & Sun (2015), Delving deep into rectifiers: surpassing human-level performance on ImageNet classification.

    Examples
    --------
    >>> net = cbp.Network(2, [cbp.PReLU(init=[0.5, 0.25])], loss="huber")
    >>> net.predict([[3, 3], [-3, -3]]).tolist()
    [[3.0, 3.0], [-1.5, -0.75]]
    """

    kind: ClassVar[str] = "prelu"
    arrays: ClassVar[str] = "`slope` (inputs)"
    each_step_alone: ClassVar[bool] = True

    init: str | float | Initializer | npt.ArrayLike = field(default=0.25, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "init", get_initializer(self.init))

    def output_shape(self, input_shape: Shape) -> Shape:
        return checked_axis(self, input_shape, "channels")

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        return {"slope": Parameter(input_shape[-1:], self.init, penalised=False)}

    def multiplications(self, input_shape: Shape) -> int:
        return prod(input_shape)

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """One op, whose weight is the row of slopes."""
        output = plan.value(value.shape, timed=value.timed)
        plan.add("prelu", value, output, weight=f"{name}.slope", weight_rows=1)
        return output
