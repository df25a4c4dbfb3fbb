"""Files: reading nothing but regular files, and replacing one as a whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from typing import BinaryIO

from cbp.errors import ModelFileError, not_by_handler, quoted
from cbp.modelfile.system import may_refuse, refused
from cbp.modelfile.temporaries import Temporary, remove_abandoned

__all__ = ["check_writable", "name_of", "open_regular", "replace"]

_CHUNK = 1 << 20
_MOST_LINKS = 40


def name_of(path: str | os.PathLike[str]) -> str:
    """The path as a string; raises TypeError for what is no path."""
    try:
        return os.fsdecode(path)
    except not_by_handler(TypeError):
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
    remove_abandoned(folder)
    try:
        with Temporary(folder) as temporary:
            _write(_new(temporary, old, path), parts, old)
            _compare(temporary.name, parts)
            temporary.rename(target)
    except refused(OSError) as problem:
        if problem.filename is None:  # a full disk
            raise OSError(problem.errno, problem.strerror, path) from None
        raise
    _sync_folder(folder)


def check_writable(path: str) -> None:
    """Raise, before any work, what ``replace`` would raise for this path."""
    target, old = _target(path)
    with Temporary(os.path.dirname(target)) as temporary:
        _write(_new(temporary, old, path), [], old)


def _target(path: str) -> tuple[str, os.stat_result | None]:
    """The file that ``path`` means, links followed, and its status if it exists; raises where none can be written."""
    if not os.path.basename(path):
        code = errno.EISDIR if path else errno.ENOENT
        raise OSError(code, "the path to save to names no file", path)
    target, status = _followed(path)
    folder = os.path.dirname(target)
    place = _status(folder)
    if place is None or not stat.S_ISDIR(place.st_mode):
        raise OSError(errno.ENOTDIR if place else errno.ENOENT, "the folder to save into does not exist", folder)
    if status is None:
        return target, None
    if stat.S_ISDIR(status.st_mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"path must name a file, {quoted(path)} is {_kind(status)}")
    if not os.access(target, os.W_OK):
        raise OSError(errno.EACCES, "the file is write-protected", path)
    return target, status


def _followed(path: str) -> tuple[str, os.stat_result | None]:
    """What a link, or a link to a link, leads to, with its status. ``os.path.realpath`` would lose a handler's TimeoutError."""
    target = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    for _ in range(_MOST_LINKS):
        status = _status(target, follow_symlinks=False)
        if status is None or not stat.S_ISLNK(status.st_mode):
            return target, status
        target = os.path.join(os.path.dirname(target), os.readlink(target))
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _status(path: str, *, follow_symlinks: bool = True) -> os.stat_result | None:
    """None where there is nothing."""
    try:
        return os.stat(path, follow_symlinks=follow_symlinks)
    except refused(FileNotFoundError, NotADirectoryError):
        return None


def _new(temporary: Temporary, old: os.stat_result | None, path: str) -> FileIO:
    """The temporary file, empty."""
    try:  # the mode is given at creation: a private file's new content is at no time open to others
        return temporary.open(_mode(old) | stat.S_IWUSR)
    except refused(OSError) as problem:
        reason = f"{problem.strerror}, while making a temporary file beside it"
        raise OSError(problem.errno, reason, path) from None


def _mode(old: os.stat_result | None) -> int:
    return 0o666 if old is None else stat.S_IMODE(old.st_mode) & 0o777


def _write(file: FileIO, parts: Sequence[bytes | memoryview], old: os.stat_result | None) -> None:
    if old is not None and sys.platform != "win32":
        with may_refuse():  # only root may give files away, and some file systems know no owners
            os.fchown(file.fileno(), old.st_uid, old.st_gid)
        with may_refuse():
            os.fchmod(file.fileno(), _mode(old))
    for part in parts:
        rest = memoryview(part)
        while rest:  # a call may write less than all
            rest = rest[file.write(rest) :]
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
    except refused(PermissionError):  # one may write into a folder without being allowed to list it
        return
    try:
        with may_refuse(errno.EINVAL, errno.ENOTSUP):  # some file systems cannot flush a folder
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
