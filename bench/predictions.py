"""The predictions that are measured, and their goals."""

from __future__ import annotations

from dataclasses import dataclass

from bench.workloads import Workload

SMALL = Workload((4, 32, 16, 4), 32, 1, hidden="tanh", loss="half_squared_error")
LARGE = Workload((784, 512, 512, 10), 64, 16)


@dataclass(frozen=True)
class Prediction:
    """One call: a row as an array, a row as a list of Python floats, or some rows."""

    name: str
    net: Workload
    argument: str
    rows: int = 1
    most_us: float | None = None
    least_share: float | None = None
    least_ratio: float | None = None
    """Against ONNX Runtime."""
    bounded: bool = False
    """Whether its limit means anything; a call for one row of a small net waits for Python."""


PREDICTIONS = (
    Prediction("predict_one 4-32-16-4 tanh, array", SMALL, "array", most_us=0.7),
    Prediction("predict_one 4-32-16-4 tanh, list", SMALL, "list"),
    Prediction("predict 784-512-512-10 b1", LARGE, "rows", 1, least_share=1 / 1.3, bounded=True),
    Prediction("predict 784-512-512-10 b64", LARGE, "rows", 64, least_ratio=1.0, bounded=True),
    Prediction("predict 784-512-512-10 b1024", LARGE, "rows", 1024, least_ratio=1.0, bounded=True),
)
BY_NAME = {prediction.name: prediction for prediction in PREDICTIONS}
ONE_ROW_MOST_US = 2.0
"""Goal of `train_on_batch` with one row of the small net."""
