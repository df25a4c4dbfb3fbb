"""Puts the tables and the plot of a run into bench/README.md."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench import plot, report

README = Path(__file__).with_name("README.md")
PICTURE = README.with_name("figures.png")
MARKS = ("<!-- figures: written by python -m bench --readme -->", "<!-- end of figures -->")


def write(results: dict[str, Any]) -> None:
    parts = [report.markdown(results)]
    if find_spec("matplotlib") and report.rows(results, "training"):
        plot.draw(results, str(PICTURE))
        parts.insert(0, f"![{plot.TITLE}]({PICTURE.name})")
    README.write_text(between_marks(README.read_text(), "\n\n".join(parts)))


def between_marks(page: str, figures: str) -> str:
    before, rest = page.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    return f"{before}{MARKS[0]}\n\n{figures}\n\n{MARKS[1]}{after}"
