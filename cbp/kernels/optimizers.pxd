# Optimizers: w from its gradient g and the optimizer's state, one array after the other; formulas and sources in
# cbp/optimizers.py. Pad lanes have w = g = state = 0 and stay 0 under every rule.

from cython cimport floating
from libc.math cimport pow, sqrt


cdef enum OptimizerKind:
    SGD
    MOMENTUM
    NESTEROV
    ADAM
    RMSPROP
    ADAGRAD


cdef inline void add_penalty(
    Py_ssize_t n, const floating* w, floating* g, floating l1, floating l2,
) noexcept nogil:
    """g += gradient of l1 |w| + l2 w² / 2"""
    cdef Py_ssize_t i
    for i in range(n):
        g[i] += l2 * w[i] + (l1 if w[i] > 0 else (-l1 if w[i] < 0 else 0))


cdef inline double penalty(Py_ssize_t n, const floating* w, double l1, double l2) noexcept nogil:
    """The sum of l1 |w| + l2 w² / 2"""
    cdef Py_ssize_t i
    cdef double size, absolute = 0, squares = 0
    for i in range(n):
        size = w[i]
        absolute += size if size > 0 else -size
        squares += size * size
    return l1 * absolute + l2 / 2 * squares


cdef inline void update(
    int kind, Py_ssize_t n, floating* w, const floating* g, floating* first, floating* second,
    double rate, double decay, double memory1, double memory2, double epsilon, double step,
) noexcept nogil:
    """One step over n parameters.

    `first` and `second` are the state arrays (unused ones may be NULL), memory1 and memory2 the momentum or the betas (rho in
    memory2), decay the factor rate * weight_decay, step the number of this update, from 1.
    """
    cdef Py_ssize_t i
    cdef floating eta = <floating>rate
    cdef floating keep = <floating>(1 - decay)
    cdef floating eps = <floating>epsilon
    cdef floating b1 = <floating>memory1, c1 = <floating>(1 - memory1)
    cdef floating b2 = <floating>memory2, c2 = <floating>(1 - memory2)
    cdef floating grow
    if kind == SGD:
        for i in range(n):
            w[i] = keep * w[i] - eta * g[i]
    elif kind == MOMENTUM:
        for i in range(n):
            first[i] = b1 * first[i] + g[i]
            w[i] = keep * w[i] - eta * first[i]
    elif kind == NESTEROV:
        for i in range(n):
            first[i] = b1 * first[i] + g[i]
            w[i] = keep * w[i] - eta * (g[i] + b1 * first[i])
    elif kind == ADAM:
        # The two bias corrections are the same for all parameters: one goes into the rate, one under the root.
        eta = <floating>(rate / (1 - pow(memory1, step)))
        grow = <floating>(1 / sqrt(1 - pow(memory2, step)))
        for i in range(n):
            first[i] = b1 * first[i] + c1 * g[i]
            second[i] = b2 * second[i] + c2 * g[i] * g[i]
            w[i] = keep * w[i] - eta * first[i] / (<floating>sqrt(second[i]) * grow + eps)
    elif kind == RMSPROP:
        for i in range(n):
            first[i] = b2 * first[i] + c2 * g[i] * g[i]
            w[i] = keep * w[i] - eta * g[i] / (<floating>sqrt(first[i]) + eps)
    elif kind == ADAGRAD:
        for i in range(n):
            first[i] += g[i] * g[i]
            w[i] = keep * w[i] - eta * g[i] / (<floating>sqrt(first[i]) + eps)
