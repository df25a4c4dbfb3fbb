"""What can be asked for on the command line."""

from __future__ import annotations

import argparse
import os
from importlib.util import find_spec
from pathlib import Path

from bench import machine
from bench.groups import GROUPS
from bench.peers import PEERS

CHOSEN = [name for name in PEERS if name != "cbp-rows"]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = _parser()
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 7)
    options.seconds = options.seconds or (0.05 if options.quick else 0.3)
    if options.rounds < 1 or options.seconds <= 0 or options.steps < 1:
        parser.error("--rounds, --seconds and --steps must be above 0")
    if options.core is not None and machine.can_pin() and options.core not in os.sched_getaffinity(0):
        parser.error(f"--core {options.core}: this process may use {', '.join(map(str, sorted(os.sched_getaffinity(0))))}")
    if options.plot and options.profile:
        parser.error("--plot draws the training steps of all libraries; --profile has none, leave one of them out")
    if options.against and not Path(options.against, "cbp").is_dir():
        parser.error(f"--against {options.against}: this folder holds no package cbp")
    if options.plot and not find_spec("matplotlib"):
        parser.error("--plot needs matplotlib: pip install -e '.[plot]'")
    options.peers = _names(parser, "peer", options.peers, CHOSEN)
    options.group = _names(parser, "group", options.group, list(GROUPS))
    options.rows = rows(options.group, options.workload, options.quick)
    if not options.rows:
        parser.error(f"no row of these groups has {' or '.join(options.workload or ['nothing'])} in its name; see --list")
    return options


def rows(groups: list[str], parts: list[str] | None, quick: bool) -> dict[str, list[str]]:
    """The rows to measure, by group: those with one of `parts` in their name, or all, or those of the quick run."""
    found = {}
    names = {row for name in groups for row in GROUPS[name].names}
    for name in groups:
        candidates = GROUPS[name].quick if quick and not parts else GROUPS[name].names
        # A whole name means that row, though others, "... SGD", begin with it.
        wanted = [row for row in candidates if any(part == row if part in names else part in row for part in parts or [""])]
        if wanted:
            found[name] = wanted
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description="the speed of cbp beside other libraries, on one core")
    what = parser.add_argument_group("what is measured")
    what.add_argument("--group", default=",".join(GROUPS), help="comma-separated, of: %(default)s")
    what.add_argument("--workload", action="append", metavar="NAME", help="only rows with this in their name; may be repeated")
    what.add_argument("--peers", default=",".join(CHOSEN), help="comma-separated, of: %(default)s")
    what.add_argument("--profile", action="store_true", help="where the time of cbp's step goes, instead of all else")
    what.add_argument("--against", metavar="FOLDER",
                      help="cbp of another checkout (compiled in place) in turns with this one, instead of all else")
    what.add_argument("--instructions", action="store_true",
                      help="how many instructions of the core a step of the small rows takes, instead of all else (valgrind)")
    what.add_argument("--list", action="store_true", help="say what would be measured, and by which libraries")
    how = parser.add_argument_group("how")
    how.add_argument("--quick", action="store_true", help="some rows of every group, 3 rounds of 0.05 seconds")
    how.add_argument("--rounds", type=int, metavar="N", help="measurements of each (default 7)")
    how.add_argument("--seconds", type=float, help="length of one measurement (default 0.3)")
    how.add_argument("--steps", type=int, default=10**9, metavar="N", help="at most N steps an epoch, to try it out")
    how.add_argument("--core", type=int, help="the core to pin to (default: the one that is idle most)")
    results = parser.add_argument_group("results")
    results.add_argument("--json", metavar="FILE", help="write all measurements there")
    results.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    results.add_argument("--plot", metavar="FILE.png", help="draw the training steps of all libraries (needs matplotlib)")
    results.add_argument("--readme", action="store_true", help="put the tables and the plot into bench/README.md")
    results.add_argument("--load", metavar="FILE", help="measure nothing: take what an earlier run wrote with --json")
    results.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"), help="measure nothing: compare two such files")
    return parser


def _names(parser: argparse.ArgumentParser, what: str, given: str, there: list[str]) -> list[str]:
    names = [name for name in given.split(",") if name]
    for name in names:
        if name not in there:
            parser.error(f"unknown {what} {name!r}; there are {', '.join(there)}")
    return names
