# Which functions belong to a kind of op: included by _core.pyx. The four directions have one signature each for all kinds; what
# they read and write is found through _pass.pxi.

cdef inline bint needs_whole_batch(const Op* op) noexcept nogil:
    """Whether the rows of a batch depend on each other: moments of all of them come before the op."""
    return op.kind == BATCH_NORM


cdef void op_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """Weighted sums, or whatever comes before the activation, of some rows."""
    if op.kind == DENSE:
        dense_op_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == COPY:
        copy_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == JOIN:
        join_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == CONCAT:
        concat_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == MAX_POOL:
        max_pool_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == AVERAGE_POOL:
        average_pool_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == EMBEDDING:
        embedding_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == BATCH_NORM:
        batch_norm_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == LAYER_NORM:
        layer_norm_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == DROPOUT:
        dropout_forward(batch, op, first, rows, arena)
    elif op.kind == GAUSSIAN_NOISE:
        gaussian_noise_forward(batch, op, first, rows, arena)
    elif op.kind == CONVOLUTION:
        convolution_forward(batch, op, first, rows, arena, scratch)
    elif op.kind == GROUPED:
        grouped_forward(batch, op, first, rows, arena, scratch)
    elif is_recurrent(op):
        recurrent_forward(batch, op, first, rows, arena, scratch)


cdef void op_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* scratch,
) noexcept nogil:
    """From the gradient of that, in the delta slot, to the gradient of the input, which is overwritten."""
    if op.kind == DENSE:
        dense_op_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == COPY:
        copy_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == SPLIT:
        split_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == JOIN:
        join_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == CONCAT:
        concat_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == MAX_POOL:
        max_pool_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == AVERAGE_POOL:
        average_pool_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == EMBEDDING:
        embedding_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == BATCH_NORM:
        batch_norm_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == LAYER_NORM:
        layer_norm_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == DROPOUT:
        dropout_backward_rows(batch, op, first, rows, arena)
    elif op.kind == GAUSSIAN_NOISE:
        gaussian_noise_backward_rows(batch, op, first, rows, arena)
    elif op.kind == CONVOLUTION:
        convolution_backward_rows(batch, op, first, rows, arena, scratch)
    elif op.kind == GROUPED:
        grouped_backward_rows(batch, op, first, rows, arena, scratch)
    elif is_recurrent(op):
        recurrent_backward_rows(batch, op, first, rows, arena, scratch)


cdef void op_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* scratch,
    floating* g,
) noexcept nogil:
    """The gradient of n rows of the weight matrix, over all rows of the piece."""
    if op.kind == DENSE:
        dense_op_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)
    elif op.kind == EMBEDDING:
        embedding_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)
    elif op.kind == BATCH_NORM:
        batch_norm_backward_weight(batch, op, accumulate, arena, scratch, g)
    elif op.kind == LAYER_NORM:
        layer_norm_backward_weight(batch, op, accumulate, arena, scratch, g)
    elif op.kind == CONVOLUTION:
        convolution_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)
    elif op.kind == GROUPED:
        grouped_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)
    elif is_recurrent(op):
        recurrent_backward_weight(batch, op, row, n, accumulate, arena, scratch, g)


cdef void op_backward_bias(
    const Pass* batch, const Op* op, bint accumulate, floating* arena, floating* scratch, floating* g,
) noexcept nogil:
    """The gradient of the bias row, over all rows of the piece."""
    if op.kind == DENSE:
        dense_op_backward_bias(batch, op, accumulate, arena, scratch, g)
    elif op.kind == BATCH_NORM:
        batch_norm_backward_bias(batch, op, accumulate, arena, g)
    elif op.kind == LAYER_NORM:
        layer_norm_backward_bias(batch, op, accumulate, arena, g)
    elif op.kind == CONVOLUTION or op.kind == GROUPED:
        positions_backward_bias(batch, op, accumulate, arena, g)
    elif is_recurrent(op):
        recurrent_backward_bias(batch, op, accumulate, arena, scratch, g)


cdef void op_moments(const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, floating* arena) noexcept nogil:
    """What an op that needs the whole batch must know of it on the way forward, for n of its units."""
    if op.kind == BATCH_NORM:
        batch_norm_moments(batch, op, first, n, arena)


cdef void op_backward_moments(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, floating* arena,
) noexcept nogil:
    """The same on the way back."""
    if op.kind == BATCH_NORM:
        batch_norm_backward_moments(batch, op, first, n, arena)


cdef inline void op_remember(const Pass* batch, const Op* op, floating* arena) noexcept nogil:
    """What an op measures of a batch whose loss is finite and after which the weights change."""
    if op.kind == BATCH_NORM:
        batch_norm_remember(batch, op, arena)
