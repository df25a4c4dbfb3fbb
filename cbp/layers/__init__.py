"""Layers: what a network is made of, one family a file."""

from cbp.layers.base import ACTIVATIONS, Layer, Parameter
from cbp.layers.dense import Dense

__all__ = ["ACTIVATIONS", "Dense", "Layer", "Parameter"]
