"""A metric of one's own: a function of targets and outputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, ClassVar

from cbp.errors import not_by_handler, quoted
from cbp.metrics.answers import Answers
from cbp.metrics.base import Metric
from cbp.metrics.task import Task

__all__ = ["Function"]


@dataclass(frozen=True, repr=False)
class Function(Metric):
    """A function ``(y_true, y_pred) -> float`` as a metric; ``metrics=[function]`` does the same.

    ``y_pred`` are the outputs in float64, a row for every position that counts: (rows, outputs), or (rows,) of a single output.
    ``y_true`` are the targets of these rows, labels (rows,) as integers, others as ``y_pred``. A function that has a parameter
    ``sample_weight`` gets the weights (rows,) or None; one that has none is refused where there are weights.

    Parameters
    ----------
    function : callable
    called : str
        What results call it; by default the name of the function.
    higher_is_better : bool or None
        For who takes the best epoch; None: not known.

    Raises
    ------
    TypeError
        ``function`` cannot be called, or what it gives is no number.

    Examples
    --------
    >>> def largest_error(y_true, y_pred):
    ...     return abs(y_true - y_pred).max()
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    >>> net.evaluate([[1.0], [2.0]], [1.0, 4.0], metrics=[largest_error])["largest_error"]
    2.0
    """

    name: ClassVar[str] = "function"
    needs: ClassVar[str] = ""

    function: Callable[..., Any]
    _: KW_ONLY
    called: str = ""
    higher_is_better: bool | None = None  # type: ignore[misc]

    def _check(self) -> None:
        if not callable(self.function) or isinstance(self.function, type):
            raise TypeError(f"function must be a function (y_true, y_pred) -> float, got {quoted(self.function)}")

    @property
    def label(self) -> str:
        return self.called or str(getattr(self.function, "__name__", type(self.function).__name__))

    def lacks(self, task: Task) -> str:
        return ""

    @cached_property
    def takes_weights(self) -> bool:
        """Whether the function has a parameter ``sample_weight``."""
        import inspect  # only here: it takes long

        try:
            parameters = inspect.signature(self.function).parameters
        except not_by_handler(TypeError, ValueError):  # one that is compiled may have none
            return False
        return "sample_weight" in parameters

    def of(self, answers: Answers) -> float:
        truth, single = answers.truth, answers.truth.task.outputs == 1
        y = truth.given[:, 0] if single and truth.given.ndim == 2 else truth.given
        weights = {"sample_weight": truth.weights} if self.takes_weights else {}
        value = self.function(y, answers.outputs[:, 0] if single else answers.outputs, **weights)
        try:
            return float(value)
        except not_by_handler(TypeError, ValueError):
            raise TypeError(f"metrics: {self.label} must give a number, got {quoted(value)}") from None
