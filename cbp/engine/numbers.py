"""The numbers of a network: how they start, whose optimizer's state they hold, and that they are finite."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import check, finite
from cbp.engine.cpu import core as _core
from cbp.engine.plan import Flat, Plan, aligned
from cbp.engine.specs import Optimizer
from cbp.errors import not_by_handler

__all__ = ["AVERAGE", "NO_AVERAGE", "Numbers"]

AVERAGE = "average"
"""The state array, the last one, that is an average of the parameters."""

NO_AVERAGE = ("averaged=True needs an optimizer that averages, for example "
              "cbp.Adam(average=cbp.averages.ExponentialMovingAverage(0.999))")


@dataclass
class Numbers:
    """All numbers of a network that training changes.

    Attributes
    ----------
    parameters, statistics : array
        Padded: what is learned, and what the layers measure.
    state : array, (slots, parameters)
        Of ``optimizer``, padded as the parameters are.
    optimizer : Optimizer or None
    step, epoch : int
        Updates that it made; epochs begun in the network's life.
    averaged : int
        Averages of the parameters that the optimizer took.
    since : int
        The epoch that it began with.
    flat : bool
        Whether the last targets were without the last axis of the outputs, which has one number: outputs are then too.
    """

    parameters: Flat
    state: Flat
    statistics: Flat
    optimizer: Any = None
    step: int = 0
    epoch: int = 0
    averaged: int = 0
    since: int = 0
    flat: bool = False

    @classmethod
    def zeros(cls, plan: Plan, dtype: np.dtype[Any]) -> Numbers:
        """Room for the numbers of a plan."""
        size = max(plan.size, 1)
        return cls(aligned(size, dtype), np.zeros((0, size), dtype), aligned(max(plan.statistics_size, 1), dtype))

    def start(self, plan: Plan, seed: int) -> None:
        """Let every array start as its layer says; raises ValueError where that is not possible."""
        dtype = self.parameters.dtype
        views = {**plan.views(self.parameters), **plan.views(self.statistics, plan.statistics)}
        for counter, (name, array) in enumerate({**plan.parameters, **plan.statistics}.items()):
            def draw(distribution: str, count: int, counter: int = counter) -> npt.NDArray[np.float64]:
                values = np.empty(count)
                _core.draw(seed, _core.STREAMS["initial_weights"], counter, distribution, values)
                return values

            if getattr(array.init, "starts_at_zero", False):
                continue  # as everything here is; a network that is loaded spares the memory
            try:
                views[name][...] = check.numbers("init", array.init(array.shape, draw, array.fans), dtype)
            except not_by_handler(ValueError) as problem:
                raise ValueError(f"layers[{name.partition('.')[0]}]: {problem}") from None

    def hold(self, optimizer: Optimizer, *, afresh: bool = False) -> None:
        """Go on with the state under this optimizer if it is of the kind that made it, whatever its numbers are; else begin.

        A state array that the numbers make necessary, the velocity of an SGD that gets momentum, starts at 0, but an average
        of the parameters with them.
        """
        same = type(optimizer) is type(self.optimizer) and not afresh
        state = self.state
        kept = dict(zip(self.optimizer.slots, state, strict=False)) if same else {}
        if not same or tuple(kept) != optimizer.slots or len(state) != len(kept):
            slots, size = len(optimizer.slots), self.parameters.size
            state = aligned(slots * size, self.parameters.dtype).reshape(slots, size)
            for row, slot in zip(state, optimizer.slots, strict=True):
                if slot in kept:
                    row[:] = kept[slot]
                elif slot == AVERAGE:
                    row[:] = self.parameters
        step, since = (self.step, self.since) if same else (0, self.epoch)
        averaged = self.averaged if AVERAGE in kept and AVERAGE in optimizer.slots else 0
        self.state, self.step, self.optimizer = state, step, optimizer  # no call between them, so no signal
        self.since, self.averaged = since, averaged

    def hold_again(self, before: Numbers) -> None:
        """Hold what was held ``before``: the optimizer, its state, the form of the outputs."""
        self.state, self.step, self.optimizer, self.flat = before.state, before.step, before.optimizer, before.flat
        self.since, self.averaged = before.since, before.averaged

    def copy(self) -> Numbers:
        """The same in arrays of its own."""
        return replace(self, parameters=self.parameters.copy(), state=self.state.copy(), statistics=self.statistics.copy())

    def assign(self, other: Numbers) -> None:
        """Take over the values of other numbers with state of the same optimizer."""
        self.parameters[:] = other.parameters
        self.state[:] = other.state
        self.statistics[:] = other.statistics
        self.step, self.epoch, self.averaged = other.step, other.epoch, other.averaged

    put_back = _core.put_back
    """Be again what a copy says that was before, its optimizer's state included: in the core, where no signal comes between."""

    @property
    def finite(self) -> bool:
        arrays = self.parameters, self.state.reshape(-1), self.statistics
        return all(_core.first_not_finite(array) < 0 for array in arrays)

    def check(self, parameters: Mapping[str, Flat], statistics: Mapping[str, Flat]) -> None:
        """Raise ValueError where training cannot begin: the user may write to ``parameters`` and ``statistics``, the views."""
        for what, flat, views in ("parameters", self.parameters, parameters), ("statistics", self.statistics, statistics):
            if _core.first_not_finite(flat) >= 0:
                raise ValueError(f"{finite.defect({what: views})}. Training cannot mend that")
        for name, values in statistics.items():
            if name.endswith("variance") and values.min() < 0:
                raise ValueError(f"statistics[{name!r}] holds a value below 0; training cannot mend that")
