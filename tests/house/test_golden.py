"""Seeded runs give what they gave when tests/golden.json was written: a change of bits is a decision, not an accident."""

import json

import golden
import numpy as np
import pytest
import safetensors

import cbp


@pytest.fixture(scope="module")
def differing():
    return dict(golden.differences(list(golden.CASES)))


@pytest.mark.parametrize("family", sorted({name.partition("/")[0] for name in golden.CASES}))
def test_the_bits_are_those_that_were_recorded(differing, family):
    assert {name: what for name, what in differing.items() if name.startswith(f"{family}/")} == {}


def test_a_case_that_was_recorded_is_still_run():
    assert not golden.recorded()["cases"].keys() - golden.CASES.keys()


@pytest.mark.parametrize("version", golden.FORMATS)
@pytest.mark.parametrize("name", golden.MODELS)
def test_a_model_file_of_then_is_the_network_that_was_saved(name, version):
    net, expected = cbp.load(golden.model_file(name, version)), golden.model(name)
    for what in ("layers", "input_shape", "output_shape", "loss", "dtype", "seed", "l1", "l2", "metadata"):
        assert getattr(net, what) == getattr(expected, what), what
    assert net.optimizer == golden.optimizer_of(name)
    assert net.epoch == 2
    assert net.step == 4
    assert list(net.optimizer_state) == list(net.optimizer.slots)


@pytest.mark.parametrize("version", golden.FORMATS)
@pytest.mark.parametrize("name", golden.MODELS)
def test_a_model_file_predicts_and_trains_on_whatever_its_format_is(name, version):
    """Those of format 1 are held to the golden values, the others to them."""
    for value, of_format_1 in zip(golden.read(name, version), golden.read(name), strict=True):
        assert np.array_equal(value, of_format_1)
    with safetensors.safe_open(golden.model_file(name, version), "numpy") as file:
        assert json.loads(file.metadata()["cbp"])["format"] == version


def test_a_file_with_every_optional_key_is_the_network_that_was_saved():
    net = cbp.load(golden.model_file("optional", 2))
    X = np.array(golden.OPTIONAL_X)
    assert net.feature_names == ("a", "ä")
    assert net.snapshot().extras == {"unheard": {"of": [1, None]}}
    net.feature_names = None  # arrays have no names
    assert net.predict(X) == pytest.approx([0.5837656, 0.00573086, -0.22000371], rel=1e-5)
    net.fit(X, [1.0, 0.0, 2.0], epochs=1)
    assert net.predict(X) == pytest.approx([0.68584996, 0.08524107, -0.14674583], rel=1e-5)
