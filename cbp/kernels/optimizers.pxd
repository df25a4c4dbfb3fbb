# Optimizers: w from its gradient g and the optimizer's state, one array after the other; formulas and sources in
# cbp/optimizers.py. Pad lanes have w = g = state = 0 and stay 0 under every rule.

from cython cimport floating
from libc.float cimport FLT_MIN
from libc.math cimport expm1, log, sqrt

from cbp._structs cimport Run


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
        g[i] += l2 * w[i] + (l1 if w[i] > 0 else (-l1 if w[i] < 0 else <floating>0))


cdef inline double penalty(Py_ssize_t n, const floating* w, double l1, double l2) noexcept nogil:
    """The sum of l1 |w| + l2 w² / 2"""
    cdef Py_ssize_t i
    cdef double size, absolute = 0, squares = 0
    for i in range(n):
        size = w[i]
        absolute += size if size > 0 else -size
        squares += size * size
    return l1 * absolute + l2 / 2 * squares


cdef struct Rule:
    # An optimizer, its numbers worked out: the same for all parameters.
    int kind
    double rate      # of the step; Adam: divided by 1 - beta1^t
    double decay     # rate * weight_decay
    double memory1   # momentum or beta1
    double memory2   # beta2 or rho
    double grow      # of the step; Adam: 1 / sqrt(1 - beta2^t)
    double epsilon
    double l1
    double l2
    double base_rate
    double log1      # Adam: logarithms of the betas
    double log2


cdef inline void begin_rule(Rule* rule, const Run* run) noexcept nogil:
    """What is the same for all steps of a run."""
    rule.kind = <int>run.optimizer
    rule.rate = rule.base_rate = run.rate
    rule.decay = run.rate * run.weight_decay
    rule.memory1, rule.memory2 = run.memory1, run.memory2
    rule.grow = 1
    rule.epsilon = run.epsilon
    rule.l1, rule.l2 = run.l1, run.l2
    if rule.kind == ADAM:
        rule.log1, rule.log2 = log(run.memory1), log(run.memory2)


cdef inline void begin_step(Rule* rule, double step) noexcept nogil:
    """The rule of update number `step`, counted from 1."""
    if rule.kind == ADAM:
        # 1 - beta^t as -expm1(t log beta): pow() is slow where beta^t underflows, which is most of a long run.
        rule.rate = -rule.base_rate / expm1(step * rule.log1)
        rule.grow = 1 / sqrt(-expm1(step * rule.log2))


cdef inline void update(
    const Rule* rule, bint is_weight, Py_ssize_t n, floating* w, floating* g, floating* first, floating* second,
) noexcept nogil:
    """w, of n parameters, one step on; `first` and `second` are the state arrays, NULL where the rule has none.

    Penalties, which are added to g, and decay act on weights, not on biases.
    """
    cdef Py_ssize_t i
    cdef floating eta = <floating>rule.rate
    cdef floating decay = <floating>(rule.decay if is_weight else 0)
    cdef floating eps = <floating>max(rule.epsilon, FLT_MIN)   # in float32 a smaller one is 0, and a pad becomes 0 / 0
    cdef floating b1 = <floating>rule.memory1, c1 = <floating>(1 - rule.memory1)
    cdef floating b2 = <floating>rule.memory2, c2 = <floating>(1 - rule.memory2)
    cdef floating grow = <floating>rule.grow
    if is_weight and (rule.l1 != 0 or rule.l2 != 0):
        add_penalty(n, w, g, <floating>rule.l1, <floating>rule.l2)
    if rule.kind == SGD:
        for i in range(n):
            w[i] -= decay * w[i] + eta * g[i]
    elif rule.kind == MOMENTUM:
        for i in range(n):
            first[i] = b1 * first[i] + g[i]
            w[i] -= decay * w[i] + eta * first[i]
    elif rule.kind == NESTEROV:
        for i in range(n):
            first[i] = b1 * first[i] + g[i]
            w[i] -= decay * w[i] + eta * (g[i] + b1 * first[i])
    elif rule.kind == ADAM:
        for i in range(n):
            first[i] = b1 * first[i] + c1 * g[i]
            second[i] = b2 * second[i] + c2 * g[i] * g[i]
            w[i] -= decay * w[i] + eta * first[i] / (<floating>sqrt(second[i]) * grow + eps)
    elif rule.kind == RMSPROP:
        for i in range(n):
            first[i] = b2 * first[i] + c2 * g[i] * g[i]
            w[i] -= decay * w[i] + eta * g[i] / (<floating>sqrt(first[i]) + eps)
    elif rule.kind == ADAGRAD:
        for i in range(n):
            first[i] += g[i] * g[i]
            w[i] -= decay * w[i] + eta * g[i] / (<floating>sqrt(first[i]) + eps)
