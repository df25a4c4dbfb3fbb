# Which threads there still are: after a fork() the child has none but the one that called it, and what the others held or
# waited for stays so for ever.
#
# A thread has a number that no other thread of the process or of its children ever has; those of the system are given again.
# In a child `forks` is higher, and `survivor` is the number of the one thread that came along: what was taken before by anybody
# else belongs to nobody there.

from libc.stdint cimport int64_t

cdef extern from * nogil:
    """
    #include <pthread.h>

    static int64_t cbp_forks, cbp_survivor, cbp_last_thread;
    static __thread int64_t cbp_thread;

    static inline int64_t cbp_this_thread(void) {
        if (cbp_thread == 0) cbp_thread = __atomic_add_fetch(&cbp_last_thread, 1, __ATOMIC_SEQ_CST);
        return cbp_thread;
    }
    static void cbp_in_child(void) { cbp_survivor = cbp_this_thread(); cbp_forks++; }
    static inline int cbp_watch_forks(void) { return pthread_atfork(NULL, NULL, cbp_in_child); }
    """
    int64_t forks "cbp_forks"
    int64_t survivor "cbp_survivor"
    int64_t this_thread "cbp_this_thread"()     # never 0
    int watch_forks "cbp_watch_forks"()         # once, before anything else
