"""``cbp trace``: one training step, number by number."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from cbp.cli import table
from cbp.cli.columns import Encoding
from cbp.cli.output import UsageError, aligned, check_output, emit, emit_json, say
from cbp.cli.predict import encode, load_model
from cbp.cli.table import Table, TableError, counted
from cbp.cli.train import optimizer
from cbp.trace import Trace, worked_example

__all__ = ["trace"]

SHOWN = 16
"""Inputs, and classes, whose names are listed above a trace."""


def trace(options: Namespace) -> None:
    """Print the trace of a step, or write it as a page."""
    if options.html:
        check_output(options.html, *(given for given in (options.model, options.data) if given))
    heading, result = _worked_example(options) if options.model == "xor" else _of_model(options)
    if options.html:
        page = f'<!doctype html>\n<meta charset="utf-8">\n<title>cbp trace</title>\n{result._repr_html_()}\n'
        Path(options.html).write_text(page, encoding="utf-8")
        say(f"the trace is in {options.html}, a page for a browser")
    if options.json:
        emit_json(result.to_dict())
    elif not options.html:
        emit("\n".join([*heading, str(result)]))


def _worked_example(options: Namespace) -> tuple[list[str], Trace]:
    for name in ("data", "row", "optimizer", "rate"):
        if getattr(options, name) is not None:
            given = "DATA" if name == "data" else f"--{name}"
            raise UsageError(f"xor is an example with its own data and step: leave {given} out (a file is ./xor)")
    return [], worked_example()


def _of_model(options: Namespace) -> tuple[list[str], Trace]:
    if options.data is None:
        raise UsageError("give the table whose row is to be traced: cbp trace MODEL DATA --row N")
    net, encoding = load_model(options.model)
    data = table.read(options.data)
    number = 1 if options.row is None else options.row
    if number > len(data):
        raise TableError(f"--row {number}: {data.source} has {counted(len(data), 'row')}")
    if encoding.target.name not in data.columns:
        why = "a trace compares the output with the target"
        raise TableError(f"{data.source}: {why}, and there is no column {encoding.target.name!r}")
    row = data.only(number - 1)
    x, y = encode(encoding, row)[0], encoding.target.encode(row)[0]
    given = options.optimizer is not None or options.rate is not None
    return _heading(encoding, row), net.trace(x, y, optimizer=optimizer(options) if given else None)


def _heading(encoding: Encoding, row: Table) -> list[str]:
    """Which row it is, and what the names of inputs and outputs in the trace stand for."""
    target = encoding.target
    first = f"Row {row.first} (line {row.lines[0]}) of {row.source}: {target.name} is {row.columns[target.name][0]}"
    inputs = [[f"x{number}", name] for number, name in enumerate(encoding.inputs, 1)]
    outputs = [[f"ŷ{number}", str(label)] for number, label in enumerate(target.classes, 1)]
    names = _shortened(inputs, "input") + _shortened(outputs or [["ŷ", f"{target.name}, standardised"]], "output")
    return [first, *("  " + line for line in aligned(names, left=2)), ""]


def _shortened(names: list[list[str]], noun: str) -> list[list[str]]:
    more = [["…", counted(len(names) - SHOWN, f"more {noun}")]] if len(names) > SHOWN else []
    return names[:SHOWN] + more
