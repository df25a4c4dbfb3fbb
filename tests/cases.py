"""Networks, targets and optimizers that several test files run through, and how close two numbers must be."""

import threading
import zlib
from contextlib import contextmanager

import facts
import numpy as np

import cbp
from cbp import modelfile
from cbp.engine import plan
from cbp.network import _from_bytes

LOSSES = tuple(facts.LOSSES)
OUTPUTS = {loss: tuple(name for name, activation in facts.ACTIVATIONS.items() if facts.suits(row, activation))
           for loss, row in facts.LOSSES.items()}
"""Every loss with the activations of the last layer that it is defined for."""
LOSS_OUTPUTS = [(loss, output) for loss in LOSSES for output in OUTPUTS[loss]]

ALL_LOSSES = {name: cbp.losses.get(name) for name in LOSSES} | {
    name: loss for row in facts.LOSSES.values() for name, loss in row.options.items()}
"""The usual ones, and ones whose parameters are not the usual ones."""

OPTIMIZERS = {name: optimizer for row in facts.OPTIMIZERS.values() for name, optimizer in row.plain.items()}
"""One for every kernel of a rule."""
OPTIMIZER_OPTIONS = {name: optimizer for row in facts.OPTIMIZERS.values() for name, optimizer in row.options.items()}
"""Ones with every option."""
ALL_OPTIMIZERS = OPTIMIZERS | OPTIMIZER_OPTIONS

LAYERS = {name: case for row in facts.LAYERS.values() for name, case in row.cases.items()}
"""Every kind of layer, with the shape of its input."""


def seed_of(*case):
    """The seed of a case, which depends on its names alone: not on which others there are."""
    return zlib.crc32(repr(case).encode())


def inputs(rng, rows, features=4):
    return rng.normal(size=(rows, features))


def targets(loss, rng, rows, units=3):
    """Targets that a loss, or the one of this name, is defined for."""
    return facts.LOSSES[cbp.losses.get(loss).name].targets(rng, rows, units)


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


@contextmanager
def trained_elsewhere(net):
    """As while another thread trains the network."""
    begun, over = threading.Event(), threading.Event()

    def train():
        with net._training:
            begun.set()
            over.wait()

    thread = threading.Thread(target=train)
    thread.start()
    begun.wait()
    try:
        yield
    finally:
        over.set()
        thread.join()


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


def dumps(net):
    """The bytes of a network's model file."""
    return modelfile.dumps(net.snapshot())


loads = _from_bytes
"""The network of such bytes."""
