"""One run of ``fit``: epochs through the runner, validation, callbacks, progress, and the way back from a divergence.

The way back costs nothing while all goes well: at most once every ``runner.PATIENCE`` seconds, between two epochs, the numbers
are checked and copied. When a loss or a weight is found not to be finite, the run returns to that copy and repeats its epochs
one by one, with the same bits, up to the last one that ends finite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import finite
from cbp.engine.cpu import core as _core
from cbp.engine.numbers import Numbers
from cbp.engine.progress import Progress
from cbp.engine.run import Run
from cbp.engine.runner import BLOCK, CURVES, PATIENCE, Runner
from cbp.engine.specs import Callback, Optimizer
from cbp.engine.validation import Validation
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
    validate : Validation or None
        Measures the validation data.

    Raises
    ------
    ValueError
        A number is not finite before the run.
    """

    def __init__(self, runner: Runner, numbers: Numbers, metric: str, validate: Validation | None):
        defect = finite.defect_of(runner.plan, numbers)
        if defect is not None:
            raise ValueError(f"{defect}. Training cannot mend that")
        self._runner = runner
        self.numbers = numbers
        self._metric = metric
        self._validate = validate
        self._first, self._first_step = numbers.epoch, numbers.step
        self._curves: list[Curves] = []
        self._validation: list[dict[str, float]] = []
        self._run: Run | None = None
        self._rate_changes = numbers.optimizer.schedule is not None
        self._warned = False
        self._begun = 0  # 1 after an interruption inside an epoch
        self._recovering = False
        self._safe = numbers.copy()
        self._safe_since = _core.clock()

    @property
    def complete(self) -> int:
        """Complete epochs, whose numbers the network holds or held."""
        complete = self.numbers.epoch - self._begun - self._first
        return complete if self._validate is None else min(complete, len(self._validation))

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured in every epoch."""
        validated = () if self._validate is None else tuple(f"val_{name}" for name in self._validate.names)
        return "loss", self._metric, *validated, "rate", "seconds"

    @property
    def history(self) -> History:
        """The complete epochs so far, and only those whose numbers the network holds."""
        complete = self.complete
        curves = np.concatenate([*self._curves, np.empty((0, CURVES))])[:complete]
        found = dict(zip(("loss", self._metric, "seconds", "rate"), curves.T, strict=True))
        for name in () if self._validate is None else self._validate.names:
            found[f"val_{name}"] = np.array([values[name] for values in self._validation[:complete]])
        shown = {name: found[name] for name in self.names if name != "rate" or self._rate_changes}
        if self._run is None:
            return History(shown)
        return History(shown, stopped=self._run.stopped, best_epoch=self._run.kept_epoch)

    @property
    def rate(self) -> float:
        """The rate of the next update."""
        step, epoch = self._runner.counters
        return float(self.numbers.optimizer.rate_at(step, epoch - self.numbers.since))

    def take_up(self, optimizer: Optimizer) -> None:
        """Go on with another rate. The numbers are copied: a way back from a divergence must not repeat epochs at it."""
        self.numbers.optimizer = optimizer
        self._runner.take_up(optimizer)
        self._rate_changes = True
        self._keep(force=True)

    def present(self) -> Numbers:
        """The numbers that the network would hold if the run were interrupted now; what a signal handler saves."""
        step, epoch = self._runner.counters
        now = replace(self.numbers, step=step, epoch=epoch + self._runner.inside_epoch)
        return self._safe if self._recovering or not now.finite else now

    def accompany(self, network: Any, callbacks: Sequence[Callback], epochs: int) -> None:
        """Let callbacks go with the run of ``epochs`` epochs, and tell them that it begins. What they raise ends it."""
        better: dict[str, bool | None] = {"loss": False, self._metric: self._metric == "accuracy"}  # the others are errors
        if self._validate is not None:
            better |= self._validate.higher_is_better
        watched = {name: better[name.removeprefix("val_")] for name in self.names if name not in ("seconds", "rate")}
        self._run = Run(network, self, callbacks, epochs, watched)
        self._run.begin()

    def run(self, epochs: int, progress: bool | None) -> None:
        """Run ``epochs`` epochs, or up to a callback's stop; raises DivergedError, and lets KeyboardInterrupt and what
        callbacks raise pass, with a consistent network."""
        show = Progress(epochs, progress)
        self._runner.begin(_core.clock())
        try:
            self._epochs(epochs, show)
        except DivergedError:
            raise
        except BaseException:
            self._settle()
            raise
        finally:
            show.close()
            if self._run is not None:
                self._run.end()

    def _epochs(self, epochs: int, show: Progress) -> None:
        done, run = 0, self._run
        single = self._validate is not None or run is not None
        while done < epochs and (run is None or run.stopped is None):
            if run is not None:
                run.epoch_begins()
            done += self._block(1 if single else min(BLOCK, epochs - done), done, show)
            if self._validate is not None:
                self._validation.append(self._validate())
                self._look_at(self._validation[-1])
            self._keep(force=done == epochs)
            if run is not None:
                run.epoch_ends(self._logs())
                self._keep(force=run.stopped is not None)

    def _logs(self) -> dict[str, float]:
        """What the last epoch measured."""
        loss, metric, seconds, rate = self._curves[-1][-1].tolist()
        validated = {f"val_{name}": value for name, value in (self._validation[-1] if self._validation else {}).items()}
        return {"loss": loss, self._metric: metric, **validated, "seconds": seconds, "rate": rate}

    def _block(self, count: int, done: int, show: Progress) -> int:
        """Up to ``count`` epochs, ending at a boundary between epochs; returns how many."""
        curves = np.empty((count, CURVES))
        self._curves.append(curves)
        first = self._runner.rebase()
        last = first + count
        while self.numbers.epoch < last and not self._runner.diverged:
            self._runner.slice(curves, last)
            show.show(done + self.numbers.epoch - first, self._runner.loss_so_far)
            # A slice that ends inside an epoch is followed by one that ends with it, where the numbers can be kept.
            last = self.numbers.epoch + self._runner.inside_epoch
        self._curves[-1] = curves[: self.numbers.epoch - first]
        if self._runner.diverged:
            self._recover(self.numbers.epoch)
        return self.numbers.epoch - first

    def _look_at(self, measured: dict[str, float]) -> None:
        """Warn, once, where what was measured on the validation data is not finite although the network's numbers are."""
        wrong = next((name for name in ("loss", self._metric) if not math.isfinite(measured[name])), None)
        if wrong is None or self._warned:
            return
        self._keep(force=True)
        self._warned = True
        finite.warn(f"val_{wrong} is {measured[wrong]} after epoch {self.numbers.epoch - self._first}, in history too: "
                    f"{finite.beyond(self.numbers.parameters.dtype, 'validation_data as X and y')} "
                    f"If val_loss grew before, a lower rate helps.")

    def _keep(self, force: bool) -> None:
        """Check the numbers and keep a copy, from time to time."""
        if not force and _core.clock() - self._safe_since < PATIENCE:
            return
        if not self.numbers.finite:
            self._recover(self.numbers.epoch - 1)
        self._safe.assign(self.numbers)
        self._safe_since = _core.clock()

    def _recover(self, last: int) -> None:
        """Return to the last epoch that ended finite, at most to epoch ``last``, and raise."""
        self._recovering = True
        updated = self.numbers.step > self._first_step
        self.numbers.assign(self._safe)
        self._runner.begin(_core.clock())
        before = self._safe.copy()
        while self.numbers.epoch < last:
            self._runner.epochs(1)
            if self._runner.diverged or not self.numbers.finite:
                break
            before.assign(self.numbers)
        self.numbers.assign(before)
        raise DivergedError(
            f"training diverged in epoch {self.numbers.epoch - self._first + 1}: "
            f"{finite.divergence(self.numbers.parameters.dtype, updated=updated)} "
            f"The network holds the weights from before that epoch.", self.history)

    def _settle(self) -> None:
        """After an interruption: finite numbers, counters that belong to them, and no shuffle of a begun epoch twice."""
        if self._recovering:
            self.numbers.assign(self._safe)
            return
        self._runner.sync()
        if self.numbers.finite:
            self._begun = int(self._runner.inside_epoch)
            self.numbers.epoch += self._begun
        else:
            self.numbers.assign(self._safe)
