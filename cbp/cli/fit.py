"""Training as the commands do it: in pieces, with a line of progress after each."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy.typing as npt

from cbp.cli.columns import significant
from cbp.cli.output import say
from cbp.engine.team import Threads
from cbp.network import Network
from cbp.optimizers import Optimizer

__all__ = ["fit"]

_SILENCE = 2.0
"""Seconds without a line that a long run may take, where an epoch is not longer."""

_LABELS = {"mean_absolute_error": "mean error"}

Array = npt.NDArray[Any]


def fit(
    net: Network, X: Array, y: Array, *, epochs: int, batch_size: int, optimizer: Optimizer,
    held_out: tuple[Array, Array] | None = None, quiet: bool = False, threads: Threads = 1,
) -> dict[str, list[float]]:  # fmt: skip
    """Train for ``epochs`` epochs, and unless ``quiet`` say how it goes: after the first, after each tenth of the way and
    every two seconds.

    The pieces are calls of ``Network.fit``, which goes on exactly where the last one stopped. Returns the curves of the
    whole run, to seven digits.
    """
    curves: dict[str, list[float]] = {}
    marks = sorted({1, epochs, *(round(epochs * tenth / 10) for tenth in range(1, 10))} - {0})
    done, pace, said = 0, _SILENCE, time.perf_counter()
    while done < epochs:
        next_mark = min(mark for mark in marks if mark > done)
        piece = min(next_mark - done, max(1, int(_SILENCE / 2 / pace)))
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of a loss that is not finite: the lines show it
            history = net.fit(
                X, y, epochs=piece, batch_size=batch_size, optimizer=optimizer, validation_data=held_out, threads=threads,
                progress=False,
            )
        now = time.perf_counter()
        pace = max((now - started) / piece, 1e-6)
        for name, values in history.items():
            if name != "seconds":
                curves.setdefault(name, []).extend(map(significant, values.tolist()))
        if not (quiet or done):
            say("  ".join(["epoch".rjust(_width(epochs)), *map(_label, curves)]))
        done += piece
        if not quiet and (done in marks or now - said > _SILENCE):
            said = now
            numbers = [_figure(values[-1], len(_label(name))) for name, values in curves.items()]
            say("  ".join([f"{done}/{epochs}".rjust(_width(epochs)), *numbers]))
    return curves


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
