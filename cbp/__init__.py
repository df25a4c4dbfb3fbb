"""cbp: small and medium neural networks on the CPU, with every number of backpropagation open to inspection."""

from cbp import activations, datasets, initializers, layers, losses, optimizers
from cbp.check import check_gradients
from cbp.errors import DivergedError, ModelFileError
from cbp.history import History
from cbp.layers import (
    GRU,
    LSTM,
    RNN,
    AveragePool1D,
    AveragePool2D,
    BatchNorm,
    Bidirectional,
    Conv1D,
    Conv2D,
    Dense,
    DepthwiseConv2D,
    Dropout,
    Embedding,
    Flatten,
    GaussianNoise,
    GlobalAveragePool,
    GlobalMaxPool,
    LayerNorm,
    MaxPool1D,
    MaxPool2D,
    Reshape,
    Residual,
    SeparableConv2D,
)
from cbp.network import Network, load, mlp
from cbp.optimizers import SGD, Adagrad, Adam, AdamW, RMSprop
from cbp.pytorch import from_torch

__version__ = "0.1.0"

__all__ = [
    "Network", "mlp",
    "Dense", "Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D",
    "MaxPool1D", "MaxPool2D", "AveragePool1D", "AveragePool2D", "GlobalMaxPool", "GlobalAveragePool",
    "RNN", "LSTM", "GRU", "Bidirectional", "Embedding",
    "Flatten", "Reshape", "Residual",
    "BatchNorm", "LayerNorm", "Dropout", "GaussianNoise",
    "SGD", "Adam", "AdamW", "RMSprop", "Adagrad",
    "History", "check_gradients", "load", "from_torch",
    "DivergedError", "ModelFileError",
    "activations", "datasets", "initializers", "layers", "losses", "optimizers",
    "__version__",
]
