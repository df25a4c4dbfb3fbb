# What all ops and all threads see of one piece of a batch on its way through the network and back: the arrays (Pass), and what
# a kind of op can do (Kind).

from cython cimport floating
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from cbp.kernels.activations cimport Activation
from cbp.kernels.losses cimport Loss
from cbp.kernels.optimizers cimport Rule
from cbp.kernels.structs cimport Op, Run, Segment, Source


# --- a stop watch -------------------------------------------------------------------------------------------------------------

cdef inline double now() noexcept nogil:
    cdef timespec clock
    clock_gettime(CLOCK_MONOTONIC, &clock)
    return clock.tv_sec + clock.tv_nsec * 1e-9


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


# --- a kind of op -------------------------------------------------------------------------------------------------------------

cdef struct Pass    # declared before what takes one

ctypedef void (*Rows32)(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, float* arena, float* scratch) noexcept nogil
ctypedef void (*Rows64)(
    const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t rows, double* arena, double* scratch) noexcept nogil
ctypedef void (*Weight32)(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, float* arena, float* scratch, float* g,
) noexcept nogil
ctypedef void (*Weight64)(
    const Pass* batch, const Op* op, Py_ssize_t row, Py_ssize_t n, bint accumulate, double* arena, double* scratch, double* g,
) noexcept nogil
ctypedef void (*Bias32)(
    const Pass* batch, const Op* op, bint accumulate, float* arena, float* scratch, float* g) noexcept nogil
ctypedef void (*Bias64)(
    const Pass* batch, const Op* op, bint accumulate, double* arena, double* scratch, double* g) noexcept nogil
ctypedef void (*Units32)(const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, float* arena) noexcept nogil
ctypedef void (*Units64)(const Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t n, double* arena) noexcept nogil
ctypedef void (*Batch32)(const Pass* batch, const Op* op, float* arena) noexcept nogil
ctypedef void (*Batch64)(const Pass* batch, const Op* op, double* arena) noexcept nogil
ctypedef void (*Row32)(const Pass* batch, const Op* op, Py_ssize_t row, float* arena) noexcept nogil
ctypedef void (*Row64)(const Pass* batch, const Op* op, Py_ssize_t row, double* arena) noexcept nogil
ctypedef void (*Listed32)(
    Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t end, float* arena, float* scratch) noexcept nogil
ctypedef void (*Listed64)(
    Pass* batch, const Op* op, Py_ssize_t first, Py_ssize_t end, double* arena, double* scratch) noexcept nogil


cdef struct Needs:
    # How many numbers an op keeps, beside the slots of its input and output: as doubles, since a plan asks before it refuses
    # sizes whose products are beyond integers.
    double work       # multiplications of a row on the way forward, roughly; begins as positions x weight_rows x weight_width
    double scratch    # of a thread, while it works on the op
    double kept       # of a sample, for the way back: the slot `extra`
    double shared     # that belong to no sample: a place in the workspace
    double carried    # of a row's state, where that goes on in the next batch

ctypedef void (*CountNeeds)(Op* op, Needs* needs) noexcept nogil


cdef enum:
    GRADIENT_BLOCK = 4096   # usual for `block`: they stay in the first-level cache

cdef enum Terms:
    SUMS_NOTHING     # the gradients are no sums over terms, or summed in another way
    SUMS_OUTPUTS     # a term for every position of the output
    SUMS_INPUTS      # ... of the input


cdef struct Kind:
    # What a kind of op is, in both precisions. Where a function is NULL there is nothing to do; `backward` is always there.
    const char* name
    CountNeeds needs
    # Weighted sums, or whatever comes before the activation, of some rows.
    Rows32 forward32
    Rows64 forward64
    # From the gradient of that, in the slot d_output, to the gradient of the input, which is overwritten.
    Rows32 backward32
    Rows64 backward64
    # The gradient of n rows of the weight matrix, over all rows of the piece, and of the bias row.
    Weight32 weight32
    Weight64 weight64
    Bias32 bias32
    Bias64 bias64
    # Where the rows of a batch depend on each other: what the op must know of all of them, for n of its units, on the way
    # forward and on the way back; and what it remembers of a batch whose loss is finite and after which the weights change.
    Units32 moments32
    Units64 moments64
    Units32 moments_back32
    Units64 moments_back64
    Batch32 remember32
    Batch64 remember64
    # Take a row of weight 0 out of what the op keeps. Where there is no function, its slot `extra` is cleared.
    Row32 silence32
    Row64 silence64
    # Gradient and update of those rows of the weights alone that occur in the batch, for ops that are `sparse`.
    Listed32 listed32
    Listed64 listed64
    Py_ssize_t block     # numbers of a weight gradient between product and update; 0: all at once
    bint names_rows      # the inputs are numbers of rows of the weights
    int sums             # how many terms of a row the gradients have (see ops/parts.pxd)


# --- a piece of a batch -------------------------------------------------------------------------------------------------------

cdef struct Pass:
    # Arrays of numbers are void, since a struct cannot be fused; the tasks of loops/step.pxd cast them back.
    const Kind* kinds           # the tables of the core
    const Activation* activations
    const Loss* loss            # NULL: there is none
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
    void* parts                 # three times as many numbers beside it, for sums of many terms; NULL: there are few
    Py_ssize_t parts_size       # of each
    void* state                 # arrays as long as the parameters, one after the other; NULL: the rule has none
    Py_ssize_t size             # of each, and of the parameters
    Py_ssize_t states           # how many
    void* average               # of the parameters; NULL: nobody asks
    const double* rates         # of the coming steps or epochs, from run.first_rate on
    Py_ssize_t rate_count
    const Segment* segments     # the arrays that a deferred update changes
    Py_ssize_t segment_count
    double* squares             # their sum in every block of their gradients, then the scale of each of their gradients
    void* statistics
    void* workspace             # numbers of the ops that belong to no sample
    void* all_carry             # state that the next batch goes on from, of its rows; NULL: none
    void* carry                 # of the piece's rows
    Py_ssize_t carry_size       # of one row
    void* arena
    void* scratch               # every thread has a part of it
    Py_ssize_t scratch_size     # of that part
    Rule rule
    bint training               # batch statistics and noise
    bint updating               # whether an update follows every block of this piece's gradient
    bint fused                  # the loss includes the last activation
    Py_ssize_t learns           # the first op whose parameters training changes: nobody needs deltas before it
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


cdef inline floating* d_output_of(const Pass* batch, const Op* op, Py_ssize_t first, floating* arena) noexcept nogil:
    return slot_of(batch, op.d_output, op.positions * op.width, first, arena)


cdef inline void add_row(Py_ssize_t width, const floating* x, floating* y) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(width):
        y[j] += x[j]


cdef inline bint measures(const Pass* batch, const Op* op) noexcept nogil:
    """Whether an op takes the moments of the batch, and not its statistics."""
    return batch.training and not op.rests


cdef inline bint waits(const Pass* batch, const Op* op) noexcept nogil:
    """Whether an op needs all rows of the batch before it goes on."""
    return measures(batch, op) and batch.kinds[op.kind].moments32 is not NULL
