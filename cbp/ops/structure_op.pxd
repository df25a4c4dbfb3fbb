# Ops that only move numbers or add two values: how layers are joined to each other.

from cython cimport floating
from libc.string cimport memcpy

from cbp.kernels.repack cimport pad, repack
from cbp.kernels.structs cimport Op
from cbp.ops.passes cimport Kind, Pass, d_input_of, d_output_of, input_of, padded, slot_of, sums_of


cdef inline const floating* second_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    """The second input of an op, as input_of(); from position to position second_width() numbers."""
    if op.second < 0:
        return <const floating*>batch.x + first * batch.ldx
    return slot_of(batch, op.second, op.positions * padded(op.second_units), first, arena)


cdef inline Py_ssize_t second_width(const Op* op) noexcept nogil:
    return op.second_units if op.second < 0 else padded(op.second_units)


cdef inline floating* d_second_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.d_second, op.positions * padded(op.second_units), first, arena)


# COPY: the same numbers in the same order, with pads at other places.

cdef inline void copy_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    repack(op.inputs, op.in_width, input_of(batch, op, first, arena), rows * op.positions, op.units, op.width,
           sums_of(batch, op, first, arena))


cdef inline void copy_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is not NULL:
        repack(op.units, op.width, d_output_of(batch, op, first, arena), rows * op.in_positions, op.inputs, padded(op.inputs),
               dx)


# SPLIT: a value that two ops read has two gradients, in the slots d_output and d_second; their sum is its gradient.

cdef inline void split_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef const floating* one = d_output_of(batch, op, first, arena)
    cdef const floating* other = d_second_of(batch, op, first, arena)
    cdef Py_ssize_t i
    if dx is NULL:
        return
    for i in range(rows * op.positions * op.width):
        dx[i] = one[i] + other[i]


# JOIN: the sum of two values of one shape. Its gradient is that of both; where the second one's slot is that of the sum, it is
# there already.

cdef inline void join_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* one = input_of(batch, op, first, arena)
    cdef const floating* other = second_of(batch, op, first, arena)
    cdef floating* sums = sums_of(batch, op, first, arena)
    cdef Py_ssize_t ld_other = second_width(op)
    cdef Py_ssize_t i, j, _position
    if op.in_width == op.width and ld_other == op.width:
        for i in range(rows * op.positions * op.width):
            sums[i] = one[i] + other[i]
        return
    for _position in range(rows * op.positions):
        for j in range(op.units):
            sums[j] = one[j] + other[j]
        for j in range(op.units, op.width):
            sums[j] = 0
        one += op.in_width
        other += ld_other
        sums += op.width


cdef inline void join_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* delta = d_output_of(batch, op, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef Py_ssize_t size = rows * op.positions * op.width * sizeof(floating)
    if dx is not NULL:
        memcpy(dx, delta, size)
    if op.d_second != op.d_output:
        memcpy(d_second_of(batch, op, first, arena), delta, size)


# CONCAT: two values of the same positions, one behind the other on the last axis.

cdef inline void concat_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef const floating* other = second_of(batch, op, first, arena)
    cdef Py_ssize_t _position, j
    pad(rows * op.positions, op.inputs, input_of(batch, op, first, arena), op.in_width, y, op.width)
    for _position in range(rows * op.positions):
        for j in range(op.second_units):
            y[op.inputs + j] = other[j]
        y += op.width
        other += second_width(op)


cdef inline void concat_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* delta = d_output_of(batch, op, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is not NULL:
        pad(rows * op.positions, op.inputs, delta, op.width, dx, padded(op.inputs))
    pad(rows * op.positions, op.second_units, delta + op.inputs, op.width, d_second_of(batch, op, first, arena),
        padded(op.second_units))


cdef inline void copy_kind(Kind* kind) noexcept:
    kind.name = "copy"
    kind.forward32, kind.forward64 = copy_forward, copy_forward
    kind.backward32, kind.backward64 = copy_backward_rows, copy_backward_rows


cdef inline void split_kind(Kind* kind) noexcept:
    kind.name = "split"
    kind.backward32, kind.backward64 = split_backward_rows, split_backward_rows


cdef inline void join_kind(Kind* kind) noexcept:
    kind.name = "join"
    kind.forward32, kind.forward64 = join_forward, join_forward
    kind.backward32, kind.backward64 = join_backward_rows, join_backward_rows


cdef inline void concat_kind(Kind* kind) noexcept:
    kind.name = "concat"
    kind.forward32, kind.forward64 = concat_forward, concat_forward
    kind.backward32, kind.backward64 = concat_backward_rows, concat_backward_rows
