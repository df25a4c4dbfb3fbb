"""Dense, on a row of features or on every position of a larger value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from cbp.layers import Dense
from cbp.trace.graph import BIAS
from cbp.trace.layers.registry import rule
from cbp.trace.layers.scope import Scope, Values


@rule(Dense)
def dense(scope: Scope, layer: Dense, x: Values) -> Values:
    """s = Σ w·x + bias, a = f(s)."""
    weight, bias = scope.place("weight"), scope.place("bias")
    assert weight is not None
    shared = len(x.shape) > 1
    if shared:
        weight, bias = scope.symbols("weight", "w"), scope.symbols("bias", "b")
        assert weight is not None
    shape = (*x.shape[:-1], layer.units)
    columns: list[Sequence[int]] = [weight.numbers[u :: layer.units] for u in range(layer.units)]
    if bias is not None:
        columns = [[*column, bias.number(u)] for u, column in enumerate(columns)]
    outputs: list[int] = []
    for position, nodes in x.positions():
        sources = [*nodes, BIAS] if bias is not None else nodes
        units = [scope.sum(scope.name((*position, u), shape), sources, columns[u]) for u in range(layer.units)]
        scope.graph.activate(units, layer.activation)
        outputs += units
    if shared:
        scope.say(["at every position:  s = Σ w[input,unit]·input + b[unit]"])
    if not shared:
        _connect(scope, x, outputs)
    return Values(shape, outputs, x.timed)


def _connect(scope: Scope, x: Values, units: list[int]) -> None:
    """Every weight has one place: it is called after what it connects."""
    for name, sources in (("weight", x.nodes), ("bias", (BIAS,))):
        place = scope.place(name)
        if place is not None and place.connects is None:
            scope.graph.places[place.name] = replace(place, connects=(sources, units))
