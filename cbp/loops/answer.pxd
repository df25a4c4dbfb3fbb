# Passes that answer a question and change nothing: predictions, and gradients for somebody else's loss.

from cython cimport floating
from libc.string cimport memcpy, memset

from cbp.kernels cimport gather
from cbp.kernels.finite cimport finite
from cbp.kernels.structs cimport Op, Source
from cbp.loops.step cimport counted
from cbp.ops.passes cimport Pass, d_output_of, output_of
from cbp.ops.table cimport Tables


cdef inline void begin_forward(
    Pass* batch, Tables* tables, const Op* ops, Py_ssize_t count, const floating* parameters, floating* arena,
    Py_ssize_t ldx,
) noexcept nogil:
    """A pass through all ops that changes nothing. The loop takes less time than what a compiler makes of a memset of so few
    bytes."""
    cdef size_t i
    for i in range(sizeof(Pass)):
        (<char*>batch)[i] = 0
    batch.kinds, batch.activations = tables.kinds, tables.activations
    batch.ops, batch.count, batch.end = ops, count, count
    batch.parameters, batch.arena = <void*>parameters, arena
    batch.ldx = ldx


cdef inline void copy_outputs(const Pass* batch, floating* arena, floating* out) noexcept nogil:
    """The outputs of the piece's rows without their pads."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef const floating* outputs = output_of(batch, last, 0, arena)
    cdef Py_ssize_t p
    for p in range(batch.rows * last.positions):
        memcpy(out + p * last.units, outputs + p * last.width, last.units * sizeof(floating))


cdef inline bint finite_outputs(const Pass* batch, floating* arena) noexcept nogil:
    """Whether the outputs of the piece's rows are finite; their pads may hold anything."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef const floating* outputs = output_of(batch, last, 0, arena)
    cdef Py_ssize_t p
    for p in range(batch.rows * last.positions):
        if not finite(last.units, outputs + p * last.width):
            return False
    return True


cdef inline void read_d_output(const Pass* batch, const Source* wanted, floating* arena) noexcept nogil:
    """The gradient of the outputs of the piece's rows into the last slot d_output, with pads of 0; after the end of a sequence
    it is 0 too."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef floating* read = arena + batch.rows * batch.run.targets
    cdef floating* d = d_output_of(batch, last, 0, arena)
    cdef Py_ssize_t r, p
    gather.gather(wanted, NULL, batch.first, batch.rows, read, wanted.columns)
    memset(d, 0, batch.rows * last.positions * last.width * sizeof(floating))
    for r in range(batch.rows):
        for p in range(r * last.positions, r * last.positions + counted(batch, r, last.positions)):
            memcpy(d + p * last.width, read + p * last.units, last.units * sizeof(floating))


cdef inline const floating* rows_of(const Source* data, Py_ssize_t first, Py_ssize_t rows, floating* scratch) noexcept nogil:
    """Some rows, `columns` long: as they lie if they lie right, else gathered into scratch."""
    cdef const floating* found = gather.direct(data, first, <const floating*>scratch)
    if found is not NULL:
        return found
    gather.gather(data, NULL, first, rows, scratch, data.columns)
    return scratch
