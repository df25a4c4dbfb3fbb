"""Columns: how a table becomes numbers for a network, and a network's outputs become answers again.

An ``Encoding`` is learnt from a table (``learn.py``) and kept in the metadata of the network's file, so that
prediction reads a table exactly as training did:

- a column of numbers becomes one input, ``(value - mean) / scale``;
- a column of text becomes one input for each of its categories, 1 for the row's own and 0 for the others;
- the target becomes the number of a class, or a number standardised like an input.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.cli.table import Table, TableError, listed
from cbp.errors import ModelFileError, plain, quoted

__all__ = ["METADATA", "Category", "Encoding", "Label", "Number", "Target", "significant", "tidy"]

METADATA = "table"
"""The entry of a network's metadata that holds its encoding."""

Label = str | int | float
"""A class or a predicted number."""


@dataclass(frozen=True)
class Number:
    """A column of numbers."""

    name: str
    mean: float
    scale: float

    @property
    def inputs(self) -> list[str]:
        """The name of every input that the column gives."""
        return [self.name]

    def encode(self, table: Table, out: npt.NDArray[np.float32]) -> None:
        """Write the column's inputs, of shape (rows, 1); raises TableError where one is no number or out of range."""
        with np.errstate(over="ignore"):
            out[:, 0] = (table.numbers(self.name) - self.mean) / self.scale
        if not np.isfinite(out).all():
            row = int(np.argmin(np.isfinite(out[:, 0])))
            cell = table.columns[self.name][row]
            raise table.error(row, self.name, f"{quoted(cell)} is too far from the numbers that the model was trained on")


@dataclass(frozen=True)
class Category:
    """A column of text."""

    name: str
    categories: tuple[str, ...]

    @property
    def inputs(self) -> list[str]:
        """The name of every input that the column gives."""
        return [f"{self.name}={category}" for category in self.categories]

    def encode(self, table: Table, out: npt.NDArray[np.float32]) -> None:
        """Write the column's inputs, of shape (rows, categories); raises TableError for a category that is new."""
        position = {category: index for index, category in enumerate(self.categories)}
        out[:] = 0
        for row, cell in enumerate(table.texts(self.name)):
            if cell not in position:
                known = listed(self.categories)
                raise table.error(row, self.name, f"unknown category {quoted(cell)}; the model was trained on {known}")
            out[row, position[cell]] = 1


@dataclass(frozen=True)
class Target:
    """What is predicted: one of ``classes``, or a number where there are none."""

    name: str
    classes: tuple[Label, ...] = ()
    mean: float = 0.0
    scale: float = 1.0

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return "classification" if self.classes else "regression"

    @property
    def outputs(self) -> int:
        """The number of outputs of the network."""
        return len(self.classes) or 1

    def encode(self, table: Table) -> npt.NDArray[Any]:
        """The targets for ``fit``: numbers of classes (int64), or standardised numbers (float32)."""
        if not self.classes:
            return ((table.numbers(self.name) - self.mean) / self.scale).astype(np.float32)
        position = {label: index for index, label in enumerate(self.classes)}
        labels = self.labels(table)
        for row, label in enumerate(labels):
            if label not in position:
                raise table.error(row, self.name, f"unknown class {quoted(label)}; the model knows {listed(self.classes)}")
        return np.array([position[label] for label in labels], np.int64)

    def labels(self, table: Table) -> list[Label]:
        """The classes in a table, also such as the model does not know."""
        if all(isinstance(label, str) for label in self.classes):
            return list(table.texts(self.name))
        return tidy(table.numbers(self.name))

    def decode(self, outputs: npt.NDArray[Any]) -> list[Label]:
        """What the outputs of a network, of shape (rows, outputs), or (rows,) for numbers, predict."""
        if self.classes:
            return [self.classes[index] for index in outputs.argmax(axis=1)]
        return [significant(value) for value in (outputs.reshape(-1).astype(np.float64) * self.scale + self.mean).tolist()]


@dataclass(frozen=True)
class Encoding:
    """The columns that a network reads and the one that it predicts.

    Columns that are ``left_out`` were in the table that it was trained on, but are not read.
    """

    columns: tuple[Number | Category, ...]
    target: Target
    left_out: tuple[str, ...] = ()

    @property
    def inputs(self) -> list[str]:
        """The name of every input of the network: a column, or ``column=category``."""
        return [name for column in self.columns for name in column.inputs]

    def encode(self, table: Table) -> npt.NDArray[np.float32]:
        """The inputs for a network, of shape (rows, inputs); raises TableError where the table does not fit."""
        missing = [column.name for column in self.columns if column.name not in table.columns]
        if missing:
            what = "a column" if len(missing) == 1 else "columns"
            has = f"it has {listed(table.columns)}"
            raise TableError(f"{table.source}: the model reads {what} that the file lacks: {listed(missing)}; {has}")
        X = np.empty((len(table), len(self.inputs)), np.float32)
        start = 0
        for column in self.columns:
            stop = start + len(column.inputs)
            column.encode(table, X[:, start:stop])
            start = stop
        return X

    def unknown(self, table: Table) -> list[str]:
        """Columns of a table that were not there in training."""
        known = {column.name for column in self.columns} | {self.target.name, *self.left_out}
        return [name for name in table.columns if name not in known]

    def to_dict(self) -> dict[str, Any]:
        """For the metadata of a network."""
        return {
            "columns": [_listing(asdict(column)) for column in self.columns],
            "target": _listing(asdict(self.target)),
            "left_out": list(self.left_out),
        }

    @classmethod
    def from_dict(cls, entry: object, path: str) -> Encoding:
        """The opposite of ``to_dict``, for the file ``path``; raises nothing but ModelFileError, whatever comes."""
        try:
            columns = tuple(_column_from(item) for item in _entry(entry, "columns", list))
            target = _target_from(_entry(entry, "target", dict))
            left_out = tuple(_texts(_entry(entry, "left_out", list)))
        except (TypeError, ValueError, OverflowError) as problem:
            raise ModelFileError(f"{plain(path)}: its description of columns is damaged: {problem}") from None
        return cls(columns, target, left_out)


def tidy(values: npt.NDArray[np.float64]) -> list[Label]:
    """Numbers that are classes, whole ones as int: they were written without a point in most files."""
    return [int(value) if value.is_integer() and abs(value) < 2**53 else value for value in values.tolist()]


def significant(value: float) -> float:
    """A number to the seven digits that a float32 network can mean."""
    return float(f"{value:.7g}")


# ----------------------------------------------------------------------------------------------- to and from model files


def _listing(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in entry.items()}


def _entry(entry: object, key: str, kind: type | tuple[type, ...]) -> Any:
    if not isinstance(entry, Mapping):
        raise TypeError(f"expected a mapping, found {type(entry).__name__}")
    if key not in entry:
        raise ValueError(f"{key!r} is missing")
    if not isinstance(entry[key], kind) or isinstance(entry[key], bool):
        raise TypeError(f"{key!r} is {type(entry[key]).__name__}")
    return entry[key]


def _texts(items: list[object]) -> list[str]:
    if not all(isinstance(item, str) for item in items):
        raise TypeError("a name that is not text")
    return [str(item) for item in items]


def _mean_and_scale_from(item: object) -> tuple[float, float]:
    mean, scale = float(_entry(item, "mean", (int, float))), float(_entry(item, "scale", (int, float)))
    if not (math.isfinite(mean) and math.isfinite(scale) and scale > 0):
        raise ValueError(f"mean {mean:g} and scale {scale:g}")
    return mean, scale


def _column_from(item: object) -> Number | Category:
    name: str = _entry(item, "name", str)
    if isinstance(item, Mapping) and "categories" in item:
        categories = _texts(_entry(item, "categories", list))
        if not categories or len(set(categories)) != len(categories):
            raise ValueError(f"the categories of {quoted(name)} are none, or not all different")
        return Category(name, tuple(categories))
    return Number(name, *_mean_and_scale_from(item))


def _target_from(item: object) -> Target:
    classes = _entry(item, "classes", list)
    texts = all(isinstance(label, str) for label in classes)
    numbers = all(isinstance(label, (int, float)) and not isinstance(label, bool) for label in classes)
    if not (texts or numbers) or len(set(classes)) != len(classes):
        raise ValueError("the classes are neither texts nor numbers, or not all different")
    return Target(_entry(item, "name", str), tuple(classes), *_mean_and_scale_from(item))
