"""Samples and outputs with axes beside the features: steps of a sequence, pixels of an image.

The oracle is the same stack of dense layers over plain rows: a network over (samples, time, features) must compute what it
computes over (samples * time, features), where every row has its sample's weight over the number of steps that count.
"""

import numpy as np
import pytest
from cases import LOSS_OUTPUTS, close, targets

import cbp

TIME = 5


def pair(loss="mean_squared_error", output="identity", shape=(TIME, 3), units=4, dtype="float64", **settings):
    """A network over samples of this shape, and its twin over rows of the last axis."""
    layers = [cbp.Dense(6, "tanh"), cbp.Dense(units, output)]
    nets = [cbp.Network(inputs, layers, loss=loss, dtype=dtype, seed=1, **settings) for inputs in (shape, shape[-1])]
    for net in nets:
        net.parameters["0.bias"][...] = np.linspace(-1, 1, 6)
    return nets


def data(loss, rows, shape=(TIME, 3), units=4, seed=0):
    """Inputs and targets, with axes and as rows."""
    rng = np.random.default_rng(seed)
    places = shape[:-1]
    X = rng.normal(size=(rows, *shape))
    flat = targets(loss, rng, rows * int(np.prod(places)), units)
    return X, flat.reshape(rows, *places, *flat.shape[1:]), X.reshape(-1, shape[-1]), flat


def spread(weights, lengths, time=TIME):
    """The weight of every step."""
    steps = np.arange(time) < lengths[:, None]
    return (weights[:, None] * steps / lengths[:, None]).reshape(-1)


@pytest.mark.parametrize(("loss", "output"), LOSS_OUTPUTS)
@pytest.mark.parametrize("uneven", [False, True], ids=["all steps", "lengths and weights"])
def test_steps_are_rows(loss, output, uneven):
    if loss == "cross_entropy" and output != "softmax":
        return
    net, twin = pair(loss, output)
    X, y, rows, goals = data(loss, 9)
    lengths = np.array([1, 5, 2, 3, 4, 5, 1, 2, 3]) if uneven else np.full(9, TIME)
    weights = np.array([1.0, 2, 0, 3, 1, 0.5, 1, 1, 2]) if uneven else np.ones(9)
    given = {"sample_weight": weights, "lengths": lengths} if uneven else {}
    found, gradient = net.gradient(X, y, **given)
    expected, wanted = twin.gradient(rows, goals, spread(weights, lengths))
    assert found == pytest.approx(expected, rel=1e-12)
    close(gradient, wanted, 1e-12)
    measured, right = net.evaluate(X, y, **given), twin.evaluate(rows, goals, spread(weights, lengths))
    assert measured == pytest.approx(right, rel=1e-12)


@pytest.mark.parametrize("shape", [(7, 3), (2, 4, 3), (3, 2, 2, 1), (1, 1)], ids=str)
def test_any_axes(shape):
    net, twin = pair(shape=shape)
    X, y, rows, goals = data("mean_squared_error", 6, shape)
    assert net.output_shape == (*shape[:-1], 4)
    np.testing.assert_array_equal(net.predict(X), twin.predict(rows).reshape(6, *shape[:-1], 4))
    np.testing.assert_array_equal(net.predict_one(X[3]), net.predict(X[3:4])[0])
    close(net.gradient(X, y)[1], twin.gradient(rows, goals)[1], 1e-12)
    d_output = np.random.default_rng(1).normal(size=y.shape)
    d_input, gradient = net.backward(X, d_output)
    d_rows, wanted = twin.backward(rows, d_output.reshape(-1, 4))
    close(d_input, d_rows.reshape(X.shape), 1e-13)
    close(gradient, wanted, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 3, 8, None])
def test_threads_and_shuffles(dtype, batch_size):
    X, y, _, _ = data("cross_entropy", 21, seed=3)
    lengths = np.arange(21) % TIME + 1
    weights = np.arange(21) % 4 / 2.0
    vectors = []
    for threads in (1, 2, 3, 5):
        net, _ = pair("cross_entropy", "softmax", dtype=dtype)
        net.fit(X, y, epochs=3, batch_size=batch_size, threads=threads, lengths=lengths, sample_weight=weights)
        vectors.append(net.get_vector())
    assert all(np.array_equal(vector, vectors[0]) for vector in vectors)


def test_a_shuffled_epoch_keeps_rows_together():
    """One epoch in one order: the same gradient steps by hand."""
    X, y, _, _ = data("mean_squared_error", 10)
    lengths, weights = np.arange(10) % TIME + 1, 1.0 + np.arange(10)
    net, _ = pair()
    other, _ = pair()
    net.fit(X, y, epochs=1, batch_size=4, optimizer=cbp.SGD(0.1), lengths=lengths, sample_weight=weights)
    order = np.empty(10, np.intp)
    cbp.engine.cpu.core.permutation(net.seed, 0, order)
    for first in range(0, 10, 4):
        rows = order[first : first + 4]
        other.train_on_batch(X[rows], y[rows], optimizer=cbp.SGD(0.1), lengths=lengths[rows], sample_weight=weights[rows])
    assert np.array_equal(net.get_vector(), other.get_vector())


def test_pieces_change_nothing(monkeypatch):
    X, y, _, _ = data("cross_entropy", 40)
    vectors = []
    for piece in (1, 2, 12, 40):
        monkeypatch.setattr(cbp.engine.plan.Plan, "piece", lambda self, rows, *, apart=False, piece=piece: min(rows, piece))
        net, _ = pair("cross_entropy", "softmax")
        net.fit(X, y, epochs=2, batch_size=20, lengths=np.arange(40) % TIME + 1)
        vectors.append(np.concatenate([net.get_vector(), net.predict(X).reshape(-1)]))
    assert all(np.array_equal(vector, vectors[0]) for vector in vectors)


def test_validation_with_lengths():
    X, y, _, _ = data("mean_squared_error", 10)
    lengths = np.arange(10) % TIME + 1
    net, _ = pair()
    history = net.fit(X, y, epochs=2, validation_data=(X, y, None, lengths))
    assert history["val_loss"][-1] == net.evaluate(X, y, lengths=lengths)["loss"]
    assert history["val_loss"][-1] != net.evaluate(X, y)["loss"]


def test_a_step_after_the_length_may_hold_anything_finite():
    X, y, _, _ = data("mean_squared_error", 6)
    lengths = np.array([1, 2, 3, 4, 5, 2])
    other = X.copy()
    other[np.arange(TIME) >= lengths[:, None]] = 1e6
    net, _ = pair()
    assert net.evaluate(X, y, lengths=lengths) == net.evaluate(other, y, lengths=lengths)
    np.testing.assert_array_equal(net.gradient(X, y, lengths=lengths)[1], net.gradient(other, y, lengths=lengths)[1])


def test_check_gradients_and_resume(tmp_path):
    net, _ = pair("cross_entropy", "softmax", l2=0.01)
    X, y, _, _ = data("cross_entropy", 8)
    lengths = np.arange(8) % TIME + 1
    assert cbp.check_gradients(net, X, y, lengths=lengths).error < 1e-6
    net.fit(X, y, epochs=2, batch_size=3, lengths=lengths)
    net.save(tmp_path / "net.cbp")
    other = cbp.load(tmp_path / "net.cbp")
    for each in (net, other):
        each.fit(X, y, epochs=2, batch_size=3, lengths=lengths)
    assert np.array_equal(net.get_vector(), other.get_vector())
    assert other.input_shape == (TIME, 3)


def test_data_of_other_kinds():
    """Converted or strided data go in as their float64 copy does."""
    net, _ = pair()
    X, y, _, _ = data("mean_squared_error", 6)
    whole = np.round(X * 10).astype(np.int16)
    expected = net.evaluate(whole.astype(float), y)
    for given in (whole, whole.astype(">i2"), np.asfortranarray(whole), whole.repeat(2, axis=2)[:, :, ::2], whole.tolist()):
        assert net.evaluate(given, y) == expected
        assert net.fit(given, y, epochs=0) is not None


@pytest.mark.parametrize(("lengths", "error", "words"), [
    ([1, 2, 3], ValueError, "lengths must have the shape (6,), one length per sample, got (3,)"),
    ([1, 2, 3, 4, 5, 6], ValueError, "lengths holds 6 at index 5; lengths are from 1 to 5, the steps of X"),
    ([1, 2, 0, 4, 5, 1], ValueError, "lengths holds 0 at index 2"),
    ([1.0, 2, 3, 4, 5, 5], TypeError, "lengths must hold whole numbers from 1 to 5"),
    ("abcdef", (TypeError, ValueError), "lengths"),
])
def test_bad_lengths(lengths, error, words):
    net, _ = pair()
    X, y, _, _ = data("mean_squared_error", 6)
    before = net.get_vector()
    for ask in (lambda: net.fit(X, y, lengths=lengths), lambda: net.predict(X, lengths=lengths),
                lambda: net.train_on_batch(X, y, lengths=lengths), lambda: net.backward(X, y, lengths=lengths)):
        with pytest.raises(error) as caught:
            ask()
        assert words in str(caught.value)
    assert np.array_equal(net.get_vector(), before)


def test_lengths_need_an_axis_of_time():
    net = cbp.mlp([3, 2], seed=0)
    with pytest.raises(ValueError, match="the samples have no axis of time"):
        net.predict(np.ones((2, 3)), lengths=[1, 1])


@pytest.mark.parametrize("shape", [(6, TIME), (6, TIME, 3), (6, 4), (6,), (6, TIME, 4, 1)], ids=str)
def test_targets_of_another_shape(shape):
    net, _ = pair()
    with pytest.raises(ValueError, match="shape") as caught:
        net.fit(data("mean_squared_error", 6)[0], np.ones(shape))
    assert f"(samples, {TIME}, 4)" in str(caught.value)


def test_labels_out_of_range_are_named():
    net, _ = pair("cross_entropy", "softmax")
    X, _, _, _ = data("cross_entropy", 6)
    y = np.zeros((6, TIME), int)
    y[2, 3] = 7
    with pytest.raises(ValueError, match=r"y holds 7 at index \(2, 3\)"):
        net.fit(X, y)
    probabilities = np.full((6, TIME, 4), 0.25)
    probabilities[4, 1, 0] = 2
    with pytest.raises(ValueError, match=r"y holds 2\.0 for sample 4 at 1"):
        net.fit(X, probabilities)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("time", [3, 7, 10, 49])
def test_all_steps_right_is_an_accuracy_of_1(time, dtype):
    """Neither more nor less by the rounding of its sums; a single wrong step shows."""
    net = cbp.Network((time, 1), [cbp.Dense(2, "softmax")], loss="cross_entropy", dtype=dtype, seed=0)
    net.set_vector([0, 0, 9, 0])
    X, y = np.zeros((300, time, 1)), np.zeros((300, time), int)
    rng = np.random.default_rng(0)
    weights, lengths = rng.random(300), rng.integers(1, time + 1, 300)
    for given in ({}, {"sample_weight": weights}, {"lengths": lengths}, {"sample_weight": weights, "lengths": lengths}):
        assert net.evaluate(X, y, **given)["accuracy"] == 1
    history = net.fit(X, y, epochs=2, batch_size=16, optimizer=cbp.SGD(1e-3), sample_weight=weights, validation_data=(X, y))
    assert [*history.accuracy, *history["val_accuracy"]] == [1, 1, 1, 1]
    y[7, 0] = 1
    assert net.evaluate(X, y)["accuracy"] == pytest.approx(1 - 1 / (300 * time), rel=1e-12)


# --- lengths and layers that change what a position is -----------------------------------------------------------------------


def test_lengths_end_with_the_sequence_they_belong_to():
    """An encoder and a decoder: what the second recurrence walks through are not the steps of the samples."""
    layers = [cbp.LSTM(8), cbp.Dense(9), cbp.Reshape((3, 3)), cbp.LSTM(4, reverse=True, bptt=2, return_sequences=True),
              cbp.BatchNorm(), cbp.GlobalAveragePool(), cbp.Dense(1)]
    net = cbp.Network((6, 2), layers, loss="half_squared_error", dtype="float64", seed=1)
    rng = np.random.default_rng(0)
    X, d, lengths = rng.normal(size=(6, 6, 2)), rng.normal(size=(6, 1)), np.arange(1, 7)
    encoder = cbp.Network((6, 2), layers[:2], loss="half_squared_error", dtype="float64", seed=1)
    decoder = cbp.Network((9,), layers[2:], loss="half_squared_error", dtype="float64", seed=1)
    size = len(encoder.get_vector())
    encoder.set_vector(net.get_vector()[:size])
    decoder.set_vector(net.get_vector()[size:])
    between = encoder.predict(X, lengths=lengths)
    np.testing.assert_array_equal(net.predict(X, lengths=lengths), decoder.predict(between))
    d_input, gradient = net.backward(X, d, lengths=lengths, training=True)
    d_between, behind = decoder.backward(between, d, training=True)
    d_expected, before = encoder.backward(X, d_between, lengths=lengths)
    close(d_input, d_expected, 1e-12)
    close(gradient, [*before, *behind], 1e-12)


@pytest.mark.parametrize("layers", [
    [cbp.Reshape((6, 2, 1)), cbp.Dense(1)],
    [cbp.Reshape((6, 1, 2)), cbp.BatchNorm(), cbp.Flatten(), cbp.Dense(1)],
    [cbp.Reshape((4, 3)), cbp.GRU(3), cbp.Dense(1)],
    [cbp.Flatten(), cbp.Dense(1)],
], ids=["images", "normalised", "other steps", "flat"])  # fmt: skip
def test_lengths_are_refused_where_steps_are_mixed(layers):
    net = cbp.Network((6, 2), layers, loss="half_squared_error", seed=1)
    name = type(layers[0]).__name__
    with pytest.raises(ValueError, match=rf"^lengths cannot be used with this network: {name}\(.* takes all steps of a sample"):
        net.predict(np.zeros((2, 6, 2)), lengths=[1, 6])


def test_a_gradient_after_the_end_of_a_sequence_counts_for_nothing():
    rng = np.random.default_rng(0)
    for layers in ([cbp.Dense(3)], [cbp.GRU(3, return_sequences=True)], [cbp.LayerNorm(), cbp.Dense(2, "tanh")]):
        net = cbp.Network((5, 2), layers, loss="half_squared_error", dtype="float64", seed=1)
        X, d, lengths = rng.normal(size=(4, 5, 2)), rng.normal(size=(4, *net.output_shape)), np.array([1, 5, 3, 2])
        ended = np.where((np.arange(5) < lengths[:, None])[..., None], d, 0)
        for found, expected in zip(net.backward(X, d, lengths=lengths), net.backward(X, ended, lengths=lengths), strict=True):
            np.testing.assert_array_equal(found, expected)
        assert not net.backward(X, d, lengths=lengths)[0][0, 1:].any()
