"""Activations: their values to the last digits against decimal arithmetic, their derivatives, their extremes and kinks.

An error is counted in units in the last place (ulp) of the right value. For the bounds, millions of points in every build were
compared with 80-bit and with multiple-precision arithmetic; the worst errors found stand beside the bounds.
"""

import math
from decimal import Decimal, getcontext, localcontext

import numpy as np
import pytest
from cases import ACTIVATIONS

import cbp
from cbp.engine.cpu import core

DTYPES = ["float32", "float64"]
ELEMENTWISE = tuple(name for name in ACTIVATIONS if name != "softmax")
PI = Decimal("3.141592653589793238462643383279502884197169399375105820974944592307816406286208998628034825342117068")
ALPHA, SCALE = Decimal("1.6732632423543772848170429916717"), Decimal("1.0507009873554804934193349852946")


def apply(name, x):
    """f(x) for a vector, through the kernel, with a tail of every length."""
    x = np.asarray(x)
    rows = np.zeros((-(-len(x) // 16), 16), x.dtype)
    rows.reshape(-1)[: len(x)] = x
    core.activate(core.ACTIVATIONS[name], rows, 16)
    return rows.reshape(-1)[: len(x)]


def slope(name, x):
    """f'(x) for a vector, through a network with the weight 1."""
    net = cbp.Network(1, [cbp.Dense(1, name, bias=False, init="ones")], loss="mean_squared_error", dtype=x.dtype)
    return net.backward(x[:, None], np.ones((len(x), 1)))[0][:, 0]


# --- the right values: 50 digits, more where a difference cancels -----------------------------------------------------


def digits(x):
    """Enough digits for 1 - e^x and its like at this x."""
    return 50 + max(0, -x.adjusted())


def exp_tail(x):
    """(e^-|x|, log(1 + e^-|x|))"""
    e = (-abs(x)).exp()
    with localcontext() as context:
        context.prec = 50 + max(0, -e.adjusted() if e else 0)
        return e, (1 + e).ln()


def erf_tail(x):
    """1 - erf(|x|), by its power series. For |x| < 6 the terms grow to 1e15 at most, and the difference is above 1e-17."""
    x = abs(x)
    with localcontext() as context:
        context.prec = 90
        term = total = x
        n = 0
        while abs(term) > Decimal(10) ** -context.prec:
            n += 1
            term = -term * x * x / n
            total += term / (2 * n + 1)
        return 1 - 2 * total / PI.sqrt()


def below(z):
    """Φ(z)"""
    tail = erf_tail(z / Decimal(2).sqrt()) / 2
    return 1 - tail if z > 0 else tail


def sigmoid(x):
    e, _ = exp_tail(x)
    return 1 / (1 + e) if x > 0 else e / (1 + e)


def expm1(x):
    with localcontext() as context:
        context.prec = digits(x) if x else 50
        return x.exp() - 1


def tanh(x):
    with localcontext() as context:
        context.prec = digits(x) if x else 50
        e = (-2 * abs(x)).exp()
        return ((1 - e) / (1 + e)).copy_sign(x)


def clip(x):
    return min(max(x, Decimal(0)), Decimal(1))


def density(z):
    return (-z * z / 2).exp() / (2 * PI).sqrt()


# name -> (value, derivative); away from the kinks
RIGHT = {
    "identity": (lambda x: x, lambda x: 1),
    "relu": (lambda x: max(x, Decimal(0)), lambda x: int(x > 0)),
    "leaky_relu": (lambda x: x if x > 0 else x / 100, lambda x: 1 if x > 0 else Decimal("0.01")),
    "elu": (lambda x: x if x > 0 else expm1(x), lambda x: 1 if x > 0 else x.exp()),
    "selu": (lambda x: SCALE * (x if x > 0 else ALPHA * expm1(x)), lambda x: SCALE * (1 if x > 0 else ALPHA * x.exp())),
    "gelu": (lambda x: x * below(x), lambda x: below(x) + x * density(x)),
    "silu": (lambda x: x * sigmoid(x), lambda x: sigmoid(x) * (1 + x * sigmoid(-x))),
    "softplus": (lambda x: max(x, Decimal(0)) + exp_tail(x)[1], sigmoid),
    "tanh": (tanh, lambda x: 1 - tanh(x) ** 2),
    "sigmoid": (sigmoid, lambda x: sigmoid(x) * sigmoid(-x)),
    "hard_sigmoid": (lambda x: clip(x / 6 + Decimal("0.5")), lambda x: 1 / Decimal(6) if abs(x) < 3 else 0),
    "softsign": (lambda x: x / (1 + abs(x)), lambda x: 1 / (1 + abs(x)) ** 2),
}

# Allowed error in ulp, where |f(x)| is a normal number, and the worst that was found in any build and dtype.
ULPS = {
    "identity": 0,
    "relu": 0,
    "leaky_relu": 1,  # 0.84
    "hard_sigmoid": 2,  # 1.3
    "tanh": 2,  # 1.4
    "softsign": 2,  # 1.5
    "sigmoid": 3,  # 2.3
    "elu": 2,  # 1.2
    "silu": 3.5,  # 2.7
    "softplus": 3.5,  # 2.8
    "selu": 4,  # 3.0
}

def grid(dtype, reach):
    """Points of every size and sign: even, logarithmic down to subnormals, and just beside 0."""
    rng = np.random.default_rng(0)
    info = np.finfo(dtype)
    lowest = math.log10(info.smallest_normal) - 3
    small = 10.0 ** np.concatenate([rng.uniform(-9, 1, 400), rng.uniform(lowest, -9, 60)])
    even = np.concatenate([rng.uniform(-1, 1, 400), rng.uniform(-10, 10, 400), rng.uniform(-reach, reach, 200)])
    points = np.concatenate([small, -small, even, [0.0, 0.625, -0.625, info.smallest_subnormal, -info.smallest_subnormal]])
    return points[np.abs(points) <= reach].astype(dtype)


def right_values(name, x, which=0):
    getcontext().prec = 50
    return [RIGHT[name][which](Decimal(float(value))) for value in x]


def errors(got, right, dtype):
    """|got - right|, and the ulp of right, as floats."""
    info = np.finfo(dtype)
    found = np.array([float(abs(Decimal(float(g)) - r)) for g, r in zip(got, right, strict=True)])
    _, exponent = np.frexp([abs(float(r)) for r in right])
    return found, np.ldexp(1.0, np.maximum(exponent - 1, info.minexp) - info.nmant)


@pytest.fixture(params=DTYPES)
def dtype(request):
    return np.dtype(request.param)


def test_every_elementwise_activation_has_a_right_value():
    assert set(RIGHT) == set(ELEMENTWISE)
    assert set(ULPS) | {"gelu"} == set(ELEMENTWISE)


def test_the_right_values_themselves():
    """Against the standard library, so that two errors of this file cannot hide each other."""
    getcontext().prec = 50
    for x in (-7.0, -1.5, -1e-3, 1e-5, 0.3, 2.0, 6.5):
        d = Decimal(x)
        assert float(expm1(d)) == pytest.approx(math.expm1(x), rel=4e-16)
        assert float(tanh(d)) == pytest.approx(math.tanh(x), rel=4e-16)
        assert float(exp_tail(d)[1]) == pytest.approx(math.log1p(math.exp(-abs(x))), rel=4e-16)
        assert float(erf_tail(d)) == pytest.approx(math.erfc(abs(x)), rel=1e-15)


@pytest.mark.parametrize("name", ULPS)
def test_values(name, dtype):
    """Over the whole range where neither e^x nor e^-x overflows."""
    reach = 87 if dtype == np.float32 else 707
    x = grid(dtype, reach)
    found, ulp = errors(apply(name, x), right_values(name, x), dtype)
    worst = (found / ulp).argmax()
    assert found[worst] <= ULPS[name] * ulp[worst], f"{found[worst] / ulp[worst]:.2f} ulp at {x[worst]!r}"


def test_values_of_gelu(dtype):
    """At z < 0 the rounding of z² in e^(-z²/2) is multiplied by z²: 17 eps were found down to -5, 48 down to -8; 1.7 ulp at
    z > 0."""
    x = grid(dtype, 8)
    found, ulp = errors(apply("gelu", x), right_values("gelu", x), dtype)
    eps = float(np.finfo(dtype).eps)
    allowed = np.where(x > 0, 3 * ulp, ulp * (6 + 2 * x.astype(float) ** 2))
    worst = (found / allowed).argmax()
    assert found[worst] <= allowed[worst], f"{found[worst] / eps:.2f} eps at {x[worst]!r}"


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_derivatives(name, dtype):
    """Near a slope of 0 they are differences of numbers near 1, or near x for silu, so that eps is what can be asked for."""
    x = grid(dtype, 8)
    kinks = [0.0] + [-3.0, 3.0] * (name == "hard_sigmoid")
    x = x[np.min([np.abs(x - kink) for kink in kinks], axis=0) > 1e-6]
    found, _ = errors(slope(name, x), right_values(name, x, 1), dtype)
    eps = float(np.finfo(dtype).eps)
    allowed = {"selu": 4 * eps, "silu": (2 + np.abs(x)) * eps}.get(name, 2 * eps)
    worst = (found / allowed).argmax()
    assert (found <= allowed).all(), f"{found[worst] / eps:.2f} eps at {x[worst]!r}"


# --- kinks, extremes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "x", "expected"), [
    ("relu", 0.0, 0.0),
    ("leaky_relu", 0.0, 0.01),
    ("elu", 0.0, 1.0),
    ("selu", 0.0, float(SCALE * ALPHA)),
    ("hard_sigmoid", -3.0, 0.0),
    ("hard_sigmoid", 3.0, 0.0),
    ("softsign", 0.0, 1.0),
])  # fmt: skip
def test_derivatives_at_kinks(name, x, expected, dtype):
    at_kink, above, beyond = slope(name, np.array([x, x + 0.5, x + 100], dtype))
    assert at_kink == pytest.approx(expected, rel=2 * float(np.finfo(dtype).eps), abs=0)
    assert np.isfinite([above, beyond]).all()


def test_hard_sigmoid_ends_exactly_at_3(dtype):
    np.testing.assert_array_equal(apply("hard_sigmoid", np.array([-3, 0, 3], dtype)), [0, 0.5, 1])


# The limits at -inf and inf. Three activations multiply or divide two infinities (or one and 0) there, and give NaN as
# PyTorch's do: an infinite sum means that the training has diverged, and NaN does not hide it.
LIMITS = {
    "identity": (-math.inf, math.inf),
    "relu": (0, math.inf),
    "leaky_relu": (-math.inf, math.inf),
    "elu": (-1, math.inf),
    "selu": (-float(SCALE * ALPHA), math.inf),
    "gelu": (0, math.inf),
    "silu": (0, math.inf),
    "softplus": (0, math.inf),
    "tanh": (-1, 1),
    "sigmoid": (0, 1),
    "hard_sigmoid": (0, 1),
    "softsign": (-1, 1),
}
NAN_AT_INFINITY = {"gelu", "silu", "softsign"}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_and_infinity(name, dtype):
    result = apply(name, np.array([np.nan, -np.inf, np.inf] * 7, dtype)).reshape(7, 3)
    assert np.isnan(result[:, 0]).all()
    for column, limit in zip(result.T[1:], LIMITS[name], strict=True):
        if name in NAN_AT_INFINITY:
            column = np.where(np.isnan(column), limit, column)
        np.testing.assert_allclose(column, np.full(7, limit), rtol=2 * float(np.finfo(dtype).eps), atol=0)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_far_values(name, dtype):
    """Where e^x or e^-x over- or underflows: the limit, or the line that the function follows."""
    info = np.finfo(dtype)
    edge = math.log(info.max)
    far = np.array([0.999 * edge, edge, edge + 0.5, 1.05 * edge, 1.2 * edge, 2e3, 1e10, float(info.max) / 2], dtype)
    lines = {"leaky_relu": (0.01, 1.0), "selu": (1.0, float(SCALE))}.get(name, (1.0, 1.0))
    for x in (far, -far):
        result = apply(name, x).astype(float)
        for value, got in zip(x.astype(float), result, strict=True):
            limit = LIMITS[name][int(value > 0)]
            if math.isinf(limit):
                assert got == pytest.approx(lines[int(value > 0)] * value, rel=2 * float(info.eps))
            elif name == "softsign":
                assert got == pytest.approx(value / (1 + abs(value)), rel=2 * float(info.eps))
            else:
                assert got == pytest.approx(limit, rel=2 * float(info.eps), abs=1e4 * float(info.smallest_normal))


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
    core.activate(core.ACTIVATIONS["softmax"], rows, 2)
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
    core.activate(core.ACTIVATIONS["softmax"], rows, units)
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
