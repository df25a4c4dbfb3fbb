"""Predictions under noise, the values between layers, results into arrays that are given, and the short way of gradients."""

import threading

import numpy as np
import pytest
from cases import LAYERS, close, dumps, layer_data, layer_network

import cbp
from cbp.engine import questions


def noisy(dtype="float64", seed=0):
    layers = [cbp.Dense(40, "tanh"), cbp.Dropout(0.5), cbp.BatchNorm(), cbp.GaussianNoise(0.1), cbp.Dense(2)]
    return cbp.Network(3, layers, loss="mean_squared_error", dtype=dtype, seed=seed)


ROWS = np.random.default_rng(0).normal(size=(7, 3))


# --- predictions under noise --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_seed_says_which_noise(dtype):
    net = noisy(dtype)
    before = dumps(net)
    one, same, other = (net.predict(ROWS, training=True, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    assert (net.predict(ROWS, training=True) != net.predict(ROWS, training=True)).all()
    assert (one != net.predict(ROWS)).all()
    assert dumps(net) == before


def test_every_row_has_noise_of_its_own_and_depends_on_no_other():
    net = noisy()
    same = np.repeat(ROWS[:1], 5, axis=0)
    found = net.predict(same, training=True, seed=3)
    assert len(np.unique(found[:, 0])) == 5
    moved = same.copy()
    moved[1:] += 1
    close(net.predict(moved, training=True, seed=3)[0], found[0], 1e-13)


def test_its_mean_is_the_prediction_of_a_linear_network():
    net = cbp.Network(3, [cbp.Dropout(0.3), cbp.Dense(1), cbp.GaussianNoise(0.2)], loss="mean_squared_error", dtype="float64",
                      seed=0)
    x = np.repeat(ROWS[:1], 20_000, axis=0)
    found = net.predict(x, training=True, seed=0)[:, 0]
    kept = ROWS[0] * net.parameters["0.weight" if "0.weight" in net.parameters else "1.weight"][:, 0]
    variance = (kept**2 * 0.3 / 0.7).sum() + 0.2**2
    assert abs(found.mean() - net.predict(ROWS[:1])[0, 0]) < 4 * np.sqrt(variance / 20_000)
    assert found.var() == pytest.approx(variance, rel=0.05)


def test_noise_is_that_of_a_step_with_this_seed():
    """A mask is a function of seed, layer and row: the first step of a network with the seed 9 has the one of seed=9."""
    net = cbp.Network(3, [cbp.Dense(8), cbp.Dropout(0.5)], loss="mean_squared_error", dtype="float64", seed=9)
    y = np.random.default_rng(1).normal(size=(7, 8))
    p = net.predict(ROWS, training=True, seed=9)
    assert net.gradient(ROWS, y, training=True)[0] == pytest.approx(((p - y) ** 2).mean(), rel=1e-13)


def test_pieces_change_nothing(monkeypatch):
    net, x = noisy(), np.random.default_rng(2).normal(size=(300, 3))
    whole = net.predict(x, training=True, seed=5)
    monkeypatch.setattr("cbp.engine.plan.PIECE", 1)
    monkeypatch.setattr(questions, "PATIENCE", 0.0)
    assert net._plan.piece(300, apart=True) == 12
    np.testing.assert_array_equal(net.predict(x, training=True, seed=5), whole)


def test_noise_in_recurrent_networks_with_lengths_and_state():
    net = cbp.Network((4, 2), [cbp.GRU(3, return_sequences=True, stateful=True), cbp.Dropout(0.5), cbp.Dense(1)],
                      loss="mean_squared_error", dtype="float64", seed=0)
    x = np.random.default_rng(3).normal(size=(2, 4, 2))
    first = net.predict(x, training=True, seed=1, lengths=[4, 2])
    second = net.predict(x, training=True, seed=1, lengths=[4, 2])
    assert (first[0] != second[0]).any()  # the state went on
    net.reset_state()
    np.testing.assert_array_equal(net.predict(x, training=True, seed=1, lengths=[4, 2]), first)


@pytest.mark.parametrize(("settings", "kind", "message"), [
    ({"seed": 1}, ValueError, "seed says which noise a prediction with training=True has, got seed=1 without that"),
    ({"training": True, "seed": -1}, ValueError, "seed must be"),
    ({"training": True, "seed": "a"}, TypeError, "seed must be"),
    ({"training": 3}, TypeError, "training must be True or False"),
])
def test_refused_settings_of_noise(settings, kind, message):
    with pytest.raises(kind, match=message):
        noisy().predict(ROWS, **settings)


# --- the values between layers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_activations_of_every_layer(name):
    net = layer_network(name, before=True, after=True)
    x, _, _ = layer_data(net, 5)
    found = net.activations(x)
    shape = net.input_shape
    assert [place for place in found if "." not in place] == [str(index) for index in range(len(net.layers))]
    for index, layer in enumerate(net.layers):
        shape = layer.output_shape(shape)
        assert found[str(index)].shape == (5, *shape)
        part = cbp.Network(net.input_shape, net.layers[: index + 1], loss="mean_squared_error", dtype="float64")
        part.parameters = {key: net.parameters[key] for key in part.parameters}
        part.statistics = {key: net.statistics[key] for key in part.statistics}
        close(found[str(index)], part.predict(x), 1e-13)
    np.testing.assert_array_equal(found[str(len(net.layers) - 1)], net.predict(x))


def test_activations_inside_of_layers():
    block = cbp.Residual([cbp.Dense(4, "relu"), cbp.Residual([cbp.Dense(4, "tanh")]), cbp.Dense(5)])
    net = cbp.Network((3, 2), [cbp.Bidirectional(cbp.LSTM(2, return_sequences=True)), block, cbp.Flatten()],
                      loss="mean_squared_error", dtype="float64", seed=0)
    x = np.random.default_rng(0).normal(size=(6, 3, 2))
    found = net.activations(x)
    assert {place: values.shape[1:] for place, values in found.items()} == {
        "0.forward": (3, 2), "0.backward": (3, 2), "0": (3, 4), "1.0": (3, 4), "1.1.0": (3, 4), "1.1": (3, 4), "1.2": (3, 5),
        "1.skip": (3, 5), "1": (3, 5), "2": (15,)}
    close(np.concatenate([found["0.forward"], found["0.backward"]], axis=-1), found["0"], 1e-15)
    close(found["1.2"] + found["1.skip"], found["1"], 1e-15)
    close(found["1.0"] + found["1.1.0"], found["1.1"], 1e-15)


def test_activations_of_layers_that_hand_on_the_samples():
    net = cbp.Network((2, 3), [cbp.Flatten(), cbp.Reshape((3, 2)), cbp.Dense(1)], loss="mean_squared_error", seed=0)
    x = np.arange(24).reshape(4, 2, 3)
    found = net.activations(x)
    np.testing.assert_array_equal(found["0"], x.reshape(4, 6))
    np.testing.assert_array_equal(found["1"], x.reshape(4, 3, 2))
    assert found["0"].dtype == np.float32


def test_activations_of_many_rows_and_lengths():
    net = cbp.Network((4, 2), [cbp.LSTM(3, return_sequences=True), cbp.Dense(1)], loss="mean_squared_error", dtype="float64",
                      seed=0)
    rng = np.random.default_rng(1)
    x, lengths = rng.normal(size=(3000, 4, 2)), rng.integers(1, 5, size=3000)
    np.testing.assert_array_equal(net.activations(x, lengths=lengths)["1"], net.predict(x, lengths=lengths))
    assert not np.array_equal(net.activations(x)["0"], net.activations(x, lengths=lengths)["0"])


# --- into arrays that are given -----------------------------------------------------------------------------------------------


def networks():
    rng = np.random.default_rng(0)
    return {
        "small": (cbp.mlp([3, 5, 2], seed=0), rng.normal(size=(4, 3)).astype(np.float32)),
        "many rows": (cbp.mlp([3, 5, 2], seed=0, dtype="float64"), rng.normal(size=(500, 3))),
        "recurrent": (cbp.Network((4, 3), [cbp.GRU(5), cbp.Dense(2)], loss="mean_squared_error", seed=0),
                      rng.normal(size=(4, 4, 3))),
        "pictures": (cbp.Network((4, 4, 1), [cbp.Conv2D(3, 3), cbp.Flatten(), cbp.Dense(2)], loss="mean_squared_error", seed=0),
                     rng.normal(size=(4, 4, 4, 1))),
    }


@pytest.mark.parametrize("name", networks())
def test_results_go_where_they_are_wanted(name):
    net, x = networks()[name]
    y = np.random.default_rng(1).normal(size=(len(x), 2)).astype(net.dtype)
    size = net.get_vector().size
    out = np.empty((len(x), 2), net.dtype)
    for settings in ({}, {"training": True, "seed": 1}):
        assert net.predict(x, out=out, **settings) is out
        np.testing.assert_array_equal(out, net.predict(x, **settings))
    flat = np.empty(size, net.dtype)
    for settings in ({}, {"training": True}):
        loss, found = net.gradient(x, y, out=flat, **settings)
        assert found is flat
        expected = net.gradient(x, y, **settings)
        assert loss == expected[0]
        np.testing.assert_array_equal(flat, expected[1])
    rows = np.empty((len(x), size), net.dtype)
    assert net.gradient(x, y, per_sample=True, out=rows)[1] is rows
    np.testing.assert_array_equal(rows, net.gradient(x, y, per_sample=True)[1])
    d_input = np.empty(x.shape, net.dtype)
    expected = net.backward(x, y)
    for out in (d_input, flat), (None, flat), (d_input, None):
        found = net.backward(x, y, out=out)
        for one, other, given in zip(found, expected, out, strict=True):
            assert given is None or one is given
            np.testing.assert_array_equal(one, other)
    for of in ("inputs", "parameters"):
        whole = np.empty_like(net.jacobian(x, of=of))
        assert net.jacobian(x, of=of, out=whole) is whole
        np.testing.assert_array_equal(whole, net.jacobian(x, of=of))


def wrong(shape, dtype):
    """Arrays that results cannot go into, with the error."""
    name = np.dtype(dtype).name
    other = {"float32": "float64", "float64": "float32"}[name]
    locked = np.zeros(shape, dtype)
    locked.flags.writeable = False
    return {
        "a list": ([0.0], TypeError, "must be a NumPy array, got"),
        "dtype": (np.zeros(shape, other), TypeError, f"must have the dtype {name}, as the network has, got {other}"),
        "shape": (np.zeros((*shape, 1), dtype), ValueError, "must have the shape"),
        "strides": (np.zeros((*shape[:-1], 2 * shape[-1]), dtype)[..., ::2], ValueError, "must be C-contiguous"),
        "read-only": (locked, ValueError, "is read-only"),
    }


@pytest.mark.parametrize("kind", wrong((1,), "float32"))
@pytest.mark.parametrize("name", networks())
def test_arrays_that_do_not_suit(name, kind):
    net, x = networks()[name]
    y = np.zeros((len(x), 2), net.dtype)
    size = net.get_vector().size

    def check(call, shape, argument="out"):
        given, error, message = wrong(shape, net.dtype)[kind]
        before = np.array(given)
        with pytest.raises(error, match=argument + " " + message):
            call(given)
        np.testing.assert_array_equal(given, before)

    check(lambda out: net.predict(x, out=out), (len(x), 2))
    check(lambda out: net.gradient(x, y, out=out), (size,))
    check(lambda out: net.gradient(x, y, out=out, per_sample=True), (len(x), size))
    check(lambda out: net.jacobian(x, out=out), net.jacobian(x).shape)
    check(lambda out: net.backward(x, y, out=(out, None)), x.shape, r"out\[0\]")
    check(lambda out: net.backward(x, y, out=(None, out)), (size,), r"out\[1\]")


@pytest.mark.parametrize("rows", [2, 400])
def test_arrays_that_share_memory(rows):
    net = cbp.mlp([2, 2], seed=0)
    shared = np.zeros((rows, 2), np.float32)
    with pytest.raises(ValueError, match="out shares memory with X"):
        net.predict(shared, out=shared)
    with pytest.raises(ValueError, match=r"out\[0\] shares memory with d_output"):
        net.backward(np.ones((rows, 2)), shared, out=(shared, None))
    flat = shared.reshape(-1)
    if rows == 400:
        with pytest.raises(ValueError, match="out shares memory with y"):
            net.gradient(np.ones((rows, 2)), shared, out=flat[:6])
        with pytest.raises(ValueError, match=r"out\[1\] shares memory with out\[0\]"):
            net.backward(np.ones((rows, 2)), np.ones((rows, 2)), out=(shared, flat[:6]))
    weight = net.parameters["0.bias"]
    with pytest.raises(ValueError, match="out shares memory with the network's parameters"):
        net.predict([[1.0, 2.0]], out=weight[None])


@pytest.mark.parametrize("out", [np.zeros(2), [None, None], (None,), (None, None, None)])
def test_backward_wants_two_places(out):
    with pytest.raises(TypeError, match=r"out must be a tuple \(d_input, gradient\) of arrays, None for one that is to be new"):
        cbp.mlp([2, 2]).backward([[1.0, 2.0]], [[1.0, 2.0]], out=out)


def test_an_answer_without_the_last_axis_goes_into_an_array_without_it():
    net = cbp.mlp([2, 3, 1], seed=0)
    net.train_on_batch([[1.0, 2.0]], [1.0])
    out = np.empty(2, np.float32)
    assert net.predict([[1.0, 2.0], [3.0, 4.0]], out=out) is out
    np.testing.assert_array_equal(out, net.predict([[1.0, 2.0], [3.0, 4.0]]))
    with pytest.raises(ValueError, match=r"out must have the shape \(2,\), got \(2, 1\)"):
        net.predict([[1.0, 2.0], [3.0, 4.0]], out=np.empty((2, 1), np.float32))


# --- the short way of gradients -----------------------------------------------------------------------------------------------


def long_way(net, call):
    """What a call gives where nothing is kept."""
    fresh = cbp.Network.from_snapshot(net.snapshot())
    fresh._model.__dict__["asked"] = None
    return call(fresh)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 2, 3, 5, 32, 128, 129])
@pytest.mark.parametrize("sizes", [[4, 32, 16, 2], [1, 1], [17, 16, 33, 1], [64, 64, 64, 10]], ids=str)
def test_both_ways_give_the_same_bits(sizes, rows, dtype):
    net = cbp.mlp(sizes, hidden="gelu", seed=0, dtype=dtype, l1=0.01, l2=0.02)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))
    given = [(x, y), (x.astype(np.float32), y.astype(np.float32)), (x.tolist(), y.tolist())]
    if sizes[-1] == 1:
        given.append((x, y[:, 0]))
    for one, other in given:
        for call in (lambda net: net.backward(one, other), lambda net: net.gradient(one, other)):  # noqa: B023
            for short, long in zip(call(net), long_way(net, call), strict=True):
                np.testing.assert_array_equal(short, long)
                assert np.asarray(short).dtype == np.asarray(long).dtype


def test_labels_take_the_short_way_too():
    net = cbp.mlp([3, 4, 3], output="softmax", seed=0)
    for y in ([0, 2], np.array([1, 1]), np.eye(3)[:2]):
        def call(net, y=y):
            return net.gradient([[1.0, 2.0, 3.0], [0.0, 1.0, 0.5]], y)

        for short, long in zip(call(net), long_way(net, call), strict=True):
            np.testing.assert_array_equal(short, long)


def test_the_short_way_follows_the_numbers():
    net = cbp.mlp([2, 3, 1], seed=0, dtype="float64")
    x, y = [[1.0, 2.0]], [[0.5]]
    for change in (lambda: net.set_vector(net.get_vector() + 1), lambda: net.publish(net.get_vector() * 2),
                   lambda: net.train_on_batch(x, y), lambda: net.freeze("0")):
        net.backward(x, y), net.gradient(x, y)
        change()
        for call in (lambda net: net.backward(x, y), lambda net: net.gradient(x, y)):
            for short, long in zip(call(net), long_way(net, call), strict=True):
                np.testing.assert_array_equal(short, long)


def test_a_gradient_on_the_way_of_backward_has_no_penalty():
    net = cbp.mlp([2, 3, 1], seed=0, dtype="float64", l2=1.0)
    x, y = [[1.0, 2.0]], [[0.5]]
    before = net.backward(x, y)[1]
    net.gradient(x, y)
    np.testing.assert_array_equal(net.backward(x, y)[1], before)


def test_what_is_wrong_is_told_by_the_long_way():
    net = cbp.mlp([2, 3, 1], seed=0)
    for x, d, message in [([[np.nan, 1.0]], [[1.0]], "X"), ([[0.0, 1.0]], [[np.inf]], "d_output"),
                          ([[0.0, 1.0]], [[1.0], [2.0]], "X has 1 samples and d_output has 2"),
                          ([[0.0, 1.0]], [[1.0, 2.0]], "d_output must have the shape")]:
        with pytest.raises(ValueError, match=message):
            net.backward(x, d)
    for y, message in ([[np.nan]], "y"), ([[1.0], [2.0]], "y has 2"):
        with pytest.raises(ValueError, match=message):
            net.gradient([[0.0, 1.0]], y)
    with pytest.raises(TypeError, match="backward takes d_output, not grad"):
        net.backward([[0.0, 1.0]], [[1.0]], grad=[[1.0]])
    with pytest.raises(TypeError, match="gradient got 4 values by place"):
        net.gradient([[0.0, 1.0]], [[1.0]], None, None)
    net.parameters["0.weight"][...] = 3e38
    with pytest.warns(RuntimeWarning, match="holds"):
        net.backward([[1e10, 1e10]], [[1e10]])


def test_several_threads_ask_at_once():
    net = cbp.mlp([8, 64, 64, 4], seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    data = [(rng.normal(size=(100, 8)), rng.normal(size=(100, 4))) for _ in range(4)]
    expected = [(net.backward(x, y), net.gradient(x, y)) for x, y in data]
    wrong = []

    def ask(number):
        x, y = data[number]
        for _ in range(200):
            (d_input, one), (loss, other) = net.backward(x, y), net.gradient(x, y)
            (e_input, e_one), (e_loss, e_other) = expected[number]
            same = np.array_equal(d_input, e_input) and np.array_equal(one, e_one)
            if not (same and loss == e_loss and np.array_equal(other, e_other)):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_step_by_backward_is_that_of_the_loss():
    """Half the gradient of the mean squared error by hand."""
    one, other = cbp.mlp([3, 5, 2], seed=0, dtype="float64"), cbp.mlp([3, 5, 2], seed=0, dtype="float64")
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = rng.normal(size=(4, 3)), rng.normal(size=(4, 2))
        one.train_on_batch(x, y, optimizer="adam")
        other.apply_gradient(other.backward(x, 2 * (other.predict(x) - y) / y.size)[1], "adam")
    close(one.get_vector(), other.get_vector(), 1e-12)
