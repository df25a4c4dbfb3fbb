"""Layers that change the shape of a value, and the one that adds its input to what other layers make of it."""

from __future__ import annotations

from cbp.layers import Flatten, Reshape, Residual
from cbp.trace.graph import Formula
from cbp.trace.layers.registry import batch_rule, compute, rule
from cbp.trace.layers.scope import Scope, Values, indices


@rule(Flatten)
def flatten(scope: Scope, layer: Flatten, x: Values) -> Values:
    scope.say([f"the {len(x.nodes)} numbers of shape {_by(x.shape)} in one row, the last axis fastest"])
    return Values((len(x.nodes),), x.nodes)


@rule(Reshape)
def reshape(scope: Scope, layer: Reshape, x: Values) -> Values:
    shape = layer.output_shape(x.shape)
    scope.say([f"the {len(x.nodes)} numbers of shape {_by(x.shape)} as {_by(shape)}, the last axis fastest"])
    return Values(shape, x.nodes, x.timed and shape == x.shape)


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


ADDED = Formula(("a", "b"), "{a} + {b}", ("1", "1"))


@batch_rule(Residual)
def residual(scope: Scope, layer: Residual, batch: list[Values]) -> list[Values]:
    """f(layers(x) + skip(x)): the gradient has a way past the layers. (He et al., 2016, Deep residual learning.)

    Units of the layers inside are called a, b, ... after the number of the layer, those of a projected skip s.
    """
    made = batch
    for k, part in enumerate(layer.layers):
        letter = chr(ord("a") + k)
        inner = scope.inner(str(k), letter, f"{letter}, {type(part).__name__}")
        made = compute(inner, part, made)
        scope.noted.lines += [f"{letter}: {line}" for line in inner.noted.lines]
    skips = _skips(scope, layer, batch)
    outer, scope.group = scope.group, scope.within("sum")
    outputs = []
    for row, (inside, skip) in enumerate(zip(made, skips, strict=True)):
        scope.row = row
        outputs.append(_added(scope, layer.activation, inside, skip))
    scope.group = outer
    scope.noted.lines += [f"h = f(layers(x) + {'x' if skips is batch else 'skip(x)'})"]
    return outputs


def _skips(scope: Scope, layer: Residual, batch: list[Values]) -> list[Values]:
    """The input, projected where its shape differs."""
    projection = layer.projection(batch[0].shape)
    return batch if projection is None else compute(scope.inner("skip", "s", "s, skip"), projection, batch)


def _added(scope: Scope, activation: str, inside: Values, skip: Values) -> Values:
    shape, width, nodes = inside.shape, inside.shape[-1], []
    names = [scope.name(index, shape) for index in indices(shape)]
    for name, *pair in zip(names, inside.nodes, skip.nodes, strict=True):
        total = scope.value(pair[0]) + scope.value(pair[1])
        nodes.append(scope.formula(name, ADDED, pair, (total, (1.0, 1.0))))
        if len(nodes) % width == 0:
            scope.graph.activate(nodes[-width:], activation)
    return Values(shape, nodes, inside.timed and skip.timed)
