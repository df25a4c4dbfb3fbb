"""How each layer becomes rows of the core's op table, one family of layers a file.

``lower(plan, name, layer, value)`` takes the value that the layer reads, asks the plan for the places of what it writes, adds
its ops and returns what the next layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cbp._lower import dense
from cbp._plan import Plan, Shape, Value
from cbp.layers import Dense, Layer

__all__ = ["KINDS", "plan"]

KINDS: Mapping[type[Layer], Callable[..., Value]] = {Dense: dense.lower}


def plan(layers: tuple[Layer, ...], input_shape: Shape) -> Plan:
    """The plan of a stack of layers; raises ValueError where they do not fit each other."""
    return Plan(layers, input_shape, KINDS)
