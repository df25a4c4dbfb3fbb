# Random numbers from a counter: Philox4x32-10 (Salmon et al., 2011, Parallel random numbers: as easy as 1, 2, 3).
#
# A draw is a pure function of (seed, stream, counter, index), so there is no generator state to save: who knows the seed and
# the number of the epoch knows the shuffle. `stream` says what the numbers are for.

from libc.math cimport log, sqrt
from libc.stdint cimport uint32_t, uint64_t

from cbp.kernels.tile cimport VECTOR_BYTES


cdef enum Stream:
    INITIAL_WEIGHTS
    SHUFFLE
    NOISE      # and all after it: every layer of noise has its own


cdef enum:
    WORDS = 64   # that philox_words gives


cdef struct Philox:
    uint32_t key[2]
    uint32_t counter[4]
    uint32_t output[4]
    int used


cdef inline void philox_block(const uint32_t* key, const uint32_t* counter, uint32_t* output) noexcept nogil:
    """Ten rounds: four random words from a counter of four words and a key of two."""
    cdef uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3]
    cdef uint32_t k0 = key[0], k1 = key[1]
    cdef uint64_t p0, p1
    cdef int _round
    for _round in range(10):
        p0 = <uint64_t>0xD2511F53 * c0
        p1 = <uint64_t>0xCD9E8D57 * c2
        c0 = <uint32_t>(p1 >> 32) ^ c1 ^ k0
        c1 = <uint32_t>p1
        c2 = <uint32_t>(p0 >> 32) ^ c3 ^ k1
        c3 = <uint32_t>p0
        k0 = k0 + <uint32_t>0x9E3779B9
        k1 = k1 + <uint32_t>0xBB67AE85
    output[0] = c0
    output[1] = c1
    output[2] = c2
    output[3] = c3


cdef fused Word:
    uint32_t
    uint64_t


cdef inline void philox_words(const uint32_t* key, uint32_t group, uint32_t place, uint32_t* words) noexcept nogil:
    """WORDS random words, number `group` of those that belong to `place`: sixteen blocks at once, so that it vectorises."""
    # AVX-512 multiplies 64 bits: twice as fast there, and three times slower where that takes several instructions.
    if VECTOR_BYTES == 64:
        philox_blocks(key, group, place, <uint64_t>0, words)
    else:
        philox_blocks(key, group, place, <uint32_t>0, words)


cdef inline void philox_blocks(
    const uint32_t* key, uint32_t group, uint32_t place, Word zero, uint32_t* words,
) noexcept nogil:
    """The blocks of the counters (16 group + i, place, 0, 0): their first words, then their second ones, and so on."""
    cdef Word c0[16]
    cdef Word c1[16]
    cdef Word c2[16]
    cdef Word c3[16]
    cdef Word k0 = key[0], k1 = key[1]
    cdef uint64_t p0, p1
    cdef int _round, i
    for i in range(16):
        c0[i] = <uint32_t>(16 * group + <uint32_t>i)
        c1[i] = place
        c2[i] = zero
        c3[i] = zero
    for _round in range(10):
        for i in range(16):
            p0 = <uint64_t>0xD2511F53 * c0[i]
            p1 = <uint64_t>0xCD9E8D57 * c2[i]
            c0[i] = <Word>(p1 >> 32) ^ c1[i] ^ k0
            c1[i] = <Word>(p1 & <uint64_t>0xFFFFFFFF)
            c2[i] = <Word>(p0 >> 32) ^ c3[i] ^ k1
            c3[i] = <Word>(p0 & <uint64_t>0xFFFFFFFF)
        k0 = <uint32_t>(k0 + <uint32_t>0x9E3779B9)
        k1 = <uint32_t>(k1 + <uint32_t>0xBB67AE85)
    for i in range(16):
        words[i] = <uint32_t>c0[i]
        words[16 + i] = <uint32_t>c1[i]
        words[32 + i] = <uint32_t>c2[i]
        words[48 + i] = <uint32_t>c3[i]


cdef inline void noise_key(uint64_t seed, uint32_t stream, uint32_t epoch, uint64_t step, uint32_t* key) noexcept nogil:
    """The key of one layer's noise in one step: random words that belong to (seed, stream, epoch, step)."""
    cdef uint32_t seeds[2]
    cdef uint32_t counter[4]
    cdef uint32_t block[4]
    seeds[0] = <uint32_t>seed
    seeds[1] = <uint32_t>(seed >> 32)
    counter[0] = <uint32_t>step
    counter[1] = <uint32_t>(step >> 32)
    counter[2] = epoch
    counter[3] = NOISE + stream
    philox_block(seeds, counter, block)
    key[0] = block[0]
    key[1] = block[1]


cdef inline void philox_start(Philox* state, uint64_t seed, uint32_t stream, uint32_t counter) noexcept nogil:
    """The sequence of numbers that belongs to (seed, stream, counter)."""
    state.key[0] = <uint32_t>seed
    state.key[1] = <uint32_t>(seed >> 32)
    state.counter[0] = 0
    state.counter[1] = 0
    state.counter[2] = counter
    state.counter[3] = stream
    state.used = 4


cdef inline uint32_t next_word(Philox* state) noexcept nogil:
    cdef uint32_t word
    if state.used == 4:
        philox_block(state.key, state.counter, state.output)
        state.counter[0] += 1
        if state.counter[0] == 0:
            state.counter[1] += 1
        state.used = 0
    word = state.output[state.used]
    state.used += 1
    return word


cdef inline uint64_t next_wide(Philox* state) noexcept nogil:
    cdef uint64_t high = next_word(state)
    return (high << 32) | next_word(state)


cdef inline double next_uniform(Philox* state) noexcept nogil:
    """A multiple of 2^-53 in [0, 1)."""
    return (next_wide(state) >> 11) * (1.0 / 9007199254740992.0)


cdef inline double next_normal(Philox* state) noexcept nogil:
    """Standard normal, by the polar method (Marsaglia & Bray, 1964); the second number of a pair is not kept."""
    cdef double u, v, s
    while True:
        u = 2 * next_uniform(state) - 1
        v = 2 * next_uniform(state) - 1
        s = u * u + v * v
        if 0 < s < 1:
            return u * sqrt(-2 * log(s) / s)


cdef inline uint32_t next_below(Philox* state, uint32_t bound) noexcept nogil:
    """Uniform in [0, bound), without bias (Lemire, 2019, Fast random integer generation in an interval)."""
    cdef uint64_t product = <uint64_t>next_word(state) * bound
    cdef uint32_t low = <uint32_t>product
    cdef uint32_t threshold
    if low < bound:
        threshold = (<uint32_t>0 - bound) % bound
        while low < threshold:
            product = <uint64_t>next_word(state) * bound
            low = <uint32_t>product
    return <uint32_t>(product >> 32)


cdef inline void shuffle(Philox* state, Py_ssize_t n, Py_ssize_t* order) noexcept nogil:
    """order = a random permutation of 0 ... n - 1 (Fisher & Yates), n below 2^32."""
    cdef Py_ssize_t i, j
    for i in range(n):
        order[i] = i
    for i in range(n - 1, 0, -1):
        j = <Py_ssize_t>next_below(state, <uint32_t>(i + 1))
        order[i], order[j] = order[j], order[i]
