"""Callbacks that change the rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from cbp.callbacks.base import CALLBACKS, Callback, Monitor
from cbp.engine import check

if TYPE_CHECKING:
    from cbp.engine.run import Run

__all__ = []


__all__ += ["ReduceOnPlateau"]
@CALLBACKS.add
class ReduceOnPlateau(Callback):
    """Multiply the rate by ``factor`` when nothing has become better for ``patience`` epochs; the optimizer's state stays.

    The rate must be a number; a schedule has its own plan. Where ``fit`` ends the network's optimizer has the rate of then,
    with which it goes on. The curve ``history.rate`` has the rate of every epoch.

    Parameters
    ----------
    monitor : str
        What is watched, as in :class:`EarlyStopping`.
    factor : float
        Above 0 and below 1.
    patience : int
        Epochs without an improvement after which the rate is reduced, at least 1.
    min_delta : float
        An improvement by no more than this does not count.
    minimum : float
        The rate does not become less.
    cooldown : int
        Epochs after a reduction that do not count for the patience.
    mode : str
        As in :class:`EarlyStopping`.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range or of the wrong kind; in ``fit``, before anything is changed, where nothing of that name is
        measured or the rate is a schedule.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> plateau = cbp.ReduceOnPlateau(monitor="loss", patience=2, factor=0.5, min_delta=100)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=6, optimizer=cbp.SGD(0.1), callbacks=plateau)
    >>> history.rate
    array([0.1  , 0.1  , 0.1  , 0.05 , 0.05 , 0.025])
    """

    name: ClassVar[str] = "reduce_on_plateau"
    aliases: ClassVar[tuple[str, ...]] = ("reducelronplateau", "reduce_lr_on_plateau", "plateau")

    def __init__(
        self, monitor: str = "val_loss", factor: float = 0.1, patience: int = 10, min_delta: float = 1e-4, *,
        minimum: float = 0.0, cooldown: int = 0, mode: str = "auto",
    ):
        self.factor = check.real("factor", factor, above=0, below=1)
        self.patience = check.integer("patience", patience)
        self.minimum = check.real("minimum", minimum, minimum=0)
        self.cooldown = check.integer("cooldown", cooldown, minimum=0)
        self._monitor = Monitor("ReduceOnPlateau", monitor, mode, min_delta)
        self._waited = self._cooling = 0

    def on_fit_begin(self, run: Run) -> None:
        schedule = run.network.optimizer.schedule
        if schedule is not None:
            raise ValueError(f"ReduceOnPlateau changes a rate that is a number, and the optimizer has the schedule "
                             f"{schedule!r}; take one of the two")
        self._monitor.begin(run)
        self._waited = self._cooling = 0

    def on_epoch_end(self, run: Run) -> None:
        self._waited = 0 if self._monitor.improved(run) else self._waited + 1
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self._waited >= self.patience:
            self._waited, self._cooling = 0, self.cooldown
            reduced = max(run.rate * self.factor, self.minimum)
            if reduced < run.rate:
                run.rate = reduced

    def __repr__(self) -> str:
        return f"ReduceOnPlateau(monitor={self._monitor.name!r}, factor={self.factor:g}, patience={self.patience})"
