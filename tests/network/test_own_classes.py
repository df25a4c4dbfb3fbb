"""Classes that derive from Network: copies and pickles keep the type and the attributes."""

import copy
import pickle
import weakref

import numpy as np
import pytest

import cbp
from cbp import modelfile

X = np.random.default_rng(0).normal(size=(20, 3))


class Scaled(cbp.Network):
    """Another signature, a method that is changed, an attribute, and one that leads back."""

    def __init__(self, scale):
        super().__init__(3, [cbp.Dense(4, "tanh"), cbp.Dense(2)], loss="huber", seed=0)
        self.scale = scale
        self.owner = {"net": self, "notes": [1, 2]}

    def predict(self, X):
        return super().predict(X) * self.scale


class Slotted(cbp.Network):
    __slots__ = ("__hidden", "absent", "note")

    def __init__(self):
        super().__init__(3, [cbp.Dense(2)], loss="huber", seed=0)
        self.note = [self, "kept"]
        self.__hidden = 5

    def hidden(self):
        return self.__hidden


class Both(Slotted):
    """Slots and a dict."""

    def __init__(self):
        super().__init__()
        self.more = {"a": [1]}


class Bare(cbp.Network):
    pass


class Stateful(Scaled):
    """With a say of its own in what is kept."""

    def __getstate__(self):
        return {**super().__getstate__(), "lock": None}


def through_pickle(protocol):
    return lambda net: pickle.loads(pickle.dumps(net, protocol))


WAYS = {"copy": copy.copy, "deepcopy": copy.deepcopy} | {
    f"pickle {protocol}": through_pickle(protocol) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)}


@pytest.mark.parametrize("way", WAYS)
def test_type_attributes_and_numbers_are_kept(way):
    net = Scaled(3.0)
    net.fit(X, X[:, :2], epochs=2)
    other = WAYS[way](net)
    assert type(other) is Scaled
    assert other.scale == 3.0
    assert other.owner["net"] is (net if way == "copy" else other)
    assert (other.owner["notes"] is net.owner["notes"]) == (way == "copy")
    assert other.predict(X).tobytes() == net.predict(X).tobytes()
    assert modelfile.dumps(other.snapshot()) == modelfile.dumps(net.snapshot())
    for each in (net, other):
        each.fit(X, X[:, :2], epochs=1)
    assert modelfile.dumps(other.snapshot()) == modelfile.dumps(net.snapshot())


@pytest.mark.parametrize("kind", [Slotted, Both])
@pytest.mark.parametrize("way", WAYS)
def test_slots(way, kind):
    net = kind()
    other = WAYS[way](net)
    assert type(other) is kind
    assert other.hidden() == 5
    assert other.note[0] is (net if way == "copy" else other)
    assert not hasattr(other, "absent")
    if kind is Both:
        assert other.more == {"a": [1]}
    with pytest.raises(AttributeError, match="no attribute 'misspelt'") if kind is Slotted else pytest.MonkeyPatch.context():
        other.misspelt = 1


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_its_own(way):
    net = Bare(3, [cbp.Dense(1)], loss="huber", seed=0)
    assert type(WAYS[way](net)) is Bare
    net.own = 3
    assert WAYS[way](net).own == 3


def test_its_own_say():
    other = copy.deepcopy(Stateful(2.0))
    assert (type(other), other.scale, other.lock) == (Stateful, 2.0, None)


def test_a_plain_network_is_pickled_as_ever():
    net = cbp.mlp([3, 2], seed=0)
    function, arguments = net.__reduce__()
    assert (len(arguments), type(function(*arguments))) == (1, cbp.Network)


def test_from_snapshot_makes_the_class_without_its_init():
    net = Scaled(2.0)
    other = Scaled.from_snapshot(net.snapshot())
    assert type(other) is Scaled
    assert not hasattr(other, "scale")
    assert type(cbp.Network.from_snapshot(net.snapshot())) is cbp.Network


def test_an_error_inside_a_setter_is_its_own():
    class Wrong(cbp.Network):
        @property
        def scale(self):
            return 1

        @scale.setter
        def scale(self, value):
            self.layers.nothing = value

    with pytest.raises(AttributeError, match="nothing"):
        Wrong(2, [cbp.Dense(1)], loss="mean_squared_error").scale = 2


def test_networks_can_be_referred_to_weakly():
    net = cbp.mlp([3, 2], seed=0)
    assert weakref.ref(net)() is net
