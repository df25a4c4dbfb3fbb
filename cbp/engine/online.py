"""What one small update after the other needs, kept between the calls of ``train_on_batch``.

A step of a small network takes less than a microsecond; to allocate its scratch and to describe the run to the core takes forty
times as long. So an ordinary step leaves its scratch behind, and those that follow go straight to the core as long as they
have the same optimizer, with whatever numbers, and no more rows, and their data fit as they are.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine.cpu import core as _core
from cbp.engine.model import Model
from cbp.engine.plan import Flat, Plan, aligned
from cbp.engine.rates import rates_from
from cbp.engine.runner import Runner, describe
from cbp.engine.specs import Optimizer

__all__ = ["applied", "kept", "suits"]


def suits(plan: Plan, rows: int) -> bool:
    """Whether a batch is small: what is kept is then small too."""
    return plan.plain and plan.size <= _core.READY["brief"] and rows <= _core.READY["rows"]


def kept(model: Model, training: _core.Training, optimizer: Optimizer, runner: Runner, rows: int) -> _core.Online:
    """The scratch of a runner, for batches of up to ``rows`` rows, and the optimizer that it ran with.

    It serves the kind of optimizer whose state the numbers hold: another kind brings a new array of state.
    """
    record, gradient, arena, scratch = runner.scratch
    targets = aligned(rows * model.plan.output_shape[0], model.form.dtype)
    return _core.Online(_following(model, training, optimizer, record, gradient), arena, scratch, targets, rows)


def applied(model: Model, training: _core.Training, optimizer: Optimizer) -> _core.Applied:
    """What updates by gradients need, with this optimizer, whose state the numbers hold."""
    plan = model.plan
    record = np.zeros(1, dtype=_core.RUN)
    record["mode"] = _core.MODES["train"]
    describe(optimizer, record[0], len(model.numbers.state), apart=model.learning.apart(plan))
    gradient = aligned(max(plan.size, 1), model.form.dtype)
    return _core.Applied(_following(model, training, optimizer, record, gradient), plan.runs, plan.count)


def _following(
    model: Model, training: _core.Training, optimizer: Optimizer, record: npt.NDArray[Any], gradient: Flat,
) -> _core.Following:
    numbers, learning = model.numbers, model.learning
    before = np.empty(numbers.parameters.size + numbers.state.size, numbers.parameters.dtype)
    described = partial(_described, learning.apart(model.plan))
    return _core.Following(training, numbers, optimizer, record, described, rates_from, learning.ops(model.plan), gradient,
                           before, *learning.deferred(model.plan))


def _described(
    apart: bool, optimizer: Optimizer, record: npt.NDArray[Any], other: Any, states: int,
) -> npt.NDArray[Any] | None:
    """The record of a run with another optimizer, given that with one; None where its state is of another kind."""
    if type(other) is not type(optimizer) or other.slots != optimizer.slots:
        return None
    if other == optimizer:
        return record
    record = record.copy()
    describe(other, record[0], states, apart=apart)
    return record
