"""The tables that a run prints."""

from __future__ import annotations

from typing import Any

from bench.peers import PEERS

TIE = 0.03
"""Ratios this near to 1 are called a tie."""


class Table:
    """Rows of text, the first column to the left and the others to the right, for a terminal or as Markdown."""

    def __init__(self, title: str, *header: str):
        self.title, self.rows = title, [list(header)]

    def add(self, *cells: str) -> None:
        self.rows.append(list(cells))

    def text(self) -> str:
        widths = [max(map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = [self._line(row, widths, "  ") for row in self.rows]
        return "\n".join([self.title, "", lines[0], "─" * len(lines[0]), *lines[1:], ""])

    def markdown(self) -> str:
        widths = [max(3, *map(len, column)) for column in zip(*self.rows, strict=True)]
        lines = [f"| {self._line(row, widths, ' | ')} |" for row in self.rows]
        rule = " | ".join("-" * (width - 1) + (":" if index else "-") for index, width in enumerate(widths))
        return "\n".join([self.title, "", lines[0], f"| {rule} |", *lines[1:], ""])

    @staticmethod
    def _line(row: list[str], widths: list[int], gap: str) -> str:
        first, *others = (
            cell.rjust(width) if index else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        return gap.join([first, *others])


def tables(results: dict[str, Any]) -> list[Table]:
    found = []
    if results["workloads"]:
        found += [speed(results["workloads"]), steadiness(results["workloads"])]
    if results["tile"]:
        found.append(tile(results["tile"]))
    return found


def speed(workloads: list[dict[str, Any]]) -> Table:
    names = _peers(workloads)
    others = [name for name in names if name != "cbp"]
    table = Table(
        "Microseconds a training step; (how many times cbp's), above 1 cbp is faster",
        "net, batch", "limit", "share", *(["cbp"] if "cbp" in names else []), *(PEERS[name].title for name in others),
    )
    for workload in workloads:
        share = workload.get("share_of_limit")
        cells = [_number(workload["limit"]["us"]) if "limit" in workload else "", f"{share:.0%}" if share else ""]
        if "cbp" in names:
            cells.append(_time(workload["peers"].get("cbp")))
        cells += [_time(workload["peers"].get(name)) for name in others]
        table.add(workload["name"], *cells)
    return table


def steadiness(workloads: list[dict[str, Any]]) -> Table:
    names = _peers(workloads)
    table = Table(
        "How steady: half the distance of the quartiles, least cpu time / wall time; the machine meanwhile",
        "net, batch", "GF/s", "GB/s: caches, memory", *(PEERS[name].title for name in names),
    )
    for workload in workloads:
        machine = workload.get("machine")
        rates = " ".join(f"{rate:.0f}" for rate in machine["bandwidth"].values()) if machine else ""
        cells = [f"{machine['gflops']:.0f}" if machine else "", rates]
        table.add(workload["name"], *cells, *(_steady(workload["peers"].get(name)) for name in names))
    return table


def tile(measured: dict[str, Any]) -> Table:
    rates = measured["gflops"]
    columns = [(name, dtype) for name in rates for dtype in ("float32", "float64")]
    table = Table(
        "GF/s of the matrix product, M x K x N, and the peak of multiply-adds from registers",
        "", *(f"{name} {dtype[0]}{dtype[-2:]}" for name, dtype in columns),
    )
    for row in (*measured["peaks"], *measured["shapes"]):
        cells = (rates[name].get(f"{row} {dtype}") for name, dtype in columns)
        table.add(row, *("" if rate is None else f"{rate:.0f}" for rate in cells))
    return table


def verdict(workloads: list[dict[str, Any]]) -> str:
    """Wins, ties and losses, counted and named."""
    ratios = [
        (f"{PEERS[name].title} on {workload['name']} ({peer['ratio']:.2f})", peer["ratio"])
        for workload in workloads for name, peer in workload["peers"].items() if "ratio" in peer
    ]
    if not ratios:
        return ""
    ties = [label for label, ratio in ratios if abs(ratio - 1) < TIE]
    losses = [label for label, ratio in ratios if ratio <= 1 - TIE]
    lines = [f"cbp is faster in {len(ratios) - len(ties) - len(losses)} of {len(ratios)} comparisons."]
    lines += [f"Tie (within {TIE:.0%}) with: " + ", ".join(ties) + "."] if ties else []
    lines += ["Slower than: " + ", ".join(losses) + "."] if losses else []
    return "\n\n".join(lines)


def problems(workloads: list[dict[str, Any]]) -> list[str]:
    """Peers that failed, or did not compute what the others did."""
    found = []
    for workload in workloads:
        for name, peer in workload["peers"].items():
            if "error" in peer:
                found.append(f"{workload['name']}: {PEERS[name].title} failed: {peer['error']}")
            elif not peer["losses_agree"]:
                losses = ", ".join(f"{loss:.6g}" for loss in peer["losses"])
                found.append(f"{workload['name']}: {PEERS[name].title} computes other losses than its peers: {losses}")
    return found


def header(results: dict[str, Any]) -> list[str]:
    """The machine, the versions and the lengths."""
    machine = results["machine"]
    sizes = ", ".join(f"{level} {size >> 10} KiB" for level, size in machine["caches"].items())
    versions = ", ".join(f"{PEERS[name].title} {version}" for name, version in results["versions"].items())
    pinned = "not pinned" if results["core"] is None else "every process pinned to the same one"
    core = f"cbp's core: {machine['core_build']} build, {machine['core_compiler'] or 'compiler unknown'}"
    multiplies = f"; NumPy multiplies with {machine['blas']}" if machine["blas"] else ""
    return [
        f"{machine['cpu']}; {machine['cores']} cores, {pinned}; {sizes}",
        f"{machine['system']}; Python {machine['python']}; {core}",
        f"{versions}{multiplies}",
        f"{results['rounds']} rounds, one measurement at least {results['seconds_per_measurement']:g} s",
    ]


def text(results: dict[str, Any]) -> str:
    """A whole run for the terminal."""
    found = tables(results)
    return "\n".join([*header(results), "", *(table.text() for table in found), verdict(results["workloads"])])


def markdown(results: dict[str, Any]) -> str:
    """A whole run for a document."""
    facts = [f"- {line}" for line in header(results)]
    return "\n".join([*facts, "", *(table.markdown() for table in tables(results)), verdict(results["workloads"])])


def _peers(workloads: list[dict[str, Any]]) -> list[str]:
    return [name for name in PEERS if any(name in workload["peers"] for workload in workloads)]


def _time(peer: dict[str, Any] | None) -> str:
    if peer is None or "error" in peer:
        return "failed" if peer else ""
    return _number(peer["median_us"]) + (f" ({_ratio(peer['ratio'])})" if "ratio" in peer else "")


def _steady(peer: dict[str, Any] | None) -> str:
    return f"{peer['spread']:.1%} {min(peer['cpu_per_wall']):.2f}" if peer and "error" not in peer else ""


def _number(microseconds: float) -> str:
    digits = 3 if microseconds < 0.1 else 2 if microseconds < 10 else 1 if microseconds < 100 else 0
    return f"{microseconds:.{digits}f}"


def _ratio(ratio: float) -> str:
    return f"{ratio:.{2 if ratio < 10 else 1 if ratio < 100 else 0}f}"
