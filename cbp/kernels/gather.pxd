# Rows of the user's data, read where they lie and in the dtype they have, as rows of the network's dtype.
#
# gather() converts some rows, direct() points at rows that need neither copy nor conversion. Integers round as a C cast does,
# which is to the nearest; a bool is any byte but 0, as it is for NumPy.

from cython cimport floating
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cbp.kernels.inlining cimport forced
from cbp.kernels.structs cimport Source


cdef extern from * nogil:
    """
    #if defined(__GNUC__)
    #define cbp_prefetch(where) __builtin_prefetch(where, 0, 2)
    #else
    #define cbp_prefetch(where) ((void)(where))
    #endif
    """
    void prefetch "cbp_prefetch"(const char* where)


cdef enum Dtype:
    BOOL
    INT8
    INT16
    INT32
    INT64
    UINT8
    UINT16
    UINT32
    UINT64
    FLOAT16
    FLOAT32
    FLOAT64


ctypedef fused stored:
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t    # also the bits of a float16
    uint32_t
    uint64_t
    float
    double


cdef union Bits:
    uint32_t bits
    float number


cdef inline float half(uint16_t h) noexcept nogil:
    """The float with the value of an IEEE 754 binary16: 1 bit of sign, 5 of exponent (bias 15), 10 of fraction."""
    cdef Bits small, word
    cdef int32_t size = h & 0x7FFF
    small.number = <float>size * <float>5.9604644775390625e-8       # below 2^-14: fraction times 2^-24
    word.bits = (<uint32_t>size << 13) + (<uint32_t>112 << 23)      # 112: the difference of the biases
    word.bits = small.bits if size < 0x0400 else word.bits
    word.bits = (<uint32_t>size << 13) | <uint32_t>0x7F800000 if size >= 0x7C00 else word.bits
    word.bits |= <uint32_t>(h & 0x8000) << 16
    return word.number


cdef inline forced convert(const int dtype, Py_ssize_t n, const stored* x, Py_ssize_t stride, floating* out) noexcept nogil:
    """n numbers that are `stride` bytes apart."""
    cdef Py_ssize_t j
    cdef stored value
    for j in range(n):
        value = (<const stored*>(<const char*>x + j * stride))[0]
        if dtype == BOOL:
            out[j] = value != 0
        elif dtype == FLOAT16:
            out[j] = half(<uint16_t>value)
        else:
            out[j] = <floating>value


cdef inline Py_ssize_t place(const Source* source, const Py_ssize_t* order, Py_ssize_t row) noexcept nogil:
    """Where a row begins, in bytes from the first one."""
    return (row if order is NULL else order[row]) * source.row_stride


cdef inline forced gather_stored(
    const int dtype, const stored* x, const Source* source, const Py_ssize_t* order, Py_ssize_t first, Py_ssize_t rows,
    floating* out, Py_ssize_t ld,
) noexcept nogil:
    """gather() for the type of x, the first number of the source. A literal stride lets the usual case vectorise."""
    cdef Py_ssize_t r
    cdef const stored* row
    for r in range(rows):
        row = <const stored*>(<const char*>x + place(source, order, first + r))
        if source.column_stride == <Py_ssize_t>sizeof(stored):
            convert(dtype, source.columns, row, sizeof(stored), out + r * ld)
        else:
            convert(dtype, source.columns, row, source.column_stride, out + r * ld)


cdef inline bint is_stored_as(const Source* source, const floating* _like) noexcept nogil:
    return source.dtype == (FLOAT32 if sizeof(floating) == sizeof(float) else FLOAT64)


cdef inline void gather(
    const Source* source, const Py_ssize_t* order, Py_ssize_t first, Py_ssize_t rows, floating* out, Py_ssize_t ld,
) noexcept nogil:
    """out[r, :columns] = row order[first + r] of the source, or row first + r without an order; rows of out are ld long."""
    cdef const char* x = <const char*>source.address
    cdef Py_ssize_t r
    if is_stored_as(source, out) and source.column_stride == <Py_ssize_t>sizeof(floating):
        for r in range(rows):
            memcpy(out + r * ld, x + place(source, order, first + r), source.columns * sizeof(floating))
    elif source.dtype == BOOL:
        gather_stored(BOOL, <const uint8_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == INT8:
        gather_stored(INT8, <const int8_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == INT16:
        gather_stored(INT16, <const int16_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == INT32:
        gather_stored(INT32, <const int32_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == INT64:
        gather_stored(INT64, <const int64_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == UINT8:
        gather_stored(UINT8, <const uint8_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == UINT16:
        gather_stored(UINT16, <const uint16_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == UINT32:
        gather_stored(UINT32, <const uint32_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == UINT64:
        gather_stored(UINT64, <const uint64_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == FLOAT16:
        gather_stored(FLOAT16, <const uint16_t*>x, source, order, first, rows, out, ld)
    elif source.dtype == FLOAT32:
        gather_stored(FLOAT32, <const float*>x, source, order, first, rows, out, ld)
    else:
        gather_stored(FLOAT64, <const double*>x, source, order, first, rows, out, ld)


cdef inline const floating* direct(const Source* source, Py_ssize_t first, const floating* like) noexcept nogil:
    """Row `first` and all after it as they lie, if they lie as the kernels want them (the dtype of `like`, C-contiguous),
    else NULL."""
    cdef bint packed = (source.row_stride == source.columns * <Py_ssize_t>sizeof(floating)
                        and source.column_stride == <Py_ssize_t>sizeof(floating))
    if packed and is_stored_as(source, like):
        return <const floating*>source.address + first * source.columns
    return NULL


cdef inline forced fetch_ahead(const Source* source, const Py_ssize_t* order, Py_ssize_t first, Py_ssize_t rows) noexcept nogil:
    """Have rows brought into the cache that will be read later; rows whose numbers lie apart are left alone. Inlined: of a
    function that returns nothing and writes nothing gcc drops the calls, prefetches and all."""
    cdef Py_ssize_t size = source.columns * source.column_stride
    cdef Py_ssize_t r, offset
    cdef const char* row
    if source.column_stride < 1 or source.column_stride > 8:
        return
    for r in range(first, first + rows):
        row = <const char*>source.address + place(source, order, r)
        for offset in range(0, size, 64):
            prefetch(row + offset)
