# Numbers that only move: from rows of one padded length to rows of another.

from cython cimport floating


cdef inline void repack(
    Py_ssize_t n, Py_ssize_t ldx, const floating* x, Py_ssize_t rows, Py_ssize_t m, Py_ssize_t ldy, floating* y,
) noexcept nogil:
    """y (rows, m), padded with 0, from x (any number of rows, n): the same numbers in the same order."""
    cdef Py_ssize_t _row, k, run, wanted
    cdef Py_ssize_t left = n    # of the present row of x
    for _row in range(rows):
        wanted = m
        while wanted > 0:
            run = min(left, wanted)
            for k in range(run):
                y[k] = x[k]
            x += run
            y += run
            wanted -= run
            left -= run
            if left == 0:
                left = n
                x += ldx - n
        for k in range(ldy - m):
            y[k] = 0
        y += ldy - m


cdef inline void pad(
    Py_ssize_t rows, Py_ssize_t n, const floating* x, Py_ssize_t ldx, floating* y, Py_ssize_t ldy,
) noexcept nogil:
    """The first n numbers of every row of x, and 0 up to ldy."""
    cdef Py_ssize_t i, k
    for i in range(rows):
        for k in range(n):
            y[i * ldy + k] = x[i * ldx + k]
        for k in range(n, ldy):
            y[i * ldy + k] = 0
