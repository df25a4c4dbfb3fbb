"""What stands for an array: taken with the same bits, or refused with the argument's name and what to pass instead.

Classes of other packages are played by small ones with the same protocols, so that nothing has to be installed.
"""

import collections
import enum
import fractions
import re
import types
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

import cbp

X = np.random.default_rng(0).standard_normal((6, 3)).astype("f4")
Y = np.random.default_rng(1).standard_normal((6, 2)).astype("f4")


def regressor():
    return cbp.mlp([3, 4, 2], seed=0)


class OnlyDLPack:
    """A tensor that NumPy reads through DLPack alone."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **options):
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self._array.__dlpack_device__()


class OnGpu(OnlyDLPack):
    def __dlpack__(self, **_options):
        raise BufferError("the tensor is on a GPU")


class Raises:
    """An array that tells itself why it cannot be read: with a gradient, sparse, on another device."""

    def __init__(self, problem):
        self._problem = problem

    def __array__(self, dtype=None, copy=None):
        raise self._problem


class Sparse:
    shape = (6, 3)

    def toarray(self):
        return X


class Lazy:
    def collect(self):
        return X


class Loader:
    def __iter__(self):
        return iter(X)


class CudaArray:
    __cuda_array_interface__ = {"shape": (6, 3)}  # noqa: RUF012


class NAType:
    """The missing value of pandas."""

    def __repr__(self):
        return "<NA>"


class Frame:
    """A table of Polars: beside floats its dates become floats, too."""

    schema = {"a": "Float64", "day": "Date", "hour": "Datetime(time_unit='us', time_zone=None)"}  # noqa: RUF012

    def __array__(self, dtype=None, copy=None):
        return X


class Grade(enum.IntEnum):
    GOOD = 1


TAKEN = {
    "only __dlpack__": OnlyDLPack,
    "a deque": lambda array: collections.deque(array.tolist()),
    "a list of masked arrays without masked values": lambda array: [np.ma.array(row) for row in array],
    "a memoryview": memoryview,
    "a matrix": lambda array: array.view(np.matrix),
    "a list of rows that know __dlpack__ and more": list,
}
REFUSED = {
    "a gradient": (Raises(RuntimeError("Use tensor.detach()")), ["Raises", "tensor.detach()"]),
    "bfloat16": (Raises(TypeError("Got unsupported ScalarType BFloat16")), ["BFloat16", "{name}.float()"]),
    "any other problem": (Raises(KeyError("strange")), ["Raises", "strange"]),
    "a list of such": ([Raises(RuntimeError("Use tensor.detach()"))], ["list", "tensor.detach()"]),
    "a GPU": (OnGpu(X), ["OnGpu", "on a GPU"]),
    "a GPU's memory": (CudaArray(), ["CudaArray", "copy it to that of the host"]),
    "sparse": (Sparse(), ["Sparse", "{name}.toarray()"]),
    "lazy": (Lazy(), ["Lazy", "{name}.collect()"]),
    "a generator": ((row for row in X), ["generator", "list({name})"]),
    "an iterator": (iter(X.tolist()), ["list_iterator", "list({name})"]),
    "a map": (map(list, X), ["map", "list({name})"]),
    "a zip": (zip(X, X, strict=True), ["zip", "list({name})"]),
    "what can be walked": (Loader(), ["Loader", "list({name})"]),
    "values of a dict": ({"a": 1}.values(), ["dict_values", "list({name})"]),
    "keys": ({"a": 1}.keys(), ["dict_keys", "a list"]),
    "a set": ({1.0, 2.0}, ["set", "no order"]),
    "a dict": ({"a": X[:, 0]}, ["dict"]),
    "records": (np.zeros(6, [("a", "f4"), ("b", "i4")]), ["a, b", "structured_to_unstructured({name})"]),
    "a recarray": (np.rec.fromarrays(X.T, names="a,b,c"), ["a, b, c", "structured_to_unstructured({name})"]),
    "dates of a table": (Frame(), ["day, hour", "dates or times"]),
    "masked rows": ([np.ma.array(row, mask=[0, 1, 0]) for row in X], ["masked values", "fill"]),
    "masked rows deep inside": ([[[np.ma.array(row, mask=[0, 1, 0])]] for row in X], ["masked values", "fill"]),
    "a class": (np.ndarray, ["the class ndarray"]),
    "bytes": (b"abc", ["b'abc'"]),
    "a long text": ("a" * 100_000, ["aaa", "…"]),
    "None": (None, ["None"]),
    "itself": ((lambda: (found := [], found.append(found))[0])(), []),
}
METHODS = {
    "X": lambda net, x: net.predict(x),
    "x": lambda net, x: net.predict_one(x),
    "y": lambda net, y: net.fit(X, y),
    "sample_weight": lambda net, weight: net.evaluate(X, Y, weight),
    "d_output": lambda net, d: net.backward(X, d),
    "vector": lambda net, vector: net.set_vector(vector),
    "validation_data[0]": lambda net, x: net.fit(X, Y, validation_data=(x, Y)),
    "validation_data[1]": lambda net, y: net.fit(X, Y, validation_data=(X, y)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_taken(case):
    make, net = TAKEN[case], regressor()
    np.testing.assert_array_equal(net.predict(make(X)), net.predict(X))
    np.testing.assert_array_equal(net.backward(make(X), make(Y))[1], net.backward(X, Y)[1])
    assert net.evaluate(make(X), make(Y)) == net.evaluate(X, Y)
    other = regressor()
    assert net.fit(make(X), make(Y), epochs=2).loss.tolist() == other.fit(X, Y, epochs=2).loss.tolist()


def test_vectors_are_taken():
    net, vector = regressor(), np.arange(26, dtype="f4")
    for given in (OnlyDLPack(vector), collections.deque(vector), range(26), [Decimal(k) for k in range(26)]):
        net.set_vector(given)
        np.testing.assert_array_equal(net.get_vector(), vector)
    layers = [cbp.LSTM(2), cbp.Dense(1)]
    series = cbp.Network((4, 1), layers, loss="huber", seed=0)
    expected = series.predict(np.ones((3, 4, 1)), lengths=[1, 2, 3])
    for lengths in (range(1, 4), OnlyDLPack(np.arange(1, 4)), np.array([1, 2, 3], object), np.array([1, 2, 3], "u1")):
        np.testing.assert_array_equal(series.predict(np.ones((3, 4, 1)), lengths=lengths), expected)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, method):
    value, words = REFUSED[case]
    net = regressor()
    before = net.get_vector()
    if method == "sample_weight" and value is None:
        return  # that is none
    with pytest.raises((TypeError, ValueError)) as caught:
        METHODS[method](net, value)
    message = str(caught.value)
    assert re.match(rf"{re.escape(method)} (must|is|holds)\b", message)
    assert len(message) < 500
    for word in words:
        assert word.format(name=method) in message
    np.testing.assert_array_equal(net.get_vector(), before)


@pytest.mark.parametrize(("value", "words"), [
    ([[1, 2, NAType()]], "a missing value has to be filled in"),
    ([[1, 2, None]], "a missing value has to be filled in"),
    ([[1, 2, Decimal("sNaN")]], "every value must be finite"),
    (X.astype(str), "np.asarray(X, float)"),
    (np.array([[1, 2, "red"]], object), "np.unique(X, return_inverse=True)"),
    (np.array([[1, 2, datetime(2026, 1, 1)]], object), "make numbers of dates and times first"),
    (np.array([[1, 2, timedelta(1)]], object), "make numbers of dates and times first"),
    (np.zeros((6, 3), "M8[D]"), "(X - X.min())"),
    (np.zeros((6, 3), "m8[D]"), "X / np.timedelta64(1, 's')"),
    (X + 0j, "X.imag"),
    ([{"a": 1, "b": 2, "c": 3}], "[list(row.values()) for row in X]"),
    (np.frompyfunc(lambda k: [k, k, k], 1, 1)(np.arange(6)), "np.stack(X)"),
    (X.T, "X.T has a row for each sample"),
    (X.reshape(6, 3, 1), "X.reshape(len(X), -1) is that"),
], ids=str)  # fmt: skip
def test_remedies(value, words):
    with pytest.raises((TypeError, ValueError), match=re.escape(words)) as caught:
        regressor().predict(value)
    assert str(caught.value).startswith("X ")


# --- counts and settings ----------------------------------------------------------------------------------------------------


class OtherBool:
    """A bool of another package, which is an index too."""

    dtype = "torch.bool"

    def __index__(self):
        return 1

    def __float__(self):
        return 1.0


@pytest.mark.parametrize("value", [np.bool_(True), np.array(True), OtherBool(), True], ids=lambda value: type(value).__name__)
def test_truth_is_no_number(value):
    """NumPy 1.26 has an index for it."""
    net = regressor()
    for call in (lambda: net.fit(X, Y, epochs=value), lambda: cbp.Dense(value), lambda: cbp.mlp([3, value]),
                 lambda: net.fit(X, Y, batch_size=value), lambda: cbp.SGD(value), lambda: cbp.Dropout(value)):
        with pytest.raises(TypeError, match="number"):
            call()


@pytest.mark.parametrize("value", [10.0, np.float64(10), np.float32(10)], ids=lambda value: type(value).__name__)
def test_counts_that_are_floats_get_the_remedy(value):
    with pytest.raises(TypeError, match=r"^epochs must be a whole number of at least 0, got .*; int\(10.0\) is one$"):
        regressor().fit(X, Y, epochs=value)
    with pytest.raises(TypeError, match=r"^epochs must be a whole number of at least 0, got 1.5$"):
        regressor().fit(X, Y, epochs=1.5)


@pytest.mark.parametrize("value", [fractions.Fraction(2), Decimal(2), "2", 1j, [2], np.array([2]), np.array(2.0),
                                   np.ma.masked], ids=repr)
def test_no_counts(value):
    with pytest.raises(TypeError, match=r"^epochs must be a whole number of at least 0, got "):
        regressor().fit(X, Y, epochs=value)


def test_counts_and_rates_of_any_kind():
    for value in (np.int8(1), np.array(1), Grade.GOOD, np.uint64(1)):
        assert regressor().fit(X, Y, epochs=value).epochs == 1
    for value in (fractions.Fraction(1, 2), Decimal("0.5"), np.float16(0.5), np.array(0.5)):
        assert cbp.SGD(value) == cbp.SGD(0.5)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", ["1", b"1", np.str_("1"), np.array("1"), np.timedelta64(1, "s"), np.datetime64(1, "s"), 1j,
                                   np.complex64(1), np.array(1j), None, [1], np.array([1.0]), np.ma.masked], ids=repr)
def test_no_rates(value):
    with pytest.raises(TypeError, match=r"^rate must be a finite number above 0, got "):
        cbp.SGD(value)


# --- targets ----------------------------------------------------------------------------------------------------------------

LABELS = np.array([0, 1, 0, 1, 1, 0])


def told(net, y, **more):
    with pytest.raises((TypeError, ValueError)) as caught:
        net.fit(X, y, **more)
    return str(caught.value)


@pytest.mark.parametrize(("y", "words"), [
    (LABELS + 1, "classes, y = np.unique(y, return_inverse=True) numbers them"),
    ((LABELS + 1.0).astype("f4"), "classes, y = np.unique(y, return_inverse=True) numbers them"),
    ((LABELS + 1).astype(object), "classes, y = np.unique(y, return_inverse=True) numbers them"),
    (2 * LABELS - 1, "classes, y = np.unique(y, return_inverse=True) numbers them"),
    (np.arange(6), "the last layer needs 6 outputs for these 6 classes"),
    (LABELS + 0.5, "need another loss, 'mean_squared_error' for example"),
    (np.array(["cat", "dog"] * 3), "classes, y = np.unique(y, return_inverse=True) numbers them"),
    (np.array(["cat", "dog"] * 3, object), "classes, y = np.unique(y, return_inverse=True) numbers them"),
    (np.eye(3)[LABELS], "for 3 classes the last layer needs 3 outputs"),
    (np.ones((6, 2)), "'sigmoid' and 'binary_cross_entropy'"),
    (LABELS[None], "y[0] has"),
    (np.eye(2)[LABELS].T, "y.T has"),
    (LABELS[:, None, None], "for 2 output(s)"),
], ids=str)  # fmt: skip
def test_remedies_for_labels(y, words):
    assert words in told(cbp.mlp([3, 4, 2], output="softmax", seed=0), y)


@pytest.mark.parametrize(("output", "loss", "y", "words"), [
    ("sigmoid", None, 2 * LABELS - 1, "(y + 1) / 2"),
    ("sigmoid", None, LABELS + 1, "np.unique(y, return_inverse=True)[1]"),
    ("sigmoid", None, np.array(["no", "yes"] * 3), "np.unique(y, return_inverse=True)"),
    ("sigmoid", None, np.eye(2, dtype=int)[LABELS], "y[:, 1] of two classes is that"),
    ("softplus", "poisson", LABELS - 1, "'mean_squared_error'"),
    ("identity", "hinge", LABELS, "2 * y - 1"),
    ("identity", None, LABELS[:, None, None], "y.reshape(-1, 1) is that"),
    ("identity", None, LABELS[None], "y[0] has"),
])  # fmt: skip
def test_remedies_for_other_targets(output, loss, y, words):
    assert words in told(cbp.mlp([3, 4, 1], output=output, loss=loss, seed=0), y)


def test_labels_for_a_loss_of_columns():
    assert "np.eye(2)[y] makes a column of each" in told(cbp.mlp([3, 4, 2], output="sigmoid", seed=0), LABELS)


def test_swapped():
    with pytest.raises(ValueError, match=r"^X must have the shape .*; y has that shape: were the two swapped\?$"):
        regressor().fit(Y, X)


def test_weights_by_class_and_masks_of_steps():
    assert "np.array([weights[label] for label in y])" in told(regressor(), Y, sample_weight={0: 1.0, 1: 2.0})
    assert "np.asarray(sample_weight)[:, 0] has it" in told(regressor(), Y, sample_weight=np.ones((6, 1)))
    net = cbp.Network((4, 1), [cbp.LSTM(2), cbp.Dense(1)], loss="huber", seed=0)
    with pytest.raises(ValueError, match=r"^lengths must .*; of a mask of steps that is lengths.sum\(axis=1\)$"):
        net.predict(np.ones((3, 4, 1)), lengths=np.ones((3, 4), bool))


class ArrowTable:
    """With a column of dates: NumPy would say no more than that it cannot promote them."""

    column_names = ("a", "day")
    schema = types.SimpleNamespace(names=["a", "day"], types=["double", "timestamp[ns]"])

    def __array__(self, dtype=None, copy=None):
        raise np.exceptions.DTypePromotionError("no common DType")


class LazyTable:
    """Whose schema takes work, and warns of it."""

    @property
    def schema(self):
        raise AssertionError("nobody should ask for the schema")

    def collect(self):
        return X


def test_dates_of_arrow_and_tables_that_are_not_there_yet():
    for table, words in (ArrowTable(), "got dates or times in day; make numbers"), (LazyTable(), r"pass X\.collect\(\)"):
        with pytest.raises(TypeError, match=words):
            regressor().fit(table, Y)
