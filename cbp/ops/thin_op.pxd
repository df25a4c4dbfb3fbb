# A dense layer of few units after many inputs as an op. Its weights lie the other way round, a row of all inputs for every
# unit: rows of a single unit would be padded to 16 numbers. To the loops the matrix is rows of 16 numbers, so that threads can
# share it however few units there are.

from cython cimport floating

from cbp.kernels.structs cimport Op
from cbp.kernels.thin cimport thin_backward_input, thin_backward_weight, thin_forward
from cbp.ops.dense_op cimport sum_of_positions
from cbp.ops.parts cimport end_part, next_part
from cbp.ops.passes cimport SUMS_OUTPUTS, Kind, Pass, d_input_of, d_output_of, input_of, padded, sums_of


cdef inline void thin_op_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* parameters = <const floating*>batch.parameters
    thin_forward(rows * op.positions, op.inputs, op.units, op.width, input_of(batch, op, first, arena), op.in_width,
                 parameters + op.weight, padded(op.inputs), parameters + op.bias if op.bias >= 0 else NULL,
                 sums_of(batch, op, first, arena))


cdef inline void thin_op_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is not NULL:
        thin_backward_input(rows * op.positions, op.units, op.width, <const floating*>batch.parameters + op.weight,
                            padded(op.inputs), d_output_of(batch, op, first, arena), dx)


cdef inline void thin_op_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* _scratch,
    floating* g,
) noexcept nogil:
    cdef Py_ssize_t rows = batch.rows * op.positions, width = op.weight_width, done = 0, some
    while done < rows:
        some = next_part(batch, op, done, rows - done)
        thin_backward_weight(some, op.inputs, op.width, row * width, n * width, accumulate or done > 0,
                             input_of(batch, op, 0, arena) + done * op.in_width, op.in_width,
                             d_output_of(batch, op, 0, arena) + done * op.width, padded(op.inputs), g)
        end_part(batch, op, done, some, n, width, width, g)
        done += some


cdef inline void thin_kind(Kind* kind) noexcept:
    kind.name = "thin"
    kind.forward32, kind.forward64 = thin_op_forward, thin_op_forward
    kind.backward32, kind.backward64 = thin_op_backward_rows, thin_op_backward_rows
    kind.weight32, kind.weight64 = thin_op_backward_weight, thin_op_backward_weight
    kind.bias32, kind.bias64 = sum_of_positions, sum_of_positions
    kind.sums = SUMS_OUTPUTS
