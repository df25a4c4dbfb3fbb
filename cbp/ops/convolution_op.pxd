# Convolutions of all channels as an op. The products are in kernels/conv.pxd; here is where the slots are found
# and what is copied, transposed and tabled first. Convolutions in groups of channels: grouped_op.pxd.
#
# A window stands at every position of the output; weight (kernel_h, kernel_w, channels, width), image and output lie with their
# channels last. The scratch of a thread holds, in this order, the tables and then the numbers of one direction; its size is
# counted in convolution_needs().

from cython cimport floating
from libc.string cimport memset

from cbp.kernels cimport conv, tile
from cbp.kernels.dense cimport transpose
from cbp.kernels.inlining cimport apart
from cbp.kernels.structs cimport Op
from cbp.kernels.sums cimport DEEP, TERMS, add_part
from cbp.ops.parts cimport end_part, in_parts, next_part
from cbp.ops.passes cimport SUMS_OUTPUTS, Kind, Needs, Pass, d_input_of, input_of, padded, slot_of


cdef inline void window_pairs(
    Py_ssize_t groups, Py_ssize_t rows, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """A strip two vectors wide. It and the next are functions of their own, because gcc keeps the pointers of a tile's loop in
    registers only where a function has fewer than a hundred loops: 10 % of the narrow tiles' speed."""
    conv.window_strip(2, groups, rows, depth, a, group_stride, row_stride, offsets, b, ldb,
                      start, start_group, start_row, c, c_group, c_row)


cdef inline void window_vectors(
    Py_ssize_t groups, Py_ssize_t rows, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """A strip one vector wide."""
    conv.window_strip(1, groups, rows, depth, a, group_stride, row_stride, offsets, b, ldb,
                      start, start_group, start_row, c, c_group, c_row)


cdef inline void window_multiply(
    Py_ssize_t groups, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """The product of kernels/conv.pxd for `columns` that fill whole vectors; `start` is nothing, a row (strides 0) or c."""
    cdef int lanes = tile.VECTOR_BYTES // <int>sizeof(floating)
    cdef Py_ssize_t j = 0
    if floating is float:
        if depth > DEEP:
            deep_windows(groups, rows, columns, depth, a, group_stride, row_stride, offsets, b, ldb,
                         start, start_group, start_row, c, c_group, c_row)
            return
    while columns - j >= 2 * lanes:
        window_pairs(groups, rows, depth, a, group_stride, row_stride, offsets, b + j, ldb,
                     start + j if start is not NULL else NULL, start_group, start_row, c + j, c_group, c_row)
        j += 2 * lanes
    if columns - j >= lanes:
        window_vectors(groups, rows, depth, a, group_stride, row_stride, offsets, b + j, ldb,
                       start + j if start is not NULL else NULL, start_group, start_row, c + j, c_group, c_row)


cdef enum:
    SUMMED = 1536   # numbers of c that are summed in parts at once


cdef inline apart deep_windows(
    Py_ssize_t groups, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """window_multiply() for a depth above DEEP: some columns of some rows of some groups at a time."""
    cdef Py_ssize_t wide = min(columns, <Py_ssize_t>32)
    cdef Py_ssize_t high = min(rows, SUMMED // wide)
    cdef Py_ssize_t some = min(groups, max(1, SUMMED // (wide * high)))
    cdef Py_ssize_t g, r, j
    for j in range(0, columns, 32):
        g = 0
        while g < groups:
            r = 0
            while r < rows:
                deep_panel(min(some, groups - g), min(high, rows - r), min(wide, columns - j), depth,
                           a + g * group_stride + r * row_stride, group_stride, row_stride, offsets, b + j, ldb,
                           start + g * start_group + r * start_row + j if start is not NULL else NULL, start_group, start_row,
                           c + g * c_group + r * c_row + j, c_group, c_row)
                r += high
            g += some


cdef inline void deep_panel(
    Py_ssize_t groups, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """As multiply_panel() of kernels/tile.pxd."""
    cdef floating part[SUMMED]
    cdef floating middle[SUMMED]
    cdef floating total[SUMMED]
    cdef floating rest[SUMMED]
    cdef Py_ssize_t size = groups * rows * columns, k = 0, g, i, j, n
    for g in range(groups):
        for i in range(rows):
            for j in range(columns):
                total[(g * rows + i) * columns + j] = (
                    start[g * start_group + i * start_row + j] if start is not NULL else <floating>0)
    memset(rest, 0, size * sizeof(floating))
    memset(middle, 0, size * sizeof(floating))
    while k < depth:
        n = min(<Py_ssize_t>TERMS, depth - k)
        window_multiply(groups, rows, columns, n, a, group_stride, row_stride, offsets + k, b + k * ldb, ldb,
                        <const floating*>NULL, 0, 0, part, rows * columns, columns)
        k += n
        add_part(size, k, k == depth, part, middle, total, rest)
    for g in range(groups):
        for i in range(rows):
            for j in range(columns):
                c[g * c_group + i * c_row + j] = (
                    total[(g * rows + i) * columns + j] + rest[(g * rows + i) * columns + j])


cdef struct Image:
    # What the windows of one sample stand on: the sample itself, or a copy with a border of zeros and without pads.
    bint copied
    Py_ssize_t height
    Py_ssize_t width
    Py_ssize_t pixel     # numbers from a pixel to the next
    Py_ssize_t line      # and from a line to the next


cdef inline Image image_of(const Op* op) noexcept nogil:
    cdef Image image
    image.height = (op.out_h - 1) * op.stride_h + (op.kernel_h - 1) * op.dilation_h + 1
    image.width = (op.out_w - 1) * op.stride_w + (op.kernel_w - 1) * op.dilation_w + 1
    image.copied = op.pad_h > 0 or op.pad_w > 0 or image.height > op.in_h or image.width > op.in_w
    image.pixel = op.inputs
    if not image.copied:
        image.width = op.in_w
        image.pixel = op.in_width
    image.line = image.width * image.pixel
    return image


cdef inline Py_ssize_t sample_step(const Op* op, const Image* image) noexcept nogil:
    """Numbers from the image of a sample to the next."""
    return image.height * image.line if image.copied else op.in_positions * op.in_width


cdef inline const floating* laid_out(
    const Op* op, const Image* image, Py_ssize_t samples, const floating* x, floating* copies,
) noexcept nogil:
    """The images of some samples from x on, in `copies` if they have to be copied."""
    cdef Py_ssize_t r
    if not image.copied:
        return x
    for r in range(samples):
        conv.copy_image(op.in_h, op.in_w, op.inputs, op.in_width, op.pad_h, op.pad_w, image.height, image.width,
                        x + r * op.in_positions * op.in_width, copies + r * image.height * image.line)
    return copies


cdef inline Py_ssize_t table(Py_ssize_t entries, const floating* like) noexcept nogil:
    """The numbers that a table takes in scratch, a multiple of 16."""
    return (entries * <Py_ssize_t>(sizeof(Py_ssize_t) // sizeof(floating)) + 15) // 16 * 16


# --- all channels: groups = 1 -------------------------------------------------------------------------------------------------

cdef inline void convolution_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef Image image = image_of(op)
    cdef Py_ssize_t taps = op.kernel_h * op.kernel_w * op.inputs
    cdef Py_ssize_t columns = conv.lanes_for(op.units, arena)
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef floating* copy = scratch + table(taps, arena)
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* z = slot_of(batch, op.sums, op.positions * op.width, first, arena)
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef const floating* bias = <const floating*>batch.parameters + op.bias if op.bias >= 0 else NULL
    cdef Py_ssize_t _r, p, j
    if in_pairs(op, arena):
        pairs_forward(batch, op, first, rows, arena, scratch)
        return
    conv.grid_offsets(op.kernel_h, op.kernel_w, op.inputs, op.dilation_h * image.line, op.dilation_w * image.pixel, offsets)
    for _r in range(rows):
        window_multiply(
            op.out_h, op.out_w, columns, taps, laid_out(op, &image, 1, x, copy), op.stride_h * image.line,
            op.stride_w * image.pixel, offsets, weight, op.width, bias, 0, 0, z, op.out_w * op.width, op.width)
        for p in range(op.positions if columns < op.width else 0):
            for j in range(columns, op.width):
                z[p * op.width + j] = 0
        x += op.in_positions * op.in_width
        z += op.positions * op.width


cdef inline void convolution_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """The windows of the samples against their dz, one window after the other into g, about PIXELS of them in a product."""
    cdef Image image = image_of(op)
    cdef Py_ssize_t wide = min(op.out_w, <Py_ssize_t>conv.PIXELS)
    cdef Py_ssize_t high = max(1, min(op.out_h, conv.PIXELS // op.out_w))
    cdef Py_ssize_t across = (op.out_w + wide - 1) // wide, blocks = across * ((op.out_h + high - 1) // high)
    cdef Py_ssize_t some = max(1, min(<Py_ssize_t>conv.SAMPLES, conv.PIXELS // op.positions))
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef floating* copies = scratch + table(conv.PIXELS, arena)
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* dz = slot_of(batch, op.d_output, op.positions * op.width, 0, arena)
    cdef const floating* laid
    cdef Py_ssize_t r = 0, block, first, oy, ox, pixels, p, part
    if in_pairs(op, arena):
        pairs_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)
        return
    conv.grid_offsets(high, wide, 1, op.stride_h * image.line, op.stride_w * image.pixel, offsets)
    conv.repeat_offsets(high * wide, some, sample_step(op, &image), offsets)
    while r < batch.rows:
        some = min(some, batch.rows - r)
        laid = laid_out(op, &image, some, x, copies)
        for block in range(blocks):   # one, if there are several samples
            oy, ox = block // across * high, block % across * wide
            pixels = some * min(high, op.out_h - oy) * min(wide, op.out_w - ox)
            first = r * op.positions + oy * op.out_w + ox
            p = 0
            while p < pixels:
                part = next_part(batch, op, first + p, pixels - p)
                weight_of_block(op, &image, op.kernel_w, row, n, part,
                                laid + oy * op.stride_h * image.line + ox * op.stride_w * image.pixel, offsets + p,
                                dz + (first + p) * op.width, op.width, accumulate, g)
                end_part(batch, op, first + p, part, n, op.width, op.width, g)
                accumulate = True
                p += part
        x += some * op.in_positions * op.in_width
        r += some


cdef inline void weight_of_block(
    const Op* op, const Image* image, Py_ssize_t kernel_w, Py_ssize_t row, Py_ssize_t n, Py_ssize_t pixels,
    const floating* x, const Py_ssize_t* offsets, const floating* dz, Py_ssize_t width, bint accumulate, floating* g,
) noexcept nogil:
    """The part of some pixels in the rows row .. row + n of the weight gradient of windows kernel_w taps wide: g (n, width).

    The rows come in runs of neighbours in the image: a line of the window, or one tap if there are gaps between the taps.
    """
    cdef bint gaps = op.dilation_w > 1 or image.pixel != op.inputs
    cdef Py_ssize_t tap = op.dilation_w * image.pixel, line = op.dilation_h * image.line
    cdef Py_ssize_t run = op.inputs if gaps else kernel_w * op.inputs
    cdef Py_ssize_t in_line = kernel_w if gaps else 1          # runs in a line of the window
    cdef Py_ssize_t even = kernel_w if gaps else op.kernel_h   # so many runs are equally far from each other
    cdef Py_ssize_t columns = min(width, conv.lanes_for(op.units, dz))
    cdef Py_ssize_t end = row + n
    cdef Py_ssize_t at, runs, rows, i, j
    cdef floating* out = g
    while row < end:
        at = row // run
        if row % run == 0 and end - row >= run:
            rows = run
            runs = min((end - row) // run, even - at % even)
        else:
            rows = min(run - row % run, end - row)
            runs = 1
        window_multiply(runs, rows, columns, pixels, x + at // in_line * line + at % in_line * tap + row % run,
                        tap if gaps else line, 1, offsets, dz, width, out if accumulate else NULL, rows * width, width,
                        out, rows * width, width)
        row += runs * rows
        out += runs * rows * width
    for i in range(n if columns < width and not accumulate else 0):
        for j in range(columns, width):
            g[i * width + j] = 0


cdef inline void positions_backward_bias(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* _scratch, floating* g,
) noexcept nogil:
    """The sum of dz over samples and positions, a sample at a time."""
    cdef const floating* dz = slot_of(batch, op.d_output, op.positions * op.width, 0, arena)
    cdef Py_ssize_t p = 0, some
    while p < batch.rows * op.positions:
        some = next_part(batch, op, p, op.positions - p % op.positions)
        conv.add_positions(some, op.width, dz + p * op.width, accumulate or p > 0, g)
        end_part(batch, op, p, some, 1, op.width, op.width, g)
        p += some


cdef inline void convolution_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """dx, line by line: a line of the image lies under line ky of the windows at line oy of the output if
    y + pad_h = oy stride_h + ky dilation_h. One product over all such oy and all filters gives a number for every column of dz,
    tap of the window's line and channel; gather_taps adds those that fall on the same column of the image.

    Nothing is multiplied in vain: the products are as many as those forward, for any stride.
    """
    cdef Py_ssize_t taps = op.kernel_w * op.inputs
    cdef Py_ssize_t ld = padded(taps)
    cdef Py_ssize_t some = min(rows, samples_at_once(op))
    cdef Py_ssize_t d_size = op.in_h * op.in_w * padded(op.inputs)
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef Py_ssize_t* places = offsets + op.kernel_h * op.units
    cdef floating* turned = scratch + table(op.kernel_h * op.units + op.in_w * (op.kernel_w + 1), arena)
    cdef floating* products = turned + op.kernel_h * op.units * ld
    cdef const floating* dz = slot_of(batch, op.d_output, op.positions * op.width, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef Py_ssize_t r = 0, y
    if dx is NULL:
        return
    turn_weights(op, <const floating*>batch.parameters + op.weight, turned, ld)
    conv.grid_offsets(op.kernel_h, 1, op.units, op.dilation_h // shared_factor(op) * op.out_w * op.width, 0, offsets)
    conv.column_places(op.in_w, op.out_w, op.kernel_w, op.stride_w, op.pad_w, op.dilation_w, op.inputs, ld, places)
    while r < rows:
        some = min(some, rows - r)
        for y in range(op.in_h):
            line_backward(op, y, some, offsets, places, turned, ld, products, dz + r * op.positions * op.width, dx + r * d_size,
                          d_size)
        r += some


cdef inline Py_ssize_t samples_at_once(const Op* op) noexcept nogil:
    """So many samples share a product that a narrow dz fills the tiles."""
    return max(1, conv.FEW_PIXELS // op.out_w)


cdef inline Py_ssize_t shared_factor(const Op* op) noexcept nogil:
    """The greatest common divisor of the vertical stride and dilation."""
    cdef Py_ssize_t a = op.stride_h, b = op.dilation_h
    while b:
        a, b = b, a % b
    return a


cdef inline Py_ssize_t place_of_line(const Op* op, Py_ssize_t ky) noexcept nogil:
    """Where line ky of the window lies among the turned weights.

    Those that meet one line of the image are ky, ky - q, ky - 2 q, ... with q = stride_h / gcd(stride_h, dilation_h), for
    windows ever lower: in this order they lie behind each other.
    """
    cdef Py_ssize_t q = op.stride_h // shared_factor(op)
    cdef Py_ssize_t other, place = 0
    for other in range(op.kernel_h):
        if other % q < ky % q or (other % q == ky % q and other > ky):
            place += 1
    return place


cdef inline void turn_weights(const Op* op, const floating* weight, floating* turned, Py_ssize_t ld) noexcept nogil:
    """turned (place of ky, filter, tap and channel padded to ld)."""
    cdef Py_ssize_t taps = op.kernel_w * op.inputs
    cdef Py_ssize_t ky
    for ky in range(op.kernel_h):
        transpose(taps, op.units, weight + ky * taps * op.width, op.width,
                  turned + place_of_line(op, ky) * op.units * ld, ld)


cdef inline void line_backward(
    const Op* op, Py_ssize_t y, Py_ssize_t samples, const Py_ssize_t* offsets, const Py_ssize_t* places,
    const floating* turned, Py_ssize_t ld, floating* products, const floating* dz, floating* dx, Py_ssize_t d_size,
) noexcept nogil:
    """Line y of dx, of some samples."""
    cdef Py_ssize_t d_width = padded(op.inputs)
    cdef Py_ssize_t columns = conv.lanes_for(op.kernel_w * op.inputs, dz)
    cdef Py_ssize_t lines = 0, top = 0, highest = 0
    cdef Py_ssize_t ky, ahead, r, j
    for ky in range(op.kernel_h - 1, -1, -1):
        ahead = y + op.pad_h - ky * op.dilation_h
        if ahead >= 0 and ahead % op.stride_h == 0 and ahead // op.stride_h < op.out_h:
            if lines == 0:
                top = ahead // op.stride_h
                highest = ky
            lines += 1
    dx += y * op.in_w * d_width
    if lines:
        window_multiply(
            samples, op.out_w, columns, lines * op.units, dz + top * op.out_w * op.width, op.positions * op.width, op.width,
            offsets, turned + place_of_line(op, highest) * op.units * ld, ld, <const floating*>NULL, 0, 0,
            products, op.out_w * ld, ld)
    for r in range(samples):
        if lines:
            conv.gather_taps(op.in_w, op.inputs, d_width, places, op.kernel_w, products + r * op.out_w * ld, dx + r * d_size)
        else:
            for j in range(op.in_w * d_width):
                dx[r * d_size + j] = 0


# --- few filters: two windows in a vector -------------------------------------------------------------------------------------
#
# Where the filters fill at most half of a vector, it takes two neighbouring windows: tap kx of the left one and tap kx - 1 of
# the right one read the same number. A pair of windows of kernel_w taps is a window of kernel_w + 1 taps, whose weights hold
# W[kx] in the lower and W[kx - 1] in the upper half: (kernel_w + 1) / (2 kernel_w) of the multiplications. LeNet's first layer
# has six filters of 5 x 5.

cdef inline bint in_pairs(const Op* op, const floating* like) noexcept nogil:
    return (op.units <= tile.VECTOR_BYTES // <int>sizeof(floating) // 2 and op.kernel_w > 1 and op.stride_w == 1
            and op.dilation_w == 1 and op.out_w % 2 == 0 and op.positions >= 64)


cdef inline void pairs_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef int lanes = tile.VECTOR_BYTES // <int>sizeof(floating)
    cdef Image image = image_of(op)
    cdef Py_ssize_t line = (op.kernel_w + 1) * op.inputs   # taps of a pair's line
    cdef Py_ssize_t taps = op.kernel_h * line
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef floating* bias = scratch + table(taps, arena)
    cdef floating* doubled = bias + 16
    cdef floating* copy = doubled + taps * lanes
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* z = slot_of(batch, op.sums, op.positions * op.width, first, arena)
    cdef Py_ssize_t _r
    conv.double_row(op.units, lanes, <const floating*>batch.parameters + op.bias if op.bias >= 0 else NULL, bias)
    conv.double_weights(op.kernel_h, op.kernel_w * op.inputs, op.inputs, op.units, op.width, lanes,
                        <const floating*>batch.parameters + op.weight, doubled)
    conv.grid_offsets(op.kernel_h, op.kernel_w + 1, op.inputs, op.dilation_h * image.line, image.pixel, offsets)
    for _r in range(rows):
        window_multiply(
            op.out_h, op.out_w // 2, lanes, taps, laid_out(op, &image, 1, x, copy), op.stride_h * image.line, 2 * image.pixel,
            offsets, doubled, lanes, bias, 0, 0, z, op.out_w * op.width, 2 * op.width)
        conv.part_pairs(op.positions // 2, lanes // 2, op.width, z)
        x += op.in_positions * op.in_width
        z += op.positions * op.width


cdef inline void pairs_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """The gradient of the doubled weights, of a sample or of a part of one, then folded into g: W[kx] gets what the lower half
    of tap kx and the upper half of tap kx + 1 have."""
    cdef bint parts = in_parts(batch, op), begun
    cdef int lanes = tile.VECTOR_BYTES // <int>sizeof(floating)
    cdef Image image = image_of(op)
    cdef Py_ssize_t most = conv.PIXELS // 2
    cdef Py_ssize_t wide = min(op.out_w // 2, most)
    cdef Py_ssize_t high = max(1, min(op.out_h, most // wide))
    cdef Py_ssize_t across = (op.out_w // 2 + wide - 1) // wide, blocks = across * ((op.out_h + high - 1) // high)
    cdef Py_ssize_t line = op.kernel_w * op.inputs
    cdef Py_ssize_t start = row + row // line * op.inputs   # the same row among those of the pairs
    cdef Py_ssize_t count = row + n - 1 + (row + n - 1) // line * op.inputs + op.inputs + 1 - start
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef floating* doubled = scratch + table(most, arena)
    cdef floating* pairs = doubled + op.kernel_h * (line + op.inputs) * lanes
    cdef floating* copy = pairs + most * lanes
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* dz = slot_of(batch, op.d_output, op.positions * op.width, 0, arena)
    cdef const floating* laid
    cdef Py_ssize_t r, block, first, oy, ox, both, p, part
    conv.grid_offsets(high, wide, 1, op.stride_h * image.line, 2 * image.pixel, offsets)
    for r in range(batch.rows):
        laid = laid_out(op, &image, 1, x, copy)
        begun = False
        for block in range(blocks):
            oy, ox = block // across * high, block % across * wide
            both = min(high, op.out_h - oy) * min(wide, op.out_w // 2 - ox)
            first = r * op.positions + oy * op.out_w + 2 * ox
            conv.join_pairs(both, lanes // 2, op.width, dz + first * op.width, pairs)
            p = 0
            while p < both:
                part = next_part(batch, op, first + 2 * p, 2 * (both - p)) // 2
                weight_of_block(op, &image, op.kernel_w + 1, start, count, part,
                                laid + oy * op.stride_h * image.line + 2 * ox * image.pixel, offsets + p, pairs + p * lanes,
                                lanes, begun, doubled)
                begun = not parts
                if parts:
                    conv.fold_weights(row, n, line, op.inputs, lanes, op.width, doubled, True, g)
                    end_part(batch, op, first + 2 * p, 2 * part, n, op.width, op.width, g)
                p += part
        if not parts:
            conv.fold_weights(row, n, line, op.inputs, lanes, op.width, doubled, accumulate or r > 0, g)
        x += op.in_positions * op.in_width


cdef inline double table_size(double entries) noexcept nogil:
    """Numbers of scratch that hold so many offsets: two of float32 for one of eight bytes, a multiple of 16."""
    return 2 * entries + 16


cdef inline void convolution_needs(Op* op, Needs* needs) noexcept nogil:
    """Tables, a copy of the images, and doubled weights and dz where filters are few; or tables, turned weights and products
    for some lines of dz."""
    cdef Image image = image_of(op)
    cdef double taps = <double>op.kernel_h * op.kernel_w * op.inputs
    cdef double line = <double>op.kernel_w * op.inputs + 16
    cdef double some = max(1.0, min(<double>conv.SAMPLES, conv.PIXELS / <double>op.positions))
    cdef double images = some * image.height * image.width * op.inputs + 16
    cdef double pairs = (2 * taps + conv.PIXELS // 2 + 1) * 16
    cdef double turned = <double>op.kernel_h * op.units
    needs.scratch = max(
        table_size(max(2 * taps, <double>conv.PIXELS)) + images + pairs,
        table_size(turned + <double>op.in_w * (op.kernel_w + 1))
        + (turned + max(<double>conv.FEW_PIXELS, <double>op.out_w)) * line + 16)


cdef inline void convolution_kind(Kind* kind) noexcept:
    kind.name = "convolution"
    kind.needs = convolution_needs
    kind.forward32, kind.forward64 = convolution_forward, convolution_forward
    kind.backward32, kind.backward64 = convolution_backward_rows, convolution_backward_rows
    kind.weight32, kind.weight64 = convolution_backward_weight, convolution_backward_weight
    kind.bias32, kind.bias64 = positions_backward_bias, positions_backward_bias
    kind.sums = SUMS_OUTPUTS
