"""Tables of text, for a terminal or as Markdown, and how their numbers are written."""

from __future__ import annotations

from typing import Any

DASH = "–"


class Table:
    """Rows of text, the first column to the left and the others to the right."""

    def __init__(self, title: str, *header: str):
        self.title, self.rows = title, [list(header)]

    def add(self, *cells: str) -> None:
        self.rows.append(list(cells))

    def text(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = [self._line(row, widths, "  ") for row in self.rows]
        return "\n".join([self.title, "", lines[0], "─" * len(lines[0]), *lines[1:], ""])

    def markdown(self) -> str:
        widths = [max(3, *map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = [f"| {self._line(row, widths, ' | ')} |" for row in self.rows]
        rule = " | ".join("-" * (width - 1) + (":" if index else "-") for index, width in enumerate(widths))
        return "\n".join([self.title, "", lines[0], f"| {rule} |", *lines[1:], ""])

    @staticmethod
    def _line(row: list[str], widths: list[int], gap: str) -> str:
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return gap.join([first, *others])


def time(series: dict[str, Any] | None) -> str:
    """Microseconds, and the ratio to the base; a dash for what a peer cannot do."""
    if series is None or "median_us" not in series:
        return "failed" if series and "error" in series else DASH
    return number(series["median_us"]) + (f" ({ratio(series['ratio'])})" if "ratio" in series else "")


def steady(series: dict[str, Any] | None) -> str:
    if series is None or "median_us" not in series:
        return DASH
    return f"{series['spread']:.1%} {min(series['cpu_per_wall']):.2f}"


def number(microseconds: float) -> str:
    digits = 3 if microseconds < 0.1 else 2 if microseconds < 10 else 1 if microseconds < 100 else 0
    return f"{microseconds:.{digits}f}"


def ratio(value: float) -> str:
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def percent(value: float | None) -> str:
    return DASH if value is None else f"{value:.0%}"
