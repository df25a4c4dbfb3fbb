"""PReLU: what lies above 0 passes, the rest is multiplied by the learned slope of its channel."""

from __future__ import annotations

from cbp.layers import PReLU
from cbp.trace.graph import Formula
from cbp.trace.layers.registry import rule
from cbp.trace.layers.scope import Scope, Values

PASSED = Formula(("x",), "{x}", ("1",))


@rule(PReLU)
def prelu(scope: Scope, layer: PReLU, x: Values) -> Values:
    """x where x > 0, else α·x, which is a weighted sum: only there α gets a gradient. (He et al., 2015, Delving deep into
    rectifiers.)"""
    slope = scope.symbols("slope", "α")
    assert slope is not None
    scope.say(["h = x if x > 0 else α·x, with an α for every channel"])
    outputs = []
    for position, sources in x.positions():
        for c, source in enumerate(sources):
            name, value = scope.name((*position, c), x.shape), scope.value(source)
            if value > 0:
                outputs.append(scope.formula(name, PASSED, [source], (value, (1.0,)), "above 0"))
            else:
                outputs.append(scope.sum(name, [source], [slope.number(c)]))
    return x.like(outputs)
