"""Reading a table from a CSV file: names of columns, and cells as text, with the place of every cell for messages."""

from __future__ import annotations

import csv
import difflib
import io
import os
import re
import stat
import sys
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbp.errors import plain, quoted

if TYPE_CHECKING:
    from _csv import Reader

__all__ = ["MISSING", "Table", "TableError", "counted", "has_decimal_comma", "listed", "read", "to_number", "to_numbers"]

DELIMITERS = ",;\t"
MISSING = frozenset(["", "?", "NA", "N/A", "#N/A", "NaN", "nan", "NAN", "null", "NULL"])
"""Cells that stand for a missing value."""


class TableError(ValueError):
    """A table cannot be used as it is; the message says where and why."""


@dataclass(frozen=True)
class Table:
    """A table of text: ``columns[name][row]``.

    Attributes
    ----------
    source : str
        Where it came from, for messages.
    columns : dict of lists
        The cells by column, in the order of the file, without the spaces around them.
    lines : list of int
        The line of the file, counted from 1, on which each row begins.
    first : int
        The number of the first row, where this is a part of a table.
    """

    source: str
    columns: dict[str, list[str]]
    lines: list[int]
    first: int = 1

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, name: str) -> list[str]:
        """The cells of a column; raises TableError, with the nearest name, where there is none of that name."""
        if name not in self.columns:
            nearest = difflib.get_close_matches(name, self.columns, n=1, cutoff=0.5)
            hint = f"did you mean {quoted(nearest[0])}? It has" if nearest else "it has"
            raise TableError(f"{self.source}: no column is called {quoted(name)}; {hint} {listed(self.columns)}")
        return self.columns[name]

    def only(self, row: int) -> Table:
        """The table with one row left, counted from 0; it keeps its number and line for messages."""
        columns = {name: [cells[row]] for name, cells in self.columns.items()}
        return Table(self.source, columns, [self.lines[row]], self.first + row)

    def error(self, row: int, name: str, problem: str) -> TableError:
        """The error for one cell; ``row`` counts from 0, people from 1."""
        return TableError(f"{self.source}: row {self.first + row} (line {self.lines[row]}), column {quoted(name)}: {problem}")

    def numbers(self, name: str) -> npt.NDArray[np.float64]:
        """A column as finite numbers; raises TableError with the first cell that is none."""
        cells = self.column(name)
        values = to_numbers(cells)
        if values is None:
            row = next(row for row, cell in enumerate(cells) if to_number(cell) is None)
            if cells[row] in MISSING:
                raise self.error(row, name, _missing(cells[row]))
            if has_decimal_comma(cells[row]):
                point = quoted(cells[row].replace(",", "."))
                raise self.error(row, name, f"{quoted(cells[row])} has a decimal comma; write {point}")
            raise self.error(row, name, f"{quoted(cells[row])} is not a number")
        finite = np.isfinite(values)
        if not finite.all():
            row = int(np.argmin(finite))
            problem = _missing(cells[row]) if cells[row] in MISSING else f"{quoted(cells[row])} is not a finite number"
            raise self.error(row, name, problem)
        return values

    def texts(self, name: str) -> list[str]:
        """A column as texts; raises TableError with the first cell that is missing."""
        cells = self.column(name)
        for row, cell in enumerate(cells):
            if cell in MISSING:
                raise self.error(row, name, _missing(cell))
        return cells


def listed(names: Collection[object]) -> str:
    """Up to ten names, quoted, and how many more there are."""
    shown = ", ".join(quoted(name, 60) for name in list(names)[:10])
    return shown + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def counted(number: int, noun: str) -> str:
    """A number with its noun: 1 row, 2 rows, 1,000 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _missing(cell: str) -> str:
    return f"missing value ({quoted(cell)})" if cell else "missing value (the cell is empty)"


def to_number(cell: str) -> float | None:
    """The number that a cell holds, perhaps nan or inf, or None."""
    try:
        return None if "_" in cell else float(cell)  # float() takes "1_000"
    except ValueError:
        return None


def has_decimal_comma(cell: str) -> bool:
    """Whether a cell would be a number if its comma were a point."""
    return re.fullmatch(r"[+-]?\d+,\d+", cell) is not None


def to_numbers(cells: list[str]) -> npt.NDArray[np.float64] | None:
    """All cells as numbers, perhaps nan or inf, or None where one of them is not a number."""
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return None
    return None if any("_" in cell for cell in cells) else values


def read(path: str) -> Table:
    """Read a CSV file, or standard input where ``path`` is ``"-"``.

    The first line holds the names of the columns. The delimiter (comma, semicolon or tab) is the one that divides the
    first lines most evenly; the text is UTF-8, with or without a byte order mark.

    Raises
    ------
    OSError
        The file cannot be read.
    TableError
        It is not a table: not text, empty, without rows, ragged, or its names are missing or not unique.
    """
    source = "standard input" if path == "-" else plain(path)
    data = sys.stdin.buffer.read() if path == "-" else _bytes_of(path, source)
    text = _decode(data, source)
    if not text.strip():
        raise TableError(f"{source}: the file is empty; line 1 must hold the names of the columns")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), skipinitialspace=True, strict=True)
    return _collect(reader, source)


def _bytes_of(path: str, source: str) -> bytes:
    """What a file holds; raises TableError for a device such as /dev/zero, which has no end."""
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        endless = stat.S_ISCHR(status.st_mode) and not file.isatty() and not _is_standard_input(status)
        if endless and not os.path.samefile(path, os.devnull):  # which is empty
            raise TableError(f"{source}: this is a device, which may have no end; give a CSV file, or - for standard input")
        return file.read()


def _is_standard_input(status: os.stat_result) -> bool:
    """Whether a file is what standard input reads, under a name such as /dev/stdin."""
    try:
        return os.path.samestat(status, os.fstat(sys.stdin.fileno()))
    except (OSError, ValueError, AttributeError):  # there is none, or it is no file
        return False


def _decode(data: bytes, source: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise TableError(f"{source}: this is UTF-16; save it as CSV in UTF-8")
    if b"\0" in data:
        raise TableError(f"{source}: this is not a text file (it holds zero bytes); save the table as CSV")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = data.count(b"\n", 0, problem.start) + 1
        raise TableError(
            f"{source}: line {line} is not UTF-8 (byte 0x{data[problem.start]:02x}); save the file as UTF-8, for "
            f"example: iconv -f latin1 -t utf-8 OLD.csv > NEW.csv"
        ) from None


def _delimiter(text: str) -> str:
    """The delimiter that divides the first lines into the same number of cells, the largest such number."""

    def score(delimiter: str) -> tuple[bool, int]:
        try:
            reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
            widths = [len(record) for record in islice(reader, 20) if record]
        except csv.Error:
            return False, 0
        return widths[0] > 1 and min(widths) == max(widths), widths[0]

    return max(DELIMITERS, key=score)


def _collect(reader: Reader, source: str) -> Table:
    header: list[str] = []
    rows: list[list[str]] = []
    lines: list[int] = []
    line_of_names = 0
    for line, record in _records(reader, source):
        if not record or (len(record) == 1 and not record[0].strip() and len(header) != 1):
            continue  # a blank line
        if not header:
            header, line_of_names = _names(record, line, source), line
            continue
        if len(record) != len(header):
            wanted = f"line {line_of_names} names {counted(len(header), 'column')}"
            raise TableError(f"{source}: line {line} has {counted(len(record), 'cell')}, {wanted}")
        rows.append(record)
        lines.append(line)
    if not rows:
        raise TableError(f"{source}: the file names {counted(len(header), 'column')} and has no rows below")
    columns = zip(*rows, strict=True)
    cells = {name: list(map(str.strip, column)) for name, column in zip(header, columns, strict=True)}
    return Table(source, cells, lines)


def _records(reader: Reader, source: str) -> Iterator[tuple[int, list[str]]]:
    """The records of a file, each with the line on which it begins."""
    line = 1
    try:
        for record in reader:
            yield line, record
            line = reader.line_num + 1
    except csv.Error as problem:
        why = "a quoted cell is not closed" if "end of data" in str(problem) else str(problem)
        raise TableError(f"{source}: line {line}: {why}") from None


def _names(record: list[str], line: int, source: str) -> list[str]:
    names = [name.strip() for name in record]
    for position, name in enumerate(names, 1):
        if not name:
            raise TableError(
                f"{source}: line {line}: column {position} has no name (if it is the row index that pandas writes, "
                f"leave it out with to_csv(..., index=False))"
            )
        if name in names[: position - 1]:
            raise TableError(f"{source}: line {line}: two columns are called {quoted(name)}")
    return names
