"""What gradients of a few rows need, kept between the calls of ``gradient`` and ``backward``."""

from __future__ import annotations

import numpy as np

from cbp.engine.cpu import core as _core
from cbp.engine.plan import Flat, Plan, aligned, padded
from cbp.engine.specs import Loss

__all__ = ["asked"]

MOST_BYTES = 2**18
"""Of the arena that is kept: a part of the second-level cache."""


def asked(plan: Plan, parameters: Flat, loss: Loss, l1: float, l2: float) -> _core.Asked | None:
    """The short way to gradients of a few rows; None where the network does not suit it."""
    dtype = parameters.dtype
    most = min(_core.READY["rows"], MOST_BYTES // (plan.arena * dtype.itemsize))
    if not plan.plain or plan.size > _core.READY["brief"] or most == 0:
        return None
    record = np.zeros(1, _core.RUN)
    run = record[0]
    run["mode"], run["loss"], run["constant"] = _core.MODES["gradient"], _core.LOSSES[loss.name], loss.constant
    run["l1"], run["l2"] = l1, l2
    run["batch_size"] = run["piece"] = most
    run["targets"], run["weights"], run["shares"], run["timed"] = plan.targets, plan.weights, plan.shares, plan.timed
    return _core.Asked(
        plan.ops, parameters, plan.count, record, aligned(plan.size, dtype), aligned(plan.arena * most, dtype),
        aligned(padded(max(plan.scratch, 1)), dtype), aligned(most * padded(int(plan.ops[0]["inputs"])), dtype), most)
