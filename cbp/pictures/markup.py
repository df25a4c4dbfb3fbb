"""HTML and SVG that stand alone, for notebooks and browsers: no script, nothing loaded, legible on light and dark.

Colours come from the page (``currentColor`` and translucent greys), so both read on any ground. What is text is escaped here;
what is called a cell or a part is HTML or SVG already.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from html import escape

__all__ = ["page", "sheet", "svg", "table", "text"]

_SHEET = """
@ {font: 14px/1.5 system-ui, sans-serif; color: inherit; max-width: 76em}
@ table {border-collapse: collapse; margin: .3em 0 .9em; font-size: 13px; color: inherit}
@ th, @ td {padding: .22em .9em .22em 0; text-align: left; vertical-align: top; color: inherit;
  background: none; border: 0; border-bottom: 1px solid rgba(127, 127, 127, .28); white-space: normal}
@ tbody tr, @ tbody tr:hover {background: none; color: inherit}
@ thead th {font-weight: 600; border-bottom: 1px solid rgba(127, 127, 127, .7)}
@ tbody th {font-weight: 600; white-space: nowrap}
@ td.n {text-align: right; white-space: nowrap}
@ th.n {text-align: right}
@ .wide {overflow-x: auto}
@ p {margin: .2em 0 .4em}
@ .quiet {opacity: .75}
"""


def sheet(name: str, more: str = "") -> str:
    """The style sheet of a document of this class; in ``more``, too, @ stands for it. Its name comes three times in every rule,
    or JupyterLab's own for tables, which name a class and exclude two, would win."""
    return (_SHEET + more).replace("@", 3 * f".{name}")


def table(head: Iterable[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()) -> str:
    """A table of cells; the first column names the row, columns of numbers stand to the right."""

    def cell(tag: str, c: int, content: str) -> str:
        return f'<{tag} class="n">{content}</{tag}>' if c in numbers else f"<{tag}>{content}</{tag}>"

    def line(row: Sequence[str]) -> str:
        return "<tr>" + "".join(cell("td" if c else "th", c, content) for c, content in enumerate(row)) + "</tr>"

    top = "".join(cell("th", c, title) for c, title in enumerate(head))
    start = f"<thead><tr>{top}</tr></thead>" if top else ""
    return f'<div class="wide"><table>{start}<tbody>{"".join(map(line, rows))}</tbody></table></div>'


def page(title: str, body: str) -> str:
    """A page for a browser."""
    return f'<!doctype html>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n{body}\n'


def svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    """A drawing of this size, which says its title to those who do not see it."""
    title = escape(title)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def text(x: float, y: float, words: str, colour: str = "", extra: str = "") -> str:
    """Words around x, on the line y."""
    fill = f' fill="{colour}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle"{fill}{extra}>{escape(words)}</text>'
