# Optimizers: w from its gradient g and the optimizer's state, one array after the other; formulas and sources in
# cbp/optimizers.py. Pad lanes have w = g = state = 0 and stay 0 under every rule.

from cython cimport floating
from libc.float cimport FLT_MIN
from libc.math cimport expm1, log, sqrt

from cbp.kernels.structs cimport Run


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


# --- the rules ----------------------------------------------------------------------------------------------------------------

cdef struct Rule    # declared before what takes one

ctypedef void (*Update32)(
    const Rule* rule, float decay, Py_ssize_t n, float* w, float* g, float* state, Py_ssize_t size,
) noexcept nogil
ctypedef void (*Update64)(
    const Rule* rule, double decay, Py_ssize_t n, double* w, double* g, double* state, Py_ssize_t size,
) noexcept nogil
ctypedef void (*Correct)(Rule* rule, double step) noexcept nogil


cdef struct Rule:
    # An optimizer, its numbers worked out: the same for all parameters.
    double rate      # of the step; Adam: divided by 1 - beta1^t
    double decay     # rate * weight_decay
    double weight_decay
    double memory1   # momentum or beta1; rprop: shrink
    double memory2   # beta2 or rho; rprop: grow
    double grow      # of the step; Adam: 1 / sqrt(1 - beta2^t)
    double epsilon   # rprop: the shortest step
    double limit     # rprop: the longest
    double l1
    double l2
    double clip      # most that a number of the gradient may be, in size
    double base_rate
    double log1      # logarithms of the memories, where the step is corrected
    double log2
    Correct correct
    Update32 update32
    Update64 update64


cdef struct Optimizer:
    const char* name
    int states            # how many state arrays it reads and writes
    Correct correct       # what changes from step to step; NULL: nothing
    Update32 update32     # n parameters one step on; the arrays of their state are `size` apart, from `state` on
    Update64 update64


cdef enum:
    MOST_OPTIMIZERS = 32


cdef inline void sgd(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* _state, Py_ssize_t _size,
) noexcept nogil:
    cdef floating eta = <floating>rule.rate
    cdef Py_ssize_t i
    for i in range(n):
        w[i] -= decay * w[i] + eta * g[i]


cdef inline void momentum(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* velocity, Py_ssize_t _size,
) noexcept nogil:
    cdef floating eta = <floating>rule.rate, mu = <floating>rule.memory1
    cdef Py_ssize_t i
    for i in range(n):
        velocity[i] = mu * velocity[i] + g[i]
        w[i] -= decay * w[i] + eta * velocity[i]


cdef inline void nesterov(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* velocity, Py_ssize_t _size,
) noexcept nogil:
    cdef floating eta = <floating>rule.rate, mu = <floating>rule.memory1
    cdef Py_ssize_t i
    for i in range(n):
        velocity[i] = mu * velocity[i] + g[i]
        w[i] -= decay * w[i] + eta * (g[i] + mu * velocity[i])


cdef inline void adam(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* mean, Py_ssize_t size,
) noexcept nogil:
    cdef floating* variance = mean + size
    cdef floating eta = <floating>rule.rate, grow = <floating>rule.grow, epsilon = least_epsilon(rule, w)
    cdef floating b1 = <floating>rule.memory1, c1 = <floating>(1 - rule.memory1)
    cdef floating b2 = <floating>rule.memory2, c2 = <floating>(1 - rule.memory2)
    cdef Py_ssize_t i
    for i in range(n):
        mean[i] = b1 * mean[i] + c1 * g[i]
        variance[i] = b2 * variance[i] + c2 * g[i] * g[i]
        w[i] -= decay * w[i] + eta * mean[i] / (<floating>sqrt(variance[i]) * grow + epsilon)

cdef inline void amsgrad(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* mean, Py_ssize_t size,
) noexcept nogil:
    cdef floating* variance = mean + size
    cdef floating* largest = variance + size
    cdef floating eta = <floating>rule.rate, grow = <floating>rule.grow, epsilon = least_epsilon(rule, w)
    cdef floating b1 = <floating>rule.memory1, c1 = <floating>(1 - rule.memory1)
    cdef floating b2 = <floating>rule.memory2, c2 = <floating>(1 - rule.memory2)
    cdef Py_ssize_t i
    for i in range(n):
        mean[i] = b1 * mean[i] + c1 * g[i]
        variance[i] = b2 * variance[i] + c2 * g[i] * g[i]
        largest[i] = variance[i] if variance[i] > largest[i] else largest[i]
        w[i] -= decay * w[i] + eta * mean[i] / (<floating>sqrt(largest[i]) * grow + epsilon)

cdef inline void correct_adam(Rule* rule, double step) noexcept nogil:
    """1 - beta^t as -expm1(t log beta): pow() is slow where beta^t underflows, which is most of a long run."""
    rule.rate = -rule.base_rate / expm1(step * rule.log1)
    rule.grow = 1 / sqrt(-expm1(step * rule.log2))


cdef inline void rmsprop(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* variance, Py_ssize_t _size,
) noexcept nogil:
    cdef floating eta = <floating>rule.rate, epsilon = least_epsilon(rule, w)
    cdef floating rho = <floating>rule.memory2, rest = <floating>(1 - rule.memory2)
    cdef Py_ssize_t i
    for i in range(n):
        variance[i] = rho * variance[i] + rest * g[i] * g[i]
        w[i] -= decay * w[i] + eta * g[i] / (<floating>sqrt(variance[i]) + epsilon)


cdef inline void adagrad(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* squares, Py_ssize_t _size,
) noexcept nogil:
    cdef floating eta = <floating>rule.rate, epsilon = least_epsilon(rule, w)
    cdef Py_ssize_t i
    for i in range(n):
        squares[i] += g[i] * g[i]
        w[i] -= decay * w[i] + eta * g[i] / (<floating>sqrt(squares[i]) + epsilon)


cdef inline void lion(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* mean, Py_ssize_t _size,
) noexcept nogil:
    cdef floating eta = <floating>rule.rate, way
    cdef floating b1 = <floating>rule.memory1, c1 = <floating>(1 - rule.memory1)
    cdef floating b2 = <floating>rule.memory2, c2 = <floating>(1 - rule.memory2)
    cdef Py_ssize_t i
    for i in range(n):
        way = b1 * mean[i] + c1 * g[i]
        w[i] -= decay * w[i] + (eta if way > 0 else (-eta if way < 0 else way))   # the last is 0 or NaN, which is not hidden
        mean[i] = b2 * mean[i] + c2 * g[i]


cdef inline void rprop(
    const Rule* rule, floating decay, Py_ssize_t n, floating* w, floating* g, floating* before, Py_ssize_t size,
) noexcept nogil:
    cdef floating* steps = before + size
    cdef floating first = <floating>rule.rate, shrink = <floating>rule.memory1, grow = <floating>rule.memory2
    cdef floating shortest = <floating>rule.epsilon, longest = <floating>rule.limit, step
    cdef Py_ssize_t i
    for i in range(n):
        # By the signs: the product of two small gradients is 0 in float32.
        step = steps[i] if steps[i] > 0 else first
        if (g[i] > 0 and before[i] > 0) or (g[i] < 0 and before[i] < 0):
            step *= grow
            before[i] = g[i]
        elif (g[i] > 0 and before[i] < 0) or (g[i] < 0 and before[i] > 0):
            step *= shrink
            before[i] = 0
        else:
            before[i] = g[i]
        step = shortest if step < shortest else (longest if step > longest else step)
        w[i] -= decay * w[i] + (step if before[i] > 0 else (-step if before[i] < 0 else before[i]))   # 0, or NaN
        steps[i] = step if g[i] != 0 else steps[i]


cdef inline floating least_epsilon(const Rule* rule, const floating* like) noexcept nogil:
    """In float32 a smaller one than this is 0, and a pad becomes 0 / 0."""
    return <floating>max(rule.epsilon, FLT_MIN)


# --- the table ----------------------------------------------------------------------------------------------------------------

cdef inline void add(
    Optimizer* table, int* count, const char* name, int states, Correct correct, Update32 update32, Update64 update64,
) noexcept:
    table[count[0]].name = name
    table[count[0]].states = states
    table[count[0]].correct = correct
    table[count[0]].update32 = update32
    table[count[0]].update64 = update64
    count[0] += 1


cdef inline int fill_optimizers(Optimizer* table) noexcept:
    """All optimizers; returns how many."""
    cdef int n = 0
    add(table, &n, "sgd", 0, NULL, sgd, sgd)
    add(table, &n, "momentum", 1, NULL, momentum, momentum)
    add(table, &n, "nesterov", 1, NULL, nesterov, nesterov)
    add(table, &n, "adam", 2, correct_adam, adam, adam)
    add(table, &n, "rmsprop", 1, NULL, rmsprop, rmsprop)
    add(table, &n, "adagrad", 1, NULL, adagrad, adagrad)
    add(table, &n, "lion", 1, NULL, lion, lion)
    add(table, &n, "amsgrad", 3, correct_adam, amsgrad, amsgrad)
    add(table, &n, "rprop", 2, NULL, rprop, rprop)
    return n


cdef inline void begin_rule(Rule* rule, const Optimizer* optimizer, const Run* run) noexcept nogil:
    """What is the same for all steps of a run."""
    rule.rate = rule.base_rate = run.rate
    rule.weight_decay = run.weight_decay
    rule.decay = run.rate * run.weight_decay
    rule.memory1, rule.memory2 = run.memory1, run.memory2
    rule.grow = 1
    rule.epsilon, rule.limit = run.epsilon, run.limit
    rule.l1, rule.l2 = run.l1, run.l2
    rule.clip = run.clip_value
    rule.correct = optimizer.correct
    rule.update32, rule.update64 = optimizer.update32, optimizer.update64
    if rule.correct is not NULL:
        rule.log1, rule.log2 = log(run.memory1), log(run.memory2)


cdef inline void begin_step(Rule* rule, double step) noexcept nogil:
    """The rule of update number `step`, counted from 1."""
    if rule.correct is not NULL:
        rule.correct(rule, step)


cdef inline void take_rate(Rule* rule, double rate) noexcept nogil:
    """Another rate from the next step on."""
    rule.rate = rule.base_rate = rate
    rule.decay = rate * rule.weight_decay


cdef inline void update(
    const Rule* rule, bint is_weight, Py_ssize_t n, floating* w, floating* g, floating* state, Py_ssize_t size,
) noexcept nogil:
    """w, of n parameters, one step on. Penalties, which are added to g, and decay act on weights, not on biases."""
    if is_weight and (rule.l1 != 0 or rule.l2 != 0):
        add_penalty(n, w, g, <floating>rule.l1, <floating>rule.l2)
    if rule.clip > 0:
        clip_each(n, g, <floating>rule.clip)
    follow(rule, is_weight, n, w, g, state, size)


cdef inline void follow(
    const Rule* rule, bint is_weight, Py_ssize_t n, floating* w, floating* g, floating* state, Py_ssize_t size,
) noexcept nogil:
    """w one step on along a gradient that is as it should be."""
    cdef floating decay = <floating>(rule.decay if is_weight else 0)
    if floating is float:
        rule.update32(rule, decay, n, w, g, state, size)
    else:
        rule.update64(rule, decay, n, w, g, state, size)


cdef inline void clip_each(Py_ssize_t n, floating* g, floating most) noexcept nogil:
    """No number beyond -most ... most; NaN stays."""
    cdef Py_ssize_t i
    for i in range(n):
        g[i] = most if g[i] > most else (-most if g[i] < -most else g[i])
