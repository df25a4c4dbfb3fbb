"""cbp: small and medium neural networks on the CPU, with every number of backpropagation open to inspection."""

import sys as _sys
import typing as _typing

from cbp import (  # _ctrl_c first: the others take long
    _ctrl_c,  # noqa: F401
    activations,
    averages,
    callbacks,
    datasets,
    initializers,
    layers,
    losses,
    optimizers,
    schedules,
)
from cbp._version import __version__
from cbp.callbacks import *  # noqa: F403
from cbp.check import check_gradients
from cbp.errors import DivergedError, ModelFileError
from cbp.habits import understood
from cbp.history import History
from cbp.layers.families import *  # noqa: F403
from cbp.loading import load
from cbp.network import Network, mlp
from cbp.optimizers import *  # noqa: F403
from cbp.pictures.decision import plot_decision
from cbp.pytorch import from_torch

if _typing.TYPE_CHECKING:
    from cbp import metrics

plot_decision = understood(plot_decision)  # pictures know nothing of habits

del CALLBACKS, listed, OPTIMIZERS, Optimizer, get, understood  # noqa: F821 - what is no callback and no optimizer

__all__ = [
    "Network", "mlp",
    *(layer.__name__ for layer in layers.LAYERS.values()),
    *(optimizer.__name__ for optimizer in optimizers.OPTIMIZERS.values()),
    "Callback",  # noqa: F405
    *(callback.__name__ for callback in callbacks.CALLBACKS.values()),
    "History", "plot_decision", "check_gradients", "load", "from_torch",
    "DivergedError", "ModelFileError",
    "activations", "averages", "callbacks", "datasets", "initializers", "layers", "losses", "metrics", "optimizers",
    "schedules",
    "__version__",
]


def __getattr__(name: str) -> object:
    """``cbp.metrics``, which most programs do without, and which would take a tenth of the time that importing cbp takes."""
    if name != "metrics":
        raise AttributeError(f"module 'cbp' has no attribute {name!r}", name=name, obj=_sys.modules["cbp"])
    import importlib

    return importlib.import_module("cbp.metrics")
