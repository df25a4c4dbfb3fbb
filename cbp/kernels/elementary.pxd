# Elementary functions: exp, tanh, erf, log and what is made of them, as polynomials in plain loops, so that they vectorise.
#
# exp, tanh and log1p are within 2 ulp, erf within 3. NaN and inf are kept. The coefficients of tanh and erf are those of
# S. L. Moshier's Cephes library (netlib), those of log are fdlibm's (Sun Microsystems); the arrangement is ours. Constants are
# written <floating>1: a plain 1 is a double in the C that Cython writes, and a float32 loop then converts back and forth, at
# half the speed.

from cython cimport floating
from libc.float cimport DBL_MIN
from libc.math cimport INFINITY, NAN
from libc.stdint cimport uint32_t, uint64_t


cdef union Bits32:
    float value
    uint32_t bits

cdef union Bits64:
    double value
    uint64_t bits


cdef inline floating power_of_two(floating x, const int lift, floating* rest) noexcept nogil:
    """2^(n + lift) and rest = x - n log(2), for the integer n that makes |rest| <= log(2) / 2.

    n is read from the low bits of x log2(e) + 1.5 * 2^23 (2^52): shifted into the exponent they are the power. The caller keeps
    n + lift in the range of the exponent: at its lower end the power is 0, at its upper end inf.
    """
    cdef Bits32 shifted32
    cdef Bits64 shifted64
    cdef floating n
    if floating is float:
        shifted32.value = x * <float>1.44269504088896341 + <float>(12582912 + 127 + lift)
        n = shifted32.value - <float>(12582912 + 127 + lift)
        shifted32.bits <<= 23
        rest[0] = x - n * <float>0.693359375 - n * <float>-2.12194440e-4
        return shifted32.value
    else:
        shifted64.value = x * 1.4426950408889634073599 + (6755399441055744.0 + 1023 + lift)
        n = shifted64.value - (6755399441055744.0 + 1023 + lift)
        shifted64.bits <<= 52
        rest[0] = x - n * 6.93145751953125e-1 - n * 1.42860682030941723212e-6
        return shifted64.value


cdef inline floating exp_beyond_line(floating r) noexcept nogil:
    """(e^r - 1 - r) / r² for |r| <= log(2) / 2: the polynomial through its values at the Chebyshev points. Before rounding its
    part in e^r is within 0.02 ulp."""
    cdef floating p
    if floating is float:
        p = <float>1.9890991e-4
        p = p * r + <float>1.3933650e-3
        p = p * r + <float>8.3333105e-3
        p = p * r + <float>4.1666467e-2
        p = p * r + <float>1.6666667e-1
    else:
        p = 2.0914686968086876e-9
        p = p * r + 2.5105217004720745e-8
        p = p * r + 2.75572736431103e-7
        p = p * r + 2.7557255400206422e-6
        p = p * r + 2.4801587325547743e-5
        p = p * r + 1.9841269874820627e-4
        p = p * r + 1.3888888888883748e-3
        p = p * r + 8.333333333326136e-3
        p = p * r + 4.166666666666667e-2
        p = p * r + 1.666666666666667e-1
    return p * r + <floating>0.5


cdef inline floating lifted_exponential(floating x, const int lift) noexcept nogil:
    """e^x 2^lift, for x as in power_of_two."""
    cdef floating r
    cdef floating power = power_of_two(x, lift, &r)
    return ((exp_beyond_line(r) * r + <floating>1) * r + <floating>1) * power


cdef inline floating exponential(floating x) noexcept nogil:
    """e^x for x <= 0. The last factor makes subnormal results right, which 2^n alone could not."""
    cdef floating least = <floating>(-104 if floating is float else -746)
    return lifted_exponential(least if x < least else x, 64) * <floating>5.421010862427522170037e-20   # 2^-64


cdef inline floating logistic(floating x) noexcept nogil:
    """1 / (1 + e^-x), as 0.5 / (0.5 + e^-x / 2): e^-x may exceed the largest number. Below `least` it is inf."""
    cdef floating least = <floating>(-89.4 if floating is float else -710.4)
    cdef floating most = <floating>(87 if floating is float else 708)
    x = least if x < least else x
    x = most if x > most else x
    return <floating>0.5 / (<floating>0.5 + lifted_exponential(-x, -1))


cdef inline floating expm1_of_negative(floating x) noexcept nogil:
    """e^x - 1 for x <= 0, as 2^n (e^r - 1) + (2^n - 1): for n = 0, near 0, nothing cancels."""
    cdef floating least = <floating>(-87 if floating is float else -708)
    cdef floating r, power, near
    power = power_of_two(least if x < least else x, 0, &r)
    near = exp_beyond_line(r) * (r * r) + r
    return power * near + (power - <floating>1)


cdef inline floating hyperbolic_tangent(floating x) noexcept nogil:
    """1 - 2 / (e^2|x| + 1), near 0 x + x^3 P(x²) / Q(x²); in float32 Q is 1."""
    cdef floating most = <floating>(87 if floating is float else 708)
    cdef floating size = x if x > 0 else -x
    cdef floating twice = size + size
    cdef floating far = lifted_exponential(most if twice > most else twice, 0) + <floating>1
    cdef floating s = x * x
    cdef floating p, q
    if floating is float:
        far = <float>1 - <float>2 / far
        p = <float>-5.70498872745e-3
        p = p * s + <float>2.06390887954e-2
        p = p * s + <float>-5.37397155531e-2
        p = p * s + <float>1.33314422036e-1
        p = p * s + <float>-3.33332819422e-1
        p = p * s * size + size
        p = p if size < <float>0.625 else far
    else:
        p = (-9.64399179425052238628e-1 * s - 9.92877231001918586564e1) * s - 1.61468768441708447952e3
        q = ((s + 1.12811678491632931402e2) * s + 2.23548839060100448583e3) * s + 4.84406305325125486048e3
        # Chosen before the division, which is what takes longest.
        p = p * s * size if size < 0.625 else -2.0
        q = q if size < 0.625 else far
        p = (size if size < 0.625 else 1.0) + p / q
    return -p if x < 0 else p


cdef inline floating erf_of_small(floating x) noexcept nogil:
    """erf(x) = x T(x²) / U(x²) for |x| <= 1."""
    cdef floating s = x * x
    cdef floating t, u
    t = <floating>9.60497373987051638749
    t = t * s + <floating>9.00260197203842689217e1
    t = t * s + <floating>2.23200534594684319226e3
    t = t * s + <floating>7.00332514112805075473e3
    t = t * s + <floating>5.55923013010394962768e4
    u = s + <floating>3.35617141647503099647e1
    u = u * s + <floating>5.21357949780152679795e2
    u = u * s + <floating>4.59432382970980127987e3
    u = u * s + <floating>2.26290000613890934246e4
    u = u * s + <floating>4.92673942608635921086e4
    return x * t / u


cdef inline floating erfc_of_size(floating size) noexcept nogil:
    """1 - erf(x) = e^(-x²) P(x) / Q(x) for x >= 1; beyond 8 P / Q stays what it is at 8, and e^(-x²) is nearly all."""
    cdef floating x = <floating>8 if size > 8 else size
    cdef floating p, q
    p = <floating>2.46196981473530512524e-10
    p = p * x + <floating>5.64189564831068821977e-1
    p = p * x + <floating>7.46321056442269912687
    p = p * x + <floating>4.86371970985681366614e1
    p = p * x + <floating>1.96520832956077098242e2
    p = p * x + <floating>5.26445194995477358631e2
    p = p * x + <floating>9.34528527171957607540e2
    p = p * x + <floating>1.02755188689515710272e3
    p = p * x + <floating>5.57535335369399327526e2
    q = x + <floating>1.32281951154744992508e1
    q = q * x + <floating>8.67072140885989742329e1
    q = q * x + <floating>3.54937778887819891062e2
    q = q * x + <floating>9.75708501743205489753e2
    q = q * x + <floating>1.82390916687909736289e3
    q = q * x + <floating>2.24633760818710981792e3
    q = q * x + <floating>1.65666309194161350182e3
    q = q * x + <floating>5.57535340817727675546e2
    return exponential(-size * size) * (p / q)


cdef inline floating normal_cdf(floating z) noexcept nogil:
    """Φ(z) = erfc(-z / sqrt 2) / 2; far below 0 not as 1 + erf, which would cancel."""
    cdef floating x = z * <floating>0.70710678118654752440
    cdef floating size = x if x > 0 else -x
    cdef floating tail = <floating>0.5 * erfc_of_size(size)
    cdef floating middle = <floating>0.5 + <floating>0.5 * erf_of_small(x)
    tail = tail if x < 0 else <floating>1 - tail
    return middle if size <= 1 else tail


cdef inline floating log1p_of_fraction(floating u) noexcept nogil:
    """log(1 + u) for 0 <= u <= 1, as 2 artanh(u / (2 + u)): s <= 1/3, so the series loses a digit a term."""
    cdef floating s = u / (<floating>2 + u)
    cdef floating q = s * s
    cdef floating p
    if floating is float:
        p = <float>(1.0 / 15)
    else:
        p = 1.0 / 33
        p = p * q + 1.0 / 31
        p = p * q + 1.0 / 29
        p = p * q + 1.0 / 27
        p = p * q + 1.0 / 25
        p = p * q + 1.0 / 23
        p = p * q + 1.0 / 21
        p = p * q + 1.0 / 19
        p = p * q + 1.0 / 17
        p = p * q + 1.0 / 15
    p = p * q + <floating>(1.0 / 13)
    p = p * q + <floating>(1.0 / 11)
    p = p * q + <floating>(1.0 / 9)
    p = p * q + <floating>(1.0 / 7)
    p = p * q + <floating>(1.0 / 5)
    p = p * q + <floating>(1.0 / 3)
    return <floating>2 * (s + s * q * p)


cdef inline double logarithm(double x) noexcept nogil:
    """log x = k log(2) + log(1 + f) with 1 + f from sqrt(1/2) to sqrt(2), and log(1 + f) from s = f / (2 + f)."""
    cdef bint subnormal = x < DBL_MIN
    cdef Bits64 m, k
    cdef double exponent, f, s, q, r, half
    m.value = x * 18014398509481984.0 if subnormal else x   # 2^54
    m.bits += <uint64_t>0x3FF0000000000000 - <uint64_t>0x3FE6A09E667F3BCD
    # As the low bits of 2^52 the exponent is converted to a double without an instruction that only AVX-512 has.
    k.bits = (m.bits >> 52) | <uint64_t>0x4330000000000000
    exponent = k.value - (4503599627370496.0 + 1023) - (54.0 if subnormal else 0.0)
    m.bits = (m.bits & <uint64_t>0x000FFFFFFFFFFFFF) + <uint64_t>0x3FE6A09E667F3BCD
    f = m.value - 1.0
    s = f / (2.0 + f)
    q = s * s
    r = 1.479819860511658591e-1
    r = r * q + 1.531383769920937332e-1
    r = r * q + 1.818357216161805012e-1
    r = r * q + 2.222219843214978396e-1
    r = r * q + 2.857142874366239149e-1
    r = r * q + 3.999999999940941908e-1
    r = r * q + 6.666666666666735130e-1
    half = 0.5 * f * f
    r = exponent * 6.93147180369123816490e-1 - ((half - (s * (half + r * q) + exponent * 1.90821492927058770002e-10)) - f)
    r = r if x < INFINITY else x
    r = r if x > 0 else NAN
    return -INFINITY if x == 0 else r
