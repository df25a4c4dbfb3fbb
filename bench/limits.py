"""The time below which a step, or a prediction, cannot come on one core of this machine."""

from __future__ import annotations

from bench import machine
from bench.models import Model
from bench.workloads import Workload

ITEMSIZE = {"float32": 4, "float64": 8}


def training_step(workload: Workload | Model, gflops: float, bandwidth: dict[str, float]) -> dict[str, float]:
    """The limit of a training step in microseconds, and its parts.

    `gflops` is the peak of fused multiply-adds in float32: a vector holds half as many float64 numbers. The products run
    at the peak; the optimizer's state and the activations move at the bandwidth of the smallest cache that holds them.
    Of convolutions and recurrences only the products count.
    """
    products = workload.flops / peak(gflops, workload.dtype) / 1e3
    if isinstance(workload, Model):
        return {"us": products, "products_us": products}
    parts = {
        "products_us": products,
        "update_us": workload.update_bytes / cache_rate(bandwidth, workload.state_bytes) / 1e3,
        "activations_us": workload.activation_bytes / cache_rate(bandwidth, workload.activation_bytes // 2) / 1e3,
    }
    return {"us": sum(parts.values()), **parts}


def prediction(workload: Workload, rows: int, gflops: float, bandwidth: dict[str, float]) -> dict[str, float]:
    """The limit of a prediction in microseconds: the longer of its products at the peak and of reading the weights once
    at the bandwidth of the smallest cache that holds them, as both can go on at the same time."""
    weights = sum(inputs * units for inputs, units in workload.layers())
    size = weights * workload.itemsize
    parts = {
        "products_us": 2 * rows * weights / peak(gflops, workload.dtype) / 1e3,
        "weights_us": size / cache_rate(bandwidth, size) / 1e3,
    }
    return {"us": max(parts.values()), **parts}


def peak(gflops: float, dtype: str) -> float:
    return gflops * 4 / ITEMSIZE[dtype]


def cache_rate(bandwidth: dict[str, float], size: int) -> float:
    """Bandwidth of the smallest cache that holds `size` bytes; no less than that of the larger ones, because a probe
    written in Python cannot show all that the first cache can do."""
    capacities = machine.caches()
    return max(rate for level, rate in bandwidth.items() if capacities.get(level, size) >= size)
