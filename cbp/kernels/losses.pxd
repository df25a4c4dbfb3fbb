# Losses: the loss of each row, its gradient and its metric.
#
# loss_rows() reads rows of outputs and their targets and overwrites the gradient `d` with weight * scale * dloss/dŷ (pad lanes
# 0). For the fused pairs (softmax with cross_entropy, sigmoid with binary_cross_entropy) `y_hat` holds the weighted sums z and
# d becomes the gradient of z: stable where the probabilities themselves would round to 0 or 1. What a row gets does not depend
# on the rows beside it, to the last bit.
#
# Rows of outputs are padded, rows of targets are not. Sixteen lanes are computed at a time, so that it vectorises, those of a
# pad too, and then taken out. Functions with a literal `width`, or whose terms are literals, are inlined for each of them: one
# row of up to 16 units then stays in registers.
#
# A loss that is a sum over the outputs is three functions: xxx(), the loss of one output, above its derivative and above
# xxx_rows(), which runs them. The table at the end has a row for each loss.

from cython cimport floating
from libc.string cimport memset, strcmp

from cbp.kernels.activations cimport Activation, relu
from cbp.kernels.elementary cimport exponential, log1p_of_fraction, logarithm, logistic
from cbp.kernels.inlining cimport forced
from cbp.kernels.rows cimport LONG, lanes_sum, largest_of_row, subtract_from_row, sum_of_row


cdef struct Rows:
    # What is asked of some rows, but for the numbers of the network's dtype, which are arguments of their own.
    Py_ssize_t count
    Py_ssize_t units
    Py_ssize_t width            # units padded to a multiple of 16: from one row of outputs to the next
    Py_ssize_t ldy              # from one row of targets to the next
    const Py_ssize_t* labels    # what cross_entropy takes where there are no targets
    double constant             # the loss's own number, as huber's delta
    double scale                # of the gradient
    double* loss
    double* metric


ctypedef void (*Loss32)(const Rows* rows, const float* y_hat, const float* y, const float* weights, float* d) noexcept nogil
ctypedef void (*Loss64)(const Rows* rows, const double* y_hat, const double* y, const double* weights, double* d) noexcept nogil


cdef enum Targets:
    # Which targets a loss is defined for.
    NUMBERS
    FRACTIONS    # 0 ... 1
    COUNTS       # 0 and more
    SIGNS        # -1 or 1
    CLASSES      # labels, or rows of probabilities


cdef struct Loss:
    const char* name
    Targets targets
    Loss32 rows32
    Loss64 rows64
    const char* fused_with   # the activation that the next two take in: of its weighted sums; NULL: none
    Loss32 fused32
    Loss64 fused64


cdef enum:
    MOST_LOSSES = 32
    CHUNK = 32   # rows that go through the sweeps of a cross entropy together; a multiple of 8


cdef inline floating tiny(floating like) noexcept nogil:
    """The least probability that an unfused cross entropy takes the logarithm of."""
    return <floating>(1e-7 if floating is float else 1e-15)


cdef inline floating absolute(floating e) noexcept nogil:
    return -e if e < 0 else e


cdef inline floating sign(floating e) noexcept nogil:
    return <floating>1 if e > 0 else (<floating>-1 if e < 0 else <floating>0)


cdef inline floating clip(floating p) noexcept nogil:
    cdef floating least = tiny(p)
    p = least if p < least else p
    return <floating>1 - least if p > <floating>1 - least else p


# --- the metric of one output: the absolute error, or whether the class is right. NaN is never right -------------------------

cdef inline floating absolute_error(floating y_hat, floating y) noexcept nogil:
    return absolute(y_hat - y)


cdef inline floating right_of_half(floating y_hat, floating y) noexcept nogil:
    return same_side(y_hat, <floating>0.5, y > <floating>0.5)


cdef inline floating right_of_zero(floating z, floating y) noexcept nogil:
    """Of the weighted sum of a sigmoid."""
    return same_side(z, <floating>0, y > <floating>0.5)


cdef inline floating right_of_sign(floating y_hat, floating y) noexcept nogil:
    return same_side(y_hat, <floating>0, y > 0)


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


cdef inline forced sixteen_terms(
    floating (*term)(floating, floating, floating) noexcept nogil,
    floating (*slope)(floating, floating, floating) noexcept nogil, floating (*hit)(floating, floating) noexcept nogil,
    int units, floating constant, floating factor, const floating* y_hat, const floating* y,
    floating* terms, floating* hits, floating* d,
) noexcept nogil:
    """Add the losses and the metrics of sixteen outputs to `terms` and `hits`; d = factor * slopes. Lanes from `units` on are
    pads."""
    cdef floating target[16]
    cdef floating loss, metric, steep
    cdef int k
    read_targets(units, y, target)
    for k in range(16):
        loss = term(y_hat[k], target[k], constant)
        metric = hit(y_hat[k], target[k])
        steep = factor * slope(y_hat[k], target[k], constant)
        terms[k] += loss if k < units else <floating>0
        hits[k] += metric if k < units else <floating>0
        d[k] = steep if k < units else <floating>0


cdef inline forced sum_of_width(
    floating (*term)(floating, floating, floating) noexcept nogil,
    floating (*slope)(floating, floating, floating) noexcept nogil, floating (*hit)(floating, floating) noexcept nogil,
    const bint is_mean, Py_ssize_t width, const Rows* rows, const floating* y_hat, const floating* y, const floating* weights,
    floating* d,
) noexcept nogil:
    cdef floating terms[16]
    cdef floating hits[16]
    cdef floating factor, constant = <floating>rows.constant
    cdef Py_ssize_t units = rows.units, ldy = rows.ldy
    cdef double share = 1 / <double>units if is_mean else 1
    cdef double scale = rows.scale, loss, metric
    cdef Py_ssize_t r, first, j
    cdef int k
    for r in range(rows.count):
        factor = <floating>(scale * share * (weights[r] if weights is not NULL else 1))
        loss = metric = 0
        first = 0
        while first < width:
            for k in range(16):
                terms[k] = 0
                hits[k] = 0
            for j in range(first, min(first + LONG, width), 16):
                sixteen_terms(term, slope, hit, <int>min(units - j, 16), constant, factor, y_hat + r * width + j,
                              y + r * ldy + j, terms, hits, d + r * width + j)
            loss += lanes_sum(terms)
            metric += lanes_sum(hits)
            first += LONG
        rows.loss[r] = loss * share
        rows.metric[r] = <floating>metric / units


cdef inline forced sum_rows(
    floating (*term)(floating, floating, floating) noexcept nogil,
    floating (*slope)(floating, floating, floating) noexcept nogil, floating (*hit)(floating, floating) noexcept nogil,
    const bint is_mean, const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    """A row's loss is the sum or the mean of its terms; its metric is a mean."""
    if rows.width == 16:
        sum_of_width(term, slope, hit, is_mean, 16, rows, y_hat, y, weights, d)
    else:
        sum_of_width(term, slope, hit, is_mean, rows.width, rows, y_hat, y, weights, d)


# --- each above its derivative, y_hat an output and y its target --------------------------------------------------------------

cdef inline floating squared_error(floating y_hat, floating y, floating _constant) noexcept nogil:
    cdef floating e = y_hat - y
    return e * e

cdef inline floating squared_error_slope(floating y_hat, floating y, floating _constant) noexcept nogil:
    return <floating>2 * (y_hat - y)

cdef inline void squared_error_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(squared_error[floating], squared_error_slope[floating], absolute_error[floating], True, rows, y_hat, y, weights, d)


cdef inline floating half_squared_error(floating y_hat, floating y, floating _constant) noexcept nogil:
    cdef floating e = y_hat - y
    return e * e * <floating>0.5

cdef inline floating half_squared_error_slope(floating y_hat, floating y, floating _constant) noexcept nogil:
    return y_hat - y

cdef inline void half_squared_error_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(half_squared_error[floating], half_squared_error_slope[floating], absolute_error[floating], False,
             rows, y_hat, y, weights, d)


cdef inline floating mean_absolute_error(floating y_hat, floating y, floating _constant) noexcept nogil:
    return absolute(y_hat - y)

cdef inline floating mean_absolute_error_slope(floating y_hat, floating y, floating _constant) noexcept nogil:
    return sign(y_hat - y)

cdef inline void mean_absolute_error_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(mean_absolute_error[floating], mean_absolute_error_slope[floating], absolute_error[floating], True,
             rows, y_hat, y, weights, d)


cdef inline floating huber(floating y_hat, floating y, floating delta) noexcept nogil:
    cdef floating e = y_hat - y
    return e * e * <floating>0.5 if absolute(e) <= delta else delta * (absolute(e) - delta * <floating>0.5)

cdef inline floating huber_slope(floating y_hat, floating y, floating delta) noexcept nogil:
    cdef floating e = y_hat - y
    return e if absolute(e) <= delta else delta * sign(e)

cdef inline void huber_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(huber[floating], huber_slope[floating], absolute_error[floating], True, rows, y_hat, y, weights, d)


cdef inline floating quantile(floating y_hat, floating y, floating tau) noexcept nogil:
    cdef floating e = y - y_hat
    return tau * e if e >= 0 else (tau - <floating>1) * e

cdef inline floating quantile_slope(floating y_hat, floating y, floating tau) noexcept nogil:
    cdef floating e = y - y_hat
    return -tau if e > 0 else (<floating>1 - tau if e < 0 else <floating>0)

cdef inline void quantile_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(quantile[floating], quantile_slope[floating], absolute_error[floating], True, rows, y_hat, y, weights, d)


cdef inline floating binary_cross_entropy(floating y_hat, floating y, floating _constant) noexcept nogil:
    cdef floating p = clip(y_hat)
    return <floating>(-y * logarithm(p) - (1 - y) * logarithm(1 - p))

cdef inline floating binary_cross_entropy_slope(floating y_hat, floating y, floating _constant) noexcept nogil:
    cdef floating p = clip(y_hat)
    return (p - y) / (p * (<floating>1 - p))

cdef inline void binary_cross_entropy_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(binary_cross_entropy[floating], binary_cross_entropy_slope[floating], right_of_half[floating], True,
             rows, y_hat, y, weights, d)


cdef inline floating fused_binary_cross_entropy(floating z, floating y, floating _constant) noexcept nogil:
    """Of the weighted sum z of a sigmoid."""
    return relu(z) - z * y + log1p_of_fraction(exponential(-absolute(z)))

cdef inline floating fused_binary_cross_entropy_slope(floating z, floating y, floating _constant) noexcept nogil:
    return logistic(z) - y

cdef inline void fused_binary_cross_entropy_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(fused_binary_cross_entropy[floating], fused_binary_cross_entropy_slope[floating], right_of_zero[floating], True,
             rows, y_hat, y, weights, d)


cdef inline floating poisson(floating y_hat, floating y, floating _constant) noexcept nogil:
    cdef floating p = tiny(y_hat) if y_hat < tiny(y_hat) else y_hat
    return <floating>(p - y * logarithm(p))

cdef inline floating poisson_slope(floating y_hat, floating y, floating _constant) noexcept nogil:
    cdef floating p = tiny(y_hat) if y_hat < tiny(y_hat) else y_hat
    return <floating>1 - y / p

cdef inline void poisson_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(poisson[floating], poisson_slope[floating], absolute_error[floating], True, rows, y_hat, y, weights, d)


cdef inline floating hinge(floating y_hat, floating y, floating _constant) noexcept nogil:
    return relu(<floating>1 - y_hat * y)

cdef inline floating hinge_slope(floating y_hat, floating y, floating _constant) noexcept nogil:
    return -y if <floating>1 - y_hat * y > 0 else <floating>0

cdef inline void hinge_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    sum_rows(hinge[floating], hinge_slope[floating], right_of_sign[floating], True, rows, y_hat, y, weights, d)


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


cdef inline forced cross_entropy_chunk(
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


cdef inline forced cross_entropy_of_width(
    Py_ssize_t width, const Rows* rows, const floating* z, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    cdef Py_ssize_t r = 0
    while r < rows.count:
        cross_entropy_chunk(min(CHUNK, rows.count - r), rows.units, width, rows.scale, z + r * width,
                            y + r * rows.ldy if y is not NULL else NULL, rows.ldy,
                            rows.labels + r if rows.labels is not NULL else NULL, weights + r if weights is not NULL else NULL,
                            d + r * width, rows.loss + r, rows.metric + r)
        r += CHUNK


cdef inline void cross_entropy_rows(
    const Rows* rows, const floating* y_hat, const floating* y, const floating* weights, floating* d,
) noexcept nogil:
    """Of the weighted sums: networks admit it only after a softmax, so it is always fused."""
    if y is NULL and rows.width == 16:
        cross_entropy_of_width(16, rows, y_hat, <const floating*>NULL, weights, d)
    elif y is NULL:
        cross_entropy_of_width(rows.width, rows, y_hat, <const floating*>NULL, weights, d)
    elif rows.width == 16:
        cross_entropy_of_width(16, rows, y_hat, y, weights, d)
    else:
        cross_entropy_of_width(rows.width, rows, y_hat, y, weights, d)


# --- the table ----------------------------------------------------------------------------------------------------------------

cdef inline Loss* add(Loss* table, int* count, const char* name, Targets targets, Loss32 rows32, Loss64 rows64) noexcept:
    cdef Loss* loss = &table[count[0]]
    loss.name = name
    loss.targets = targets
    loss.rows32 = rows32
    loss.rows64 = rows64
    loss.fused_with = NULL
    count[0] += 1
    return loss


cdef inline void fuse(Loss* loss, const char* activation, Loss32 fused32, Loss64 fused64) noexcept:
    loss.fused_with = activation
    loss.fused32 = fused32
    loss.fused64 = fused64


cdef inline int fill_losses(Loss* table) noexcept:
    """All losses; returns how many."""
    cdef int n = 0
    add(table, &n, "mean_squared_error", NUMBERS, squared_error_rows, squared_error_rows)
    add(table, &n, "half_squared_error", NUMBERS, half_squared_error_rows, half_squared_error_rows)
    add(table, &n, "mean_absolute_error", NUMBERS, mean_absolute_error_rows, mean_absolute_error_rows)
    add(table, &n, "huber", NUMBERS, huber_rows, huber_rows)
    add(table, &n, "quantile", NUMBERS, quantile_rows, quantile_rows)
    fuse(add(table, &n, "binary_cross_entropy", FRACTIONS, binary_cross_entropy_rows, binary_cross_entropy_rows),
         "sigmoid", fused_binary_cross_entropy_rows, fused_binary_cross_entropy_rows)
    fuse(add(table, &n, "cross_entropy", CLASSES, cross_entropy_rows, cross_entropy_rows),
         "softmax", cross_entropy_rows, cross_entropy_rows)
    add(table, &n, "poisson", COUNTS, poisson_rows, poisson_rows)
    add(table, &n, "hinge", SIGNS, hinge_rows, hinge_rows)
    return n


cdef inline bint is_fused(const Loss* loss, const Activation* activation) noexcept nogil:
    return loss.fused_with is not NULL and strcmp(loss.fused_with, activation.name) == 0


cdef inline bint in_range(const Loss* loss, Py_ssize_t n, const floating* y) noexcept nogil:
    """Whether a loss is defined for these targets: the same ranges as in engine/arrays.py, which has the messages."""
    cdef Py_ssize_t i
    for i in range(n):
        if loss.targets == FRACTIONS and not (0 <= y[i] <= 1):
            return False
        if loss.targets == COUNTS and not y[i] >= 0:
            return False
        if loss.targets == SIGNS and not (y[i] == 1 or y[i] == -1):
            return False
    return True


cdef inline void loss_rows(
    const Loss* loss, bint fused, const Rows* rows, const floating* y_hat, const floating* y, const floating* weights,
    floating* d,
) noexcept nogil:
    """Loss and metric of each row, and d = weight * scale * gradient for (rows, width).

    The metric is the accuracy (classification losses) or the mean absolute error. `weights` may be NULL (all 1); a row of
    weight 0 counts nothing, whatever it holds.
    """
    cdef Py_ssize_t r
    if floating is float:
        (loss.fused32 if fused else loss.rows32)(rows, y_hat, y, weights, d)
    else:
        (loss.fused64 if fused else loss.rows64)(rows, y_hat, y, weights, d)
    if weights is NULL:
        return
    for r in range(rows.count):
        if weights[r] == 0:
            rows.loss[r] = 0
            rows.metric[r] = 0
            memset(d + r * rows.width, 0, rows.width * sizeof(floating))
