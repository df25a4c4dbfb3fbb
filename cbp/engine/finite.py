"""What is said where a number is not finite: which number of the network it is, or which data are too large, and the remedy.

Training stops before such numbers can stay, but users may write anything to the arrays of a network, and losses and outputs may
be more than the dtype holds.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cbp.engine.cpu import core as _core
from cbp.errors import DivergedError

if TYPE_CHECKING:
    from cbp.engine.model import Model
    from cbp.engine.numbers import Numbers
    from cbp.engine.plan import Plan
    from cbp.engine.specs import Optimizer

__all__ = ["beyond", "defect", "defect_of", "divergence", "refusal", "warn", "warn_of"]

Array = npt.NDArray[Any]
Named = Mapping[str, Array]


def defect(arrays: Mapping[str, Named], optimizer: Optimizer | None = None) -> str | None:
    """The first array that holds a value that is not finite, or below 0 where the optimizer needs none, and the remedy; None
    where there is none.

    ``arrays`` are those of a network: "parameters", "statistics", "optimizer_state['mean']" -> name -> array.
    """
    bounded = {f"optimizer_state[{slot!r}]" for slot in optimizer.not_negative} if optimizer is not None else ()
    for group, views in arrays.items():
        for name, values in views.items():
            what, wrong = "not finite", np.argwhere(~np.isfinite(values))
            if group in bounded and not len(wrong):
                what, wrong = "below 0", np.argwhere(values < 0)
            if len(wrong):
                index = tuple(wrong[0].tolist())
                count = f" ({len(wrong):,} of its {values.size:,} values are {what})" if len(wrong) > 1 else ""
                count += "; its numbers must be at least 0" if what == "below 0" else ""
                remedy = ("network.set_optimizer(...) begins with fresh state" if group.startswith("optimizer_state") else
                          f"write finite values to network.{group}[{name!r}], or take a network that was saved before")
                return f"{group}[{name!r}] holds {values[index]} at index {index}{count}; {remedy}"
    return None


def defect_of(plan: Plan, numbers: Numbers) -> str | None:
    """:func:`defect` of the numbers of a plan; takes little time where all is well."""
    return None if numbers.finite and not _below_zero(numbers) else defect(dict(_arrays(plan, numbers)), numbers.optimizer)


def _below_zero(numbers: Numbers) -> bool:
    """Whether the state of the optimizer has a number below 0 where it needs none."""
    optimizer = numbers.optimizer
    return optimizer is not None and any(slot in optimizer.not_negative and row.min() < 0
                                         for slot, row in zip(optimizer.slots, numbers.state, strict=False))


def _arrays(plan: Plan, numbers: Numbers) -> Iterator[tuple[str, Named]]:
    yield "parameters", plan.views(numbers.parameters)
    yield "statistics", plan.views(numbers.statistics, plan.statistics)
    slots = numbers.optimizer.slots if numbers.optimizer is not None else ()
    for slot, row in zip(slots, numbers.state, strict=False):
        yield f"optimizer_state[{slot!r}]", plan.views(row)


def divergence(dtype: np.dtype[Any], *, updated: bool) -> str:
    """Why a training step gave a number that is not finite, and the remedy, given finite numbers before the run.

    ``updated``: whether weights were updated before. If not, the rate had no part in it.
    """
    if updated:
        return "the loss or a weight is no longer finite. Try a lower rate, or standardise X and y."
    return f"the loss of the first batch is not finite before any update, whatever the rate: {beyond(dtype, 'X and y')}"


def refusal(plan: Plan, before: Numbers, optimizer: Optimizer, *, updated: bool) -> Exception:
    """What to raise for a batch that gave a number that is not finite, by the numbers ``before`` it."""
    goes_on = type(optimizer) is type(before.optimizer)
    defect = defect_of(plan, before) if goes_on else None
    if defect is not None:
        return ValueError(f"{defect}. Training cannot mend that")
    why = divergence(before.parameters.dtype, updated=updated)
    rate = optimizer.rate_at(before.step, before.epoch - before.since) if goes_on else optimizer.rate_at(0, 0)
    return DivergedError(f"{why} The network is as it was before this batch; the rate is {rate:g}.")


def beyond(dtype: np.dtype[Any], data: str) -> str:
    """Why finite weights and data lead to a number that is not, and the remedy."""
    wider = ", or take dtype='float64'" if dtype == np.float32 else ""
    return f"numbers on the way are more than {dtype.name} holds. Standardise {data}{wider}."


def warn_of(model: Model, results: Mapping[str, Array | float]) -> None:
    """Warn of the first of some results that holds a value that is not finite, by the name it has for the user."""
    for name, result in results.items():
        values = np.asarray(result).reshape(-1)
        place = _core.first_not_finite(values)
        if place >= 0:
            cause = defect_of(model.plan, model.numbers) or beyond(model.form.dtype, "X and y")
            warn(f"{name} {'is' if isinstance(result, float) else 'holds'} {values[place]}: {cause}")
            return


def warn(message: str, kind: type[Warning] = RuntimeWarning) -> None:
    """A warning at the line outside of cbp that the call came from."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "cbp":
        level, frame = level + 1, frame.f_back
    warnings.warn(message, kind, stacklevel=level)
