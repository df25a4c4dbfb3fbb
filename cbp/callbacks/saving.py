"""Callbacks that save the network while it trains."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, ClassVar

from cbp.callbacks.base import CALLBACKS, Callback, Monitor
from cbp.engine import check
from cbp.errors import quoted
from cbp.modelfile import files

if TYPE_CHECKING:
    from cbp.engine.run import Run

__all__ = []


__all__ += ["Checkpoint"]
@CALLBACKS.add
class Checkpoint(Callback):
    """Save the network, its optimizer and its counters at the ends of epochs, so that a run that is killed loses little.

    A file takes the place of the one before in one step: whoever opens it finds a whole network. ``net = cbp.load(path)`` and
    ``net.fit(X, y, until_epoch=...)`` go on with the bits of a run that was never stopped.

    Parameters
    ----------
    path : str or os.PathLike
        Where to save. ``"{epoch}"`` in it becomes the number of the network's epoch, so that every file stays.
    every : "epoch" or float
        ``"epoch"``, or at the first end of an epoch that comes so many seconds after the last save. The end of the run is saved
        too, if that is not the first one.
    best_only : bool
        Save only epochs that are better than all before in this run.
    monitor, mode : str
        What "better" means then, as in :class:`EarlyStopping`.

    Raises
    ------
    ValueError, TypeError, OSError
        An argument is wrong; in ``fit``, before anything is changed, where nothing can be written there.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "run.cbp")
    >>> X, y = cbp.datasets.digits()
    >>> net = cbp.mlp([64, 8, 10], output="softmax", seed=0)
    >>> history = net.fit(X, y, epochs=3, callbacks=cbp.Checkpoint(path))
    >>> cbp.load(path).fit(X, y, until_epoch=5).epochs
    2
    """

    name: ClassVar[str] = "checkpoint"
    aliases: ClassVar[tuple[str, ...]] = ("modelcheckpoint", "model_checkpoint")

    def __init__(
        self, path: str | os.PathLike[str], every: str | float = "epoch", best_only: bool = False, *,
        monitor: str = "val_loss", mode: str = "auto",
    ):
        self.path = files.name_of(path)
        if isinstance(every, str) and every != "epoch":
            raise ValueError(f"every must be 'epoch' or a number of seconds, got {quoted(every)}")
        self._seconds = 0.0 if isinstance(every, str) else check.real("every", every, above=0)
        self.best_only = check.boolean("best_only", best_only)
        self._monitor = Monitor("Checkpoint", monitor, mode, 0.0)
        self._saved_at = 0.0
        self._saved_epoch = 0

    def on_fit_begin(self, run: Run) -> None:
        if self.best_only:
            self._monitor.begin(run)
        files.check_writable(self._name(run))
        self._saved_at, self._saved_epoch = time.monotonic(), 0

    def on_epoch_end(self, run: Run) -> None:
        if self.best_only and not self._monitor.improved(run):
            return
        if time.monotonic() - self._saved_at >= self._seconds:
            self._save(run)

    def on_fit_end(self, run: Run) -> None:
        if self._seconds and not self.best_only and run.epoch > self._saved_epoch and run.kept_epoch is None:
            self._save(run)

    def _save(self, run: Run) -> None:
        run.network.save(self._name(run))
        self._saved_at, self._saved_epoch = time.monotonic(), run.epoch

    def _name(self, run: Run) -> str:
        return self.path.replace("{epoch}", str(run.network.epoch))

    def __repr__(self) -> str:
        return f"Checkpoint({self.path!r})"
