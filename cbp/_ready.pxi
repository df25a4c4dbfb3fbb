# A few rows, straight from Python: included by _core.pyx.
#
# An array that is checked and taken as a memoryview costs more than a small network. These functions read what needs no
# judgement through the pointers of NumPy's C API: finite numbers in arrays, lists and tuples of the right shape. For all else,
# what is wrong included, they return None with nothing changed, and the caller goes the ordinary way, which has the messages.

cdef enum:
    SCRATCH = 32768   # bytes of the C stack for the arena of a prediction
    BRIEF = 65536     # rows times parameters that may run with the GIL held: some microseconds
    WORK = 1 << 24    # the same for what runs without it: milliseconds
    FEW = 128         # rows at most; a piece is never less

READY = {"bytes": SCRATCH, "brief": BRIEF, "work": WORK, "rows": FEW}


def predict_ready(
    cnp.ndarray ops not None, cnp.ndarray parameters not None, object x, int dimensions, Py_ssize_t most,
):
    """Outputs for one row (`dimensions` 1) or for up to `most` rows (2); None where x has to be looked at."""
    cdef Py_ssize_t size = cnp.PyArray_DIM(parameters, 0)
    if cnp.PyArray_TYPE(parameters) == cnp.NPY_FLOAT:
        return ready_outputs(ops, <const float*>cnp.PyArray_DATA(parameters), size, cnp.NPY_FLOAT, x, dimensions, most)
    return ready_outputs(ops, <const double*>cnp.PyArray_DATA(parameters), size, cnp.NPY_DOUBLE, x, dimensions, most)


cdef object ready_outputs(
    cnp.ndarray table, const floating* parameters, Py_ssize_t size, int dtype, object given, int dimensions,
    Py_ssize_t most,
):
    """The arena lies on the stack, so that threads can predict at once."""
    cdef char[SCRATCH + 64] scratch
    cdef floating* arena = <floating*>(&scratch[0] + (64 - <size_t>&scratch[0] % 64))
    cdef const Op* ops = <const Op*>cnp.PyArray_DATA(table)
    cdef Py_ssize_t count = cnp.PyArray_DIM(table, 0)
    cdef const Op* last = &ops[count - 1]
    cdef Pass batch
    cdef cnp.npy_intp[2] shape
    begin_forward(&batch, ops, count, parameters, arena, ops[0].inputs)
    batch.x = ready_rows(given, dimensions, ops[0].inputs, most, arena, &batch.rows)
    if batch.x is NULL:
        return None
    batch.way = batch.rows
    if batch.rows * size <= BRIEF:
        forward(&batch, 0, batch.rows, arena, <floating*>NULL, NULL)
    else:
        with nogil:
            forward(&batch, 0, batch.rows, arena, <floating*>NULL, NULL)
    shape[0] = batch.rows
    shape[1] = last.units
    outputs = cnp.PyArray_EMPTY(dimensions, &shape[2 - dimensions], dtype, 0)
    copy_outputs(&batch, arena, <floating*>cnp.PyArray_DATA(<cnp.ndarray>outputs))
    return outputs


def train_ready(
    object busy, object numbers, cnp.ndarray ops not None, cnp.ndarray run not None, cnp.ndarray parameters not None,
    cnp.ndarray state not None, cnp.ndarray gradient not None, cnp.ndarray arena not None, cnp.ndarray scratch not None,
    cnp.ndarray before not None, cnp.ndarray targets not None, object x, object y, Py_ssize_t most,
):
    """One update with up to `most` rows; returns their loss, or None with nothing changed: x or y have to be looked at, the
    lock `busy` is taken, `state` is no longer that of `numbers`, or the step diverges.

    `before` has room for parameters and state, `targets` for the targets of `most` rows. The lock and the count of steps are
    handled in here too, where no signal comes between them and the update.
    """
    if not busy.acquire(False):
        return None
    try:
        if numbers.state is not state:
            return None
        if cnp.PyArray_TYPE(parameters) == cnp.NPY_FLOAT:
            return ready_step(numbers, ops, run, state, <float*>cnp.PyArray_DATA(parameters),
                              <float*>cnp.PyArray_DATA(gradient), <float*>cnp.PyArray_DATA(arena),
                              <float*>cnp.PyArray_DATA(scratch), <float*>cnp.PyArray_DATA(before),
                              <float*>cnp.PyArray_DATA(targets), x, y, most)
        return ready_step(numbers, ops, run, state, <double*>cnp.PyArray_DATA(parameters),
                          <double*>cnp.PyArray_DATA(gradient), <double*>cnp.PyArray_DATA(arena),
                          <double*>cnp.PyArray_DATA(scratch), <double*>cnp.PyArray_DATA(before),
                          <double*>cnp.PyArray_DATA(targets), x, y, most)
    finally:
        busy.release()


cdef object ready_step(
    object numbers, cnp.ndarray table, cnp.ndarray record, cnp.ndarray state, floating* parameters, floating* gradient,
    floating* arena, floating* scratch, floating* before, floating* targets, object given_x, object given_y, Py_ssize_t most,
):
    cdef const Op* ops = <const Op*>cnp.PyArray_DATA(table)
    cdef Py_ssize_t count = cnp.PyArray_DIM(table, 0)
    cdef Run* run = <Run*>cnp.PyArray_DATA(record)
    cdef Py_ssize_t slots = cnp.PyArray_DIM(state, 0), size = cnp.PyArray_DIM(state, 1)
    cdef const Op* last = &ops[count - 1]
    cdef Py_ssize_t[FEW] room
    cdef double[2 * FEW] results
    cdef Pass batch
    cdef bint done
    memset(&batch, 0, sizeof(Pass))
    batch.ops, batch.count, batch.run = ops, count, run
    batch.x = ready_rows(given_x, 2, ops[0].inputs, most, arena, &batch.rows)
    if batch.x is NULL:
        return None
    if run.loss == losses.CROSS_ENTROPY:
        batch.labels = ready_labels(given_y, batch.rows, last.units, room)
    else:
        batch.targets = ready_targets(given_y, batch.rows, last.units, <int>run.loss, targets)
    if batch.labels is NULL and batch.targets is NULL:
        return None
    batch.ldx, batch.ldy = ops[0].inputs, last.units
    batch.row_loss, batch.row_metric = &results[0], &results[FEW]
    batch.parameters, batch.gradient, batch.arena, batch.scratch = parameters, gradient, arena, scratch
    batch.training = True
    batch.state1 = cnp.PyArray_DATA(state) if slots > 0 else NULL
    batch.state2 = <floating*>batch.state1 + size if slots > 1 else NULL
    optimizers.begin_rule(&batch.rule, run)
    batch.fused = losses.is_fused(<int>run.loss, <int>last.activation)
    run.step = numbers.step
    step = run.step + 1
    if batch.rows * size <= BRIEF:
        done = safe_step(&batch, size, slots, arena, before)
    else:
        with nogil:
            done = safe_step(&batch, size, slots, arena, before)
    if not done:
        return None
    numbers.step = step
    return run.batch_loss / run.batch_weight + run.penalty


cdef bint safe_step(Pass* batch, Py_ssize_t size, Py_ssize_t slots, floating* arena, floating* before) noexcept nogil:
    """One update, or none: where a number would not stay finite all are as they were, and the result is False.

    A parameter that was not finite before is not finite after the step, whatever the rule.
    """
    cdef Run* run = batch.run
    cdef uint64_t mode = flush_subnormals()
    cdef floating* parameters = <floating*>batch.parameters
    cdef floating* state = <floating*>batch.state1
    cdef bint done
    memcpy(before, parameters, size * sizeof(floating))
    if slots > 0:
        memcpy(before + size, state, slots * size * sizeof(floating))
    run.position = run.row = 0
    run.penalty = penalty(batch.ops, batch.count, run, parameters)
    begin_batch(run, batch.rows, <floating*>NULL, NULL)
    batch.way = batch.rows
    one_piece(batch, arena, NULL)
    done = not run.diverged and finite(size, parameters) and finite(slots * size, state)
    if not done:
        memcpy(parameters, before, size * sizeof(floating))
        if slots > 0:
            memcpy(state, before + size, slots * size * sizeof(floating))
    restore_subnormals(mode)
    return done


cdef const floating* ready_rows(
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


cdef const floating* ready_array(
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


cdef bint ready_row(object given, Py_ssize_t columns, floating* row) except -1:
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


cdef const Py_ssize_t* ready_labels(object given, Py_ssize_t rows, Py_ssize_t classes, Py_ssize_t* room) except? NULL:
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


cdef const floating* ready_targets(
    object given, Py_ssize_t rows, Py_ssize_t units, int loss, floating* room,
) except? NULL:
    """Targets (rows, units), or (rows) for a single output, in the range that the loss is defined for."""
    cdef Py_ssize_t found = 0
    cdef const floating* y = ready_rows(given, 2, units, rows, room, &found)
    if y is not NULL and found != rows:
        return NULL
    if y is NULL and units == 1:
        y = ready_rows(given, 1, rows, 1, room, &found)
    if y is not NULL and not in_range(loss, rows * units, y):
        return NULL
    return y


cdef bint in_range(int loss, Py_ssize_t n, const floating* y) noexcept nogil:
    """The same ranges as in engine/arrays.py."""
    cdef Py_ssize_t i
    for i in range(n):
        if loss == losses.BINARY_CROSS_ENTROPY and not (0 <= y[i] <= 1):
            return False
        if loss == losses.POISSON and not y[i] >= 0:
            return False
        if loss == losses.HINGE and not (y[i] == 1 or y[i] == -1):
            return False
    return True
