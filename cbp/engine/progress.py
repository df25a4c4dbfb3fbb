"""Progress of a long run: tqdm's bar where it is installed, else one plain line, and only where somebody watches."""

from __future__ import annotations

import sys
import time
from typing import Any

QUIET_SECONDS = 1.0
"""A run that is nearly over by then shows nothing."""


class Progress:
    """Shows how many of ``epochs`` are done.

    ``wanted`` is True, False, or None: then only a terminal or a notebook sees it, and only if the run is long.
    """

    def __init__(self, epochs: int, wanted: bool | None):
        self._epochs = epochs
        self._wanted = _stderr_works() and (_somebody_watches() if wanted is None else wanted)
        self._patience = QUIET_SECONDS if wanted is None else 0.0
        self._started = self._shown_at = time.monotonic()
        self._bar: Any = None
        self._line = ""

    def show(self, done: int, loss: float | None) -> None:
        """Called often; draws at most ten times a second."""
        now = time.monotonic()
        elapsed = now - self._started
        if not self._wanted or elapsed < self._patience or (now - self._shown_at < 0.1 and done < self._epochs):
            return
        remaining = elapsed * (self._epochs - done) / done if done else QUIET_SECONDS
        if not self._bar and not self._line and remaining < self._patience:
            return
        self._shown_at = now
        self._draw(done, "" if loss is None else f"loss {loss:.4g}", remaining)

    def _draw(self, done: int, loss: str, remaining: float) -> None:
        if not self._bar and not self._line:
            self._bar = _tqdm_bar(self._epochs, done)
        if self._bar:
            self._bar.set_postfix_str(loss, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        self._erase()
        self._line = f"epoch {done}/{self._epochs}  {loss}  {remaining:.0f} s left"
        sys.stderr.write(self._line)
        sys.stderr.flush()

    def _erase(self) -> None:
        sys.stderr.write("\r" + " " * len(self._line) + "\r")

    def close(self) -> None:
        """Leaves the terminal as a bar does: the bar stays, a line ends."""
        if self._bar:
            self._bar.close()
        elif self._line:
            sys.stderr.write("\n")
        self._bar, self._line = None, ""


def _stderr_works() -> bool:
    """Not so in a program without a console, or after somebody closed it."""
    return sys.stderr is not None and not getattr(sys.stderr, "closed", False)


def _somebody_watches() -> bool:
    in_notebook = "ipykernel" in sys.modules
    return in_notebook or (hasattr(sys.stderr, "isatty") and sys.stderr.isatty())


def _tqdm_bar(epochs: int, done: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=epochs, initial=done, unit="epoch", desc="training", dynamic_ncols=True)
