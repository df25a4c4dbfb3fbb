from typing import Any, Final, TypeVar, final

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
TAKES_LABELS: Final[frozenset[str]]
OPTIMIZERS: Final[dict[str, int]]
STATES: Final[dict[str, int]]
SOURCES: Final[dict[str, int]]
STREAMS: Final[dict[str, int]]
KEEPS_SUM: Final[frozenset[str]]
MOST_THREADS: Final[int]
DEEP: Final[int]
PHASES: Final[tuple[str, ...]]
READY: Final[dict[str, int]]
BUILD: Final[str]
COMPILER: Final[str]
OP: Final[np.dtype[np.void]]
RUN: Final[np.dtype[np.void]]

@final
class Team:
    def __new__(cls, members: int) -> Team: ...
    def work(self, member: int) -> None: ...
    def __enter__(self) -> Team: ...
    def __exit__(self, *exception: object) -> None: ...

@final
class Exclusive:
    def __new__(cls, lock: object) -> Exclusive: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *exception: object) -> None: ...

def cpu_level() -> str: ...
def clock() -> float: ...
def source(array: npt.NDArray[Any], dtype: int) -> bytes: ...
def run_epochs(
    ops: _Records, run: _Records, parameters: _Numbers, gradient: _Numbers, parts: _Numbers, state: _Numbers,
    statistics: _Numbers, carry: _Numbers, x: bytes, targets: bytes, labels: _Indices, weights: _Numbers, lengths: _Indices, order: _Indices,
    arena: _Numbers, workspace: _Numbers, scratch: _Numbers, row_results: _Doubles, row_labels: _Indices,
    row_lengths: _Indices, curves: _Doubles, last_epoch: int, patience: float, team: Team | None, laps: _Doubles,
) -> None: ...
def needs(ops: _Records) -> tuple[float, float, float, float]: ...
def predict(
    ops: _Records, parameters: _Numbers, statistics: _Numbers, x: bytes, lengths: _Indices, carry: _Numbers,
    out: _Numbers, arena: _Numbers, workspace: _Numbers, scratch: _Numbers, piece: int, first: int, patience: float,
) -> int: ...
def step_ready(
    ops: _Records, parameters: _Numbers, statistics: _Numbers, carry: _Numbers, arena: _Numbers, workspace: _Numbers,
    scratch: _Numbers, x: object, flat: bool,
) -> _Numbers | Any: ...
def predict_ready(
    ops: _Records, parameters: _Numbers, x: object, dimensions: int, most: int, flat: bool,
) -> _Numbers | Any: ...
def train_ready(
    busy: object, numbers: object, held: object, chosen: object, run: _Records, ops: _Records, parameters: _Numbers,
    state: _Numbers, gradient: _Numbers, arena: _Numbers, scratch: _Numbers, before: _Numbers, targets: _Numbers, x: object,
    y: object, most: int,
) -> float | None: ...
def vector_jacobian(
    ops: _Records, run: _Records, parameters: _Numbers, gradient: _Numbers, parts: _Numbers, statistics: _Numbers, x: bytes,
    lengths: _Indices, d_output: bytes, d_input: _Numbers, arena: _Numbers, workspace: _Numbers, scratch: _Numbers,
    rows: _Numbers, first: int, patience: float,
) -> int: ...
def draw(seed: int, stream: int, counter: int, kind: str, out: _Doubles) -> None: ...
def permutation(seed: int, counter: int, order: _Indices) -> None: ...
def philox(key: int, low: int, high: int) -> tuple[int, int, int, int]: ...
def first_not_finite(x: _Numbers) -> int: ...
