"""cbp: one call of `fit` runs all epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cbp
from bench.models import Convolution, Dense, Flatten, GlobalAverage, MaxPool, Model, Recurrent, Separable, Weights
from bench.peers import with_cbp

LAYERS: dict[type, Callable[[Any], cbp.layers.Layer]] = {
    Convolution: lambda layer: cbp.Conv2D(layer.filters, layer.size, "relu"),
    Separable: lambda layer: cbp.SeparableConv2D(layer.filters, layer.size, padding="same", activation="relu"),
    MaxPool: lambda layer: cbp.MaxPool2D(layer.size),
    GlobalAverage: lambda layer: cbp.GlobalAveragePool(),
    Flatten: lambda layer: cbp.Flatten(),
    Recurrent: lambda layer: (cbp.LSTM if layer.gates == 4 else cbp.GRU)(layer.units),
    Dense: lambda layer: cbp.Dense(layer.units, layer.activation),
}


def network(model: Model, weights: Weights, loss: str = "cross_entropy") -> cbp.Network:
    layers = [LAYERS[type(layer)](layer) for layer in model.layers]
    net = cbp.Network(model.shape, layers, loss=loss, dtype=model.dtype, seed=0)
    for index, arrays in enumerate(weights):
        for name, array in arrays.items():
            net.parameters[f"{index}.{name}"][...] = array
    return net


class Trainer(with_cbp.Trainer):
    network = staticmethod(network)


class Stepper:
    def __init__(self, model: Model, weights: Weights):
        self.step = network(model, weights, loss="half_squared_error").predict_step
