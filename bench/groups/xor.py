"""XOR: the time of a whole call of `fit` on almost nothing."""

from __future__ import annotations

from typing import Any

from bench import turns
from bench.goals import Reached
from bench.table import Table, steady
from bench.turns import How, Series

NAME, MOST_MS = "xor", 10.0
OWN = Series("cbp", "xor", {})


class Xor:
    about = "10,000 epochs of XOR, one whole call of fit"
    names = [NAME]  # noqa: RUF012
    quick = names

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        return {"rows": [turns.measure(NAME, [OWN], how, base="cbp", probe=False)]}

    def own(self, name: str, how: How) -> Series | None:
        return OWN

    def tables(self, result: dict[str, Any]) -> list[Table]:
        (row,) = result["rows"]
        own = row["series"]["cbp"]
        table = Table("One `fit` of XOR: 2-3-1, 4 rows, full batch, 10,000 epochs, history included", "", "ms", "steady")
        table.add("cbp", f"{own['median_us'] / 1e3:.2f}" if "median_us" in own else "failed", steady(own))
        return [table]

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        (row,) = result["rows"]
        own = row["series"]["cbp"]
        return [Reached(NAME, "ms", MOST_MS, own["median_us"] / 1e3, "number", at_least=False)] if "median_us" in own else []
