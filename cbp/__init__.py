"""cbp: small and medium neural networks on the CPU, with every number of backpropagation open to inspection."""

from cbp import (  # _ctrl_c first: the others take long
    _ctrl_c,  # noqa: F401
    activations,
    averages,
    datasets,
    initializers,
    layers,
    losses,
    optimizers,
    schedules,
)
from cbp._version import __version__
from cbp.check import check_gradients
from cbp.errors import DivergedError, ModelFileError
from cbp.habits import understood
from cbp.history import History
from cbp.layers.families import *  # noqa: F403
from cbp.loading import load
from cbp.network import Network, mlp
from cbp.optimizers import *  # noqa: F403
from cbp.pictures.decision import plot_decision
from cbp.pictures.live import LivePlot
from cbp.pytorch import from_torch

plot_decision = understood(plot_decision)  # pictures know nothing of habits
understood(LivePlot)

del OPTIMIZERS, Optimizer, get, understood  # noqa: F821 - what is no optimizer

__all__ = [
    "Network", "mlp",
    *(layer.__name__ for layer in layers.LAYERS.values()),
    *(optimizer.__name__ for optimizer in optimizers.OPTIMIZERS.values()),
    "History", "LivePlot", "plot_decision", "check_gradients", "load", "from_torch",
    "DivergedError", "ModelFileError",
    "activations", "averages", "datasets", "initializers", "layers", "losses", "optimizers", "schedules",
    "__version__",
]
