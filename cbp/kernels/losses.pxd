# Losses: the loss of each row, its gradient and its metric.
#
# loss_rows() reads rows of outputs and their targets and overwrites the gradient `d` with weight * scale * dloss/dŷ (pad lanes
# 0). For the fused pairs (softmax with cross_entropy, sigmoid with binary_cross_entropy) `y_hat` holds the weighted sums z and
# d becomes the gradient of z: stable where the probabilities themselves would round to 0 or 1. What a row gets does not depend
# on the rows beside it, to the last bit.
#
# Rows of outputs are padded, rows of targets are not. Sixteen lanes are computed at a time, so that it vectorises, those of a
# pad too, and then taken out. Functions with a literal `kind` or `width` are inlined for each of them: one row of up to 16
# units then stays in registers.

from cython cimport floating
from libc.string cimport memset

from cbp.kernels.activations cimport (
    SIGMOID,
    SOFTMAX,
    exponential,
    lanes_sum,
    largest_of_row,
    log1p_of_fraction,
    logarithm,
    logistic,
    relu,
    subtract_from_row,
    sum_of_row,
)


cdef enum:
    CHUNK = 32   # rows that go through the sweeps of a cross entropy together; a multiple of 8


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
        return <floating>(-y * logarithm(p) - (1 - y) * logarithm(1 - p))
    elif kind == FUSED_BINARY_CROSS_ENTROPY:
        return relu(y_hat) - y_hat * y + log1p_of_fraction(exponential(-absolute(y_hat)))
    elif kind == POISSON:
        p = tiny(y_hat) if y_hat < tiny(y_hat) else y_hat
        return <floating>(p - y * logarithm(p))
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


# --- the metric of one output -------------------------------------------------------------------------------------------------

cdef inline floating metric_term(const int kind, floating y_hat, floating y) noexcept nogil:
    """Whether the class is right, or the absolute error. NaN is never right."""
    if kind == BINARY_CROSS_ENTROPY:
        return same_side(y_hat, <floating>0.5, y > <floating>0.5)
    elif kind == FUSED_BINARY_CROSS_ENTROPY:
        return same_side(y_hat, <floating>0, y > <floating>0.5)
    elif kind == HINGE:
        return same_side(y_hat, <floating>0, y > 0)
    else:
        return absolute(y_hat - y)


cdef inline floating same_side(floating y_hat, floating middle, bint above) noexcept nogil:
    cdef floating if_above = <floating>1 if y_hat > middle else <floating>0
    cdef floating if_below = <floating>1 if y_hat <= middle else <floating>0
    return if_above if above else if_below


# --- losses that are a sum over the outputs ----------------------------------------------------------------------------------

cdef inline void read_targets(int units, const floating* y, floating* lanes) noexcept nogil:
    """Up to sixteen targets, 0 beyond: what lies behind them in memory need not be theirs."""
    cdef int k
    for k in range(16):
        lanes[k] = y[k] if k < units else <floating>0


cdef inline void sixteen_terms(
    const int kind, int units, floating bend, floating factor, const floating* y_hat, const floating* y,
    floating* terms, floating* hits, floating* d,
) noexcept nogil:
    """Add the losses and the metrics of sixteen outputs to `terms` and `hits`; d = factor * slopes. Lanes from `units` on are
    pads."""
    cdef floating target[16]
    cdef floating term, hit, slope
    cdef int k
    read_targets(units, y, target)
    for k in range(16):
        term = loss_term(kind, y_hat[k], target[k], bend)
        hit = metric_term(kind, y_hat[k], target[k])
        slope = factor * loss_slope(kind, y_hat[k], target[k], bend)
        terms[k] += term if k < units else <floating>0
        hits[k] += hit if k < units else <floating>0
        d[k] = slope if k < units else <floating>0


cdef inline void sum_rows(
    const int kind, double delta, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, double scale,
    const floating* y_hat, const floating* y, Py_ssize_t ldy, const floating* weights,
    floating* d, double* loss, double* metric,
) noexcept nogil:
    """A row's loss is the sum (half_squared_error) or the mean of its terms; its metric is a mean."""
    cdef floating terms[16]
    cdef floating hits[16]
    cdef floating factor
    cdef double share = 1 if kind == HALF_SQUARED_ERROR else 1 / <double>units
    cdef Py_ssize_t r, j
    cdef int k
    for r in range(rows):
        factor = <floating>(scale * share * (weights[r] if weights is not NULL else 1))
        for k in range(16):
            terms[k] = 0
            hits[k] = 0
        for j in range(0, width, 16):
            sixteen_terms(kind, <int>min(units - j, 16), <floating>delta, factor, y_hat + r * width + j, y + r * ldy + j,
                          terms, hits, d + r * width + j)
        loss[r] = lanes_sum(terms) * share
        metric[r] = lanes_sum(hits) / units


# --- cross entropy ------------------------------------------------------------------------------------------------------------

cdef inline bint first_of_largest(
    Py_ssize_t label, floating largest, Py_ssize_t width, const floating* z,
) noexcept nogil:
    """Whether z[label] is the largest and none before it is as large; counted without a branch, so that it vectorises."""
    cdef Py_ssize_t j
    cdef int k, before, count = 0
    for j in range(0, width, 16):
        before = <int>min(max(label - j, 0), 16)
        for k in range(16):
            count += (z[j + k] == largest) & (k < before)
    return (z[label] == largest) & (count == 0)


cdef inline Py_ssize_t most_probable(Py_ssize_t units, const floating* y) noexcept nogil:
    cdef Py_ssize_t j, best = 0
    for j in range(1, units):
        best = j if y[j] > y[best] else best
    return best


cdef inline void cross_entropy_chunk(
    Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, double scale, const floating* z, const floating* y, Py_ssize_t ldy,
    const Py_ssize_t* labels, const floating* weights, floating* d, double* loss, double* metric,
) noexcept nogil:
    """-sum of y log softmax(z) for up to CHUNK rows, and its gradient sum(y) softmax(z) - y.

    With m = max z it is the sum of y (m - z), plus sum(y) times the logarithm of the sum of e^(z - m), which is nowhere near 0.
    In sweeps over all rows, so that no row waits for the one before.
    """
    cdef double sums[CHUNK]
    cdef double mass[CHUNK]   # sum(y)
    cdef floating largest, factor
    cdef const floating* row
    cdef Py_ssize_t r, j, label
    for r in range(rows):
        row = z + r * width
        largest = largest_of_row(units, width, row)
        label = labels[r] if y is NULL else most_probable(units, y + r * ldy)
        label = label if 0 <= label < units else 0   # the user's memory may have changed since it was checked
        metric[r] = first_of_largest(label, largest, width, row)
        mass[r] = 1
        loss[r] = <double>largest - row[label]
        if y is not NULL:
            mass[r] = loss[r] = 0
            for j in range(units):
                mass[r] += y[r * ldy + j]
                loss[r] += y[r * ldy + j] * (<double>largest - row[j]) if y[r * ldy + j] != 0 else 0
        subtract_from_row(units, width, row, largest, d + r * width)
    for j in range(rows * width):
        d[j] = exponential(d[j])
    for r in range(rows):
        sums[r] = sum_of_row(width, d + r * width)
        metric[r] = metric[r] if sums[r] == sums[r] else 0
        factor = <floating>(scale * (weights[r] if weights is not NULL else 1))
        if y is NULL:
            label_slopes(units, width, factor / <floating>sums[r], factor, labels[r], d + r * width)
        else:
            for j in range(units):
                d[r * width + j] = factor * (d[r * width + j] * <floating>(mass[r] / sums[r]) - y[r * ldy + j])
    add_logarithms(rows, mass, sums, loss)


cdef inline void label_slopes(
    Py_ssize_t units, Py_ssize_t width, floating share, floating factor, Py_ssize_t label, floating* d,
) noexcept nogil:
    """d = share * d, minus `factor` at the label."""
    cdef floating slope
    cdef Py_ssize_t j
    cdef int k, here, left
    for j in range(0, width, 16):
        here = <int>(label - j) if j <= label < j + 16 else -1
        left = <int>min(units - j, 16)
        for k in range(16):
            slope = d[j + k] * share - (factor if k == here else <floating>0)
            d[j + k] = slope if k < left else <floating>0   # not 0 * share, which may be NaN


cdef inline void add_logarithms(Py_ssize_t rows, const double* mass, double* sums, double* loss) noexcept nogil:
    """loss += mass log(sums), eight rows at a time, those beyond the last too: a row's bits must not depend on their number."""
    cdef double logarithms[8]
    cdef Py_ssize_t r, k
    for r in range(rows, (rows + 7) // 8 * 8):
        sums[r] = 1
    for r in range(0, rows, 8):
        for k in range(8):
            logarithms[k] = logarithm(sums[r + k])
        for k in range(min(8, rows - r)):
            loss[r + k] += mass[r + k] * logarithms[k]


cdef inline void cross_entropy_rows(
    Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, double scale, const floating* z, const floating* y, Py_ssize_t ldy,
    const Py_ssize_t* labels, const floating* weights, floating* d, double* loss, double* metric,
) noexcept nogil:
    cdef Py_ssize_t r = 0
    while r < rows:
        cross_entropy_chunk(min(CHUNK, rows - r), units, width, scale, z + r * width,
                            y + r * ldy if y is not NULL else NULL, ldy,
                            labels + r if labels is not NULL else NULL, weights + r if weights is not NULL else NULL,
                            d + r * width, loss + r, metric + r)
        r += CHUNK


# --- dispatch -----------------------------------------------------------------------------------------------------------------

cdef inline void rows_of_width(
    int kind, bint fused, double delta, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, double scale,
    const floating* y_hat, const floating* y, Py_ssize_t ldy, const Py_ssize_t* labels, const floating* weights,
    floating* d, double* loss, double* metric,
) noexcept nogil:
    """Networks admit cross_entropy only after a softmax, so it is always fused."""
    if kind == CROSS_ENTROPY and y is NULL:
        cross_entropy_rows(rows, units, width, scale, y_hat, <const floating*>NULL, 0, labels, weights, d, loss, metric)
    elif kind == CROSS_ENTROPY:
        cross_entropy_rows(rows, units, width, scale, y_hat, y, ldy, NULL, weights, d, loss, metric)
    elif kind == HALF_SQUARED_ERROR:
        sum_rows(HALF_SQUARED_ERROR, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)
    elif kind == MEAN_SQUARED_ERROR:
        sum_rows(MEAN_SQUARED_ERROR, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)
    elif kind == MEAN_ABSOLUTE_ERROR:
        sum_rows(MEAN_ABSOLUTE_ERROR, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)
    elif kind == HUBER:
        sum_rows(HUBER, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)
    elif kind == BINARY_CROSS_ENTROPY and fused:
        sum_rows(FUSED_BINARY_CROSS_ENTROPY, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)
    elif kind == BINARY_CROSS_ENTROPY:
        sum_rows(BINARY_CROSS_ENTROPY, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)
    elif kind == POISSON:
        sum_rows(POISSON, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)
    else:
        sum_rows(HINGE, delta, rows, units, width, scale, y_hat, y, ldy, weights, d, loss, metric)


cdef inline void loss_rows(
    int kind, bint fused, double delta, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, double scale,
    const floating* y_hat, const floating* y, Py_ssize_t ldy, const Py_ssize_t* labels, const floating* weights,
    floating* d, double* loss, double* metric,
) noexcept nogil:
    """Loss and metric of each row, and d = weight * scale * gradient for (rows, width).

    Targets are rows of `units` numbers, `ldy` apart; cross_entropy takes labels instead when `y` is NULL. The metric is the
    accuracy (classification losses) or the mean absolute error. `weights` may be NULL (all 1); a row of weight 0 counts
    nothing, whatever it holds.
    """
    cdef Py_ssize_t r
    if width == 16:
        rows_of_width(kind, fused, delta, rows, units, 16, scale, y_hat, y, ldy, labels, weights, d, loss, metric)
    else:
        rows_of_width(kind, fused, delta, rows, units, width, scale, y_hat, y, ldy, labels, weights, d, loss, metric)
    if weights is NULL:
        return
    for r in range(rows):
        if weights[r] == 0:
            loss[r] = 0
            metric[r] = 0
            memset(d + r * width, 0, width * sizeof(floating))
