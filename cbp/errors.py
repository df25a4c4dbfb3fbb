"""The exceptions that cbp raises beside ``ValueError`` and ``TypeError``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cbp.history import History


class ModelFileError(ValueError):
    """A model file is damaged, truncated, hostile, too new, or no model file at all."""


class DivergedError(ArithmeticError):
    """Training produced a loss or a weight that is not finite.

    Attributes
    ----------
    history : History or None
        The finite epochs that ran before it; None where no epochs are counted (``train_on_batch``).
    """

    def __init__(self, message: str, history: History | None = None):
        super().__init__(message)
        self.history = history

    def __reduce__(self) -> tuple[type, tuple[str, History | None]]:
        return type(self), (str(self), self.history)


_ELSEWHERE = {
    "mse": "mean_squared_error", "l2": "mean_squared_error", "mae": "mean_absolute_error", "l1": "mean_absolute_error",
    "bce": "binary_cross_entropy", "binary_crossentropy": "binary_cross_entropy", "log_loss": "cross_entropy",
    "categorical_crossentropy": "cross_entropy", "sparse_categorical_crossentropy": "cross_entropy", "nll": "cross_entropy",
    "smooth_l1": "huber", "linear": "identity", "none": "identity", "logistic": "sigmoid", "swish": "silu",
    "xavier_uniform": "glorot_uniform", "xavier_normal": "glorot_normal", "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal", "momentum": "sgd", "nesterov": "sgd",
}
"""What other libraries call things."""


def unknown_name(argument: str, given: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among ``known``, with the nearest right one suggested."""
    import difflib  # only here: it costs a millisecond of every import of cbp

    known = list(known)
    name = str(given).lower().replace("-", "_").replace(" ", "_")
    elsewhere = [_ELSEWHERE[name]] if _ELSEWHERE.get(name) in known else []
    nearest = elsewhere or difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return ValueError(f"{argument}: unknown name {given!r}; {hint}Known: {', '.join(known)}")
