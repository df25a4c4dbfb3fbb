"""Ctrl-C while the command ``cbp`` is still being imported, and after its work is done: the process ends at once.

Nothing is at stake then, and a KeyboardInterrupt would show a traceback through all imports, or be lost in a callback of
Python's own. Importing this module, the first that ``cbp`` imports, is enough; a program that imports cbp is left alone.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Never

__all__ = ["INTERRUPTED", "ends", "raises"]

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""


def ends() -> None:
    """From now on Ctrl-C ends the process with exit code 130, if it is the command and nobody else answers."""
    if _is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def raises() -> None:
    """From now on Ctrl-C is a KeyboardInterrupt again."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(*_: object) -> Never:
    os._exit(INTERRUPTED)


def _runs_cbp(argv: list[str], whole: list[str]) -> bool:
    """Whether the process is ``cbp ...`` or ``python -m cbp ...``, where "-m" comes first while the package is imported."""
    if argv[:1] == ["-m"]:
        return whole[-len(argv)] in ("cbp", "-mcbp")
    return bool(argv) and os.path.splitext(os.path.basename(argv[0]))[0] == "cbp"


_is_command = _runs_cbp(getattr(sys, "argv", []), sys.orig_argv)
ends()
