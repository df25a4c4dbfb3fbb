"""The exceptions that cbp raises beside ``ValueError`` and ``TypeError``, and how text from outside stands in messages."""

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


def plain(text: object, most: int = 200) -> str:
    """Text from outside, for a message or a terminal: on one line, with an escape such as ``\\x1b`` or ``\\u202e`` for what
    does not print itself (control characters, marks of direction, characters of no width), and cut to ``most`` characters.

    >>> print(plain("a\\x1b[2Jb\\n"), plain("x" * 500, most=3))
    a\\x1b[2Jb\\n xxx...
    """
    given = str(text)
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in given[:most])
    return shown if max(len(given), len(shown)) <= most else f"{shown[:most]}..."


def quoted(value: object, most: int = 200) -> str:
    """``repr`` of what a user gave or a file holds, made as harmless and as short."""
    try:
        written = repr(value)
    except Exception:  # of a class of the user's own, or an integer of too many digits
        written = f"a value of type {type(value).__name__}"
    return plain(written.replace("\n", " "), most)


def unknown_name(argument: str, given: object, known: Iterable[str], aliases: Mapping[str, str]) -> ValueError:
    """The error for a name that is not among ``known``, with the nearest right one suggested; ``aliases`` are what other
    libraries call some of them."""
    import difflib  # only here: it costs a millisecond of every import of cbp

    known = list(known)
    name = str(given)[:100].lower().replace("-", "_").replace(" ", "_")
    nearest = [aliases[name]] if name in aliases else difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return ValueError(f"{argument}: unknown name {quoted(given)}; {hint}Known: {', '.join(known)}")
