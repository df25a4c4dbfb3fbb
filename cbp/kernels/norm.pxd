# Normalisation: of every channel over the rows (batch), of every row over its channels (layer).
#
# Rows are padded to a multiple of 16. A mean m is kept as two numbers, m + rest: the differences x - m are exact where x is
# near m, and the mean of these differences is the rest. With it float32 keeps the variance of numbers whose mean is ten
# thousand times their deviation, and never takes the difference of two large sums (Chan, Golub & LeVeque, 1983, Algorithms for
# computing the sample variance).

from cython cimport floating
from libc.math cimport sqrt, sqrtf

from cbp.kernels.inlining cimport forced
from cbp.kernels.rows cimport LONG, lanes_sum
from cbp.kernels.tile cimport VECTOR_BYTES


# --- over the rows ------------------------------------------------------------------------------------------------------------

cdef enum:
    BLOCK = 64   # rows whose sums are taken in the network's precision, before they are added up in double


cdef enum Sums:
    VALUES       # of a
    DEVIATIONS   # of d = a - center, and of d²
    PRODUCTS     # of a, and of a (b - center)


cdef inline forced add_rows(
    const int kind, const int together, Py_ssize_t rows, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    const floating* center, floating* s, floating* t,
) noexcept nogil:
    """Add `rows` rows of 16 columns, `together` at a time, to as many running sums s and t: one alone would wait for each
    addition."""
    cdef floating u[64]
    cdef floating v[64]
    cdef floating d
    cdef Py_ssize_t _r
    cdef int i, k
    if rows < 1:   # never: shows gcc that the loop runs, see tile.pxd
        return
    for k in range(16 * together):
        u[k] = s[k]
        v[k] = t[k]
    for _r in range(rows):
        for i in range(together):
            for k in range(16):
                if kind == VALUES:
                    u[16 * i + k] += a[i * lda + k]
                elif kind == DEVIATIONS:
                    d = a[i * lda + k] - center[k]
                    u[16 * i + k] += d
                    v[16 * i + k] += d * d
                else:
                    u[16 * i + k] += a[i * lda + k]
                    v[16 * i + k] += a[i * lda + k] * (b[i * ldb + k] - center[k])
        a += together * lda
        b += together * ldb
    for k in range(16 * together):
        s[k] = u[k]
        t[k] = v[k]


cdef inline forced add_block(
    const int kind, Py_ssize_t rows, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    const floating* center, double* first, double* second,
) noexcept nogil:
    """Add the sums over up to BLOCK rows of 16 columns to `first` and `second`."""
    cdef floating s[64]
    cdef floating t[64]
    cdef int together = VECTOR_BYTES // 16   # so many running sums fill the registers
    cdef Py_ssize_t groups = rows // together
    cdef int i, k
    for k in range(16 * together):
        s[k] = 0
        t[k] = 0
    if groups > 0:
        add_rows(kind, VECTOR_BYTES // 16, groups, a, lda, b, ldb, center, s, t)
    groups *= together
    if rows > groups:
        add_rows(kind, 1, rows - groups, a + groups * lda, lda, b + groups * ldb, ldb, center, s, t)
    for i in range(1, together):
        for k in range(16):
            s[k] += s[16 * i + k]
            t[k] += t[16 * i + k]
    for k in range(16):
        first[k] += s[k]
        second[k] += t[k]


cdef inline void columns_of(
    Py_ssize_t rows, Py_ssize_t columns, const floating* a, Py_ssize_t lda, floating* block,
) noexcept nogil:
    """Up to 16 columns of up to BLOCK rows, filled up with zeros to 16."""
    cdef Py_ssize_t r, k
    for r in range(rows):
        for k in range(16):
            block[16 * r + k] = a[r * lda + k] if k < columns else <floating>0


cdef inline forced add_columns(
    const int kind, Py_ssize_t rows, Py_ssize_t columns, const floating* a, Py_ssize_t lda, const floating* b, Py_ssize_t ldb,
    const floating* center, double* first, double* second,
) noexcept nogil:
    """Add the sums over any number of rows. Of fewer than 16 columns those of `a` (of PRODUCTS: of `b`) are not padded."""
    cdef floating copy[1024]   # BLOCK rows of 16
    cdef Py_ssize_t n
    while rows > 0:
        n = min(<Py_ssize_t>BLOCK, rows)
        if columns >= 16:
            add_block(kind, n, a, lda, b, ldb, center, first, second)
        elif kind == PRODUCTS:
            columns_of(n, columns, b, ldb, copy)
            add_block(kind, n, a, lda, copy, 16, center, first, second)
        else:
            columns_of(n, columns, a, lda, copy)
            add_block(kind, n, copy, 16, copy, 16, center, first, second)
        a += n * lda
        b += n * ldb
        rows -= n


cdef inline void scale_rows(
    Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t width, const floating* x, Py_ssize_t ldx,
    const floating* mean, const floating* factor, const floating* offset, floating* y,
) noexcept nogil:
    """y (rows, width) = (x - mean) factor + offset; x (rows, ldx) may be without pads. A literal width makes short rows
    cheap."""
    if width == 16 and ldx >= 16:
        scale_rows_of(rows, 16, 16, x, ldx, mean, factor, offset, y, 16)
    elif ldx >= width:
        scale_rows_of(rows, width, width, x, ldx, mean, factor, offset, y, width)
    else:
        scale_rows_of(rows, channels, width, x, ldx, mean, factor, offset, y, width)


cdef inline forced scale_rows_of(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t width, const floating* x, Py_ssize_t ldx,
    const floating* mean, const floating* factor, const floating* offset, floating* y, Py_ssize_t ldy,
) noexcept nogil:
    cdef Py_ssize_t whole = columns // 16 * 16
    cdef Py_ssize_t r, j
    cdef int k
    for r in range(rows):
        for j in range(0, whole, 16):
            for k in range(16):
                y[r * ldy + j + k] = (x[r * ldx + j + k] - mean[j + k]) * factor[j + k] + offset[j + k]
        for j in range(whole, width):
            y[r * ldy + j] = (x[r * ldx + j] - mean[j]) * factor[j] + offset[j] if j < columns else <floating>0


cdef inline void scale_rows_backward(
    Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t width, const floating* dy, const floating* x, Py_ssize_t ldx,
    const floating* mean, const floating* factor, const floating* constant, const floating* slope, floating* dx,
) noexcept nogil:
    """dx = dy factor - constant - (x - mean) slope: what the rows lose that changed the mean and the variance themselves."""
    if width == 16 and ldx >= 16:
        scale_rows_backward_of(rows, 16, 16, dy, x, ldx, mean, factor, constant, slope, dx)
    elif ldx >= width:
        scale_rows_backward_of(rows, width, width, dy, x, ldx, mean, factor, constant, slope, dx)
    else:
        scale_rows_backward_of(rows, channels, width, dy, x, ldx, mean, factor, constant, slope, dx)


cdef inline forced scale_rows_backward_of(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t width, const floating* dy, const floating* x, Py_ssize_t ldx,
    const floating* mean, const floating* factor, const floating* constant, const floating* slope, floating* dx,
) noexcept nogil:
    cdef Py_ssize_t whole = columns // 16 * 16
    cdef Py_ssize_t _r, j
    cdef int k
    for _r in range(rows):
        for j in range(0, whole, 16):
            for k in range(16):
                dx[j + k] = (dy[j + k] * factor[j + k] - constant[j + k]) - (x[j + k] - mean[j + k]) * slope[j + k]
        for j in range(whole, width):
            dx[j] = (dy[j] * factor[j] - constant[j]) - (x[j] - mean[j]) * slope[j] if j < columns else <floating>0
        dy += width
        x += ldx
        dx += width


cdef inline void multiply_rows(
    Py_ssize_t rows, Py_ssize_t width, const floating* dy, const floating* factor, floating* dx,
) noexcept nogil:
    """dx = dy factor, of rows that changed neither mean nor variance."""
    cdef Py_ssize_t r, j
    for r in range(rows):
        for j in range(width):
            dx[r * width + j] = dy[r * width + j] * factor[j]


cdef inline void add_frozen_products(
    Py_ssize_t rows, Py_ssize_t channels, Py_ssize_t width, const floating* x, Py_ssize_t ldx, const floating* mean,
    const floating* inverse, const floating* dy, floating* d_scale,
) noexcept nogil:
    """d_scale += sum of dy (x - mean) inverse over the rows, in their order."""
    cdef Py_ssize_t r, j
    for r in range(rows):
        for j in range(channels):
            d_scale[j] += dy[r * width + j] * ((x[r * ldx + j] - mean[j]) * inverse[j])


# --- over the channels of a row -----------------------------------------------------------------------------------------------

cdef inline void layer_forward(
    Py_ssize_t channels, Py_ssize_t width, floating epsilon, const floating* x, const floating* scale, const floating* shift,
    floating* moments, floating* y,
) noexcept nogil:
    """y = x̂ scale + shift with x̂ = (x - mean) / sqrt(variance + epsilon), of one row, whose pads do not count; `moments` are
    the mean, its rest and 1 / sqrt(variance + epsilon). A literal width makes short rows cheap."""
    if width == 16:
        layer_moments(channels, 16, epsilon, x, moments)
        layer_scale(16, x, moments, scale, shift, y)
    else:
        layer_moments(channels, width, epsilon, x, moments)
        layer_scale(width, x, moments, scale, shift, y)


cdef inline forced layer_moments(
    Py_ssize_t channels, Py_ssize_t width, floating epsilon, const floating* x, floating* moments,
) noexcept nogil:
    cdef floating s[16]
    cdef floating t[16]
    cdef floating each = <floating>1 / <floating>channels
    cdef floating mean, rest, variance, d
    cdef double sum = 0, squares = 0
    cdef Py_ssize_t last = width - 16
    cdef Py_ssize_t first, j
    cdef int left = <int>(channels - last)
    cdef int k
    for k in range(16):
        d = x[last + k]
        s[k] = d if k < left else <floating>0
    first = 0
    while first == 0 or first < last:   # once, unless the row is long
        for j in range(first, min(first + LONG, last), 16):
            for k in range(16):
                s[k] += x[j + k]
        sum += lanes_sum(s)
        for k in range(16):
            s[k] = 0
        first += LONG
    mean = <floating>sum * each
    for k in range(16):
        d = x[last + k] - mean
        d = d if k < left else <floating>0
        s[k] = d
        t[k] = d * d
    sum = 0
    first = 0
    while first == 0 or first < last:
        for j in range(first, min(first + LONG, last), 16):
            for k in range(16):
                d = x[j + k] - mean
                s[k] += d
                t[k] += d * d
        sum += lanes_sum(s)
        squares += lanes_sum(t)
        for k in range(16):
            s[k] = 0
            t[k] = 0
        first += LONG
    rest = <floating>sum * each
    variance = <floating>squares * each - rest * rest
    moments[0] = mean
    moments[1] = rest
    moments[2] = <floating>1 / root((variance if variance > 0 else <floating>0) + epsilon)


cdef inline floating root(floating x) noexcept nogil:
    """`sqrt` in the number's own precision."""
    if floating is float:
        return sqrtf(x)
    else:
        return sqrt(x)


cdef inline forced layer_scale(
    Py_ssize_t width, const floating* x, const floating* moments, const floating* scale, const floating* shift, floating* y,
) noexcept nogil:
    cdef floating mean = moments[0], rest = moments[1], inverse = moments[2]
    cdef Py_ssize_t j
    cdef int k
    for j in range(0, width, 16):
        for k in range(16):
            y[j + k] = ((x[j + k] - mean) - rest) * inverse * scale[j + k] + shift[j + k]


cdef inline void layer_backward(
    Py_ssize_t channels, Py_ssize_t width, const floating* x, const floating* moments, const floating* scale,
    const floating* dy, floating* dx,
) noexcept nogil:
    """dx = (g - mean g - x̂ mean(g x̂)) / sqrt(variance + epsilon) with g = dy scale, of one row; pads become 0."""
    if width == 16:
        layer_backward_of(channels, 16, x, moments, scale, dy, dx)
    else:
        layer_backward_of(channels, width, x, moments, scale, dy, dx)


cdef inline forced layer_backward_of(
    Py_ssize_t channels, Py_ssize_t width, const floating* x, const floating* moments, const floating* scale,
    const floating* dy, floating* dx,
) noexcept nogil:
    cdef floating mean = moments[0], rest = moments[1], inverse = moments[2]
    cdef floating each = inverse / <floating>channels
    cdef floating s[16]
    cdef floating t[16]
    cdef floating g, constant, slope
    cdef double sum = 0, products = 0
    cdef Py_ssize_t last = width - 16
    cdef Py_ssize_t first, j
    cdef int left = <int>(channels - last)
    cdef int k
    first = 0
    while first < width:
        for k in range(16):
            s[k] = 0
            t[k] = 0
        for j in range(first, min(first + LONG, width), 16):
            for k in range(16):
                g = dy[j + k] * scale[j + k]
                s[k] += g
                t[k] += g * (((x[j + k] - mean) - rest) * inverse)
        sum += lanes_sum(s)
        products += lanes_sum(t)
        first += LONG
    constant = <floating>sum * each
    slope = <floating>products * each
    for j in range(0, last, 16):
        for k in range(16):
            dx[j + k] = (dy[j + k] * scale[j + k] * inverse - constant) - ((x[j + k] - mean) - rest) * inverse * slope
    for k in range(16):
        g = (dy[last + k] * scale[last + k] * inverse - constant) - ((x[last + k] - mean) - rest) * inverse * slope
        dx[last + k] = g if k < left else <floating>0


cdef inline void layer_backward_scale(
    Py_ssize_t rows, Py_ssize_t width, const floating* x, Py_ssize_t ldx, const floating* moments, Py_ssize_t ldm,
    const floating* dy, floating* d_scale,
) noexcept nogil:
    """d_scale += sum of dy x̂ over the rows, in their order; the moments of a row are ldm numbers behind those of the last."""
    cdef Py_ssize_t c = 0
    while width - c >= 64:
        add_products(64, rows, x + c, ldx, moments, ldm, dy + c, width, d_scale + c)
        c += 64
    while c < width:
        add_products(16, rows, x + c, ldx, moments, ldm, dy + c, width, d_scale + c)
        c += 16


cdef inline forced add_products(
    const int columns, Py_ssize_t rows, const floating* x, Py_ssize_t ldx, const floating* moments, Py_ssize_t ldm,
    const floating* dy, Py_ssize_t width, floating* sums,
) noexcept nogil:
    cdef floating s[64]
    cdef Py_ssize_t _r
    cdef int k
    if rows < 1:   # never, see tile.pxd
        return
    for k in range(columns):
        s[k] = sums[k]
    for _r in range(rows):
        for k in range(columns):
            s[k] += dy[k] * (((x[k] - moments[0]) - moments[1]) * moments[2])
        x += ldx
        dy += width
        moments += ldm
    for k in range(columns):
        sums[k] = s[k]
