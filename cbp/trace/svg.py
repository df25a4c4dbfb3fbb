"""A drawing of one row of a trace: units with value and delta, connections with weight before and after the step."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from cbp.trace.formulas import number
from cbp.trace.records import Parameter, Row

if TYPE_CHECKING:
    from cbp.trace import Trace

LARGEST_LAYER, MOST_LAYERS, MOST_LABELS = 6, 4, 6
ACROSS, DOWN, RADIUS, MARGIN = 250, 104, 25, 62
DIGITS = 3
RISE, FALL = "#1a8f5f", "#d2502f"

Point = tuple[float, float]


def draw(trace: Trace, row: Row) -> str:
    """The drawing, or nothing where the network is too large for one."""
    sizes = [len(trace.input_names), *(len(layer.units) for layer in row.layers)]
    if max(sizes) > LARGEST_LAYER or len(sizes) > MOST_LAYERS + 1:
        return ""
    width, height = 2 * MARGIN + ACROSS * (len(sizes) - 1) + 70, DOWN * max(sizes) + 16
    columns = [trace.input_names, *([unit.name for unit in layer.units] for layer in row.layers)]
    places: dict[tuple[int, str], Point] = {}
    for c, names in enumerate(columns):
        for i, name in enumerate(names):
            places[c, name] = (MARGIN + ACROSS * c, height / 2 + DOWN * (i - (len(names) - 1) / 2))
    largest = max((abs(p.gradient) for p in trace.parameters), default=0.0)
    parts = [_edge(places, p, largest, sizes) for p in trace.parameters if p.source != "bias"]
    for name, value in zip(trace.input_names, row.inputs, strict=True):
        parts.append(_node(places[0, name], name, value, []))
    biases = {p.unit: p for p in trace.parameters if p.source == "bias"}
    for c, layer in enumerate(row.layers, 1):
        for unit in layer.units:
            notes = [(f"δ = {number(unit.delta, DIGITS)} {unit.direction}", "")]
            if unit.name in biases:
                notes.append((f"bias {_moves(biases[unit.name])}", _colour(biases[unit.name])))
            parts.append(_node(places[c, unit.name], unit.name, unit.value, notes))
    title = "The network with the values of this row: in the circles the activations, on the lines the weights."
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="{title}" '
        'xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">'
        f"<title>{title}</title>{''.join(parts)}</svg>"
    )


def _colour(parameter: Parameter) -> str:
    return RISE if parameter.after > parameter.before else FALL if parameter.after < parameter.before else ""


def _moves(parameter: Parameter) -> str:
    before, after = number(parameter.before, DIGITS), number(parameter.after, DIGITS)
    return before if before == after else f"{before} → {after}"


def _text(x: float, y: float, text: str, colour: str = "", extra: str = "") -> str:
    fill = f' fill="{colour}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle"{fill}{extra}>{escape(text)}</text>'


def _node(place: Point, name: str, value: float, notes: list[tuple[str, str]]) -> str:
    x, y = place
    lines = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="#7f7f7f" fill-opacity=".14" stroke="currentColor"/>',
        _text(x, y + 4.5, number(value, DIGITS), extra=' font-size="13"'),
        _text(x, y - RADIUS - 6, name, extra=' font-weight="600"'),
    ]
    lines += [_text(x, y + RADIUS + 14 * (i + 1), text, colour) for i, (text, colour) in enumerate(notes)]
    return "".join(lines)


def _edge(places: dict[tuple[int, str], Point], parameter: Parameter, largest: float, sizes: list[int]) -> str:
    """A line, the thicker the larger its gradient, with its weight where there is room."""
    layer = int(parameter.name.split(".")[0])
    (x1, y1), (x2, y2) = places[layer, parameter.source], places[layer + 1, parameter.unit]
    length = math.hypot(x2 - x1, y2 - y1)
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    thick = 0.8 + 2.2 * abs(parameter.gradient) / largest if largest else 0.8
    colour = _colour(parameter)
    line = (
        f'<line x1="{x1 + RADIUS * dx:.1f}" y1="{y1 + RADIUS * dy:.1f}" '
        f'x2="{x2 - RADIUS * dx:.1f}" y2="{y2 - RADIUS * dy:.1f}" '
        f'stroke="{colour or "currentColor"}" stroke-width="{thick:.1f}" stroke-opacity=".55"/>'
    )
    if sizes[layer] * sizes[layer + 1] > MOST_LABELS:
        return line
    at = 0.66 if sizes[layer + 1] > sizes[layer] else 0.34  # where lines that cross are far apart
    x, y = x1 + at * (x2 - x1), y1 + at * (y2 - y1)
    angle = math.degrees(math.atan2(dy, dx))
    turn = f' transform="rotate({angle:.1f} {x:.1f} {y:.1f})" font-size="11"'
    return line + _text(x, y - 4, _moves(parameter), colour, turn)
