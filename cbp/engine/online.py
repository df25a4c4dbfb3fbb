"""What one small update after the other needs, kept between the calls of ``train_on_batch``.

A step of a small network takes less than a microsecond; to allocate its scratch and to describe the run to the core takes forty
times as long. So an ordinary step leaves its scratch behind, and those that follow go straight to the core as long as they
have the same optimizer, with whatever numbers, and no more rows, and their data fit as they are.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine.cpu import core as _core
from cbp.engine.numbers import Numbers
from cbp.engine.plan import Plan, aligned
from cbp.engine.runner import Runner, describe
from cbp.engine.specs import Optimizer


class Online:
    """The scratch of one runner, for batches of up to ``rows`` rows; all its work is done while it has taken ``training``.

    It serves the kind of optimizer whose state ``numbers`` hold: another kind brings a new array of state. Every optimizer has
    a record of its own, so that a record in use does not change.
    """

    def __init__(self, plan: Plan, numbers: Numbers, training: _core.Training, optimizer: Optimizer, runner: Runner, rows: int):
        dtype = numbers.parameters.dtype
        self._training, self._numbers, self._ops = training, numbers, plan.ops
        self._parameters, self._state = numbers.parameters, numbers.state
        record, self._gradient, self._arena, self._scratch = runner.scratch
        self._described = optimizer, record
        self._before = np.empty(numbers.parameters.size + numbers.state.size, dtype)
        self._targets = aligned(rows * plan.output_shape[0], dtype)
        self._rows = rows

    @staticmethod
    def suits(plan: Plan, rows: int) -> bool:
        """Whether a batch is small: what is kept is then small too."""
        return plan.plain and plan.size <= _core.READY["brief"] and rows <= _core.READY["rows"]

    def covers(self, numbers: Numbers, rows: int) -> bool:
        """Whether this is still good for such a batch."""
        return numbers is self._numbers and numbers.state is self._state and rows <= self._rows

    def step(self, X: object, y: object, optimizer: object) -> float | None:
        """One update, and the loss before it; None, with nothing changed, where the ordinary way has to be taken: the data have
        to be looked at, something is wrong with them, or anything else is new."""
        numbers = self._numbers
        held = numbers.optimizer
        chosen: Any = held if optimizer is None else optimizer
        described = self._described
        mine = described[0]
        if chosen is not mine:
            if type(chosen) is not type(mine) or chosen.slots != mine.slots:
                return None
            described = self._described = self._description(chosen)
        return _core.train_ready(
            self._training, numbers, held, *described, self._ops, self._parameters, self._state, self._gradient, self._arena,
            self._scratch, self._before, self._targets, X, y, self._rows)

    def _description(self, optimizer: Optimizer) -> tuple[Optimizer, npt.NDArray[Any]]:
        """An optimizer and the record of a run with it."""
        before, record = self._described
        if optimizer == before:
            return optimizer, record
        record = record.copy()
        describe(optimizer, record[0], len(self._state))
        return optimizer, record
