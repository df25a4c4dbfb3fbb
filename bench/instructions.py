"""Instructions of the core library for one step of small nets, counted by valgrind: the same on a busy machine as on a quiet
one, where a time of 0.2 µs cannot be compared to a percent.

Only what is executed in the core's own file counts, libm and Python do not: from the totals that callgrind keeps for every
object file. The difference of a long and a short run of the same row leaves out what happens once. The build for AVX2 (v3) is
counted, because callgrind knows no AVX-512.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.child import ROOT
from bench.peers import ONE_THREAD
from bench.progress import say
from bench.table import Table

REPEATS = {
    "2-3-1 b4": (5, 405),
    "4-32-16-4 b32": (5, 105),
    "64-64-10 b32": (5, 55),
    "4-32-16-4 b1 train_on_batch": (5, 105),
    "predict_one 4-32-16-4 tanh, array": (5, 1005),
    "LSTM 64 50x8 b1": (2, 7),
}
"""Rows, and how often the short and the long run repeat them: epochs of some steps, or calls."""
MISSING = "valgrind is not installed, and it is what counts: apt-get install valgrind, or your system's package of that name"


class CountingError(RuntimeError):
    """Valgrind, or what it ran, failed."""


def run(rows: dict[str, list[str]], path: str | None) -> int:
    """Count the rows among those asked for that are small enough."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        print(MISSING, file=sys.stderr)
        return 1
    names = [name for name in REPEATS if any(name in chosen for chosen in rows.values())]
    if not names:
        print(f"none of the rows asked for is counted; these are: {', '.join(REPEATS)}", file=sys.stderr)
        return 1
    try:
        found = {name: count(name, valgrind) for name in say(names)}
    except CountingError as problem:
        print(f"problem: {problem}", file=sys.stderr)
        return 1
    if path:
        Path(path).write_text(json.dumps({"instructions": found}, indent=1) + "\n")
    print(table(found).text())
    return 0


def count(name: str, valgrind: str) -> dict[str, Any]:
    (few, fewer), (many, more) = (counted(name, times, valgrind) for times in REPEATS[name])
    steps = more["steps"] - fewer["steps"]
    return {"build": more["build"], "steps": steps, "instructions": (many - few) / steps}


def counted(name: str, times: int, valgrind: str) -> tuple[int, dict[str, Any]]:
    """The core's instructions in one process, and what that said of itself."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "callgrind.out")
        ran = subprocess.run(
            [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}", sys.executable, "-m", "bench.tasks.counted", name,
             str(times)],
            cwd=ROOT, capture_output=True, text=True, check=False,
            env=os.environ | ONE_THREAD | {"CBP_CPU": "v3", "PYTHONHASHSEED": "0"},
        )
        if ran.returncode or not out.exists():
            raise CountingError(f"{name}: {(ran.stderr.strip() or 'valgrind said nothing').splitlines()[-1]}")
        about = json.loads(ran.stdout)
        with out.open() as lines:
            return by_object(lines)[about["object"]], about


def by_object(lines: Iterable[str]) -> Counter[str]:
    """Instructions that each object file executed itself, from a file in callgrind's format.

    A line that begins with a position is a cost of the function above it, whose object file ``ob=`` named last; the one after
    ``calls=`` is what a called function took, which stands with that function too. A name is written out once, behind a number
    in brackets that stands for it from then on.
    """
    totals: Counter[str] = Counter()
    names: dict[str, str] = {}
    here, called = "", False
    for line in lines:
        if line.startswith(("ob=", "cob=")):
            number, name = re.fullmatch(r"c?ob=\((\d+)\)(?: (.*))?", line.rstrip("\n")).groups()  # type: ignore[union-attr]
            if name is not None:
                names[number] = name
            if line.startswith("ob="):
                here = names[number]
        elif line.startswith("calls="):
            called = True
        elif line[0].isdigit() or line[0] in "+-*":
            if not called:
                totals[here] += int(line.split()[1])
            called = False
    return totals


def table(found: dict[str, dict[str, Any]]) -> Table:
    build = next(iter(found.values()))["build"]
    made = Table(f"Instructions of the core library ({build}) a step or call, counted by valgrind", "", "instructions", "steps")
    for name, one in found.items():
        made.add(name, f"{one['instructions']:,.1f}", str(one["steps"]))
    return made
