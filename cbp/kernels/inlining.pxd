# How the C compiler is told to inline.
#
# A function of a .pxd must be `inline`, and left to itself gcc inlines the small ones and those called once. Where a function
# is called with literal sizes, or with literal functions, that is not enough: only inside its caller do they become constants,
# and without that the register tile is a general loop, 6 times slower. Such a function returns `forced`, which is void with the
# order to inline it always. Functions that return `floating` cannot carry that: the limit max-inline-insns-single in setup.py
# is high enough for them, or the exponentials take 15 times as long.
#
# And what small networks never need returns `apart`, void with the order never to inline it: inside its caller it would take
# registers and stack from all others.

cdef extern from *:
    """
    #if defined(__GNUC__)
    #define CBP_FORCED __attribute__((always_inline)) void
    #define CBP_APART __attribute__((noinline)) void
    #else
    #define CBP_FORCED void
    #define CBP_APART void
    #endif
    """
    ctypedef void forced "CBP_FORCED"
    ctypedef void apart "CBP_APART"
