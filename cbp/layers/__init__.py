"""Layers: what a network is made of, one family a file."""

from cbp.layers.base import ACTIVATIONS, Layer, Parameter
from cbp.layers.convolution import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D
from cbp.layers.dense import Dense

__all__ = ["ACTIVATIONS", "Conv1D", "Conv2D", "Dense", "DepthwiseConv2D", "Layer", "Parameter", "SeparableConv2D"]
