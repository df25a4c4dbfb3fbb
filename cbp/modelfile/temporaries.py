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
from contextlib import ExitStack, suppress

if sys.platform == "win32":
    fcntl = None
else:
    import fcntl

__all__ = ["create", "remove_abandoned"]

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_ATTEMPTS = 100


def create(folder: str, mode: int) -> tuple[str, int, ExitStack]:
    """A new file: its name, its descriptor, and what is to be closed last, which holds the lock. Raises OSError where there can
    be none."""
    for _ in range(_ATTEMPTS):
        name = os.path.join(folder, f"{_beginning()}{os.urandom(8).hex()}.tmp")
        descriptor, held = os.open(name, _CREATE, mode), ExitStack()
        try:
            if fcntl is None:
                return name, descriptor, held
            held.callback(os.close, os.dup(descriptor))  # the lock is that of both
            with suppress(BlockingIOError):  # somebody found the file before it was locked, and is about to remove it
                _lock(descriptor)
                if os.fstat(descriptor).st_nlink:
                    return name, descriptor, held
        except BaseException:
            _discard(name, descriptor, held)
            raise
        _discard(name, descriptor, held)
    raise FileExistsError(errno.EEXIST, f"others removed {_ATTEMPTS} temporary files")


def _discard(name: str, descriptor: int, held: ExitStack) -> None:
    with suppress(OSError):
        os.unlink(name)
    os.close(descriptor)
    held.close()


def remove_abandoned(folder: str) -> None:
    """Remove what killed processes left in a folder; whatever cannot be removed stays."""
    if fcntl is None:
        return
    pattern = re.compile(re.escape(_beginning()) + r"[0-9a-f]{16}\.tmp")
    with suppress(OSError):
        for name in filter(pattern.fullmatch, os.listdir(folder)):
            with suppress(OSError):
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


def _lock(descriptor: int) -> bool:
    """Lock an open file; False where there are no locks. Raises BlockingIOError where another holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def _beginning() -> str:
    """How the names begin on this machine."""
    machine = os.uname().nodename if hasattr(os, "uname") else ""
    return f".cbp-{zlib.crc32(machine.encode()):08x}-"
