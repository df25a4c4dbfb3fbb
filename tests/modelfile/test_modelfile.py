"""Saving and loading: what is kept, what the bytes are, and that a file is replaced as a whole or not at all."""

import copy
import json
import os
import pickle
import re
import struct
import zlib
from dataclasses import fields, replace

import facts
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from cases import ALL_LOSSES, ALL_OPTIMIZERS, dumps, loads, targets
from cases import LAYERS as LAYER_CASES
from places import ROOT

import cbp
from cbp import initializers, layers, losses, modelfile


def trained(loss="cross_entropy", optimizer=None, dtype="float32", hidden="tanh", epochs=3):
    """A small network, and the data that it was trained on."""
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 5)), targets(loss, rng, 20)
    stack = [cbp.Dense(7, hidden), cbp.Dense(4, "relu", bias=False), cbp.Dense(3, facts.LOSSES[losses.get(loss).name].output)]
    net = cbp.Network(5, stack, loss=loss, dtype=dtype, seed=3, l1=1e-4, l2=1e-3)
    if epochs:
        net.fit(X, y, epochs=epochs, batch_size=6, optimizer=optimizer or cbp.Adam(0.01))
    return net, X, y


KEPT = ["input_shape", "output_shape", "layers", "loss", "dtype", "seed", "l1", "l2"]
KEPT += ["optimizer", "step", "epoch", "metadata"]


def assert_same(one, other):
    for name in KEPT:
        assert getattr(one, name) == getattr(other, name), name
    assert list(one.parameters) == list(other.parameters)
    assert list(one.optimizer_state) == list(other.optimizer_state)
    for name, values in one.parameters.items():
        assert np.array_equal(values, other.parameters[name])
        for slot in one.optimizer_state:
            assert np.array_equal(one.optimizer_state[slot][name], other.optimizer_state[slot][name])


# What is kept


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", ALL_OPTIMIZERS.values(), ids=ALL_OPTIMIZERS)
def test_training_goes_on_after_loading_as_if_it_had_not_stopped(optimizer, dtype, tmp_path):
    through, X, y = trained(optimizer=optimizer, dtype=dtype, epochs=6)
    stopped, X, y = trained(optimizer=optimizer, dtype=dtype, epochs=3)
    stopped.save(tmp_path / "net.cbp")
    loaded = cbp.load(tmp_path / "net.cbp")
    assert_same(loaded, stopped)
    loaded.fit(X, y, epochs=3, batch_size=6)
    assert_same(loaded, through)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL_LOSSES)
def test_every_loss_is_kept(name, dtype):
    net, X, _ = trained(ALL_LOSSES[name], dtype=dtype)
    loaded = loads(dumps(net))
    assert_same(loaded, net)
    assert np.array_equal(loaded.predict(X), net.predict(X))


@pytest.mark.parametrize("hidden", facts.ACTIVATIONS)
def test_every_activation_is_kept(hidden):
    net, X, _ = trained(hidden=hidden, epochs=0)
    loaded = loads(dumps(net))
    assert_same(loaded, net)
    assert np.array_equal(loaded.predict(X), net.predict(X))


def test_an_untrained_network_has_no_optimizer_and_keeps_its_first_weights():
    net, _, _ = trained(epochs=0)
    assert net.optimizer is None
    loaded = loads(dumps(net))
    assert_same(loaded, net)
    assert loaded.optimizer is None


@pytest.mark.parametrize("init", [*initializers.INITIALIZERS, 0.25, -0.0])
def test_initializers_are_kept(init):
    net = cbp.Network(4, [cbp.Dense(3, init=init)], loss="mean_squared_error")
    assert_same(loads(dumps(net)), net)


def test_an_array_given_as_initializer_is_not_kept_but_the_weights_are():
    net = cbp.Network(2, [cbp.Dense(2, "relu", init=[[1, 2], [3, 4]])], loss="mean_squared_error")
    loaded = loads(dumps(net))
    assert loaded.layers == (cbp.Dense(2, "relu"),)
    assert loaded.parameters["0.weight"].tolist() == [[1, 2], [3, 4]]
    assert dumps(loaded) == dumps(net)


def test_the_bend_of_the_huber_loss_is_kept():
    net = cbp.Network(2, [cbp.Dense(1)], loss=losses.huber(0.1))
    assert loads(dumps(net)).loss == losses.huber(0.1)


def test_an_optimizer_of_another_kind_is_refused():
    class Own(cbp.SGD):
        pass

    net, _, _ = trained(epochs=0)
    net._numbers.optimizer = Own(0.1)
    with pytest.raises(TypeError, match=r"the optimizer cannot be saved: .*Own.* is none of cbp's optimizers"):
        dumps(net)


def test_metadata_is_kept():
    net, _, _ = trained(epochs=0)
    data = {
        "names": ["ä", "\x00", "\U0001f600", '"\\'],
        "mean": [0.1, -0.0, 1e-300, 3],
        "n": 2**70,
        "deep": {"": None, "yes": True},
    }
    net.metadata.update(data)
    loaded = loads(dumps(net))
    assert loaded.metadata == data
    loaded.metadata["names"].append("more")
    assert net.metadata == data


def test_a_network_of_some_megabytes(tmp_path):
    net = cbp.mlp([700, 800, 17], seed=0, dtype="float64")
    net.set_optimizer("sgd")
    net.save(tmp_path / "net.cbp")
    assert_same(cbp.load(tmp_path / "net.cbp"), net)


def test_loaded_weights_can_be_changed():
    net = loads(dumps(trained()[0]))
    net.parameters["0.weight"][0, 0] = 7
    net.optimizer_state["mean"]["0.weight"][0, 0] = 7
    assert net.get_vector()[0] == 7


@pytest.mark.parametrize("copier", [copy.deepcopy, copy.copy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_equal_and_independent(copier):
    net, X, y = trained()
    before = dumps(net)
    other = copier(net)
    assert_same(other, net)
    other.fit(X, y, epochs=1)
    assert dumps(net) == before


# The bytes


def test_the_same_network_gives_the_same_bytes(tmp_path):
    net, _, _ = trained()
    net.metadata.update(b=1, a={"d": 1, "c": 2})
    again, _, _ = trained()
    again.metadata.update(a={"c": 2, "d": 1}, b=1)
    net.save(tmp_path / "net.cbp")
    data = (tmp_path / "net.cbp").read_bytes()
    assert dumps(net) == dumps(again) == data
    assert dumps(loads(data)) == data


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_safetensors_package_reads_the_same_numbers(dtype, tmp_path):
    net, _, _ = trained(dtype=dtype)
    net.save(tmp_path / "net.cbp")
    arrays = safetensors.numpy.load_file(tmp_path / "net.cbp")
    slots = {f"optimizer.{slot}.{name}" for slot in ("mean", "variance") for name in net.parameters}
    assert arrays.keys() == net.parameters.keys() | slots
    for name, values in net.parameters.items():
        assert arrays[name].dtype == net.dtype
        assert np.array_equal(arrays[name], values)
        assert np.array_equal(arrays[f"optimizer.mean.{name}"], net.optimizer_state["mean"][name])
    with safetensors.safe_open(tmp_path / "net.cbp", "numpy") as file:
        description = json.loads(file.metadata()["cbp"])
    assert description["format"] == 3
    assert description["optional"] == {"cbp": cbp.__version__}
    assert description["layers"][1] == {
        "kind": "dense", "units": 4, "activation": "relu", "bias": False, "init": "he_normal",
    }  # fmt: skip


def test_a_file_written_in_another_order_is_read():
    net, _, _ = trained()
    data = dumps(net)
    arrays = safetensors.numpy.load(data)
    size = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    rewritten = safetensors.numpy.save(arrays, {**metadata, "other": "program"})
    assert rewritten != data
    assert_same(loads(rewritten), net)


def test_numbers_begin_at_a_multiple_of_eight():
    for length in range(9):
        net = cbp.Network(2, [cbp.Dense(1)], loss="mean_squared_error")
        net.metadata["x"] = "x" * length
        assert struct.unpack("<Q", dumps(net)[:8])[0] % 8 == 0


def test_a_file_without_the_optimizer_predicts_and_is_smaller(tmp_path):
    net, X, y = trained()
    net.optimizer_state["mean"]["0.weight"][0, 0] = np.nan  # what is not written is not looked at
    before = net.optimizer
    net.save(tmp_path / "small.cbp", optimizer=False)
    assert net.optimizer == before
    loaded = cbp.load(tmp_path / "small.cbp")
    assert (loaded.optimizer, loaded.step, dict(loaded.optimizer_state)) == (None, 0, {})
    assert (loaded.epoch, loaded.seed) == (net.epoch, net.seed)
    assert np.array_equal(loaded.predict(X), net.predict(X))
    net.set_optimizer(before)
    assert modelfile.dumps(net.snapshot(), optimizer=False) == (tmp_path / "small.cbp").read_bytes() == dumps(loaded)
    assert 2 * len(dumps(loaded)) < len(dumps(net))
    loaded.fit(X, y, epochs=1, optimizer="adam")
    assert loaded.step == 1


@pytest.mark.parametrize("value", [0, None, "adam"])
def test_optimizer_of_save_is_true_or_false(value, tmp_path):
    with pytest.raises(TypeError, match="optimizer must be True or False"):
        trained()[0].save(tmp_path / "net.cbp", optimizer=value)
    assert not os.listdir(tmp_path)


# Optional keys


def described(net):
    """The description in a network's file, and a function that gives the network of a changed one."""
    data = dumps(net)
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])

    def changed(description):
        text = json.dumps(description)
        checksum = zlib.crc32(data[8 + size :], zlib.crc32(text.encode()))
        raw = json.dumps(header | {"__metadata__": {"cbp": text, "crc32": f"{checksum:08x}"}}).encode()
        return loads(struct.pack("<Q", len(raw)) + raw + data[8 + size :])

    return json.loads(header["__metadata__"]["cbp"]), changed


def test_a_file_tells_who_wrote_it():
    assert described(trained()[0])[0]["optional"] == {"cbp": cbp.__version__}


@pytest.mark.parametrize("copier", [lambda net: net, copy.deepcopy, lambda net: loads(dumps(net))])
def test_optional_keys_of_a_newer_cbp_are_kept_and_written_back(copier):
    description, changed = described(trained()[0])
    newer = {"unheard": {"of": [1, "ä", None]}, "another": 0}
    description["optional"] |= newer | {"cbp": "9.1"}
    net = copier(changed(description))
    assert described(net)[0]["optional"] == newer | {"cbp": cbp.__version__}
    assert net.snapshot().extras == newer


@pytest.mark.parametrize("version", [1, 2, 3])
def test_optional_keys_may_be_absent(version):
    net, _, _ = trained()
    description, changed = described(net)
    del description["optional"]
    assert_same(changed(of_format(version, description)), net)


def of_format(version, description):
    """A description without what came with later formats."""
    if version < 3:
        for key in ("averaged", "since", "frozen", "rate_multipliers"):
            del description[key]
        for setting in fields(cbp.optimizers.OPTIMIZERS[description["optimizer"]["name"]]):
            if setting.metadata.get("since", 0) > version:
                del description["optimizer"][setting.name]
    return description | {"format": version}


@pytest.mark.parametrize("key", ["averaged", "since", "frozen", "rate_multipliers"])
def test_a_key_of_format_3_in_a_file_of_format_2_is_refused(key):
    description, changed = described(trained()[0])
    value = description[key]
    with pytest.raises(cbp.ModelFileError, match=f"unknown key '{key}'"):
        changed(of_format(2, description) | {key: value})


def test_a_snapshot_cannot_give_an_extra_the_name_of_a_known_key():
    snapshot = replace(trained()[0].snapshot(), extras={"cbp": "8"})
    with pytest.raises(ValueError, match="extras of a snapshot must be keys that cbp does not know, got cbp"):
        modelfile.dumps(snapshot)


# What cannot be saved


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused_before_the_file_is_touched(value, tmp_path):
    net, _, _ = trained()
    net.save(tmp_path / "net.cbp")
    before = (tmp_path / "net.cbp").read_bytes()
    net.optimizer_state["variance"]["2.bias"][1] = value
    with pytest.raises(ValueError, match=r"optimizer\.variance\.2\.bias holds a value that is not .*; set_optimizer"):
        net.save(tmp_path / "net.cbp")
    net.parameters["1.weight"][1, 2] = value
    with pytest.raises(ValueError, match=r"saved or copied: 1\.weight holds a value that is not finite, -?(nan|inf) at "
                                         r"index \(1, 2\); write finite values to network\.parameters\['1\.weight'\]"):
        net.save(tmp_path / "net.cbp")
    assert os.listdir(tmp_path) == ["net.cbp"]
    assert (tmp_path / "net.cbp").read_bytes() == before


def test_a_negative_variance_is_refused():
    net, _, _ = trained()
    net.optimizer_state["variance"]["2.bias"][1] = -1
    with pytest.raises(ValueError, match=r"optimizer\.variance\.2\.bias holds a value below 0; set_optimizer"):
        dumps(net)


def test_a_negative_running_variance_is_refused(tmp_path):
    net = cbp.Network(2, [cbp.BatchNorm()], loss="mean_squared_error")
    net.statistics["0.variance"][1] = -1
    with pytest.raises(ValueError, match=r"0\.variance holds a value below 0; network\.statistics\[.*\]\[:\] = 1 mends"):
        net.save(tmp_path / "net.cbp")
    assert not os.listdir(tmp_path)


def nested(levels):
    return [nested(levels - 1)] if levels else []


CIRCLE = []
CIRCLE.append(CIRCLE)

REFUSED_METADATA = {
    "array": (np.zeros(2), TypeError, r"metadata\['x'\] must be JSON data .*tolist.*, got ndarray"),
    "numpy scalar": (np.float32(1), TypeError, "got float32"),
    "key": ({1: 2}, TypeError, r"metadata\['x'\]: keys must be strings, got 1"),
    "set": ([1, {"y": {2}}], TypeError, r"metadata\['x'\]\[1\]\['y'\] must be JSON data .* got set"),
    "bytes": (b"x", TypeError, "got bytes"),
    "nan": (float("nan"), ValueError, r"metadata\['x'\] must be finite, got nan"),
    "digits": (10**5000, ValueError, "more than 400 digits"),
    "surrogate": ("\ud800", ValueError, "surrogate"),
    "surrogate in a key": ({"\udfff": 1}, ValueError, "surrogate"),
    "deep": (nested(70), ValueError, "metadata: nested too deeply"),
    "circle": (CIRCLE, ValueError, "metadata: nested too deeply"),
    "long": ("x" * 17_000_000, ValueError, "the header of the model file would take 17,.* the limit is"),
    "many": ([0] * 1_000_000, ValueError, "more than 1,000,000 items"),
}


@pytest.mark.parametrize("case", REFUSED_METADATA)
def test_metadata_that_a_file_cannot_hold_is_refused(case, tmp_path):
    value, error, message = REFUSED_METADATA[case]
    net, _, _ = trained(epochs=0)
    net.metadata["x"] = value
    with pytest.raises(error, match=message):
        net.save(tmp_path / "net.cbp")
    assert not os.listdir(tmp_path)


def test_the_most_nested_metadata_that_can_be_saved_can_be_loaded():
    net, _, _ = trained(epochs=0)
    net.metadata["x"] = nested(61)
    assert loads(dumps(net)).metadata == net.metadata


def test_every_layer_can_be_saved():
    known = {kind for kind in vars(layers).values() if isinstance(kind, type) and issubclass(kind, layers.Layer)}
    assert set(layers.LAYERS.values()) == known - {layers.Layer}


def test_a_layer_of_another_kind_is_refused(monkeypatch):
    net, _, _ = trained(epochs=0)
    monkeypatch.setattr("cbp.modelfile.description.LAYERS", {})
    with pytest.raises(TypeError, match="layer 0 cannot be saved: Dense is none of cbp's layers"):
        dumps(net)


# The page that describes the format


def tables_of_layers():
    """Of docs/model-file.md: kind -> (keys, arrays) of the table of kinds, and the keys that the table after it explains."""
    page = (ROOT / "docs" / "model-file.md").read_text(encoding="utf-8")
    section = page[page.index("A layer is `kind`") : page.index("**JSON, strictly.**")]
    kinds, keys = (table.splitlines() for table in re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE))
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in kinds[2:]]
    explained = [name for line in keys[2:] for name in re.findall(r"`(\w+)`", line.split("|")[1])]
    return {kind.strip("`"): (re.findall(r"`(\w+)`", names), arrays) for kind, names, arrays in rows}, explained


DOCUMENTED, EXPLAINED = tables_of_layers()


def promised(layer, shape):
    """The arrays, name -> shape, that the page promises for a layer: its parameters, and its statistics."""
    kind = next(name for name, kind in layers.LAYERS.items() if type(layer) is kind)
    written = DOCUMENTED[kind][1]
    if kind == "bidirectional":
        assert re.findall(r"`(.*?)`", written) == ["forward.", "backward.", "layer"]
        inner = promised(layer.layer, shape)[0]
        return {f"{side}.{name}": size for side in ("forward", "backward") for name, size in inner.items()}, {}
    if kind == "residual":
        assert re.findall(r"`(.*?)`", written) == ["0.", "1.", "layers", "skip.weight"]
        return promised_inside(layer, shape)
    sizes = {name: getattr(layer, name, None) for name in EXPLAINED} | {"inputs": shape[-1]}
    kernel = sizes["kernel_size"]
    sizes["height"], sizes["width"] = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    sizes["kernel"] = kernel
    found = [
        (name, star, tuple(int(eval(axis, {}, sizes)) for axis in axes.split(",")))
        for name, star, axes in re.findall(r"`(\w+)`(\*?) \((.*?)\)", written)
        if name != "bias" or layer.bias
    ]
    return {name: size for name, star, size in found if not star}, {name: size for name, star, size in found if star}


def promised_inside(layer, shape):
    """The same of a residual block."""
    parameters, statistics, inner_shape = {}, {}, shape
    for k, inner in enumerate(layer.layers):
        for arrays, own in zip((parameters, statistics), promised(inner, inner_shape), strict=True):
            arrays |= {f"{k}.{name}": size for name, size in own.items()}
        inner_shape = inner.output_shape(inner_shape)
    if inner_shape != shape:
        ones = (1,) * (len(shape) - 1 if inner_shape[:-1] != shape[:-1] else 0)
        parameters["skip.weight"] = (*ones, shape[-1], inner_shape[-1])
    return parameters, statistics


def test_the_page_lists_every_kind_of_layer_with_its_keys():
    assert {kind: names for kind, (names, _) in DOCUMENTED.items()} == {
        kind: [field.name for field in sorted(fields(layer), key=lambda field: bool(field.kw_only))]
        for kind, layer in layers.LAYERS.items()
    }
    assert sorted(EXPLAINED) == sorted({name for names, _ in DOCUMENTED.values() for name in names})


RESIDUALS = {
    "residual, changed features": (cbp.Residual([cbp.Dense(3, bias=False)]), (4, 2)),
    "residual, shorter sequence": (cbp.Residual([cbp.Conv1D(3, 3, stride=2, padding="same")]), (6, 2)),
    "residual in residual": (cbp.Residual([cbp.Residual([cbp.Dense(3), cbp.BatchNorm()]), cbp.Dense(2)]), (2,)),
}


@pytest.mark.parametrize("case", [*LAYER_CASES, *RESIDUALS])
def test_the_page_promises_the_arrays_that_there_are(case):
    layer, shape = (LAYER_CASES | RESIDUALS)[case]
    net = cbp.Network(shape, [layer, cbp.BatchNorm()], loss="mean_squared_error", seed=0)
    net.set_optimizer(cbp.SGD(0.1, momentum=0.9))
    parameters, statistics = promised(layer, shape)
    size = net.output_shape[-1:]
    expected = {f"0.{name}": axes for name, axes in parameters.items()} | {"1.scale": size, "1.shift": size}
    states = {f"optimizer.velocity.{name}": axes for name, axes in expected.items()}
    expected |= {f"0.{name}": axes for name, axes in statistics.items()} | {"1.mean": size, "1.variance": size} | states
    data = dumps(net)
    header = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])
    del header["__metadata__"]
    assert [(name, tuple(entry["shape"])) for name, entry in header.items()] == list(expected.items())
