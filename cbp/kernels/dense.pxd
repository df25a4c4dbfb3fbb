# The dense layer: z = x W + b, and back: dW = xᵀ dz, db = sum of dz over the rows, dx = dz Wᵀ.
#
# x (rows, inputs), row stride ldx; W (inputs, width), b (width), z and dz (rows, width); width = units padded to a multiple of
# 16, the pad lanes of W, b, dz being 0. `accumulate` adds to dW and db: a batch can come in several pieces.

from cython cimport floating

from cbp.kernels.activations cimport lanes_sum
from cbp.kernels.tile cimport product

cdef extern from *:
    """
    static const float cbp_one_f = 1.0f;
    static const double cbp_one_d = 1.0;
    """
    const float ONE32 "cbp_one_f"
    const double ONE64 "cbp_one_d"


cdef inline void dense_forward(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t width,
    const floating* x, Py_ssize_t ldx, const floating* weight, const floating* bias, floating* z,
) noexcept nogil:
    product(rows, width, inputs, x, ldx, 1, weight, width, bias, 0, z, width)


cdef inline void dense_backward_weight(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t width, bint accumulate,
    const floating* x, Py_ssize_t ldx, const floating* dz, floating* d_weight,
) noexcept nogil:
    product(inputs, width, rows, x, 1, ldx, dz, width, d_weight if accumulate else NULL, width, d_weight, width)


cdef inline void dense_backward_bias(
    Py_ssize_t rows, Py_ssize_t width, bint accumulate, const floating* dz, floating* d_bias,
) noexcept nogil:
    """The same product with a column of ones for x."""
    cdef const floating* one
    if floating is float:
        one = &ONE32
    else:
        one = &ONE64
    product(1, width, rows, one, 0, 0, dz, width, d_bias if accumulate else NULL, 0, d_bias, width)


cdef inline void transpose(
    Py_ssize_t rows, Py_ssize_t columns, const floating* weight, Py_ssize_t ldw, floating* mirror, Py_ssize_t ldm,
) noexcept nogil:
    """mirror[j, i] = weight[i, j], in blocks of 16 rows so that both sides stay in the first-level cache.

    The lanes of mirror beyond `rows` up to the next multiple of 16 become 0.
    """
    cdef Py_ssize_t i, j, block, last
    for block in range(0, ldm, 16):
        last = rows - block if rows - block < 16 else 16
        if last == 16:
            for j in range(columns):
                for i in range(16):
                    mirror[j * ldm + block + i] = weight[(block + i) * ldw + j]
        else:
            for j in range(columns):
                for i in range(last):
                    mirror[j * ldm + block + i] = weight[(block + i) * ldw + j]
                for i in range(last, 16):
                    mirror[j * ldm + block + i] = 0


cdef inline void dense_backward_input(
    Py_ssize_t batch, Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t units, Py_ssize_t width,
    const floating* weight, floating* scratch, const floating* dz, floating* dx, Py_ssize_t lddx,
) noexcept nogil:
    """dx (rows, lddx). The product reads its second factor by contiguous rows, so something must be transposed first: W, or,
    where that is less, dz before and dx after the product dxᵀ = W dzᵀ. `scratch` has room for Wᵀ (units, lddx).

    The batch, of which these may be a thread's rows, decides the way: the dot products sum in another order."""
    cdef Py_ssize_t across = (rows + 15) // 16 * 16
    if batch < 4:
        dense_backward_few(rows, inputs, width, weight, dz, dx, lddx)
    elif across * (units + inputs) < units * inputs:
        transpose(rows, units, dz, width, scratch, across)
        product(inputs, across, units, weight, width, 1, scratch, across, NULL, 0, scratch + units * across, across)
        transpose(inputs, rows, scratch + units * across, across, dx, lddx)
    else:
        transpose(inputs, units, weight, width, scratch, lddx)
        product(rows, lddx, units, dz, width, 1, scratch, lddx, NULL, 0, dx, lddx)


cdef inline void dense_backward_few(
    Py_ssize_t rows, Py_ssize_t inputs, Py_ssize_t width, const floating* weight, const floating* dz, floating* dx,
    Py_ssize_t lddx,
) noexcept nogil:
    """dx as dot products of dz with the rows of W: for a few rows a transpose costs more than the product."""
    cdef Py_ssize_t r, i, j, k
    cdef floating lanes[16]
    for r in range(rows):
        for i in range(inputs):
            for k in range(16):
                lanes[k] = 0
            for j in range(0, width, 16):
                for k in range(16):
                    lanes[k] += dz[r * width + j + k] * weight[i * width + j + k]
            dx[r * lddx + i] = lanes_sum(lanes)
        for i in range(inputs, lddx):
            dx[r * lddx + i] = 0


# --- the definitions, one number at a time: oracles of the tests --------------------------------------------------------------

cdef inline void dense_forward_naive(
    const floating[:, ::1] x, const floating[:, ::1] weight, const floating[::1] bias, floating[:, ::1] z,
) noexcept nogil:
    cdef Py_ssize_t r, i, j
    for r in range(x.shape[0]):
        for j in range(weight.shape[1]):
            z[r, j] = bias[j]
            for i in range(x.shape[1]):
                z[r, j] += x[r, i] * weight[i, j]


cdef inline void dense_backward_naive(
    const floating[:, ::1] x, const floating[:, ::1] weight, const floating[:, ::1] dz,
    floating[:, ::1] d_weight, floating[::1] d_bias, floating[:, ::1] dx,
) noexcept nogil:
    cdef Py_ssize_t r, i, j
    for r in range(x.shape[0]):
        for j in range(weight.shape[1]):
            d_bias[j] += dz[r, j]
            for i in range(x.shape[1]):
                d_weight[i, j] += x[r, i] * dz[r, j]
                dx[r, i] += dz[r, j] * weight[i, j]
