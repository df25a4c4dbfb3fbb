"""The matrix product alone, in every build of the core: a compiler that stops vectorising it does so without a word."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

from bench.child import Child, MeasurementError
from bench.goals import Reached
from bench.probe import CALL, SHAPES, product_name
from bench.table import Table
from bench.turns import How

LEVELS = ("v2", "v3", "v4")
DTYPES = ("float32", "float64")


class Tile:
    about = "GF/s of the matrix product of every build"
    names = ["tile"]  # noqa: RUF012
    quick = names

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        """GF/s for every build that this CPU runs, and of NumPy's product, in turns."""
        with ExitStack() as stack:
            children: dict[str, Child] = {}
            for name in (*LEVELS, "NumPy"):
                library, environment = ("numpy", {}) if name == "NumPy" else ("cbp", {"CBP_CPU": name})
                try:
                    children[name] = stack.enter_context(Child("tile", how.first(1), {"library": library}, environment))
                except MeasurementError:
                    continue  # this CPU does not run it, or it was not built
            answers: dict[str, list[dict[str, float]]] = {name: [] for name in children}
            for _ in range(how.rounds):
                for name, child in children.items():
                    answers[name].append(child.measure(how.seconds / 20))
        return {
            "rows": [], "products": ["peak", *("x".join(map(str, shape)) for shape in SHAPES)],
            "gflops": {name: _rates(given) for name, given in answers.items()}, "seconds_of_products": answers,
        }

    def own(self, name: str, how: How) -> None:
        return None

    def tables(self, result: dict[str, Any]) -> list[Table]:
        columns = [(name, dtype) for name in result["gflops"] for dtype in DTYPES]
        table = Table(
            "GF/s of the matrix product, M x K x N, and the peak of multiply-adds from registers",
            "", *(f"{name} {dtype[0]}{dtype[-2:]}" for name, dtype in columns),
        )
        for product in result["products"]:
            rates = (result["gflops"][name].get(f"{product} {dtype}") for name, dtype in columns)
            table.add(product, *("" if rate is None else f"{rate:.0f}" for rate in rates))
        return [table]

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        return []


def _rates(answers: list[dict[str, float]]) -> dict[str, float]:
    """GF/s by product, from the shortest time of each, less the time of a call."""
    rates = {name: max(answer[name] for answer in answers) for name in answers[0] if name.startswith("peak")}
    for dtype in DTYPES:
        call = min(answer[product_name(CALL, dtype)] for answer in answers)
        for shape in SHAPES:
            name = product_name(shape, dtype)
            taken = min(answer[name] for answer in answers) - call
            if taken > 0:
                rates[name] = 2e-9 * math.prod(shape) / taken
    return rates
