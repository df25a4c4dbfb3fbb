# What a kind of op does, in the precision at hand: the functions of ops/passes.pxd, which says what they are. Which an op may
# lack is asked here, or by who calls: only an op that waits has moments, only one with weights their gradient.

from cython cimport floating

from cbp.kernels.structs cimport Op
from cbp.ops.passes cimport Pass


cdef inline void op_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    if batch.kinds[op.kind].forward32 is NULL:
        return
    if floating is float:
        batch.kinds[op.kind].forward32(batch, op, first, rows, arena, scratch)
    else:
        batch.kinds[op.kind].forward64(batch, op, first, rows, arena, scratch)


cdef inline void op_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    if floating is float:
        batch.kinds[op.kind].backward32(batch, op, first, rows, arena, scratch)
    else:
        batch.kinds[op.kind].backward64(batch, op, first, rows, arena, scratch)


cdef inline void op_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    if floating is float:
        batch.kinds[op.kind].weight32(batch, op, row, n, accumulate, arena, scratch, g)
    else:
        batch.kinds[op.kind].weight64(batch, op, row, n, accumulate, arena, scratch, g)


cdef inline void op_backward_bias(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* scratch, floating* g,
) noexcept nogil:
    if floating is float:
        batch.kinds[op.kind].bias32(batch, op, accumulate, arena, scratch, g)
    else:
        batch.kinds[op.kind].bias64(batch, op, accumulate, arena, scratch, g)


cdef inline void op_moments(const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, floating* arena) noexcept nogil:
    if floating is float:
        batch.kinds[op.kind].moments32(batch, op, first, n, arena)
    else:
        batch.kinds[op.kind].moments64(batch, op, first, n, arena)


cdef inline void op_backward_moments(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, floating* arena,
) noexcept nogil:
    if floating is float:
        batch.kinds[op.kind].moments_back32(batch, op, first, n, arena)
    else:
        batch.kinds[op.kind].moments_back64(batch, op, first, n, arena)


cdef inline void op_remember(const Pass* batch, const Op* op, floating* arena) noexcept nogil:
    if batch.kinds[op.kind].remember32 is NULL:
        return
    if floating is float:
        batch.kinds[op.kind].remember32(batch, op, arena)
    else:
        batch.kinds[op.kind].remember64(batch, op, arena)


cdef inline void op_silence(const Pass* batch, const Op* op, Py_ssize_t row, floating* arena) noexcept nogil:
    if floating is float:
        batch.kinds[op.kind].silence32(batch, op, row, arena)
    else:
        batch.kinds[op.kind].silence64(batch, op, row, arena)


cdef inline void op_listed(
    Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t end, floating* arena, floating* scratch,
) noexcept nogil:
    if floating is float:
        batch.kinds[op.kind].listed32(batch, op, first, end, arena, scratch)
    else:
        batch.kinds[op.kind].listed64(batch, op, first, end, arena, scratch)
