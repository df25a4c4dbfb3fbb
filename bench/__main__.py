"""``python -m bench``: the speed of a training step in cbp and in other libraries, on one core."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from bench import machine, measure, report
from bench.peers import PEERS
from bench.workloads import QUICK, WORKLOADS

TILE = "tile"
FORMAT = 1
README = Path(__file__).with_name("README.md")
FIGURES = ("<!-- figures: written by python -m bench --readme -->", "<!-- end of figures -->")


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    if options.list:
        print(listing())
        return 0
    started = time.perf_counter()
    missing = [name for name in options.peers if not PEERS[name].installed]
    for name in missing:
        print(f"{PEERS[name].title} is not installed and is left out: {PEERS[name].install}", file=sys.stderr)
    peers = [name for name in options.peers if name not in missing]
    if not peers:
        return 1
    results = run(options, peers)
    results["missing"] = {name: PEERS[name].install for name in missing}
    results["seconds"] = time.perf_counter() - started
    if options.json:
        Path(options.json).write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results) if options.markdown else report.text(results))
    if options.readme:
        put_into_readme(report.markdown(results))
    found = report.problems(results["workloads"])
    for problem in found:
        print(f"problem: {problem}", file=sys.stderr)
    return 1 if found else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("--workload", action="append", metavar="NAME", help="only workloads with this in their name, or"
                        f" '{TILE}' for the matrix product of every build; may be repeated")
    parser.add_argument("--peers", default=",".join(PEERS), help="comma-separated, of: %(default)s")
    parser.add_argument("--rounds", type=int, metavar="N", help="measurements of each (default 7)")
    parser.add_argument("--seconds", type=float, help="length of one measurement (default 0.3)")
    parser.add_argument("--steps", type=int, default=10**9, metavar="N", help="at most N steps an epoch, to try it out")
    parser.add_argument("--quick", action="store_true", help="every other workload, 3 rounds of 0.05 seconds")
    parser.add_argument("--core", type=int, help="the core to pin to (default: the one that is idle most)")
    parser.add_argument("--json", metavar="FILE", help="write all measurements there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--readme", action="store_true", help="put the tables into bench/README.md")
    parser.add_argument("--list", action="store_true", help="say what would be measured, and stop")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.05 if options.quick else 0.3)
    if options.rounds < 1 or options.seconds <= 0 or options.steps < 1:
        parser.error("--rounds, --seconds and --steps must be above 0")
    options.peers = [name for name in options.peers.split(",") if name]
    for name in options.peers:
        if name not in PEERS:
            parser.error(f"unknown peer {name!r}; there are {', '.join(PEERS)}")
    wanted = options.workload or [""]
    candidates = QUICK if options.quick and not options.workload else WORKLOADS
    options.workloads = [workload for workload in candidates if any(part in workload.name for part in wanted)]
    options.tile = any(part in TILE for part in wanted)
    if not options.workloads and not options.tile:
        parser.error(f"no workload has {' or '.join(wanted)} in its name; see --list")
    return options


def run(options: argparse.Namespace, peers: list[str]) -> dict[str, Any]:
    core = machine.quiet_core() if options.core is None else options.core
    if core is None:
        print("this system cannot pin a process to a core: expect more spread", file=sys.stderr)
    results: dict[str, Any] = {
        "format": FORMAT, "machine": machine.describe(), "core": core, "rounds": options.rounds,
        "seconds_per_measurement": options.seconds, "versions": {name: PEERS[name].version for name in peers},
        "workloads": [], "tile": None,
    }
    for number, workload in enumerate(options.workloads if peers else [], 1):
        print(f"{number}/{len(options.workloads)} {workload.name}: {workload.description}", file=sys.stderr)
        results["workloads"].append(
            measure.compare(workload, peers, core, options.rounds, options.seconds, options.steps)
        )
    if options.tile:
        print("matrix product of every build", file=sys.stderr)
        results["tile"] = measure.tile(core, options.rounds, options.seconds / 20)
    return results


def put_into_readme(figures: str) -> None:
    before, rest = README.read_text().split(FIGURES[0])
    after = rest.split(FIGURES[1])[1]
    README.write_text(f"{before}{FIGURES[0]}\n\n{figures}\n\n{FIGURES[1]}{after}")


def listing() -> str:
    lines = ["workloads (net, batch):"]
    lines += [f"  {workload.name:20} {workload.description}" for workload in WORKLOADS]
    lines += [f"  {TILE:20} GF/s of the matrix product of every build", "peers:"]
    for name, peer in PEERS.items():
        lines.append(f"  {name:20} {peer.how}{'' if peer.installed else f' (not installed: {peer.install})'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
