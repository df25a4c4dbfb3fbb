# The dense layer: z = x W + b, and back: dW = xᵀ dz, db = sum of dz over the rows, dx = dz Wᵀ.
#
# x (rows, inputs), row stride ldx; W (inputs, width), b (width), z and dz (rows, width); width = units padded to a multiple of
# 16, the pad lanes of W, b, dz being 0. `accumulate` adds to dW and db: a batch can come in several pieces.

from cython cimport floating

from cbp.kernels.inlining cimport forced
from cbp.kernels.rows cimport LONG
from cbp.kernels.tile cimport VECTOR_BYTES, product

cdef extern from *:
    """
    static const float cbp_one_f = 1.0f;
    static const double cbp_one_d = 1.0;
    """
    const float ONE32 "cbp_one_f"
    const double ONE64 "cbp_one_d"


cdef inline void dense_forward(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t width,
    const floating* x, Py_ssize_t ldx, const floating* weight, const floating* bias, floating* z,
) noexcept nogil:
    product(rows, width, inputs, x, ldx, 1, weight, width, bias, 0, z, width)


cdef inline void dense_backward_weight(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t width, bint accumulate,
    const floating* x, Py_ssize_t ldx, const floating* dz, floating* d_weight,
) noexcept nogil:
    product(inputs, width, rows, x, 1, ldx, dz, width, d_weight if accumulate else NULL, width, d_weight, width)


cdef inline void dense_backward_bias(
    Py_ssize_t rows, Py_ssize_t width, bint accumulate, const floating* dz, floating* d_bias,
) noexcept nogil:
    """The same product with a column of ones for x."""
    cdef const floating* one
    if floating is float:
        one = &ONE32
    else:
        one = &ONE64
    product(1, width, rows, one, 0, 0, dz, width, d_bias if accumulate else NULL, 0, d_bias, width)


cdef enum:
    STRIP = 32   # rows that are transposed at once: the strip stays in the first-level cache while the product reads it


cdef inline void dense_backward_input(
    Py_ssize_t batch, Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t units, Py_ssize_t width,
    const floating* weight, floating* scratch, const floating* dz, floating* dx, Py_ssize_t lddx,
) noexcept nogil:
    """dx (rows, lddx), for some rows of a batch; `scratch` has room for STRIP * (units + inputs) numbers.

    The product reads its second factor by contiguous rows, so W is transposed or, where that is less, dz before and dx after
    the product dxᵀ = W dzᵀ. These two sum in the same order. A batch of few rows does not: `batch` decides about it, or the
    bits would depend on how threads share the rows.
    """
    if batch < 4:
        dense_backward_few(rows, inputs, width, weight, dz, dx, lddx)
    elif rows >= 16 and 2 * rows * (units + inputs) <= units * inputs:
        dense_backward_across(rows, inputs, units, width, weight, scratch, dz, dx, lddx)
    else:
        dense_backward_along(rows, inputs, units, width, weight, scratch, dz, dx, lddx)


cdef inline void dense_backward_along(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t units, Py_ssize_t width,
    const floating* weight, floating* strip, const floating* dz, floating* dx, Py_ssize_t lddx,
) noexcept nogil:
    """dx = dz Wᵀ, STRIP columns at a time."""
    cdef Py_ssize_t j = 0
    while j < inputs:
        transpose(min(<Py_ssize_t>STRIP, inputs - j), units, weight + j * width, width, strip, STRIP)
        product(rows, STRIP if lddx - j >= STRIP else 16, units, dz, width, 1, strip, STRIP, NULL, 0, dx + j, lddx)
        j += STRIP


cdef inline void dense_backward_across(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t units, Py_ssize_t width,
    const floating* weight, floating* strip, const floating* dz, floating* dx, Py_ssize_t lddx,
) noexcept nogil:
    """dxᵀ = W dzᵀ, STRIP rows at a time."""
    cdef floating* mirror = strip + units * STRIP
    cdef Py_ssize_t r = 0, n
    while r < rows:
        n = min(<Py_ssize_t>STRIP, rows - r)
        transpose(n, units, dz + r * width, width, strip, STRIP)
        product(inputs, STRIP if n > 16 else 16, units, weight, width, 1, strip, STRIP, NULL, 0, mirror, STRIP)
        transpose(inputs, n, mirror, STRIP, dx + r * lddx, lddx)
        r += STRIP


cdef inline void transpose(
    Py_ssize_t rows, Py_ssize_t columns, const floating* a, Py_ssize_t lda, floating* b, Py_ssize_t ldb,
) noexcept nogil:
    """b[j, i] = a[i, j]; the lanes of b beyond `rows` up to the next multiple of 16 become 0."""
    cdef Py_ssize_t i, j, block
    cdef Py_ssize_t whole = columns // 16 * 16
    for block in range(0, rows, 16):
        j = 0
        if block + 16 <= rows:
            for j in range(0, whole, 16):
                transpose_16(a + block * lda + j, lda, b + j * ldb + block, ldb)
            j = whole
        while j < columns:
            for i in range(block, block + 16):
                b[j * ldb + i] = a[i * lda + j] if i < rows else <floating>0
            j += 1


cdef inline void transpose_16(const floating* a, Py_ssize_t lda, floating* b, Py_ssize_t ldb) noexcept nogil:
    """b[j, i] = a[i, j] for 16 x 16 numbers, in four perfect shuffles.

    A shuffle, y[2 k] = x[k] and y[2 k + 1] = x[k + 128], rotates the 8 bits of a number's place by one; four of them exchange
    its row and its column. A vector unit interleaves two rows in two instructions: the transpose takes half the time of one
    that moves the numbers one by one.
    """
    cdef floating x[256]
    cdef floating y[256]
    cdef int i, k
    for i in range(8):
        for k in range(16):
            x[32 * i + 2 * k] = a[i * lda + k]
            x[32 * i + 2 * k + 1] = a[(i + 8) * lda + k]
    for k in range(128):
        y[2 * k] = x[k]
        y[2 * k + 1] = x[k + 128]
    for k in range(128):
        x[2 * k] = y[k]
        x[2 * k + 1] = y[k + 128]
    for i in range(16):
        for k in range(8):
            b[i * ldb + 2 * k] = x[8 * i + k]
            b[i * ldb + 2 * k + 1] = x[8 * i + k + 128]


cdef inline void dense_backward_few(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t width, const floating* weight, const floating* dz, floating* dx,
    Py_ssize_t lddx,
) noexcept nogil:
    """dx as dot products of dz with the rows of W: for a few rows a transpose costs more than the product.

    So many rows of W together that their running sums fill eight registers.
    """
    cdef Py_ssize_t r, i
    cdef int most = VECTOR_BYTES // 2 // <int>sizeof(floating)
    for r in range(rows):
        i = 0
        while inputs - i >= most:
            long_dots(most, width, weight + i * width, dz + r * width, dx + r * lddx + i)
            i += most
        while i < inputs:
            long_dots(1, width, weight + i * width, dz + r * width, dx + r * lddx + i)
            i += 1
        for i in range(inputs, lddx):
            dx[r * lddx + i] = 0


cdef inline forced long_dots(
    const int rows, Py_ssize_t width, const floating* a, const floating* b, floating* sums,
) noexcept nogil:
    """Dot products of b with up to 8 rows of a, in parts (kernels/sums.pxd)."""
    cdef floating part[8]
    cdef double total[8]
    cdef Py_ssize_t j = 0
    cdef int i
    for i in range(rows):
        total[i] = part[i] = 0
    while j < width:
        dots(rows, min(width - j, <Py_ssize_t>LONG), a + j, width, b + j, part)
        for i in range(rows):
            total[i] += part[i]
        j += LONG
    for i in range(rows):
        sums[i] = <floating>total[i]


cdef inline forced dots(
    const int rows, Py_ssize_t width, const floating* a, Py_ssize_t lda, const floating* b, floating* sums,
) noexcept nogil:
    """Dot products of b with up to 8 rows of a. Each has 16 running sums; in the end these are added in pairs, all rows
    together: row by row that took more time than 64 products."""
    cdef floating x[128]
    cdef floating y[64]
    cdef Py_ssize_t j
    cdef int i, k
    if width < 16:   # never: shows gcc that the loop over j runs, see tile.pxd
        return
    for k in range(16 * rows):
        x[k] = 0
    for j in range(0, width, 16):
        for i in range(rows):
            for k in range(16):
                x[16 * i + k] += a[i * lda + j + k] * b[j + k]
    for k in range(8 * rows):
        y[k] = x[2 * k] + x[2 * k + 1]
    for k in range(4 * rows):
        x[k] = y[2 * k] + y[2 * k + 1]
    for k in range(2 * rows):
        y[k] = x[2 * k] + x[2 * k + 1]
    for k in range(rows):
        sums[k] = y[2 * k] + y[2 * k + 1]


# --- the definitions, one number at a time: oracles of the tests --------------------------------------------------------------

cdef inline void dense_forward_naive(
    const floating[:, ::1] x, const floating[:, ::1] weight, const floating[::1] bias, floating[:, ::1] z,
) noexcept nogil:
    cdef Py_ssize_t r, i, j
    for r in range(x.shape[0]):
        for j in range(weight.shape[1]):
            z[r, j] = bias[j]
            for i in range(x.shape[1]):
                z[r, j] += x[r, i] * weight[i, j]


cdef inline void dense_backward_naive(
    const floating[:, ::1] x, const floating[:, ::1] weight, const floating[:, ::1] dz,
    floating[:, ::1] d_weight, floating[::1] d_bias, floating[:, ::1] dx,
) noexcept nogil:
    cdef Py_ssize_t r, i, j
    for r in range(x.shape[0]):
        for j in range(weight.shape[1]):
            d_bias[j] += dz[r, j]
            for i in range(x.shape[1]):
                d_weight[i, j] += x[r, i] * dz[r, j]
                dx[r, i] += dz[r, j] * weight[i, j]
