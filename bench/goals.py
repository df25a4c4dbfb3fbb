"""What was to be reached, what was, and the tables that say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.table import DASH, Table, number, percent, ratio

FORMATS: dict[str, Callable[[float], str]] = {"times": ratio, "share": percent, "number": number}


@dataclass(frozen=True)
class Reached:
    """One goal of one row."""

    row: str
    measure: str
    asked: float
    reached: float
    unit: str = "times"
    at_least: bool = True

    @property
    def met(self) -> bool:
        return self.reached >= self.asked if self.at_least else self.reached <= self.asked

    def cells(self) -> tuple[str, str]:
        write = FORMATS[self.unit]
        return write(self.reached), ("≥ " if self.at_least else "≤ ") + write(self.asked)


def table(group: str, found: list[Reached]) -> Table:
    """A row for everything that has goals, a pair of columns for every measure, and the names of those missed."""
    measures = list(dict.fromkeys(goal.measure for goal in found))
    header = [cell for measure in measures for cell in (measure, "goal")]
    made = Table(f"Goals, {group}: what was reached, what was asked", "", *header, "missed")
    for row in dict.fromkeys(goal.row for goal in found):
        goals = {goal.measure: goal for goal in found if goal.row == row}
        cells = [cell for measure in measures for cell in (goals[measure].cells() if measure in goals else (DASH, DASH))]
        made.add(row, *cells, ", ".join(name for name, goal in goals.items() if not goal.met) or "none")
    return made


def summary(found: list[Reached]) -> str:
    """How many goals were met, and all that were not."""
    if not found:
        return ""
    missed = [f"{goal.row}, {goal.measure}: {goal.cells()[0]} of {goal.cells()[1]}" for goal in found if not goal.met]
    lines = [f"{len(found) - len(missed)} of {len(found)} goals are met."]
    return "\n\n".join([*lines, "\n".join(["Missed:", *(f"- {one}" for one in missed)])] if missed else lines)
