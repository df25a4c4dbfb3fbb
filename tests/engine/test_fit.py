"""fit and train_on_batch: what a run does, what it measures, how it goes on, and how it ends when it diverges."""

import pickle
import threading
from contextlib import suppress

import numpy as np
import pytest
from cases import ALL_OPTIMIZERS

import cbp
from cbp.engine import fit, runner
from cbp.engine.cpu import core

MSE = "mean_squared_error"


def regression(samples=50, inputs=3, outputs=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((samples, inputs))
    return X, np.sin(X @ rng.standard_normal((inputs, outputs)))


def small(dtype="float64", **options):
    return cbp.mlp([3, 5, 2], hidden="tanh", dtype=dtype, seed=1, **options)


def classifier(**options):
    return cbp.mlp([3, 6, 4], hidden="relu", output="softmax", seed=1, dtype="float64", **options)


def labels(samples=50, classes=4):
    return np.random.default_rng(3).integers(0, classes, samples)


def bits(net):
    """Every number that training changes."""
    numbers = net._numbers
    return numbers.parameters.tobytes(), numbers.state.tobytes(), net.step, net.epoch, net.optimizer


def curves(history):
    """A history without its times."""
    return {name: curve.tolist() for name, curve in history.items() if name != "seconds"}


def impatient(monkeypatch):
    """Let the core return to Python after every 64 rows, and keep the way back short."""
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    monkeypatch.setattr(fit, "PATIENCE", 0.0)


# --- it learns ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_line_is_found(dtype):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    net = cbp.mlp([2, 1], dtype=dtype, seed=0)
    history = net.fit(X, X @ [2.0, -3.0] + 0.5, epochs=100, batch_size=None, optimizer=cbp.SGD(0.3))
    np.testing.assert_allclose(net.get_vector(), [2.0, -3.0, 0.5], rtol=1e-5)
    assert history.loss[-1] < 1e-8 < history.loss[0]


@pytest.mark.parametrize("optimizer", ALL_OPTIMIZERS.values(), ids=ALL_OPTIMIZERS)
def test_every_optimizer_lowers_the_loss(optimizer):
    X, y = regression(200)
    history = small().fit(X, y, epochs=30, optimizer=optimizer)
    assert history.loss[-1] < history.loss[0]


def test_classes_are_found():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 400)
    X = np.eye(4)[y][:, :3] * 3 + rng.standard_normal((400, 3)) * 0.3
    net = classifier()
    history = net.fit(X, y, epochs=40, optimizer=cbp.Adam(0.02))
    assert history.accuracy[-1] > 0.98
    assert (net.predict(X).argmax(1) == y).mean() > 0.98


# --- batches ------------------------------------------------------------------------------------------------------


def by_hand(net, X, y, epochs, batch_size, optimizer, shuffle, weight=None):
    """What fit does, with train_on_batch; returns the loss and metric curves."""
    samples, first = len(X), net.epoch
    result = []
    for epoch in range(epochs):
        order = np.arange(samples)
        if shuffle and batch_size < samples:
            core.permutation(net.seed, first + epoch, order)
        rows = []
        for start in range(0, samples, batch_size):
            batch = order[start : start + batch_size]
            w = None if weight is None else weight[batch]
            measured = net.evaluate(X[batch], y[batch], w)
            net.train_on_batch(X[batch], y[batch], optimizer=optimizer, sample_weight=w)
            rows.append((*measured.values(), len(batch) if w is None else w.sum()))
        result.append(np.average(rows, axis=0, weights=[row[2] for row in rows])[:2])
    return np.array(result)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [1, 7, 25, 49, 50])
def test_fit_is_a_loop_of_train_on_batch(batch_size, shuffle):
    X, y = regression()
    ours, theirs = small(), small()
    history = ours.fit(X, y, epochs=3, batch_size=batch_size, optimizer=cbp.Adam(0.01), shuffle=shuffle)
    expected = by_hand(theirs, X, y, 3, batch_size, cbp.Adam(0.01), shuffle)
    assert np.array_equal(ours.get_vector(), theirs.get_vector())
    assert ours.step == theirs.step == 3 * -(-50 // batch_size)
    np.testing.assert_allclose(history.loss, expected[:, 0], rtol=1e-12)
    np.testing.assert_allclose(history.mean_absolute_error, expected[:, 1], rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_fit_with_weights_and_labels_is_the_same_loop(dtype):
    X, y = regression()[0], labels()
    weight = np.random.default_rng(5).random(50) + 0.1
    nets = [cbp.mlp([3, 20, 4], output="softmax", dtype=dtype, seed=6) for _ in range(2)]
    history = nets[0].fit(X, y, epochs=4, batch_size=8, optimizer="rmsprop", sample_weight=weight)
    expected = by_hand(nets[1], X, y, 4, 8, "rmsprop", True, weight.astype(dtype))
    assert np.array_equal(nets[0].get_vector(), nets[1].get_vector())
    np.testing.assert_allclose(history.loss, expected[:, 0], rtol=1e-7)
    np.testing.assert_allclose(history.accuracy, expected[:, 1], rtol=1e-7)


def test_a_batch_is_no_epoch():
    X, y = regression()
    net = small()
    net.train_on_batch(X, y)
    assert (net.step, net.epoch) == (1, 0)
    net.fit(X, y, epochs=2)
    assert (net.step, net.epoch) == (1 + 2 * 2, 2)
    net.train_on_batch(X, y)
    assert (net.step, net.epoch) == (6, 2)


@pytest.mark.parametrize("batch_size", [50, 51, 10**6, 2**62])
def test_one_batch_of_everything_has_many_names(batch_size):
    X, y = regression()
    nets = [small() for _ in range(3)]
    nets[0].fit(X, y, epochs=3, batch_size=None)
    nets[1].fit(X, y, epochs=3, batch_size=batch_size)
    nets[2].fit(X, y, epochs=3, batch_size=batch_size, shuffle=False)
    assert bits(nets[0]) == bits(nets[1]) == bits(nets[2])


def test_the_shuffle_takes_every_sample_once_and_a_new_order_each_epoch():
    seen = []
    for epoch in range(4):
        order = np.empty(200, np.intp)
        core.permutation(9, epoch, order)
        assert sorted(order) == list(range(200))
        seen.append(tuple(order))
    assert len(set(seen)) == 4
    other = np.empty(200, np.intp)
    core.permutation(10, 0, other)
    assert tuple(other) != seen[0]


def test_shuffled_and_ordered_runs_differ():
    X, y = regression()
    nets = [small(), small()]
    nets[0].fit(X, y, epochs=1)
    nets[1].fit(X, y, epochs=1, shuffle=False)
    assert not np.array_equal(nets[0].get_vector(), nets[1].get_vector())
    np.testing.assert_allclose(nets[0].get_vector(), nets[1].get_vector(), atol=0.05)


def test_a_batch_of_many_pieces_is_one_step():
    """More rows than go through the network at once: still one gradient, one update."""
    X, y = regression(5000)
    nets = [small(), small()]
    vector = nets[0].get_vector()
    loss, gradient = nets[0].gradient(X, y)
    history = nets[0].fit(X, y, epochs=1, batch_size=None, optimizer=cbp.SGD(0.5))
    assert nets[0].step == 1
    assert history.loss[0] == loss
    assert np.array_equal(nets[0].get_vector(), vector - 0.5 * gradient)
    errors = nets[1].predict(X) - y
    assert loss == pytest.approx((errors**2).mean(), rel=1e-12)
    nets[1].fit(X, y, epochs=3, batch_size=2500, shuffle=False)
    assert nets[1].step == 6


# --- sample weights -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ALL_OPTIMIZERS.values(), ids=ALL_OPTIMIZERS)
def test_whole_weights_are_repeated_rows(optimizer):
    X, y = regression()
    counts = np.random.default_rng(0).integers(0, 4, 50)
    nets = [small(l2=0.01), small(l2=0.01)]
    weighted = nets[0].fit(X, y, epochs=5, batch_size=None, optimizer=optimizer, sample_weight=counts)
    repeated = nets[1].fit(X.repeat(counts, 0), y.repeat(counts, 0), epochs=5, batch_size=None, optimizer=optimizer)
    np.testing.assert_allclose(nets[0].get_vector(), nets[1].get_vector(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(weighted.loss, repeated.loss, rtol=1e-10)
    np.testing.assert_allclose(weighted.mean_absolute_error, repeated.mean_absolute_error, rtol=1e-10)


@pytest.mark.parametrize("scale", [2.0**-60, 2.0**-3, 1.0, 2.0**40])
def test_the_scale_of_the_weights_does_not_matter(scale):
    X, y = regression()
    weight = np.random.default_rng(0).integers(0, 5, 50) / 4
    nets = [small(), small()]
    for net, factor in zip(nets, (1.0, scale), strict=True):
        net.fit(X, y, epochs=3, batch_size=8, sample_weight=weight * factor, optimizer=cbp.SGD(0.1))
    assert np.array_equal(nets[0].get_vector(), nets[1].get_vector())


def test_equal_weights_are_no_weights():
    X, y = regression()
    nets = [small(), small()]
    nets[0].fit(X, y, epochs=3)
    nets[1].fit(X, y, epochs=3, sample_weight=np.ones(50))
    assert bits(nets[0]) == bits(nets[1])


def test_rows_of_weight_zero_are_ignored():
    X, y = regression()
    weight = (np.arange(50) % 3 > 0).astype(float)
    spoilt_X, spoilt_y = X.copy(), y.copy()
    spoilt_X[weight == 0], spoilt_y[weight == 0] = 1e6, -1e9
    nets = [small(), small()]
    one = nets[0].fit(X, y, epochs=3, batch_size=10, sample_weight=weight)
    two = nets[1].fit(spoilt_X, spoilt_y, epochs=3, batch_size=10, sample_weight=weight)
    assert bits(nets[0]) == bits(nets[1])
    assert curves(one) == curves(two)
    assert nets[0].evaluate(X, y, weight) == nets[0].evaluate(spoilt_X, spoilt_y, weight)


def test_a_row_of_weight_zero_may_overflow_when_measured():
    """0 times an infinite error is nothing."""
    net = cbp.Network(1, [cbp.Dense(3, "relu", init=1e10), cbp.Dense(1, init=1.0)], loss=MSE, seed=0)
    assert net.evaluate([[1e38], [0.0]], [0.0, 1.0], [0, 1])["loss"] == 1.0


def test_a_batch_of_weight_zero_changes_nothing():
    """No update, no decay, no step: as if its rows were not there."""
    X, y = regression()
    weight = np.ones(50)
    weight[10:20] = 0
    keep = weight > 0
    for optimizer in ALL_OPTIMIZERS.values():
        nets = [small(l1=0.01, l2=0.1), small(l1=0.01, l2=0.1)]
        one = nets[0].fit(X, y, epochs=3, batch_size=10, shuffle=False, sample_weight=weight, optimizer=optimizer)
        two = nets[1].fit(X[keep], y[keep], epochs=3, batch_size=10, shuffle=False, optimizer=optimizer)
        assert bits(nets[0]) == bits(nets[1])
        assert nets[0].step == 12
        for name in curves(one):
            np.testing.assert_allclose(one[name], two[name], rtol=1e-12)


# --- going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ALL_OPTIMIZERS.values(), ids=ALL_OPTIMIZERS)
@pytest.mark.parametrize(("batch_size", "shuffle"), [(8, True), (8, False), (None, True), (50, False)])
def test_two_runs_are_one_run(optimizer, batch_size, shuffle):
    X, y = regression()
    whole, parts = small(l2=0.01), small(l2=0.01)
    one = whole.fit(X, y, epochs=5, batch_size=batch_size, shuffle=shuffle, optimizer=optimizer)
    first = parts.fit(X, y, epochs=2, batch_size=batch_size, shuffle=shuffle, optimizer=optimizer)
    second = parts.fit(X, y, epochs=3, batch_size=batch_size, shuffle=shuffle)
    assert bits(whole) == bits(parts)
    assert curves(one) == {name: first[name].tolist() + second[name].tolist() for name in curves(one)}


@pytest.mark.parametrize("optimizer", [None, cbp.Adam(0.01), "same name"])
def test_an_equal_optimizer_goes_on(optimizer):
    X, y = regression()
    start = "adam" if optimizer == "same name" else cbp.Adam(0.01)
    again = "adam" if optimizer == "same name" else optimizer
    whole, parts = small(), small()
    whole.fit(X, y, epochs=4, optimizer=start)
    parts.fit(X, y, epochs=2, optimizer=start)
    parts.fit(X, y, epochs=2, optimizer=again)
    assert bits(whole) == bits(parts)
    assert parts.step == 8


@pytest.mark.parametrize("other", [cbp.AdamW(0.01, weight_decay=0.0), "sgd"], ids=str)
def test_another_kind_of_optimizer_starts_afresh(other):
    X, y = regression()
    net, reference = small(), small()
    net.fit(X, y, epochs=2, optimizer=cbp.Adam(0.01))
    reference.set_vector(net.get_vector())
    reference._numbers.epoch = 2
    net.fit(X, y, epochs=2, optimizer=other)
    reference.fit(X, y, epochs=2, optimizer=other)
    assert bits(net) == bits(reference)
    assert net.step == 4


def test_a_new_network_takes_adam():
    X, y = regression()
    nets = [small(), small(), small()]
    nets[0].fit(X, y, epochs=2)
    nets[1].fit(X, y, epochs=2, optimizer=cbp.Adam(1e-3))
    nets[2].fit(X, y, epochs=2, optimizer="adam")
    assert nets[0].optimizer == cbp.Adam(1e-3)
    assert bits(nets[0]) == bits(nets[1]) == bits(nets[2])


def test_fit_goes_on_after_train_on_batch_and_the_other_way():
    X, y = regression()
    nets = [small(), small()]
    for net in nets:
        net.train_on_batch(X[:20], y[:20], optimizer=cbp.Adam(0.01))
    nets[0].fit(X, y, epochs=1, batch_size=None)
    nets[1].train_on_batch(X, y)
    assert np.array_equal(nets[0].get_vector(), nets[1].get_vector())
    assert nets[0].step == nets[1].step == 2


def test_no_epochs_is_no_change():
    X, y = regression()
    net = small()
    vector = net.get_vector()
    history = net.fit(X, y, epochs=0, validation_data=(X, y))
    assert history.epochs == 0
    assert list(history) == ["loss", "mean_absolute_error", "val_loss", "val_mean_absolute_error", "seconds"]
    assert all(len(curve) == 0 for curve in history.values())
    assert np.array_equal(net.get_vector(), vector)
    assert (net.step, net.epoch) == (0, 0)


def test_the_same_seed_trains_to_the_same_bits():
    X, y = regression()
    nets = [small(), small()]
    for net in nets:
        net.fit(X, y, epochs=5, batch_size=7)
    assert bits(nets[0]) == bits(nets[1])
    other = cbp.mlp([3, 5, 2], hidden="tanh", dtype="float64", seed=2)
    other.set_vector(small().get_vector())
    other.fit(X, y, epochs=5, batch_size=7)
    assert not np.array_equal(other.get_vector(), nets[0].get_vector())  # the seed is also that of the shuffles


@pytest.mark.parametrize("batch_size", [3, 32, 200, None])
def test_pauses_change_nothing(monkeypatch, batch_size):
    """The core returns to Python every 50 ms, inside an epoch or a batch; no bit depends on where."""
    X, y = regression(3000)
    calm, hasty = small(), small()
    one = calm.fit(X, y, epochs=3, batch_size=batch_size, validation_data=(X, y))
    impatient(monkeypatch)
    two = hasty.fit(X, y, epochs=3, batch_size=batch_size, validation_data=(X, y))
    assert bits(calm) == bits(hasty)
    assert curves(one) == curves(two)
    third = small()
    three = third.fit(X, y, epochs=3, batch_size=batch_size)
    assert bits(third) == bits(calm)
    assert three.loss.tolist() == one.loss.tolist()


@pytest.mark.parametrize("block", [1, 2, 5, 4096])
def test_the_length_of_a_block_changes_nothing(monkeypatch, block):
    X, y = regression(20)
    reference = small()
    expected = reference.fit(X, y, epochs=11, batch_size=6)
    monkeypatch.setattr(fit, "BLOCK", block)
    net = small()
    assert curves(net.fit(X, y, epochs=11, batch_size=6)) == curves(expected)
    assert bits(net) == bits(reference)


def test_thousands_of_epochs():
    X, y = regression(2)
    net, parts = small(), small()
    history = net.fit(X, y, epochs=9000)
    assert history.epochs == 9000
    for epochs in (4096, 1, 4903):
        parts.fit(X, y, epochs=epochs)
    assert bits(net) == bits(parts)


# --- what it measures ---------------------------------------------------------------------------------------------


def test_the_loss_of_a_full_batch_is_that_before_its_update():
    X, y = regression()
    net = small(l1=0.01, l2=0.1)
    expected = [net.evaluate(X, y)]
    for _ in range(4):
        net.fit(X, y, epochs=1, batch_size=None, optimizer=cbp.SGD(0.1))
        expected.append(net.evaluate(X, y))
    history = small(l1=0.01, l2=0.1).fit(X, y, epochs=4, batch_size=None, optimizer=cbp.SGD(0.1))
    assert history.loss.tolist() == [row["loss"] for row in expected[:4]]
    assert history.mean_absolute_error.tolist() == [row["mean_absolute_error"] for row in expected[:4]]


def test_penalties_are_part_of_the_loss():
    X, y = regression()
    bare, punished = small(), small(l1=0.25, l2=0.5)
    weights = [view for name, view in bare.parameters.items() if name.endswith("weight")]
    penalty = sum(0.25 * np.abs(w).sum() + 0.25 * (w**2).sum() for w in weights)
    for measure in (
        lambda net: net.evaluate(X, y)["loss"],
        lambda net: net.gradient(X, y)[0],
        lambda net: net.fit(X, y, epochs=1, batch_size=None, optimizer=cbp.SGD(1e-9)).loss[0],
        lambda net: net.train_on_batch(X, y, optimizer=cbp.SGD(1e-9)),
    ):
        assert measure(punished) - measure(bare) == pytest.approx(penalty, rel=1e-6)


def test_validation_is_evaluate_after_every_epoch():
    X, y = regression(80)
    Xv, yv, weight = X[60:], y[60:], np.arange(20) / 7
    alone, watched, by_epoch = small(l2=0.01), small(l2=0.01), small(l2=0.01)
    one = alone.fit(X[:60], y[:60], epochs=4, batch_size=16)
    two = watched.fit(X[:60], y[:60], epochs=4, batch_size=16, validation_data=(Xv, yv, weight))
    assert bits(alone) == bits(watched)
    assert one.loss.tolist() == two.loss.tolist()
    measured = []
    for _ in range(4):
        by_epoch.fit(X[:60], y[:60], epochs=1, batch_size=16)
        measured.append(by_epoch.evaluate(Xv, yv, weight))
    assert two.val_loss.tolist() == [row["loss"] for row in measured]
    assert two.val_mean_absolute_error.tolist() == [row["mean_absolute_error"] for row in measured]


@pytest.mark.parametrize("pair", [tuple, list])
def test_validation_data_may_be_a_list_and_the_training_data(pair):
    X, y = regression()[0], labels()
    net = classifier()
    history = net.fit(X, y, epochs=3, validation_data=pair([X, y]))
    assert history.val_loss[-1] == net.evaluate(X, y)["loss"]
    assert history.val_accuracy[-1] == net.evaluate(X, y)["accuracy"]


@pytest.mark.parametrize("epochs", [0, 1, 2, 7])
@pytest.mark.parametrize("validated", [False, True])
def test_every_curve_has_one_value_per_epoch(epochs, validated):
    X, y = regression()
    net = small()
    history = net.fit(X, y, epochs=epochs, validation_data=(X, y) if validated else None)
    assert {name: curve.tolist() for name, curve in net.history.items()} == {n: c.tolist() for n, c in history.items()}
    assert history.epochs == epochs
    assert {len(curve) for curve in history.values()} == {epochs}
    assert all(curve.dtype == np.float64 for curve in history.values())
    assert (np.diff(history.seconds) >= 0).all()
    assert (history.seconds >= 0).all()


def test_train_on_batch_returns_the_loss_before_the_update_and_keeps_the_history():
    X, y = regression()
    net = small(l2=0.1)
    net.fit(X, y, epochs=1)
    before, history = net.evaluate(X, y)["loss"], net.history
    loss = net.train_on_batch(X, y)
    assert type(loss) is float
    assert loss == before
    assert net.evaluate(X, y)["loss"] < before
    assert net.history is history


# --- divergence ---------------------------------------------------------------------------------------------------


def linear(dtype="float32", **options):
    return cbp.mlp([3, 2], dtype=dtype, seed=1, **options)


def last_finite(make, data, settings, limit=2000):
    """A network and its curves after the last epoch that ends finite, found epoch by epoch."""
    net, rows = make(), []
    for _ in range(limit):
        before = net.get_vector()
        try:
            history = net.fit(*data, **settings, epochs=1)
        except cbp.DivergedError:
            assert np.array_equal(net.get_vector(), before)
            return net, rows
        rows.append({name: curve[0] for name, curve in history.items() if name != "seconds"})
        assert np.isfinite(net.get_vector()).all()
        assert np.isfinite([history.loss, history.mean_absolute_error]).all()
    raise AssertionError("this run does not diverge")


def relu_trap():
    """A unit whose weight runs off to minus infinity by its momentum, while its output, and the loss, stay finite."""
    net = cbp.Network(1, [cbp.Dense(1, "relu"), cbp.Dense(1)], loss="mean_absolute_error", seed=0)
    net.set_vector([2e-38, 0, 1, 0])  # no less: the core trains with subnormal numbers as 0
    return net


X0, Y0 = regression(60)
DIVERGING = {
    "full batch": (linear, (X0, Y0), {"batch_size": None, "optimizer": cbp.SGD(5.0)}),
    "full batch, double": (lambda: linear("float64"), (X0, Y0), {"batch_size": None, "optimizer": cbp.SGD(1e3)}),
    "shuffled batches": (linear, (X0, Y0), {"batch_size": 7, "optimizer": cbp.SGD(2.5)}),
    "batches in order": (linear, (X0, Y0), {"batch_size": 7, "optimizer": cbp.SGD(2.5), "shuffle": False}),
    "momentum": (linear, (X0, Y0), {"batch_size": 20, "optimizer": cbp.SGD(5.0, momentum=0.9)}),
    "nesterov": (linear, (X0, Y0), {"batch_size": 20, "optimizer": cbp.SGD(5.0, momentum=0.9, nesterov=True)}),
    "weight decay": (linear, (X0, Y0), {"batch_size": None, "optimizer": cbp.SGD(1.0, weight_decay=50.0)}),
    "validation": (linear, (X0, Y0), {"batch_size": 20, "optimizer": cbp.SGD(2.5), "validation_data": (X0, Y0)}),
    "weights": (linear, (X0, Y0), {"batch_size": 20, "optimizer": cbp.SGD(2.5), "sample_weight": np.arange(60)}),
    "penalty": (lambda: linear(l2=10.0), (X0, Y0), {"batch_size": None, "optimizer": cbp.SGD(1.0)}),
    "first epoch": (linear, (X0, Y0), {"batch_size": 7, "optimizer": cbp.SGD(1e30)}),
    "first epoch, its only update": (linear, (X0 * 1e9, Y0), {"batch_size": None, "optimizer": cbp.SGD(1e38)}),
    "only a weight": (relu_trap, ([[1e38]], [0.0]), {"optimizer": cbp.SGD(1e-1, momentum=0.99)}),
    "only a weight, validation": (relu_trap, ([[1e38]], [0.0]), {
        "optimizer": cbp.SGD(1e-1, momentum=0.99), "validation_data": ([[1.0]], [0.0])}),
}


@pytest.mark.parametrize("hasty", [False, True], ids=["calm", "hasty"])
@pytest.mark.parametrize("case", DIVERGING)
def test_a_diverging_run_ends_with_its_last_finite_epoch(monkeypatch, case, hasty):
    make, data, settings = DIVERGING[case]
    reference, rows = last_finite(make, data, settings)
    assert case.startswith("first") == (not rows)
    if hasty:
        impatient(monkeypatch)
    net = make()
    with pytest.raises(cbp.DivergedError, match=rf"epoch {len(rows) + 1}:.*rate") as caught:
        net.fit(*data, **settings, epochs=len(rows) + 500)
    assert bits(net) == bits(reference)
    assert np.isfinite(net.get_vector()).all()
    history = caught.value.history
    assert history.epochs == len(rows)
    assert curves(net.history) == curves(history)
    assert curves(history) == {name: [row[name] for row in rows] for name in curves(history)}
    assert {len(curve) for curve in history.values()} == {len(rows)}
    if rows:
        straight = make()
        straight.fit(*data, **settings, epochs=len(rows))
        assert bits(straight) == bits(net)


def test_only_the_weight_diverges_in_the_relu_trap():
    """The case above is what it says: the loss stays finite while a weight overflows."""
    net = relu_trap()
    losses = [net.fit([[1e38]], [0.0], epochs=1, optimizer=cbp.SGD(1e-1, momentum=0.99)).loss[0] for _ in range(5)]
    assert np.isfinite(losses).all()
    assert net.parameters["0.weight"][0, 0] < -1e37
    net.parameters["0.weight"][...] = -np.inf
    assert np.isfinite(net.evaluate([[1e38]], [0.0])["loss"])


def test_a_penalty_that_overflows_is_a_divergence():
    """The penalties are part of the loss: when they are no longer finite, the loss is not."""
    net = cbp.Network(1, [cbp.Dense(1, init=1e200)], loss=MSE, dtype="float64", l2=1e-3)
    before = net.get_vector()
    with pytest.raises(cbp.DivergedError):
        net.fit([[0.0]], [0.0], epochs=2, optimizer=cbp.SGD(0.1))
    assert np.array_equal(net.get_vector(), before)


def test_a_penalty_that_overflows_is_a_divergence_of_a_batch_too():
    net = cbp.Network(1, [cbp.Dense(1, init=1e200)], loss=MSE, dtype="float64", l2=1e-3)
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch([[0.0]], [0.0], optimizer=cbp.SGD(0.1))


def test_a_state_that_overflows_does_not_stay():
    """Squares of huge gradients overflow float32: an infinite variance would freeze its weight for ever, unseen."""
    net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_absolute_error", seed=0)
    with suppress(cbp.DivergedError):
        net.fit([[1e25]], [0.0], epochs=3, optimizer=cbp.RMSprop(1e-3))
    for arrays in net.optimizer_state.values():
        assert all(np.isfinite(view).all() for view in arrays.values())


def test_divergence_after_a_good_run():
    net = linear()
    good = net.fit(X0, Y0, epochs=3, batch_size=7, optimizer=cbp.SGD(0.01))
    assert good.epochs == 3
    reference = linear()
    reference.fit(X0, Y0, epochs=3, batch_size=7, optimizer=cbp.SGD(0.01))
    with pytest.raises(cbp.DivergedError) as caught:
        net.fit(X0, Y0, epochs=1000, batch_size=7, optimizer=cbp.SGD(2.5))
    assert net.epoch == 3 + caught.value.history.epochs
    assert net.step == net.epoch * 9
    reference.fit(X0, Y0, epochs=caught.value.history.epochs, batch_size=7, optimizer=cbp.SGD(2.5))
    assert bits(net) == bits(reference)


def test_divergence_far_into_a_run(monkeypatch):
    """With copies kept on the way, the way back is short; it must not begin where the numbers were already lost."""
    data = [[1e38]], [0.0]
    settings = {"optimizer": cbp.SGD(1e-1, momentum=0.99)}
    reference, rows = last_finite(relu_trap, data, settings)
    for block in (1, 3, 7, 50):
        impatient(monkeypatch)
        monkeypatch.setattr(fit, "BLOCK", block)
        net = relu_trap()
        with pytest.raises(cbp.DivergedError) as caught:
            net.fit(*data, **settings, epochs=1000)
        assert caught.value.history.epochs == len(rows)
        assert bits(net) == bits(reference)


def test_training_goes_on_after_a_divergence():
    net = linear()
    start = net.get_vector()
    with pytest.raises(cbp.DivergedError):
        net.fit(X0, Y0, epochs=1000, batch_size=None, optimizer=cbp.SGD(5.0))
    net.set_vector(start)
    history = net.fit(X0, Y0, epochs=50, batch_size=None, optimizer=cbp.SGD(0.1))
    assert history.epochs == 50
    assert history.loss[-1] < history.loss[0]


def test_the_error_travels():
    net = linear()
    with pytest.raises(cbp.DivergedError) as caught:
        net.fit(X0, Y0, epochs=1000, batch_size=None, optimizer=cbp.SGD(5.0))
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(error, ArithmeticError)
    assert str(error) == str(caught.value)
    assert curves(error.history) == curves(caught.value.history)


@pytest.mark.parametrize("optimizer", [None, cbp.SGD(1e38), cbp.Adam(1e39), cbp.SGD(1e38, momentum=0.5)], ids=str)
def test_train_on_batch_takes_a_divergence_back(optimizer):
    """Everything is as before the call, also when it came with another optimizer."""
    net = small("float32")
    net.fit(X0, Y0, epochs=2, optimizer=cbp.Adam(0.01))
    if optimizer is None:
        net.set_optimizer(cbp.SGD(1e38, momentum=0.5))
        net.train_on_batch(X0, net.predict(X0))
    before, history = bits(net), net.history
    with pytest.raises(cbp.DivergedError) as caught:
        net.train_on_batch(X0, Y0 * 1e8, optimizer=optimizer)
    assert bits(net) == before
    assert net.history is history
    assert caught.value.history is None
    assert "rate" in str(caught.value)


def test_train_on_batch_takes_a_divergence_of_a_new_network_back():
    net = small("float32")
    before = bits(net)
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch(X0, Y0, optimizer=cbp.SGD(1e39))
    assert bits(net) == before


# --- threads ------------------------------------------------------------------------------------------------------


class Gate:
    """Stands in for the progress display and stops a run in its middle until it is opened."""

    def __init__(self):
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, epochs, wanted):
        return self

    def show(self, done, loss):
        self.reached.set()
        assert self.opened.wait(60)

    def close(self):
        pass


def run_in_thread(function):
    """Start the function; returns a callable that waits for it and gives its result."""
    result = []

    def work():
        try:
            result.append(function())
        except BaseException as problem:  # handed to the test's own thread
            result.append(problem)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()

    def wait():
        thread.join(60)
        assert not thread.is_alive()
        if isinstance(result[0], BaseException):
            raise result[0]
        return result[0]

    return wait


def test_a_second_training_is_refused_and_the_first_unharmed(monkeypatch):
    X, y = regression(200)
    reference = small()
    expected = reference.fit(X, y, epochs=6, batch_size=8)
    gate = Gate()
    monkeypatch.setattr(fit, "Progress", gate)
    monkeypatch.setattr(runner, "PATIENCE", 0.0)
    net = small()
    wait = run_in_thread(lambda: net.fit(X, y, epochs=6, batch_size=8))
    assert gate.reached.wait(60)
    for attempt in (
        lambda: net.fit(X, y), lambda: net.fit(X, y, epochs=0), lambda: net.train_on_batch(X, y),
        lambda: net.set_optimizer("sgd"), lambda: net.fit(X, y, optimizer=cbp.SGD(0.5)),
    ):
        with pytest.raises(RuntimeError, match=r"another thread.*copy"):
            attempt()
    assert np.isfinite(net.predict(X)).all()
    assert np.isfinite(net.evaluate(X, y)["loss"])
    assert np.isfinite(net.gradient(X, y)[1]).all()
    gate.opened.set()
    assert curves(wait()) == curves(expected)
    assert bits(net) == bits(reference)
    net.fit(X, y, epochs=1)  # and now the network is free


def test_training_is_free_after_every_kind_of_end(monkeypatch):
    net = linear()
    with pytest.raises(ValueError, match="epochs"):
        net.fit(X0, Y0, epochs=-1)
    with pytest.raises(cbp.DivergedError):
        net.fit(X0, Y0, epochs=1000, optimizer=cbp.SGD(5.0))
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch(X0, Y0, optimizer=cbp.SGD(1e38))
    with monkeypatch.context() as patch:
        patch.setattr(runner.Runner, "slice", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            net.fit(X0, Y0)
    net.set_vector(linear().get_vector())
    net.fit(X0, Y0, epochs=1, optimizer=cbp.SGD(0.01))


def test_predicting_during_training():
    """Predictions from a network that is being trained are finite, and the training is not disturbed."""
    X, y = regression(300)
    reference = small()
    reference.fit(X, y, epochs=40, batch_size=4)
    net = small()
    wait = run_in_thread(lambda: net.fit(X, y, epochs=40, batch_size=4))
    while net.epoch < 40:
        assert np.isfinite(net.predict(X[:20])).all()
        assert np.isfinite(net.evaluate(X, y)["loss"])
    wait()
    assert bits(net) == bits(reference)
