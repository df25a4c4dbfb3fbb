"""Public attributes: what may be set is checked and copied, all else is refused with words, and nothing breaks the core."""

import copy
import dataclasses
import warnings

import numpy as np
import pytest
from cases import trained_elsewhere

import cbp
from cbp import modelfile

X = np.random.default_rng(0).normal(size=(20, 3))
Y = X[:, :2].copy()


def trained(seed=0, optimizer="adam"):
    net = cbp.Network(3, [cbp.Dense(4, "tanh"), cbp.BatchNorm(), cbp.Dense(2)], loss="huber", dtype="float64", seed=seed)
    net.fit(X, Y, epochs=2, optimizer=optimizer)
    return net


def everything(net):
    return modelfile.dumps(net.snapshot())


@pytest.mark.parametrize(("name", "value"), [
    ("layers", ()), ("layers", [cbp.Dense(1)]), ("input_shape", (7,)), ("output_shape", (7,)), ("loss", "huber"),
    ("loss", cbp.losses.Huber(2.0)), ("dtype", "float32"), ("seed", 3), ("l1", 0.1), ("l2", 0.1), ("step", 0), ("epoch", 0),
    ("history", None), ("predict", len), ("fit", None),
])  # fmt: skip
def test_what_is_read_only(name, value):
    net = trained()
    before = everything(net)
    with pytest.raises(AttributeError, match=f"{name}.* is read-only"):
        setattr(net, name, value)
    with pytest.raises(AttributeError):
        delattr(net, name)
    assert everything(net) == before


@pytest.mark.parametrize(("name", "words"), [
    ("optimiser", "'optimiser'.*optimizer is"), ("metadat", "did you mean 'metadata'"),
    ("paramters", "did you mean 'parameters'"),
    ("learning_rate", "optimizer"), ("nonsense_xyz", "no attribute 'nonsense_xyz'$"), ("_private", "no attribute '_private'$"),
])  # fmt: skip
def test_misspelt_names(name, words):
    net = trained()
    with pytest.raises(AttributeError, match=words):
        setattr(net, name, 1)
    assert not hasattr(net, name)  # where Python itself suggests a name, in the traceback


@pytest.mark.parametrize("value", [None, 3, [], "text", (1, 2), cbp.Adam, 0.1])
def test_assigned_optimizers_are_checked(value):
    net = trained()
    before = everything(net)
    with pytest.raises((TypeError, ValueError)):
        net.optimizer = value
    with pytest.raises(AttributeError):
        del net.optimizer
    assert everything(net) == before


def test_metadata_is_a_dict():
    net = trained()
    for wrong in (None, [], "text", 3, [("a", 1)]):
        with pytest.raises(TypeError, match="metadata must be a dict"):
            net.metadata = wrong
    notes = {"a": 1}
    net.metadata = notes
    assert net.metadata is notes
    with pytest.raises(AttributeError):
        del net.metadata


KINDS = cbp.optimizers.OPTIMIZERS.values()


@pytest.mark.parametrize("second", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("first", KINDS, ids=lambda kind: kind.name)
def test_every_optimizer_after_every_other(first, second):
    """Whatever way it enters, it finds the state that it needs."""
    for change in (lambda net, new: setattr(net, "optimizer", new), lambda net, new: net.fit(X, Y, epochs=1, optimizer=new),
                   lambda net, new: net.train_on_batch(X[:3], Y[:3], optimizer=new)):
        net = cbp.mlp([3, 64, 64, 2], seed=0)
        net.train_on_batch(X[:3], Y[:3], optimizer=first())
        net.train_on_batch(X[:3], Y[:3])
        change(net, second())
        net.train_on_batch(X[:3], Y[:3])
        net.fit(X, Y, epochs=1)
        assert tuple(net.optimizer_state) == second().slots
        assert np.isfinite(net.get_vector()).all()
        cbp.Network.from_snapshot(modelfile.loads(everything(net)))


# --- arrays -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["parameters", "statistics", "optimizer_state"])
def test_whole_mappings_are_copied(what):
    a, b = trained(0), trained(1)
    setattr(b, what, getattr(a, what))
    before = everything(a)
    groups = getattr(b, what).values() if what == "optimizer_state" else [getattr(b, what)]
    for array in (array for group in groups for array in group.values()):
        assert not any(np.shares_memory(array, other) for other in a.parameters.values())
        array *= 0
    assert everything(a) == before


def test_one_array_is_copied():
    a, b = trained(0), trained(1)
    b.parameters["0.weight"] = a.parameters["0.weight"]
    b.statistics["1.mean"] = a.statistics["1.mean"]
    b.optimizer_state["mean"]["0.weight"] = a.optimizer_state["mean"]["0.weight"]
    b.optimizer_state["variance"] = a.optimizer_state["variance"]
    assert np.array_equal(b.parameters["0.weight"], a.parameters["0.weight"])
    assert np.array_equal(b.optimizer_state["variance"]["2.bias"], a.optimizer_state["variance"]["2.bias"])
    before = everything(a)
    b.parameters["0.weight"][...] = 0
    b.optimizer_state["variance"]["2.bias"][...] = 0
    assert everything(a) == before
    b.parameters["2.bias"] = [1, 2]
    assert b.parameters["2.bias"].tolist() == [1, 2]
    b.parameters["2.bias"] += 1
    assert b.parameters["2.bias"].tolist() == [2, 3]


def test_arrays_that_are_each_others():
    net = cbp.Network(3, [cbp.Dense(3), cbp.Dense(3)], loss="huber", seed=0)
    one, two = (net.parameters[name].copy() for name in ("0.weight", "1.weight"))
    net.parameters = {**net.parameters, "0.weight": net.parameters["1.weight"], "1.weight": net.parameters["0.weight"]}
    assert np.array_equal(net.parameters["0.weight"], two)
    assert np.array_equal(net.parameters["1.weight"], one)


WRONG = {
    "no mapping": (lambda net: setattr(net, "parameters", [1, 2]), TypeError, "parameters must be a mapping"),
    "None": (lambda net: setattr(net, "parameters", None), TypeError, "parameters must be a mapping"),
    "one missing": (lambda net: setattr(net, "parameters", {name: array for name, array in net.parameters.items()
                                                            if name != "2.bias"}), ValueError,
                    r"^parameters lacks 2\.bias; all are replaced at once, parameters\[name\] = \.\.\. replaces one alone$"),
    "one too many": (lambda net: setattr(net, "parameters", {**net.parameters, "3.bias": 1}), ValueError,
                     r"^parameters has the unknown 3\.bias; known: 0\.weight, 0\.bias, .*2\.bias; "),
    "a vector": (lambda net: setattr(net, "parameters", net.get_vector()), TypeError, r"set_vector\(vector\) takes all"),
    "names for a vector": (lambda net: net.set_vector(dict(net.parameters)), TypeError, "network.parameters = vector takes"),
    "none": (lambda net: setattr(net, "parameters", {}), ValueError, "parameters lacks 0.weight, 0.bias, "),
    "no state": (lambda net: setattr(net, "optimizer_state", {}), ValueError, "optimizer_state lacks mean, variance"),
    "state of another": (lambda net: setattr(net, "optimizer_state", {"mean": 1, "squares": 2}), ValueError,
                         "lacks variance and has the unknown squares; known: mean, variance"),
    "one wrong slot": (lambda net: setattr(net, "optimizer_state", {"mean": net.parameters, "variance": {}}), ValueError,
                       r"optimizer_state\['variance'\] lacks 0.weight, "),
    "shape": (lambda net: net.parameters.__setitem__("0.weight", np.ones((4, 3))), ValueError, r"must have the shape \(3, 4\)"),
    "a number": (lambda net: net.parameters.__setitem__("0.weight", 1.0), ValueError, r"must have the shape \(3, 4\)"),
    "NaN": (lambda net: net.parameters.__setitem__("0.bias", [0, 0, 0, np.nan]), ValueError, "every value must be finite"),
    "text": (lambda net: net.parameters.__setitem__("0.bias", ["a"] * 4), TypeError, "must hold numbers"),
    "a name": (lambda net: net.parameters.__setitem__("0.wieght", 1), KeyError, "did you mean '0.weight'"),
    "a slot": (lambda net: net.optimizer_state.__setitem__("means", {}), KeyError, "did you mean 'mean'"),
    "deleted": (lambda net: net.parameters.__delitem__("0.weight"), TypeError, "cannot be deleted"),
    "cleared": (lambda net: net.parameters.clear(), TypeError, "cannot be deleted"),
    "deleted slot": (lambda net: net.optimizer_state.pop("mean"), TypeError, "cannot be deleted"),
    "variance": (lambda net: net.statistics.__setitem__("1.variance", -np.ones(4)), ValueError, "at least 0"),
    "all statistics": (lambda net: setattr(net, "statistics", {"1.mean": np.ones(4), "1.variance": -np.ones(4)}), ValueError,
                       "at least 0"),
    "moments": (lambda net: net.optimizer_state["variance"].__setitem__("0.bias", -np.ones(4)), ValueError, "at least 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_change_nothing(case):
    change, error, words = WRONG[case]
    net = trained()
    before = everything(net)
    with pytest.raises(error, match=words):
        change(net)
    assert everything(net) == before


def test_deleting_the_attributes_themselves():
    net = trained()
    for name in ("parameters", "statistics", "optimizer_state"):
        with pytest.raises(AttributeError):
            delattr(net, name)


def test_views_of_the_user_do_not_reach_the_network():
    """Their shapes, dtypes and flags are the user's; only their numbers are the network's."""
    net = trained()
    before = everything(net)
    for array in (net.parameters["0.weight"], net.statistics["1.mean"], net.optimizer_state["mean"]["0.weight"]):
        array.flags.writeable = False
        with pytest.raises(ValueError, match=r"resize|own its data"):
            array.resize(100)
        owner = array
        while isinstance(owner, np.ndarray):
            with pytest.raises(ValueError, match=r"resize|own its data"):
                owner.resize(1, refcheck=False)
            owner = owner.base
    bias = net.parameters["0.bias"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # NumPy 2.5 would rather have no shape set
        bias.shape = (2, 2)
    assert net.parameters["0.bias"].shape == (4,)
    assert everything(net) == before
    net.fit(X, Y, epochs=1)
    net.train_on_batch(X, Y)


def test_not_while_another_thread_trains():
    net = trained()
    with trained_elsewhere(net):
        for change in (lambda: net.set_vector(net.get_vector()), lambda: setattr(net, "parameters", net.parameters),
                       lambda: net.parameters.__setitem__("0.bias", np.ones(4)), lambda: setattr(net, "optimizer", "adam"),
                       lambda: net.optimizer_state.__setitem__("mean", net.parameters), lambda: net.publish(net.get_vector()),
                       lambda: setattr(net, "optimizer_state", net.optimizer_state)):
            with pytest.raises(RuntimeError, match="another thread"):
                change()


# --- other public classes -----------------------------------------------------------------------------------------

FROZEN = [cbp.Dense(2), cbp.Residual([cbp.Dense(2)]), cbp.Adam(), cbp.SGD(), cbp.losses.Huber(), cbp.losses.MeanSquaredError(),
          cbp.Dense(2, init=1.0).init, trained().snapshot(), trained().trace(X[:1], Y[:1])]


@pytest.mark.parametrize("thing", FROZEN, ids=lambda thing: type(thing).__name__)
def test_specifications_snapshots_and_traces_are_read_only(thing):
    for name in [name for name in dir(thing) if not name.startswith("_")] + ["misspelt"]:
        with pytest.raises(AttributeError):
            setattr(thing, name, 1)
        with pytest.raises(AttributeError):
            delattr(thing, name)


def test_a_history_is_read_only():
    history = trained().history
    for name in ("loss", "epochs", "misspelt", "_curves"):
        with pytest.raises(AttributeError):
            setattr(history, name, [1.0])
    with pytest.raises(TypeError):
        history["loss"] = [1.0]
    assert copy.deepcopy(history).epochs == history.epochs == 2


def test_the_values_of_a_start_cannot_be_changed():
    given = np.full((3, 2), 2.0)
    for init in (given, cbp.initializers.array(given), cbp.initializers.Initializer("array", given), 2.0,
                 cbp.initializers.Initializer("constant", np.array(2.0))):
        layer = cbp.Dense(2, init=init)
        given[...] = 9
        values = layer.init.values
        with pytest.raises(ValueError, match="read-only"):
            values[...] = 5
        with pytest.raises(ValueError, match="WRITEABLE"):
            values.flags.writeable = True
        assert (cbp.Network(3, [layer], loss="huber").parameters["0.weight"] == 2).all()
        given[...] = 2


def test_layers_that_were_changed_do_not_reach_the_core():
    net = cbp.Network((4, 3), [cbp.GRU(5, return_sequences=True), cbp.Dense(2)], loss="huber", seed=0)
    x = np.ones((2, 4, 3))
    expected = net.predict(x)
    for layer, name, value in ((net.layers[0], "units", 50), (net.layers[1], "units", 70)):
        object.__setattr__(layer, name, value)
    assert np.array_equal(net.predict(x), expected)
    net.train_on_batch(x, np.ones((2, 4, 2)))
    with pytest.raises(ValueError, match="no longer those"):
        net.predict_step(x[0, 0])
    for use in (net.save, copy.deepcopy):
        with pytest.raises(ValueError, match="not those of its layers"):
            use("nowhere.cbp") if use == net.save else use(net)


def test_a_slip_for_a_key_is_no_attribute_of_arrays_by_name():
    net = cbp.mlp([2, 1], seed=0)
    net.train_on_batch([[1.0, 2.0]], [1.0])
    for what in "parameters", "statistics", "optimizer_state":
        with pytest.raises(AttributeError, match=rf"^{what} has no attribute 'weight' to set; {what}\[name\] = "):
            getattr(net, what).weight = [[1.0], [2.0]]


@pytest.mark.parametrize(("made", "field", "words"), [
    (cbp.Adam(), "rate", "net.fit"), (cbp.AdamW(), "weight_decay", "net.fit"), (cbp.Dense(2), "units", "network is built"),
    (cbp.losses.Huber(), "delta", "network is built")])
def test_what_is_specified_stays_and_says_how_another_is_made(made, field, words):
    told = rf"^'{field}' of {type(made).__name__} is fixed .* dataclasses.replace\(it, {field}=...\) .*{words}"
    with pytest.raises(dataclasses.FrozenInstanceError, match=told):
        setattr(made, field, 1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="has no field 'units_' to set"):
        made.units_ = 1
