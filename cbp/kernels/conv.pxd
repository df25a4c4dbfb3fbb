# The products of a convolution: the register tile of tile.pxd, whose first factor is read where a window of the image stands.
#
# A product of windows is c[g, i] = start[g, i] + sum over k of a[g * group_stride + i * row_stride + offsets[k]] b[k]: rows in
# `groups` of equal distance, and a table that says where the k-th number of a window lies. All three directions are such:
#
#   forward          groups and rows: lines and columns of the output, k: taps of the window (line, column, channel)
#   weight gradient  groups and rows: taps of the window,              k: pixels of the output
#   input gradient   groups and rows: samples and columns of dz,       k: lines of dz that a line of the image reaches, filters
#
# So nothing like the "im2col" matrix is ever in memory (implicit GEMM: Chetlur et al., cuDNN, 2014). The image is read where it
# lies; only one that has a border of zeros is copied first, some samples at a time.
#
# As in tile.pxd the accumulators stay in registers, 24 with AVX-512, because the tile is called with literal sizes. Where a
# line of the image is narrower than a tile, the tile takes several lines (groups).

from cython cimport floating

from cbp.kernels.inlining cimport forced
from cbp.kernels.sums cimport TERMS
from cbp.kernels.tile cimport TILE_ROWS, VECTOR_BYTES, zeros

cdef enum:
    MOST_SUMS = 12 * 2 * 16   # accumulators of the largest tile: rows x vectors x lanes
    PIXELS = 512              # of the output that a table of offsets holds: their dz stays in the first-level cache
    SAMPLES = 8               # whose pixels share a product, if they have few
    FEW_PIXELS = 48           # of a line of dz: fewer do not fill the tiles, and samples share a product


cdef inline Py_ssize_t lanes_for(Py_ssize_t units, const floating* like) noexcept nogil:
    """`units` rounded up to whole vectors: lanes of a row beyond them need no arithmetic."""
    cdef int lanes = VECTOR_BYTES // <int>sizeof(floating)
    return (units + lanes - 1) // lanes * lanes


cdef inline forced window_tile(
    const int groups, const int rows, const int vecs, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """groups x rows rows of c, `vecs` vectors wide, with a depth of at least 1."""
    cdef floating acc[MOST_SUMS]
    cdef int width = vecs * (VECTOR_BYTES // <int>sizeof(floating))
    cdef Py_ssize_t k = 0
    cdef int g, i, j
    if start is NULL:
        start_group = start_row = 0
        start = zeros(start)
    for g in range(groups):
        for i in range(rows):
            for j in range(width):
                acc[(g * rows + i) * width + j] = start[g * start_group + i * start_row + j]
    while True:   # no test before the first round: a way around the loop would send the sums through memory
        for g in range(groups):
            for i in range(rows):
                for j in range(width):
                    acc[(g * rows + i) * width + j] += a[g * group_stride + i * row_stride + offsets[k]] * b[k * ldb + j]
        k += 1
        if k == depth:
            break
    for g in range(groups):
        for i in range(rows):
            for j in range(width):
                c[g * c_group + i * c_row + j] = acc[(g * rows + i) * width + j]


cdef inline forced window_tiles(
    const int height, Py_ssize_t* done, const int rows, const int vecs, Py_ssize_t groups, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """Tiles of `height` groups, from group number `done` on while so many are left."""
    cdef Py_ssize_t g = done[0]
    while groups - g >= height:
        window_tile(height, rows, vecs, depth, a + g * group_stride, group_stride, row_stride, offsets, b, ldb,
                    start + g * start_group if start is not NULL else NULL, start_group, start_row,
                    c + g * c_group, c_group, c_row)
        g += height
    done[0] = g


cdef inline forced window_column(
    const int rows, const int vecs, Py_ssize_t groups, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """`rows` rows of every group: so many groups at once as fill the accumulators, then 5, 3 and 1."""
    # Of tiles one vector wide gcc unrolls no more than 18 rows, and none with 12 rows in two groups.
    cdef int most = 18 if vecs == 1 and TILE_ROWS == 12 else 2 * TILE_ROWS
    cdef int height = 1 if rows == 12 else min(8, max(1, most // (rows * vecs)))
    cdef Py_ssize_t g = 0
    if height != 5 and height != 3 and height != 1:
        window_tiles(height, &g, rows, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                     start, start_group, start_row, c, c_group, c_row)
    if height >= 5:
        window_tiles(5, &g, rows, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                     start, start_group, start_row, c, c_group, c_row)
    if height >= 3:
        window_tiles(3, &g, rows, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                     start, start_group, start_row, c, c_group, c_row)
    window_tiles(1, &g, rows, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                 start, start_group, start_row, c, c_group, c_row)


cdef inline int rows_at_once(Py_ssize_t groups, Py_ssize_t rows) noexcept nogil:
    """How many of `rows` rows the next tiles take, so that no single row is left for the end."""
    if TILE_ROWS >= 12:
        if rows == 6 and groups == 5:   # two tiles of five groups, and no group alone
            return 3
        if rows >= 15:
            return 12
        if rows == 12 or rows == 8 or rows == 6:
            return <int>rows
        if rows == 14 or rows == 13 or rows == 11:
            return 8
        if rows == 10 or rows == 9:
            return 6
    elif TILE_ROWS >= 6:
        if rows >= 8 or rows == 6:
            return 6
    elif rows >= 6:
        return 4
    if rows == 7 or rows == 4:
        return 4
    return 3 if rows == 5 or rows == 3 else <int>rows


cdef inline forced window_strip(
    const int vecs, Py_ssize_t groups, Py_ssize_t rows, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """All rows of c, `vecs` vectors wide."""
    cdef int n
    while rows > 0:
        n = rows_at_once(groups, rows)
        if TILE_ROWS >= 12 and n == 12:
            window_column(12, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                          start, start_group, start_row, c, c_group, c_row)
        elif TILE_ROWS >= 12 and n == 8:
            window_column(8, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                          start, start_group, start_row, c, c_group, c_row)
        elif TILE_ROWS >= 6 and n == 6:
            window_column(6, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                          start, start_group, start_row, c, c_group, c_row)
        elif n == 4:
            window_column(4, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                          start, start_group, start_row, c, c_group, c_row)
        elif n == 3:
            window_column(3, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                          start, start_group, start_row, c, c_group, c_row)
        elif n == 2:
            window_column(2, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                          start, start_group, start_row, c, c_group, c_row)
        else:
            window_column(1, vecs, groups, depth, a, group_stride, row_stride, offsets, b, ldb,
                          start, start_group, start_row, c, c_group, c_row)
        rows -= n
        a += n * row_stride
        c += n * c_row
        if start is not NULL:
            start += n * start_row


# --- tables: where the numbers of a window, and the windows, lie --------------------------------------------------------------

cdef inline void grid_offsets(
    Py_ssize_t lines, Py_ssize_t columns, Py_ssize_t run, Py_ssize_t line, Py_ssize_t column, Py_ssize_t* offsets,
) noexcept nogil:
    """offsets[y, x, j] = y * line + x * column + j: for the taps of a window, with run = channels, or, with run = 1, for the
    windows of a block of the output."""
    cdef Py_ssize_t y, x, j, n = 0
    for y in range(lines):
        for x in range(columns):
            for j in range(run):
                offsets[n] = y * line + x * column + j
                n += 1


cdef inline void repeat_offsets(Py_ssize_t n, Py_ssize_t times, Py_ssize_t step, Py_ssize_t* offsets) noexcept nogil:
    """The table of n windows once for every sample, `step` numbers further each time."""
    cdef Py_ssize_t i
    for i in range(n, n * times):
        offsets[i] = offsets[i - n] + step


# --- the image ----------------------------------------------------------------------------------------------------------------

cdef inline void copy_image(
    Py_ssize_t in_h, Py_ssize_t in_w, Py_ssize_t channels, Py_ssize_t in_width, Py_ssize_t pad_h, Py_ssize_t pad_w,
    Py_ssize_t image_h, Py_ssize_t image_w, const floating* x, floating* image,
) noexcept nogil:
    """One sample x (in_h, in_w, in_width) without the pads of its channels, within zeros: image (image_h, image_w, channels).

    The image begins pad_h lines above and pad_w columns left of x, and may end before x does. It is followed by room for 16
    numbers: a pixel is copied as whole blocks of 16, the next one overwrites what was too much.
    """
    cdef Py_ssize_t y, column, c
    cdef Py_ssize_t left = min(pad_w, image_w)
    cdef Py_ssize_t columns = min(in_w, image_w - left)
    cdef int k
    cdef floating* line = image
    cdef floating* pixel
    cdef const floating* source
    for y in range(image_h):
        if pad_h <= y < pad_h + in_h:
            source = x + (y - pad_h) * in_w * in_width
            for c in range(left * channels):
                line[c] = 0
            pixel = line + left * channels
            if in_width == channels:
                for c in range(columns * channels):
                    pixel[c] = source[c]
            else:
                for column in range(columns):
                    for c in range(0, channels, 16):
                        for k in range(16):
                            pixel[column * channels + c + k] = source[column * in_width + c + k]
            for c in range((left + columns) * channels, image_w * channels):
                line[c] = 0
        else:
            for c in range(image_w * channels):
                line[c] = 0
        line += image_w * channels


# --- the input gradient: from products of dz with the weights, one for every column and tap, to the columns of the image -----

cdef inline void gather_taps(
    Py_ssize_t columns, Py_ssize_t channels, Py_ssize_t d_width, const Py_ssize_t* places, Py_ssize_t most,
    const floating* products, floating* dx,
) noexcept nogil:
    """dx[x] = sum of products[place] over the places of column x: their number, then the places, `most` + 1 entries a column.
    Pads become 0."""
    cdef floating sums[16]
    cdef const Py_ssize_t* place = places
    cdef Py_ssize_t x, c, t, count
    cdef int k
    for x in range(columns):
        count = place[0]
        for c in range(0, d_width, 16):
            if floating is float and count > TERMS:
                sum_of_places(count, place + 1, products + c, sums)
            else:
                for k in range(16):
                    sums[k] = 0
                for t in range(1, count + 1):
                    for k in range(16):
                        sums[k] += products[place[t] + c + k]
            for k in range(16):
                dx[x * d_width + c + k] = sums[k] if c + k < channels else <floating>0
        place += most + 1


cdef inline void sum_of_places(
    Py_ssize_t count, const Py_ssize_t* place, const floating* products, floating* sums,
) noexcept nogil:
    """Those sums where they have many terms."""
    cdef double totals[16]
    cdef Py_ssize_t t
    cdef int k
    for k in range(16):
        totals[k] = 0
    for t in range(count):
        for k in range(16):
            totals[k] += products[place[t] + k]
    for k in range(16):
        sums[k] = <floating>totals[k]


cdef inline void column_places(
    Py_ssize_t in_w, Py_ssize_t out_w, Py_ssize_t kernel_w, Py_ssize_t stride_w, Py_ssize_t pad_w, Py_ssize_t dilation_w,
    Py_ssize_t channels, Py_ssize_t ld, Py_ssize_t* places,
) noexcept nogil:
    """The table of gather_taps: column x of the image is under tap kx of the window at column ox if
    x + pad_w = ox stride_w + kx dilation_w."""
    cdef Py_ssize_t x, kx, ahead, count
    for x in range(in_w):
        count = 0
        for kx in range(kernel_w):
            ahead = x + pad_w - kx * dilation_w
            if ahead >= 0 and ahead % stride_w == 0 and ahead // stride_w < out_w:
                count += 1
                places[count] = ahead // stride_w * ld + kx * channels
        places[0] = count
        places += kernel_w + 1


# --- the bias -----------------------------------------------------------------------------------------------------------------

cdef inline void add_positions(
    Py_ssize_t positions, Py_ssize_t width, const floating* dz, bint accumulate, floating* g,
) noexcept nogil:
    """g (width) = or += the sum of dz (positions, width) over the positions of one sample, in four running sums: a single one
    waits for every addition."""
    cdef floating sums[64]
    cdef Py_ssize_t p, j
    cdef Py_ssize_t whole = positions // 4 * 4
    cdef int k, i
    for j in range(0, width, 16):
        for k in range(64):
            sums[k] = 0
        for p in range(0, whole, 4):
            for i in range(4):
                for k in range(16):
                    sums[16 * i + k] += dz[(p + i) * width + j + k]
        for p in range(whole, positions):
            for k in range(16):
                sums[k] += dz[p * width + j + k]
        for k in range(16):
            sums[k] = (sums[k] + sums[16 + k]) + (sums[32 + k] + sums[48 + k])
        for k in range(16):
            g[j + k] = g[j + k] + sums[k] if accumulate else sums[k]


# --- few filters: pairs of windows in a vector of `lanes` lanes, half = lanes / 2 of them for either (ops/convolution_op.pxd) -

cdef inline void double_row(
    Py_ssize_t units, Py_ssize_t lanes, const floating* row, floating* doubled,
) noexcept nogil:
    """A row, or nothing, in both halves."""
    cdef Py_ssize_t j
    for j in range(lanes):
        doubled[j] = row[j % (lanes // 2)] if row is not NULL and j % (lanes // 2) < units else <floating>0


cdef inline void double_weights(
    Py_ssize_t lines, Py_ssize_t line, Py_ssize_t channels, Py_ssize_t units, Py_ssize_t width, Py_ssize_t lanes,
    const floating* weight, floating* doubled,
) noexcept nogil:
    """From weight (lines, line, width), line = taps * channels, to (lines, line + channels, lanes): shifted by a tap in the
    upper half."""
    cdef Py_ssize_t _y, i, j
    for _y in range(lines):
        for i in range(line + channels):
            for j in range(lanes // 2):
                doubled[j] = weight[i * width + j] if i < line and j < units else <floating>0
                doubled[lanes // 2 + j] = weight[(i - channels) * width + j] if i >= channels and j < units else <floating>0
            doubled += lanes
        weight += line * width


cdef inline forced part_pairs(Py_ssize_t pairs, const int half, Py_ssize_t width, floating* z) noexcept nogil:
    """A pair stands in the row of its left window: move the upper half to the right one's row."""
    cdef floating right[16]
    cdef Py_ssize_t _p, j
    cdef int k
    for _p in range(pairs):
        for k in range(half):
            right[k] = z[half + k]
        for k in range(half):
            z[half + k] = 0
        for k in range(half):
            z[width + k] = right[k]
        for k in range(half):
            z[width + half + k] = 0
        for j in range(2 * half, width):
            z[j] = z[width + j] = 0
        z += 2 * width


cdef inline forced join_pairs(
    Py_ssize_t pairs, const int half, Py_ssize_t width, const floating* dz, floating* joined,
) noexcept nogil:
    """And back: the dz of two windows in one vector."""
    cdef Py_ssize_t _p
    cdef int k
    for _p in range(pairs):
        for k in range(half):
            joined[k] = dz[k]
        for k in range(half):
            joined[half + k] = dz[width + k]
        joined += 2 * half
        dz += 2 * width


cdef inline void fold_weights(
    Py_ssize_t row, Py_ssize_t n, Py_ssize_t line, Py_ssize_t channels, Py_ssize_t lanes, Py_ssize_t width,
    const floating* doubled, bint accumulate, floating* g,
) noexcept nogil:
    """g (n, width) = or += the gradients of the rows row .. row + n of the weights, from those of the doubled rows, of which
    `doubled` holds the first that is needed and its followers."""
    cdef const floating* first
    cdef Py_ssize_t i, j
    cdef Py_ssize_t start = row + row // line * channels
    for i in range(row, row + n):
        first = doubled + (i + i // line * channels - start) * lanes
        for j in range(lanes // 2):
            g[j] = (first[j] + first[channels * lanes + lanes // 2 + j]) + (g[j] if accumulate else <floating>0)
        if not accumulate:
            for j in range(lanes // 2, width):
                g[j] = 0
        g += width
