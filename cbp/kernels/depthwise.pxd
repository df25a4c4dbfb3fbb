# Convolution of single channels: an output channel reads one channel of the image, so the lanes of a vector are channels, and a
# tap is one fused multiply-add for a whole vector of them.
#
# Images, outputs and weights have rows of `width` channels, a multiple of 16. Grouped convolutions, whose output channel reads
# several channels, are sums of these over planes: plane j holds, for every output channel, the j-th of the channels that it
# reads.
#
# The tiles are like those of tile.pxd: literal sizes, sums in registers.

from cython cimport floating

from cbp.kernels.inlining cimport forced
from cbp.kernels.sums cimport DEEP, TERMS, add_compensated
from cbp.kernels.tile cimport VECTOR_BYTES, zeros

cdef enum:
    MOST_CHANNEL_SUMS = 12 * 16   # of a tile: windows or taps x lanes
    CHANNEL_PIXELS = 128          # windows in a table of offsets: image and dz stay in the first-level cache


# --- forward ------------------------------------------------------------------------------------------------------------------

cdef inline forced channel_tile(
    const int windows, Py_ssize_t taps, const floating* x, Py_ssize_t step, const Py_ssize_t* offsets,
    const floating* weight, Py_ssize_t ldw, const floating* start, Py_ssize_t start_step, floating* z, Py_ssize_t width,
) noexcept nogil:
    """z[i] = start[i] + sum over the taps of x[i * step + offsets[tap]] weight[tap], for one vector of channels."""
    cdef floating sums[MOST_CHANNEL_SUMS]
    cdef int lanes = VECTOR_BYTES // <int>sizeof(floating)
    cdef Py_ssize_t t = 0
    cdef int i, k
    if start is NULL:
        start_step = 0
        start = zeros(start)
    for i in range(windows):
        for k in range(lanes):
            sums[i * lanes + k] = start[i * start_step + k]
    while True:   # see window_tile
        for i in range(windows):
            for k in range(lanes):
                sums[i * lanes + k] += x[i * step + offsets[t] + k] * weight[t * ldw + k]
        t += 1
        if t == taps:
            break
    for i in range(windows):
        for k in range(lanes):
            z[i * width + k] = sums[i * lanes + k]


cdef inline void channel_line(
    Py_ssize_t windows, Py_ssize_t taps, const floating* x, Py_ssize_t step, const Py_ssize_t* offsets,
    const floating* weight, Py_ssize_t ldw, const floating* start, Py_ssize_t start_step, floating* z, Py_ssize_t width,
) noexcept nogil:
    """One vector of channels of a line of windows."""
    cdef Py_ssize_t i = 0
    while VECTOR_BYTES > 16 and windows - i >= 12:
        channel_tile(12, taps, x + i * step, step, offsets, weight, ldw,
                     start + i * start_step if start is not NULL else NULL, start_step, z + i * width, width)
        i += 12
    while windows - i >= 8:
        channel_tile(8, taps, x + i * step, step, offsets, weight, ldw,
                     start + i * start_step if start is not NULL else NULL, start_step, z + i * width, width)
        i += 8
    if windows - i >= 4:
        channel_tile(4, taps, x + i * step, step, offsets, weight, ldw,
                     start + i * start_step if start is not NULL else NULL, start_step, z + i * width, width)
        i += 4
    while windows - i >= 1:
        channel_tile(1, taps, x + i * step, step, offsets, weight, ldw,
                     start + i * start_step if start is not NULL else NULL, start_step, z + i * width, width)
        i += 1


cdef inline void channel_windows(
    Py_ssize_t lines, Py_ssize_t columns, Py_ssize_t width, Py_ssize_t taps,
    const floating* x, Py_ssize_t line_step, Py_ssize_t column_step, const Py_ssize_t* offsets,
    const floating* weight, Py_ssize_t ldw, const floating* start, Py_ssize_t start_step, floating* z,
) noexcept nogil:
    """All windows of an image: z (lines, columns, width). `start` is nothing, a bias row (start_step 0) or z (width)."""
    cdef int lanes = VECTOR_BYTES // <int>sizeof(floating)
    cdef Py_ssize_t y, block, j
    for y in range(lines):
        for block in range(width // lanes):
            j = block * lanes
            channel_line(columns, taps, x + y * line_step + j, column_step, offsets, weight + j, ldw,
                         start + y * columns * start_step + j if start is not NULL else NULL, start_step,
                         z + y * columns * width + j, width)


cdef inline bint many_taps(Py_ssize_t taps, const floating* like) noexcept nogil:
    """Whether so many taps, those of all planes of an output, are summed in parts."""
    return floating is float and taps > DEEP


cdef inline void add_channel_windows(
    Py_ssize_t lines, Py_ssize_t columns, Py_ssize_t width, Py_ssize_t taps,
    const floating* x, Py_ssize_t line_step, Py_ssize_t column_step, const Py_ssize_t* offsets,
    const floating* weight, Py_ssize_t ldw, floating* z, floating* part, floating* lost,
) noexcept nogil:
    """z += channel_windows() in parts of TERMS taps. `part` has room for one, `lost` for what the additions to z lose."""
    cdef Py_ssize_t t = 0, n
    while t < taps:
        n = min(<Py_ssize_t>TERMS, taps - t)
        channel_windows(lines, columns, width, n, x, line_step, column_step, offsets + t, weight + t * ldw, ldw,
                        <const floating*>NULL, 0, part)
        add_compensated(lines * columns * width, part, z, lost)
        t += n


# --- weight gradient ----------------------------------------------------------------------------------------------------------

cdef inline forced tap_tile(
    const int lines, const int taps, Py_ssize_t width, Py_ssize_t pixels,
    const floating* x, Py_ssize_t line, Py_ssize_t column, const Py_ssize_t* offsets, const floating* dz,
    bint accumulate, floating* g, Py_ssize_t g_line, Py_ssize_t g_tap,
) noexcept nogil:
    """g[y, t] = or += the sum over the pixels of x[y * line + t * column + offsets[pixel]] dz[pixel], for a literal number of
    lines and taps and all vectors of channels."""
    cdef floating sums[MOST_CHANNEL_SUMS]
    cdef int lanes = VECTOR_BYTES // <int>sizeof(floating)
    cdef const floating* start
    cdef Py_ssize_t start_line, start_tap, block, j, p
    cdef int y, t, k
    for block in range(width // lanes):
        j = block * lanes
        start, start_line, start_tap = g + j, g_line, g_tap
        if not accumulate:
            start_line = start_tap = 0
            start = zeros(start)
        for y in range(lines):
            for t in range(taps):
                for k in range(lanes):
                    sums[(y * taps + t) * lanes + k] = start[y * start_line + t * start_tap + k]
        p = 0
        while True:   # see window_tile
            for y in range(lines):
                for t in range(taps):
                    for k in range(lanes):
                        sums[(y * taps + t) * lanes + k] += (
                            x[y * line + t * column + offsets[p] + j + k] * dz[p * width + j + k])
            p += 1
            if p == pixels:
                break
        for y in range(lines):
            for t in range(taps):
                for k in range(lanes):
                    g[y * g_line + t * g_tap + j + k] = sums[(y * taps + t) * lanes + k]


cdef inline forced tap_lines(
    const int lines, Py_ssize_t taps, Py_ssize_t width, Py_ssize_t pixels,
    const floating* x, Py_ssize_t line, Py_ssize_t column, const Py_ssize_t* offsets, const floating* dz,
    bint accumulate, floating* g, Py_ssize_t g_line, Py_ssize_t g_tap,
) noexcept nogil:
    """Any number of taps of a literal number of lines."""
    cdef Py_ssize_t t = 0
    while taps - t >= 4:
        tap_tile(lines, 4, width, pixels, x + t * column, line, column, offsets, dz, accumulate, g + t * g_tap, g_line, g_tap)
        t += 4
    if taps - t == 3:
        tap_tile(lines, 3, width, pixels, x + t * column, line, column, offsets, dz, accumulate, g + t * g_tap, g_line, g_tap)
    elif taps - t == 2:
        tap_tile(lines, 2, width, pixels, x + t * column, line, column, offsets, dz, accumulate, g + t * g_tap, g_line, g_tap)
    elif taps - t == 1:
        tap_tile(lines, 1, width, pixels, x + t * column, line, column, offsets, dz, accumulate, g + t * g_tap, g_line, g_tap)


cdef inline void window_taps(
    Py_ssize_t lines, Py_ssize_t taps, Py_ssize_t width, Py_ssize_t pixels,
    const floating* x, Py_ssize_t line, Py_ssize_t column, const Py_ssize_t* offsets, const floating* dz,
    bint accumulate, floating* g, Py_ssize_t g_line, Py_ssize_t g_tap,
) noexcept nogil:
    """A rectangle of a window, three lines at a time: nine or twelve sums hide the time that an addition takes."""
    cdef Py_ssize_t y = 0
    while lines - y >= 3:
        tap_lines(3, taps, width, pixels, x + y * line, line, column, offsets, dz, accumulate, g + y * g_line, g_line, g_tap)
        y += 3
    while lines - y >= 1:
        tap_lines(1, taps, width, pixels, x + y * line, line, column, offsets, dz, accumulate, g + y * g_line, g_line, g_tap)
        y += 1


# --- input gradient -----------------------------------------------------------------------------------------------------------

cdef inline void scatter_windows(
    Py_ssize_t lines, Py_ssize_t columns, Py_ssize_t width, Py_ssize_t kernel_h, Py_ssize_t kernel_w,
    const floating* dz, const floating* weight, Py_ssize_t ldw,
    floating* dx, Py_ssize_t line_step, Py_ssize_t column_step, Py_ssize_t line, Py_ssize_t column, floating* lost,
) noexcept nogil:
    """dx += the gradient of the windows, tap by tap: dx[y * line_step + x * column_step + ky * line + kx * column] +=
    dz[y, x] weight[ky, kx]. For strides greater than 1; otherwise it is a convolution again, which is faster. `lost`, which
    lies like dx, takes what the additions lose, unless it is NULL."""
    cdef Py_ssize_t y, ky, kx, x, j
    cdef const floating* tap
    cdef const floating* from_line
    cdef floating* to_line
    for y in range(lines):
        from_line = dz + y * columns * width
        for ky in range(kernel_h):
            for kx in range(kernel_w):
                tap = weight + (ky * kernel_w + kx) * ldw
                to_line = dx + y * line_step + ky * line + kx * column
                if lost is not NULL:
                    add_products(columns, width, from_line, tap, to_line, lost + (to_line - dx), column_step)
                    continue
                for x in range(columns):
                    for j in range(width):
                        to_line[x * column_step + j] += from_line[x * width + j] * tap[j]


cdef inline void add_products(
    Py_ssize_t columns, Py_ssize_t width, const floating* dz, const floating* tap, floating* dx, floating* lost,
    Py_ssize_t column_step,
) noexcept nogil:
    """The same for one tap and one line of dz, each addition compensated."""
    cdef floating product
    cdef Py_ssize_t x, j
    for x in range(columns):
        for j in range(width):
            product = dz[x * width + j] * tap[j]
            add_compensated(1, &product, dx + x * column_step + j, lost + x * column_step + j)


# --- planes of a grouped convolution ------------------------------------------------------------------------------------------

cdef inline void spread_channels(
    Py_ssize_t in_h, Py_ssize_t in_w, Py_ssize_t in_width, Py_ssize_t units, Py_ssize_t width,
    Py_ssize_t readers, Py_ssize_t read, Py_ssize_t number,
    Py_ssize_t pad_h, Py_ssize_t pad_w, Py_ssize_t image_h, Py_ssize_t image_w,
    const floating* x, floating* image,
) noexcept nogil:
    """Plane `number` of one sample x (in_h, in_w, in_width), within zeros: image (image_h, image_w, width).

    Groups of `readers` output channels read `read` channels each: channel f of the image is f // readers * read + number of x.
    """
    cdef Py_ssize_t y, column, f
    cdef Py_ssize_t left = min(pad_w, image_w)
    cdef Py_ssize_t columns = min(in_w, image_w - left)
    cdef const floating* source
    cdef floating* line
    for y in range(image_h):
        line = image + y * image_w * width
        if y < pad_h or y >= pad_h + in_h:
            for f in range(image_w * width):
                line[f] = 0
            continue
        for f in range(left * width):
            line[f] = 0
        for f in range((left + columns) * width, image_w * width):
            line[f] = 0
        source = x + (y - pad_h) * in_w * in_width
        line += left * width
        if readers == 1 and read == 1 and in_width == width:
            for f in range(columns * width):
                line[f] = source[f]
        else:
            for column in range(columns):
                for f in range(units):
                    line[column * width + f] = source[column * in_width + f // readers * read + number]
                for f in range(units, width):
                    line[column * width + f] = 0


cdef inline void collect_channels(
    Py_ssize_t in_h, Py_ssize_t in_w, Py_ssize_t d_width, Py_ssize_t groups,
    Py_ssize_t readers, Py_ssize_t read, Py_ssize_t number,
    Py_ssize_t pad_h, Py_ssize_t pad_w, Py_ssize_t image_h, Py_ssize_t image_w, Py_ssize_t width,
    const floating* image, floating* dx,
) noexcept nogil:
    """And back: from the gradient of plane `number` to that of the channels which it holds, in dx (in_h, in_w, d_width)."""
    cdef Py_ssize_t y, x, group, f
    cdef const floating* pixel
    cdef floating total
    for y in range(in_h):
        for x in range(in_w):
            pixel = image + ((y + pad_h) * image_w + x + pad_w) * width
            for group in range(groups):
                total = 0
                if y + pad_h < image_h and x + pad_w < image_w:
                    for f in range(readers):
                        total += pixel[group * readers + f]
                dx[(y * in_w + x) * d_width + group * read + number] = total
            if number == 0:
                for f in range(groups * read, d_width):
                    dx[(y * in_w + x) * d_width + f] = 0
