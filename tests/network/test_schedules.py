"""Schedules: their formulas, what is refused, and that training under one is training at its rates by hand."""

import copy
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
from cases import ALL_OPTIMIZERS, dumps, loads, network

import cbp
from cbp import schedules as of
from cbp.schedules import SCHEDULES, description, from_description

RNG = np.random.default_rng(5)
X, Y = RNG.normal(size=(22, 4)), RNG.normal(size=(22, 3))
EXAMPLES = {
    "constant": of.Constant(0.05), "exponential moving average": of.ExponentialMovingAverage(0.1, 0.01, 0.8),
    "exponential decay": of.ExponentialDecay(0.1, 0.5, every=3), "staircase": of.ExponentialDecay(0.1, 0.5, 3, staircase=True),
    "inverse scaling": of.InverseScaling(0.1, 0.7), "steps": of.Steps(0.1, 0.3, at=[2, 5]),
    "polynomial": of.Polynomial(0.1, 0.02, steps=7, power=2), "cosine": of.Cosine(0.1, 0.01, steps=6),
    "restarts": of.Cosine(0.1, steps=3, restarts=1), "longer restarts": of.Cosine(0.1, steps=2, restarts=2),
    "one cycle": of.OneCycle(0.1, steps=9), "warm up": of.WarmUp(3, of.Cosine(0.1, steps=5)),
    "sequence": of.Sequence([0.05, of.Polynomial(0.1, 0.0, steps=4), of.Constant(0.01)], at=[2, 6]),
    "sum": of.Cosine(0.1, steps=5) + 0.01,
    "nested": of.WarmUp(2, of.Sum([of.Constant(0.01), of.Sequence([0.1, 0.05], at=[3])])),
}
FORMULAS = {
    "constant": lambda t: 0.05, "exponential moving average": lambda t: 0.01 + 0.09 * 0.8**t,
    "exponential decay": lambda t: 0.1 * 0.5 ** (t / 3), "staircase": lambda t: 0.1 * 0.5 ** (t // 3),
    "inverse scaling": lambda t: 0.1 / (t + 1) ** 0.7, "steps": lambda t: 0.1 * 0.3 ** ((t >= 2) + (t >= 5)),
    "polynomial": lambda t: 0.02 + 0.08 * (1 - min(t, 7) / 7) ** 2,
    "cosine": lambda t: 0.01 + 0.09 * (1 + math.cos(math.pi * min(t, 6) / 6)) / 2,
    "restarts": lambda t: 0.1 * (1 + math.cos(math.pi * (t % 3) / 3)) / 2,
    "warm up": lambda t: 0.1 * (t + 1) / 4 if t < 3 else 0.1 * (1 + math.cos(math.pi * min(t - 3, 5) / 5)) / 2,
    "sequence": lambda t: 0.05 if t < 2 else 0.1 * (1 - (t - 2) / 4) if t < 6 else 0.01,
    "sum": lambda t: 0.01 + 0.1 * (1 + math.cos(math.pi * min(t, 5) / 5)) / 2,
    "nested": lambda t: [0.11 / 3, 0.22 / 3][t] if t < 2 else 0.11 if t < 5 else 0.06,
}


def with_rate(optimizer, rate):
    return replace(optimizer, rate=rate)


# --- their rates --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FORMULAS)
def test_rates_are_those_of_the_formula(name):
    expected = [FORMULAS[name](t) for t in range(30)]
    np.testing.assert_allclose(EXAMPLES[name].rates(0, 30), expected, rtol=1e-12, atol=1e-17)


def test_every_schedule_is_tried():
    def kinds(schedule):
        yield type(schedule)
        for part in getattr(schedule, "_parts", ()):
            yield from kinds(part)
    tried = {kind for schedule in EXAMPLES.values() for kind in kinds(schedule)}
    assert tried | {of.Function} == set(SCHEDULES.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_rate_is_the_same_in_any_company(name):
    schedule = EXAMPLES[name]
    together = schedule.rates(0, 40)
    for first in 0, 1, 7, 33:
        np.testing.assert_array_equal(schedule.rates(first, 40 - first), together[first:])
    assert [schedule(t) for t in range(40)] == together.tolist()
    assert len(schedule.rates(5, 0)) == 0


def test_an_average_is_the_recursion():
    rate, schedule = 0.1, of.ExponentialMovingAverage(0.1, 0.01, 0.9)
    for t in range(200):
        assert schedule(t) == pytest.approx(rate, rel=1e-12)
        rate = 0.9 * rate + (1 - 0.9) * 0.01


def test_restarts_grow():
    starts = [t for t in range(40) if EXAMPLES["longer restarts"](t) == 0.1]
    assert starts == [0, 2, 6, 14, 30]


def test_far_away():
    for schedule in EXAMPLES.values():
        assert np.isfinite(schedule.rates(10**9, 3)).all()


@pytest.mark.parametrize("name", EXAMPLES)
def test_written_copied_and_in_files(name):
    schedule = EXAMPLES[name]
    names = {kind.__name__: kind for kind in SCHEDULES.values()}
    assert eval(repr(schedule), names) == schedule
    for other in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule)), from_description(description(schedule))):
        assert other == schedule
        assert hash(other) == hash(schedule)


# --- what is refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "error", "words"), [
    (lambda: of.Constant(-1), ValueError, "rate"), (lambda: of.Constant(math.inf), ValueError, "rate"),
    (lambda: of.ExponentialMovingAverage(0.1, 0.01, 1.1), ValueError, "decay"),
    (lambda: of.ExponentialDecay(0.1, 0), ValueError, "factor"),
    (lambda: of.ExponentialDecay(0.1, 0.5, 0), ValueError, "every"),
    (lambda: of.InverseScaling(0.1, -1), ValueError, "power"), (lambda: of.Steps(0.1, 0.5, at=[3, 3]), ValueError, "must grow"),
    (lambda: of.Steps(0.1, 0.5, at=3), TypeError, "at must be a list"),
    (lambda: of.Steps(0.1, 0.5, at=[0]), ValueError, r"at\[0\]"),
    (lambda: of.Polynomial(0.1, 0.0, steps=0), ValueError, "steps"), (lambda: of.Cosine(0.1, steps=2.5), TypeError, "steps"),
    (lambda: of.Cosine(0.1, steps=5, restarts=-1), ValueError, "restarts"), (lambda: of.OneCycle(0.1, 1), ValueError, "steps"),
    (lambda: of.OneCycle(0.1, 10, rising=1.0), ValueError, "rising"), (lambda: of.WarmUp(0, 0.1), ValueError, "steps"),
    (lambda: of.WarmUp(3, "a"), TypeError, "then"), (lambda: of.Sequence([], at=[]), TypeError, "schedules"),
    (lambda: of.Sequence([0.1, 0.2], at=[]), ValueError, "at must have a place"),
    (lambda: of.Cosine(0.1, steps=5, per="batch"), ValueError, "per must be"),
    (lambda: of.Sum([of.Cosine(0.1, steps=5), of.Cosine(0.1, steps=5, per="epoch")]), ValueError, "count the same"),
    (lambda: of.Schedule(), TypeError, "take one of them"), (lambda: of.get(of.Cosine), TypeError, "build one"),
    (lambda: of.Constant(0.1)(-1), ValueError, "place"), (lambda: of.Function(3), TypeError, "function"),
    (lambda: of.Cosine(0.1, T_max=5), TypeError, "Cosine takes"), (lambda: cbp.Adam("cosine"), TypeError, "rate"),
    (lambda: cbp.Adam(of.Cosine), TypeError, "build one"),
])
def test_what_is_no_schedule(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_one_of_a_class_of_ones_own_is_refused():
    class Mine(of.Constant):
        pass
    with pytest.raises(TypeError, match="class of your own"):
        cbp.SGD(Mine(0.1))


def deep(depth):
    schedule = of.Constant(0.1)
    for _ in range(depth):
        schedule = of.Sum([schedule])
    return schedule


def test_how_deep():
    assert deep(15)(3) == 0.1
    with pytest.raises(ValueError, match="16 deep"):
        deep(16)


@pytest.mark.parametrize("described", [
    None, 1, [], {}, {"name": "nope"}, {"name": 3}, {"name": "constant"}, {"name": "constant", "rate": 0.1},
    {"name": "constant", "rate": 0.1, "per": "step", "more": 1}, {"name": "constant", "rate": -1, "per": "step"},
    {"name": "constant", "rate": "0.1", "per": "step"}, {"name": "constant", "rate": True, "per": "step"},
    {"name": "sum", "schedules": []}, {"name": "sum", "schedules": [[]]}, {"name": "sum", "schedules": "abc"},
    {"name": "steps", "start": 0.1, "factor": 0.5, "at": list(range(1, 10_002)), "per": "step"},
    {"name": "warm_up", "steps": 10**30, "then": {"name": "constant", "rate": 0.1, "per": "step"}},
    {"name": "function", "per": "step", "function": "os.system"},
])
def test_a_description_in_a_file_that_is_none(described):
    with pytest.raises(ValueError, match=r"\w"):
        from_description(described)


def test_a_description_that_nests_too_deep():
    described = {"name": "constant", "rate": 0.1, "per": "step"}
    for _ in range(1000):
        described = {"name": "sum", "schedules": [described]}
    with pytest.raises(ValueError, match="within one another"):
        from_description(described)


# --- training at them ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_an_epoch_under_a_schedule_is_batches_at_its_rates(name, dtype):
    net, other = network(dtype=dtype), network(dtype=dtype)
    net.fit(X, Y, epochs=3, batch_size=5, shuffle=False, optimizer=cbp.SGD(EXAMPLES[name], momentum=0.9))
    for t in range(15):
        rate = EXAMPLES[name](t) or 1e-320
        rows = slice(t % 5 * 5, t % 5 * 5 + 5)
        other.train_on_batch(X[rows], Y[rows], optimizer=cbp.SGD(rate, momentum=0.9))
    np.testing.assert_allclose(net.get_vector(), other.get_vector(), rtol=1e-12 if dtype == "float64" else 1e-5)
    assert net.step == 15


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
@pytest.mark.parametrize("per", ["step", "epoch"])
def test_epochs_under_a_schedule_are_epochs_at_its_rates(name, per):
    schedule = of.ExponentialDecay(0.05, 0.7, per=per)
    net, other = network(), network()
    history = net.fit(X, Y, epochs=5, batch_size=None, optimizer=with_rate(ALL_OPTIMIZERS[name], schedule))
    for t in range(5):
        other.fit(X, Y, epochs=1, batch_size=None, optimizer=with_rate(ALL_OPTIMIZERS[name], schedule(t)))
    np.testing.assert_array_equal(net.get_vector(), other.get_vector())
    np.testing.assert_array_equal(history.rate, schedule.rates(0, 5))


def test_per_epoch_all_batches_have_one_rate():
    schedule = of.Steps(0.1, 0.5, at=[1, 2], per="epoch")
    net, other = network(), network()
    net.fit(X, Y, epochs=4, batch_size=4, optimizer=cbp.Adam(schedule))
    for epoch in range(4):
        other.fit(X, Y, epochs=1, batch_size=4, optimizer=cbp.Adam(schedule(epoch)))
    np.testing.assert_array_equal(net.get_vector(), other.get_vector())


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("call", ["train_on_batch", "apply_gradient"])
def test_single_updates_have_the_rates_of_their_steps(call, per):
    schedule = of.WarmUp(2, of.Cosine(0.1, steps=6, per=per))
    net, other, gradient = network(), network(), np.linspace(-1, 1, 55)
    for t in range(10):
        rate = schedule(t if per == "step" else 0) or 1e-320
        for each, optimizer in (net, cbp.Adam(schedule)), (other, cbp.Adam(rate)):
            if call == "train_on_batch":
                each.train_on_batch(X[:3], Y[:3], optimizer=optimizer)
            else:
                each.apply_gradient(gradient, optimizer)
    np.testing.assert_allclose(net.get_vector(), other.get_vector(), rtol=1e-13)


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("name", ["one cycle", "warm up", "sequence"])
def test_a_run_in_parts_in_files_in_threads_has_the_same_bits(name, per):
    schedule = EXAMPLES[name] if per == "step" else {
        "one cycle": of.OneCycle(0.1, steps=9, per="epoch"), "warm up": of.WarmUp(3, of.Cosine(0.1, steps=5, per="epoch")),
        "sequence": of.Sequence([0.05, of.Polynomial(0.1, 0.0, steps=4, per="epoch")], at=[2]),
    }[name]
    nets = [network(dtype="float32") for _ in range(3)]
    for net in nets:
        net.fit(X, Y, epochs=1, optimizer="adagrad")  # the optimizer to come begins in the second epoch
    whole, parts, threads = nets
    whole.fit(X, Y, epochs=9, batch_size=6, accumulate=2, optimizer=cbp.Adam(schedule))
    threads.fit(X, Y, epochs=9, batch_size=6, accumulate=2, optimizer=cbp.Adam(schedule), threads=3)
    parts.fit(X, Y, epochs=4, batch_size=6, accumulate=2, optimizer=cbp.Adam(schedule))
    parts = loads(dumps(parts))
    parts.fit(X, Y, epochs=5, batch_size=6, accumulate=2)
    assert dumps(whole) == dumps(parts) == dumps(threads)


def test_another_schedule_keeps_the_state_and_the_step():
    net = network()
    net.fit(X, Y, epochs=2, batch_size=11, optimizer=cbp.Adam(of.Constant(0.01)))
    mean = net.optimizer_state["mean"]["0.weight"].copy()
    net.fit(X, Y, epochs=0, optimizer=cbp.Adam(of.Cosine(0.1, steps=10)))
    np.testing.assert_array_equal(net.optimizer_state["mean"]["0.weight"], mean)
    assert net.fit(X, Y, epochs=1, batch_size=None).rate[0] == of.Cosine(0.1, steps=10)(4)


def test_a_rate_of_0_moves_nothing_but_the_state():
    net = network()
    before = net.get_vector()
    net.fit(X, Y, epochs=2, optimizer=cbp.SGD(of.Constant(0.0), momentum=0.9, weight_decay=0.1))
    np.testing.assert_array_equal(net.get_vector(), before)
    assert net.optimizer_state["velocity"]["0.weight"].any()


def test_a_trace_shows_the_rate_of_its_step():
    net = network()
    schedule = of.Steps(0.5, 0.5, at=[3])
    for _ in range(3):
        net.train_on_batch(X[:1], Y[:1], optimizer=cbp.SGD(schedule))
    traced = net.trace(X[0], Y[0])
    assert traced.optimizer.rate == 0.25
    net.train_on_batch(X[:1], Y[:1])
    for parameter in traced.parameters:
        assert net.parameters[parameter.name][parameter.index] == pytest.approx(parameter.after, rel=1e-12)


def test_the_message_of_a_divergence_has_the_rate_of_its_step():
    net = network(dtype="float32")
    with pytest.raises(cbp.DivergedError, match=r"the rate is 1e\+38"):
        net.train_on_batch(X, Y * 1e20, optimizer=cbp.SGD(of.Constant(1e38)))


# --- functions ----------------------------------------------------------------------------------------------------------------


def halved(t):
    return 0.1 / 2**t


def test_a_function_is_asked_once_for_each_rate_in_order():
    asked = []

    def rate(t):
        asked.append(t)
        return 0.1 / (1 + t)
    net, other = network(), network()
    net.fit(X, Y, epochs=3, batch_size=8, optimizer=cbp.SGD(rate))
    other.fit(X, Y, epochs=3, batch_size=8, optimizer=cbp.SGD(of.InverseScaling(0.1, 1.0)))
    np.testing.assert_allclose(net.get_vector(), other.get_vector(), rtol=1e-13)
    assert asked == list(range(9))


@pytest.mark.parametrize(("function", "error"), [
    (lambda t: math.nan, ValueError), (lambda t: -1.0, ValueError), (lambda t: "a", TypeError), (lambda t: None, TypeError),
    (lambda t: 1 / 0, ZeroDivisionError), (lambda t: math.inf, ValueError),
])
def test_a_function_that_gives_no_rate(function, error):
    net = network()
    net.fit(X, Y, epochs=1, optimizer=cbp.SGD(0.1, momentum=0.5))
    before = dumps(net)
    for call in (lambda: net.fit(X, Y, epochs=2, optimizer=cbp.SGD(function, momentum=0.5)),
                 lambda: net.train_on_batch(X, Y, optimizer=cbp.SGD(function, momentum=0.5)),
                 lambda: net.apply_gradient(np.ones(55), cbp.SGD(function, momentum=0.5))):
        with pytest.raises(error):
            call()
        assert net.step == 1
        np.testing.assert_array_equal(net.get_vector(), loads(before).get_vector())


def test_copies_keep_a_function_and_files_say_what_is_missing(tmp_path):
    net = network()
    net.fit(X, Y, epochs=2, batch_size=None, optimizer=cbp.SGD(halved))
    for other in copy.deepcopy(net), copy.copy(net), pickle.loads(pickle.dumps(net)), cbp.Network.from_snapshot(net.snapshot()):
        assert other.optimizer == net.optimizer
        assert other.fit(X, Y, epochs=1, batch_size=None).rate[0] == halved(2)
    net.save(tmp_path / "net.cbp")
    loaded = cbp.load(tmp_path / "net.cbp")
    np.testing.assert_array_equal(loaded.predict(X), net.predict(X))
    before = dumps(loaded)
    with pytest.raises(ValueError, match="give it again"):
        loaded.fit(X, Y, epochs=1)
    assert dumps(loaded) == before
    assert loaded.fit(X, Y, epochs=1, batch_size=None, optimizer=cbp.SGD(halved)).rate[0] == halved(2)


class Kind(cbp.Network):
    pass


def test_a_class_of_ones_own_keeps_it_too():
    net = Kind(4, [cbp.Dense(1)], loss="mean_squared_error", seed=0)
    net.mine = 3
    net.fit(X, Y[:, :1], epochs=1, optimizer=cbp.SGD(halved))
    other = copy.deepcopy(net)
    assert (type(other), other.mine, other.optimizer) == (Kind, 3, net.optimizer)
