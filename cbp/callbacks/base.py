"""What all callbacks share, and how those watch that compare one epoch with another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from cbp._registry import Registry
from cbp.engine import check
from cbp.errors import quoted, unknown_name

if TYPE_CHECKING:
    from cbp.engine.run import Run

__all__ = ["CALLBACKS", "Callback", "Monitor", "listed"]


class Callback:
    """Something that goes with a training: ``net.fit(X, y, callbacks=[...])``. One of your own derives from this and has those
    of the four methods that it needs.

    Each gets the ``run``: ``run.network``, ``run.epoch`` (complete epochs of this ``fit``), ``run.epochs`` (that it has at
    most), ``run.logs`` (what the last one measured, by name), ``run.history``, ``run.rate``, which may be set, and
    ``run.stop(reason)``. The network may be asked and saved meanwhile, not trained. What a method raises ends the training,
    with the network as after the last complete epoch.

    Examples
    --------
    >>> class Target(cbp.Callback):
    ...     def on_epoch_end(self, run):
    ...         if run.logs["loss"] < 0.1:
    ...             run.stop("the loss is small enough")
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=1000, optimizer=cbp.SGD(0.1), callbacks=Target())
    >>> history.stopped, history.epochs < 1000
    ('the loss is small enough', True)
    """

    name: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    _used: ClassVar[str] = "net.fit(X, y, callbacks=[that]) takes it along"

    def on_fit_begin(self, run: Run) -> None:
        """Before the first epoch; an exception leaves the network as it was."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before every epoch."""

    def on_epoch_end(self, run: Run) -> None:
        """After every complete epoch and its validation."""

    def on_fit_end(self, run: Run) -> None:
        """When the run is over, whatever ended it: its last epoch, a stop, Ctrl-C, a divergence, an exception."""


CALLBACKS: Registry[type[Callback]] = Registry("callback")
"""The callbacks by name, each entered by its class."""


def listed(callbacks: object) -> Sequence[Callback]:
    """What ``fit`` was given, one callback or several; raises TypeError for anything else."""
    given = [callbacks] if isinstance(callbacks, Callback) else callbacks
    if given is None:
        return ()
    if not isinstance(given, (list, tuple)):
        raise TypeError(f"callbacks must be a list of callbacks, for example [cbp.EarlyStopping(patience=10)], got "
                        f"{quoted(given)}")
    for index, one in enumerate(given):
        if isinstance(one, type):
            raise TypeError(f"callbacks[{index}] is the class {one.__name__}; write {one.__name__}(...)")
        if not isinstance(one, Callback):
            raise TypeError(f"callbacks[{index}] must derive from cbp.Callback, got {quoted(one)}")
    if len(set(map(id, given))) != len(given):
        raise ValueError("callbacks has the same callback twice")
    return tuple(given)


class Monitor:
    """Says of each epoch whether what is watched became better.

    Parameters
    ----------
    who : str
        The callback, for messages.
    name : str
        What is watched, a name of ``run.logs``.
    mode : str
        ``"min"``, ``"max"`` or ``"auto"``.
    min_delta : float
        What is less is no improvement.
    """

    def __init__(self, who: str, name: str, mode: str, min_delta: float):
        if not isinstance(name, str):
            raise TypeError(f"monitor must be a name such as 'val_loss', got {quoted(name)}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"mode must be 'auto', 'min' or 'max', got {quoted(mode)}")
        self.who, self.name, self.mode = who, name, mode
        self.min_delta = check.real("min_delta", min_delta, minimum=0)
        self.best = math.nan
        self._sign = 1.0

    def begin(self, run: Run) -> None:
        """Start anew; raises ValueError where nothing of that name is measured, or nobody knows which way is better."""
        if self.name not in run.higher_is_better:
            if self.name.startswith("val_") and not any(name.startswith("val_") for name in run.names):
                raise ValueError(f"{self.who} watches {self.name!r}, and nothing is validated: give fit "
                                 f"validation_split=0.1 or validation_data=(X, y), or watch 'loss'")
            raise unknown_name("monitor", self.name, list(run.higher_is_better), {})
        upward = run.higher_is_better[self.name] if self.mode == "auto" else self.mode == "max"
        if upward is None:
            raise ValueError(f"{self.who} watches {self.name!r}, of which nobody says whether higher is better: mode='max' or "
                             f"mode='min' does")
        self._sign = -1.0 if upward else 1.0
        self.best = math.nan

    def better(self, value: float, than: float, by: float = 0.0) -> bool:
        """Whether a value is an improvement; the first number is one of nothing (NaN)."""
        if math.isnan(value):
            return False
        return math.isnan(than) or self._sign * (than - value) > by

    def improved(self, run: Run) -> bool:
        """Whether the last epoch is better than the best before, by more than ``min_delta``; it is the best then."""
        value = run.logs[self.name]
        if not self.better(value, self.best, self.min_delta):
            return False
        self.best = value
        return True
