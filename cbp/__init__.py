"""cbp: small and medium neural networks on the CPU, with every number of backpropagation open to inspection."""

from cbp import datasets, initializers, layers, losses, optimizers
from cbp.check import check_gradients
from cbp.errors import DivergedError, ModelFileError
from cbp.history import History
from cbp.layers import GRU, LSTM, RNN, Bidirectional, Dense
from cbp.network import Network, load, mlp
from cbp.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop

__version__ = "0.1.0"

__all__ = [
    "Network", "mlp", "Dense",
    "RNN", "LSTM", "GRU", "Bidirectional",
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad",
    "History", "check_gradients", "load",
    "DivergedError", "ModelFileError",
    "datasets", "initializers", "layers", "losses", "optimizers",
    "__version__",
]
