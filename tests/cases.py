"""Networks, targets and optimizers that several test files run through, and how close two numbers must be."""

import numpy as np

import cbp
from cbp.engine import plan
from cbp.layers import ACTIVATIONS
from cbp.losses import LOSSES

NUMBERS = tuple(ACTIVATIONS)

# Every loss with the activations of the last layer that it is defined for.
OUTPUTS = {
    "mean_squared_error": NUMBERS,
    "half_squared_error": NUMBERS,
    "mean_absolute_error": NUMBERS,
    "huber": NUMBERS,
    "binary_cross_entropy": ("sigmoid", "hard_sigmoid", "softmax"),
    "cross_entropy": ("softmax",),
    "poisson": ("softplus", "relu", "sigmoid", "hard_sigmoid", "softmax"),
    "hinge": NUMBERS,
}
LOSS_OUTPUTS = [(loss, output) for loss in LOSSES for output in OUTPUTS[loss]]

# One of every rule, and one with every option of it.
OPTIMIZERS = {
    "sgd": cbp.SGD(0.05),
    "momentum": cbp.SGD(0.05, momentum=0.9),
    "nesterov": cbp.SGD(0.05, momentum=0.8, nesterov=True),
    "adam": cbp.Adam(0.01),
    "adamw": cbp.AdamW(0.01),
    "rmsprop": cbp.RMSprop(0.01),
    "adagrad": cbp.Adagrad(0.05),
}
OPTIMIZER_OPTIONS = {
    "sgd, decay": cbp.SGD(0.05, weight_decay=0.3),
    "momentum, decay": cbp.SGD(0.02, momentum=0.5, weight_decay=0.3),
    "nesterov, decay": cbp.SGD(0.02, momentum=0.5, nesterov=True, weight_decay=0.3),
    "adam, options": cbp.Adam(0.02, beta1=0.5, beta2=0.9, epsilon=1e-3, weight_decay=0.2),
    "adam, no memory": cbp.Adam(0.02, beta1=0.0, beta2=0.0),
    "adamw, options": cbp.AdamW(0.02, beta1=0.7, beta2=0.95, epsilon=1e-5, weight_decay=0.5),
    "rmsprop, options": cbp.RMSprop(0.02, rho=0.5, epsilon=1e-3, weight_decay=0.2),
    "rmsprop, no memory": cbp.RMSprop(0.02, rho=0.0),
    "adagrad, options": cbp.Adagrad(0.1, epsilon=1e-3, weight_decay=0.2),
}


def inputs(rng, rows, features=4):
    return rng.normal(size=(rows, features))


def targets(loss, rng, rows, units=3):
    """Targets that this loss is defined for; for cross_entropy labels or probabilities, by chance."""
    if loss == "cross_entropy":
        return rng.integers(units, size=rows) if rng.random() < 0.5 else rng.dirichlet(np.ones(units), size=rows)
    if loss == "binary_cross_entropy":
        return rng.random((rows, units))
    if loss == "poisson":
        return rng.poisson(2.0, (rows, units)).astype(float)
    if loss == "hinge":
        return rng.choice([-1.0, 1.0], (rows, units))
    return rng.normal(size=(rows, units))


def network(hidden="tanh", output="identity", loss="mean_squared_error", *, seed=0, bias=(True, True, True), **settings):
    """4 inputs, two hidden layers of 5 and 3 units, 3 outputs, with biases that are not 0."""
    settings.setdefault("dtype", "float64")
    units = (5, 3, 3)
    layers = [cbp.Dense(n, f, bias=b) for n, f, b in zip(units, (hidden, hidden, output), bias, strict=True)]
    net = cbp.Network(4, layers, loss=loss, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    for name, view in net.parameters.items():
        if name.endswith("bias"):
            view[...] = rng.normal(scale=0.5, size=view.shape)
    return net


def close(actual, expected, tolerance):
    """Equal up to ``tolerance``, measured against the largest of the numbers that are compared."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    scale = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def assert_threads_and_pieces_change_no_bit(make, x, y, monkeypatch):
    """Of 50 samples: weights that several threads find, and the gradient of a batch in pieces of 12."""
    found = {}
    for threads in (1, 2, 3, 5):
        net = make()
        net.fit(x, y, epochs=2, batch_size=23, optimizer=cbp.Adam(0.01), threads=threads)
        found[threads] = net.get_vector()
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(found[threads], found[1])
    whole = net.gradient(x, y)[1]
    monkeypatch.setattr(plan, "PIECE", 1)
    assert net._plan.piece(50) == 12
    np.testing.assert_array_equal(net.gradient(x, y)[1], whole)


def small_trained_classifier():
    """A network with optimizer state and notes, always the same."""
    rng = np.random.default_rng(0)
    net = cbp.mlp([3, 4, 4, 2], hidden="tanh", output="softmax", seed=1)
    net.fit(rng.normal(size=(8, 3)), rng.integers(0, 2, 8), epochs=2, batch_size=4)
    net.metadata["names"] = ["ä", "b"]
    return net


def _layers():
    """Every kind of layer, with the shape of its input: names for tests, at least one case for every class."""
    from cbp import layers as of

    inner = [cbp.Dense(6, "tanh"), cbp.Dense(5)]
    return {
        "dense": (cbp.Dense(5, "tanh"), (4,)),
        "dense, steps": (cbp.Dense(17, "gelu", bias=False), (3, 4)),
        "conv1d": (of.Conv1D(5, 3, "tanh", stride=2, padding="same"), (7, 3)),
        "conv2d": (of.Conv2D(5, (3, 2), "silu", stride=(2, 1), padding=1), (6, 5, 2)),
        "conv2d, groups": (of.Conv2D(6, 3, dilation=2, groups=2), (6, 7, 4)),
        "conv2d, pixels": (of.Conv2D(5, 1, "tanh", bias=False), (3, 4, 3)),
        "depthwise": (of.DepthwiseConv2D(3, multiplier=2, padding="same", activation="tanh"), (5, 4, 3)),
        "separable": (of.SeparableConv2D(6, 3, activation="tanh"), (5, 4, 3)),
        "max pool 1d": (of.MaxPool1D(3, stride=2, padding=1), (7, 3)),
        "max pool 2d": (of.MaxPool2D(2), (5, 4, 17)),
        "average pool 1d": (of.AveragePool1D(2, padding="same"), (7, 3)),
        "average pool 2d": (of.AveragePool2D((3, 2), stride=1, padding="same"), (4, 4, 3)),
        "global max pool": (of.GlobalMaxPool(), (3, 4, 5)),
        "global average pool": (of.GlobalAveragePool(), (6, 5)),
        "rnn": (of.RNN(5), (6, 3)),
        "rnn, sequences": (of.RNN(17, "sigmoid", return_sequences=True, reverse=True), (6, 3)),
        "lstm": (of.LSTM(5, reverse=True), (6, 3)),
        "lstm, sequences": (of.LSTM(17, return_sequences=True), (6, 3)),
        "lstm, truncated": (of.LSTM(4, return_sequences=True, bptt=2), (6, 3)),
        "gru": (of.GRU(5, bias=False), (6, 3)),
        "gru, sequences": (of.GRU(17, return_sequences=True), (6, 3)),
        "bidirectional": (of.Bidirectional(of.LSTM(4, return_sequences=True)), (6, 3)),
        "embedding": (of.Embedding(7, 5), (6,)),
        "embedding, sparse": (of.Embedding(30, 5, sparse=True), (6,)),
        "flatten": (of.Flatten(), (3, 4, 5)),
        "reshape": (of.Reshape((4, -1)), (3, 4, 5)),
        "batch norm": (of.BatchNorm(), (4,)),
        "batch norm, pixels": (of.BatchNorm(activation="tanh", momentum=0.3), (3, 2, 17)),
        "layer norm": (of.LayerNorm(), (5,)),
        "layer norm, steps": (of.LayerNorm(activation="gelu", epsilon=0.1), (3, 17)),
        "dropout": (of.Dropout(0.4), (6,)),
        "gaussian noise": (of.GaussianNoise(0.3), (3, 5)),
        "residual": (of.Residual([*inner, of.BatchNorm()], activation="tanh"), (3, 5)),
        "residual, projection": (of.Residual([of.Conv2D(4, 3, "tanh", stride=2, padding="same"), of.Dropout(0.2)]), (6, 4, 3)),
    }


LAYERS = _layers()


def _in_a_block(name):
    """The network, or None where the way around does not fit."""
    layer, shape = LAYERS[name]
    try:
        return cbp.Network(shape, [cbp.Residual([layer]), cbp.Dense(2)], loss="mean_squared_error", dtype="float64", seed=3)
    except ValueError:
        return None


BLOCKS = {name: net for name in LAYERS if (net := _in_a_block(name)) is not None}
"""Networks that begin with a block around one of LAYERS, which reads the samples themselves."""


def layer_network(name, before=False, after=False, dtype="float64", **settings):
    """A network around a case of LAYERS: alone, behind a dense layer that keeps the shape of its input (not one that reads
    whole numbers, which always comes first), or before another one."""
    layer, shape = LAYERS[name]
    first = isinstance(layer, cbp.layers.Embedding)
    layers = [*([cbp.Dense(shape[-1], "tanh")] if before and not first else []), layer, *([cbp.Dense(2)] if after else [])]
    net = cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype, seed=3, **settings)
    rng = np.random.default_rng(4)
    for key, view in net.parameters.items():
        if key.rpartition(".")[2] in ("bias", "scale", "shift"):
            view[...] = rng.normal(scale=0.5, size=view.shape) + (key.endswith("scale"))
    for view in net.statistics.values():
        view[...] = rng.random(view.shape) + 0.5
    return net


def layer_data(net, rows, seed=5):
    """Samples and targets for such a network, and the weights of the samples, some of them 0."""
    rng = np.random.default_rng(seed)
    first = net.layers[0]
    if isinstance(first, cbp.layers.Embedding):
        x = rng.integers(first.vocabulary, size=(rows, *net.input_shape))
    else:
        x = rng.normal(size=(rows, *net.input_shape)).astype(net.dtype)
    y = rng.normal(size=(rows, *net.output_shape)).astype(net.dtype)
    w = rng.choice([0.0, 1.0, 2.5], size=rows)
    w[:2] = 0, 1
    return x, y, w
