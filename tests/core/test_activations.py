"""Activations: their values to the last digits against decimal arithmetic, their derivatives, their extremes and kinks.

An error is counted in units in the last place (ulp) of the right value. For the bounds, millions of points in every build were
compared with 80-bit and with multiple-precision arithmetic; the worst errors found stand beside the bounds.
"""

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
from facts import ACTIVATIONS, ELEMENTWISE
from oracles.decimals import erf_tail, exp_tail, expm1, tanh

import cbp
from cbp.engine import cpu
from cbp.engine.cpu import core

kernels = cpu.kernels()
DTYPES = ["float32", "float64"]


def apply(name, x):
    """f(x) for a vector, through the kernel, with a tail of every length."""
    x = np.asarray(x)
    rows = np.zeros((-(-len(x) // 16), 16), x.dtype)
    rows.reshape(-1)[: len(x)] = x
    kernels.activate(core.ACTIVATIONS[name], rows, 16)
    return rows.reshape(-1)[: len(x)]


def slope(name, x):
    """f'(x) for a vector, through a network with the weight 1."""
    net = cbp.Network(1, [cbp.Dense(1, name, bias=False, init="ones")], loss="mean_squared_error", dtype=x.dtype)
    return net.backward(x[:, None], np.ones((len(x), 1)))[0][:, 0]


def grid(dtype, reach):
    """Points of every size and sign: even, logarithmic down to subnormals, and just beside 0."""
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    lowest = math.log10(info.smallest_normal) - 3
    small = 10.0 ** np.concatenate([rng.uniform(-9, 1, 400), rng.uniform(lowest, -9, 60)])
    even = np.concatenate([rng.uniform(-1, 1, 400), rng.uniform(-10, 10, 400), rng.uniform(-reach, reach, 200)])
    points = np.concatenate([small, -small, even, [0.0, 0.625, -0.625, info.smallest_subnormal, -info.smallest_subnormal]])
    return points[np.abs(points) <= reach].astype(dtype)


def right_values(function, x):
    getcontext().prec = 50
    return [function(Decimal(float(value))) for value in x]


def at(x, bound):
    """A bound of a row of facts, at every x."""
    return bound(x.astype(float)) if callable(bound) else bound


def errors(got, right, dtype):
    """|got - right|, and the ulp of right, as floats."""
    info = np.finfo(dtype)
    found = np.array([float(abs(Decimal(float(g)) - r)) for g, r in zip(got, right, strict=True)])
    _, exponent = np.frexp([abs(float(r)) for r in right])
    return found, np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return np.dtype(request.param)


def test_the_right_values_themselves():
    """Against the standard library, so that two errors of this file cannot hide each other."""
    getcontext().prec = 50
    for x in (-7.0, -1.5, -1e-3, 1e-5, 0.3, 2.0, 6.5):
        d = Decimal(x)
        assert float(expm1(d)) == pytest.approx(math.expm1(x), rel=4e-16)
        assert float(tanh(d)) == pytest.approx(math.tanh(x), rel=4e-16)
        assert float(exp_tail(d)[1]) == pytest.approx(math.log1p(math.exp(-abs(x))), rel=4e-16)
        assert float(erf_tail(d)) == pytest.approx(math.erfc(abs(x)), rel=1e-15)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_values(name, dtype):
    """Over the whole range where neither e^x nor e^-x overflows, or as far as the row says."""
    row = ACTIVATIONS[name]
    x = grid(dtype, row.reach or (87 if dtype == np.float32 else 707))
    found, ulp = errors(apply(name, x), right_values(row.value, x), dtype)
    worst = (found / ulp - at(x, row.ulps)).argmax()
    assert (found <= at(x, row.ulps) * ulp).all(), f"{found[worst] / ulp[worst]:.2f} ulp at {x[worst]!r}"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_derivatives(name, dtype):
    """Near a slope of 0 they are differences of numbers near 1, so that eps is what can be asked for."""
    row = ACTIVATIONS[name]
    x = grid(dtype, 8)
    for kink in row.kinks:
        x = x[np.abs(x - kink) > 1e-6]
    found, _ = errors(slope(name, x), right_values(row.slope, x), dtype)
    eps = float(np.finfo(dtype).eps)
    worst = (found / eps - at(x, row.eps)).argmax()
    assert (found <= at(x, row.eps) * eps).all(), f"{found[worst] / eps:.2f} eps at {x[worst]!r}"


# --- kinks, extremes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "x", "expected"), [(name, x, slope) for name, row in ACTIVATIONS.items() for x, slope in row.kinks.items()])
def test_derivatives_at_kinks(name, x, expected, dtype):
    at_kink, above, beyond = slope(name, np.array([x, x + 0.5, x + 100], dtype))
    assert at_kink == pytest.approx(expected, rel=2 * float(np.finfo(dtype).eps), abs=0)
    assert np.isfinite([above, beyond]).all()


def test_hard_sigmoid_ends_exactly_at_3(dtype):
    np.testing.assert_array_equal(apply("hard_sigmoid", np.array([-3, 0, 3], dtype)), [0, 0.5, 1])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_and_infinity(name, dtype):
    row = ACTIVATIONS[name]
    result = apply(name, np.array([np.nan, -np.inf, np.inf] * 7, dtype)).reshape(7, 3)
    assert np.isnan(result[:, 0]).all()
    for column, limit in zip(result.T[1:], row.limits, strict=True):
        if row.nan_at_infinity:
            column = np.where(np.isnan(column), limit, column)
        np.testing.assert_allclose(column, np.full(7, limit), rtol=2 * float(np.finfo(dtype).eps), atol=0)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_far_values(name, dtype):
    """Where e^x or e^-x over- or underflows."""
    info = np.finfo(dtype)
    edge = math.log(info.max)
    far = np.array([0.999 * edge, edge, edge + 0.5, 1.05 * edge, 1.2 * edge, 2e3, 1e10, float(info.max) / 2], dtype)
    for x in (far, -far):
        for got, right in zip(apply(name, x), right_values(ACTIVATIONS[name].value, x), strict=True):
            assert float(got) == pytest.approx(float(right), rel=2 * float(info.eps), abs=1e4 * float(info.smallest_normal))


def test_exp_of_subnormal_results(dtype):
    """Softplus and softmax tend to e^x: right down to the least subnormal number, then 0."""
    info = np.finfo(dtype)
    x = np.linspace(math.log(info.smallest_normal) - 0.5, math.log(info.smallest_subnormal) + 0.5, 500).astype(dtype)
    getcontext().prec = 50
    right = [Decimal(float(value)).exp() for value in x]
    found, ulp = errors(apply("softplus", x), right, dtype)
    assert (found <= 2 * ulp).all()
    rows = np.zeros((len(x), 16), dtype)
    rows[:, 0] = x
    kernels.activate(core.ACTIVATIONS["softmax"], rows, 2)
    found, ulp = errors(rows[:, 0], right, dtype)
    assert (found <= 2 * ulp).all()
    assert apply("softplus", np.array([-1.1, -2]).astype(dtype) * abs(x[-1])).max() == 0


# --- softmax ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("units", [1, 2, 3, 10, 15, 16, 17, 31, 32, 33, 64, 70])
def test_softmax(units, dtype):
    """Against decimals. The rounding of z - max z, at most eps/2 of it, is the exponential's relative error."""
    rng = np.random.default_rng(units)
    width = -(-units // 16) * 16
    rows = np.full((6, width), 1e3, dtype)  # the pad must not matter
    for row, scale in zip(rows, (0, 1e-3, 1, 5, 30, 1e4), strict=True):
        row[:units] = scale * rng.normal(size=units)
    given = rows[:, :units].copy()
    kernels.activate(core.ACTIVATIONS["softmax"], rows, units)
    getcontext().prec = 50
    eps = float(np.finfo(dtype).eps)
    for z, a in zip(given, rows, strict=True):
        decimals = [Decimal(float(value)) for value in z]
        powers = [(value - max(decimals)).exp() for value in decimals]
        right = np.array([float(power / sum(powers)) for power in powers])
        allowed = (6 + z.max() - z.astype(float)) * eps * right + 2 * float(np.finfo(dtype).smallest_normal)
        assert (np.abs(a[:units] - right) <= allowed).all()
        assert not a[units:].any()
        assert float(np.sum(a, dtype=np.float64)) == pytest.approx(1, abs=4 * eps)


def test_softmax_of_shifted_and_huge_values(dtype):
    z = np.array([[1.0, 2.0, 4.0]])
    shifted = np.concatenate([z, z + 512, z - 512]).astype(dtype)
    net = cbp.Network(3, [cbp.Dense(3, "softmax", bias=False, init=np.eye(3))], loss="cross_entropy", dtype=dtype)
    base, up, down = net.predict(shifted)
    np.testing.assert_array_equal(up, base)
    np.testing.assert_array_equal(down, base)
    huge = float(np.finfo(dtype).max) / 4
    far, equal = net.predict([[huge, -huge, 0], [-huge, -huge, -huge]])
    np.testing.assert_array_equal(far, [1, 0, 0])
    np.testing.assert_array_equal(equal, np.full(3, 1 / 3, dtype))


def test_softmax_backward(dtype):
    """a (da - sum of a da), for units around the padding."""
    rng = np.random.default_rng(0)
    for units in (1, 2, 15, 16, 17, 33):
        net = cbp.Network(units, [cbp.Dense(units, "softmax", bias=False, init=np.eye(units))], loss="mean_squared_error",
                          dtype=dtype)
        z, da = rng.normal(size=(5, units)), rng.normal(size=(5, units))
        a = net.predict(z).astype(float)
        expected = a * (da - (a * da).sum(axis=1, keepdims=True))
        np.testing.assert_allclose(net.backward(z, da)[0], expected, rtol=0, atol=8 * float(np.finfo(dtype).eps))
