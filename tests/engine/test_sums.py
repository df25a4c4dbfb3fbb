"""Sums of very many terms in float32, held against float64: equal terms, which are the worst, since each is rounded alike."""

import numpy as np
import pytest

import cbp
from cbp.engine import plan

V = np.float32(0.1)
W = float(V)
MILLION = 10**6
BOUND = 2e-6


def network(inputs, *layers, loss="mean_squared_error", weights=None):
    net = cbp.Network(inputs, list(layers), loss=loss, seed=0)
    if weights is not None:
        net.set_vector(np.broadcast_to(np.asarray(weights, np.float32), net.get_vector().shape))
    return net


def off(found, right):
    """The largest relative error."""
    return float(np.max(np.abs(np.asarray(found, float) - right) / np.abs(right)))


def full(*shape):
    return np.full(shape, V)


# --- means --------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("channels", [1, 16, 20])
@pytest.mark.parametrize("size", [(12, 11), (32, 32), (512, 512), (1, MILLION), (MILLION, 1)])
def test_pools(size, channels):
    if channels > 1 and max(size) == MILLION:
        size = tuple(max(1, n // 10) for n in size)
    assert off(network((*size, channels), cbp.GlobalAveragePool()).predict(full(1, *size, channels)), W) < BOUND


def test_windows():
    assert off(network((MILLION, 1), cbp.AveragePool1D(MILLION // 2)).predict(full(1, MILLION, 1)), W) < BOUND
    net = network((60, 60, 3), cbp.AveragePool2D(50, stride=5))
    assert off(net.predict(full(2, 60, 60, 3)), W) < BOUND


def test_rows():
    x = full(1, MILLION)
    x[0, ::2] *= 3
    exact = x.astype(float)
    exact = (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5)
    assert np.abs(network(MILLION, cbp.LayerNorm()).predict(x) - exact).max() < BOUND
    net = network(1, cbp.Dense(MILLION, "softmax"), loss="cross_entropy", weights=0)
    assert off(net.predict([[1.0]]), 1 / MILLION) < BOUND
    assert off(net.evaluate([[1.0]], [3])["loss"], np.log(MILLION)) < BOUND
    net = network(1, cbp.Dense(MILLION), weights=0)
    found = net.evaluate([[1.0]], full(1, MILLION))
    assert off([found["loss"], found["mean_absolute_error"]], np.array([W * W, W])) < BOUND


def test_the_slope_of_a_wide_softmax():
    """dz = a (da - sum of a da), where the sum is that of a million equal products."""
    net = network(1, cbp.Dense(MILLION, "softmax"), weights=0)
    d = full(1, MILLION)
    d[0, 0] = 2 * V
    _, gradient = net.backward([[1.0]], d)
    right = (2 * W - (W + W / MILLION)) / MILLION
    assert off(gradient[0], right) < BOUND


# --- products -----------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("rows", [1, 3, 5, 40])
@pytest.mark.parametrize(("inputs", "units"), [(1025, 3), (5000, 40), (100_000, 17), (MILLION, 1)])
def test_deep_products(inputs, units, rows):
    if inputs == MILLION:
        rows = min(rows, 5)
    net = network(inputs, cbp.Dense(units, bias=False), weights=V)
    assert off(net.predict(full(rows, inputs)), inputs * W * W) < BOUND


@pytest.mark.parametrize("rows", [1, 5, 40, 700])
@pytest.mark.parametrize("units", [1025, 100_000, MILLION])
def test_gradients_of_inputs(units, rows):
    if units == MILLION:
        rows = min(rows, 5)
    net = network(2, cbp.Dense(units, bias=False), weights=V)
    d_input, _ = net.backward(full(rows, 2), full(rows, units))
    assert off(d_input, units * W * W) < BOUND


@pytest.mark.parametrize("layer", [cbp.Conv2D(1, 100, bias=False), cbp.Conv2D(40, 100, bias=False),
                                   cbp.DepthwiseConv2D(100, bias=False)])
def test_large_windows(layer):
    net = network((103, 105, 1), layer, weights=V)
    assert off(net.predict(full(1, 103, 105, 1)), 10_000 * W * W) < BOUND


@pytest.mark.parametrize("kind", [cbp.RNN, cbp.LSTM, cbp.GRU])
def test_many_inputs_of_a_recurrence(kind):
    """Its sums are those of a Dense layer with the same weights; the state begins with 0."""
    n, scale = 100_000, np.float32(1e-5)
    net = network((1, n), kind(1, return_sequences=True), weights=0)
    for name, array in net.parameters.items():
        if "recurrent" not in name and array.shape[0] == n:
            array[...] = scale
    s = n * W * float(scale)
    sigmoid = 1 / (1 + np.exp(-s))
    right = {"RNN": np.tanh(s), "LSTM": sigmoid * np.tanh(sigmoid * np.tanh(s)), "GRU": (1 - sigmoid) * np.tanh(s)}
    assert off(net.predict(full(1, 1, n)), right[kind.__name__]) < BOUND


# --- gradients of parameters --------------------------------------------------------------------------------------------------

def of_rows(net, rows, *shape):
    """The gradient where every input and every gradient of an output is V."""
    return net.backward(full(rows, *shape), full(rows, *net.output_shape))[1]


@pytest.mark.parametrize("rows", [1025, 4000, 100_003, MILLION])
@pytest.mark.parametrize("inputs", [1, 5])
def test_rows_of_a_batch(rows, inputs):
    net = network(inputs, cbp.Dense(1), weights=0)
    gradient = of_rows(net, rows, inputs)
    assert off(gradient, rows * W * np.array([W] * inputs + [1])) < BOUND
    loss, gradient = net.gradient(full(rows, inputs), -full(rows, 1))
    assert off(gradient, 2 * W * np.array([W] * inputs + [1])) < BOUND
    assert off(loss, W * W) < BOUND


@pytest.mark.parametrize("size", [40, 128, 512])
@pytest.mark.parametrize("filters", [1, 6, 20])
def test_positions_of_a_picture(size, filters):
    net = network((size, size, 1), cbp.Conv2D(filters, 3), weights=0)
    places = (size - 2) ** 2
    assert off(of_rows(net, 1, size, size, 1), places * W * np.repeat([W, 1], [9 * filters, filters])) < BOUND


def held_against_float64(layer, rows, shape, scale):
    """Whatever the layer makes of equal numbers, and of such that differ from channel to channel and from row to row."""
    x = full(rows, *shape) * np.asarray(scale, np.float32)
    x[::2] *= -1
    nets = [cbp.Network(shape, [layer], loss="mean_squared_error", dtype=dtype, seed=0) for dtype in ("float32", "float64")]
    nets[1].set_vector(nets[0].get_vector())
    found, right = (net.backward(x, full(rows, *net.output_shape))[1] for net in nets)
    assert np.abs(found - right).max() < 2 * BOUND * np.abs(right).max()


@pytest.mark.parametrize("layer", [
    cbp.DepthwiseConv2D(3), cbp.Conv2D(4, 3, groups=2), cbp.Conv2D(4, 3, stride=2), cbp.SeparableConv2D(3, 3), cbp.Conv2D(3, 1),
    cbp.Conv2D(5, (3, 2))])
def test_windows_against_float64(layer):
    held_against_float64(layer, 9, (130, 131, 4), [2, 1, 2, 1])


@pytest.mark.parametrize("layer", [cbp.Dense(3), cbp.BatchNorm(), cbp.PReLU(), cbp.GroupNorm(2), cbp.LayerNorm()])
def test_positions_against_float64(layer):
    held_against_float64(layer, 9, (130, 131, 4), [2, 1, 2, 1])


OVERLAPPING = [
    (cbp.AveragePool1D(1500, stride=1), (4000, 1)), (cbp.AveragePool1D(5000, stride=4), (12_000, 1)),
    (cbp.AveragePool2D(60, stride=2), (150, 151, 3)), (cbp.MaxPool1D(1500, stride=1), (4000, 1)),
    (cbp.Conv1D(4, 2000), (5000, 1)), (cbp.DepthwiseConv2D(101), (110, 110, 2)),
    (cbp.DepthwiseConv2D(60, stride=2), (150, 151, 2)), (cbp.DepthwiseConv2D(60, padding="same"), (150, 151, 2)),
    (cbp.Conv2D(4, 3, groups=2), (12, 12, 1000)), (cbp.Conv2D(4, 40, groups=2), (50, 50, 4)),
    (cbp.SeparableConv2D(2, 61), (70, 71, 2))]


@pytest.mark.parametrize(("layer", "shape"), OVERLAPPING)
def test_numbers_that_very_many_windows_have_in_common(layer, shape):
    """Outputs, and gradients of inputs and parameters, against the same network in float64."""
    nets = [cbp.Network(shape, [layer], loss="mean_squared_error", dtype=dtype, seed=0) for dtype in ("float32", "float64")]
    x = full(1, *shape)
    x[0, shape[0] // 2] = 2  # the one maximum of many windows
    for net in nets:
        net.set_vector(np.full_like(net.get_vector(), V))
    for found, right in zip(*((net.predict(x), *net.backward(x, full(1, *net.output_shape))) for net in nets), strict=True):
        assert np.abs(found - right).max(initial=0) <= BOUND * np.abs(right).max(initial=0)


@pytest.mark.parametrize("kind", [cbp.RNN, cbp.LSTM, cbp.GRU])
def test_steps_of_sequences(kind):
    held_against_float64(kind(3, return_sequences=True), 2000, (50, 2), [1, 1])


TABLES = [(10, 8), (10, 1), (20_000, 3)]   # the third is so thin that its rows lie side by side


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("vocabulary", "units"), TABLES)
@pytest.mark.parametrize("shape", [(1000, 1000), (10, 100_000), (MILLION, 1)])
def test_a_number_that_occurs_very_often(shape, vocabulary, units, sparse):
    net = network(shape[1:], cbp.Embedding(vocabulary, units, sparse=sparse), weights=0)
    x = np.zeros(shape, np.int32)
    x[0, 0] = 3
    gradient = of_numbers(net, x).reshape(vocabulary, units)
    assert off(gradient[0], (MILLION - 1) * W) < BOUND
    assert off(gradient[3], W) < BOUND
    assert not np.delete(gradient, [0, 3], axis=0).any()
    net.fit(x, np.full((*shape, units), -V), epochs=1, batch_size=None, optimizer=cbp.SGD(1.0))
    assert off(net.parameters["0.weight"][0], -2 * W * (MILLION - 1) / MILLION / units) < BOUND


def of_numbers(net, x):
    """The gradient where the inputs are x and every gradient of an output is V."""
    return net.backward(x, full(len(x), *net.output_shape))[1]


# --- the same bits ------------------------------------------------------------------------------------------------------------

STACKS = {"rows": [cbp.Dense(5, "tanh"), cbp.Dense(2)], "normalised": [cbp.LayerNorm(), cbp.PReLU(), cbp.Dense(2)]}
STACKS["picture"] = [cbp.Reshape((3, 4, 1)), cbp.Conv2D(3, 2, "tanh"), cbp.Flatten(), cbp.Dense(2)]
STACKS["channels"] = [cbp.Reshape((3, 4, 1)), cbp.DepthwiseConv2D(2), cbp.GroupNorm(1), cbp.Flatten(), cbp.Dense(2)]
STACKS["gru"] = [cbp.Reshape((4, 3)), cbp.GRU(3), cbp.Dense(2)]
STACKS["lstm"] = [cbp.Reshape((4, 3)), cbp.LSTM(3), cbp.Dense(2)]


@pytest.mark.parametrize("name", STACKS)
def test_threads_and_pieces_change_no_bit(name, monkeypatch):
    draw = np.random.default_rng(5)
    x, y = draw.normal(size=(1500, 12)).astype(np.float32), draw.normal(size=(1500, 2)).astype(np.float32)
    weight = draw.integers(0, 3, 1500)

    def trained(threads, piece):
        net = cbp.Network(12, STACKS[name], loss="mean_squared_error", seed=1)
        if piece is not None:
            monkeypatch.setattr(plan.Plan, "piece", lambda self, rows, *, apart=False: min(rows, piece))
        net.fit(x, y, epochs=2, batch_size=1300, threads=threads, sample_weight=weight)
        monkeypatch.undo()
        return net.get_vector().tobytes()

    one = trained(1, None)
    for threads, piece in ((2, None), (3, 128), (1, 1), (1, 100), (2, 7)):
        assert trained(threads, piece) == one, (threads, piece)


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(("vocabulary", "units"), TABLES)
def test_threads_and_pieces_change_no_bit_of_a_table(vocabulary, units, sparse, monkeypatch):
    draw = np.random.default_rng(6)
    x, y = draw.integers(0, 7, (900, 6)), draw.normal(size=(900, 6, units)).astype(np.float32)
    lengths = draw.integers(1, 7, 900)

    def trained(threads, piece):
        net = network(6, cbp.Embedding(vocabulary, units, sparse=sparse))
        if piece is not None:
            monkeypatch.setattr(plan.Plan, "piece", lambda self, rows, *, apart=False: min(rows, piece))
        net.fit(x, y, epochs=3, batch_size=800, threads=threads, lengths=lengths)
        gradient = net.backward(x, y, lengths=lengths)[1]
        monkeypatch.undo()
        return net.get_vector().tobytes() + gradient.tobytes()

    one = trained(1, None)
    for threads, piece in ((2, None), (3, 128), (1, 1), (1, 100), (2, 7)):
        assert trained(threads, piece) == one, (threads, piece)


# --- places -------------------------------------------------------------------------------------------------------------------

def test_a_maximum_behind_the_numbers_that_float32_counts():
    n = 2**24 + 5
    x = np.zeros((1, n, 1), np.float32)
    x[0, n - 2] = 1
    net = network((n, 1), cbp.GlobalMaxPool())
    d_input, _ = net.backward(x, [[3.0]])
    assert np.flatnonzero(d_input).tolist() == [n - 2]
    assert d_input[0, n - 2] == 3
