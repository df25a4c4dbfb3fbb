"""Snapshots: a network at one moment, and the network that can be made of it again."""

from dataclasses import replace

import numpy as np
import pytest
from cases import dumps, trained_elsewhere

import cbp
from cbp import modelfile


def trained(epochs=2):
    X = np.random.default_rng(0).normal(size=(20, 5))
    net = cbp.Network(5, [cbp.Dense(7, "tanh"), cbp.BatchNorm(), cbp.Dropout(0.1), cbp.Dense(1)], loss="huber", seed=3, l2=1e-3)
    net.metadata["note"] = "kept"
    net.fit(X, X[:, 0], epochs=epochs, batch_size=6)
    return net, X


def test_it_keeps_the_moment():
    net, X = trained()
    before, snapshot = dumps(net), net.snapshot()
    net.fit(X, X[:, 0], epochs=1)
    net.metadata["note"] = "changed"
    assert modelfile.dumps(snapshot) == before != dumps(net)


def test_a_network_of_it_goes_on():
    net, X = trained()
    other = cbp.Network.from_snapshot(net.snapshot())
    assert dumps(other) == dumps(net)
    for each in (net, other):
        each.fit(X, X[:, 0], epochs=2, batch_size=6)
    assert dumps(other) == dumps(net)


def test_the_network_owns_its_numbers():
    net, _ = trained()
    snapshot = net.snapshot()
    other = cbp.Network.from_snapshot(snapshot)
    other.parameters["0.weight"][:] = 0
    other.metadata["note"] = "changed"
    assert snapshot.parameters["0.weight"].all()
    assert dumps(cbp.Network.from_snapshot(snapshot)) == dumps(net)


def test_arrays_given_as_a_start_stay_those_of_the_layers():
    start = np.arange(3.0).reshape(3, 1)
    net = cbp.Network(3, [cbp.Dense(1, init=start)], loss="hinge", seed=0)
    other = cbp.Network.from_snapshot(net.snapshot())
    assert other.layers == net.layers
    assert np.array_equal(other.parameters["0.weight"], start)


def test_several_networks_of_one_file(tmp_path):
    net, _ = trained()
    modelfile.save(net.snapshot(), tmp_path / "net.cbp")
    snapshot = modelfile.load(tmp_path / "net.cbp")
    assert dumps(cbp.Network.from_snapshot(snapshot)) == dumps(cbp.load(tmp_path / "net.cbp")) == dumps(net)


def without(arrays, name):
    return {other: array for other, array in arrays.items() if other != name}


@pytest.mark.parametrize(("changed", "words"), [
    (lambda whole: {"parameters": without(whole.parameters, "0.bias")}, "parameters lacks 0.bias; "),
    (lambda whole: {"parameters": {**whole.parameters, "0.bias": np.ones(1)}}, r"'0.bias'\] must have the shape \(7,\)"),
    (lambda whole: {"statistics": {}}, "statistics lacks 1.mean, 1.variance; "),
    (lambda whole: {"optimizer_state": {}}, "optimizer_state lacks mean, variance; "),
    (lambda whole: {"layers": ()}, "layers is empty"),
    (lambda whole: {"epoch": -1}, "epoch must be"),
    (lambda whole: {"loss": "nothing"}, "loss: unknown name"),
])  # fmt: skip
def test_what_is_no_network_is_refused(changed, words):
    snapshot = trained()[0].snapshot()
    with pytest.raises(ValueError, match=words):
        cbp.Network.from_snapshot(replace(snapshot, **changed(snapshot)))


def test_arrays_that_are_not_those_of_the_layers_are_not_saved():
    snapshot = trained()[0].snapshot()
    with pytest.raises(ValueError, match="its arrays are not those of its layers"):
        modelfile.dumps(replace(snapshot, statistics={}))


def test_not_while_another_thread_trains():
    net, _ = trained()
    with trained_elsewhere(net), pytest.raises(RuntimeError, match="another thread"):
        net.snapshot()
