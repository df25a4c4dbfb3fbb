"""The networks with convolutions and recurrences whose training is measured, and their goals.

A model is described once, without any library: every peer builds it from these layers. Images are of the shape (height,
width, channels), sequences (time, features). The weights have the shapes that cbp gives them, the gates of an LSTM in the
order i, f, g, o, those of a GRU r, z, n. All models end in classes, with softmax and cross entropy.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from bench.workloads import Array, Goal, Targets

Shape = tuple[int, ...]
Shapes = dict[str, Shape]
Weights = list[dict[str, Array]]


@dataclass(frozen=True)
class Convolution:
    """Of `size` x `size`, only where the kernel fits; relu."""

    filters: int
    size: int

    def output(self, shape: Shape) -> Shape:
        return shape[0] - self.size + 1, shape[1] - self.size + 1, self.filters

    def weights(self, shape: Shape) -> Shapes:
        return {"weight": (self.size, self.size, shape[-1], self.filters), "bias": (self.filters,)}

    def multiplies(self, shape: Shape) -> tuple[int, int]:
        return prod(self.output(shape)) * self.size**2 * shape[-1], 0


@dataclass(frozen=True)
class Separable:
    """Depthwise of `size` x `size`, the image padded so that it keeps its size, then pointwise with a bias; relu."""

    filters: int
    size: int

    def output(self, shape: Shape) -> Shape:
        return *shape[:2], self.filters

    def weights(self, shape: Shape) -> Shapes:
        channels = shape[-1]
        return {
            "depthwise": (self.size, self.size, channels), "pointwise": (channels, self.filters), "bias": (self.filters,)
        }

    def multiplies(self, shape: Shape) -> tuple[int, int]:
        return prod(shape) * self.size**2, prod(shape) * self.filters


class WithoutWeights:
    """What multiplies nothing."""

    def weights(self, shape: Shape) -> Shapes:
        return {}

    def multiplies(self, shape: Shape) -> tuple[int, int]:
        return 0, 0


@dataclass(frozen=True)
class MaxPool(WithoutWeights):
    """The largest of every `size` x `size`."""

    size: int

    def output(self, shape: Shape) -> Shape:
        return shape[0] // self.size, shape[1] // self.size, shape[2]


@dataclass(frozen=True)
class GlobalAverage(WithoutWeights):
    """The mean of every channel."""

    def output(self, shape: Shape) -> Shape:
        return shape[-1:]


@dataclass(frozen=True)
class Flatten(WithoutWeights):
    def output(self, shape: Shape) -> Shape:
        return (prod(shape),)


@dataclass(frozen=True)
class Recurrent:
    """An LSTM or a GRU that hands on its last state. A GRU's biases are r, z, n of the input and n of the state."""

    gates: int
    units: int

    def output(self, shape: Shape) -> Shape:
        return (self.units,)

    def weights(self, shape: Shape) -> Shapes:
        return {
            "weight": (shape[-1], self.gates, self.units), "recurrent": (self.units, self.gates, self.units),
            "bias": (4, self.units),
        }

    def multiplies(self, shape: Shape) -> tuple[int, int]:
        steps = shape[0] * self.gates * self.units
        return steps * shape[-1], steps * self.units


@dataclass(frozen=True)
class Dense:
    units: int
    activation: str = "relu"

    def output(self, shape: Shape) -> Shape:
        return (self.units,)

    def weights(self, shape: Shape) -> Shapes:
        return {"weight": (shape[0], self.units), "bias": (self.units,)}

    def multiplies(self, shape: Shape) -> tuple[int, int]:
        return shape[0] * self.units, 0


Layer = Convolution | Separable | MaxPool | GlobalAverage | Flatten | Recurrent | Dense
"""What a layer answers: the shape of its output; its weights; its multiplications for one sample, those with its input and
those with what it computed itself."""
CLASSES = 10
HEAD = Dense(CLASSES, "softmax")
LENET = (Convolution(6, 5), MaxPool(2), Convolution(16, 5), MaxPool(2), Flatten(), Dense(120), Dense(84), HEAD)
SMALL = (Convolution(16, 3), Convolution(32, 3), MaxPool(2), Flatten(), HEAD)
LSTM, GRU = Recurrent(4, 64), Recurrent(3, 64)


@dataclass(frozen=True)
class Model:
    """One network, the size of its batches, and how many of them make an epoch. Adam, cross entropy."""

    title: str
    shape: Shape
    layers: tuple[Layer, ...]
    batch: int
    steps: int
    goal: Goal
    dtype: str = "float32"
    optimizer: str = "adam"
    rate: float = 1e-3
    classifies: ClassVar[bool] = True
    classes: ClassVar[int] = CLASSES
    random: ClassVar[bool] = False
    trainers: ClassVar[str] = "bench.peers.models"
    """The package where the libraries' trainers of such a network are."""

    @property
    def name(self) -> str:
        return f"{self.title} b{self.batch}"

    @property
    def description(self) -> str:
        return f"{self.dtype}, softmax, cross entropy, {self.optimizer}({self.rate:g}), {self.steps} steps an epoch"

    @property
    def flops(self) -> int:
        """Floating-point operations of a step's products: forward, weight gradient and gradient of the input, which the
        first layer does not need for the samples themselves; biases, activations, gates, pools and the update are left
        out."""
        total = 0
        for index, (layer, shape) in enumerate(self.with_shapes()):
            given, own = layer.multiplies(shape)
            total += (3 if index else 2) * given + 3 * own
        return 2 * self.batch * total

    @property
    def parameters(self) -> int:
        return sum(prod(one) for layer, shape in self.with_shapes() for one in layer.weights(shape).values())

    def with_shapes(self) -> Iterator[tuple[Layer, Shape]]:
        """Every layer with the shape of its input."""
        shape = self.shape
        for layer in self.layers:
            yield layer, shape
            shape = layer.output(shape)

    def data(self, steps: int) -> tuple[Array, Targets]:
        """The first `steps` batches: inputs of mean 0 and variance 1, and classes that can partly be learned, from some
        numbers at the end of every sample."""
        rows, size = steps * self.batch, prod(self.shape)
        inputs, noise, teacher = (np.random.default_rng([3, size, part]) for part in range(3))
        X = inputs.random((rows, size), dtype=np.float32)
        X -= 0.5
        X *= np.float32(12**0.5)
        signal = X[:, -32:] @ teacher.standard_normal((32, CLASSES), dtype=np.float32)
        signal += noise.standard_normal(signal.shape, dtype=np.float32) * np.float32(3)
        return X.reshape(rows, *self.shape).astype(self.dtype, copy=False), signal.argmax(axis=1)

    def weights(self) -> Weights:
        """Initial weights of every layer, by name: normal, He's deviation for relu, else LeCun's; biases of deviation 0.1,
        so that one in the wrong place is noticed."""
        draws = np.random.default_rng(1)

        def drawn(layer: Layer, name: str, shape: Shape) -> Array:
            values = draws.standard_normal(shape, dtype=np.float32) * np.float32(deviation(layer, name, shape))
            return values.astype(self.dtype)

        return [
            {name: drawn(layer, name, one) for name, one in layer.weights(shape).items()}
            for layer, shape in self.with_shapes()
        ]


def deviation(layer: Layer, name: str, shape: Shape) -> float:
    if name == "bias":
        return 0.1
    inputs = shape[0] if isinstance(layer, Recurrent) else layer.size**2 if name == "depthwise" else prod(shape[:-1])
    gain = 1 if isinstance(layer, Recurrent) or name == "depthwise" else 2
    return (gain / inputs) ** 0.5


CONVOLUTION = (
    Model("LeNet-5 28x28x1", (28, 28, 1), LENET, 64, 32, Goal(eager=4, share=0.4, sample_us=16)),
    Model("LeNet-5 28x28x1", (28, 28, 1), LENET, 256, 8, Goal(eager=4, share=0.4, sample_us=16)),
    Model("conv 16-32 8x8x1", (8, 8, 1), SMALL, 32, 256, Goal(eager=6)),
    Model("separable 32 32x32x32", (32, 32, 32), (Separable(32, 3), GlobalAverage(), HEAD), 32, 8, Goal(eager=4)),
)
RECURRENCE = tuple(
    Model(f"{name} 64 50x8", (50, 8), (layer, HEAD), batch, steps, goal)
    for name, layer, goals in (
        ("LSTM", LSTM, (Goal(fastest=4), Goal(fastest=2), Goal(fastest=2))),
        ("GRU", GRU, (Goal(eager=10), Goal(eager=4), Goal(eager=3))),
    )
    for batch, steps, goal in zip((1, 32, 256), (1000, 64, 8), goals, strict=True)
)
STEPS = tuple(
    Model(f"{name} 64, a step of 8", (1, 8), (layer,), 1, 1, Goal()) for name, layer in (("LSTM", LSTM), ("GRU", GRU))
)
"""Recurrent nets that get one time step a call, and keep their state."""
STEP_MOST_US = 2.0
"""Goal of that step of the LSTM."""
BY_NAME = {model.name: model for model in (*CONVOLUTION, *RECURRENCE)}
