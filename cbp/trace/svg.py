"""A drawing as SVG: units with value and notes, connections with their weight before and after the step."""

from __future__ import annotations

import math

from cbp.pictures import markup
from cbp.trace.blocks import Circle, Drawing, Line

MOST_LABELS = 6
"""Most lines between two columns that have room for their labels."""

ACROSS, DOWN, RADIUS, MARGIN = 250, 104, 25, 62
COLOURS = {"↑": "#1a8f5f", "↓": "#d2502f"}

Point = tuple[float, float]


def draw(drawing: Drawing) -> str:
    """The drawing, in a size that a page can shrink."""
    sizes = [len(column) for column in drawing.columns]
    width, height = 2 * MARGIN + ACROSS * (len(sizes) - 1) + 70, DOWN * max(sizes) + 16

    def point(column: int, place: int) -> Point:
        return MARGIN + ACROSS * column, height / 2 + DOWN * (place - (sizes[column] - 1) / 2)

    parts = [_line(line, point(*line.start), point(*line.end), sizes) for line in drawing.lines]
    parts += [_circle(circle, point(c, i)) for c, column in enumerate(drawing.columns) for i, circle in enumerate(column)]
    return markup.svg(width, height, drawing.title, parts)


def _circle(circle: Circle, at: Point) -> str:
    x, y = at
    lines = [
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}" fill="#7f7f7f" fill-opacity=".14" stroke="currentColor"/>',
        markup.text(x, y + 4.5, circle.value, extra=' font-size="13"'),
        markup.text(x, y - RADIUS - 6, circle.name, extra=' font-weight="600"'),
    ]
    for i, note in enumerate(circle.notes, 1):
        lines.append(markup.text(x, y + RADIUS + 14 * i, note.words, COLOURS.get(note.arrow, "")))
    return "".join(lines)


def _line(line: Line, start: Point, end: Point, sizes: list[int]) -> str:
    """From the edge of one circle to that of the other, with its label where there is room."""
    (x1, y1), (x2, y2) = start, end
    length = math.hypot(x2 - x1, y2 - y1)
    dx, dy = (x2 - x1) / length, (y2 - y1) / length
    colour = COLOURS.get(line.label.arrow, "")
    drawn = (
        f'<line x1="{x1 + RADIUS * dx:.1f}" y1="{y1 + RADIUS * dy:.1f}" '
        f'x2="{x2 - RADIUS * dx:.1f}" y2="{y2 - RADIUS * dy:.1f}" '
        f'stroke="{colour or "currentColor"}" stroke-width="{0.8 + 2.2 * line.weight:.1f}" stroke-opacity=".55"/>'
    )
    there, back = sizes[line.end[0]], sizes[line.start[0]]
    if there * back > MOST_LABELS:
        return drawn
    at = 0.66 if there > back else 0.34  # where lines that cross are far apart
    x, y = x1 + at * (x2 - x1), y1 + at * (y2 - y1)
    angle = math.degrees(math.atan2(dy, dx))
    turn = f' transform="rotate({angle:.1f} {x:.1f} {y:.1f})" font-size="11"'
    return drawn + markup.text(x, y - 4, line.label.words, colour, turn)
