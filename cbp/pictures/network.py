"""A network in a notebook: a drawing, a table of its layers, and what else there is to know."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

from cbp.pictures import markup
from cbp.pictures.drawing import Column, draw

__all__ = ["html"]

MOST_NAMES, MOST_LETTERS = 12, 300
"""Of what a user wrote, how much is shown."""


def html(
    kind: str, columns: Sequence[Column], head: Iterable[str], rows: Iterable[Sequence[str]], numbers: Collection[int],
    facts: Mapping[str, str],
) -> str:
    """The document, as one element. All that it is given is text; it is escaped here."""
    style = markup.sheet("cbp-network", """
@ svg {display: block; margin: .2em 0 .8em}
@ td, @ thead th {white-space: nowrap}
@ .facts td {white-space: normal; overflow-wrap: anywhere}
""")
    title = f"{kind}: " + " → ".join(column.name for column in columns[:MOST_NAMES])
    layers = markup.table(map(escape, head), [[escape(cell) for cell in row] for row in rows], numbers)
    known = markup.table((), [[escape(name), escape(value)] for name, value in facts.items()])
    return (f'<div class="cbp-network"><style>{style}</style><p><b>{escape(kind)}</b></p>'
            f'<div class="wide">{draw(columns, title)}</div>{layers}<div class="facts">{known}</div></div>')


def listed(names: Sequence[object]) -> str:
    """Some names, and how many more there are."""
    more = len(names) - MOST_NAMES
    said = ", ".join(short(name) for name in names[:MOST_NAMES])
    return f"{said} and {more:,} more" if more > 0 else said


def short(value: object) -> str:
    """The beginning of a text."""
    text = str(value)
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}…"
