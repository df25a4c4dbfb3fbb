"""Files: reading nothing but regular files, and replacing one as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import BinaryIO

from cbp.errors import ModelFileError, quoted
from cbp.modelfile import temporaries

__all__ = ["check_writable", "name_of", "open_regular", "replace"]

_CHUNK = 1 << 20


def name_of(path: str | os.PathLike[str]) -> str:
    """The path as a string; raises TypeError for what is no path."""
    try:
        return os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path must be a string or an os.PathLike, got {quoted(path)}") from None


@contextmanager
def open_regular(path: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading, with its size; anything else is refused without waiting for it.

    Opening a pipe waits for a writer, and opening a device may do anything, so the kind is looked at before; and again
    after, on the open file, in case the name came to mean something else in between.
    """
    _refuse_special(os.stat(path))
    with open(path, "rb", opener=_open_at_once) as file:
        status = os.fstat(file.fileno())
        _refuse_special(status)
        yield file, status.st_size


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _refuse_special(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(f"not a file but {_kind(status)}")


def _kind(status: os.stat_result) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(status.st_mode), "a device")


def replace(path: str, parts: Sequence[bytes | memoryview]) -> None:
    """Write ``parts`` one after the other to ``path``: whoever opens it finds the old content or the new, all of it.

    The content goes to a temporary file in the same folder, is flushed to the disk, read back and compared, and takes
    the name in one step. On any error the temporary file is removed and the old file stays as it was. A symbolic link
    is followed. A replaced file's mode (and, where allowed, its owner) is kept, a new one's follows the umask.
    """
    target, old = _target(path)
    folder = os.path.dirname(target)
    temporaries.remove_abandoned(folder)
    try:
        with _temporary(folder, old, path) as (temporary, descriptor):
            _write(descriptor, parts, old)
            _compare(temporary, parts)
            os.replace(temporary, target)
    except OSError as problem:
        if problem.errno and problem.filename is None:  # a full disk, no TimeoutError of a signal handler
            raise OSError(problem.errno, problem.strerror, path) from None
        raise
    _sync_folder(folder)


def check_writable(path: str) -> None:
    """Raise, before any work, what ``replace`` would raise for this path."""
    target, old = _target(path)
    with _temporary(os.path.dirname(target), old, path) as (_, descriptor):
        _write(descriptor, [b""], old)


def _target(path: str) -> tuple[str, os.stat_result | None]:
    """The file that ``path`` means, links followed, and its status if it exists; raises where none can be written."""
    if not os.path.basename(path):
        code = errno.EISDIR if path else errno.ENOENT
        raise OSError(code, "the path to save to names no file", path)
    target = os.path.realpath(path)
    if os.path.islink(target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        code = errno.ENOTDIR if os.path.exists(folder) else errno.ENOENT
        raise OSError(code, "the folder to save into does not exist", folder)
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return target, None
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"path must name a file, {quoted(path)} is {_kind(status)}")
    if not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "the file is write-protected", path)
    return target, status


@contextmanager
def _temporary(folder: str, old: os.stat_result | None, path: str) -> Iterator[tuple[str, int]]:
    """A new file in the folder, its name and its descriptor, which is the caller's; it goes unless it gets another name."""
    try:  # the mode is given at creation: a private file's new content is at no time open to others
        name, descriptor, lock = temporaries.create(folder, _mode(old) | stat.S_IWUSR)
    except OSError as problem:
        reason = f"{problem.strerror}, while making a temporary file beside it"
        raise OSError(problem.errno, reason, path) from None
    try:
        yield name, descriptor
    finally:
        with suppress(OSError):
            os.unlink(name)
        lock.close()


def _mode(old: os.stat_result | None) -> int:
    return 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o777


def _write(descriptor: int, parts: Sequence[bytes | memoryview], old: os.stat_result | None) -> None:
    with open(descriptor, "wb") as file:
        if old is not None and sys.platform != "win32":
            with suppress(OSError):  # only root may give files away, and some file systems know no owners
                os.fchown(file.fileno(), old.st_uid, old.st_gid)
            with suppress(OSError):
                os.fchmod(file.fileno(), _mode(old))
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def _compare(temporary: str, parts: Sequence[bytes | memoryview]) -> None:
    """Raise OSError unless the file holds exactly ``parts``."""
    with open(temporary, "rb") as file:
        for part in parts:
            view = memoryview(part)
            for start in range(0, len(view), _CHUNK):
                expected = view[start : start + _CHUNK]
                if file.read(len(expected)) != expected:
                    raise OSError(errno.EIO, "what was written reads back differently", temporary)
        if file.read(1):
            raise OSError(errno.EIO, "what was written reads back longer", temporary)


def _sync_folder(folder: str) -> None:
    """Flush the new name to the disk, where the system has that."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:  # one may write into a folder without being allowed to list it
        return
    try:
        os.fsync(descriptor)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOTSUP):  # some file systems cannot flush a folder
            raise
    finally:
        os.close(descriptor)
