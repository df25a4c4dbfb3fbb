"""What runs in the middle of a call on a network, of the same thread: a signal handler, a finalizer, a display of progress.

Python looks at signals where a function begins and where one in C has returned. `moments` runs a call once for each such place
of it, and acts there.
"""

import copy
import errno
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from cases import dumps

import cbp
from cbp import modelfile
from cbp.engine import fit, runner
from cbp.modelfile import temporaries

FOLDER = str(Path(cbp.__file__).parent)
RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((30, 3)), RNG.standard_normal((30, 2))
SEQUENCES, ANSWERS = RNG.standard_normal((4, 6, 3)), RNG.standard_normal((4, 2))


@pytest.fixture(autouse=True)
def hasty(monkeypatch):
    """The core returns to Python as often as it can."""
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    monkeypatch.setattr(fit, "PATIENCE", 0.0)


def dense(**settings):
    net = cbp.mlp([3, 4, 2], hidden="tanh", dtype="float64", seed=1, **settings)
    net.fit(X, Y, epochs=1, batch_size=8)
    return net


def started():
    """What small steps need is there."""
    net = dense()
    net.train_on_batch(X, Y)
    assert net._online is not None
    return net


def stateful():
    net = cbp.Network((6, 3), [cbp.GRU(3, stateful=True), cbp.Dense(2)], loss="mean_squared_error", seed=1)
    net.train_on_batch(SEQUENCES, ANSWERS)
    return net


def recurrent():
    net = cbp.Network((6, 3), [cbp.GRU(3), cbp.Dense(2)], loss="mean_squared_error", seed=1)
    net.train_on_batch(SEQUENCES, ANSWERS)
    return net


def diverge(call):
    """A call that ends in a DivergedError is one that does what it should."""
    with pytest.raises(cbp.DivergedError):
        call()


CALLS = {
    "save": (dense, lambda net, path: net.save(path)),
    "snapshot": (dense, lambda net, path: net.snapshot()),
    "deepcopy": (dense, lambda net, path: copy.deepcopy(net)),
    "pickle": (dense, lambda net, path: pickle.loads(pickle.dumps(net))),
    "fit": (dense, lambda net, path: net.fit(X, Y, epochs=2, batch_size=8)),
    "fit with another optimizer": (dense, lambda net, path: net.fit(X, Y, epochs=1, batch_size=8, optimizer=cbp.SGD(0.1))),
    "fit with validation": (dense, lambda net, path: net.fit(X, Y, epochs=2, batch_size=30, validation_data=(X, Y))),
    "fit with threads": (dense, lambda net, path: net.fit(X, Y, epochs=1, batch_size=8, threads=2)),
    "fit that diverges": (dense, lambda net, path: diverge(
        lambda: net.fit(X * 100, Y, epochs=300, batch_size=None, optimizer=cbp.SGD(10.0)))),
    "train_on_batch": (dense, lambda net, path: net.train_on_batch(X, Y)),
    "train_on_batch again": (started, lambda net, path: net.train_on_batch(X, Y)),
    "train_on_batch with another optimizer": (dense, lambda net, path: net.train_on_batch(X, Y, optimizer=cbp.SGD(0.1))),
    "train_on_batch that diverges": (dense, lambda net, path: diverge(
        lambda: net.train_on_batch(X, Y * 1e200, optimizer=cbp.SGD(0.1)))),
    "train_on_batch of states": (stateful, lambda net, path: net.train_on_batch(SEQUENCES, ANSWERS)),
    "predict": (dense, lambda net, path: net.predict(X)),
    "predict of states": (stateful, lambda net, path: net.predict(SEQUENCES)),
    "predict_step": (recurrent, lambda net, path: net.predict_step(SEQUENCES[0, 0])),
    "evaluate": (dense, lambda net, path: net.evaluate(X, Y)),
    "gradient": (dense, lambda net, path: net.gradient(X, Y)),
    "set_optimizer": (dense, lambda net, path: net.set_optimizer("adam")),
    "set_vector": (dense, lambda net, path: net.set_vector(np.arange(26.0))),
    "trace": (dense, lambda net, path: net.trace(X[:1], Y[:1])),
    "check_gradients": (dense, lambda net, path: cbp.check_gradients(net, X[:2], Y[:2])),
}
MOST = 100
"""So many moments of a call at most are tried, evenly over it."""


def at_moment(number, call, act):
    """Run the call, and at its n-th moment act; the number of moments."""
    seen = 0

    def profile(frame, event, argument):
        nonlocal seen
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(FOLDER):
            seen += 1
            if seen == number:
                act()

    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
    return seen


def moments(make, call, act):
    """Run the call on a new network, and act on that at one moment after the other; gives the networks that it ran on."""
    count = at_moment(0, lambda net=make(): call(net), None)  # noqa: B008
    assert count >= 1
    for number in range(1, count + 1, 1 + count // MOST):
        net = make()
        at_moment(number, lambda net=net: call(net), lambda net=net: act(net))
        yield net


def whole(snapshot):
    """All that a file holds, also of a snapshot whose numbers are not to be saved."""
    return modelfile.dumps(snapshot)


def states(make, call):
    """The network before the call and after each of its updates: the runner's slices are single updates here."""
    net = make()
    found = [net.snapshot()]
    core = runner._core

    class Recording:
        def __getattr__(self, name):
            value = getattr(core, name)
            if name != "run_epochs":
                return value

            def run_epochs(*arguments):
                found.append(net.snapshot())  # with another optimizer it is another network already
                value(*arguments)
                found.append(net.snapshot())

            return run_epochs

    runner._core = Recording()
    try:
        call(net)
    finally:
        runner._core = core
    return [*found, net.snapshot()]


@pytest.mark.parametrize("name", CALLS)
def test_a_handler_may_save(name, tmp_path):
    """It is never refused and waits for nothing; what it saves is the network before the call, after it or between two updates,
    and the call that it interrupted goes on as if nothing had been."""
    make, function = CALLS[name]

    def call(net):
        function(net, tmp_path / "net.cbp")

    right = make()
    call(right)
    allowed = {whole(state) for state in states(make, call)}
    saved = []

    def act(net):
        saved.append(dumps(net))

    for net in moments(make, call, act):
        assert dumps(net) == dumps(right)
        assert not net._training.busy()
    assert set(saved) <= allowed


# Python itself loses a file that was opened a moment before, or an exception where a generator ends.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("error", [KeyboardInterrupt(), TimeoutError("too slow"), OSError(errno.ENOENT, "its own"),
                                   ValueError("its own"), TypeError("its own")], ids=lambda error: type(error).__name__)
def test_an_exception_at_any_moment(name, error, tmp_path):
    """A timer's handler may raise one, which passes unchanged: the network is as it was, between two updates or as after the
    call, and no file is left."""
    make, function = CALLS[name]

    def call(net):
        function(net, tmp_path / "net.cbp")

    def interrupted(net):
        try:
            call(net)
        except BaseException as problem:
            raised.append(problem)

    def act(net):
        raise error

    allowed = {whole(state) for state in states(make, call)}
    raised = []
    for net in moments(make, interrupted, act):
        assert not net._training.busy()
        assert dumps(net) in allowed
        call(net)
        error.__traceback__ = error.__context__ = None
        assert set(os.listdir(tmp_path)) <= {"net.cbp"}
    assert [repr(problem) for problem in raised if problem is not error] == []
    assert raised


class Late(ValueError):
    """What a handler raises."""


def late(number, frame):
    raise Late("its own")


class Timer:
    def ring(self, number, frame):
        raise Late("its own")

    def __call__(self, *arguments):
        raise Late("its own")


def saving(number, frame):
    dense().save("/no/such/folder/net.cbp")


@pytest.fixture
def alarm():
    """Sets a handler, and gives what lets it run at once."""
    before = signal.getsignal(signal.SIGALRM)

    def set_handler(handler):
        signal.signal(signal.SIGALRM, handler)
        return partial(signal.raise_signal, signal.SIGALRM)

    yield set_handler
    signal.signal(signal.SIGALRM, before)


class Holding:
    """An array of another package, whose code may be interrupted, or fail."""

    def __init__(self, array, act):
        self.array, self.act = array, act

    def __array__(self, dtype=None, copy=None):
        self.act()
        return self.array


@pytest.mark.parametrize("handler", [late, Timer().ring, Timer(), partial(late), lambda *arguments: late(*arguments)])
@pytest.mark.parametrize("call", [lambda net, x: net.predict(x), lambda net, x: net.fit(x, Y), lambda net, x: net.fit(X, x),
                                  lambda net, x: net.train_on_batch(x, Y), lambda net, x: net.evaluate(X, Y, sample_weight=x)])
def test_an_exception_while_data_is_converted(call, handler, alarm):
    """Is not taken for one of the data's package."""
    with pytest.raises(Late, match=r"^its own$"):
        call(dense(), Holding(X, alarm(handler)))


def test_an_error_of_another_package_is_explained():
    def fail():
        raise RuntimeError("its memory is elsewhere")

    with pytest.raises(TypeError, match=r"X must be an array .* that cannot be read as one: its memory is elsewhere"):
        dense().predict(Holding(X, fail))


def test_an_exception_while_an_argument_is_shown(alarm):
    class Shown:
        def __repr__(self):
            ring()
            return "shown"

    ring = alarm(late)
    with pytest.raises(Late, match=r"^its own$"):
        dense().fit(X, Y, epochs=Shown())


@pytest.mark.parametrize("step", ["os.open", "os.fsync", "os.fchown", "os.fchmod", "os.unlink", "os.listdir", "os.replace",
                                  "os.stat", "fcntl.flock"])
@pytest.mark.parametrize("error", [TimeoutError("too slow"), TimeoutError(errno.ETIMEDOUT, "too slow"), KeyboardInterrupt(),
                                   BlockingIOError(errno.EAGAIN, "its own"), FileNotFoundError(errno.ENOENT, "its own"),
                                   PermissionError(errno.EACCES, "its own"), OSError(errno.EINVAL, "its own")], ids=repr)
def test_an_exception_while_the_system_works_for_a_save(step, error, alarm, tmp_path, monkeypatch):
    """A TimeoutError is an OSError, but no refusal; the next of the system's answers may come right after it."""
    def handler(number, frame):
        raise error

    def slow(*arguments, **settings):
        result = real(*arguments, **settings)
        if armed:
            armed.clear()
            ring()
        return result

    net, ring, armed = dense(), alarm(handler), [True]
    net.save(tmp_path / "net.cbp")
    left = tmp_path / f"{temporaries._beginning()}{1:016x}.tmp"
    left.write_text("left")
    module, name = step.split(".")
    real = getattr(sys.modules[module], name)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules[module], name, slow)
        with pytest.raises(type(error)) as caught:
            net.save(tmp_path / "net.cbp")
    assert caught.value is error
    error.__traceback__ = error.__context__ = None
    assert set(os.listdir(tmp_path)) <= {"net.cbp", left.name}
    assert dumps(cbp.load(tmp_path / "net.cbp")) == dumps(net)


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # that of Python, where it closes what was being opened
def test_exceptions_at_any_moment_of_a_save_leave_no_file_open(tmp_path):
    def act(net):
        raise TimeoutError("too slow")

    def save(net):
        with suppress(TimeoutError):
            net.save(tmp_path / "net.cbp")

    before = len(os.listdir("/proc/self/fd"))
    for _ in moments(dense, save, act):
        assert len(os.listdir("/proc/self/fd")) == before


def test_a_handler_whose_own_save_is_refused(alarm, tmp_path, monkeypatch):
    """That OSError is the system's, but of another file."""
    real, ring = os.fchmod, alarm(saving)

    def slow(*arguments):
        real(*arguments)
        ring()

    net = dense()
    net.save(tmp_path / "net.cbp")
    monkeypatch.setattr(os, "fchmod", slow)
    with pytest.raises(FileNotFoundError, match="the folder to save into does not exist: '/no/such/folder'"):
        net.save(tmp_path / "net.cbp")
    assert os.listdir(tmp_path) == ["net.cbp"]


@pytest.mark.parametrize("name", ["save", "fit", "fit with threads", "train_on_batch", "train_on_batch of states",
                                  "predict of states", "set_optimizer"])
def test_training_within_a_call_is_refused(name, tmp_path):
    """Which is not disturbed by that. Predictions are given, but for stateful layers."""
    make, function = CALLS[name]
    data = (SEQUENCES, ANSWERS) if make is stateful else (X, Y)

    def call(net):
        function(net, tmp_path / "net.cbp")

    right = make()
    call(right)
    refused = 0

    def act(net):
        nonlocal refused
        if not net._training.busy():
            return
        refused += 1
        for within in (lambda: net.fit(*data, epochs=1, batch_size=None), lambda: net.train_on_batch(*data),
                       lambda: net.set_optimizer("sgd"), lambda: net.set_vector(net.get_vector())):
            with pytest.raises(RuntimeError, match="in the middle of a call"):
                within()
        if name != "save":  # while it is copied other numbers may take the place of these
            with pytest.raises(RuntimeError, match="in the middle of a call"):
                net.publish(net.get_vector())
        if make is dense:
            assert np.isfinite(net.predict(X)).all()

    for net in moments(make, call, act):
        assert dumps(net) == dumps(right)
    assert refused


def test_a_full_stack():
    """A RecursionError at any depth leaves the network usable."""
    net = dense()

    def deeper(depth):
        return net.fit(X, Y, epochs=1, batch_size=8) if depth == 0 else deeper(depth - 1)

    ends = set()
    for depth in range(sys.getrecursionlimit() - 200, sys.getrecursionlimit()):
        try:
            deeper(depth)
            ends.add("trained")
        except RecursionError:
            ends.add("refused")
        assert not net._training.busy()
        assert np.isfinite(net.get_vector()).all()
    assert ends == {"trained", "refused"}
    net.fit(X, Y, epochs=1)


SCRIPTS = {
    "daemon threads at the end of the interpreter": """
        import threading, time
        import numpy as np, cbp
        X, y = np.random.rand(2000, 20), np.random.rand(2000, 3)
        for threads in (1, 3):
            net = cbp.mlp([20, 100, 3], seed=0)
            threading.Thread(target=net.fit, args=(X, y), kwargs={"epochs": 10**9, "threads": threads}, daemon=True).start()
            while not net.step:
                time.sleep(0.001)
    """,
    "a subinterpreter": """
        import cbp
        try:
            import _xxsubinterpreters as interpreters
        except ImportError:
            import _interpreters as interpreters
        code = "try: import cbp\\nexcept ImportError: pass\\nelse: raise SystemExit('twice')"
        interpreters.run_string(interpreters.create(), code)
        assert cbp.mlp([2, 1], seed=0).predict([[1.0, 2.0]]).shape == (1, 1)
    """,
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_end_and_a_second_interpreter(script):
    """Neither hangs nor crashes."""
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", textwrap.dedent(SCRIPTS[script])], capture_output=True,
                            text=True, timeout=300, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
