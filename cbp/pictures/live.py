"""Curves that are drawn anew while a run goes on."""

from __future__ import annotations

import io
import sys
import time
from typing import Any

from cbp.pictures import canvas

__all__ = ["LivePlot"]


class LivePlot:
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
    ValueError
        ``seconds`` is negative or no number.

    Examples
    --------
    >>> import types
    >>> live = cbp.LivePlot(seconds=0)
    >>> run = types.SimpleNamespace(history=cbp.History({"loss": [3.0, 2.0], "seconds": [0.1, 0.2]}))
    >>> live.on_epoch_end(run)
    >>> live.figure.axes[0].get_title(loc="left")
    '2 epochs, 100 ms each'
    """

    def __init__(self, seconds: float = 0.5, axes: Any = None):
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds must be a number from 0 on, got {seconds!r:.80}")
        canvas.required("LivePlot")
        self._seconds = float(seconds)
        self._next = 0.0
        self._handle: Any = None
        self._own = axes is None
        self.figure: Any = _figure() if axes is None else axes.figure

    def on_fit_begin(self, run: Any) -> None:
        """Begin a new picture."""
        self._next, self._handle = 0.0, None

    def on_epoch_end(self, run: Any) -> None:
        """Draw ``run.history``, the curves so far, unless that was done a moment ago."""
        if time.monotonic() >= self._next:
            self._draw(run.history)

    def on_fit_end(self, run: Any) -> None:
        """Draw all of it."""
        self._draw(run.history)

    def _draw(self, history: Any) -> None:
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
