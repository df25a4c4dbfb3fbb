# A padded row as a whole: its largest number, its sum, its differences from a number. Sixteen lanes at a time, because a single
# running sum or maximum does not vectorise.

from cython cimport floating
from libc.math cimport INFINITY

from cbp.kernels.sums cimport DEEP, TERMS

cdef enum:
    LONG = 16 * TERMS   # numbers of a row that sixteen sums take: more go in parts


cdef inline floating larger(floating x, floating y) noexcept nogil:
    return x if x > y else y


cdef inline floating lanes_max(const floating* lanes) noexcept nogil:
    """The largest of 16, halving: a chain of 16 comparisons would wait for each."""
    cdef floating eight[8]
    cdef floating four[4]
    cdef int k
    for k in range(8):
        eight[k] = larger(lanes[k + 8], lanes[k])
    for k in range(4):
        four[k] = larger(eight[k + 4], eight[k])
    return larger(larger(four[3], four[1]), larger(four[2], four[0]))


cdef inline floating lanes_sum(const floating* lanes) noexcept nogil:
    """The sum of 16, in the same way."""
    cdef floating eight[8]
    cdef floating four[4]
    cdef int k
    for k in range(8):
        eight[k] = lanes[k] + lanes[k + 8]
    for k in range(4):
        four[k] = eight[k] + eight[k + 4]
    return (four[0] + four[2]) + (four[1] + four[3])


cdef inline void without_pad(int units, const floating* row, floating shift, floating* lanes) noexcept nogil:
    """Sixteen numbers less `shift`, of which all but the first `units` become -inf."""
    cdef floating value
    cdef int k
    for k in range(16):
        value = row[k] - shift
        lanes[k] = value if k < units else <floating>-INFINITY


cdef inline floating largest_of_row(Py_ssize_t units, Py_ssize_t width, const floating* row) noexcept nogil:
    """With sixteen running maxima, because a single one does not vectorise."""
    cdef floating lanes[16]
    cdef Py_ssize_t j
    cdef int k
    without_pad(<int>(units - (width - 16)), row + width - 16, <floating>0, lanes)
    for j in range(0, width - 16, 16):
        for k in range(16):
            lanes[k] = larger(row[j + k], lanes[k])
    return lanes_max(lanes)


cdef inline floating sum_of_row(Py_ssize_t width, const floating* row) noexcept nogil:
    """The sum of a row whose pads are 0, in the same way, and of a long one in parts (kernels/sums.pxd)."""
    cdef double total = 0
    cdef Py_ssize_t j = 0
    if width <= LONG:
        return sum_of_lanes(width, row)
    while j < width:
        total += sum_of_lanes(min(width - j, <Py_ssize_t>LONG), row + j)
        j += LONG
    return <floating>total


cdef inline floating sum_of_lanes(Py_ssize_t width, const floating* row) noexcept nogil:
    cdef floating lanes[16]
    cdef Py_ssize_t j
    cdef int k
    for k in range(16):
        lanes[k] = row[k]
    for j in range(16, width, 16):
        for k in range(16):
            lanes[k] += row[j + k]
    return lanes_sum(lanes)


cdef inline void subtract_from_row(
    Py_ssize_t units, Py_ssize_t width, const floating* z, floating shift, floating* a,
) noexcept nogil:
    """a = z - shift; pads become -inf, so that their exponential is 0."""
    cdef Py_ssize_t j
    for j in range(0, width - 16):
        a[j] = z[j] - shift
    without_pad(<int>(units - (width - 16)), z + width - 16, shift, a + width - 16)


cdef inline floating dot_of_rows(Py_ssize_t units, const floating* x, const floating* y) noexcept nogil:
    """The sum of the products x y, one after the other, and of long rows in parts."""
    cdef floating part
    cdef double total = 0
    cdef Py_ssize_t j = 0, end
    while j < units:
        end = min(j + TERMS, units) if units > DEEP else units
        part = 0
        while j < end:
            part += x[j] * y[j]
            j += 1
        total += part
    return <floating>total
