"""The rules of the layers: how the nodes of a layer arise from the nodes before.

A rule is a function registered for its layer class (registry.py). It computes the layer on one row, number by number, by the
scope it is given (scope.py), and says in symbols what it does. Only what is read from several places at once, the statistics
of a batch normalisation and layers that hold layers, takes all rows of the batch together. Every module of this folder is
imported here, so that its rules are entered.
"""

from importlib import import_module
from pkgutil import iter_modules

from cbp.trace.layers.registry import LAYER_RULES

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")

__all__ = ["LAYER_RULES"]
