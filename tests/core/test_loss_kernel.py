"""The kernels of losses, optimizers and the logarithm, called directly."""

import math

import facts
import numpy as np
import pytest
from cases import LOSSES, targets

import cbp
from cbp.engine import cpu
from cbp.engine.cpu import core

kernels = cpu.kernels()
DTYPES = ["float32", "float64"]
FUSED = [name for name, row in facts.LOSSES.items() if row.fused]


def aligned_rows(values, dtype, pad=7.0):
    """Rows padded to a multiple of 16 with numbers that must not matter."""
    rows, units = values.shape
    padded = np.full((rows, -(-units // 16) * 16), pad, dtype)
    padded[:, :units] = values
    return padded


def loss_rows(name, y_hat, y, weights=None, *, fused=False, scale=1.0):
    """(loss, metric, d) of every row; `y` are labels if it is a vector."""
    dtype, rows = y_hat.dtype, len(y_hat)
    padded = aligned_rows(y_hat, dtype)
    d = np.full_like(padded, np.nan)
    loss, metric = np.full(rows, np.nan), np.full(rows, np.nan)
    y = np.asarray(y)
    labels = y.astype(np.intp) if y.ndim == 1 else np.zeros(0, np.intp)
    y = np.zeros((0, 1), dtype) if y.ndim == 1 else np.ascontiguousarray(y, dtype)
    weights = np.zeros(0, dtype) if weights is None else np.asarray(weights, dtype)
    constant = cbp.losses.get(name).constant
    kernels.loss_rows(core.LOSSES[name], fused, constant, scale, y_hat.shape[1], padded, y, labels, weights, d, loss, metric, 1)
    assert not d[:, y_hat.shape[1]:].any()
    return loss, metric, d[:, : y_hat.shape[1]]


def case(name, dtype, rows, units, seed=0):
    rng = np.random.default_rng(seed)
    y_hat = rng.normal(size=(rows, units)).astype(dtype)
    return y_hat if facts.LOSSES[name].range != (0, np.inf) else abs(y_hat), targets(name, rng, rows, units)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [1, 3, 16, 21])
@pytest.mark.parametrize("name", LOSSES)
def test_a_row_does_not_depend_on_the_rows_beside_it(name, units, dtype):
    """Threads share the rows of a batch, and every number of threads gives the same bits."""
    for seed in range(2):
        y_hat, y = case(name, dtype, 75, units, seed)
        together = loss_rows(name, y_hat, y, fused=name in FUSED, scale=0.3)
        for cut in (1, 2, 8, 31, 33, 74):
            parts = [loss_rows(name, y_hat[s], y[s], fused=name in FUSED, scale=0.3) for s in (slice(cut), slice(cut, 75))]
            for whole, first, second in zip(together, *parts, strict=True):
                np.testing.assert_array_equal(whole, np.concatenate([first, second]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LOSSES)
def test_weights_scale_the_gradient_and_weight_0_counts_nothing(name, dtype):
    y_hat, y = case(name, dtype, 40, 5)
    weights = np.tile([0, 1, 2.5, 0.25], 10)
    loss, metric, d = loss_rows(name, y_hat, y, fused=name in FUSED, scale=0.5)
    broken = y_hat.copy()
    broken[::8], broken[4::8] = np.nan, np.inf
    weighted_loss, weighted_metric, weighted_d = loss_rows(name, broken, y, weights, fused=name in FUSED, scale=0.5)
    counts = weights > 0
    np.testing.assert_array_equal(weighted_loss, np.where(counts, loss, 0))
    np.testing.assert_array_equal(weighted_metric, np.where(counts, metric, 0))
    np.testing.assert_allclose(weighted_d, d * weights[:, None], rtol=0, atol=4 * np.finfo(dtype).eps * abs(d).max())
    assert not weighted_d[~counts].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", [1, 2, 10, 16, 17, 40])
def test_cross_entropy_of_labels(units, dtype):
    """Loss, gradient and accuracy against a plain float64 computation; the first of equals is the answer."""
    rng = np.random.default_rng(units)
    y_hat = np.concatenate([rng.normal(size=(30, units)) * scale for scale in (0.1, 3, 100)]).astype(dtype)
    y_hat[::7] = np.round(y_hat[::7])
    labels = rng.integers(units, size=len(y_hat))
    loss, metric, d = loss_rows("cross_entropy", y_hat, labels, fused=True)
    z = y_hat.astype(float)
    shifted = z - z.max(axis=1, keepdims=True)
    total = np.exp(shifted).sum(axis=1)
    eps = np.finfo(dtype).eps
    expected = np.log(total) - shifted[np.arange(len(z)), labels]
    np.testing.assert_allclose(loss, expected, rtol=2 * eps, atol=20 * eps)
    np.testing.assert_allclose(d, np.exp(shifted) / total[:, None] - np.eye(units)[labels], rtol=0, atol=10 * eps)
    np.testing.assert_array_equal(metric, z.argmax(axis=1) == labels)


@pytest.mark.parametrize("name", FUSED)
def test_nan_is_never_right(name):
    y_hat = np.full((3, 4), np.nan)
    y_hat[1:, 1:] = 0, 5, 0
    y_hat[2, 0] = 1
    labels = np.full(3, 2)
    loss, metric, _ = loss_rows(name, y_hat, labels if name == "cross_entropy" else np.eye(4)[labels], fused=True)
    np.testing.assert_array_equal(np.isnan(loss), [True, True, False])
    assert metric[0] == 0
    assert metric[1] < 1


def test_logarithm():
    """Within 1 ulp of the library's, itself correct to one, over all exponents and near 1."""
    rng = np.random.default_rng(0)
    x = np.concatenate([
        np.ldexp(rng.uniform(1, 2, 40_000), rng.integers(-1074, 1024, 40_000)),
        rng.uniform(0.4, 2.5, 40_000), 1 + rng.uniform(-1e-6, 1e-6, 1000), [5e-324, 1.0, np.finfo(float).max],
    ])  # fmt: skip
    found = x.copy()
    kernels.logarithms(found)
    right = np.log(x.astype(np.longdouble))
    assert (abs(found - right) <= 1.0 * np.spacing(abs(right.astype(float)))).all()


def test_logarithm_of_what_is_not_positive_and_finite():
    x = np.array([0.0, -0.0, -1.0, -np.inf, np.inf, np.nan])
    kernels.logarithms(x)
    np.testing.assert_array_equal(x, [-np.inf, -np.inf, np.nan, np.nan, np.inf, np.nan])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad"])
def test_optimizers_over_the_range_of_the_numbers(name, dtype):
    """Gradients from subnormal squares to infinite ones, against the formulas in long double; nothing becomes NaN."""
    info = np.finfo(dtype)
    half = math.log10(info.max) / 2
    g = np.tile(10.0 ** np.linspace(-half - 3, half - 1, 64), 2).astype(dtype)
    g[64:] *= -1
    w, state = np.zeros(128, dtype), np.zeros((2, 128), dtype)
    kernels.optimizer_step(core.OPTIMIZERS[name], np.array([0.5, 0, 0.75, 0.75, 0.0, 0, 0, 1]), w, g.copy(), state, 1)
    root = np.sqrt(state[1 if name == "adam" else 0].astype(np.longdouble)) * (2 if name == "adam" else 1)
    expected = -0.5 * g.astype(np.longdouble) / (root + 2.0**-126)  # an epsilon of 0 becomes the least normal float32
    np.testing.assert_allclose(w.astype(float), expected.astype(float), rtol=6 * float(info.eps), atol=0)
    g = np.full(16, info.max, dtype)
    w, state = np.zeros(16, dtype), np.zeros((2, 16), dtype)
    kernels.optimizer_step(core.OPTIMIZERS[name], np.array([0.5, 0, 0.75, 0.75, 0.0, 0, 0, 1]), w, g, state, 1)
    np.testing.assert_array_equal(w, 0)
