# The rectifier with a learned slope for every channel as an op (He et al., 2015, Delving deep into rectifiers). Its weight is
# one row, the slopes. The samples may be without pads; what the op writes has them.

from cython cimport floating
from libc.string cimport memset

from cbp.kernels.inlining cimport forced
from cbp.kernels.structs cimport Op
from cbp.ops.parts cimport end_part, next_part
from cbp.ops.passes cimport SUMS_OUTPUTS, Kind, Pass, d_input_of, d_output_of, input_of, sums_of


cdef inline forced rectify(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t width, const floating* slope, const floating* x, Py_ssize_t ldx,
    const floating* v, Py_ssize_t ldv, floating* y,
) noexcept nogil:
    """y (rows, width) = v where x > 0, else slope v; both are read up to `columns`, y is 0 from there on."""
    cdef Py_ssize_t r, j
    for r in range(rows):
        for j in range(columns):
            y[r * width + j] = v[r * ldv + j] if x[r * ldx + j] > 0 else slope[j] * v[r * ldv + j]
        for j in range(columns, width):
            y[r * width + j] = 0


cdef inline void prelu_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    """y = x where x > 0, else slope x."""
    cdef const floating* slope = <const floating*>batch.parameters + op.weight
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef floating* y = sums_of(batch, op, first, arena)
    if op.in_width == op.width:
        rectify(rows * op.positions, op.width, op.width, slope, x, op.width, x, op.width, y)
    else:
        rectify(rows * op.positions, op.units, op.width, slope, x, op.in_width, x, op.in_width, y)


cdef inline void prelu_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    """dx = dy where x > 0, else slope dy."""
    cdef const floating* slope = <const floating*>batch.parameters + op.weight
    cdef const floating* x = input_of(batch, op, first, arena)
    cdef const floating* dy = d_output_of(batch, op, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is NULL:
        return
    if op.in_width == op.width:
        rectify(rows * op.positions, op.width, op.width, slope, x, op.width, dy, op.width, dx)
    else:
        rectify(rows * op.positions, op.units, op.width, slope, x, op.in_width, dy, op.width, dx)


cdef inline forced add_slopes(
    Py_ssize_t rows, const Py_ssize_t columns, const floating* x, Py_ssize_t ldx, const floating* dy, Py_ssize_t width,
    floating* g,
) noexcept nogil:
    """g += sum of dy x over the rows in which x is not above 0, in their order, of up to 16 columns."""
    cdef floating s[16]
    cdef Py_ssize_t r, k
    for k in range(columns):
        s[k] = g[k]
    for r in range(rows):
        for k in range(columns):
            s[k] += <floating>0 if x[r * ldx + k] > 0 else dy[r * width + k] * x[r * ldx + k]
    for k in range(columns):
        g[k] = s[k]


cdef inline void prelu_backward_weight(
    const Pass* batch, const Op* op, Py_ssize_t _row, Py_ssize_t _n, bint accumulate, floating* arena, floating* _scratch,
    floating* g,
) noexcept nogil:
    """Of the slopes: one row."""
    cdef const floating* x = input_of(batch, op, 0, arena)
    cdef const floating* dy = d_output_of(batch, op, 0, arena)
    cdef Py_ssize_t rows = batch.rows * op.positions, done = 0, some, c
    if not accumulate:
        memset(g, 0, op.width * sizeof(floating))
    while done < rows:
        some = next_part(batch, op, done, rows - done)
        for c in range(0, op.width, 16):
            if c + 16 <= op.in_width:
                add_slopes(some, 16, x + c, op.in_width, dy + c, op.width, g + c)
            else:
                add_slopes(some, op.in_width - c, x + c, op.in_width, dy + c, op.width, g + c)
        end_part(batch, op, done, some, 1, op.width, op.width, g)
        done += some
        x += some * op.in_width
        dy += some * op.width


cdef inline void prelu_kind(Kind* kind) noexcept:
    kind.name = "prelu"
    kind.forward32, kind.forward64 = prelu_forward, prelu_forward
    kind.backward32, kind.backward64 = prelu_backward_rows, prelu_backward_rows
    kind.weight32, kind.weight64 = prelu_backward_weight, prelu_backward_weight
    kind.sums = SUMS_OUTPUTS
