"""What only one loss does; what all of them do is tested from the rows of facts.py."""

import numpy as np
import pytest

import cbp


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.9])
def test_a_bias_alone_learns_the_quantile(tau):
    """Of skewed numbers, where it is far from the mean. Beside its quantile the gradient is less than 1 / count."""
    y = np.random.default_rng(0).exponential(size=101)
    net = cbp.Network(1, [cbp.Dense(1)], loss=cbp.losses.Quantile(tau), dtype="float64", seed=0)
    net.fit(np.zeros((101, 1)), y, epochs=1000, batch_size=101, optimizer=cbp.SGD(0.1))
    assert abs(net.parameters["0.bias"][0] - np.quantile(y, tau, method="inverted_cdf")) < 0.1 / 101


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_slopes_of_the_quantile_and_none_between_them(dtype):
    net = cbp.Network(1, [cbp.Dense(1)], loss=cbp.losses.Quantile(0.75), dtype=dtype, seed=0)
    large = 2.0 ** (np.finfo(dtype).maxexp - 3)  # a power of two: 0.75 times it is exact, whatever dtype NumPy makes of it
    for target, loss, slope in [(0, 0, 0), (2, 1.5, -0.75), (-2, 0.5, 0.25), (large, 0.75 * large, -0.75),
                                (-large, 0.25 * large, 0.25)]:  # fmt: skip
        found, gradient = net.gradient([[0]], [target])
        assert (found, gradient[-1]) == (loss, slope)


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (1, ValueError), (np.nan, ValueError), ("0.5", TypeError)])
def test_bad_tau(value, error):
    with pytest.raises(error, match="tau must be a finite number above 0 and below 1, got"):
        cbp.losses.Quantile(value)
