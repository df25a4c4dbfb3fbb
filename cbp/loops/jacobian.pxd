# The gradients of one row apart from those of the others: of each of its outputs, or of its loss.
#
# In a stack of dense layers (`plain`) the rows of a piece go back together, and what a row adds to the gradient of a matrix,
# the product of its input and its delta, goes straight to where it belongs. Other ops sum over the rows of a piece, so that a
# piece is a single row there.

from cython cimport floating
from libc.string cimport memcpy, memset

from cbp.kernels cimport gather
from cbp.kernels.structs cimport Op, Source
from cbp.loops.answer cimport rows_of
from cbp.loops.step cimport apply_slope, counted, forward, loss_of_rows, op_back
from cbp.ops.calls cimport op_backward_rows
from cbp.ops.passes cimport Pass, d_output_of, input_of, padded


cdef inline void take_rows(
    Pass* batch, const Source* inputs, const Py_ssize_t* lengths, Py_ssize_t first, floating* arena,
) noexcept nogil:
    """The rows of the next piece."""
    batch.rows = min(batch.run.piece, inputs.rows - first)
    batch.first = first
    batch.x = rows_of(inputs, first, batch.rows, arena)
    batch.lengths = lengths + first if lengths is not NULL else NULL


cdef inline void values_of_rows(Pass* batch, floating* arena, floating* scratch) noexcept nogil:
    """The way forward. The noise of a row is that of its place among all; sums begin with the row."""
    batch.run.row = batch.first
    forward(batch, 0, batch.rows, arena, scratch, NULL)
    batch.run.row = 0


cdef inline void begin_output(const Pass* batch, Py_ssize_t index, floating* arena) noexcept nogil:
    """The gradient of output number `index` with respect to all outputs; after the end of a sequence there is none."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef Py_ssize_t position = index // last.units, size = last.positions * last.width
    cdef floating* d = d_output_of(batch, last, 0, arena)
    cdef Py_ssize_t r
    memset(d, 0, batch.rows * size * sizeof(floating))
    for r in range(batch.rows):
        if position < counted(batch, r, last.positions):
            d[r * size + position * last.width + index % last.units] = 1


cdef inline void begin_loss(
    Pass* batch, const Source* wanted, const Py_ssize_t* labels, double* losses, floating* arena,
) noexcept nogil:
    """The gradient of each row's own loss with respect to its outputs, and the losses."""
    cdef Py_ssize_t positions = batch.ops[batch.count - 1].positions
    cdef Py_ssize_t r, p, count
    batch.labels = labels + batch.first * positions if labels is not NULL else NULL
    batch.targets = NULL
    if labels is NULL:
        batch.targets = gather.direct(wanted, batch.first, <const floating*>arena)
        if batch.targets is NULL:
            batch.targets = arena + batch.rows * batch.run.targets
            gather.gather(wanted, NULL, batch.first, batch.rows, <floating*>batch.targets, wanted.columns)
    loss_of_rows(batch, 0, batch.rows, arena)
    for r in range(batch.rows):
        count = counted(batch, r, positions)
        losses[batch.first + r] = 0
        for p in range(r * positions, (r + 1) * positions):
            losses[batch.first + r] += batch.row_loss[p]
        if count > 1:
            losses[batch.first + r] /= count


cdef inline void inputs_back(Pass* batch, floating* arena, floating* scratch) noexcept nogil:
    """From the gradient of the outputs to that of the samples."""
    cdef Py_ssize_t index
    for index in range(batch.count - 1, -1, -1):
        apply_slope(batch, index, 0, batch.rows, arena, NULL)
        op_backward_rows(batch, &batch.ops[index], 0, batch.rows, arena, scratch)


cdef inline void copy_d_x(const Pass* batch, Py_ssize_t stride, floating* out) noexcept nogil:
    """The gradients of the samples without pads, a row of `out` every `stride` numbers."""
    cdef const Op* op = &batch.ops[0]
    cdef const floating* rows = <const floating*>batch.d_x
    cdef Py_ssize_t r, p
    for r in range(batch.rows):
        for p in range(op.in_positions):
            memcpy(out + r * stride + p * op.inputs, rows + (r * op.in_positions + p) * padded(op.inputs),
                   op.inputs * sizeof(floating))


cdef inline void parameters_back(
    Pass* batch, bint plain, const Py_ssize_t* places, Py_ssize_t count, Py_ssize_t stride, floating* arena, floating* scratch,
    floating* out,
) noexcept nogil:
    """From the gradient of the outputs to those of the parameters: `count` numbers for every row, in `out` every `stride`."""
    cdef const floating* gradient = <const floating*>batch.gradient
    cdef Py_ssize_t index, end = count, j
    cdef const Op* op
    for index in range(batch.count - 1, -1, -1):
        op = &batch.ops[index]
        if plain:
            apply_slope(batch, index, 0, batch.rows, arena, NULL)
            if index > 0:
                op_backward_rows(batch, op, 0, batch.rows, arena, scratch)
            end -= op.inputs * op.units + (op.units if op.bias >= 0 else 0)
            products_of_rows(batch, op, stride, arena, out + end)
        else:
            op_back(batch, index, arena, scratch, NULL)
    if not plain:
        for j in range(count):
            out[j] = gradient[places[j]]


cdef inline void products_of_rows(
    const Pass* batch, const Op* op, Py_ssize_t stride, floating* arena, floating* out,
) noexcept nogil:
    """What every row adds to the gradients of a dense layer: the matrix, and behind it the bias, without pads."""
    cdef Py_ssize_t units = op.units
    cdef const floating* x
    cdef const floating* delta
    cdef floating* g
    cdef Py_ssize_t r, i, j
    for r in range(batch.rows):
        x, delta, g = input_of(batch, op, r, arena), d_output_of(batch, op, r, arena), out + r * stride
        for i in range(op.inputs):
            for j in range(units):
                g[j] = x[i] * delta[j]
            g += units
        if op.bias >= 0:
            memcpy(g, delta, units * sizeof(floating))
