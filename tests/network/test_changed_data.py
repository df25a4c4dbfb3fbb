"""Data that another thread writes to while they are used: wrong numbers, or an error, but nobody else's memory."""

import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest

import cbp

ROWS, STEPS, WORDS = 600, 7, 50
GARBAGE = [-1, 2**62, -(2**63), 3, 2**31, 2**40, 0]
SECONDS = 0.1


def words(**options):
    return cbp.Network(STEPS, [cbp.Embedding(WORDS, 6, **options), cbp.LSTM(5), cbp.Dense(4, "softmax")], loss="cross_entropy",
                       seed=0)


def pools():
    """A block around the pools, so that gradients go through them; they see the samples where these lie."""
    inside = [cbp.MaxPool1D(3, stride=1, padding="same"), cbp.BatchNorm()]
    return cbp.Network((STEPS, 16), [cbp.Residual(inside), cbp.Flatten(), cbp.Dense(2)], loss="huber", seed=0)


def steps():
    layers = [cbp.LSTM(5, return_sequences=True), cbp.BatchNorm(), cbp.GlobalMaxPool(), cbp.Dense(4, "softmax")]
    return cbp.Network((STEPS, 3), layers, loss="cross_entropy", seed=0)


def whole(high, *shape):
    return np.random.default_rng(0).integers(0, high, shape)


def numbers(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype("f4")


X, LABELS, LENGTHS = numbers(ROWS, STEPS, 3), whole(4, ROWS).astype(np.intp), (1 + whole(STEPS, ROWS)).astype(np.intp)
TEXT, TARGETS, WEIGHT = whole(WORDS, ROWS, STEPS), numbers(ROWS, 2), np.abs(numbers(ROWS)) + 0.1
# name -> (network, its data, which of them is written to)
CASES = {
    "labels": (steps, {"X": X, "y": LABELS}, "y"),
    "lengths": (steps, {"X": X, "y": LABELS, "lengths": LENGTHS}, "lengths"),
    "lengths of words": (lambda: words(sparse=True), {"X": TEXT, "y": LABELS, "lengths": LENGTHS}, "lengths"),
    "words": (words, {"X": TEXT, "y": LABELS}, "X"),
    "words, sparse": (lambda: words(sparse=True), {"X": TEXT, "y": LABELS}, "X"),
    "words that are floats": (words, {"X": TEXT.astype("f4"), "y": LABELS}, "X"),
    "numbers": (pools, {"X": numbers(ROWS, STEPS, 16), "y": TARGETS}, "X"),
    "targets": (pools, {"X": numbers(ROWS, STEPS, 16), "y": TARGETS}, "y"),
    "weights": (steps, {"X": X, "y": LABELS, "sample_weight": WEIGHT}, "sample_weight"),
}
USES = {
    "fit": lambda net, X, y, **more: net.fit(X, y, epochs=2, batch_size=64, **more),
    "fit in order": lambda net, X, y, **more: net.fit(X, y, epochs=2, batch_size=64, shuffle=False, threads=2, **more),
    "train_on_batch": lambda net, X, y, **more: net.train_on_batch(X[:100], y[:100], **{k: v[:100] for k, v in more.items()}),
    "evaluate": lambda net, X, y, **more: net.evaluate(X, y, **more),
    "gradient": lambda net, X, y, **more: net.gradient(X, y, training=True, **more),
    "predict": lambda net, X, y, sample_weight=None, **more: net.predict(X, **more),
    "backward": lambda net, X, y, sample_weight=None, **more: net.backward(X, net.predict(X, **more), **more),
}


@contextmanager
def written_to(array):
    """A thread writes garbage into the array, and what was there, in turn."""
    good, over = array.copy(), threading.Event()
    odd = np.array([np.nan, np.inf, 1e30, -1.0] if array.dtype.kind == "f" else GARBAGE).astype(array.dtype)
    garbage = np.resize(odd, array.shape)

    def write():
        while not over.is_set():
            array[...] = garbage
            array[...] = good
            time.sleep(1e-4)  # mostly good: most calls get beyond the checks

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        array[...] = good


def use(case):
    """All uses of a network whose data change meanwhile."""
    make, data, changed = CASES[case]
    for call in USES.values():
        net, end = make(), time.monotonic() + SECONDS
        with written_to(data[changed]):
            while time.monotonic() < end:
                with suppress(ValueError, cbp.DivergedError):
                    call(net, **data)


@pytest.mark.parametrize("case", CASES)
def test_no_foreign_memory_is_read(case):
    """In a process of its own, which such a read would end."""
    code = f"import test_changed_data; test_changed_data.use({case!r}); print('alive')"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False,
                            cwd=Path(__file__).parent)
    assert result.stdout == "alive\n", result.stderr[-2000:]


@pytest.mark.parametrize("dtype", [np.intp, np.int32, "f8", object])
def test_labels_and_lengths_are_copied(dtype):
    """What is written to them once the run has begun changes no bit of it."""
    expected = steps()
    expected.fit(X, LABELS, lengths=LENGTHS, epochs=3)
    labels, lengths, net = LABELS.astype(dtype), LENGTHS.astype(np.intp if dtype == "f8" else dtype), steps()
    begin = net._carried.reset

    def changed():  # the last call before the first epoch
        begin()
        labels[...], lengths[...] = 3, 1

    net._carried.reset = changed
    net.fit(X, labels, lengths=lengths, epochs=3)
    assert labels.tolist() == [3] * ROWS
    np.testing.assert_array_equal(net.get_vector(), expected.get_vector())
