"""Layers: what a network is made of, one family a file."""

from cbp.layers.base import ACTIVATIONS, Layer, Parameter
from cbp.layers.dense import Dense
from cbp.layers.noise import Dropout, GaussianNoise
from cbp.layers.normalization import BatchNorm, LayerNorm

__all__ = ["ACTIVATIONS", "BatchNorm", "Dense", "Dropout", "GaussianNoise", "Layer", "LayerNorm", "Parameter"]
