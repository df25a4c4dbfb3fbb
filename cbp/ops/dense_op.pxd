# The dense layer as an op: every position times a matrix.

from cython cimport floating

from cbp.kernels.dense cimport STRIP, dense_backward_bias, dense_backward_input, dense_backward_weight, dense_forward
from cbp.kernels.structs cimport Op
from cbp.ops.parts cimport end_part, in_parts, next_part
from cbp.ops.passes cimport SUMS_OUTPUTS, Kind, Needs, Pass, d_input_of, d_output_of, input_of, padded, sums_of


cdef inline void dense_op_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* parameters = <const floating*>batch.parameters
    dense_forward(rows * op.positions, op.inputs, op.width, input_of(batch, op, first, arena), op.in_width,
                  parameters + op.weight, parameters + op.bias if op.bias >= 0 else NULL, sums_of(batch, op, first, arena))


cdef inline void dense_op_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is not NULL:
        dense_backward_input(batch.way * op.positions, rows * op.positions, op.inputs, op.units, op.width,
                             <const floating*>batch.parameters + op.weight, scratch, d_output_of(batch, op, first, arena), dx,
                             padded(op.inputs))


cdef inline void dense_op_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* _scratch,
    floating* g,
) noexcept nogil:
    cdef Py_ssize_t rows = batch.rows * op.positions, done = 0, some
    if not in_parts(batch, op):   # the common case by itself: of a step of 0.25 us the loop took a tenth
        dense_backward_weight(rows, n, op.width, accumulate, input_of(batch, op, 0, arena) + row, op.in_width,
                              d_output_of(batch, op, 0, arena), g)
        return
    while done < rows:
        some = next_part(batch, op, done, rows - done)
        dense_backward_weight(some, n, op.width, accumulate, input_of(batch, op, 0, arena) + done * op.in_width + row,
                              op.in_width, d_output_of(batch, op, 0, arena) + done * op.width, g)
        end_part(batch, op, done, some, n, op.width, op.width, g)
        done += some


cdef inline void sum_of_positions(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* _scratch, floating* g,
) noexcept nogil:
    """The gradient of the bias; of the shift of a normalisation too."""
    cdef Py_ssize_t rows = batch.rows * op.positions, done = 0, some
    if not in_parts(batch, op):
        dense_backward_bias(rows, op.width, accumulate, d_output_of(batch, op, 0, arena), g)
        return
    while done < rows:
        some = next_part(batch, op, done, rows - done)
        dense_backward_bias(some, op.width, accumulate, d_output_of(batch, op, 0, arena) + done * op.width, g)
        end_part(batch, op, done, some, 1, op.width, op.width, g)
        done += some


cdef inline void dense_needs(Op* op, Needs* needs) noexcept nogil:
    needs.scratch = <double>STRIP * (op.units + op.inputs)


cdef inline void dense_kind(Kind* kind) noexcept:
    kind.name = "dense"
    kind.needs = dense_needs
    kind.forward32, kind.forward64 = dense_op_forward, dense_op_forward
    kind.backward32, kind.backward64 = dense_op_backward_rows, dense_op_backward_rows
    kind.weight32, kind.weight64 = dense_op_backward_weight, dense_op_backward_weight
    kind.bias32, kind.bias64 = sum_of_positions, sum_of_positions
    kind.sums = SUMS_OUTPUTS
