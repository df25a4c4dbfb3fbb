"""Runs the measuring processes in turns, and works out times, ratios and the limit."""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from bench import machine
from bench.peers import ONE_THREAD, PEERS
from bench.probe import CALL, SHAPES, product_name
from bench.workloads import Workload

ROOT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 180
DISTURBED = 0.97
"""Below this share of the core a measurement was disturbed by another process, and is taken again."""
RETRIES = 3
AGREE = 1e-2
"""How far the mean losses of an epoch may be apart. scikit-learn adds Adam's epsilon before its correction for the
first steps, where it weighs 30 times as much: that alone is half a percent on the widest net."""
LEVELS = ("v2", "v3", "v4")


class MeasurementError(RuntimeError):
    """A measuring process ended before it answered."""


class Child:
    """One measuring process."""

    def __init__(self, kind: str, core: int | None, arguments: dict[str, Any], environment: dict[str, str]):
        request = json.dumps({"kind": kind, "core": core, "arguments": arguments})
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", request], cwd=ROOT, env=os.environ | ONE_THREAD | environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
        )
        self.about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            self.about = self._answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def measure(self, seconds: float) -> dict[str, Any]:
        self.process.stdin.write(f"{seconds}\n")  # type: ignore[union-attr]
        self.process.stdin.flush()  # type: ignore[union-attr]
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        watchdog = threading.Timer(ANSWER_SECONDS, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        watchdog.cancel()
        if not line:
            self.process.wait()
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines() or [f"ended with {self.process.returncode}"]
            raise MeasurementError(said[-1])
        return json.loads(line)


def compare(
    workload: Workload, peers: Iterable[str], core: int | None, rounds: int, seconds: float, most_steps: int
) -> dict[str, Any]:
    """Measure one workload in all `peers`, in turns: machine, A, B, C, machine, A, B, C, ..."""
    result: dict[str, Any] = {
        "name": workload.name, "description": workload.description, "sizes": workload.sizes, "batch": workload.batch,
        "parameters": workload.parameters, "flops": workload.flops, "peers": {},
    }
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        probe = _started(stack, result, "", Child("machine", core, {}, {}))
        for peer in peers:
            arguments = {"peer": peer, "workload": workload.name, "seconds": seconds, "most_steps": most_steps}
            child = _started(stack, result, peer, Child("training", core, arguments, PEERS[peer].environment))
            if child:
                children[peer] = child
                result["peers"][peer] = {**child.about, "us": [], "cpu_per_wall": []}
        probes = []
        for _ in range(rounds):
            if probe:
                probes.append(probe.measure(seconds / 4))
            for peer, child in children.items():
                for name, value in _undisturbed(child, seconds).items():
                    result["peers"][peer][name].append(value)
    _summarise(result, workload, probes)
    return result


def _started(stack: ExitStack, result: dict[str, Any], peer: str, child: Child) -> Child | None:
    try:
        return stack.enter_context(child)
    except MeasurementError as problem:
        if peer:
            result["peers"][peer] = {"error": str(problem)}
        return None


def _undisturbed(child: Child, seconds: float) -> dict[str, float]:
    """A measurement during which the process had its core; the best in this respect of a few if there was none."""
    answers = []
    for _ in range(RETRIES):
        answers.append(child.measure(seconds))
        if answers[-1]["cpu_per_wall"] >= DISTURBED:
            break
        time.sleep(seconds)  # for the other process to end
    return max(answers, key=lambda answer: answer["cpu_per_wall"])


def _summarise(result: dict[str, Any], workload: Workload, probes: list[dict[str, Any]]) -> None:
    measured = {name: peer for name, peer in result["peers"].items() if "error" not in peer}
    for peer in measured.values():
        peer["median_us"] = statistics.median(peer["us"])
        peer["spread"] = spread(peer["us"])
    own = measured.get("cbp")
    reference = (measured.get("numpy") or next(iter(measured.values()), {})).get("losses")
    for name, peer in measured.items():
        differences = (abs(a - b) / max(abs(b), 1e-6) for a, b in zip(peer["losses"], reference, strict=True))
        peer["losses_agree"] = max(differences) <= AGREE
        if own and name != "cbp":
            # of neighbours in time, so that a drift of the machine's speed cancels
            ratios = [other / mine for other, mine in zip(peer["us"], own["us"], strict=True)]
            peer["ratio"] = statistics.median(ratios)
            peer["ratio_spread"] = spread(ratios)
    if probes:
        result["machine"] = {
            "gflops": statistics.median(probe["gflops"] for probe in probes),
            "bandwidth": {
                level: statistics.median(probe["bandwidth"][level] for probe in probes)
                for level in probes[0]["bandwidth"]
            },
        }
        result["limit"] = limit(workload, **result["machine"])
        if own:
            result["share_of_limit"] = result["limit"]["us"] / own["median_us"]


def spread(values: list[float]) -> float:
    """Half the distance between the quartiles, as a share of the median."""
    if len(values) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


def limit(workload: Workload, gflops: float, bandwidth: dict[str, float]) -> dict[str, float]:
    """The time below which no step on this core can come, in microseconds, and its three parts.

    The products run at the peak of fused multiply-adds; the optimizer's state and the activations move at the
    bandwidth of the smallest cache that holds them.
    """
    parts = {
        "products_us": workload.flops / gflops / 1e3,
        "update_us": workload.update_bytes / _rate(bandwidth, workload.state_bytes) / 1e3,
        "activations_us": workload.activation_bytes / _rate(bandwidth, workload.activation_bytes // 2) / 1e3,
    }
    return {"us": sum(parts.values()), **parts}


def _rate(bandwidth: dict[str, float], size: int) -> float:
    """Bandwidth of the smallest cache that holds `size` bytes; no less than that of the larger ones, because a probe
    written in Python cannot show all that the first cache can do."""
    capacities = machine.caches()
    return max(rate for level, rate in bandwidth.items() if capacities.get(level, size) >= size)


def tile(core: int | None, rounds: int, seconds: float) -> dict[str, Any]:
    """GF/s of the matrix product for every build that this CPU runs, and of NumPy's, in turns."""
    with ExitStack() as stack:
        children: dict[str, Child] = {}
        for level in LEVELS:
            child = _started(stack, {}, "", Child("tile", core, {"library": "cbp"}, {"CBP_CPU": level}))
            if child:
                children[level] = child
        children["NumPy"] = stack.enter_context(Child("tile", core, {"library": "numpy"}, {}))
        answers: dict[str, list[dict[str, float]]] = {name: [] for name in children}
        for _ in range(rounds):
            for name, child in children.items():
                answers[name].append(child.measure(seconds))
    return {
        "peaks": ["peak"],
        "shapes": ["x".join(map(str, shape)) for shape in SHAPES],
        "gflops": {name: _product_rates(given) for name, given in answers.items()},
    }


def _product_rates(answers: list[dict[str, float]]) -> dict[str, float]:
    """GF/s by product, from the shortest time of each."""
    rates = {name: max(answer[name] for answer in answers) for name in answers[0] if name.startswith("peak")}
    for dtype in ("float32", "float64"):
        call = min(answer[product_name(CALL, dtype)] for answer in answers)
        for shape in SHAPES:
            name = product_name(shape, dtype)
            taken = min(answer[name] for answer in answers) - call
            if taken > 0:
                rates[name] = 2e-9 * math.prod(shape) / taken
    return rates
