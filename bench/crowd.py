"""Measurements that are not alone on the machine: beside others like them, and beside processes that do nothing but run."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import mean, median

from bench.child import Child, MeasurementError
from bench.turns import How, Row, Series, spread

SPIN = """
import os
parent = os.getppid()
while os.getppid() == parent:  # ends with the one that started it, however that ends
    for _ in range(10**6):
        pass
"""
CROWDED_SECONDS = 0.5
"""Shortest measurement beside busy processes: many turns of the scheduler."""


def together(one: Series, count: int, how: How) -> Row:
    """The rate of a process alone, and of `count` of them at the same time, each on its own core."""
    row: Row = {"name": one.arguments["workload"], "alone_us": [], "beside_us": []}
    try:
        with ExitStack() as stack:
            cores: list[list[int] | None] = [[core] for core in how.cores[:count]] if how.cores else [None] * count
            children = [stack.enter_context(Child(one.task, core, one.arguments, one.environment)) for core in cores]
            for _ in range(how.rounds):
                row["alone_us"].append(children[0].measure(how.seconds)["us"])
                for child in children:
                    child.ask(how.seconds)
                row["beside_us"].append([child.answer()["us"] for child in children])
    except MeasurementError as problem:
        return {"name": row["name"], "error": str(problem)}
    kept = [alone / mean(beside) for alone, beside in zip(row["alone_us"], row["beside_us"], strict=True)]
    return row | {"kept": median(kept), "kept_spread": spread(kept)}


def beside_busy(one: Series, busy: int, cores: int, how: How) -> Row:
    """A fit with threads on a quiet machine and, in turns, with busy processes on the same cores.

    Of `cores` cores, n threads among n + `busy` have a fair share of n cores / (n + busy), so that a step may take
    (n + busy) / cores times as long; "fair" is that over what was measured.
    """
    threads = one.arguments["threads"]
    row: Row = {"name": one.arguments["workload"], "threads": threads}
    quiet, crowded = [], []
    seconds = max(how.seconds, CROWDED_SECONDS)
    try:
        with Child(one.task, how.first(cores), one.arguments, one.environment) as child:
            for _ in range(how.rounds):
                quiet.append(child.measure(seconds)["us"])
                with spinning(busy, how.first(cores)):
                    crowded.append(child.measure(seconds)["us"])
    except MeasurementError as problem:
        return row | {"error": str(problem)}
    slower = [with_others / alone for with_others, alone in zip(crowded, quiet, strict=True)]
    fair = max(1.0, (threads + busy) / cores)
    return row | {"quiet_us": quiet, "busy_us": crowded, "fair": fair / median(slower)}


@contextmanager
def spinning(count: int, cores: list[int] | None) -> Iterator[None]:
    """So many processes that keep these cores busy."""
    prefix = "" if cores is None else f"import os; os.sched_setaffinity(0, {cores})\n"
    processes = [subprocess.Popen([sys.executable, "-c", prefix + SPIN]) for _ in range(count)]
    try:
        time.sleep(0.2)  # for their start
        yield
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
