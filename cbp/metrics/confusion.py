"""The confusion matrix: what was answered for the rows of every class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine.arrays import Data
from cbp.errors import plain, quoted
from cbp.metrics.answers import Answers, Truth
from cbp.metrics.task import Task

__all__ = ["ConfusionMatrix", "check_task", "of_data"]

Array = npt.NDArray[Any]

SHOWN = 20
"""Classes of which all cells are shown."""


class ConfusionMatrix:
    """How often class ``j`` was answered where class ``i`` holds: ``matrix[i, j]``. ``np.asarray`` gives the array, ``print``
    and notebooks show it with the precision and the recall of every class.

    Parameters
    ----------
    counts : array, (classes, classes)
        Numbers of rows, or sums of weights, of at least 0: a row for each class that holds, a column for each that is answered.
    labels : sequence of str, optional
        Names of the classes; by default their numbers.

    Attributes
    ----------
    counts : array, (classes, classes)
        int64, or float64 of weights; read-only.
    labels : tuple of str
    accuracy : float
        The part that is right.
    precision, recall, f1 : array, (classes,)
        Of every class; 0 where there is nothing to divide by.
    support : array, (classes,)
        How often each class holds.

    Raises
    ------
    ValueError, TypeError
        ``counts`` is no square of numbers, or there is not one label for each class.

    Examples
    --------
    >>> matrix = cbp.metrics.ConfusionMatrix([[5, 1], [2, 4]], labels=["cat", "dog"])
    >>> matrix
    true \\ answered  cat  dog   precision  recall     f1
    cat                5    1       0.714   0.833  0.769
    dog                2    4       0.800   0.667  0.727
    accuracy 0.7500 of 12
    >>> matrix[0, 1], matrix.recall.round(3)
    (1, array([0.833, 0.667]))
    """

    def __init__(self, counts: npt.ArrayLike, labels: Sequence[object] | None = None):
        given = np.array(counts)
        if given.ndim != 2 or given.shape[0] != given.shape[1] or not given.size or given.dtype.kind not in "iuf":
            raise ValueError(f"counts must be a square of numbers, a row and a column for every class, got the shape "
                             f"{given.shape} and the dtype {given.dtype}")
        if not ((given >= 0) & (given < np.inf)).all():
            raise ValueError("counts must be at least 0 and finite")
        self._counts = given.astype(np.float64 if given.dtype.kind == "f" else np.int64)
        self._counts.flags.writeable = False
        self._labels = _labels(labels, len(given))

    @property
    def counts(self) -> Array:
        """(classes, classes); read-only."""
        return self._counts

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self._labels

    @property
    def accuracy(self) -> float:
        """The part that is right."""
        return float(np.trace(self._counts) / self._counts.sum())

    @property
    def precision(self) -> Array:
        """(classes,): of the rows that are answered with a class, the part where that is right."""
        return _ratio(np.diagonal(self._counts), self._counts.sum(axis=0))

    @property
    def recall(self) -> Array:
        """(classes,): of the rows of a class, the part that is answered with it."""
        return _ratio(np.diagonal(self._counts), self.support)

    @property
    def f1(self) -> Array:
        """(classes,): the harmonic mean of both."""
        return _ratio(2 * np.diagonal(self._counts), self.support + self._counts.sum(axis=0))

    @property
    def support(self) -> Array:
        """(classes,): how often each class holds."""
        return np.asarray(self._counts.sum(axis=1))

    def normalized(self, over: str = "true") -> Array:
        """The matrix in parts of 1: ``over`` the rows of a class (``"true"``), those with an answer (``"answered"``), or
        ``"all"``; 0 where there is nothing to divide by. Raises ValueError for another word."""
        sums = {"true": self._counts.sum(axis=1, keepdims=True), "answered": self._counts.sum(axis=0, keepdims=True),
                "all": self._counts.sum(keepdims=True)}
        if over not in sums:
            raise ValueError(f"over must be 'true', 'answered' or 'all', got {quoted(over)}")
        return _ratio(self._counts, np.broadcast_to(sums[over], self._counts.shape))

    def __getitem__(self, place: Any) -> Any:
        found = self._counts[place]
        return found.item() if isinstance(found, np.generic) else found

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[Array]:
        return iter(self._counts)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self._counts, dtype) if copy or copy is None else np.asarray(self._counts, dtype)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConfusionMatrix):
            return NotImplemented
        return self._labels == other._labels and np.array_equal(self._counts, other._counts)

    __hash__: None  # type: ignore[assignment]

    def __repr__(self) -> str:
        header, *rows = _cells(self)
        widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
        first = len(header) - 3  # where the scores begin
        lines = [row[0].ljust(widths[0]) + "".join(f"{'   ' if index == first else '  '}{cell:>{widths[index]}}"
                                                   for index, cell in enumerate(row) if index)
                 for row in (header, *rows)]
        return "\n".join([*lines, self._below()])

    def _repr_html_(self) -> str:
        header, *rows = _cells(self)
        strongest = self.normalized()
        lines = ["".join(f"<th>{escape(cell)}</th>" for cell in header)]
        for index, row in enumerate(rows):
            cells = [f"<th style='text-align:left'>{escape(row[0])}</th>"]
            for place, cell in enumerate(row[1:]):
                shade = strongest[index, place] if len(row) > 5 and place < len(row) - 4 else 0
                colour = "46,125,50" if place == index else "198,40,40"
                style = f" style='background:rgba({colour},{shade:.2f})'" if shade else ""
                cells.append(f"<td{style}>{escape(cell)}</td>")
            lines.append("".join(cells))
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table>{table}</table><p>{escape(self._below())}</p>"

    def _below(self) -> str:
        return f"accuracy {self.accuracy:.4f} of {_number(self._counts.sum())}"


def check_task(task: Task) -> None:
    """Raise ValueError where a network's answers are not one class a row."""
    if task.classes == "multilabel":
        raise ValueError("confusion needs one class a row, and here every output answers for itself; evaluate(X, y, "
                         "metrics=[cbp.metrics.Precision(None), cbp.metrics.Recall(None)]) measures each of them")
    if not task.classes:
        raise ValueError(f"confusion needs classes, and {task.ending} gives numbers")


def of_data(
    task: Task, data: Data, sample_weight: object, outputs: Array, labels: Sequence[object] | None,
) -> ConfusionMatrix:
    """The matrix of a network's outputs for checked data, as ``predict`` gives them."""
    truth = Truth.of(task, data, sample_weight)
    classes = task.labels
    names = _labels(labels, classes)
    answers = Answers.of(truth, outputs)
    if not np.isfinite(answers.outputs).all():
        raise ValueError("confusion needs classes, and the outputs are not finite")
    cells = truth.labels * classes + answers.labels
    return ConfusionMatrix(np.bincount(cells, truth.weights, classes**2).reshape(classes, classes), names)


def _labels(given: Sequence[object] | None, classes: int) -> tuple[str, ...]:
    if given is None:
        return tuple(map(str, range(classes)))
    names = tuple(given) if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else None
    if names is None or len(names) != classes:
        raise ValueError(f"labels must be {classes} names, one for each class in their order, got {quoted(given)}")
    return tuple(map(str, names))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.zeros(above.shape), where=below != 0)


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)


def _cells(matrix: ConfusionMatrix) -> Iterator[list[str]]:
    """The table as text, its header first. Of many classes the cells are left out, the scores are not."""
    labels = [plain(label, 30) for label in matrix.labels]
    shown = len(labels) <= SHOWN
    yield ["true \\ answered" if shown else "class", *(labels if shown else ["support"]), "precision", "recall", "f1"]
    scores = np.stack([matrix.precision, matrix.recall, matrix.f1], axis=1)
    for label, row, support, score in zip(labels, matrix.counts, matrix.support, scores, strict=True):
        yield [label, *map(_number, row if shown else [support]), *(f"{value:.3f}" for value in score)]
