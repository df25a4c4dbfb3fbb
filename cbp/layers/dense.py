"""The fully connected layer: one op, the product of every position with a matrix."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import numpy.typing as npt

from cbp.engine import check
from cbp.engine.plan import LANES, Layout, padded, thin
from cbp.initializers import Initializer
from cbp.layers.base import Layer, Parameter, Plan, Shape, Value, biases, checked_activation, checked_axis, chosen_init

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: ``output = activation(input @ weight + bias)``.

    Takes (..., inputs), gives (..., units): it acts on the last axis, of a sequence (time, features) on every step, of an image
    on every pixel.

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``.
    bias : bool
        Whether every unit has a bias.
    init : str, float, array or Initializer
        How the weights, of shape (inputs, units), start. By default the ``init`` of the activation in
        ``cbp.activations.ACTIVATIONS``, ``he_normal`` for relu for example. Biases start at 0.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    kind: ClassVar[str] = "dense"
    arrays: ClassVar[str] = "`weight` (inputs, units), `bias` (units)"
    each_step_alone: ClassVar[bool] = True

    units: int
    activation: str = "identity"
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", check.integer("units", self.units, below=2**48))
        checked_activation(self.activation)
        object.__setattr__(self, "bias", check.boolean("bias", self.bias))
        object.__setattr__(self, "init", chosen_init(self.init, self.activation))

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*checked_axis(self, input_shape)[:-1], self.units)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        layout: Layout = "columns" if thin(input_shape[-1], self.units) else "rows"
        found = {"weight": Parameter((input_shape[-1], self.units), self.init, layout=layout)}
        if self.bias:
            found["bias"] = biases(self.units)
        return found

    def multiplications(self, input_shape: Shape) -> int:
        return prod(input_shape) * self.units

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        output = plan.value((*value.shape[:-1], self.units), timed=value.timed)
        add_product(plan, name, value, output, activation=self.activation)
        return output


def add_product(plan: Plan, name: str, value: Value, output: Value, *, activation: str, weight: str = "weight") -> None:
    """The op that multiplies every position by the matrix ``name.weight`` and adds ``name.bias``, if there is one."""
    kind, rows, width = "dense", value.shape[-1], output.width
    if plan.parameters[f"{name}.{weight}"].layout == "columns":
        kind, rows, width = "thin", output.shape[-1] * padded(rows) // LANES, LANES
    plan.add(kind, value, output, activation=activation, weight=f"{name}.{weight}", weight_rows=rows, weight_width=width,
             bias=f"{name}.bias")
