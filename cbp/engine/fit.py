"""One run of ``fit``: epochs through the runner, validation, progress, and the way back from a divergence.

The way back costs nothing while all goes well: at most once every ``runner.PATIENCE`` seconds, between two epochs, the numbers
are checked and copied. When a loss or a weight is found not to be finite, the run returns to that copy and repeats its epochs
one by one, with the same bits, up to the last one that ends finite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from cbp.engine import finite
from cbp.engine.cpu import core as _core
from cbp.engine.numbers import Numbers
from cbp.engine.progress import Progress
from cbp.engine.runner import BLOCK, CURVES, PATIENCE, Runner
from cbp.errors import DivergedError
from cbp.history import History

Curves = npt.NDArray[np.float64]


class Fit:
    """Runs epochs and keeps their history.

    Parameters
    ----------
    runner : Runner
        Of mode ``"train"``, over ``numbers``.
    numbers : Numbers
        Of the network.
    metric : str
        Name of the second curve.
    validate : callable or None
        Measures the validation data: name -> value.

    Raises
    ------
    ValueError
        A number is not finite before the run.
    """

    def __init__(self, runner: Runner, numbers: Numbers, metric: str, validate: Callable[[], dict[str, float]] | None):
        defect = finite.defect_of(runner.plan, numbers)
        if defect is not None:
            raise ValueError(f"{defect}. Training cannot mend that")
        self._runner = runner
        self._numbers = numbers
        self._metric = metric
        self._validate = validate
        self._scheduled = numbers.optimizer.schedule is not None
        self._first, self._first_step = numbers.epoch, numbers.step
        self._curves: list[Curves] = []
        self._validation: list[dict[str, float]] = []
        self._warned = False
        self._begun = 0  # 1 after an interruption inside an epoch
        self._recovering = False
        self._safe = numbers.copy()
        self._safe_since = _core.clock()

    @property
    def history(self) -> History:
        """The complete epochs so far, and only those whose numbers the network holds."""
        complete = self._numbers.epoch - self._begun - self._first
        if self._validate is not None:
            complete = min(complete, len(self._validation))
        curves = np.concatenate([*self._curves, np.empty((0, CURVES))])[:complete]
        names = {"loss": curves[:, 0], self._metric: curves[:, 1]}
        if self._validate is not None:
            for name in ("loss", self._metric):
                names[f"val_{name}"] = np.array([values[name] for values in self._validation[:complete]])
        if self._scheduled:
            names["rate"] = curves[:, 3]
        names["seconds"] = curves[:, 2]
        return History(names)

    def present(self) -> Numbers:
        """The numbers that the network would hold if the run were interrupted now; what a signal handler saves."""
        step, epoch = self._runner.counters
        now = replace(self._numbers, step=step, epoch=epoch + self._runner.inside_epoch)
        return self._safe if self._recovering or not now.finite else now

    def run(self, epochs: int, progress: bool | None) -> None:
        """Run ``epochs`` epochs; raises DivergedError, and lets KeyboardInterrupt pass, with a consistent network."""
        show = Progress(epochs, progress)
        self._runner.begin(_core.clock())
        done = 0
        try:
            while done < epochs:
                block = 1 if self._validate is not None else min(BLOCK, epochs - done)
                done += self._block(block, done, show)
                if self._validate is not None:
                    self._validation.append(self._validate())
                    self._look_at(self._validation[-1])
                self._keep(force=done == epochs)
        except DivergedError:
            raise
        except BaseException:
            self._settle()
            raise
        finally:
            show.close()

    def _block(self, count: int, done: int, show: Progress) -> int:
        """Up to ``count`` epochs, ending at a boundary between epochs; returns how many."""
        curves = np.empty((count, CURVES))
        self._curves.append(curves)
        first = self._runner.rebase()
        last = first + count
        while self._numbers.epoch < last and not self._runner.diverged:
            self._runner.slice(curves, last)
            show.show(done + self._numbers.epoch - first, self._runner.loss_so_far)
            # A slice that ends inside an epoch is followed by one that ends with it, where the numbers can be kept.
            last = self._numbers.epoch + self._runner.inside_epoch
        self._curves[-1] = curves[: self._numbers.epoch - first]
        if self._runner.diverged:
            self._recover(self._numbers.epoch)
        return self._numbers.epoch - first

    def _look_at(self, measured: dict[str, float]) -> None:
        """Warn, once, where what was measured on the validation data is not finite although the network's numbers are."""
        wrong = next((name for name, value in measured.items() if not math.isfinite(value)), None)
        if wrong is None or self._warned:
            return
        self._keep(force=True)
        self._warned = True
        finite.warn(f"val_{wrong} is {measured[wrong]} after epoch {self._numbers.epoch - self._first}, in history too: "
                    f"{finite.beyond(self._numbers.parameters.dtype, 'validation_data as X and y')} "
                    f"If val_loss grew before, a lower rate helps.")

    def _keep(self, force: bool) -> None:
        """Check the numbers and keep a copy, from time to time."""
        if not force and _core.clock() - self._safe_since < PATIENCE:
            return
        if not self._numbers.finite:
            self._recover(self._numbers.epoch - 1)
        self._safe.assign(self._numbers)
        self._safe_since = _core.clock()

    def _recover(self, last: int) -> None:
        """Return to the last epoch that ended finite, at most to epoch ``last``, and raise."""
        self._recovering = True
        updated = self._numbers.step > self._first_step
        self._numbers.assign(self._safe)
        self._runner.begin(_core.clock())
        before = self._safe.copy()
        while self._numbers.epoch < last:
            self._runner.epochs(1)
            if self._runner.diverged or not self._numbers.finite:
                break
            before.assign(self._numbers)
        self._numbers.assign(before)
        raise DivergedError(
            f"training diverged in epoch {self._numbers.epoch - self._first + 1}: "
            f"{finite.divergence(self._numbers.parameters.dtype, updated=updated)} "
            f"The network holds the weights from before that epoch.", self.history)

    def _settle(self) -> None:
        """After an interruption: finite numbers, counters that belong to them, and no shuffle of a begun epoch twice."""
        if self._recovering:
            self._numbers.assign(self._safe)
            return
        self._runner.sync()
        if self._numbers.finite:
            self._begun = int(self._runner.inside_epoch)
            self._numbers.epoch += self._begun
        else:
            self._numbers.assign(self._safe)
