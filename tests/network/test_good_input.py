"""What good input may look like: any layout, any dtype that holds numbers, any container; always the same bits."""

import decimal
import fractions
import tracemalloc

import numpy as np
import pytest

import cbp
from cbp.engine import arrays

RNG = np.random.default_rng(0)
# Small whole numbers and quarters: every dtype and layout below holds them exactly.
X = RNG.integers(-8, 8, (40, 3)) / 4
Y = RNG.integers(-8, 8, (40, 2)) / 4
WEIGHT = RNG.integers(1, 9, 40) / 4
LABELS = RNG.integers(0, 2, 40)


def regressor(dtype="float32"):
    return cbp.mlp([3, 5, 2], hidden="tanh", dtype=dtype, seed=0)


def classifier(dtype="float32"):
    return cbp.mlp([3, 5, 2], hidden="tanh", output="softmax", dtype=dtype, seed=0)


def everything(net, x, y, weight=None):
    """The results of every method that takes data, after one another on one network."""
    history = net.fit(x, y, epochs=2, batch_size=16, sample_weight=weight, validation_data=(x, y, weight))
    curves = [curve.tolist() for name, curve in history.items() if name != "seconds"]
    loss = net.train_on_batch(x, y, sample_weight=weight)
    gradient = net.gradient(x, y, weight)
    return [
        curves, loss, gradient[0], gradient[1].tolist(), net.predict(x).tolist(), net.evaluate(x, y, weight),
        net.get_vector().tolist(),
    ]


def strided(array):
    """The same numbers, every other element of a larger array."""
    wide = np.full([2 * n for n in array.shape], 99, array.dtype)
    wide[tuple(slice(None, None, 2) for _ in array.shape)] = array
    return wide[tuple(slice(None, None, 2) for _ in array.shape)]


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def unaligned(array):
    """The same numbers at an odd address."""
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    assert not view.flags.aligned
    return view


class Subclass(np.ndarray):
    """An array with a will of its own, which must not be asked."""

    def __array_finalize__(self, other):
        pass

    def __array_ufunc__(self, *args, **kwargs):
        raise AssertionError("a check ran through the subclass")


class FrameLike:
    """What a pandas DataFrame looks like to NumPy: a shape and an array, and no sequence of rows."""

    def __init__(self, array):
        self._array = array
        self.shape = array.shape
        self.ndim = array.ndim
        self.columns = list("abc")

    def __len__(self):
        return len(self._array)

    def __getitem__(self, key):
        return self._array[:, self.columns.index(key)]

    def __array__(self, dtype=None, copy=None):
        return self._array.astype(dtype or self._array.dtype)


class OnlyArray:
    """Nothing but ``__array__``."""

    def __init__(self, array):
        self._array = array

    def __array__(self, dtype=None, copy=None):
        return self._array if dtype is None else self._array.astype(dtype)


class Interface:
    """Nothing but ``__array_interface__``."""

    def __init__(self, array):
        self._array = array
        self.__array_interface__ = array.__array_interface__


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "strided": strided,
    "reversed twice": lambda a: a[::-1].copy()[::-1],
    "rows of a larger array": lambda a: np.concatenate([a, a, a])[len(a) : 2 * len(a)],
    "a transposed copy": lambda a: a.T.copy().T,
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "big-endian and strided": lambda a: strided(a.astype(a.dtype.newbyteorder(">"))),
    "a list": lambda a: a.tolist(),
    "a tuple of tuples": lambda a: tuple(tuple(row) if isinstance(row, list) else row for row in a.tolist()),
    "a list of arrays": list,
    "a list of NumPy numbers": lambda a: [list(row) if np.ndim(row) else row for row in a],
    "objects": lambda a: a.astype(object),
    "a subclass": lambda a: a.view(Subclass),
    "a masked array without masked values": np.ma.array,
    "a record's field": lambda a: np.rec.fromarrays([a], names="a")["a"],
    "like a data frame": FrameLike,
    "only __array__": OnlyArray,
    "only __array_interface__": Interface,
    "the buffer of a memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
}
INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", ">i4", ">u2"]
DTYPES = ["float16", "float32", "float64", "longdouble", ">f2", ">f4", ">f8", "<f4"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_containers(layout, dtype):
    shape = LAYOUTS[layout]
    expected = everything(regressor(dtype), X, Y, WEIGHT)
    assert everything(regressor(dtype), shape(X), Y, WEIGHT) == expected
    assert everything(regressor(dtype), X, shape(Y), WEIGHT) == expected
    assert everything(regressor(dtype), X, Y, shape(WEIGHT)) == expected
    x, y, weight = (shape(array.astype(dtype)) for array in (X, Y, WEIGHT))
    assert everything(regressor(dtype), x, y, weight) == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_of_labels(layout):
    shape = LAYOUTS[layout]
    expected = everything(classifier(), X, LABELS)
    assert everything(classifier(), X, shape(LABELS)) == expected
    assert everything(classifier(), X, shape(LABELS[:, None])) == expected
    one_hot = everything(classifier(), X, np.eye(2)[LABELS])
    assert everything(classifier(), X, shape(np.eye(2)[LABELS])) == one_hot


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_elsewhere(layout):
    shape, net = LAYOUTS[layout], regressor()
    assert np.array_equal(net.predict_one(shape(X[7])), net.predict(X)[7])
    expected = net.backward(X, Y)
    result = net.backward(shape(X), shape(Y))
    assert np.array_equal(result[0], expected[0])
    assert np.array_equal(result[1], expected[1])
    vector = np.arange(net.get_vector().size) / 4
    net.set_vector(shape(vector))
    assert np.array_equal(net.get_vector(), vector)
    layer = cbp.Dense(2, init=shape(np.arange(6).reshape(3, 2) / 4))
    assert np.array_equal(cbp.Network(3, [layer], loss="huber").parameters["0.weight"], np.arange(6).reshape(3, 2) / 4)


@pytest.mark.parametrize("net_dtype", ["float32", "float64"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_float_dtypes(dtype, net_dtype):
    expected = everything(regressor(net_dtype), X, Y, WEIGHT)
    assert everything(regressor(net_dtype), X.astype(dtype), Y.astype(dtype), WEIGHT.astype(dtype)) == expected


@pytest.mark.parametrize("net_dtype", ["float32", "float64"])
@pytest.mark.parametrize("dtype", INTEGERS)
def test_integer_dtypes(dtype, net_dtype):
    x, y, weight = np.abs(X * 4), np.abs(Y * 4), WEIGHT * 4
    expected = everything(regressor(net_dtype), x, y, weight)
    assert everything(regressor(net_dtype), x.astype(dtype), y.astype(dtype), weight.astype(dtype)) == expected
    labels = everything(classifier(net_dtype), x, LABELS)
    assert everything(classifier(net_dtype), x.astype(dtype), LABELS.astype(dtype)) == labels


def test_switches_are_zeros_and_ones():
    x, y = X > 0, Y > 0
    weight = np.arange(40) % 3 > 0
    assert everything(regressor(), x, y, weight) == everything(regressor(), x * 1.0, y * 1.0, weight * 1.0)
    assert everything(classifier(), x, LABELS.astype(bool)) == everything(classifier(), x * 1.0, LABELS)
    net = cbp.mlp([3, 4, 1], output="sigmoid", seed=0)
    assert net.evaluate(x, y[:, 0]) == net.evaluate(x * 1.0, y[:, 0] * 1.0)


def test_labels_as_floats_and_as_small_integers():
    expected = everything(classifier(), X, LABELS)
    for dtype in ("float16", "float32", "float64", "int8", "uint64", bool, object):
        assert everything(classifier(), X, LABELS.astype(dtype)) == expected


@pytest.mark.parametrize("kind", [int, float, fractions.Fraction, decimal.Decimal, np.float32, np.int8, bool])
def test_objects_that_are_numbers(kind):
    x = np.array([[kind(int(v) % 2) for v in row] for row in X * 4], dtype=object)
    assert np.array_equal(regressor().predict(x), regressor().predict((X * 4).astype(int) % 2))


def test_whole_numbers_beyond_64_bits():
    x = [[2**70, 1, 2], [-(2**80), 0, 1]]
    assert np.array_equal(regressor("float64").predict(x), regressor("float64").predict(np.array(x, float)))


def test_values_at_the_edge_of_the_dtype():
    """The largest numbers, the smallest and the signed zero are numbers like others."""
    net = cbp.Network(2, [cbp.Dense(1, init=1.0, bias=False)], loss="mean_squared_error")
    edge = np.finfo(np.float32)
    x = np.array([[edge.max, 0], [edge.min, -0.0], [edge.tiny, 0], [edge.smallest_subnormal, 0]])
    assert np.array_equal(net.predict(x)[:, 0], x[:, 0].astype(np.float32))
    assert net.predict([[float(edge.max) * (1 + 2**-26), 0]])[0, 0] == edge.max  # rounds to it


def test_rounding_from_double_is_numpys():
    x = RNG.standard_normal((50, 3))
    assert np.array_equal(regressor().predict(x), regressor().predict(x.astype(np.float32)))
    net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    assert np.array_equal(net.predict(x[:, :1]), x[:, :1].astype(np.float32))


def test_numbers_that_underflow_are_zero():
    net = regressor()
    assert np.array_equal(net.predict([[1e-300, 0, 0]]), net.predict([[0, 0, 0]]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_memory_maps(tmp_path, dtype):
    paths = [tmp_path / name for name in ("x.npy", "y.npy")]
    for path, array in zip(paths, (X, Y), strict=True):
        np.save(path, array.astype(dtype))
    expected = everything(regressor(dtype), X, Y)
    for mode in ("r", "c", "r+"):
        x, y = (np.load(path, mmap_mode=mode) for path in paths)
        assert everything(regressor(dtype), x, y) == expected
        assert np.shares_memory(arrays.data(regressor(dtype)._model.form, x, y, None).x.array, x)
    assert np.array_equal(np.load(paths[0]), X.astype(dtype))


def test_old_matrices():
    """np.matrix keeps two axes whatever one does; data pass through it unchanged all the same."""
    x = X.view(np.matrix)
    assert np.array_equal(regressor().predict(x), regressor().predict(X))
    assert type(regressor().predict(x)) is np.ndarray
    y = np.asarray(Y[:, :1]).view(np.matrix)
    net = cbp.mlp([3, 2, 1], seed=0)
    assert net.evaluate(x, y) == net.evaluate(X, Y[:, 0])


def test_subclasses_do_not_come_back():
    for result in (regressor().predict(X.view(Subclass)), *regressor().backward(X.view(Subclass), Y.view(Subclass))):
        assert type(result) is np.ndarray


def test_one_sample_and_one_feature():
    net = cbp.mlp([1, 1], seed=0)
    for x in ([[2]], ((2,),), np.array([[2]]), [np.array([2.0])]):
        assert np.isfinite(net.fit(x, [[1]], epochs=1).loss).all()
        assert net.predict(x).shape == (1, 1)
    assert net.predict_one([2]).shape == (1,)


# --- copies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_data_that_fit_are_not_copied(dtype):
    net = regressor(dtype)
    x, y, weight = X.astype(dtype), Y.astype(dtype), WEIGHT.astype(dtype)
    data = arrays.data(net._model.form, x, y, weight)
    assert np.shares_memory(data.x.array, x)
    assert np.shares_memory(data.targets.array, y)
    assert np.shares_memory(data.weights, weight)
    data = arrays.data(net._model.form, read_only(x), x[:, :2].copy(), None)
    assert data.x.array.flags.c_contiguous
    assert len(data.weights) == len(data.labels) == 0
    assert np.shares_memory(arrays.data(net._model.form, x[5:9], y[5:9], None).x.array, x)
    single = cbp.mlp([3, 1], dtype=dtype, seed=0)
    assert np.shares_memory(arrays.data(single._model.form, x, weight, None).targets.array, weight)
    assert np.shares_memory(arrays.features("X", x.view(Subclass), (3,), net.dtype).array, x)


def test_data_that_the_core_can_read_are_not_copied():
    net = regressor()
    for x in (X, strided(X.astype("f4")), X.astype("f4")[::-1], X.astype("f2"), np.abs(X).astype("u1"), X > 0):
        source = arrays.data(net._model.form, x, Y, None).x
        assert source.array.dtype == x.dtype
        assert np.shares_memory(source.array, x)


def test_data_that_the_core_cannot_read_are_copied_once():
    net = regressor()
    turned = np.asfortranarray(X), np.asfortranarray(X.astype("f4"))
    for x in (*turned, X.astype(">f4"), X.astype(np.longdouble), X.astype(object), unaligned(X.astype("f4"))):
        converted = arrays.data(net._model.form, x, Y, None).x.array
        assert converted.dtype == np.float32
        assert converted.flags.c_contiguous
        assert not np.shares_memory(converted, x)


def test_large_data_take_no_second_copy():
    """Training and asking allocate far less than the data, when the data fit."""
    x = np.zeros((100_000, 20), np.float32)
    y = np.zeros((100_000, 1), np.float32)
    net = cbp.mlp([20, 8, 1], seed=0)
    for call in (
        lambda: net.fit(x, y, epochs=1, batch_size=1000, shuffle=False),
        lambda: net.fit(x, y, epochs=1, batch_size=1000),
        lambda: net.fit(x, y, epochs=1, batch_size=None),
        lambda: net.evaluate(x, y), lambda: net.predict(x), lambda: net.gradient(x, y),
    ):
        call()
        tracemalloc.start()
        try:
            call()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < x.nbytes / 2


def test_data_are_free_after_training():
    """No reference to the data, and no lock on their memory, is kept."""
    x, y = bytearray(X.astype("f4").tobytes()), bytearray(Y.astype("f4").tobytes())
    net = regressor()
    net.fit(np.frombuffer(x, "f4").reshape(40, 3), np.frombuffer(y, "f4").reshape(40, 2), epochs=1)
    x.extend(b"more")  # raises BufferError while an array still looks at it
    y.extend(b"more")
