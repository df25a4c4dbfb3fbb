"""Which rule belongs to which layer class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cbp.errors import quoted
from cbp.layers import Layer
from cbp.trace.layers.scope import Scope, Values

OneRow = Callable[[Scope, Any, Values], Values]
AllRows = Callable[[Scope, Any, list[Values]], list[Values]]


LAYER_RULES: dict[type[Layer], AllRows] = {}
"""Of every layer the function that adds its nodes for the values of all rows, and gives those of the outputs."""


def rule(*kinds: type[Layer]) -> Callable[[OneRow], OneRow]:
    """Registers a function that computes the layer on one row."""

    def register(compute: OneRow) -> OneRow:
        def row_by_row(scope: Scope, layer: Any, batch: list[Values]) -> list[Values]:
            outputs = []
            for row, values in enumerate(batch):
                scope.row = row
                outputs.append(compute(scope, layer, values))
            return outputs

        for kind in kinds:
            LAYER_RULES[kind] = row_by_row
        return compute

    return register


def batch_rule(kind: type[Layer]) -> Callable[[AllRows], AllRows]:
    """Registers a function that computes the layer on all rows."""

    def register(compute: AllRows) -> AllRows:
        LAYER_RULES[kind] = compute
        return compute

    return register


def compute(scope: Scope, layer: Layer, batch: list[Values]) -> list[Values]:
    """The layer on all rows of the batch."""
    found = LAYER_RULES.get(type(layer))
    if found is None:
        raise TypeError(f"a trace has no rule for the layer {quoted(layer)}")
    return found(scope, layer, batch)
