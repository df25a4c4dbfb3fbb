"""Dropout and GaussianNoise: one op each, with a stream of random numbers of its own."""

from __future__ import annotations

from dataclasses import replace

from cbp.engine.cpu import core as _core
from cbp.engine.plan import Plan, Value
from cbp.layers import Dropout, GaussianNoise


def dropout(plan: Plan, name: str, layer: Dropout, value: Value) -> Value:
    output = _like(plan, value)
    groups = -(-output.positions * output.width // _core.NOISE_WORDS)
    bytes_of_masks = groups * _core.NOISE_WORDS
    size = bytes_of_masks // 4  # numbers, were they float32
    plan.add("dropout", value, output, rate=layer.rate, stream=plan.stream(), extra=plan.slot(size), extra_size=size)
    return output


def gaussian_noise(plan: Plan, name: str, layer: GaussianNoise, value: Value) -> Value:
    output = _like(plan, value)
    plan.add("gaussian_noise", value, output, rate=layer.deviation, stream=plan.stream())
    return output


def _like(plan: Plan, value: Value) -> Value:
    """A value whose gradient becomes the input's in its place, except among the samples, whose positions have no pads."""
    if value.slot < 0:
        return plan.value(value.shape, timed=value.timed)
    return replace(value, slot=plan.slot(value.positions * value.width))
