# A team of threads that work on one task at a time: fork, join, and as little in between as can be.
#
# The members are ordinary Python threads that sit in team_work() without the GIL. team_run() splits a task into as many parts
# as there are members, works as member 0, and returns when all parts are done. A member takes its own part first, which it
# finds in its cache, and then whatever nobody has begun: on a busy machine a member that is not scheduled holds up nobody.
# Who waits spins for some ten microseconds (a phase of a step is not much longer) and then sleeps: a barrier that only spins
# costs a time slice there, and OpenMP's hangs after a fork.
#
# Nothing can be missed: who goes to sleep says so first (`sleepers`, `caller_sleeps`) and then looks once more, who changes
# something changes it first and then looks for sleepers, and all of these are sequentially consistent. Nothing is done twice:
# `claimed` of a part counts the tasks in which it was taken, and a member that comes late expects an old count.

from libc.stdint cimport int64_t

ctypedef void (*Task)(void* context, int part, int parts, int member) noexcept nogil

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
    static inline int cbp_atomic_advance(int64_t *where, int64_t from) {
        return __atomic_compare_exchange_n(where, &from, from + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
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
    bint advance "cbp_atomic_advance"(int64_t* where, int64_t since)   # by one, if it is what it was
    void pause "cbp_pause"()

cdef enum:
    MAX_MEMBERS = 256
    SPINS = 1000    # pauses of some ten nanoseconds


cdef struct Part:
    int64_t claimed
    char[56] _apart         # a cache line each


cdef struct TeamState:
    int members
    Task task
    void* context
    int64_t generation      # counts the tasks
    char[64] _apart
    int64_t pending         # parts that are not done
    int64_t sleepers        # members asleep
    int64_t caller_sleeps
    int64_t closed
    pthread_mutex_t mutex
    pthread_cond_t task_given
    pthread_cond_t task_done
    Part parts[MAX_MEMBERS]


cdef inline void team_open(TeamState* team, int members) noexcept nogil:
    cdef int part
    team.members = members
    team.generation = team.pending = team.sleepers = team.caller_sleeps = team.closed = 0
    for part in range(members):
        team.parts[part].claimed = 0
    pthread_mutex_init(&team.mutex, NULL)
    pthread_cond_init(&team.task_given, NULL)
    pthread_cond_init(&team.task_done, NULL)


cdef inline void team_free(TeamState* team) noexcept nogil:
    pthread_cond_destroy(&team.task_done)
    pthread_cond_destroy(&team.task_given)
    pthread_mutex_destroy(&team.mutex)


cdef inline void team_run(TeamState* team, Task task, void* context) noexcept nogil:
    """All parts of the task. Without a team (NULL) the caller does it as one part."""
    cdef Py_ssize_t spin = 0
    if team is NULL:
        task(context, 0, 1, 0)
        return
    team.task = task
    team.context = context
    store(&team.pending, team.members)
    next_generation(team)
    do_parts(team, team.generation, 0)
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
    """Take part in every task until the team is closed."""
    cdef int64_t seen = 0
    while True:
        wait_for_task(team, seen)
        seen = load(&team.generation)
        if load(&team.closed):
            return
        do_parts(team, seen, member)


cdef inline void do_parts(TeamState* team, int64_t generation, int member) noexcept nogil:
    """The own part of the task, and then every other that nobody has begun."""
    cdef int k, part
    for k in range(team.members):
        part = (member + k) % team.members
        if advance(&team.parts[part].claimed, generation - 1):
            team.task(team.context, part, team.members, member)
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
