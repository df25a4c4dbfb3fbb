"""Metrics that count: how many answers are right, of all rows and of those of a class."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.errors import quoted
from cbp.metrics.answers import Answers, Counts, mean, overall
from cbp.metrics.base import METRICS, Metric, named
from cbp.metrics.task import Task

__all__ = ["Accuracy", "BalancedAccuracy", "F1", "Precision", "Recall", "SubsetAccuracy"]

Array = npt.NDArray[Any]

_AVERAGES = ("macro", "micro", "weighted")


@METRICS.add
@dataclass(frozen=True, repr=False)
class Accuracy(Metric):
    """The part of the answers that are right; of several labels at once every output is an answer, as in the accuracy that the
    losses have. (scikit-learn's ``accuracy_score``; of several labels that of all outputs in one row, ``y.ravel()``.)

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> net.evaluate([[-1.0], [2.0], [3.0], [4.0]], [0, 1, 1, 0], metrics=["accuracy"])["accuracy"]
    0.75
    """

    name: ClassVar[str] = "accuracy"
    aliases: ClassVar[tuple[str, ...]] = ("acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy",
                                          "accuracy_score", "hamming")
    needs: ClassVar[str] = "classes"

    def of(self, answers: Answers) -> float:
        return overall(answers.hits, answers.truth.weights)


@METRICS.add
@dataclass(frozen=True, repr=False)
class SubsetAccuracy(Metric):
    """The part of the rows of which all answers are right, for several labels at once; elsewhere the accuracy. (scikit-learn's
    ``accuracy_score``.)

    Examples
    --------
    >>> net = cbp.Network(2, [cbp.Dense(2, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> measured = net.evaluate([[1.0, 1.0], [-1.0, -1.0]], [[1, 1], [0, 1]], metrics=["subset_accuracy"])
    >>> measured["accuracy"], measured["subset_accuracy"]
    (0.75, 0.5)
    """

    name: ClassVar[str] = "subset_accuracy"
    aliases: ClassVar[tuple[str, ...]] = ("exact_match", "exact_match_ratio", "zero_one")
    needs: ClassVar[str] = "classes"

    def of(self, answers: Answers) -> float:
        hits: Array = answers.hits
        weights = answers.truth.weights
        if hits.ndim == 2 and weights is not None and weights.ndim == 2:  # what is missing is not wrong
            hits, weights = np.logical_or(hits, weights == 0), weights.max(axis=1)
        return float(mean(np.asarray(hits.reshape(len(hits), -1).all(axis=1)), weights))


@METRICS.add
@dataclass(frozen=True, repr=False)
class BalancedAccuracy(Metric):
    """The mean of the recalls of all classes that occur among the targets. (scikit-learn's ``balanced_accuracy_score``.)

    Parameters
    ----------
    adjusted : bool
        Scaled so that guessing gives 0 and no mistake 1; nan where only one class occurs.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> net.evaluate([[-1.0], [2.0], [3.0], [4.0]], [0, 1, 1, 0], metrics=["balanced_accuracy"])["balanced_accuracy"]
    0.75
    """

    name: ClassVar[str] = "balanced_accuracy"
    aliases: ClassVar[tuple[str, ...]] = ("balanced_acc", "balanced_accuracy_score", "bac", "uar")
    needs: ClassVar[str] = "classes"

    _: KW_ONLY
    adjusted: bool = False

    def _check(self) -> None:
        object.__setattr__(self, "adjusted", check.boolean("adjusted", self.adjusted))

    def lacks(self, task: Task) -> str:
        return "it is for one class a row, and here several hold at once; take 'recall'" if task.classes == "multilabel" else (
            super().lacks(task))

    def of(self, answers: Answers) -> float:
        counts = answers.counts
        there = counts.true > 0
        recalls = counts.hits[there] / counts.true[there]
        score = float(recalls.mean()) if len(recalls) else np.nan
        chance = 1 / max(len(recalls), 1)
        return score if not self.adjusted else (score - chance) / (1 - chance) if chance < 1 else np.nan


@dataclass(frozen=True, repr=False)
class _OfClasses(Metric):
    """A score of every class, from counts, and how they become one."""

    average: str | None = "auto"
    _: KW_ONLY
    zero_division: float = 0.0

    needs: ClassVar[str] = "classes"

    def _check(self) -> None:
        self._one_of("average", ("auto", *_AVERAGES, None))
        value = self.zero_division
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not (value in (0, 1) or np.isnan(value)):
            raise ValueError(f"zero_division must be 0, 1 or nan, got {quoted(value)}")
        object.__setattr__(self, "zero_division", float(value))

    @classmethod
    def spelt(cls, name: str) -> Self | None:
        average = name.removeprefix(f"{cls.name}_")
        return cls(average) if average != name and average in _AVERAGES else None

    @property
    def label(self) -> str:
        return self.name if self.average in ("auto", None) else f"{self.name}_{self.average}"

    def names(self, task: Task, label: str) -> tuple[str, ...]:
        return (label,) if self.average is not None else named(label, range(task.labels))

    def of(self, answers: Answers) -> Any:
        counts, average = answers.counts, self.average
        if average == "micro":
            return float(self._scores(Counts(*(np.sum(part, keepdims=True) for part in counts)))[0])
        scores = self._scores(counts)
        if average is None:
            return scores
        if average == "auto" and answers.truth.task.classes == "binary":
            return float(scores[1])
        weights = counts.true if average == "weighted" else np.ones(len(scores))
        taken = counts.occurs & ~np.isnan(scores)
        scores, weights = scores[taken], weights[taken]
        if not weights.any():
            return float(scores.mean()) if len(scores) else np.nan
        return float(np.average(scores, weights=weights))

    def _scores(self, counts: Counts) -> Array:
        above, below = self._ratio(counts)
        return np.asarray(np.divide(above, below, out=np.full(len(above), self.zero_division), where=below != 0))

    def _ratio(self, counts: Counts) -> tuple[Array, Array]:
        raise NotImplementedError


@METRICS.add
@dataclass(frozen=True, repr=False)
class Precision(_OfClasses):
    """Of the rows that are answered with a class, the part where that is right. (scikit-learn's ``precision_score``.)

    Parameters
    ----------
    average : str or None
        How the scores of the classes become one: ``"macro"`` is their mean over the classes that occur among targets or
        answers; ``"weighted"`` weights them by how often they occur among the targets; ``"micro"`` counts over all classes;
        None gives each, ``precision_0`` and so on. ``"auto"`` is the score of the positive class where there is one output,
        else ``"macro"``.
    zero_division : float
        The score of a class with nothing to divide by: 0, 1, or nan, which leaves it out of means.

    Raises
    ------
    ValueError
        An argument is none of these.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> net.evaluate([[1.0], [2.0], [3.0], [4.0]], [0, 1, 1, 1], metrics=["precision"])["precision"]
    0.75
    """

    name: ClassVar[str] = "precision"
    aliases: ClassVar[tuple[str, ...]] = ("precision_score", "ppv", "positive_predictive_value")

    def _ratio(self, counts: Counts) -> tuple[Array, Array]:
        return counts.hits, counts.answered


@METRICS.add
@dataclass(frozen=True, repr=False)
class Recall(_OfClasses):
    """Of the rows of a class, the part that is answered with it. (scikit-learn's ``recall_score``.)

    Parameters
    ----------
    average, zero_division
        As of :class:`Precision`.

    Raises
    ------
    ValueError
        An argument is none of these.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> net.evaluate([[-1.0], [2.0], [3.0], [4.0]], [1, 1, 1, 1], metrics=["recall"])["recall"]
    0.75
    """

    name: ClassVar[str] = "recall"
    aliases: ClassVar[tuple[str, ...]] = ("recall_score", "sensitivity", "tpr", "true_positive_rate", "hit_rate")

    def _ratio(self, counts: Counts) -> tuple[Array, Array]:
        return counts.hits, counts.true


@METRICS.add
@dataclass(frozen=True, repr=False)
class F1(_OfClasses):
    """The harmonic mean of precision and recall, ``2 hits / (answered + true)``. (scikit-learn's ``f1_score``.)

    Parameters
    ----------
    average, zero_division
        As of :class:`Precision`.

    Raises
    ------
    ValueError
        An argument is none of these.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> measured = net.evaluate([[1.0], [2.0], [3.0]], [0, 1, 1], metrics=["f1", cbp.metrics.F1(average=None)])
    >>> {name: round(value, 3) for name, value in measured.items() if name.startswith("f1")}
    {'f1': 0.8, 'f1_0': 0.0, 'f1_1': 0.8}
    """

    name: ClassVar[str] = "f1"
    aliases: ClassVar[tuple[str, ...]] = ("f1_score", "fscore", "f_score", "fbeta", "dice")

    def _ratio(self, counts: Counts) -> tuple[Array, Array]:
        return 2.0 * counts.hits, counts.true + counts.answered * 1.0
