"""A callback that draws the curves anew while a run goes on."""

from __future__ import annotations

import io
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from cbp.callbacks.base import CALLBACKS, Callback
from cbp.engine import check
from cbp.pictures import canvas

if TYPE_CHECKING:
    from cbp.engine.run import Run
    from cbp.history import History

__all__ = []


__all__ += ["LivePlot"]
@CALLBACKS.add
class LivePlot(Callback):
    """Curves of a run that are drawn anew while it trains: ``net.fit(X, y, callbacks=[cbp.LivePlot()])`` in a notebook.

    In a notebook the picture stands below the cell and changes in its place. Elsewhere it is drawn on ``axes``, of a window of
    one's own for example, or on ``figure`` alone, which may be saved.

    Needs matplotlib (``pip install 'cbp[plot]'``); raises ImportError without it.

    Parameters
    ----------
    seconds : float
        At least so long lies between two drawings, and drawing takes at most a fifth of the run's time. The last epoch is drawn
        always.
    axes : matplotlib.axes.Axes, optional
        Where to draw; its figure then has nothing else.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        What is drawn on.

    Raises
    ------
    ValueError, TypeError
        ``seconds`` is negative or no number.

    Examples
    --------
    >>> live, net = cbp.LivePlot(), cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=2, callbacks=live)
    >>> live.figure.axes[0].get_title(loc="left").startswith("2 epochs")
    True
    """

    name: ClassVar[str] = "live_plot"
    aliases: ClassVar[tuple[str, ...]] = ("liveplot", "plot_losses")

    def __init__(self, seconds: float = 0.5, axes: Any = None):
        self._seconds = check.real("seconds", seconds, minimum=0)
        canvas.required("LivePlot")
        self._next = 0.0
        self._handle: Any = None
        self._own = axes is None
        self.figure: Any = _figure() if axes is None else axes.figure

    def on_fit_begin(self, run: Run) -> None:
        self._next, self._handle = 0.0, None

    def on_epoch_end(self, run: Run) -> None:
        if time.monotonic() >= self._next:
            self._draw(run.history)

    def on_fit_end(self, run: Run) -> None:
        self._draw(run.history)

    def __repr__(self) -> str:
        return f"LivePlot(seconds={self._seconds:g})"

    def _draw(self, history: History) -> None:
        from cbp.pictures import curves  # `import cbp` does not wait for it

        started = time.monotonic()
        self.figure.clear()
        curves.plot(history, history.best_epoch, self.figure.add_subplot())
        if self._own and _in_notebook():
            self._show()
        else:
            self.figure.canvas.draw_idle()
            self.figure.canvas.flush_events()
        ended = time.monotonic()
        self._next = ended + max(self._seconds, 4 * (ended - started))

    def _show(self) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(self, display_id=True)
        else:
            self._handle.update(self)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.figure.savefig(file, format="png", dpi=100)
        return file.getvalue()


def _figure() -> Any:
    """One that pyplot knows nothing of, or a notebook would show it a second time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules
