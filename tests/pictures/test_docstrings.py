"""The examples in the docstrings of what draws, and of histories."""

import doctest
import importlib

import matplotlib
import pytest

import cbp

matplotlib.use("agg")


@pytest.mark.parametrize("module", ["history", "pictures.curves", "pictures.decision", "pictures.weights"])
def test_examples_run(module):
    result = doctest.testmod(importlib.import_module(f"cbp.{module}"), extraglobs={"cbp": cbp})
    assert result.attempted > 0
    assert result.failed == 0
    import matplotlib.pyplot as plt

    plt.close("all")
