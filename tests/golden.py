"""Golden values: the bits of short seeded runs, as they were when tests/golden.json was written.

    python tests/golden.py --check            compare this build (CBP_CPU chooses it) with the file; exits 1 if one differs
    python tests/golden.py --write            take all values anew, on every level that this CPU runs
    python tests/golden.py --write 'layer/*'  only those of the cases whose names match: after a case was added
    python tests/golden.py --files            write the model files of a new format, tests/data/format-N/*.cbp; those of older
                                              formats stay as they are, and no change may make them unreadable

Every case is a function without arguments that returns arrays. The file keeps a hash of their bytes for every level, and three
numbers: the first and the last loss and the mean size of all results. Where another compiler built the core, or another libm is
there (its logarithm is in the normal numbers and in Adam), the bits may differ: then the numbers are compared.

No input depends on NumPy's generators, on libm or on LAPACK: all are drawn by cbp's own generator, parameters too, and seeds
come from the names of the cases. A golden value is a record of what was: a new layer or optimizer needs no case here, and a
case that the file does not have is no failure.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from fnmatch import fnmatch
from math import fsum
from pathlib import Path

import numpy as np

import cbp
from cbp import layers as of
from cbp import modelfile
from cbp.engine.cpu import core, levels
from cbp.modelfile import description

FILE = Path(__file__).with_name("golden.json")

Results = list[np.ndarray]
CASES: dict[str, Callable[[], Results]] = {}

TOLERANCE = {"float32": 2e-5, "float64": 1e-12}
"""Relative, of the numbers between two builds: a hundred times what the three levels differ by, which sum in different orders
(2e-7 and 1e-14, measured over all cases)."""


# --- what goes in -------------------------------------------------------------------------------------------------------------

def uniform(name: str, *shape: int) -> np.ndarray:
    """Multiples of 2**-53 from [0, 1) that belong to the name."""
    values = np.empty(shape)
    core.draw(zlib.crc32(name.encode()), 0, 0, "uniform", values.reshape(-1))
    return values


def numbers(name: str, *shape: int) -> np.ndarray:
    return 3 * uniform(name, *shape) - 1.5


def whole(name: str, below: int, *shape: int) -> np.ndarray:
    return (below * uniform(name, *shape)).astype(np.intp)


def targets(name: str, net: cbp.Network, rows: int, labels: bool = False) -> np.ndarray:
    """Such that the loss is defined for them."""
    shape = (rows, *net.output_shape)
    if labels:
        return whole(name, shape[-1], *shape[:-1])
    if net.loss.name == "cross_entropy":
        counts = 1 + whole(name, 15, *shape)
        return counts / counts.sum(-1, keepdims=True)
    if net.loss.name == "binary_cross_entropy":
        return uniform(name, *shape)
    if net.loss.name == "poisson":
        return whole(name, 5, *shape).astype(float)
    if net.loss.name == "hinge":
        return 2.0 * whole(name, 2, *shape) - 1
    return numbers(name, *shape)


def network(name: str, inputs, layers, loss="mean_squared_error", **settings) -> cbp.Network:
    """With parameters of the usual size, biases that are not 0, and statistics as if something had been seen."""
    net = cbp.Network(inputs, layers, loss=loss, seed=zlib.crc32(name.encode()), **settings)
    for key, view in net.parameters.items():
        drawn = 2 * uniform(f"{name} {key}", *view.shape) - 1
        size = view.size // view.shape[-1]   # of the numbers that one unit reads
        view[...] = 1 + drawn / 4 if key.endswith("scale") else drawn * (3.0 / size) ** 0.5 if view.ndim > 1 else drawn / 2
    for key, view in net.statistics.items():
        view[...] = uniform(f"{name} {key}", *view.shape) + 0.5
    return net


def samples(name: str, net: cbp.Network, rows: int) -> np.ndarray:
    first = net.layers[0]
    if isinstance(first, cbp.Embedding):
        return whole(name, first.vocabulary, rows, *net.input_shape)
    return numbers(name, rows, *net.input_shape)


# --- what comes out -----------------------------------------------------------------------------------------------------------

def state(net: cbp.Network) -> Results:
    """All that training changes, and what it measured."""
    found = [*net.parameters.values(), *net.statistics.values()]
    for arrays in net.optimizer_state.values():
        found += arrays.values()
    return [*found, np.array([net.step, net.epoch])]


def curves(net: cbp.Network) -> Results:
    return [net.history[curve] for curve in net.history if curve != "seconds"]


def asked(net: cbp.Network, x, y, weight=None, lengths=None, training=True) -> Results:
    """What the network answers: outputs, losses, gradients."""
    outputs = net.predict(x, lengths=lengths)
    loss, gradient = net.gradient(x, y, weight, lengths=lengths, training=training)
    found = [outputs, np.array(list(net.evaluate(x, y, weight, lengths=lengths).values())), np.array(loss), gradient]
    if isinstance(net.layers[0], cbp.Embedding):
        return found
    return found + list(net.backward(x, numbers("d_output", *outputs.shape), lengths=lengths, training=training))


SGD = cbp.SGD(0.05, momentum=0.5)


def run(
    name: str, net: cbp.Network, *, rows=23, batch_size=8, epochs=2, optimizer=SGD, labels=False, weights=False, lengths=False,
    threads=1, dtype=None, training=True, frozen=(), multipliers=None, **settings,
) -> Results:
    """Trained, then asked. Losses come first."""
    net.freeze(frozen)
    net.rate_multipliers = multipliers or {}
    x = samples(f"{name} x", net, rows)
    x = x if dtype is None else x.astype(dtype)
    y = targets(f"{name} y", net, rows, labels)
    weight = whole(f"{name} weight", 3, rows) / 2 if weights else None
    steps = 1 + whole(f"{name} lengths", net.input_shape[0], rows) if lengths else None
    net.fit(x, y, batch_size=batch_size, epochs=epochs, optimizer=optimizer, sample_weight=weight, lengths=steps,
            threads=threads, **settings)
    return curves(net) + state(net) + asked(net, x, y, weight, steps, training)


BOTH = ("float32", "float64")


def case(name: str, function: Callable[[], Results]) -> None:
    assert name not in CASES, name
    CASES[name] = function


def trained(name: str, inputs, layers, loss="mean_squared_error", *, dtypes=BOTH, threads=(1,), net=None, **how) -> None:
    """A case for both precisions; with several numbers of threads the results must be those of one."""
    for dtype in dtypes:
        def results(dtype=dtype) -> Results:
            found = [run(name, network(name, inputs, layers, loss, dtype=dtype, **(net or {})), threads=n, **how)
                     for n in threads]
            assert len({digest(result) for result in found}) == 1, f"{name}: threads change bits"
            return found[0]

        case(f"{name}/{dtype}", results)


# --- layers -------------------------------------------------------------------------------------------------------------------

ALL = (1, 2, 3)   # threads

LAYERS = {
    "dense": (of.Dense(5, "tanh"), (4,)),
    "dense, no bias": (of.Dense(5, "relu", bias=False), (4,)),
    "dense, steps": (of.Dense(17, "gelu", bias=False), (3, 4)),
    "conv1d": (of.Conv1D(5, 3, "tanh", stride=2, padding="same"), (7, 3)),
    "conv1d, dilated": (of.Conv1D(20, 3, dilation=3, padding=3), (17, 3)),
    "conv1d, groups": (of.Conv1D(6, 4, "relu", groups=3, stride=2), (11, 6)),
    "conv2d": (of.Conv2D(5, (3, 2), "silu", stride=(2, 1), padding=1), (6, 5, 2)),
    "conv2d, valid": (of.Conv2D(6, 5, "relu"), (9, 8, 1)),
    "conv2d, same": (of.Conv2D(16, 3, "relu", padding="same"), (7, 6, 3)),
    "conv2d, 33 filters": (of.Conv2D(33, 3, padding="same", bias=False), (5, 6, 5)),
    "conv2d, 70 filters": (of.Conv2D(70, (2, 3), "tanh"), (4, 5, 17)),
    "conv2d, 3 filters": (of.Conv2D(3, 3, "gelu", stride=2), (9, 12, 2)),
    "conv2d, pairs of pixels": (of.Conv2D(2, 3, "tanh"), (10, 10, 2)),
    "conv2d, wide pairs of pixels": (of.Conv2D(8, (2, 3), padding=1), (9, 10, 4)),
    "conv2d, long lines": (of.Conv2D(5, 3, "relu"), (3, 300, 2)),
    "conv2d, stride": (of.Conv2D(12, 3, stride=3, padding=2), (8, 9, 4)),
    "conv2d, dilated": (of.Conv2D(9, 3, "tanh", dilation=(2, 1), padding="same"), (8, 7, 3)),
    "conv2d, groups": (of.Conv2D(6, 3, dilation=2, groups=2), (6, 7, 4)),
    "conv2d, wide groups": (of.Conv2D(48, 3, "relu", groups=3, padding="same"), (4, 4, 24)),
    "conv2d, groups, stride": (of.Conv2D(16, 3, "relu", groups=2, stride=2, padding=1), (8, 9, 8)),
    "conv2d, groups, long lines": (of.Conv2D(6, (1, 3), groups=3), (2, 300, 3)),
    "conv2d, pixels": (of.Conv2D(5, 1, "tanh", bias=False), (3, 4, 3)),
    "conv2d, pixels, stride": (of.Conv2D(18, 1, stride=2), (5, 6, 3)),
    "depthwise": (of.DepthwiseConv2D(3, multiplier=2, padding="same", activation="tanh"), (5, 4, 3)),
    "depthwise, plain": (of.DepthwiseConv2D(3, padding=1, activation="relu"), (8, 9, 20)),
    "depthwise, windows of zeros": (of.DepthwiseConv2D(2, padding=2), (5, 6, 5)),
    "depthwise, stride": (of.DepthwiseConv2D((3, 2), stride=2, padding=1, bias=False), (7, 6, 17)),
    "depthwise, dilated": (of.DepthwiseConv2D(3, dilation=2), (7, 8, 33)),
    "separable": (of.SeparableConv2D(6, 3, activation="tanh"), (5, 4, 3)),
    "separable, options": (of.SeparableConv2D(20, 3, activation="relu", multiplier=3, stride=2, padding="same"), (6, 7, 4)),
    "max pool 1d": (of.MaxPool1D(3, stride=2, padding=1), (7, 3)),
    "max pool 2d": (of.MaxPool2D(2), (5, 4, 17)),
    "max pool 2d, overlap": (of.MaxPool2D((3, 2), stride=1, padding="same"), (5, 6, 3)),
    "average pool 1d": (of.AveragePool1D(2, padding="same"), (7, 3)),
    "average pool 2d": (of.AveragePool2D((3, 2), stride=1, padding="same"), (4, 4, 3)),
    "average pool 2d, plain": (of.AveragePool2D(2), (6, 4, 20)),
    "global max pool": (of.GlobalMaxPool(), (3, 4, 5)),
    "global max pool, time": (of.GlobalMaxPool(), (6, 17)),
    "global average pool": (of.GlobalAveragePool(), (6, 5)),
    "global average pool, pixels": (of.GlobalAveragePool(), (3, 4, 20)),
    "rnn": (of.RNN(5), (6, 3)),
    "rnn, sequences": (of.RNN(17, "sigmoid", return_sequences=True, reverse=True), (6, 3)),
    "rnn, relu": (of.RNN(8, "relu", bias=False, bptt=3), (7, 3)),
    "lstm": (of.LSTM(5, reverse=True), (6, 3)),
    "lstm, sequences": (of.LSTM(17, return_sequences=True), (6, 3)),
    "lstm, truncated": (of.LSTM(4, return_sequences=True, bptt=2), (6, 3)),
    "lstm, no bias": (of.LSTM(33, bias=False), (5, 20)),
    "gru": (of.GRU(5, bias=False), (6, 3)),
    "gru, sequences": (of.GRU(17, return_sequences=True), (6, 3)),
    "gru, truncated": (of.GRU(20, bptt=3, reverse=True), (8, 2)),
    "bidirectional rnn": (of.Bidirectional(of.RNN(4)), (6, 3)),
    "bidirectional lstm": (of.Bidirectional(of.LSTM(4, return_sequences=True)), (6, 3)),
    "bidirectional gru": (of.Bidirectional(of.GRU(17, return_sequences=True)), (5, 3)),
    "embedding": (of.Embedding(7, 5), (6,)),
    "embedding, sparse": (of.Embedding(30, 5, sparse=True), (6,)),
    "flatten": (of.Flatten(), (3, 4, 5)),
    "reshape": (of.Reshape((4, -1)), (3, 4, 5)),
    "batch norm": (of.BatchNorm(), (4,)),
    "batch norm, gelu": (of.BatchNorm(activation="gelu"), (20,)),
    "batch norm, pixels": (of.BatchNorm(activation="tanh", momentum=0.3), (3, 2, 17)),
    "layer norm": (of.LayerNorm(), (5,)),
    "layer norm, steps": (of.LayerNorm(activation="gelu", epsilon=0.1), (3, 17)),
    "group norm": (of.GroupNorm(2), (6,)),
    "group norm, pixels": (of.GroupNorm(3, activation="tanh"), (4, 3, 18)),
    "prelu": (of.PReLU(), (5,)),
    "prelu, pixels": (of.PReLU(init=0.1), (4, 3, 17)),
    "dropout": (of.Dropout(0.4), (6,)),
    "dropout, pixels": (of.Dropout(0.25), (5, 4, 3)),
    "gaussian noise": (of.GaussianNoise(0.3), (3, 5)),
    "residual": (of.Residual([of.Dense(6, "tanh"), of.Dense(5), of.BatchNorm()], activation="tanh"), (3, 5)),
    "residual, projection": (
        of.Residual([of.Conv2D(4, 3, "tanh", stride=2, padding="same"), of.Dropout(0.2)]), (6, 4, 3)),
    "residual, wider": (of.Residual([of.Dense(9, "relu"), of.LayerNorm()], activation="relu"), (4,)),
    "residual, sequence": (of.Residual([of.Conv1D(5, 3, stride=2, padding="same")], activation="silu"), (9, 3)),
}

WITH_LENGTHS = [name for name, (layer, shape) in LAYERS.items()
                if len(shape) == 2 and isinstance(layer, (of.Dense, of.RNN, of.LSTM, of.GRU, of.Bidirectional, of.BatchNorm,
                                                          of.LayerNorm, of.Dropout, of.GaussianNoise, of.GlobalMaxPool,
                                                          of.GlobalAveragePool))]

trained("batch norm/many rows", 5, [of.Dense(20, "tanh"), of.BatchNorm(activation="tanh"), of.Dense(2)], rows=300,
        batch_size=150, threads=ALL)
trained("batch norm/many pixels", (9, 8, 2), [of.Conv2D(5, 3), of.BatchNorm(), of.GlobalMaxPool(), of.Dense(2)], rows=30,
        batch_size=None, threads=ALL)
trained("dropout/long rows", 5, [of.Dense(700), of.Dropout(0.3), of.Dense(2)], optimizer=cbp.SGD(1e-3), threads=ALL)
for _kind in (of.RNN, of.LSTM, of.GRU):
    trained(f"many/{_kind.__name__}", (5, 3), [_kind(20, return_sequences=True), _kind(4), of.Dense(2)], rows=80, batch_size=70,
            threads=ALL)
    trained(f"many/{_kind.__name__} with lengths, truncated", (7, 3), [_kind(6, return_sequences=True, bptt=3), of.Dense(2)],
            rows=40, batch_size=37, lengths=True, threads=ALL)

for _name, (_layer, _shape) in LAYERS.items():
    # Behind a layer that asks it for a gradient, and before one that is not as wide.
    _reads = isinstance(_layer, of.Embedding)
    _stack = [*([] if _reads else [of.Dense(_shape[-1], "tanh")]), _layer, of.Dense(3)]
    trained(f"layer/{_name}", _shape, _stack, threads=ALL, weights=True)
    if _name in WITH_LENGTHS:
        trained(f"lengths/{_name}", _shape, _stack, lengths=True, weights=True)

for _kind in (of.RNN, of.LSTM, of.GRU):
    _stack = [_kind(6, stateful=True), of.Dense(2)]
    trained(f"stateful/{_kind.__name__}", (4, 3), _stack, rows=24, shuffle=False, training=False)
    for _batch in (1, 2, 3, 5):   # few rows walk through time in a way of their own
        trained(f"few/{_kind.__name__}, {_batch}", (5, 3), [_kind(20, return_sequences=True), _kind(4), of.Dense(2)], rows=9,
                batch_size=_batch)


# --- activations, losses, optimizers ------------------------------------------------------------------------------------------

for _name in ("identity", "relu", "leaky_relu", "elu", "selu", "gelu", "silu", "softplus", "tanh", "sigmoid", "hard_sigmoid",
              "softsign", "softmax", "mish"):
    trained(f"activation/{_name}", 4, [of.Dense(19, _name), of.Dense(5, _name), of.Dense(3)], weights=True)
    trained(f"output/{_name}", 4, [of.Dense(6, "tanh"), of.Dense(3, _name)], "half_squared_error")

for _loss, _outputs in {
    "mean_squared_error": ("identity",), "half_squared_error": ("identity",), "mean_absolute_error": ("identity",),
    "huber": ("identity", "softmax"), "binary_cross_entropy": ("sigmoid", "hard_sigmoid", "softmax"),
    "cross_entropy": ("softmax",), "poisson": ("softplus", "sigmoid"), "hinge": ("identity", "tanh"),
    "quantile": ("identity",),
}.items():
    for _output in _outputs:
        for _units in (1, 3, 18) if _loss != "cross_entropy" else (2, 10, 40):
            trained(f"loss/{_loss}, {_output}, {_units}", 5, [of.Dense(7, "tanh"), of.Dense(_units, _output)], _loss,
                    weights=True)
trained("loss/huber 0.3", 5, [of.Dense(7, "tanh"), of.Dense(3)], cbp.losses.huber(0.3))
trained("loss/quantile 0.9", 5, [of.Dense(7, "tanh"), of.Dense(3)], cbp.losses.Quantile(0.9))
for _units in (2, 10, 40):
    trained(f"loss/labels, {_units}", 5, [of.Dense(7, "tanh"), of.Dense(_units, "softmax")], "cross_entropy", labels=True,
            weights=True)
trained("loss/labels of steps", (6, 3), [of.Dense(4, "softmax")], "cross_entropy", labels=True, lengths=True, weights=True)
trained("loss/steps", (6, 3), [of.LSTM(4, return_sequences=True), of.Dense(2, "sigmoid")], "binary_cross_entropy", lengths=True)

for _name, _optimizer in {
    "sgd": cbp.SGD(0.05), "sgd, decay": cbp.SGD(0.05, weight_decay=0.3), "momentum": cbp.SGD(0.05, momentum=0.9),
    "momentum, decay": cbp.SGD(0.02, momentum=0.5, weight_decay=0.3),
    "nesterov": cbp.SGD(0.05, momentum=0.8, nesterov=True),
    "nesterov, decay": cbp.SGD(0.02, momentum=0.5, nesterov=True, weight_decay=0.3),
    "adam": cbp.Adam(0.01), "adam, options": cbp.Adam(0.02, beta1=0.5, beta2=0.9, epsilon=1e-3, weight_decay=0.2),
    "adam, no memory": cbp.Adam(0.02, beta1=0.0, beta2=0.0),
    "adamw": cbp.AdamW(0.01), "adamw, options": cbp.AdamW(0.02, beta1=0.7, beta2=0.95, epsilon=1e-5, weight_decay=0.5),
    "rmsprop": cbp.RMSprop(0.01), "rmsprop, options": cbp.RMSprop(0.02, rho=0.5, epsilon=1e-3, weight_decay=0.2),
    "rmsprop, no memory": cbp.RMSprop(0.02, rho=0.0),
    "adagrad": cbp.Adagrad(0.05), "adagrad, options": cbp.Adagrad(0.1, epsilon=1e-3, weight_decay=0.2),
    "lion": cbp.Lion(0.01), "lion, options": cbp.Lion(0.02, beta1=0.5, beta2=0.8, weight_decay=0.2),
    "amsgrad": cbp.Adam(0.01, beta2=0.8, amsgrad=True),
    "rprop": cbp.Rprop(), "rprop, options": cbp.Rprop(0.1, shrink=0.3, grow=1.5),
    "clipped": cbp.Adam(0.01, clip_value=0.05, clip_array=0.1, clip_norm=0.12),
    "averaged": cbp.Adam(0.01, average=cbp.averages.ExponentialMovingAverage(0.8)),
    "mean": cbp.Adam(0.01, average=cbp.averages.StochasticWeightAverage(2, every=2)),
    "scheduled": cbp.SGD(cbp.schedules.Cosine(0.1, steps=5), momentum=0.5),
}.items():
    trained(f"optimizer/{_name}", 7, [of.Dense(19, "tanh"), of.Dense(3)], optimizer=_optimizer, threads=ALL)
    trained(f"optimizer/{_name}, sparse", 5, [of.Embedding(40, 6, sparse=True), of.Flatten(), of.Dense(2)], rows=11,
            batch_size=3, optimizer=_optimizer, dtypes=("float32",))

for _name, _layers in {
    "dense": [of.Dense(19, "tanh"), of.Dense(20, "relu"), of.Dense(3)],
    "batch norm": [of.Dense(8), of.BatchNorm(), of.Dense(3)],
}.items():
    trained(f"update/accumulated, {_name}", 7, _layers, batch_size=4, accumulate=3, weights=True, threads=ALL)
    trained(f"update/frozen, {_name}", 7, _layers, frozen="1", threads=ALL)
    trained(f"update/multiplied, {_name}", 7, _layers, multipliers={"0": 0.5, "1": 2.0}, optimizer=cbp.Adam(0.01),
            threads=ALL)

trained("penalty/l1", 5, [of.Dense(20, "tanh"), of.Dense(3)], net={"l1": 0.01}, threads=ALL)
trained("penalty/l2", 5, [of.Dense(20, "tanh"), of.Dense(3)], net={"l2": 0.1}, threads=ALL)
trained("penalty/both", (6, 3), [of.GRU(4), of.Dense(3)], net={"l1": 0.01, "l2": 0.1}, optimizer=cbp.Adam(0.01))
trained("penalty/embedding", 5, [of.Embedding(30, 4), of.Flatten(), of.Dense(2)], net={"l2": 0.1})


# --- the product: every tile, strip and way of few rows -----------------------------------------------------------------------

for _batch in (1, 2, 3, 4, 7, 12, 13, 16, 32):
    trained(f"batch/{_batch}", 30, [of.Dense(70, "tanh"), of.Dense(21, "relu"), of.Dense(3)], rows=33, batch_size=_batch,
            threads=ALL)
trained("batch/all, in pieces", 9, [of.Dense(20, "tanh"), of.Dense(3)], rows=1100, batch_size=None, threads=ALL)
trained("batch/pictures in pieces", (16, 16, 3), [of.Conv2D(8, 3, "relu"), of.GlobalAveragePool(), of.Dense(2)], rows=70,
        batch_size=64, threads=ALL, dtypes=("float32",))
for _sizes in ([100, 70, 10], [300, 140, 5], [40, 270, 530, 3]):
    _widths = "-".join(map(str, _sizes))
    for _batch in (3, 32):
        trained(f"wide/{_widths}, {_batch}", _sizes[0], [of.Dense(n, "tanh") for n in _sizes[1:]], rows=_batch + 3,
                batch_size=_batch, threads=ALL)
trained("wide/784-128-10", 784, [of.Dense(128, "relu"), of.Dense(10, "softmax")], "cross_entropy", rows=96, batch_size=32,
        labels=True, optimizer=cbp.Adam(1e-3), threads=ALL)
trained("wide/across", 130, [of.Dense(300, "tanh"), of.Dense(200, "tanh"), of.Dense(4)], rows=40, batch_size=18,
        threads=ALL)


def products(dtype: str, units: int) -> Results:
    """Outputs and gradients for every number of rows that has a tile of its own."""
    name = f"product/{units}"
    net = network(name, 37, [of.Dense(units), of.Dense(23)], dtype=dtype)
    found: Results = []
    for rows in (*range(1, 18), 24, 25, 31, 36, 63):
        x, y = samples(f"{name} {rows} x", net, rows), targets(f"{name} {rows} y", net, rows)
        found += [np.array(net.gradient(x, y)[0]), net.predict(x), net.gradient(x, y)[1], *net.backward(x, y)]
    return found


for _units in (5, 16, 17, 33, 64, 80, 130, 192, 260, 300):
    for _dtype in BOTH:
        case(f"product/{_units}/{_dtype}", lambda dtype=_dtype, units=_units: products(dtype, units))


# --- one sample, one batch, one step of time ----------------------------------------------------------------------------------

def online(name: str, dtype: str, sizes, optimizer, rows: int, loss="mean_squared_error", output="identity", labels=False):
    layers = [of.Dense(n, "tanh") for n in sizes[1:-1]] + [of.Dense(sizes[-1], output)]
    net = network(name, sizes[0], layers, loss, dtype=dtype)
    losses = [net.train_on_batch(samples(f"{name} x{i}", net, rows).astype(dtype), targets(f"{name} y{i}", net, rows, labels),
                                 optimizer=optimizer) for i in range(6)]
    x = samples(f"{name} x", net, 5).astype(dtype)
    one, listed, single, several = net.predict_one(x[0]), net.predict_one(list(x[1])), net.predict(x[:1]), net.predict(x)
    return [np.array(losses), *state(net), one, listed, single, several]


for _name, _how in {
    "2-3-1, sgd, 1": ([2, 3, 1], cbp.SGD(0.1), 1), "2-3-1, sgd, 4": ([2, 3, 1], cbp.SGD(0.1), 4),
    "4-32-16-4, adam, 1": ([4, 32, 16, 4], cbp.Adam(0.01), 1), "4-32-16-4, adamw, 32": ([4, 32, 16, 4], cbp.AdamW(0.01), 32),
    "64-64-10, labels, 3": ([64, 64, 10], cbp.RMSprop(0.01), 3, "cross_entropy", "softmax", True),
    "8-20-2, fractions, 7": ([8, 20, 2], cbp.SGD(0.1, momentum=0.9), 7, "binary_cross_entropy", "sigmoid"),
    "300-200-2, sgd, 150": ([300, 200, 2], cbp.SGD(0.01), 150),
}.items():
    for _dtype in BOTH:
        case(f"train_on_batch/{_name}/{_dtype}", lambda name=_name, dtype=_dtype, how=_how: online(name, dtype, *how))


def on_batches(name: str, dtype: str, inputs, layers) -> Results:
    """train_on_batch beyond plain networks, with what it carries from call to call."""
    net = network(name, inputs, layers, dtype=dtype)
    losses = [net.train_on_batch(samples(f"{name} x{i}", net, 3), targets(f"{name} y{i}", net, 3), optimizer=cbp.Adam(0.01))
              for i in range(4)]
    x = samples(f"{name} x", net, 3)
    found = [np.array(losses), *state(net), net.predict(x), net.predict(x)]
    net.reset_state()
    return [*found, net.predict_one(x[0])]


def streamed(name: str, dtype: str, inputs, layers) -> Results:
    net = network(name, inputs, layers, dtype=dtype)
    x = samples(f"{name} x", net, 2)
    outputs = [net.predict_step(row) for row in x[0]]
    net.reset_state()
    return outputs + [net.predict_step(row) for row in x[1]]


for _name, (_inputs, _stack) in {
    "lstm": ((5, 3), [of.LSTM(6, return_sequences=True), of.Dense(2)]),
    "gru": ((5, 3), [of.Dense(4, "tanh"), of.GRU(18, return_sequences=True), of.LayerNorm(), of.Dense(2)]),
    "rnn": ((5, 3), [of.RNN(6, return_sequences=True), of.BatchNorm(activation="tanh"), of.Dense(2)]),
    "embedding": ((5,), [of.Embedding(9, 4), of.LSTM(20, return_sequences=True), of.Dense(2, "softmax")]),
    "residual": ((4, 3), [of.Residual([of.Dense(3, "relu"), of.Dropout(0.2)]), of.GRU(3, return_sequences=True)]),
}.items():
    for _dtype in BOTH:
        _how = (_name, _dtype, _inputs, _stack)
        case(f"predict_step/{_name}/{_dtype}", lambda how=_how: streamed(*how))
        case(f"train_on_batch/{_name}/{_dtype}", lambda how=_how: on_batches(*how))
for _kind in (of.RNN, of.LSTM, of.GRU):
    for _dtype in BOTH:
        case(f"train_on_batch/stateful {_kind.__name__}/{_dtype}",
             lambda kind=_kind, dtype=_dtype: on_batches(f"stateful {kind.__name__}", dtype, (4, 3), [kind(5, stateful=True)]))


# --- whole networks, and how data come in -------------------------------------------------------------------------------------

NETWORKS = {
    "lenet": ((12, 12, 1), [of.Conv2D(6, 5, "relu", padding="same"), of.MaxPool2D(2), of.Conv2D(16, 3, "relu"), of.MaxPool2D(2),
                            of.Flatten(), of.Dense(20, "relu"), of.Dense(10, "softmax")], "cross_entropy"),
    "resnet": ((8, 8, 3), [of.Conv2D(8, 3, padding="same", bias=False), of.BatchNorm(activation="relu"),
                           of.Residual([of.Conv2D(16, 3, stride=2, padding="same", bias=False), of.BatchNorm(activation="relu"),
                                        of.Conv2D(16, 3, padding="same", bias=False), of.BatchNorm()], activation="relu"),
                           of.GlobalAveragePool(), of.Dense(5, "softmax")], "cross_entropy"),
    "text": ((9,), [of.Embedding(40, 8), of.Bidirectional(of.LSTM(6, return_sequences=True)), of.Dropout(0.3),
                    of.GlobalMaxPool(), of.Dense(1, "sigmoid")], "binary_cross_entropy"),
    "separable": ((8, 8, 3), [of.SeparableConv2D(12, 3, activation="relu", padding="same"), of.AveragePool2D(2), of.BatchNorm(),
                              of.DepthwiseConv2D(3), of.Flatten(), of.Dense(3)], "huber"),
    "series": ((20, 2), [of.Conv1D(8, 5, "gelu", padding="same"), of.MaxPool1D(2), of.GRU(12), of.LayerNorm(), of.Dense(1)],
               "mean_absolute_error"),
}
for _name, (_inputs, _stack, _loss) in NETWORKS.items():
    trained(f"network/{_name}", _inputs, _stack, _loss, rows=40, batch_size=16, optimizer=cbp.Adam(0.01), threads=ALL)

for _kind in ("bool", "int8", "uint8", "int64", "float16", "float32"):   # of the samples
    trained(f"data/{_kind}", 6, [of.Dense(5, "tanh"), of.Dense(2)], dtype=_kind)
trained("data/no shuffle", 6, [of.Dense(5, "tanh"), of.Dense(2)], shuffle=False)


# --- how weights start --------------------------------------------------------------------------------------------------------

def initial(init) -> Results:
    net = cbp.Network((5, 5, 3), [of.Conv2D(6, 3, init=init), of.Flatten(), of.Dense(4, init=init)], loss="mean_squared_error",
                      dtype="float64", seed=3)
    return list(net.parameters.values())


for _name in ("glorot_uniform", "glorot_normal", "he_uniform", "he_normal", "lecun_uniform", "lecun_normal", "zeros", "ones"):
    case(f"initializer/{_name}", lambda name=_name: initial(name))
case("initializer/constant", lambda: initial(0.25))
case("initializer/by default", lambda: [
    array for f in ("relu", "tanh", "selu", "softmax")
    for array in cbp.Network(7, [of.Dense(9, f), of.Dense(2)], loss="hinge", seed=11).parameters.values()])
case("initializer/embedding", lambda: list(
    cbp.Network(4, [of.Embedding(9, 5)], loss="hinge", seed=12).parameters.values()))


# --- model files --------------------------------------------------------------------------------------------------------------

MODELS = {
    **{name: (*NETWORKS[name], {}) for name in ("lenet", "text", "separable", "series")},
    "plain": (2, [of.Dense(3, "relu"), of.Dense(1)], "half_squared_error", {}),
    "penalised": (5, [of.Dense(4, "elu", init=0.25), of.Dense(3, "softplus", bias=False)], "poisson",
                  {"dtype": "float64", "l1": 0.01, "l2": 0.1}),
    "bent": (5, [of.Residual([of.Dense(6, "selu"), of.Dense(5)], activation="tanh"), of.Dense(2)], cbp.losses.huber(0.3), {}),
    "stateful": ((4, 3), [of.GRU(5, stateful=True, return_sequences=True), of.GaussianNoise(0.1), of.RNN(4, "relu", bptt=2),
                          of.Reshape((2, 2)), of.Flatten(), of.Dense(2, "hard_sigmoid")], "binary_cross_entropy", {}),
}
OPTIMIZERS = (cbp.SGD(0.05, momentum=0.5, nesterov=True), cbp.Adam(0.01, weight_decay=0.1), cbp.AdamW(0.01), cbp.RMSprop(0.01),
              cbp.Adagrad(0.05), cbp.SGD(0.05))
FOLDER = FILE.with_name("data")
FORMATS = range(1, description.FORMAT + 1)
OPTIONAL_X = [[0.0, 1.0], [2.0, 0.5], [1.0, -1.0]]


def model_file(name: str, version: int = 1) -> Path:
    return FOLDER / f"format-{version}" / f"{name}.cbp"


def model(name: str) -> cbp.Network:
    """What a model file holds before it is trained."""
    inputs, layers, loss, settings = MODELS[name]
    net = network(f"file/{name}", inputs, layers, loss, **settings)
    net.metadata["names"] = [name, "ä"]
    return net


def optimizer_of(name: str) -> cbp.optimizers.Optimizer:
    return OPTIMIZERS[list(MODELS).index(name) % len(OPTIMIZERS)]


def train(net: cbp.Network, name: str, optimizer: cbp.optimizers.Optimizer | None = None) -> None:
    net.fit(samples(f"{name} x", net, 8), targets(f"{name} y", net, 8), epochs=2, batch_size=4, optimizer=optimizer,
            shuffle=name != "stateful")


def read(name: str, version: int = 1) -> Results:
    """What a file gives: the losses of further training, after the numbers and the outputs that it held."""
    net = cbp.load(model_file(name, version))
    held, outputs = state(net), net.predict(samples(f"{name} x", net, 8))
    held = [array.copy() for array in held]
    train(net, name)
    return [*curves(net), *held, outputs, *state(net)]


for _name in MODELS:
    case(f"file/{_name}", lambda name=_name: read(name))


def write_files() -> None:
    """The networks of format 1, as this cbp writes them."""
    for name in MODELS:
        path = model_file(name, description.FORMAT)
        path.parent.mkdir(exist_ok=True)
        cbp.load(model_file(name)).save(path)
    net = cbp.load(model_file("plain"))   # and one with every optional key, and with one that a newer cbp may have
    net.feature_names = ("a", "ä")
    net.fit(np.array(OPTIONAL_X), [1.0, 0.0, 2.0], epochs=1)
    modelfile.save(replace(net.snapshot(), extras={"unheard": {"of": [1, None]}}), model_file("optional", description.FORMAT))


# --- the file -----------------------------------------------------------------------------------------------------------------

def digest(results: Results) -> str:
    found = hashlib.sha256()
    for array in map(np.asarray, results):
        found.update(f"{array.dtype.str}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def figures(results: Results) -> list[float]:
    """The first and the last loss, and the mean size of all results."""
    sizes = np.concatenate([np.abs(np.asarray(array, float)).reshape(-1) for array in results])
    first = np.asarray(results[0], float).reshape(-1)
    return [float(f"{number:.15g}") for number in (first[0], first[-1], fsum(sizes.tolist()) / len(sizes))]


def build() -> dict[str, str]:
    """What decides about the bits, besides the level."""
    libm = " ".join(platform.libc_ver())
    return {"compiler": getattr(core, "COMPILER", recorded()["build"]["compiler"]), "libm": libm}


def recorded() -> dict:
    return json.loads(FILE.read_text()) if FILE.exists() else {"build": {"compiler": "gcc 12.2.0"}, "cases": {}}


def tolerance(name: str) -> float:
    return TOLERANCE["float64" if name.endswith("float64") else "float32"]


def difference(name: str, level: str, golden: dict) -> str:
    """What is not as it was; empty where all is."""
    was = golden["cases"].get(name)
    if was is None:
        return ""
    try:
        results = CASES[name]()
    except Exception as problem:
        return f"{type(problem).__name__}: {problem}"
    if golden["build"] == build():
        return "" if was["bits"].get(level) in (None, digest(results)) else "other bits"
    now = figures(results)
    if np.allclose(now, was["numbers"], rtol=tolerance(name), atol=1e-7):
        return ""
    return f"{now}, was {was['numbers']}"


def differences(names: list[str]) -> Iterator[tuple[str, str]]:
    golden = recorded()
    for name in names:
        found = difference(name, core.BUILD, golden)
        if found:
            yield name, found


def taken(pattern: str) -> dict[str, tuple[str, list[float]]]:
    """The values of this level."""
    return {name: (digest(results), figures(results))
            for name, results in ((name, function()) for name, function in CASES.items() if fnmatch(name, pattern))}


def write(pattern: str) -> None:
    golden = recorded()
    golden["build"] = build()
    golden["cases"] = {name: kept for name, kept in golden["cases"].items() if not fnmatch(name, pattern)}
    for level in levels():
        command = [sys.executable, __file__, "--take", pattern]
        found = json.loads(subprocess.run(command, env=os.environ | {"CBP_CPU": level}, check=True, capture_output=True).stdout)
        for name, (bits, numbers_) in found.items():
            kept = golden["cases"].setdefault(name, {"bits": {}, "numbers": numbers_})
            kept["bits"][level] = bits
            off = np.abs(np.subtract(numbers_, kept["numbers"])) / np.maximum(np.abs(kept["numbers"]), 1e-7)
            if off.max() > tolerance(name) / 4:
                print(f"{name}: {level} differs by {off.max():.1e}", file=sys.stderr)
    lines = [f"{json.dumps(name)}: {json.dumps(golden['cases'][name])}" for name in CASES if name in golden["cases"]]
    FILE.write_text(f'{{"build": {json.dumps(golden["build"])}, "cases": {{\n' + ",\n".join(lines) + "\n}}\n")
    print(f"{len(lines)} cases in {FILE}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", nargs="?", const="*", metavar="PATTERN", help="compare this build with the file")
    what.add_argument("--write", nargs="?", const="*", metavar="PATTERN", help="take the values anew")
    what.add_argument("--files", action="store_true", help="write the model files anew")
    what.add_argument("--take", metavar="PATTERN", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.write:
        write(options.write)
        return 0
    if options.files:
        write_files()
        return 0
    if options.take:
        json.dump(taken(options.take), sys.stdout)
        return 0
    names = [name for name in CASES if fnmatch(name, options.check)]
    found = list(differences(names))
    for name, what_differs in found:
        print(f"{name}: {what_differs}")
    print(f"{len(names)} cases on {core.BUILD}, {len(found)} differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
