"""Optimizers of one kind go on with the state of each other, others begin; what the core does not know is refused."""

import numpy as np
import pytest

import cbp
from cbp.engine.cpu import core

X = np.random.default_rng(0).normal(size=(30, 3))
Y = X @ [[1.0, 0.5], [-1.0, 2.0], [0.0, 1.0]]


def small():
    return cbp.mlp([3, 5, 2], hidden="tanh", dtype="float64", seed=1)


def train_on_batch(net, optimizer):
    net.train_on_batch(X, Y, optimizer=optimizer)


def fit(net, optimizer):
    net.fit(X, Y, epochs=1, batch_size=None, optimizer=optimizer)


def everything(net):
    state = {slot: {name: array.tolist() for name, array in arrays.items()} for slot, arrays in net.optimizer_state.items()}
    return net.get_vector().tolist(), state, net.step, net.epoch, net.optimizer, net.output_shape


@pytest.mark.parametrize("train", [train_on_batch, fit])
def test_slots_that_numbers_make_necessary_start_at_0_and_others_are_dropped(train):
    net, plain = small(), small()
    train(net, cbp.SGD(0.1))
    train(plain, cbp.SGD(0.1))
    train(net, cbp.SGD(0.05, momentum=0.9))
    train(plain, cbp.SGD(0.05))
    np.testing.assert_array_equal(net.get_vector(), plain.get_vector())  # the first step of a momentum is that of none
    train(net, cbp.SGD(0.05, momentum=0.5, nesterov=True))
    assert (list(net.optimizer_state), net.step) == (["velocity"], 3)
    train(net, cbp.SGD(0.05))
    assert (list(net.optimizer_state), net.step) == ([], 4)


@pytest.mark.parametrize("kind", cbp.optimizers.OPTIMIZERS.values(), ids=lambda kind: kind.name)
@pytest.mark.parametrize("train", [train_on_batch, fit])
def test_the_rate_alone_changes(train, kind):
    """Ten steps with a new object of the same numbers are ten steps with one object."""
    net, other = small(), small()
    for _ in range(10):
        train(net, kind(0.003))
        train(other, None if other.step else kind(0.003))
    assert everything(net) == everything(other)
    train(net, kind(0.001))
    assert net.step == 11
    assert net.optimizer == kind(0.001)


def test_another_kind_and_set_optimizer_start_afresh():
    for change in (lambda net: net.set_optimizer(cbp.Adam(0.02)), lambda net: setattr(net, "optimizer", cbp.Adam(0.02)),
                   lambda net: net.set_optimizer("adamw")):
        net = small()
        fit(net, cbp.Adam(0.01))
        change(net)
        assert net.step == 0
        assert not any(array.any() for arrays in net.optimizer_state.values() for array in arrays.values())
        fit(net, None)
        assert net.step == 1


@pytest.mark.parametrize("optimizer", [cbp.Adam(1e300), cbp.SGD(1e300, momentum=0.5), cbp.SGD(1e300)], ids=str)
@pytest.mark.parametrize("train", [train_on_batch, fit])
def test_what_fails_leaves_the_optimizer_from_before(train, optimizer):
    net = small()
    train(net, cbp.SGD(0.01))
    view, before = net.parameters["0.weight"], everything(net)
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch(X, Y * 1e200, optimizer=optimizer) if train is train_on_batch else net.fit(
            X, Y * 1e200, optimizer=optimizer, batch_size=None)
    assert everything(net) == before
    for wrong in (X[:, :2], X * np.nan, "text"):
        with pytest.raises((TypeError, ValueError)):
            net.train_on_batch(wrong, Y, optimizer=optimizer)
        with pytest.raises((TypeError, ValueError)):
            net.fit(wrong, Y, optimizer=optimizer)
    assert everything(net) == before
    train(net, None)
    np.testing.assert_array_equal(view, net.parameters["0.weight"])


def test_views_of_the_state_stay_valid_after_a_failure():
    net = small()
    net.train_on_batch(X, Y, optimizer=cbp.Adam(0.01))
    view = net.optimizer_state["mean"]["0.weight"]
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch(X, Y * 1e200)
    net.train_on_batch(X, Y)
    np.testing.assert_array_equal(view, net.optimizer_state["mean"]["0.weight"])


# --- what the core does not know ----------------------------------------------------------------------------------


class Half(cbp.Adam):
    slots = ("mean",)


class Loud(cbp.losses.MeanSquaredError):
    pass


class Thick(cbp.Dense):
    pass


ENTRANCES = {
    "fit": lambda net: net.fit(X, Y, optimizer=Half()),
    "train_on_batch": lambda net: net.train_on_batch(X, Y, optimizer=Half()),
    "the short way": lambda net: (net.train_on_batch(X, Y, optimizer="adam"), net.train_on_batch(X, Y, optimizer=Half())),
    "set_optimizer": lambda net: net.set_optimizer(Half()),
    "assignment": lambda net: setattr(net, "optimizer", Half()),
    "trace": lambda net: net.trace(X, Y, optimizer=Half()),
    "snapshot": lambda net: cbp.Network.from_snapshot(changed(net, optimizer=Half())),
    "a class": lambda net: net.fit(X, Y, optimizer=cbp.Adam),
    "loss": lambda net: cbp.Network(3, [cbp.Dense(2)], loss=Loud()),
    "loss of mlp": lambda net: cbp.mlp([3, 2], loss=Loud()),
    "loss of a snapshot": lambda net: cbp.Network.from_snapshot(changed(net, loss=Loud())),
    "layer": lambda net: cbp.Network(3, [Thick(2)], loss="huber"),
    "layer of a snapshot": lambda net: cbp.Network.from_snapshot(changed(net, layers=(Thick(5, "tanh"), cbp.Dense(2)))),
}


def changed(net, **fields):
    snapshot = net.snapshot()
    for name, value in fields.items():
        object.__setattr__(snapshot, name, value)
    return snapshot


@pytest.mark.parametrize("entrance", ENTRANCES)
def test_subclasses_are_refused(entrance):
    net = small()
    net.train_on_batch(X, Y)
    with pytest.raises(TypeError, match=r"^(optimizer|loss|layers\[0\]) must be"):
        ENTRANCES[entrance](net)
    assert isinstance(net.optimizer, cbp.Adam)


def test_the_core_knows_how_many_arrays_a_rule_reads():
    for name, kind in cbp.optimizers.OPTIMIZERS.items():
        assert core.STATES[kind().rule] == len(kind().slots), name
    assert (core.STATES["momentum"], core.STATES["nesterov"]) == (1, 1)


@pytest.mark.parametrize("train", [train_on_batch, fit])
@pytest.mark.parametrize("slots", [(), ("mean",), ("mean", "variance", "more")])
def test_a_class_that_was_changed_does_not_reach_the_core(monkeypatch, slots, train):
    net = small()
    before = everything(net)
    monkeypatch.setattr(cbp.Adam, "slots", slots)
    with pytest.raises(ValueError, match=r"state arrays.*are not to be changed"):
        train(net, cbp.Adam())
    with pytest.raises(ValueError, match="state arrays"):
        train(net, cbp.AdamW())
    monkeypatch.undo()
    assert everything(net) == before


@pytest.mark.parametrize("train", [train_on_batch, fit])
def test_an_optimizer_that_was_changed_does_not_reach_the_core(train):
    net, optimizer = small(), cbp.SGD(0.01)
    train(net, optimizer)
    object.__setattr__(optimizer, "momentum", 0.9)
    for _ in range(3):
        train(net, optimizer)
        train(net, None)
    assert np.isfinite(net.get_vector()).all()


def test_a_loss_that_was_changed_does_not_reach_the_core(monkeypatch):
    net = small()
    monkeypatch.setattr(type(net.loss), "targets", "class")
    with pytest.raises(ValueError, match="takes no labels"):
        net.fit(X, np.zeros(len(X), int))
