# Subnormal numbers as zero, for a while and in one thread.
#
# The moments of a dead relu decay through the subnormal range, where every operation costs a hundred cycles: steps of small
# networks became 5 to 25 % slower. While the core trains, results that would be subnormal become 0, as in PyTorch's and
# JAX's usual setting; the caller's mode returns afterwards. On processors other than x86-64 and 64-bit ARM nothing changes.

from libc.stdint cimport uint64_t

cdef extern from * nogil:
    """
    #if defined(__x86_64__)
    static inline uint64_t cbp_flush_subnormals(void) {
        unsigned int before = __builtin_ia32_stmxcsr();
        __builtin_ia32_ldmxcsr(before | 0x8040);   /* flush to zero, denormals are zero */
        return before;
    }
    static inline void cbp_restore_subnormals(uint64_t before) { __builtin_ia32_ldmxcsr((unsigned int)before); }
    #elif defined(__aarch64__)
    static inline uint64_t cbp_flush_subnormals(void) {
        uint64_t before;
        __asm__ __volatile__("mrs %0, fpcr" : "=r"(before));
        __asm__ __volatile__("msr fpcr, %0" : : "r"(before | (1ull << 24)));
        return before;
    }
    static inline void cbp_restore_subnormals(uint64_t before) { __asm__ __volatile__("msr fpcr, %0" : : "r"(before)); }
    #else
    static inline uint64_t cbp_flush_subnormals(void) { return 0; }
    static inline void cbp_restore_subnormals(uint64_t before) { (void)before; }
    #endif
    """
    uint64_t flush_subnormals "cbp_flush_subnormals"()
    void restore_subnormals "cbp_restore_subnormals"(uint64_t before)
