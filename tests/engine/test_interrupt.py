"""Ctrl-C: wherever it comes, what is left is a sound network, a history that fits it, and a way to go on."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

import cbp
from cbp.engine import fit, runner
from cbp.engine.cpu import core

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((150, 3)), RNG.standard_normal((150, 2))


def network(**options):
    return cbp.mlp([3, 5, 2], hidden="tanh", dtype="float64", seed=1, **options)


class Core:
    """The core, with Ctrl-C just before or just after its n-th call; the calls of one name, or of any."""

    def __init__(self, number, *, after=True, name=None):
        self.calls, self.number, self.after, self.name = 0, number, after, name

    def __getattr__(self, name):
        value = getattr(core, name)
        if not callable(value) or (self.name and name != self.name):
            return value

        def call(*arguments):
            self.calls += 1
            if self.calls == self.number and not self.after:
                raise KeyboardInterrupt
            result = value(*arguments)
            if self.calls == self.number:
                raise KeyboardInterrupt
            return result

        return call


@pytest.fixture
def hasty(monkeypatch):
    """The core returns to Python as often as it can."""
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    monkeypatch.setattr(fit, "PATIENCE", 0.0)


def interrupted(monkeypatch, core_like, function):
    """Run the function with this core; whether it was interrupted."""
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_core", core_like)
        patch.setattr(fit, "_core", core_like)
        try:
            function()
        except KeyboardInterrupt:
            return True
        except cbp.DivergedError:
            return False
    return False


def assert_sound(net, first_epoch=0):
    """Finite numbers, curves of one length, counters that fit them, and no lock that stays."""
    history = net.history
    assert np.isfinite(net.get_vector()).all()
    assert all(np.isfinite(view).all() for arrays in net.optimizer_state.values() for view in arrays.values())
    assert {len(curve) for curve in history.values()} == {history.epochs}
    assert np.isfinite(history.loss).all()
    assert first_epoch + history.epochs <= net.epoch <= first_epoch + history.epochs + 1
    repr(history)


def steps_by_hand(net, x, y, batch_size, epochs, shuffle=True, **settings):
    """The parameters after every update of the same run."""
    vectors = [net.get_vector()]
    for epoch in range(epochs):
        order = np.arange(len(x))
        if shuffle and batch_size < len(x):
            core.permutation(net.seed, epoch, order)
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            net.train_on_batch(x[batch], y[batch], **settings)
            vectors.append(net.get_vector())
    return vectors


# --- simulated, at every place ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("batch_size", [1, 64, 70, 150])
@pytest.mark.parametrize("validated", [False, True])
def test_between_two_updates(monkeypatch, batch_size, validated):
    """After every slice of the core: the parameters are those after the updates that were counted."""
    rows = 70 if batch_size == 1 else 150
    x, y = X[:rows], Y[:rows]
    expected = steps_by_hand(network(), x, y, batch_size, 3, optimizer=cbp.Adam(0.01))
    settings = {"epochs": 3, "batch_size": batch_size, "optimizer": cbp.Adam(0.01)}
    if validated:
        settings["validation_data"] = (x, y)
    complete = network().fit(x, y, **settings)
    per_epoch = -(-rows // batch_size)
    for number in range(1, 1000):
        net = network()
        if not interrupted(monkeypatch, Core(number, name="run_epochs"), lambda: net.fit(x, y, **settings)):  # noqa: B023
            break
        assert_sound(net)
        assert np.array_equal(net.get_vector(), expected[net.step])
        done = net.history.epochs
        assert per_epoch * done <= net.step <= per_epoch * net.epoch
        assert net.history.loss.tolist() == complete.loss[:done].tolist()
        if validated:
            assert net.history.val_loss.tolist() == complete.val_loss[:done].tolist()
    assert number > 3
    assert net.step == 3 * per_epoch


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("validated", [False, True])
def test_at_every_call_of_the_core(monkeypatch, after, validated):
    """Also while numbers are checked, kept and validated."""
    settings = {"validation_data": (X, Y)} if validated else {}
    for number in range(1, 1000):
        net = network()
        if not interrupted(monkeypatch, Core(number, after=after), lambda: net.fit(X, Y, epochs=2, **settings)):  # noqa: B023
            break
        if net.history is None:  # before the run began
            assert (net.step, net.epoch) == (0, 0)
            continue
        assert_sound(net)
        net.fit(X, Y, epochs=1)
    assert number > 5


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("settings", [
    {"batch_size": None, "optimizer": cbp.SGD(10.0)},
    {"batch_size": 40, "optimizer": cbp.SGD(10.0, momentum=0.5), "validation_data": (X, Y)},
], ids=["full batch", "validated"])
def test_on_the_way_back_from_a_divergence(monkeypatch, settings, after):
    """Ctrl-C while a diverged run is being taken back leaves no number that is not finite."""
    for number in range(1, 2000):
        net = cbp.mlp([3, 2], seed=1)
        earlier = net.fit(X, Y, epochs=2, optimizer=cbp.SGD(0.01))
        net._history = earlier
        if not interrupted(monkeypatch, Core(number, after=after), lambda: net.fit(X, Y, epochs=500, **settings)):  # noqa: B023
            break
        if net.history is not earlier:  # the run began
            assert_sound(net, first_epoch=2)
        net.fit(X, Y, epochs=0)
    assert number > 20


def test_on_the_long_way_back(monkeypatch):
    """The same when the copy to return to is the beginning, many epochs ago."""
    monkeypatch.setattr(fit, "PATIENCE", 1e9)
    for number in range(1, 2000):
        net = cbp.mlp([3, 2], seed=1)
        settings = {"epochs": 500, "batch_size": None, "optimizer": cbp.SGD(10.0)}
        if not interrupted(monkeypatch, Core(number), lambda: net.fit(X, Y, **settings)):  # noqa: B023
            break
        if net.history is not None:
            assert_sound(net)
    assert number > 20


def test_at_every_line(monkeypatch):
    """Between any two lines of the run's own code: sound numbers, curves of one length, and the lock is free."""
    files = (fit.__file__, runner.__file__)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    monkeypatch.setattr(fit, "PATIENCE", 0.0)

    def run(number):
        net, seen = network(), 0

        def trace(frame, event, argument):
            nonlocal seen
            if frame.f_code.co_filename not in files:
                return None
            seen += event == "line"
            if seen == number:
                raise KeyboardInterrupt
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            net.fit(X, Y, epochs=2, batch_size=80, validation_data=(X[:5], Y[:5]))
        except KeyboardInterrupt:
            return net, True
        finally:
            sys.settrace(before)
        return net, False

    for number in range(1, 5000):
        net, stopped = run(number)
        if not stopped:
            break
        assert np.isfinite(net.get_vector()).all()
        if net.history is not None:
            assert len({len(curve) for curve in net.history.values()}) == 1
        net.fit(X, Y, epochs=1)
    assert number > 100


@pytest.mark.parametrize("after", [False, True])
def test_in_train_on_batch(monkeypatch, after):
    """All of the update or nothing of it; and a batch is still no epoch."""
    expected = network()
    vectors = [expected.get_vector()]
    for _ in range(2):
        expected.train_on_batch(X, Y)
        vectors.append(expected.get_vector())
    for number in range(1, 50):
        net = network()
        net.train_on_batch(X, Y)
        if not interrupted(monkeypatch, Core(number, after=after), lambda: net.train_on_batch(X, Y)):  # noqa: B023
            break
        assert net.epoch == 0
        assert np.array_equal(net.get_vector(), vectors[net.step])
        net.train_on_batch(X, Y)
    assert number > 1


def test_in_train_on_batch_that_diverges(monkeypatch):
    """Ctrl-C between the update and the look at its numbers must not let an infinite weight through."""
    for number in range(1, 50):
        net = cbp.mlp([3, 2], seed=1)
        if not interrupted(monkeypatch, Core(number), lambda: net.train_on_batch(X, Y, optimizer=cbp.SGD(1e39))):  # noqa: B023
            break
        assert np.isfinite(net.get_vector()).all()
    assert number > 1


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("ask", [
    lambda net: net.predict(X), lambda net: net.evaluate(X, Y),
    lambda net: net.gradient(X, Y), lambda net: net.backward(X, Y),
], ids=["predict", "evaluate", "gradient", "backward"])
def test_in_a_question(monkeypatch, ask):
    net = network()
    net.fit(X, Y, epochs=1)
    before = net.get_vector(), net.step, net.epoch, net.history
    for number in range(1, 100):
        if not interrupted(monkeypatch, Core(number), lambda: ask(net)):
            break
    assert number > 1
    assert np.array_equal(net.get_vector(), before[0])
    assert (net.step, net.epoch, net.history) == before[1:]
    net.fit(X, Y, epochs=1)


@pytest.mark.usefixtures("hasty")
def test_an_epoch_that_began_is_not_begun_again():
    """The next run takes the next shuffle, so that no order is used twice."""
    net = network()
    with pytest.MonkeyPatch.context() as patch:
        assert interrupted(patch, Core(1, name="run_epochs"), lambda: net.fit(X, Y, epochs=3, batch_size=64))
    assert (net.epoch, net.step, net.history.epochs) == (1, 1, 0)
    expected = network()
    order = np.empty(150, np.intp)
    core.permutation(1, 0, order)
    expected.train_on_batch(X[order[:64]], Y[order[:64]])
    expected._numbers.epoch = 1
    net.fit(X, Y, epochs=2, batch_size=64)
    expected.fit(X, Y, epochs=2, batch_size=64)
    assert np.array_equal(net.get_vector(), expected.get_vector())


# --- how long the core stays away ---------------------------------------------------------------------------------


class Counting:
    """The core, counting its calls."""

    def __init__(self):
        self.calls = {}

    def __getattr__(self, name):
        value = getattr(core, name)
        if not callable(value):
            return value

        def call(*arguments):
            self.calls[name] = self.calls.get(name, 0) + 1
            return value(*arguments)

        return call


@pytest.mark.usefixtures("hasty")
def test_the_core_comes_back_inside_a_huge_batch(monkeypatch):
    """A batch goes through in pieces, the smaller the larger the network, and Python sees signals between them."""
    x, y = np.zeros((20_000, 3), np.float32), np.zeros((20_000, 2), np.float32)
    for hidden, rows, least in (([5], 20_000, 19), ([1000, 1000], 1_500, 5)):
        net = cbp.mlp([3, *hidden, 2], seed=0)
        for name, function in (
            ("run_epochs", lambda: net.fit(x[:rows], y[:rows], epochs=1, batch_size=None)),  # noqa: B023
            ("run_epochs", lambda: net.evaluate(x[:rows], y[:rows])),  # noqa: B023
            ("run_epochs", lambda: net.gradient(x[:rows], y[:rows])),  # noqa: B023
            ("predict", lambda: net.predict(x[:rows])),  # noqa: B023
            ("vector_jacobian", lambda: net.backward(x[:rows], y[:rows])),  # noqa: B023
        ):
            counting = Counting()
            with monkeypatch.context() as patch:
                patch.setattr(runner, "_core", counting)
                function()
            assert counting.calls[name] >= least


# --- real signals -------------------------------------------------------------------------------------------------

PRELUDE = """
import os, signal, sys, threading, time
import numpy as np
import cbp

signal.signal(signal.SIGINT, signal.default_int_handler)
rng = np.random.default_rng(0)

def ctrl_c_during(function, begun=lambda: True):
    'Send SIGINT soon after the function has begun; it must not end in any other way.'
    def send():
        while not begun():
            time.sleep(0.01)
        time.sleep(0.15)
        os.kill(os.getpid(), signal.SIGINT)
    thread = threading.Thread(target=send)
    try:
        thread.start()
        function()
    except KeyboardInterrupt:
        thread.join()
        return
    raise SystemExit("no KeyboardInterrupt")

def for_ever(function):
    def repeat():
        while True:
            function()
    return repeat

def assert_sound(net):
    assert np.isfinite(net.get_vector()).all()
    assert len({len(curve) for curve in net.history.values()}) == 1
    assert net.history.epochs <= net.epoch <= net.history.epochs + 1
"""
SCRIPTS = {
    "a long run": """
        X, y = rng.standard_normal((100, 3)), rng.standard_normal((100, 2))
        net = cbp.mlp([3, 8, 2], seed=0)
        ctrl_c_during(lambda: net.fit(X, y, epochs=10**9), lambda: net.step > 0)
        assert_sound(net)
        assert net.history.epochs > 0 and net.step > 0
        assert (net.history.loss > 0).all()
        before = net.epoch
        assert net.fit(X, y, epochs=2).epochs == 2
        assert net.epoch == before + 2
    """,
    "a long run with validation": """
        X, y = rng.standard_normal((100, 3)), rng.standard_normal((100, 2))
        Xv, yv = rng.standard_normal((200_000, 3)), rng.standard_normal((200_000, 2))
        net = cbp.mlp([3, 8, 2], seed=0)
        ctrl_c_during(lambda: net.fit(X, y, epochs=10**9, validation_data=(Xv, yv)), lambda: net.step > 0)
        assert_sound(net)
        net.fit(X, y, epochs=2)
    """,
    "one huge batch": """
        X, y = np.ones((60_000, 200), np.float32), np.ones((60_000, 100), np.float32)
        net = cbp.mlp([200, 512, 512, 100], seed=0)
        start = net.get_vector()
        ctrl_c_during(lambda: net.fit(X, y, epochs=10**9, batch_size=None), net._training.busy)
        assert_sound(net)
        assert net.step == net.history.epochs
        assert net.step > 0 or np.array_equal(net.get_vector(), start)
        net.fit(X[:10], y[:10], epochs=1)
    """,
    "one huge sample after the other": """
        X, y = np.ones((3000, 2000), np.float32), np.ones((3000, 1), np.float32)
        net = cbp.mlp([2000, 1000, 1], seed=0)
        ctrl_c_during(lambda: net.fit(X, y, epochs=10**9, batch_size=1, optimizer=cbp.SGD(1e-6)),
                      lambda: net.step > 0)
        assert_sound(net)
    """,
    "many small batches": """
        X, y = rng.standard_normal((10, 3)), rng.standard_normal((10, 2))
        net = cbp.mlp([3, 8, 2], seed=0)
        ctrl_c_during(for_ever(lambda: net.train_on_batch(X, y)), lambda: net.step > 0)
        assert np.isfinite(net.get_vector()).all()
        step = net.step
        net.train_on_batch(X, y)
        assert net.step == step + 1
    """,
    "predictions and measurements": """
        X, y = np.ones((100_000, 100), np.float32), np.ones((100_000, 10), np.float32)
        net = cbp.mlp([100, 256, 256, 10], seed=0)
        right = net.predict(X[:100])
        start = net.get_vector()
        for ask in (lambda: net.predict(X), lambda: net.evaluate(X, y), lambda: net.gradient(X, y),
                    lambda: net.backward(X, y)):
            ctrl_c_during(for_ever(ask))
            assert np.array_equal(net.get_vector(), start)
        assert np.array_equal(net.predict(X[:100]), right)
        assert net.epoch == net.step == 0 and net.history is None
        net.fit(X[:100], y[:100], epochs=1)
    """,
    "twice": """
        X, y = rng.standard_normal((100, 3)), rng.standard_normal((100, 2))
        net = cbp.mlp([3, 8, 2], seed=0)
        for _ in range(2):
            ctrl_c_during(lambda: net.fit(X, y, epochs=10**9), lambda: net.step > 0)
            assert np.isfinite(net.get_vector()).all()
        net.save(sys.argv[1])
        assert np.array_equal(cbp.load(sys.argv[1]).get_vector(), net.get_vector())
    """,
    "without a handler": """
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        X, y = rng.standard_normal((100, 3)), rng.standard_normal((100, 2))
        net = cbp.mlp([3, 8, 2], seed=0)
        threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGINT)).start()
        assert net.fit(X, y, epochs=200).epochs == 200
    """,
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_real_signals(script, tmp_path):
    """In a process of its own, which the time limit only keeps from hanging for ever."""
    code = PRELUDE + textwrap.dedent(SCRIPTS[script]) + "\nprint('sound')\n"
    command = [sys.executable, "-W", "error", "-c", code, str(tmp_path / "model.cbp")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "sound\n"
    assert result.stderr == ""


HEAVY = {
    "image": ((256, 256, 4), [cbp.Conv2D(8, 3, "relu"), cbp.GlobalAveragePool(), cbp.Dense(1)]),
    "sequence": ((20_000, 4), [cbp.LSTM(16), cbp.Dense(1)]),
    "pool": ((512, 512, 16), [cbp.MaxPool2D(2), cbp.GlobalMaxPool(), cbp.Dense(1)]),
}


@pytest.mark.parametrize("name", HEAVY)
def test_samples_that_take_long_are_watched_one_by_one(name, monkeypatch):
    """The clock is read after so much work, not after so many samples: with no patience the core returns after each."""
    shape, layers = HEAVY[name]
    net = cbp.Network(shape, layers, loss="mean_squared_error", seed=0)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    counted = Core(0, name="run_epochs")
    monkeypatch.setattr(runner, "_core", counted)
    net.fit(np.zeros((6, *shape), np.float32), np.zeros(6), epochs=1, batch_size=1)
    assert counted.calls >= 6


def test_a_batch_of_samples_that_take_long_goes_through_one_by_one():
    net = cbp.Network((200_000, 8), [cbp.LSTM(64), cbp.Dense(1)], loss="mean_squared_error", seed=0)
    assert net._plan.piece(32) == 1
    table = cbp.Network((100,), [cbp.Embedding(1_000_000, 8), cbp.GlobalAveragePool(), cbp.Dense(1)], loss="mean_squared_error")
    assert table._plan.piece(32) == 32  # rows are looked up, not multiplied
