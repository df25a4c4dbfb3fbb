"""Draws ``house.svg``, the rooms of cbp and who imports whom, from the imports of the code: ``python docs/house.py``.

A room is a folder of ``cbp/`` or a module beside them. It stands above all that it imports; an arrow that follows from two
others is left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

DOCS = Path(__file__).parent
PACKAGE = DOCS.parent / "cbp"
CIMPORT = re.compile(r"^from (cbp[\w.]*) cimport (.+)", re.MULTILINE)
ROOMS = {  # what stands for several modules, and what a room is for
    "cli": "the command line",
    "cbp": "what users import",
    "beside": "load, check_gradients, datasets, from_torch",
    "network": "configuration, training loops, questions",
    "modelfile": "snapshots in files",
    "trace": "a step, number by number",
    "layers": "what they are, which ops they become",
    "metrics": "how good answers are",
    "callbacks": "what goes with a training",
    "losses": "losses, optimizers",
    "activations": "activations, initializers",
    "engine": "plan, passes, fit, threads, snapshot",
    "core": "Python's door to the core",
    "loops": "a batch, an epoch, a few rows",
    "ops": "an op a file, and their table",
    "kernels": "the arithmetic",
    "pictures": "curves, weights, regions, drawings",
    "errors": "errors, habits, history, registries",
}
ROOM_OF = {
    "__init__": "cbp", "__main__": "cli", "optimizers": "losses", "averages": "losses", "schedules": "losses",
    "check": "beside", "datasets": "beside", "loading": "beside", "pytorch": "beside",
    "initializers": "activations", "_core": "core", "history": "errors", "_registry": "errors", "_version": "errors",
    "habits": "errors", "_ctrl_c": "errors",
}
WIDTH, HEIGHT, ACROSS, DOWN = 230, 46, 260, 92


def room(module: str) -> str:
    """The room of a module: of ``layers.dense`` it is ``layers``."""
    name = module.split(".")[0]
    return ROOM_OF.get(name, name)


def imported(path: Path) -> Iterator[str]:
    """The modules of cbp, without that word, that a file imports."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "cbp":
                names = (node.module or "").split(".")[1:] or [alias.name for alias in node.names]
                yield from names[:1] if "." in (node.module or "") else names
    else:
        for module, names in CIMPORT.findall(text):
            yield from module.split(".")[1:2] or re.findall(r"\w+", names)


def imports() -> dict[str, set[str]]:
    """Which rooms every room imports."""
    found: dict[str, set[str]] = {name: set() for name in ROOMS}
    for path in sorted(PACKAGE.rglob("*.p[xy]*")):
        if path.suffix in (".py", ".pyx", ".pxd") and path.stem != "_kernels":
            here = room(path.relative_to(PACKAGE).with_suffix("").parts[0])
            found[here] |= {there if there in ROOMS else "cbp" for there in map(room, imported(path))} - {here}
    return found


def without_shortcuts(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    def reached(start: str) -> set[str]:
        return graph[start].union(*(reached(other) for other in graph[start]))

    return {name: {other for other in others if not any(other in reached(third) for third in others)}
            for name, others in graph.items()}


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """How high a room stands: below all that import it, and no lower than it must."""
    found: dict[str, int] = {}

    def depth(name: str) -> int:
        if name not in found:
            found[name] = 1 + max((depth(above) for above, others in graph.items() if name in others), default=-1)
        return found[name]

    deepest = max(map(depth, graph))
    return {name: deepest - depth for name, depth in found.items()}


def svg() -> str:
    """The picture."""
    graph = without_shortcuts(imports())
    height = floors(graph)
    top = max(height.values())
    rows = [[name for name in ROOMS if height[name] == floor] for floor in range(top, -1, -1)]
    width = max(map(len, rows)) * ACROSS + 40
    places = {}
    for y, row in enumerate(rows):
        for x, name in enumerate(row):
            places[name] = (width / 2 + (x - (len(row) - 1) / 2) * ACROSS, 40 + y * DOWN)
    lines = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{80 + top * DOWN}" font-family="sans-serif">',
             '<rect width="100%" height="100%" fill="white"/>',
             '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
             '<path d="M0,0L8,4L0,8z" fill="#678"/></marker>']
    for name, others in graph.items():
        for other in sorted(others):
            (x, y), (u, v) = places[name], places[other]
            bend = (v - y - HEIGHT) / 2
            lines.append(f'<path d="M{x:g},{y + HEIGHT / 2:g} C{x:g},{y + HEIGHT / 2 + bend:g} {u:g},{v - HEIGHT / 2 - bend:g} '
                         f'{u:g},{v - HEIGHT / 2:g}" fill="none" stroke="#678" marker-end="url(#tip)"/>')
    for name, (x, y) in places.items():
        lines += [f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
                  'fill="#eef3f8" stroke="#678"/>',
                  f'<text x="{x:g}" y="{y - 4:g}" text-anchor="middle" font-size="14" font-weight="bold">{escape(name)}</text>',
                  f'<text x="{x:g}" y="{y + 14:g}" text-anchor="middle" font-size="11">{escape(ROOMS[name])}</text>']
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    (DOCS / "house.svg").write_text(svg(), encoding="utf-8")
