# A few rows, or one time step of a sequence that arrives step by step, straight from Python.
#
# An array that is checked and taken as a memoryview costs more than a small network. These functions read what needs no
# judgement through the pointers of NumPy's C API: finite numbers in arrays, lists and tuples of the right shape. For all else,
# what is wrong included, they return None with nothing changed, and the caller goes the ordinary way, which has the messages.

cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cython cimport floating
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from cbp.kernels cimport gather
from cbp.kernels.finite cimport finite
from cbp.kernels.losses cimport CLASSES, Loss, in_range, is_fused
from cbp.kernels.structs cimport Op, Run
from cbp.kernels.subnormals cimport flush_subnormals, restore_subnormals
from cbp.loops.answer cimport begin_forward, copy_outputs, finite_outputs
from cbp.loops.epochs cimport begin_batch
from cbp.loops.deferred cimport follow_gradient, take_average
from cbp.loops.step cimport begin_update, forward, one_piece
from cbp.ops.passes cimport Pass
from cbp.ops.table cimport Tables
from cbp.ops.update cimport penalty


cdef enum:
    SCRATCH = 32768   # bytes of the C stack for the arena of a prediction
    BRIEF = 65536     # rows times parameters that may run with the GIL held: some microseconds
    WORK = 1 << 24    # the same for what runs without it: milliseconds
    FEW = 128         # rows at most; a piece is never less

cdef inline object ready_outputs(
    Tables* tables, cnp.ndarray table, const floating* parameters, Py_ssize_t size, int dtype, object given, int dimensions,
    Py_ssize_t most, bint flat, cnp.ndarray numbers, object into,
):
    """The arena lies on the stack, so that threads can predict at once. The outputs go `into` an array, None: a new one;
    `numbers` are the parameters again."""
    cdef char[SCRATCH + 64] scratch
    cdef floating* arena = <floating*>(&scratch[0] + (64 - <size_t>&scratch[0] % 64))
    cdef const Op* ops = <const Op*>cnp.PyArray_DATA(table)
    cdef Py_ssize_t count = cnp.PyArray_DIM(table, 0)
    cdef const Op* last = &ops[count - 1]
    cdef Pass batch
    cdef cnp.npy_intp[2] shape
    begin_forward(&batch, tables, ops, count, parameters, arena, ops[0].inputs)
    batch.x = ready_rows(given, dimensions, ops[0].inputs, most, arena, &batch.rows)
    if batch.x is NULL:
        return None
    batch.way = batch.rows
    shape[0] = batch.rows
    shape[1] = last.units
    if into is not None and not (fits(into, dtype, dimensions - flat, &shape[2 - dimensions])
                                 and is_apart(<cnp.ndarray>into, given) and is_apart(<cnp.ndarray>into, numbers)):
        return None
    if batch.rows * size <= BRIEF:
        forward(&batch, 0, batch.rows, arena, <floating*>NULL, NULL)
    else:
        with nogil:
            forward(&batch, 0, batch.rows, arena, <floating*>NULL, NULL)
    if not finite_outputs(&batch, arena):
        return None
    if into is not None:
        copy_outputs(&batch, arena, <floating*>cnp.PyArray_DATA(<cnp.ndarray>into))
        return into
    return outputs_of(&batch, arena, dimensions - flat, &shape[2 - dimensions], dtype)


cdef inline bint fits(object given, int dtype, int dimensions, const cnp.npy_intp* shape) noexcept:
    """Whether something is an array of this dtype and shape that can be written to from its first number to its last."""
    cdef int axis
    if not cnp.PyArray_CheckExact(given):
        return False
    if (cnp.PyArray_TYPE(<cnp.ndarray>given) != dtype or cnp.PyArray_NDIM(<cnp.ndarray>given) != dimensions
            or not cnp.PyArray_ISCARRAY(<cnp.ndarray>given)):
        return False
    for axis in range(dimensions):
        if cnp.PyArray_DIM(<cnp.ndarray>given, axis) != shape[axis]:
            return False
    return True


cdef inline bint is_apart(cnp.ndarray one, object other) noexcept:
    """Whether an array without gaps shares no memory with another such one, or with something that is no array."""
    cdef const char* a = <const char*>cnp.PyArray_DATA(one)
    cdef const char* b
    if not cnp.PyArray_CheckExact(other):
        return True
    b = <const char*>cnp.PyArray_DATA(<cnp.ndarray>other)
    return a + cnp.PyArray_NBYTES(one) <= b or b + cnp.PyArray_NBYTES(<cnp.ndarray>other) <= a


cdef inline object outputs_of(Pass* batch, floating* arena, int dimensions, cnp.npy_intp* shape, int dtype):
    """The outputs as an array of this shape; of no dimensions as a number."""
    outputs = cnp.PyArray_SimpleNew(dimensions, shape, dtype)
    cdef floating* numbers = <floating*>cnp.PyArray_DATA(<cnp.ndarray>outputs)
    copy_outputs(batch, arena, numbers)
    return outputs if dimensions > 0 else cnp.PyArray_ToScalar(numbers, <cnp.ndarray>outputs)


cdef inline object ready_step(
    Pass* batch, floating* arena, floating* before, floating* targets, object given_x, object given_y, Py_ssize_t most,
    bint* flat,
):
    """The loss before an update by these rows; None where nothing was changed."""
    cdef const Op* ops = batch.ops
    cdef const Op* last = &ops[batch.count - 1]
    cdef Run* run = batch.run
    cdef Py_ssize_t[FEW] room
    cdef double[2 * FEW] results
    cdef bint done
    batch.x = ready_rows(given_x, 2, ops[0].inputs, most, arena, &batch.rows)
    if batch.x is NULL:
        return None
    if batch.loss.targets == CLASSES:
        batch.labels = ready_labels(given_y, batch.rows, last.units, room)
    else:
        batch.targets = ready_targets(given_y, batch.rows, last.units, batch.loss, targets, flat)
    if batch.labels is NULL and batch.targets is NULL:
        return None
    batch.ldx, batch.ldy = ops[0].inputs, last.units
    batch.row_loss, batch.row_metric = &results[0], &results[FEW]
    batch.fused = is_fused(batch.loss, &batch.activations[last.activation])
    if batch.rows * batch.size <= BRIEF:
        done = safe_step(batch, arena, before)
    else:
        with nogil:
            done = safe_step(batch, arena, before)
    return run.batch_loss / run.batch_weight + run.penalty if done else None


cdef inline bint safe_step(Pass* batch, floating* arena, floating* before) noexcept nogil:
    """One update, or none: where a number would not stay finite all are as they were, and the result is False.

    A parameter that was not finite before is not finite after the step, whatever the rule.
    """
    cdef Run* run = batch.run
    cdef uint64_t mode = flush_subnormals()
    cdef bint done
    keep(batch, before)
    run.position = run.row = 0
    run.penalty = penalty(batch.ops, batch.count, run, <const floating*>batch.parameters)
    begin_batch(run, batch.rows, <floating*>NULL, NULL)
    batch.way = batch.rows
    one_piece(batch, arena, NULL)
    done = not run.diverged and stayed_finite(batch, before)
    restore_subnormals(mode)
    return done


cdef inline void keep(const Pass* batch, floating* before) noexcept nogil:
    memcpy(before, batch.parameters, batch.size * sizeof(floating))
    if batch.states > 0:
        memcpy(before + batch.size, batch.state, batch.states * batch.size * sizeof(floating))


cdef inline bint stayed_finite(const Pass* batch, const floating* before) noexcept nogil:
    """Whether all numbers are finite; if not, they become what they were."""
    cdef Py_ssize_t states = batch.states * batch.size
    if finite(batch.size, <const floating*>batch.parameters) and finite(states, <const floating*>batch.state):
        return True
    memcpy(batch.parameters, before, batch.size * sizeof(floating))
    if batch.states > 0:
        memcpy(batch.state, before + batch.size, batch.states * batch.size * sizeof(floating))
    return False


cdef inline bint ready_update(
    Pass* batch, floating* gradient, floating* before, const Py_ssize_t* runs, Py_ssize_t run_count, Py_ssize_t count,
    object given,
) except -1:
    """Whether an update by this gradient was made; if not, nothing was changed."""
    cdef cnp.ndarray array
    cdef int dtype
    cdef bint done
    if not cnp.PyArray_CheckExact(given):
        return False
    array = <cnp.ndarray>given
    dtype = cnp.PyArray_TYPE(array)
    if cnp.PyArray_NDIM(array) != 1 or cnp.PyArray_DIM(array, 0) != count or not cnp.PyArray_ISCARRAY_RO(array):
        return False
    if dtype == cnp.NPY_FLOAT:
        spread(run_count, runs, <const float*>cnp.PyArray_DATA(array), gradient)
    elif dtype == cnp.NPY_DOUBLE:
        spread(run_count, runs, <const double*>cnp.PyArray_DATA(array), gradient)
    else:
        return False
    with nogil:
        done = finite(batch.size, gradient) and safe_update(batch, gradient, before)
    return done


ctypedef fused number:
    float
    double


cdef inline void spread(Py_ssize_t count, const Py_ssize_t* runs, const number* given, floating* gradient) noexcept nogil:
    """What lies in a row goes to where each stretch of it belongs: (first place, how many)."""
    cdef floating* g
    cdef Py_ssize_t r, i, n
    for r in range(count):
        g, n = gradient + runs[2 * r], runs[2 * r + 1]
        for i in range(n):
            g[i] = <floating>given[i]
        given += n


cdef inline bint safe_update(Pass* batch, floating* gradient, floating* before) noexcept nogil:
    """As `safe_step`, by a gradient that is there."""
    cdef uint64_t mode = flush_subnormals()
    cdef bint done
    keep(batch, before)
    begin_update(batch)
    follow_gradient(batch, gradient, NULL)
    if batch.average is not NULL:
        take_average(batch, gradient, NULL)
    done = stayed_finite(batch, before)
    restore_subnormals(mode)
    return done


cdef inline const floating* ready_rows(
    object given, int dimensions, Py_ssize_t columns, Py_ssize_t most, floating* room, Py_ssize_t* rows,
) except? NULL:
    """The numbers of one row, or of up to `most` rows, and how many rows; NULL where they have to be looked at.

    An array of the dtype is read where it is, anything else is converted into `room`.
    """
    if cnp.PyArray_CheckExact(given):
        return ready_array(<cnp.ndarray>given, dimensions, columns, most, room, rows)
    if dimensions == 1:
        rows[0] = 1
        return room if most > 0 and ready_row(given, columns, room) else NULL
    if type(given) is not list and type(given) is not tuple:
        return NULL
    rows[0] = 0
    for row in given:
        if rows[0] == most or not ready_row(row, columns, room + rows[0] * columns):
            return NULL
        rows[0] += 1
    return room if rows[0] > 0 else NULL


cdef inline const floating* ready_array(
    cnp.ndarray given, int dimensions, Py_ssize_t columns, Py_ssize_t most, floating* room, Py_ssize_t* rows,
) noexcept:
    cdef const floating* x = room
    cdef int dtype = cnp.PyArray_TYPE(given)
    cdef int own = cnp.NPY_FLOAT if sizeof(floating) == sizeof(float) else cnp.NPY_DOUBLE
    if (cnp.PyArray_NDIM(given) != dimensions or cnp.PyArray_DIM(given, dimensions - 1) != columns
            or not cnp.PyArray_ISCARRAY_RO(given)):
        return NULL
    rows[0] = cnp.PyArray_DIM(given, 0) if dimensions == 2 else 1
    if rows[0] < 1 or rows[0] > most:
        return NULL
    if dtype == own:
        x = <const floating*>cnp.PyArray_DATA(given)
    elif dtype == cnp.NPY_FLOAT:
        gather.convert(gather.FLOAT32, rows[0] * columns, <const float*>cnp.PyArray_DATA(given), sizeof(float), room)
    elif dtype == cnp.NPY_DOUBLE:
        gather.convert(gather.FLOAT64, rows[0] * columns, <const double*>cnp.PyArray_DATA(given), sizeof(double), room)
    else:
        return NULL
    return x if finite(rows[0] * columns, x) else NULL


cdef inline bint ready_row(object given, Py_ssize_t columns, floating* row) except -1:
    """Convert a list or tuple of as many finite floats and ints; False where it holds anything else.

    Ints beyond 2^53 are left to NumPy, which does not round them to a double first.
    """
    cdef Py_ssize_t j = 0
    cdef long long whole
    cdef int overflow = 0
    if type(given) is not list and type(given) is not tuple:
        return False
    for value in given:
        if j == columns:
            return False
        if PyFloat_CheckExact(value):
            row[j] = <floating>PyFloat_AS_DOUBLE(value)
        elif PyLong_CheckExact(value):
            whole = PyLong_AsLongLongAndOverflow(value, &overflow)
            if overflow or whole > 1LL << 53 or whole < -(1LL << 53):
                return False
            row[j] = <floating>whole
        else:
            return False
        j += 1
    return j == columns and finite(columns, row)


cdef inline const Py_ssize_t* ready_labels(object given, Py_ssize_t rows, Py_ssize_t classes, Py_ssize_t* room) except? NULL:
    """Class numbers from an array of intp or a list of ints, copied: another thread may write into the array."""
    cdef Py_ssize_t i = 0
    cdef int overflow = 0
    if cnp.PyArray_CheckExact(given):
        if (cnp.PyArray_NDIM(<cnp.ndarray>given) != 1 or cnp.PyArray_DIM(<cnp.ndarray>given, 0) != rows
                or cnp.PyArray_TYPE(<cnp.ndarray>given) != cnp.NPY_INTP or not cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>given)):
            return NULL
        memcpy(room, cnp.PyArray_DATA(<cnp.ndarray>given), rows * sizeof(Py_ssize_t))
    elif type(given) is list or type(given) is tuple:
        for value in given:
            if i == rows or not PyLong_CheckExact(value):
                return NULL
            room[i] = PyLong_AsLongLongAndOverflow(value, &overflow)   # -1 where it overflows
            i += 1
        if i != rows:
            return NULL
    else:
        return NULL
    for i in range(rows):
        if room[i] < 0 or room[i] >= classes:
            return NULL
    return room


cdef inline const floating* ready_targets(
    object given, Py_ssize_t rows, Py_ssize_t units, const Loss* loss, floating* room, bint* flat,
) except? NULL:
    """Targets (rows, units), or `flat`, (rows), for a single output, in the range that the loss is defined for."""
    cdef Py_ssize_t found = 0
    cdef const floating* y = ready_rows(given, 2, units, rows, room, &found)
    if y is not NULL and found != rows:
        return NULL
    if y is NULL and units == 1:
        y = ready_rows(given, 1, rows, 1, room, &found)
        flat[0] = True
    if y is not NULL and not in_range(loss, rows * units, y):
        return NULL
    return y


# --- one time step ------------------------------------------------------------------------------------------------------------

cdef inline object step_outputs(
    Tables* tables, cnp.ndarray table, floating* parameters, floating* statistics, cnp.ndarray carry, floating* arena,
    floating* workspace, floating* scratch, int dtype, object x, bint flat,
):
    cdef const Op* ops = <const Op*>cnp.PyArray_DATA(table)
    cdef Pass batch
    cdef cnp.npy_intp units
    begin_forward(&batch, tables, ops, cnp.PyArray_DIM(table, 0), parameters, arena, ops[0].inputs)
    batch.x = ready_rows(x, 1, ops[0].inputs, 1, arena, &batch.rows)
    if batch.x is NULL or (tables.kinds[ops[0].kind].names_rows and not names_row(ops, (<const floating*>batch.x)[0])):
        return None
    batch.way = 1
    batch.statistics, batch.workspace = statistics, workspace
    batch.carry, batch.carry_size = cnp.PyArray_DATA(carry), cnp.PyArray_DIM(carry, 0)
    forward(&batch, 0, 1, arena, scratch, NULL)
    units = ops[batch.count - 1].units
    return outputs_of(&batch, arena, 1 - flat, &units, dtype)


cdef inline bint names_row(const Op* op, floating x) noexcept nogil:
    """Whether x is a whole number that an embedding has a row for."""
    return 0 <= x < <floating>op.weight_rows and x == <floating><Py_ssize_t>x
