"""A picture of the training steps: how many times cbp's time every library takes, on a logarithmic scale."""

from __future__ import annotations

from typing import Any

from bench.peers import PEERS
from bench.report import rows
from bench.table import number

TITLE = "Time of a training step, as a multiple of cbp's"
# Okabe and Ito's colours, told apart with any kind of sight, and a shape each for print without colour
STYLES = {
    "numpy": ("#E69F00", "s"), "sklearn": ("#CC79A7", "D"), "torch": ("#D55E00", "o"), "torch-compile": ("#D55E00", "^"),
    "jax-step": ("#0072B2", "v"), "jax": ("#0072B2", "P"), "jax-tuned": ("#56B4E9", "X"),
}
GROUPS = ("training", "convolution", "recurrence")
CBP, LIMIT = "#000000", "#009E73"
LANE = 0.1


def points(found: list[dict[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """For every library its multiple of cbp's time in each row, and the height where it is drawn: the row's place, with a
    lane for every library, so that equal times do not hide each other."""
    lanes = {}
    for lane, key in enumerate(STYLES):
        shift = (lane - (len(STYLES) - 1) / 2) * LANE
        lanes[key] = [
            (row["series"][key]["ratio"], place + shift) for place, row in enumerate(found)
            if "ratio" in row["series"].get(key, {})
        ]
    return lanes


def draw(results: dict[str, Any], path: str) -> None:
    """A row for every net, cbp's line at 1; a point left of it would be faster."""
    from matplotlib.figure import Figure

    found = [row for group in GROUPS for row in rows(results, group) if "median_us" in row["series"].get("cbp", {})]
    figure = Figure(figsize=(9, 1.9 + 0.5 * max(1, len(found))), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    for key, pairs in points(found).items():
        if pairs:
            colour, marker = STYLES[key]
            axes.scatter(*zip(*pairs, strict=True), s=40, c=colour, marker=marker, label=PEERS[key].title, zorder=3,
                         edgecolors="white", linewidths=0.6)
    limits = [(row["share_of_limit"], place) for place, row in enumerate(found) if row.get("share_of_limit", 0) > 0.1]
    if limits:
        axes.scatter(*zip(*limits, strict=True), s=220, c=LIMIT, marker="|", linewidths=3, label="limit of the core", zorder=3)
    axes.axvline(1, color=CBP, linewidth=3.5, zorder=2, label="cbp")
    _scales(axes, [f"{row['name']}\ncbp {number(row['series']['cbp']['median_us'])} µs" for row in found])
    figure.suptitle(TITLE, fontsize=11, fontweight="bold")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8.5, frameon=False)
    figure.savefig(path, format="png")


def _scales(axes: Any, labels: list[str]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.set_xlabel("times cbp's time, logarithmic scale (one core; further to the right is slower)", fontsize=9)
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.grid(axis="x", which="major", color="#cccccc", linewidth=0.8)
    axes.grid(axis="x", which="minor", color="#eeeeee", linewidth=0.5)
    for place in range(1, len(labels)):
        axes.axhline(place - 0.5, color="#cccccc", linewidth=0.8, zorder=0)
    axes.set_axisbelow(True)
