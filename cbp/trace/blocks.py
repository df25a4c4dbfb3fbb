"""The document that a step is told in: parts, sections and blocks, which a writer turns into its medium.

A block says what is told and of whom, in the order in which it is told. It knows nothing of networks, and nothing of lines,
columns or elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["forward", "loss", "backward", "update", "result"]


@dataclass(frozen=True, slots=True)
class Equation:
    """``left = names = numbers = result``: what is said in names, the same in numbers, and what comes out.

    Sides that do not apply are empty; without a left one it belongs to what the equation stands beside.
    """

    left: str
    names: str
    numbers: str
    result: str

    @property
    def sides(self) -> list[str]:
        """Those right of the first sign of equality; equal neighbours are written once."""
        given = [side for side in (self.names, self.numbers, self.result) if side]
        return [side for side, following in zip(given, [*given[1:], ""], strict=True) if side != following]

    def __str__(self) -> str:
        return " = ".join([self.left, *self.sides] if self.left else self.sides)


@dataclass(frozen=True, slots=True)
class Move:
    """Where something goes or should go, an arrow (↑, ↓, or = where it stays), and how that is said."""

    arrow: str
    words: str

    def __str__(self) -> str:
        return self.words


@dataclass(frozen=True, slots=True)
class More:
    """How many things, such as "units", are left out."""

    count: int = 0
    things: str = ""

    def __str__(self) -> str:
        return f"… {self.count:,} more {self.things if self.count > 1 else self.things[:-1]}".rstrip()


@dataclass(frozen=True, slots=True)
class Entry:
    """What is said of the unit or parameter of that name; ``move``: where it should go."""

    name: str
    equations: tuple[Equation, ...]
    move: Move | None = None


@dataclass(frozen=True, slots=True)
class Heading:
    """What the blocks below are about; ``rule`` says in symbols how their numbers arise."""

    title: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A formula or a few words; ``label`` says what of."""

    text: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Equations:
    """A table of equations, those of an entry beside each other, or one below the other where they add up (``stacked``).

    ``head`` says them in symbols, ``title`` what the entries have in common. ``layer`` is the layer's number, -1: of none.
    """

    entries: tuple[Entry, ...]
    more: More = More()
    title: str = ""
    head: tuple[Equation, ...] = ()
    stacked: bool = False
    layer: int = -1


@dataclass(frozen=True, slots=True)
class Updates:
    """How one parameter is updated, step by step."""

    title: str
    entry: Entry


Cell: TypeAlias = str | Equation | Move


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; those of the columns ``numbers`` stand to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: tuple[int, ...]
    more: More = More()
    layer: int = -1


@dataclass(frozen=True, slots=True)
class Image:
    """Numbers in rows and columns, such as x[1,2] where ``name`` is x."""

    name: str
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Circle:
    """A unit in a drawing, with the lines of its notes and where what each speaks of goes."""

    name: str
    value: str
    notes: tuple[Move, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A connection in a drawing, between circles given as (column, place); the larger the weight, the thicker."""

    start: tuple[int, int]
    end: tuple[int, int]
    weight: float
    label: Move


@dataclass(frozen=True, slots=True)
class Drawing:
    """Columns of circles, and lines between them."""

    title: str
    columns: tuple[tuple[Circle, ...], ...]
    lines: tuple[Line, ...]


Block: TypeAlias = Heading | Paragraph | Equations | Updates | Table | Image | Drawing


@dataclass(frozen=True, slots=True)
class Section:
    """The blocks of one phase of a step."""

    phase: Phase
    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """What belongs together, such as the sections of one row: ``label`` tells parts of a kind apart, ``caption`` says what it
    is about where the sections are not seen."""

    label: str
    caption: str
    sections: tuple[Section, ...]


@dataclass(frozen=True, slots=True)
class Story:
    """The whole document: ``facts`` by their labels, each a chain of links; ``result`` is what a terminal should show last, and
    a page first."""

    facts: dict[str, list[str]]
    parts: tuple[Part | More, ...]
    result: Section
