"""Chooses, once at import, the build of the compiled core that this CPU can run.

``CBP_CPU=v2``, ``v3`` or ``v4`` overrides the choice, for tests and benchmarks.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cbp import _core as core
else:
    from cbp import _core

    _MODULES = {"v2": "cbp._core", "v3": "cbp._core_v3", "v4": "cbp._core_v4"}

    def _choose():
        level = _core.cpu_level()
        wanted = os.environ.get("CBP_CPU", "")
        if wanted and wanted not in _MODULES:
            raise ImportError(f"CBP_CPU must be one of {', '.join(_MODULES)}, got {wanted!r}")
        if wanted > level:
            raise ImportError(f"CBP_CPU={wanted}: this CPU can run {level} at most")
        name = _MODULES[wanted or level]
        return _core if name == "cbp._core" else import_module(name)

    core = _choose()

__all__ = ["core"]
