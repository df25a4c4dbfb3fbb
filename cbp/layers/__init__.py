"""Layers: what a network is made of, one family a file."""

from cbp.layers.base import ACTIVATIONS, Layer, Parameter
from cbp.layers.convolution import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D
from cbp.layers.dense import Dense
from cbp.layers.embedding import Embedding
from cbp.layers.noise import Dropout, GaussianNoise
from cbp.layers.normalization import BatchNorm, LayerNorm
from cbp.layers.pooling import AveragePool1D, AveragePool2D, GlobalAveragePool, GlobalMaxPool, MaxPool1D, MaxPool2D
from cbp.layers.recurrent import GRU, LSTM, RNN, Bidirectional
from cbp.layers.residual import Residual
from cbp.layers.shape import Flatten, Reshape

__all__ = [
    "ACTIVATIONS", "Layer", "Parameter",
    "Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D",
    "MaxPool1D", "MaxPool2D", "AveragePool1D", "AveragePool2D", "GlobalMaxPool", "GlobalAveragePool",
    "RNN", "LSTM", "GRU", "Bidirectional", "Embedding",
    "Flatten", "Reshape", "Residual",
    "BatchNorm", "LayerNorm", "Dropout", "GaussianNoise",
]
