# The embedding as an op: its inputs are numbers of rows of its weights. Rows of few numbers lie side by side without pads
# (weight_width below width) where there are many of them.
#
# A step of a sparse embedding does not touch rows that do not occur in the batch. Their gradients are not cleared and not read;
# instead a mark in the workspace, one number a row, tells which rows of the gradient have been begun in this batch. All marks
# of rows that occur are cleared before the first piece, so it does not matter how an earlier batch ended. A thread takes all
# occurrences of its rows, in the order of the samples, which gives the same bits for any number of threads.
#
# How many terms the gradient of a row has is known only when they have all come: one number may be most of a batch, as the one
# that fills up short samples is. So in a batch of many inputs the terms of every row are counted, and after TERMS of them every
# addition is compensated. Counts and what additions lost lie in batch.parts; the counts of a sparse embedding are its marks.

from cython cimport floating
from libc.string cimport memcpy, memset

from cbp.kernels cimport gather
from cbp.kernels.structs cimport Op, Run
from cbp.kernels.sums cimport DEEP, TERMS, add_compensated
from cbp.ops.parts cimport middle_of
from cbp.ops.update cimport end_gradient
from cbp.ops.passes cimport Kind, Needs, Pass, add_row, d_input_of, d_output_of, input_of, padded, sums_of


cdef inline Py_ssize_t row_number(const Op* op, floating x) noexcept nogil:
    """The row that an input names. It was checked, but an array may change after that, above all one that is a file, and a row
    outside of the weights would be somebody else's memory."""
    return <Py_ssize_t>x if 0 <= x < <floating>op.weight_rows else 0


cdef inline Py_ssize_t steps_of(const Pass* batch, const Op* op, Py_ssize_t row) noexcept nogil:
    """How many inputs of a row of the piece count."""
    return batch.lengths[row] if batch.lengths is not NULL else op.inputs


cdef inline void embedding_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* weight = <const floating*>batch.parameters + op.weight
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef Py_ssize_t i
    if op.weight_width < op.width:
        memset(y, 0, rows * op.inputs * op.width * sizeof(floating))
    for i in range(rows * op.inputs):
        memcpy(y + i * op.width, weight + row_number(op, x[i]) * op.weight_width, op.weight_width * sizeof(floating))


cdef inline void embedding_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    """A number of a row has no gradient."""
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is not NULL:
        memset(dx, 0, rows * padded(op.inputs) * sizeof(floating))


# --- the gradient -------------------------------------------------------------------------------------------------------------

cdef inline void embedding_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, floating* arena, floating* _scratch,
    floating* g,
) noexcept nogil:
    """The gradient of a row of weights is the sum of the deltas of all outputs that are copies of it."""
    cdef floating* counts = middle_of(batch, <floating*>batch.gradient + op.weight) + row if many_terms(batch, op) else NULL
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* delta = d_output_of(batch, op, 0, arena)
    cdef Py_ssize_t r, t, place
    if not accumulate:
        memset(g, 0, n * op.weight_width * sizeof(floating))
        if counts is not NULL:
            memset(counts, 0, n * sizeof(floating))
    for r in range(batch.rows):
        for t in range(steps_of(batch, op, r)):
            place = row_number(op, x[r * op.inputs + t]) - row
            if 0 <= place < n:
                add_term(batch, op.weight_width, counts, place, delta + (r * op.inputs + t) * op.width,
                         g + place * op.weight_width)


cdef inline bint many_terms(const Pass* batch, const Op* op) noexcept nogil:
    """Whether a row may get so many terms that they are counted."""
    return batch.parts is not NULL and batch.way * op.inputs > DEEP


cdef inline void add_term(
    const Pass* batch, Py_ssize_t width, floating* counts, Py_ssize_t place, const floating* delta, floating* g,
) noexcept nogil:
    """One term more to the gradient of a row, which has got counts[place] so far; without counts there are few."""
    cdef floating* lost
    if counts is NULL:
        add_row(width, delta, g)
        return
    counts[place] += 1
    if counts[place] <= TERMS:
        add_row(width, delta, g)
        return
    lost = middle_of(batch, g) + batch.parts_size
    if counts[place] == TERMS + 1:
        memset(lost, 0, width * sizeof(floating))
    add_compensated(width, delta, g, lost)


# --- sparse -------------------------------------------------------------------------------------------------------------------

cdef inline void sparse_backward_weight(
    Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t end, floating* arena, floating* scratch,
) noexcept nogil:
    """Gradients of those rows from `first` to `end` that occur in the piece; after the last piece of the batch their update, or
    what it needs."""
    if batch.run.row == 0:
        visit_batch(batch, op, first, end, False, scratch, arena)
    add_occurrences(batch, op, first, end, arena)
    if batch.updating:
        visit_batch(batch, op, first, end, True, scratch, arena)
    elif batch.run.deferred and batch.run.row + batch.rows == batch.run.batch_rows:
        end_table(batch, op, first, end, arena)


cdef inline void end_table(Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t end, const floating* _like) noexcept nogil:
    """The gradient of rows from `first` to `end` for an update that comes later: 0 where no mark is, which stay until then."""
    cdef const floating* marks = <const floating*>batch.workspace + op.shared
    cdef floating* gradient = <floating*>batch.gradient + op.weight
    cdef Py_ssize_t place
    for place in range(first, end):
        if marks[place] == 0:
            memset(gradient + place * op.weight_width, 0, op.weight_width * sizeof(floating))
        else:
            end_gradient(batch, not op.unpenalised, op.weight_width, op.weight + place * op.weight_width,
                         gradient + place * op.weight_width)


cdef inline void add_occurrences(
    Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t end, floating* arena,
) noexcept nogil:
    cdef floating* marks = <floating*>batch.workspace + op.shared
    cdef floating* counts = marks if many_terms(batch, op) else NULL
    cdef floating* gradient = <floating*>batch.gradient + op.weight
    cdef floating* g
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* delta = d_output_of(batch, op, 0, arena)
    cdef Py_ssize_t r, t, place
    for r in range(batch.rows):
        for t in range(steps_of(batch, op, r)):
            place = row_number(op, x[r * op.inputs + t])
            if place < first or place >= end:
                continue
            g = gradient + place * op.weight_width
            if marks[place] == 0:
                memset(g, 0, op.weight_width * sizeof(floating))
            add_term(batch, op.weight_width, counts, place, delta + (r * op.inputs + t) * op.width, g)
            if counts is NULL:
                marks[place] = 1


cdef inline void visit_batch(
    Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t end, bint update, floating* scratch, const floating* _like,
) noexcept nogil:
    """Clear the marks of all rows that occur in the batch, in its other pieces too; before that `update` what is marked."""
    cdef const Run* run = batch.run
    cdef floating* marks = <floating*>batch.workspace + op.shared
    cdef floating* gradient = <floating*>batch.gradient + op.weight
    cdef const floating* x
    cdef Py_ssize_t r, t, sample, steps, place
    for r in range(run.batch_rows):
        sample = run.position + r
        if run.row <= r < run.row + batch.rows:
            x = <const floating*>batch.x + (r - run.row) * batch.ldx
        else:
            gather.gather(batch.all_x, batch.order, sample, 1, scratch, op.inputs)
            x = scratch
        steps = op.inputs
        if batch.all_lengths is not NULL:
            steps = batch.all_lengths[batch.order[sample] if batch.order is not NULL else sample]
        for t in range(steps):
            place = row_number(op, x[t])
            if place < first or place >= end:
                continue
            if update and marks[place] != 0:
                end_gradient(batch, not op.unpenalised, op.weight_width, op.weight + place * op.weight_width,
                             gradient + place * op.weight_width)
            marks[place] = 0


cdef inline void embedding_needs(Op* op, Needs* needs) noexcept nogil:
    needs.work = 0
    needs.scratch = op.inputs
    needs.shared = op.weight_rows if op.sparse else 0


cdef inline void embedding_kind(Kind* kind) noexcept:
    kind.name = "embedding"
    kind.needs = embedding_needs
    kind.forward32, kind.forward64 = embedding_forward, embedding_forward
    kind.backward32, kind.backward64 = embedding_backward_rows, embedding_backward_rows
    kind.weight32, kind.weight64 = embedding_backward_weight, embedding_backward_weight
    kind.listed32, kind.listed64 = sparse_backward_weight, sparse_backward_weight
    kind.names_rows = True
    kind.block = 0   # every block would search all samples for its own
