# Which functions belong to a kind of op: included by _core.pyx. The four directions have one signature each for all kinds; what
# they read and write is found through _pass.pxi.

cdef bint needs_whole_batch(const Op* op) noexcept nogil:
    """Whether the rows of a batch depend on each other: moments of all of them come before the op."""
    return False


cdef void op_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """Weighted sums, or whatever comes before the activation, of some rows."""
    if op.kind == DENSE:
        dense_op_forward(batch, op, first, rows, arena, scratch)


cdef void op_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """From the gradient of that, in the delta slot, to the gradient of the input, which is overwritten."""
    if op.kind == DENSE:
        dense_op_backward_rows(batch, op, first, rows, arena, scratch)


cdef void op_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """The gradient of n rows of the weight matrix, over all rows of the piece."""
    if op.kind == DENSE:
        dense_op_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)


cdef void op_backward_bias(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* scratch, floating* g,
) noexcept nogil:
    """The gradient of the bias row, over all rows of the piece."""
    if op.kind == DENSE:
        dense_op_backward_bias(batch, op, accumulate, arena, scratch, g)


cdef void op_moments(const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, floating* arena) noexcept nogil:
    """What an op that needs the whole batch must know of it on the way forward, for n of its units."""
    pass


cdef void op_backward_moments(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, floating* arena,
) noexcept nogil:
    """The same on the way back."""
    pass
