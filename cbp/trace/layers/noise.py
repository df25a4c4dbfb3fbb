"""Noise while training: numbers dropped or disturbed. The draws are those of the core's generator, made here anew."""

from __future__ import annotations

from collections.abc import Callable

from cbp.layers import Dropout, GaussianNoise
from cbp.trace.graph import Formula
from cbp.trace.layers.registry import batch_rule
from cbp.trace.layers.scope import Scope, Values, indices
from cbp.trace.philox import masks, noise_key, normals

MASKED = Formula(("x",), "{x}·{m}", ("{m}",))
SHIFTED = Formula(("x",), "{x} + {noise}", ("1",))


@batch_rule(Dropout)
def dropout(scope: Scope, layer: Dropout, batch: list[Values]) -> list[Values]:
    """x·m, so that the mean stays. (Srivastava et al., 2014, Dropout.)"""
    rate, kept = f"{layer.rate:g}", f"{1 / (1 - layer.rate):.5g}"
    scope.say([f"h = x·m: the mask m is 0 (dropped) with the probability {rate}, else 1/(1 - {rate}) = {kept}"])

    def dropped(name: str, node: int, mask: float) -> int:
        value = scope.value(node) * mask
        return scope.formula(name, MASKED, [node], (value, (mask,)), "" if mask else "dropped", m=mask)

    key = _key(scope)
    return [
        _disturbed(scope, row, values, masks(key, row, values.shape, layer.rate), dropped)
        for row, values in enumerate(batch)
    ]


@batch_rule(GaussianNoise)
def gaussian_noise(scope: Scope, layer: GaussianNoise, batch: list[Values]) -> list[Values]:
    """x + a normal number."""
    scope.say([f"h = x + noise, normal with the standard deviation {layer.deviation:g}"])

    def shifted(name: str, node: int, draw: float) -> int:
        shift = layer.deviation * draw
        return scope.formula(name, SHIFTED, [node], (scope.value(node) + shift, (1.0,)), noise=shift)

    key = _key(scope)
    return [
        _disturbed(scope, row, values, normals(key, row, values.shape), shifted) for row, values in enumerate(batch)
    ]


def _key(scope: Scope) -> list[int]:
    """Of this layer's draws in this step: the layers of noise are counted in the order in which they come."""
    draws = scope.given.draws
    key = noise_key(draws.seed, scope.graph.streams, draws.epoch, draws.step)
    scope.graph.streams += 1
    return key


def _disturbed(scope: Scope, row: int, x: Values, draws: list[float], disturb: Callable[[str, int, float], int]) -> Values:
    scope.row = row
    triples = zip(indices(x.shape), x.nodes, draws, strict=True)
    return x.like([disturb(scope.name(index, x.shape), node, draw) for index, node, draw in triples])
