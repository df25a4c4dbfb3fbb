"""What surrounds the rule of an optimizer: bounds on the gradient, batches that make one update together, averages of the
parameters, arrays that stay or move at rates of their own, and gradients that somebody else computed."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from cases import ALL_OPTIMIZERS, LAYERS, close, dumps, layer_data, layer_network, loads, network, trained_elsewhere

import cbp
from cbp.averages import ExponentialMovingAverage, StochasticWeightAverage
from cbp.engine import plan

RNG = np.random.default_rng(7)
X, Y = RNG.normal(size=(40, 4)), RNG.normal(size=(40, 3))
BOUNDS = [{"clip_value": 0.02}, {"clip_array": 0.05}, {"clip_norm": 0.1},
          {"clip_value": 0.05, "clip_array": 0.1, "clip_norm": 0.12}]
AVERAGES = [ExponentialMovingAverage(0.7), ExponentialMovingAverage(0.5, start=3, every=2), StochasticWeightAverage(2),
            StochasticWeightAverage(start=3, every=4)]
SETTINGS = {
    "clipped": {"clip_value": 0.05, "clip_array": 0.1, "clip_norm": 0.12},
    "averaged": {"average": ExponentialMovingAverage(0.6, start=2, every=3)},
    "all of it": {"rate": cbp.schedules.Cosine(0.05, steps=30), "clip_norm": 0.1, "average": StochasticWeightAverage(4)},
}


def arrays_of(net, vector):
    """A flat vector as arrays by name."""
    other = copy.deepcopy(net)
    other.set_vector(vector)
    return {name: view.copy() for name, view in other.parameters.items()}


def clipped(gradients, clip_value=None, clip_array=None, clip_norm=None):
    """What is left of gradients by name, in NumPy."""
    if clip_value:
        gradients = {name: np.clip(g, -clip_value, clip_value) for name, g in gradients.items()}
    if clip_array:
        gradients = {name: g * min(1, clip_array / np.linalg.norm(g)) for name, g in gradients.items()}
    if clip_norm:
        norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
        gradients = {name: g * min(1, clip_norm / norm) for name, g in gradients.items()}
    return gradients


def moved(net, before):
    """The difference that training made, by name."""
    return {name: net.parameters[name] - before[name] for name in before}


# --- bounds -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bounds", BOUNDS, ids=lambda bounds: " ".join(bounds))
@pytest.mark.parametrize("penalty", [0.0, 0.01])
def test_a_step_follows_what_is_left_of_the_gradient(bounds, penalty):
    net = network(l2=penalty)
    before = {name: view.copy() for name, view in net.parameters.items()}
    gradients = arrays_of(net, net.gradient(X, Y)[1])
    net.fit(X, Y, epochs=1, batch_size=None, optimizer=cbp.SGD(0.5, **bounds))
    expected = clipped(gradients, **bounds)
    assert any(not np.array_equal(expected[name], gradients[name]) for name in gradients)
    for name, difference in moved(net, before).items():
        np.testing.assert_allclose(difference, -0.5 * expected[name], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bounds_far_away_change_no_bit_of_the_state(name, dtype):
    plain, bounded = network(dtype=dtype), network(dtype=dtype)
    plain.fit(X, Y, epochs=3, batch_size=7, optimizer=ALL_OPTIMIZERS[name])
    bounded.fit(X, Y, epochs=3, batch_size=7, optimizer=ALL_OPTIMIZERS[name], clip_value=1e6)
    np.testing.assert_array_equal(bounded.get_vector(), plain.get_vector())
    by_norm = network(dtype=dtype)
    by_norm.fit(X, Y, epochs=3, batch_size=7, optimizer=ALL_OPTIMIZERS[name], clip_norm=1e6)
    np.testing.assert_array_equal(by_norm.get_vector(), plain.get_vector())


def test_bounds_in_fit_belong_to_the_optimizer_and_stay():
    net = network()
    net.fit(X, Y, epochs=1, optimizer=cbp.SGD(0.1, momentum=0.5), clip_norm=0.1, clip_value=0.05)
    assert net.optimizer == cbp.SGD(0.1, momentum=0.5, clip_norm=0.1, clip_value=0.05)
    net.fit(X, Y, epochs=1)
    assert net.optimizer.clip_norm == 0.1
    assert net.step == 4
    assert loads(dumps(net)).optimizer == net.optimizer
    net.fit(X, Y, epochs=1, optimizer=cbp.SGD(0.1, momentum=0.5))
    assert (net.optimizer.clip_norm, net.step) == (None, 6)


@pytest.mark.parametrize("name", ["clip_value", "clip_array", "clip_norm"])
@pytest.mark.parametrize(("wrong", "error"), [
    (0, ValueError), (-1.0, ValueError), (np.nan, ValueError), ("1", TypeError), (True, TypeError),
])
def test_a_bound_is_a_number_above_0(name, wrong, error):
    with pytest.raises(error, match=name):
        cbp.Adam(0.1, **{name: wrong})
    if name == "clip_array":
        return
    net = network()
    before = dumps(net)
    with pytest.raises(error, match=name):
        net.fit(X, Y, **{name: wrong})
    assert dumps(net) == before


def test_a_gradient_of_zeros_has_no_norm_to_divide_by():
    net = cbp.Network(2, [cbp.Dense(1)], loss="mean_squared_error", seed=0)
    before = net.get_vector()
    net.fit([[0.0, 0.0]], [[0.0]], epochs=3, optimizer=cbp.SGD(0.1, clip_norm=1.0, clip_array=1.0))
    np.testing.assert_array_equal(net.get_vector(), before)


def test_an_exploding_recurrent_net_is_held_by_a_bound():
    def explosive():
        return cbp.Network((60, 1), [cbp.RNN(8), cbp.Dense(1)], loss="mean_squared_error", seed=1)
    x = np.random.default_rng(0).normal(size=(30, 60, 1)) * 20
    y = x.sum(1)
    net = explosive()
    net.fit(x, y, epochs=30, optimizer=cbp.SGD(0.5, clip_norm=0.1))
    assert np.isfinite(net.history.loss).all()
    with pytest.raises(cbp.DivergedError):
        explosive().fit(x, y, epochs=30, optimizer=cbp.SGD(0.5))


# --- several batches for one update -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_batches_together_are_one_larger_batch(name):
    one, other = layer_network(name, after=True), layer_network(name, after=True)
    if any("mean" in key for key in one.statistics):
        return the_batches_are_normalised_by_themselves(one, other)
    x, y, w = layer_data(one, 22)
    one.fit(x, y, epochs=2, batch_size=12, sample_weight=w, optimizer=cbp.Adam(0.01), clip_norm=1.0)
    other.fit(x, y, epochs=2, batch_size=4, accumulate=3, sample_weight=w, optimizer=cbp.Adam(0.01), clip_norm=1.0)
    assert one.step == other.step == 4
    close(other.get_vector(), one.get_vector(), 1e-10)
    close(other.history.loss, one.history.loss, 1e-12)


def the_batches_are_normalised_by_themselves(one, other):
    x, y, _ = layer_data(one, 12)
    seen = copy.deepcopy(one)
    one.fit(x, y, epochs=1, batch_size=4, accumulate=3, shuffle=False, optimizer=cbp.Adam(0.01))
    gradients = [other.gradient(x[k:k + 4], y[k:k + 4], training=True)[1] for k in (0, 4, 8)]
    other.apply_gradient(np.mean(gradients, 0), cbp.Adam(0.01))
    close(one.get_vector(), other.get_vector(), 1e-7)
    for k in 0, 4, 8:
        seen.train_on_batch(x[k:k + 4], y[k:k + 4], optimizer=cbp.SGD(1e-300))
    for key, view in one.statistics.items():
        close(view, seen.statistics[key], 1e-12)


def test_of_many_batches_all_make_one_update():
    net, other = network(), network()
    net.fit(X, Y, epochs=2, batch_size=7, accumulate=1000, optimizer="sgd")
    other.fit(X, Y, epochs=2, batch_size=None, optimizer="sgd")
    assert net.step == 2
    close(net.get_vector(), other.get_vector(), 1e-12)


@pytest.mark.parametrize(("wrong", "error"), [(0, ValueError), (1.5, TypeError), ("2", TypeError)])
def test_accumulate_is_a_whole_number(wrong, error):
    with pytest.raises(error, match="accumulate"):
        network().fit(X, Y, accumulate=wrong)


# --- averages -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", AVERAGES, ids=repr)
@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
def test_an_average_is_that_of_the_parameters_after_each_step(average, name):
    optimizer = replace(ALL_OPTIMIZERS[name], average=average)
    net, plain = network(), network()
    expected, taken = net.get_vector(), 0
    for step in range(1, 13):
        rows = slice(step, step + 9)
        net.train_on_batch(X[rows], Y[rows], optimizer=optimizer)
        plain.train_on_batch(X[rows], Y[rows], optimizer=ALL_OPTIMIZERS[name])
        now = plain.get_vector()
        np.testing.assert_array_equal(net.get_vector(), now)
        if step >= average.start and (step - average.start) % average.every == 0:
            taken += 1
            part = 1 / taken if isinstance(average, StochasticWeightAverage) else (1 - average.decay if taken > 1 else 1)
            expected = expected + part * (now - expected)
    averaged = copy.deepcopy(plain)
    averaged.set_vector(expected)
    close(net.predict(X, averaged=True), averaged.predict(X), 1e-12)
    assert net.evaluate(X, Y, averaged=True) == pytest.approx(averaged.evaluate(X, Y), rel=1e-12)


def test_before_the_first_average_the_parameters_are_it():
    net = network()
    net.fit(X, Y, epochs=1, optimizer=cbp.SGD(0.1, average=StochasticWeightAverage(start=100)))
    np.testing.assert_array_equal(net.predict(X, averaged=True), net.predict(X))


@pytest.mark.parametrize("ask", [lambda net: net.predict(X, averaged=True), lambda net: net.evaluate(X, Y, averaged=True),
                                 lambda net: net.save("never.cbp", averaged=True)])
def test_without_an_average_there_is_none_to_use(ask):
    net = network()
    with pytest.raises(ValueError, match=r"averaged=True needs an optimizer that averages"):
        ask(net)
    net.fit(X, Y, epochs=1)
    with pytest.raises(ValueError, match=r"cbp\.averages"):
        ask(net)


def test_a_file_of_the_average_predicts_as_it_does(tmp_path):
    net = network()
    net.fit(X, Y, epochs=3, batch_size=8, optimizer=cbp.Adam(0.05, average=ExponentialMovingAverage(0.8)))
    net.save(tmp_path / "average.cbp", averaged=True)
    found = cbp.load(tmp_path / "average.cbp")
    np.testing.assert_array_equal(found.predict(X), net.predict(X, averaged=True))
    assert (found.optimizer, found.step) == (None, 0)


def test_an_average_that_comes_later_begins_there_and_one_that_goes_is_forgotten():
    net = network()
    net.fit(X, Y, epochs=2, batch_size=8, optimizer=cbp.SGD(0.1, momentum=0.5))
    velocity = net.optimizer_state["velocity"]["0.weight"].copy()
    net.fit(X, Y, epochs=0, optimizer=cbp.SGD(0.1, momentum=0.5, average=ExponentialMovingAverage(0.9)))
    np.testing.assert_array_equal(net.optimizer_state["velocity"]["0.weight"], velocity)
    np.testing.assert_array_equal(net.optimizer_state["average"]["0.weight"], net.parameters["0.weight"])
    net.fit(X, Y, epochs=1, optimizer=cbp.SGD(0.1, momentum=0.5))
    assert list(net.optimizer_state) == ["velocity"]


@pytest.mark.parametrize("wrong", [0.999, "ema", ExponentialMovingAverage])
def test_an_average_is_one_of_cbps(wrong):
    with pytest.raises(TypeError, match=r"average must be one of cbp\.averages"):
        cbp.Adam(average=wrong)


@pytest.mark.parametrize(("make", "name"), [
    (lambda: ExponentialMovingAverage(1.0), "decay"), (lambda: ExponentialMovingAverage(0.0), "decay"),
    (lambda: ExponentialMovingAverage(0.5, start=0), "start"), (lambda: StochasticWeightAverage(1, every=0), "every"),
])
def test_the_numbers_of_an_average(make, name):
    with pytest.raises(ValueError, match=name):
        make()


# --- what stays, and what moves at a rate of its own --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
@pytest.mark.parametrize("frozen", ["0", "0.weight", ["1.bias", 2], ["0", "1", "2"]], ids=repr)
def test_what_is_frozen_stays_and_the_rest_moves_as_it_did(name, frozen):
    net, free = network(l2=0.01), network(l2=0.01)
    before = {key: view.copy() for key, view in net.parameters.items()}
    net.freeze(frozen)
    for each in net, free:
        each.train_on_batch(X, Y, optimizer=ALL_OPTIMIZERS[name])
    assert net.frozen
    for key in before:
        expected = before if key in net.frozen else free.parameters
        close(net.parameters[key], expected[key], 1e-14)
        assert key not in net.frozen or np.array_equal(net.parameters[key], before[key])


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_layer_can_be_frozen(name, dtype):
    net, free = (layer_network(name, before=True, after=True, dtype=dtype) for _ in range(2))
    x, y, w = layer_data(net, 12)
    inner = [key for key in net.parameters if key.startswith("1.")]
    if not inner:
        with pytest.raises(ValueError, match="names"):
            net.freeze("1" if len(net.layers) == 3 else "7")
        return
    before = {key: net.parameters[key].copy() for key in inner}
    statistics = {key: view.copy() for key, view in net.statistics.items()}
    net.freeze("1")
    for each in net, free:
        each.fit(x, y, epochs=2, batch_size=5, sample_weight=w, optimizer=cbp.Adam(0.01))
    for key, view in net.parameters.items():
        assert np.array_equal(view, before.get(key)) == (key in before)
    for key, view in net.statistics.items():
        np.testing.assert_array_equal(view, statistics[key])
    assert net.gradient(x, y)[1].shape == free.gradient(x, y)[1].shape


def test_a_frozen_batch_norm_takes_its_running_statistics():
    net = cbp.Network(3, [cbp.BatchNorm(), cbp.Dense(1)], loss="mean_squared_error", dtype="float64", seed=0)
    x = np.random.default_rng(1).normal(size=(20, 3)) * 3 + 1
    net.fit(x, x[:, :1], epochs=5)
    net.freeze("0")
    kept = copy.deepcopy(net)
    loss = net.train_on_batch(x, x[:, :1])
    assert loss == pytest.approx(kept.evaluate(x, x[:, :1])["loss"], rel=1e-12)
    for key, view in kept.statistics.items():
        np.testing.assert_array_equal(net.statistics[key], view)


def test_all_frozen_training_changes_the_counters_alone():
    net = network()
    net.freeze(list(net.parameters))
    before = net.get_vector()
    net.fit(X, Y, epochs=2, batch_size=10, optimizer=cbp.Adam(0.1, weight_decay=0.1))
    np.testing.assert_array_equal(net.get_vector(), before)
    assert (net.step, net.epoch) == (8, 2)
    assert net.history.loss[0] == pytest.approx(net.evaluate(X, Y)["loss"], rel=1e-12)


def test_frozen_arrays_do_not_count_in_the_norm():
    net = network()
    net.freeze(["0", "1"])
    before = {name: view.copy() for name, view in net.parameters.items()}
    gradients = {name: g for name, g in arrays_of(net, net.gradient(X, Y)[1]).items() if name.startswith("2")}
    net.train_on_batch(X, Y, optimizer=cbp.SGD(0.5, clip_norm=0.01))
    for name, g in clipped(gradients, clip_norm=0.01).items():
        np.testing.assert_allclose(net.parameters[name] - before[name], -0.5 * g, rtol=1e-9)


@pytest.mark.parametrize("kind", cbp.optimizers.OPTIMIZERS.values())
def test_a_multiplier_is_another_rate(kind):
    net, slow = network(), network()
    net.rate_multipliers = {"0": 0.1, "0.bias": 3, 1: 1.0}
    assert dict(net.rate_multipliers) == {"0.weight": 0.1, "0.bias": 3.0}
    start = net.get_vector()
    net.train_on_batch(X, Y, optimizer=kind(0.02, weight_decay=0.1))
    for array, factor in {"0.weight": 0.1, "0.bias": 3, "1.weight": 1}.items():
        slow.set_vector(start)
        slow.train_on_batch(X, Y, optimizer=kind(0.02 * factor, weight_decay=0.1))
        close(net.parameters[array], slow.parameters[array], 1e-13)
        slow.set_optimizer("sgd")


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda net: net.freeze("7"), ValueError, "names"), (lambda net: net.freeze("0.wieght"), ValueError, "0.weight"),
    (lambda net: net.freeze(1.5), TypeError, "names"), (lambda net: net.unfreeze("x"), ValueError, "names"),
    (lambda net: setattr(net, "rate_multipliers", {"0": 0}), ValueError, "rate_multipliers"),
    (lambda net: setattr(net, "rate_multipliers", {"0": -1}), ValueError, "rate_multipliers"),
    (lambda net: setattr(net, "rate_multipliers", {"9": 1}), ValueError, "rate_multipliers"),
    (lambda net: setattr(net, "rate_multipliers", 0.1), TypeError, "mapping"),
])
def test_what_cannot_be_frozen_or_multiplied(call, error, words):
    net = network()
    before = dumps(net)
    with pytest.raises(error, match=words):
        call(net)
    assert dumps(net) == before


def test_nothing_is_frozen_while_another_thread_trains():
    net = network()
    with trained_elsewhere(net), pytest.raises(RuntimeError):
        net.freeze("0")
    assert net.frozen == ()


# --- gradients that somebody else computed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
@pytest.mark.parametrize("extra", [{}, *SETTINGS.values()], ids=["plain", *SETTINGS])
def test_a_given_gradient_makes_the_step_of_training(dtype, name, extra):
    optimizer = replace(ALL_OPTIMIZERS[name], **extra)
    one, other = network(dtype=dtype, l1=0.01, l2=0.1), network(dtype=dtype, l1=0.01, l2=0.1)
    for net in one, other:
        net.rate_multipliers = {"2": 0.5}
        net.freeze("1.bias")
    for step in range(8):
        rows = slice(step, step + 5)
        one.train_on_batch(X[rows], Y[rows], optimizer=optimizer)
        other.apply_gradient(other.gradient(X[rows], Y[rows], training=True)[1], optimizer)
        close(other.get_vector(), one.get_vector(), 1e-6 if dtype == "float32" else 1e-13)
    assert other.step == one.step == 8
    for slot, arrays in one.optimizer_state.items():
        for key, view in arrays.items():
            close(other.optimizer_state[slot][key], view, 1e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", [*LAYERS])
def test_with_every_layer(name):
    one, other = layer_network(name, after=True), layer_network(name, after=True)
    x, y, w = layer_data(one, 9)
    for _ in range(3):
        one.train_on_batch(x, y, sample_weight=w, optimizer=cbp.SGD(0.01, momentum=0.9))
        gradient = other.gradient(x, y, w, training=True)[1]
        other.apply_gradient(gradient, cbp.SGD(0.01, momentum=0.9))
    if not one.statistics:  # which only a step moves
        close(other.get_vector(), one.get_vector(), 1e-11)
    assert other.step == 3


def test_backward_and_a_given_gradient_train_on_a_loss_of_ones_own():
    net, other = network(), network()
    for _ in range(20):
        outputs = net.predict(X)
        net.apply_gradient(net.backward(X, 2 * (outputs - Y) / outputs.size)[1], cbp.Adam(0.01))
        other.train_on_batch(X, Y, optimizer=cbp.Adam(0.01))
    close(net.get_vector(), other.get_vector(), 1e-10)


@pytest.mark.parametrize(("gradient", "error", "words"), [
    (np.zeros(3), ValueError, "gradient"), (np.full(55, np.nan), ValueError, "gradient"),
    (np.full(55, np.inf), ValueError, "gradient"),
    (None, TypeError, "gradient"), ("abc", TypeError, "gradient"), (np.zeros((55, 1)), ValueError, "gradient"),
    (np.zeros(55, complex), TypeError, "gradient"),
])
def test_a_gradient_that_is_none(gradient, error, words):
    net = network()
    assert len(net.get_vector()) == 55
    for warm in False, True:
        if warm:
            net.apply_gradient(np.ones(55))
        before = dumps(net)
        with pytest.raises(error, match=words):
            net.apply_gradient(gradient)
        assert dumps(net) == before


@pytest.mark.parametrize("given", [lambda g: g.tolist(), lambda g: g.astype("float32"), lambda g: np.repeat(g, 2)[::2],
                                   lambda g: g.astype(">f8"), lambda g: memoryview(g)])
def test_a_gradient_in_any_form(given):
    one, other = network(), network()
    gradient = np.round(one.gradient(X, Y)[1] * 1024) / 1024
    for _ in range(2):
        one.apply_gradient(gradient, "sgd")
        other.apply_gradient(given(gradient), "sgd")
    np.testing.assert_array_equal(one.get_vector(), other.get_vector())


def test_a_step_to_infinity_is_not_taken():
    net = network(dtype="float32")
    net.apply_gradient(np.ones(55), "sgd")
    before = dumps(net)
    for _ in range(2):
        with pytest.raises(cbp.DivergedError, match="The network is as it was before"):
            net.apply_gradient(np.full(55, 3e38), cbp.SGD(1e6))
        assert dumps(net) == before


def test_after_other_calls_a_given_gradient_still_finds_its_state():
    """The short way keeps what it needs from call to call; each of these makes it stale."""
    net, other = network(), network()
    def both(call):
        for each in net, other:
            call(each)
    gradient = np.linspace(-1, 1, 55)
    changes = [
        lambda n: n.set_optimizer(cbp.SGD(0.1, momentum=0.9)), lambda n: n.fit(X, Y, epochs=1),
        lambda n: n.fit(X, Y, epochs=1, optimizer=cbp.Adam(0.02)), lambda n: n.freeze("0.weight"), lambda n: n.unfreeze(),
        lambda n: n.publish(n.get_vector() / 2), lambda n: n.train_on_batch(X, Y),
        lambda n: n.set_vector(n.get_vector() / 2), lambda n: setattr(n, "rate_multipliers", {"1": 2.0}),
        lambda n: setattr(n, "feature_names", None),
    ]
    for change in changes:
        both(lambda n: n.apply_gradient(gradient))
        both(change)
        other = loads(dumps(other))
        both(lambda n: n.apply_gradient(gradient))
        assert dumps(net) == dumps(other)


# --- all of it goes on --------------------------------------------------------------------------------------------------------


def trained_with(net, settings, x, y, epochs, **others):
    net.fit(x, y, epochs=epochs, batch_size=6, optimizer=replace(cbp.Adam(0.02), **settings), **others)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["dense", "convolution", "lstm", "batch norm"])
def test_a_run_goes_on_in_another_life(settings, dtype, name):
    shape, layers = {
        "dense": ((4,), [cbp.Dense(6, "tanh"), cbp.Dense(2)]), "lstm": ((5, 3), [cbp.LSTM(4), cbp.Dense(2)]),
        "convolution": ((6, 6, 1), [cbp.Conv2D(3, 3, "relu"), cbp.Flatten(), cbp.Dense(2)]),
        "batch norm": ((4,), [cbp.Dense(6), cbp.BatchNorm(), cbp.Dense(2)]),
    }[name]
    whole, halves = (cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype, seed=2) for _ in range(2))
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, *shape)), rng.normal(size=(20, 2))
    for net in whole, halves:
        net.rate_multipliers = {"0": 0.5}
        net.freeze(f"{len(layers) - 1}.bias")
    trained_with(whole, settings, x, y, 8, accumulate=2)
    trained_with(halves, settings, x, y, 3, accumulate=2)
    halves = loads(dumps(halves))
    trained_with(halves, settings, x, y, 2, accumulate=2, threads=2)
    halves = pickle.loads(pickle.dumps(copy.deepcopy(halves)))
    trained_with(halves, settings, x, y, 3, accumulate=2)
    assert dumps(halves) == dumps(whole)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", LAYERS)
def test_threads_and_pieces_change_no_bit(settings, name, monkeypatch):
    found = []
    for threads, piece in (1, None), (2, None), (3, None), (1, 1):
        net = layer_network(name, before=True, after=True, dtype="float32")
        x, y, w = layer_data(net, 50)
        if piece:
            monkeypatch.setattr(plan, "PIECE", piece)
        net.fit(x, y, epochs=2, batch_size=23, sample_weight=w, threads=threads, optimizer=replace(cbp.Adam(0.01), **settings))
        found.append(dumps(net))
    assert found.count(found[0]) == 4


def test_a_divergence_takes_the_average_back_too():
    net = network(dtype="float32")
    net.fit(X, Y, epochs=2, optimizer=cbp.SGD(0.01, average=ExponentialMovingAverage(0.5)))
    before = dumps(net)
    with pytest.raises(cbp.DivergedError):
        net.fit(X * 1e10, Y, epochs=5, optimizer=cbp.SGD(1e38, average=ExponentialMovingAverage(0.5)))
    assert dumps(net) == before
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch(X, Y * 1e25)
    assert dumps(net) == before
