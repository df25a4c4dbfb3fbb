"""Networks of one output: targets without its axis give outputs without it, everywhere, until targets with it come."""

import copy
import pickle

import numpy as np
import pytest

import cbp
from cbp.modelfile import description

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype("float32")
FLAT = X[:, 0] - 0.5 * X[:, 1]
COLUMN = FLAT[:, None]

SERIES = RNG.normal(size=(60, 4, 3)).astype("float32")


def plain():
    return cbp.mlp([3, 8, 1], seed=0)


def wide():
    """Too large for the short way."""
    return cbp.mlp([3, 300, 300, 1], seed=0)


def every_step():
    return cbp.Network((4, 3), [cbp.GRU(5, return_sequences=True), cbp.Dense(1)], loss="mean_squared_error", seed=0)


def last_step():
    return cbp.Network((4, 3), [cbp.LSTM(5), cbp.Dense(1)], loss="mean_squared_error", seed=0)


NETWORKS = {
    "plain": (plain, X, FLAT),
    "wide": (wide, X, FLAT),
    "every step": (every_step, SERIES, SERIES[:, :, 0]),
    "last step": (last_step, SERIES, SERIES[:, -1, 0]),
}


def fit(net, x, y):
    net.fit(x, y, epochs=1)


def train_on_batch(net, x, y):
    net.train_on_batch(x, y)


def shapes(net, x):
    return net.output_shape, net.predict(x).shape, net.predict(x[:2]).shape, np.shape(net.predict_one(x[0]))


@pytest.mark.parametrize("train", [fit, train_on_batch])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_have_the_shape_of_the_targets(name, train):
    make, x, y = NETWORKS[name]
    net = make()
    rest = y.shape[1:]
    with_axis = ((*rest, 1), (*y.shape, 1), (2, *rest, 1), (*rest, 1))
    without = (rest, y.shape, (2, *rest), rest)
    assert shapes(net, x) == with_axis
    for targets, wanted in ((y, without), (y, without), (y[..., None], with_axis), (y[..., None], with_axis), (y, without)):
        train(net, x, targets)
        assert shapes(net, x) == wanted
        assert net.predict(x).tobytes() == np.stack([net.predict_one(row) for row in x]).tobytes()
        outputs = net.predict(x)
        assert (outputs.dtype, outputs.flags.owndata, outputs.flags.c_contiguous) == (net.dtype, True, True)
        assert net.predict_one(x[0]).dtype == net.dtype


def test_the_trap_is_gone():
    net = plain()
    net.fit(X, FLAT, epochs=200, optimizer=cbp.Adam(0.01))
    assert ((net.predict(X) - FLAT) ** 2).mean() == pytest.approx(net.evaluate(X, FLAT)["loss"], rel=1e-5)


def test_one_output_is_a_number():
    net = plain()
    for x in (X[0], X[0].tolist(), X[0].astype("float16")):
        assert net.predict_one(x).shape == (1,)
        net.train_on_batch(X, FLAT)
        assert type(net.predict_one(x)) is np.float32
        net.train_on_batch(X, COLUMN)


@pytest.mark.parametrize("name", ["every step", "last step"])
def test_step_by_step(name):
    make, x, y = NETWORKS[name]
    net = make()
    assert net.predict_step(x[0, 0]).shape == (1,)
    net.reset_state()
    net.train_on_batch(x, y)
    steps = [net.predict_step(step) for step in x[0]]
    assert type(steps[0]) is np.float32
    assert steps[-1] == np.ravel(net.predict(x[:1]))[-1]
    net.reset_state()
    assert np.shape(net.predict_step(list(map(np.float16, x[0, 0])))) == ()


@pytest.mark.parametrize("name", NETWORKS)
def test_both_shapes_are_taken_by_what_changes_nothing(name):
    make, x, y = NETWORKS[name]
    net = make()
    for targets in (y, y[..., None]):
        net.train_on_batch(x, targets)
        before = net.output_shape
        assert net.evaluate(x, y) == net.evaluate(x, y[..., None])
        results = [net.gradient(x, y), net.gradient(x, y[..., None])]
        assert results[0][0] == results[1][0]
        assert results[0][1].tobytes() == results[1][1].tobytes()
        given = [net.backward(x, y), net.backward(x, y[..., None])]
        assert [array.tobytes() for array in given[0]] == [array.tobytes() for array in given[1]]
        assert given[0][0].shape == x.shape
        assert cbp.check_gradients(net, x[:2], y[:2], limit=5).error < 1e-5
        net.trace(x[:2], y[:2])
        net.trace(x[:2], y[:2, ..., None])
        assert net.output_shape == before
        net.fit(x, targets, epochs=1, validation_data=(x, y if targets.ndim > y.ndim else y[..., None]))
        assert net.output_shape == before


def test_d_output_of_another_shape_is_refused():
    net = plain()
    for wrong in (np.ones((60, 2)), np.ones(59), np.ones((60, 1, 1)), np.ones((1, 60)), 1.0):
        with pytest.raises(ValueError, match="d_output"):
            net.backward(X, wrong)


@pytest.mark.parametrize("targets", [FLAT, COLUMN], ids=["flat", "column"])
def test_it_is_kept(tmp_path, targets):
    net = plain()
    net.fit(X, targets, epochs=1)
    net.save(tmp_path / "net.cbp")
    for other in (copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net)), cbp.load(tmp_path / "net.cbp"),
                  cbp.Network.from_snapshot(net.snapshot())):
        assert shapes(other, X) == shapes(net, X)
        assert other.predict(X).tobytes() == net.predict(X).tobytes()
        assert other.summary() == net.summary()
        other.fit(X, FLAT, epochs=1)
        assert other.output_shape == ()
        assert net.output_shape == targets.shape[1:]
    assert ("without the axis" in net.summary()) == (targets is FLAT)


@pytest.mark.parametrize("train", [fit, train_on_batch])
def test_what_fails_changes_nothing(train):
    for good, other in ((FLAT, COLUMN), (COLUMN, FLAT)):
        net = plain()
        train(net, X, good)
        before = shapes(net, X)
        wrong = [(X * np.nan, other), (X, other * np.nan), (X[:5], other), (X, np.ones((60, 2))), (X, other * np.float32(1e30))]
        for x, y in wrong:
            with pytest.raises((ValueError, cbp.DivergedError)):
                train(net, x, y)
            assert shapes(net, X) == before


def test_several_outputs_never_lose_their_axis():
    net = cbp.mlp([3, 2], output="softmax", seed=0)
    net.fit(X, (FLAT > 0).astype(int), epochs=1)
    assert shapes(net, X) == ((2,), (60, 2), (2, 2), (2,))
    snapshot = net.snapshot()
    object.__setattr__(snapshot, "flat", True)
    with pytest.raises(ValueError, match="flat must be False"):
        cbp.Network.from_snapshot(snapshot)


def test_files_that_claim_it_wrongly():
    net = plain()
    net.train_on_batch(X, FLAT)
    text = description.write(net.snapshot())
    assert description.read(text)[0].flat
    for wrong in ('"flat":1', '"flat":null', '"flat":"true"'):
        with pytest.raises(cbp.ModelFileError, match="flat must be True or False"):
            description.read(text.replace('"flat":true', wrong))


def test_one_place_and_one_output():
    """Outputs (1, 1): targets (n, 1) are without their last axis, (n, 1, 1) with it."""
    net = cbp.Network((1, 3), [cbp.Dense(1)], loss="huber", seed=0)
    x = X[:, None, :]
    for y, wanted in ((FLAT[:, None], (1,)), (FLAT[:, None, None], (1, 1))):
        net.train_on_batch(x, y)
        assert net.output_shape == wanted
        assert net.predict(x).shape == (60, *wanted)
        assert net.backward(x, y)[0].shape == x.shape


def test_no_epoch_changes_nothing():
    net = cbp.mlp([2, 1], seed=0)
    net.fit([[1.0, 2.0]], [3.0], epochs=0)
    assert net.output_shape == (1,)
    assert net.predict([[1.0, 2.0]]).shape == (1, 1)
