"""A whole run as text: the machine, the tables of every group, goals and verdict."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench import goals
from bench.groups import GROUPS
from bench.peers import PEERS
from bench.table import Table
from bench.turns import DISTURBED

BESIDE_OTHERS = ("training", "variants", "convolution", "recurrence", "kernels", "stepping", "inference")
"""Groups that compare libraries."""
TIE = 0.03
"""Ratios this near to 1 are called a tie."""


def tables(results: dict[str, Any]) -> list[Table]:
    found = []
    for name, result in results["groups"].items():
        found += GROUPS[name].tables(result)
        reached = GROUPS[name].goals(result)
        found += [goals.table(name, reached)] if reached else []
    return found


def verdict(results: dict[str, Any]) -> str:
    """Wins, ties and losses against other libraries, counted and named; then the goals."""
    ratios = [
        (f"{PEERS[name].title} on {row['name']} ({one['ratio']:.2f})", one["ratio"])
        for group in BESIDE_OTHERS for row in rows(results, group)
        for name, one in row["series"].items() if "ratio" in one and name in PEERS
    ]
    ties = [label for label, ratio in ratios if abs(ratio - 1) < TIE]
    losses = [label for label, ratio in ratios if ratio <= 1 - TIE]
    lines = []
    if ratios:
        lines.append(f"cbp is faster in {len(ratios) - len(ties) - len(losses)} of {len(ratios)} comparisons.")
    lines += [f"Tie (within {TIE:.0%}) with: " + ", ".join(ties) + "."] if ties else []
    lines += ["Slower than: " + ", ".join(losses) + "."] if losses else []
    reached = [goal for name, result in results["groups"].items() for goal in GROUPS[name].goals(result)]
    lines += [goals.summary(reached)] if reached else []
    lines += [disturbed(results)] if disturbed(results) else []
    return "\n\n".join(lines)


def disturbed(results: dict[str, Any]) -> str:
    """Names the rows in which a process had to share its core, in half of its measurements and in spite of repetitions."""
    names = [
        f"{row['name']} ({group})" for group, result in results["groups"].items() if group != "threads"
        for row in result["rows"]
        if any(median(one.get("cpu_per_wall") or [1]) < DISTURBED for one in row["series"].values())
    ]
    return f"Disturbed by other processes, do not trust: {', '.join(names)}." if names else ""


def rows(results: dict[str, Any], group: str) -> list[dict[str, Any]]:
    return results["groups"].get(group, {}).get("rows", [])


def problems(results: dict[str, Any]) -> list[str]:
    """What failed, and peers that did not compute what the others did."""
    found = [f"{group} failed: {problem}" for group, problem in results["failed"].items()]
    for group, result in results["groups"].items():
        for row in result["rows"]:
            for name, one in row["series"].items():
                label = f"{group}, {row['name']}: {PEERS[name].title if name in PEERS else name}"
                if "error" in one:
                    found.append(f"{label} failed: {one['error']}")
                elif not one.get("agrees", True):
                    values = ", ".join(f"{value:.6g}" for value in one.get("losses", one.get("outputs"))[:4])
                    found.append(f"{label} computes something else than its peers: {values}")
        found += [
            f"{group}, {row['name']}, beside others, failed: {row['error']}"
            for row in (*result.get("together", ()), *result.get("crowded", ())) if "error" in row
        ]
    return found


def header(results: dict[str, Any]) -> list[str]:
    """The machine, the versions and the lengths."""
    machine = results["machine"]
    sizes = ", ".join(f"{level} {size >> 10} KiB" for level, size in machine["caches"].items())
    versions = {PEERS[name].package: f"{PEERS[name].library} {results['versions'][name]}"
                for name in reversed(results["versions"])}
    pinned = "not pinned" if results["cores"] is None else "processes pinned to the same one unless said"
    core = f"cbp's core: {machine['core_build']} build, {machine['core_compiler'] or 'compiler unknown'}"
    multiplies = f"; NumPy multiplies with {machine['blas']}" if machine["blas"] else ""
    quick = "a quick run: " if results["quick"] else ""
    return [
        f"{machine['cpu']}; {machine['cores']} cores, {pinned}; {sizes}",
        f"{machine['system']}; Python {machine['python']}; {core}",
        f"{', '.join(reversed(versions.values()))}{multiplies}",
        f"{quick}{results['rounds']} rounds, one measurement at least {results['seconds_per_measurement']:g} s, "
        f"{results['seconds'] / 60:.0f} minutes in all",
    ]


def text(results: dict[str, Any]) -> str:
    """For the terminal."""
    return "\n".join([*header(results), "", *(table.text() for table in tables(results)), verdict(results)])


def markdown(results: dict[str, Any]) -> str:
    """For a document."""
    facts = [f"- {line}" for line in header(results)]
    return "\n".join([*facts, "", *(table.markdown() for table in tables(results)), verdict(results)])
