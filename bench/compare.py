"""Two runs of the benchmark, before and after a change of cbp."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp, log
from typing import Any

from bench.peers import PEERS
from bench.table import Table, number, ratio

LEAST = 0.02
"""Differences below this are not called one: where a process's memory lands does as much."""
FACTS = ("cpu", "cores", "system", "python", "core_build", "core_compiler", "blas")


def text(old: dict[str, Any], new: dict[str, Any]) -> str:
    table = Table(
        "Microseconds of cbp; old / new, above 1 the new one is faster", "", "old", "new", "ratio", "spread", "verdict",
    )
    ratios = []
    before = dict(own_series(old))
    for name, after in own_series(new):
        if name not in before:
            continue
        change, spread = before[name]["median_us"] / after["median_us"], both_spreads(before[name], after)
        ratios.append((change, spread))
        table.add(name, number(before[name]["median_us"]), number(after["median_us"]), ratio(change), f"±{spread:.1%}",
                  verdict(change, spread))
    return "\n".join([*differences(old, new), table.text(), summary(ratios)])


def own_series(results: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every series of cbp's, under a name that says which it is."""
    for group, result in results["groups"].items():
        for row in result["rows"]:
            for key, one in row["series"].items():
                if "median_us" in one and (key == "cbp" or key not in PEERS):
                    yield f"{group}, {row['name']}" + ("" if key == "cbp" else f", {key}"), one


def both_spreads(old: dict[str, Any], new: dict[str, Any]) -> float:
    """Spread of a ratio of two independent measurements."""
    return (old["spread"] ** 2 + new["spread"] ** 2) ** 0.5


def verdict(change: float, spread: float) -> str:
    if abs(log(change)) <= max(spread, LEAST):
        return "the same"
    return "faster" if change > 1 else "slower"


def summary(ratios: list[tuple[float, float]]) -> str:
    if not ratios:
        return "The two runs have no row in common."
    words = [verdict(*one) for one in ratios]
    mean = exp(sum(log(change) for change, _ in ratios) / len(ratios))
    counts = ", ".join(f"{words.count(word)} {word}" for word in ("faster", "slower", "the same"))
    return f"The new one: {counts} within the spread; geometric mean of the ratios {mean:.3f}."


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What else differs between the runs, so that the ratios may not be cbp's doing."""
    lines = [
        f"note: {fact} differs: {old['machine'][fact]} | {new['machine'][fact]}"
        for fact in FACTS if old["machine"].get(fact) != new["machine"].get(fact)
    ]
    lines += [
        f"note: {name} differs: {old[name]} | {new[name]}"
        for name in ("rounds", "seconds_per_measurement", "quick") if old[name] != new[name]
    ]
    lines += [
        f"note: version of {PEERS[name].title} differs: {version} | {new['versions'][name]}"
        for name, version in old["versions"].items() if new["versions"].get(name, version) != version
    ]
    lines += machine_speed(old, new)
    return [*lines, ""] if lines else []


def machine_speed(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """How fast the machine itself was, in the rows that both runs have: no difference of it is cbp's."""
    peaks = [
        {(group, row["name"]): row["machine"]["gflops"] for group, result in run["groups"].items()
         for row in result["rows"] if "machine" in row}
        for run in (old, new)
    ]
    common = peaks[0].keys() & peaks[1].keys()
    if not common:
        return []
    faster = exp(sum(log(peaks[1][row] / peaks[0][row]) for row in common) / len(common))
    return [f"note: the machine's peak rate, new / old, was {faster:.3f}; ratios near this are not cbp's doing"]
