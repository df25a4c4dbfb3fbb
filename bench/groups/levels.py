"""The builds of the core for lesser processors, each beside what this machine could do with its instructions."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench import limits, turns
from bench.goals import Reached
from bench.groups.training import of_peer
from bench.progress import say
from bench.table import Table, percent, time
from bench.turns import How, Row, Series
from bench.workloads import BY_NAME, TRAINING


class Levels:
    about = "the builds for AVX-512, AVX2 and the baseline, and the share of their own limits"
    names = [workload.name for workload in TRAINING]  # noqa: RUF012
    quick = ["64-64-10 b32", "784-128-10 b128"]  # noqa: RUF012

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        from cbp.engine.cpu import levels

        found = levels()[::-1]
        return {"levels": found, "rows": [compare(name, found, how) for name in say(names)]}

    def own(self, name: str, how: How) -> None:
        return None

    def tables(self, result: dict[str, Any]) -> list[Table]:
        columns = [cell for level in result["levels"] for cell in (level, "share", "peak GF/s")]
        table = Table(
            "Microseconds a training step of every build, (how many times the first's), the share of its own limit, and its"
            " peak of float32 multiply-adds", "net, batch", *columns,
        )
        for row in result["rows"]:
            cells = []
            for level in result["levels"]:
                one = row["series"].get(level, {})
                rate = one.get("gflops")
                cells += [time(one), percent(one.get("share_of_limit")), f"{rate:.0f}" if rate else ""]
            table.add(row["name"], *cells)
        return [table]

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        return []


def compare(name: str, levels: list[str], how: How) -> Row:
    workload, series = BY_NAME[name], []
    for level in levels:
        training = of_peer("cbp", workload, how)
        environment = {"CBP_CPU": level}
        series += [
            Series(f"{level} peak", "peak", {}, environment),
            Series(level, training.task, training.arguments, environment),
        ]
    row = turns.measure(name, series, how, base=levels[0])
    for level in levels:
        peak, one = row["series"].pop(f"{level} peak"), row["series"][level]
        if "gflops" in peak and "machine" in row and "median_us" in one:
            one["gflops"] = median(peak["gflops"])
            one["limit"] = limits.training_step(workload, one["gflops"], row["machine"]["bandwidth"])
            one["share_of_limit"] = one["limit"]["us"] / one["median_us"]
    return row
