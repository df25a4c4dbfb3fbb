"""Finding out what the columns of a table hold, and what to do with its target."""

from __future__ import annotations

import math
import shlex
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from cbp.cli.columns import Category, Encoding, Label, Number, Target, tidy
from cbp.cli.table import MISSING, Table, TableError, counted, has_decimal_comma, to_number, to_numbers
from cbp.errors import plain, quoted

__all__ = ["MAX_CATEGORIES", "guess_task", "learn"]

MAX_CATEGORIES = 256
"""A column with more different texts is refused: it is a name or an identifier, and would make the network huge."""

MAX_CLASSES_GUESSED = 20
"""A target with more different whole numbers is taken for a quantity unless the user says otherwise."""

Rows = npt.NDArray[np.intp]


def guess_task(table: Table, target: str, *, as_text: bool = False) -> tuple[str, str]:
    """The task that a target suggests, and why: text and few different whole numbers are classes, the rest numbers."""
    if as_text or _is_text(table, target):
        return "classification", "the target holds text"
    values = table.numbers(target)
    different = len(np.unique(values))
    few = different <= 2 or different <= min(MAX_CLASSES_GUESSED, len(values) / 5)
    if few and (values == np.round(values)).all():
        return "classification", f"the target holds {counted(different, 'different whole number')}"
    return "regression", f"the target holds {counted(different, 'different number')}"


def learn(
    table: Table, rows: Rows, *, target: str, task: str, ignore: Collection[str] = (), text: Collection[str] = ()
) -> Encoding:
    """How to encode a table: means and scales come from ``rows`` alone, categories and classes from the whole table.

    Columns that hold the same value in all of ``rows`` are left out, since nothing can be learnt from them. Raises
    TableError where a column cannot be used.
    """
    encoded_target = _learn_target(table, target, rows, task, as_text=target in text)
    columns: list[Number | Category] = []
    left_out = list(ignore)
    for name in table.columns:
        if name == target or name in ignore:
            continue
        column = _learn_column(table, name, rows, as_text=name in text)
        if column is None:
            left_out.append(name)
        else:
            columns.append(column)
    if not columns:
        why = "every column but the target is ignored or holds the same value in every row"
        raise TableError(f"{table.source}: there is nothing to learn from: {why}")
    return Encoding(tuple(columns), encoded_target, tuple(left_out))


def _learn_column(table: Table, name: str, rows: Rows, *, as_text: bool) -> Number | Category | None:
    if as_text or _is_text(table, name):
        categories = sorted(set(table.texts(name)))
        if len(categories) > MAX_CATEGORIES:
            limit = f"at most {MAX_CATEGORIES} are possible; leave it out with --ignore {shlex.quote(name)}"
            raise TableError(f"{table.source}: column {quoted(name)} holds {len(categories):,} different texts, {limit}")
        return Category(name, tuple(categories)) if len(categories) > 1 else None
    values = table.numbers(name)[rows]
    if values.min() == values.max():
        return None
    return Number(name, *_mean_and_scale(values, table, name))


def _learn_target(table: Table, name: str, rows: Rows, task: str, *, as_text: bool) -> Target:
    if task == "regression":
        values = table.numbers(name)
        if values.min() == values.max():
            raise _constant(table, name)
        chosen = values[rows] if np.ptp(values[rows]) > 0 else values
        return Target(name, (), *_mean_and_scale(chosen, table, name))
    is_text = as_text or _is_text(table, name)
    labels: list[Label] = list(table.texts(name)) if is_text else tidy(table.numbers(name))
    classes = sorted(set(labels))  # all are text or all are numbers
    if len(classes) < 2:
        raise _constant(table, name)
    if len(classes) > max(MAX_CLASSES_GUESSED, len(labels) // 2):
        advice = "" if is_text else "; say --task regression"
        found = f"{len(classes):,} different values in {counted(len(labels), 'row')}"
        raise TableError(f"{table.source}: the target {quoted(name)} has {found}, too many to be classes{advice}")
    return Target(name, tuple(classes))


def _constant(table: Table, name: str) -> TableError:
    value = plain(table.columns[name][0])
    return TableError(f"{table.source}: the target {quoted(name)} is {value} in every row: nothing to learn")


def _is_text(table: Table, name: str) -> bool:
    """Whether a column is one of text; raises TableError for a column of numbers with a stray cell.

    A column counts as numbers with mistakes where at least half of its cells are numbers: to take all of them for
    categories without a word would be a nasty surprise.
    """
    cells = table.column(name)
    if to_numbers(cells) is not None:
        return False
    if all(has_decimal_comma(cell) or to_number(cell) is not None for cell in cells):
        table.numbers(name)  # raises for the first comma
    strays = [row for row, cell in enumerate(cells) if to_number(cell) is None]
    if 2 * len(strays) > len(cells):
        return True
    if any(cells[row] in MISSING for row in strays):
        table.numbers(name)  # raises for the first stray
    counts = f"{len(cells) - len(strays):,} of {counted(len(cells), 'cell')} of the column are"
    advice = f"if the column holds categories, say --text {shlex.quote(name)}"
    raise table.error(strays[0], name, f"{quoted(cells[strays[0]])} is not a number, while {counts}; {advice}")


def _mean_and_scale(values: npt.NDArray[np.float64], table: Table, name: str) -> tuple[float, float]:
    """Mean and standard deviation; raises TableError where they overflow."""
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        mean, scale = float(values.mean()), float(values.std())
    if not (math.isfinite(mean) and math.isfinite(scale) and scale > 0):
        span = f"from {values.min():g} to {values.max():g}"
        problem = f"its numbers, {span}, are too large or too small to be standardised; take another unit"
        raise TableError(f"{table.source}: column {quoted(name)}: {problem}")
    return mean, scale
