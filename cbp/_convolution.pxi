# Convolutions of the op table: included by _core.pyx. The products are in kernels/conv.pxd, the loops over single channels in
# kernels/depthwise.pxd; here is where the slots are found and what is copied, transposed and tabled first.
#
# A window stands at every position of the output; weight (kernel_h, kernel_w, channels, width), image and output lie with their
# channels last. The scratch of a thread holds, in this order, the tables and then the numbers of one direction; its size is
# counted in _lower/convolution.py.

cdef void window_multiply(
    Py_ssize_t groups, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth,
    const floating* a, Py_ssize_t group_stride, Py_ssize_t row_stride, const Py_ssize_t* offsets,
    const floating* b, Py_ssize_t ldb,
    const floating* start, Py_ssize_t start_group, Py_ssize_t start_row,
    floating* c, Py_ssize_t c_group, Py_ssize_t c_row,
) noexcept nogil:
    """window_product() once for all callers: it is long when inlined."""
    conv.window_product(groups, rows, columns, depth, a, group_stride, row_stride, offsets, b, ldb,
                        start, start_group, start_row, c, c_group, c_row)


cdef struct Image:
    # What the windows of one sample stand on: the sample itself, or a copy with a border of zeros and without pads.
    bint copied
    Py_ssize_t height
    Py_ssize_t width
    Py_ssize_t line      # numbers from a line of the image to the next


cdef inline Image image_of(const Op* op) noexcept nogil:
    cdef Image image
    image.height = (op.out_h - 1) * op.stride_h + (op.kernel_h - 1) * op.dilation_h + 1
    image.width = (op.out_w - 1) * op.stride_w + (op.kernel_w - 1) * op.dilation_w + 1
    image.copied = (op.pad_h > 0 or op.pad_w > 0 or image.height > op.in_h or image.width > op.in_w
                    or op.in_width != op.inputs)
    if not image.copied:
        image.width = op.in_w
    image.line = image.width * op.inputs
    return image


cdef inline const floating* laid_out(const Op* op, const Image* image, const floating* x, floating* copy) noexcept nogil:
    """The image of the sample x, in `copy` if it has to be copied."""
    if not image.copied:
        return x
    conv.copy_image(op.in_h, op.in_w, op.inputs, op.in_width, op.pad_h, op.pad_w, image.height, image.width, x, copy)
    return copy


cdef inline Py_ssize_t table(Py_ssize_t entries, const floating* like) noexcept nogil:
    """The numbers that a table takes in scratch, a multiple of 16."""
    return (entries * <Py_ssize_t>(sizeof(Py_ssize_t) // sizeof(floating)) + 15) // 16 * 16


# --- all channels: groups = 1 -----------------------------------------------------------------------------------------------------

cdef void convolution_forward(
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
    cdef Py_ssize_t r, p, j
    conv.grid_offsets(op.kernel_h, op.kernel_w, op.inputs, op.dilation_h * image.line, op.dilation_w * op.inputs, offsets)
    for r in range(rows):
        window_multiply(
            op.out_h, op.out_w, columns, taps, laid_out(op, &image, x, copy), op.stride_h * image.line, op.stride_w * op.inputs,
            offsets, weight, op.width, bias, 0, 0, z, op.out_w * op.width, op.width)
        for p in range(op.positions if columns < op.width else 0):
            for j in range(columns, op.width):
                z[p * op.width + j] = 0
        x += op.in_positions * op.in_width
        z += op.positions * op.width


cdef void convolution_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """Every sample's windows against its dz, PIXELS of them at a time, one after the other into g."""
    cdef Image image = image_of(op)
    cdef Py_ssize_t wide = min(op.out_w, <Py_ssize_t>conv.PIXELS)
    cdef Py_ssize_t high = min(op.out_h, conv.PIXELS // op.out_w) if op.out_w <= conv.PIXELS else 1
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef floating* copy = scratch + table(conv.PIXELS, arena)
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* dz = slot_of(batch, op.delta, op.positions * op.width, 0, arena)
    cdef const floating* laid
    cdef Py_ssize_t across = (op.out_w + wide - 1) // wide, blocks = across * ((op.out_h + high - 1) // high)
    cdef Py_ssize_t r, block, oy, ox, pixels
    conv.grid_offsets(high, wide, 1, op.stride_h * image.line, op.stride_w * op.inputs, offsets)
    for r in range(batch.rows):
        laid = laid_out(op, &image, x, copy)
        for block in range(blocks):
            oy, ox = block // across * high, block % across * wide
            pixels = min(high, op.out_h - oy) * min(wide, op.out_w - ox)
            weight_of_block(op, &image, row, n, pixels, laid + oy * op.stride_h * image.line + ox * op.stride_w * op.inputs,
                            offsets, dz + (oy * op.out_w + ox) * op.width, accumulate, g)
            accumulate = True
        x += op.in_positions * op.in_width
        dz += op.positions * op.width


cdef void weight_of_block(
    const Op* op, const Image* image, Py_ssize_t row, Py_ssize_t n, Py_ssize_t pixels, const floating* x,
    const Py_ssize_t* offsets, const floating* dz, bint accumulate, floating* g,
) noexcept nogil:
    """The part of some pixels in the rows row .. row + n of the weight gradient: g (n, width).

    The rows come in runs of neighbours in the image: a line of the window, or one tap if there are gaps between the taps.
    """
    cdef bint gaps = op.dilation_w > 1
    cdef Py_ssize_t run = op.inputs if gaps else op.kernel_w * op.inputs
    cdef Py_ssize_t in_line = op.kernel_w if gaps else 1                  # runs in a line of the window
    cdef Py_ssize_t even = op.kernel_w if gaps else op.kernel_h           # so many runs have equal distances:
    cdef Py_ssize_t distance = op.dilation_w * op.inputs if gaps else op.dilation_h * image.line
    cdef Py_ssize_t columns = conv.lanes_for(op.units, dz)
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
        window_multiply(
            runs, rows, columns, pixels,
            x + at // in_line * op.dilation_h * image.line + at % in_line * op.dilation_w * op.inputs + row % run, distance, 1, offsets,
            dz, op.width, out if accumulate else NULL, rows * op.width, op.width, out, rows * op.width, op.width)
        row += runs * rows
        out += runs * rows * op.width
    for i in range(n if columns < op.width and not accumulate else 0):
        for j in range(columns, op.width):
            g[i * op.width + j] = 0


cdef void positions_backward_bias(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* g,
) noexcept nogil:
    """The sum of dz over samples and positions, a sample at a time."""
    cdef const floating* dz = slot_of(batch, op.delta, op.positions * op.width, 0, arena)
    cdef Py_ssize_t r
    for r in range(batch.rows):
        conv.add_positions(op.positions, op.width, dz, accumulate or r > 0, g)
        dz += op.positions * op.width


cdef void convolution_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """dx, line by line: a line of the image lies under line ky of the windows at line oy of the output if
    y + pad_h = oy stride_h + ky dilation_h. One product over all such oy and all filters gives a number for every column of dz, tap of the
    window's line and channel; gather_taps adds those that fall on the same column of the image.

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
    cdef const floating* dz = slot_of(batch, op.delta, op.positions * op.width, first, arena)
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
    return max(1, 48 // op.out_w)


cdef inline Py_ssize_t shared_factor(const Op* op) noexcept nogil:
    """The greatest common divisor of the vertical stride and dilation."""
    cdef Py_ssize_t a = op.stride_h, b = op.dilation_h
    while b:
        a, b = b, a % b
    return a


cdef inline Py_ssize_t place_of_line(const Op* op, Py_ssize_t ky) noexcept nogil:
    """Where line ky of the window lies among the turned weights.

    Those that meet one line of the image are ky, ky - q, ky - 2 q, ... with q = stride_h / gcd(stride_h, dilation_h), for windows ever
    lower: in this order they lie behind each other.
    """
    cdef Py_ssize_t q = op.stride_h // shared_factor(op)
    cdef Py_ssize_t other, place = 0
    for other in range(op.kernel_h):
        if other % q < ky % q or (other % q == ky % q and other > ky):
            place += 1
    return place


cdef void turn_weights(const Op* op, const floating* weight, floating* turned, Py_ssize_t ld) noexcept nogil:
    """turned (place of ky, filter, tap and channel padded to ld)."""
    cdef Py_ssize_t taps = op.kernel_w * op.inputs
    cdef Py_ssize_t ky
    for ky in range(op.kernel_h):
        dense.transpose(taps, op.units, weight + ky * taps * op.width, op.width, turned + place_of_line(op, ky) * op.units * ld, ld)


cdef void line_backward(
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
            samples, op.out_w, columns, lines * op.units, dz + top * op.out_w * op.width, op.positions * op.width, op.width, offsets,
            turned + place_of_line(op, highest) * op.units * ld, ld, <const floating*>NULL, 0, 0,
            products, op.out_w * ld, ld)
    for r in range(samples):
        if lines:
            conv.gather_taps(op.in_w, op.inputs, d_width, places, op.kernel_w, products + r * op.out_w * ld, dx + r * d_size)
        else:
            for j in range(op.in_w * d_width):
                dx[r * d_size + j] = 0


# --- groups of channels, single ones above all ------------------------------------------------------------------------------------

cdef void channel_multiply(
    Py_ssize_t lines, Py_ssize_t columns, Py_ssize_t width, Py_ssize_t taps,
    const floating* x, Py_ssize_t line_step, Py_ssize_t column_step, const Py_ssize_t* offsets,
    const floating* weight, Py_ssize_t ldw, const floating* start, Py_ssize_t start_step, floating* z,
) noexcept nogil:
    """channel_windows() once for all callers."""
    depthwise.channel_windows(lines, columns, width, taps, x, line_step, column_step, offsets, weight, ldw, start, start_step, z)


cdef struct Planes:
    # How the images of the planes of a grouped convolution lie, and which channels they hold.
    Py_ssize_t readers   # output channels of a group
    Py_ssize_t read      # input channels of a group: the number of planes
    bint copied
    Py_ssize_t height
    Py_ssize_t width     # columns
    Py_ssize_t line      # numbers from a line of an image to the next


cdef inline Planes planes_of(const Op* op) noexcept nogil:
    cdef Planes planes
    cdef Image image = image_of(op)
    planes.readers = op.units // op.groups
    planes.read = op.inputs // op.groups
    planes.copied = (op.pad_h > 0 or op.pad_w > 0 or image.height > op.in_h or image.width > op.in_w
                     or op.in_width != op.width or planes.readers > 1 or planes.read > 1)
    planes.height = image.height
    planes.width = image.width if planes.copied else op.in_w
    planes.line = planes.width * op.width
    return planes


cdef const floating* plane(
    const Op* op, const Planes* planes, Py_ssize_t number, const floating* x, floating* copy,
) noexcept nogil:
    """Plane `number` of the sample x, in `copy` if it has to be copied."""
    if not planes.copied:
        return x
    depthwise.spread_channels(
        op.in_h, op.in_w, op.in_width, op.units, op.width, planes.readers, planes.read, number, op.pad_h, op.pad_w,
        planes.height, planes.width, x, copy)
    return copy


cdef void grouped_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef Planes planes = planes_of(op)
    cdef Py_ssize_t taps = op.kernel_h * op.kernel_w
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef floating* copy = scratch + table(taps, arena)
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* z = slot_of(batch, op.sums, op.positions * op.width, first, arena)
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef const floating* bias = <const floating*>batch.parameters + op.bias if op.bias >= 0 else NULL
    cdef Py_ssize_t r, number
    conv.grid_offsets(op.kernel_h, op.kernel_w, 1, op.dilation_h * planes.line, op.dilation_w * op.width, offsets)
    for r in range(rows):
        for number in range(planes.read):
            channel_multiply(
                op.out_h, op.out_w, op.width, taps, plane(op, &planes, number, x, copy), op.stride_h * planes.line,
                op.stride_w * op.width, offsets, weight + number * op.width, planes.read * op.width,
                bias if number == 0 else z, 0 if number == 0 else op.width, z)
        x += op.in_positions * op.in_width
        z += op.positions * op.width


cdef void grouped_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """A row of the weights is tap * planes + plane. CHANNEL_PIXELS windows at a time."""
    cdef Planes planes = planes_of(op)
    cdef Py_ssize_t some = depthwise.CHANNEL_PIXELS
    cdef Py_ssize_t wide = min(op.out_w, some)
    cdef Py_ssize_t high = min(op.out_h, some // op.out_w) if op.out_w <= some else 1
    cdef Py_ssize_t* offsets = <Py_ssize_t*>scratch
    cdef floating* copy = scratch + table(some, arena)
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* dz = slot_of(batch, op.delta, op.positions * op.width, 0, arena)
    cdef const floating* laid
    cdef Py_ssize_t across = (op.out_w + wide - 1) // wide, blocks = across * ((op.out_h + high - 1) // high)
    cdef Py_ssize_t r, number, block, oy, ox, tap, end, pixels
    conv.grid_offsets(high, wide, 1, op.stride_h * planes.line, op.stride_w * op.width, offsets)
    for r in range(batch.rows):
        for number in range(planes.read):
            tap = (max(row - number, 0) + planes.read - 1) // planes.read
            end = (max(row + n - number, 0) + planes.read - 1) // planes.read
            if tap == end:
                continue
            laid = plane(op, &planes, number, x, copy)
            for block in range(blocks):
                oy, ox = block // across * high, block % across * wide
                pixels = min(high, op.out_h - oy) * min(wide, op.out_w - ox)
                taps_of_block(
                    op, &planes, tap, end, pixels, laid + oy * op.stride_h * planes.line + ox * op.stride_w * op.width, offsets,
                    dz + (oy * op.out_w + ox) * op.width, accumulate or r > 0 or block > 0,
                    g + (tap * planes.read + number - row) * op.width)
        x += op.in_positions * op.in_width
        dz += op.positions * op.width


cdef void taps_of_block(
    const Op* op, const Planes* planes, Py_ssize_t tap, Py_ssize_t end, Py_ssize_t pixels, const floating* x,
    const Py_ssize_t* offsets, const floating* dz, bint accumulate, floating* g,
) noexcept nogil:
    """The part of some windows in the gradient of the taps from `tap` to `end` of one plane."""
    cdef Py_ssize_t line = op.dilation_h * planes.line
    cdef Py_ssize_t column = op.dilation_w * op.width
    cdef Py_ssize_t step = planes.read * op.width
    cdef Py_ssize_t lines, taps
    while tap < end:
        if tap % op.kernel_w == 0 and end - tap >= op.kernel_w:
            taps = op.kernel_w
            lines = (end - tap) // taps
        else:
            taps = min(op.kernel_w - tap % op.kernel_w, end - tap)
            lines = 1
        depthwise.window_taps(lines, taps, op.width, pixels, x + tap // op.kernel_w * line + tap % op.kernel_w * column,
                              line, column, offsets, dz, accumulate, g, taps * step, step)
        tap += lines * taps
        g += lines * taps * step


cdef void grouped_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """Plane by plane: the gradient of its image, of which the channels are then collected."""
    cdef Planes planes = planes_of(op)
    cdef Py_ssize_t taps = op.kernel_h * op.kernel_w
    cdef Py_ssize_t d_width = padded(op.inputs)
    cdef floating* image = scratch + table(taps, arena)
    cdef const floating* dz = slot_of(batch, op.delta, op.positions * op.width, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef Py_ssize_t r, number, j
    if dx is NULL:
        return
    if is_again_a_convolution(op):
        backward_by_convolution(op, rows, weight, <Py_ssize_t*>scratch, image, dz, dx)
        return
    for r in range(rows):
        for number in range(planes.read):
            for j in range(planes.height * planes.line):
                image[j] = 0
            depthwise.scatter_windows(
                op.out_h, op.out_w, op.width, op.kernel_h, op.kernel_w, dz, weight + number * op.width, planes.read * op.width,
                image, op.stride_h * planes.line, op.stride_w * op.width, op.dilation_h * planes.line, op.dilation_w * op.width)
            depthwise.collect_channels(
                op.in_h, op.in_w, d_width, op.groups, planes.readers, planes.read, number, op.pad_h, op.pad_w,
                planes.height, planes.width, op.width, image, dx)
        dz += op.positions * op.width
        dx += op.in_h * op.in_w * d_width


cdef inline bint is_again_a_convolution(const Op* op) noexcept nogil:
    """Whether the input gradient is what the flipped window makes of dz within zeros."""
    return (op.groups == op.inputs and op.units == op.inputs and op.stride_h == 1 and op.stride_w == 1
            and op.pad_h <= (op.kernel_h - 1) * op.dilation_h and op.pad_w <= (op.kernel_w - 1) * op.dilation_w)


cdef void backward_by_convolution(
    const Op* op, Py_ssize_t rows, const floating* weight, Py_ssize_t* offsets, floating* image,
    const floating* dz, floating* dx,
) noexcept nogil:
    """dx[y, x] = sum of dz[y + pad_h - ky dilation_h, x + pad_w - kx dilation_w] weight[ky, kx]."""
    cdef Py_ssize_t taps = op.kernel_h * op.kernel_w
    cdef Py_ssize_t above = (op.kernel_h - 1) * op.dilation_h, left = (op.kernel_w - 1) * op.dilation_w
    cdef Py_ssize_t columns = op.in_w + left
    cdef floating* flipped = image + (op.in_h + above) * columns * op.width
    cdef Py_ssize_t r, t, j
    for t in range(taps):
        for j in range(op.width):
            flipped[t * op.width + j] = weight[(taps - 1 - t) * op.width + j]
    conv.grid_offsets(op.kernel_h, op.kernel_w, 1, op.dilation_h * columns * op.width, op.dilation_w * op.width, offsets)
    for r in range(rows):
        depthwise.spread_channels(
            op.out_h, op.out_w, op.width, op.units, op.width, 1, 1, 0, above - op.pad_h, left - op.pad_w,
            op.in_h + above, columns, dz, image)
        channel_multiply(op.in_h, op.in_w, op.width, taps, image, columns * op.width, op.width, offsets, flipped, op.width,
                         <const floating*>NULL, 0, dx)
        dz += op.positions * op.width
        dx += op.in_h * op.in_w * op.width
