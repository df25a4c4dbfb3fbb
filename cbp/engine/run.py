"""A training that goes on, as callbacks see it, and what they may do to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cbp.engine.numbers import Numbers
from cbp.engine.specs import Callback
from cbp.errors import quoted

if TYPE_CHECKING:
    from cbp.engine.fit import Fit
    from cbp.history import History

__all__ = ["Run"]


class Run:
    """A ``fit`` that goes on.

    Attributes
    ----------
    network : Network
        Which trains. It may be asked and saved; ``network.epoch`` counts the epochs of its life.
    epochs : int
        That this run has at most.
    epoch : int
        How many of them are complete.
    names : tuple of str
        What is measured in every epoch: the names of ``logs``.
    logs : mapping of str to float
        What the last complete epoch measured; empty before.
    higher_is_better : mapping of str to bool or None
        Of every name that can be watched; None where that is not known.
    stopped : str or None
        Why no other epoch will begin.
    kept_epoch : int or None
        The epoch, counted from 1, whose numbers the network gets back at the end.
    """

    def __init__(self, network: Any, fit: Fit, callbacks: Sequence[Callback], epochs: int, better: Mapping[str, bool | None]):
        self.network = network
        self.epochs = epochs
        self.higher_is_better = MappingProxyType(dict(better))
        self.logs: Mapping[str, float] = MappingProxyType({})
        self.stopped: str | None = None
        self.kept_epoch: int | None = None
        self._fit = fit
        self._callbacks = callbacks
        self._begun: list[Callback] = []

    @property
    def epoch(self) -> int:
        """How many epochs are complete."""
        return self._fit.complete

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured in every epoch."""
        return self._fit.names

    @property
    def history(self) -> History:
        """The complete epochs so far."""
        return self._fit.history

    def stop(self, reason: str) -> None:
        """Let no other epoch begin; ``reason`` stands in ``history.stopped``. The first one counts."""
        if not isinstance(reason, str) or not reason:
            raise TypeError(f"reason must say in words why the training stops, got {quoted(reason)}")
        self.stopped = self.stopped or reason

    @property
    def rate(self) -> float:
        """The rate of the optimizer's next update. It may be set, to a number above 0, where it is a number and no schedule;
        the state stays."""
        return self._fit.rate

    @rate.setter
    def rate(self, rate: float) -> None:
        optimizer = self._fit.numbers.optimizer
        if optimizer.schedule is not None:
            raise ValueError(f"the rate of {optimizer!r} follows a schedule; only a number can be replaced, cbp.SGD(0.1)")
        self._fit.take_up(replace(optimizer, rate=rate))

    def keep(self, before: Numbers | None = None) -> Numbers | None:
        """A copy of the network's numbers of now, in the memory of an earlier copy where there is one; ``before`` itself where
        a number is not finite."""
        numbers = self._fit.numbers
        if not numbers.finite:
            return before
        if before is None or before.state.shape != numbers.state.shape:
            return numbers.copy()
        before.assign(numbers)
        return before

    def put_back(self, kept: Numbers, epoch: int) -> None:
        """Let the network have numbers again that were kept after an epoch; the epochs stay counted."""
        numbers = self._fit.numbers
        counted = numbers.epoch
        numbers.assign(kept)
        numbers.epoch, self.kept_epoch = counted, epoch

    # --- what a fit tells -----------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Tell all that the run begins. Where one raises an exception, those before it are told that it is over."""
        try:
            for callback in self._callbacks:
                callback.on_fit_begin(self)
                self._begun.append(callback)
        except BaseException:
            self.end()
            raise

    def epoch_begins(self) -> None:
        self._tell("on_epoch_begin")

    def epoch_ends(self, logs: Mapping[str, float]) -> None:
        self.logs = MappingProxyType(dict(logs))
        self._tell("on_epoch_end")

    def end(self) -> None:
        """Tell all that the run is over, each of them, whatever the others raise; the first exception is raised behind that."""
        problems = []
        for callback in self._begun:
            try:
                callback.on_fit_end(self)
            except BaseException as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    def _tell(self, event: str) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(self)
