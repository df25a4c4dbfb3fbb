"""How each layer becomes rows of the core's op table, one family of layers a file.

``lower(plan, name, layer, value)`` takes the value that the layer reads, asks the plan for the places of what it writes, adds
its ops and returns what the next layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cbp._lower import convolution, dense, embedding, noise, normalization, pooling, recurrent, residual, shape
from cbp._plan import Plan, Shape, Value
from cbp.layers import (
    GRU,
    LSTM,
    RNN,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Bidirectional,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePool,
    GlobalMaxPool,
    Layer,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    Reshape,
    Residual,
    SeparableConv2D,
)

__all__ = ["KINDS", "plan"]

KINDS: Mapping[type[Layer], Callable[..., Value]] = {
    Dense: dense.lower,
    Conv1D: convolution.filters,
    Conv2D: convolution.filters,
    DepthwiseConv2D: convolution.depthwise,
    SeparableConv2D: convolution.separable,
    MaxPool1D: pooling.lower,
    MaxPool2D: pooling.lower,
    AveragePool1D: pooling.lower,
    AveragePool2D: pooling.lower,
    GlobalMaxPool: pooling.lower_global,
    GlobalAveragePool: pooling.lower_global,
    RNN: recurrent.lower,
    LSTM: recurrent.lower,
    GRU: recurrent.lower,
    Bidirectional: recurrent.bidirectional,
    Embedding: embedding.lower,
    Flatten: shape.lower,
    Reshape: shape.lower,
    Residual: residual.lower,
    BatchNorm: normalization.batch_norm,
    LayerNorm: normalization.layer_norm,
    Dropout: noise.dropout,
    GaussianNoise: noise.gaussian_noise,
}


def plan(layers: tuple[Layer, ...], input_shape: Shape) -> Plan:
    """The plan of a stack of layers; raises ValueError where they do not fit each other."""
    return Plan(layers, input_shape, KINDS)
