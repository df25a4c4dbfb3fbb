"""The text of a network whose layers share weights between places: each unit in names, below it in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbp.trace import layered
from cbp.trace.formulas import Limits, more, number, shared_parameters, shown_parameters, values_text
from cbp.trace.layered import Equation
from cbp.trace.lines import DIRECTIONS, LABEL, WIDTH, columns, padded, title, wrapped
from cbp.trace.records import Layer, Row, Unit

if TYPE_CHECKING:
    from cbp.trace import Trace

COLUMNS = 12
"""Most columns of an image that is drawn."""


def equations(label: str, width: int, written: Sequence[Equation]) -> list[str]:
    """Behind the label, one below the other; short ones on one line, of long ones every side on its own."""
    lines: list[str] = []
    for left, *sides in written:
        start = padded("" if lines else label, width)
        different = [side for side, after in zip(sides, [*sides[1:], None], strict=True) if side != after]
        one = " = ".join([left, *different]) if left else "= " + " = ".join(different)
        if width + columns(one) <= WIDTH:
            lines.append(start + one)
            continue
        indent = width + len(left) + (left != "")
        lines += wrapped(padded(start + left, indent) + "= ", different[0])
        fits = indent + 2 + columns(" = ".join(different[1:])) <= WIDTH
        for side in [" = ".join(different[1:])] if fits else different[1:]:
            lines += wrapped(" " * indent + "= ", side)
    return _joined(lines, written)


def _joined(lines: list[str], written: Sequence[Equation]) -> list[str]:
    """a and a′ stand on one line."""
    if len(written) == 3 and written[2][0] == "a′" and len(lines[-1].strip()) + len(lines[-2]) + 4 <= WIDTH:
        return [*lines[:-2], f"{lines[-2]},   {lines[-1].strip()}"]
    return lines


def forward(trace: Trace, row: Row, start: str, limits: Limits) -> list[str]:
    """Inputs, then layer by layer."""
    lines = [title(f"{start}FORWARD: first in names, then in numbers"), *_inputs(trace, row, limits)]
    for k, layer in enumerate(row.layers):
        lines += ["", f"  {layered.layer_title(row, k)}"]
        lines += [line for rule in layered.layer_rules(layer) for line in wrapped(" " * 6, rule)]
        lines += _units(layer, limits)
    return lines


def _units(layer: Layer, limits: Limits) -> list[str]:
    lines = []
    for heading, units, left in layered.groups(layer, limits):
        lines += [f"    {heading}"] if heading and units else []
        width = _width(units)
        for unit in units:
            lines += equations(f"  {unit.name}", width, layered.forward(unit, limits))
        lines += ["    " + line for line in more(left, "units" if units else "steps")]
    return lines


def _width(units: Sequence[Unit]) -> int:
    return max([LABEL, *(columns(unit.name) + 4 for unit in units)])


def _inputs(trace: Trace, row: Row, limits: Limits) -> list[str]:
    """The numbers by name; an image of one channel as one."""
    shape = trace.input_shape
    if len(shape) != 3 or shape[2] > 1 or shape[1] > COLUMNS:
        return wrapped("  ", values_text(trace.input_names, row.inputs, limits))
    cells = [number(value, limits.digits) for value in row.inputs]
    width = max(map(len, cells))
    lines = []
    for y in range(shape[0]):
        cell_row = cells[y * shape[1] : (y + 1) * shape[1]]
        lines.append(f"  x[{y + 1},1…{shape[1]}]".ljust(14) + "  ".join(cell.rjust(width) for cell in cell_row))
    return lines


def backward(trace: Trace, row: Row, limits: Limits) -> list[str]:
    """From the last layer to the first."""
    lines = [title(f"BACKWARD: delta {layered.DELTA}")]
    lines += wrapped("  ", layered.BACKWARD)
    for k in range(len(row.layers) - 1, -1, -1):
        layer = row.layers[k]
        if not layer.units:
            continue
        lines += ["", f"  {layered.layer_title(row, k)}"]
        for heading, units, left in layered.groups(layer, limits, backward=True):
            lines += [f"    {heading}"] if heading and units else []
            width = _width(units)
            for unit in units:
                lines += equations(f"  {unit.name}", width, _said(trace, row, unit, limits))
            lines += ["    " + line for line in more(left, "units" if units else "steps")]
    return lines


def _said(trace: Trace, row: Row, unit: Unit, limits: Limits) -> list[Equation]:
    """With the direction of an output behind its δ."""
    written = layered.backward(trace, row, unit, limits)
    if unit.direction:
        written[-1][-1] += f",   {DIRECTIONS[unit.direction]}"
    return written


def gradients(trace: Trace, k: int, limits: Limits) -> list[str]:
    """The heading of layer k's parameters, and the gradients of those that are shared, place by place."""
    parameters, left_out = shown_parameters(trace, k, limits)
    if not parameters:
        return []
    shared, left = shared_parameters(trace, k, limits)
    lines = ["", f"  {layered.layer_title(trace.rows[0], k)}{', the largest gradients' if left_out or left else ''}"]
    if not shared:
        return lines
    width = max(LABEL, *(columns(parameter.symbol) + 6 for parameter in shared))
    for parameter in shared:
        lines += equations(f"    {parameter.symbol}", width, layered.gradient(trace, parameter, limits))
    return [*lines, *("    " + line for line in more(left, "parameters")), ""]
