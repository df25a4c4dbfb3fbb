# Noise as ops. DROPOUT keeps its mask in `extra`, one byte a number; what GAUSSIAN_NOISE adds is in no gradient. Both count the
# numbers of a sample as they lie in the slot of the output, pads included.

from cython cimport floating
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from cbp.kernels cimport noise, random
from cbp.kernels.structs cimport Op
from cbp.ops.passes cimport Kind, Needs, Pass, d_input_of, d_output_of, input_of, slot_of, sums_of


cdef inline void key_of(const Pass* batch, const Op* op, uint32_t* key) noexcept nogil:
    """What all samples of this batch share. The step still has its number from before the update."""
    random.noise_key(batch.run.seed, <uint32_t>op.stream, <uint32_t>batch.run.epoch, <uint64_t>batch.run.step, key)


cdef inline void copy_values(
    const Op* op, Py_ssize_t rows, const floating* x, floating* y,
) noexcept nogil:
    """The input as the output: its pads may be missing."""
    cdef Py_ssize_t r, k
    if op.in_width == op.width:
        memcpy(y, x, rows * op.positions * op.width * sizeof(floating))
        return
    for r in range(rows * op.positions):
        for k in range(op.units):
            y[r * op.width + k] = x[r * op.in_width + k]
        for k in range(op.units, op.width):
            y[r * op.width + k] = 0


cdef inline void dropout_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    """y = x / (1 - drop_rate), or 0 with the probability `drop_rate` (Srivastava et al., 2014, Dropout); at prediction
    y = x."""
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef Py_ssize_t size = op.positions * op.width
    cdef uint32_t threshold = <uint32_t>(op.drop_rate * 4294967296.0)
    cdef floating factor = <floating>(1 / (1 - op.drop_rate))
    cdef uint32_t key[2]
    cdef unsigned char* mask
    cdef Py_ssize_t r
    copy_values(op, rows, input_of(batch, op, first, arena), y)
    if not batch.training:
        return
    key_of(batch, op, key)
    for r in range(rows):
        mask = <unsigned char*>slot_of(batch, op.extra, op.extra_size, first + r, arena)
        noise.draw_mask(key, <uint32_t>(batch.run.row + first + r), (size + noise.WORDS - 1) // noise.WORDS, threshold, mask)
        noise.apply_mask(size, mask, factor, y + r * size, y + r * size)


cdef inline void dropout_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef const floating* dy = d_output_of(batch, op, first, arena)
    cdef floating* dx = d_input_of(batch, op, first, arena)
    cdef Py_ssize_t size = op.positions * op.width
    cdef Py_ssize_t r
    if dx is NULL:
        return
    if not batch.training:
        pass_on(rows * size, dy, dx)
        return
    for r in range(rows):
        noise.apply_mask(size, <const unsigned char*>slot_of(batch, op.extra, op.extra_size, first + r, arena),
                         <floating>(1 / (1 - op.drop_rate)), dy + r * size, dx + r * size)


cdef inline void pass_on(Py_ssize_t n, const floating* dy, floating* dx) noexcept nogil:
    """Mostly the two are one slot already."""
    if dx != dy:
        memcpy(dx, dy, n * sizeof(floating))


cdef inline void gaussian_noise_forward(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    """y = x + deviation * normal numbers; y = x at prediction."""
    cdef floating* y = sums_of(batch, op, first, arena)
    cdef Py_ssize_t size = op.positions * op.width
    cdef uint32_t key[2]
    cdef Py_ssize_t r
    copy_values(op, rows, input_of(batch, op, first, arena), y)
    if not batch.training:
        return
    key_of(batch, op, key)
    for r in range(rows):
        noise.add_normals(key, <uint32_t>(batch.run.row + first + r), size, <floating>op.deviation, y + r * size)


cdef inline void gaussian_noise_backward_rows(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, floating* arena, floating* _scratch,
) noexcept nogil:
    cdef floating* dx = d_input_of(batch, op, first, arena)
    if dx is not NULL:
        pass_on(rows * op.positions * op.width, d_output_of(batch, op, first, arena), dx)


cdef inline void dropout_needs(Op* op, Needs* needs) noexcept nogil:
    """The bytes of the mask, drawn WORDS at a time, as numbers of four."""
    needs.kept = (<double>op.positions * op.width + noise.WORDS) / 4


cdef inline void dropout_kind(Kind* kind) noexcept:
    kind.name = "dropout"
    kind.needs = dropout_needs
    kind.forward32, kind.forward64 = dropout_forward, dropout_forward
    kind.backward32, kind.backward64 = dropout_backward_rows, dropout_backward_rows


cdef inline void gaussian_noise_kind(Kind* kind) noexcept:
    kind.name = "gaussian_noise"
    kind.forward32, kind.forward64 = gaussian_noise_forward, gaussian_noise_forward
    kind.backward32, kind.backward64 = gaussian_noise_backward_rows, gaussian_noise_backward_rows
