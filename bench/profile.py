"""Where the time of cbp's training step goes, by phase."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from bench import turns
from bench.jobs import TRAINABLE
from bench.progress import say
from bench.table import Table, number
from bench.turns import How, Row, Series

WIDTH = 40


def run(rows: dict[str, list[str]], how: How, path: str | None) -> int:
    """Profile the training workloads among the rows that were asked for."""
    names = list(dict.fromkeys(name for group in rows.values() for name in group if name in TRAINABLE))
    found = [measure(name, how) for name in say(names)]
    for row in found:
        problem = row["series"]["cbp"].get("error") or row["series"]["cbp"].get("unsupported")
        print(f"{row['name']}: {problem}" if problem else table(row).text())
    if path:
        Path(path).write_text(json.dumps(found, indent=1) + "\n")
    failed = not found or any("phases" not in row["series"]["cbp"] for row in found)
    if not names:
        print("none of the rows asked for is a training workload; --list names them", file=sys.stderr)
    return 1 if failed else 0


def measure(name: str, how: How) -> Row:
    arguments = {"workload": name, "most_steps": how.steps(TRAINABLE[name].steps)}
    return turns.measure(name, [Series("cbp", "phases", arguments)], how, base="cbp", probe=False)


def table(row: Row) -> Table:
    """Medians over the rounds of every phase, with a bar for its share."""
    rounds = row["series"]["cbp"]["phases"]
    phases = {name: median(one[name] for one in rounds) for name in rounds[0]}
    whole = sum(phases.values())
    made = Table(f"{row['name']}: {number(whole)} µs a step", "phase", "µs", "share", " " * WIDTH)
    for name, taken in phases.items():
        bar = "█" * round(WIDTH * taken / whole)
        made.add(name, number(taken), f"{taken / whole:.1%}", bar.ljust(WIDTH))
    return made
