"""Activations, losses and optimizers: what is known of them in one place agrees with the core."""

import dataclasses
import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import cbp
from cbp.engine import arrays, cpu
from cbp.engine.cpu import core

kernels = cpu.kernels()
ACTIVATIONS, LOSSES, OPTIMIZERS = cbp.activations.ACTIVATIONS, cbp.losses.LOSSES, cbp.optimizers.OPTIMIZERS


def values(name, sums):
    """What the core gives for a row of sums."""
    rows = np.zeros((1, 16 * -(-len(sums) // 16)))
    rows[0, : len(sums)] = sums
    kernels.activate(core.ACTIVATIONS[name], rows, len(sums))
    return rows[0, : len(sums)]


def test_activations_are_those_of_the_core():
    assert list(cbp.activations.ACTIVATIONS) == list(core.ACTIVATIONS)
    assert list(cbp.layers.ACTIVATIONS) == list(core.ACTIVATIONS)


@pytest.mark.parametrize("row", ACTIVATIONS.values(), ids=lambda row: row.name)
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


@pytest.mark.parametrize("loss", LOSSES.values(), ids=lambda loss: loss.name)
def test_losses_speak_the_words_of_the_checks(loss):
    assert loss.targets in {"number", *arrays._RANGES}
    assert loss.advised in {None, *ACTIVATIONS}
    assert loss.metric in {"accuracy", "mean_absolute_error"}
    numbers = [getattr(loss(), field.name) for field in dataclasses.fields(loss)]
    assert loss().constant == (numbers[0] if numbers else 0.0)
    assert cbp.losses.get(loss.name) == loss()


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=lambda optimizer: optimizer.name)
def test_optimizers_speak_the_words_of_the_core(optimizer):
    fields = {field.name for field in dataclasses.fields(optimizer)}
    assert optimizer().rule in core.OPTIMIZERS
    assert set(optimizer.numbers) <= set(core.RUN.names)
    assert set(optimizer.numbers.values()) <= fields
    assert set(optimizer.not_negative) | set(optimizer().slots) <= set(optimizer.state)
    assert getattr(cbp, optimizer.__name__) is optimizer
    assert cbp.optimizers.get(optimizer.name) == optimizer()


PARTS = [importlib.import_module(f"{package.__name__}.{found.name}") for package in (cbp.metrics, cbp.callbacks)
         for found in pkgutil.iter_modules(package.__path__)]


@pytest.mark.parametrize("module", [cbp.activations, cbp.averages, cbp.initializers, cbp.losses, cbp.network, cbp.optimizers,
                                    cbp.schedules, *PARTS], ids=lambda of: of.__name__)
def test_examples_in_docstrings_run(module):
    failed, tried = doctest.testmod(module, extraglobs={"cbp": cbp, "np": np})
    assert tried or module in PARTS
    assert not failed
