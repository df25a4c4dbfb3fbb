"""Names of columns: taken from the first table that fit gets, kept, and checked in every later one.

Tables are played by classes with the attributes of those of pandas (and Polars) and of Arrow, so that neither is needed.
"""

import copy
import dataclasses
import pickle
import warnings

import numpy as np
import pytest

import cbp

X = np.random.default_rng(0).standard_normal((300, 3))
Y = X @ [1.0, 2.0, 3.0]


class Pandas:
    def __init__(self, array, names):
        self._array, self.columns = array, names

    def __array__(self, dtype=None, copy=None):
        return self._array


class Arrow:
    """Its ``columns`` are the data."""

    def __init__(self, array, names):
        self._array, self.columns, self.column_names = array, list(array.T), names

    def __array__(self, dtype=None, copy=None):
        return self._array


def network():
    return cbp.mlp([3, 4, 1], seed=0)


def trained(table=Pandas):
    net = network()
    net.fit(table(X, ["a", "b", "c"]), Y, epochs=2)
    return net


METHODS = {
    "fit": lambda net, X: net.fit(X, Y, epochs=1),
    "train_on_batch": lambda net, X: net.train_on_batch(X, Y),
    "predict": lambda net, X: net.predict(X),
    "evaluate": lambda net, X: net.evaluate(X, Y),
    "gradient": lambda net, X: net.gradient(X, Y),
    "backward": lambda net, X: net.backward(X, Y),
    "validation_data": lambda net, X: net.fit(Pandas(np.zeros((300, 3)), ["a", "b", "c"]), Y, epochs=1, validation_data=(X, Y)),
}


@pytest.mark.parametrize("table", [Pandas, Arrow])
def test_names_are_taken_and_change_no_number(table):
    net, plain = trained(table), network()
    plain.fit(X, Y, epochs=2)
    assert net.feature_names == ("a", "b", "c")
    assert plain.feature_names is None
    np.testing.assert_array_equal(net.get_vector(), plain.get_vector())
    np.testing.assert_array_equal(net.predict(table(X, ["a", "b", "c"])), plain.predict(X))
    np.testing.assert_array_equal(net.predict(table(X[:5], ("a", "b", "c"))), plain.predict(X[:5]))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("names", "words"), [
    (["c", "b", "a"], ["another order", "[list(network.feature_names)] has them in the right order"]),
    (["a", "b", "d"], ["it lacks 'c' and it has the unknown 'd'", "add what is missing"]),
    (["a", "b", "C"], ["it lacks 'c' and it has the unknown 'C'"]),
    (["a", "b"], ["it lacks 'c';", "add what is missing"]),
    (["a", "b", "c", "d"], ["it has the unknown 'd'", "[list(network.feature_names)]"]),
])  # fmt: skip
def test_other_columns_are_refused(method, names, words):
    net = trained()
    before = net.get_vector(), net.step
    with pytest.raises(ValueError, match="must have the columns") as caught:
        METHODS[method](net, Pandas(np.resize(X, (300, len(names))), names))
    assert str(caught.value).startswith("validation_data[0] " if method == "validation_data" else "X ")
    for word in words:
        assert word in str(caught.value)
    np.testing.assert_array_equal(net.get_vector(), before[0])
    assert net.step == before[1]


def test_columns_of_arrow_are_selected():
    with pytest.raises(ValueError, match=r"another order; X.select\(list\(network.feature_names\)\) has them"):
        trained(Arrow).predict(Arrow(X, ["c", "b", "a"]))


@pytest.mark.parametrize("data", [X, X.tolist(), X[:1], Pandas(X, [0, 1, 2])], ids=["array", "list", "few rows", "numbers"])
def test_data_without_names_are_warned_of(data):
    net, plain = trained(), network()
    plain.fit(X, Y, epochs=2)
    told = r"^X has no names of columns, .* 'a', 'b', 'c'.*network.feature_names = None"
    with pytest.warns(UserWarning, match=told) as caught:
        found = net.predict(data)
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_array_equal(found, plain.predict(data))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net.predict_one(X[0])
        net.feature_names = None
        net.predict(data)


@pytest.mark.filterwarnings("error")
def test_a_trace_looks_at_names_where_there_are_some():
    net = trained()
    with pytest.warns(UserWarning, match=r"^x has no names of columns"):
        nameless = net.trace(X[:2], Y[:2])
    assert net.trace(Pandas(X[:2], ["a", "b", "c"]), Y[:2]).loss_before == nameless.loss_before
    with pytest.raises(ValueError, match=r"^x must have the columns .* another order"):
        net.trace(Pandas(X[:2], ["b", "a", "c"]), Y[:2])


@pytest.mark.parametrize("method", METHODS)
def test_one_warning_a_call(method):
    net = trained()
    with pytest.warns(UserWarning, match="has no names of columns") as caught:
        METHODS[method](net, X)
    assert len(caught) == 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("call", [
    lambda net: net.predict(X[:, :2]), lambda net: net.predict(X, lengths=[1] * len(X)), lambda net: net.evaluate(X, Y[:-1]),
    lambda net: net.fit(X, Y, optimizer="none"), lambda net: net.fit(X, Y, threads=0), lambda net: net.fit(X, Y[:-1]),
    lambda net: net.fit(X, Y, validation_data=(X, Y[:-1])), lambda net: net.fit(X, Y, progress=0),
    lambda net: net.train_on_batch(X, Y, optimizer="none"), lambda net: net.gradient(X, Y, training=2),
    lambda net: net.backward(X, Y, training=2), lambda net: net.backward(X, Y[:-1]),
])
def test_what_is_refused_is_not_warned_of(call):
    with pytest.raises((ValueError, TypeError)):
        call(trained())


def test_small_updates_are_warned_of_too():
    """However often, and whenever the names came."""
    net = network()
    for _ in range(2):
        net.train_on_batch(X[:4], Y[:4])
    assert net._online is not None
    net.feature_names = ("a", "b", "c")
    for _ in range(3):
        with pytest.warns(UserWarning, match="has no names of columns"):
            net.train_on_batch(X[:4], Y[:4])


@pytest.mark.parametrize("names", [[0, 1, 2], ["a", 1, "c"], [("a", "x"), ("a", "y"), ("b", "x")], ["a", "b", "\ud800"], []])
def test_other_names_are_none(names):
    net = network()
    net.fit(Pandas(X, names), Y, epochs=1)
    assert net.feature_names is None


def test_only_training_takes_names_and_only_where_it_succeeds():
    net, table = network(), Pandas(X, ["a", "b", "c"])
    net.predict(table), net.evaluate(table, Y), net.fit(table, Y, epochs=0)
    for train in net.fit, net.train_on_batch:
        with pytest.raises(ValueError, match="y "):
            train(table, Y[:5])
        with pytest.raises(cbp.DivergedError):
            train(table, Y * 1e30)
        assert net.feature_names is None
    net.fit(X, Y, epochs=1)
    assert net.feature_names is None
    net.fit(table, Y, epochs=1)
    assert net.feature_names == ("a", "b", "c")


@pytest.mark.parametrize("before", [False, True])
def test_a_batch_gives_names(before):
    net = network()
    if before:
        net.train_on_batch(X[:4], Y[:4])
        assert net._online is not None
    net.train_on_batch(Pandas(X[:4], ["a", "b", "c"]), Y[:4])
    assert net.feature_names == ("a", "b", "c")
    with pytest.raises(ValueError, match="another order"):
        net.predict(Pandas(X, ["c", "b", "a"]))


@pytest.mark.filterwarnings("error")
def test_the_first_fit_checks_its_validation_data():
    net, table = network(), Pandas(X, ["a", "b", "c"])
    before = net.get_vector()
    with pytest.raises(ValueError, match=r"^validation_data\[0\] must have the columns .* another order"):
        net.fit(table, Y, validation_data=(Pandas(X, ["c", "b", "a"]), Y))
    with pytest.raises(UserWarning, match=r"^validation_data\[0\] has no names"):
        net.fit(table, Y, validation_data=(X, Y))
    np.testing.assert_array_equal(net.get_vector(), before)
    assert net.feature_names is None
    net.fit(table, Y, epochs=1, validation_data=(table, Y))


class Strange(np.ndarray):
    @property
    def columns(self):
        raise RuntimeError("no columns today")


class Columns(np.ndarray):
    columns = None


@pytest.mark.parametrize("columns", [["p", "q"], 5, "abc", {"a": 1, "b": 2, "c": 3}, {"a", "b", "c"}, Strange])
def test_what_is_no_list_of_names_is_none(columns, tmp_path):
    table = X.view(Strange if columns is Strange else Columns)
    if columns is not Strange:
        table.columns = columns
    net = network()
    net.fit(table, Y, epochs=1)
    assert net.feature_names is None
    net.save(tmp_path / "net.cbp")
    cbp.load(tmp_path / "net.cbp")


def test_names_that_come_twice_are_refused(tmp_path):
    net, told = network(), "must have a name of its own for every column, got 'a' more than once; rename"
    twice = Pandas(X, ["a", "a", "b"])
    for call in (lambda: net.fit(twice, Y), lambda: net.train_on_batch(twice, Y), lambda: trained().predict(twice)):
        with pytest.raises(ValueError, match=told):
            call()
    assert net.feature_names is None
    assert net.step == 0
    assert net.predict(twice).shape == (len(X), 1)
    with pytest.raises(ValueError, match="feature_names must all be different, got 'a' more than once"):
        net.feature_names = ["a", "a", "a"]
    cbp.modelfile.save(dataclasses.replace(trained().snapshot(), feature_names=("a", "a", "b")), tmp_path / "net.cbp")
    with pytest.raises(cbp.ModelFileError, match="feature_names must all be different"):
        cbp.load(tmp_path / "net.cbp")


class Series:
    def __init__(self, array, index):
        self._array, self.index = array, index

    def __array__(self, dtype=None, copy=None):
        return self._array


def test_the_index_of_a_row_is_looked_at():
    net = trained()
    np.testing.assert_array_equal(net.predict_one(Series(X[0], ["a", "b", "c"])), net.predict_one(X[0]))
    net.predict_one(Series(X[0], [0, 1, 2])), net.predict_one(list(X[0]))
    for call in net.predict_one, lambda row: net.trace(row, Y[0]):
        with pytest.raises(ValueError, match=r"^x must have the columns .*; x\[list\(network.feature_names\)\] has them"):
            call(Series(X[0], ["c", "b", "a"]))


def test_pictures_and_sequences_have_none():
    net = cbp.Network((3, 1), [cbp.Flatten(), cbp.Dense(1)], loss="huber", seed=0)
    net.fit(Pandas(X[..., None], ["a", "b", "c"]), Y, epochs=1)
    assert net.feature_names is None


def test_names_are_kept(tmp_path):
    net = trained()
    net.save(tmp_path / "net.cbp")
    served = network()
    served.feature_names = net.feature_names
    served.publish(net.parameters)
    others = [cbp.load(tmp_path / "net.cbp"), copy.deepcopy(net), pickle.loads(pickle.dumps(net)),
              cbp.Network.from_snapshot(net.snapshot()), served]
    for other in others:
        assert other.feature_names == ("a", "b", "c")
        with pytest.raises(ValueError, match="another order"):
            other.predict(Pandas(X, ["c", "b", "a"]))


def test_names_may_be_assigned():
    net = network()
    net.feature_names = ["x", "y", "z"]
    assert net.feature_names == ("x", "y", "z")
    for wrong, error in ((["x", "y"], ValueError), ("xyz", TypeError), ([1, 2, 3], TypeError), (3, TypeError), ((), TypeError)):
        with pytest.raises(error, match=r"^feature_names must "):
            net.feature_names = wrong
    assert net.feature_names == ("x", "y", "z")
    with pytest.raises(ValueError, match=r"^feature_names must name the features of inputs of the shape \(3, 1\)"):
        cbp.Network((3, 1), [cbp.Flatten(), cbp.Dense(1)], loss="huber").feature_names = ["x", "y", "z"]
