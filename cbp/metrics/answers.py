"""Targets and outputs as metrics read them: a row for every position that counts, in float64.

What depends on the targets alone is made once, :class:`Truth`; what depends on the outputs, :class:`Answers`, is shared by all
metrics of one measurement.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.engine.arrays import Data
from cbp.metrics.task import Task

__all__ = ["Answers", "Counts", "Truth", "mean", "overall"]

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


def mean(values: Array, weights: Floats | None) -> Array:
    """The (weighted) mean over the rows: a number for (rows,), one a column for (rows, columns); NaN where all weights are 0.
    Weights are (rows,), or (rows, columns) as the values."""
    if weights is None:
        return np.asarray(np.average(values, axis=0)) if len(values) else np.full(values.shape[1:], np.nan)
    total = weights.sum(axis=0)
    if (total != 0).all():
        return np.asarray(np.average(values, axis=0, weights=weights))
    spread = weights if weights.ndim == values.ndim else weights[:, None]
    with np.errstate(invalid="ignore"):
        return np.asarray((values * spread).sum(axis=0) / total)


def overall(values: Array, weights: Floats | None) -> float:
    """The (weighted) mean of (rows,), or of all numbers of (rows, columns)."""
    if values.ndim == 1 or weights is None or weights.ndim == 1:  # rows first: NumPy then adds in pairs, and loses no digits
        return float(mean(values if values.ndim == 1 else values.mean(axis=1), weights))
    return float(np.average(values, weights=weights)) if weights.any() else float("nan")


@dataclass(frozen=True)
class Truth:
    """The targets of some data.

    Attributes
    ----------
    task : Task
    given : array
        Labels (rows,), or (rows, outputs) numbers in float64. NaN, where targets are missing, has become 0, of weight 0.
    weights : array or None
        (rows,), or (rows, outputs) where some outputs of a row count and others do not; None: all count alike.
    kept : array of bool or None
        Which positions became rows; None: all.
    """

    task: Task
    given: Array
    weights: Floats | None
    kept: Flags | None

    @classmethod
    def of(cls, task: Task, data: Data, sample_weight: object = None) -> Truth:
        """Of checked data; ``sample_weight`` (samples,) takes the place of the data's weights, which have the network's
        dtype."""
        samples = len(data.x)
        given: Array = data.labels if len(data.labels) else np.asarray(data.targets.array, np.float64).reshape(-1, task.outputs)
        chosen = data.weights if sample_weight is None else sample_weight
        weights = check.numbers("sample_weight", chosen, np.dtype(np.float64))
        each = np.repeat(weights, len(given) // samples) if len(weights) else None
        kept = _counted(task, data.lengths, samples)
        missing: Array = np.isnan(given)
        if missing.any() and (task.classes == "multiclass" or task.outputs == 1):
            whole = np.asarray(~missing.reshape(len(given), -1).any(axis=1))
            kept, missing = whole if kept is None else kept & whole, np.zeros_like(missing)
        if kept is not None:
            given, missing, each = given[kept], missing[kept], None if each is None else each[kept]
        if missing.any():
            each = np.ones(len(given)) if each is None else each
            given, each = np.where(missing, 0, given), np.where(missing, 0, each[:, None])
        return cls(task, given, each, kept)

    @property
    def rows(self) -> int:
        """Positions that count."""
        return len(self.given)

    @cached_property
    def labels(self) -> Labels:
        """(rows,): the class, 0 or 1 where there is one output. Probabilities count as the class that has most."""
        if self.given.ndim == 1:
            return self.given
        if self.task.classes == "binary":
            return (self.given[:, 0] > self.task.middle).astype(np.intp)
        return np.asarray(self.given.argmax(axis=1))

    @cached_property
    def flags(self) -> Flags:
        """(rows, outputs): whether a class holds."""
        if self.task.classes == "multiclass":
            return np.asarray(self.labels[:, None] == np.arange(self.task.outputs))
        return np.asarray(self.given > self.task.middle)

    @property
    def fractions(self) -> Array:
        """(rows, outputs): probabilities as they were given."""
        return self.flags if self.given.ndim == 1 else self.given

    def column(self, output: int | None) -> tuple[Flags, Floats | None]:
        """Whether the class of an output holds, and the weights there, (rows,); None: those of all, (rows * outputs,)."""
        weights = self.weights
        if output is not None:
            return self.flags[:, output], weights if weights is None or weights.ndim == 1 else weights[:, output]
        if weights is not None and weights.ndim == 1:
            weights = np.repeat(weights, self.task.outputs)
        return self.flags.reshape(-1), None if weights is None else weights.reshape(-1)

    def only(self, output: int | None) -> str:
        """Why an output's class cannot be ranked, for messages: the targets know only one answer. "" where they know both."""
        flags, weights = self.column(output)
        counted = flags if weights is None else flags[weights != 0]
        found = counted.any(), not counted.all()
        if all(found):
            return ""
        name = "the positive class" if self.task.classes == "binary" else "any class" if output is None else f"class {output}"
        return f"no target is of {name}" if not found[0] else f"all targets are of {name}"


def _counted(task: Task, lengths: Array, samples: int) -> Flags | None:
    """Which positions lie within the lengths; None: all."""
    if not len(lengths) or not task.timed or not task.places:
        return None
    steps, *more = task.places
    within = np.arange(steps) < lengths[:, None]
    return np.repeat(within.reshape(samples * steps), prod(more))


class Counts(NamedTuple):
    """Of every class: the weights of the rows where it holds and was answered, where it was answered, where it holds, and
    whether there is any of the last two."""

    hits: Array
    answered: Array
    true: Array
    occurs: Flags


@dataclass(frozen=True)
class Answers:
    """A network's outputs beside the truth.

    Attributes
    ----------
    truth : Truth
    outputs : array, (rows, outputs)
        In float64.
    """

    truth: Truth
    outputs: Floats

    @classmethod
    def of(cls, truth: Truth, outputs: Array) -> Answers:
        """Of what ``predict`` gives, with or without the axis of one output."""
        rows = outputs.reshape(-1, truth.task.outputs)
        return cls(truth, (rows if truth.kept is None else rows[truth.kept]).astype(np.float64))

    @cached_property
    def labels(self) -> Labels:
        """(rows,): the class that is answered, the first of those that are most probable."""
        if self.truth.task.classes == "binary":
            return self.flags[:, 0].astype(np.intp)
        return np.asarray(self.outputs.argmax(axis=1))

    @cached_property
    def flags(self) -> Flags:
        """(rows, outputs): whether a class is answered."""
        if self.truth.task.classes == "multiclass":
            return np.asarray(self.labels[:, None] == np.arange(self.truth.task.outputs))
        return np.asarray(self.outputs > self.truth.task.middle)

    @cached_property
    def hits(self) -> Flags:
        """(rows,), of several labels (rows, outputs): whether the answer is right."""
        if self.truth.task.classes == "multilabel":
            return np.asarray(self.flags == self.truth.flags)
        return np.asarray(self.labels == self.truth.labels)

    @cached_property
    def counts(self) -> Counts:
        """Of every class."""
        truth = self.truth
        if truth.task.classes == "multilabel":
            weights = truth.weights if truth.weights is None or truth.weights.ndim == 2 else truth.weights[:, None]
            hits, answered, true = ((flags if weights is None else flags * weights).sum(axis=0)
                                    for flags in (self.flags & truth.flags, self.flags, truth.flags))
            return Counts(hits, answered, true, np.ones(truth.task.outputs, np.bool_))

        def counted(labels: Labels, rows: Any = slice(None)) -> Array:
            weights = None if truth.weights is None else truth.weights[rows]
            return np.bincount(labels[rows], weights, truth.task.labels)

        occurs = np.bincount(np.concatenate([truth.labels, self.labels]), minlength=truth.task.labels) > 0
        return Counts(counted(truth.labels, self.hits), counted(self.labels), counted(truth.labels), occurs)

