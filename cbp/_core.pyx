"""The compiled core: a network as a table of operations over flat arrays, and the loops that run it.

Every function expects what ``network.py`` prepares: checked, C-contiguous arrays of the network's dtype. Nothing is checked
here, nothing is allocated, and the loops run without the GIL; ``predict_ready`` and ``train_ready`` do otherwise, and say why.
Kernels are in ``cbp/kernels/``, one subject a file.
"""

cimport cython
cimport numpy as cnp
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_CheckExact
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_CheckExact
from cython cimport floating
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport isfinite, sqrt
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import numpy as np

from cbp._structs cimport Op, Run, Source
from cbp.kernels cimport (
    activations,
    conv,
    dense,
    depthwise,
    gather,
    losses,
    noise,
    norm,
    optimizers,
    random,
    recurrent,
    tile,
)
from cbp.kernels.dense cimport (
    dense_backward_bias,
    dense_backward_input,
    dense_backward_naive,
    dense_backward_weight,
    dense_forward,
    dense_forward_naive,
)
from cbp.kernels.pool cimport pool_backward, pool_forward
from cbp.kernels.repack cimport pad, repack
from cbp.kernels.subnormals cimport flush_subnormals, restore_subnormals
from cbp.kernels.team cimport MAX_MEMBERS, TeamState, team_close, team_free, team_open, team_run, team_work

cnp.import_array()

# --- names, as Python sees them ---------------------------------------------------------------------------------------------

cdef enum OpKind:
    DENSE
    COPY          # the same numbers, padded otherwise
    SPLIT         # a value with two readers
    JOIN          # a sum of two values
    CONCAT        # two values, one behind the other
    MAX_POOL
    AVERAGE_POOL
    EMBEDDING
    BATCH_NORM
    LAYER_NORM
    DROPOUT
    GAUSSIAN_NOISE
    CONVOLUTION
    GROUPED
    RNN
    LSTM
    GRU

cdef enum:
    GRADIENT_BLOCK = 4096   # numbers of a weight gradient between product and update: they stay in the first-level cache
    FETCH_FROM = 256        # numbers of a piece whose successor is fetched into the cache: smaller ones come by themselves,
    FETCH_UP_TO = 16384     # larger ones need longer than a step

cdef enum Mode:
    TRAIN
    GRADIENT      # the gradient of one batch, no update
    EVALUATE      # loss and metric, no gradient

OPS = {
    "dense": DENSE,
    "copy": COPY,
    "split": SPLIT,
    "join": JOIN,
    "concat": CONCAT,
    "max_pool": MAX_POOL,
    "average_pool": AVERAGE_POOL,
    "embedding": EMBEDDING,
    "batch_norm": BATCH_NORM,
    "layer_norm": LAYER_NORM,
    "dropout": DROPOUT,
    "gaussian_noise": GAUSSIAN_NOISE,
    "convolution": CONVOLUTION,
    "grouped": GROUPED,
    "rnn": RNN,
    "lstm": LSTM,
    "gru": GRU,
}
MODES = {"train": TRAIN, "gradient": GRADIENT, "evaluate": EVALUATE}
ACTIVATIONS = {
    "identity": activations.IDENTITY,
    "relu": activations.RELU,
    "leaky_relu": activations.LEAKY_RELU,
    "elu": activations.ELU,
    "selu": activations.SELU,
    "gelu": activations.GELU,
    "silu": activations.SILU,
    "softplus": activations.SOFTPLUS,
    "tanh": activations.TANH,
    "sigmoid": activations.SIGMOID,
    "hard_sigmoid": activations.HARD_SIGMOID,
    "softsign": activations.SOFTSIGN,
    "softmax": activations.SOFTMAX,
}
LOSSES = {
    "mean_squared_error": losses.MEAN_SQUARED_ERROR,
    "half_squared_error": losses.HALF_SQUARED_ERROR,
    "mean_absolute_error": losses.MEAN_ABSOLUTE_ERROR,
    "huber": losses.HUBER,
    "binary_cross_entropy": losses.BINARY_CROSS_ENTROPY,
    "cross_entropy": losses.CROSS_ENTROPY,
    "poisson": losses.POISSON,
    "hinge": losses.HINGE,
}
OPTIMIZERS = {
    "sgd": optimizers.SGD,
    "momentum": optimizers.MOMENTUM,
    "nesterov": optimizers.NESTEROV,
    "adam": optimizers.ADAM,
    "rmsprop": optimizers.RMSPROP,
    "adagrad": optimizers.ADAGRAD,
}
SOURCES = {
    "bool": gather.BOOL,
    "int8": gather.INT8,
    "int16": gather.INT16,
    "int32": gather.INT32,
    "int64": gather.INT64,
    "uint8": gather.UINT8,
    "uint16": gather.UINT16,
    "uint32": gather.UINT32,
    "uint64": gather.UINT64,
    "float16": gather.FLOAT16,
    "float32": gather.FLOAT32,
    "float64": gather.FLOAT64,
}
STREAMS = {"initial_weights": random.INITIAL_WEIGHTS, "shuffle": random.SHUFFLE}
KEEPS_SUM = frozenset(name for name, kind in ACTIVATIONS.items() if activations.keeps_sum(kind))
MOST_THREADS = MAX_MEMBERS
WALKERS = MOST_WALKERS   # samples that a recurrent layer takes through time at once; scratch is sized by it
PIXELS = conv.PIXELS     # windows in a table of offsets, and
SAMPLES = conv.SAMPLES   # samples whose images are copied at once: scratch is sized by them
STRIP = dense.STRIP   # rows of a weight matrix that are transposed at once; scratch is sized by it
NOISE_WORDS = random.WORDS   # numbers of a mask that are drawn at once
BUILD = {16: "v2", 32: "v3", 64: "v4"}[tile.VECTOR_BYTES]


cdef extern from *:
    """
    static const char *cbp_cpu_level(void) {
    #if defined(__x86_64__) && defined(__GNUC__)
        __builtin_cpu_init();
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return "v4";
        if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi")
            && __builtin_cpu_supports("bmi2")) return "v3";
    #endif
        return "v2";
    }
    """
    const char* cbp_cpu_level()


def cpu_level() -> str:
    """The highest level of instructions that this CPU runs: "v2" (the plain build), "v3" (AVX2) or "v4" (AVX-512)."""
    return (<bytes>cbp_cpu_level()).decode()


cdef Op _op
cdef Run _run
OP = np.asarray(<Op[:1]>&_op).dtype
RUN = np.asarray(<Run[:1]>&_run).dtype


# --- the data -----------------------------------------------------------------------------------------------------------------

def source(array not None, int kind):
    """The `Source` of a two-dimensional array whose dtype has that kind in SOURCES. It points at the array's memory, so who
    keeps it must keep the array."""
    cdef Py_buffer view
    cdef Source record
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    record.address = <uint64_t>view.buf
    record.kind = kind
    record.rows, record.columns = view.shape[0], view.shape[1]
    record.row_stride, record.column_stride = view.strides[0], view.strides[1]
    PyBuffer_Release(&view)
    return (<const char*>&record)[:sizeof(Source)]


# --- what is long when inlined, once for all who call it from afar ------------------------------------------------------------

cdef void multiply(
    Py_ssize_t rows, Py_ssize_t columns, Py_ssize_t depth, const floating* a, Py_ssize_t row_stride, Py_ssize_t column_stride,
    const floating* b, Py_ssize_t ldb, const floating* start, Py_ssize_t start_stride, floating* c, Py_ssize_t ldc,
) noexcept nogil:
    """product() of kernels/tile.pxd."""
    tile.product(rows, columns, depth, a, row_stride, column_stride, b, ldb, start, start_stride, c, ldc)


cdef void transposed(
    Py_ssize_t rows, Py_ssize_t columns, const floating* a, Py_ssize_t lda, floating* b, Py_ssize_t ldb,
) noexcept nogil:
    """transpose() of kernels/dense.pxd."""
    dense.transpose(rows, columns, a, lda, b, ldb)


cdef void activate_rows(
    int kind, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, floating* z, floating* a,
) noexcept nogil:
    """activate() of kernels/activations.pxd."""
    activations.activate(kind, rows, units, width, z, a)


cdef void activate_rows_backward(
    int kind, Py_ssize_t rows, Py_ssize_t units, Py_ssize_t width, const floating* z, const floating* a, floating* d,
) noexcept nogil:
    """activate_backward() of kernels/activations.pxd."""
    activations.activate_backward(kind, rows, units, width, z, a, d)


# --- a step, the loop over epochs, the short way for a few rows ---------------------------------------------------------------

cdef double now() noexcept nogil:
    cdef timespec clock
    clock_gettime(CLOCK_MONOTONIC, &clock)
    return clock.tv_sec + clock.tv_nsec * 1e-9


def clock():
    """Seconds on the clock that ``curves`` are measured with."""
    return now()


include "_pass.pxi"
include "_dense.pxi"
include "_structure.pxi"
include "_pooling.pxi"
include "_embedding.pxi"
include "_normalization.pxi"
include "_noise.pxi"
include "_convolution.pxi"
include "_grouped.pxi"
include "_recurrent.pxi"
include "_dispatch.pxi"
include "_step.pxi"
include "_epochs.pxi"
include "_ready.pxi"
include "_stream.pxi"


# --- passes over the data -----------------------------------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Team:
    """Threads for ``run_epochs``: members 1, 2, ... are Python threads that call ``work``, member 0 is who calls the core."""

    cdef TeamState state

    def __cinit__(self, int members):
        if not 1 <= members <= MAX_MEMBERS:
            raise ValueError(f"members must be from 1 to {MAX_MEMBERS}, got {members}")
        team_open(&self.state, members)

    def __dealloc__(self):
        team_free(&self.state)

    def work(self, int member):
        """Take part until ``__exit__``."""
        cdef uint64_t mode
        with nogil:
            mode = flush_subnormals()
            team_work(&self.state, member)
            restore_subnormals(mode)

    def __enter__(self):
        """The members may start."""
        return self

    def __exit__(self, *exception):
        """Let every ``work`` return. In C, where no signal comes between."""
        team_close(&self.state)


@cython.final
@cython.auto_pickle(False)
cdef class Exclusive:
    """A ``threading.Lock`` for ``with``, which raises where it is taken. In C: where a signal comes between the lock and the
    block, or between the block and the release, it would stay locked for ever."""

    cdef object lock

    def __cinit__(self, lock not None):
        self.lock = lock

    def __enter__(self):
        """Take the lock, or raise RuntimeError."""
        if not self.lock.acquire(False):
            raise RuntimeError("this network is being trained or saved by another thread, or carries its state on there; wait "
                               "for it, or work with a copy.deepcopy() that was made before")

    def __exit__(self, *exception):
        """Release the lock."""
        self.lock.release()


def run_epochs(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    floating[:, ::1] state not None, floating[::1] statistics not None, floating[:, ::1] carry not None,
    bytes x not None, bytes targets not None, const Py_ssize_t[::1] labels not None,
    const floating[::1] weights not None, const Py_ssize_t[::1] lengths not None, Py_ssize_t[::1] order not None,
    floating[::1] arena not None, floating[::1] workspace not None, floating[:, ::1] scratch not None,
    double[:, ::1] row_results not None, Py_ssize_t[::1] row_labels not None, Py_ssize_t[::1] row_lengths not None,
    double[:, ::1] curves not None,
    Py_ssize_t last_epoch, double patience, Team team, double[::1] laps not None,
):
    """Run epochs until `last_epoch` or, after `patience` seconds, to the next place where Python may look at signals.

    `x` (samples, inputs) and `targets` (samples, outputs) are what source() gave. Either `targets` or `labels` (samples x
    positions of the output) has no rows; empty may be `weights` (all 1), `lengths` (all steps count), `order` (no shuffling),
    `carry` (no state goes from batch to batch), `laps` (nobody looks at the clock) and, when nothing is updated, `state`.
    `curves` gets a row (loss, metric, seconds) for every complete epoch, `laps` the seconds of every phase. Every member of the
    `team` (None: the caller alone) has a row of `scratch`. Where the call stopped stands in `run`; the same call again goes on
    from there.
    """
    cdef Pass batch
    cdef Laps watch
    cdef Py_ssize_t phase
    cdef uint64_t mode
    cdef const Source* inputs = <const Source*><const char*>x
    cdef const Source* wanted = <const Source*><const char*>targets
    cdef TeamState* threads = NULL if team is None else &team.state
    with nogil:
        mode = flush_subnormals()
        memset(&batch, 0, sizeof(Pass))
        batch.ops = &ops[0]
        batch.count = ops.shape[0]
        batch.run = &run[0]
        batch.all_x, batch.all_targets = inputs, wanted
        batch.ldx, batch.ldy = inputs.columns, wanted.columns
        batch.all_labels = &labels[0] if labels.shape[0] > 0 else NULL
        batch.all_weights = &weights[0] if weights.shape[0] > 0 else NULL
        batch.all_lengths = &lengths[0] if lengths.shape[0] > 0 else NULL
        batch.order = &order[0] if order.shape[0] > 0 else NULL
        batch.row_loss = &row_results[0, 0]
        batch.row_metric = &row_results[1, 0]
        batch.parameters = &parameters[0]
        batch.gradient = &gradient[0]
        batch.state1 = &state[0, 0] if state.shape[0] > 0 else NULL
        batch.state2 = &state[1, 0] if state.shape[0] > 1 else NULL
        batch.statistics = &statistics[0]
        batch.all_carry = &carry[0, 0] if carry.shape[0] * carry.shape[1] > 0 else NULL
        batch.carry_size = carry.shape[1]
        batch.arena = &arena[0]
        batch.workspace = &workspace[0]
        batch.scratch = &scratch[0, 0]
        batch.scratch_size = scratch.shape[1]
        batch.training = run[0].mode == TRAIN or run[0].training
        optimizers.begin_rule(&batch.rule, &run[0])
        batch.fused = losses.is_fused(<int>run[0].loss, <int>ops[ops.shape[0] - 1].activation)
        if laps.shape[0] > 0:
            watch.last = now()
            for phase in range(PHASE_COUNT):
                watch.seconds[phase] = 0
            batch.laps = &watch
        batch.all_rows = inputs.rows
        epochs_loop(&batch, parameters.shape[0], &arena[0], &row_labels[0], &row_lengths[0], curves, last_epoch,
                    patience, threads)
        lap(batch.laps, REST)
        for phase in range(laps.shape[0]):
            laps[phase] += watch.seconds[phase]
        restore_subnormals(mode)


def products(const Op[::1] ops not None):
    """Multiplications of a row on the way forward, roughly."""
    return products_of(&ops[0], ops.shape[0])


def predict(
    const Op[::1] ops not None, floating[::1] parameters not None, floating[::1] statistics not None, bytes x not None,
    const Py_ssize_t[::1] lengths not None, floating[:, ::1] carry not None, floating[:, ::1] out not None,
    floating[::1] arena not None, floating[::1] workspace not None, floating[::1] scratch not None, Py_ssize_t piece,
    Py_ssize_t first, double patience,
):
    """Outputs for the rows of x (see source()) from `first` on, until `patience` seconds have passed; returns the first row
    not done. `lengths` may be empty: all steps count; `carry` too: every row starts from 0."""
    cdef const Source* inputs = <const Source*><const char*>x
    cdef double deadline
    cdef Pass batch
    with nogil:
        deadline = now() + patience
        begin_forward(&batch, &ops[0], ops.shape[0], &parameters[0], &arena[0], inputs.columns)
        batch.statistics, batch.workspace, batch.carry_size = &statistics[0], &workspace[0], carry.shape[1]
        while first < inputs.rows:
            batch.rows = batch.way = min(piece, inputs.rows - first)
            batch.x = rows_of(inputs, first, batch.rows, &arena[0])
            batch.lengths = &lengths[first] if lengths.shape[0] > 0 else NULL
            batch.carry = &carry[first, 0] if carry.shape[0] * carry.shape[1] > 0 else NULL
            forward(&batch, 0, batch.rows, &arena[0], &scratch[0], NULL)
            copy_outputs(&batch, &arena[0], &out[first, 0])
            first += batch.rows
            if now() >= deadline:
                break
    return first


cdef void begin_forward(
    Pass* batch, const Op* ops, Py_ssize_t count, const floating* parameters, floating* arena, Py_ssize_t ldx,
) noexcept nogil:
    """A pass through all ops that changes nothing."""
    memset(batch, 0, sizeof(Pass))
    batch.ops, batch.count, batch.end = ops, count, count
    batch.parameters, batch.arena = <void*>parameters, arena
    batch.ldx = ldx


cdef void copy_outputs(const Pass* batch, floating* arena, floating* out) noexcept nogil:
    """The outputs of the piece's rows without their pads."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef const floating* outputs = output_of(batch, last, 0, arena)
    cdef Py_ssize_t p
    for p in range(batch.rows * last.positions):
        memcpy(out + p * last.units, outputs + p * last.width, last.units * sizeof(floating))


def vector_jacobian(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    floating[::1] statistics not None, bytes x not None, const Py_ssize_t[::1] lengths not None, bytes d_output not None,
    floating[:, ::1] d_input not None, floating[::1] arena not None, floating[::1] workspace not None,
    floating[:, ::1] scratch not None, floating[::1] rows not None, Py_ssize_t first, double patience,
):
    """Gradients of sum(d_output * outputs): `d_input` of the rows from `first` on, and `gradient`, which is overwritten by the
    first piece and added to by the others. `x` and `d_output` are what source() gave; `rows` holds one piece of d_input with
    padded positions. Returns as predict()."""
    cdef const Source* inputs = <const Source*><const char*>x
    cdef const Source* wanted = <const Source*><const char*>d_output
    cdef const Op* op = &ops[0]
    cdef Py_ssize_t index, p
    cdef double deadline
    cdef Pass batch
    with nogil:
        deadline = now() + patience
        begin_forward(&batch, &ops[0], ops.shape[0], &parameters[0], &arena[0], inputs.columns)
        batch.run, batch.gradient, batch.scratch = &run[0], &gradient[0], &scratch[0, 0]
        batch.statistics, batch.workspace = &statistics[0], &workspace[0]
        batch.d_x = &rows[0]
        batch.ld_dx = op.in_positions * padded(op.inputs)
        batch.training = run[0].training
        while first < inputs.rows:
            batch.rows = min(run[0].piece, inputs.rows - first)
            batch.way = inputs.rows
            batch.first = run[0].row = first
            batch.x = rows_of(inputs, first, batch.rows, &arena[0])
            batch.lengths = &lengths[first] if lengths.shape[0] > 0 else NULL
            forward_whole(&batch, &arena[0], &scratch[0, 0])
            read_d_output(&batch, wanted, &arena[0])
            for index in range(batch.count - 1, -1, -1):
                op_back(&batch, index, &arena[0], &scratch[0, 0], NULL)
            for p in range(batch.rows * op.in_positions):
                memcpy(&d_input[first, 0] + p * op.inputs, &rows[p * padded(op.inputs)], op.inputs * sizeof(floating))
            first += batch.rows
            if now() >= deadline:
                break
    return first


cdef void read_d_output(const Pass* batch, const Source* wanted, floating* arena) noexcept nogil:
    """The gradient of the outputs of the piece's rows into the last delta slot, with pads of 0; after the end of a sequence it
    is 0 too."""
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef floating* read = arena + batch.rows * batch.run.targets
    cdef floating* d = delta_of(batch, last, 0, arena)
    cdef Py_ssize_t r, p
    gather_rows(wanted, NULL, batch.first, batch.rows, read, wanted.columns)
    memset(d, 0, batch.rows * last.positions * last.width * sizeof(floating))
    for r in range(batch.rows):
        for p in range(r * last.positions, r * last.positions + counted(batch, r, last.positions)):
            memcpy(d + p * last.width, read + p * last.units, last.units * sizeof(floating))


# --- random numbers and checks ------------------------------------------------------------------------------------------------

def draw(uint64_t seed, uint32_t stream, uint32_t counter, str kind, double[::1] out not None):
    """Fill `out` with "uniform" numbers from [0, 1) or "normal" ones, a pure function of seed, stream and counter."""
    cdef random.Philox generator
    cdef Py_ssize_t i
    cdef bint normal = kind == "normal"
    random.philox_start(&generator, seed, stream, counter)
    with nogil:
        for i in range(out.shape[0]):
            out[i] = random.next_normal(&generator) if normal else random.next_uniform(&generator)


def permutation(uint64_t seed, uint32_t counter, Py_ssize_t[::1] order not None):
    """Fill `order` with the shuffle that belongs to the epoch `counter`."""
    cdef random.Philox generator
    random.philox_start(&generator, seed, random.SHUFFLE, counter)
    with nogil:
        random.shuffle(&generator, order.shape[0], &order[0])


def philox(uint64_t key, uint64_t low, uint64_t high):
    """The four random words of one counter, for comparison with the published vectors."""
    cdef uint32_t[2] keys = [<uint32_t>key, <uint32_t>(key >> 32)]
    cdef uint32_t[4] counter = [<uint32_t>low, <uint32_t>(low >> 32), <uint32_t>high, <uint32_t>(high >> 32)]
    cdef uint32_t[4] output
    random.philox_block(keys, counter, output)
    return tuple(output)


def first_not_finite(const floating[::1] x not None):
    """Index of the first NaN or infinity, -1 if there is none."""
    cdef Py_ssize_t n = x.shape[0], found = -1
    cdef Py_ssize_t i = 0, j
    with nogil:
        while n - i >= 1024 and finite(1024, &x[i]):
            i += 1024
        for j in range(i, n):
            if not isfinite(x[j]):
                found = j
                break
    return found


cdef bint finite(Py_ssize_t n, const floating* x) noexcept nogil:
    """Whether all numbers are finite: the sum of 0 x is 0, else NaN. With 64 sums at once no addition waits for another."""
    cdef floating lanes[64]
    cdef Py_ssize_t i, k, whole = n // 64 * 64
    cdef int wrong = 0
    if whole:
        for k in range(64):
            lanes[k] = 0
        for i in range(0, whole, 64):
            for k in range(64):
                lanes[k] += x[i + k] * 0
        for k in range(64):
            wrong |= lanes[k] != 0
    for i in range(whole, n):
        wrong |= x[i] * 0 != 0
    return not wrong


include "_single.pxi"
