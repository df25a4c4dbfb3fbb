# One piece of a batch on its way through the network and back, as all ops and all threads see it: included by _core.pyx.

cdef enum Phase:
    GATHER
    FORWARD
    ACTIVATION
    LOSS
    SLOPE
    INPUT_GRADIENT
    WEIGHT_GRADIENT
    UPDATE
    REST
    PHASE_COUNT

PHASES = ("gather", "forward", "activation", "loss", "slope", "input gradient", "weight gradient", "update", "rest")


cdef struct Laps:
    # A stop watch: the seconds of every phase, and when the last one ended.
    double seconds[PHASE_COUNT]
    double last


cdef inline void lap(Laps* laps, int phase) noexcept nogil:
    """The phase ends now; without a watch (laps NULL) nothing happens."""
    cdef double clock
    if laps is not NULL:
        clock = now()
        laps.seconds[phase] += clock - laps.last
        laps.last = clock


cdef struct Pass:
    # Arrays of numbers are void, since a struct cannot be fused; the tasks of _step.pxi cast them back.
    const Op* ops
    Py_ssize_t count
    Run* run
    Py_ssize_t rows             # of the piece
    Py_ssize_t way              # of the whole batch: what a choice between ways that sum differently may depend on
    const Source* all_x         # the samples
    Py_ssize_t all_rows
    const Source* all_targets
    const Py_ssize_t* all_labels
    const void* all_weights
    const Py_ssize_t* all_lengths
    const Py_ssize_t* order     # of the samples; NULL: as they come
    Py_ssize_t first            # place in that order of the piece's first row
    const void* x               # the piece's rows, as they lie among the samples or gathered in the arena
    Py_ssize_t ldx
    bint gather_x
    void* d_x                   # gradient of the piece's rows, its positions padded; NULL: nobody asks
    Py_ssize_t ld_dx
    const void* targets
    Py_ssize_t ldy
    bint gather_targets
    const Py_ssize_t* labels    # one for every position of the output
    const void* weights
    const Py_ssize_t* lengths   # steps of every row that count; NULL: all
    double* row_loss            # of every position
    double* row_metric
    void* parameters
    void* gradient
    void* state1
    void* state2
    void* statistics
    void* workspace             # numbers of the ops that belong to no sample
    void* all_carry             # state that the next batch goes on from, of its rows; NULL: none
    void* carry                 # of the piece's rows
    Py_ssize_t carry_size       # of one row
    void* arena
    void* scratch               # every thread has a part of it
    Py_ssize_t scratch_size     # of that part
    optimizers.Rule rule
    bint training               # batch statistics and noise
    bint updating               # whether an update follows this piece's gradient
    bint fused                  # the loss includes the last activation
    Py_ssize_t begin            # the ops of the task that runs: from `begin` to before `end`
    Py_ssize_t end
    Laps* laps                  # of the calling thread; NULL: nobody looks


cdef inline Py_ssize_t padded(Py_ssize_t width) noexcept nogil:
    """The row length that holds `width` numbers."""
    return (width + 15) // 16 * 16


cdef inline floating* slot_of(
    const Pass* batch, Py_ssize_t slot, Py_ssize_t size, Py_ssize_t first, floating* arena,
) noexcept nogil:
    """Row `first` in a slot of `size` numbers a row."""
    return arena + batch.rows * slot + first * size


cdef inline const floating* input_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    """What an op reads of row `first`; from row to row in_positions * in_width numbers."""
    if op.input < 0:
        return <const floating*>batch.x + first * batch.ldx
    return slot_of(batch, op.input, op.in_positions * op.in_width, first, arena)


cdef inline floating* d_input_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    """Where the gradient of that belongs, in_positions * padded(inputs) numbers a row; NULL: nobody asks."""
    if op.d_input < 0:
        return <floating*>batch.d_x + first * batch.ld_dx if batch.d_x is not NULL else NULL
    return slot_of(batch, op.d_input, op.in_positions * padded(op.inputs), first, arena)


cdef inline floating* sums_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.sums, op.positions * op.width, first, arena)


cdef inline floating* output_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.output, op.positions * op.width, first, arena)


cdef inline floating* delta_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.delta, op.positions * op.width, first, arena)


cdef inline void add_row(Py_ssize_t width, const floating* x, floating* y) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(width):
        y[j] += x[j]
