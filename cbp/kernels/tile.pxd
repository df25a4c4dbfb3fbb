# The matrix product: one register tile, called with literal sizes.
#
# product() computes c = start + a b for a of (rows, depth), b of (depth, columns), c of (rows, columns), columns a multiple
# of 16. `a` is read through a row and a column stride, so that a forward product (a, 1) and a weight gradient (1, a) need no
# packing; rows of b and c are contiguous, their lengths `ldb` and `ldc`. `start` is nothing, a bias row (start_stride 0) or c
# itself (an accumulated gradient).
#
# tile() keeps up to TILE_ROWS x 2 vectors of c in registers while k runs over the depth. It is inlined into every call with
# literal `rows` and `vecs`, the two inner loops become bare fused multiply-adds: 24 accumulators with AVX-512, 12 with AVX2, 8
# in the baseline build. That holds only at -O2 with -ftree-vectorize and with forced inlining (setup.py); `python -m bench`
# prints the rate of every build.
#
# The accumulators do not touch memory before and after the loop over k either, because gcc sees no path around the loop (it is
# tested at its end, the depth being at least 1), one source of start values (a row of zeros stands for nothing) and no memset
# (setup.py). That took about 100 cycles from every tile: half the time of a product with depth 4, 70 % with depth 1, 10 % with
# depth 64.

from cython cimport floating
from libc.string cimport memset

from cbp.kernels.inlining cimport apart, forced
from cbp.kernels.sums cimport DEEP, TERMS, add_part

cdef extern from *:
    """
    #ifndef CBP_VECTOR_BYTES
    #define CBP_VECTOR_BYTES 16
    #endif
    #ifndef CBP_TILE_ROWS
    #define CBP_TILE_ROWS 4
    #endif
    static const float cbp_zeros_f[256] = {0};   /* the widest tile has 16 vectors */
    static const double cbp_zeros_d[128] = {0};
    """
    const float* ZEROS32 "cbp_zeros_f"
    const double* ZEROS64 "cbp_zeros_d"
    const int VECTOR_BYTES "CBP_VECTOR_BYTES"
    const int TILE_ROWS "CBP_TILE_ROWS"


cdef inline const floating* zeros(const floating* like) noexcept nogil:
    """As many as the widest tile has columns."""
    if floating is float:
        return ZEROS32
    else:
        return ZEROS64


cdef enum:
    MAX_TILE = 12 * 2 * 16   # accumulators of the largest tile: rows x vectors x lanes


cdef inline forced tile(
    const int rows, const int vecs, Py_ssize_t depth,
    const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_stride,
    floating* c, Py_ssize_t ldc,
) noexcept nogil:
    """c[:rows, :vecs vectors] = start + a[:rows, :depth] b[:depth, :vecs vectors], with a depth of at least 1."""
    cdef floating acc[MAX_TILE]
    cdef int width = vecs * (VECTOR_BYTES // <int>sizeof(floating))
    cdef Py_ssize_t k = 0
    cdef int i, j
    if start is NULL:
        start_stride = 0
        start = zeros(start)
    for i in range(rows):
        for j in range(width):
            acc[i * width + j] = start[i * start_stride + j]
    while True:
        for i in range(rows):
            for j in range(width):
                acc[i * width + j] += a[i * row_stride + k * column_stride] * b[k * ldb + j]
        k += 1
        if k == depth:
            break
    for i in range(rows):
        for j in range(width):
            c[i * ldc + j] = acc[i * width + j]


cdef inline forced strip(
    const int vecs, Py_ssize_t rows, Py_ssize_t depth,
    const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_stride,
    floating* c, Py_ssize_t ldc,
) noexcept nogil:
    """A strip of c, `vecs` vectors wide and all rows high: full tiles, then the tails of 8, 4, 2 and 1 rows."""
    cdef Py_ssize_t r = 0
    # 12 + 4 rows go as 8 + 8: four rows leave two thirds of the accumulators empty.
    while rows - r >= TILE_ROWS and (TILE_ROWS != 12 or rows - r != 16):
        tile(TILE_ROWS, vecs, depth, a + r * row_stride, row_stride, column_stride, b, ldb,
             start + r * start_stride if start is not NULL else NULL, start_stride, c + r * ldc, ldc)
        r += TILE_ROWS
    while TILE_ROWS > 8 and rows - r >= 8:
        tile(8, vecs, depth, a + r * row_stride, row_stride, column_stride, b, ldb,
             start + r * start_stride if start is not NULL else NULL, start_stride, c + r * ldc, ldc)
        r += 8
    if TILE_ROWS > 4 and rows - r >= 4:
        tile(4, vecs, depth, a + r * row_stride, row_stride, column_stride, b, ldb,
             start + r * start_stride if start is not NULL else NULL, start_stride, c + r * ldc, ldc)
        r += 4
    if rows - r >= 2:
        tile(2, vecs, depth, a + r * row_stride, row_stride, column_stride, b, ldb,
             start + r * start_stride if start is not NULL else NULL, start_stride, c + r * ldc, ldc)
        r += 2
    if rows - r >= 1:
        tile(1, vecs, depth, a + r * row_stride, row_stride, column_stride, b, ldb,
             start + r * start_stride if start is not NULL else NULL, start_stride, c + r * ldc, ldc)


cdef inline forced few_rows(
    Py_ssize_t rows, Py_ssize_t depth, const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb, const floating* start, Py_ssize_t start_stride, floating* c, Py_ssize_t ldc,
) noexcept nogil:
    """Up to 3 rows of a strip 4 vectors wide."""
    cdef Py_ssize_t r = rows - 1
    if rows >= 2:
        tile(2, 4, depth, a, row_stride, column_stride, b, ldb, start, start_stride, c, ldc)
    if rows != 2:
        tile(1, 4, depth, a + r * row_stride, row_stride, column_stride, b, ldb,
             start + r * start_stride if start is not NULL else NULL, start_stride, c + r * ldc, ldc)


cdef inline forced product(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_stride,
    floating* c, Py_ssize_t ldc,
) noexcept nogil:
    """c = start + a b, `columns` a multiple of 16. Inlined, because one of the strides is mostly a literal 1."""
    cdef int lanes = VECTOR_BYTES // <int>sizeof(floating)
    cdef Py_ssize_t j = 0
    if floating is float:
        if depth > DEEP:
            multiply_deep(rows, columns, depth, a, row_stride, column_stride, b, ldb, start, start_stride, c, ldc)
            return
    # Few rows leave most registers empty and wait for each sum and for b: take more columns at once.
    while VECTOR_BYTES == 64 and rows == 1 and columns - j >= 16 * lanes:
        # Longer stretches of b: as fast as adding up the numbers of b, 15 % faster than 8 vectors where b lies in L3.
        tile(1, 16, depth, a, row_stride, column_stride, b + j, ldb, start + j if start is not NULL else NULL, 0, c + j, 0)
        j += 16 * lanes
    while rows == 1 and columns - j >= 8 * lanes:
        tile(1, 8, depth, a, row_stride, column_stride, b + j, ldb, start + j if start is not NULL else NULL, 0, c + j, 0)
        j += 8 * lanes
    while rows < 4 and columns - j >= 4 * lanes:
        few_rows(rows, depth, a, row_stride, column_stride, b + j, ldb,
                 start + j if start is not NULL else NULL, start_stride, c + j, ldc)
        j += 4 * lanes
    while columns - j >= 2 * lanes:
        strip(2, rows, depth, a, row_stride, column_stride, b + j, ldb,
              start + j if start is not NULL else NULL, start_stride, c + j, ldc)
        j += 2 * lanes
    if columns - j >= lanes:
        strip(1, rows, depth, a, row_stride, column_stride, b + j, ldb,
              start + j if start is not NULL else NULL, start_stride, c + j, ldc)


cdef inline void multiply(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_stride,
    floating* c, Py_ssize_t ldc,
) noexcept nogil:
    """product() as a function, for those whose strides vary: it is long."""
    product(rows, columns, depth, a, row_stride, column_stride, b, ldb, start, start_stride, c, ldc)


cdef enum:
    PANEL = 1536      # numbers of c that are summed at once, in four sums that stay in the first-level cache
    PANEL_ROWS = 24


cdef inline apart multiply_deep(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_stride,
    floating* c, Py_ssize_t ldc,
) noexcept nogil:
    """product() for a depth above DEEP, panel by panel."""
    cdef Py_ssize_t high = min(rows, <Py_ssize_t>PANEL_ROWS)
    cdef Py_ssize_t wide = min(columns, PANEL // high // 64 * 64)
    cdef Py_ssize_t r = 0, j
    while r < rows:
        j = 0
        while j < columns:
            multiply_panel(min(high, rows - r), min(wide, columns - j), depth, a + r * row_stride, row_stride, column_stride,
                           b + j, ldb, start + r * start_stride + j if start is not NULL else NULL, start_stride,
                           c + r * ldc + j, ldc)
            j += wide
        r += high


cdef inline void multiply_panel(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_stride,
    floating* c, Py_ssize_t ldc,
) noexcept nogil:
    cdef floating part[PANEL]
    cdef floating middle[PANEL]
    cdef floating total[PANEL]
    cdef floating rest[PANEL]
    cdef Py_ssize_t size = rows * columns, k = 0, i, j, n
    for i in range(rows):
        for j in range(columns):
            total[i * columns + j] = start[i * start_stride + j] if start is not NULL else <floating>0
    memset(rest, 0, size * sizeof(floating))
    memset(middle, 0, size * sizeof(floating))
    while k < depth:
        n = min(<Py_ssize_t>TERMS, depth - k)
        multiply(rows, columns, n, a + k * column_stride, row_stride, column_stride, b + k * ldb, ldb, <const floating*>NULL, 0,
                 part, columns)
        k += n
        add_part(size, k, k == depth, part, middle, total, rest)
    for i in range(rows):
        for j in range(columns):
            c[i * ldc + j] = total[i * columns + j] + rest[i * columns + j]
