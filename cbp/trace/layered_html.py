"""The page of a network whose layers share weights between places: each unit in names, below it in numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from cbp.trace import layered
from cbp.trace.elements import code, direction, even, formula, quiet, table
from cbp.trace.formulas import Limits, more, number, shared_parameters
from cbp.trace.layered import Equation
from cbp.trace.layered_text import COLUMNS
from cbp.trace.records import Row, Unit

if TYPE_CHECKING:
    from cbp.trace import Trace


SHORT = 48
"""Letters of an equation that stays on one line."""


def equation(written: Equation) -> str:
    """What is said, and its sides: on lines of their own where they are long, the result behind the numbers it comes from."""
    left, *sides = written
    different = [side for side, after in zip(sides, [*sides[1:], None], strict=True) if side != after]
    start = f"{left} = " if left else "= "
    whole = start + " = ".join(different)
    if len(different) < 3 or len(whole) <= SHORT:
        return formula(whole)
    lines = [start + different[0], *(f"= {side}" for side in different[1:-2]), f"= {different[-2]} = {different[-1]}"]
    return "".join(f"<div>{formula(line)}</div>" for line in lines)


def image(trace: Trace, row: Row, limits: Limits) -> str:
    """An image of one channel as one."""
    shape = trace.input_shape
    if len(shape) != 3 or shape[2] > 1 or shape[1] > COLUMNS:
        return ""
    head = ["x[y,x]", *(f"x = {x + 1}" for x in range(shape[1]))]
    cells = [
        [f"y = {y + 1}", *(number(v, limits.digits) for v in row.inputs[y * shape[1] : (y + 1) * shape[1]])]
        for y in range(shape[0])
    ]
    return table(head, cells, range(1, shape[1] + 1))


def forward(trace: Trace, row: Row, k: int, limits: Limits) -> str:
    """Layer k: what it does, then its units."""
    layer = row.layers[k]
    rules = "".join(f"<p>{code(rule)}</p>" for rule in layered.layer_rules(layer))
    shown = _groups(layered.groups(layer, limits), lambda unit: list(map(equation, layered.forward(unit, limits))))
    return f"<h4>Forward: {escape(layered.layer_title(row, k))}</h4>{rules}{shown}"


def backward(trace: Trace, row: Row, k: int, limits: Limits) -> str:
    """Layer k on the way back."""
    layer = row.layers[k]
    if not layer.units:
        return ""

    def said(unit: Unit) -> list[str]:
        cells = [equation(written) for written in layered.backward(trace, row, unit, limits)]
        return [*cells, direction(unit.direction)] if unit.direction else cells

    shown = _groups(layered.groups(layer, limits, backward=True), said)
    return f"<h4>Backward: {escape(layered.layer_title(row, k))}</h4>{shown}"


def _groups(groups: Sequence[tuple[str, list[Unit], int]], cells: Callable[[Unit], list[str]]) -> str:
    parts = []
    for heading, units, left in groups:
        rows = even([[escape(unit.name), *cells(unit)] for unit in units])
        title = f"<p><b>{escape(heading)}</b></p>" if heading and units else ""
        parts.append(title + (table([], rows) if rows else ""))
        parts += map(quiet, more(left, "units" if units else "steps"))
    return "".join(parts)


def gradients(trace: Trace, k: int, limits: Limits) -> str:
    """The gradients of layer k's shared parameters, place by place."""
    parameters, left = shared_parameters(trace, k, limits)
    if not parameters:
        return ""
    rows = []
    for parameter in parameters:
        lines = map(equation, layered.gradient(trace, parameter, limits))
        rows.append([escape(parameter.symbol), "".join(f"<div>{line}</div>" for line in lines)])
    return table([], rows) + "".join(map(quiet, more(left, "parameters")))
