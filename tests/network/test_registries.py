"""Activations, losses and optimizers: what is known of them in one place agrees with the core."""

import doctest

import numpy as np
import pytest

import cbp
from cbp.engine.cpu import core


def values(name, sums):
    """What the core gives for a row of sums."""
    rows = np.zeros((1, 16 * -(-len(sums) // 16)))
    rows[0, : len(sums)] = sums
    core.activate(core.ACTIVATIONS[name], rows, len(sums))
    return rows[0, : len(sums)]


def test_activations_are_those_of_the_core():
    assert list(cbp.activations.ACTIVATIONS) == list(core.ACTIVATIONS)
    assert list(cbp.layers.ACTIVATIONS) == list(core.ACTIVATIONS)


@pytest.mark.parametrize("row", cbp.activations.ACTIVATIONS.values(), ids=lambda row: row.name)
def test_rows_of_activations_are_true(row):
    """Range, growth and homogeneity, as the core computes them."""
    sums = np.linspace(-40, 40, 4001)
    a = values(row.name, sums)
    low, high = row.range
    assert a.min() >= low - 1e-12
    assert a.max() <= high + 1e-12
    if not row.joint:  # one whose bounds are far off would refuse a loss that fits
        assert a.min() == pytest.approx(low, abs=0.03) if np.isfinite(low) else a.min() < -0.3
        assert a.max() == pytest.approx(high, abs=0.03) if np.isfinite(high) else a.max() > 30
        assert bool((np.diff(a) >= 0).all()) == row.increasing
        assert np.allclose(values(row.name, 3 * sums), 3 * a, atol=1e-12) == row.homogeneous


@pytest.mark.parametrize("module", [cbp.activations, cbp.losses, cbp.optimizers], ids=lambda module: module.__name__)
def test_examples_in_docstrings_run(module):
    failed, tried = doctest.testmod(module, extraglobs={"cbp": cbp, "np": np})
    assert tried
    assert not failed
