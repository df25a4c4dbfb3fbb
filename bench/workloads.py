"""The networks whose training is measured, from one that fits a register to one that fills the caches, and their goals.

A regression net has identity outputs and the loss ``sum((ŷ - y)²) / 2`` a sample (its gradient is the same in every
library without a factor), a classification net has softmax outputs and cross entropy. The data are random, drawn from
a fixed seed, with targets that can partly be learned, so that gradients neither vanish nor grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating]
Targets = npt.NDArray[np.floating] | npt.NDArray[np.int64]

MOMENTS = {"sgd": 0, "momentum": 1, "adam": 2}
"""Numbers that an optimizer remembers for each parameter."""
MOMENTUM = 0.9
FLOAT64_GOAL = 2.3
"""Goal: a step in float64 takes at most so many times one in float32."""


@dataclass(frozen=True)
class Goal:
    """What cbp is to reach on a net: so many times as fast as a library, and this share of the machine's limit."""

    jax: float | None = None
    eager: float | None = None
    """Against PyTorch's eager mode, and against scikit-learn."""
    share: float | None = None
    fastest: float | None = None
    """Against the fastest of the other libraries that were measured."""
    sample_us: float | None = None
    """At most so many microseconds of a step for every sample of the batch."""

    def ratios(self) -> dict[str, float]:
        """By peer."""
        wanted = {"jax": self.jax, "torch": self.eager, "sklearn": self.eager}
        return {peer: asked for peer, asked in wanted.items() if asked}


@dataclass(frozen=True)
class Workload:
    """One network, its optimizer, and how many batches make an epoch."""

    sizes: tuple[int, ...]
    batch: int
    steps: int
    hidden: str = "relu"
    loss: str = "cross_entropy"
    optimizer: str = "adam"
    rate: float = 1e-3
    dtype: str = "float32"
    variant: str = ""
    """What sets a net apart from another of the same sizes, for its name."""
    goal: Goal | None = None
    random: ClassVar[bool] = False
    trainers: ClassVar[str] = "bench.peers"
    """The package where the libraries' trainers of such a network are."""

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes)) + f" b{self.batch}" + (f" {self.variant}" if self.variant else "")

    @property
    def classifies(self) -> bool:
        return self.loss == "cross_entropy"

    @property
    def classes(self) -> int:
        return self.sizes[-1]

    @property
    def description(self) -> str:
        output = "softmax, cross entropy" if self.classifies else "identity, half squared error"
        return f"{self.dtype}, {self.hidden}, {output}, {self.optimizer}({self.rate:g}), {self.steps} steps an epoch"

    @property
    def parameters(self) -> int:
        return sum((inputs + 1) * units for inputs, units in self.layers())

    @property
    def flops(self) -> int:
        """Floating-point operations of a step's matrix products: forward and weight gradient, and the gradient of the
        input in all layers but the first; biases, activations and the update are left out."""
        return sum(
            2 * self.batch * inputs * units * (3 if index else 2) for index, (inputs, units) in enumerate(self.layers())
        )

    @property
    def itemsize(self) -> int:
        return np.dtype(self.dtype).itemsize

    @property
    def state_bytes(self) -> int:
        """Memory that an update works on: every parameter, its gradient and its moments."""
        return self.parameters * (2 + MOMENTS[self.optimizer]) * self.itemsize

    @property
    def update_bytes(self) -> int:
        """Memory traffic of an update: read the gradient; read and write the parameter and every moment."""
        return self.parameters * (3 + 2 * MOMENTS[self.optimizer]) * self.itemsize

    @property
    def activation_bytes(self) -> int:
        """Every activation and its delta, written once and read once."""
        return self.batch * sum(self.sizes[1:]) * 4 * self.itemsize

    def layers(self) -> Iterator[tuple[int, int]]:
        return pairwise(self.sizes)

    def data(self, steps: int) -> tuple[Array, Targets]:
        """The first `steps` batches: inputs of mean 0 and variance 1, and labels or numbers with noise."""
        rows = steps * self.batch
        inputs, noise, teacher = (np.random.default_rng([2, self.sizes[0], part]) for part in range(3))
        X = inputs.random((rows, self.sizes[0]), dtype=np.float32)
        X -= 0.5
        X *= np.float32(12**0.5)
        seen = min(self.sizes[0], 32)
        signal = X[:, :seen] @ teacher.standard_normal((seen, self.sizes[-1]), dtype=np.float32) / np.float32(seen**0.5)
        signal += noise.standard_normal(signal.shape, dtype=np.float32) * np.float32(0.5)
        X = X.astype(self.dtype, copy=False)
        return X, signal.argmax(axis=1) if self.classifies else signal.astype(self.dtype, copy=False)

    def weights(self) -> list[Array]:
        """Initial weights of every layer, of shape (inputs, units): normal, He's or LeCun's deviation. Biases are 0."""
        draws = np.random.default_rng(1)
        gain = 2 if self.hidden == "relu" else 1
        return [
            (draws.standard_normal((inputs, units), dtype=np.float32) * np.float32((gain / inputs) ** 0.5)).astype(self.dtype)
            for inputs, units in self.layers()
        ]


# Two nets have a rate of 1e-4: at 1e-3 the noise in their targets kills relu units within a few epochs. The moments of
# a dead unit decay into subnormal numbers, and the row would then show how a library treats those: JAX takes them for 0,
# in the others every step becomes 5 to 10 % slower.
TRAINING = (
    Workload((2, 3, 1), 4, 100_000, loss="half_squared_error", optimizer="sgd", rate=0.05, goal=Goal(4, 300)),
    Workload((4, 32, 16, 4), 32, 10_000, hidden="tanh", loss="half_squared_error", goal=Goal(6, 100, 0.65)),
    Workload((64, 64, 64, 4), 1, 20_000, loss="half_squared_error", rate=1e-4, goal=Goal(2.5, 70, 0.65)),
    Workload((64, 64, 10), 32, 4_000, goal=Goal(3.3, 38, 0.75)),
    Workload((784, 128, 10), 128, 200, goal=Goal(1.4, 3.9, 0.85)),
    Workload((256, 256, 256, 256), 64, 400, loss="half_squared_error", rate=1e-4, goal=Goal(1.38, 3.1, 0.83)),
    Workload((784, 512, 512, 10), 32, 200, goal=Goal(1.35, 2.8, 0.86)),
    Workload((784, 512, 512, 10), 256, 48, goal=Goal(1.35, 2.8, 0.86)),
    Workload((784, 512, 512, 10), 512, 24, goal=Goal(1.35, 2.8, 0.86)),
)
VARIANTS = (
    Workload((64, 64, 10), 32, 4_000, dtype="float64", variant="float64"),
    Workload((784, 128, 10), 128, 200, dtype="float64", variant="float64"),
    Workload((784, 512, 512, 10), 256, 48, dtype="float64", variant="float64"),
    Workload((64, 64, 10), 32, 4_000, optimizer="sgd", rate=0.05, variant="SGD"),
    Workload((784, 128, 10), 128, 200, optimizer="sgd", rate=0.05, variant="SGD"),
    Workload((64, 64, 10), 32, 4_000, optimizer="momentum", rate=0.01, variant="momentum"),
    Workload((784, 128, 10), 128, 200, optimizer="momentum", rate=0.01, variant="momentum"),
    Workload((64, 64, 10), 32, 4_000, hidden="sigmoid", variant="sigmoid"),
    Workload((64, 64, 10), 32, 4_000, hidden="tanh", variant="tanh"),
    Workload((13, 100, 1), 32, 10_000, loss="half_squared_error", variant="regression"),
)
ONE_ROW = Workload((4, 32, 16, 4), 1, 10_000, hidden="tanh", loss="half_squared_error", variant="train_on_batch")
BY_NAME = {workload.name: workload for workload in (*TRAINING, *VARIANTS, ONE_ROW)}
