"""History: what a training run measured, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Curve = npt.NDArray[np.float64]


class History(Mapping[str, Curve]):
    """The curves of one ``fit``: a mapping from names to arrays with one value per epoch.

    ``"loss"`` and the metric of the loss (``"accuracy"`` or ``"mean_absolute_error"``) are means over the batches of the
    epoch, each measured before its update; penalties count as they were when the epoch began. ``"val_..."`` are measured
    after the epoch on the validation data; what the network's dtype does not hold is inf or nan there, and ``fit`` warns of the
    first. ``"rate"``, that of the last update of the epoch, is there where the optimizer has a schedule. ``"seconds"`` is the time since the start of the run, read from the clock at least every 64 rows. The curves are
    attributes too, and read-only: ``history.loss.copy()`` may be written to.
    """

    def __init__(self, curves: Mapping[str, npt.ArrayLike]):
        self._curves = {name: np.array(values, dtype=np.float64) for name, values in curves.items()}
        for curve in self._curves.values():
            curve.flags.writeable = False

    def __getitem__(self, name: str) -> Curve:
        return self._curves[name]

    def __getattr__(self, name: str) -> Curve:
        curves = self.__dict__.get("_curves", {})
        if name not in curves:
            raise AttributeError(f"this history has no {name!r}; its curves are {', '.join(curves)}")
        curve: Curve = curves[name]
        return curve

    def __setattr__(self, name: str, value: object) -> None:
        if name != "_curves" or "_curves" in self.__dict__:
            raise AttributeError(f"a history is what a fit measured; {name!r} cannot be set", name=name, obj=self)
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._curves)

    def __len__(self) -> int:
        return len(self._curves)

    @property
    def epochs(self) -> int:
        """Number of epochs that were completed."""
        return len(self._curves["loss"])

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(0 epochs)"
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self._curves.items() if name != "seconds")
        return f"History({self.epochs} epochs in {self._curves['seconds'][-1]:.2f} s; {last})"

    def plot(self, axes: Axes | None = None) -> Any:
        """Draw the loss, and the metric on a second axis, over the epochs.

        Needs matplotlib (``pip install 'cbp[plot]'``); raises ImportError without it. Returns the axes of the loss.
        """
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ImportError("History.plot draws with matplotlib: pip install 'cbp[plot]'") from None
        if axes is None:
            axes = plt.figure(layout="constrained").add_subplot()
        epochs = np.arange(1, self.epochs + 1)
        others = [name for name in self if name not in ("seconds", "rate") and not name.endswith("loss")]
        for name in self:
            if name.endswith("loss"):
                axes.plot(epochs, self[name], color="tab:blue", linestyle="--" if name.startswith("val_") else "-",
                          label=name)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss", color="tab:blue")
        right = axes.twinx()
        for name in others:
            right.plot(epochs, self[name], color="tab:orange", linestyle="--" if name.startswith("val_") else "-",
                       label=name)
        if others:
            right.set_ylabel(others[0].removeprefix("val_").replace("_", " "), color="tab:orange")
        handles = axes.get_lines() + right.get_lines()
        axes.legend(handles, [str(line.get_label()) for line in handles], loc="center right")
        return axes
