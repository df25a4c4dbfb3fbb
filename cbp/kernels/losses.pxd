# Losses: the loss of one row, its gradient and its metric.
#
# loss_row() reads one row of outputs and its target, overwrites the row's gradient `d` with scale * dloss/dŷ (pad lanes 0) and
# returns the loss. For the fused pairs (softmax with cross_entropy, sigmoid with binary_cross_entropy) `y_hat` holds the
# weighted sums z and d becomes the gradient of z: stable where the probabilities themselves would round to 0 or 1. begin_rows()
# comes first, once for all rows.

from cython cimport floating
from libc.math cimport fabs, log

from cbp.kernels.activations cimport SIGMOID, SOFTMAX, exponential, log1p_of_fraction, logistic, softmax_rows


cdef enum LossKind:
    MEAN_SQUARED_ERROR
    HALF_SQUARED_ERROR
    MEAN_ABSOLUTE_ERROR
    HUBER
    BINARY_CROSS_ENTROPY
    CROSS_ENTROPY
    POISSON
    HINGE


cdef inline bint is_fused(int loss, int activation) noexcept nogil:
    return (loss == CROSS_ENTROPY and activation == SOFTMAX) or (loss == BINARY_CROSS_ENTROPY and activation == SIGMOID)


cdef inline double tiny(floating* dtype) noexcept nogil:
    """The least probability that an unfused cross entropy takes the logarithm of."""
    return 1e-7 if floating is float else 1e-15


cdef inline double clip(double p, double low, double high) noexcept nogil:
    p = low if p < low else p
    return high if p > high else p


cdef inline double sign(double e) noexcept nogil:
    return (e > 0) - (e < 0)


cdef inline void begin_rows(
    int kind, bint fused, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, floating* z, floating* d,
) noexcept nogil:
    """What is faster for many rows at once than in loss_row: the softmax of a fused cross entropy, into d."""
    if kind == CROSS_ENTROPY and fused:
        softmax_rows(rows, units, width, z, d)


cdef inline double cross_entropy_row(
    Py_ssize_t units, Py_ssize_t width, double scale, const floating* z, const floating* y, Py_ssize_t label, floating* d,
) noexcept nogil:
    """-sum of y log softmax(z), d being the softmax; then d = scale (d sum(y) - y). `y` is NULL for a label."""
    cdef Py_ssize_t j, best = 0
    cdef double total = 0, loss = 0
    if y is NULL and d[label] > <floating>1e-30:
        loss = -log(d[label])
    else:
        # log p = z - log sum, and log sum = z - log p of the most probable class, whose p is nowhere near 0.
        for j in range(1, units):
            best = j if d[j] > d[best] else best
        if y is NULL:
            loss = <double>z[best] - z[label] - log(d[best])
        else:
            for j in range(units):
                total += y[j]
                loss += y[j] * (<double>z[best] - z[j] - log(d[best])) if y[j] != 0 else 0
    if y is NULL:
        for j in range(width):
            d[j] *= <floating>scale
        d[label] -= <floating>scale
    else:
        for j in range(units):
            d[j] = <floating>(scale * (d[j] * total - y[j]))
    return loss


cdef inline double loss_row(
    int kind, bint fused, double delta, Py_ssize_t units, Py_ssize_t width, double scale,
    floating* y_hat, const floating* y, Py_ssize_t label, floating* d,
) noexcept nogil:
    """The loss of a row; d = scale * its gradient. A network admits cross_entropy only after a softmax, so it is always fused."""
    cdef Py_ssize_t j
    cdef double e, p, t, loss = 0
    cdef double least = tiny(d)
    cdef double each = scale / units
    if kind == CROSS_ENTROPY:
        return cross_entropy_row(units, width, scale, y_hat, y, label, d)
    for j in range(units, width):
        d[j] = 0
    if kind == MEAN_SQUARED_ERROR:
        for j in range(units):
            e = <double>y_hat[j] - y[j]
            loss += e * e
            d[j] = <floating>(each * 2 * e)
        loss /= units
    elif kind == HALF_SQUARED_ERROR:
        for j in range(units):
            e = <double>y_hat[j] - y[j]
            loss += e * e / 2
            d[j] = <floating>(scale * e)
    elif kind == MEAN_ABSOLUTE_ERROR:
        for j in range(units):
            e = <double>y_hat[j] - y[j]
            loss += fabs(e)
            d[j] = <floating>(each * sign(e))
        loss /= units
    elif kind == HUBER:
        for j in range(units):
            e = <double>y_hat[j] - y[j]
            if fabs(e) <= delta:
                loss += e * e / 2
                d[j] = <floating>(each * e)
            else:
                loss += delta * (fabs(e) - delta / 2)
                d[j] = <floating>(each * delta * sign(e))
        loss /= units
    elif kind == BINARY_CROSS_ENTROPY and fused:
        for j in range(units):
            t = y_hat[j]
            loss += (t if t > 0 else 0) - t * y[j] + log1p_of_fraction(exponential(-fabs(t)))
            d[j] = <floating>(each * (logistic(t) - y[j]))
        loss /= units
    elif kind == BINARY_CROSS_ENTROPY:
        for j in range(units):
            p = clip(y_hat[j], least, 1 - least)
            loss -= y[j] * log(p) + (1 - y[j]) * log(1 - p)
            d[j] = <floating>(each * (p - y[j]) / (p * (1 - p)))
        loss /= units
    elif kind == POISSON:
        for j in range(units):
            p = least if y_hat[j] < least else y_hat[j]
            loss += p - y[j] * log(p)
            d[j] = <floating>(each * (1 - y[j] / p))
        loss /= units
    elif kind == HINGE:
        for j in range(units):
            e = 1 - <double>y_hat[j] * y[j]
            loss += e if not e <= 0 else 0
            d[j] = <floating>(-each * y[j]) if e > 0 else 0
        loss /= units
    return loss


cdef inline double metric_row(
    int kind, bint fused, Py_ssize_t units, const floating* y_hat, const floating* y, Py_ssize_t label,
) noexcept nogil:
    """Accuracy of a row (classification losses), or its mean absolute error; called before loss_row overwrites z."""
    cdef Py_ssize_t j
    cdef double total = 0
    cdef double middle = 0 if fused else 0.5
    cdef floating chosen
    cdef int beaten = 0
    if kind == CROSS_ENTROPY:
        if y is not NULL:
            label = 0
            for j in range(1, units):
                label = j if y[j] > y[label] else label
        # The first of the largest is the answer; counted without a branch, so that the loop vectorises.
        chosen = y_hat[label]
        for j in range(units):
            beaten += (y_hat[j] > chosen) | ((y_hat[j] == chosen) & (j < label))
        return beaten == 0
    if kind == BINARY_CROSS_ENTROPY:
        for j in range(units):
            total += (y_hat[j] > middle) == (y[j] > <floating>0.5)
    elif kind == HINGE:
        for j in range(units):
            total += (y_hat[j] > 0) == (y[j] > 0)
    else:
        for j in range(units):
            total += fabs(<double>y_hat[j] - y[j])
    return total / units
