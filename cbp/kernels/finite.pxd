# Whether numbers are finite.

from cython cimport floating
from libc.math cimport isfinite


cdef inline bint finite(Py_ssize_t n, const floating* x) noexcept nogil:
    """Whether all numbers are finite: the sum of 0 x is 0, else NaN. With 64 sums at once no addition waits for another."""
    cdef floating lanes[64]
    cdef Py_ssize_t i, k, whole = n // 64 * 64
    cdef int wrong = 0
    if whole:
        for k in range(64):
            lanes[k] = 0
        for i in range(0, whole, 64):
            for k in range(64):
                lanes[k] += x[i + k] * 0
        for k in range(64):
            wrong |= lanes[k] != 0
    for i in range(whole, n):
        wrong |= x[i] * 0 != 0
    return not wrong


cdef inline Py_ssize_t place_not_finite(Py_ssize_t n, const floating* x) noexcept nogil:
    """The first NaN or infinity, -1 if there is none."""
    cdef Py_ssize_t i = 0, j
    while n - i >= 1024 and finite(1024, x + i):
        i += 1024
    for j in range(i, n):
        if not isfinite(x[j]):
            return j
    return -1
