"""The libraries that are compared, each trained in the fastest way it offers on one core."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Protocol

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


@dataclass(frozen=True)
class Peer:
    """Where a library's trainer is, and how it is to be run.

    A `compiled` peer runs an epoch in one call of its own; the others come back to Python at every step, and a part of
    the epoch tells their time a step.
    """

    title: str
    package: str
    module: str
    how: str
    compiled: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    install: str = BENCH_EXTRA

    @property
    def installed(self) -> bool:
        return find_spec(self.package) is not None

    @property
    def version(self) -> str:
        return metadata.version({"sklearn": "scikit-learn"}.get(self.package, self.package))

    def trainer(self) -> type[Trainer]:
        return import_module(f"bench.peers.{self.module}").Trainer


ONE_THREAD_JAX = "--xla_cpu_multi_thread_eigen=false"
PEERS = {
    "cbp": Peer("cbp", "cbp", "with_cbp", "one net.fit over several epochs, shuffle=False", compiled=True),
    "numpy": Peer("NumPy", "numpy", "with_numpy", "by hand: flat parameters, every result into a buffer made before"),
    "sklearn": Peer(
        "sklearn", "sklearn", "with_sklearn",
        "MLPClassifier or MLPRegressor, one fit over several epochs, shuffle=False",
    ),
    "torch": Peer(
        "PyTorch", "torch", "with_torch", "eager, fused optimizer, tensors loaded before",
        install=f"{BENCH_EXTRA}, after PyTorch itself in the CPU variant of its installation selector",
    ),
    "jax": Peer(
        "JAX", "jax", "with_jax", "one jitted scan over the epoch, arguments donated", compiled=True,
        environment={"XLA_FLAGS": ONE_THREAD_JAX},
    ),
    "jax-tuned": Peer(
        "JAX tuned", "jax", "with_jax", "as JAX, the scan unrolled by 4, XLA told to prefer 512-bit vectors",
        compiled=True,
        environment={"XLA_FLAGS": f"{ONE_THREAD_JAX} --xla_cpu_prefer_vector_width=512", "BENCH_JAX_UNROLL": "4"},
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
