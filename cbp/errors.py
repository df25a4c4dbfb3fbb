"""The exceptions that cbp raises beside ``ValueError`` and ``TypeError``, those of signal handlers, which it lets pass, and how
text from outside stands in messages."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from cbp.history import History


Caught = TypeVar("Caught", bound=Exception)

_TAKES_MORE = 4
"""``inspect.CO_VARARGS``: a function has ``*arguments``, which come last."""


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


def not_by_handler(*kinds: type[Caught]) -> tuple[type[Caught], ...]:
    """``except not_by_handler(ValueError):`` lets a ValueError pass that a signal handler raised meanwhile."""
    problem = sys.exception()
    return () if problem is not None and by_handler(problem) else kinds


def by_handler(problem: BaseException) -> bool:
    """Whether a signal handler raised an exception.

    Python gives a handler the frame that it interrupts, which is then its caller. Nothing else is given that of its caller.
    """
    traceback = problem.__traceback__
    while traceback is not None and not _is_handler(traceback.tb_frame):
        traceback = traceback.tb_next
    return traceback is not None


def _is_handler(frame: FrameType) -> bool:
    code, caller = frame.f_code, frame.f_back
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & _TAKES_MORE)
    given = [frame.f_locals.get(name) for name in code.co_varnames[:count]]
    more = given[-1] if given and isinstance(given[-1], tuple) else ()
    return caller is not None and any(value is caller for value in (*given, *more))


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
    except not_by_handler(Exception):  # of a class of the user's own, or an integer of too many digits
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
