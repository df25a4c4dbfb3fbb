"""The compiled core: a network as a table of operations over flat arrays, and the loops that run it.

Every function expects what ``network.py`` prepares: checked, C-contiguous arrays of the network's dtype. Nothing is checked
here, nothing is allocated, and the loops run without the GIL. Kernels are in ``cbp/kernels/``, one subject a file.
"""

from cython cimport floating
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from libc.math cimport isfinite
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import numpy as np

from cbp._structs cimport Op, Run, Source
from cbp.kernels cimport activations, dense, gather, losses, optimizers, random, tile
from cbp.kernels.dense cimport (
    dense_backward_bias,
    dense_backward_input,
    dense_backward_naive,
    dense_backward_weight,
    dense_forward,
    dense_forward_naive,
)
from cbp.kernels.subnormals cimport flush_subnormals, restore_subnormals
from cbp.kernels.team cimport TeamState, team_close, team_free, team_open, team_run, team_work

# --- names, as Python sees them ---------------------------------------------------------------------------------------------

cdef enum OpKind:
    DENSE

cdef enum:
    GRADIENT_BLOCK = 4096   # numbers of a weight gradient between product and update: they stay in the first-level cache


cdef enum Mode:
    TRAIN
    GRADIENT      # the gradient of one batch, no update
    EVALUATE      # loss and metric, no gradient

OPS = {"dense": DENSE}
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
STRIP = dense.STRIP   # rows of a weight matrix that are transposed at once; scratch is sized by it
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


cdef void gather_rows(
    const Source* data, const Py_ssize_t* order, Py_ssize_t first, Py_ssize_t rows, floating* out, Py_ssize_t ld,
) noexcept nogil:
    """gather() once for all callers: its loops for every dtype are long when inlined."""
    gather.gather(data, order, first, rows, out, ld)


cdef const floating* rows_of(const Source* data, Py_ssize_t first, Py_ssize_t rows, floating* scratch) noexcept nogil:
    """Some rows, `columns` long: as they lie if they lie right, else gathered into scratch."""
    cdef const floating* found = gather.direct(data, first, <const floating*>scratch)
    if found is not NULL:
        return found
    gather_rows(data, NULL, first, rows, scratch, data.columns)
    return scratch


# --- one piece of a batch through the network ---------------------------------------------------------------------------------

cdef double now() noexcept nogil:
    cdef timespec clock
    clock_gettime(CLOCK_MONOTONIC, &clock)
    return clock.tv_sec + clock.tv_nsec * 1e-9


def clock():
    """Seconds on the clock that ``curves`` are measured with."""
    return now()


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
    # One piece of a batch on its way through the network, as all threads see it. Arrays of numbers are void, since a struct
    # cannot be fused; the two tasks below cast them back.
    const Op* ops
    Py_ssize_t count
    Run* run
    Py_ssize_t rows             # of the piece
    const Source* all_x         # the samples
    const Source* all_targets
    const Py_ssize_t* all_labels
    const void* all_weights
    const Py_ssize_t* order     # of the samples; NULL: as they come
    Py_ssize_t first            # place in that order of the piece's first row
    const void* x               # the piece's rows, as they lie among the samples or gathered in the arena
    Py_ssize_t ldx
    bint gather_x
    const void* targets
    Py_ssize_t ldy
    bint gather_targets
    const Py_ssize_t* labels
    const void* weights
    double* row_loss
    double* row_metric
    void* parameters
    void* gradient
    void* state1
    void* state2
    void* arena
    void* scratch               # every thread has a part of it
    Py_ssize_t scratch_size     # of that part
    const optimizers.Rule* rule # NULL: no update after the gradient
    bint fused                  # the loss includes the last activation
    Laps* laps                  # of the calling thread; NULL: nobody looks


cdef inline Py_ssize_t share(Py_ssize_t rows, int part, int parts) noexcept nogil:
    """The first row of part number `part`; the tile likes multiples of four."""
    return min(rows, (rows * part // parts + 3) // 4 * 4)


# --- phase one: every thread takes some rows through the network, to the deltas of all layers ----------------------------------

cdef void rows_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    rows_task(batch, part, parts, member, <float*>batch.arena)

cdef void rows_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    rows_task(batch, part, parts, member, <double*>batch.arena)


cdef void rows_task(Pass* batch, int part, int parts, int member, floating* arena) noexcept nogil:
    cdef Py_ssize_t first = share(batch.rows, part, parts)
    cdef Py_ssize_t rows = share(batch.rows, part + 1, parts) - first
    cdef const floating* x = <const floating*>batch.x + first * batch.ldx
    cdef Laps* laps = batch.laps if member == 0 else NULL
    cdef Py_ssize_t index
    if rows <= 0:
        return
    collect(batch, first, rows, arena)
    lap(laps, GATHER)
    forward(batch.ops, batch.count, <const floating*>batch.parameters, batch.rows, first, rows, x, batch.ldx, arena,
            batch.fused, laps)
    loss_of_rows(batch, first, rows, arena)
    lap(laps, LOSS)
    if parts > 1 and batch.run.mode != EVALUATE:
        for index in range(batch.count - 1, -1, -1):
            deltas_of_layer(batch, index, first, rows, arena, member)


cdef inline void deltas_of_layer(
    Pass* batch, Py_ssize_t index, Py_ssize_t first, Py_ssize_t rows, floating* arena, int member,
) noexcept nogil:
    backward_rows(batch.ops, index, <const floating*>batch.parameters, batch.rows, first, rows, <floating*>NULL, 0, arena,
                  <floating*>batch.scratch + member * batch.scratch_size, batch.fused and index == batch.count - 1,
                  batch.laps if member == 0 else NULL)


cdef void collect(Pass* batch, Py_ssize_t first, Py_ssize_t rows, const floating* like) noexcept nogil:
    """Rows of the piece that do not lie right among the samples: shuffled, converted, or not contiguous."""
    cdef Py_ssize_t sample = batch.first + first
    cdef Py_ssize_t r
    if batch.gather_x:
        gather_rows(batch.all_x, batch.order, sample, rows, <floating*>batch.x + first * batch.ldx, batch.ldx)
    if batch.gather_targets:
        gather_rows(batch.all_targets, batch.order, sample, rows, <floating*>batch.targets + first * batch.ldy, batch.ldy)
    if batch.order is NULL:
        return
    if batch.all_labels is not NULL:
        for r in range(rows):
            (<Py_ssize_t*>batch.labels)[first + r] = batch.all_labels[batch.order[sample + r]]
    if batch.all_weights is not NULL:
        for r in range(rows):
            (<floating*>batch.weights)[first + r] = (<const floating*>batch.all_weights)[batch.order[sample + r]]


cdef void forward(
    const Op* ops, Py_ssize_t count, const floating* parameters, Py_ssize_t batch, Py_ssize_t first, Py_ssize_t rows,
    const floating* x, Py_ssize_t ldx, floating* arena, bint keep_last_sums, Laps* laps,
) noexcept nogil:
    """Outputs of all layers into the slots of `rows` rows from row `first` of the batch on; with keep_last_sums the last
    layer's activation is left to the fused loss."""
    cdef Py_ssize_t index
    cdef const Op* op
    cdef const floating* bias
    cdef floating* z
    cdef floating* a
    for index in range(count):
        op = &ops[index]
        z = arena + batch * op.sums + first * op.width
        a = arena + batch * op.output + first * op.width
        bias = parameters + op.bias if op.bias >= 0 else NULL
        dense_forward(rows, op.inputs, op.width, x, ldx, parameters + op.weight, bias, z)
        lap(laps, FORWARD)
        if index < count - 1 or not keep_last_sums:
            activations.activate(<int>op.activation, rows, op.units, op.width, z, a)
            lap(laps, ACTIVATION)
        x = a
        ldx = op.width


cdef void loss_of_rows(Pass* batch, Py_ssize_t first, Py_ssize_t rows, floating* arena) noexcept nogil:
    """Loss and metric of every row, and the gradient of the outputs in the last delta slot."""
    cdef const Run* run = batch.run
    cdef const Op* last = &batch.ops[batch.count - 1]
    cdef const floating* targets = <const floating*>batch.targets
    cdef const floating* weights = <const floating*>batch.weights
    cdef Py_ssize_t r
    losses.loss_rows(
        <int>run.loss, batch.fused, run.delta, rows, last.units, last.width, 1 / run.batch_weight if run.batch_weight > 0 else 0,
        arena + batch.rows * last.output + first * last.width, targets + first * batch.ldy if targets is not NULL else NULL,
        batch.ldy, batch.labels + first if batch.labels is not NULL else NULL,
        weights + first if weights is not NULL else NULL, arena + batch.rows * last.delta + first * last.width,
        batch.row_loss + first, batch.row_metric + first)
    if weights is not NULL:
        for r in range(first, first + rows):
            if weights[r] == 0:
                silence_row(batch.ops, batch.count, batch.rows, r, arena)


cdef void silence_row(const Op* ops, Py_ssize_t count, Py_ssize_t rows, Py_ssize_t r, floating* arena) noexcept nogil:
    """Take a row of weight 0 out of the gradient: 0 times an output that overflowed would be NaN."""
    cdef Py_ssize_t index, size
    cdef const Op* op
    for index in range(count):
        op = &ops[index]
        size = op.width * sizeof(floating)
        memset(arena + rows * op.output + r * op.width, 0, size)
        memset(arena + rows * op.sums + r * op.width, 0, size)
        memset(arena + rows * op.delta + r * op.width, 0, size)


cdef void backward_rows(
    const Op* ops, Py_ssize_t index, const floating* parameters, Py_ssize_t batch, Py_ssize_t first, Py_ssize_t rows,
    floating* first_dx, Py_ssize_t first_lddx, floating* arena, floating* scratch, bint is_done, Laps* laps,
) noexcept nogil:
    """One layer back: from the gradient of its output, in its delta slot, to the gradient of its weighted sums in the same
    place (with is_done it is that already, from a fused loss) and the gradient of its input, in the delta slot of the layer
    before or in first_dx, if that is not NULL."""
    cdef const Op* op = &ops[index]
    cdef floating* dz = arena + batch * op.delta + first * op.width
    cdef floating* dx = first_dx
    cdef Py_ssize_t lddx = first_lddx
    if not is_done:
        activations.activate_backward(<int>op.activation, rows, op.units, op.width, arena + batch * op.sums + first * op.width,
                                      arena + batch * op.output + first * op.width, dz)
        lap(laps, SLOPE)
    if index > 0:
        lddx = ops[index - 1].width
        dx = arena + batch * ops[index - 1].delta + first * lddx
    if dx is not NULL:
        dense_backward_input(batch, rows, op.inputs, op.units, op.width, parameters + op.weight, scratch, dz, dx, lddx)
        lap(laps, INPUT_GRADIENT)


# --- phase two: every thread takes some rows of the weights, over the whole piece ----------------------------------------------

cdef void weights_task_float32(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    weights_task(batch, part, parts, member, <float*>batch.arena)

cdef void weights_task_float64(void* context, int part, int parts, int member) noexcept nogil:
    cdef Pass* batch = <Pass*>context
    weights_task(batch, part, parts, member, <double*>batch.arena)


cdef void weights_task(Pass* batch, int part, int parts, int member, floating* arena) noexcept nogil:
    """Gradients of all parameters, and their update; a part is a stretch of all weights laid end to end."""
    cdef Py_ssize_t total = 0, before = 0
    cdef Py_ssize_t index, first, end
    cdef const Op* op
    for index in range(batch.count):
        total += batch.ops[index].inputs * batch.ops[index].width
    for index in range(batch.count):
        op = &batch.ops[index]
        first = row_at(total * part // parts - before, op)
        end = op.inputs if part + 1 == parts else row_at(total * (part + 1) // parts - before, op)
        before += op.inputs * op.width
        if first < end:
            backward_weights(batch, index, first, end, arena, batch.laps if member == 0 else NULL)


cdef inline Py_ssize_t row_at(Py_ssize_t offset, const Op* op) noexcept nogil:
    """The row of a layer's weights at an offset, at the next whole tile; within the layer."""
    cdef Py_ssize_t row = offset // op.width // tile.TILE_ROWS * tile.TILE_ROWS if offset > 0 else 0
    return row if row < op.inputs else op.inputs


cdef void backward_weights(
    Pass* batch, Py_ssize_t index, Py_ssize_t first, Py_ssize_t end, floating* arena, Laps* laps,
) noexcept nogil:
    """The gradients of a layer's weights of inputs `first` to `end`, and (with the first) of the bias; with a rule also their update.

    The update follows block by block, while the block of the gradient is still in the first-level cache: in a large
    network that saves two of seven passes over arrays as long as the parameters. A batch that comes in pieces is gathered in
    the whole gradient; otherwise the blocks of a thread take one place, one after the other.
    """
    cdef const Op* op = &batch.ops[index]
    cdef const floating* x = <const floating*>batch.x if index == 0 else arena + batch.rows * batch.ops[index - 1].output
    cdef Py_ssize_t ldx = batch.ldx if index == 0 else batch.ops[index - 1].width
    cdef const floating* dz = arena + batch.rows * op.delta
    cdef bint accumulate = batch.run.row > 0
    cdef bint whole = not accumulate and batch.rule is not NULL
    cdef Py_ssize_t block = max(1, GRADIENT_BLOCK // op.width // tile.TILE_ROWS) * tile.TILE_ROWS
    cdef Py_ssize_t row = first
    cdef Py_ssize_t n, offset
    cdef floating* gradient = <floating*>batch.gradient
    cdef floating* g
    while row < end:
        n = min(block, end - row)
        offset = op.weight + row * op.width
        g = gradient + (op.weight + first * op.width if whole else offset)
        dense_backward_weight(batch.rows, n, op.width, accumulate, x + row, ldx, dz, g)
        lap(laps, WEIGHT_GRADIENT)
        end_gradient(batch, True, n * op.width, offset, g)
        lap(laps, UPDATE)
        row += n
    if first == 0 and op.bias >= 0:
        dense_backward_bias(batch.rows, op.width, accumulate, dz, gradient + op.bias)
        lap(laps, WEIGHT_GRADIENT)
        end_gradient(batch, False, op.width, op.bias, gradient + op.bias)
        lap(laps, UPDATE)


cdef void end_gradient(Pass* batch, bint is_weight, Py_ssize_t n, Py_ssize_t offset, floating* g) noexcept nogil:
    """What comes after the gradient of the n parameters from `offset` on: their update or, in the last piece of a batch without
    one, the gradient of the penalties."""
    cdef const Run* run = batch.run
    cdef floating* parameters = <floating*>batch.parameters + offset
    cdef floating* state1 = <floating*>batch.state1 + offset if batch.state1 is not NULL else NULL
    cdef floating* state2 = <floating*>batch.state2 + offset if batch.state2 is not NULL else NULL
    if batch.rule is not NULL:
        optimizers.update(batch.rule, is_weight, n, parameters, g, state1, state2)
    elif is_weight and run.row + batch.rows == run.batch_rows:
        optimizers.add_penalty(n, parameters, g, <floating>run.l1, <floating>run.l2)


cdef double penalty(const Op* ops, Py_ssize_t count, const Run* run, const floating* w) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t index
    if run.l1 == 0 and run.l2 == 0:
        return 0
    for index in range(count):
        total += optimizers.penalty(ops[index].inputs * ops[index].width, w + ops[index].weight, run.l1, run.l2)
    return total


# --- passes over the data -----------------------------------------------------------------------------------------------------

cdef class Team:
    """Threads for ``run_epochs``: members 1, 2, ... are Python threads that call ``work``, member 0 is who calls the core."""

    cdef TeamState state

    def __cinit__(self, int members):
        team_open(&self.state, members)

    def __dealloc__(self):
        team_free(&self.state)

    def work(self, int member):
        """Take part until ``close``."""
        cdef uint64_t mode
        with nogil:
            mode = flush_subnormals()
            team_work(&self.state, member)
            restore_subnormals(mode)

    def close(self):
        """Let every ``work`` return."""
        team_close(&self.state)


def run_epochs(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    floating[:, ::1] state not None, bytes x not None, bytes targets not None,
    const Py_ssize_t[::1] labels not None, const floating[::1] weights not None, Py_ssize_t[::1] order not None,
    floating[::1] arena not None, floating[:, ::1] scratch not None, double[:, ::1] row_results not None,
    Py_ssize_t[::1] row_labels not None, double[:, ::1] curves not None,
    Py_ssize_t last_epoch, double patience, Team team, double[::1] laps not None,
):
    """Run epochs until `last_epoch` or, after `patience` seconds, to the next place where Python may look at signals.

    `x` (samples, inputs) and `targets` (samples, outputs) are what source() gave. Either `targets` or `labels` (samples) has
    no rows; empty may be `weights` (all 1), `order` (no shuffling), `laps` (nobody looks at the clock) and, when nothing is
    updated, `state`. `curves` gets a row (loss, metric, seconds) for every complete epoch, `laps` the seconds of every phase.
    Every member of the `team` (None: the caller alone) has a row of `scratch`. Where the call stopped stands in `run`; the same
    call again goes on from there.
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
        batch.ops = &ops[0]
        batch.count = ops.shape[0]
        batch.run = &run[0]
        batch.all_x, batch.all_targets = inputs, wanted
        batch.ldx, batch.ldy = inputs.columns, wanted.columns
        batch.all_labels = &labels[0] if labels.shape[0] > 0 else NULL
        batch.all_weights = &weights[0] if weights.shape[0] > 0 else NULL
        batch.order = &order[0] if order.shape[0] > 0 else NULL
        batch.row_loss = &row_results[0, 0]
        batch.row_metric = &row_results[1, 0]
        batch.parameters = &parameters[0]
        batch.gradient = &gradient[0]
        batch.state1 = &state[0, 0] if state.shape[0] > 0 else NULL
        batch.state2 = &state[1, 0] if state.shape[0] > 1 else NULL
        batch.arena = &arena[0]
        batch.scratch = &scratch[0, 0]
        batch.scratch_size = scratch.shape[1]
        batch.fused = losses.is_fused(<int>run[0].loss, <int>ops[ops.shape[0] - 1].activation)
        batch.laps = NULL
        if laps.shape[0] > 0:
            watch.last = now()
            for phase in range(PHASE_COUNT):
                watch.seconds[phase] = 0
            batch.laps = &watch
        epochs_loop(&batch, inputs.rows, parameters.shape[0], &arena[0], &row_labels[0], curves, last_epoch, patience, threads)
        lap(batch.laps, REST)
        for phase in range(laps.shape[0]):
            laps[phase] += watch.seconds[phase]
        restore_subnormals(mode)


cdef void epochs_loop(
    Pass* batch, Py_ssize_t samples, Py_ssize_t size, floating* arena, Py_ssize_t* row_labels, double[:, ::1] curves,
    Py_ssize_t last_epoch, double patience, TeamState* team,
) noexcept nogil:
    cdef Run* run = batch.run
    cdef Py_ssize_t unwatched = 0
    cdef Py_ssize_t weight = size >> 14   # a step of a large network takes long even with one row
    cdef double clock = now()
    cdef double deadline = clock + patience
    cdef random.Philox generator
    while run.epoch < last_epoch:
        if run.position == 0 and run.row == 0:
            begin_epoch(run)
            run.penalty = penalty(batch.ops, batch.count, run, <const floating*>batch.parameters)
            if run.shuffle:
                random.philox_start(&generator, run.seed, random.SHUFFLE, <uint32_t>run.epoch)
                random.shuffle(&generator, samples, <Py_ssize_t*>batch.order)
        if run.row == 0:
            begin_batch(run, min(run.batch_size, samples - run.position), <const floating*>batch.all_weights, batch.order)
        batch.rows = min(run.piece, run.batch_rows - run.row)
        place_piece(batch, arena, row_labels)
        one_piece(batch, arena, team)
        if run.diverged:
            return
        run.row += batch.rows
        unwatched += batch.rows + weight
        if run.row == run.batch_rows:
            end_batch(run)
        if unwatched >= 64:
            unwatched = 0
            clock = now()
        if run.position == samples:
            end_epoch(run, clock, curves)
        if clock >= deadline:
            return


cdef void begin_epoch(Run* run) noexcept nogil:
    run.epoch_loss = 0
    run.epoch_metric = 0
    run.epoch_weight = 0


cdef void end_epoch(Run* run, double clock, double[:, ::1] curves) noexcept nogil:
    cdef Py_ssize_t index = run.epoch - run.first_epoch
    cdef double weight = run.epoch_weight if run.epoch_weight > 0 else 1
    curves[index, 0] = run.epoch_loss / weight + run.penalty
    curves[index, 1] = run.epoch_metric / weight
    curves[index, 2] = clock - run.started
    run.position = 0
    run.epoch += 1


cdef void begin_batch(Run* run, Py_ssize_t rows, const floating* weights, const Py_ssize_t* order) noexcept nogil:
    """The weight that the gradients of a batch are divided by must be known before its first piece."""
    cdef Py_ssize_t i
    run.batch_rows = rows
    run.batch_loss = 0
    run.batch_weight = rows
    if weights is not NULL:
        run.batch_weight = 0
        for i in range(run.position, run.position + rows):
            run.batch_weight += weights[order[i] if order is not NULL else i]


cdef void end_batch(Run* run) noexcept nogil:
    run.epoch_loss += run.batch_loss
    run.epoch_weight += run.batch_weight
    run.position += run.batch_rows
    run.row = 0


cdef void place_piece(Pass* batch, floating* arena, Py_ssize_t* row_labels) noexcept nogil:
    """Where the rows of a piece lie: among the samples or, where they must be gathered, in the arena."""
    cdef const Run* run = batch.run
    cdef bint shuffled = batch.order is not NULL
    batch.first = run.position + run.row
    batch.x = gather.direct(batch.all_x, batch.first, <const floating*>arena)
    batch.gather_x = shuffled or batch.x is NULL
    if batch.gather_x:
        batch.x = arena
    batch.targets = NULL
    batch.gather_targets = False
    if batch.all_targets.rows > 0:
        batch.targets = gather.direct(batch.all_targets, batch.first, <const floating*>arena)
        batch.gather_targets = shuffled or batch.targets is NULL
        if batch.gather_targets:
            batch.targets = arena + batch.rows * run.targets
    batch.labels = row_labels
    if batch.all_labels is NULL or not shuffled:
        batch.labels = batch.all_labels + batch.first if batch.all_labels is not NULL else NULL
    batch.weights = arena + batch.rows * run.weights
    if batch.all_weights is NULL or not shuffled:
        batch.weights = <const floating*>batch.all_weights + batch.first if batch.all_weights is not NULL else NULL


cdef void one_piece(Pass* batch, floating* arena, TeamState* team) noexcept nogil:
    """Forward, loss and (unless evaluating) backward for some rows of a batch, and the update after its last ones.

    A batch whose loss is not finite changes nothing. A team computes the deltas of all layers before any weight changes; one
    thread goes back layer by layer, while the weights of the layer are still in its cache (5 % of a step of 784-512-512-10).
    """
    cdef Run* run = batch.run
    cdef Py_ssize_t index
    cdef optimizers.Rule rule
    lap(batch.laps, REST)
    team_run(team, rows_task_float32 if floating is float else rows_task_float64, batch)
    add_losses(batch, arena)
    run.diverged = run.mode == TRAIN and not isfinite(run.batch_loss + run.penalty)
    lap(batch.laps, LOSS)
    if run.diverged or run.mode == EVALUATE:
        return
    batch.rule = NULL
    if run.mode == TRAIN and run.row + batch.rows == run.batch_rows and run.batch_weight > 0:
        run.step += 1
        optimizers.begin_step(&rule, <int>run.optimizer, run.rate, run.weight_decay, run.memory1, run.memory2, run.epsilon,
                              run.l1, run.l2, <double>run.step)
        batch.rule = &rule
    if team is not NULL:
        team_run(team, weights_task_float32 if floating is float else weights_task_float64, batch)
        return
    for index in range(batch.count - 1, -1, -1):
        deltas_of_layer(batch, index, 0, batch.rows, arena, 0)
        backward_weights(batch, index, 0, batch.ops[index].inputs, arena, batch.laps)


cdef void add_losses(Pass* batch, const floating* like) noexcept nogil:
    """The rows' losses and metrics to the run's, in the order of the rows whoever computed them."""
    cdef Run* run = batch.run
    cdef const floating* weights = <const floating*>batch.weights
    cdef double weight
    cdef Py_ssize_t r
    for r in range(batch.rows):
        weight = weights[r] if weights is not NULL else 1
        run.batch_loss += weight * batch.row_loss[r]
        run.epoch_metric += weight * batch.row_metric[r]


def predict(
    const Op[::1] ops not None, const floating[::1] parameters not None, bytes x not None,
    floating[:, ::1] out not None, floating[::1] arena not None, Py_ssize_t piece, Py_ssize_t first, double patience,
):
    """Outputs for the rows of x (see source()) from `first` on, until `patience` seconds have passed; returns the first row
    not done."""
    cdef const Op* last = &ops[ops.shape[0] - 1]
    cdef const Source* inputs = <const Source*><const char*>x
    cdef Py_ssize_t r, rows
    cdef double deadline
    with nogil:
        deadline = now() + patience
        while first < inputs.rows:
            rows = min(piece, inputs.rows - first)
            forward(&ops[0], ops.shape[0], &parameters[0], rows, 0, rows, rows_of(inputs, first, rows, &arena[0]),
                    inputs.columns, &arena[0], False, NULL)
            for r in range(rows):
                memcpy(&out[first + r, 0], &arena[rows * last.output + r * last.width], last.units * sizeof(floating))
            first += rows
            if now() >= deadline:
                break
    return first


def vector_jacobian(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    bytes x not None, bytes d_output not None, floating[:, ::1] d_input not None, floating[::1] arena not None,
    floating[:, ::1] scratch not None, floating[::1] padded not None, Py_ssize_t first, double patience,
):
    """Gradients of sum(d_output * outputs): `d_input` of the rows from `first` on, and `gradient`, which is overwritten by the
    first piece and added to by the others. `x` and `d_output` are what source() gave; `padded` holds one piece of d_input with
    padded rows. Returns as predict()."""
    cdef const Op* last = &ops[ops.shape[0] - 1]
    cdef const Source* inputs = <const Source*><const char*>x
    cdef const Source* wanted = <const Source*><const char*>d_output
    cdef Py_ssize_t ld = padded.shape[0] // run[0].piece
    cdef Py_ssize_t r, index
    cdef double deadline
    cdef floating* d
    cdef Pass batch
    with nogil:
        deadline = now() + patience
        memset(&batch, 0, sizeof(Pass))
        batch.ops, batch.count, batch.run = &ops[0], ops.shape[0], &run[0]
        batch.ldx = inputs.columns
        batch.parameters, batch.gradient, batch.arena = &parameters[0], &gradient[0], &arena[0]
        while first < inputs.rows:
            batch.rows = min(run[0].piece, inputs.rows - first)
            batch.x = rows_of(inputs, first, batch.rows, &arena[0])
            run[0].row = first
            forward(batch.ops, batch.count, &parameters[0], batch.rows, 0, batch.rows, <const floating*>batch.x, batch.ldx,
                    &arena[0], False, NULL)
            d = &arena[batch.rows * last.delta]
            memset(d, 0, batch.rows * last.width * sizeof(floating))   # the pads
            gather_rows(wanted, NULL, first, batch.rows, d, last.width)
            for index in range(batch.count - 1, -1, -1):
                backward_rows(batch.ops, index, &parameters[0], batch.rows, 0, batch.rows, &padded[0], ld, &arena[0],
                              &scratch[0, 0], False, NULL)
                backward_weights(&batch, index, 0, batch.ops[index].inputs, &arena[0], NULL)
            for r in range(batch.rows):
                memcpy(&d_input[first + r, 0], &padded[r * ld], inputs.columns * sizeof(floating))
            first += batch.rows
            if now() >= deadline:
                break
    return first


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
        while n - i >= 1024 and all_finite(&x[i]):
            i += 1024
        for j in range(i, n):
            if not isfinite(x[j]):
                found = j
                break
    return found


cdef inline bint all_finite(const floating* x) noexcept nogil:
    """Whether 1024 numbers are finite: the sum of 0 x is 0, else NaN. With 64 sums at once no addition waits for another."""
    cdef floating lanes[64]
    cdef floating total = 0
    cdef Py_ssize_t j, k
    for k in range(64):
        lanes[k] = 0
    for j in range(0, 1024, 64):
        for k in range(64):
            lanes[k] += x[j + k] * 0
    for k in range(64):
        total += lanes[k]
    return total == 0


# --- the kernels one by one, for tests and the benchmark ---

def matmul(const floating[:, ::1] a not None, const floating[:, ::1] b not None, floating[:, ::1] c not None):
    """c = a b with the register tile; the columns of b are a multiple of 16."""
    with nogil:
        tile.product(a.shape[0], b.shape[1], a.shape[1], &a[0, 0], a.shape[1], 1, &b[0, 0], b.shape[1],
                     <floating*>NULL, 0, &c[0, 0], c.shape[1])


def backward_input(
    Py_ssize_t batch, const floating[:, ::1] weight not None, floating[::1] scratch not None,
    const floating[:, ::1] dz not None, floating[:, ::1] dx not None, Py_ssize_t units,
):
    """dx = dz weightᵀ for some rows of a batch, with rows padded to a multiple of 16 (dz from `units`)."""
    with nogil:
        dense.dense_backward_input(batch, dz.shape[0], weight.shape[0], units, weight.shape[1], &weight[0, 0], &scratch[0],
                                   &dz[0, 0], &dx[0, 0], dx.shape[1])


def activate(int kind, floating[:, ::1] z not None, Py_ssize_t units):
    """z = f(z) in place, for rows padded from `units` to a multiple of 16."""
    with nogil:
        activations.activate(kind, z.shape[0], units, z.shape[1], &z[0, 0], &z[0, 0])


def dense_naive(
    const floating[:, ::1] x not None, const floating[:, ::1] weight not None, const floating[::1] bias not None,
    floating[:, ::1] z not None, const floating[:, ::1] dz not None, floating[:, ::1] d_weight not None,
    floating[::1] d_bias not None, floating[:, ::1] dx not None,
):
    """Forward into z and backward from dz, one number at a time; gradients are added to what is there."""
    with nogil:
        dense_forward_naive(x, weight, bias, z)
        dense_backward_naive(x, weight, dz, d_weight, d_bias, dx)


def fma_peak(double seconds):
    """Rate of float32 fused multiply-adds from registers, in GF/s: what a product can reach at most."""
    cdef float acc[12 * 16]
    cdef float factor = 0.999
    cdef Py_ssize_t rounds = 0
    cdef double started, elapsed = 0
    cdef int width = 12 * (tile.VECTOR_BYTES // 4)   # 12 vectors: more than latency x units, fewer than registers
    cdef int i, _repeat
    for i in range(width):
        acc[i] = i
    with nogil:
        started = now()
        while elapsed < seconds:
            for _repeat in range(20000):
                for i in range(width):
                    acc[i] = acc[i] * factor + factor
            rounds += 20000
            elapsed = now() - started
    for i in range(width):
        factor += acc[i]
    return 2e-9 * width * rounds / elapsed if factor == factor else 0.0
