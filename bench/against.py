"""Two checkouts of cbp in one run: the same row in both, in turns, so that a drift of the machine's speed cancels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import turns
from bench.child import ROOT
from bench.compare import summary, verdict
from bench.groups import GROUPS
from bench.progress import say
from bench.table import Table, number, ratio
from bench.turns import How, Row, Series

STARTS = 3
"""Pairs of processes for a row: where a process's memory lands moves its time by a few percent, for as long as it runs."""


def run(rows: dict[str, list[str]], how: How, checkout: str, path: str | None) -> int:
    """Measure the rows that have a time of cbp alone; fails where one of the two cannot do a row."""
    wanted = dict(own_series(rows, how))
    found = []
    for name in say(wanted):
        found.append(measure(name, wanted[name], how, str(Path(checkout).resolve())))
        if path:
            Path(path).write_text(json.dumps({"against": checkout, "rows": found}, indent=1) + "\n")
    print(text(found, checkout))
    return 1 if not found or any("ratio" not in row["series"]["other"] for row in found) else 0


def own_series(rows: dict[str, list[str]], how: How) -> Iterator[tuple[str, Series]]:
    for group, names in rows.items():
        for name in names:
            one = GROUPS[group].own(name, how)
            if one is not None:
                yield f"{group}, {name}", one


def measure(name: str, one: Series, how: How, checkout: str) -> Row:
    """This checkout and the other one, in turns, in several pairs of processes."""
    pair = [replace(one, key="this"), replace(one, key="other", checkout=checkout)]
    found = [turns.measure(name, pair, how, base="this", probe=False) for _ in range(STARTS)]
    return joined(found)


def joined(found: list[Row]) -> Row:
    """One row of several: all their measurements, with medians and ratios of all."""
    row: dict[str, Any] = {"name": found[0]["name"], "series": {}}
    for key in found[0]["series"]:
        parts = [one["series"][key] for one in found]
        failed = next((part for part in parts if "us" not in part), None)
        row["series"][key] = failed or {
            name: [value for part in parts for value in part[name]] for name in ("us", "cpu_per_wall")
        }
    turns.summarise(row["series"], base="this")
    return row


def text(found: list[Row], checkout: str) -> str:
    table = Table(
        f"Microseconds of cbp; {checkout} / {ROOT}, above 1 this one is faster",
        "", "other", "this", "ratio", "spread", "of the fastest", "verdict",
    )
    ratios = []
    for row in found:
        this, other = row["series"]["this"], row["series"]["other"]
        times = [number(one["median_us"]) if "median_us" in one else "failed" for one in (other, this)]
        if "ratio" not in other:
            problem = next(one[word] for one in (this, other) for word in ("error", "unsupported") if word in one)
            table.add(row["name"], *times, "", "", "", problem)
            continue
        ratios.append((other["ratio"], other["ratio_spread"]))
        table.add(row["name"], *times, ratio(other["ratio"]), f"±{other['ratio_spread']:.1%}",
                  ratio(min(other["us"]) / min(this["us"])), verdict(*ratios[-1]))
    return "\n".join([table.text(), summary(ratios)])
