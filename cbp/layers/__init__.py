"""Layers: what a network is made of, one family a file."""

from cbp.layers.base import ACTIVATIONS, Layer, Parameter
from cbp.layers.dense import Dense
from cbp.layers.recurrent import GRU, LSTM, RNN, Bidirectional

__all__ = ["ACTIVATIONS", "GRU", "LSTM", "RNN", "Bidirectional", "Dense", "Layer", "Parameter"]
