"""Training steps of cbp beside all other libraries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bench import limits, turns
from bench.goals import Reached
from bench.jobs import TRAINABLE, Job
from bench.kernels import Kernel
from bench.peers import PEERS
from bench.progress import say
from bench.table import Table, percent, steady, time
from bench.table import number as microseconds
from bench.turns import How, Row, Series
from bench.workloads import FLOAT64_GOAL, Goal, Workload

AGREE = 1e-2
"""How far the mean losses of an epoch may be apart. scikit-learn adds Adam's epsilon before its correction for the
first steps, where it weighs 30 times as much: that alone is half a percent on the widest net."""
TWIN = "cbp-float32"
"""The series of a float64 net that trains the same net in float32."""


class Training:
    def __init__(
        self, about: str, workloads: tuple[Job, ...], quick: tuple[str, ...], slow_in_quick: bool,
        does: str = "training",
    ):
        """Of all peers those that do what `does` says."""
        self.about, self.names, self.quick = about, [workload.name for workload in workloads], list(quick)
        self.slow_in_quick, self.does = slow_in_quick, does

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        peers = how.who(self.does, self.slow_in_quick)
        return {"rows": [compare(TRAINABLE[name], peers, how) for name in say(names)]}

    def own(self, name: str, how: How) -> Series | None:
        return of_peer("cbp", TRAINABLE[name], how)

    def tables(self, result: dict[str, Any]) -> list[Table]:
        rows = result["rows"]
        return [speed("Microseconds a training step", rows), steadiness(rows)]

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        return [goal for row in result["rows"] for goal in reached(row)]


def compare(workload: Job, peers: Iterable[str], how: How) -> Row:
    """One row: a workload in all `peers`, and in float32 beside its float64."""
    series = [of_peer(peer, workload, how) for peer in peers]
    if workload.dtype == "float64" and any(one.key == "cbp" for one in series):
        series.insert(1, replace(of_peer("cbp", twin(workload), how), key=TWIN))
    row = turns.measure(workload.name, series, how, base="cbp")
    row["description"] = workload.description
    if "machine" in row and not isinstance(workload, Kernel):
        row["limit"] = limits.training_step(workload, **row["machine"])
        if "median_us" in row["series"].get("cbp", {}):
            row["share_of_limit"] = row["limit"]["us"] / row["series"]["cbp"]["median_us"]
    check_agreement(row)
    return row


def of_peer(peer: str, workload: Job, how: How, **settings: Any) -> Series:
    arguments = {
        "peer": peer, "workload": workload.name, "seconds": how.seconds, "most_steps": how.steps(workload.steps), **settings
    }
    return Series(peer, "training", arguments, PEERS[peer].environment)


def twin(workload: Workload) -> Workload:
    return next(
        other for other in TRAINABLE.values()
        if other == replace(workload, dtype="float32", variant="", goal=other.goal)
    )


def check_agreement(row: Row, what: str = "losses") -> None:
    """Mark every series by whether it computed what NumPy did, or the first where NumPy is not there."""
    measured = {key: one for key, one in row["series"].items() if what in one}
    reference = (measured.get("numpy") or next(iter(measured.values()), {})).get(what)
    for one in measured.values():
        differences = (abs(a - b) / max(abs(b), 1e-2) for a, b in zip(one[what], reference, strict=True))
        one["agrees"] = max(differences) <= AGREE


def reached(row: Row) -> list[Reached]:
    """The goals of one row that could be measured."""
    workload, series, found = TRAINABLE[row["name"]], row["series"], []
    goal = workload.goal or Goal()
    for peer, asked in goal.ratios().items():
        if "ratio" in series.get(peer, {}):
            found.append(Reached(row["name"], f"against {PEERS[peer].title}", asked, series[peer]["ratio"]))
    ratios = [one["ratio"] for peer, one in series.items() if "ratio" in one and peer in PEERS]
    if goal.fastest and ratios:
        found.append(Reached(row["name"], "against the fastest", goal.fastest, min(ratios)))
    if goal.share and "share_of_limit" in row:
        found.append(Reached(row["name"], "share of limit", goal.share, row["share_of_limit"], "share"))
    if goal.sample_us and "median_us" in series.get("cbp", {}):
        each = series["cbp"]["median_us"] / workload.batch
        found.append(Reached(row["name"], "µs a sample", goal.sample_us, each, "number", at_least=False))
    if "ratio" in series.get(TWIN, {}):
        found.append(Reached(row["name"], "time / float32 time", FLOAT64_GOAL, 1 / series[TWIN]["ratio"], at_least=False))
    return found


def peers_in(rows: list[Row]) -> list[str]:
    return [name for name in PEERS if any(name in row["series"] for row in rows)]


def speed(what: str, rows: list[Row]) -> Table:
    names = peers_in(rows)
    names.sort(key=lambda name: name != "cbp")
    table = Table(
        f"{what}; (how many times cbp's), above 1 cbp is faster", "net, batch", "limit", "share",
        *(PEERS[name].title for name in names),
    )
    for row in rows:
        limit = microseconds(row["limit"]["us"]) if "limit" in row else ""
        share = percent(row.get("share_of_limit")) if "limit" in row else ""
        table.add(row["name"], limit, share, *(time(row["series"].get(name)) for name in names))
    return table


def steadiness(rows: list[Row]) -> Table:
    names = peers_in(rows)
    table = Table(
        "How steady: half the distance of the quartiles, least cpu time / wall time; the machine meanwhile",
        "net, batch", "GF/s", "GB/s: caches, memory", *(PEERS[name].title for name in names),
    )
    for row in rows:
        machine = row.get("machine")
        rates = " ".join(f"{rate:.0f}" for rate in machine["bandwidth"].values()) if machine else ""
        cells = [f"{machine['gflops']:.0f}" if machine else "", rates]
        table.add(row["name"], *cells, *(steady(row["series"].get(name)) for name in names))
    return table
