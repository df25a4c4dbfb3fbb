# The cells of recurrent layers, forward and back: one time step of one sample. Formulas and sources: cbp/layers/recurrent.py.
#
# What a cell needs on its way back are not its gates but the derivatives made of them, and these are cheapest where the gates
# are at hand. So the way forward, where it is to be learned from (`learning`), leaves in place of every weighted sum the factor
# that turns the gradient of the state into the gradient of that sum. The way back is a product a number, and leaves the
# gradients in place of the factors. In a pad lane all sums and gradients are 0, and so are these.
#
# Sixteen units at a time, through local arrays: they become registers, and gcc need not ask which of the many rows overlap.

from cython cimport floating

from cbp.kernels.elementary cimport hyperbolic_tangent, logistic
from cbp.kernels.inlining cimport forced


cdef inline void load(const floating* row, floating* lanes) noexcept nogil:
    cdef int k
    for k in range(16):
        lanes[k] = row[k]


cdef inline void store(floating* row, const floating* lanes) noexcept nogil:
    cdef int k
    for k in range(16):
        row[k] = lanes[k]


cdef inline void scale(floating* row, const floating* lanes) noexcept nogil:
    cdef floating x[16]
    cdef int k
    load(row, x)
    for k in range(16):
        x[k] *= lanes[k]
    store(row, x)


# --- LSTM: c' = f c + i g, h' = o tanh(c') -----------------------------------------------------------------------------------

cdef inline forced lstm_forward(
    const bint learning, Py_ssize_t width, floating* z, floating* keep, floating* c, floating* h,
) noexcept nogil:
    """z (4, width) are the sums of i, f, g, o; c becomes c', h is overwritten. Learning, z becomes the factors of dc' for i, f
    and g and of dh' for o, and keep (2, width) the factor of dh' in dc' and that of dc' in dc."""
    cdef Py_ssize_t j
    for j in range(0, width, 16):
        lstm_lanes(learning, z + j, z + width + j, z + 2 * width + j, z + 3 * width + j, keep + j, keep + width + j, c + j,
                   h + j)


cdef inline forced lstm_lanes(
    const bint learning, floating* zi, floating* zf, floating* zg, floating* zo, floating* keep_h, floating* keep_c,
    floating* state, floating* h,
) noexcept nogil:
    cdef floating i[16]
    cdef floating f[16]
    cdef floating g[16]
    cdef floating o[16]
    cdef floating c[16]
    cdef floating bent[16]
    cdef floating old[16]
    cdef int k
    load(zi, i)
    load(zf, f)
    load(zg, g)
    load(zo, o)
    load(state, old)
    for k in range(16):
        i[k] = logistic(i[k])
    for k in range(16):
        f[k] = logistic(f[k])
    for k in range(16):
        g[k] = hyperbolic_tangent(g[k])
    for k in range(16):
        o[k] = logistic(o[k])
    for k in range(16):
        c[k] = f[k] * old[k] + i[k] * g[k]
    store(state, c)
    for k in range(16):
        bent[k] = hyperbolic_tangent(c[k])
    for k in range(16):
        c[k] = o[k] * bent[k]
    store(h, c)
    if learning:
        store(keep_c, f)
        for k in range(16):
            c[k] = o[k] * (<floating>1 - bent[k] * bent[k])
        store(keep_h, c)
        for k in range(16):
            c[k] = g[k] * (i[k] * (<floating>1 - i[k]))
        store(zi, c)
        for k in range(16):
            c[k] = old[k] * (f[k] * (<floating>1 - f[k]))
        store(zf, c)
        for k in range(16):
            c[k] = i[k] * (<floating>1 - g[k] * g[k])
        store(zg, c)
        for k in range(16):
            c[k] = bent[k] * (o[k] * (<floating>1 - o[k]))
        store(zo, c)


cdef inline void lstm_backward(
    Py_ssize_t width, floating* z, const floating* keep, floating* dh, floating* dc,
) noexcept nogil:
    """dh is the gradient of h', dc that of c' without what comes through h'. dc becomes the gradient of c, z that of the sums,
    and dh 0: nothing reaches h but through the sums."""
    cdef Py_ssize_t j
    for j in range(0, width, 16):
        lstm_lanes_backward(z + j, z + width + j, z + 2 * width + j, z + 3 * width + j, keep + j, keep + width + j,
                            dh + j, dc + j)


cdef inline void lstm_lanes_backward(
    floating* zi, floating* zf, floating* zg, floating* zo, const floating* keep_h, const floating* keep_c,
    floating* d_hidden, floating* d_state,
) noexcept nogil:
    cdef floating dh[16]
    cdef floating dc[16]
    cdef floating x[16]
    cdef int k
    load(d_hidden, dh)
    load(d_state, dc)
    load(keep_h, x)
    for k in range(16):
        dc[k] += dh[k] * x[k]
    scale(zi, dc)
    scale(zf, dc)
    scale(zg, dc)
    scale(zo, dh)
    load(keep_c, x)
    for k in range(16):
        dc[k] *= x[k]
    store(d_state, dc)
    for k in range(16):
        x[k] = 0
    store(d_hidden, x)


# --- GRU: h' = n + z (h - n), n = tanh(s + r m) ------------------------------------------------------------------------------

cdef inline forced gru_forward(
    const bint learning, Py_ssize_t width, floating* z, floating* keep, const floating* before, floating* h,
) noexcept nogil:
    """z (4, width) are the input's share s of the sum of n, the sums of r and z, and the state's share m of n's; h' goes to h.
    Learning, z becomes the factors for n (of dh'), r (of the gradient of n's sum), z (of dh'), and r itself, which is m's (of
    that); keep (width) that of dh' in dh."""
    cdef Py_ssize_t j
    for j in range(0, width, 16):
        gru_lanes(learning, z + j, z + width + j, z + 2 * width + j, z + 3 * width + j, keep + j, before + j, h + j)


cdef inline forced gru_lanes(
    const bint learning, floating* zs, floating* zr, floating* zz, floating* zm, floating* keep, const floating* before,
    floating* h,
) noexcept nogil:
    cdef floating r[16]
    cdef floating z[16]
    cdef floating n[16]
    cdef floating m[16]
    cdef floating old[16]
    cdef floating x[16]
    cdef int k
    load(zr, r)
    load(zz, z)
    load(zs, n)
    load(zm, m)
    load(before, old)
    for k in range(16):
        r[k] = logistic(r[k])
    for k in range(16):
        z[k] = logistic(z[k])
    for k in range(16):
        n[k] = hyperbolic_tangent(n[k] + r[k] * m[k])
    for k in range(16):
        x[k] = n[k] + z[k] * (old[k] - n[k])
    store(h, x)
    if learning:
        store(keep, z)
        for k in range(16):
            x[k] = m[k] * (r[k] * (<floating>1 - r[k]))
        store(zr, x)
        for k in range(16):
            x[k] = (old[k] - n[k]) * (z[k] * (<floating>1 - z[k]))
        store(zz, x)
        for k in range(16):
            x[k] = (<floating>1 - z[k]) * (<floating>1 - n[k] * n[k])
        store(zs, x)
        store(zm, r)


cdef inline void gru_backward(Py_ssize_t width, floating* z, const floating* keep, floating* dh) noexcept nogil:
    """dh, the gradient of h', becomes its direct share in that of h; z the gradient of the four sums."""
    cdef Py_ssize_t j
    for j in range(0, width, 16):
        gru_lanes_backward(z + j, z + width + j, z + 2 * width + j, z + 3 * width + j, keep + j, dh + j)


cdef inline void gru_lanes_backward(
    floating* zs, floating* zr, floating* zz, floating* zm, const floating* keep, floating* d_hidden,
) noexcept nogil:
    cdef floating dh[16]
    cdef floating dn[16]
    load(d_hidden, dh)
    scale(zs, dh)
    load(zs, dn)
    scale(zr, dn)
    scale(zm, dn)
    scale(zz, dh)
    scale(d_hidden, keep)


# --- RNN: h' = f(z) ----------------------------------------------------------------------------------------------------------

cdef inline void rnn_backward(Py_ssize_t width, floating* z, floating* dh) noexcept nogil:
    """z holds f'(z) and becomes the gradient of the sums; dh, the gradient of h', becomes 0."""
    cdef Py_ssize_t j
    for j in range(width):
        z[j] *= dh[j]
        dh[j] = 0
