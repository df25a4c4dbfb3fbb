"""Metrics of numbers: how far outputs are from targets."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.metrics.answers import Answers, Truth, mean
from cbp.metrics.base import METRICS, Metric, averaged, named
from cbp.metrics.task import Task

__all__ = ["ExplainedVariance", "MeanAbsoluteError", "MeanSquaredError", "Pinball", "R2", "RootMeanSquaredError"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, repr=False)
class _OfOutputs(Metric):
    """A number of every output, and how they become one."""

    _: KW_ONLY
    average: str | None = "mean"

    needs: ClassVar[str] = "numbers"
    higher_is_better: ClassVar[bool | None] = False
    averages: ClassVar[tuple[str | None, ...]] = ("mean", None)

    def _check(self) -> None:
        self._one_of("average", self.averages)

    def names(self, task: Task, label: str) -> tuple[str, ...]:
        return (label,) if self.average is not None or task.outputs == 1 else named(label, range(task.outputs))

    def of(self, answers: Answers) -> Any:
        each = self._each(answers.truth.given, answers.outputs, answers.truth.weights)
        return each if self.average is None and len(each) > 1 else averaged(each)

    def _each(self, y: Array, outputs: Array, weights: Array | None) -> Array:
        raise NotImplementedError


@METRICS.add
@dataclass(frozen=True, repr=False)
class MeanSquaredError(_OfOutputs):
    """The mean of ``(ŷ - y)²``. (scikit-learn's ``mean_squared_error``.)

    Parameters
    ----------
    average : str or None
        ``"mean"`` takes that of several outputs, None gives each, ``mean_squared_error_0`` and so on.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="huber")
    >>> net.evaluate([[3.0], [1.0]], [1.0, 1.0], metrics=["mse"])["mse"]
    2.0
    """

    name: ClassVar[str] = "mean_squared_error"
    short: ClassVar[str] = "mse"
    aliases: ClassVar[tuple[str, ...]] = ("l2", "neg_mean_squared_error", "squared_error")

    def _each(self, y: Array, outputs: Array, weights: Array | None) -> Array:
        return mean((y - outputs) ** 2, weights)


@METRICS.add
@dataclass(frozen=True, repr=False)
class RootMeanSquaredError(_OfOutputs):
    """The square root of the mean of ``(ŷ - y)²``; of several outputs the mean of their roots. (scikit-learn's
    ``root_mean_squared_error``.)

    Parameters
    ----------
    average : str or None
        As of :class:`MeanSquaredError`.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    >>> net.evaluate([[3.0], [5.0]], [1.0, 3.0], metrics=["rmse"])["rmse"]
    2.0
    """

    name: ClassVar[str] = "root_mean_squared_error"
    short: ClassVar[str] = "rmse"
    aliases: ClassVar[tuple[str, ...]] = ("neg_root_mean_squared_error",)

    def _each(self, y: Array, outputs: Array, weights: Array | None) -> Array:
        return np.sqrt(mean((y - outputs) ** 2, weights))


@METRICS.add
@dataclass(frozen=True, repr=False)
class MeanAbsoluteError(_OfOutputs):
    """The mean of ``|ŷ - y|``. (scikit-learn's ``mean_absolute_error``.)

    Parameters
    ----------
    average : str or None
        As of :class:`MeanSquaredError`.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    >>> net.evaluate([[3.0], [1.0]], [1.0, 1.0], metrics=["mae"])["mae"]
    1.0
    """

    name: ClassVar[str] = "mean_absolute_error"
    short: ClassVar[str] = "mae"
    aliases: ClassVar[tuple[str, ...]] = ("l1", "neg_mean_absolute_error", "absolute_error")

    def _each(self, y: Array, outputs: Array, weights: Array | None) -> Array:
        return mean(np.abs(outputs - y), weights)


@METRICS.add
@dataclass(frozen=True, repr=False)
class Pinball(_OfOutputs):
    """The mean of ``max(τ e, (τ - 1) e)``, ``e = y - ŷ``, least where a part τ of the targets lies below ŷ. (scikit-learn's
    ``mean_pinball_loss``, with τ for alpha.)

    Parameters
    ----------
    tau : float
        τ, above 0 and below 1.
    average : str or None
        As of :class:`MeanSquaredError`.

    Raises
    ------
    ValueError, TypeError
        ``tau`` is not a number between 0 and 1.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    >>> net.evaluate([[3.0], [3.0]], [1.0, 5.0], metrics=[cbp.metrics.Pinball(0.75)])["pinball_0.75"]
    1.0
    """

    name: ClassVar[str] = "pinball"
    aliases: ClassVar[tuple[str, ...]] = ("pinball_loss", "mean_pinball_loss", "tilted_loss", "check_loss")

    tau: float = 0.5

    def _check(self) -> None:
        super()._check()
        object.__setattr__(self, "tau", check.real("tau", self.tau, above=0, below=1))

    @classmethod
    def spelt(cls, name: str) -> Self | None:
        try:
            tau = float(name.removeprefix("pinball_")) if name.startswith("pinball_0.") else 0.0
        except ValueError:
            return None
        return cls(tau) if 0 < tau < 1 else None

    @property
    def label(self) -> str:
        return f"pinball_{self.tau:g}"

    def _each(self, y: Array, outputs: Array, weights: Array | None) -> Array:
        e = y - outputs
        return mean(np.where(e >= 0, self.tau * e, (self.tau - 1) * e), weights)


@dataclass(frozen=True, repr=False)
class _Explained(_OfOutputs):
    """A part of the spread of the targets."""

    higher_is_better: ClassVar[bool | None] = True
    averages: ClassVar[tuple[str | None, ...]] = ("mean", "variance", None)

    def of(self, answers: Answers) -> Any:
        left, spread = self._parts(answers.truth.given, answers.outputs, answers.truth.weights)
        each = np.where(left == 0, 1.0, 0.0)
        fine = (left != 0) & (spread != 0)
        each[fine] = 1 - left[fine] / spread[fine]
        each[np.isnan(left)] = np.nan
        if self.average is None and len(each) > 1:
            return each
        return averaged(each, spread if self.average == "variance" and spread.any() else None)

    def _parts(self, y: Array, outputs: Array, weights: Array | None) -> tuple[Array, Array]:
        """What is not explained, and the whole."""
        raise NotImplementedError


@METRICS.add
@dataclass(frozen=True, repr=False)
class R2(_Explained):
    """``1 - sum((y - ŷ)²) / sum((y - mean(y))²)``: 1 without mistakes, 0 for always answering the mean of these targets. Where
    these are all the same it is 1 or 0. NaN for a single row. (scikit-learn's ``r2_score``.)

    Parameters
    ----------
    average : str or None
        Of several outputs: ``"mean"``; ``"variance"`` weights them by the variance of their targets; None gives each, ``r2_0``
        and so on.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    >>> net.evaluate([[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0], metrics=["r2"])["r2"]
    0.5
    """

    name: ClassVar[str] = "r2"
    aliases: ClassVar[tuple[str, ...]] = ("r2_score", "r_squared", "rsquared", "r_2", "r²", "coefficient_of_determination")

    def undefined(self, truth: Truth) -> str:
        return "there is a single row" if truth.rows < 2 else ""

    def _parts(self, y: Array, outputs: Array, weights: Array | None) -> tuple[Array, Array]:
        if len(y) < 2:
            return np.full(y.shape[1], np.nan), np.zeros(y.shape[1])
        each = np.float64(1) if weights is None else weights if weights.ndim == 2 else weights[:, None]
        return (each * (y - outputs) ** 2).sum(axis=0), (each * (y - mean(y, weights)) ** 2).sum(axis=0)


@METRICS.add
@dataclass(frozen=True, repr=False)
class ExplainedVariance(_Explained):
    """``1 - var(y - ŷ) / var(y)``: as R² but for an error that is the same everywhere. (scikit-learn's
    ``explained_variance_score``.)

    Parameters
    ----------
    average : str or None
        As of :class:`R2`.

    Examples
    --------
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    >>> net.evaluate([[1.0], [2.0], [3.0]], [2.0, 3.0, 4.0], metrics=["explained_variance"])["explained_variance"]
    1.0
    """

    name: ClassVar[str] = "explained_variance"
    aliases: ClassVar[tuple[str, ...]] = ("explained_variance_score", "evs")

    def _parts(self, y: Array, outputs: Array, weights: Array | None) -> tuple[Array, Array]:
        errors = y - outputs
        return mean((errors - mean(errors, weights)) ** 2, weights), mean((y - mean(y, weights)) ** 2, weights)
