"""Several cores: threads in one fit, several fits at once, and a fit on a machine that is busy with something else."""

from __future__ import annotations

from statistics import mean, median
from typing import Any

from bench import crowd, turns
from bench.goals import Reached
from bench.groups.training import of_peer
from bench.progress import say
from bench.table import DASH, Table, number, percent, ratio, time
from bench.turns import How, Row, Series, spread
from bench.workloads import BY_NAME, TRAINING

MOST = 4
SPEEDUP = {"784-512-512-10 b512": 3.2, "784-128-10 b128": 2.7}
"""Goals of four threads."""
AUTO_MOST = 1.03
"""Goal: time of threads="auto" beside one thread."""
TOGETHER = ("64-64-10 b32", *SPEEDUP)
TOGETHER_LEAST = 0.9
CROWDED = "784-512-512-10 b512"
BUSY = 8


class Threads:
    about = "threads of one fit, fits beside each other, and a busy machine"
    names = [workload.name for workload in TRAINING]  # noqa: RUF012
    quick = ["64-64-10 b32", *SPEEDUP]  # noqa: RUF012

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        cores = MOST if how.cores is None else min(MOST, len(how.cores))
        return {
            "cores": cores,
            "rows": [threads(name, how) for name in say(names)],
            "together": [crowd.together(_series(name, 1, how), cores, how) for name in TOGETHER if name in names],
            "crowded": [
                crowd.beside_busy(_series(CROWDED, count, how, count), BUSY, cores, how)
                for count in (1, MOST) if CROWDED in names
            ],
        }

    def own(self, name: str, how: How) -> None:
        return None

    def tables(self, result: dict[str, Any]) -> list[Table]:
        found = [speedup(result["rows"], result["cores"])]
        found += [together(result["together"], result["cores"])] if result["together"] else []
        found += [crowded(result["crowded"], result["cores"])] if result["crowded"] else []
        return found

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        found = []
        for row in result["rows"]:
            auto, most = row["series"].get("auto", {}), row["series"].get(str(MOST), {})
            if row["name"] in SPEEDUP and "ratio" in most and result["cores"] == MOST:
                found.append(Reached(row["name"], f"{MOST} threads", SPEEDUP[row["name"]], 1 / most["ratio"]))
            if "ratio" in auto:
                found.append(Reached(row["name"], "auto / 1 thread, time", AUTO_MOST, auto["ratio"], at_least=False))
        found += [
            Reached(row["name"], "rate beside others", TOGETHER_LEAST, row["kept"], "share")
            for row in result["together"] if "kept" in row and result["cores"] == MOST
        ]
        found += [
            Reached(row["name"], f"fair share, {row['threads']} threads", 1.0, row["fair"], "share")
            for row in result["crowded"] if "fair" in row and row["threads"] > 1
        ]
        return found


def _series(name: str, count: int | str, how: How, cores: int = 1) -> Series:
    one = of_peer("cbp", BY_NAME[name], how, threads=count)
    return Series(str(count), one.task, one.arguments, one.environment, cores)


def threads(name: str, how: How) -> Row:
    """Every thread on a core of its own, as far as there are cores; `auto` may use as many as the largest number."""
    counts = range(1, MOST + 1) if name in SPEEDUP else [1]
    series = [_series(name, count, how, count) for count in counts]
    return turns.measure(name, [*series, _series(name, "auto", how, MOST)], how, base="1", probe=False)


def speedup(rows: list[Row], cores: int) -> Table:
    keys = [*map(str, range(1, MOST + 1)), "auto"]
    table = Table(
        f"Microseconds a training step by the number of threads, cores: {cores}; (how many times as fast as one thread)",
        "net, batch", *keys,
    )
    for row in rows:
        cells = []
        for key in keys:
            one = row["series"].get(key)
            faster = {**one, "ratio": 1 / one["ratio"]} if one and "ratio" in one else one
            cells.append(time(faster))
        table.add(row["name"], *cells)
    return table


def together(rows: list[Row], cores: int) -> Table:
    table = Table(
        f"Processes of one thread beside each other, one a core, cores: {cores}; microseconds a step, and the share kept of the"
        " rate alone",
        "net, batch", "alone", "beside the others", "kept", "spread",
    )
    for row in rows:
        if "error" in row:
            table.add(row["name"], "failed", DASH, DASH, DASH)
            continue
        alone, beside = median(row["alone_us"]), median(mean(each) for each in row["beside_us"])
        table.add(row["name"], number(alone), number(beside), percent(row["kept"]), f"{row['kept_spread']:.1%}")
    return table


def crowded(rows: list[Row], cores: int) -> Table:
    table = Table(
        f"Beside {BUSY} busy processes, cores: {cores}; microseconds a step, and the rate as a share of a fair one",
        "net, batch", "threads", "quiet", "busy", "times", "fair share", "spread",
    )
    for row in rows:
        if "fair" not in row:
            table.add(row["name"], str(row["threads"]), "failed", *[DASH] * 4)
            continue
        quiet, busy = median(row["quiet_us"]), median(row["busy_us"])
        table.add(row["name"], str(row["threads"]), number(quiet), number(busy), ratio(busy / quiet), percent(row["fair"]),
                  f"{spread(row['busy_us']):.1%}")
    return table
