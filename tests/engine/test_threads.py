"""Threads: the same bits for every number of them, and nothing left behind."""

import _thread
import signal
import threading
import time

import numpy as np
import pytest
from cases import OPTIMIZERS, targets
from facts import LOSSES

import cbp
from cbp.engine import arrays, team
from cbp.engine.runner import Runner, measure
from cbp.engine.team import Crew, Tempo

COUNTS = [2, 3, 4, 7]


def numbers(net):
    """Everything that training changed."""
    state = [view for slot in net.optimizer_state.values() for view in slot.values()]
    return [*net.parameters.values(), *state]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(numbers(one), numbers(other), strict=True))


def trained(threads, make, X, y, **settings):
    net = make()
    history = net.fit(X, y, threads=threads, **settings)
    return net, {name: curve for name, curve in history.items() if name != "seconds"}


def check_same_bits(make, X, y, counts=COUNTS, **settings):
    reference, curves = trained(1, make, X, y, **settings)
    assert np.isfinite(curves["loss"]).all()
    for threads in counts:
        net, found = trained(threads, make, X, y, **settings)
        assert same(net, reference), threads
        for name, curve in curves.items():
            assert np.array_equal(found[name], curve), (threads, name)


def classes(rows, inputs, outputs, seed=0):
    draws = np.random.default_rng(seed)
    return draws.standard_normal((rows, inputs)), draws.integers(0, outputs, rows)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 16, 61, None])
@pytest.mark.parametrize("sizes", [[3, 2], [5, 37, 3], [40, 24, 50, 4]], ids=str)
def test_any_number_of_threads_gives_the_same_bits(sizes, batch_size, dtype):
    X, y = classes(150, sizes[0], sizes[-1])
    check_same_bits(lambda: cbp.mlp(sizes, output="softmax", seed=3, dtype=dtype, l1=1e-4, l2=1e-3), X, y,
                    epochs=3, batch_size=batch_size, optimizer=cbp.Adam(1e-2))


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_gives_the_same_bits(optimizer):
    X, y = classes(100, 20, 3)
    check_same_bits(lambda: cbp.mlp([20, 33, 3], output="softmax", seed=3), X, y, epochs=3, batch_size=32, optimizer=optimizer)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_gives_the_same_bits(loss):
    draws = np.random.default_rng(1)
    X = draws.standard_normal((90, 6))
    y, output = targets(loss, draws, 90, 5), LOSSES[loss].output
    check_same_bits(lambda: cbp.mlp([6, 18, 5], hidden="tanh", output=output, loss=loss, seed=3), X, y, epochs=3, batch_size=24,
                    sample_weight=draws.integers(0, 3, 90), validation_data=(X[:50], y[:50]))


def test_a_batch_in_pieces_gives_the_same_bits():
    X, y = classes(3000, 9, 3)
    check_same_bits(lambda: cbp.mlp([9, 33, 3], output="softmax", seed=3), X, y, epochs=2, batch_size=2500)


def test_a_large_network_gives_the_same_bits():
    X, y = classes(200, 300, 10)
    check_same_bits(lambda: cbp.mlp([300, 260, 150, 10], output="softmax", seed=3), X, y, epochs=2, batch_size=64)


def test_every_batch_size_gives_the_same_bits():
    """However the rows divide among the threads, none is done twice and none beyond the last."""
    X, y = classes(41, 5, 3)
    for batch_size in range(1, 42):
        check_same_bits(lambda: cbp.mlp([5, 7, 3], output="softmax", seed=3), X, y, counts=[2, 3, 5, 9], epochs=4,
                        batch_size=batch_size)


def test_more_threads_than_rows_and_weights():
    X, y = classes(4, 1, 2)
    check_same_bits(lambda: cbp.mlp([1, 1, 2], output="softmax", seed=3), X, y, counts=[40], epochs=5, batch_size=2)


def test_a_divergence_and_the_way_back_are_the_same():
    X, y = classes(60, 3, 2)
    found = []
    for threads in (1, 3):
        net = cbp.mlp([3, 2], seed=1)
        with pytest.raises(cbp.DivergedError) as caught:
            net.fit(X, np.stack([y, 1 - y], axis=1), epochs=500, batch_size=7, optimizer=cbp.SGD(2.5), threads=threads)
        found.append((net, caught.value.history.loss))
    assert same(found[0][0], found[1][0])
    assert np.array_equal(found[0][1], found[1][1])


def ended(before):
    """Whether the threads are gone, at the latest in some seconds: they leave the core at once, and then need the GIL."""
    deadline = time.monotonic() + 20
    while _thread._count() > before and time.monotonic() < deadline:
        time.sleep(0.001)
    return _thread._count() <= before


def test_threads_end_with_the_run():
    before = _thread._count()
    X, y = classes(60, 3, 2)
    net = cbp.mlp([3, 2], output="softmax", seed=1)
    net.fit(X, y, threads=4, epochs=2)
    assert ended(before)
    with pytest.raises(cbp.DivergedError):
        cbp.mlp([3, 2], seed=1).fit(X * 1e9, X[:, :2], epochs=9, optimizer=cbp.SGD(1e30), threads=4)
    assert ended(before)


def test_members_that_sleep_are_woken():
    """Between two slices a caller may be away for long: the members then sleep."""
    crew = Crew(3)
    with crew.guard:
        crew.start()
        net = cbp.mlp([3, 8, 2], output="softmax", seed=1)
        X, y = classes(60, 3, 2)
        data = arrays.data(net._model.form, X, y, None)
        for _ in range(5):
            time.sleep(0.02)
            Runner(net._model, data, mode="evaluate", crew=crew).epochs(1)
    reference = cbp.mlp([3, 8, 2], output="softmax", seed=1)
    assert measure(net._model, data) == reference.evaluate(X, y)


def test_several_networks_train_at_once_with_teams_of_their_own():
    X, y = classes(400, 12, 3)

    def make():
        return cbp.mlp([12, 30, 3], output="softmax", seed=2)

    reference = make()
    reference.fit(X, y, epochs=5)
    nets = [make() for _ in range(4)]
    threads = [threading.Thread(target=net.fit, args=(X, y), kwargs={"epochs": 5, "threads": 3}) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(same(net, reference) for net in nets)


def test_a_thread_that_cannot_start_stops_the_others(monkeypatch):
    start = _thread.start_new_thread

    def third_fails(work, arguments):
        if arguments == (3,):
            raise RuntimeError("can't start new thread")
        start(work, arguments)

    monkeypatch.setattr(_thread, "start_new_thread", third_fails)
    before = _thread._count()
    X, y = classes(60, 3, 2)
    net = cbp.mlp([3, 2], output="softmax", seed=1)
    vector = net.get_vector()
    with pytest.raises(RuntimeError, match="can't start"):
        net.fit(X, y, threads=4)
    assert ended(before)
    assert np.array_equal(net.get_vector(), vector)
    monkeypatch.undo()
    net.fit(X, y, threads=4)


@pytest.mark.parametrize(("threads", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError), ("all", ValueError),
                                                (None, TypeError), (True, TypeError), (2000, ValueError)])
def test_wrong_threads(threads, error):
    net = cbp.mlp([3, 2], output="softmax", seed=1)
    X, y = classes(60, 3, 2)
    with pytest.raises(error, match=r"threads must be a whole number (of at least 1|below 257)"):
        net.fit(X, y, threads=threads)
    assert net.optimizer is None


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers")
@pytest.mark.parametrize("threads", [1, 3])
def test_an_interrupt_at_any_moment_leaves_no_lock_and_no_thread(threads):
    X, y = classes(8, 3, 2)
    net = cbp.mlp([3, 5, 2], output="softmax", seed=1)
    net.fit(X, y, epochs=2, threads=threads)
    before = _thread._count()
    handler = signal.signal(signal.SIGALRM, signal.default_int_handler)
    interrupted, latest = 0, 1e-3  # seconds: follows the machine, so that about two runs in five are interrupted
    try:
        for moment in np.random.default_rng(0).random(3000):
            if interrupted == 100:
                break
            try:
                try:
                    signal.setitimer(signal.ITIMER_REAL, 1e-6 + moment * latest)
                    net.fit(X, y, epochs=2, threads=threads)
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                latest *= 0.97
            except KeyboardInterrupt:
                interrupted += 1
                latest *= 1.05
            try:
                net.fit(X, y, epochs=1)
            except KeyboardInterrupt:  # the signal came while the timer was stopped
                net.fit(X, y, epochs=1)
    finally:
        signal.signal(signal.SIGALRM, handler)
    assert interrupted == 100
    assert ended(before)


# --- "auto" -------------------------------------------------------------------------------------------------------------------


def test_auto_gives_the_same_bits():
    X, y = classes(600, 300, 10)
    check_same_bits(lambda: cbp.mlp([300, 260, 150, 10], output="softmax", seed=3), X, y, counts=["auto"], epochs=20,
                    batch_size=64)


def test_auto_starts_no_threads_for_short_steps_or_short_runs(monkeypatch):
    monkeypatch.setattr(team, "cores", lambda: 8)
    for step, run in [(20e-6, 100), (1e-3, 2e-3), (0, 0)]:
        crew = Crew("auto", step=step, run=run)
        assert crew.threads == 1
        assert crew.team is None
    assert Crew("auto", step=150e-6, run=1).threads == 3
    assert Crew("auto", step=1, run=10).threads == 8
    monkeypatch.setattr(team, "cores", lambda: 1000)
    assert Crew("auto", step=1, run=10).threads == 256


def test_auto_does_without_threads_that_cannot_start(monkeypatch):
    def fails(work, arguments):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(team, "LEAST_RUN", 0.0)
    monkeypatch.setattr(team, "LEAST_STEP", 1e-9)
    monkeypatch.setattr(_thread, "start_new_thread", fails)
    X, y = classes(100, 5, 3)
    check_same_bits(lambda: cbp.mlp([5, 7, 3], output="softmax", seed=3), X, y, counts=["auto"], epochs=2)


def run_tempo(tempo, speedup, seconds):
    """Let a machine work by the tempo, on which a team is `speedup` times as fast; the share of time spent together."""
    together = passed = 0.0
    while passed < seconds:
        slice_ = tempo.patience(0.05)
        rows = slice_ * 1000 * (speedup(passed) if tempo.together else 1)
        together += slice_ * tempo.together
        tempo.measured(rows, slice_)
        passed += slice_
    return together / seconds


@pytest.mark.parametrize(("speedup", "least", "most"), [(3.0, 0.95, 1), (1.01, 0, 0.03), (0.2, 0, 0.03)])
def test_tempo_finds_what_is_faster(speedup, least, most):
    assert least <= run_tempo(Tempo(), lambda passed: speedup, 10) <= most


def test_tempo_adds_up_short_slices():
    tempo = Tempo()
    for _ in range(100000):
        rows = 0.3 * (3 if tempo.together else 1)
        tempo.measured(rows, 0.0003)
    assert tempo.together


def test_validation_does_not_count_as_a_measurement(monkeypatch):
    monkeypatch.setattr(team, "cores", lambda: 2)
    monkeypatch.setattr(team, "LEAST_RUN", 0.0)
    monkeypatch.setattr(team, "LEAST_STEP", 1e-9)
    measured = []
    monkeypatch.setattr(Tempo, "measured", lambda tempo, rows, seconds: measured.append(rows))
    X, y = classes(100, 5, 3)
    net = cbp.mlp([5, 7, 3], output="softmax", seed=3)
    net.fit(X, y, epochs=4, batch_size=50, threads="auto", validation_data=(X, y))
    assert sum(measured) == 400


def test_tempo_changes_its_mind_when_the_machine_gets_busy():
    share = run_tempo(Tempo(), lambda passed: 3.0 if passed < 5 else 0.1, 10)
    assert 0.45 < share < 0.65
