"""``python -m bench``: cbp beside other libraries. Options are in ``options.py``, the measurements in ``groups/``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench import against, compare, instructions, machine, plot, profile, readme, report
from bench.child import MeasurementError
from bench.groups import GROUPS
from bench.options import CHOSEN, parse
from bench.peers import PEERS
from bench.turns import How

FORMAT = 2
"""Of the JSON file: 1 had training steps only."""


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.list:
        print(listing(options.rows))
        return 0
    if options.compare:
        print(compare.text(*map(load, options.compare)))
        return 0
    if options.against:
        return against.run(options.rows, how_to(options, ["cbp"]), options.against, options.json)
    if options.instructions:
        return instructions.run(options.rows, options.json)
    if options.profile:
        return profile.run(options.rows, how_to(options, ["cbp"]), options.json)
    results = load(options.load) if options.load else run(options)
    if results is None:
        return 1
    save(results, options.json)
    print(report.markdown(results) if options.markdown else report.text(results))
    if options.plot:
        plot.draw(results, options.plot)
    if options.readme:
        readme.write(results)
    found = report.problems(results)
    for problem in found:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if found else 0


def load(path: str) -> dict[str, Any]:
    try:
        results = json.loads(Path(path).read_text())
    except (OSError, ValueError) as problem:
        sys.exit(f"{path} cannot be read as results of --json: {problem}")
    if not isinstance(results, dict) or "format" not in results:
        sys.exit(f"{path} holds no results of --json")
    if results["format"] != FORMAT:
        sys.exit(f"{path} has format {results['format']}, this is format {FORMAT}: measure it again")
    return results


def run(options: argparse.Namespace) -> dict[str, Any] | None:
    started = time.perf_counter()
    missing = {name: PEERS[name].install for name in options.peers if not PEERS[name].installed}
    for name, install in missing.items():
        print(f"{PEERS[name].title} is not installed and is left out: {install}", file=sys.stderr)
    peers = [name for name in options.peers if name not in missing]
    if not peers:
        return None
    how = how_to(options, peers)
    results: dict[str, Any] = {
        "format": FORMAT, "machine": machine.describe(), "cores": how.cores, "rounds": how.rounds,
        "seconds_per_measurement": how.seconds, "quick": how.quick, "versions": {name: PEERS[name].version for name in peers},
        "missing": missing, "groups": {}, "failed": {},
    }
    for name, rows in options.rows.items():
        print(f"{name}: {GROUPS[name].about}", file=sys.stderr)
        begun = time.perf_counter()
        try:
            results["groups"][name] = GROUPS[name].run(rows, how) | {"seconds": time.perf_counter() - begun}
        except MeasurementError as problem:
            results["failed"][name] = str(problem)
        results["seconds"] = time.perf_counter() - started
        save(results, options.json)  # of a long run that is broken off, what there is by then
    return results


def save(results: dict[str, Any], path: str | None) -> None:
    if path:
        Path(path).write_text(json.dumps(results, indent=1) + "\n")


def how_to(options: argparse.Namespace, peers: list[str]) -> How:
    cores = machine.quiet_cores(options.core)
    if cores is None:
        print("this system cannot pin a process to a core: expect more spread", file=sys.stderr)
    return How(cores, options.rounds, options.seconds, options.steps, tuple(peers), options.quick)


def listing(rows: dict[str, list[str]]) -> str:
    lines = []
    for name, chosen in rows.items():
        lines += [f"{name}: {GROUPS[name].about}", *(f"  {row}" for row in chosen)]
    lines.append("peers:")
    for name in CHOSEN:
        peer = PEERS[name]
        lines.append(f"  {name:14} {peer.how}{'' if peer.installed else f' (not installed: {peer.install})'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
