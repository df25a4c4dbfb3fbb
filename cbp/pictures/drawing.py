"""A network as a drawing: a column for what comes in and for what each layer makes of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import NamedTuple

from cbp.pictures import markup

__all__ = ["Column", "draw"]

Shape = tuple[int, ...]

MOST_COLUMNS, MOST_UNITS = 13, 7
"""How many are drawn; dots stand for the others."""

HEIGHT, RADIUS, TOP = 190, 7, 80
NARROW, LETTER = 74, 6.9
"""Of a column at least, and for a letter below it."""

INK = 'stroke="currentColor" stroke-width="1.1"'
FILL = 'fill="#7f7f7f" fill-opacity=".16"'


class Column(NamedTuple):
    """What a layer makes of a sample; ``joined``: whether each of its numbers comes from all of the column before."""

    name: str
    shape: Shape
    joined: bool


def draw(columns: Sequence[Column], title: str) -> str:
    """The drawing as SVG, which keeps its size: a page may scroll it."""
    shown: list[Column | None] = list(columns)
    if len(shown) > MOST_COLUMNS:
        shown = [*shown[:MOST_COLUMNS // 2], None, *shown[-(MOST_COLUMNS // 2):]]
    across = max(NARROW, 8 + LETTER * max(len(words) for column in columns for words in _words(column)))
    places = [across * (0.5 + i) for i in range(len(shown))]
    parts: list[str] = []
    for (x, one), (u, other) in pairwise(zip(places, shown, strict=True)):
        parts += _between(one, x, other, u)
    for x, column in zip(places, shown, strict=True):
        parts += [markup.text(x, TOP + 4, "…", extra=' font-size="18"')] if column is None else _column(column, x)
    return markup.svg(across * len(shown), HEIGHT, title, parts)


def _column(column: Column, x: float) -> Iterator[str]:
    yield from _flat(column, x) if len(column.shape) < 2 else _deep(column, x)
    name, shape = _words(column)
    yield markup.text(x, HEIGHT - 19, name, extra=' font-size="11" font-weight="600"')
    yield markup.text(x, HEIGHT - 4, shape, extra=' font-size="11"')


def _words(column: Column) -> tuple[str, str]:
    """What stands below it."""
    return column.name, " × ".join(f"{axis:,}" for axis in column.shape) or "1"


def _units(column: Column) -> list[float | None]:
    """How high every unit stands; None for those that are left out."""
    count = prod(column.shape)
    seen = min(count, MOST_UNITS)
    heights: list[float | None] = [TOP + 22.0 * (i - (seen - 1) / 2) for i in range(seen)]
    if count > MOST_UNITS:
        heights[MOST_UNITS // 2] = None
    return heights


def _flat(column: Column, x: float) -> Iterator[str]:
    for y in _units(column):
        if y is None:
            yield markup.text(x, TOP + 5, "⋮", extra=' font-size="15"')
        else:
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" {FILL} {INK}/>'


def _deep(column: Column, x: float) -> Iterator[str]:
    """Sheets one behind the other: of a picture its channels, of a sequence its steps."""
    if len(column.shape) == 2:  # (time, features)
        steps, wide, high = min(column.shape[0], 5), 9.0, 34 + 4.0 * min(column.shape[1], 16)
    else:
        steps, wide = min(column.shape[-1], 5), 22 + 0.5 * min(max(column.shape[:-1]), 40)
        high = wide
    shift = 8.0 if len(column.shape) == 2 else 5.0
    rise = 0.0 if len(column.shape) == 2 else 5.0
    left, top = x - (wide + shift * (steps - 1)) / 2, TOP - (high + rise * (steps - 1)) / 2
    for i in reversed(range(steps)):
        behind = i if rise else steps - 1 - i
        yield (f'<rect x="{left + shift * behind:.1f}" y="{top + rise * (steps - 1 - behind):.1f}" width="{wide:.1f}" '
               f'height="{high:.1f}" rx="2" {FILL} {INK}/>')


def _between(one: Column | None, x: float, other: Column | None, u: float) -> Iterator[str]:
    """Every connection of two columns of units, else an arrow."""
    if one is not None and other is not None and other.joined and len(one.shape) < 2 and len(other.shape) < 2:
        faint = 'stroke="currentColor" stroke-opacity=".3" stroke-width=".7"'
        for y in _units(one):
            for v in _units(other):
                if y is not None and v is not None:
                    yield f'<line x1="{x + RADIUS:.1f}" y1="{y:.1f}" x2="{u - RADIUS:.1f}" y2="{v:.1f}" {faint}/>'
        return
    middle = (x + u) / 2
    yield (f'<path d="M{middle - 7:.1f},{TOP} h10 m-4,-4 l4,4 l-4,4" fill="none" {INK} stroke-opacity=".7"/>')
