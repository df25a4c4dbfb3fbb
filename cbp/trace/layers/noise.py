"""Noise while training: numbers dropped or disturbed. The draws are those of the core's generator, computed here anew."""

from __future__ import annotations

from cbp.layers import Dropout, GaussianNoise
from cbp.trace.graph import Formula
from cbp.trace.layers.registry import rule
from cbp.trace.layers.scope import Scope, Values, indices
from cbp.trace.philox import noise_normals, noise_uniforms

MASKED = Formula(("x",), "{x}·{m}", ("{m}",))
SHIFTED = Formula(("x",), "{x} + {noise}", ("1",))


@rule(Dropout)
def dropout(scope: Scope, layer: Dropout, x: Values) -> Values:
    """x·m: the mask m is 0 with the probability ``rate``, else 1 / (1 - rate), so that the mean stays.

    (Srivastava et al., 2014, Dropout.)
    """
    draws = noise_uniforms(scope, len(x.nodes))
    kept = 1 / (1 - layer.rate)
    scope.say([f"h = x·m, the mask m is 0 (dropped) with the probability {layer.rate:g}, else 1/(1 - {layer.rate:g}) = {kept:.5g}"])
    outputs = []
    for index, node, draw in zip(indices(x.shape), x.nodes, draws, strict=True):
        mask = 0.0 if draw < layer.rate else kept
        result = scope.value(node) * mask, (mask,)
        outputs.append(scope.formula(scope.name(index, x.shape), MASKED, [node], result, "" if mask else "dropped", m=mask))
    return Values(x.shape, outputs)


@rule(GaussianNoise)
def gaussian_noise(scope: Scope, layer: GaussianNoise, x: Values) -> Values:
    draws = noise_normals(scope, len(x.nodes))
    scope.say([f"h = x + noise, normal with the standard deviation {layer.deviation:g}"])
    outputs = []
    for index, node, draw in zip(indices(x.shape), x.nodes, draws, strict=True):
        shift = layer.deviation * draw
        outputs.append(scope.formula(scope.name(index, x.shape), SHIFTED, [node], (scope.value(node) + shift, (1.0,)), noise=shift))
    return Values(x.shape, outputs)
