"""The exceptions that cbp raises beside ``ValueError`` and ``TypeError``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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


def unknown_name(argument: str, given: object, known: Iterable[str], aliases: Mapping[str, str]) -> ValueError:
    """The error for a name that is not among ``known``, with the nearest right one suggested; ``aliases`` are what other
    libraries call some of them."""
    import difflib  # only here: it costs a millisecond of every import of cbp

    known = list(known)
    name = str(given).lower().replace("-", "_").replace(" ", "_")
    nearest = [aliases[name]] if name in aliases else difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return ValueError(f"{argument}: unknown name {given!r}; {hint}Known: {', '.join(known)}")
