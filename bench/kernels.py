"""Small networks around one kernel of cbp each, so that no kernel can become slower unseen.

They are described by cbp's own layers, whose parameters after seed 0 every library starts from. The rows of activations, losses
and optimizers follow from cbp's registries; ``tests/bench`` holds that every op of the core is in one of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

import cbp
from bench.workloads import Array, Goal, Targets
from cbp.layers import (
    GRU,
    LSTM,
    RNN,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Bidirectional,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    Reshape,
    Residual,
    SeparableConv2D,
)

Shape = tuple[int, ...]
SGD = cbp.SGD(1e-3)
OUTPUTS = ("identity", "softplus", "sigmoid", "softmax")
"""Activations of which at least one suits a loss."""


@dataclass(frozen=True)
class Kernel:
    """One network, its loss and its optimizer, and how many batches make an epoch."""

    name: str
    shape: Shape
    layers: tuple[Layer, ...]
    batch: int = 32
    loss: str = "half_squared_error"
    optimizer: cbp.optimizers.Optimizer = SGD
    with_lengths: bool = False
    steps: int = 16
    dtype: str = "float32"
    goal: Goal | None = None
    trainers: ClassVar[str] = "bench.peers.kernels"

    @property
    def description(self) -> str:
        return f"{self.dtype}, {self.loss}, {self.optimizer}, {self.steps} steps an epoch"

    @property
    def random(self) -> bool:
        """Whether it draws noise, which every library does in its own way."""
        return any(isinstance(layer, (Dropout, GaussianNoise)) for layer in self.layers)

    def network(self) -> cbp.Network:
        return cbp.Network(self.shape, list(self.layers), loss=self.loss, dtype=self.dtype, seed=0)

    def weights(self) -> dict[str, Array]:
        """The parameters of that network by name."""
        return {name: array.copy() for name, array in self.network().parameters.items()}

    def data(self, steps: int) -> tuple[Array, Targets]:
        """The first `steps` batches: normal inputs, or words, and targets that the loss takes."""
        rows, draws = steps * self.batch, np.random.default_rng(5)
        first = self.layers[0]
        if isinstance(first, Embedding):
            X: Array = draws.integers(first.vocabulary, size=(rows, *self.shape))
        else:
            X = draws.standard_normal((rows, *self.shape), dtype=np.float32).astype(self.dtype, copy=False)
        return X, self._targets(X, draws)

    @cached_property
    def lengths(self) -> Array | None:
        """Of the samples of every batch alike."""
        return np.random.default_rng(6).integers(1, self.shape[0] + 1, self.batch) if self.with_lengths else None

    def _targets(self, X: Array, draws: np.random.Generator) -> Targets:
        net = self.network()
        shape = (len(X), *net.output_shape)
        for drawn in (
            draws.integers(shape[-1], size=shape[:-1]),  # labels
            draws.standard_normal(shape, dtype=np.float32).astype(self.dtype),
            draws.choice(np.array([-1, 1], self.dtype), shape),
            draws.integers(2, size=shape).astype(self.dtype),
        ):
            try:
                net.evaluate(X[:1], drawn[:1])
            except (ValueError, TypeError):
                continue
            return drawn
        raise ValueError(f"no targets are known that {self.loss} takes")


def all_kernels() -> Iterator[Kernel]:
    for name in cbp.layers.ACTIVATIONS:
        yield Kernel(f"activation {name}", (16,), (Dense(512, name), Dense(2)), 64)
    for name in cbp.losses.LOSSES:
        yield Kernel(f"loss {name}", (16,), (Dense(128, output_of(name)),), 128, loss=name)
    yield Kernel("loss of steps, labels", (20, 8), (Dense(64, "softmax"),), loss="cross_entropy")
    for name, optimizer in optimizers():
        yield Kernel(f"optimizer {name}", (128,), (Dense(128, "tanh"), Dense(128)), 4, optimizer=optimizer, steps=128)
    for name, (shape, *layers) in LAYERS.items():
        yield Kernel(name, shape, tuple(layers))
    for kind in (RNN, LSTM, GRU):
        yield Kernel(f"{kind.__name__} with lengths", (20, 8), (kind(32), Dense(2)), with_lengths=True)


def output_of(loss: str) -> str:
    """An activation that the loss takes."""
    for output in OUTPUTS:
        try:
            cbp.Network(2, [Dense(2, output)], loss=loss)
        except ValueError:
            continue
        return output
    raise ValueError(f"no activation of {', '.join(OUTPUTS)} suits {loss}")


def optimizers() -> Iterator[tuple[str, cbp.optimizers.Optimizer]]:
    """Every optimizer, and what takes another way through its rule."""
    for name, kind in cbp.optimizers.OPTIMIZERS.items():
        yield name, kind()
        yield f"{name} with decay", kind(weight_decay=0.1)
    yield "momentum", cbp.SGD(0.01, momentum=0.9)
    yield "nesterov", cbp.SGD(0.01, momentum=0.9, nesterov=True)


END = (GlobalAveragePool(), Dense(2))
IMAGE = (10, 10, 3)


def behind_pixels(*layers: Layer, channels: int = 16) -> tuple[Shape | Layer, ...]:
    """Layers that are asked for the gradient of an image."""
    return (IMAGE, Conv2D(channels, 1), *layers, *END)


def behind_steps(*layers: Layer, channels: int = 16) -> tuple[Shape | Layer, ...]:
    return ((64, 4), Dense(channels), *layers, *END)


LAYERS: dict[str, tuple] = {
    "dense, steps": ((32, 16), Dense(64, "relu"), Dense(48), *END),
    "dense, thin": ((4,), Dense(10_000, "tanh"), Dense(2)),
    "conv 3x3": behind_pixels(Conv2D(16, 3, "relu")),
    "conv 3x3 same": behind_pixels(Conv2D(32, 3, padding=1)),
    "conv 3x3, 3 filters": behind_pixels(Conv2D(3, 3), channels=4),
    "conv 3x3, 70 filters": behind_pixels(Conv2D(70, 3)),
    "conv 3x3 stride 2": behind_pixels(Conv2D(16, 3, stride=2, padding=1)),
    "conv 3x3 dilation 2": behind_pixels(Conv2D(16, 3, dilation=2)),
    "conv 1x1 stride 2": behind_pixels(Conv2D(32, 1, stride=2)),
    "conv 3x3, 4 groups": behind_pixels(Conv2D(16, 3, groups=4, padding=1)),
    "conv 3x3, 2 groups, stride 2": behind_pixels(Conv2D(16, 3, groups=2, stride=2)),
    "depthwise 3x3": behind_pixels(DepthwiseConv2D(3, padding=1), channels=32),
    "depthwise 3x3 stride 2": behind_pixels(DepthwiseConv2D(3, stride=2, padding=1, multiplier=2)),
    "depthwise 3x3 dilation 2": behind_pixels(DepthwiseConv2D(3, dilation=2)),
    "separable 3x3": behind_pixels(SeparableConv2D(32, 3, padding=1, activation="relu")),
    "conv1d 5": behind_steps(Conv1D(32, 5, "relu")),
    "conv1d 3 stride 2 dilation 2": behind_steps(Conv1D(32, 3, stride=2, dilation=2)),
    "max pool 2x2": behind_pixels(MaxPool2D(2), channels=32),
    "max pool 3x3 stride 1": behind_pixels(MaxPool2D(3, stride=1, padding=1), channels=32),
    "max pool 1d": behind_steps(MaxPool1D(2), channels=32),
    "average pool 2x2": behind_pixels(AveragePool2D(2), channels=32),
    "average pool 3x3 stride 1": behind_pixels(AveragePool2D(3, stride=1), channels=32),
    "average pool 1d": behind_steps(AveragePool1D(2), channels=32),
    "global max pool": (IMAGE, Conv2D(32, 1), GlobalMaxPool(), Dense(2)),
    "global average pool": (IMAGE, Conv2D(32, 1), GlobalAveragePool(), Dense(2)),
    "batch norm": ((32,), Dense(256), BatchNorm(), Dense(2)),
    "batch norm gelu": ((32,), Dense(256), BatchNorm(activation="gelu"), Dense(2)),
    "batch norm, pixels": behind_pixels(BatchNorm(activation="relu"), channels=32),
    "layer norm": ((32,), Dense(256), LayerNorm(), Dense(2)),
    "layer norm gelu, steps": behind_steps(LayerNorm(activation="gelu"), channels=64),
    "dropout": ((16,), Dense(512), Dropout(0.5), Dense(2)),
    "gaussian noise": ((16,), Dense(512), GaussianNoise(0.1), Dense(2)),
    "embedding": ((32,), Embedding(500, 32), *END),
    "embedding, sparse": ((32,), Embedding(50_000, 32, sparse=True), *END),
    "RNN": ((20, 8), RNN(32), Dense(2)),
    "RNN, sequences": ((20, 8), Dense(16), RNN(32, return_sequences=True), *END),
    "LSTM": ((20, 8), LSTM(32), Dense(2)),
    "LSTM, sequences, reverse": ((20, 8), Dense(16), LSTM(32, return_sequences=True, reverse=True), *END),
    "LSTM, truncated": ((20, 8), LSTM(32, bptt=5), Dense(2)),
    "GRU": ((20, 8), GRU(32), Dense(2)),
    "GRU, sequences": ((20, 8), Dense(16), GRU(32, return_sequences=True), *END),
    "bidirectional LSTM": ((20, 8), Bidirectional(LSTM(32, return_sequences=True)), *END),
    "two GRU": ((20, 8), GRU(32, return_sequences=True), GRU(32), Dense(2)),
    "residual": ((32,), Dense(128), Residual([Dense(128, "relu"), Dense(128)], activation="relu"), Dense(2)),
    "residual, projection": behind_pixels(Residual([Conv2D(24, 3, "relu", stride=2, padding=1)])),
    "flatten 5 channels": ((10, 10, 1), Conv2D(5, 3), Flatten(), Dense(16)),
    "reshape": ((120,), Dense(60), Reshape((12, 5)), Dense(20), *END),
}
if hasattr(cbp, "PReLU"):  # an older checkout, which --against measures with these rows, has not all layers
    LAYERS |= {
        "group norm, pixels": behind_pixels(cbp.GroupNorm(4), channels=32),
        "PReLU": ((32,), Dense(256), cbp.PReLU(), Dense(2)),
    }
KERNELS = tuple(all_kernels())
BY_NAME = {kernel.name: kernel for kernel in KERNELS}
