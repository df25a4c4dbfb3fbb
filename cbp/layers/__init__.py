"""Layers: what a network is made of, one family a file."""

from cbp.engine.plan import Parameter
from cbp.habits import understood
from cbp.layers import families
from cbp.layers.base import ACTIVATIONS, Layer
from cbp.layers.families import *  # noqa: F403

LAYERS: dict[str, type[Layer]] = {
    layer.kind: understood(layer) for layer in vars(families).values() if isinstance(layer, type) and issubclass(layer, Layer)
}
"""The layers by their names in a model file."""

__all__ = ["ACTIVATIONS", "LAYERS", "Layer", "Parameter", *(layer.__name__ for layer in LAYERS.values())]
