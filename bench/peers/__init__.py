"""The libraries that are compared, each trained in the fastest way it offers on one core."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np

from bench.workloads import Array, Targets, Workload

BENCH_EXTRA = "pip install -e '.[bench]'"


class Trainer(Protocol):
    """One network in one library, ready to train: built from a workload, its rows and its initial weights."""

    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]): ...

    def train(self, epochs: int) -> None:
        """Go through the batches in their order, `epochs` times."""

    def losses(self, epochs: int) -> list[float]:
        """The same, and for each epoch the mean over its batches of the loss before the update."""


class Predictor(Protocol):
    """One network in one library, for predictions from NumPy arrays to NumPy arrays."""

    def __init__(self, workload: Workload, weights: list[Array]): ...

    def many(self, X: Array) -> Array:
        """Outputs of the rows of X."""

    def one(self, x: Array) -> Array:
        """Outputs of one row, given and returned as the library likes it best."""

    def one_of_floats(self, x: list[float]) -> Array:
        """Outputs of one row that is a list of Python floats."""


class Stepper(Protocol):
    """One recurrent layer in one library that keeps its state from call to call."""

    def __init__(self, model: Any, weights: Any): ...

    def step(self, x: Array) -> Array:
        """The output (units,) after the next time step x (features,)."""


class Learner(Protocol):
    """A network that is given the rows of every epoch anew, in the order in which to take them."""

    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]): ...

    def epoch(self, X: Array, y: Targets) -> float:
        """Train on the batches in their order; the mean over them of the loss before the update."""

    def accuracy(self, X: Array, y: Targets) -> float: ...


@dataclass(frozen=True)
class Peer:
    """Where a library's classes are, and how they are to be run.

    A peer of `whole_epochs` runs an epoch in one call of its own; the others come back to Python at every step, and a
    part of the epoch tells their time a step. One of `slow_start` compiles for seconds.
    """

    title: str
    package: str
    module: str
    how: str
    does: frozenset[str] = frozenset({"training", "models"})
    whole_epochs: bool = False
    slow_start: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    install: str = BENCH_EXTRA

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None

    @property
    def library(self) -> str:
        """The name of the library, of which several peers may be uses."""
        return {"torch": "PyTorch", "jax": "JAX"}.get(self.package, self.title)

    @property
    def version(self) -> str:
        return metadata.version({"sklearn": "scikit-learn"}.get(self.package, self.package))

    def trainer(self, package: str = "bench.peers", **settings: Any) -> Callable[..., Trainer]:
        """Of the networks whose trainers are in this package."""
        return partial(self._class("Trainer", package), **self.settings, **settings)

    def predictor(self) -> type[Predictor]:
        return self._class("Predictor")

    def stepper(self) -> type[Stepper]:
        return self._class("Stepper", "bench.peers.models")

    def learner(self) -> type[Learner]:
        return self._class("Learner")

    def _class(self, name: str, package: str = "bench.peers") -> Any:
        return getattr(import_module(f"{package}.{self.module}"), name)


EVERYTHING = frozenset({"training", "models", "kernels", "row", "state", "inference", "accuracy"})
"""What peers do: steps of training dense nets, other models and nets around one kernel, steps of a single row given from
Python, time steps of a recurrent net that keeps its state, predictions, learning the digits."""
PYTORCH = f"{BENCH_EXTRA}, after PyTorch itself in the CPU variant of its installation selector"
ONE_THREAD_JAX = "--xla_cpu_multi_thread_eigen=false"
PEERS = {
    "cbp": Peer(
        "cbp", "cbp", "with_cbp", "one net.fit over several epochs, shuffle=False", EVERYTHING - {"row"}, whole_epochs=True,
    ),
    "cbp-rows": Peer(
        "cbp", "cbp", "with_cbp", "net.train_on_batch", frozenset({"row"}), settings={"batch_by_batch": True},
    ),
    "numpy": Peer(
        "NumPy", "numpy", "with_numpy", "by hand: flat parameters, every result into a buffer made before",
        EVERYTHING - {"accuracy", "models", "kernels", "state"},
    ),
    "sklearn": Peer(
        "sklearn", "sklearn", "with_sklearn",
        "MLPClassifier or MLPRegressor, one fit over several epochs, shuffle=False", frozenset({"training", "accuracy"}),
    ),
    "torch": Peer(
        "PyTorch", "torch", "with_torch", "eager, fused optimizer, tensors loaded before", EVERYTHING, install=PYTORCH,
    ),
    "torch-compile": Peer(
        "torch.compile", "torch", "with_torch_compile",
        "the whole step as one compiled graph, called from compiled code", frozenset({"training", "models", "row"}),
        slow_start=True, install=PYTORCH,
    ),
    "jax-step": Peer(
        "JAX step", "jax", "with_jax", "one jitted call a step, arguments donated", frozenset({"training", "row", "state"}),
        settings={"scan": False}, environment={"XLA_FLAGS": ONE_THREAD_JAX},
    ),
    "jax": Peer(
        "JAX scan", "jax", "with_jax", "one jitted scan over the epoch, arguments donated", whole_epochs=True,
        environment={"XLA_FLAGS": ONE_THREAD_JAX},
    ),
    "jax-tuned": Peer(
        "JAX tuned", "jax", "with_jax",
        "as JAX scan, unrolled by 4, convolutions as products with slices, XLA told to prefer 512-bit vectors",
        whole_epochs=True, slow_start=True, settings={"unroll": 4},
        environment={"XLA_FLAGS": f"{ONE_THREAD_JAX} --xla_cpu_prefer_vector_width=512"},
    ),
    "onnx": Peer(
        "ONNX Runtime", "onnxruntime", "with_onnx", "one thread, all graph optimizations", frozenset({"inference"}),
    ),
}
ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1"),
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
}
"""Environment of every process that measures."""


def batches(X: np.ndarray, y: np.ndarray, size: int) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(X[start : start + size], y[start : start + size]) for start in range(0, len(X), size)]
