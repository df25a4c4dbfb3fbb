"""Blocks as HTML that stands alone, for notebooks and browsers. Only rise and fall have colours of their own, which read on
light and dark."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from cbp.pictures.markup import page, sheet, table
from cbp.trace import blocks, svg
from cbp.trace.blocks import Block, Cell, Entry, Equation, Equations, More, Move, Part, Section, Story

__all__ = ["page", "write"]

CLASSES = {"↑": "up", "↓": "down", "=": "quiet"}

SHORT = 48
"""Letters of an equation that stays on one line."""

STYLE = sheet("cbp-trace", """
@ td, @ code {font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px}
@ code {background: none; color: inherit; padding: 0}
@ th span, @ td span, @ code span {white-space: nowrap}
@ details {margin: .6em 0}
@ summary {cursor: pointer; font-weight: 600; padding: .25em .6em; background: rgba(127, 127, 127, .15); border-radius: 4px}
@ details > div {padding: .2em .6em}
@ h4 {font-size: 15px; font-weight: 600; margin: 1em 0 .2em; color: inherit}
@ h5 {font-size: 14px; font-weight: 600; margin: .9em 0 .2em; color: inherit}
@ .up {color: #1a8f5f; font-weight: 600}
@ .down {color: #d2502f; font-weight: 600}
@ svg {display: block; max-width: 100%; height: auto; margin: .6em 0}
""")


def write(story: Story) -> str:
    """The whole document as one element, with the result at the top."""
    facts = table([], [[label, _code(" → ".join(links))] for label, links in story.facts.items()])
    parts = [facts, _section(story.result)]
    parts += [_more(part) if isinstance(part, More) else _part(part) for part in story.parts]
    return f'<div class="cbp-trace"><style>{STYLE}</style>{"".join(parts)}</div>'


def _part(part: Part) -> str:
    summary = escape(": ".join(filter(None, [part.label, part.caption])))
    return f"<details open><summary>{summary}</summary><div>{''.join(map(_section, part.sections))}</div></details>"


def _section(section: Section) -> str:
    return f"<h4>{escape(section.title)}</h4>" + "".join(map(_block, section.blocks))


def _block(block: Block) -> str:
    match block:
        case blocks.Heading(title, rule):
            return f"<h5>{escape(title.rstrip(':'))}</h5>" + (_paragraph(rule) if rule else "")
        case blocks.Paragraph(text, label):
            return _paragraph(text, label)
        case Equations():
            return _equations(block)
        case blocks.Updates(title, entry):
            return f"<p>{escape(title)}</p>" + "".join(_paragraph(str(equation)) for equation in entry.equations)
        case blocks.Table(head, rows, numbers, more):
            return table(map(escape, head), [[_cell(cell) for cell in row] for row in rows], numbers) + _more(more)
        case blocks.Image(name, rows):
            return _image(name, rows)
        case blocks.Drawing():
            return svg.draw(block)


def _equations(block: Equations) -> str:
    rows = [[escape(entry.name), *_cells(entry, block.stacked)] for entry in block.entries]
    width = max(map(len, rows), default=0)
    even = [[*row, *[""] * (width - len(row))] for row in rows]  # so that the lines below them are equally long
    title = f"<p><b>{escape(block.title)}</b></p>" if block.title and rows else ""
    head = ["", *(_formula(str(equation)) for equation in block.head)] if block.head else []
    return title + (table(head, even) if rows else "") + _more(block.more)


def _cells(entry: Entry, stacked: bool) -> list[str]:
    cells = [_equation(equation) for equation in entry.equations]
    if stacked:
        cells = ["".join(f"<div>{cell}</div>" for cell in cells)]
    return [*cells, _move(entry.move)] if entry.move else cells


def _equation(equation: Equation) -> str:
    """Its sides on lines of their own where they are long, the result behind the numbers it comes from."""
    first, *others = equation.sides
    lines = [f"{equation.left} = {first}".lstrip(), "= " + " = ".join(others)]
    whole = " ".join(lines[: 1 + bool(others)])
    if len(others) < 2 or len(whole) <= SHORT:
        return _formula(whole)
    return "".join(f"<div>{_formula(line)}</div>" for line in lines)


def _cell(cell: Cell) -> str:
    if isinstance(cell, Move):
        return _move(cell)
    return _formula(str(cell)) if isinstance(cell, Equation) else escape(cell)


def _image(name: str, rows: Sequence[Sequence[str]]) -> str:
    head = [f"{escape(name)}[y,x]", *(f"x = {x}" for x in range(1, len(rows[0]) + 1))]
    return table(head, [[f"y = {y}", *row] for y, row in enumerate(rows, 1)], range(1, len(head)))


def _formula(text: str) -> str:
    """Addends that are not broken, so that lines begin with their signs."""
    return " ".join(f"<span>{escape(addend)}</span>" for addend in re.split(r" (?=[-+=] )", text))


def _code(text: str) -> str:
    return f"<code>{_formula(text)}</code>"


def _paragraph(text: str, label: str = "") -> str:
    return f"<p>{escape(label)} {_code(text)}</p>" if label else f"<p>{_code(text)}</p>"


def _move(move: Move) -> str:
    return f'<span class="{CLASSES[move.arrow]}">{escape(move.words)}</span>'


def _more(more: More) -> str:
    return f'<p class="quiet">{more}</p>' if more.count > 0 else ""
