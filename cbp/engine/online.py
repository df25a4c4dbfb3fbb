"""What one small update after the other needs, kept between the calls of ``train_on_batch``.

A step of a small network takes less than a microsecond; to allocate its scratch and to describe the run to the core takes forty
times as long. So an ordinary step leaves its scratch behind, and those that follow go straight to the core as long as they
have the same optimizer and no more rows, and their data fit as they are.
"""

from __future__ import annotations

import threading

import numpy as np

from cbp.engine.cpu import core as _core
from cbp.engine.numbers import Numbers
from cbp.engine.plan import Plan, aligned
from cbp.engine.runner import Runner
from cbp.engine.specs import Optimizer


class Online:
    """The scratch of one runner, for batches of up to ``rows`` rows; all its work is done under the lock ``busy``.

    It serves the optimizer whose state ``numbers`` hold: a change of optimizer brings a new array of state.
    """

    def __init__(self, plan: Plan, numbers: Numbers, busy: threading.Lock, optimizer: Optimizer, runner: Runner, rows: int):
        dtype = numbers.parameters.dtype
        self._optimizer = optimizer
        self._busy, self._numbers, self._ops = busy, numbers, plan.ops
        self._parameters, self._state = numbers.parameters, numbers.state
        self._run, self._gradient, self._arena, self._scratch = runner.scratch
        self._before = np.empty(numbers.parameters.size + numbers.state.size, dtype)
        self._targets = aligned(rows * plan.output_shape[0], dtype)
        self._rows = rows

    @staticmethod
    def suits(plan: Plan, rows: int) -> bool:
        """Whether a batch is small: what is kept is then small too."""
        return plan.plain and plan.size <= _core.READY["brief"] and rows <= _core.READY["rows"]

    def covers(self, numbers: Numbers, rows: int) -> bool:
        """Whether this is still good for such a batch."""
        return numbers.state is self._state and rows <= self._rows

    def step(self, X: object, y: object, optimizer: object) -> float | None:
        """One update, and the loss before it; None, with nothing changed, where the ordinary way has to be taken: the data have
        to be looked at, something is wrong with them, or anything else is new."""
        mine = self._optimizer
        if not (optimizer is None or optimizer is mine or (type(optimizer) is type(mine) and optimizer == mine)):
            return None
        return _core.train_ready(
            self._busy, self._numbers, self._ops, self._run, self._parameters, self._state, self._gradient, self._arena,
            self._scratch, self._before, self._targets, X, y, self._rows)
