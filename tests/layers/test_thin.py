"""Layers of few units after many inputs, whose weights lie in the flat vector without pads: Dense and Embedding against the
usual layout, which small networks have, against central differences and PyTorch; and what they take of the memory.

``thin`` lets the small networks here have that layout too.
"""

import copy
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from cases import ALL_OPTIMIZERS, assert_threads_and_pieces_change_no_bit, close, dumps, loads

import cbp
from cbp.engine import plan
from cbp.engine.cpu import core
from cbp.trace.reading import terms_of

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
UNITS = [1, 2, 3, 8]
INPUTS = [1, 15, 16, 17, 37, 512, 530, 1041]
"""With all tails: of 16 numbers, and of the blocks that are worked on together."""


@pytest.fixture
def thin(monkeypatch):
    """From now on no pads; ``thin(False)``: from now on rows with pads."""
    def switch(on=True):
        monkeypatch.setattr(plan, "THIN", 0 if on else 2**60)

    switch()
    return switch


def stack(dtype="float64", **settings):
    """Thin layers alone and behind one another, before and after others, at every step of a sequence."""
    layers = [cbp.Dense(40, "tanh"), cbp.Dense(6, "gelu", bias=False), cbp.Residual([cbp.Dense(6, "tanh")]), cbp.Flatten(),
              cbp.Dense(19, "relu"), cbp.Dense(2)]
    return filled(cbp.Network((3, 5), layers, loss="mean_squared_error", dtype=dtype, seed=2, **settings))


def table(*, sparse=False, units=3, dtype="float64", **settings):
    """Which is the only thin one."""
    layers = [cbp.Embedding(40, units, sparse=sparse), cbp.Dense(10, "tanh"), cbp.Flatten(), cbp.Dense(9)]
    return filled(cbp.Network(6, layers, loss="mean_squared_error", dtype=dtype, seed=3, **settings))


def filled(net):
    """With biases that are not 0."""
    rng = np.random.default_rng(1)
    for name, view in net.parameters.items():
        if name.endswith("bias"):
            view[...] = rng.normal(size=view.shape)
    return net


def data(net, rows, seed=4):
    rng = np.random.default_rng(seed)
    words = isinstance(net.layers[0], cbp.Embedding)
    x = rng.integers(40, size=(rows, 6)) if words else rng.normal(size=(rows, *net.input_shape)).astype(net.dtype)
    return x, rng.normal(size=(rows, *net.output_shape)).astype(net.dtype)


# --- who has which layout -----------------------------------------------------------------------------------------------------


def test_only_where_it_pays():
    """Small networks keep their bits, and what the core takes straight from Python is never thin."""
    def weights(layer, shape):
        net = cbp.Network(shape, [layer], loss="mean_squared_error")
        assert net.parameters["0.weight"].shape == (shape if isinstance(shape, int) else layer.vocabulary, layer.units)
        return net._plan.kinds[0], net._plan.size

    assert weights(cbp.Dense(1, bias=False), 8192) == ("dense", 8192 * 16)
    assert weights(cbp.Dense(1, bias=False), 8193) == ("thin", 8208)
    assert weights(cbp.Dense(8, bias=False), 10_000) == ("thin", 80_000)
    assert weights(cbp.Dense(9, bias=False), 10_000) == ("dense", 160_000)
    assert weights(cbp.Embedding(8192, 1), (2,)) == ("embedding", 8192 * 16)
    assert weights(cbp.Embedding(10_001, 3), (2,)) == ("embedding", 30_016)
    assert core.READY["brief"] <= plan.THIN
    for dtype in "float32", "float64":
        net = cbp.Network(8193, [cbp.Dense(1)], loss="mean_squared_error", dtype=dtype)
        assert not net._plan.plain
        assert net._plan.arena * np.dtype(dtype).itemsize > core.READY["bytes"]


# --- against the usual layout -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", UNITS)
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("inputs", INPUTS)
def test_outputs_and_gradients(inputs, units, dtype, thin):
    """Of every number of rows that are taken together, the last of which end where the memory does."""
    net = cbp.Network(inputs, [cbp.Dense(units)], loss="mean_squared_error", dtype=dtype, seed=1)
    assert net._plan.kinds == ["thin"]
    weight, bias = (net.parameters[f"0.{name}"] for name in ("weight", "bias"))
    bias[...] = np.arange(units)
    for rows in (1, 2, 3, 5, 8, 21):
        x, d = data(net, rows)
        close(net.predict(x), x @ weight.astype(float) + bias, TOLERANCE[dtype])
        close(net.predict_one(x[0]), x[0] @ weight.astype(float) + bias, TOLERANCE[dtype])
        d_input, gradient = net.backward(x, d)
        close(d_input, d @ weight.T.astype(float), TOLERANCE[dtype])
        close(gradient[:-units].reshape(inputs, units), x.T.astype(float) @ d, TOLERANCE[dtype])
        close(gradient[-units:], d.astype(float).sum(0), TOLERANCE[dtype])


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
@pytest.mark.parametrize("make", [stack, table, lambda **settings: table(sparse=True, **settings)],
                         ids=["dense", "embedding", "sparse"])
def test_every_optimizer_moves_the_same_numbers(make, name, thin):
    """With penalties, weights of samples, a batch in pieces; the pads stay 0. Tables have the same bits."""
    def trained():
        net = make(l1=0.01, l2=0.02)
        x, y = data(net, 23)
        weights = np.random.default_rng(6).choice([0.0, 1.0, 2.5], 23)
        net.fit(x, y, epochs=3, batch_size=14, optimizer=ALL_OPTIMIZERS[name], sample_weight=weights)
        return net

    net = trained()
    assert "thin" in net._plan.kinds or make is not stack
    used = sum(float(np.abs(view).sum()) for view in net.parameters.values())
    assert np.abs(net._numbers.parameters).sum() == pytest.approx(used, rel=1e-12)
    thin(False)
    usual = trained()
    assert "thin" not in usual._plan.kinds
    assert net._plan.size < usual._plan.size
    if make is stack:
        close(net.get_vector(), usual.get_vector(), 1e-9)
        assert list(net.optimizer_state) == list(usual.optimizer_state)
        for slot, arrays in usual.optimizer_state.items():
            for key, values in arrays.items():
                close(net.optimizer_state[slot][key], values, 1e-8)
    else:
        assert dumps(net) == dumps(usual)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("make", [stack, table, lambda **settings: table(sparse=True, **settings)],
                         ids=["dense", "embedding", "sparse"])
def test_threads_and_pieces_change_no_bit(make, dtype, thin, monkeypatch):
    assert_threads_and_pieces_change_no_bit(lambda: make(dtype=dtype), *data(make(dtype=dtype), 50), monkeypatch)


def test_threads_share_a_single_row_of_weights():
    """In blocks of a gradient that begin and end within units."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 9001)), rng.normal(size=(40, 3))
    found = []
    for threads in (1, 2, 3, 7):
        net = cbp.Network(9001, [cbp.Dense(3)], loss="mean_squared_error", seed=1)
        net.fit(x, y, epochs=2, batch_size=16, threads=threads)
        found.append(net.get_vector())
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


# --- the two oracles ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [stack, table], ids=["dense", "embedding"])
def test_central_differences(make, thin):
    net = make(l2=0.02)
    assert cbp.check_gradients(net, *data(net, 5)).error < 1e-6


@pytest.mark.oracle
@pytest.mark.parametrize("dtype", TOLERANCE)
def test_what_pytorch_computes(dtype):
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    rng = np.random.default_rng(0)
    module = torch.nn.Sequential(torch.nn.Linear(9005, 2), torch.nn.Tanh()).to(getattr(torch, dtype))
    net = cbp.from_torch(module, (9005,))
    assert net._plan.kinds[0] == "thin"
    x = rng.normal(size=(7, 9005)).astype(dtype)
    d = rng.normal(size=(7, 2)).astype(dtype)
    given = torch.tensor(x, requires_grad=True)
    outputs = module(given)
    outputs.backward(torch.tensor(d))
    close(net.predict(x), outputs.detach().numpy(), TOLERANCE[dtype])
    d_input, gradient = net.backward(x, d)
    close(d_input, given.grad.numpy(), TOLERANCE[dtype])
    linear = module[0]
    close(gradient, np.concatenate([linear.weight.grad.T.numpy().reshape(-1), linear.bias.grad.numpy()]), TOLERANCE[dtype])


@pytest.mark.parametrize("inputs", [10**6, 10**6 + 5])
@pytest.mark.parametrize("first", [0.1, -0.7])
def test_a_sum_over_a_million_inputs(inputs, first):
    """Equal terms, which are all rounded in one direction: one sum in float32 would be a percent off."""
    net = cbp.Network(inputs, [cbp.Dense(2, bias=False, init=0.1)], loss="mean_squared_error")
    x = np.full((3, inputs), first, np.float32)
    exact = float(np.float32(first)) * float(np.float32(0.1)) * inputs
    assert np.abs(net.predict(x) / exact - 1).max() < 2e-6


def test_a_gradient_over_many_rows(thin):
    """In one batch that comes in pieces, of equal terms too."""
    net = cbp.Network(20, [cbp.Dense(1, init="zeros")], loss="half_squared_error")
    x, y = np.full((200_000, 20), 0.1, np.float32), np.full((200_000, 1), -0.1, np.float32)
    gradient = net.gradient(x, y)[1]
    exact = float(np.float32(0.1)) ** 2
    assert np.abs(gradient[:-1] / exact - 1).max() < 2e-6
    assert abs(gradient[-1] / float(np.float32(0.1)) - 1) < 2e-6


# --- what users see -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [stack, table], ids=["dense", "embedding"])
def test_vectors_files_and_copies(make, thin, tmp_path):
    """The same numbers in the same order, and bits that are kept."""
    net = make()
    x, y = data(net, 9)
    net.fit(x, y, epochs=2, batch_size=4, optimizer=cbp.Adam(0.01))
    path = tmp_path / "net.cbp"
    net.save(path)
    for other in (cbp.load(path), copy.deepcopy(net), pickle.loads(pickle.dumps(net)), loads(dumps(net))):
        assert other._plan.kinds == net._plan.kinds
        assert dumps(other) == dumps(net)
        other.fit(x, y, epochs=1, optimizer=cbp.Adam(0.01))
        longer = copy.deepcopy(net)
        longer.fit(x, y, epochs=1, optimizer=cbp.Adam(0.01))
        np.testing.assert_array_equal(other.get_vector(), longer.get_vector())
    thin(False)
    usual = cbp.load(path)
    assert usual._plan.kinds != net._plan.kinds or make is table
    assert dumps(usual) == dumps(net)
    np.testing.assert_array_equal(usual.get_vector(), net.get_vector())
    for name, view in net.parameters.items():
        assert view.shape == usual.parameters[name].shape
        np.testing.assert_array_equal(view, usual.parameters[name])
    vector = np.arange(net.get_vector().size, dtype=float)
    net.set_vector(vector)
    np.testing.assert_array_equal(net.get_vector(), vector)
    np.testing.assert_array_equal(np.concatenate([view.reshape(-1) for view in net.parameters.values()]), vector)


def test_initial_weights_do_not_depend_on_the_layout(thin):
    weights = stack().get_vector(), table().get_vector()
    thin(False)
    for one, other in zip(weights, (stack().get_vector(), table().get_vector()), strict=True):
        np.testing.assert_array_equal(one, other)


def test_trace(thin):
    """It has the numbers of the step, and its effort is estimated as with the usual layout."""
    thin(False)
    terms = terms_of(stack()._plan)
    thin()
    net = stack()
    assert terms_of(net._plan) == terms
    x, y = data(net, 2)
    traced = net.trace(x, y, optimizer=cbp.SGD(0.1))
    assert [parameter.before for parameter in traced.parameters] == net.get_vector().tolist()
    close([parameter.gradient for parameter in traced.parameters], net.gradient(x, y)[1], 1e-11)
    net.train_on_batch(x, y, optimizer=cbp.SGD(0.1))
    close([parameter.after for parameter in traced.parameters], net.get_vector(), 1e-11)


def test_lengths_weights_of_0_and_steps(thin):
    """At the steps of a sequence, of which some do not count."""
    def trained():
        net = cbp.Network((6, 3), [cbp.LSTM(20, return_sequences=True), cbp.Dense(2)], loss="mean_squared_error",
                          dtype="float64", seed=1)
        x, y = data(net, 12)
        y[5] = 1e300  # whose weight is 0
        net.fit(x, y, epochs=2, batch_size=5, lengths=np.arange(12) % 6 + 1, sample_weight=np.arange(12) != 5)
        return net

    net = trained()
    assert net._plan.kinds[-1] == "thin"
    sample = data(net, 1)[0]
    close([net.predict_step(step) for step in sample[0]], net.predict(sample)[0], 1e-12)
    thin(False)
    close(net.get_vector(), trained().get_vector(), 1e-10)


# --- memory -------------------------------------------------------------------------------------------------------------------

INPUTS_OF_LARGE = 2_500_000


@pytest.mark.parametrize(("layer", "shape", "output"), [
    (cbp.Dense(1), (INPUTS_OF_LARGE,), (1,)), (cbp.Embedding(INPUTS_OF_LARGE, 1), (4,), (4, 1)),
], ids=["dense", "embedding"])
def test_weights_gradient_and_state_take_what_their_numbers_take(layer, shape, output):
    """And a bit, for the bias: of a layer whose rows hold a single number."""
    net = cbp.Network(shape, [layer], loss="mean_squared_error")
    net.fit(np.zeros((2, *shape), np.float32), np.zeros((2, *output)), optimizer=cbp.Adam(), epochs=1)
    weights, state = net._numbers.parameters.nbytes, net._numbers.state.nbytes
    assert 2 * weights + state < 1.01 * 4 * INPUTS_OF_LARGE * 4


PEAK = """
import json, tracemalloc
import numpy as np
import cbp

def pages():
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return 0

def train(inputs):
    net = cbp.Network(inputs, [cbp.Dense(1, init=0.1)], loss="mean_squared_error")
    net.fit(x[:, :inputs], np.zeros((2, 1)), optimizer=cbp.Adam(), epochs=2)
    net.train_on_batch(x[:, :inputs], np.zeros((2, 1)), optimizer=cbp.Adam())

x = np.ones((2, INPUTS), np.float32)
train(9000)
before = pages()
tracemalloc.start()
train(INPUTS)
print(json.dumps([tracemalloc.get_traced_memory()[1], pages() - before]))
"""


def test_memory_of_a_process_that_trains():
    """Weights, gradient, state, and the copy of weights and state to return to: seven times the numbers of the layer. Beside
    them stand samples that are gathered. Sixteen times that would be a gigabyte."""
    ran = subprocess.run([sys.executable, "-c", PEAK.replace("INPUTS", str(INPUTS_OF_LARGE))], capture_output=True, text=True,
                         timeout=300, check=False)
    assert ran.returncode == 0, ran.stderr
    for peak in json.loads(ran.stdout):
        assert peak < 12 * 4 * INPUTS_OF_LARGE
