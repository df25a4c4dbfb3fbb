"""What the commands say and where: results to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from cbp.errors import plain
from cbp.modelfile import files

__all__ = [
    "UsageError", "aligned", "can_show", "check_model", "check_output", "discard", "emit", "emit_file", "emit_json",
    "open_streams", "say", "write_file",
]

# For terminals and pipes that cannot show what traces and tables are written with; what is not here becomes "?".
_PLAIN = str.maketrans(
    {"↑": "^", "↓": "v", "·": "*", "×": "x", "−": "-", "–": "-", "—": "-", "─": "-", "′": "'", "’": "'", "²": "^2"}
    | {"³": "^3", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "√": "sqrt", "Σ": "sum", "∂": "d", "ŷ": "y^", "…": "..."}
    | {"β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "λ": "lambda", "μ": "mu", "ρ": "rho"}
    | {"σ": "sigma", "α": "alpha", "₁": "1", "₂": "2", "Φ": "Phi", "φ": "phi", "π": "pi", "∞": "inf", "±": "+-"}
)

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\t\n\r"}


class UsageError(Exception):
    """Options that contradict one another, the data or the model."""


def can_show(text: str, stream: TextIO | None = None) -> bool:
    """Whether a stream, by default standard output, has an encoding that holds all of ``text``."""
    encoding = getattr(stream or sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def open_streams() -> None:
    """A closed standard stream is None, and printing to it an error: let it be empty, or go nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for the rest of the process


def _write(text: str, stream: TextIO) -> None:
    text = _harmless(text)
    if not can_show(text, stream):
        text = text.translate(_PLAIN).encode(stream.encoding, "replace").decode(stream.encoding)
    stream.write(text)


def _harmless(text: str) -> str:
    """Lines for people. A name from a stranger's file may hold what would act on the terminal."""
    return "\n".join(line if line.isprintable() else plain(line, sys.maxsize) for line in text.split("\n"))


def emit(text: str = "") -> None:
    """A line of the result."""
    _write(text + "\n", sys.stdout)


def emit_json(document: dict[str, Any]) -> None:
    """The result as one JSON document, in ASCII, with a line for every entry of the outermost level."""
    entries = (f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in document.items())
    sys.stdout.write("{\n" + ",\n".join(entries) + "\n}\n")


def emit_file(text: str) -> None:
    """A result for programs: in UTF-8 where standard output's encoding cannot hold it, never with a "?" in it.

    A terminal gets no character that would act on it. A program gets all but control characters as they are: some scripts need
    marks of direction and characters of no width.
    """
    text = _harmless(text) if sys.stdout.isatty() else text.translate(_CONTROL)
    if can_show(text):
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))


def say(text: str = "") -> None:
    """A line of progress or a remark; where nobody reads them any more, the work goes on without."""
    try:
        _write(text + "\n", sys.stderr)
        sys.stderr.flush()
    except BrokenPipeError:
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let a standard stream go nowhere from now on: Python flushes it once more at exit, and would complain then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def aligned(rows: list[list[str]], *, left: int = 1) -> list[str]:
    """Lines with aligned columns: the first ``left`` to the left, the others to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def check_output(path: str, *inputs: str) -> None:
    """Refuse, before any work, an output that cannot be written or that would replace one of the ``inputs``."""
    folder = Path(path).absolute().parent
    if Path(path).is_dir():
        raise IsADirectoryError(errno.EISDIR, "this is a folder; give the name of a file", path)
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder to write to", str(Path(path).parent))
    for given in inputs:
        with suppress(OSError):
            if given != "-" and Path(given).samefile(path):
                raise UsageError(f"{path} is read from and would be replaced: give another name for the result")
    if _is_replaced(path):
        files.check_writable(path)


def check_model(path: str, *inputs: str) -> None:
    """:func:`check_output` for a model, which replaces a file as a whole: a device or a pipe cannot take one."""
    check_output(path, *inputs)
    files.check_writable(path)


def write_file(path: str, text: str) -> None:
    """A result into a file: all of it, or the old content stays. A device or a pipe is written to as it is."""
    data = text.encode("utf-8")
    if _is_replaced(path):
        files.replace(path, [data])
    else:
        Path(path).write_bytes(data)


def _is_replaced(path: str) -> bool:
    return not Path(path).exists() or Path(path).is_file()
