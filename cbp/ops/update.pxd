# What comes after a gradient: the update of parameters, or the gradient of the penalties.

from cython cimport floating

from cbp.kernels cimport optimizers
from cbp.kernels.structs cimport Op, Run
from cbp.ops.passes cimport Pass


cdef inline void end_gradient(Pass* batch, bint is_weight, Py_ssize_t n, Py_ssize_t offset, floating* g) noexcept nogil:
    """What comes after the gradient of the n parameters from `offset` on: their update or, in the last piece of a batch without
    one, the gradient of the penalties."""
    cdef const Run* run = batch.run
    cdef floating* parameters = <floating*>batch.parameters + offset
    if batch.updating:
        optimizers.update(&batch.rule, is_weight, n, parameters, g, state_of(batch, offset, g), batch.size)
    elif is_weight and run.row + batch.rows == run.batch_rows:
        optimizers.add_penalty(n, parameters, g, <floating>run.l1, <floating>run.l2)


cdef inline floating* state_of(const Pass* batch, Py_ssize_t offset, const floating* _like) noexcept nogil:
    """The state of the parameters from `offset` on: in the first array, the others follow at distances of `size`."""
    return <floating*>batch.state + offset if batch.state is not NULL else NULL


cdef inline double penalty(const Op* ops, Py_ssize_t count, const Run* run, const floating* w) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t index
    if run.l1 == 0 and run.l2 == 0:
        return 0
    for index in range(count):
        if ops[index].weight_rows > 0 and not ops[index].unpenalised:
            total += optimizers.penalty(ops[index].weight_rows * ops[index].weight_width, w + ops[index].weight, run.l1, run.l2)
    return total
