"""How each layer becomes rows of the core's op table, one family of layers a file.

``lower(plan, name, layer, value)`` takes the value that the layer reads, asks the plan for the places of what it writes, adds
its ops and returns what the next layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cbp._lower import dense, embedding, pooling, residual, shape
from cbp._plan import Plan, Shape, Value
from cbp.layers import (
    AveragePool1D,
    AveragePool2D,
    Dense,
    Embedding,
    Flatten,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    MaxPool1D,
    MaxPool2D,
    Reshape,
    Residual,
)
from cbp._lower import dense, noise, normalization
from cbp._plan import Plan, Shape, Value
from cbp.layers import BatchNorm, Dense, Dropout, GaussianNoise, Layer, LayerNorm
from cbp._lower import convolution, dense
from cbp._plan import Plan, Shape, Value
from cbp.layers import Conv1D, Conv2D, Dense, DepthwiseConv2D, Layer, SeparableConv2D

__all__ = ["KINDS", "plan"]

KINDS: Mapping[type[Layer], Callable[..., Value]] = {
    Dense: dense.lower,
    MaxPool1D: pooling.lower,
    MaxPool2D: pooling.lower,
    AveragePool1D: pooling.lower,
    AveragePool2D: pooling.lower,
    GlobalMaxPool: pooling.lower_global,
    GlobalAveragePool: pooling.lower_global,
    Flatten: shape.lower,
    Reshape: shape.lower,
    Residual: residual.lower,
    Embedding: embedding.lower,
    BatchNorm: normalization.batch_norm,
    Dense: dense.lower,
    Dropout: noise.dropout,
    GaussianNoise: noise.gaussian_noise,
    LayerNorm: normalization.layer_norm,
    Conv1D: convolution.filters,
    Conv2D: convolution.filters,
    DepthwiseConv2D: convolution.depthwise,
    SeparableConv2D: convolution.separable,
}


def plan(layers: tuple[Layer, ...], input_shape: Shape) -> Plan:
    """The plan of a stack of layers; raises ValueError where they do not fit each other."""
    return Plan(layers, input_shape, KINDS)
