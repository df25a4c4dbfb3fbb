"""How each layer becomes rows of the core's op table, one family of layers a file.

``lower(plan, name, layer, value)`` takes the value that the layer reads, asks the plan for the places of what it writes, adds
its ops and returns what the next layer reads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cbp import layers
from cbp._lower import convolution, dense, embedding, noise, normalization, pooling, recurrent, residual, shape
from cbp.engine.plan import Plan, Shape, Value
from cbp.layers import Layer

__all__ = ["KINDS", "plan"]

KINDS: Mapping[type[Layer], Callable[..., Value]] = {
    layers.Dense: dense.lower,
    layers.Conv1D: convolution.filters,
    layers.Conv2D: convolution.filters,
    layers.DepthwiseConv2D: convolution.depthwise,
    layers.SeparableConv2D: convolution.separable,
    layers.MaxPool1D: pooling.lower,
    layers.MaxPool2D: pooling.lower,
    layers.AveragePool1D: pooling.lower,
    layers.AveragePool2D: pooling.lower,
    layers.GlobalMaxPool: pooling.lower_global,
    layers.GlobalAveragePool: pooling.lower_global,
    layers.RNN: recurrent.lower,
    layers.LSTM: recurrent.lower,
    layers.GRU: recurrent.lower,
    layers.Bidirectional: recurrent.bidirectional,
    layers.Embedding: embedding.lower,
    layers.Flatten: shape.lower,
    layers.Reshape: shape.lower,
    layers.Residual: residual.lower,
    layers.BatchNorm: normalization.batch_norm,
    layers.LayerNorm: normalization.layer_norm,
    layers.Dropout: noise.dropout,
    layers.GaussianNoise: noise.gaussian_noise,
}


def plan(stack: tuple[Layer, ...], input_shape: Shape) -> Plan:
    """The plan of a stack of layers; raises ValueError where they do not fit each other."""
    return Plan(stack, input_shape, KINDS)
