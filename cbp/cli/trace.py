"""``cbp trace``: one training step, number by number."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from html import escape
from typing import Any

from cbp.cli import table
from cbp.cli.columns import Encoding
from cbp.cli.output import UsageError, aligned, check_output, emit, emit_file, emit_json, say, write_file
from cbp.cli.predict import encode, load_model
from cbp.cli.rates import optimizer
from cbp.cli.table import Table, TableError, counted
from cbp.errors import plain, quoted
from cbp.trace import Trace, html, story, worked_example
from cbp.trace.formulas import PAGE

__all__ = ["trace"]

SHOWN = 16
"""Inputs, and outputs, whose names are listed above a trace unless all of it is asked for."""

ALL = {"rows": 10**9, "units": 10**9, "terms": 10**9, "connections": 10**9, "steps": 10**9}
"""Limits that leave nothing out."""


@dataclass(frozen=True)
class Legend:
    """Which row of which table is traced, and what the names of inputs and outputs in the trace stand for."""

    row: Table
    encoding: Encoding

    @property
    def place(self) -> str:
        """The row, as its file counts it."""
        return f"row {self.row.first} (line {self.row.lines[0]}) of {self.row.source}"

    @property
    def title(self) -> str:
        """The row and its target."""
        target = self.encoding.target.name
        return f"{self.place[0].upper()}{self.place[1:]}: {plain(target)} is {plain(self.row.columns[target][0])}"

    @property
    def inputs(self) -> dict[str, str]:
        """Columns, or ``column=category``, by the names in the trace."""
        return {f"x{number}": name for number, name in enumerate(self.encoding.inputs, 1)}

    @property
    def outputs(self) -> dict[str, str | int | float]:
        """Classes, or the target that is a number, by the names in the trace."""
        target = self.encoding.target
        return {f"ŷ{number}": label for number, label in enumerate(target.classes, 1)} or {"ŷ": target.name}

    def lines(self, *, everything: bool) -> list[str]:
        """For the top of a text."""
        names = _listed(self.inputs, "input", everything) + _listed(self._explained_outputs(), "output", everything)
        return [self.title, *("  " + line for line in aligned(names, left=2)), ""]

    def page(self) -> str:
        """For the top of a page, one element in the style of the trace."""
        parts = [f"<h3>{escape(self.title)}</h3>"]
        for noun, names in (("Inputs", self.inputs), ("Outputs", self._explained_outputs())):
            entries = "".join(f"<li><code>{key}</code> {escape(plain(name))}</li>" for key, name in names.items())
            parts.append(f"<details open><summary>{noun}</summary><ul>{entries}</ul></details>")
        return f'<div class="cbp-trace"><style>{STYLE}</style>{"".join(parts)}</div>'

    def to_dict(self) -> dict[str, Any]:
        """For the JSON document."""
        place = {"source": self.row.source, "number": self.row.first, "line": self.row.lines[0]}
        return {"row": place, "inputs": self.inputs, "outputs": self.outputs}

    def _explained_outputs(self) -> dict[str, str | int | float]:
        return self.outputs if self.encoding.target.classes else {"ŷ": f"{self.encoding.target.name}, standardised"}


STYLE = """
.cbp-trace ul {columns: 16em; margin: .3em 0 .9em; padding: 0 .6em; list-style: none}
.cbp-trace li {break-inside: avoid; overflow-wrap: anywhere}
.cbp-trace li code {display: inline-block; min-width: 3em}
"""


def trace(options: Namespace) -> None:
    """Print the trace of a step, or write it as a page."""
    if options.html == "-" and options.json:
        raise UsageError("--html -: standard output is taken by --json; give the page a name")
    if options.html and options.html != "-":
        check_output(options.html, *(given for given in (options.model, options.data) if given))
    legend, result = (None, worked_example()) if _is_worked_example(options) else _of_model(options)
    if options.html:
        page = _page(legend, result, everything=options.all)
        if options.html == "-":
            emit_file(page)
        else:
            write_file(options.html, page)
            say(f"the trace is in {plain(options.html)}, a page for a browser")
    if options.json:
        emit_json(result.to_dict() | (legend.to_dict() if legend else {}))
    elif not options.html:
        heading = legend.lines(everything=options.all) if legend else []
        emit("\n".join([*heading, result.to_text(**ALL) if options.all else result.to_text()]))


def _is_worked_example(options: Namespace) -> bool:
    if options.model != "xor":
        return False
    for name in ("data", "row", "optimizer", "rate"):
        if getattr(options, name) is not None:
            given = "DATA" if name == "data" else f"--{name}"
            raise UsageError(f"xor is an example with its own data and step: leave {given} out (a file is ./xor)")
    return True


def _of_model(options: Namespace) -> tuple[Legend, Trace]:
    if options.data is None:
        raise UsageError("give the table whose row is to be traced: cbp trace MODEL DATA --row N")
    net, encoding = load_model(options.model)
    data = table.read(options.data)
    number = 1 if options.row is None else options.row
    if number > len(data):
        raise TableError(f"--row {number}: {data.source} has {counted(len(data), 'row')}")
    if encoding.target.name not in data.columns:
        why = "a trace compares the output with the target"
        raise TableError(f"{data.source}: {why}, and there is no column {quoted(encoding.target.name)}")
    row = data.only(number - 1)
    x, y = encode(encoding, row)[0], encoding.target.encode(row)[0]
    given = options.optimizer is not None or options.rate is not None
    return Legend(row, encoding), net.trace(x, y, optimizer=optimizer(options) if given else None)


def _page(legend: Legend | None, result: Trace, *, everything: bool) -> str:
    title = f"{legend.place} - cbp trace" if legend else "xor - cbp trace"
    body = html.write(story.tell(result, PAGE._replace(**ALL) if everything else PAGE))
    return html.page(title, f"{legend.page() if legend else ''}\n{body}")


def _listed(names: dict[str, Any], noun: str, everything: bool) -> list[list[str]]:
    rows = [[key, plain(name)] for key, name in names.items()]
    if everything or len(rows) <= SHOWN:
        return rows
    return [*rows[:SHOWN], ["…", counted(len(rows) - SHOWN, f"more {noun}")]]
