"""Networks of every kind of layer, for the tests of the trace."""

import facts
import numpy as np
from facts import dense

import cbp

CASES = {name: case for row in facts.LAYERS.values() for name, case in row.traced.items()}
"""Name of the case: shape of a sample, layers."""

SEQUENCE = (
    (6, 3), [cbp.Conv1D(3, 2, "relu"), cbp.MaxPool1D(2, stride=1), cbp.LayerNorm(), cbp.LSTM(3), cbp.Dropout(0.25),
             dense(4, "tanh"), dense(3, "softmax")], "cross_entropy",
)  # fmt: skip
IMAGE = (
    (4, 4, 1), [cbp.Conv2D(2, 3, padding="same", bias=False), cbp.BatchNorm(activation="relu"),
                cbp.Residual([cbp.DepthwiseConv2D(3, padding="same", activation="tanh")]), cbp.AveragePool2D((1, 2)),
                cbp.Reshape((4, 4)), cbp.Bidirectional(cbp.GRU(2, return_sequences=True)), dense(2, "sigmoid")],
    "binary_cross_entropy",
)  # fmt: skip
MIXED = {"convolution, recurrence, dense": SEQUENCE, "image, sequence to sequence": IMAGE}


def network(shape, layers, loss="half_squared_error", **settings):
    """A network whose biases, scales and shifts are not at their start."""
    net = cbp.Network(shape, layers, loss=loss, dtype=settings.pop("dtype", "float64"), seed=7, **settings)
    generator = np.random.default_rng(5)
    for name, values in net.parameters.items():
        if name.rpartition(".")[2] in ("bias", "scale", "shift"):
            values += generator.normal(size=values.shape) * 0.5
    return net


def data(net, rows=4, seed=3):
    """Inputs and targets that suit the network."""
    generator = np.random.default_rng(seed)
    first = net.layers[0]
    shape = (rows, *net.input_shape)
    x = generator.integers(first.vocabulary, size=shape) if isinstance(first, cbp.Embedding) else generator.normal(size=shape)
    places = int(np.prod(net.output_shape[:-1]))
    y = facts.LOSSES[net.loss.name].targets(generator, rows * places, net.output_shape[-1])
    return x, y.reshape(rows, *net.output_shape[:-1], *y.shape[1:])
