"""What a run measured, as a plot and as a small table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.pictures import canvas

__all__ = ["duration", "html", "plot"]

Curves = Mapping[str, npt.NDArray[np.float64]]

RATE, TIME = "rate", "seconds"
"""The curves that are neither losses nor metrics."""


def plot(curves: Curves, best: int | None, axes: Any = None) -> Any:
    """Losses on ``axes``, metrics on a second axis, rates on a third; returns ``axes``."""
    axes = canvas.new_axes("History.plot") if axes is None else axes
    canvas.required("History.plot")
    from matplotlib.ticker import MaxNLocator

    sides = [axes]
    lines = _lines(axes, {name: curve for name, curve in curves.items() if _base(name).endswith("loss")}, 0)
    axes.set_ylabel("loss", color=canvas.COLOURS[0])
    metrics = {name: curve for name, curve in curves.items() if not _base(name).endswith("loss") and name not in (RATE, TIME)}
    if metrics:
        sides.append(axes.twinx())
        lines += _lines(sides[-1], metrics, 1)
        bases = dict.fromkeys(map(_base, metrics))
        sides[-1].set_ylabel(canvas.plain(", ".join(bases).replace("_", " ")),
                             **({"color": canvas.COLOURS[1]} if len(bases) == 1 else {}))
    if RATE in curves:
        sides.append(_rates(axes, curves[RATE], outward=54 * (len(sides) - 1)))
        lines += sides[-1].get_lines()
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if best is not None:
        lines.append(axes.vlines(best, 0, 1, transform=axes.get_xaxis_transform(), color="0.5", linestyle=":", linewidth=1.2,
                                 label=f"best epoch: {best}"))
    axes.set_xlim(1 - _room(curves), len(curves["loss"]) + _room(curves))
    axes.set_title(_effort(curves), loc="left", fontsize="medium")
    _legend(sides[-1], lines)
    return axes


def _legend(axes: Any, lines: list[Any]) -> None:
    """Below the picture, where a layout makes room for it; else inside, where falling losses and rising accuracies leave
    most."""
    figure = axes.figure
    if figure.get_layout_engine() is None:
        axes.legend(handles=lines, loc="center right", framealpha=0.85, fontsize="small")
        return
    from matplotlib.transforms import ScaledTranslation

    below = axes.transAxes + ScaledTranslation(0, -0.46, figure.dpi_scale_trans)  # inches: under ticks and label
    axes.legend(handles=lines, loc="upper left", bbox_to_anchor=(0, 0), bbox_transform=below, borderaxespad=0, frameon=False,
                fontsize="small", ncols=3 if figure.get_size_inches()[0] >= 5 else 2)


def _room(curves: Curves) -> float:
    """Epochs that are left empty at both ends."""
    return max(0.2, 0.03 * len(curves["loss"]))


def _base(name: str) -> str:
    """What a curve measures, on whatever data."""
    return name.removeprefix("val_")


def _epochs(curve: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    return np.arange(1, len(curve) + 1)


def _lines(axes: Any, curves: Curves, first: int) -> list[Any]:
    """A colour for each thing that is measured, dashes for the validation data, points where there are few."""
    bases = list(dict.fromkeys(map(_base, curves)))
    colours = [canvas.COLOURS[(first + 2 * i) % len(canvas.COLOURS)] for i in range(len(bases))]
    return [axes.plot(_epochs(curve), curve, color=colours[bases.index(_base(name))], label=name.replace("$", r"\$"),
                      linestyle="-" if name == _base(name) else "--", marker="." if len(curve) < 2 else "")[0]
            for name, curve in curves.items()]


def _rates(axes: Any, rates: npt.NDArray[np.float64], outward: float) -> Any:
    """An axis beside that of the metrics, logarithmic where the rates span more than a factor of 20. In a figure without a
    layout nobody makes room for it: there the legend alone tells the range."""
    side = axes.twinx()
    known = rates[np.isfinite(rates)]
    span = f": {known.min():.3g} to {known.max():.3g}" if known.size else ""
    side.plot(_epochs(rates), rates, color="0.5", linewidth=1.2, label=f"{RATE}{span}")
    if known.size and known.min() > 0 and known.max() > 20 * known.min():
        side.set_yscale("log")
    elif known.size:
        side.set_ylim(0, 1.08 * max(known.max(), 1e-30))
    if axes.figure.get_layout_engine() is None:
        side.yaxis.set_visible(False)
        side.spines["right"].set_visible(False)
    else:
        side.spines["right"].set_position(("outward", outward))
        side.set_ylabel(RATE, color="0.4")
    return side


def _effort(curves: Curves) -> str:
    """How many epochs, and what one took."""
    epochs = len(curves["loss"])
    said = f"{epochs:,} epoch{'s' * (epochs != 1)}"
    return f"{said}, {duration(curves[TIME][-1] / epochs)} each" if epochs and TIME in curves else said


def duration(seconds: float) -> str:
    """Milliseconds, or seconds where they are many, with three digits.

    Examples
    --------
    >>> from cbp.pictures.curves import duration
    >>> duration(0.00123456), duration(1.2), duration(75)
    ('1.23 ms', '1,200 ms', '75.0 s')
    """
    return f"{seconds:,.1f} s" if seconds >= 10 else f"{float(f'{1e3 * seconds:.3g}'):,g} ms"


def html(curves: Curves, best: int | None) -> str:
    """A table of the curves: how they ran, their values at the best epoch and at the end."""
    from html import escape

    from cbp.pictures import markup

    head, rows = ["curve", "", "last"], []
    for name, curve in curves.items():
        if name == TIME:
            continue
        row = [escape(name), _spark(name, curve), f"{curve[-1]:.4g}" if len(curve) else ""]
        rows.append(row if best is None else [*row, f"{curve[best - 1]:.4g}"])
    if best is not None:
        head.append(f"epoch {best}, the best")
    return (f'<div class="cbp-history"><style>{markup.sheet("cbp-history")}</style><p>{escape(_effort(curves))}</p>'
            f'{markup.table(head, rows, (2, 3))}</div>')


def _spark(name: str, curve: npt.NDArray[np.float64], width: int = 140, height: int = 20) -> str:
    """A line of the size of a word, at most a point for every pixel."""
    from cbp.pictures import markup

    seen = curve[np.linspace(0, len(curve) - 1, min(len(curve), width)).astype(int)]
    x = np.linspace(1, width - 1, len(seen))
    finite = np.isfinite(seen)
    if finite.sum() < 2:
        return ""
    low, high = seen[finite].min(), seen[finite].max()
    y = height - 2 - (height - 4) * (seen[finite] - low) / ((high - low) or 1.0)
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x[finite], y, strict=True))
    return markup.svg(width, height, f"{name} over the epochs", [
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-opacity=".75" stroke-width="1.3"/>'])
