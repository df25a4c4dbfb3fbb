"""The rates of a schedule, worked out for the core before it needs them: it never calls back."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine.specs import Optimizer

__all__ = ["Rates", "rates_from"]

AHEAD = 1024
"""Rates that are worked out at a time."""

_NONE = np.empty(0)


def rates_from(optimizer: Optimizer, place: int) -> npt.NDArray[np.float64]:
    """Rates of an optimizer that has a schedule, from a step or epoch on. A user's function is asked for one: between two
    updates it may become another."""
    schedule = optimizer.schedule
    assert schedule is not None
    return schedule.rates(place, 1 if schedule.asks else AHEAD)


class Rates:
    """Those of a run, a block at a time; ``since`` is the epoch that the optimizer began with."""

    def __init__(self, optimizer: Optimizer | None, since: int):
        self._optimizer = optimizer if optimizer is not None and optimizer.schedule is not None else None
        self._since = since
        self._first = 0
        self._block = _NONE

    def ahead(self, run: Any, samples: int, last_epoch: int) -> npt.NDArray[np.float64]:
        """The rates of what comes next in a run up to ``last_epoch``, which is told where they begin; no more than it needs,
        and of a user's function no more than this epoch needs."""
        if self._optimizer is None or self._optimizer.schedule is None:
            return _NONE
        schedule = self._optimizer.schedule
        epochs = 1 if schedule.asks else last_epoch - int(run["epoch"])
        if schedule.per == "epoch":
            place, base, left = int(run["epoch"]) - self._since, self._since, epochs
        else:
            steps = -(-samples // int(run["batch_size"]))
            place, base, left = int(run["step"]), 0, epochs * steps - int(run["position"]) // int(run["batch_size"])
        if not self._first <= place < self._first + len(self._block):
            self._first, self._block = place, schedule.rates(place, min(left, AHEAD))
        run["first_rate"] = self._first + base
        return self._block
