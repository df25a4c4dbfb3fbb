"""Measurements in turns (machine, A, B, C, machine, A, B, C, ...), their medians, spreads and ratios of neighbours."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

from bench import machine
from bench.child import Child, MeasurementError
from bench.peers import PEERS

DISTURBED = 0.95
"""Below this share of its core a measurement was disturbed by another process, and is taken again."""
RETRIES = 3


@dataclass(frozen=True)
class How:
    """Where and how long to measure."""

    cores: list[int] | None
    """The quietest first; None where a process cannot be pinned."""
    rounds: int
    seconds: float
    most_steps: int = 10**9
    peers: tuple[str, ...] = ()
    quick: bool = False

    def first(self, count: int) -> list[int] | None:
        return None if self.cores is None else self.cores[:count]

    def who(self, does: str, slow: bool = True) -> list[str]:
        """The peers that do this; a quick run has those that are slow to start only where `slow` asks for them."""
        return [
            name for name in self.peers
            if does in PEERS[name].does and (slow or not self.quick or not PEERS[name].slow_start)
        ]

    def steps(self, full: int) -> int:
        """Most steps an epoch, of a workload that has so many."""
        return min(self.most_steps, max(8, full // 6) if self.quick else full)


@dataclass(frozen=True)
class Series:
    """One thing that is measured again and again beside others: a task in a process of its own."""

    key: str
    task: str
    arguments: dict[str, Any]
    environment: dict[str, str] = field(default_factory=dict)
    cores: int = 1
    checkout: str | None = None
    """The folder that cbp comes from, where it is not this one."""


Row = dict[str, Any]
WATCHER = Series("machine", "machine", {})


def measure(name: str, wanted: Iterable[Series], how: How, base: str, probe: bool = True) -> Row:
    """One row: every series in turns, with the machine between them, and their ratios to the series `base`.

    What fails or cannot be done is said in place of its measurements, and the others go on.
    """
    row: Row = {"name": name, "series": {}}
    probes = []
    with ExitStack() as stack:
        wanted = list(wanted)
        watcher, *children = _started(stack, row["series"], [WATCHER, *wanted] if probe else [None, *wanted], how)
        for _ in range(how.rounds):
            if watcher:
                probes += _probed(watcher, how)
            for one, child in zip(wanted, children, strict=True):
                if child and "error" not in row["series"][one.key]:
                    _once(row["series"], one, child, how)
    if probes:
        row["probes"], row["machine"] = probes, average(probes)
    summarise(row["series"], base)
    return row


def _started(stack: ExitStack, found: dict[str, Any], wanted: list[Series | None], how: How) -> list[Child | None]:
    """A process for each, all of which get ready at the same time as far as there are cores."""
    children = []
    for place, one in enumerate(wanted):
        alone = one is not None and one.cores == 1 and how.cores and machine.can_move()
        start = [how.cores[place % len(how.cores)]] if alone else None
        children.append(one and Child(one.task, how.first(one.cores), one.arguments, one.environment, start, one.checkout))
    return [child and _ready(stack, found, one.key, child) for one, child in zip(wanted, children, strict=True)]


def _ready(stack: ExitStack, found: dict[str, Any], key: str, child: Child) -> Child | None:
    try:
        stack.enter_context(child)
    except MeasurementError as problem:
        found[key] = {"error": str(problem)}
        return None
    if "unsupported" in child.about:
        found[key] = child.about
        return None
    if key != WATCHER.key:
        found[key] = {**child.about, "us": []}
    return child


def _probed(watcher: Child, how: How) -> list[dict[str, Any]]:
    """What the machine can do just now; nothing if the probe has died."""
    try:
        return [watcher.measure(how.seconds / 4)]
    except MeasurementError:
        return []


def _once(found: dict[str, Any], one: Series, child: Child, how: How) -> None:
    try:
        answer = undisturbed(child, how.seconds) if one.cores == 1 else child.measure(how.seconds)
    except MeasurementError as problem:
        found[one.key] = {"error": str(problem)}
        return
    for name, value in answer.items():
        found[one.key].setdefault(name, []).append(value)


def undisturbed(child: Child, seconds: float) -> dict[str, Any]:
    """A measurement during which the process had its core; the best in this respect of a few if there was none."""
    answers = []
    for _ in range(RETRIES):
        answers.append(child.measure(seconds))
        if answers[-1].get("cpu_per_wall", 1) >= DISTURBED:
            break
        time.sleep(seconds)  # for the other process to end
    return max(answers, key=lambda answer: answer.get("cpu_per_wall", 1))


def summarise(series: dict[str, Any], base: str) -> None:
    """Add medians, and the ratios to `base`: above 1 the base is faster."""
    measured = {key: one for key, one in series.items() if one.get("us")}
    for key, one in measured.items():
        one["median_us"] = statistics.median(one["us"])
        one["spread"] = spread(one["us"])
        if base in measured and key != base:
            # of neighbours in time, so that a drift of the machine's speed cancels
            ratios = [other / mine for other, mine in zip(one["us"], measured[base]["us"], strict=True)]
            one["ratio"] = statistics.median(ratios)
            one["ratio_spread"] = spread(ratios)


def spread(values: list[float]) -> float:
    """Half the distance between the quartiles, as a share of the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


def average(probes: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians of what the machine could do."""
    return {
        "gflops": statistics.median(probe["gflops"] for probe in probes),
        "bandwidth": {
            level: statistics.median(probe["bandwidth"][level] for probe in probes) for level in probes[0]["bandwidth"]
        },
    }
