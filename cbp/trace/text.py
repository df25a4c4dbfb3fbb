"""Blocks as text of at most 100 columns (a table of a batch's step may need more where its numbers are long)."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from unicodedata import combining

from cbp.trace import blocks
from cbp.trace.blocks import Block, Cell, Entry, Equation, Equations, Heading, More, Section, Story, Table

WIDTH = 100
LABEL = 8  # columns before an equation: the name of what it belongs to
SEPARATOR = ",   "
GLUE = "\u00a0"  # a blank where no line ends


def write(story: Story) -> str:
    """The whole document."""
    told = [[line for label, links in story.facts.items() for line in _linked(label.ljust(12), links)]]
    for part in story.parts:
        if isinstance(part, More):
            told.append([str(part)])
        else:
            told += [_section(section, "" if s else part.label) for s, section in enumerate(part.sections)]
    told.append(_section(story.result))
    return "\n\n".join("\n".join(lines) for lines in told)


def _section(section: Section, label: str = "") -> list[str]:
    """A title over blocks; headings, and tables that do not follow one, are set off from what is before by a blank line."""
    titles = (re.sub(r"^\w+", lambda word: word[0].upper(), title) for title in (label, section.title) if title)
    lines, indent = [f"── {': '.join(titles)} ".ljust(WIDTH, "─")], 2
    for before, block in zip([None, *section.blocks], section.blocks, strict=False):
        set_off = isinstance(block, Heading) or (isinstance(block, Table) and not isinstance(before, Heading))
        lines += [""] if before and set_off else []
        lines += _block(block, indent)
        indent = 4 if isinstance(block, Heading) else indent
    return lines


def _block(block: Block, indent: int) -> list[str]:
    match block:
        case Heading(title, rule):
            return wrapped("  ", f"{title}: {rule}") if rule else [f"  {title}"]
        case blocks.Paragraph(text, label):
            start = " " * (2 if indent == 2 else 6)  # under a heading it stands behind the names of units
            return wrapped(f"{start}{label} " if label else start, text)
        case Equations():
            return _equations(block)
        case blocks.Updates(title, entry):
            return [f"  {title}", *(line for equation in entry.equations for line in wrapped("    ", str(equation)))]
        case Table():
            return _table(block, " " * indent)
        case blocks.Image(name, rows):
            return _image(name, rows)
    return []  # of a drawing


def _equations(block: Equations) -> list[str]:
    """Behind the names, those of an entry on one line if they are short; under a head all entries look alike."""
    indent = "    " if block.stacked else "  "
    width = max([LABEL, *(columns(entry.name) + len(indent) + 2 for entry in block.entries)])
    short = [_fits(entry, width) for entry in block.entries]
    lines = []
    if block.head:
        head = Entry("", block.head)
        lines += _entry(head, " " * width, short=_fits(head, width))
        short = [all(short)] * len(short)
    lines += [f"    {block.title}"] if block.title and block.entries else []
    for entry, fits in zip(block.entries, short, strict=True):
        lines += _entry(entry, padded(indent + entry.name, width), short=fits)
    return lines + _more(block.more, "    ")


def _fits(entry: Entry, width: int) -> bool:
    return width + columns(_beside(_chains(entry))) <= WIDTH and not any(equation.names for equation in entry.equations)


def _chains(entry: Entry) -> list[list[str]]:
    """Left and right sides of its equations; where it should go belongs to the last."""
    chains = [[equation.left, *equation.sides] for equation in entry.equations]
    if entry.move:
        chains[-1][-1] += SEPARATOR + entry.move.words
    return chains


def _beside(chains: Sequence[Sequence[str]]) -> str:
    return SEPARATOR.join(" = ".join(chain).lstrip() for chain in chains)


def _entry(entry: Entry, label: str, *, short: bool) -> list[str]:
    """All on one line, or the first equation on its own; the others share one if they can and none is said in names."""
    chains, blank = _chains(entry), " " * columns(label)
    if short:
        return [label + _beside(chains)]
    named = [bool(equation.names) for equation in entry.equations]
    lines = _chain(label, chains[0], named=named[0])
    if chains[1:] and not any(named[1:]) and columns(others := blank + _beside(chains[1:])) <= WIDTH:
        return [*lines, others]
    for chain, names in zip(chains[1:], named[1:], strict=True):
        lines += _chain(blank, chain, named=names)
    return lines


def _chain(label: str, chain: Sequence[str], *, named: bool) -> list[str]:
    """One equation; a long one that is said in names has a line for each side, the result behind the numbers if it fits."""
    whole = _beside([chain])
    if columns(label + whole) <= WIDTH:
        return [label + whole]
    if not named:
        return wrapped(label, whole)
    left, first, *others = chain
    start = f"{label}{left} = " if left else f"{label}= "
    blank = " " * (columns(start) - 2) + "= "
    last = " = ".join(others)
    lines = wrapped(start, first)
    for side in [last] if columns(blank + last) <= WIDTH else others:
        lines += wrapped(blank, side)
    return lines


def _table(block: Table, indent: str) -> list[str]:
    """Aligned columns, numbers to the right; where they are too wide of every equation only the result."""
    lines = _aligned([block.head, *block.rows], block.numbers, indent)
    if max(map(len, lines)) > WIDTH:
        short = [[cell.result if isinstance(cell, Equation) else cell for cell in row] for row in block.rows]
        lines = _aligned([block.head, *short], block.numbers, indent)
    return lines + _more(block.more, indent)


def _aligned(rows: Sequence[Sequence[Cell]], numbers: Sequence[int], indent: str) -> list[str]:
    words = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*words, strict=True)]
    lines = []
    for row in words:
        sized = enumerate(zip(row, widths, strict=True))
        aligned = [cell.rjust(width) if c in numbers else cell.ljust(width) for c, (cell, width) in sized]
        lines.append((indent + "   ".join(aligned)).rstrip())
    return lines


def _image(name: str, rows: Sequence[Sequence[str]]) -> list[str]:
    width = max(len(cell) for row in rows for cell in row)
    labels = [f"  {name}[{y},1…{len(row)}]".ljust(14) for y, row in enumerate(rows, 1)]
    return [label + "  ".join(cell.rjust(width) for cell in row) for label, row in zip(labels, rows, strict=True)]


def _more(more: More, indent: str) -> list[str]:
    return [f"{indent}{more}"] if more.count > 0 else []


def columns(text: str) -> int:
    """That a text takes: x̂ are two characters, and one column."""
    return sum(not combining(letter) for letter in text)


def padded(text: str, width: int) -> str:
    """With blanks behind it."""
    return text + " " * (width - columns(text))


def wrapped(label: str, text: str) -> list[str]:
    """Lines of ``text`` after ``label``, broken after a comma or before a sign."""
    glued = re.sub(r"(?<![, ]) (?=\S)(?![-+] )", GLUE, text)
    return _lines(label, re.sub(r"(?<= [-+]) ", GLUE, glued), hanging=2)


def _linked(label: str, links: Sequence[str]) -> list[str]:
    """Lines of a chain after ``label``, broken before an arrow."""
    if len(links) == 1:
        return wrapped(label, links[0])
    return _lines(label, " → ".join(links).replace(" ", GLUE).replace(f"{GLUE}→", " →"), hanging=0)


def _lines(label: str, glued: str, hanging: int) -> list[str]:
    lines = textwrap.wrap(
        glued, WIDTH, initial_indent=label, subsequent_indent=" " * (columns(label) + hanging),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    return [line.replace(GLUE, " ") for line in lines]
