"""Callbacks that end a training before its last epoch."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, ClassVar

from cbp.callbacks.base import CALLBACKS, Callback, Monitor
from cbp.engine import check

if TYPE_CHECKING:
    from cbp.engine.numbers import Numbers
    from cbp.engine.run import Run

__all__ = []


__all__ += ["EarlyStopping"]
@CALLBACKS.add
class EarlyStopping(Callback):
    """Stop when nothing has become better for ``patience`` epochs, and leave the best weights (Prechelt, 1998, Early stopping
    -- but when?).

    The network always gets the weights of the best epoch, whatever ends the run: its last epoch, the patience, Ctrl-C, a
    divergence or an exception. With them come the running statistics, the optimizer's state and its ``step``, so that training
    may go on from there; ``epoch`` stays counted, and the shuffles to come are new ones. ``history.best_epoch`` tells which one
    it was, ``history.stopped`` why the run ended.

    Parameters
    ----------
    monitor : str
        What is watched: a name of ``run.logs``, such as ``"val_loss"``, ``"val_accuracy"`` or ``"loss"``.
    patience : int
        Epochs without an improvement after which the run stops, at least 1.
    min_delta : float
        An improvement by no more than this does not count for the patience. The weights that are left are those of the best
        epoch all the same.
    mode : str
        ``"min"`` or ``"max"`` says which way is better, ``"auto"`` takes what is known of the name.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range or of the wrong kind; in ``fit``, before anything is changed, where nothing of that name is
        measured.

    Examples
    --------
    >>> X, y = cbp.datasets.digits()
    >>> net = cbp.mlp([64, 16, 10], output="softmax", seed=0)
    >>> history = net.fit(X[:500], y[:500], epochs=500, validation_split=0.2, callbacks=cbp.EarlyStopping(patience=5))
    >>> history.epochs - history.best_epoch
    5
    """

    name: ClassVar[str] = "early_stopping"
    aliases: ClassVar[tuple[str, ...]] = ("earlystopping", "early_stop")

    def __init__(self, monitor: str = "val_loss", patience: int = 10, min_delta: float = 0.0, mode: str = "auto"):
        self.patience = check.integer("patience", patience)
        self._monitor = Monitor("EarlyStopping", monitor, mode, min_delta)
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._kept: Numbers | None = None
        self._best, self._best_epoch, self._waited = math.nan, 0, 0

    @property
    def monitor(self) -> str:
        """What is watched."""
        return self._monitor.name

    def on_fit_begin(self, run: Run) -> None:
        self._begin_anew()
        self._monitor.begin(run)

    def on_epoch_end(self, run: Run) -> None:
        value = run.logs[self.monitor]
        if self._monitor.better(value, self._best):
            kept = run.keep(self._kept)
            if kept is not None:
                self._kept, self._best, self._best_epoch = kept, value, run.epoch
        self._waited = 0 if self._monitor.improved(run) else self._waited + 1
        if self._waited >= self.patience:
            run.stop(f"{self.monitor} has not become better than {self._monitor.best:.6g} for {self._waited} epochs")

    def on_fit_end(self, run: Run) -> None:
        if self._kept is not None:
            run.put_back(self._kept, self._best_epoch)
        self._kept = None

    def __repr__(self) -> str:
        return f"EarlyStopping(monitor={self.monitor!r}, patience={self.patience})"


__all__ += ["TimeLimit"]
@CALLBACKS.add
class TimeLimit(Callback):
    """Stop at the end of the first epoch that ends later than ``seconds`` after the beginning.

    Parameters
    ----------
    seconds : float
        Above 0.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=10**9, callbacks=cbp.TimeLimit(0.01))
    >>> history.stopped
    'the limit of 0.01 s is over'
    """

    name: ClassVar[str] = "time_limit"
    aliases: ClassVar[tuple[str, ...]] = ("timelimit", "timer")

    def __init__(self, seconds: float):
        self.seconds = check.real("seconds", seconds, above=0)
        self._ends = math.inf

    def on_fit_begin(self, run: Run) -> None:
        self._ends = time.monotonic() + self.seconds

    def on_epoch_end(self, run: Run) -> None:
        if time.monotonic() >= self._ends:
            run.stop(f"the limit of {self.seconds:g} s is over")

    def __repr__(self) -> str:
        return f"TimeLimit({self.seconds:g})"
