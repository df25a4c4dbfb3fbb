# Gradients by a few rows, straight from Python, as loops/ready.pxd does with outputs and steps.

cimport numpy as cnp
from cython cimport floating
from libc.math cimport isfinite
from libc.stdint cimport uint64_t
from libc.string cimport memcpy, memset

from cbp.kernels.finite cimport finite
from cbp.kernels.losses cimport CLASSES, is_fused
from cbp.kernels.structs cimport Op, Run
from cbp.kernels.subnormals cimport flush_subnormals, restore_subnormals
from cbp.loops.epochs cimport begin_batch
from cbp.loops.jacobian cimport copy_d_x
from cbp.loops.ready cimport BRIEF, FEW, fits, is_apart, ready_labels, ready_rows, ready_targets
from cbp.loops.step cimport forward, one_piece, op_back
from cbp.ops.passes cimport Pass, d_output_of
from cbp.ops.update cimport penalty


cdef inline object ready_back(
    Pass* batch, floating* arena, cnp.ndarray parameters, Py_ssize_t count, object given_x, object given_d, object into,
    Py_ssize_t most,
):
    """(d_input, gradient), or None where something has to be looked at."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef floating* room
    cdef const floating* d
    cdef Py_ssize_t found = 0
    cdef cnp.npy_intp[2] shape
    cdef cnp.npy_intp length = count
    batch.x = ready_rows(given_x, 2, batch.ops[0].inputs, most, arena, &batch.rows)
    if batch.x is NULL:
        return None
    room = arena + batch.rows * batch.run.targets
    d = ready_rows(given_d, 2, last.units, batch.rows, room, &found)
    if d is NULL and last.units == 1:
        d = ready_rows(given_d, 1, batch.rows, 1, room, &found)
        found = batch.rows
    if d is NULL or found != batch.rows:
        return None
    shape[0], shape[1] = batch.rows, batch.ops[0].inputs
    d_input, gradient = (None, None) if into is None else into
    d_input = place_for(d_input, 2, shape, parameters, given_x, given_d)
    gradient = place_for(gradient, 1, &length, parameters, given_x, given_d)
    if d_input is None or gradient is None or not is_apart(<cnp.ndarray>d_input, gradient):
        return None
    if batch.rows * batch.size <= BRIEF:
        back(batch, d, arena)
    else:
        with nogil:
            back(batch, d, arena)
    if not finite(batch.rows * batch.ld_dx, <const floating*>batch.d_x) or not finite(
            batch.size, <const floating*>batch.gradient):
        return None
    copy_d_x(batch, batch.ops[0].inputs, <floating*>cnp.PyArray_DATA(<cnp.ndarray>d_input))
    without_pads(batch, <floating*>cnp.PyArray_DATA(<cnp.ndarray>gradient))
    return d_input, gradient


cdef inline void back(Pass* batch, const floating* given, floating* arena) noexcept nogil:
    """All rows forward, and back from the gradient that is given for their outputs."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef floating* scratch = <floating*>batch.scratch
    cdef floating* d
    cdef Py_ssize_t index, r
    batch.way = batch.rows
    batch.run.row = batch.run.batch_rows = 0
    forward(batch, 0, batch.rows, arena, scratch, NULL)
    d = d_output_of(batch, last, 0, arena)
    memset(d, 0, batch.rows * last.width * sizeof(floating))
    for r in range(batch.rows):
        memcpy(d + r * last.width, given + r * last.units, last.units * sizeof(floating))
    for index in range(batch.count - 1, -1, -1):
        op_back(batch, index, arena, scratch, NULL)


cdef inline object ready_gradient(
    Pass* batch, floating* arena, cnp.ndarray parameters, Py_ssize_t count, object given_x, object given_y, object into,
    Py_ssize_t most,
):
    """(loss, gradient), or None where something has to be looked at."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef floating* room
    cdef Py_ssize_t[FEW] classes
    cdef double[2 * FEW] results
    cdef double loss
    cdef bint flat = False
    cdef cnp.npy_intp length = count
    batch.x = ready_rows(given_x, 2, batch.ops[0].inputs, most, arena, &batch.rows)
    if batch.x is NULL:
        return None
    room = arena + batch.rows * batch.run.targets
    if batch.loss.targets == CLASSES:
        batch.labels = ready_labels(given_y, batch.rows, last.units, classes)
    else:
        batch.targets = ready_targets(given_y, batch.rows, last.units, batch.loss, room, &flat)
    if batch.labels is NULL and batch.targets is NULL:
        return None
    gradient = place_for(into, 1, &length, parameters, given_x, given_y)
    if gradient is None:
        return None
    batch.ldy, batch.d_x = last.units, NULL
    batch.row_loss, batch.row_metric = &results[0], &results[FEW]
    batch.fused = is_fused(batch.loss, &batch.activations[last.activation])
    if batch.rows * batch.size <= BRIEF:
        follow(batch, arena)
    else:
        with nogil:
            follow(batch, arena)
    loss = batch.run.batch_loss / batch.run.batch_weight + batch.run.penalty
    if not isfinite(loss) or not finite(batch.size, <const floating*>batch.gradient):
        return None
    without_pads(batch, <floating*>cnp.PyArray_DATA(<cnp.ndarray>gradient))
    return loss, gradient


cdef inline void follow(Pass* batch, floating* arena) noexcept nogil:
    """The loss of the rows and its gradient."""
    cdef Run* run = batch.run
    cdef uint64_t mode = flush_subnormals()
    batch.way = batch.rows
    run.position = run.row = 0
    run.penalty = penalty(batch.ops, batch.count, run, <const floating*>batch.parameters)
    begin_batch(run, batch.rows, <floating*>NULL, NULL)
    one_piece(batch, arena, NULL)
    restore_subnormals(mode)


cdef inline void without_pads(const Pass* batch, floating* out) noexcept nogil:
    """The gradient of a stack of dense layers, whose arrays lie in the order of the ops."""
    cdef const floating* gradient = <const floating*>batch.gradient
    cdef const Op* op
    cdef Py_ssize_t index, i
    for index in range(batch.count):
        op = &batch.ops[index]
        if op.units == op.width:
            memcpy(out, gradient + op.weight, op.inputs * op.units * sizeof(floating))
            out += op.inputs * op.units
        else:
            for i in range(op.inputs):
                memcpy(out, gradient + op.weight + i * op.width, op.units * sizeof(floating))
                out += op.units
        if op.bias >= 0:
            memcpy(out, gradient + op.bias, op.units * sizeof(floating))
            out += op.units


cdef inline object place_for(
    object into, int dimensions, cnp.npy_intp* shape, cnp.ndarray parameters, object one, object other,
):
    """An array for results: the one that is given, if it suits, else None; a new one where none is given."""
    cdef int dtype = cnp.PyArray_TYPE(parameters)
    if into is None:
        return cnp.PyArray_SimpleNew(dimensions, shape, dtype)
    if not fits(into, dtype, dimensions, shape):
        return None
    if not (is_apart(<cnp.ndarray>into, parameters) and is_apart(<cnp.ndarray>into, one)
            and is_apart(<cnp.ndarray>into, other)):
        return None
    return into
