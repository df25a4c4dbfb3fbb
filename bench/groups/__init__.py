"""The parts of the benchmark, each of which can be run alone."""

from __future__ import annotations

from typing import Any, Protocol

from bench.goals import Reached
from bench.groups.accuracy import Accuracy
from bench.groups.inference import Inference
from bench.groups.levels import Levels
from bench.groups.stepping import Stepping
from bench.groups.threads import Threads
from bench.groups.tile import Tile
from bench.groups.training import Training
from bench.groups.xor import Xor
from bench.kernels import KERNELS
from bench.models import CONVOLUTION, RECURRENCE
from bench.table import Table
from bench.turns import How, Series
from bench.workloads import TRAINING, VARIANTS


class Group(Protocol):
    about: str
    names: list[str]
    """Of the rows that it measures."""
    quick: list[str]
    """Those of them that ``--quick`` measures."""

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        """Measure these rows; the result becomes JSON, with rows under "rows"."""

    def own(self, name: str, how: How) -> Series | None:
        """What times cbp alone in this row, for ``--against``; None where a row has no single such time."""

    def tables(self, result: dict[str, Any]) -> list[Table]: ...

    def goals(self, result: dict[str, Any]) -> list[Reached]: ...


GROUPS: dict[str, Group] = {
    "training": Training("microseconds a training step in all libraries, on one core", TRAINING,
                         quick=("64-64-10 b32", "784-128-10 b128"), slow_in_quick=True),
    "variants": Training("the same with other dtypes, optimizers, activations and losses", VARIANTS,
                         quick=("64-64-10 b32 float64",), slow_in_quick=False),
    "convolution": Training("a training step of networks with convolutions", CONVOLUTION,
                            quick=("conv 16-32 8x8x1 b32",), slow_in_quick=False, does="models"),
    "recurrence": Training("a training step of LSTM and GRU", RECURRENCE,
                           quick=("LSTM 64 50x8 b32",), slow_in_quick=False, does="models"),
    "kernels": Training("a training step of small networks around one kernel each", KERNELS,
                        quick=("activation gelu", "conv 3x3", "batch norm gelu"), slow_in_quick=False, does="kernels"),
    "stepping": Stepping(),
    "inference": Inference(),
    "threads": Threads(),
    "levels": Levels(),
    "xor": Xor(),
    "accuracy": Accuracy(),
    "tile": Tile(),
}
