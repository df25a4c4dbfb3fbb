# Convolutions in groups of channels, single ones above all, as an op. The loops over channels are in kernels/depthwise.pxd.
#
# A group with several input channels is a sum over planes; the image of a plane, or of a sample that has a border of zeros, is
# copied into the scratch of the thread, behind the table of offsets.

from cython cimport floating
from libc.string cimport memset

from cbp.kernels cimport conv, depthwise
from cbp.kernels.structs cimport Op
from cbp.ops.convolution_op cimport Image, image_of, positions_backward_bias, table, table_size
from cbp.ops.parts cimport end_part, next_part
from cbp.ops.passes cimport SUMS_OUTPUTS, Kind, Needs, Pass, d_input_of, input_of, padded, slot_of


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


cdef inline const floating* plane(
    const Op* op, const Planes* planes, Py_ssize_t number, const floating* x, floating* copy,
) noexcept nogil:
    """Plane `number` of the sample x, in `copy` if it has to be copied."""
    if not planes.copied:
        return x
    depthwise.spread_channels(
        op.in_h, op.in_w, op.in_width, op.units, op.width, planes.readers, planes.read, number, op.pad_h, op.pad_w,
        planes.height, planes.width, x, copy)
    return copy


cdef inline void grouped_forward(
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
    cdef const floating* image
    cdef Py_ssize_t _r, number, size = op.positions * op.width
    cdef floating* part = copy + planes.height * planes.line
    cdef bint many = depthwise.many_taps(taps * planes.read, arena)
    conv.grid_offsets(op.kernel_h, op.kernel_w, 1, op.dilation_h * planes.line, op.dilation_w * op.width, offsets)
    for _r in range(rows):
        if many:
            begin_sums(op.positions, op.width, bias, z, part + size)
        for number in range(planes.read):
            image = plane(op, &planes, number, x, copy)
            if many:
                depthwise.add_channel_windows(
                    op.out_h, op.out_w, op.width, taps, image, op.stride_h * planes.line, op.stride_w * op.width, offsets,
                    weight + number * op.width, planes.read * op.width, z, part, part + size)
            else:
                depthwise.channel_windows(
                    op.out_h, op.out_w, op.width, taps, image, op.stride_h * planes.line, op.stride_w * op.width, offsets,
                    weight + number * op.width, planes.read * op.width,
                    bias if number == 0 else z, 0 if number == 0 else op.width, z)
        x += op.in_positions * op.in_width
        z += op.positions * op.width


cdef inline void begin_sums(
    Py_ssize_t positions, Py_ssize_t width, const floating* bias, floating* z, floating* lost,
) noexcept nogil:
    """Every row of z is the bias, or 0, and nothing is lost yet."""
    cdef Py_ssize_t i, j
    for i in range(positions):
        for j in range(width):
            z[i * width + j] = bias[j] if bias is not NULL else <floating>0
    memset(lost, 0, positions * width * sizeof(floating))


cdef inline void grouped_backward_weight(
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
    cdef const floating* dz = slot_of(batch, op.d_output, op.positions * op.width, 0, arena)
    cdef const floating* laid
    cdef Py_ssize_t across = (op.out_w + wide - 1) // wide, blocks = across * ((op.out_h + high - 1) // high)
    cdef Py_ssize_t r, number, block, first, oy, ox, tap, end, pixels, p, part
    cdef floating* own
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
                first = r * op.positions + oy * op.out_w + ox
                own = g + (tap * planes.read + number - row) * op.width
                p = 0
                while p < pixels:
                    part = next_part(batch, op, first + p, pixels - p)
                    taps_of_block(op, &planes, tap, end, part,
                                  laid + oy * op.stride_h * planes.line + ox * op.stride_w * op.width, offsets + p,
                                  dz + (first + p) * op.width, accumulate or first + p > 0, own)
                    end_part(batch, op, first + p, part, end - tap, op.width, planes.read * op.width, own)
                    p += part
        x += op.in_positions * op.in_width


cdef inline void taps_of_block(
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


cdef inline void grouped_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """Plane by plane: the gradient of its image, of which the channels are then collected."""
    cdef Planes planes = planes_of(op)
    cdef Py_ssize_t taps = op.kernel_h * op.kernel_w
    cdef Py_ssize_t d_width = padded(op.inputs)
    cdef floating* image = scratch + table(taps, arena)
    cdef const floating* dz = slot_of(batch, op.d_output, op.positions * op.width, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef Py_ssize_t size = planes.height * planes.line, _r, number
    cdef floating* lost = image + size if depthwise.many_taps(taps, arena) else NULL
    if dx is NULL:
        return
    if is_again_a_convolution(op):
        backward_by_convolution(op, rows, weight, <Py_ssize_t*>scratch, image, dz, dx)
        return
    for _r in range(rows):
        for number in range(planes.read):
            memset(image, 0, size * sizeof(floating))
            if lost is not NULL:
                memset(lost, 0, size * sizeof(floating))
            depthwise.scatter_windows(
                op.out_h, op.out_w, op.width, op.kernel_h, op.kernel_w, dz, weight + number * op.width, planes.read * op.width,
                image, op.stride_h * planes.line, op.stride_w * op.width, op.dilation_h * planes.line, op.dilation_w * op.width,
                lost)
            depthwise.collect_channels(
                op.in_h, op.in_w, d_width, op.groups, planes.readers, planes.read, number, op.pad_h, op.pad_w,
                planes.height, planes.width, op.width, image, dx)
        dz += op.positions * op.width
        dx += op.in_h * op.in_w * d_width


cdef inline bint is_again_a_convolution(const Op* op) noexcept nogil:
    """Whether the input gradient is what the flipped window makes of dz within zeros."""
    return (op.groups == op.inputs and op.units == op.inputs and op.stride_h == 1 and op.stride_w == 1
            and op.pad_h <= (op.kernel_h - 1) * op.dilation_h and op.pad_w <= (op.kernel_w - 1) * op.dilation_w)


cdef inline void backward_by_convolution(
    const Op* op, Py_ssize_t rows, const floating* weight, Py_ssize_t* offsets, floating* image,
    const floating* dz, floating* dx,
) noexcept nogil:
    """dx[y, x] = sum of dz[y + pad_h - ky dilation_h, x + pad_w - kx dilation_w] weight[ky, kx]."""
    cdef Py_ssize_t taps = op.kernel_h * op.kernel_w
    cdef Py_ssize_t above = (op.kernel_h - 1) * op.dilation_h, left = (op.kernel_w - 1) * op.dilation_w
    cdef Py_ssize_t columns = op.in_w + left
    cdef Py_ssize_t size = op.in_h * op.in_w * op.width
    cdef floating* flipped = image + (op.in_h + above) * columns * op.width
    cdef floating* part = flipped + taps * op.width
    cdef Py_ssize_t _r, t, j
    for t in range(taps):
        for j in range(op.width):
            flipped[t * op.width + j] = weight[(taps - 1 - t) * op.width + j]
    conv.grid_offsets(op.kernel_h, op.kernel_w, 1, op.dilation_h * columns * op.width, op.dilation_w * op.width, offsets)
    for _r in range(rows):
        depthwise.spread_channels(
            op.out_h, op.out_w, op.width, op.units, op.width, 1, 1, 0, above - op.pad_h, left - op.pad_w,
            op.in_h + above, columns, dz, image)
        if depthwise.many_taps(taps, dx):
            begin_sums(op.in_h * op.in_w, op.width, <const floating*>NULL, dx, part + size)
            depthwise.add_channel_windows(
                op.in_h, op.in_w, op.width, taps, image, columns * op.width, op.width, offsets, flipped, op.width,
                dx, part, part + size)
        else:
            depthwise.channel_windows(
                op.in_h, op.in_w, op.width, taps, image, columns * op.width, op.width, offsets, flipped, op.width,
                <const floating*>NULL, 0, dx)
        dz += op.positions * op.width
        dx += op.in_h * op.in_w * op.width


cdef inline void grouped_needs(Op* op, Needs* needs) noexcept nogil:
    """A table and the image of a plane, or that of dz within zeros and the flipped weights; for many taps sums beside them."""
    cdef Image image = image_of(op)
    cdef double taps = <double>op.kernel_h * op.kernel_w
    cdef double around = ((op.in_h + (op.kernel_h - 1) * <double>op.dilation_h)
                          * (op.in_w + (op.kernel_w - 1) * <double>op.dilation_w))
    cdef double plane_size = max(image.height * <double>image.width, <double>op.in_h * op.in_w)
    cdef double sums = 2 * max(<double>op.positions, plane_size)
    if not depthwise.many_taps(op.kernel_h * op.kernel_w * (op.inputs // op.groups), <const float*>NULL):
        sums = 0
    needs.scratch = table_size(max(taps, <double>depthwise.CHANNEL_PIXELS)) + (max(plane_size, around) + taps + sums) * op.width


cdef inline void grouped_kind(Kind* kind) noexcept:
    kind.name = "grouped"
    kind.needs = grouped_needs
    kind.forward32, kind.forward64 = grouped_forward, grouped_forward
    kind.backward32, kind.backward64 = grouped_backward_rows, grouped_backward_rows
    kind.weight32, kind.weight64 = grouped_backward_weight, grouped_backward_weight
    kind.bias32, kind.bias64 = positions_backward_bias, positions_backward_bias
    kind.sums = SUMS_OUTPUTS
