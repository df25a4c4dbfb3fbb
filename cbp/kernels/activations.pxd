# Activations: a = f(z), and backward dz = da f'(z).
#
# Each xxx(z) stands directly above its derivative, which is written in what is cheapest to keep: the output `a` where it
# suffices, else the weighted sum `z`. Under it xxx_rows() runs both over whole padded rows: a pad lane of `a` is read by
# nobody, and a pad lane of dz is 0 because da is. The table at the end has a row for each, by which Python knows the name and
# the core finds the loops.
#
# The activations are within 4.5 ulp, gelu below 0 within 6 + 2 z² down to -11 (what is smaller than 1e-27 is only about right);
# tests/facts.py has the bound of each. NaN and inf are kept, but where an infinite z meets 0 in a product, or inf in a
# quotient: that is NaN.

from cython cimport floating

from cbp.kernels.elementary cimport (
    exponential,
    expm1_of_negative,
    hyperbolic_tangent,
    lifted_exponential,
    log1p_of_fraction,
    logistic,
    normal_cdf,
)
from cbp.kernels.inlining cimport forced
from cbp.kernels.rows cimport dot_of_rows, largest_of_row, subtract_from_row, sum_of_row


cdef struct Size:
    Py_ssize_t rows
    Py_ssize_t units
    Py_ssize_t width   # units padded to a multiple of 16


ctypedef void (*Activate32)(bint back, Size size, const float* z, float* a, float* d) noexcept nogil
ctypedef void (*Activate64)(bint back, Size size, const double* z, double* a, double* d) noexcept nogil


cdef struct Activation:
    const char* name
    bint keeps_sum        # the derivative needs z: its layer then has a slot for z beside the one for a, elsewhere they are one
    Activate32 rows32     # a = f(z), where a may be z; or `back`, d *= f'(z): what comes in as da leaves as dz
    Activate64 rows64


cdef enum:
    MOST_ACTIVATIONS = 64
    IDENTITY = 0


cdef inline forced each(
    floating (*value)(floating) noexcept nogil, floating (*slope)(floating) noexcept nogil, const bint of_sum,
    bint back, Size size, const floating* z, floating* a, floating* d,
) noexcept nogil:
    """The loops over all numbers, for functions that are literals in every call."""
    cdef Py_ssize_t i, n = size.rows * size.width
    if back:
        for i in range(n):
            d[i] *= slope(z[i] if of_sum else a[i])
    else:
        for i in range(n):
            a[i] = value(z[i])


# --- number by number ---------------------------------------------------------------------------------------------------------

cdef inline void identity_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    cdef Py_ssize_t i
    if not back and a is not z:
        for i in range(size.rows * size.width):
            a[i] = z[i]


cdef inline floating relu(floating z) noexcept nogil:
    return <floating>0 if z < 0 else z

cdef inline floating relu_slope(floating a) noexcept nogil:
    return <floating>1 if a > 0 else <floating>0

cdef inline void relu_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(relu[floating], relu_slope[floating], False, back, size, z, a, d)


cdef inline floating leaky_relu(floating z) noexcept nogil:
    return z if z > 0 else <floating>0.01 * z

cdef inline floating leaky_relu_slope(floating a) noexcept nogil:
    return <floating>1 if a > 0 else <floating>0.01

cdef inline void leaky_relu_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(leaky_relu[floating], leaky_relu_slope[floating], False, back, size, z, a, d)


cdef inline floating elu(floating z) noexcept nogil:
    return z if z > 0 else expm1_of_negative(<floating>0 if z > 0 else z)

cdef inline floating elu_slope(floating a) noexcept nogil:
    return <floating>1 if a > 0 else a + <floating>1

cdef inline void elu_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(elu[floating], elu_slope[floating], False, back, size, z, a, d)


cdef inline floating selu(floating z) noexcept nogil:
    """Klambauer et al., 2017, Self-normalizing neural networks"""
    return <floating>1.0507009873554804934 * (
        z if z > 0 else <floating>1.6732632423543772848 * expm1_of_negative(<floating>0 if z > 0 else z))

cdef inline floating selu_slope(floating a) noexcept nogil:
    return <floating>1.0507009873554804934 if a > 0 else a + <floating>(1.0507009873554804934 * 1.6732632423543772848)

cdef inline void selu_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(selu[floating], selu_slope[floating], False, back, size, z, a, d)


cdef inline floating gelu(floating z) noexcept nogil:
    """z Φ(z), Hendrycks & Gimpel, 2016, Gaussian error linear units"""
    return z * normal_cdf(z)

cdef inline floating gelu_slope(floating z) noexcept nogil:
    """Φ(z) + z φ(z)"""
    return normal_cdf(z) + z * <floating>0.39894228040143267794 * exponential(<floating>-0.5 * z * z)

cdef inline void gelu_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(gelu[floating], gelu_slope[floating], True, back, size, z, a, d)


cdef inline floating silu(floating z) noexcept nogil:
    return z * logistic(z)

cdef inline floating silu_slope(floating z) noexcept nogil:
    cdef floating s = logistic(z)
    return s * (<floating>1 + z * (<floating>1 - s))

cdef inline void silu_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(silu[floating], silu_slope[floating], True, back, size, z, a, d)


cdef inline floating mish(floating z) noexcept nogil:
    """z tanh(softplus(z)), Misra, 2019, Mish: a self regularized non-monotonic activation function

    The tanh is u (u + 2) / (u (u + 2) + 2) with u = e^z; above 0 both are divided by u², so that nothing overflows. Far below 0
    u is subnormal before z u is: z meets it while it is lifted by 2^64. At `least` it is 0, lifted too.
    """
    cdef floating least = <floating>(-132.4 if floating is float else -753.45)
    cdef floating unlift = <floating>5.421010862427522170037e-20   # 2^-64
    cdef floating down = -z if z > 0 else z
    cdef floating lifted = lifted_exponential(least if down < least else down, 64)
    cdef floating e = lifted * unlift
    cdef floating x = z * lifted
    cdef floating top = z * (<floating>1 + (e + e)) if z > 0 else x * e + (x + x)
    cdef floating bottom = (e + e) * (<floating>1 + e) + <floating>1 if z > 0 else e * (e + <floating>2) + <floating>2
    return top / bottom * (<floating>1 if z > 0 else unlift)

cdef inline floating mish_slope(floating z) noexcept nogil:
    """t + z (1 - t²) sigmoid(z) with t = tanh(softplus(z)), in e^-|z| as above"""
    cdef floating e = exponential(-z if z > 0 else z)
    cdef floating top = <floating>1 + (e + e) if z > 0 else e * (e + <floating>2)
    cdef floating bottom = top + <floating>2 * (e * e if z > 0 else <floating>1)
    cdef floating bend = z * (e * (<floating>1 + e) * (e if z > 0 else <floating>1))   # first, as 4 z may be inf where e is 0
    return (top + <floating>4 * bend / bottom) / bottom

cdef inline void mish_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(mish[floating], mish_slope[floating], True, back, size, z, a, d)


cdef inline floating softplus(floating z) noexcept nogil:
    """log(1 + e^z) = max(z, 0) + log(1 + e^-|z|)"""
    return relu(z) + log1p_of_fraction(exponential(-z if z > 0 else z))

cdef inline floating softplus_slope(floating a) noexcept nogil:
    """sigmoid(z) = 1 - e^-a"""
    return -expm1_of_negative(-a)

cdef inline void softplus_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(softplus[floating], softplus_slope[floating], False, back, size, z, a, d)


cdef inline floating tanh_slope(floating a) noexcept nogil:
    return <floating>1 - a * a

cdef inline void tanh_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(hyperbolic_tangent[floating], tanh_slope[floating], False, back, size, z, a, d)


cdef inline floating sigmoid_slope(floating a) noexcept nogil:
    return a * (<floating>1 - a)

cdef inline void sigmoid_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(logistic[floating], sigmoid_slope[floating], False, back, size, z, a, d)


cdef inline floating hard_sigmoid(floating z) noexcept nogil:
    cdef floating line = (z + <floating>3) * <floating>(1.0 / 6)   # in this order 3 gives 1 and -3 gives 0 to the last bit
    line = <floating>0 if line < 0 else line
    return <floating>1 if line > 1 else line

cdef inline floating hard_sigmoid_slope(floating a) noexcept nogil:
    return <floating>(1.0 / 6) if (a > 0) & (a < 1) else <floating>0

cdef inline void hard_sigmoid_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(hard_sigmoid[floating], hard_sigmoid_slope[floating], False, back, size, z, a, d)


cdef inline floating softsign(floating z) noexcept nogil:
    return z / (<floating>1 + (z if z > 0 else -z))

cdef inline floating softsign_slope(floating a) noexcept nogil:
    cdef floating rest = <floating>1 - (a if a > 0 else -a)
    return rest * rest

cdef inline void softsign_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    each(softsign[floating], softsign_slope[floating], False, back, size, z, a, d)


# --- softmax, a whole row at a time -------------------------------------------------------------------------------------------

cdef inline forced softmax_of(
    Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, const floating* z, floating* a,
) noexcept nogil:
    """a = e^(z - max z) / sum, row by row; `a` may be z.

    In three sweeps over all rows, so that a row does not wait for the maximum and the sum of the one before.
    """
    cdef floating scale
    cdef floating* row
    cdef Py_ssize_t r, j
    for r in range(rows):
        subtract_from_row(units, width, z + r * width, largest_of_row(units, width, z + r * width), a + r * width)
    for j in range(rows * width):
        a[j] = exponential(a[j])
    for r in range(rows):
        row = a + r * width
        scale = <floating>1 / sum_of_row(width, row)
        for j in range(width):
            row[j] *= scale


cdef inline void softmax_row_backward(Py_ssize_t units, const floating* a, const floating* da, floating* dz) noexcept nogil:
    """dz = a (da - sum of a da): the product with the Jacobian diag(a) - a aᵀ. Pad lanes of da are 0 and stay so."""
    cdef floating mean = dot_of_rows(units, a, da)
    cdef Py_ssize_t j
    for j in range(units):
        dz[j] = a[j] * (da[j] - mean)


cdef inline void softmax_rows(bint back, Size size, const floating* z, floating* a, floating* d) noexcept nogil:
    """With a literal width the lanes of a row stay in a register: 5 instead of 18 ns a row."""
    cdef Py_ssize_t r
    if back:
        for r in range(size.rows):
            softmax_row_backward(size.units, a + r * size.width, d + r * size.width, d + r * size.width)
    elif size.width == 16:
        softmax_of(size.rows, size.units, 16, z, a)
    else:
        softmax_of(size.rows, size.units, size.width, z, a)


# --- the table ----------------------------------------------------------------------------------------------------------------

cdef inline void add(
    Activation* table, int* count, const char* name, bint keeps_sum, Activate32 rows32, Activate64 rows64,
) noexcept:
    table[count[0]].name = name
    table[count[0]].keeps_sum = keeps_sum
    table[count[0]].rows32 = rows32
    table[count[0]].rows64 = rows64
    count[0] += 1


cdef inline int fill_activations(Activation* table) noexcept:
    """All activations, identity first; returns how many."""
    cdef int n = 0
    add(table, &n, "identity", False, identity_rows, identity_rows)
    add(table, &n, "relu", False, relu_rows, relu_rows)
    add(table, &n, "leaky_relu", False, leaky_relu_rows, leaky_relu_rows)
    add(table, &n, "elu", False, elu_rows, elu_rows)
    add(table, &n, "selu", False, selu_rows, selu_rows)
    add(table, &n, "gelu", True, gelu_rows, gelu_rows)
    add(table, &n, "silu", True, silu_rows, silu_rows)
    add(table, &n, "mish", True, mish_rows, mish_rows)
    add(table, &n, "softplus", False, softplus_rows, softplus_rows)
    add(table, &n, "tanh", False, tanh_rows, tanh_rows)
    add(table, &n, "sigmoid", False, sigmoid_rows, sigmoid_rows)
    add(table, &n, "hard_sigmoid", False, hard_sigmoid_rows, hard_sigmoid_rows)
    add(table, &n, "softsign", False, softsign_rows, softsign_rows)
    add(table, &n, "softmax", False, softmax_rows, softmax_rows)
    return n


cdef inline void activate(const Activation* activation, Size size, const floating* z, floating* a) noexcept nogil:
    """a = f(z)"""
    if floating is float:
        activation.rows32(False, size, z, a, NULL)
    else:
        activation.rows64(False, size, z, a, NULL)


cdef inline void activate_backward(
    const Activation* activation, Size size, const floating* z, const floating* a, floating* d,
) noexcept nogil:
    """d *= f'(z)"""
    if floating is float:
        activation.rows32(True, size, z, <floating*>a, d)
    else:
        activation.rows64(True, size, z, <floating*>a, d)
