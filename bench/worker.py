"""The process that measures one thing: pinned first, then importing, then moved to where it is to be measured, then
answering one line of JSON a question.

Started by ``child.py`` with the task as JSON in its argument. Every line on its input is a number of seconds to measure
for.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from bench.tasks import start
from bench.unsupported import Unsupported


def main() -> None:
    request = json.loads(sys.argv[1])
    if request["start"] is not None:
        os.sched_setaffinity(0, request["start"])
    if request["checkout"] is not None:
        put_first(request["checkout"])
    # Answers go out on a channel of their own: whatever a library prints goes to the error stream.
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)
        try:
            task = start(request["task"], request["arguments"])
        except Unsupported as reason:
            print(json.dumps({"unsupported": str(reason)}), file=channel)
            return
        if request["cores"] != request["start"]:
            move(request["cores"])
        print(json.dumps(task.about), file=channel, flush=True)
        for line in sys.stdin:
            print(json.dumps(task.measure(float(line))), file=channel, flush=True)


def put_first(checkout: str) -> None:
    """Let cbp come from another folder than the benchmark, which is imported by now."""
    sys.path.insert(0, checkout)
    found = find_spec("cbp")
    if found is None or found.origin is None or not Path(found.origin).resolve().is_relative_to(Path(checkout).resolve()):
        sys.exit(f"{checkout} holds no package cbp")


def move(cores: list[int]) -> None:
    """Every thread that runs by now; later ones go where the one is that starts them."""
    for thread in os.listdir("/proc/self/task"):
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(int(thread), cores)


if __name__ == "__main__":
    main()
