"""What bad input gets: an exception that names the argument, what came and what is right, before anything changed."""

import datetime
import re

import facts
import numpy as np
import pytest

import cbp

MSE = "mean_squared_error"
NAN, INF = float("nan"), float("inf")
X = np.random.default_rng(0).standard_normal((6, 3))
Y = np.random.default_rng(1).standard_normal((6, 2))
LABELS = np.array([0, 1, 0, 1, 1, 0])


def regressor(dtype="float32", **options):
    return cbp.mlp([3, 4, 2], dtype=dtype, seed=0, **options)


def classifier():
    return cbp.mlp([3, 4, 2], output="softmax", seed=0)


def bits(net):
    numbers = net._numbers
    history = None if net.history is None else {name: curve.tobytes() for name, curve in net.history.items()}
    settings = net.optimizer, net.dtype, net.seed, net.layers, net.loss, dict(net.metadata)
    state = numbers.state.tobytes(), numbers.state.shape, net.step, net.epoch
    return numbers.parameters.tobytes(), state, history, settings


def refused(call, error, words, *nets):
    """``call(net)`` raises exactly ``error`` (or one of them) with all the words in its message, and changes nothing.

    Asked of new and of trained networks of both kinds, if none are given.
    """
    for net in nets or (regressor(), trained(regressor()), classifier(), trained(classifier())):
        before = bits(net)
        with pytest.raises((ValueError, TypeError)) as caught:
            call(net)
        message = str(caught.value)
        assert type(caught.value) in (error if isinstance(error, tuple) else (error,)), message
        for word in [words] if isinstance(words, str) else words:
            assert re.search(rf"(?<!\w){re.escape(word)}" if word.isidentifier() else re.escape(word), message), message
        assert bits(net) == before
        net.fit(X, fitting_y(net), epochs=0)  # nothing stays locked


def label(value):
    """A short name for a test case, the same in every run."""
    if isinstance(value, type):
        return ""
    return re.sub(r"(0x\w*|\W)+", "_", repr(value), flags=re.IGNORECASE)[:30].strip("_")


def named(name, words):
    return [name, *([words] if isinstance(words, str) else words)]


def trained(net):
    net.fit(X, LABELS if net.loss.name == "cross_entropy" else Y, epochs=2, optimizer=cbp.Adam(0.01))
    return net


def fitting_y(net):
    return LABELS if net.loss.name == "cross_entropy" else Y


def changed(array, index, value):
    """A copy with another value at one place, as objects where the array cannot hold the value."""
    array = array.astype(float if isinstance(value, float) and array.dtype != object else object)
    array[index] = value
    return array


class SparseLike:
    """What a scipy.sparse matrix looks like to NumPy: a shape, and no array."""

    shape = (6, 3)
    ndim = 2


class Liar:
    """Tells one shape and gives another."""

    def __init__(self, told, given):
        self.shape, self._given = told, given

    def __array__(self, dtype=None, copy=None):
        return np.zeros(self._given)


# --- X, in every method that takes it -----------------------------------------------------------------------------

METHODS = {
    "predict": lambda net, x: net.predict(x),
    "fit": lambda net, x: net.fit(x, fitting_y(net)),
    "train_on_batch": lambda net, x: net.train_on_batch(x, fitting_y(net), optimizer=cbp.SGD(0.5)),
    "evaluate": lambda net, x: net.evaluate(x, fitting_y(net)),
    "gradient": lambda net, x: net.gradient(x, fitting_y(net)),
    "backward": lambda net, x: net.backward(x, Y),
    "check_gradients": lambda net, x: cbp.check_gradients(net, x, fitting_y(net)),
    "validation_data": lambda net, x: net.fit(X, fitting_y(net), validation_data=(x, fitting_y(net))),
}
ONE_ROW = "(samples, 3)"
BAD_X = {
    "one feature too few": (X[:, :2], ValueError, [ONE_ROW, "(6, 2)"]),
    "one feature too many": (np.c_[X, X[:, 0]], ValueError, [ONE_ROW, "(6, 4)"]),
    "turned": (X.T, ValueError, [ONE_ROW, "(3, 6)"]),
    "one row alone": (X[0], ValueError, [ONE_ROW, "(3,)", "[None]"]),
    "flat": (X.ravel(), ValueError, [ONE_ROW, "(18,)"]),
    "three axes": (X[None], ValueError, [ONE_ROW, "(1, 6, 3)"]),
    "a number": (3.0, ValueError, [ONE_ROW, "()"]),
    "an array of no axes": (np.array(3.0), ValueError, [ONE_ROW, "()"]),
    "None": (None, (ValueError, TypeError), "3"),
    "a text": ("data.csv", (ValueError, TypeError), "3"),
    "bytes": (b"data", (ValueError, TypeError), "3"),
    "a dict": ({"a": [1, 2, 3]}, (ValueError, TypeError), "3"),
    "a set": ({1, 2, 3}, (ValueError, TypeError), "3"),
    "a generator": ((row for row in X), (ValueError, TypeError), "3"),
    "a function": (len, (ValueError, TypeError), "3"),
    "no samples": (X[:0], ValueError, ["empty", "(0, 3)", "at least one sample"]),
    "no features": (X[:, :0], ValueError, [ONE_ROW, "(6, 0)"]),
    "an empty list": ([], ValueError, [ONE_ROW, "(0,)"]),
    "a list of an empty list": ([[]], ValueError, [ONE_ROW, "(1, 0)"]),
    "a ragged list": ([[1, 2, 3], [4, 5]], ValueError, "rectangular"),
    "a deep ragged list": ([[1, 2, [3]], [4, 5, 6]], ValueError, "rectangular"),
    "NaN": (changed(X, (4, 1), NAN), ValueError, ["nan", "(4, 1)", "finite"]),
    "infinity": (changed(X, (0, 2), INF), ValueError, ["inf", "(0, 2)", "finite"]),
    "minus infinity": (changed(X, (5, 0), -INF), ValueError, ["-inf", "(5, 0)", "finite"]),
    "NaN in float16": (changed(X, (4, 1), NAN).astype(np.float16), ValueError, ["nan", "(4, 1)", "finite"]),
    "NaN in a list": ([[1, 2, 3], [1, NAN, 3]], ValueError, ["nan", "(1, 1)", "finite"]),
    "NaN in objects": (changed(X, (4, 1), NAN).astype(object), ValueError, ["nan", "(4, 1)", "finite"]),
    "None inside": (changed(X, (4, 1), None), (ValueError, TypeError), []),
    "too large for float32": (changed(X, (2, 2), 1e39), ValueError, ["1e+39", "(2, 2)", "too large for float32"]),
    "too small for float32": (changed(X, (2, 2), -1e300), ValueError, ["-1e+300", "(2, 2)", "too large for float32"]),
    "a huge whole number": (changed(X.astype(object), (2, 2), 10**400), ValueError, ["(2, 2)", "too large"]),
    "texts": (X.astype(str), TypeError, ["number", "<U"]),
    "bytes inside": (X.astype("S5"), TypeError, ["number", "S5"]),
    "texts in objects": (changed(X, (1, 1), "1.5"), TypeError, ["number", "object"]),
    "complex": (X + 0j, TypeError, ["number", "complex128"]),
    "complex in objects": ((X + 1j).astype(object), TypeError, "number"),
    "complex64 in objects": (changed(X.astype(object), (0, 0), np.complex64(1j)), TypeError, "number"),
    "dates": (np.full((6, 3), "2024-01-01", "M8[D]"), TypeError, ["number", "datetime64"]),
    "spans of time": (np.full((6, 3), 5, "m8[s]"), TypeError, ["number", "timedelta64"]),
    "dates in objects": (np.full((6, 3), datetime.date(2024, 1, 1), object), TypeError, "number"),
    "datetime64 in objects": (changed(X.astype(object), (0, 0), np.datetime64("2024-01-01")), TypeError, "number"),
    "timedelta64 in objects": (changed(X.astype(object), (0, 0), np.timedelta64(3, "s")), TypeError, "number"),
    "records": (np.zeros((6, 3), [("a", float)]), TypeError, "number"),
    "objects": (np.full((6, 3), object()), TypeError, ["number", "object"]),
    "lists in objects": (np.frompyfunc(lambda _: [1, 2], 1, 1)(X), TypeError, ["number", "object"]),
    "masked values": (np.ma.array(X, mask=np.isin(np.arange(18), 4).reshape(6, 3)), ValueError, ["mask", "fill"]),
    "wholly masked": (np.ma.masked_all((6, 3)), ValueError, ["mask", "fill"]),
    "a sparse matrix": (SparseLike(), (ValueError, TypeError), []),
    "a shape that is a lie": (Liar((6, 3), (6, 2)), (ValueError, TypeError), "3"),
    "a number of rows that is a lie": (Liar((6, 3), (2, 3)), (ValueError, TypeError), "6"),
    "a shape that hides one axis": (Liar((6, 3), (18,)), (ValueError, TypeError), "3"),
    "a shape that hides emptiness": (Liar((6, 3), (0, 3)), (ValueError, TypeError), "3"),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", BAD_X)
def test_bad_x(case, method):
    value, error, words = BAD_X[case]
    if method == "predict" and case == "a number of rows that is a lie":
        return  # two rows are two rows, when nothing else has six
    if method == "check_gradients" and "for float32" in case:
        return  # it computes in float64
    name = "validation_data[0]" if method == "validation_data" else "X"
    refused(lambda net: METHODS[method](net, value), error, named(name, words))


@pytest.mark.parametrize("case", BAD_X)
def test_bad_x_of_a_double_network(case):
    """float64 takes what only float32 cannot hold, and refuses the rest."""
    value, error, _ = BAD_X[case]
    net = regressor("float64")
    if "for float32" in case:
        assert np.isfinite(net.predict(value)).all()
    elif case != "a number of rows that is a lie":
        refused(lambda net: net.predict(value), error, "X", net)


@pytest.mark.parametrize(("value", "error", "words"), [
    (X[0, :2], ValueError, ["(3,)", "(2,)"]),
    (X, ValueError, ["(3,)", "(6, 3)", "predict"]),
    (X[:1], ValueError, ["(3,)", "(1, 3)", "predict"]),
    (1.0, ValueError, ["(3,)", "()"]),
    (None, TypeError, ["(3,)", "None"]),
    ([], ValueError, ["(3,)", "(0,)"]),
    ([1, [2], 3], ValueError, "rectangular"),
    ([1, NAN, 3], ValueError, ["nan", "1", "finite"]),
    ([1, -INF, 3], ValueError, ["-inf", "1", "finite"]),
    ([1, 2, 1e39], ValueError, ["1e+39", "2", "too large for float32"]),
    (["1", "2", "3"], TypeError, "number"),
    ([1, 2, 3j], TypeError, "number"),
    (np.ma.array([1, 2, 3], mask=[0, 1, 0]), ValueError, "mask"),
    (Liar((3,), (2,)), ValueError, "(3,)"),
])
def test_bad_single_rows(value, error, words):
    refused(lambda net: net.predict_one(value), error, named("x", words))


# --- y ------------------------------------------------------------------------------------------------------------

BAD_NUMBERS = {
    "one short": (Y[:5], ValueError, ["6", "5", "same number"]),
    "one long": (np.r_[Y, Y[:1]], ValueError, ["6", "7", "same number"]),
    "empty": (Y[:0], ValueError, ["6", "0"]),
    "an empty list": ([], ValueError, ["6", "0"]),
    "one output": (Y[:, 0], ValueError, ["(samples, 2)", "(6,)"]),
    "one output as a column": (Y[:, :1], ValueError, ["(samples, 2)", "(6, 1)"]),
    "an output too many": (np.c_[Y, Y], ValueError, ["(samples, 2)", "(6, 4)"]),
    "three axes": (Y[:, :, None], ValueError, ["(samples, 2)", "(6, 2, 1)"]),
    "a number": (1.0, ValueError, ["one entry per sample", "1.0"]),
    "None": (None, TypeError, ["one entry per sample", "None"]),
    "a text": ("target", TypeError, ["one entry per sample", "target"]),
    "ragged": ([[1, 2]] * 5 + [[1]], ValueError, "rectangular"),
    "NaN": (changed(Y, (3, 1), NAN), ValueError, ["nan", "(3, 1)", "finite"]),
    "infinity": (changed(Y, (3, 1), -INF), ValueError, ["-inf", "(3, 1)", "finite"]),
    "too large for float32": (changed(Y, (3, 1), 1e39), ValueError, ["1e+39", "(3, 1)", "too large for float32"]),
    "a huge whole number": (changed(Y.astype(object), (3, 1), -(10**400)), ValueError, ["(3, 1)", "too large"]),
    "texts": (Y.astype(str), TypeError, ["number", "<U"]),
    "texts in objects": (changed(Y, (3, 1), "0"), TypeError, "number"),
    "None inside": (changed(Y, (3, 1), None), (ValueError, TypeError), []),
    "complex": (Y + 0j, TypeError, ["number", "complex128"]),
    "dates": (np.full((6, 2), "2024-01-01", "M8[D]"), TypeError, ["number", "datetime64"]),
    "masked": (np.ma.masked_greater(Y, 0), ValueError, ["mask", "fill"]),
    "a sparse matrix": (SparseLike(), (ValueError, TypeError), []),
}
USES_OF_Y = {
    "fit": lambda net, y: net.fit(X, y),
    "train_on_batch": lambda net, y: net.train_on_batch(X, y, optimizer="sgd"),
    "evaluate": lambda net, y: net.evaluate(X, y),
    "gradient": lambda net, y: net.gradient(X, y),
    "check_gradients": lambda net, y: cbp.check_gradients(net, X, y),
    "validation_data": lambda net, y: net.fit(X, fitting_y(net), validation_data=(X, y)),
}


@pytest.mark.parametrize("use", USES_OF_Y)
@pytest.mark.parametrize("case", BAD_NUMBERS)
def test_bad_numbers_in_y(case, use):
    value, error, words = BAD_NUMBERS[case]
    if use == "check_gradients" and "for float32" in case:
        return  # it computes in float64
    name = "validation_data[1]" if use == "validation_data" else "y"
    refused(lambda net: USES_OF_Y[use](net, value), error, named(name, words), regressor(), trained(regressor()))


BAD_LABELS = {
    "too large": ([0, 1, 2, 0, 1, 0], ValueError, ["2", "index 2", "from 0 to 1", "2 outputs"]),
    "negative": ([0, 1, 0, -1, 1, 0], ValueError, ["-1", "index 3", "from 0 to 1"]),
    "between": ([0, 1, 0, 0.5, 1, 0], ValueError, ["0.5", "index 3", "whole"]),
    "huge": ([0, 1, 0, 2**63, 1, 0], ValueError, ["index 3", "from 0 to 1"]),
    "very huge": ([0, 1, 0, 10**400, 1, 0], ValueError, "index 3"),
    "unsigned": (np.array([0, 1, 2**64 - 1, 0, 1, 0], np.uint64), ValueError, ["18446744073709551615", "index 2"]),
    "NaN": ([0, 1, 0, NAN, 1, 0], ValueError, ["nan", "3"]),
    "infinity": ([0, 1, 0, INF, 1, 0], ValueError, ["inf", "3"]),
    "texts": (["cat", "dog", "cat", "dog", "cat", "dog"], TypeError, ["from 0 to 1", "np.unique"]),
    "digits as text": (list("010110"), TypeError, ["from 0 to 1", "np.unique"]),
    "texts in objects": (np.array(["cat", "dog"] * 3, object), TypeError, ["from 0 to 1", "np.unique"]),
    "a text among numbers": (np.array([0, 1, 0, "1", 1, 0], object), TypeError, ["from 0 to 1", "np.unique"]),
    "None among numbers": (np.array([0, 1, 0, None, 1, 0], object), (ValueError, TypeError), []),
    "complex": (LABELS + 0j, TypeError, ["complex128", "from 0 to 1"]),
    "dates": (np.full(6, "2024-01-01", "M8[D]"), TypeError, ["datetime64", "from 0 to 1"]),
    "one short": (LABELS[:5], ValueError, ["6", "5", "same number"]),
    "in a row": (LABELS[None], ValueError, ["6", "1", "same number"]),
    "three classes one-hot": (np.eye(3)[LABELS], ValueError, ["(samples, 2)", "(6, 3)", "labels"]),
    "three axes": (np.eye(2)[LABELS][None].repeat(6, 0), ValueError, ["(samples, 2)", "(6, 6, 2)"]),
    "rows that sum to 2": (np.ones((6, 2)), ValueError, ["sum", "2", "sample 0"]),
    "rows that sum to 0": (np.zeros((6, 2)), ValueError, ["sum", "0", "sample 0"]),
    "a negative probability": (np.array([[1.5, -0.5]] * 6), ValueError, ["1.5", "sample 0", "from 0 to 1"]),
    "percentages": (np.array([[40, 60]] * 6), ValueError, ["40", "sample 0", "from 0 to 1"]),
    "NaN among probabilities": (np.array([[NAN, 1.0]] * 6), ValueError, ["nan", "(0, 0)"]),
    "masked": (np.ma.masked_equal(LABELS, 1), ValueError, ["mask", "fill"]),
    "a number": (1, ValueError, "one entry per sample"),
    "None": (None, TypeError, "one entry per sample"),
}


@pytest.mark.parametrize("use", USES_OF_Y)
@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_labels(case, use):
    value, error, words = BAD_LABELS[case]
    name = "validation_data[1]" if use == "validation_data" else "y"
    refused(lambda net: USES_OF_Y[use](net, value), error, named(name, words), classifier(), trained(classifier()))


@pytest.mark.parametrize(("output", "loss", "y", "words"), [
    ("sigmoid", "binary_cross_entropy", [0, 1, 0, 2, 0, 1], ["y", "2", "sample 3", "from 0 to 1"]),
    ("sigmoid", "binary_cross_entropy", [0, 1, 0, -0.1, 0, 1], ["y", "-0.1", "sample 3", "from 0 to 1"]),
    ("sigmoid", "binary_cross_entropy", [-1, 1, -1, 1, 1, 1], ["y", "-1", "sample 0", "from 0 to 1"]),
    ("softplus", "poisson", [0, 3, 5, 1, -2, 1], ["y", "-2", "sample 4", "at least 0"]),
    ("identity", "hinge", [0, 1, 0, 1, 0, 1], ["y", "0", "sample 0", "-1 or 1", "2 * y - 1"]),
    ("identity", "hinge", [1, -1, 0.5, 1, 1, 1], ["y", "0.5", "sample 2", "-1 or 1"]),
    ("identity", MSE, [[1, 2]] * 6, ["y", "(samples,) or (samples, 1)", "(6, 2)"]),
])
def test_targets_outside_the_range_of_the_loss(output, loss, y, words):
    net = cbp.mlp([3, 4, 1], output=output, loss=loss, seed=0)
    before = bits(net)
    for call in (net.fit, net.evaluate, net.gradient, net.train_on_batch):
        with pytest.raises(ValueError, match="y ") as caught:
            call(X, y)
        for word in words:
            assert word in str(caught.value)
    assert bits(net) == before


# --- weights, validation data, gradients of outputs ---------------------------------------------------------------

BAD_WEIGHTS = {
    "one short": (np.ones(5), ValueError, ["(6,)", "(5,)"]),
    "a column": (np.ones((6, 1)), ValueError, ["(6,)", "(6, 1)"]),
    "a number": (2.0, ValueError, ["(6,)"]),
    "empty": ([], ValueError, ["(6,)", "(0,)"]),
    "negative": ([1, 1, 1, -0.5, 1, 1], ValueError, ["-0.5", "index 3", "at least 0"]),
    "zeros": (np.zeros(6), ValueError, ["zeros", "above 0"]),
    "NaN": ([1, 1, NAN, 1, 1, 1], ValueError, ["nan", "2", "finite"]),
    "infinity": ([1, 1, INF, 1, 1, 1], ValueError, ["inf", "2", "finite"]),
    "texts": (["1"] * 6, TypeError, "number"),
    "one text": ("balanced", TypeError, "number"),
    "complex": (np.ones(6) * 1j, TypeError, "number"),
    "None inside": ([1, 1, None, 1, 1, 1], (ValueError, TypeError), []),
    "ragged": ([1, [1], 1, 1, 1, 1], ValueError, "rectangular"),
    "classes": ({0: 1.0, 1: 2.0}, (ValueError, TypeError), "number"),
    "masked": (np.ma.array(np.ones(6), mask=[1, 0, 0, 0, 0, 0]), ValueError, "mask"),
    "too large for float32": ([1, 1, 1e39, 1, 1, 1], ValueError, ["1e+39", "too large for float32"]),
}


USES_OF_WEIGHTS = {
    "fit": lambda net, weight: net.fit(X, fitting_y(net), sample_weight=weight),
    "train_on_batch": lambda net, weight: net.train_on_batch(X, fitting_y(net), sample_weight=weight),
    "evaluate": lambda net, weight: net.evaluate(X, fitting_y(net), weight),
    "gradient": lambda net, weight: net.gradient(X, fitting_y(net), weight),
    "check_gradients": lambda net, weight: cbp.check_gradients(net, X, fitting_y(net), sample_weight=weight),
    "validation_data": lambda net, weight: net.fit(X, fitting_y(net), validation_data=(X, fitting_y(net), weight)),
}


@pytest.mark.parametrize("case", BAD_WEIGHTS)
@pytest.mark.parametrize("use", USES_OF_WEIGHTS)
def test_bad_sample_weights(case, use):
    value, error, words = BAD_WEIGHTS[case]
    if use == "check_gradients" and "for float32" in case:
        return  # it computes in float64
    name = "validation_data[2]" if use == "validation_data" else "sample_weight"
    refused(lambda net: USES_OF_WEIGHTS[use](net, value), error, named(name, words))


def test_weights_whose_sum_overflows():
    """The right loss or a refusal, but no NaN."""
    net = regressor("float64")
    expected = net.evaluate(X, Y)["loss"]
    try:
        assert net.evaluate(X, Y, np.full(6, 1e308))["loss"] == pytest.approx(expected)
    except ValueError as problem:
        assert "sample_weight" in str(problem)  # noqa: PT017


@pytest.mark.parametrize("value", [
    (X,), (X, Y, np.ones(6), None, 1), (), [], "XY", X, np.array([1, 2]), {"X": X, "y": Y}, 0.2, True, len, {1, 2},
], ids=lambda value: type(value).__name__)
def test_bad_validation_data(value):
    refused(lambda net: net.fit(X, fitting_y(net), validation_data=value), TypeError,
            ["validation_data", "(X, y)", type(value).__name__])


def test_swapped_validation_data():
    refused(lambda net: net.fit(X, fitting_y(net), validation_data=(fitting_y(net), X)), ValueError,
            ["validation_data[0]", "(samples, 3)"])


@pytest.mark.parametrize(("value", "error", "words"), [
    (Y[:5], ValueError, ["X", "6", "5", "same number"]),
    (Y[:, :1], ValueError, ["(samples, 2)", "(6, 1)"]),
    (Y[0], ValueError, ["(samples, 2)", "(2,)"]),
    (Y.T, ValueError, ["(samples, 2)", "(2, 6)"]),
    (1.0, ValueError, ["(samples, 2)", "()"]),
    (None, TypeError, "(samples, 2)"),
    (Y[:0], ValueError, "empty"),
    (changed(Y, (2, 1), NAN), ValueError, ["nan", "(2, 1)", "finite"]),
    (changed(Y, (2, 1), 1e39), ValueError, ["1e+39", "(2, 1)", "too large for float32"]),
    (Y.astype(str), TypeError, "number"),
    (Y * 1j, TypeError, "number"),
    ([[1, 2]] * 5 + [[1]], ValueError, "rectangular"),
    (Liar((6, 2), (6, 1)), ValueError, "(samples, 2)"),
])
def test_bad_d_output(value, error, words):
    refused(lambda net: net.backward(X, value), error, named("d_output", words))


def test_a_row_for_backward_gets_advice_for_backward():
    """predict_one is no way to pass a gradient."""
    net = regressor()
    with pytest.raises(ValueError, match=r"d_output\[None\]") as caught:
        net.backward(X[:1], Y[0])
    assert "predict_one" not in str(caught.value)


@pytest.mark.parametrize(("value", "error", "words"), [
    (np.zeros(25), ValueError, ["(26,)", "(25,)"]),
    (np.zeros(27), ValueError, ["(26,)", "(27,)"]),
    (np.zeros((1, 26)), ValueError, ["(26,)", "(1, 26)"]),
    ([], ValueError, ["(26,)", "(0,)"]),
    (0.0, ValueError, "(26,)"),
    (None, (ValueError, TypeError), "vector"),
    ("zeros", TypeError, "number"),
    (["0"] * 26, TypeError, "number"),
    (np.zeros(26) * 1j, TypeError, "number"),
    (changed(np.zeros(26), 7, NAN), ValueError, ["nan", "7", "finite"]),
    (changed(np.zeros(26), 25, INF), ValueError, ["inf", "25", "finite"]),
    (changed(np.zeros(26), 25, 1e39), ValueError, ["1e+39", "25", "too large for float32"]),
    ([0] * 25 + [[0]], ValueError, "rectangular"),
    (np.ma.masked_all(26), ValueError, "mask"),
])
def test_bad_vectors(value, error, words):
    refused(lambda net: net.set_vector(value), error, named("vector", words))


# --- how a run is set up ------------------------------------------------------------------------------------------

NO_WHOLE_NUMBERS = [1.5, 2.0, "3", None, True, np.True_, [1], NAN, 1j, np.float32(2), np.array([2]), object, b"1"]


@pytest.mark.parametrize("value", [v for v in NO_WHOLE_NUMBERS if v is not None], ids=repr)
@pytest.mark.parametrize("argument", ["epochs", "batch_size"])
def test_run_lengths_are_whole_numbers(argument, value):
    words = [argument, "whole number", repr(value)]
    refused(lambda net: net.fit(X, fitting_y(net), **{argument: value}), TypeError, words)


@pytest.mark.parametrize(("argument", "value", "words"), [
    ("epochs", -1, ["at least 0", "-1"]),
    ("epochs", np.int64(-5), ["at least 0", "-5"]),
    ("epochs", -(10**30), ["at least 0", "-1000"]),
    ("epochs", 10**30, ["below", "1000000"]),
    ("batch_size", 0, ["at least 1", "got 0"]),
    ("batch_size", -1, ["at least 1", "-1"]),
    ("batch_size", np.int8(-128), ["at least 1", "-128"]),
])
def test_run_lengths_out_of_range(argument, value, words):
    refused(lambda net: net.fit(X, fitting_y(net), **{argument: value}), ValueError, [argument, "whole number", *words])


@pytest.mark.parametrize("argument", ["shuffle", "progress"])
@pytest.mark.parametrize("value", ["yes", "", 1, 0, 1.0, [], "True", np.int64(1), np.array([True]), object], ids=repr)
def test_switches_are_true_or_false(argument, value):
    words = [argument, "True or False", repr(value)]
    refused(lambda net: net.fit(X, fitting_y(net), **{argument: value}), TypeError, words)


def test_shuffle_is_not_none():
    refused(lambda net: net.fit(X, fitting_y(net), shuffle=None), TypeError, ["shuffle", "True or False", "None"])


USES_OF_OPTIMIZER = {
    "fit": lambda net, optimizer: net.fit(X, fitting_y(net), optimizer=optimizer),
    "train_on_batch": lambda net, optimizer: net.train_on_batch(X, fitting_y(net), optimizer=optimizer),
    "set_optimizer": lambda net, optimizer: net.set_optimizer(optimizer),
    "trace": lambda net, optimizer: net.trace(X, fitting_y(net), optimizer=optimizer),
}


@pytest.mark.parametrize("use", USES_OF_OPTIMIZER)
@pytest.mark.parametrize(("value", "error", "words"), [
    ("adma", ValueError, ["'adma'", "did you mean 'adam'"]),
    ("Adam", ValueError, ["'Adam'", "did you mean 'adam'"]),
    ("sgdd", ValueError, ["'sgdd'", "did you mean 'sgd'"]),
    ("RMSProp", ValueError, ["'RMSProp'", "did you mean 'rmsprop'"]),
    ("lbfgs", ValueError, ["'lbfgs'", "sgd, adam, adamw, rmsprop, adagrad"]),
    ("", ValueError, ["''", "sgd, adam"]),
    (cbp.Adam, TypeError, ["name", "cbp.Adam(1e-3)"]),
    (0.01, TypeError, ["0.01", "cbp.Adam(1e-3)"]),
    (True, TypeError, ["True", "cbp.Adam(1e-3)"]),
    (("adam", 0.01), TypeError, ["0.01", "cbp.Adam(1e-3)"]),
    (len, TypeError, "cbp.Adam(1e-3)"),
    (b"adam", TypeError, "cbp.Adam(1e-3)"),
], ids=lambda value: repr(value) if isinstance(value, (str, bytes)) else "")
def test_bad_optimizers(use, value, error, words):
    refused(lambda net: USES_OF_OPTIMIZER[use](net, value), error, named("optimizer", words))


def test_set_optimizer_needs_one():
    refused(lambda net: net.set_optimizer(None), TypeError, ["optimizer", "None", "cbp.Adam(1e-3)"])


def test_the_abstract_optimizer_is_no_rule():
    """The base class may refuse to be built, or the network to use it."""
    refused(lambda net: net.set_optimizer(cbp.optimizers.Optimizer(rate=0.1)), TypeError, "cbp.Adam(1e-3)")


@pytest.mark.parametrize("kind", cbp.optimizers.OPTIMIZERS.values())
@pytest.mark.parametrize(("value", "error", "shown"), [
    (0, ValueError, "got 0"), (0.0, ValueError, "got 0"), (-0.1, ValueError, "got -0.1"), (NAN, ValueError, "got nan"),
    (INF, ValueError, "got inf"), (10**400, ValueError, "got "), ("0.1", TypeError, "'0.1'"), (None, TypeError, "None"),
    (True, TypeError, "True"), (np.True_, TypeError, "True"), ([0.1], TypeError, "[0.1]"), (0.1j, TypeError, "0.1j"),
    (np.complex64(0.1), TypeError, "0.1"), (np.array([0.1]), TypeError, "0.1"), (b"1", TypeError, "b'1'"),
], ids=repr)
def test_bad_rates(kind, value, error, shown):
    with pytest.raises(error, match=r"rate must be a finite number above 0, got ") as caught:
        kind(value)
    assert shown in str(caught.value)


@pytest.mark.parametrize(("name", "settings", "words"), [
    (name, settings, words) for name, row in facts.OPTIMIZERS.items() for settings, words in row.refused])
def test_optimizer_settings_out_of_range(name, settings, words):
    with pytest.raises(ValueError, match=words[0]) as caught:
        cbp.optimizers.OPTIMIZERS[name](**settings)
    for word in words:
        assert word in str(caught.value)


def test_optimizer_settings_of_the_wrong_kind():
    with pytest.raises(TypeError, match=r"momentum must be .*, got '0\.9'"):
        cbp.SGD(0.1, momentum="0.9")
    with pytest.raises(TypeError, match="nesterov must be True or False, got 1"):
        cbp.SGD(0.1, momentum=0.9, nesterov=1)
    with pytest.raises(TypeError):
        cbp.SGD(0.1, 0.9)
    with pytest.raises(TypeError):
        cbp.Adam(learning_rate=0.1)
    with pytest.raises(TypeError, match=r"limit must be a whole number of at least 1, got 2\.5"):
        cbp.check_gradients(regressor(), X, Y, limit=2.5)
    with pytest.raises(ValueError, match="limit must be a whole number of at least 1, got 0"):
        cbp.check_gradients(regressor(), X, Y, limit=0)
    with pytest.raises(TypeError, match="network"):
        cbp.check_gradients("model.cbp", X, Y)


@pytest.mark.parametrize(("field", "value"), [("rate", 0.5), ("weight_decay", 1.0), ("name", "sgd")])
def test_specifications_are_frozen(field, value):
    with pytest.raises(AttributeError):
        setattr(cbp.Adam(), field, value)
    with pytest.raises(AttributeError):
        cbp.Dense(3).units = 4


# --- layers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", NO_WHOLE_NUMBERS, ids=repr)
def test_units_and_inputs_are_whole_numbers(value):
    with pytest.raises(TypeError, match="units must be a whole number of at least 1, got") as caught:
        cbp.Dense(value)
    assert repr(value) in str(caught.value)
    if isinstance(value, list):
        return
    for inputs in (value, (value,)):
        with pytest.raises(TypeError, match=r"inputs must be (a whole number of at least 1|whole numbers), got"):
            cbp.Network(inputs, [cbp.Dense(1)], loss=MSE)


@pytest.mark.parametrize("value", [0, -1, np.int64(-3), -(10**30)])
def test_units_and_inputs_are_positive(value):
    with pytest.raises(ValueError, match=f"units must be a whole number of at least 1, got {value}"):
        cbp.Dense(value)
    with pytest.raises(ValueError, match=f"inputs must be a whole number of at least 1, got {value}"):
        cbp.Network(value, [cbp.Dense(1)], loss=MSE)


@pytest.mark.parametrize("size", [2**50, 2**59, 2**62, 2**63 - 1, 2**63, 2**64, 10**30])
def test_sizes_that_no_machine_holds(size):
    """Refused by name or by the memory, and at once; no overflow of an integer on the way."""
    with pytest.raises((ValueError, MemoryError)):
        cbp.Network(3, [cbp.Dense(size), cbp.Dense(1)], loss=MSE)
    with pytest.raises((ValueError, MemoryError)):
        cbp.Network(size, [cbp.Dense(1)], loss=MSE)


@pytest.mark.parametrize("value", [(), []])
def test_a_sample_has_an_axis(value):
    with pytest.raises(ValueError, match="inputs must be a number of features or the shape of one sample"):
        cbp.Network(value, [cbp.Dense(1)], loss=MSE)


@pytest.mark.parametrize(("given", "right"), [
    ("rely", "relu"), ("RELU", "relu"), ("Relu", "relu"), ("leaky-relu", "leaky_relu"), ("sigmod", "sigmoid"),
    ("tan", "tanh"), ("soft_max", "softmax"), ("softmx", "softmax"), ("Gelu", "gelu"),
])
def test_unknown_activations_get_the_nearest_one(given, right):
    with pytest.raises(ValueError, match="activation") as caught:
        cbp.Dense(3, given)
    message = str(caught.value)
    assert repr(given) in message
    assert f"did you mean {right!r}" in message


@pytest.mark.parametrize("given", ["linear", "id"])
def test_other_names_of_the_identity(given):
    with pytest.raises(ValueError, match=f"activation.*'{given}'.*identity"):
        cbp.Dense(3, given)


@pytest.mark.parametrize("given", ["", "xyzzy", "µ", "relu ", "relu\n"])
def test_unknown_activations_list_the_known_ones(given):
    with pytest.raises(ValueError, match="activation") as caught:
        cbp.Dense(3, given)
    assert repr(given) in str(caught.value)
    for name in cbp.layers.ACTIVATIONS:
        assert name in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, len, ["relu"], b"relu", np.tanh])
def test_activations_are_names(value):
    with pytest.raises(TypeError, match="activation must be a name, got") as caught:
        cbp.Dense(3, value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("value", ["no", 1, 0, None, 0.0, []], ids=repr)
def test_bias_is_a_switch(value):
    with pytest.raises(TypeError, match="bias must be True or False, got"):
        cbp.Dense(3, bias=value)


def test_layer_options_are_named():
    with pytest.raises(TypeError):
        cbp.Dense(3, "relu", False)


@pytest.mark.parametrize(("value", "error", "words"), [
    ("he", ValueError, ["unknown name 'he'", "he_normal"]),
    ("glorot", ValueError, ["unknown name 'glorot'", "did you mean 'glorot_"]),
    ("xavier", ValueError, ["unknown name 'xavier'", "glorot_uniform"]),
    ("orthogonl", ValueError, ["did you mean 'orthogonal'"]),
    (NAN, ValueError, "nan"),
    (INF, ValueError, "inf"),
    (10**400, ValueError, "finite"),
    (True, TypeError, "True"),
    ([[NAN, 1.0]], ValueError, "finite"),
    ([[INF, 1.0]], ValueError, "finite"),
    ([[1.0], [1.0, 2.0]], ValueError, "rectangular"),
    ([["a", "b"]], TypeError, "numbers"),
    ([[1j, 2]], TypeError, "numbers"),
    (np.ones((3, 2)) * 1j, TypeError, "numbers"),
    (np.full((3, 2), "2024", "M8[Y]"), TypeError, "numbers"),
    ([["1", "2"]] * 3, TypeError, "numbers"),
    ({"a": 1}, TypeError, "numbers"),
    (object(), TypeError, "numbers"),
    (1j, TypeError, "number"),
], ids=label)
def test_bad_initial_values(value, error, words):
    with pytest.raises(error, match="init") as caught:
        cbp.Dense(2, init=value)
    for word in [words] if isinstance(words, str) else words:
        assert word in str(caught.value)


@pytest.mark.parametrize("shape", [(2, 3), (3,), (2,), (3, 2, 1), (6,), (0, 2), (1, 1)])
def test_initial_values_of_the_wrong_shape(shape):
    with pytest.raises(ValueError, match=r"layers\[0\]: init.*\(3, 2\)") as caught:
        cbp.Network(3, [cbp.Dense(2, init=np.ones(shape))], loss=MSE)
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("init", [1e300, np.full((3, 2), -1e300), 1e39])
def test_initial_values_that_the_dtype_cannot_hold(init):
    cbp.Network(3, [cbp.Dense(2, init=init)], loss=MSE, dtype="float64")
    with pytest.raises(ValueError, match=r"layers\[0\].*init.*float32"):
        cbp.Network(3, [cbp.Dense(2, init=init)], loss=MSE, dtype="float32")


def test_an_initializer_built_by_hand_is_checked_too():
    for name, words in (("nope", "nope.*glorot_uniform"), ("constant", "value"), ("array", "value")):
        with pytest.raises((ValueError, TypeError), match=words):
            cbp.Network(3, [cbp.Dense(2, init=cbp.initializers.Initializer(name))], loss=MSE)


@pytest.mark.parametrize(("value", "error", "words"), [
    ([], ValueError, "empty"),
    ((), ValueError, "empty"),
    (None, TypeError, ["None", "cbp.Dense"]),
    (cbp.Dense(3), TypeError, ["Dense", "list"]),
    (cbp.Dense, TypeError, ["Dense", "list"]),
    ("relu", TypeError, ["'relu'", "cbp.Dense"]),
    (3, TypeError, ["3", "cbp.Dense"]),
    ({0: cbp.Dense(3)}, TypeError, "list"),
    ((layer for layer in [cbp.Dense(3)]), TypeError, "list"),
    ([3, 4], TypeError, ["layers[0]", "cbp.Dense", "3"]),
    ([cbp.Dense(3), None], TypeError, ["layers[1]", "cbp.Dense", "None"]),
    ([cbp.Dense(3), cbp.Dense], TypeError, ["layers[1]", "cbp.Dense"]),
    ([cbp.Dense(3), "softmax"], TypeError, ["layers[1]", "'softmax'"]),
    ([[cbp.Dense(3)]], TypeError, "layers[0]"),
    ([cbp.layers.Layer()], TypeError, "layers[0]"),
    ([type("Own", (cbp.Dense,), {})(3)], TypeError, "layers[0]"),
], ids=label)
def test_bad_layers(value, error, words):
    with pytest.raises(error, match="layers") as caught:
        cbp.Network(3, value, loss=MSE)
    for word in [words] if isinstance(words, str) else words:
        assert word in str(caught.value)


# --- networks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "words"), [
    ("mean_square_error", ["did you mean 'mean_squared_error'"]),
    ("MeanSquaredError", ["mean_squared_error"]),
    ("mse", ["'mse'", "mean_squared_error"]),
    ("crossentropy", ["did you mean 'cross_entropy'"]),
    ("cross-entropy", ["did you mean 'cross_entropy'"]),
    ("binary_crossentropy", ["did you mean 'binary_cross_entropy'"]),
    ("Huber", ["did you mean 'huber'"]),
    ("", ["''", "mean_squared_error"]),
])
def test_unknown_losses(value, words):
    for make in (
        lambda: cbp.Network(3, [cbp.Dense(2)], loss=value),
        lambda: cbp.losses.get(value),
        lambda: cbp.mlp([3, 2], loss=value),
    ):
        with pytest.raises(ValueError, match="loss") as caught:
            make()
        for word in words:
            assert word in str(caught.value)


@pytest.mark.parametrize("value", [None, 3, len, ["huber"], cbp.losses.Loss, b"huber"], ids=repr)
def test_losses_are_names(value):
    with pytest.raises(TypeError, match=r"loss must be a name or one of cbp's losses") as caught:
        cbp.Network(3, [cbp.Dense(2)], loss=value)
    assert repr(value) in str(caught.value)
    with pytest.raises(TypeError, match="loss"):
        cbp.losses.get(value)


def test_what_losses_share_is_none():
    with pytest.raises(TypeError, match=r"Loss is what the losses share; take one of them"):
        cbp.losses.Loss()


def test_losses_of_ones_own_are_refused():
    class Own(cbp.losses.Huber):
        pass

    with pytest.raises(TypeError, match=r"loss must be a name or one of cbp.*got .*Own"):
        cbp.Network(3, [cbp.Dense(2)], loss=Own())


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (-1, ValueError), (NAN, ValueError), ("1", TypeError)])
def test_bad_delta(value, error):
    with pytest.raises(error, match="delta must be a finite number above 0, got"):
        cbp.losses.huber(value)


@pytest.mark.parametrize(("loss", "activation", "words"), [
    ("cross_entropy", "identity", ["'softmax'", "'identity'"]),
    ("cross_entropy", "sigmoid", ["'softmax'", "'sigmoid'"]),
    ("cross_entropy", "relu", ["'softmax'", "'relu'"]),
    ("binary_cross_entropy", "identity", ["'sigmoid'", "'identity'"]),
    ("binary_cross_entropy", "tanh", ["'sigmoid'", "'tanh'"]),
    ("binary_cross_entropy", "softplus", ["'sigmoid'", "'softplus'"]),
    ("poisson", "identity", ["'softplus'", "'identity'"]),
    ("poisson", "tanh", ["'softplus'", "'tanh'"]),
])
def test_losses_that_the_output_does_not_fit(loss, activation, words):
    with pytest.raises(ValueError, match="last layer") as caught:
        cbp.Network(3, [cbp.Dense(4, "softmax"), cbp.Dense(2, activation)], loss=loss)
    for word in [repr(loss), *words]:
        assert word in str(caught.value)


def test_cross_entropy_needs_two_outputs():
    with pytest.raises(ValueError, match=r"at least 2.*'sigmoid' and 'binary_cross_entropy'"):
        cbp.Network(3, [cbp.Dense(1, "softmax")], loss="cross_entropy")


@pytest.mark.parametrize("value", [
    "float16", "int32", ">f4", ">f8", "flaot32", None, int, complex, object, "", 32, np.longdouble, [("a", "f4")],
    "f4,f4", str, bool, {"names": ["a"], "formats": ["f4"]},
], ids=label)
def test_bad_dtypes(value):
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got") as caught:
        cbp.mlp([3, 2], dtype=value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("value", "error", "words"), [
    (-1, ValueError, ["at least 0", "-1"]), (2**63, ValueError, ["below", str(2**63)]), (2**64, ValueError, "below"),
    (10**30, ValueError, "below"), (1.0, TypeError, "1.0"), ("0", TypeError, "'0'"), (True, TypeError, "True"),
    (NAN, TypeError, "nan"), ([1], TypeError, "[1]"), (np.random.default_rng(0), TypeError, "Generator"),
    (np.uint64(2**63), ValueError, "below"),
], ids=label)
def test_bad_seeds(value, error, words):
    with pytest.raises(error, match="seed must be a whole number") as caught:
        cbp.mlp([3, 2], seed=value)
    for word in [words] if isinstance(words, str) else words:
        assert word in str(caught.value)


@pytest.mark.parametrize("argument", ["l1", "l2"])
@pytest.mark.parametrize(("value", "error"), [
    (-0.1, ValueError), (NAN, ValueError), (INF, ValueError), (10**400, ValueError), ("0.1", TypeError),
    (None, TypeError), (True, TypeError), ([0.1], TypeError), (1j, TypeError),
], ids=repr)
def test_bad_penalties(argument, value, error):
    with pytest.raises(error, match=f"{argument} must be a finite number of at least 0, got"):
        cbp.mlp([3, 2], **{argument: value})


@pytest.mark.parametrize("value", [[], [3], (3,), 3, None, "3, 2", {3: 2}, np.array([3, 2])], ids=repr)
def test_bad_sizes_of_an_mlp(value):
    with pytest.raises((ValueError, TypeError), match="sizes") as caught:
        cbp.mlp(value)
    assert "[64, 32, 10]" in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(("sizes", "options", "error", "words"), [
    ([0, 2], {}, ValueError, ["inputs", "got 0"]),
    ([3, 0, 2], {}, ValueError, ["units", "got 0"]),
    ([3, -4, 2], {}, ValueError, ["units", "got -4"]),
    ([3, 2.5, 2], {}, TypeError, ["units", "2.5"]),
    ([3, "4", 2], {}, TypeError, ["units", "'4'"]),
    ([3, 4, 2], {"hidden": "rely"}, ValueError, ["activation", "did you mean 'relu'"]),
    ([3, 4, 2], {"output": "sofmax"}, ValueError, ["activation", "did you mean 'softmax'"]),
    ([3, 4, 2], {"hidden": None}, TypeError, ["activation", "None"]),
    ([3, 4, 2], {"output": "softmax", "loss": "poison"}, ValueError, ["loss", "did you mean 'poisson'"]),
    ([3, 4, 2], {"output": "relu", "loss": "cross_entropy"}, ValueError, ["softmax", "relu"]),
    ([3, 4, 1], {"output": "softmax"}, ValueError, ["at least 2"]),
    ([3, 4, 2], {"sede": 1}, TypeError, ["sede"]),
])
def test_bad_mlps(sizes, options, error, words):
    with pytest.raises(error) as caught:
        cbp.mlp(sizes, **options)
    for word in words:
        assert word in str(caught.value)


def test_arguments_after_the_first_are_named():
    with pytest.raises(TypeError):
        cbp.Network(3, [cbp.Dense(1)], MSE)
    net = regressor()
    with pytest.raises(TypeError):
        net.fit(X, Y, 10)
    with pytest.raises(TypeError):
        net.train_on_batch(X, Y, "sgd")
    with pytest.raises(TypeError):
        net.fit(X)
    with pytest.raises(TypeError):
        net.fit(X, Y, epoch=3)


def test_the_first_mistake_is_found_before_anything_moves():
    """All arguments are looked at before the optimizer, and its state, are exchanged."""
    X2, other = X[:2], {"optimizer": cbp.SGD(1.0)}
    for call, error, word in (
        (lambda net: net.fit(X, Y, **other, batch_size=0), ValueError, "batch_size"),
        (lambda net: net.fit(X, Y, **other, progress="x"), TypeError, "progress"),
        (lambda net: net.fit(X, Y, **other, validation_data=(X, Y[:3])), ValueError, "validation_data"),
        (lambda net: net.fit(X, Y, **other, sample_weight=[1]), ValueError, "sample_weight"),
        (lambda net: net.train_on_batch(X2, Y, **other), ValueError, "y"),
        (lambda net: net.train_on_batch(X, Y, **other, sample_weight=[1]), ValueError, "sample_weight"),
    ):
        refused(call, error, word, regressor(), trained(regressor()))


# --- samples with axes: what nearly fits ------------------------------------------------------------------------------------

IMAGES = cbp.Network((4, 6, 1), [cbp.Flatten(), cbp.Dense(2)], loss=MSE, seed=0)
COLOURS = cbp.Network((4, 6, 3), [cbp.Flatten(), cbp.Dense(2)], loss=MSE, seed=0)
STEPS = cbp.Network((5, 3), [cbp.Dense(2)], loss=MSE, seed=0)


@pytest.mark.parametrize(("net", "shape", "remedy"), [
    (IMAGES, (7, 4, 6), "X[..., None] adds the axis of one channel"),
    (IMAGES, (7, 24), "X.reshape(-1, 4, 6, 1) is that"),
    (COLOURS, (7, 3, 4, 6), "np.moveaxis(X, 1, -1) puts the channels last"),
    (STEPS, (7, 2, 3), "shorter sequences are padded to 5 steps, and lengths= says how long each is"),
    (STEPS, (7, 9, 3), "longer sequences are cut, or the network is built for inputs of (9, 3)"),
])  # fmt: skip
def test_shapes_that_nearly_fit(net, shape, remedy):
    with pytest.raises(ValueError, match=re.escape(f"X must have the shape (samples, {', '.join(map(str, net.input_shape))}), "
                                                   f"got {shape}; {remedy}")):
        net.predict(np.zeros(shape))


def test_sequences_of_different_lengths():
    with pytest.raises(ValueError, match=r"^X must be a rectangular array .*; sequences of different lengths are padded"):
        STEPS.predict([[[1, 2, 3]], [[1, 2, 3], [4, 5, 6]]])
    with pytest.raises(TypeError, match=r"^inputs must be whole numbers, got \(None, 3\); sequences of different lengths"):
        cbp.Network((None, 3), [cbp.LSTM(4)], loss=MSE)


@pytest.mark.parametrize("y", [np.zeros(7), np.zeros((7, 2))], ids=["one a sample", "outputs of one step"])
def test_one_target_for_a_network_that_answers_at_every_step(y):
    with pytest.raises(ValueError, match=r"^y must have the shape \(samples, 5, 2\) .* answers at every step .*Flatten"):
        STEPS.fit(np.zeros((7, 5, 3)), y, epochs=1)


def test_the_last_layer_has_no_activation():
    with pytest.raises(ValueError, match=r"needs 'softmax' as .* the last layer, but Flatten\(\), which is last, has none"):
        cbp.Network((2, 3), [cbp.Dense(3, "softmax"), cbp.Flatten()], loss="cross_entropy")


def test_validation_weights_where_lengths_are_expected():
    lengths = np.array([1, 5, 3, 2, 4, 5, 1])
    x, y = np.zeros((7, 5, 3)), np.zeros((7, 5, 2))
    before = STEPS.get_vector()
    with pytest.raises(ValueError, match=r"^validation_data \(X, y, sample_weight\) has no lengths.* \(X, y, None, lengths\)"):
        STEPS.fit(x, y, epochs=1, lengths=lengths, validation_data=(x, y, lengths))
    np.testing.assert_array_equal(STEPS.get_vector(), before)
    history = STEPS.fit(x, y, epochs=1, lengths=lengths, validation_data=(x, y, None, lengths))
    assert history.epochs == 1
