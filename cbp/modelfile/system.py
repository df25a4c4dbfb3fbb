"""What the operating system refuses, told from what a signal handler raises meanwhile: a TimeoutError is an OSError too."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TypeVar

from cbp.errors import by_handler

__all__ = ["may_refuse", "refused"]

Refusal = TypeVar("Refusal", bound=OSError)


def refused(*kinds: type[Refusal]) -> tuple[type[Refusal], ...]:
    """``except refused(PermissionError):`` catches that of the system, and lets that of a handler pass."""
    return kinds if _is_refusal(sys.exception()) else ()


class may_refuse:
    """``with may_refuse(): os.unlink(name)`` goes on where the system refuses that; with ``codes``, only for those reasons."""

    def __init__(self, *codes: int):
        self._codes = codes

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, problem: BaseException | None, traceback: TracebackType | None) -> bool:
        return _is_refusal(problem) and (not self._codes or getattr(problem, "errno", None) in self._codes)


def _is_refusal(problem: BaseException | None) -> bool:
    return isinstance(problem, OSError) and problem.errno is not None and not by_handler(problem)
