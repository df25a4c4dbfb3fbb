"""Lines of at most 100 columns: titles, wrapped formulas, tables."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from unicodedata import combining

WIDTH = 100
LABEL = 8  # columns before a formula: the name of the unit
DIRECTIONS = {"↑": "↑ should rise", "↓": "↓ should fall", "=": "= stays"}


def columns(text: str) -> int:
    """That a text takes: x̂ are two characters, and one column."""
    return sum(not combining(letter) for letter in text)


def padded(text: str, width: int) -> str:
    """With blanks behind it."""
    return text + " " * (width - columns(text))


def wrapped(label: str, text: str) -> list[str]:
    """Lines of ``text`` after ``label``, broken after a comma or before a sign."""
    glued = re.sub(r"(?<![, ]) (?=\S)(?![-+] )", "\u00a0", text)
    glued = re.sub(r"(?<= [-+]) ", "\u00a0", glued)
    lines = textwrap.wrap(
        glued, WIDTH, initial_indent=label, subsequent_indent=" " * columns(label) + "  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace("\u00a0", " ") for line in lines]


def chain(label: str, text: str) -> list[str]:
    """Lines of ``text`` after ``label``, broken before an arrow."""
    items = text.replace(" ", "\u00a0").replace("\u00a0→", " →")
    lines = textwrap.wrap(items, WIDTH, initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False)
    return [line.replace("\u00a0", " ") for line in lines]


def table(head: Sequence[str], rows: Iterable[Sequence[str]], indent: str) -> list[str]:
    """Aligned columns: the first two, which are words, to the left, numbers to the right."""
    cells = [list(head), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        sized = enumerate(zip(row, widths, strict=True))
        aligned = [cell.ljust(width) if c < 2 else cell.rjust(width) for c, (cell, width) in sized]
        lines.append((indent + "   ".join(aligned)).rstrip())
    return lines


def title(text: str) -> str:
    return f"── {text} ".ljust(WIDTH, "─")
