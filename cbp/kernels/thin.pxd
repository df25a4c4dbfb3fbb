# A dense layer of few units after many inputs: z = x Wᵀ + b, and back: dW = dzᵀ x, dx = dz W.
#
# x (rows, inputs), row stride ldx; W (units, ldw), a row for every unit, ldw = inputs padded to a multiple of 16, the pads 0; z
# and dz (rows, width), width 16. A sum over millions of inputs in one float32 number would be a percent off: so many are added
# up in sixteen sums, these and what comes after in double.

from cython cimport floating
from libc.string cimport memset

from cbp.kernels.inlining cimport forced
from cbp.kernels.rows cimport lanes_sum
from cbp.kernels.tile cimport VECTOR_BYTES


cdef enum:
    BLOCK = 512       # numbers of a row that are worked on together: they stay in the first-level cache
    MOST_ROWS = 8
    MOST_UNITS = 16


cdef inline void thin_forward(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t units, Py_ssize_t width,
    const floating* x, Py_ssize_t ldx, const floating* weight, Py_ssize_t ldw, const floating* bias, floating* z,
) noexcept nogil:
    """So many rows together that their running sums fill eight registers; each is summed in the same order as alone."""
    cdef int most = VECTOR_BYTES // 2 // <int>sizeof(floating)
    cdef Py_ssize_t r = 0
    while rows - r >= most:
        forward_rows(most, inputs, units, width, x + r * ldx, ldx, weight, ldw, bias, z + r * width)
        r += most
    while r < rows:
        forward_rows(1, inputs, units, width, x + r * ldx, ldx, weight, ldw, bias, z + r * width)
        r += 1


cdef inline forced forward_rows(
    const int rows, Py_ssize_t inputs, Py_ssize_t units, Py_ssize_t width,
    const floating* x, Py_ssize_t ldx, const floating* weight, Py_ssize_t ldw, const floating* bias, floating* z,
) noexcept nogil:
    """x is read once, block by block, and W with it. Samples have no pads: their last numbers are added one by one."""
    cdef double totals[MOST_UNITS * MOST_ROWS]
    cdef floating sums[MOST_ROWS]
    cdef Py_ssize_t whole = inputs // 16 * 16
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t n, u, j
    cdef int i
    for u in range(units):
        for i in range(rows):
            totals[u * rows + i] = bias[u] if bias is not NULL else <floating>0
    while first < whole:
        n = min(<Py_ssize_t>BLOCK, whole - first)
        for u in range(units):
            dots_of_block(rows, n, x + first, ldx, weight + u * ldw + first, sums)
            for i in range(rows):
                totals[u * rows + i] += sums[i]
        first += n
    for i in range(rows):
        for u in range(units):
            for j in range(whole, inputs):
                totals[u * rows + i] += <double>x[i * ldx + j] * weight[u * ldw + j]
            z[i * width + u] = <floating>totals[u * rows + i]
        for u in range(units, width):
            z[i * width + u] = 0


cdef inline forced dots_of_block(
    const int rows, Py_ssize_t n, const floating* x, Py_ssize_t ldx, const floating* w, floating* sums,
) noexcept nogil:
    """Dot products of n numbers of w, a multiple of 16 and not 0, with those of some rows, in 16 running sums each."""
    cdef floating lanes[16 * MOST_ROWS]
    cdef Py_ssize_t j = 0
    cdef int i, k
    for k in range(16 * rows):
        lanes[k] = 0
    while True:   # tested at its end, see tile.pxd
        for i in range(rows):
            for k in range(16):
                lanes[16 * i + k] += x[i * ldx + j + k] * w[j + k]
        j += 16
        if j == n:
            break
    for i in range(rows):
        sums[i] = lanes_sum(&lanes[16 * i])


cdef inline void thin_backward_input(
    Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, const floating* weight, Py_ssize_t ldw, const floating* dz,
    floating* dx,
) noexcept nogil:
    """dx (rows, ldw); its pads are 0 as those of W."""
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t n, r, u
    while first < ldw:
        n = min(<Py_ssize_t>BLOCK, ldw - first)
        for r in range(rows):
            scale(n, dz[r * width], weight + first, dx + r * ldw + first)
            for u in range(1, units):
                add_scaled(n, dz[r * width + u], weight + u * ldw + first, dx + r * ldw + first)
        first += n


cdef inline void scale(Py_ssize_t n, floating factor, const floating* x, floating* y) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        y[j] = factor * x[j]


cdef inline void add_scaled(Py_ssize_t n, floating factor, const floating* x, floating* y) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        y[j] += factor * x[j]


cdef inline void thin_backward_weight(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t width, Py_ssize_t begin, Py_ssize_t count, bint accumulate,
    const floating* x, Py_ssize_t ldx, const floating* dz, Py_ssize_t ldw, floating* g,
) noexcept nogil:
    """`count` numbers of dW from number `begin` on, both multiples of 16: a stretch that may reach over several units."""
    cdef Py_ssize_t done = 0
    cdef Py_ssize_t unit, column, n
    while done < count:
        unit, column = (begin + done) // ldw, (begin + done) % ldw
        n = min(<Py_ssize_t>BLOCK, min(count - done, ldw - column))
        if not accumulate:
            memset(g + done, 0, n * sizeof(floating))
        add_columns(rows, min(n, inputs - column), x + column, ldx, dz + unit, width, g + done)
        done += n


cdef inline void add_columns(
    Py_ssize_t rows, Py_ssize_t n, const floating* x, Py_ssize_t ldx, const floating* d, Py_ssize_t ldd, floating* g,
) noexcept nogil:
    """g (n) += the rows of x, each times its number in d, one after the other."""
    cdef Py_ssize_t r = 0
    while rows - r >= 4:
        add_four(n, x + r * ldx, ldx, d + r * ldd, ldd, g)
        r += 4
    while r < rows:
        add_scaled(n, d[r * ldd], x + r * ldx, g)
        r += 1


cdef inline void add_four(
    Py_ssize_t n, const floating* x, Py_ssize_t ldx, const floating* d, Py_ssize_t ldd, floating* y,
) noexcept nogil:
    """The same as four times add_scaled(), which reads and writes y as often."""
    cdef floating d0 = d[0], d1 = d[ldd], d2 = d[2 * ldd], d3 = d[3 * ldd]
    cdef Py_ssize_t j
    for j in range(n):
        y[j] = y[j] + d0 * x[j] + d1 * x[ldx + j] + d2 * x[2 * ldx + j] + d3 * x[3 * ldx + j]
