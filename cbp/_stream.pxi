# One time step of a sequence that arrives step by step, straight from Python: included by _core.pyx. See _ready.pxi.

def step_ready(
    cnp.ndarray ops not None, cnp.ndarray parameters not None, cnp.ndarray statistics not None, cnp.ndarray carry not None,
    cnp.ndarray arena not None, cnp.ndarray workspace not None, cnp.ndarray scratch not None, object x,
):
    """Outputs of one step of one sequence, whose state in `carry` goes on; None where x has to be looked at.

    The GIL is held, so that calls follow each other. `ops` are those of a plan of one time step.
    """
    if cnp.PyArray_TYPE(parameters) == cnp.NPY_FLOAT:
        return step_outputs(ops, <float*>cnp.PyArray_DATA(parameters), <float*>cnp.PyArray_DATA(statistics), carry,
                            <float*>cnp.PyArray_DATA(arena), <float*>cnp.PyArray_DATA(workspace),
                            <float*>cnp.PyArray_DATA(scratch), cnp.NPY_FLOAT, x)
    return step_outputs(ops, <double*>cnp.PyArray_DATA(parameters), <double*>cnp.PyArray_DATA(statistics), carry,
                        <double*>cnp.PyArray_DATA(arena), <double*>cnp.PyArray_DATA(workspace),
                        <double*>cnp.PyArray_DATA(scratch), cnp.NPY_DOUBLE, x)


cdef object step_outputs(
    cnp.ndarray table, floating* parameters, floating* statistics, cnp.ndarray carry, floating* arena, floating* workspace,
    floating* scratch, int dtype, object x,
):
    cdef const Op* ops = <const Op*>cnp.PyArray_DATA(table)
    cdef Pass batch
    cdef cnp.npy_intp units
    begin_forward(&batch, ops, cnp.PyArray_DIM(table, 0), parameters, arena, ops[0].inputs)
    batch.x = ready_rows(x, 1, ops[0].inputs, 1, arena, &batch.rows)
    if batch.x is NULL or (ops[0].kind == EMBEDDING and not names_row(ops, (<const floating*>batch.x)[0])):
        return None
    batch.way = 1
    batch.statistics, batch.workspace = statistics, workspace
    batch.carry, batch.carry_size = cnp.PyArray_DATA(carry), cnp.PyArray_DIM(carry, 0)
    forward(&batch, 0, 1, arena, scratch, NULL)
    units = ops[batch.count - 1].units
    outputs = cnp.PyArray_EMPTY(1, &units, dtype, 0)
    copy_outputs(&batch, arena, <floating*>cnp.PyArray_DATA(<cnp.ndarray>outputs))
    return outputs


cdef inline bint names_row(const Op* op, floating x) noexcept nogil:
    """Whether x is a whole number that an embedding has a row for."""
    return 0 <= x < <floating>op.weight_rows and x == <floating><Py_ssize_t>x
