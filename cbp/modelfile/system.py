"""What the operating system refuses, told from what a signal handler raises meanwhile: a TimeoutError is an OSError too."""

from __future__ import annotations

from types import TracebackType

from cbp.errors import by_handler

__all__ = ["may_refuse", "refused"]


def refused(problem: OSError) -> bool:
    """Whether the system raised it, and nobody else."""
    return problem.errno is not None and not by_handler(problem)


class may_refuse:
    """``with may_refuse(): os.unlink(name)`` goes on where the system refuses that; with ``codes``, only for those reasons."""

    def __init__(self, *codes: int):
        self._codes = codes

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, problem: BaseException | None, traceback: TracebackType | None) -> bool:
        return isinstance(problem, OSError) and refused(problem) and (not self._codes or problem.errno in self._codes)
