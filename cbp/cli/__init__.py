"""The command ``cbp``: from a command line to an exit code.

options.py    the grammar: commands, options and their help
demo.py, train.py, predict.py, trace.py, info.py    what the commands do
fit.py        training in pieces, with lines of progress
table.py      reading a table from a CSV file
learn.py      finding out what its columns hold; columns.py: turning them into numbers for a network, and back
scores.py     how good predictions are
output.py     what is said and where
"""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from importlib import import_module

from cbp import _ctrl_c
from cbp.cli import options as command_line
from cbp.cli.output import UsageError, discard, open_streams, say
from cbp.errors import plain

__all__ = ["main"]

LONGEST_MESSAGE = 2000
"""Characters; a line of a table or a name in a file may be any length."""

OK, FAILURE, USAGE, CLOSED_PIPE = 0, 1, command_line.USAGE, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows ``cbp``; by default that of the process.

    Returns
    -------
    int
        0 after success; 1 after a failure (a file, its data, a training that diverged); 2 for a wrong command line; 130
        after Ctrl-C; 141 where the reader of the output went away.
    """
    try:
        return _answer(arguments)
    finally:
        _ctrl_c.ends()


def _answer(arguments: Sequence[str] | None) -> int:
    try:
        _ctrl_c.raises()
        open_streams()
        code = _parsed(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        _close_output()
        return CLOSED_PIPE
    except KeyboardInterrupt:
        _ctrl_c.ends()
        return _fail("interrupted", _ctrl_c.INTERRUPTED)
    except UsageError as problem:
        return _fail(str(problem), USAGE)
    except OSError as problem:
        place = f"{plain(os.fsdecode(problem.filename))}: " if isinstance(problem.filename, (str, bytes)) else ""
        return _fail(f"{place}{problem.strerror or problem}", FAILURE)
    except MemoryError as problem:
        return _fail(f"not enough memory{f': {problem}' if str(problem) else ''}", FAILURE)
    except (ValueError, ArithmeticError) as problem:  # what cbp raises, with messages for people
        return _fail(str(problem), FAILURE)
    return code


def _parsed(arguments: Sequence[str] | None) -> int:
    """Do what a command line says, and give the exit code."""
    try:
        options = command_line.build().parse_args(arguments)
    except SystemExit as stop:  # argparse leaves that way after --help, --version and errors
        return stop.code if isinstance(stop.code, int) else USAGE
    _run(options)
    return OK


def _run(options: Namespace) -> None:
    """Do what the options say; the module that does it is imported only now, so that ``--help`` is quick."""
    module, function = options.command
    getattr(import_module(f"cbp.cli.{module}"), function)(options)


def _fail(message: str, code: int) -> int:
    _close_output()
    say(f"cbp: error: {plain(message, LONGEST_MESSAGE)}")
    return code


def _close_output() -> None:
    """Print what is still in the buffer of standard output, or where that fails let it go nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        discard(sys.stdout)
