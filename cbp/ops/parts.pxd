# The gradients of parameters as sums of many terms, in parts (kernels/sums.pxd).
#
# A gradient has a term for every position of every row of the batch. Where these are more than DEEP, an op takes a stretch of
# them at a time (`next_part`), always added to g, and after it says so (`end_part`). Where a part ends depends only on the
# number of the term within the batch, so neither threads nor pieces change a bit. The three sums beside g belong to the run and
# lie in batch.parts, in the places that the gradient has.

from cython cimport floating
from libc.string cimport memset

from cbp.kernels.inlining cimport apart
from cbp.kernels.structs cimport Op
from cbp.kernels.sums cimport DEEP, PARTS, TERMS, add_exactly
from cbp.ops.passes cimport SUMS_INPUTS, SUMS_NOTHING, Pass


cdef inline Py_ssize_t terms_of_row(const Pass* batch, const Op* op) noexcept nogil:
    return op.in_positions if batch.kinds[op.kind].sums == SUMS_INPUTS else op.positions


cdef inline bint in_parts(const Pass* batch, const Op* op) noexcept nogil:
    """Whether the gradient of an op is summed in parts in this batch."""
    return (batch.parts is not NULL and batch.kinds[op.kind].sums != SUMS_NOTHING
            and batch.way * terms_of_row(batch, op) > DEEP)


cdef inline floating* middle_of(const Pass* batch, const floating* g) noexcept nogil:
    """The first of the three sums beside g; the others follow at distances of parts_size."""
    return <floating*>batch.parts + (g - <const floating*>batch.gradient)


cdef inline apart begin_parts(const Pass* batch, const Op* op, Py_ssize_t n, floating* g) noexcept nogil:
    """Before the first term of a batch: n numbers from g on."""
    cdef floating* middle = middle_of(batch, g)
    if batch.run.row > 0:
        return
    memset(g, 0, n * sizeof(floating))
    memset(middle, 0, n * sizeof(floating))
    memset(middle + batch.parts_size, 0, n * sizeof(floating))
    memset(middle + 2 * batch.parts_size, 0, n * sizeof(floating))


cdef inline Py_ssize_t next_part(
    const Pass* batch, const Op* op, Py_ssize_t done, Py_ssize_t left,
) noexcept nogil:
    """How many of the `left` terms that come next, after `done` of this piece, go together."""
    if not in_parts(batch, op):
        return left
    return min(left, TERMS - (batch.run.row * terms_of_row(batch, op) + done) % TERMS)


cdef inline void end_part(
    const Pass* batch, const Op* op, Py_ssize_t done, Py_ssize_t terms, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld,
    floating* g,
) noexcept nogil:
    """After `terms` more than `done` of this piece: rows x columns numbers of g, whose rows are `ld` apart."""
    cdef Py_ssize_t before, after
    if not in_parts(batch, op):
        return
    before = batch.run.row * terms_of_row(batch, op) + done
    after = before + terms
    if before // TERMS == after // TERMS:
        return
    move_part(batch, before // (TERMS * PARTS) < after // (TERMS * PARTS), rows, columns, ld, g)


cdef inline apart move_part(
    const Pass* batch, bint full, Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t ld, floating* g,
) noexcept nogil:
    """From g to the sum of some parts and, where that is `full`, on to the total."""
    cdef floating* middle = middle_of(batch, g)
    cdef floating* total = middle + batch.parts_size
    cdef Py_ssize_t r, j
    for r in range(rows):
        for j in range(columns):
            middle[r * ld + j] += g[r * ld + j]
            g[r * ld + j] = 0
    if not full:
        return
    for r in range(rows):
        add_exactly(columns, middle + r * ld, total + r * ld, total + batch.parts_size + r * ld)
        memset(middle + r * ld, 0, columns * sizeof(floating))


cdef inline apart end_parts(const Pass* batch, const Op* op, Py_ssize_t n, floating* g) noexcept nogil:
    """After the last piece of a batch g becomes the sum of all."""
    cdef const floating* middle = middle_of(batch, g)
    cdef const floating* total = middle + batch.parts_size
    cdef const floating* rest = total + batch.parts_size
    cdef Py_ssize_t j
    if batch.run.row + batch.rows < batch.way:
        return
    for j in range(n):
        g[j] = total[j] + (rest[j] + (middle[j] + g[j]))
