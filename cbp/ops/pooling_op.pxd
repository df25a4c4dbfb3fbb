# Pooling as an op. The place of a maximum in its window is kept in the op's extra slot.
#
# A global pool over the time of samples with lengths has a window of its own for every sample: the steps that count.

from cython cimport floating
from libc.string cimport memset

from cbp.kernels.pool cimport many_windows, pool_backward, pool_forward
from cbp.kernels.structs cimport Op
from cbp.ops.passes cimport Kind, Needs, Pass, d_input_of, d_output_of, input_of, slot_of, sums_of


cdef inline void max_of_windows(
    const Op* op, Py_ssize_t rows, const floating* x, floating* y, floating* where,
) noexcept nogil:
    pool_forward(True, op, rows, x, op.in_width, y, where)

cdef inline void mean_of_windows(const Op* op, Py_ssize_t rows, const floating* x, floating* y) noexcept nogil:
    pool_forward(False, op, rows, x, op.in_width, y, <floating*>NULL)

cdef inline void max_of_windows_backward(
    const Op* op, Py_ssize_t rows, const floating* where, const floating* dy, floating* dx, floating* scratch,
) noexcept nogil:
    pool_backward(True, op, rows, where, dy, dx, scratch)

cdef inline void mean_of_windows_backward(
    const Op* op, Py_ssize_t rows, const floating* dy, floating* dx, floating* scratch,
) noexcept nogil:
    pool_backward(False, op, rows, <const floating*>NULL, dy, dx, scratch)


cdef inline bint has_own_windows(const Pass* batch, const Op* op) noexcept nogil:
    return op.timed and batch.lengths is not NULL


cdef inline Op window_of(const Pass* batch, const Op* op, Py_ssize_t row) noexcept nogil:
    """The op as it is for one row: its window ends where the sample ends."""
    cdef Op own = op[0]
    own.in_w = own.kernel_w = batch.lengths[row]
    return own


cdef inline void max_pool_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef floating* where = slot_of(batch, op.extra, op.extra_size, first, arena)
    cdef Py_ssize_t r
    cdef Op own
    if not has_own_windows(batch, op):
        max_of_windows(op, rows, x, y, where)
        return
    for r in range(rows):
        own = window_of(batch, op, first + r)
        max_of_windows(&own, 1, x + r * op.in_positions * op.in_width, y + r * op.width, where + r * op.width)


cdef inline void max_pool_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef const floating* dy = d_output_of(batch, op, first, arena)
    cdef const floating* where = slot_of(batch, op.extra, op.extra_size, first, arena)
    cdef Py_ssize_t r
    cdef Op own
    if dx is NULL:
        return
    if not has_own_windows(batch, op):
        max_of_windows_backward(op, rows, where, dy, dx, scratch)
        return
    for r in range(rows):
        own = window_of(batch, op, first + r)
        max_of_windows_backward(&own, 1, where + r * op.width, dy + r * op.width, dx, scratch)
        dx = clear_after(op, own.in_w, dx)


cdef inline void average_pool_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef Py_ssize_t r
    cdef Op own
    if not has_own_windows(batch, op):
        mean_of_windows(op, rows, x, y)
        return
    for r in range(rows):
        own = window_of(batch, op, first + r)
        mean_of_windows(&own, 1, x + r * op.in_positions * op.in_width, y + r * op.width)


cdef inline void average_pool_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef const floating* dy = d_output_of(batch, op, first, arena)
    cdef Py_ssize_t r
    cdef Op own
    if dx is NULL:
        return
    if not has_own_windows(batch, op):
        mean_of_windows_backward(op, rows, dy, dx, scratch)
        return
    for r in range(rows):
        own = window_of(batch, op, first + r)
        mean_of_windows_backward(&own, 1, dy + r * op.width, dx, scratch)
        dx = clear_after(op, own.in_w, dx)


cdef inline floating* clear_after(const Op* op, Py_ssize_t length, floating* dx) noexcept nogil:
    """The steps of a row that do not count have no gradient; where the next row begins."""
    memset(dx + length * op.width, 0, (op.in_positions - length) * op.width * sizeof(floating))
    return dx + op.in_positions * op.width


cdef inline void average_pool_needs(Op* op, Needs* needs) noexcept nogil:
    """Scratch: what additions to dx lose."""
    if many_windows(op, <const float*>NULL):
        needs.scratch = <double>op.in_positions * op.width

cdef inline void max_pool_needs(Op* op, Needs* needs) noexcept nogil:
    average_pool_needs(op, needs)
    needs.kept = <double>op.positions * op.width


cdef inline void max_pool_kind(Kind* kind) noexcept:
    kind.name = "max_pool"
    kind.needs = max_pool_needs
    kind.forward32, kind.forward64 = max_pool_forward, max_pool_forward
    kind.backward32, kind.backward64 = max_pool_backward_rows, max_pool_backward_rows


cdef inline void average_pool_kind(Kind* kind) noexcept:
    kind.name = "average_pool"
    kind.needs = average_pool_needs
    kind.forward32, kind.forward64 = average_pool_forward, average_pool_forward
    kind.backward32, kind.backward64 = average_pool_backward_rows, average_pool_backward_rows
