"""Embedding: a whole number picks its row of the table."""

from __future__ import annotations

from cbp.layers import Embedding
from cbp.trace.layers.registry import rule
from cbp.trace.layers.scope import Scope, Values


@rule(Embedding)
def embedding(scope: Scope, layer: Embedding, x: Values) -> Values:
    """e = E[x]: the weighted sum of a row that is 1 at x and 0 elsewhere; only row x gets a gradient.

    With ``sparse`` a step leaves the rows alone that do not occur before the ends of the samples, and their state too.
    """
    table = scope.symbols("weight", "E", kept=1, from_zero=True)
    assert table is not None
    if layer.sparse:
        scope.graph.sparse.update(table.numbers)
    shape = (*x.shape, layer.units)
    outputs = []
    for t, node in enumerate(x.nodes):
        picked = int(scope.value(node))
        one = scope.constant(f"[{scope.graph.nodes[node].name}={picked}]", 1.0)
        numbers = [table.number(picked, u) for u in range(layer.units)]
        outputs += [scope.sum(scope.name((t, u), shape, "e"), [one], [number]) for u, number in enumerate(numbers)]
        if layer.sparse and (scope.given.lengths is None or t < scope.given.lengths[scope.row]):
            scope.graph.touched.update(numbers)
    scope.say(["e[t] = E[x[t]], the row of the table with the number x[t]"])
    return Values(shape, outputs, timed=True)
