"""Chooses, once at import, the build of the compiled core that this CPU can run.

``CBP_CPU=v2``, ``v3`` or ``v4`` overrides the choice, for tests and benchmarks.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

try:
    from cbp import _core
except ImportError as problem:
    detail = "" if "partially initialized" in str(problem) else f" ({problem})"  # what Python guesses then is wrong
    package = os.path.dirname(os.path.dirname(__file__))
    raise ImportError(
        f"cbp's compiled core cannot be imported from {package}. If that is the source folder: run Python in "
        f"another folder, or install with pip install -e .{detail}") from None

if TYPE_CHECKING:
    from types import ModuleType

_MODULES = {"v2": "cbp._core", "v3": "cbp._core_v3", "v4": "cbp._core_v4"}


def levels() -> list[str]:
    """The levels that were built and that this CPU runs, from the lowest to the highest."""
    return [level for level, name in _MODULES.items() if level <= _core.cpu_level() and find_spec(name)]


def _choose() -> ModuleType:
    wanted = os.environ.get("CBP_CPU") or levels()[-1]
    if wanted not in levels():
        raise ImportError(f"CBP_CPU must be one of {', '.join(levels())} on this machine, got {wanted!r}")
    return import_module(_MODULES[wanted])


if TYPE_CHECKING:
    core = _core
else:
    core = _choose()

__all__ = ["core", "levels"]
