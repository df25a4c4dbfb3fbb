"""Metrics that a user asks for: checked before anything runs, then measured together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import finite
from cbp.engine.arrays import Data
from cbp.errors import quoted
from cbp.metrics.answers import Answers, Truth
from cbp.metrics.base import METRICS, Metric
from cbp.metrics.function import Function
from cbp.metrics.task import Task

__all__ = ["Measure", "Metrics", "checked", "get"]

Array = npt.NDArray[Any]
One = str | Metric | Callable[..., Any]
Asked = One | Iterable[One] | Mapping[str, One] | None
"""What the argument ``metrics`` may be."""


def get(metric: object) -> Metric:
    """The metric that a user named or built; a function as :class:`Function`. Raises ValueError or TypeError where it is none.

    Examples
    --------
    >>> cbp.metrics.get("top_3"), cbp.metrics.get("rmse")
    (TopK(k=3), RootMeanSquaredError())
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        return _by_name(metric)
    name = next((kind.__name__ for kind in METRICS.values() if kind is metric), "")
    if name or not callable(metric):
        call = f"; call it: cbp.metrics.{name}()" if name else ""
        raise TypeError(f"metrics must be names, cbp's metrics or functions (y_true, y_pred) -> float, got {quoted(metric)}"
                        f"{call}")
    return Function(metric)


def _by_name(name: str) -> Metric:
    for kind in METRICS.values():
        if name in (kind.name, kind.short):
            return kind()
        spelt = kind.spelt(name)
        if spelt is not None:
            return spelt
    return METRICS.find(name)()


@dataclass(frozen=True)
class _Named:
    """A metric, what it is called, and what its numbers are called."""

    metric: Metric
    label: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Metrics:
    """Metrics that suit a network, as :func:`checked` gives them; empty ones are false.

    Attributes
    ----------
    task : Task
    asked : tuple
    """

    task: Task
    asked: tuple[_Named, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.asked)

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured, in the order in which it was asked for."""
        return tuple(name for one in self.asked for name in one.names)

    @property
    def higher_is_better(self) -> dict[str, bool | None]:
        """Of every name; None where that is not known, of a function that does not say."""
        return {name: one.metric.higher_is_better for one in self.asked for name in one.names}

    def on(self, data: Data, sample_weight: object = None) -> Measure:
        """Measure them on checked data again and again; warns of what is not defined there.

        ``sample_weight`` (samples,) is what the user gave, where the data's own weights have too few digits.
        """
        truth = Truth.of(self.task, data, sample_weight)
        self._check_fractions(truth)
        for one in self.asked:
            why = one.metric.undefined(truth)
            if why:
                finite.warn(f"metrics: {one.label} is not defined here: {why}")
        return Measure(self, truth)

    def of(self, outputs: Array, data: Data, sample_weight: object = None) -> dict[str, float]:
        """Measure them once, for outputs as ``predict`` gives them for the data."""
        return self.on(data, sample_weight).of(outputs)

    def _check_fractions(self, truth: Truth) -> None:
        """Targets of a loss of numbers may be anything, those of classes lie between 0 and 1."""
        one = next((one for one in self.asked if one.metric.needs not in ("numbers", "")), None)
        y = truth.given
        if one is None or y.ndim == 1 or "numbers" not in self.task.gives or ((y >= 0) & (y <= 1)).all():
            return
        raise ValueError(f"metrics: {one.label} needs targets from 0 to 1, and y holds {y[(y < 0) | (y > 1)][0]:g}")


@dataclass(frozen=True)
class Measure:
    """Metrics on the targets of some data."""

    metrics: Metrics
    truth: Truth

    @property
    def names(self) -> tuple[str, ...]:
        """What is measured."""
        return self.metrics.names

    @property
    def higher_is_better(self) -> dict[str, bool | None]:
        """Of every name."""
        return self.metrics.higher_is_better

    def of(self, outputs: Array) -> dict[str, float]:
        """Their values by name, for outputs as ``predict`` gives them for these data; NaN where those are not finite."""
        answers = Answers.of(self.truth, outputs)
        fine = bool(np.isfinite(answers.outputs).all())
        found: dict[str, float] = {}
        for one in self.metrics.asked:
            values = np.reshape(one.metric.of(answers) if fine else np.full(len(one.names), np.nan), -1)
            found.update(zip(one.names, values.tolist(), strict=True))
        return found


def checked(metrics: Asked, task: Task, *, weighted: bool = False) -> Metrics:
    """What a user gave as the argument ``metrics``, for a network of this task.

    Parameters
    ----------
    metrics : str, Metric or function, or several, or a mapping
        None and () are none; a mapping has the names that the results shall have.
    task : Task
    weighted : bool
        Whether there are sample weights.

    Raises
    ------
    ValueError, TypeError
        One is unknown, does not suit the task, or has the name of another.

    Examples
    --------
    >>> from cbp.metrics.task import Task
    >>> task = Task.of(cbp.losses.get("cross_entropy"), "softmax", (10,))
    >>> cbp.metrics.checked(["accuracy", cbp.metrics.TopK(3)], task).names
    ('accuracy', 'top_3')
    """
    asked: list[_Named] = []
    for label, metric in _labelled(metrics):
        problem = metric.lacks(task)
        if problem:
            raise ValueError(f"metrics: {quoted(label)} does not suit this network: {problem}{_suitable(metric, task)}")
        if weighted and isinstance(metric, Function) and not metric.takes_weights:
            raise ValueError(f"metrics: {label} takes no sample_weight, and here are some; let it be a function "
                             f"{label}(y_true, y_pred, sample_weight)")
        asked.append(_Named(metric, label, metric.names(task, label)))
        _check_names(asked)
    return Metrics(task, tuple(asked))


def _suitable(metric: Metric, task: Task) -> str:
    """Those that suit a task, where a metric is of another kind."""
    if not task.lacks(metric.needs):
        return ""
    return f". Those that suit: {', '.join(repr(kind.name) for kind in METRICS.values() if not kind().lacks(task))}"


def _labelled(metrics: Any) -> Iterable[tuple[str, Metric]]:
    """Every metric with what it is to be called."""
    if metrics is None:
        return
    if isinstance(metrics, Mapping):
        for name, metric in metrics.items():
            if not isinstance(name, str) or not name:
                raise TypeError(f"metrics: names must be text, got {quoted(name)}")
            found = get(metric)
            yield name, replace(found, called=name) if isinstance(found, Function) else found
        return
    single = isinstance(metrics, (str, Metric, type)) or not isinstance(metrics, Iterable)
    for given in [metrics] if single else metrics:
        metric = get(given)
        yield given if isinstance(given, str) else metric.label, metric


def _check_names(asked: list[_Named]) -> None:
    """The names of the last must be free."""
    last = asked[-1]
    for name in last.names:
        if name in ("loss", "seconds", "epochs", "rate") or name.startswith(("val_", "_")) or not name.isprintable():
            raise ValueError(f"metrics: {quoted(name)} cannot be the name of a metric, results call something else so; "
                             f"metrics={{'another name': ...}} gives it one")
        if name in METRICS and METRICS[name] is not type(last.metric):
            raise ValueError(f"metrics: {quoted(name)} is the name of another metric; metrics={{'another name': ...}} gives "
                             f"this one its own")
        if name == "<lambda>":
            raise ValueError("metrics: a lambda has no name; metrics={'a name': lambda y_true, y_pred: ...} gives it one")
        if any(name in one.names for one in asked[:-1]):
            raise ValueError(f"metrics: {quoted(name)} comes twice; metrics={{'another name': ...}} gives one of them another "
                             f"name")
