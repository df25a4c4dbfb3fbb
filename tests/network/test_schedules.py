"""Schedules: their rates, and that training follows them, update by update, whatever happens on the way."""

import copy
import functools
import json
import pickle
import subprocess
import sys
from dataclasses import fields, replace

import facts
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cbp
from cbp import modelfile, schedules
from cbp.engine import arrays, plan, rates, runner
from cbp.schedules import Cosine, ExponentialDecay, ExponentialMovingAverage, Function, Sequence, Steps, Sum, WarmUp

SCHEDULES = {name: schedule for row in facts.SCHEDULES.values() for name, schedule in row.plain.items()}
FORMULAS = {name: formula for row in facts.SCHEDULES.values() for name, formula in row.formulas.items()}
TORCH = {name: scheduler for row in facts.SCHEDULES.values() for name, scheduler in row.torch.items()}
FILED = {name: schedule for name, schedule in SCHEDULES.items() if not schedule.asks}
EPOCHS = {name: schedule for name, schedule in SCHEDULES.items() if "per" in {field.name for field in fields(schedule)}}
X = np.random.default_rng(0).normal(size=(21, 4))
Y = np.random.default_rng(1).normal(size=(21, 3))
STEPS = 6
"""Updates of an epoch of these in batches of 4."""


def half(t):
    """A function that can be pickled."""
    return 0.1 * 0.5**t


def by_epoch(schedule):
    return replace(schedule, per="epoch")


def network(**settings):
    return cbp.Network(4, [cbp.Dense(5, "tanh"), cbp.Dense(3)], loss="mean_squared_error", seed=3, **settings)


def recurrent():
    return cbp.Network((4, 1), [cbp.LSTM(3), cbp.Dropout(0.2), cbp.Dense(3)], loss="mean_squared_error", seed=3)


def convolutional():
    return cbp.Network((2, 2, 1), [cbp.Conv2D(3, 2, "relu", padding="same"), cbp.BatchNorm(), cbp.Flatten(), cbp.Dense(3)],
                       loss="mean_squared_error", seed=3)


def samples(net):
    return X.reshape(-1, *net.input_shape).astype(net.dtype)


def same(one, other):
    """Whether two networks have the same bits."""
    state = all((one.optimizer_state[slot][name] == array).all()
                for slot, arrays in other.optimizer_state.items() for name, array in arrays.items())
    return state and (one.get_vector() == other.get_vector()).all() and (one.step, one.epoch) == (other.step, other.epoch)


def number_or_zero(rate):
    """A rate as it is set by hand: one of 0 is possible for a schedule alone."""
    return rate or schedules.Constant(0)


# --- rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_those_of_the_formula(name):
    expected = [FORMULAS[name](t) for t in range(100)]
    np.testing.assert_allclose(SCHEDULES[name].rates(0, 100), expected, rtol=1e-13, atol=1e-17)


@pytest.mark.oracle
@pytest.mark.parametrize("name", TORCH)
def test_rates_are_those_of_pytorch(name):
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = TORCH[name](torch.optim.lr_scheduler, optimizer)
    theirs = []
    for _ in range(40):
        theirs.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(SCHEDULES[name].rates(0, 40), theirs, rtol=1e-11, atol=1e-14)


def test_inverse_scaling_is_that_of_scikit_learn():
    stochastic = pytest.importorskip("sklearn.neural_network._stochastic_optimizers")
    theirs = stochastic.SGDOptimizer([np.zeros(1)], 0.3, "invscaling", power_t=0.7)
    ours = schedules.InverseScaling(0.3, 0.7)
    for t in range(30):
        theirs.iteration_ends(t)  # the rate of what comes at this place
        assert theirs.learning_rate == pytest.approx(ours(t), rel=1e-14)


@pytest.mark.parametrize(("start", "end", "decay"), [(0.1, 0.001, 0.99), (0.0, 1.0, 0.5), (1.0, 0.0, 0.0), (3.0, 2.0, 1.0)])
def test_the_closed_form_is_the_moving_average(start, end, decay):
    rate = start
    for found in ExponentialMovingAverage(start, end, decay).rates(0, 3000):
        assert found == pytest.approx(rate, rel=1e-11, abs=1e-15)
        rate = decay * rate + (1 - decay) * end


@pytest.mark.parametrize("name", SCHEDULES)
@given(first=st.integers(0, 200), count=st.integers(0, 60))
def test_a_rate_is_the_same_in_any_company(name, first, count):
    schedule = SCHEDULES[name]
    rates = schedule.rates(first, count)
    assert rates.dtype == np.float64
    assert rates.tolist() == [schedule(t) for t in range(first, first + count)]


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_far_away(name):
    assert np.isfinite(SCHEDULES[name].rates(2**62, 3)).all()


@given(start=st.floats(0, 1e6), end=st.floats(0, 1e6), steps=st.integers(1, 2**40))
def test_ends_are_met_exactly(start, end, steps):
    for schedule in (Cosine(start, end, steps=steps), schedules.Polynomial(start, end, steps)):
        assert schedule(0) == start
        assert schedule(steps) == schedule(10 * steps) == end
    assert ExponentialMovingAverage(start, end, 0.5)(0) == start
    assert ExponentialMovingAverage(start, end, 0.5)(2000) == end


def test_what_is_added_is_one_sum():
    schedule = 0.1 + ExponentialDecay(0.1, 0.5) + 0.2
    for _ in range(40):
        schedule = schedule + 0.01
    assert len(schedule.schedules) == 43
    assert schedule.schedules[0] == schedules.Constant(0.1)
    assert schedule(0) == pytest.approx(0.8)
    assert (schedule + schedule)(0) == pytest.approx(1.6)


def test_parts_count_the_same():
    assert WarmUp(3, by_epoch(SCHEDULES["cosine"])).per == "epoch"
    assert Sum([0.1, by_epoch(SCHEDULES["cosine"])]).per == "epoch"
    assert Sequence([0.1, 0.2], [3]).per == "step"


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "given", "words"), [
    (name, given, words) for name, row in facts.SCHEDULES.items() for given, words in row.refused])
def test_what_is_out_of_range(name, given, words):
    with pytest.raises((TypeError, ValueError)) as caught:
        schedules.SCHEDULES[name](*given)
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize(("call", "words"), [
    (lambda: Cosine(0.1, steps=5, per="batch"), ["per", "'step' or 'epoch'", "'batch'"]),
    (lambda: Cosine(0.1, steps=5, restarts=-1), ["restarts", "at least 0"]),
    (lambda: Cosine(0.1, steps=5)(-1), ["place", "at least 0"]),
    (lambda: Cosine(0.1, steps=5) + "0.1", ["what is added", "'0.1'"]),
    (lambda: Steps(1, 1e300, [1, 2]).rates(0, 3), ["rate of step 2 is inf", "at=(1, 2)", "finite"]),
    (lambda: cbp.SGD(Cosine), ["rate must be a schedule", "class Cosine"]),
    (lambda: functools.reduce(lambda then, _: WarmUp(1, then), range(17), 0.1), ["16 deep"]),
    (lambda: schedules.Schedule(), ["cbp.schedules.Cosine"]),
    (lambda: cbp.Adam(T_max=3), ["cbp.Adam(cbp.schedules.Cosine"]),
    (lambda: network().fit(X, Y, lr_scheduler=3), ["cbp.Adam(cbp.schedules.Cosine"]),
    (lambda: Cosine(0.1, T_max=3), ["takes steps, not T_max"]),
    (lambda: Cosine(0.1, eta_min=0, steps=3), ["takes end, not eta_min"]),
    (lambda: ExponentialDecay(0.1, gamma=0.9), ["takes factor, not gamma"]),
    (lambda: Steps(0.1, 0.5, milestones=[3]), ["takes at, not milestones"]),
    (lambda: schedules.OneCycle(max_lr=0.1, steps=3), ["takes peak, not max_lr"]),
    (lambda: schedules.CosineAnnealingLR, ["'CosineAnnealingLR'", "it has Cosine"]),
    (lambda: schedules.StepLR, ["it has ExponentialDecay"]),
    (lambda: schedules.nonsense, ["cbp.schedules has no 'nonsense'"]),
])
def test_what_is_answered(call, words):
    with pytest.raises((TypeError, ValueError, AttributeError)) as caught:
        call()
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_class_of_ones_own_is_refused():
    class Mine(Cosine):
        pass

    with pytest.raises(TypeError, match="class of your own"):
        cbp.SGD(Mine(0.1, steps=3))


# --- training ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_fit_is_a_loop_by_hand(name, dtype):
    """One batch an epoch, so that a fit of one epoch is an update."""
    one, other = network(dtype=dtype), network(dtype=dtype)
    history = one.fit(X, Y, epochs=30, batch_size=None, optimizer=cbp.Adam(SCHEDULES[name]))
    for t in range(30):
        other.fit(X, Y, epochs=1, batch_size=None, optimizer=cbp.Adam(number_or_zero(SCHEDULES[name](t))))
    assert same(one, other)
    assert history.rate.tolist() == SCHEDULES[name].rates(0, 30).tolist()


@pytest.mark.parametrize("make", [network, recurrent, convolutional])
@pytest.mark.parametrize("name", EPOCHS)
def test_rates_by_epoch(name, make):
    schedule = by_epoch(SCHEDULES[name])
    one = make()
    history = one.fit(samples(one), Y, epochs=8, batch_size=4, optimizer=cbp.Adam(schedule))
    other = make()
    for epoch in range(8):
        other.fit(samples(other), Y, epochs=1, batch_size=4, optimizer=cbp.Adam(number_or_zero(schedule(epoch))))
    assert same(one, other)
    assert history.rate.tolist() == schedule.rates(0, 8).tolist()


@pytest.mark.parametrize("make", [network, recurrent])
@pytest.mark.parametrize("name", SCHEDULES)
def test_one_batch_after_the_other(name, make):
    """Small steps that go straight to the core (dense layers alone), and the ordinary way, follow the same rates."""
    schedule, one, other, by_gradient = SCHEDULES[name], make(), make(), make()
    batch = samples(one)[:4], Y[:4]
    for t in range(12):
        one.train_on_batch(*batch, optimizer=cbp.SGD(schedule, momentum=0.5) if t == 0 else None)
        other.train_on_batch(*batch, optimizer=cbp.SGD(number_or_zero(schedule(t)), momentum=0.5))
        gradient = by_gradient.gradient(*batch, training=True)[1]
        by_gradient.apply_gradient(gradient, optimizer=cbp.SGD(schedule, momentum=0.5) if t == 0 else None)
        assert same(one, other)
        if make is network:
            assert same(one, by_gradient)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_threads_and_validation_change_no_bit(name, threads, monkeypatch):
    """Epochs one by one (with validation data), all in one call, and in another number of threads."""
    one, other = network(), network()
    one.fit(X, Y, epochs=5, batch_size=4, optimizer=cbp.SGD(SCHEDULES[name]))
    monkeypatch.setattr(rates, "AHEAD", 2)
    other.fit(X, Y, epochs=5, batch_size=4, optimizer=cbp.SGD(SCHEDULES[name]), threads=threads, validation_data=(X, Y))
    assert same(one, other)


@pytest.mark.parametrize("schedule", [Cosine(0.5, steps=20), Cosine(0.5, steps=5, per="epoch"), half])
def test_pieces_and_pauses_change_no_rate(schedule, monkeypatch):
    """Batches of several pieces, with a return to Python after each: in the middle of a batch, of an epoch, of a block."""
    x, y = np.resize(X, (50, 4)), np.resize(Y, (50, 3))
    one, other = recurrent(), recurrent()
    x = x[..., np.newaxis]
    history = one.fit(x, y, epochs=6, batch_size=23, optimizer=cbp.Adam(schedule))
    monkeypatch.setattr(plan, "PIECE", 1)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    monkeypatch.setattr(rates, "AHEAD", 2)
    assert other._plan.piece(50) == 12
    paused = other.fit(x, y, epochs=6, batch_size=23, optimizer=cbp.Adam(schedule))
    assert same(one, other)
    assert paused.rate.tolist() == history.rate.tolist()


@pytest.mark.parametrize("per", ["step", "epoch"])
def test_several_batches_for_one_update(per):
    """Their gradients make one step, which has one rate."""
    schedule = Cosine(0.5, steps=20, per=per)
    net, alone = network(), network()
    history = alone.fit(X, Y, epochs=4, batch_size=8, shuffle=False, optimizer=cbp.SGD(schedule))
    net.set_optimizer(cbp.SGD(schedule))
    run = runner.Runner(net._model, arrays.data(net._model.form, X, Y, None, None), mode="train", batch_size=4, accumulate=2,
                        optimizer=net.optimizer)
    assert run.epochs(4)[:, 3].tolist() == history.rate.tolist()
    assert same(net, alone)


def test_clipping_and_averages_follow_the_schedule_too():
    """What waits for the whole gradient, arrays at rates of their own too."""
    options = {"clip_norm": 0.1, "clip_value": 0.05, "average": cbp.averages.ExponentialMovingAverage(0.9), "weight_decay": 0.1}
    schedule = ExponentialDecay(0.2, 0.7, per="epoch")
    one, other = network(), network()
    one.rate_multipliers = other.rate_multipliers = {"0": 0.5}
    one.fit(X, Y, epochs=5, batch_size=4, optimizer=cbp.Adam(schedule, **options))
    for epoch in range(5):
        other.fit(X, Y, epochs=1, batch_size=4, optimizer=cbp.Adam(schedule(epoch), **options))
    assert same(one, other)


def test_long_runs_go_on_where_rates_end():
    """More updates in one call than rates are worked out for."""
    schedule, x, y = ExponentialDecay(0.1, 0.999), np.ones((40, 1)), np.ones(40)
    one, other = (cbp.mlp([1, 1], seed=0, dtype="float64") for _ in range(2))
    history = one.fit(x, y, epochs=100, batch_size=1, optimizer=cbp.SGD(schedule))
    assert one.step == 4000 > 3 * rates.AHEAD
    assert history.rate.tolist() == schedule.rates(0, 4000)[39::40].tolist()
    for _ in range(100):
        other.fit(x, y, epochs=1, batch_size=1, optimizer=cbp.SGD(schedule))
    assert same(one, other)


@pytest.mark.parametrize("kind", [cbp.SGD, cbp.Adam])
def test_another_schedule_keeps_the_state(kind):
    one, other = network(), network()
    first, second = Cosine(0.1, steps=20), ExponentialDecay(0.05, 0.9)
    one.fit(X, Y, epochs=2, batch_size=4, optimizer=kind(first))
    one.fit(X, Y, epochs=2, batch_size=4, optimizer=kind(second))
    mixed = kind(lambda t: first(t) if t < 2 * STEPS else second(t))  # places count on
    other.fit(X, Y, epochs=4, batch_size=4, optimizer=mixed)
    assert one.step == 4 * STEPS
    assert same(one, other)
    one.set_optimizer(kind(second))
    assert one.step == 0


def test_epochs_are_those_of_the_optimizer():
    """Of a network that had another one before."""
    net = network()
    net.fit(X, Y, epochs=3, optimizer="adam")
    schedule = ExponentialDecay(0.1, 0.5, per="epoch")
    assert net.fit(X, Y, epochs=3, optimizer=cbp.SGD(schedule)).rate.tolist() == [0.1, 0.05, 0.025]
    assert net.fit(X, Y, epochs=1).rate.tolist() == [0.0125]


def test_a_rate_of_0_changes_no_weight_but_the_state():
    net = network()
    before = net.get_vector()
    net.fit(X, Y, epochs=2, optimizer=cbp.Adam(lambda t: 0, weight_decay=0.1))
    assert (net.get_vector() == before).all()
    assert net.step == 2
    assert net.optimizer_state["mean"]["0.weight"].any()


def test_without_a_schedule_there_is_no_rate_in_the_history():
    assert "rate" not in network().fit(X, Y, epochs=1)


def test_rates_stand_in_the_history():
    net = network()
    history = net.fit(X, Y, epochs=3, batch_size=4, validation_data=(X, Y), optimizer=cbp.SGD(half))
    assert history.rate.tolist() == [half(5), half(11), half(17)]
    assert list(history)[-2:] == ["rate", "seconds"]
    assert f"rate {half(17):.4g}" in repr(history)


def test_a_trace_has_the_rate_of_its_step():
    net = network()
    net.fit(X, Y, epochs=1, batch_size=None, optimizer=cbp.SGD(half))
    trace = net.trace(X[0], Y[0])
    assert trace.optimizer.rate == half(1)
    assert "η = 0.05; step t = 2" in str(trace)
    assert "SGD, η = 0; step t = 2" in str(net.trace(X[0], Y[0], optimizer=cbp.SGD(lambda t: 0)))
    before = net.trace(X[0], Y[0], optimizer=cbp.SGD(Cosine(0.1, steps=4, per="epoch")))
    assert before.optimizer.rate == Cosine(0.1, steps=4)(1)
    net.train_on_batch(X[:1], Y[:1])
    after = np.concatenate([array.ravel() for array in net.parameters.values()])
    np.testing.assert_allclose([parameter.after for parameter in trace.parameters], after, rtol=1e-4, atol=1e-6)


# --- divergence, and functions that fail --------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [1e30, lambda t: 1e30, Cosine(1e30, steps=1000), Cosine(1e30, steps=1000, per="epoch")])
def test_a_divergence_tells_the_rate(rate):
    net = network()
    net.train_on_batch(X, Y, optimizer=cbp.SGD(0.1))
    before = net.get_vector()
    with pytest.raises(cbp.DivergedError, match=r"the rate is (1e\+30|9\.9\d*e\+29)"):
        net.train_on_batch(X, Y * 1e15, optimizer=cbp.SGD(rate))
    assert (net.get_vector() == before).all()
    with pytest.raises(cbp.DivergedError, match="rate is"):
        net.apply_gradient(np.full(len(before), 1e30), optimizer=cbp.SGD(rate))
    assert (net.get_vector() == before).all()


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("make", [lambda parts, at: Sequence(parts, at), lambda parts, at: Function(
    lambda t: parts[t >= at[0]](t - at[0] * (t >= at[0])), per=parts[0].per)], ids=["schedule", "function"])
def test_the_way_back_from_a_divergence_has_the_same_rates(make, per):
    """Epochs are repeated then, up to the last one that ended finite."""
    last = 4 if per == "epoch" else 4 * STEPS + 2
    schedule = make([ExponentialDecay(0.1, 0.9, per=per), schedules.Constant(1e30)], [last])
    one, other = network(), network()
    with pytest.raises(cbp.DivergedError, match="in epoch 5") as caught:
        one.fit(X, Y, epochs=50, batch_size=4, optimizer=cbp.SGD(schedule))
    kept = other.fit(X, Y, epochs=4, batch_size=4, optimizer=cbp.SGD(schedule))
    assert same(one, other)
    assert caught.value.history.rate.tolist() == kept.rate.tolist()


@pytest.mark.parametrize(("function", "error", "words"), [
    (lambda t: float("nan"), ValueError, "the rate of step 0 must be a finite number"),
    (lambda t: -0.1, ValueError, "the rate of step 0 must be .* at least 0, got -0.1"),
    (lambda t: "0.1", TypeError, "the rate of step 0 must be .* got '0.1'"),
    (lambda t: None, TypeError, "the rate of step 0 must be .* got None"),
    (lambda t: 1 / 0, ZeroDivisionError, "division"),
    (lambda: 0.1, TypeError, "argument"),
    (lambda t: next(iter(())), StopIteration, "^$"),
    (lambda t: np.float32("inf"), ValueError, "the rate of step 0 must be a finite number"),
    (lambda t: float("inf"), ValueError, "the rate of step 0 must be a finite number"),
    (lambda t: True, TypeError, "the rate of step 0 must be"),
])
@pytest.mark.parametrize("call", ["fit", "train_on_batch", "apply_gradient"])
@pytest.mark.parametrize("trained", [False, True])
def test_a_function_that_fails(function, error, words, call, trained):
    net = network()
    if trained:
        net.train_on_batch(X, Y, optimizer=cbp.SGD(0.1))
        net.set_optimizer("sgd")
    before = net.snapshot()
    given = (net.gradient(X, Y)[1],) if call == "apply_gradient" else (X, Y)
    with pytest.raises(error, match=words):
        getattr(net, call)(*given, optimizer=cbp.SGD(function))
    after = net.snapshot()
    assert all((after.parameters[name] == array).all() for name, array in before.parameters.items())
    assert (after.step, after.epoch) == (before.step, before.epoch)
    net.fit(X, Y, epochs=1, optimizer="sgd")


def test_a_function_that_fails_later():
    """The updates before stay, and training can go on."""
    net, other = network(), network()

    def rate(t):
        return 0.1 if t < 2 * STEPS else 1 / 0

    with pytest.raises(ZeroDivisionError):
        net.fit(X, Y, epochs=5, batch_size=4, optimizer=cbp.SGD(rate))
    assert net.step == 2 * STEPS
    assert net.history.epochs == 2
    net.fit(X, Y, epochs=1, batch_size=4, optimizer=cbp.SGD(0.1))
    other.fit(X, Y, epochs=3, batch_size=4, optimizer=cbp.SGD(0.1))
    assert same(net, other)


def test_a_function_is_asked_once_for_every_place_in_order():
    for per, expected in (("step", list(range(3 * STEPS))), ("epoch", [0, 1, 2])):
        asked = []
        network().fit(X, Y, epochs=3, batch_size=4,
                      optimizer=cbp.SGD(Function(lambda t, asked=asked: asked.append(t) or 0.1, per=per)))
        assert asked == expected
    asked, net = [], network()
    for _ in range(3):
        net.train_on_batch(X, Y, optimizer=cbp.SGD(lambda t: asked.append(t) or 0.1))
    assert asked == [0, 1, 2]


def test_a_function_that_trains_the_network_is_refused():
    net = network()
    with pytest.raises(RuntimeError):
        net.fit(X, Y, epochs=1, optimizer=cbp.SGD(lambda t: net.train_on_batch(X, Y)))
    assert net.step == 0


# --- files and copies ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("per", ["step", "epoch"])
@pytest.mark.parametrize("name", FILED)
def test_training_goes_on_after_a_load(name, per, tmp_path):
    schedule = by_epoch(SCHEDULES[name]) if per == "epoch" and name in EPOCHS else SCHEDULES[name]
    one, other = network(), network()
    one.fit(X, Y, epochs=1, optimizer="adam")
    other.fit(X, Y, epochs=1, optimizer="adam")
    one.fit(X, Y, epochs=8, batch_size=4, optimizer=cbp.SGD(schedule, momentum=0.9))
    other.fit(X, Y, epochs=3, batch_size=4, optimizer=cbp.SGD(schedule, momentum=0.9))
    other.save(tmp_path / "net.cbp")
    loaded = cbp.load(tmp_path / "net.cbp")
    assert loaded.optimizer == other.optimizer
    loaded.fit(X, Y, epochs=5, batch_size=4)
    assert same(one, loaded)


@pytest.mark.parametrize("name", SCHEDULES)
def test_descriptions(name):
    schedule = SCHEDULES[name]
    described = json.loads(json.dumps(schedules.description(schedule)))
    read = schedules.from_description(described)
    assert read == (Function(None) if name == "function" else schedule)
    assert schedules.description(read) == described


CONSTANT = {"name": "constant", "rate": 0.1, "per": "step"}


def nested(depth):
    return functools.reduce(lambda then, _: {"name": "warm_up", "steps": 1, "then": then}, range(depth), CONSTANT)


@pytest.mark.parametrize(("described", "words"), [
    (None, "JSON object"), ([], "JSON object"), ("constant", "JSON object"), ({}, "unknown"), ({"name": 3}, "unknown"),
    ({"name": ["constant"]}, "unknown"), ({"name": "exec"}, "'exec' is unknown"), ({"name": "constant"}, "missing"),
    (CONSTANT | {"more": 1}, "more"), (CONSTANT | {"rate": -1}, "at least 0"), (CONSTANT | {"rate": "0.1"}, "'0.1'"),
    (CONSTANT | {"rate": None}, "None"), (CONSTANT | {"rate": 10**400}, "rate"), (CONSTANT | {"per": "day"}, "'day'"),
    (CONSTANT | {"per": ["step"]}, "per"), (CONSTANT | {"rate": True}, "rate"), (CONSTANT | {"rate": CONSTANT}, "rate"),
    ({"name": "function", "per": "step", "function": "print"}, "function"),
    ({"name": "steps", "start": 0.1, "factor": 0.5, "at": [3, 2], "per": "step"}, "at must grow"),
    ({"name": "steps", "start": 0.1, "factor": 0.5, "at": [[[3]]], "per": "step"}, "at"),
    ({"name": "steps", "start": 0.1, "factor": 0.5, "at": list(range(1, 20_000)), "per": "step"}, "at most 10,000"),
    ({"name": "steps", "start": 0.1, "factor": 0.5, "at": {"3": 4}, "per": "step"}, "unknown"),
    ({"name": "sum", "schedules": []}, "schedules"), ({"name": "sum", "schedules": CONSTANT}, "schedules"),
    ({"name": "sequence", "schedules": [CONSTANT, CONSTANT], "at": []}, "at must have a place"),
    ({"name": "warm_up", "steps": 2**70, "then": CONSTANT}, "steps"), ({"name": "warm_up", "steps": 2, "then": "x"}, "then"),
    (nested(16), "16"), (nested(900), "16"),
])
def test_hostile_descriptions(described, words):
    with pytest.raises(ValueError, match=words):
        schedules.from_description(described)
    net = network()
    net.fit(X, Y, epochs=1, optimizer=cbp.SGD(Cosine(0.125, steps=7)))
    described_so = json.dumps(schedules.description(net.optimizer.schedule), sort_keys=True, separators=(",", ":"))
    text = modelfile.description.write(net.snapshot())
    assert described_so in text
    with pytest.raises(cbp.ModelFileError):
        modelfile.description.read(text.replace(described_so, json.dumps(described)))


def test_a_network_whose_rate_is_a_function_is_saved(tmp_path):
    """All but the function, which it asks for when it is trained."""
    one, net = network(), network()
    one.fit(X, Y, epochs=4, batch_size=4, optimizer=cbp.Adam(half))
    net.fit(X, Y, epochs=2, batch_size=4, optimizer=cbp.Adam(half))
    for _ in range(2):
        net.save(tmp_path / "net.cbp")
        net = cbp.load(tmp_path / "net.cbp")
        assert net.optimizer == cbp.Adam(Function(None))
        assert net.predict(X).shape == (21, 3)
        before = net.get_vector()
        for call in (net.fit, net.train_on_batch, net.trace):
            with pytest.raises(ValueError, match="a Python function, which no file holds; give it again"):
                call(X[:4], Y[:4])
        with pytest.raises(ValueError, match="give it again"):
            net.apply_gradient(np.zeros(len(before)))
        assert (net.get_vector() == before).all()
        assert net.step == 2 * STEPS
    net.fit(X, Y, epochs=2, batch_size=4, optimizer=cbp.Adam(half))
    assert same(one, net)


@pytest.mark.parametrize("schedule", [half, WarmUp(3, half), Sum([0.1, half]), Function(half, per="epoch")])
@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_keep_a_function(schedule, copied):
    net = network()
    net.fit(X, Y, epochs=2, batch_size=4, optimizer=cbp.SGD(schedule, momentum=0.5))
    other = copied(net)
    assert other.optimizer == net.optimizer
    for one in (net, other):
        one.fit(X, Y, epochs=2, batch_size=4)
    assert same(net, other)


def test_a_function_that_cannot_be_pickled():
    """A copy has it all the same; a pickle would lose it, and says so."""
    net = network()
    net.fit(X, Y, epochs=2, batch_size=4, optimizer=cbp.SGD(lambda t: 0.1))
    assert copy.deepcopy(net).optimizer.schedule.function is net.optimizer.schedule.function
    with pytest.raises((AttributeError, pickle.PicklingError), match="lambda"):
        pickle.dumps(net)


class Mine(cbp.Network):
    """A class of one's own, with an attribute."""


def test_a_class_of_ones_own_keeps_a_function_too():
    net = Mine(4, [cbp.Dense(3)], loss="mean_squared_error", seed=0)
    net.note = "mine"
    net.fit(X, Y, epochs=1, optimizer=cbp.SGD(half))
    other = copy.deepcopy(net)
    assert (type(other), other.note, other.optimizer) == (Mine, "mine", net.optimizer)


# --- pictures -----------------------------------------------------------------------------------------------------------


def test_plot():
    matplotlib = pytest.importorskip("matplotlib", reason="needs the extra 'plot' (matplotlib)")
    matplotlib.use("Agg")
    axes = Cosine(0.1, steps=9, per="epoch").plot(12)
    (line,) = axes.get_lines()
    assert line.get_ydata().tolist() == Cosine(0.1, steps=9).rates(0, 12).tolist()
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "rate")
    assert Cosine(0.1, steps=9).plot(3, axes) is axes
    with pytest.raises(ValueError, match="steps"):
        Cosine(0.1, steps=9).plot(0)


def test_plot_without_matplotlib():
    source = "import sys; sys.modules['matplotlib'] = None\nimport cbp\ncbp.schedules.Constant(0.1).plot(3)"
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert "ImportError: Schedule.plot draws with matplotlib: pip install 'cbp[plot]'" in result.stderr
