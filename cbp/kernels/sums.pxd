# Sums of many numbers in float32.
#
# A running sum is rounded at every addition, and where the numbers are alike always in the same direction: a million equal ones
# end 1 % off. So no more than TERMS numbers run into one sum, PARTS of such sums are added up, and those go into a total whose
# rounding errors are kept beside it: the error stays that of TERMS + PARTS additions, at most 2e-6, for any number of terms.
# Sums of up to DEEP terms, which cost most where networks are small, are left as they are.

from cython cimport floating
from libc.string cimport memset


cdef enum:
    TERMS = 128
    PARTS = 8
    DEEP = 1024


cdef inline void add_all(Py_ssize_t n, const floating* x, floating* y) noexcept nogil:
    """y += x"""
    cdef Py_ssize_t i
    for i in range(n):
        y[i] += x[i]


cdef inline void add_exactly(Py_ssize_t n, const floating* x, floating* total, floating* rest) noexcept nogil:
    """total + rest += x, where `rest` collects what the additions to `total` lose: the error of a sum is itself a number of
    the same precision (Knuth, The art of computer programming, vol. 2, 4.2.2, theorem B)."""
    cdef floating sum, was
    cdef Py_ssize_t i
    for i in range(n):
        sum = total[i] + x[i]
        was = sum - total[i]
        rest[i] += (total[i] - (sum - was)) + (x[i] - was)
        total[i] = sum


cdef inline void add_part(
    Py_ssize_t n, Py_ssize_t done, bint last, const floating* part, floating* middle, floating* total, floating* rest,
) noexcept nogil:
    """After a part of n sums side by side, with which `done` terms of each are summed: to the sum of some parts and, where that
    is full or this was the `last`, on to the total."""
    add_all(n, part, middle)
    if last or done % (TERMS * PARTS) == 0:
        add_exactly(n, middle, total, rest)
        memset(middle, 0, n * sizeof(floating))


cdef inline void add_compensated(Py_ssize_t n, const floating* x, floating* total, floating* lost) noexcept nogil:
    """total += x, where `lost` is what the addition before put too much into the total, and the next one takes back: the total
    is right to two roundings after every addition (Kahan, Further remarks on reducing truncation errors, 1965)."""
    cdef floating sum, term
    cdef Py_ssize_t i
    for i in range(n):
        term = x[i] - lost[i]
        sum = total[i] + term
        lost[i] = (sum - total[i]) - term
        total[i] = sum
