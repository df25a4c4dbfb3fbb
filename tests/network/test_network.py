"""Network: configuration, parameters, predictions, evaluation, gradients and what they promise each other."""

import copy
import pickle
import threading

import facts
import numpy as np
import pytest
from cases import ALL_LOSSES, ALL_OPTIMIZERS, OPTIMIZERS, seed_of, targets, trained_elsewhere

import cbp
from cbp.engine import runner
from cbp.initializers import INITIALIZERS

MSE = "mean_squared_error"


def regression(samples=50, inputs=3, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((samples, inputs)), rng.standard_normal((samples, outputs))


def small(dtype="float64", **options):
    return cbp.mlp([3, 5, 2], hidden="tanh", dtype=dtype, seed=1, **options)


# --- what was configured --------------------------------------------------------------------------------------------


def test_attributes_tell_the_configuration():
    layers = [cbp.Dense(32, "relu"), cbp.Dense(10, "softmax")]
    net = cbp.Network(64, layers, loss="cross_entropy", seed=5, l1=0.1, l2=0.2)
    assert net.input_shape == (64,)
    assert net.output_shape == (10,)
    assert net.layers == tuple(layers)
    assert net.loss == cbp.losses.CrossEntropy()
    assert net.dtype == np.float32
    assert (net.seed, net.l1, net.l2) == (5, 0.1, 0.2)
    assert (net.optimizer, net.history, net.metadata, net.step, net.epoch) == (None, None, {}, 0, 0)
    assert dict(net.optimizer_state) == {}


@pytest.mark.parametrize("inputs", [7, (7,), [7], np.int64(7), np.uint8(7)])
def test_inputs_is_a_number_or_a_shape(inputs):
    assert cbp.Network(inputs, [cbp.Dense(1)], loss=MSE).input_shape == (7,)


@pytest.mark.parametrize("dtype", ["float32", "float64", np.float32, np.float64, np.dtype("f4"), float, "d"])
def test_every_way_to_name_a_dtype(dtype):
    net = small(dtype)
    assert net.dtype == np.dtype(dtype)
    assert net.get_vector().dtype == net.dtype
    assert net.predict(regression()[0]).dtype == net.dtype
    assert all(view.dtype == net.dtype for view in net.parameters.values())


@pytest.mark.parametrize(("output", "loss"), [
    ("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy"), ("identity", MSE), ("relu", MSE), ("tanh", MSE),
])
def test_mlp_takes_the_loss_that_belongs_to_the_output(output, loss):
    net = cbp.mlp([4, 8, 6, 3], hidden="gelu", output=output, dtype="float64", seed=2, l2=0.5)
    assert net.loss.name == loss
    assert [(layer.units, layer.activation) for layer in net.layers] == [(8, "gelu"), (6, "gelu"), (3, output)]
    assert (net.input_shape, net.dtype, net.seed, net.l2) == ((4,), np.float64, 2, 0.5)


def test_mlp_without_hidden_layers_and_with_a_loss():
    net = cbp.mlp((4, 3), loss=cbp.losses.huber(0.5))
    assert len(net.layers) == 1
    assert net.loss == cbp.losses.Huber(0.5)


def test_settings_of_one_network_do_not_reach_another():
    a, b = small(), small()
    a.metadata["note"] = 1
    a.parameters["0.weight"][...] = 7
    assert b.metadata == {}
    assert not (b.parameters["0.weight"] == 7).any()


# --- seeds ----------------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_weights():
    assert np.array_equal(small().get_vector(), small().get_vector())
    other = cbp.mlp([3, 5, 2], hidden="tanh", dtype="float64", seed=2)
    assert not np.array_equal(small().get_vector(), other.get_vector())


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32, 2**63 - 1, np.int64(5), np.uint32(7)])
def test_every_seed_in_range(seed):
    nets = [cbp.mlp([3, 5, 2], seed=seed) for _ in range(2)]
    assert nets[0].seed == seed
    assert type(nets[0].seed) is int
    assert np.array_equal(nets[0].get_vector(), nets[1].get_vector())


def test_seeds_that_differ_in_the_high_bits_only_differ():
    vectors = [cbp.mlp([3, 5, 2], seed=seed).get_vector() for seed in (1, 1 + 2**32, 1 + 2**62)]
    assert not np.array_equal(vectors[0], vectors[1])
    assert not np.array_equal(vectors[0], vectors[2])


def test_a_seed_from_the_system_is_told_and_repeats_the_network():
    net = cbp.mlp([3, 5, 2])
    assert 0 <= net.seed < 2**63
    assert np.array_equal(net.get_vector(), cbp.mlp([3, 5, 2], seed=net.seed).get_vector())
    assert len({cbp.mlp([3, 5, 2]).seed for _ in range(8)}) == 8


def test_numpys_generator_is_neither_used_nor_moved():
    X, y = regression()
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    net = small()
    net.fit(X, y, epochs=2)
    assert np.array_equal(before, np.random.get_state()[1])  # noqa: NPY002
    np.random.seed(4)  # noqa: NPY002
    again = small()
    again.fit(X, y, epochs=2)
    assert np.array_equal(net.get_vector(), again.get_vector())


# --- how weights start ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(INITIALIZERS))
def test_initializers_have_their_spread(name):
    inputs, units = 200, 120
    net = cbp.Network(inputs, [cbp.Dense(units, init=name)], loss=MSE, seed=0, dtype="float64")
    weight, bias = net.parameters["0.weight"], net.parameters["0.bias"]
    variance = {
        "glorot": 2 / (inputs + units), "he": 2 / inputs, "lecun": 1 / inputs, "orthogonal": 1 / inputs,
        "zeros": 0, "ones": 0,
    }[name.split("_")[0]]
    assert not bias.any()
    assert weight.var() == pytest.approx(variance, rel=0.05)
    assert weight.mean() == pytest.approx(1 if name == "ones" else 0, abs=4 * np.sqrt(variance / weight.size))
    if name.endswith("_uniform"):
        assert np.abs(weight).max() <= np.sqrt(3 * variance)
    if name.endswith("_normal"):
        assert np.abs(weight).max() > np.sqrt(3 * variance)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (1, 4), (4, 1)])
def test_orthogonal_weights_are_orthogonal(shape):
    net = cbp.Network(shape[0], [cbp.Dense(shape[1], init="orthogonal")], loss=MSE, seed=0, dtype="float64")
    weight = net.parameters["0.weight"]
    product = weight @ weight.T if shape[0] <= shape[1] else weight.T @ weight
    np.testing.assert_allclose(product, np.eye(min(shape)), atol=1e-12)


@pytest.mark.parametrize("activation", facts.ACTIVATIONS)
def test_the_default_initializer_follows_the_activation(activation):
    assert cbp.Dense(3, activation) == cbp.Dense(3, activation, init=facts.ACTIVATIONS[activation].init)


def test_given_values_start_the_weights_and_are_copied():
    expected = np.arange(6.0).reshape(2, 3)
    values = expected.copy()
    layer = cbp.Dense(3, init=values)
    values[:] = -1
    net = cbp.Network(2, [layer], loss=MSE)
    np.testing.assert_array_equal(net.parameters["0.weight"], expected)
    net.parameters["0.weight"][...] = 9
    np.testing.assert_array_equal(cbp.Network(2, [layer], loss=MSE).parameters["0.weight"], expected)


@pytest.mark.parametrize("value", [0.5, 1, -2, np.float64(0.25), np.float32(0.5), np.int64(3), np.array(0.5)])
def test_a_number_starts_every_weight(value):
    net = cbp.Network(2, [cbp.Dense(3, init=value)], loss=MSE)
    assert (net.parameters["0.weight"] == value).all()
    assert not net.parameters["0.bias"].any()


def test_layers_of_equal_specification_start_differently():
    """One Dense object used three times is a specification, not a shared layer."""
    layer = cbp.Dense(4, "tanh")
    net = cbp.Network(4, [layer, layer, layer], loss=MSE, seed=0)
    weights = [net.parameters[f"{index}.weight"] for index in range(3)]
    assert not np.array_equal(weights[0], weights[1])
    assert not np.array_equal(weights[1], weights[2])
    weights[0][...] = 0
    assert weights[1].any()


def test_a_layer_without_biases_has_none():
    net = cbp.Network(2, [cbp.Dense(3, bias=False), cbp.Dense(1)], loss=MSE)
    assert list(net.parameters) == ["0.weight", "1.weight", "1.bias"]


# --- parameters -----------------------------------------------------------------------------------------------------


def test_parameters_are_named_in_the_order_of_the_vector():
    net = cbp.mlp([3, 17, 2], seed=0)
    assert list(net.parameters) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert [view.shape for view in net.parameters.values()] == [(3, 17), (17,), (17, 2), (2,)]
    expected = np.concatenate([view.ravel() for view in net.parameters.values()])
    np.testing.assert_array_equal(net.get_vector(), expected)


def test_parameters_are_writable_views():
    net = small()
    X, _ = regression()
    view = net.parameters["0.weight"]
    view[...] = 0
    net.parameters["0.bias"][...] = 0
    net.parameters["1.bias"][...] = [3.0, -4.0]
    np.testing.assert_array_equal(net.predict(X), np.tile([3.0, -4.0], (len(X), 1)))
    net.set_vector(np.ones(len(net.get_vector())))
    assert (view == 1).all()


def test_views_stay_valid_through_training():
    net = small()
    view = net.parameters["1.bias"]
    before = view.copy()
    net.fit(*regression(), epochs=1)
    assert not np.array_equal(view, before)
    np.testing.assert_array_equal(net.get_vector()[-2:], view)


def test_the_vector_is_a_copy_and_comes_back():
    net = small("float32")
    X, _ = regression()
    expected = net.predict(X)
    vector = net.get_vector()
    vector[:] = 0
    assert np.array_equal(net.predict(X), expected)
    saved = net.get_vector()
    net.set_vector(vector)
    assert not net.predict(X).any()
    net.set_vector(saved)
    assert np.array_equal(net.predict(X), expected)


def test_set_vector_takes_its_own_views_and_other_dtypes():
    net = cbp.Network(1, [cbp.Dense(3, bias=False)], loss=MSE, seed=0)
    before = net.get_vector()
    net.set_vector(net.parameters["0.weight"][0])
    np.testing.assert_array_equal(net.get_vector(), before)
    net.set_vector([1, 2, 3])
    np.testing.assert_array_equal(net.get_vector(), [1, 2, 3])


def test_numbers_lie_on_a_cache_line():
    for width in (1, 3, 16, 17):
        assert small().parameters["0.weight"].ctypes.data % 64 == 0
        assert cbp.mlp([width, width]).parameters["0.weight"].ctypes.data % 64 == 0


def test_pad_lanes_stay_zero():
    """Rows are padded to 16 numbers inside; whatever trains must leave the pads alone."""
    X, y = regression(40)
    for optimizer in ALL_OPTIMIZERS.values():
        net = small(l1=0.1, l2=0.1)
        net.fit(X, y, epochs=3, batch_size=7, optimizer=optimizer)
        for flat in (net._numbers.parameters, *net._numbers.state):
            used = sum(float(np.abs(view).sum()) for view in net._plan.views(flat).values())
            assert float(np.abs(flat).sum()) == pytest.approx(used, rel=1e-12)


# --- the optimizer and its state ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_state_has_the_parameters_names_and_shapes(name):
    optimizer = OPTIMIZERS[name]
    known = tuple(facts.OPTIMIZERS[optimizer.name].slots)
    net = small()
    net.set_optimizer(optimizer)
    assert net.optimizer == optimizer
    assert tuple(net.optimizer_state) == optimizer.slots == known[: len(optimizer.slots)]
    for arrays in net.optimizer_state.values():
        assert {name: view.shape for name, view in arrays.items()} == {n: v.shape for n, v in net.parameters.items()}
        assert not any(view.any() for view in arrays.values())
    net.fit(*regression(), epochs=1)
    for arrays in net.optimizer_state.values():
        assert all(view.any() for view in arrays.values())


def test_optimizer_state_can_be_written():
    net = small()
    net.set_optimizer(cbp.SGD(1.0, momentum=0.5))
    net.optimizer_state["velocity"]["1.bias"][...] = [2.0, 4.0]
    before = net.parameters["1.bias"].copy()
    X, _ = regression(1)
    net.train_on_batch(X, net.predict(X))  # no error, so the gradient is 0 and only the velocity moves the biases
    np.testing.assert_allclose(net.parameters["1.bias"], before - [1.0, 2.0], rtol=1e-12)


def test_set_optimizer_starts_afresh_even_with_an_equal_one():
    net = small()
    net.fit(*regression(), epochs=2, optimizer=cbp.Adam(0.01))
    assert net.step > 0
    net.set_optimizer(cbp.Adam(0.01))
    assert net.step == 0
    assert not any(view.any() for arrays in net.optimizer_state.values() for view in arrays.values())
    net.set_optimizer("sgd")
    assert net.optimizer == cbp.SGD()


# --- predictions ----------------------------------------------------------------------------------------------------


def test_predict_is_the_formula():
    net = small()
    X, _ = regression(20)
    p = net.parameters
    expected = np.tanh(X @ p["0.weight"] + p["0.bias"]) @ p["1.weight"] + p["1.bias"]
    np.testing.assert_allclose(net.predict(X), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", facts.ACTIVATIONS)
def test_a_row_gets_the_same_bits_in_every_batch(dtype, activation):
    """Alone, in a part of the data or in all of them: a prediction does not depend on its neighbours."""
    rng = np.random.default_rng(len(activation))
    for sizes in ([1, 1, 1], [3, 17, 2], [int(n) for n in rng.integers(1, 80, 3)], [300, 65, 10]):
        layers = [cbp.Dense(sizes[1], activation), cbp.Dense(sizes[2], activation)]
        net = cbp.Network(sizes[0], layers, loss=MSE, seed=4, dtype=dtype)
        X = rng.standard_normal((int(rng.integers(30, 70)), sizes[0]))
        whole = net.predict(X)
        cut = int(rng.integers(1, len(X)))
        assert np.array_equal(np.concatenate([net.predict(X[:cut]), net.predict(X[cut:])]), whole)
        assert np.array_equal(np.stack([net.predict_one(x) for x in X]), whole)
        assert np.array_equal(net.predict(X[::-1])[::-1], whole)


def test_predict_in_many_pieces_and_slices(monkeypatch):
    """Large data go through in pieces, and the core returns to Python between them."""
    net = cbp.mlp([6, 20, 3], hidden="sigmoid", seed=0)
    X = np.random.default_rng(0).standard_normal((5000, 6)).astype(np.float32)
    whole = net.predict(X)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    assert np.array_equal(net.predict(X), whole)
    assert np.array_equal(net.predict(X[1234:1235]), whole[1234:1235])


def test_predict_returns_fresh_memory():
    net = small()
    X, _ = regression()
    first = net.predict(X)
    saved = first.copy()
    first[:] = 0
    assert np.array_equal(net.predict(X), saved)
    second = net.predict(X)
    net.predict(X + 1)
    assert np.array_equal(second, saved)
    assert second.flags.c_contiguous
    assert second.flags.writeable
    assert second.flags.owndata


def test_predict_one_gives_one_row():
    net = small()
    X, _ = regression(4)
    row = net.predict_one(X[2])
    assert row.shape == (2,)
    np.testing.assert_array_equal(row, net.predict(X)[2])
    np.testing.assert_array_equal(net.predict_one(list(X[2])), row)


def test_asking_changes_nothing():
    X, y = regression()
    net = small()
    net.fit(X, y, epochs=2)
    before = pickle.dumps((net.get_vector(), net._numbers.state, net.step, net.epoch))
    history = net.history
    net.predict(X), net.predict_one(X[0]), net.evaluate(X, y), net.gradient(X, y), net.backward(X, y)
    net.summary(), repr(net), cbp.check_gradients(net, X[:3], y[:3])
    assert pickle.dumps((net.get_vector(), net._numbers.state, net.step, net.epoch)) == before
    assert net.history is history


def test_data_are_never_written_to():
    X, y = regression()
    weight = np.arange(len(X)) + 1.0
    copies = X.copy(), y.copy(), weight.copy()
    net = small()
    net.fit(X, y, sample_weight=weight, epochs=2, validation_data=(X, y, weight))
    net.evaluate(X, y, weight), net.gradient(X, y, weight), net.backward(X, y)
    net.train_on_batch(X, y, sample_weight=weight)
    for array, saved in zip((X, y, weight), copies, strict=True):
        assert np.array_equal(array, saved)


def test_softmax_rows_sum_to_one():
    net = cbp.mlp([3, 5, 7], output="softmax", seed=0)
    P = net.predict(regression(100)[0] * 50)
    np.testing.assert_allclose(P.sum(axis=1), 1, rtol=1e-5)
    assert (P >= 0).all()


def test_subnormal_numbers_survive():
    """No part of the library switches the processor to flush subnormals."""
    net = small()
    net.fit(*regression(), epochs=1)
    assert np.float64(5e-324) * np.float64(1.0) > 0
    assert (np.full(64, 1e-45, np.float32) * np.float32(1)).all()


# --- evaluate -------------------------------------------------------------------------------------------------------


def net_for(loss, outputs=3, **options):
    options = {"dtype": "float64", "seed": 1, "hidden": "tanh", **options}
    return cbp.mlp([3, 5, outputs], output=facts.LOSSES[cbp.losses.get(loss).name].output, loss=loss, **options)


@pytest.mark.parametrize("name", ALL_LOSSES)
@pytest.mark.parametrize("weighted", [False, True])
def test_evaluate_is_what_numpy_computes(name, weighted):
    X, _ = regression(200)
    loss = ALL_LOSSES[name]
    y = targets(loss, np.random.default_rng(seed_of(name)), 200)
    weight = np.random.default_rng(1).integers(0, 4, 200).astype(float) if weighted else None
    net = net_for(loss, l1=0.01, l2=0.02)
    row, P = facts.LOSSES[loss.name], net.predict(X)
    rows, metric = row.value(loss, P, y), row.measure(P, y)
    weights = [view for name_, view in net.parameters.items() if name_.endswith("weight")]
    penalty = sum(0.01 * np.abs(w).sum() + 0.02 / 2 * (w**2).sum() for w in weights)
    result = net.evaluate(X, y, weight)
    assert list(result) == ["loss", row.metric]
    assert result["loss"] == pytest.approx(np.average(rows, weights=weight) + penalty, rel=1e-10)
    assert result[row.metric] == pytest.approx(np.average(metric, weights=weight), rel=1e-10)
    assert all(type(value) is float for value in result.values())


def test_labels_and_one_hot_rows_mean_the_same():
    X, _ = regression(60)
    labels = np.random.default_rng(0).integers(0, 3, 60)
    net = net_for("cross_entropy")
    expected = net.evaluate(X, labels)
    for y in (np.eye(3)[labels], labels[:, None], labels.astype(float), labels.astype(np.uint8), list(labels)):
        result = net.evaluate(X, y)
        assert result["loss"] == pytest.approx(expected["loss"], rel=1e-12)
        assert result["accuracy"] == expected["accuracy"]


def test_a_column_and_a_flat_target_mean_the_same():
    X, _ = regression(30)
    y = np.random.default_rng(0).standard_normal(30)
    net = net_for(MSE, outputs=1)
    assert net.evaluate(X, y) == net.evaluate(X, y[:, None])
    assert net.gradient(X, y)[0] == net.gradient(X, y[:, None])[0]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 3e-7), ("float64", 1e-11)])
def test_evaluate_large_data(monkeypatch, dtype, tolerance):
    """Sums over many samples are exact to the rounding of one."""
    X, _ = regression(300_000)
    y = np.random.default_rng(0).integers(3, size=300_000)
    net = net_for("cross_entropy", dtype=dtype)
    P = net.predict(X).astype(np.float64)
    expected = -np.log(P[np.arange(len(y)), y]).mean()
    result = net.evaluate(X, y)
    assert result["loss"] == pytest.approx(expected, rel=tolerance)
    assert result["accuracy"] == pytest.approx((P.argmax(1) == y).mean(), rel=1e-14)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    assert net.evaluate(X, y) == result


def test_accuracy_of_a_tie_counts_the_first_class():
    net = cbp.Network(1, [cbp.Dense(3, "softmax", init=0.0)], loss="cross_entropy")
    X = np.ones((3, 1))
    assert net.evaluate(X, [0, 0, 0])["accuracy"] == 1
    assert net.evaluate(X, [1, 2, 1])["accuracy"] == 0


# --- gradient and backward ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", facts.LOSSES)
def test_check_gradients_is_content(name):
    X, _ = regression(9)
    X, y = X / 2, targets(name, np.random.default_rng(seed_of(name)), 9)
    report = cbp.check_gradients(net_for(name, l1=0.01, l2=0.02), X, y, sample_weight=np.arange(9) + 1)
    assert report.error < 1e-6
    assert report.checked == 38
    assert report.parameter in str(report)


def test_check_gradients_limit_and_names():
    X, y = regression(4)
    report = cbp.check_gradients(small(), X, y, limit=5)
    assert report.checked == 5
    name, _, index = report.parameter.rstrip("]").partition("[")
    small().parameters[name][tuple(int(i) for i in index.split(","))]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_is_the_step_of_gradient_descent(dtype):
    """With a rate that is a power of two the step is exact, whatever the compiler fuses."""
    X, y = regression(40)
    net = small(dtype, l1=0.01, l2=0.02)
    vector = net.get_vector()
    loss, gradient = net.gradient(X, y)
    assert gradient.shape == vector.shape
    assert gradient.dtype == vector.dtype
    assert net.train_on_batch(X, y, optimizer=cbp.SGD(0.25)) == loss
    np.testing.assert_array_equal(net.get_vector(), vector - vector.dtype.type(0.25) * gradient)


def test_gradient_with_weights_is_the_weighted_mean():
    X, y = regression(6)
    net = small()
    weight = np.array([0, 1, 2, 0.5, 0, 3])
    loss, gradient = net.gradient(X, y, weight)
    parts = [net.gradient(X[i : i + 1], y[i : i + 1]) for i in range(6)]
    mean_loss = np.average([part[0] for part in parts], weights=weight)
    mean_gradient = np.average([part[1] for part in parts], axis=0, weights=weight)
    np.testing.assert_allclose(loss, mean_loss, rtol=1e-12)
    np.testing.assert_allclose(gradient, mean_gradient, rtol=1e-10, atol=1e-14)


def test_gradient_of_many_pieces(monkeypatch):
    """A batch of several pieces: the sum over its rows, the same with and without pauses between them."""
    X, y = regression(3001)
    net = small()
    loss, gradient = net.gradient(X, y)
    halves = [net.gradient(X[:1500], y[:1500]), net.gradient(X[1500:], y[1500:])]
    np.testing.assert_allclose(gradient, (1500 * halves[0][1] + 1501 * halves[1][1]) / 3001, rtol=1e-10, atol=1e-13)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    again = net.gradient(X, y)
    assert again[0] == loss
    assert np.array_equal(again[1], gradient)


def test_backward_is_the_gradient_of_the_loss():
    X, y = regression(30)
    net = small()
    _, expected = net.gradient(X, y)
    d_input, gradient = net.backward(X, 2 * (net.predict(X) - y) / y.size)
    np.testing.assert_allclose(gradient, expected, rtol=1e-10, atol=1e-14)
    assert d_input.shape == X.shape


def test_backward_gives_the_gradient_of_the_inputs():
    X, d = regression(5)
    net = small()
    d_input, _ = net.backward(X, d)
    for row, column in np.ndindex(X.shape):
        ends = []
        for sign in (1, -1):
            moved = X.copy()
            moved[row, column] += sign * 1e-6
            ends.append((net.predict(moved) * d).sum())
        assert d_input[row, column] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-8)


def test_backward_in_many_pieces(monkeypatch):
    X, d = regression(3001)
    net = small(l1=1.0, l2=1.0)  # penalties are not part of it
    d_input, gradient = net.backward(X, d)
    np.testing.assert_allclose(net.backward(X[2000:2001], d[2000:2001])[0], d_input[2000:2001], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(
        gradient, net.backward(X[:999], d[:999])[1] + net.backward(X[999:], d[999:])[1], rtol=1e-9, atol=1e-10)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    again = net.backward(X, d)
    assert np.array_equal(again[0], d_input)
    assert np.array_equal(again[1], gradient)


# --- copies and words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_a_copy_goes_on_like_the_original_and_is_independent(duplicate):
    X, y = regression()
    net = small(l2=0.01)
    net.metadata["note"] = "kept"
    net.fit(X, y, epochs=2, optimizer=cbp.Adam(0.01))
    other = duplicate(net)
    for name in ("layers", "loss", "dtype", "seed", "l1", "l2", "optimizer", "step", "epoch", "metadata"):
        assert getattr(other, name) == getattr(net, name)
    before = net.get_vector()
    other.fit(X, y, epochs=3)
    assert np.array_equal(net.get_vector(), before)
    net.fit(X, y, epochs=3)
    assert np.array_equal(net.get_vector(), other.get_vector())


def test_summary_counts_the_parameters():
    net = cbp.Network(64, [cbp.Dense(32, "relu"), cbp.Dense(10, "softmax", bias=False)], loss="cross_entropy")
    text = net.summary()
    assert "2,080" in text
    assert "2,400 parameters" in text
    for word in ("0 Dense", "1 Dense", "relu", "softmax", "(32,)", "(10,)", "float32", "cross_entropy"):
        assert word in text
    assert all(line == line.rstrip() for line in text.splitlines())


def test_repr_builds_the_network_again():
    net = cbp.mlp([3, 5, 2], hidden="tanh", seed=9, dtype="float64")
    again = eval(repr(net), {"Network": cbp.Network, "Dense": cbp.Dense})
    assert repr(again) == repr(net)
    assert np.array_equal(again.get_vector(), net.get_vector())


# --- threads --------------------------------------------------------------------------------------------------------


def together(functions):
    """Run the functions at once, from one start; their results, or the first exception."""
    start = threading.Barrier(len(functions))
    results = [None] * len(functions)

    def work(index):
        start.wait()
        try:
            results[index] = functions[index]()
        except BaseException as problem:  # handed to the test's own thread
            results[index] = problem

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eight_threads_predict_at_once(dtype):
    net = cbp.mlp([10, 70, 33, 5], hidden="tanh", output="softmax", dtype=dtype, seed=0)
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((int(rows), 10)) for rows in rng.integers(1, 300, 8)]
    expected = [net.predict(X) for X in inputs]

    def predict(X, right):
        return lambda: all(np.array_equal(net.predict(X), right) for _ in range(200))

    assert together([predict(X, right) for X, right in zip(inputs, expected, strict=True)]) == [True] * 8


def test_threads_ask_different_things_at_once():
    net = small()
    X, y = regression(300)
    asks = [
        lambda: net.predict(X), lambda: net.predict_one(X[3]), lambda: net.evaluate(X, y)["loss"],
        lambda: net.gradient(X, y)[1], lambda: net.backward(X, y)[0], lambda: net.backward(X, y)[1],
        lambda: net.gradient(X[:7], y[:7])[1], lambda: net.predict(X[:1]),
    ]
    expected = [ask() for ask in asks]

    def repeat(ask, right):
        return lambda: all(np.array_equal(ask(), right) for _ in range(100))

    assert all(together([repeat(ask, right) for ask, right in zip(asks, expected, strict=True)]))


def test_threads_train_different_networks_at_once():
    X, y = regression(200)

    def train(seed):
        net = cbp.mlp([3, 16, 2], seed=seed)
        net.fit(X, y, epochs=20, batch_size=8)
        return net.get_vector()

    expected = [train(seed) for seed in range(8)]
    results = together([lambda seed=seed: train(seed) for seed in range(8)])
    assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


def test_what_would_be_half_of_one_step_is_not_saved_or_copied(tmp_path):
    net = cbp.mlp([3, 2], seed=0)
    with trained_elsewhere(net):
        for call in (lambda: net.save(tmp_path / "net.cbp"), lambda: copy.deepcopy(net), lambda: pickle.dumps(net)):
            with pytest.raises(RuntimeError, match=r"trained or saved by another thread.* wait for it, or work with a copy"):
                call()
    assert not list(tmp_path.iterdir())
    np.testing.assert_array_equal(copy.deepcopy(net).get_vector(), net.get_vector())


def test_several_threads_copy_one_network_at_once():
    net = cbp.mlp([300, 300, 2], seed=0)
    copies = together([lambda: copy.deepcopy(net), lambda: pickle.loads(pickle.dumps(net))] * 4)
    assert all(np.array_equal(each.get_vector(), net.get_vector()) for each in copies)


@pytest.mark.parametrize(("value", "words"), [(np.nan, r"nan at index \(1,\)"), (-1, "a value below 0")])
def test_statistics_that_are_wrong_are_named(value, words):
    net = cbp.Network(3, [cbp.BatchNorm(), cbp.Dense(1)], loss="mean_squared_error", seed=0)
    net.statistics["0.variance"][1] = value
    with pytest.raises(ValueError, match=rf"^statistics\['0.variance'\] holds {words}"):
        net.fit(np.ones((4, 3)), np.ones(4), epochs=1)


@pytest.mark.parametrize("outside", [lambda inner: cbp.Residual([cbp.Dense(3), inner]),
                                     lambda inner: cbp.Residual([cbp.Residual([inner])])])
def test_layers_of_others_inside_a_layer(outside):
    class Mine(cbp.Dense):
        pass

    with pytest.raises(TypeError, match=r"^layers\[1\] must be a layer such as .* inside$"):
        cbp.Network(3, [cbp.Dense(3), outside(Mine(3))], loss="mean_squared_error")
