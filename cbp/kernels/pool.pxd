# Pooling: the largest number or the mean of every channel in a window that walks over a picture (in_h, in_w, channels) or,
# with a height of 1, over a sequence. Window (i, j) covers the rows from i * stride_h - pad_h on, and is cut at the border:
# pads are no numbers, so they are never the largest and the mean does not count them.
#
# The gradient of a mean goes to all numbers of the window in equal parts, that of a maximum to the first of the largest, row by
# row, as in PyTorch. Which one that was is kept, as a number counted within the window: comparing again in the backward pass
# would read four times as much, and took 1.8 times as long there for windows of 2 x 2. A NaN counts as larger than everything,
# so that it is not lost.
#
# Every window is some tens of vector instructions, so what surrounds them must be little. Blocks of channels have literal sizes
# (a vector; a single number where channels have no pads, which the samples have not), and so has the window of 2 x 2, the usual
# one. Numbers pass through local arrays, because gcc then knows that no store changes what is still to be read.

from cython cimport floating
from libc.math cimport NAN
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from cbp.kernels.inlining cimport forced
from cbp.kernels.structs cimport Op
from cbp.kernels.sums cimport TERMS, add_compensated
from cbp.kernels.tile cimport VECTOR_BYTES

cdef extern from "<math.h>" nogil:
    int isunordered(double, double)   # a macro, for both types: whether one of them is NaN


cdef enum:
    MOST_LANES = 16
    MOST_COUNTED = 1 << 24   # numbers of a window that a float32 counts


cdef inline forced mean_of_window(
    const int lanes, Py_ssize_t height, Py_ssize_t width, const floating* x, Py_ssize_t row, Py_ssize_t ldx, floating* y,
) noexcept nogil:
    """`lanes` channels of one window, from its first number on; rows of the picture are `row` numbers long, positions ldx."""
    cdef floating sums[MOST_LANES]
    cdef floating part = 1 / <floating>(height * width)
    cdef Py_ssize_t _k, w = 0
    cdef int j
    if height * width < 1:   # never; or gcc keeps the sums in memory, for a way around the loop
        return
    if height * width > TERMS:
        mean_in_parts(lanes, height, width, x, row, ldx, y)
        return
    for j in range(lanes):
        sums[j] = 0
    for _k in range(height * width):
        for j in range(lanes):
            sums[j] += x[j]
        w += 1
        x += ldx
        if w == width:
            w = 0
            x += row - width * ldx
    for j in range(lanes):
        y[j] = sums[j] * part


cdef inline forced mean_in_parts(
    const int lanes, Py_ssize_t height, Py_ssize_t width, const floating* x, Py_ssize_t row, Py_ssize_t ldx, floating* y,
) noexcept nogil:
    """mean_of_window for many numbers: TERMS of a line at a time (kernels/sums.pxd)."""
    cdef floating part[MOST_LANES]
    cdef double total[MOST_LANES]
    cdef Py_ssize_t w, first, i
    cdef int j
    for j in range(lanes):
        total[j] = 0
    for w in range(height):
        first = 0
        while first < width:
            for j in range(lanes):
                part[j] = 0
            for i in range(first, min(first + TERMS, width)):
                for j in range(lanes):
                    part[j] += x[w * row + i * ldx + j]
            for j in range(lanes):
                total[j] += part[j]
            first += TERMS
    for j in range(lanes):
        y[j] = <floating>(total[j] / (<double>height * width))


cdef inline forced largest_of_window(
    const int lanes, Py_ssize_t height, Py_ssize_t width, const floating* x, Py_ssize_t row, Py_ssize_t ldx, floating* y,
    floating* where,
) noexcept nogil:
    """The largest number of `lanes` channels and then, in a second walk, how many come before it: gcc makes branches of a
    single walk that keeps both."""
    cdef floating found[MOST_LANES]
    cdef floating spoiled[MOST_LANES]    # NaN, if there is one
    cdef floating before[MOST_LANES]
    cdef floating one[MOST_LANES]        # 1 until the largest is found, then 0
    cdef const floating* start = x
    cdef Py_ssize_t _k, w = 0
    cdef int j
    if height * width < 1:
        return
    if height * width > MOST_COUNTED:
        largest_of_many(lanes, height, width, x, row, ldx, y, where)
        return
    for j in range(lanes):
        found[j] = x[j]
        spoiled[j] = x[j]
        before[j] = 0
        one[j] = 1
    for _k in range(height * width):
        for j in range(lanes):
            found[j] = x[j] if x[j] > found[j] else found[j]
            spoiled[j] = x[j] if x[j] != x[j] else spoiled[j]
        w += 1
        x += ldx
        if w == width:
            w = 0
            x += row - width * ldx
    for j in range(lanes):
        found[j] = spoiled[j] if spoiled[j] != spoiled[j] else found[j]
    x = start
    for _k in range(height * width):
        for j in range(lanes):
            one[j] *= <floating>1 if x[j] < found[j] else <floating>0
            before[j] += one[j]
        w += 1
        x += ldx
        if w == width:
            w = 0
            x += row - width * ldx
    for j in range(lanes):
        y[j] = found[j]
    for j in range(lanes):
        where[j] = before[j]


cdef inline void largest_of_many(
    int lanes, Py_ssize_t height, Py_ssize_t width, const floating* x, Py_ssize_t row, Py_ssize_t ldx, floating* y,
    floating* where,
) noexcept nogil:
    """largest_of_window where a float32 cannot count all numbers: the place is kept as a whole number of 32 bits."""
    cdef uint32_t place
    cdef Py_ssize_t h, w
    cdef floating value
    cdef int j
    for j in range(lanes):
        y[j] = x[j]
        place = 0
        for h in range(height):
            for w in range(width):
                value = x[h * row + w * ldx + j]
                if value > y[j] or (value != value and y[j] == y[j]):
                    y[j] = value
                    place = <uint32_t>(h * width + w)
        memcpy(where + j, &place, sizeof(place))


cdef inline void one_of_many(
    int lanes, Py_ssize_t width, const floating* where, const floating* dy, floating* dx, Py_ssize_t row, Py_ssize_t ldx,
) noexcept nogil:
    """The gradient of such a window."""
    cdef uint32_t place
    cdef int j
    for j in range(lanes):
        memcpy(&place, where + j, sizeof(place))
        dx[place // width * row + place % width * ldx + j] += dy[j]


cdef inline forced largest_of_four(
    const int lanes, const floating* x, Py_ssize_t row, Py_ssize_t ldx, floating* y, floating* where,
) noexcept nogil:
    """largest_of_window for 2 x 2, where all numbers fit into registers."""
    cdef floating found[MOST_LANES]
    cdef floating place[MOST_LANES]
    cdef floating a, b, c, d, ab, cd, most
    cdef int j
    for j in range(lanes):
        a, b, c, d = x[j], x[ldx + j], x[row + j], x[row + ldx + j]
        ab = a if a > b else b
        cd = c if c > d else d
        most = ab if ab > cd else cd
        most = <floating>NAN if isunordered(a, b) | isunordered(c, d) else most
        found[j] = most
        cd = <floating>3 if c < most else <floating>2
        cd = cd if b < most else <floating>1
        place[j] = cd if a < most else <floating>0
    for j in range(lanes):
        y[j] = found[j]
    for j in range(lanes):
        where[j] = place[j]


cdef inline forced window_backward(
    const bint largest, const bint alone, const int lanes, Py_ssize_t height, Py_ssize_t width,
    const floating* where, const floating* dy, floating* dx, Py_ssize_t row, Py_ssize_t ldx,
) noexcept nogil:
    """The gradient of that window's numbers is added to dx; stored, if the window is `alone` there."""
    cdef floating given[MOST_LANES]
    cdef floating place[MOST_LANES]
    cdef floating part = 1 / <floating>(height * width)
    cdef Py_ssize_t k, w = 0
    cdef int j
    if height * width < 1:
        return
    if largest and height * width > MOST_COUNTED:   # of neither kind that stores
        one_of_many(lanes, width, where, dy, dx, row, ldx)
        return
    for j in range(lanes):
        given[j] = dy[j] if largest else dy[j] * part
    if largest:
        for j in range(lanes):
            place[j] = where[j]
    for k in range(height * width):
        for j in range(lanes):
            if alone:
                dx[j] = given[j] if not largest or place[j] == <floating>k else <floating>0
            else:
                dx[j] += given[j] if not largest or place[j] == <floating>k else <floating>0
        w += 1
        dx += ldx
        if w == width:
            w = 0
            dx += row - width * ldx


cdef inline void window_backward_exactly(
    bint largest, int lanes, Py_ssize_t height, Py_ssize_t width, const floating* where, const floating* dy, floating* dx,
    floating* lost, Py_ssize_t row, Py_ssize_t ldx,
) noexcept nogil:
    """window_backward where very many windows have a number in common; `lost` lies like dx."""
    cdef floating given[MOST_LANES]
    cdef floating part = 1 / <floating>(height * width)
    cdef Py_ssize_t y, x
    cdef int j
    for y in range(height):
        for x in range(width):
            for j in range(lanes):
                if largest:
                    given[j] = dy[j] if where[j] == <floating>(y * width + x) else <floating>0
                else:
                    given[j] = dy[j] * part
            add_compensated(lanes, given, dx + y * row + x * ldx, lost + y * row + x * ldx)


cdef inline bint many_windows(const Op* op, const floating* like) noexcept nogil:
    """Whether the gradient of a number may be the sum of more than TERMS windows'."""
    cdef Py_ssize_t down = min((op.kernel_h - 1) // op.stride_h + 1, op.out_h)
    cdef Py_ssize_t across = min((op.kernel_w - 1) // op.stride_w + 1, op.out_w)
    return floating is float and down * across > TERMS and op.kernel_h * op.kernel_w <= MOST_COUNTED


cdef inline bint is_two_by_two(const Op* op) noexcept nogil:
    """Whether all windows are 2 x 2, beside one another and not cut."""
    return (op.kernel_h == 2 and op.kernel_w == 2 and op.stride_h == 2 and op.stride_w == 2 and op.pad_h == 0 and op.pad_w == 0
            and 2 * op.out_h <= op.in_h and 2 * op.out_w <= op.in_w)


cdef inline forced forward_lanes(
    const bint largest, const int lanes, const bint two_by_two, const Op* op, Py_ssize_t first, Py_ssize_t end,
    const floating* x, Py_ssize_t ldx, floating* y, floating* where,
) noexcept nogil:
    """Blocks of channels from `first` on, as many as are whole before `end`, of one sample."""
    cdef Py_ssize_t i, j, c, top, left, height, width
    cdef const floating* corner
    for i in range(op.out_h):
        top = max(i * op.stride_h - op.pad_h, 0)
        height = min(i * op.stride_h - op.pad_h + op.kernel_h, op.in_h) - top
        for j in range(op.out_w):
            left = max(j * op.stride_w - op.pad_w, 0)
            width = min(j * op.stride_w - op.pad_w + op.kernel_w, op.in_w) - left
            corner = x + (top * op.in_w + left) * ldx
            c = first
            while c + lanes <= end:
                if largest and two_by_two:
                    largest_of_four(lanes, corner + c, op.in_w * ldx, ldx, y + c, where + c)
                elif largest:
                    largest_of_window(lanes, height, width, corner + c, op.in_w * ldx, ldx, y + c, where + c)
                elif two_by_two:
                    mean_of_window(lanes, 2, 2, corner + c, op.in_w * ldx, ldx, y + c)
                else:
                    mean_of_window(lanes, height, width, corner + c, op.in_w * ldx, ldx, y + c)
                c += lanes
            y += op.width
            where += op.width


cdef inline forced backward_lanes(
    const bint largest, const bint two_by_two, const Op* op, const floating* where, const floating* dy, floating* dx,
    floating* lost,
) noexcept nogil:
    """The gradient of one sample; windows of 2 x 2 store it, others add to it, with what the additions lose in `lost` where
    that is not NULL."""
    cdef int lanes = VECTOR_BYTES // <int>sizeof(floating)
    cdef Py_ssize_t i, j, c, top, left, height, width, corner
    for i in range(op.out_h):
        top = max(i * op.stride_h - op.pad_h, 0)
        height = min(i * op.stride_h - op.pad_h + op.kernel_h, op.in_h) - top
        for j in range(op.out_w):
            left = max(j * op.stride_w - op.pad_w, 0)
            width = min(j * op.stride_w - op.pad_w + op.kernel_w, op.in_w) - left
            corner = (top * op.in_w + left) * op.width
            c = 0
            while c < op.width:
                if two_by_two:
                    window_backward(largest, True, lanes, 2, 2, where + c, dy + c, dx + corner + c, op.in_w * op.width,
                                    op.width)
                elif lost is NULL:
                    window_backward(largest, False, lanes, height, width, where + c, dy + c, dx + corner + c,
                                    op.in_w * op.width, op.width)
                else:
                    window_backward_exactly(largest, lanes, height, width, where + c, dy + c, dx + corner + c,
                                            lost + corner + c, op.in_w * op.width, op.width)
                c += lanes
            where += op.width
            dy += op.width


cdef inline forced pool_forward(
    const bint largest, const Op* op, Py_ssize_t rows, const floating* x, Py_ssize_t ldx, floating* y, floating* where,
) noexcept nogil:
    """y (rows, out_h, out_w, width) from x (rows, in_h, in_w, ldx). `where` has the shape of y; a mean does not need it."""
    cdef int lanes = VECTOR_BYTES // <int>sizeof(floating)
    cdef Py_ssize_t end = op.width if ldx == op.width else op.units
    cdef Py_ssize_t whole = end // lanes * lanes
    cdef Py_ssize_t size = op.out_h * op.out_w * op.width
    cdef Py_ssize_t _row
    for _row in range(rows):
        if end < op.width:
            clear(size, y)
            if largest:
                clear(size, where)
        if is_two_by_two(op):
            forward_lanes(largest, lanes, True, op, 0, whole, x, ldx, y, where)
        else:
            forward_lanes(largest, lanes, False, op, 0, whole, x, ldx, y, where)
        if whole < end:
            forward_lanes(largest, 1, False, op, whole, end, x, ldx, y, where)
        x += op.in_h * op.in_w * ldx
        y += size
        if largest:
            where += size


cdef inline forced pool_backward(
    const bint largest, const Op* op, Py_ssize_t rows, const floating* where, const floating* dy, floating* dx,
    floating* scratch,
) noexcept nogil:
    """dx (rows, in_h, in_w, width) from dy (rows, out_h, out_w, width), whose pads are 0. `scratch` has room for the dx of a
    row where there are many_windows()."""
    cdef Py_ssize_t size = op.out_h * op.out_w * op.width
    cdef floating* lost = scratch if many_windows(op, dx) else NULL
    cdef Py_ssize_t _row
    for _row in range(rows):
        if is_two_by_two(op):
            backward_lanes(largest, True, op, where, dy, dx, <floating*>NULL)
            clear_rest(op, dx)
        else:
            clear(op.in_h * op.in_w * op.width, dx)
            if lost is not NULL:
                clear(op.in_h * op.in_w * op.width, lost)
            backward_lanes(largest, False, op, where, dy, dx, lost)
        dx += op.in_h * op.in_w * op.width
        dy += size
        if largest:
            where += size


cdef inline void clear(Py_ssize_t n, floating* dx) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        dx[i] = 0


cdef inline void clear_rest(const Op* op, floating* dx) noexcept nogil:
    """What lies right of and below all windows of 2 x 2."""
    cdef Py_ssize_t row = op.in_w * op.width
    cdef Py_ssize_t used = 2 * op.out_w * op.width
    cdef Py_ssize_t i
    if used < row:
        for i in range(2 * op.out_h):
            clear(row - used, dx + i * row + used)
    clear((op.in_h - 2 * op.out_h) * row, dx + 2 * op.out_h * row)
