"""What a measuring process does: each task is a class whose `about` is told first, and whose `measure` is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Protocol

TASKS = {
    "machine": ("bench.probe", "Machine"),
    "peak": ("bench.probe", "Peak"),
    "tile": ("bench.probe", "Tile"),
    "training": ("bench.tasks.training", "Training"),
    "predicting": ("bench.tasks.predicting", "Predicting"),
    "stepping": ("bench.tasks.stepping", "Stepping"),
    "xor": ("bench.tasks.xor", "Xor"),
    "digits": ("bench.tasks.digits", "Digits"),
    "phases": ("bench.tasks.phases", "Phases"),
}


class Task(Protocol):
    about: dict[str, Any]

    def measure(self, seconds: float) -> dict[str, Any]: ...


def start(name: str, arguments: dict[str, Any]) -> Task:
    """Import only what the task needs: another library's threads and imports must not be in its way."""
    module, kind = TASKS[name]
    return getattr(import_module(module), kind)(**arguments)
