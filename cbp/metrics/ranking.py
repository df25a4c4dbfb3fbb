"""Metrics of ranking: whether what holds has higher scores than what does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.metrics.answers import Answers, Truth, mean
from cbp.metrics.base import METRICS, Metric, averaged, named
from cbp.metrics.task import Task

__all__ = ["AveragePrecision", "ROCAUC", "TopK"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@METRICS.add
@dataclass(frozen=True, repr=False)
class TopK(Metric):
    """The part of the rows whose class is among the ``k`` that are most probable; of classes with equal outputs the later one
    comes first. (scikit-learn's ``top_k_accuracy_score``.)

    Parameters
    ----------
    k : int
        At least 1, and below the number of classes.

    Raises
    ------
    ValueError, TypeError
        ``k`` is not a whole number of at least 1.

    Examples
    --------
    >>> net = cbp.Network(3, [cbp.Dense(3, "softmax", init=np.eye(3))], loss="cross_entropy")
    >>> net.evaluate([[2.0, 1.0, 0.0], [2.0, 1.0, 0.0]], [1, 2], metrics=[cbp.metrics.TopK(2)])["top_2"]
    0.5
    """

    name: ClassVar[str] = "top_k"
    aliases: ClassVar[tuple[str, ...]] = ("top_k_accuracy", "topk", "top_k_categorical_accuracy", "top_k_accuracy_score",
                                          "sparse_top_k_categorical_accuracy", "top5")
    needs: ClassVar[str] = "scores"

    k: int = 5

    def _check(self) -> None:
        object.__setattr__(self, "k", check.integer("k", self.k))

    @classmethod
    def spelt(cls, name: str) -> Self | None:
        count = name.removeprefix("top_")
        return cls(int(count)) if count != name and count.isdecimal() and len(count) < 10 and int(count) else None

    @property
    def label(self) -> str:
        return f"top_{self.k}"

    def lacks(self, task: Task) -> str:
        if task.classes != "multiclass":
            return super().lacks(task) or "it needs an output for every class, as 'softmax' and 'cross_entropy' have"
        return "" if self.k < task.outputs else f"k must be below the number of classes, {task.outputs}; of all classes it is 1"

    def of(self, answers: Answers) -> float:
        outputs, labels = answers.outputs, answers.truth.labels[:, None]
        own = np.take_along_axis(outputs, labels, axis=1)
        before = (outputs > own) | ((outputs == own) & (np.arange(outputs.shape[1]) > labels))
        return float(mean(before.sum(axis=1) < self.k, answers.truth.weights))


@dataclass(frozen=True, repr=False)
class _OfRanks(Metric):
    """A score of every class, from the order of its outputs, and how they become one."""

    average: str | None = "macro"

    needs: ClassVar[str] = "scores"

    def _check(self) -> None:
        self._one_of("average", ("macro", "micro", "weighted", None))

    @classmethod
    def spelt(cls, name: str) -> Self | None:
        average = name.removeprefix(f"{cls.name}_")
        return cls(average) if average in ("micro", "weighted") else None

    @property
    def label(self) -> str:
        return self.name if self.average in ("macro", None) else f"{self.name}_{self.average}"

    def names(self, task: Task, label: str) -> tuple[str, ...]:
        return (label,) if self.average is not None or task.classes == "binary" else named(label, range(task.outputs))

    def _each(self, answers: Answers, score: Callable[[Flags, Floats, Floats | None], float]) -> Any:
        """The score of every class against the others, as the average says."""
        truth, outputs = answers.truth, answers.outputs
        if self.average == "micro":
            flags, weights = truth.column(None)
            return score(flags, outputs.reshape(-1), weights)
        columns = [truth.column(output) for output in range(outputs.shape[1])]
        scores = np.array([score(flags, outputs[:, output], weights) for output, (flags, weights) in enumerate(columns)])
        if self.average is None and len(scores) > 1:
            return scores
        if self.average == "weighted" and len(scores) > 1:
            support = np.array([flags.sum() if weights is None else flags @ weights for flags, weights in columns])
            return averaged(np.where(support == 0, 0, scores), support) if support.any() else float(scores[0])
        return averaged(scores)


@METRICS.add
@dataclass(frozen=True, repr=False)
class ROCAUC(_OfRanks):
    """The area under the curve of true positive over false positive rates: the probability that a row where a class holds has a
    higher output than one where it does not, ties counting half. (scikit-learn's ``roc_auc_score``.)

    NaN where the targets know only one answer: of a class alone, and of a mean that takes it in. A fit warns of that once.

    Parameters
    ----------
    average : str or None
        How the areas of the classes become one: ``"macro"`` is their mean; ``"weighted"`` weights them by how often they occur
        among the targets, so that those that never do are left out; ``"micro"`` ranks all outputs of all classes together; None
        gives each, ``roc_auc_0`` and so on. With one output there is one area.
    multi_class : str
        With ``"ovr"`` each class is ranked against all others, with ``"ovo"`` each pair of classes (D. J. Hand and R. J. Till,
        2001, A simple generalisation of the area under the ROC curve for multiple class classification problems), of those
        that occur among the targets.

    Raises
    ------
    ValueError
        An argument is none of these.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> net.evaluate([[1.0], [2.0], [3.0], [4.0]], [0, 1, 0, 1], metrics=["roc_auc"])["roc_auc"]
    0.75
    """

    name: ClassVar[str] = "roc_auc"
    aliases: ClassVar[tuple[str, ...]] = ("auc", "auroc", "roc_auc_score", "rocauc", "roc_auc_ovr", "auc_roc")

    multi_class: str = "ovr"

    def _check(self) -> None:
        super()._check()
        self._one_of("multi_class", ("ovr", "ovo"))
        if self.multi_class == "ovo" and self.average not in ("macro", "weighted"):
            raise ValueError(f"average must be 'macro' or 'weighted' with multi_class='ovo', got {self.average!r}")

    def lacks(self, task: Task) -> str:
        if self.multi_class == "ovo" and task.classes in ("binary", "multilabel"):
            return "multi_class='ovo' needs an output for every class, as 'softmax' and 'cross_entropy' have; take 'ovr'"
        return super().lacks(task)

    def undefined(self, truth: Truth) -> str:
        if self.multi_class == "ovo":
            return "all targets are of one class" if len(np.unique(truth.labels)) < 2 else ""
        every = truth.only(None)
        if self.average == "micro" or (self.average == "weighted" and every):
            return every
        lonely = [why for why in map(truth.only, range(truth.task.outputs)) if why]
        if self.average == "weighted":  # classes that never hold have the weight 0
            lonely = [why for why in lonely if why.startswith("all")]
        return lonely[0] if lonely else ""

    def of(self, answers: Answers) -> Any:
        return self._each(answers, _area) if self.multi_class == "ovr" else self._of_pairs(answers)

    def _of_pairs(self, answers: Answers) -> float:
        truth, areas, sizes = answers.truth, [], []
        for one, other in combinations(np.unique(truth.labels), 2):
            rows = (truth.labels == one) | (truth.labels == other)
            weights = None if truth.weights is None else truth.weights[rows]
            both = [_area(truth.labels[rows] == label, answers.outputs[rows, label], weights) for label in (one, other)]
            areas.append(sum(both) / 2)
            sizes.append(mean(rows, truth.weights))
        if not areas:
            return np.nan
        return averaged(np.array(areas), np.array(sizes) if self.average == "weighted" else None)


@METRICS.add
@dataclass(frozen=True, repr=False)
class AveragePrecision(_OfRanks):
    """``sum((R_n - R_(n-1)) P_n)`` over the thresholds n, from the highest on, with recall R and precision P: the area under
    the curve of precision over recall, without interpolation. (scikit-learn's ``average_precision_score``.)

    0 for a class that never holds.

    Parameters
    ----------
    average : str or None
        As of :class:`ROCAUC`.

    Raises
    ------
    ValueError
        An argument is none of these.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    >>> measured = net.evaluate([[1.0], [2.0], [3.0], [4.0]], [0, 1, 0, 1], metrics=["average_precision"])
    >>> round(measured["average_precision"], 4)  # (1 + 2/3) / 2
    0.8333
    """

    name: ClassVar[str] = "average_precision"
    aliases: ClassVar[tuple[str, ...]] = ("pr_auc", "auprc", "auc_pr", "average_precision_score", "ap", "map")

    def undefined(self, truth: Truth) -> str:
        if self.average in ("micro", "weighted"):
            return truth.only(None) if truth.only(None).startswith("no") else ""
        return next((why for why in map(truth.only, range(truth.task.outputs)) if why.startswith("no")), "")

    def of(self, answers: Answers) -> Any:
        return self._each(answers, _average_precision)


def _thresholds(holds: Flags, scores: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """The weights of false and of true positives above every threshold, from the highest on; rows of weight 0 are left out."""
    if weights is not None:
        taken = weights != 0
        holds, scores, weights = holds[taken], scores[taken], weights[taken]
    order = np.argsort(-scores, kind="stable")
    holds, scores = holds[order], scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    if weights is None:
        true = np.cumsum(holds, dtype=np.float64)[last]
        return 1 + last - true, true
    weights = weights[order]
    return np.cumsum(~holds * weights)[last], np.cumsum(holds * weights)[last]


def _area(holds: Flags, scores: Floats, weights: Floats | None) -> float:
    """Under the curve of true over false positive rates, by trapezia; NaN where the rows know only one answer."""
    if holds.all() or not holds.any() or (weights is not None and not weights.any()):
        return np.nan
    false, true = _thresholds(holds, scores, weights)
    if false[-1] <= 0 or true[-1] <= 0:
        return np.nan
    if len(false) > 2:  # points on a straight line with their neighbours add nothing
        corners = np.concatenate([[True], (np.diff(false, 2) != 0) | (np.diff(true, 2) != 0), [True]])
        false, true = false[corners], true[corners]
    x, y = np.append(0.0, false) / false[-1], np.append(0.0, true) / true[-1]
    return float((np.diff(x) * (y[1:] + y[:-1]) / 2.0).sum())


def _average_precision(holds: Flags, scores: Floats, weights: Floats | None) -> float:
    if not len(holds) or (weights is not None and not weights.any()):
        return np.nan
    false, true = _thresholds(holds, scores, weights)
    if true[-1] == 0:
        return 0.0
    precision = np.divide(true, true + false, out=np.zeros(len(true)), where=true + false != 0)
    return float(max(0.0, (np.diff(np.append(0.0, true / true[-1])) * precision)[::-1].sum()))
