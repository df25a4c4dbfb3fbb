# Losses: the loss of one row, its gradient and its metric.
#
# loss_row() reads one row of outputs and its target, overwrites the row's gradient `d` with scale * dloss/dŷ (pad lanes 0) and
# returns the loss. For the fused pairs (softmax with cross_entropy, sigmoid with binary_cross_entropy) `y_hat` holds the
# weighted sums z and d becomes the gradient of z: stable where the probabilities themselves would round to 0 or 1. begin_rows()
# comes first, once for all rows.

from cython cimport floating
from libc.math cimport log

from cbp.kernels.activations cimport (
    SIGMOID,
    SOFTMAX,
    exponential,
    lanes_sum,
    log1p_of_fraction,
    logistic,
    relu,
    softmax_rows,
)


cdef enum LossKind:
    MEAN_SQUARED_ERROR
    HALF_SQUARED_ERROR
    MEAN_ABSOLUTE_ERROR
    HUBER
    BINARY_CROSS_ENTROPY
    CROSS_ENTROPY
    POISSON
    HINGE
    FUSED_BINARY_CROSS_ENTROPY   # of the weighted sum of a sigmoid; inside this file only


cdef inline bint is_fused(int loss, int activation) noexcept nogil:
    return (loss == CROSS_ENTROPY and activation == SOFTMAX) or (loss == BINARY_CROSS_ENTROPY and activation == SIGMOID)


cdef inline floating tiny(floating like) noexcept nogil:
    """The least probability that an unfused cross entropy takes the logarithm of."""
    return <floating>(1e-7 if floating is float else 1e-15)


cdef inline floating absolute(floating e) noexcept nogil:
    return -e if e < 0 else e


cdef inline floating sign(floating e) noexcept nogil:
    return <floating>1 if e > 0 else (<floating>-1 if e < 0 else <floating>0)


# --- the loss of one output, each above its derivative -----------------------------------------------------------------------

cdef inline floating loss_term(const int kind, floating y_hat, floating y, floating delta) noexcept nogil:
    """`kind` is a literal in every call, so that one line of this is left."""
    cdef floating e = y_hat - y
    cdef floating p
    if kind == MEAN_SQUARED_ERROR:
        return e * e
    elif kind == HALF_SQUARED_ERROR:
        return e * e * <floating>0.5
    elif kind == MEAN_ABSOLUTE_ERROR:
        return absolute(e)
    elif kind == HUBER:
        return e * e * <floating>0.5 if absolute(e) <= delta else delta * (absolute(e) - delta * <floating>0.5)
    elif kind == BINARY_CROSS_ENTROPY:
        p = clip(y_hat)
        return <floating>(-y * log(p) - (1 - y) * log(1 - p))
    elif kind == FUSED_BINARY_CROSS_ENTROPY:
        return relu(y_hat) - y_hat * y + log1p_of_fraction(exponential(-absolute(y_hat)))
    elif kind == POISSON:
        p = tiny(y_hat) if y_hat < tiny(y_hat) else y_hat
        return <floating>(p - y * log(p))
    else:
        return relu(<floating>1 - y_hat * y)   # HINGE


cdef inline floating loss_slope(const int kind, floating y_hat, floating y, floating delta) noexcept nogil:
    cdef floating e = y_hat - y
    cdef floating p
    if kind == MEAN_SQUARED_ERROR:
        return <floating>2 * e
    elif kind == HALF_SQUARED_ERROR:
        return e
    elif kind == MEAN_ABSOLUTE_ERROR:
        return sign(e)
    elif kind == HUBER:
        return e if absolute(e) <= delta else delta * sign(e)
    elif kind == BINARY_CROSS_ENTROPY:
        p = clip(y_hat)
        return (p - y) / (p * (<floating>1 - p))
    elif kind == FUSED_BINARY_CROSS_ENTROPY:
        return logistic(y_hat) - y
    elif kind == POISSON:
        p = tiny(y_hat) if y_hat < tiny(y_hat) else y_hat
        return <floating>1 - y / p
    else:
        return -y if <floating>1 - y_hat * y > 0 else <floating>0


cdef inline floating clip(floating p) noexcept nogil:
    cdef floating least = tiny(p)
    p = least if p < least else p
    return <floating>1 - least if p > <floating>1 - least else p


cdef inline double loss_terms(
    const int kind, double delta, Py_ssize_t units, floating scale, const floating* y_hat, const floating* y, floating* d,
) noexcept nogil:
    """The sum of the terms of a row, sixteen at a time so that it vectorises; d = scale * their slopes."""
    cdef floating lanes[16]
    cdef floating bend = <floating>delta
    cdef Py_ssize_t j, k, whole = units // 16 * 16
    cdef double loss = 0
    if whole:
        for k in range(16):
            lanes[k] = 0
        for j in range(0, whole, 16):
            for k in range(16):
                lanes[k] += loss_term(kind, y_hat[j + k], y[j + k], bend)
                d[j + k] = scale * loss_slope(kind, y_hat[j + k], y[j + k], bend)
        loss = lanes_sum(lanes)
    for j in range(whole, units):
        loss += loss_term(kind, y_hat[j], y[j], bend)
        d[j] = scale * loss_slope(kind, y_hat[j], y[j], bend)
    return loss


# --- whole rows ---------------------------------------------------------------------------------------------------------------

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
    """The loss of a row; d = scale * its gradient. Networks admit cross_entropy only after a softmax, so it is always fused."""
    cdef Py_ssize_t j
    cdef floating each = <floating>(scale / units)
    if kind == CROSS_ENTROPY:
        return cross_entropy_row(units, width, scale, y_hat, y, label, d)
    for j in range(units, width):
        d[j] = 0
    if kind == HALF_SQUARED_ERROR:
        return loss_terms(HALF_SQUARED_ERROR, delta, units, <floating>scale, y_hat, y, d)
    elif kind == MEAN_SQUARED_ERROR:
        return loss_terms(MEAN_SQUARED_ERROR, delta, units, each, y_hat, y, d) / units
    elif kind == MEAN_ABSOLUTE_ERROR:
        return loss_terms(MEAN_ABSOLUTE_ERROR, delta, units, each, y_hat, y, d) / units
    elif kind == HUBER:
        return loss_terms(HUBER, delta, units, each, y_hat, y, d) / units
    elif kind == BINARY_CROSS_ENTROPY and fused:
        return loss_terms(FUSED_BINARY_CROSS_ENTROPY, delta, units, each, y_hat, y, d) / units
    elif kind == BINARY_CROSS_ENTROPY:
        return loss_terms(BINARY_CROSS_ENTROPY, delta, units, each, y_hat, y, d) / units
    elif kind == POISSON:
        return loss_terms(POISSON, delta, units, each, y_hat, y, d) / units
    else:
        return loss_terms(HINGE, delta, units, each, y_hat, y, d) / units


cdef inline double metric_row(
    int kind, bint fused, Py_ssize_t units, const floating* y_hat, const floating* y, Py_ssize_t label,
) noexcept nogil:
    """Accuracy of a row (classification losses), or its mean absolute error."""
    cdef Py_ssize_t j
    cdef floating middle = <floating>(0 if fused else 0.5)
    cdef floating chosen
    cdef int count = 0
    if kind == CROSS_ENTROPY:
        if y is not NULL:
            label = 0
            for j in range(1, units):
                label = j if y[j] > y[label] else label
        # The first of the largest is the answer; counted without a branch, so that the loop vectorises, and
        # so that NaN is never right.
        chosen = y_hat[label]
        for j in range(units):
            count += (not y_hat[j] <= chosen) | ((y_hat[j] == chosen) & (j < label))
        return count == 0
    if kind == BINARY_CROSS_ENTROPY:
        for j in range(units):
            count += y_hat[j] > middle if y[j] > <floating>0.5 else y_hat[j] <= middle
        return count / <double>units
    if kind == HINGE:
        for j in range(units):
            count += y_hat[j] > 0 if y[j] > 0 else y_hat[j] <= 0
        return count / <double>units
    return absolute_error(units, y_hat, y) / units


cdef inline double absolute_error(Py_ssize_t units, const floating* y_hat, const floating* y) noexcept nogil:
    cdef floating lanes[16]
    cdef Py_ssize_t j, k, whole = units // 16 * 16
    cdef double total = 0
    for k in range(16):
        lanes[k] = 0
    for j in range(0, whole, 16):
        for k in range(16):
            lanes[k] += absolute(y_hat[j + k] - y[j + k])
    total = lanes_sum(lanes)
    for j in range(whole, units):
        total += absolute(y_hat[j] - y[j])
    return total


cdef inline void loss_rows(
    int kind, bint fused, double delta, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, double scale,
    floating* y_hat, const floating* y, Py_ssize_t ldy, const Py_ssize_t* labels, const floating* weights, floating* d,
    double* loss, double* metric,
) noexcept nogil:
    """Loss and metric of every row, and d = weight * scale * gradient."""
    cdef Py_ssize_t r, j, label
    cdef double weight
    cdef const floating* target
    begin_rows(kind, fused, rows, units, width, y_hat, d)
    for r in range(rows):
        weight = weights[r] if weights is not NULL else 1
        loss[r] = metric[r] = 0
        if weight == 0:
            for j in range(width):
                d[r * width + j] = 0
            continue
        target = y + r * ldy if y is not NULL else NULL
        label = labels[r] if labels is not NULL else 0
        metric[r] = metric_row(kind, fused, units, y_hat + r * width, target, label)
        loss[r] = loss_row(kind, fused, delta, units, width, weight * scale, y_hat + r * width, target, label, d + r * width)
