from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

# One dtype, float32 or float64, for all arrays of numbers of a call.
_Numbers = TypeVar("_Numbers", npt.NDArray[np.float32], npt.NDArray[np.float64], npt.NDArray[Any])
_Doubles = npt.NDArray[np.float64]
_Indices = npt.NDArray[np.intp]
_Records = npt.NDArray[Any]

OPS: Final[dict[str, int]]
MODES: Final[dict[str, int]]
ACTIVATIONS: Final[dict[str, int]]
LOSSES: Final[dict[str, int]]
OPTIMIZERS: Final[dict[str, int]]
STREAMS: Final[dict[str, int]]
KEEPS_SUM: Final[frozenset[str]]
BUILD: Final[str]
OP: Final[np.dtype[np.void]]
RUN: Final[np.dtype[np.void]]

def cpu_level() -> str: ...
def clock() -> float: ...
def run_epochs(
    ops: _Records, run: _Records, parameters: _Numbers, gradient: _Numbers, state: _Numbers, x: _Numbers, targets: _Numbers,
    labels: _Indices, weights: _Numbers, order: _Indices, arena: _Numbers, mirror: _Numbers, curves: _Doubles,
    last_epoch: int, patience: float,
) -> None: ...
def predict(
    ops: _Records, parameters: _Numbers, x: _Numbers, out: _Numbers, arena: _Numbers, piece: int, first: int, patience: float,
) -> int: ...
def vector_jacobian(
    ops: _Records, parameters: _Numbers, gradient: _Numbers, x: _Numbers, d_output: _Numbers, d_input: _Numbers,
    arena: _Numbers, mirror: _Numbers, padded: _Numbers, piece: int, first: int, patience: float,
) -> int: ...
def draw(seed: int, stream: int, counter: int, kind: str, out: _Doubles) -> None: ...
def permutation(seed: int, counter: int, order: _Indices) -> None: ...
def philox(key: int, low: int, high: int) -> tuple[int, int, int, int]: ...
def first_not_finite(x: _Numbers) -> int: ...
def matmul(a: _Numbers, b: _Numbers, c: _Numbers) -> None: ...
def activate(kind: int, z: _Numbers, units: int) -> None: ...
def optimizer_step(
    kind: int, settings: _Doubles, w: _Numbers, g: _Numbers, first: _Numbers, second: _Numbers, times: int,
) -> None: ...
def loss_rows(
    kind: int, fused: bool, delta: float, scale: float, units: int, y_hat: _Numbers, targets: _Numbers, labels: _Indices,
    weights: _Numbers, d: _Numbers, loss: _Doubles, metric: _Doubles, times: int,
) -> None: ...
def logarithms(x: _Doubles) -> None: ...
def dense_naive(
    x: _Numbers, weight: _Numbers, bias: _Numbers, z: _Numbers, dz: _Numbers, d_weight: _Numbers, d_bias: _Numbers,
    dx: _Numbers,
) -> None: ...
def fma_peak(seconds: float) -> float: ...
