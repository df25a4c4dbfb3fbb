"""The short way of a few ready rows: the same bits and the same errors as the ordinary way, which stays the reference here."""

import copy
import sys
import threading
import tracemalloc
from contextlib import contextmanager
from decimal import Decimal

import numpy as np
import pytest
from cases import OPTIMIZERS, targets, trained_elsewhere
from facts import LOSSES

import cbp
from cbp.engine import online
from cbp.engine.cpu import core

RNG = np.random.default_rng(0)
DTYPES = ["float32", "float64"]
SIZES = [[4, 32, 16, 4], [1, 1], [3, 2], [64, 64, 10], [5, 17, 16, 33]]


class Ordinary(cbp.Network):
    __slots__ = ()

    def _keep_online(self, *arguments):
        pass


def ordinary(net):
    """The network without the short way."""
    net._answers = core.Answers(net._model, net._plan.ops, net._numbers, 0, False)
    net.__class__ = Ordinary
    return net


def short(net, x, dimensions=1):
    return net._answers.one(x) if dimensions == 1 else net._answers.few(x)


def few(net):
    """How many rows may go the short way."""
    return net._plan.few(net.dtype)


def outcome(function):
    """Result or error, comparable."""
    try:
        result = function()
    except Exception as problem:
        return type(problem), str(problem)
    return result.dtype.str, result.shape, result.tobytes()


# --- predictions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["identity", "softmax", "gelu"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_same_bits_one_by_one_and_together(sizes, output, dtype):
    net = cbp.mlp(sizes, hidden="tanh", output=output, loss="mean_squared_error", dtype=dtype, seed=1)
    X = RNG.standard_normal((300, sizes[0])).astype(dtype)
    together = ordinary(cbp.mlp(sizes, hidden="tanh", output=output, loss="mean_squared_error", dtype=dtype, seed=1)).predict(X)
    assert 0 < few(net) < 300
    assert short(net, X[0]) is not None
    for row, expected in zip(X, together, strict=True):
        result = net.predict_one(row)
        assert type(result) is np.ndarray
        assert (result.dtype, result.shape) == (expected.dtype, expected.shape)
        assert result.tobytes() == expected.tobytes()
        assert net.predict_one(row.tolist()).tobytes() == expected.tobytes()
    for rows in (1, 2, 3, 7, few(net), few(net) + 1, 300):
        assert (short(net, X[:rows], 2) is not None) == (rows <= few(net))
        assert net.predict(X[:rows]).tobytes() == together[:rows].tobytes()


def test_networks_without_a_bias_and_that_keep_their_sums():
    net = cbp.Network(3, [cbp.Dense(5, "silu", bias=False), cbp.Dense(2, "gelu")], loss="mean_squared_error", seed=0)
    x = RNG.standard_normal(3).astype("float32")
    result = short(net, x)
    assert result.tobytes() == ordinary(net).predict_one(x).tobytes()


def readonly(x):
    x = x.copy()
    x.flags.writeable = False
    return x


READY = {
    "array": lambda x: x,
    "read-only": readonly,
    "float32": lambda x: x.astype("float32"),
    "float64": lambda x: x.astype("float64"),
    "unaligned to a cache line": lambda x: np.concatenate([[0], x]).astype(x.dtype)[1:],
    "list": lambda x: x.tolist(),
    "tuple": lambda x: tuple(x.tolist()),
    "ints": lambda x: [3, -7, 0, 2**53],
    "ints and floats": lambda x: [3, 0.1, -(2**53), 1e-42],
    "negative zero": lambda x: [-0.0, 0.0, 1.0, 5e-324],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", READY)
def test_what_is_ready(form, dtype):
    net = cbp.mlp([4, 32, 16, 4], hidden="tanh", dtype=dtype, seed=0)
    x = READY[form](RNG.standard_normal(4).astype(dtype))
    batch = [x, x] if isinstance(x, (list, tuple)) else np.array([x, x])
    one, two = short(net, x), short(net, batch, 2)
    ordinary(net)
    assert one.tobytes() == net.predict_one(x).tobytes()
    assert two.tobytes() == net.predict(batch).tobytes()


class Sub(np.ndarray):
    pass


class MyList(list):
    pass


class MyFloat(float):
    def __float__(self):
        return 7.0


def misaligned(x):
    return np.frombuffer(b"\0" + x.tobytes(), dtype=np.uint8)[1:].view(x.dtype)


LOOKED_AT = {
    "bools": lambda x: [True, False, 1.0, 2.0],
    "NumPy scalars": lambda x: list(x),
    "a subclass of float": lambda x: [MyFloat(1), 2.0, 3.0, 4.0],
    "a subclass of list": lambda x: MyList(x.tolist()),
    "a subclass of ndarray": lambda x: x.view(Sub),
    "masked": lambda x: np.ma.MaskedArray(x, mask=[False] * 4),
    "masked values": lambda x: np.ma.MaskedArray(x, mask=[True] * 4),
    "strided": lambda x: np.repeat(x, 2)[::2],
    "reversed": lambda x: x[::-1],
    "byte-swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "misaligned": misaligned,
    "ints": lambda x: np.arange(4),
    "half": lambda x: x.astype("float16"),
    "long double": lambda x: x.astype(np.longdouble),
    "objects": lambda x: x.astype(object),
    "large ints": lambda x: [2**53 + 1, 2**64, -(2**70), 1],
    "Decimal": lambda x: [Decimal(1)] * 4,
    "NaN": lambda x: np.array([1, np.nan, 2, 3], x.dtype),
    "infinity": lambda x: np.array([1, 2, 3, -np.inf], x.dtype),
    "NaN in a list": lambda x: [1.0, 2.0, float("nan"), 3.0],
    "infinity in a list": lambda x: [1.0, 2.0, float("inf"), 3.0],
    "too large": lambda x: [1e39 if x.dtype == "float32" else 10**400, 0.0, 0.0, 0.0],
    "text": lambda x: ["1", "2", "3", "4"],
    "None": lambda x: None,
    "a number": lambda x: 1.0,
    "a scalar array": lambda x: np.array(1.0, x.dtype),
    "empty": lambda x: [],
    "an empty array": lambda x: x[:0],
    "too few": lambda x: x[:3],
    "too many": lambda x: [1.0] * 5,
    "nested": lambda x: [[1.0], [2.0], [3.0], [4.0]],
    "a string": lambda x: "1234",
    "complex": lambda x: x.astype(complex),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", LOOKED_AT)
def test_what_is_looked_at(form, dtype):
    """The core changes nothing and says nothing; result or message are those of the ordinary way."""
    net, reference = (cbp.mlp([4, 8, 4], dtype=dtype, seed=0) for _ in range(2))
    ordinary(reference)
    x = LOOKED_AT[form](RNG.standard_normal(4).astype(dtype))
    assert short(net, x) is None
    assert outcome(lambda: net.predict_one(x)) == outcome(lambda: reference.predict_one(x))
    for batch in (x, [x], [x, [1.0] * 4], x[None] if isinstance(x, np.ndarray) else x):
        if isinstance(batch, list) and any(isinstance(row, np.ma.MaskedArray) for row in batch):
            continue  # NumPy reads what is under the mask, with a warning
        assert outcome(lambda: net.predict(batch)) == outcome(lambda: reference.predict(batch))  # noqa: B023


def test_one_row_is_no_batch_and_a_batch_no_row():
    net = cbp.mlp([4, 4], seed=0)
    x = np.ones(4, np.float32)
    for given in (x, x.tolist()):
        assert short(net, given, 2) is None
        with pytest.raises(ValueError, match=r"goes to predict_one"):
            net.predict(given)
    for given in (x[None], [x.tolist()]):
        assert short(net, given) is None
        with pytest.raises(ValueError, match=r"several rows go to predict"):
            net.predict_one(given)
    assert short(net, np.empty((0, 4), np.float32), 2) is None


@pytest.mark.parametrize(("sizes", "short"), [([300, 300, 1], True), ([784, 512, 512, 10], True), ([9000, 1], False),
                                              ([1, 5000, 1], False)], ids=str)
def test_large_networks(sizes, short):
    """Without the GIL; what would overflow the stack goes the ordinary way."""
    for dtype in ("float32", "float64") if short else ("float32",):
        net = cbp.mlp(sizes, seed=0, dtype=dtype)
        assert (few(net) > 0) == short
        x = RNG.standard_normal(sizes[0]).astype(dtype)
        assert net.predict_one(x).tobytes() == net.predict(x[None]).tobytes() == net.predict(np.array([x, x]))[:1].tobytes()
    assert few(cbp.mlp([1, 1], seed=0)) <= core.READY["rows"]


def test_the_result_is_the_callers():
    net = cbp.mlp([4, 4], seed=0)
    x = np.ones(4, np.float32)
    first = net.predict_one(x)
    kept = first.copy()
    first += 1
    assert np.array_equal(net.predict_one(x), kept)
    assert first.flags.owndata
    assert first.flags.writeable


def test_several_threads_predict_at_once():
    net = cbp.mlp([4, 32, 16, 4], hidden="tanh", output="softmax", seed=0)
    X = RNG.standard_normal((400, 4)).astype("float32")
    expected = net.predict(X)
    wrong = []

    def ask(first):
        places = [i % 400 for i in range(first, 20_000, 4)]
        wrong.extend(i for i in places if net.predict_one(X[i]).tobytes() != expected[i].tobytes())

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- updates ------------------------------------------------------------------------------------------------------


class Counted:
    """Small updates, of which those are counted that the core took and that it left."""

    def __init__(self, kept, counts):
        self.kept, self.counts, self.covers = kept, counts, kept.covers

    def step(self, *arguments):
        loss = self.kept.step(*arguments)
        self.counts["left" if loss is None else "taken"] += 1
        return loss


@contextmanager
def counted(monkeypatch):
    """Of networks that have not been trained yet."""
    counts, kept = {"taken": 0, "left": 0}, online.kept
    with monkeypatch.context() as patch:
        patch.setattr(online, "kept", lambda *arguments: Counted(kept(*arguments), counts))
        yield counts


def all_numbers(net):
    return net._numbers.parameters.tobytes(), net._numbers.state.tobytes(), net.step, net.epoch, net.optimizer


def targets_of(net, rows):
    outputs = net.output_shape[0]
    if LOSSES[net.loss.name].distribution:
        return RNG.integers(0, outputs, rows)
    return targets(net.loss.name, RNG, rows, outputs).astype(net.dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_the_same_numbers_step_by_step(monkeypatch, loss, optimizer, dtype):
    nets = [cbp.mlp([4, 9, 17, 3], hidden="tanh", output=LOSSES[loss].output, loss=loss, dtype=dtype, seed=0,
                    l1=1e-3, l2=1e-2) for _ in range(2)]
    ordinary(nets[1])
    with counted(monkeypatch) as counts:
        for number in range(40):
            rows = [20, 1, 1, 7, 20, 3][number % 6]
            X, y = RNG.standard_normal((rows, 4)).astype(dtype), targets_of(nets[0], rows)
            if number % 3 == 1:
                X, y = X.tolist(), tuple(y.tolist())
            losses = [net.train_on_batch(X, y, optimizer=optimizer if number % 4 == 0 else None) for net in nets]
            assert losses[0] == losses[1]
            assert type(losses[0]) is float
            assert all_numbers(nets[0]) == all_numbers(nets[1])
    assert counts == {"taken": 39, "left": 0}


@pytest.mark.parametrize(
    "y", [np.ones(2, np.float32), np.ones((2, 1)), [1.0, 0.5], [[1.0], [0.5]], (1, 0), ([1], [0])], ids=repr)
def test_a_single_output_takes_targets_in_one_dimension(monkeypatch, y):
    nets = [cbp.mlp([2, 3, 1], seed=0), ordinary(cbp.mlp([2, 3, 1], seed=0))]
    with counted(monkeypatch) as counts:
        for _ in range(4):
            losses = [net.train_on_batch(np.eye(2), y) for net in nets]
            assert losses[0] == losses[1]
    assert counts["taken"] == 3
    assert all_numbers(nets[0]) == all_numbers(nets[1])


def test_everything_between_the_steps_counts(monkeypatch):
    """Other optimizers, fresh state, fits, weights, parameters set by hand, larger batches."""
    nets = [cbp.mlp([4, 8, 3], hidden="tanh", seed=0), ordinary(cbp.mlp([4, 8, 3], hidden="tanh", seed=0))]
    X, Y = RNG.standard_normal((300, 4)).astype("float32"), RNG.standard_normal((300, 3)).astype("float32")
    between = [
        lambda net: net.train_on_batch(X[:5], Y[:5], optimizer=cbp.SGD(0.1)),
        lambda net: net.train_on_batch(X[:5], Y[:5], optimizer="adam"),
        lambda net: net.set_optimizer(cbp.Adam(0.01)),
        lambda net: net.set_optimizer("adam"),
        lambda net: net.fit(X, Y, epochs=2),
        lambda net: net.fit(X, Y, epochs=1, optimizer=cbp.RMSprop()),
        lambda net: net.train_on_batch(X[:5], Y[:5], sample_weight=np.arange(5)),
        lambda net: net.set_vector(net.get_vector() * 0.5),
        lambda net: net.optimizer_state["variance"]["0.weight"].__imul__(2),
        lambda net: net.train_on_batch(X[:128], Y[:128]),
        lambda net: net.train_on_batch(X, Y),
        lambda net: net.train_on_batch(X[::2][:5], Y[:5].tolist()),
    ]
    with counted(monkeypatch) as counts:
        for number in range(3 * len(between)):
            for _ in range(3):
                losses = [net.train_on_batch(X[:5], Y[:5]) for net in nets]
                assert losses[0] == losses[1]
            for net in nets:
                between[number % len(between)](net)
            assert all_numbers(nets[0]) == all_numbers(nets[1])
    assert counts["taken"] > 2 * number


def test_an_equal_optimizer_is_the_same_and_another_is_not(monkeypatch):
    net = cbp.mlp([4, 3], seed=0)
    X, Y = np.ones((1, 4), np.float32), np.ones((1, 3), np.float32)
    with counted(monkeypatch) as counts:
        net.train_on_batch(X, Y, optimizer=cbp.Adam(0.01))
        net.train_on_batch(X, Y, optimizer=cbp.Adam(0.01))
        assert (net.step, counts["taken"]) == (2, 1)
        net.train_on_batch(X, Y, optimizer=cbp.Adam(0.02))
        assert (net.step, counts["taken"]) == (3, 2)
        assert net.optimizer == cbp.Adam(0.02)
        net.train_on_batch(X, Y, optimizer=cbp.AdamW(0.02))
        assert (net.step, counts["left"]) == (1, 1)
        with pytest.raises(TypeError, match="optimizer must be"):
            net.train_on_batch(X, Y, optimizer=np.ones(3))


def bad_batches(dtype, classes):
    X = np.ones((2, 4), dtype)
    good = np.array([0, 1]) if classes else np.ones((2, 3), dtype)
    for form, make in LOOKED_AT.items():
        if "mask" not in form:
            yield [make(X[0]), [1.0] * 4], good
    for y in (1, None, [0], [0, 3], [0, -1], [0, 2**70], [0.5, 1], [0, "a"], [True, False], np.array([0, 3]),
              np.array([0, 1, 2]), np.array([0, -1]), np.array([0, 1], np.int32), np.array([0, 1.0]), np.array([[0], [1]]),
              [[0], [1]], np.ones((2, 3)) * np.nan, np.ones((3, 3)), np.ones((2, 2)), [[1.0, 2.0, 3.0]],
              [[1.0, 2.0, 3.0], [1.0, 2.0]], np.full((2, 3), 1 / 3, dtype), [[0.0, 0.0, 1.0]] * 2, np.zeros((2, 3), int),
              [np.ones(3), np.ones(3)], "ab", [[float("inf")] * 3] * 2, np.arange(4)[::2], np.array([0, 1]).astype(">i8")):
        yield X, y
    for x in (X[0], [], [[]], X[:0], X.T, np.ones((2, 4, 1), dtype), [[1.0] * 4, 1.0], None, "ab", [None, None],
              np.ones((3, 4), dtype)):
        yield x, good


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_looked_at_in_a_batch(loss, dtype):
    """The same loss, the same message, and no change where there is an error."""
    nets = [cbp.mlp([4, 5, 3], output=LOSSES[loss].output, loss=loss, dtype=dtype, seed=0) for _ in range(2)]
    ordinary(nets[1])
    X, y = np.ones((4, 4), dtype), targets_of(nets[0], 4)
    for net in nets:
        net.train_on_batch(X, y)
    for x, y in bad_batches(dtype, loss == "cross_entropy"):
        results = [outcome(lambda: np.array(net.train_on_batch(x, y))) for net in nets]  # noqa: B023
        assert results[0] == results[1]
        assert all_numbers(nets[0]) == all_numbers(nets[1])


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "poisson", "hinge"])
def test_targets_out_of_range(loss):
    net = cbp.mlp([1, 1], output=LOSSES[loss].output, loss=loss, seed=0)
    net.train_on_batch([[1.0]], [1.0])
    before = all_numbers(net)
    for wrong in (-0.5, -2.0):
        for y in ([wrong], [[wrong]], np.array([wrong], np.float32)):
            with pytest.raises(ValueError, match="y holds"):
                net.train_on_batch([[1.0]], y)
    assert all_numbers(net) == before


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("what", ["the loss", "the numbers"])
@pytest.mark.parametrize("kind", [cbp.SGD, lambda rate: cbp.SGD(rate, momentum=0.9), cbp.Adam, cbp.RMSprop],
                         ids=["SGD", "momentum", "Adam", "RMSprop"])
def test_a_divergence_is_taken_back(kind, what, dtype):
    """The squares of RMSprop and Adam overflow where the loss does not."""
    optimizer = kind(1e30 if dtype == "float32" else 1e200)
    scale = {"the loss": {"float32": 1e25, "float64": 1e200}, "the numbers": {"float32": 1e18, "float64": 1e150}}[what][dtype]
    nets = [cbp.mlp([2, 3, 2], dtype=dtype, seed=0) for _ in range(2)]
    ordinary(nets[1])
    x = np.ones((1, 2), dtype)
    results = []
    for net in nets:
        net.train_on_batch(x, net.predict(x), optimizer=optimizer)
        before = all_numbers(net)
        results.append(outcome(lambda: np.array(net.train_on_batch(x, np.full((1, 2), scale, dtype)))))  # noqa: B023
        assert results[-1][0] is cbp.DivergedError
        assert all_numbers(net) == before
    assert results[0] == results[1]
    assert all_numbers(nets[0]) == all_numbers(nets[1])


def test_a_parameter_that_is_not_finite():
    net = cbp.mlp([2, 3, 2], seed=0)
    x = np.ones((1, 2), np.float32)
    net.train_on_batch(x, x)
    for value in (np.nan, np.inf):
        net.parameters["0.weight"][0, 0] = value
        before = all_numbers(net)
        with pytest.raises(ValueError, match=r"parameters\['0.weight'\]"):
            net.train_on_batch(x, x)
        assert all_numbers(net) == before


def test_the_lock_holds_for_the_short_way():
    net = cbp.mlp([2, 3, 2], seed=0)
    x = np.ones((1, 2), np.float32)
    net.train_on_batch(x, x)
    before = all_numbers(net)
    with trained_elsewhere(net), pytest.raises(RuntimeError, match="another thread"):
        net.train_on_batch(x, x)
    assert all_numbers(net) == before
    net.train_on_batch(x, x)
    assert not net._training.busy()
    assert net.step == 2


def test_several_threads_train_one_network():
    """One at a time, the others are told; every update that returned is counted, and none is half done."""
    net = cbp.mlp([200, 100, 2], seed=0)
    x, y = RNG.standard_normal((100, 200)).astype("float32"), np.zeros((100, 2), np.float32)
    net.train_on_batch(x, y)
    assert len(x) * net._plan.size > core.READY["brief"]  # so that the core lets other threads in
    done = []

    def train():
        for _ in range(100):
            try:
                net.train_on_batch(x, y)
            except RuntimeError:
                continue
            done.append(1)

    threads = [threading.Thread(target=train) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert net.step == len(done) + 1
    alone = ordinary(cbp.mlp([200, 100, 2], seed=0))
    for _ in range(net.step):
        alone.train_on_batch(x, y)
    assert all_numbers(alone) == all_numbers(net)


def test_ctrl_c_at_every_line():
    """All of the update, counted, or nothing of it; and the lock is free."""
    x, y = np.ones((1, 3)), np.ones((1, 2))
    expected = cbp.mlp([3, 2], dtype="float64", seed=1)
    vectors = [expected.get_vector()]
    for _ in range(3):
        expected.train_on_batch(x, y)
        vectors.append(expected.get_vector())

    def run(number):
        net, seen = cbp.mlp([3, 2], dtype="float64", seed=1), 0
        names = {"_keep_online"}

        def trace(frame, event, argument):
            nonlocal seen
            if frame.f_code.co_filename != online.__file__ and frame.f_code.co_name not in names:
                return None
            seen += event == "line"
            if seen == number:
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            net.train_on_batch(x, y)
            names.add("train_on_batch")
            net.train_on_batch(x, y)
            net.train_on_batch(x, y)
        except KeyboardInterrupt:
            return net, True
        finally:
            sys.settrace(before)
        return net, False

    for number in range(1, 1000):
        net, stopped = run(number)
        assert np.array_equal(net.get_vector(), vectors[net.step])
        assert net.epoch == 0
        assert not net._training.busy()
        if not stopped:
            break
        net.train_on_batch(x, y)
    assert number > 20


def test_small_batches_of_large_networks_go_the_ordinary_way():
    net = cbp.mlp([300, 300, 1], seed=0)
    net.train_on_batch(np.ones((1, 300)), [1.0])
    assert net._online is None
    net = cbp.mlp([3, 1], seed=0)
    net.train_on_batch(np.ones((129, 3)), np.ones(129))
    assert net._online is None


def test_a_copy_has_a_short_way_of_its_own():
    net = cbp.mlp([3, 2], seed=0)
    x, y = np.ones((1, 3)), np.ones((1, 2))
    net.train_on_batch(x, y)
    other = copy.deepcopy(net)
    before = all_numbers(net)
    for _ in range(3):
        other.train_on_batch(x, y)
    assert all_numbers(net) == before
    assert other.step == 4


# --- nothing leaks ------------------------------------------------------------------------------------------------


def test_no_reference_leaks():
    net = cbp.mlp([4, 3], output="softmax", seed=0)
    X, y = np.ones((2, 4), np.float32), np.array([0, 1])
    bad, labels, lists = np.full((2, 4), np.nan, np.float32), [0, 1], [[1.5, 2.5, 3.5, 4.5]] * 2
    net.train_on_batch(X, y)
    held = [X, y, bad, labels, lists, lists[0], lists[0][0], net._numbers.state, net._numbers.parameters, net._plan.ops,
            net._training, np.dtype(np.float32)]
    before = [sys.getrefcount(thing) for thing in held[:-1]]
    for _ in range(1000):
        net.predict(X), net.predict_one(X[0]), net.predict(lists), net.predict_one(lists[0])
        net.train_on_batch(X, y), net.train_on_batch(lists, labels)
        assert short(net, bad, 2) is None
        assert short(net, [1.5, None, 2.5, 2.5]) is None
        assert net._online.step(bad, y, None) is None
        assert net._online.step(X, [0, None], None) is None
    assert [sys.getrefcount(thing) for thing in held[:-1]] == before
    result, fresh = net.predict_one(X[0]), np.empty(3)
    assert sys.getrefcount(result) == sys.getrefcount(fresh)


def test_no_memory_leaks():
    net = cbp.mlp([4, 3], output="softmax", seed=0)
    X, y, row = np.ones((2, 4), np.float32), [0, 1], [1.0, 2.0, 3.0, 4.0]

    def work(times):
        for _ in range(times):
            net.predict(X), net.predict_one(row), net.train_on_batch(X, y)

    work(1000)
    tracemalloc.start()
    try:
        work(10)
        before = tracemalloc.get_traced_memory()[0]
        work(20_000)
        assert tracemalloc.get_traced_memory()[0] - before < 2000
    finally:
        tracemalloc.stop()
