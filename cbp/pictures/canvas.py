"""The way to matplotlib: found where something is drawn, axes to draw on, colours that the colour-blind tell apart."""

from __future__ import annotations

from typing import Any

__all__ = ["COLOURS", "MARKERS", "new_axes", "plain", "required"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442", "#555555")
"""Wong (2011), Points of view: color blindness, Nature Methods 8, 441, with a dark grey for black."""

MARKERS = "os^Dv<>P"
"""One beside every colour, so that nothing is told by colour alone."""


def required(what: str) -> None:
    """Raise ImportError unless matplotlib is there for ``what``, whose name the message has."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(f"{what} draws with matplotlib: pip install 'cbp[plot]'") from None


def new_axes(what: str, width: float = 6.4, height: float = 4.4) -> Any:
    """Axes that fill a new figure of this size in inches."""
    required(what)
    import matplotlib.pyplot as plt

    return plt.figure(figsize=(width, height), layout="constrained").add_subplot()


def plain(text: object) -> str:
    """Somebody's words as a label: on one line, and none of it read as a formula."""
    return " ".join(str(text).split()).replace("$", r"\$")
