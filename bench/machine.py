"""Facts about the machine, and the core that the measurements are pinned to."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib.util import find_spec
from pathlib import Path

CACHES_ELSEWHERE = {"L1": 32 << 10, "L2": 1 << 20, "L3": 32 << 20}


def describe() -> dict[str, object]:
    """The processor, its caches, the system and the compilers."""
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "caches": caches(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": f"{platform.python_version()} ({platform.python_compiler()})",
        "core_build": core_build(),
        "core_compiler": core_compiler(),
        "blas": numpy_blas(),
    }


def cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(re.findall(r"^([^\t:]+)\t*: (.+)$", text, re.MULTILINE))
    name = facts.get("model name", platform.machine())
    virtual = ", virtual machine" if "hypervisor" in facts.get("flags", "") else ""
    return f"{name} (family {facts.get('cpu family', '?')}, model {facts.get('model', '?')}{virtual})"


def caches() -> dict[str, int]:
    """Sizes in bytes of the data caches that one core sees."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        kind, level, size = ((folder / name).read_text().strip() for name in ("type", "level", "size"))
        if kind != "Instruction":
            sizes[f"L{level}"] = int(size[:-1]) << {"K": 10, "M": 20, "G": 30}[size[-1]]
    return sizes or CACHES_ELSEWHERE


def core_build() -> str:
    """Which build of cbp's core runs here, as CBP_CPU or the processor chose; "" without a core."""
    try:
        from cbp.engine.cpu import core
    except ImportError:
        return ""
    return core.BUILD


def core_compiler() -> str:
    """The compiler that cbp's core names in its comment section; "" where there is none."""
    spec = find_spec("cbp._core")
    if spec is None or spec.origin is None:
        return ""
    found = re.search(rb"GCC: \([^)]*\) [\d.]+|clang version [\d.]+", Path(spec.origin).read_bytes())
    return found[0].decode().replace("GCC: (", "GCC (") if found else ""


def numpy_blas() -> str:
    """NumPy's matrix library and the kernels that it chose for this CPU; "" where threadpoolctl is not installed."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    import numpy  # noqa: F401 - loads its library

    found = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return ", ".join(f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}" for pool in found)


def can_pin() -> bool:
    return hasattr(os, "sched_setaffinity")


def can_move() -> bool:
    """Whether a process can pin threads that run already."""
    return can_pin() and Path("/proc/self/task").is_dir()


def quiet_cores(first: int | None = None, seconds: float = 0.3) -> list[int] | None:
    """The cores that this process may use, `first` first, or else in the order of how idle they were over the last moment."""
    if not can_pin():
        return None
    before = _idle()
    time.sleep(0 if first is not None else seconds)
    after = _idle()
    return sorted(
        os.sched_getaffinity(0), key=lambda core: (core != first, before.get(core, 0) - after.get(core, 0), core)
    )


def _idle() -> dict[int, int]:
    """Ticks that each core was idle."""
    try:
        text = Path("/proc/stat").read_text()
    except OSError:
        return {}
    return {int(core): int(idle) for core, idle in re.findall(r"^cpu(\d+) \d+ \d+ \d+ (\d+)", text, re.MULTILINE)}
