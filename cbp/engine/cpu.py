"""Chooses, once at import, the build of the compiled core that this CPU can run.

``CBP_CPU=v2``, ``v3`` or ``v4`` overrides the choice, for tests and benchmarks.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

_PACKAGE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
_MODULES = {"v2": "cbp._core", "v3": "cbp._core_v3", "v4": "cbp._core_v4"}


def _built(name: str) -> bool:
    """Whether there is such a module in this package; not whether another one, built from the same C source, is imported under
    its name, nor whether the finder of an editable install has one of another checkout."""
    spec = find_spec(name)
    folder = os.path.dirname(os.path.realpath(spec.origin)) if spec is not None and spec.origin else None
    return spec is not None and spec.name == name and folder == _PACKAGE


def _lowest() -> ModuleType:
    """The lowest level that was built: all of them in a package, one or some while somebody works on the core."""
    remedy = (f"cbp's compiled core cannot be imported from {_PACKAGE}. If that is the source folder: run Python in another "
              f"folder, or install with pip install -e .")
    built = next(filter(_built, _MODULES.values()), None)
    if built is None:
        raise ImportError(remedy)
    try:
        return import_module(built)
    except ImportError as problem:
        if "Interpreter change" in str(problem):
            raise ImportError("cbp's compiled core works in one interpreter of a process, that which imported it first; "
                              "for work side by side take threads or processes") from None
        raise ImportError(f"{remedy} ({problem})") from None


def levels() -> list[str]:
    """The levels that were built and that this CPU runs, from the lowest to the highest."""
    highest = _lowest().cpu_level()
    return [level for level, name in _MODULES.items() if level <= highest and _built(name)]


def _choose() -> ModuleType:
    wanted = os.environ.get("CBP_CPU") or levels()[-1]
    if wanted not in levels():
        raise ImportError(f"CBP_CPU must be one of {', '.join(levels())} on this machine, got {wanted!r}")
    return import_module(_MODULES[wanted])


if TYPE_CHECKING:
    from cbp import _core as core
else:
    core = _choose()


def kernels() -> ModuleType:
    """The kernels one by one, of the level of ``core``; raises ImportError where they were not built."""
    name = _MODULES[core.BUILD].replace("_core", "_kernels")
    if not _built(name):
        raise ImportError(f"{name} is built for development only: pip install -e . from the source folder")
    return import_module(name)


__all__ = ["core", "kernels", "levels"]
