# A team of threads that work on one task at a time: fork, join, and as little in between as can be.
#
# The members are ordinary Python threads that sit in team_work() without the GIL. team_run() gives all of them, and the
# caller as member 0, the same task and returns when everybody has done its part. Who waits spins for some ten microseconds
# (a phase of a step is not much longer) and then sleeps: on a machine that is busy with other things a spinning barrier
# costs a time slice, and OpenMP's hangs after a fork.
#
# Nothing can be missed: who goes to sleep says so first (`sleepers`, `caller_sleeps`) and then looks once more, who changes
# something changes it first and then looks for sleepers, and all of these are sequentially consistent.

from libc.stdint cimport int64_t

ctypedef void (*Task)(void* context, int part, int parts) noexcept nogil

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_mutex_init(pthread_mutex_t*, void*)
    int pthread_mutex_destroy(pthread_mutex_t*)
    int pthread_mutex_lock(pthread_mutex_t*)
    int pthread_mutex_unlock(pthread_mutex_t*)
    int pthread_cond_init(pthread_cond_t*, void*)
    int pthread_cond_destroy(pthread_cond_t*)
    int pthread_cond_wait(pthread_cond_t*, pthread_mutex_t*)
    int pthread_cond_broadcast(pthread_cond_t*)

cdef extern from * nogil:
    """
    static inline int64_t cbp_atomic_load(int64_t *where) { return __atomic_load_n(where, __ATOMIC_SEQ_CST); }
    static inline void cbp_atomic_store(int64_t *where, int64_t value) { __atomic_store_n(where, value, __ATOMIC_SEQ_CST); }
    static inline int64_t cbp_atomic_add(int64_t *where, int64_t value) {
        return __atomic_add_fetch(where, value, __ATOMIC_SEQ_CST);
    }
    static inline void cbp_pause(void) {
    #if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
    #elif defined(__aarch64__)
        __asm__ __volatile__("yield");
    #endif
    }
    """
    int64_t load "cbp_atomic_load"(int64_t* where)
    void store "cbp_atomic_store"(int64_t* where, int64_t value)
    int64_t add "cbp_atomic_add"(int64_t* where, int64_t value)
    void pause "cbp_pause"()

cdef enum:
    SPINS = 1000    # pauses of some ten nanoseconds


cdef struct TeamState:
    int members
    Task task
    void* context
    int64_t generation      # counts the tasks
    char[64] _apart         # what all read and what all write lie in different cache lines
    int64_t pending         # members that have not done their part
    int64_t sleepers        # members asleep
    int64_t caller_sleeps
    int64_t closed
    pthread_mutex_t mutex
    pthread_cond_t task_given
    pthread_cond_t task_done


cdef inline void team_open(TeamState* team, int members) noexcept nogil:
    team.members = members
    team.generation = team.pending = team.sleepers = team.caller_sleeps = team.closed = 0
    pthread_mutex_init(&team.mutex, NULL)
    pthread_cond_init(&team.task_given, NULL)
    pthread_cond_init(&team.task_done, NULL)


cdef inline void team_free(TeamState* team) noexcept nogil:
    pthread_cond_destroy(&team.task_done)
    pthread_cond_destroy(&team.task_given)
    pthread_mutex_destroy(&team.mutex)


cdef inline void team_run(TeamState* team, Task task, void* context) noexcept nogil:
    """Every member's part of the task, the caller's being part 0. Without a team (NULL) the caller does it all."""
    cdef Py_ssize_t spin = 0
    if team is NULL:
        task(context, 0, 1)
        return
    team.task = task
    team.context = context
    store(&team.pending, team.members - 1)
    next_generation(team)
    task(context, 0, team.members)
    while load(&team.pending) > 0 and spin < SPINS:
        spin += 1
        pause()
    if load(&team.pending) > 0:
        pthread_mutex_lock(&team.mutex)
        store(&team.caller_sleeps, 1)
        while load(&team.pending) > 0:
            pthread_cond_wait(&team.task_done, &team.mutex)
        store(&team.caller_sleeps, 0)
        pthread_mutex_unlock(&team.mutex)


cdef inline void team_close(TeamState* team) noexcept nogil:
    """Let team_work() return in all members."""
    store(&team.closed, 1)
    next_generation(team)


cdef inline void next_generation(TeamState* team) noexcept nogil:
    add(&team.generation, 1)
    if load(&team.sleepers) > 0:
        pthread_mutex_lock(&team.mutex)
        pthread_cond_broadcast(&team.task_given)
        pthread_mutex_unlock(&team.mutex)


cdef inline void team_work(TeamState* team, int member) noexcept nogil:
    """Do part number `member` of every task until the team is closed."""
    cdef int64_t seen = 0
    while True:
        wait_for_task(team, seen)
        seen += 1
        if load(&team.closed):
            return
        team.task(team.context, member, team.members)
        if add(&team.pending, -1) == 0 and load(&team.caller_sleeps):
            pthread_mutex_lock(&team.mutex)
            pthread_cond_broadcast(&team.task_done)
            pthread_mutex_unlock(&team.mutex)


cdef inline void wait_for_task(TeamState* team, int64_t seen) noexcept nogil:
    cdef Py_ssize_t spin = 0
    while load(&team.generation) == seen and spin < SPINS:
        spin += 1
        pause()
    if load(&team.generation) == seen:
        pthread_mutex_lock(&team.mutex)
        add(&team.sleepers, 1)
        while load(&team.generation) == seen:
            pthread_cond_wait(&team.task_given, &team.mutex)
        add(&team.sleepers, -1)
        pthread_mutex_unlock(&team.mutex)
