"""How each layer becomes rows of the core's op table, one family of layers a file.

``lower(plan, name, layer, value)`` takes the value that the layer reads, asks the plan for the places of what it writes, adds
its ops and returns what the next layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cbp._lower import convolution, dense
from cbp._plan import Plan, Shape, Value
from cbp.layers import Conv1D, Conv2D, Dense, DepthwiseConv2D, Layer, SeparableConv2D

__all__ = ["KINDS", "plan"]

KINDS: Mapping[type[Layer], Callable[..., Value]] = {
    Dense: dense.lower,
    Conv1D: convolution.filters,
    Conv2D: convolution.filters,
    DepthwiseConv2D: convolution.depthwise,
    SeparableConv2D: convolution.separable,
}


def plan(layers: tuple[Layer, ...], input_shape: Shape) -> Plan:
    """The plan of a stack of layers; raises ValueError where they do not fit each other."""
    return Plan(layers, input_shape, KINDS)
