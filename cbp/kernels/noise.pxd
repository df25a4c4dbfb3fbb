# Noise: the masks of dropout and normal numbers, from 64 random words at a time (kernels/random.pxd).
#
# A number depends on its key and on its place alone, so threads, pieces and a resumed run get the same ones.

from cython cimport floating
from libc.math cimport sqrt, sqrtf
from libc.stdint cimport int32_t, uint32_t

from cbp.kernels.elementary cimport Bits32, logarithm
from cbp.kernels.random cimport WORDS, philox_words


cdef inline void draw_mask(
    const uint32_t* key, uint32_t place, Py_ssize_t groups, uint32_t threshold, unsigned char* mask,
) noexcept nogil:
    """mask[i] = 0 with the probability threshold / 2^32, else 1, for WORDS * groups numbers of the sample at `place`."""
    cdef uint32_t words[WORDS]
    cdef Py_ssize_t group
    cdef int k
    for group in range(groups):
        philox_words(key, <uint32_t>group, place, words)
        for k in range(WORDS):
            mask[group * WORDS + k] = words[k] >= threshold


cdef inline void apply_mask(
    Py_ssize_t n, const unsigned char* mask, floating factor, const floating* x, floating* y,
) noexcept nogil:
    """y = x factor where the mask is 1, else 0; y may be x."""
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = x[i] * factor if mask[i] != 0 else <floating>0


cdef inline floating log_of_fraction(floating u) noexcept nogil:
    """log u for 2^-32 < u <= 1. The coefficients for float32 are those of FreeBSD's logf."""
    cdef Bits32 m
    cdef floating exponent, f, s, q, r
    if floating is double:
        return logarithm(u)
    else:
        m.value = u
        m.bits += <uint32_t>(0x3F800000 - 0x3F3504F3)
        exponent = <float>(<int32_t>(m.bits >> 23) - 127)
        m.bits = (m.bits & <uint32_t>0x007FFFFF) + <uint32_t>0x3F3504F3
        f = m.value - <float>1
        s = f / (<float>2 + f)
        q = s * s
        r = <float>0.24279078841
        r = r * q + <float>0.28498786688
        r = r * q + <float>0.40000972152
        r = r * q + <float>0.66666662693
        r = r * q
        q = <float>0.5 * f * f
        return exponent * <float>0.69314718056 + (f - (q - s * (q + r)))


cdef inline floating sine(floating x) noexcept nogil:
    """For |x| <= pi / 4; this and the cosine have the coefficients of Cephes."""
    cdef floating s = x * x
    cdef floating p
    if floating is float:
        p = <float>-1.9515295891e-4
        p = p * s + <float>8.3321608736e-3
        p = p * s + <float>-1.6666654611e-1
    else:
        p = 1.58962301576546568060e-10
        p = p * s + -2.50507477628578072866e-8
        p = p * s + 2.75573136213857245213e-6
        p = p * s + -1.98412698295895385996e-4
        p = p * s + 8.33333333332211858878e-3
        p = p * s + -1.66666666666666307295e-1
    return x + x * s * p


cdef inline floating cosine(floating x) noexcept nogil:
    cdef floating s = x * x
    cdef floating p
    if floating is float:
        p = <float>2.443315711809948e-5
        p = p * s + <float>-1.388731625493765e-3
        p = p * s + <float>4.166664568298827e-2
    else:
        p = -1.13585365213876817300e-11
        p = p * s + 2.08757008419747316778e-9
        p = p * s + -2.75573141792967388112e-7
        p = p * s + 2.48015872888517045348e-5
        p = p * s + -1.38888888888730564116e-3
        p = p * s + 4.16666666666665929218e-2
    return <floating>1 - <floating>0.5 * s + s * s * p


cdef inline void normal_pairs(const uint32_t* radius, const uint32_t* angle, floating* x, floating* y) noexcept nogil:
    """Sixteen pairs of standard normal numbers from sixteen pairs of words (Box & Muller, 1958): a point at the distance
    sqrt(-2 log u) in a random direction. The words have 32 bits, so no number is beyond 6.7.

    The two highest bits of the angle choose the quadrant, the rest the angle from its middle.
    """
    cdef floating distance, part, c, s, swap
    cdef int32_t quadrant
    cdef int k
    for k in range(16):
        part = <floating><int32_t>(radius[k] >> 1) * <floating>4.656612873077393e-10 + <floating>2.3283064365386963e-10
        distance = sqrt_of(<floating>-2 * log_of_fraction(part))
        quadrant = <int32_t>(angle[k] >> 30)
        part = <floating><int32_t>(angle[k] & <uint32_t>0x3FFFFFFF) * <floating>9.313225746154785e-10 - <floating>0.5
        c = cosine(part * <floating>1.57079632679489661923) * distance
        s = sine(part * <floating>1.57079632679489661923) * distance
        swap = c
        c = s if quadrant & 1 else c
        s = swap if quadrant & 1 else s
        x[k] = -c if (quadrant + 1) & 2 else c
        y[k] = -s if quadrant & 2 else s


cdef inline floating sqrt_of(floating x) noexcept nogil:
    """`sqrt` in the number's own precision; -0, or what rounding leaves below 0, gives 0."""
    cdef floating clipped = x if x > 0 else <floating>0
    if floating is float:
        return sqrtf(clipped)
    else:
        return sqrt(clipped)


cdef inline void add_normals(
    const uint32_t* key, uint32_t place, Py_ssize_t n, floating deviation, floating* y,
) noexcept nogil:
    """y += deviation * n standard normal numbers for the sample at `place`."""
    cdef uint32_t words[WORDS]
    cdef floating numbers[WORDS]
    cdef Py_ssize_t first = 0
    cdef int k
    while first < n:
        philox_words(key, <uint32_t>(first // WORDS), place, words)
        normal_pairs(words, words + 16, numbers, numbers + 16)
        normal_pairs(words + 32, words + 48, numbers + 32, numbers + 48)
        for k in range(<int>min(<Py_ssize_t>WORDS, n - first)):
            y[first + k] += deviation * numbers[k]
        first += WORDS
