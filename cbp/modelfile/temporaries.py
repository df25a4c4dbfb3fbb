"""Temporary files that take the name of a model file when they are whole; those that a killed process left are removed.

Whoever writes one holds a lock on it (``flock``) that ends with the process, however that ends. So a file whose lock can be had
is nobody's. That is right for threads, for processes whose number came again, and for containers that share a folder. On a
network folder the locks of other machines may be unknown: a name tells the machine, and files of another are left alone, and so
are those of another user. Where there are no such locks, nothing is removed.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import zlib
from functools import partial
from io import FileIO
from typing import Self

from cbp.modelfile.system import may_refuse, refused

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

__all__ = ["Temporary", "remove_abandoned"]

_ATTEMPTS = 100
_MOST_REMOVED = 1000
"""So many files are looked at before a save, which takes some 30 ms."""


class Temporary:
    """``with Temporary(folder) as temporary:`` a file that is gone at the end, unless it took another name.

    A signal handler may raise an exception at any moment. So the name is known before there is such a file, and the descriptor
    belongs at all times to an object that closes it.
    """

    def __init__(self, folder: str):
        self._folder = folder
        self._file: FileIO | None = None
        self.name = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:  # where it goes nobody needs its lock, and Windows removes no open file
            self._file.close()
        if self.name:
            with may_refuse():
                os.unlink(self.name)

    def open(self, mode: int) -> FileIO:
        """Make the file, empty, with this mode at its creation, and lock it; raises OSError where there can be none."""
        for _ in range(_ATTEMPTS):
            self.name = os.path.join(self._folder, f"{_beginning()}{os.urandom(8).hex()}.tmp")
            self._file = FileIO(self.name, "x", opener=partial(os.open, mode=mode))
            if fcntl is None:
                return self._file
            descriptor = self._file.fileno()
            if _lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
                return self._file
            self.__exit__()  # somebody found the file before it was locked, and removes it
        raise FileExistsError(errno.EEXIST, f"others removed {_ATTEMPTS} temporary files")

    def rename(self, target: str) -> None:
        """Give the file, which is written, the name of another, in whose place it comes."""
        if fcntl is None and self._file is not None:  # Windows renames no open file; elsewhere the lock is held until then
            self._file.close()
        os.replace(self.name, target)
        self.name = ""


def remove_abandoned(folder: str) -> None:
    """Remove what killed processes left in a folder; whatever cannot be removed stays, and what is too much for once."""
    if fcntl is None:
        return
    pattern = re.compile(re.escape(_beginning()) + r"[0-9a-f]{16}\.tmp")
    with may_refuse():
        names = list(filter(pattern.fullmatch, os.listdir(folder)))
        first = int.from_bytes(os.urandom(4)) % max(len(names), 1)  # those that stay are not in the way of others for ever
        for name in (names[first:] + names[:first])[:_MOST_REMOVED]:
            with may_refuse():
                _remove(os.path.join(folder, name))


def _remove(name: str) -> None:
    """Remove a file of this user's that nobody writes; raises OSError where that is not possible."""
    # For writing, since network folders lock nothing else; a link is not followed, a pipe not waited for.
    descriptor = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and _lock(descriptor):
            os.unlink(name)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file; False where another holds it, None where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except refused(BlockingIOError):
        return False
    except refused(OSError):
        return None
    return True


def _beginning() -> str:
    """How the names begin on this machine."""
    machine = os.uname().nodename if hasattr(os, "uname") else ""
    return f".cbp-{zlib.crc32(machine.encode()):08x}-"
