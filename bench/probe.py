"""What the machine can do at most: multiply-adds, memory bandwidth, and how near the core's matrix product comes."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from bench.machine import caches
from bench.tasks.clock import seconds as seconds_of

SHAPES = ((32, 64, 64), (32, 64, 16), (32, 32, 16), (128, 784, 128), (256, 512, 512), (1, 64, 64))
"""Matrix products M x K x N, from thin outputs to one that leaves the cache."""
CALL = (1, 1, 16)
"""A product that takes the time of its call from Python, which is subtracted from the others'."""


class Machine:
    """Peak rate and bandwidths, measured again at every call of `measure`."""

    def __init__(self) -> None:
        self.fma_peak = _kernels().fma_peak
        sizes = caches()
        working_sets = {level: size // 2 for level, size in sizes.items()} | {
            "memory": min(4 * max(sizes.values()), 512 << 20)
        }
        self.arrays = {level: _pair(size // 8) for level, size in working_sets.items()}
        self.about = {"working_sets": working_sets}

    def measure(self, seconds: float) -> dict[str, object]:
        share = seconds / (2 * len(self.arrays))
        return {
            "gflops": self.fma_peak(seconds / 2),
            "bandwidth": {level: bandwidth(*pair, share) for level, pair in self.arrays.items()},
        }


class Peak:
    """The peak of multiply-adds alone, of one build (chosen by CBP_CPU)."""

    def __init__(self) -> None:
        self.fma_peak = _kernels().fma_peak
        self.about = {"build": _core().BUILD}

    def measure(self, seconds: float) -> dict[str, float]:
        return {"gflops": self.fma_peak(seconds / 4)}


def bandwidth(a: np.ndarray, b: np.ndarray, seconds: float) -> float:
    """GB/s of ``b += a``: two reads and a write.

    In small arrays as a sum over an axis of stride 0, which sweeps the same two arrays again and again within one call:
    the cost of a call for each sweep would hide the caches' speed. Its first sweep only copies.
    """
    if a.nbytes > 4 << 20:
        sweeps = max(1, int(seconds * 50e9 / (3 * a.nbytes)))
        return 3 * a.nbytes / min(seconds_of(lambda: np.add(a, b, out=b)) for _ in range(sweeps)) / 1e9
    sweeps = max(3, int(seconds * 200e9 / (3 * a.nbytes)) // 3)
    repeated = np.broadcast_to(a, (sweeps, a.size))
    best = min(seconds_of(lambda: np.add.reduce(repeated, axis=0, out=b)) for _ in range(3))
    return a.nbytes * (3 * sweeps - 1) / best / 1e9


def _pair(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays, each from the start of a cache line, as vectors across two lines cost double. The second is a line
    further on in its page than the first: a processor that compares the low bits only takes equal places for one."""
    line = 16
    memory = np.ones(2 * size + 3 * line, np.float32)
    first = -(memory.ctypes.data // memory.itemsize) % line
    second = first + -(-size // line) * line + line
    return memory[first : first + size], memory[second : second + size]


class Tile:
    """Time of the core's matrix product, of one build (chosen by CBP_CPU), or of NumPy's."""

    def __init__(self, library: str) -> None:
        if library == "numpy":
            self.product: Callable[..., object] = lambda a, b, c: np.matmul(a, b, out=c)
            self.about = {"build": "NumPy"}
        else:
            self.product = _kernels().matmul
            self.about = {"build": _core().BUILD}
        self.peak = None if library == "numpy" else _kernels().fma_peak

    def measure(self, seconds: float) -> dict[str, float]:
        """Seconds of a product for every shape and dtype, and the peak in GF/s."""
        answers = {"peak float32": self.peak(seconds)} if self.peak else {}
        for dtype in (np.float32, np.float64):
            for shape in (CALL, *SHAPES):
                answers[product_name(shape, str(np.dtype(dtype)))] = self._product_seconds(shape, dtype, seconds)
        return answers

    def _product_seconds(self, shape: tuple[int, int, int], dtype: type, seconds: float) -> float:
        m, k, n = shape
        a, b, c = np.ones((m, k), dtype), np.ones((k, n), dtype), np.zeros((m, n), dtype)

        def repeat(times: int) -> float:
            calls = range(times)
            started = time.perf_counter()
            for _ in calls:
                self.product(a, b, c)
            return (time.perf_counter() - started) / times

        times = max(3, int(seconds / 5 / repeat(3)))
        return min(repeat(times) for _ in range(5))


def product_name(shape: tuple[int, int, int], dtype: str) -> str:
    return "x".join(map(str, shape)) + f" {dtype}"


def _core():
    from cbp.engine.cpu import core

    return core


def _kernels():
    from cbp.engine import cpu

    return cpu.kernels()
