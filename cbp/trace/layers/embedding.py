"""Embedding: a whole number picks its row of the table."""

from __future__ import annotations

from cbp.layers import Embedding
from cbp.trace.layers.registry import rule
from cbp.trace.layers.scope import Scope, Values


@rule(Embedding)
def embedding(scope: Scope, layer: Embedding, x: Values) -> Values:
    """e = E[x]: the weighted sum of a row that is 1 at x and 0 elsewhere; only row x gets a gradient."""
    table = scope.symbols("weight", "E", kept=1, from_zero=True)
    assert table is not None
    shape = (*x.shape, layer.units)
    outputs = []
    for t, node in enumerate(x.nodes):
        picked = int(scope.value(node))
        one = scope.constant(f"[{scope.graph.nodes[node].name}={picked}]", 1.0)
        outputs += [
            scope.sum(scope.name((t, u), shape, "e"), [one], [table.number(picked, u)]) for u in range(layer.units)
        ]
    scope.say(["e[t] = E[x[t]], the row of the table with the number x[t]"])
    return Values(shape, outputs)
