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

__all__ = ["kept", "suits"]


def suits(plan: Plan, rows: int) -> bool:
    """Whether a batch is small: what is kept is then small too."""
    return plan.plain and plan.size <= _core.READY["brief"] and rows <= _core.READY["rows"]


def kept(
    plan: Plan, numbers: Numbers, training: _core.Training, optimizer: Optimizer, runner: Runner, rows: int,
) -> _core.Online:
    """The scratch of a runner, for batches of up to ``rows`` rows, and the optimizer that it ran with.

    It serves the kind of optimizer whose state ``numbers`` hold: another kind brings a new array of state.
    """
    dtype = numbers.parameters.dtype
    record, gradient, arena, scratch = runner.scratch
    before = np.empty(numbers.parameters.size + numbers.state.size, dtype)
    targets = aligned(rows * plan.output_shape[0], dtype)
    return _core.Online(
        training, numbers, optimizer, record, _described, plan.ops, gradient, arena, scratch, before, targets, rows)


def _described(
    optimizer: Optimizer, record: npt.NDArray[Any], other: Any, states: int,
) -> npt.NDArray[Any] | None:
    """The record of a run with another optimizer, given that with one; None where its state is of another kind."""
    if type(other) is not type(optimizer) or other.slots != optimizer.slots:
        return None
    if other == optimizer:
        return record
    record = record.copy()
    describe(other, record[0], states)
    return record
