"""What all metrics share, and their registry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from cbp._registry import Registry, shown
from cbp.errors import quoted
from cbp.metrics.answers import Answers, Truth
from cbp.metrics.task import Task

__all__ = ["METRICS", "Metric"]


@dataclass(frozen=True, repr=False)
class Metric:
    """What all metrics share. One of your own is a function, ``metrics=[lambda y_true, y_pred: ...]``, see
    :class:`cbp.metrics.Function`.

    Attributes
    ----------
    name : str
        What users write.
    short : str
        Another name that is taken, ``"rmse"``; "" if there is none.
    aliases : tuple of str
        What other libraries call it, for the errors that suggest a name.
    needs : str
        What outputs must be: ``"classes"``, ``"scores"`` or ``"probabilities"`` of them, or ``"numbers"``.
    higher_is_better : bool or None
        None where that is not known, of a function.

    Examples
    --------
    >>> cbp.metrics.get("f1_macro")
    F1(average='macro')
    >>> cbp.metrics.F1.higher_is_better
    True
    """

    name: ClassVar[str]
    short: ClassVar[str] = ""
    aliases: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[str]
    higher_is_better: ClassVar[bool | None] = True
    _used: ClassVar[str] = "evaluate takes it: evaluate(X, y, metrics=[that])"

    def __post_init__(self) -> None:
        if type(self) is Metric:
            raise TypeError("Metric is what the metrics share; take one of them, for example cbp.metrics.F1('macro')")
        self._check()

    def _check(self) -> None:
        """Check the fields, and let them have their types."""

    @classmethod
    def spelt(cls, name: str) -> Self | None:
        """The metric of this kind whose label is ``name``, ``"f1_macro"`` or ``"top_3"``; None if that is none of its."""
        return None

    @property
    def label(self) -> str:
        """What results call it."""
        return self.name

    def lacks(self, task: Task) -> str:
        """Why it does not suit a task, as the end of a sentence; "" where it does."""
        return task.lacks(self.needs)

    def names(self, task: Task, label: str) -> tuple[str, ...]:
        """What its numbers are called where it is called ``label``: one name, or one for every class or output."""
        return (label,)

    def undefined(self, truth: Truth) -> str:
        """Why it is not defined for some targets; "" where it is."""
        return ""

    def of(self, answers: Answers) -> Any:
        """Its value: a float, or an array of one for every name."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return shown(self)

    def _one_of(self, field: str, allowed: tuple[str | None, ...]) -> None:
        value = getattr(self, field)
        if not any(value is one or (isinstance(value, str) and value == one) for one in allowed):
            words = ", ".join(map(repr, allowed[:-1]))
            raise ValueError(f"{field} must be {words} or {allowed[-1]!r}, got {quoted(value)}")


def named(label: str, values: npt.NDArray[Any] | range) -> tuple[str, ...]:
    """A name for each of some values."""
    return tuple(f"{label}_{index}" for index in range(len(values)))


def averaged(scores: npt.NDArray[Any], weights: npt.NDArray[Any] | None = None) -> float:
    """The mean of scores of classes or outputs; NaN where all weights are 0."""
    if weights is not None and not weights.any():
        return float("nan")
    return float(np.average(scores, weights=weights))


METRICS: Registry[type[Metric]] = Registry("metrics")
"""The metrics by name, each entered by its class."""
