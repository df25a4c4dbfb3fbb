"""Small elements of HTML: tables, formulas, arrows."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape

from cbp.trace.lines import DIRECTIONS

CLASSES = {"↑": "up", "↓": "down", "=": "quiet"}


def table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Collection[int] = ()) -> str:
    """A table of cells that are HTML already; the first column names the row, `numeric` columns stand to the right."""

    def cell(tag: str, c: int, content: str) -> str:
        return f'<{tag} class="n">{content}</{tag}>' if c in numeric else f"<{tag}>{content}</{tag}>"

    def line(row: Sequence[str]) -> str:
        return "<tr>" + "".join(cell("td" if c else "th", c, content) for c, content in enumerate(row)) + "</tr>"

    top = "".join(cell("th", c, escape(title)) for c, title in enumerate(head))
    start = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="wide"><table>{start}<tbody>{"".join(map(line, rows))}</tbody></table></div>'


def even(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Rows of equally many cells, so that the lines below them are equally long."""
    width = max(map(len, rows), default=0)
    return [[*row, *[""] * (width - len(row))] for row in rows]


def quiet(text: str) -> str:
    return f'<p class="quiet">{escape(text)}</p>'


def formula(text: str) -> str:
    """Addends that are not broken, so that lines begin with their signs."""
    return " ".join(f"<span>{escape(addend)}</span>" for addend in re.split(r" (?=[-+=] )", text))


def code(text: str) -> str:
    return f"<code>{formula(text)}</code>"


def direction(arrow: str) -> str:
    return f'<span class="{CLASSES[arrow]}">{DIRECTIONS[arrow]}</span>' if arrow else ""
