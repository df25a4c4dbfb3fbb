"""A picture of the training steps: how many times cbp's time every library takes, on a logarithmic scale."""

from __future__ import annotations

from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from bench.peers import PEERS
from bench.report import rows
from bench.table import number

TITLE = "Time of a training step, as a multiple of cbp's"
# Okabe and Ito's colours, told apart with any kind of sight, and a shape each for print without colour
STYLES = {
    "numpy": ("#E69F00", "s"), "sklearn": ("#CC79A7", "D"), "torch": ("#D55E00", "o"), "torch-compile": ("#D55E00", "^"),
    "jax-step": ("#0072B2", "v"), "jax": ("#0072B2", "P"), "jax-tuned": ("#56B4E9", "X"),
}
CBP, LIMIT = "#000000", "#009E73"


def draw(results: dict[str, Any], path: str) -> None:
    """A row for every net, cbp's line at 1; a point left of it would be faster."""
    found = [row for row in rows(results, "training") if "median_us" in row["series"].get("cbp", {})]
    figure = Figure(figsize=(9, 1.9 + 0.42 * max(1, len(found))), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for key, (colour, marker) in STYLES.items():
        points = [(row["series"][key]["ratio"], place) for place, row in enumerate(found) if "ratio" in row["series"].get(key, {})]
        if points:
            axes.scatter(*zip(*points, strict=True), s=52, c=colour, marker=marker, label=PEERS[key].title, zorder=3,
                         edgecolors="white", linewidths=0.6)
    limits = [(row["share_of_limit"], place) for place, row in enumerate(found) if row.get("share_of_limit", 0) > 0.1]
    if limits:
        axes.scatter(*zip(*limits, strict=True), s=140, c=LIMIT, marker="|", linewidths=2.5, label="limit of the core", zorder=3)
    axes.axvline(1, color=CBP, linewidth=3.5, zorder=2, label="cbp")
    axes.set_xscale("log")
    axes.set_yticks(range(len(found)), [f"{row['name']}\ncbp {number(row['series']['cbp']['median_us'])} µs" for row in found],
                    fontsize=8)
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.grid(axis="x", which="major", color="#cccccc", linewidth=0.8)
    axes.grid(axis="x", which="minor", color="#eeeeee", linewidth=0.5)
    axes.grid(axis="y", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("times cbp's time, logarithmic scale (one core; further to the right is slower)", fontsize=9)
    figure.suptitle(TITLE, fontsize=11, fontweight="bold")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8.5, frameon=False)
    figure.savefig(path)
