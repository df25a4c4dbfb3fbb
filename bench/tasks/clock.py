"""Wall time and CPU time of something."""

from __future__ import annotations

import time
from collections.abc import Callable


def seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def timed(call: Callable[[], object], parts: float) -> dict[str, float]:
    """Microseconds of each of the `parts` of a call, and how much of a core it had."""
    cpu = time.process_time()
    wall = seconds(call)
    cpu = time.process_time() - cpu
    return {"us": wall / parts * 1e6, "cpu_per_wall": cpu / wall}
