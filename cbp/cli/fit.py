"""Training as the commands do it: with lines of progress, and with the weights of the best epoch where rows are held out."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from cbp.callbacks import Callback, EarlyStopping
from cbp.cli.columns import significant
from cbp.cli.output import say
from cbp.engine.team import Threads
from cbp.history import History
from cbp.network import Network
from cbp.optimizers import Optimizer

if TYPE_CHECKING:
    from cbp.engine.run import Run

__all__ = ["curves_of", "fit"]

_SILENCE = 2.0
"""Seconds without a line that a long run may take, where an epoch is not longer."""

_LABELS = {"mean_absolute_error": "mean error"}

_UNTOLD = ("seconds", "rate")

Array = npt.NDArray[Any]


def fit(
    net: Network, X: Array, y: Array, *, epochs: int, batch_size: int, optimizer: Optimizer,
    held_out: tuple[Array, Array] | None = None, metric: str | None = None, patience: int | None = None,
    class_weight: str | None = None, quiet: bool = False, threads: Threads = 1,
) -> History:  # fmt: skip
    """Train for ``epochs`` epochs at most, and unless ``quiet`` say how it goes: after the first, after each tenth of the way
    and every two seconds.

    With ``patience`` the network gets the weights of the epoch whose held-out loss, or ``metric``, was best, and the run ends
    after so many epochs that were not better.
    """
    callbacks: list[Callback] = [] if quiet else [Lines()]
    if patience is not None:
        callbacks.append(EarlyStopping(f"val_{metric or 'loss'}", patience=patience))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a loss that is not finite: the lines show it
        return net.fit(
            X, y, epochs=epochs, batch_size=batch_size, optimizer=optimizer, validation_data=held_out, metrics=metric,
            class_weight=class_weight, callbacks=callbacks, threads=threads, progress=False,
        )


def curves_of(history: History) -> dict[str, list[float]]:
    """The curves of a run, to seven digits."""
    return {name: [significant(value) for value in values.tolist()] for name, values in history.items() if name not in _UNTOLD}


class Lines(Callback):
    """A line for an epoch now and then."""

    def on_fit_begin(self, run: Run) -> None:
        epochs = run.epochs
        self._marks = {1, epochs, *(round(epochs * tenth / 10) for tenth in range(1, 10))}
        self._names = [name for name in run.names if name not in _UNTOLD]
        self._said_at, self._said = time.perf_counter(), 0
        say("  ".join(["epoch".rjust(_width(epochs)), *map(_label, self._names)]))

    def on_epoch_end(self, run: Run) -> None:
        now = time.perf_counter()
        if run.epoch in self._marks or now - self._said_at > _SILENCE:
            self._say(run, now)

    def on_fit_end(self, run: Run) -> None:
        if run.epoch > self._said:
            self._say(run, time.perf_counter())

    def _say(self, run: Run, now: float) -> None:
        self._said_at, self._said = now, run.epoch
        numbers = [_figure(significant(run.logs[name]), len(_label(name))) for name in self._names]
        say("  ".join([f"{run.epoch}/{run.epochs}".rjust(_width(run.epochs)), *numbers]))


def _label(name: str) -> str:
    measure = name.removeprefix("val_")
    label = _LABELS.get(measure, measure)
    return (f"held-out {label}" if name.startswith("val_") else label).rjust(6)


def _figure(value: float, width: int) -> str:
    """A number in a column: with four decimals, and where it is too large for that with as many digits as fit."""
    forms = [f"{value:{form}}" for form in (".4f" if value < 1e6 else ".4g", ".4g", ".0f", ".0e")]
    return next((form for form in forms if len(form) <= width), forms[-1]).rjust(width)


def _width(epochs: int) -> int:
    return max(5, 2 * len(str(epochs)) + 1)
