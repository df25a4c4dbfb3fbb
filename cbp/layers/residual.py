"""Layers with a way around them: a split, the ops of the layers inside, the projection if there is one, a join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from cbp.errors import not_by_handler, quoted
from cbp.layers.base import Layer, Parameter, Plan, Shape, Value, brief, checked_activation
from cbp.layers.convolution import Conv1D, Conv2D
from cbp.layers.dense import Dense

__all__ = ["Residual"]


@dataclass(frozen=True)
class Residual(Layer):
    """Layers and a way around them: ``output = activation(layers(x) + skip(x))``.

    Takes what the first of the layers takes, gives what the last gives.

    Where the layers keep the shape, ``skip(x)`` is x. Where they change the last axis, it is ``x @ skip.weight``, a product on
    every position. Where they also divide the other axes of a sequence or a picture by whole numbers (rounded up), it is that
    product on every second, third, ... position: a convolution of kernel size 1 with a stride. Source: He et al. (2016), "Deep
    residual learning for image recognition", equation 2.

    Parameters
    ----------
    layers : sequence of Layer
        At least one.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``, of the sum.

    Raises
    ------
    ValueError, TypeError
        No layers, something else than layers, or an unknown activation.
    """

    kind: ClassVar[str] = "residual"
    arrays: ClassVar[str] = "`0.`, `1.`, … before those of each of `layers`, then `skip.weight`, see below"

    layers: Sequence[Layer]
    activation: str = field(default="identity", kw_only=True)

    def __post_init__(self) -> None:
        if isinstance(self.layers, Layer) or not isinstance(self.layers, Sequence):
            raise TypeError(f"layers must be a list of layers, got {quoted(self.layers)}")
        for index, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers[{index}] of Residual must be a layer such as Dense(10), got {quoted(layer)}")
        if not self.layers:
            raise ValueError("layers must hold at least one layer, got none")
        object.__setattr__(self, "layers", tuple(self.layers))
        checked_activation(self.activation)

    def shapes(self, input_shape: Shape) -> list[Shape]:
        """Of the input of every layer inside, and of the last one's output."""
        shapes = [input_shape]
        for index, layer in enumerate(self.layers):
            try:
                shapes.append(layer.output_shape(shapes[-1]))
            except not_by_handler(ValueError) as problem:
                raise ValueError(f"Residual, layers[{index}]: {problem}") from None
        return shapes

    def projection(self, input_shape: Shape) -> Layer | None:
        """The layer on the way around; None: nothing is there."""
        return self._projection(input_shape, self.shapes(input_shape)[-1])

    def _projection(self, input_shape: Shape, output_shape: Shape) -> Layer | None:
        if output_shape == input_shape:
            return None
        units = output_shape[-1]
        if output_shape[:-1] == input_shape[:-1]:
            return Dense(units, bias=False)
        strides = _strides(input_shape[:-1], output_shape[:-1])
        if strides and len(input_shape) in (2, 3):
            if len(strides) == 1:
                return Conv1D(units, 1, stride=strides[0], bias=False)
            return Conv2D(units, 1, stride=(strides[0], strides[1]), bias=False)
        raise ValueError(f"{brief(self)} adds its input to what its layers make of it; the shapes {input_shape} and "
                         f"{output_shape} must be the same, but for the last axis, or but for a whole factor along the time "
                         f"of a sequence, the height and width of a picture")

    def output_shape(self, input_shape: Shape) -> Shape:
        output_shape = self.shapes(input_shape)[-1]
        self._projection(input_shape, output_shape)
        return output_shape

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        return self._named("parameters", input_shape)

    def statistics(self, input_shape: Shape) -> dict[str, Parameter]:
        return self._named("statistics", input_shape)

    def multiplications(self, input_shape: Shape) -> int:
        return sum(layer.multiplications(shape) for _, layer, shape in self._ways(input_shape))

    def _named(self, what: str, input_shape: Shape) -> dict[str, Parameter]:
        """What the layers inside have, the layer's number or "skip" before the name."""
        return {f"{place}.{name}": array for place, layer, shape in self._ways(input_shape)
                for name, array in getattr(layer, what)(shape).items()}

    def _ways(self, input_shape: Shape) -> list[tuple[str, Layer, Shape]]:
        """The layers inside by number, and the one on the way around as "skip", if there is one, with what each takes."""
        shapes = self.shapes(input_shape)
        inside = [(str(index), layer, shape) for index, (layer, shape) in enumerate(zip(self.layers, shapes, strict=False))]
        projection = self._projection(input_shape, shapes[-1])
        return inside if projection is None else [*inside, ("skip", projection, input_shape)]

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """The sum of both ways."""
        projection = self.projection(value.shape)
        inside, around = plan.split(value)
        for index, layer in enumerate(self.layers):
            try:
                inside = plan.values[f"{name}.{index}"] = layer.lower(plan, f"{name}.{index}", inside)
            except not_by_handler(ValueError) as problem:
                raise ValueError(f"Residual, layers[{index}]: {problem}") from None
        if projection is not None:
            around = plan.values[f"{name}.skip"] = projection.lower(plan, f"{name}.skip", around)
        return plan.join(inside, around, self.activation)

    def of_one_step(self) -> Layer:
        return replace(self, layers=tuple(layer.of_one_step() for layer in self.layers))


def _strides(before: Shape, after: Shape) -> tuple[int, ...]:
    """The strides that take these axes to those; () where none do."""
    if len(before) != len(after):
        return ()
    strides = tuple(-(-n // m) for n, m in zip(before, after, strict=True))
    fits = all(-(-n // stride) == m for stride, n, m in zip(strides, before, after, strict=True))
    return strides if fits else ()
