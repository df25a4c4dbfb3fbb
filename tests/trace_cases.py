"""Networks of every kind of layer, for the tests of the trace."""

import numpy as np

import cbp


def dense(units=2, activation="identity"):
    return cbp.Dense(units, activation)


# Name of the case: shape of a sample, layers. Every layer stands between others, so that its way back is traced too.
CASES = {
    "dense on steps": ((3, 2), [dense(3, "tanh"), cbp.Flatten(), dense()]),
    "dense on pixels": ((2, 3, 2), [dense(3, "gelu"), cbp.GlobalAveragePool(), dense()]),
    "conv1d": (
        (6, 2), [dense(2, "tanh"), cbp.Conv1D(4, 3, "tanh", stride=2, padding="same", groups=2), cbp.Flatten(), dense()],
    ),
    "conv1d of 1": ((4, 2), [cbp.Conv1D(3, 1, "tanh"), cbp.Flatten(), dense()]),
    "conv2d": ((4, 3, 1), [cbp.Conv2D(2, 2, "tanh"), cbp.Conv2D(2, 2, "relu"), cbp.Flatten(), dense()]),
    "conv2d with all": (
        (6, 5, 2),
        [dense(4, "tanh"), cbp.Conv2D(4, (3, 2), "tanh", stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
         cbp.Flatten(), dense()],
    ),
    "conv2d same, stride 2": ((5, 4, 2), [cbp.Conv2D(2, 3, "softplus", padding="same", stride=2), cbp.Flatten(), dense()]),
    "depthwise": (
        (4, 4, 2),
        [dense(2, "tanh"), cbp.DepthwiseConv2D(3, activation="tanh", multiplier=2, padding="same"), cbp.GlobalAveragePool(),
         dense()],
    ),
    "separable": (
        (4, 4, 2), [dense(2, "tanh"), cbp.SeparableConv2D(3, 2, "tanh", multiplier=2, stride=2), cbp.GlobalMaxPool(), dense()],
    ),
    "max pools": (
        (5, 5, 2),
        [dense(2, "tanh"), cbp.MaxPool2D(2, stride=1), cbp.MaxPool2D(3, padding="same", stride=2), cbp.Flatten(), dense()],
    ),
    "average pools": (
        (5, 4, 2), [dense(2, "tanh"), cbp.AveragePool2D(2, padding=1), cbp.AveragePool2D((2, 1)), cbp.Flatten(), dense()],
    ),
    "pools of steps": (
        (7, 2), [dense(2, "tanh"), cbp.MaxPool1D(2, stride=1), cbp.AveragePool1D(3, padding="same"), cbp.Flatten(), dense()],
    ),
    "reshape": ((6,), [dense(6, "tanh"), cbp.Reshape((3, 2)), cbp.GRU(2), dense()]),
    "rnn": ((4, 2), [cbp.RNN(2, return_sequences=True), cbp.RNN(3, "sigmoid", reverse=True, bias=False), dense()]),
    "rnn truncated": (
        (5, 2), [cbp.RNN(2, return_sequences=True, bptt=2), cbp.RNN(2, return_sequences=True, reverse=True, bptt=3), dense()],
    ),
    "lstm": ((3, 2), [cbp.LSTM(2, return_sequences=True), cbp.LSTM(3, reverse=True), dense()]),
    "lstm truncated": ((4, 2), [dense(2, "tanh"), cbp.LSTM(2, return_sequences=True, bptt=2)]),
    "gru": ((3, 2), [cbp.GRU(2, return_sequences=True), cbp.GRU(3, reverse=True), dense()]),
    "gru truncated": ((4, 2), [dense(2, "tanh"), cbp.GRU(2, return_sequences=True, bptt=2, bias=False)]),
    "bidirectional": (
        (3, 2), [cbp.Bidirectional(cbp.LSTM(2, return_sequences=True)), cbp.Bidirectional(cbp.GRU(2)), dense()],
    ),
    "bidirectional, every step": ((3, 2), [dense(2, "tanh"), cbp.Bidirectional(cbp.RNN(1, return_sequences=True))]),
    "embedding": ((4,), [cbp.Embedding(5, 3), cbp.RNN(2), dense()]),
    "sparse embedding": ((4,), [cbp.Embedding(6, 2, sparse=True), cbp.Flatten(), dense()]),
    "batch norm": ((3,), [dense(3), cbp.BatchNorm(activation="tanh", momentum=0.3), dense()]),
    "batch norm of steps": ((3, 2), [cbp.BatchNorm(epsilon=1e-3), dense(2, "tanh"), cbp.BatchNorm(), cbp.Flatten(), dense()]),
    "layer norm": ((3, 4), [cbp.LayerNorm(), dense(3), cbp.LayerNorm(activation="tanh"), cbp.Flatten(), dense()]),
    "dropout": ((20,), [cbp.Dropout(0.3), dense(18, "tanh"), cbp.Dropout(0.5), dense()]),
    "dropout of pixels": ((3, 3, 2), [dense(3, "tanh"), cbp.Dropout(0.4), cbp.Flatten(), dense()]),
    "gaussian noise": ((3, 18), [cbp.GaussianNoise(0.5), dense(2, "tanh"), cbp.GaussianNoise(0.1), cbp.Flatten(), dense()]),
    "residual": ((3, 2), [cbp.Residual([dense(3, "tanh"), dense(2)]), cbp.Flatten(), dense()]),
    "residual, projected": (
        (4, 4, 2),
        [dense(2, "tanh"),
         cbp.Residual([cbp.Conv2D(3, 3, padding="same", stride=2, bias=False), cbp.BatchNorm()], activation="relu"),
         cbp.GlobalAveragePool(), dense()],
    ),
    "flatten last": ((2, 2), [dense(2, "tanh"), cbp.Flatten()]),
}  # fmt: skip

MIXED = {
    "convolution, recurrence, dense": (
        (6, 3), [cbp.Conv1D(3, 2, "relu"), cbp.MaxPool1D(2, stride=1), cbp.LayerNorm(), cbp.LSTM(3), cbp.Dropout(0.25),
                 dense(4, "tanh"), dense(3, "softmax")], "cross_entropy",
    ),
    "image, sequence to sequence": (
        (4, 4, 1), [cbp.Conv2D(2, 3, padding="same", bias=False), cbp.BatchNorm(activation="relu"),
                    cbp.Residual([cbp.DepthwiseConv2D(3, padding="same", activation="tanh")]), cbp.AveragePool2D((1, 2)),
                    cbp.Reshape((4, 4)), cbp.Bidirectional(cbp.GRU(2, return_sequences=True)), dense(2, "sigmoid")],
        "binary_cross_entropy",
    ),
}  # fmt: skip

OPTIMIZERS = [cbp.SGD(0.1), cbp.SGD(0.05, momentum=0.9, nesterov=True), cbp.Adam(0.01), cbp.AdamW(0.01, weight_decay=0.2),
              cbp.RMSprop(0.01), cbp.Adagrad(0.1)]  # fmt: skip


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
    places = (rows, *net.output_shape[:-1])
    if net.loss.name == "cross_entropy":
        return x, generator.integers(net.output_shape[-1], size=places)
    if net.loss.name == "binary_cross_entropy":
        return x, generator.random((rows, *net.output_shape))
    return x, generator.normal(size=(rows, *net.output_shape))
