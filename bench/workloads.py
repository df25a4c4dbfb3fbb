"""What is measured: eight networks, from one that fits a register to one that fills the caches.

All are float32. A regression net has identity outputs and the loss ``sum((ŷ - y)²) / 2`` a sample (its gradient is
the same in every library without a factor), a classification net has softmax outputs and cross entropy. The data are
random, drawn from a fixed seed, with targets that can partly be learned, so that gradients neither vanish nor grow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
Targets = npt.NDArray[np.float32] | npt.NDArray[np.int64]

UPDATE_BYTES = {"sgd": 12, "adam": 28}
"""Memory traffic of an update, a parameter: read the gradient; read and write the parameter and every moment."""
STATE_BYTES = {"sgd": 8, "adam": 16}
"""Memory that an update works on, a parameter: the parameter, its gradient, every moment."""


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

    @property
    def name(self) -> str:
        return "-".join(map(str, self.sizes)) + f" b{self.batch}"

    @property
    def classifies(self) -> bool:
        return self.loss == "cross_entropy"

    @property
    def description(self) -> str:
        output = "softmax, cross entropy" if self.classifies else "identity, half squared error"
        return f"{self.hidden}, {output}, {self.optimizer}({self.rate:g}), {self.steps} steps an epoch"

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
    def state_bytes(self) -> int:
        return self.parameters * STATE_BYTES[self.optimizer]

    @property
    def update_bytes(self) -> int:
        return self.parameters * UPDATE_BYTES[self.optimizer]

    @property
    def activation_bytes(self) -> int:
        """Every activation and its delta, written once and read once."""
        return self.batch * sum(self.sizes[1:]) * 4 * 4

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
        if self.classifies:
            return X, signal.argmax(axis=1)
        return X, signal

    def weights(self) -> list[Array]:
        """Initial weights of every layer, of shape (inputs, units): normal, He's or LeCun's deviation. Biases are 0."""
        draws = np.random.default_rng(1)
        gain = 2 if self.hidden == "relu" else 1
        return [
            draws.standard_normal((inputs, units), dtype=np.float32) * np.float32((gain / inputs) ** 0.5)
            for inputs, units in self.layers()
        ]


# Two nets have a rate of 1e-4: at 1e-3 the noise in their targets kills relu units within a few epochs. The moments of
# a dead unit decay into subnormal numbers, and the row would then show how a library treats those: JAX takes them for 0,
# in the others every step becomes 5 to 10 % slower.
WORKLOADS = (
    Workload((2, 3, 1), 4, 100_000, loss="half_squared_error", optimizer="sgd", rate=0.05),
    Workload((4, 32, 16, 4), 32, 10_000, hidden="tanh", loss="half_squared_error"),
    Workload((64, 64, 64, 4), 1, 20_000, loss="half_squared_error", rate=1e-4),
    Workload((64, 64, 10), 32, 4_000),
    Workload((784, 128, 10), 128, 200),
    Workload((256, 256, 256, 256), 64, 400, loss="half_squared_error", rate=1e-4),
    Workload((784, 512, 512, 10), 32, 200),
    Workload((784, 512, 512, 10), 256, 48),
)
QUICK = WORKLOADS[1::2]
BY_NAME = {workload.name: workload for workload in WORKLOADS}
