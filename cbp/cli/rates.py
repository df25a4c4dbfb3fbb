"""The rate of a run as the command line names it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cbp.optimizers import OPTIMIZERS, Optimizer
from cbp.schedules import Cosine, OneCycle, Polynomial, Schedule

__all__ = ["SCHEDULES", "optimizer", "scheduled"]

SCHEDULES: dict[str, Callable[[float, int], Schedule]] = {
    "cosine": lambda rate, steps: Cosine(rate, steps=steps),
    "linear": lambda rate, steps: Polynomial(rate, 0.0, steps=steps),
    "one_cycle": lambda rate, steps: OneCycle(rate, steps=max(steps, 2)),
}
"""Schedules that need nothing but a rate and the length of the run."""


def optimizer(options: Namespace) -> Optimizer:
    """The optimizer that ``--optimizer`` and ``--rate`` describe."""
    kind: Any = OPTIMIZERS[options.optimizer or "adam"]
    chosen: Optimizer = kind() if options.rate is None else kind(rate=options.rate)
    return chosen


def scheduled(options: Namespace, rows: int) -> Optimizer:
    """That, with the schedule and the bound on the gradients that ``--schedule`` and ``--clip`` ask for."""
    chosen = optimizer(options).bounded(clip_norm=options.clip)
    if options.schedule is None:
        return chosen
    steps = options.epochs * -(-rows // options.batch_size)
    return replace(chosen, rate=SCHEDULES[options.schedule](chosen.rate_at(0, 0), steps))
