"""Metrics of probabilities: how far what is said to be likely is from what is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cbp.metrics.answers import Answers, mean, overall
from cbp.metrics.base import METRICS, Metric

__all__ = ["Brier", "LogLoss"]


@METRICS.add
@dataclass(frozen=True, repr=False)
class LogLoss(Metric):
    """The mean of ``-log`` of the probability of what is true: of the class of a row, or of the answer of every output. Outputs
    are taken from ε to 1 - ε, with ε = 2.2e-16 of float64. (scikit-learn's ``log_loss``; of several labels the mean over the
    outputs; with targets that are probabilities the cross entropy.)

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=0.0)], loss="binary_cross_entropy")
    >>> round(net.evaluate([[1.0], [2.0]], [0, 1], metrics=["log_loss"])["log_loss"], 4)  # log 2
    0.6931
    """

    name: ClassVar[str] = "log_loss"
    aliases: ClassVar[tuple[str, ...]] = ("logloss", "neg_log_loss", "cross_entropy", "binary_cross_entropy", "nll",
                                          "logistic_loss", "binary_crossentropy", "categorical_crossentropy")
    needs: ClassVar[str] = "probabilities"
    higher_is_better: ClassVar[bool] = False

    def of(self, answers: Answers) -> float:
        truth, epsilon = answers.truth, np.finfo(np.float64).eps
        p = np.clip(answers.outputs, epsilon, 1 - epsilon)
        if truth.task.classes == "multiclass":
            if truth.given.ndim == 1:
                return float(mean(-np.log(p[np.arange(truth.rows), truth.labels]), truth.weights))
            return float(mean(-(truth.given * np.log(p)).sum(axis=1), truth.weights))
        q = np.clip(1 - answers.outputs, epsilon, 1 - epsilon)
        y = truth.given
        return overall(-(y * np.log(p) + (1 - y) * np.log(q)), truth.weights)


@METRICS.add
@dataclass(frozen=True, repr=False)
class Brier(Metric):
    """The mean of ``(p - y)²``, with y = 1 where an answer is true: of one output, the mean over several labels, of classes the
    sum over them, half of it for two (G. W. Brier, 1950, Verification of forecasts expressed in terms of probability).
    (scikit-learn's ``brier_score_loss``; of several labels the mean over the outputs.)

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=0.0)], loss="binary_cross_entropy")
    >>> net.evaluate([[1.0], [2.0]], [0, 1], metrics=["brier"])["brier"]
    0.25
    """

    name: ClassVar[str] = "brier"
    aliases: ClassVar[tuple[str, ...]] = ("brier_score", "brier_score_loss", "neg_brier_score")
    needs: ClassVar[str] = "probabilities"
    higher_is_better: ClassVar[bool] = False

    def of(self, answers: Answers) -> float:
        truth = answers.truth
        squares = (truth.fractions - answers.outputs) ** 2
        if truth.task.classes == "multiclass":
            return float(mean(squares.sum(axis=1), truth.weights)) * (0.5 if truth.task.outputs == 2 else 1.0)
        return overall(squares, truth.weights)
