"""Data that stay where they are: every dtype and layout gives the bits of its converted copy, and memory stays small."""

import itertools
import json
import re
import struct
import subprocess
import sys

import numpy as np
import pytest

import cbp
from cbp.engine import arrays, check
from cbp.engine.cpu import core

RNG = np.random.default_rng(0)
ROWS = 40
DTYPES = list(core.SOURCES)
NETS = ["float32", "float64"]


def numbers(shape, dtype):
    """Small numbers of either sign, where the dtype has one; those of floats have fractions."""
    if dtype == "bool":
        return RNG.integers(0, 2, shape).astype(bool)
    low = 0 if dtype.startswith("u") else -6
    if dtype.startswith("float"):
        return (RNG.standard_normal(shape) * 2).astype(dtype)
    return RNG.integers(low, 7, shape).astype(dtype)


def strided(array):
    wide = np.zeros((2 * array.shape[0], 3 * array.shape[1] + 1), array.dtype)
    view = wide[1::2, 1::3]
    view[...] = array
    return view


# Each gives a view with the numbers that it is asked for, or of its own where the layout repeats them.
LAYOUTS = {
    "C": lambda a: a,
    "Fortran": np.asfortranarray,
    "Fortran, in a buffer": lambda a: np.frombuffer(a.tobytes("F"), a.dtype).reshape(a.shape, order="F"),
    "strided": strided,
    "rows of a wider table": lambda a: np.concatenate([a, a], axis=1)[:, : a.shape[1]],
    "backwards": lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    "one row for all": lambda a: np.broadcast_to(a[3], a.shape),
    "one column for all": lambda a: np.broadcast_to(a[:, 1:2], a.shape),
}


def read_only(array):
    array.flags.writeable = False
    return array


def net_of(dtype):
    return cbp.mlp([3, 5, 2], hidden="tanh", dtype=dtype, seed=1)


def results(net, x, y, shuffle):
    history = net.fit(x, y, epochs=2, batch_size=16, shuffle=shuffle, validation_data=(x, y))
    loss, gradient = net.gradient(x, y)
    d_input, d_parameters = net.backward(x, y)
    curves = [curve.tolist() for name, curve in history.items() if name != "seconds"]
    arrays = net.get_vector(), gradient, d_input, d_parameters, net.predict(x), net.predict_one(x[5])
    return [curves, loss, net.evaluate(x, y), net.train_on_batch(x, y), *(array.tobytes() for array in arrays)]


# --- the same bits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_dtype_and_layout_gives_the_bits_of_a_converted_copy(layout, dtype):
    x, y = (read_only(LAYOUTS[layout](numbers((ROWS, columns), dtype))) for columns in (3, 2))
    before = x.copy(), y.copy()
    for net_dtype, shuffle in itertools.product(NETS, (False, True)):
        copies = x.astype(net_dtype, order="C"), y.astype(net_dtype, order="C")
        assert results(net_of(net_dtype), x, y, shuffle) == results(net_of(net_dtype), *copies, shuffle)
    assert np.array_equal(x, before[0])
    assert np.array_equal(y, before[1])


@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("batch_size", [None, 1200, 7])
def test_batches_of_several_pieces(batch_size, dtype):
    """A batch above 1,024 rows is gathered piece by piece, with the right targets beside every piece."""
    x, y = numbers((2500, 3), dtype), numbers((2500, 2), dtype)
    for net_dtype in NETS:
        found, expected = net_of(net_dtype), net_of(net_dtype)
        weight = RNG.integers(0, 3, 2500)
        found.fit(x, y, epochs=2, batch_size=batch_size, sample_weight=weight)
        expected.fit(x.astype(net_dtype), y.astype(net_dtype), epochs=2, batch_size=batch_size, sample_weight=weight)
        assert found.get_vector().tobytes() == expected.get_vector().tobytes()
        assert found.predict(x).tobytes() == expected.predict(x.astype(net_dtype)).tobytes()


@pytest.mark.parametrize("net_dtype", NETS)
def test_a_single_column_of_targets_in_any_layout(net_dtype):
    x = numbers((ROWS, 3), "float32")
    for y in (numbers((ROWS, 4), "float32")[:, 2], numbers((ROWS, 1), "int16"), np.broadcast_to(np.float32(2), ROWS)):
        found, expected = (cbp.mlp([3, 4, 1], dtype=net_dtype, seed=0) for _ in range(2))
        found.fit(x, y, epochs=2)
        expected.fit(x, y.astype(net_dtype).reshape(-1, 1).copy(), epochs=2)
        assert found.get_vector().tobytes() == expected.get_vector().tobytes()


def edges(dtype):
    """Numbers that are hard to convert: the ends of the range, ties of rounding, subnormals, signed zeros, many others."""
    if dtype == "bool":
        return np.arange(256, dtype=np.uint8).view(bool)  # any byte but 0 is true
    if dtype == "float16":
        every = np.arange(2**16, dtype=np.uint16).view(np.float16)
        return every[np.isfinite(every)]
    if dtype.startswith("float"):
        info = np.finfo(dtype)
        values = np.array([0, -0.0, 1, info.tiny, info.smallest_subnormal, -info.tiny / 4, info.eps, 1e30, 1e-40], dtype)
        return np.concatenate([values, (RNG.standard_normal(999) * 10.0 ** RNG.integers(-30, 30, 999)).astype(dtype)])
    info = np.iinfo(dtype)
    ties = [sign * (2**bits + 2**place) + odd for sign in (1, -1) for bits in range(8, 64) for place in range(bits - 25, bits)
            if place >= 0 for odd in (-1, 0, 1)]
    fitting = [value for value in (0, 1, info.min, info.max, info.max - 1, *ties) if info.min <= value <= info.max]
    return np.array(fitting, dtype)


@pytest.mark.parametrize("net_dtype", NETS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_are_converted_as_numpy_does(dtype, net_dtype):
    """Through a network that computes 1 x + 0, in a row and in every second place of one."""
    x = edges(dtype)[:, None]
    net = cbp.Network(1, [cbp.Dense(1, init=1.0, bias=False)], loss="mean_squared_error", dtype=net_dtype)
    expected = x.astype(net_dtype)
    assert np.array_equal(net.predict(x), expected)
    assert np.array_equal(net.predict(np.repeat(x, 2, axis=1)[:, :1]), expected)
    one = np.eye(len(x), 1)  # the whole row goes through one weight: nothing but its first number counts
    wide = cbp.Network(len(x), [cbp.Dense(1, init=one, bias=False)], loss="mean_squared_error", dtype=net_dtype)
    rows = np.stack([np.roll(x[:, 0], shift) for shift in range(5)])
    assert np.array_equal(wide.predict(rows), rows[:, :1].astype(net_dtype))
    assert np.array_equal(wide.predict(np.asfortranarray(rows)), rows[:, :1].astype(net_dtype))


# --- what the core is told --------------------------------------------------------------------------------------------------


def test_the_record_of_an_array():
    array = np.zeros((6, 8), np.int16)
    for view in (array, array.T, array[::-2, 1::3], np.broadcast_to(array[0], (5, 8)), array[:0]):
        address, kind, rows, columns, *strides = struct.unpack("=Q5q", core.source(view, core.SOURCES["int16"]))
        assert (address, kind) == (view.ctypes.data, core.SOURCES["int16"])
        assert (rows, columns) == view.shape
        assert tuple(strides) == view.strides or not view.size


def test_one_row_and_one_column_are_contiguous_whatever_their_strides():
    """NumPy lets an axis of length 1 have any stride; the core is told the one that shows that nothing must be gathered."""
    column, row = np.zeros(5, np.float32)[:, None], np.zeros(5, np.float32)[None]
    for view, strides in ((column, (4, 4)), (row, (20, 4))):
        assert struct.unpack("=Q5q", core.source(view, core.SOURCES["float32"]))[4:] == strides


def test_columns_are_turned_once_if_they_are_in_memory(tmp_path):
    """Where they are mapped from a file, or belong to someone else, they are left where they are."""
    array = np.asfortranarray(numbers((ROWS, 3), "float32"))
    np.save(tmp_path / "x.npy", array)
    file = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert file.flags.f_contiguous
    y = numbers((ROWS, 2), "float32")
    for x, stays in ((array, False), (array[::2], False), (file, True), (file[::2], True), (array[:, :1], True),
                     (LAYOUTS["Fortran, in a buffer"](array), True), (np.broadcast_to(array[0], (ROWS, 3)), True)):
        net = cbp.mlp([x.shape[1], 2], seed=0)
        assert np.shares_memory(arrays.data(net._model.form, x, y[: len(x)], None).x.array, x) == stays


# --- checks go block by block -----------------------------------------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(check, "BLOCK", 3 * 3 * 8)  # three rows of float64, six of float32


def message(call):
    with pytest.raises(ValueError, match="holds") as caught:
        call()
    return str(caught.value)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("layout", ["C", "Fortran", "Fortran, in a buffer", "strided", "backwards"])
def test_a_bad_number_is_found_in_every_block(layout, dtype):
    for index in ((0, 0), (2, 2), (3, 0), (11, 1), (38, 1), (39, 2)):
        for value, text in ((np.nan, "nan"), (-np.inf, "-inf")):
            x = numbers((ROWS, 3), dtype)
            x[index] = value
            found = message(lambda x=x: net_of("float32").predict(LAYOUTS[layout](x)))
            assert found == f"X holds {text} at index {index}; every value must be finite"


@pytest.mark.usefixtures("small_blocks")
def test_too_large_for_the_network_in_every_block():
    for row in range(ROWS):
        x = numbers((ROWS, 3), "float64")
        x[row, 1] = -1e39
        assert message(lambda x=x: net_of("float32").predict(x)) == f"X holds -1e+39 at index ({row}, 1); too large for float32"
        assert np.isfinite(net_of("float64").predict(x)).all()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("dtype", ["int8", "float32", "float64"])
def test_targets_out_of_range_are_found_in_every_block(dtype):
    x, net = numbers((ROWS, 3), "float32"), cbp.mlp([3, 4, 1], output="sigmoid", seed=0)
    for sample in range(ROWS):
        y = np.ones(ROWS, dtype)
        y[sample] = 2
        found = message(lambda y=y: net.fit(x, y))
        assert re.fullmatch(rf"y holds 2\.0 for sample {sample}; binary_cross_entropy needs values from 0 to 1 .*", found)


@pytest.mark.usefixtures("small_blocks")
def test_sums_of_probabilities_are_checked_in_every_block():
    x, net = numbers((ROWS, 3), "float32"), cbp.mlp([3, 4, 2], output="softmax", seed=0)
    for sample in range(ROWS):
        y = np.eye(2)[np.zeros(ROWS, int)]
        y[sample, 1] = 0.5
        found = message(lambda y=y: net.fit(x, y))
        assert found.startswith(f"y holds probabilities with the sum 1.5 for sample {sample}; every row must sum to 1 ")


def test_large_data_are_checked_without_a_full_copy():
    """The real size of a block: the last number of some megabytes."""
    x = np.zeros((200_001, 3))
    x[200_000, 2] = np.inf
    assert message(lambda: net_of("float32").predict(x)) == "X holds inf at index (200000, 2); every value must be finite"


# --- labels -----------------------------------------------------------------------------------------------------------------


def test_labels_are_copied():
    """The core takes them for places in memory, which nobody may change after the check."""
    net = cbp.mlp([3, 4, 2], output="softmax", seed=0)
    x, labels = numbers((ROWS, 3), "float32"), RNG.integers(0, 2, ROWS).astype(np.intp)
    strided_labels = np.repeat(labels, 2)[::2]
    for given in (labels, labels[:, None], read_only(labels.copy()), strided_labels, labels.astype(np.uint8),
                  labels.astype(">i8"), labels.astype(float), labels.astype(bool)):
        found = arrays.data(net._model.form, x, given, None).labels
        assert found.dtype == np.intp
        assert found.flags.c_contiguous
        assert np.array_equal(found, labels)
        assert not np.shares_memory(found, given)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "uint64", "float32", ">i4"])
@pytest.mark.parametrize("classes", [2, 100, 300])
def test_the_first_wrong_label_is_named(classes, dtype):
    """Also where the number of classes is none of the dtype."""
    net = cbp.mlp([3, classes], output="softmax", seed=0)
    x, labels = numbers((ROWS, 3), "float32"), np.zeros(ROWS, dtype)
    largest = classes - 1 if dtype.startswith("float") else min(classes - 1, np.iinfo(dtype).max)
    labels[7] = largest
    assert arrays.data(net._model.form, x, labels, None).labels[7] == largest
    wrong = [value for value in (classes, -1, 0.5, 2**63)
             if dtype.startswith("float") or (value == int(value) and np.iinfo(dtype).min <= value <= np.iinfo(dtype).max)]
    for value in wrong:
        bad = labels.copy()
        bad[[9, 20]] = value
        assert f"holds {bad[9]} at index 9;" in message(lambda bad=bad: net.fit(x, bad))


def test_any_whole_number_of_eight_bits_is_a_label_of_300_classes():
    net, x = cbp.mlp([3, 300], output="softmax", seed=0), numbers((128, 3), "float32")
    assert np.array_equal(arrays.data(net._model.form, x, np.arange(128, dtype=np.int8), None).labels, np.arange(128))


# --- memory -----------------------------------------------------------------------------------------------------------------

# Zeros in a file that takes no room on the disk. The peak is taken twice: of what Python and NumPy allocated, on every
# system, and of the process's own pages (those of the file are not), where the system tells.
MEASURE = """
import json, os, sys, threading, tracemalloc
import numpy as np
import cbp

def anonymous():
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssAnon"))
    except (OSError, StopIteration):
        return 0

path, dtype, rows, mode = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
with open(path, "wb") as file:
    file.truncate(rows * 784 * np.dtype(dtype).itemsize)
x = np.memmap(path, dtype, mode, shape=(rows, 784))
y = np.zeros(rows, np.intp)
# A first fit loads what is loaded late.
cbp.mlp([784, 2], output="softmax", seed=0).fit(x[:300], y[:300], epochs=1, batch_size=256)
base, peak, stop = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not stop.wait(0.002):
        peak = max(peak, anonymous())

tracemalloc.start()
watcher = threading.Thread(target=watch)
watcher.start()
large = cbp.mlp([784, 512, 512, 10], output="softmax", seed=0)
large.fit(x[-1100:], y[-1100:], epochs=1, batch_size=256)
large.evaluate(x[-1100:], y[-1100:])
small = cbp.mlp([784, 10], output="softmax", seed=0)
small.fit(x, y, epochs=1, batch_size=256)
small.predict(x)
stop.set()
watcher.join()
traced, pages = tracemalloc.get_traced_memory()[1], peak - base if base else 0
print(json.dumps([traced, pages, x.nbytes, bool((x[:: rows // 50] == 0).all())]))
"""


@pytest.mark.parametrize(("dtype", "rows", "mode"), [("float32", 60_000, "r"), ("uint8", 90_000, "r+")])
def test_training_on_a_file_needs_64_mb_beside_it(tmp_path, dtype, rows, mode):
    command = [sys.executable, "-W", "error", "-c", MEASURE, str(tmp_path / "x"), dtype, str(rows), mode]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr
    traced, pages, size, unchanged = json.loads(run.stdout)
    assert size > 2**26  # more than what is allowed beside it, and as float32 still more
    assert traced < 2**26
    assert pages < 2**26
    assert unchanged
