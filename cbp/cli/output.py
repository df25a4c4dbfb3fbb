"""What the commands say and where: results to standard output, everything else to standard error."""

from __future__ import annotations

import errno
import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

__all__ = ["UsageError", "aligned", "can_show", "check_output", "emit", "emit_csv", "emit_json", "say"]

# For terminals and pipes that cannot show what traces and tables are written with; what is not here becomes "?".
_PLAIN = str.maketrans(
    {"↑": "^", "↓": "v", "·": "*", "×": "x", "−": "-", "–": "-", "—": "-", "─": "-", "′": "'", "’": "'", "²": "^2"}
    | {"³": "^3", "→": "->", "←": "<-", "≤": "<=", "≥": ">=", "√": "sqrt", "Σ": "sum", "∂": "d", "ŷ": "y^", "…": "..."}
    | {"β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "λ": "lambda", "μ": "mu", "ρ": "rho"}
    | {"σ": "sigma", "α": "alpha", "₁": "1", "₂": "2", "Φ": "Phi", "φ": "phi", "π": "pi", "∞": "inf", "±": "+-"}
)


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


def _write(text: str, stream: TextIO) -> None:
    if not can_show(text, stream):
        text = text.translate(_PLAIN).encode(stream.encoding, "replace").decode(stream.encoding)
    stream.write(text)


def emit(text: str = "") -> None:
    """A line of the result."""
    _write(text + "\n", sys.stdout)


def emit_json(document: dict[str, Any]) -> None:
    """The result as one JSON document, in ASCII, with a line for every entry of the outermost level."""
    entries = (f"  {json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in document.items())
    sys.stdout.write("{\n" + ",\n".join(entries) + "\n}\n")


def emit_csv(text: str) -> None:
    """A result that programs read: in UTF-8 where standard output's encoding cannot hold it, never with a "?" in it."""
    if can_show(text):
        sys.stdout.write(text)
    else:
        sys.stdout.flush()
        sys.stdout.buffer.write(text.encode("utf-8"))


def say(text: str = "") -> None:
    """A line of progress or a remark."""
    _write(text + "\n", sys.stderr)
    sys.stderr.flush()


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
