"""History: what a training run measured, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Never

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = npt.NDArray[np.float64]


class History(dict[str, Curve]):
    """The curves of one ``fit``: a mapping from names to arrays with one value per epoch.

    ``"loss"`` and the metric of the loss (``"accuracy"`` or ``"mean_absolute_error"``) are means over the batches of the
    epoch, each measured before its update; penalties count as they were when the epoch began. ``"val_..."`` are measured
    after the epoch on the validation data; what the network's dtype does not hold is inf or nan there, and ``fit`` warns of the
    first. ``"rate"``, that of the last update of the epoch, is there where the optimizer has a schedule or a callback changed
    it. ``"seconds"`` is the time since the start of the run, read from the clock at least every 64 rows. The curves are
    attributes too, and read-only: ``history.loss.copy()`` may be written to.

    It is a dict, so that ``pandas.DataFrame(history)`` and ``polars.DataFrame(history)`` are the curves; nothing can be added
    to it or taken away.

    Examples
    --------
    >>> history = cbp.History({"loss": [3.0, 1.0, 2.0], "seconds": [0.1, 0.2, 0.3]})
    >>> history.loss.tolist(), history.epochs, history.best_epoch
    ([3.0, 1.0, 2.0], 3, 2)
    """

    stopped: str | None
    _kept_epoch: int | None
    """Why a callback ended the run before its last epoch; None where none did."""

    def __init__(self, curves: Mapping[str, npt.ArrayLike], *, stopped: str | None = None, best_epoch: int | None = None):
        vars(self).update(stopped=stopped, _kept_epoch=best_epoch)
        super().__init__({name: np.array(values, dtype=np.float64) for name, values in curves.items()})
        for curve in self.values():
            curve.flags.writeable = False

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),), vars(self) or None

    def _refuse(self, *given: object, **named: object) -> Never:
        """Be a record of what was measured."""
        raise TypeError("a history is what a fit measured, and read-only; dict(history) may be changed")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __getattr__(self, name: str) -> Curve:
        if name not in self:
            raise AttributeError(f"this history has no {name!r}; its curves are {', '.join(self)}")
        return self[name]

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a history is what a fit measured; {name!r} cannot be set", name=name, obj=self)

    @property
    def epochs(self) -> int:
        """Number of epochs that were completed."""
        return len(self["loss"])

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights :class:`EarlyStopping` left; without it that with the smallest ``val_loss``, or ``loss``
        where nothing was validated, the first of several.

        Epochs count from 1 as in :meth:`plot`, so that it is how many of them it took: its loss is
        ``history.loss[history.best_epoch - 1]``. None where no loss is finite.
        """
        if self._kept_epoch is not None:
            return self._kept_epoch
        curve = self["val_loss" if "val_loss" in self else "loss"]
        finite = np.isfinite(curve)
        return int(np.where(finite, curve, np.inf).argmin()) + 1 if finite.any() else None

    def to_frame(self) -> Any:
        """The curves as a ``pandas.DataFrame``, a row for every epoch, counted from 1; raises ImportError without pandas."""
        try:
            import pandas
        except ImportError:
            raise ImportError("History.to_frame makes a table of pandas: pip install pandas") from None
        return pandas.DataFrame(dict(self), index=pandas.RangeIndex(1, self.epochs + 1, name="epoch"))

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(0 epochs)"
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.items() if name != "seconds")
        return f"History({self.epochs} epochs in {self['seconds'][-1]:.2f} s; {last})"

    def _repr_html_(self) -> str:
        from cbp.pictures import curves

        return curves.html(self, self.best_epoch)

    def plot(self, axes: Axes | None = None) -> Any:
        """Draw the loss, and the metrics on a second axis, over the epochs; rates of learning have an axis of their own.

        A dotted line marks the best epoch, see :attr:`best_epoch`, and the title tells what an epoch took.

        Needs matplotlib (``pip install 'cbp[plot]'``); raises ImportError without it.

        Parameters
        ----------
        axes : matplotlib.axes.Axes, optional
            Where to draw; by default a new figure is made.

        Returns
        -------
        matplotlib.axes.Axes
            Those of the loss.
        """
        from cbp.pictures import curves

        return curves.plot(self, self.best_epoch, axes)
