"""The tables of these pages that follow from the code: ``python docs/tables.py`` writes them anew.

A page holds a table between ``<!-- generated: NAME -->`` and ``<!-- end -->``; a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

import cbp

BLOCK = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def row(*cells: str) -> str:
    return f"|{'|'.join(f' {cell} ' if cell else ' ' for cell in cells)}|"


def keys(kind: type[Any]) -> str:
    """The arguments of a class, in the order of its signature."""
    return ", ".join(f"`{field.name}`" for field in sorted(fields(kind), key=lambda field: bool(field.kw_only)))


def optimizers() -> Iterable[str]:
    yield row("name", "keys", "slots")
    yield "|---|---|---|"
    for name, kind in cbp.optimizers.OPTIMIZERS.items():
        slots = (f"`{slot}`{'*' * (slot in kind.not_negative)}" for slot in kind.state)
        yield row(f"`{name}`", keys(kind), ", ".join(slots))


def schedules() -> Iterable[str]:
    yield row("`cbp.schedules.`", "arguments", "rate η at place t", "in files")
    yield "|---|---|---|---|"
    for name, kind in cbp.schedules.SCHEDULES.items():
        formula = re.search(r"``(η.*?)``", kind.__doc__ or "", re.DOTALL)
        rate = f"`{' '.join(formula[1].split())}`" if formula else "see `help`"
        yield row(f"`{kind.__name__}`", keys(kind), rate, f"`{name}`")


def layers() -> Iterable[str]:
    yield row("kind", "keys", "arrays")
    yield "|---|---|---|"
    for name, kind in cbp.layers.LAYERS.items():
        yield row(f"`{name}`", keys(kind), kind.arrays)


def metrics() -> Iterable[str]:
    yield row("name", "class and arguments", "needs", "better")
    yield "|---|---|---|---|"
    for name, kind in cbp.metrics.METRICS.items():
        names = " or ".join(f"`{one}`" for one in (name, kind.short) if one)
        arguments = ", ".join(f"{field.name}={field.default!r}" for field in sorted(
            fields(kind), key=lambda field: bool(field.kw_only)))
        yield row(names, f"`{kind.__name__}({arguments})`", kind.needs, "higher" if kind.higher_is_better else "lower")


TABLES: dict[str, Callable[[], Iterable[str]]] = {
    "optimizers": optimizers, "schedules": schedules, "layers": layers, "metrics": metrics}


def renewed(page: str) -> str:
    """The text of a page with its tables as the code is now."""
    return BLOCK.sub(lambda block: f"{block[1]}{''.join(line + chr(10) for line in TABLES[block[2]]())}{block[3]}", page)


if __name__ == "__main__":
    for path in sorted(Path(__file__).parent.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if renewed(text) != text:
            path.write_text(renewed(text), encoding="utf-8")
            print(f"{path.name} is new")
