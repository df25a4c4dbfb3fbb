# Normalisation as ops.
#
# BATCH_NORM: in training its mean and variance are those of the whole batch. So all rows come to it before any goes on: the
# loop of loops/step.pxd then calls batch_norm_moments(), and batch_norm_backward_moments() on the way back, each part for some
# channels. What they find lies in the workspace, in the rows of `Moments`. Rows of weight 0 and steps beyond a row's length do
# not count. Where a single value of a channel counts, which has no variance, the batch is normalised as at prediction. The
# running statistics are the mean's row and the variance's; batch_norm_remember() moves them once the loss is known to be
# finite.
#
# LAYER_NORM: `extra` keeps the three moments of every position.
#
# GROUP_NORM: `extra` keeps a row, the gradient of the scale by this sample, and behind it the three moments of every group.

from cython cimport floating
from libc.math cimport sqrt
from libc.string cimport memset

from cbp.kernels cimport norm
from cbp.kernels.structs cimport Op
from cbp.ops.dense_op cimport sum_of_positions
from cbp.ops.parts cimport end_part, next_part
from cbp.ops.passes cimport (
    SUMS_OUTPUTS,
    Kind,
    Needs,
    Pass,
    add_row,
    d_input_of,
    d_output_of,
    input_of,
    measures,
    slot_of,
    sums_of,
)


cdef enum Moments:
    MEAN           # of the batch ...
    REMAINDER      # ... and what it is more than that
    INVERSE        # 1 / sqrt(variance + epsilon)
    VARIANCE       # divided by n - 1, for the running statistics
    FACTOR         # y = (x - mean) factor + offset
    OFFSET
    SCALE_GRADIENT
    SHIFT_GRADIENT
    CONSTANT       # dx = dy factor - constant - (x - mean) linear
    LINEAR
    MOMENTS

# --- what counts --------------------------------------------------------------------------------------------------------------

cdef inline Py_ssize_t counting(const Pass* batch, const Op* op, Py_ssize_t r, const floating* _like) noexcept nogil:
    """How many positions of a row count in the statistics."""
    if batch.weights is not NULL and (<const floating*>batch.weights)[r] == 0:
        return 0
    if batch.lengths is not NULL and op.timed:
        return min(batch.lengths[r], op.positions)
    return op.positions


cdef inline Py_ssize_t all_counting(const Pass* batch, const Op* op, const floating* like) noexcept nogil:
    cdef Py_ssize_t total = 0
    cdef Py_ssize_t r
    for r in range(batch.rows):
        total += counting(batch, op, r, like)
    return total


cdef inline bint next_stretch(
    const Pass* batch, const Op* op, const floating* like, Py_ssize_t* r, Py_ssize_t* first, Py_ssize_t* n,
) noexcept nogil:
    """The next positions that count and lie together: n from position `first` of the piece on. `r` is the row to look at. False
    when there are no more."""
    cdef Py_ssize_t count
    while r[0] < batch.rows and counting(batch, op, r[0], like) == 0:
        r[0] += 1
    first[0] = r[0] * op.positions
    n[0] = 0
    while r[0] < batch.rows:
        count = counting(batch, op, r[0], like)
        n[0] += count
        r[0] += 1
        if count < op.positions:
            break
    return n[0] > 0


# --- the whole batch ----------------------------------------------------------------------------------------------------------

cdef inline floating* moments_row(const Pass* batch, const Op* op, Py_ssize_t row, floating* _like) noexcept nogil:
    return <floating*>batch.workspace + op.shared + row * op.width


cdef inline void sums_of_values(
    const Pass* batch, const Op* op, Py_ssize_t c, floating* arena, double* first, double* second,
) noexcept nogil:
    """Sums of 16 channels from channel c on."""
    cdef const floating* x = input_of(batch, op, 0, arena) + c
    cdef Py_ssize_t r = 0, start = 0, n = 0
    memset(first, 0, 16 * sizeof(double))
    while next_stretch(batch, op, <const floating*>arena, &r, &start, &n):
        norm.add_columns(norm.VALUES, n, min(<Py_ssize_t>16, op.in_width - c), x + start * op.in_width, op.in_width, x, 0, x,
                         first, second)


cdef inline void sums_of_deviations(
    const Pass* batch, const Op* op, Py_ssize_t c, const floating* center, floating* arena, double* first, double* second,
) noexcept nogil:
    """Sums of the differences from `center`, and of their squares."""
    cdef const floating* x = input_of(batch, op, 0, arena) + c
    cdef Py_ssize_t r = 0, start = 0, n = 0
    memset(first, 0, 16 * sizeof(double))
    memset(second, 0, 16 * sizeof(double))
    while next_stretch(batch, op, <const floating*>arena, &r, &start, &n):
        norm.add_columns(norm.DEVIATIONS, n, min(<Py_ssize_t>16, op.in_width - c), x + start * op.in_width, op.in_width, x, 0,
                         center, first, second)


cdef inline void sums_of_products(
    const Pass* batch, const Op* op, Py_ssize_t c, const floating* center, floating* arena, double* first, double* second,
) noexcept nogil:
    """Sums of the gradients, and of their products with the differences from `center`: of all steps, since one that does not
    count is normalised like the others. A row of weight 0 has no gradient, but may have numbers too large for a product."""
    cdef const floating* x = input_of(batch, op, 0, arena) + c
    cdef const floating* dy = d_output_of(batch, op, 0, arena) + c
    cdef const floating* weights = <const floating*>batch.weights
    cdef Py_ssize_t r = 0, start
    memset(first, 0, 16 * sizeof(double))
    memset(second, 0, 16 * sizeof(double))
    while r < batch.rows:
        start = r
        while r < batch.rows and (weights is NULL or weights[r] != 0):
            r += 1
        norm.add_columns(norm.PRODUCTS, (r - start) * op.positions, min(<Py_ssize_t>16, op.in_width - c),
                         dy + start * op.positions * op.width, op.width, x + start * op.positions * op.in_width, op.in_width,
                         center, first, second)
        r += 1


cdef inline void batch_norm_moments(
    const Pass* batch, const Op* op, Py_ssize_t first_channel, Py_ssize_t channels, floating* arena,
) noexcept nogil:
    """Mean and variance of some channels, a multiple of 16 and from one on, over all rows of the batch."""
    cdef Py_ssize_t n = all_counting(batch, op, <const floating*>arena)
    cdef Py_ssize_t c
    for c in range(first_channel, first_channel + channels, 16):
        if n >= 2:
            batch_moments(batch, op, c, <double>n, arena)
        else:
            running_moments(batch, op, c, arena)
        scale_and_shift(batch, op, c, arena)


cdef inline void batch_moments(const Pass* batch, const Op* op, Py_ssize_t c, double n, floating* arena) noexcept nogil:
    cdef floating* mean = moments_row(batch, op, MEAN, arena) + c
    cdef floating* rest = moments_row(batch, op, REMAINDER, arena) + c
    cdef floating* variance = moments_row(batch, op, VARIANCE, arena) + c
    cdef floating* inverse = moments_row(batch, op, INVERSE, arena) + c
    cdef double first[16]
    cdef double second[16]
    cdef double biased
    cdef int k
    sums_of_values(batch, op, c, arena, first, second)
    for k in range(16):
        mean[k] = <floating>(first[k] / n)
    sums_of_deviations(batch, op, c, mean, arena, first, second)
    for k in range(16):
        rest[k] = <floating>(first[k] / n)
        biased = max(0.0, second[k] / n - (first[k] / n) * (first[k] / n))
        variance[k] = <floating>(biased * (n / (n - 1)))
        inverse[k] = <floating>(1 / sqrt(biased + op.epsilon))


cdef inline void running_moments(const Pass* batch, const Op* op, Py_ssize_t c, floating* arena) noexcept nogil:
    cdef const floating* statistics = <const floating*>batch.statistics + op.statistics
    cdef Py_ssize_t k
    for k in range(c, c + 16):
        moments_row(batch, op, MEAN, arena)[k] = statistics[k]
        moments_row(batch, op, REMAINDER, arena)[k] = 0
        moments_row(batch, op, VARIANCE, arena)[k] = statistics[op.width + k]
        moments_row(batch, op, INVERSE, arena)[k] = <floating>(1 / sqrt(statistics[op.width + k] + op.epsilon))


cdef inline void scale_and_shift(const Pass* batch, const Op* op, Py_ssize_t c, floating* arena) noexcept nogil:
    """The normalisation of 16 channels as one product and one sum; 0 in pads, where the moments may be anything."""
    cdef const floating* scale = <const floating*>batch.parameters + op.weight
    cdef const floating* shift = <const floating*>batch.parameters + op.bias
    cdef floating* factor = moments_row(batch, op, FACTOR, arena)
    cdef floating* offset = moments_row(batch, op, OFFSET, arena)
    cdef Py_ssize_t row, k
    for k in range(c, c + 16):
        factor[k] = scale[k] * moments_row(batch, op, INVERSE, arena)[k]
        offset[k] = shift[k] - moments_row(batch, op, REMAINDER, arena)[k] * factor[k]
    for k in range(max(c, op.units), c + 16):
        for row in range(MOMENTS):
            moments_row(batch, op, row, arena)[k] = 0


cdef inline void batch_norm_backward_moments(
    const Pass* batch, const Op* op, Py_ssize_t first_channel, Py_ssize_t channels, floating* arena,
) noexcept nogil:
    """Gradients of scale and shift for some channels, and what follows from them for the gradient of x: with
    x̂ = (x - mean) inverse it is dx = factor (dy - mean of dy - x̂ mean of dy x̂) (Ioffe & Szegedy, 2015)."""
    cdef const floating* mean = moments_row(batch, op, MEAN, arena)
    cdef const floating* rest = moments_row(batch, op, REMAINDER, arena)
    cdef const floating* inverse = moments_row(batch, op, INVERSE, arena)
    cdef const floating* factor = moments_row(batch, op, FACTOR, arena)
    cdef Py_ssize_t n = all_counting(batch, op, <const floating*>arena)
    cdef double share = 1 / <double>n if n >= 2 else 0   # the running statistics do not depend on x
    cdef double first[16]
    cdef double second[16]
    cdef double slope
    cdef Py_ssize_t c, j
    cdef int k
    for c in range(first_channel, first_channel + channels, 16):
        sums_of_products(batch, op, c, mean + c, arena, first, second)
        for k in range(16):
            j = c + k
            second[k] = inverse[j] * (second[k] - rest[j] * first[k])
            slope = factor[j] * share * second[k] * inverse[j]
            moments_row(batch, op, SHIFT_GRADIENT, arena)[j] = <floating>first[k]
            moments_row(batch, op, SCALE_GRADIENT, arena)[j] = <floating>second[k]
            moments_row(batch, op, LINEAR, arena)[j] = <floating>slope
            moments_row(batch, op, CONSTANT, arena)[j] = <floating>(factor[j] * share * first[k] - rest[j] * slope)


cdef inline void batch_norm_remember(const Pass* batch, const Op* op, floating* arena) noexcept nogil:
    """Move the running statistics towards the batch's."""
    cdef floating* statistics = <floating*>batch.statistics + op.statistics
    cdef Py_ssize_t k
    if all_counting(batch, op, <const floating*>arena) < 2:
        return
    for k in range(op.units):
        statistics[k] += <floating>(op.momentum * (
            (<double>moments_row(batch, op, MEAN, arena)[k] - statistics[k]) + moments_row(batch, op, REMAINDER, arena)[k]))
        statistics[op.width + k] += <floating>(op.momentum * (
            <double>moments_row(batch, op, VARIANCE, arena)[k] - statistics[op.width + k]))


# --- some rows ----------------------------------------------------------------------------------------------------------------

cdef inline void frozen_factor(const Pass* batch, const Op* op, floating* factor) noexcept nogil:
    """What prediction multiplies with: scale / sqrt(running variance + epsilon)."""
    cdef const floating* scale = <const floating*>batch.parameters + op.weight
    cdef const floating* variance = <const floating*>batch.statistics + op.statistics + op.width
    cdef Py_ssize_t k
    for k in range(op.width):
        factor[k] = <floating>(scale[k] / sqrt(variance[k] + op.epsilon))


cdef inline void batch_norm_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef const floating* mean = <const floating*>batch.statistics + op.statistics
    cdef const floating* offset = <const floating*>batch.parameters + op.bias
    cdef const floating* factor = scratch
    if measures(batch, op):
        mean = moments_row(batch, op, MEAN, arena)
        offset = moments_row(batch, op, OFFSET, arena)
        factor = moments_row(batch, op, FACTOR, arena)
    else:
        frozen_factor(batch, op, scratch)
    norm.scale_rows(rows * op.positions, op.inputs, op.width, input_of(batch, op, first, arena), op.in_width, mean, factor,
                    offset, sums_of(batch, op, first, arena))


cdef inline void batch_norm_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef const floating* dy = d_output_of(batch, op, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef Py_ssize_t size = op.positions * op.width
    cdef Py_ssize_t r
    if dx is NULL:
        return
    if not measures(batch, op):
        frozen_factor(batch, op, scratch)
        norm.multiply_rows(rows * op.positions, op.width, dy, <const floating*>scratch, dx)
    elif batch.weights is NULL and batch.lengths is NULL:
        batch_norm_backward_row(batch, op, first, rows * op.positions, rows * op.positions, dy, dx, arena)
    else:
        for r in range(rows):
            batch_norm_backward_row(batch, op, first + r, counting(batch, op, first + r, <const floating*>arena), op.positions,
                                    dy + r * size, dx + r * size, arena)


cdef inline void batch_norm_backward_row(
    const Pass* batch, const Op* op, Py_ssize_t r, Py_ssize_t count, Py_ssize_t positions, const floating* dy, floating* dx,
    floating* arena,
) noexcept nogil:
    """Some positions from row r on, of which the first `count` count."""
    norm.scale_rows_backward(
        count, op.inputs, op.width, dy, input_of(batch, op, r, arena), op.in_width, moments_row(batch, op, MEAN, arena),
        moments_row(batch, op, FACTOR, arena), moments_row(batch, op, CONSTANT, arena), moments_row(batch, op, LINEAR, arena),
        dx)
    norm.multiply_rows(positions - count, op.width, dy + count * op.width, moments_row(batch, op, FACTOR, arena),
                       dx + count * op.width)


cdef inline void batch_norm_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t _row, Py_ssize_t _n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """Of the scale: one row."""
    cdef const floating* variance = <const floating*>batch.statistics + op.statistics + op.width
    cdef const floating* weights = <const floating*>batch.weights
    cdef Py_ssize_t k, p = 0, some
    if not accumulate:
        memset(g, 0, op.width * sizeof(floating))
    if measures(batch, op):
        add_row(op.width, moments_row(batch, op, SCALE_GRADIENT, arena), g)
        return
    for k in range(op.width):
        scratch[k] = <floating>(1 / sqrt(variance[k] + op.epsilon))
    while p < batch.rows * op.positions:
        some = next_part(batch, op, p, op.positions - p % op.positions)
        if weights is NULL or weights[p // op.positions] != 0:   # such a row may have numbers too large for a product
            norm.add_frozen_products(some, op.inputs, op.width, input_of(batch, op, 0, arena) + p * op.in_width, op.in_width,
                                     variance - op.width, <const floating*>scratch,
                                     d_output_of(batch, op, 0, arena) + p * op.width, g)
        end_part(batch, op, p, some, 1, op.width, op.width, g)
        p += some


cdef inline void batch_norm_backward_bias(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* scratch, floating* g,
) noexcept nogil:
    """Of the shift."""
    if not measures(batch, op):
        sum_of_positions(batch, op, accumulate, arena, scratch, g)
        return
    if not accumulate:
        memset(g, 0, op.width * sizeof(floating))
    add_row(op.width, moments_row(batch, op, SHIFT_GRADIENT, arena), g)


# --- every position by itself -------------------------------------------------------------------------------------------------

cdef inline const floating* with_pads(const Op* op, const floating* x, floating* copy) noexcept nogil:
    """A position of the input that can be read as whole vectors: as it lies or, among the samples, copied."""
    cdef Py_ssize_t k
    if op.in_width == op.width:
        return x
    for k in range(op.width):
        copy[k] = x[k] if k < op.inputs else <floating>0
    return copy


cdef inline void layer_norm_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef const floating* scale = <const floating*>batch.parameters + op.weight
    cdef const floating* shift = <const floating*>batch.parameters + op.bias
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef floating* moments
    cdef Py_ssize_t r, p
    for r in range(rows):
        moments = slot_of(batch, op.extra, op.extra_size, first + r, arena)
        for p in range(op.positions):
            norm.layer_forward(op.units, op.width, <floating>op.epsilon, with_pads(op, x, scratch), scale, shift,
                               moments + 3 * p, y)
            x += op.in_width
            y += op.width


cdef inline void layer_norm_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef const floating* scale = <const floating*>batch.parameters + op.weight
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef const floating* dy = d_output_of(batch, op, first, arena)
    cdef const floating* moments
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef Py_ssize_t r, p
    if dx is NULL:
        return
    for r in range(rows):
        moments = slot_of(batch, op.extra, op.extra_size, first + r, arena)
        for p in range(op.positions):
            norm.layer_backward(op.units, op.width, with_pads(op, x, scratch), moments + 3 * p, scale, dy, dx)
            x += op.in_width
            dy += op.width
            dx += op.width


cdef inline void layer_norm_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t _row, Py_ssize_t _n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """Of the scale: one row."""
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* dy = d_output_of(batch, op, 0, arena)
    cdef const floating* moments = slot_of(batch, op.extra, op.extra_size, 0, arena)
    cdef Py_ssize_t p = 0, some
    if not accumulate:
        memset(g, 0, op.width * sizeof(floating))
    while p < batch.rows * op.positions:
        some = batch.rows - p if op.positions == 1 else op.positions - p % op.positions
        some = next_part(batch, op, p, some) if op.in_width == op.width else 1
        norm.layer_backward_scale(
            some, op.width, with_pads(op, x + p * op.in_width, scratch), op.in_width,
            moments + p // op.positions * op.extra_size + p % op.positions * 3, op.extra_size if op.positions == 1 else 3,
            dy + p * op.width, g)
        end_part(batch, op, p, some, 1, op.width, op.width, g)
        p += some


# --- every sample by itself ---------------------------------------------------------------------------------------------------

cdef enum Ways:
    # rows of a thread's scratch: what the moments and the scale are for every channel, 0 in pads
    CENTER
    TIMES          # y = (x - center) times + more, dx = dy times - more - (x - center) along
    MORE
    ALONG
    WAYS


cdef inline void group_norm_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """y = (x - mean) / sqrt(variance + epsilon) scale + shift (Wu & He, 2018, Group normalization)."""
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef Py_ssize_t r
    memset(scratch, 0, WAYS * op.width * sizeof(floating))
    for r in range(rows):
        group_moments(batch, op, x, slot_of(batch, op.extra, op.extra_size, first + r, arena) + op.width, scratch)
        norm.scale_rows(op.positions, op.units, op.width, x, op.in_width, scratch + CENTER * op.width,
                        scratch + TIMES * op.width, scratch + MORE * op.width, y)
        x += op.positions * op.in_width
        y += op.positions * op.width


cdef inline void group_moments(
    const Pass* batch, const Op* op, const floating* x, floating* moments, floating* ways,
) noexcept nogil:
    """The moments of one sample, a mean, its rest and 1 / sqrt(variance + epsilon) for every group, and what follows from them
    for every channel. Sums of channels come 16 at a time, whatever the groups, and are added up in double."""
    cdef const floating* scale = <const floating*>batch.parameters + op.weight
    cdef const floating* shift = <const floating*>batch.parameters + op.bias
    cdef Py_ssize_t size = op.units // op.groups
    cdef double n = <double>op.positions * size
    cdef double sum = 0, squares = 0, variance
    cdef double first[16]
    cdef double second[16]
    cdef floating* group = moments
    cdef Py_ssize_t c, k, j
    for c in range(0, op.width, 16):
        memset(first, 0, 16 * sizeof(double))
        norm.add_columns(norm.VALUES, op.positions, min(<Py_ssize_t>16, op.in_width - c), x + c, op.in_width, x, 0, x, first,
                         second)
        for k in range(c, min(c + 16, op.units)):
            sum += first[k - c]
            if (k + 1) % size == 0:
                group[0] = <floating>(sum / n)
                for j in range(k + 1 - size, k + 1):
                    ways[CENTER * op.width + j] = group[0]
                group += 3
                sum = 0
    group = moments
    for c in range(0, op.width, 16):
        memset(first, 0, 16 * sizeof(double))
        memset(second, 0, 16 * sizeof(double))
        norm.add_columns(norm.DEVIATIONS, op.positions, min(<Py_ssize_t>16, op.in_width - c), x + c, op.in_width, x, 0,
                         ways + CENTER * op.width + c, first, second)
        for k in range(c, min(c + 16, op.units)):
            sum += first[k - c]
            squares += second[k - c]
            if (k + 1) % size == 0:
                variance = max(0.0, squares / n - (sum / n) * (sum / n))
                group[1] = <floating>(sum / n)
                group[2] = <floating>(1 / sqrt(variance + op.epsilon))
                for j in range(k + 1 - size, k + 1):
                    ways[TIMES * op.width + j] = scale[j] * group[2]
                    ways[MORE * op.width + j] = shift[j] - group[1] * ways[TIMES * op.width + j]
                group += 3
                sum = squares = 0


cdef inline void group_norm_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """Also of a layer whose input asks for no gradient: the sums of a sample are its part of the gradient of the scale."""
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef const floating* dy = d_output_of(batch, op, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef floating* kept
    cdef Py_ssize_t r
    memset(scratch, 0, WAYS * op.width * sizeof(floating))
    for r in range(rows):
        kept = slot_of(batch, op.extra, op.extra_size, first + r, arena)
        group_moments_back(batch, op, x, dy, kept + op.width, kept, scratch)
        if dx is not NULL:
            norm.scale_rows_backward(op.positions, op.units, op.width, dy, x, op.in_width, scratch + CENTER * op.width,
                                     scratch + TIMES * op.width, scratch + MORE * op.width, scratch + ALONG * op.width, dx)
            dx += op.positions * op.width
        x += op.positions * op.in_width
        dy += op.positions * op.width


cdef inline void group_moments_back(
    const Pass* batch, const Op* op, const floating* x, const floating* dy, const floating* moments, floating* d_scale,
    floating* ways,
) noexcept nogil:
    """The gradient of the scale by one sample, and what its dx is made of: with x̂ = (x - mean) inverse and g = dy scale it is
    dx = inverse (g - mean of g - x̂ mean of g x̂), both means over a group."""
    cdef const floating* scale = <const floating*>batch.parameters + op.weight
    cdef Py_ssize_t size = op.units // op.groups
    cdef double n = <double>op.positions * size
    cdef double sum = 0, products = 0, along
    cdef double first[16]
    cdef double second[16]
    cdef Py_ssize_t c, k, j
    for k in range(op.units):
        ways[CENTER * op.width + k] = moments[k // size * 3]
    memset(d_scale, 0, op.width * sizeof(floating))
    for c in range(0, op.width, 16):
        memset(first, 0, 16 * sizeof(double))
        memset(second, 0, 16 * sizeof(double))
        norm.add_columns(norm.PRODUCTS, op.positions, min(<Py_ssize_t>16, op.in_width - c), dy + c, op.width, x + c,
                         op.in_width, ways + CENTER * op.width + c, first, second)
        for k in range(c, min(c + 16, op.units)):
            second[k - c] = moments[2] * (second[k - c] - moments[1] * first[k - c])
            d_scale[k] = <floating>second[k - c]
            sum += scale[k] * first[k - c]
            products += scale[k] * second[k - c]
            if (k + 1) % size == 0:
                along = <double>moments[2] * moments[2] * products / n
                for j in range(k + 1 - size, k + 1):
                    ways[TIMES * op.width + j] = scale[j] * moments[2]
                    ways[MORE * op.width + j] = <floating>(moments[2] * sum / n - moments[1] * along)
                    ways[ALONG * op.width + j] = <floating>along
                moments += 3
                sum = products = 0


cdef inline void group_norm_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t _row, Py_ssize_t _n, bint accumulate, floating* arena, floating* _scratch,
    floating* g,
) noexcept nogil:
    """Of the scale: one row."""
    cdef Py_ssize_t r
    if not accumulate:
        memset(g, 0, op.width * sizeof(floating))
    for r in range(batch.rows):
        add_row(op.width, slot_of(batch, op.extra, op.extra_size, r, arena), g)
        end_part(batch, op, r * op.positions, op.positions, 1, op.width, op.width, g)


cdef inline void batch_norm_needs(Op* op, Needs* needs) noexcept nogil:
    needs.scratch = op.width
    needs.shared = <double>MOMENTS * op.width


cdef inline void batch_norm_kind(Kind* kind) noexcept:
    kind.name = "batch_norm"
    kind.sums = SUMS_OUTPUTS
    kind.needs = batch_norm_needs
    kind.forward32, kind.forward64 = batch_norm_forward, batch_norm_forward
    kind.backward32, kind.backward64 = batch_norm_backward_rows, batch_norm_backward_rows
    kind.weight32, kind.weight64 = batch_norm_backward_weight, batch_norm_backward_weight
    kind.bias32, kind.bias64 = batch_norm_backward_bias, batch_norm_backward_bias
    kind.moments32, kind.moments64 = batch_norm_moments, batch_norm_moments
    kind.moments_back32, kind.moments_back64 = batch_norm_backward_moments, batch_norm_backward_moments
    kind.remember32, kind.remember64 = batch_norm_remember, batch_norm_remember


cdef inline void layer_norm_needs(Op* op, Needs* needs) noexcept nogil:
    needs.scratch = op.width
    needs.kept = 3.0 * op.positions


cdef inline void layer_norm_kind(Kind* kind) noexcept:
    kind.name = "layer_norm"
    kind.sums = SUMS_OUTPUTS
    kind.needs = layer_norm_needs
    kind.forward32, kind.forward64 = layer_norm_forward, layer_norm_forward
    kind.backward32, kind.backward64 = layer_norm_backward_rows, layer_norm_backward_rows
    kind.weight32, kind.weight64 = layer_norm_backward_weight, layer_norm_backward_weight
    kind.bias32, kind.bias64 = sum_of_positions, sum_of_positions


cdef inline void group_norm_needs(Op* op, Needs* needs) noexcept nogil:
    needs.scratch = <double>WAYS * op.width
    needs.kept = op.width + 3.0 * op.groups


cdef inline void group_norm_kind(Kind* kind) noexcept:
    kind.name = "group_norm"
    kind.sums = SUMS_OUTPUTS
    kind.needs = group_norm_needs
    kind.forward32, kind.forward64 = group_norm_forward, group_norm_forward
    kind.backward32, kind.backward64 = group_norm_backward_rows, group_norm_backward_rows
    kind.weight32, kind.weight64 = group_norm_backward_weight, group_norm_backward_weight
    kind.bias32, kind.bias64 = sum_of_positions, sum_of_positions
