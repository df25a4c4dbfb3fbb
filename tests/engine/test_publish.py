"""What threads may do beside each other, sentence by sentence as ``docs/threads.md`` has it."""

import copy
import pickle
import sys
import threading
import time

import numpy as np
import pytest
from cases import trained_elsewhere

import cbp
from cbp.engine import runner

RNG = np.random.default_rng(0)
SECONDS = 0.3


@pytest.fixture(autouse=True)
def _many_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def large():
    return cbp.mlp([1, 128, 128, 1], hidden="tanh", seed=0)


def normalised():
    return cbp.Network(4, [cbp.Dense(32, "tanh"), cbp.BatchNorm(), cbp.Dense(8), cbp.BatchNorm(), cbp.Dense(2)], loss="huber",
                       seed=0)


def moments(net, rng):
    """Parameters and statistics, all different."""
    parameters = {name: rng.normal(size=array.shape) for name, array in net.parameters.items()}
    statistics = {name: rng.uniform(0.5, 2, size=array.shape) for name, array in net.statistics.items()}
    return parameters, statistics


X1 = np.linspace(-1, 1, 3000)[:, None].astype("float32")
X4 = RNG.normal(size=(3000, 4)).astype("float32")
QUESTIONS = {
    "predict_one": (large, lambda net: net.predict_one([0.3])),
    "a few rows": (large, lambda net: net.predict(X1[:8])),
    "without the GIL": (large, lambda net: net.predict(X1[:40])),
    "many slices": (large, lambda net: net.predict(X1)),
    "statistics": (normalised, lambda net: net.predict(X4[:50])),
    "statistics, one row": (normalised, lambda net: net.predict_one(X4[0])),
    "statistics, many slices": (normalised, lambda net: net.predict(X4)),
    "evaluate": (normalised, lambda net: np.array(list(net.evaluate(X4[:50], X4[:50, :2]).values()))),
    "gradient": (normalised, lambda net: net.gradient(X4[:50], X4[:50, :2])[1]),
    "backward": (normalised, lambda net: net.backward(X4[:50], X4[:50, :2])[0]),
    "vector": (large, lambda net: net.get_vector()),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_readers_see_whole_vectors(question, monkeypatch):
    if "slices" in question:
        monkeypatch.setattr(runner, "PATIENCE", 0.0)
    make, ask = QUESTIONS[question]
    net, rng = make(), np.random.default_rng(1)
    assert make is not large or len(net.get_vector()) == 16_897
    published = [moments(net, rng) for _ in range(3)]
    expected = set()
    for each in published:
        net.publish(*each)
        expected.add(ask(net).tobytes())
    assert len(expected) == 3
    torn, answers, problems, stop = [], [], [], threading.Event()

    def read():
        try:
            while not stop.is_set():
                answer = ask(net).tobytes()
                answers.append(answer)
                if answer not in expected:
                    torn.append(answer)
        except BaseException as problem:
            problems.append(problem)

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    end, count = time.monotonic() + SECONDS, 0
    while time.monotonic() < end or count < 30 or (len(answers) < 10 and not problems):  # however slow the machine is
        net.publish(*published[count % 3])
        count += 1
    stop.set()
    for reader in readers:
        reader.join()
    assert (problems, len(torn)) == ([], 0)
    assert len(answers) > 3


def test_step_by_step_follows_what_is_published():
    net = cbp.Network((5, 2), [cbp.GRU(4, return_sequences=True), cbp.Dense(2)], loss="huber", seed=0)
    x = np.ones((5, 2))
    net.predict_step(x[0])
    net.reset_state()
    net.publish(net.get_vector() * 2)
    assert np.array_equal([net.predict_step(step) for step in x], net.predict(x[None])[0])


def test_what_is_published_is_trained_on():
    """Also straight in the core, which keeps arrays from call to call; optimizer, state and counters stay."""
    nets = [cbp.mlp([3, 8, 2], seed=0) for _ in range(2)]
    X, y = RNG.normal(size=(4, 3)), RNG.normal(size=(4, 2))
    for net in nets:
        for _ in range(3):
            net.train_on_batch(X, y)
    vector, before = RNG.normal(size=len(nets[0].get_vector())), nets[0].get_vector()
    view, named = nets[0].parameters["0.weight"], nets[0].parameters
    nets[0].publish(vector)
    nets[1].set_vector(vector)
    assert np.array_equal(view.ravel(), before[:24])
    assert np.array_equal(named["0.weight"], view)
    assert np.array_equal(nets[0].parameters["0.weight"].ravel(), vector[:24].astype("float32"))
    for _ in range(3):
        assert nets[0].train_on_batch(X, y) == nets[1].train_on_batch(X, y)
    assert nets[0].fit(X, y, epochs=2).loss.tolist() == nets[1].fit(X, y, epochs=2).loss.tolist()
    assert [net.step for net in nets] == [8, 8]
    assert nets[0].get_vector().tobytes() == nets[1].get_vector().tobytes()
    assert pickle.dumps(nets[0]) == pickle.dumps(nets[1])
    view[...] = 0
    assert nets[0].get_vector().tobytes() == nets[1].get_vector().tobytes()


@pytest.mark.parametrize(("parameters", "statistics", "error", "words"), [
    ([1.0, 2.0], None, ValueError, "parameters must have the shape"),
    (None, None, TypeError, "parameters must"),
    ({}, None, ValueError, "parameters lacks 0.weight"),
    (np.full(526, np.nan), None, ValueError, "finite"),
    ("good", {}, ValueError, "statistics lacks 1.mean"),
    ("good", [1], TypeError, "statistics must be a mapping"),
    ("good", "negative", ValueError, "at least 0"),
])  # fmt: skip
def test_what_cannot_be_published(parameters, statistics, error, words):
    net = normalised()
    good, measured = moments(net, RNG)
    before = pickle.dumps(net)
    if statistics == "negative":
        statistics = {name: -array for name, array in measured.items()}
    if isinstance(parameters, np.ndarray):
        parameters = np.full(len(net.get_vector()), np.nan)
    with pytest.raises(error, match=words):
        net.publish(good if isinstance(parameters, str) else parameters, statistics)
    assert pickle.dumps(net) == before


# --- what else the page says --------------------------------------------------------------------------------------


def beside(net, work, ask, seconds=0.15):
    """Ask in two threads while this one works; what was answered and what went wrong."""
    answers, problems, stop = [], [], threading.Event()

    def read():
        while not stop.is_set():
            try:
                answers.append(ask(net))
            except Exception as problem:
                problems.append(problem)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        work(net)
    stop.set()
    for reader in readers:
        reader.join()
    return answers, problems


@pytest.mark.parametrize("question", QUESTIONS)
def test_asking_beside_asking(question):
    make, ask = QUESTIONS[question]
    net = make()
    expected = ask(net).tobytes()
    answers, problems = beside(net, ask, ask)
    assert problems == []
    assert {answer.tobytes() for answer in answers} == {expected}


CHANGES = {
    "fit": lambda net: net.fit(X1[:256], X1[:256], epochs=1),
    "train_on_batch": lambda net: net.train_on_batch(X1[:8], X1[:8, 0]),
    "set_vector": lambda net: net.set_vector(net.get_vector()),
    "assignment": lambda net: setattr(net, "parameters", net.parameters),
    "a view": lambda net: net.parameters["0.weight"].__imul__(1.0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_asking_while_numbers_change_breaks_nothing(change):
    answers, problems = beside(large(), CHANGES[change], lambda net: net.predict(X1[:40]))
    assert problems == []
    assert all(np.isfinite(answer).all() and len(answer) == 40 for answer in answers)


WRITERS = {
    "fit": lambda net: net.fit(X1[:9], X1[:9], epochs=1),
    "train_on_batch": lambda net: net.train_on_batch(X1[:8], X1[:8]),
    "set_optimizer": lambda net: net.set_optimizer("adam"),
    "set_vector": lambda net: net.set_vector(net.get_vector() * 2),
    "assignment": lambda net: setattr(net, "parameters", {name: array * 2 for name, array in net.parameters.items()}),
    "publish": lambda net: net.publish(net.get_vector() * 2),
}
KEEPERS = {"snapshot": cbp.Network.snapshot, "deepcopy": copy.deepcopy, "pickle": pickle.dumps}


@pytest.mark.parametrize("name", WRITERS | KEEPERS)
def test_refused_while_another_thread_trains(name):
    net = large()
    net.train_on_batch(X1[:8], X1[:8])
    before = pickle.dumps(net)
    with trained_elsewhere(net), pytest.raises(RuntimeError, match="another thread"):
        (WRITERS | KEEPERS)[name](net)
    assert net.get_vector().tobytes() == pickle.loads(before).get_vector().tobytes()
    assert net.step == 1


@pytest.mark.parametrize("name", KEEPERS)
def test_keeping_beside_keeping(name):
    net = large()
    net.train_on_batch(X1[:8], X1[:8])
    answers, problems = beside(net, KEEPERS[name], KEEPERS[name])
    assert problems == []
    assert answers


def test_publishing_beside_keeping():
    answers, problems = beside(large(), lambda net: net.publish(net.get_vector()), copy.deepcopy)
    assert problems == []
    assert answers


def test_stateful_layers_take_one_call_at_a_time():
    net = cbp.Network((200, 1), [cbp.LSTM(32, stateful=True), cbp.Dense(1)], loss="huber", seed=0)
    x = np.ones((200, 200, 1))
    answers, problems = beside(net, lambda net: time.sleep(0.01), lambda net: net.predict(x))
    assert answers
    assert {type(problem) for problem in problems} <= {RuntimeError}


def test_two_calls_that_publish_leave_the_numbers_of_one():
    net, rng = normalised(), np.random.default_rng(1)
    sets = [moments(net, rng) for _ in range(2)]
    wanted = []
    for parameters, statistics in sets:
        net.publish(parameters, statistics)
        wanted.append(net.predict_one(X4[0]).tobytes())
    threads = [threading.Thread(target=lambda numbers=numbers: [net.publish(*numbers) for _ in range(200)]) for numbers in sets]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert net.predict_one(X4[0]).tobytes() in wanted
    for thread in threads:
        thread.join()
    assert net.predict_one(X4[0]).tobytes() in wanted
