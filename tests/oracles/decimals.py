"""Functions of decimals: 50 right digits, more where a difference cancels, for arguments of any size."""

from decimal import Decimal, localcontext

PI = Decimal("3.141592653589793238462643383279502884197169399375105820974944592307816406286208998628034825342117068")


def digits(x):
    """Enough digits for 1 - e^x and its like at this x."""
    return 50 + max(0, -x.adjusted()) if x else 50


def exp_tail(x):
    """(e^-|x|, log(1 + e^-|x|))"""
    e = (-abs(x)).exp()
    with localcontext() as context:
        context.prec = digits(e)
        return e, (1 + e).ln()


def erf_tail(x):
    """1 - erf(|x|), by its power series. Its terms grow to e^(x²); the difference is below 1e-98 beyond 15, and is then 0."""
    x = abs(x)
    if x > 15:
        return Decimal(0)
    with localcontext() as context:
        context.prec = 90 + int(x * x)
        term = total = x
        n = 0
        while abs(term) > Decimal(10) ** -90:
            n += 1
            term = -term * x * x / n
            total += term / (2 * n + 1)
        return 1 - 2 * total / PI.sqrt()


def below(z):
    """Φ(z), the part of the normal distribution below z."""
    tail = erf_tail(z / Decimal(2).sqrt()) / 2
    return 1 - tail if z > 0 else tail


def density(z):
    """φ(z), the density of the normal distribution."""
    return (-z * z / 2).exp() / (2 * PI).sqrt()


def expm1(x):
    with localcontext() as context:
        context.prec = digits(x)
        return x.exp() - 1


def tanh(x):
    with localcontext() as context:
        context.prec = digits(x)
        e = (-2 * abs(x)).exp()
        return ((1 - e) / (1 + e)).copy_sign(x)


def sigmoid(x):
    e, _ = exp_tail(x)
    return 1 / (1 + e) if x > 0 else e / (1 + e)


def softplus(x):
    return max(x, Decimal(0)) + exp_tail(x)[1]


def clip(x):
    """x, but from 0 to 1."""
    return min(max(x, Decimal(0)), Decimal(1))
