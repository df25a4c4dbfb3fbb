"""The compiled core: a network as a table of operations over flat arrays, and the loops that run it.

Every function expects what ``engine/`` prepares: checked, C-contiguous arrays of the network's dtype. Nothing is checked here,
nothing is allocated, and the loops run without the GIL; ``Answers``, ``Online`` and ``Steps`` do otherwise, and say why.
The loops are in ``cbp/loops/``, the ops in ``cbp/ops/``, the arithmetic in ``cbp/kernels/``.
"""

cimport cython
cimport numpy as cnp
from cpython.buffer cimport PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cython cimport floating
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import numpy as np

from cbp.kernels cimport gather, random, sums, tile
from cbp.kernels.finite cimport place_not_finite
from cbp.kernels.forks cimport forks, survivor, this_thread, watch_forks
from cbp.kernels.losses cimport CLASSES, is_fused
from cbp.kernels.optimizers cimport begin_rule
from cbp.kernels.structs cimport BY_EPOCH, BY_STEP, EVALUATE, GRADIENT, TRAIN, Op, Run, Segment, Source
from cbp.kernels.subnormals cimport flush_subnormals, restore_subnormals
from cbp.kernels.team cimport MAX_MEMBERS, TeamState, team_close, team_free, team_open, team_work
from cbp.loops cimport deferred
from cbp.loops.answer cimport begin_forward, copy_outputs, read_d_output, rows_of
from cbp.loops.asked cimport ready_back, ready_gradient
from cbp.loops.epochs cimport epochs_loop
from cbp.loops.jacobian cimport (
    begin_loss,
    begin_output,
    copy_d_x,
    inputs_back,
    parameters_back,
    take_rows,
    values_of_rows,
)
from cbp.loops.ready cimport BRIEF, FEW, SCRATCH, WORK, ready_outputs, ready_step, ready_update, step_outputs
from cbp.loops.step cimport first_to_learn, forward, forward_whole, op_back
from cbp.ops.passes cimport PHASE_COUNT, REST, Laps, Needs, Pass, lap, now, padded
from cbp.ops.table cimport Tables, fill_tables

cnp.import_array()
watch_forks()

# --- names, as Python sees them ---------------------------------------------------------------------------------------------

cdef Tables tables
fill_tables(&tables)

OPS = {tables.kinds[i].name.decode(): i for i in range(tables.kind_count)}
ACTIVATIONS = {tables.activations[i].name.decode(): i for i in range(tables.activation_count)}
KEEPS_SUM = frozenset(tables.activations[i].name.decode() for i in range(tables.activation_count)
                      if tables.activations[i].keeps_sum)
LOSSES = {tables.losses[i].name.decode(): i for i in range(tables.loss_count)}
TAKES_LABELS = frozenset(tables.losses[i].name.decode() for i in range(tables.loss_count)
                         if tables.losses[i].targets == CLASSES)
OPTIMIZERS = {tables.optimizers[i].name.decode(): i for i in range(tables.optimizer_count)}
STATES = {tables.optimizers[i].name.decode(): tables.optimizers[i].states for i in range(tables.optimizer_count)}
MODES = {"train": TRAIN, "gradient": GRADIENT, "evaluate": EVALUATE}
SCHEDULED = {"step": BY_STEP, "epoch": BY_EPOCH}
BLOCK = deferred.BLOCK   # numbers whose squares are summed apart
PHASES = ("gather", "forward", "activation", "loss", "slope", "input gradient", "weight gradient", "update", "rest")
READY = {"bytes": SCRATCH, "brief": BRIEF, "work": WORK, "rows": FEW}
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
MOST_THREADS = MAX_MEMBERS
DEEP = sums.DEEP      # terms of a float32 gradient from which on it is summed in parts
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
    #ifndef CBP_HOW
    #define CBP_HOW ""
    #endif
    #if defined(__clang__)
    static const char *cbp_compiler = "clang " __clang_version__;
    #elif defined(__GNUC__)
    static const char *cbp_compiler = "gcc " __VERSION__;
    #else
    static const char *cbp_compiler = "another compiler";
    #endif
    static const char *cbp_how = CBP_HOW;
    """
    const char* cbp_cpu_level()
    const char* cbp_compiler
    const char* cbp_how

COMPILER = (cbp_compiler.decode() + " " + cbp_how.decode()).rstrip()   # which one, and how it was told to build the core


def cpu_level() -> str:
    """The highest level of instructions that this CPU runs: "v2" (the plain build), "v3" (AVX2) or "v4" (AVX-512)."""
    return (<bytes>cbp_cpu_level()).decode()


cdef Op _op
cdef Run _run
cdef Segment _segment
OP = np.asarray(<Op[:1]>&_op).dtype
RUN = np.asarray(<Run[:1]>&_run).dtype
SEGMENT = np.asarray(<Segment[:1]>&_segment).dtype


# --- the data -----------------------------------------------------------------------------------------------------------------

def source(array not None, int dtype):
    """The `Source` of a two-dimensional array whose dtype has that number in SOURCES. It points at the array's memory, so who
    keeps it must keep the array."""
    cdef Py_buffer view
    cdef Source record
    PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
    record.address = <uint64_t>view.buf
    record.dtype = dtype
    record.rows, record.columns = view.shape[0], view.shape[1]
    record.row_stride, record.column_stride = view.strides[0], view.strides[1]
    PyBuffer_Release(&view)
    return (<const char*>&record)[:sizeof(Source)]


def clock():
    """Seconds on the clock that ``curves`` are measured with."""
    return now()


# --- passes over the data -----------------------------------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Team:
    """Threads for ``run_epochs``: members 1, 2, ... are Python threads that call ``work``, member 0 is who calls the core."""

    cdef TeamState state
    cdef int64_t opened     # the number of forks then

    def __cinit__(self, int members):
        if not 1 <= members <= MAX_MEMBERS:
            raise ValueError(f"members must be from 1 to {MAX_MEMBERS}, got {members}")
        team_open(&self.state, members)
        self.opened = forks

    def __dealloc__(self):
        if self.here() is not NULL:
            team_free(&self.state)

    cdef TeamState* here(self) noexcept:
        """NULL in the child of a fork: the members stayed in the parent, maybe with the mutex, and the caller is alone."""
        return &self.state if self.opened == forks else NULL

    def work(self, int member):
        """Take part until ``__exit__``."""
        cdef uint64_t mode
        cdef TeamState* team = self.here()
        if team is NULL:
            return
        with nogil:
            mode = flush_subnormals()
            team_work(team, member)
            restore_subnormals(mode)

    def __enter__(self):
        """The members may start."""
        return self

    def __exit__(self, *exception):
        """Let every ``work`` return. In C, where no signal comes between."""
        if self.here() is not NULL:
            team_close(&self.state)


@cython.final
@cython.auto_pickle(False)
cdef class Training:
    """One thread changes the numbers of a network: ``with`` takes them for it, or raises RuntimeError.

    Nobody waits here, who trains or who copies (``Copying``): a signal handler would wait for the call that it interrupted, and
    the child of a fork for a thread that it has not. In C: where a signal comes between the entry and the block, or between
    the block and the exit, the numbers would stay taken.
    """

    cdef int64_t trainer        # the thread; 0: nobody
    cdef list copiers           # the threads, one as often as its copies interrupt one another
    cdef int64_t seen           # so many forks have been looked at
    cdef object present

    def __cinit__(self):
        self.copiers = []
        self.seen = forks

    def __enter__(self):
        """Take the numbers, or raise RuntimeError."""
        if not self.taken():
            self.refuse()

    def __exit__(self, *exception):
        """Give them back."""
        self.give_back()

    def busy(self):
        """Whether anybody trains or copies."""
        with cython.critical_section(self):
            self.look_at_forks()
            return self.trainer != 0 or len(self.copiers) > 0

    def between(self, present not None):
        """From now on ``present()`` is what a handler that interrupts the training finds."""
        self.present = present

    cdef bint taken(self):
        with cython.critical_section(self):
            self.look_at_forks()
            if self.trainer != 0 or len(self.copiers) > 0:
                return False
            self.trainer = this_thread()
            return True

    cdef int give_back(self) except -1:
        with cython.critical_section(self):
            self.trainer = 0
            self.present = None
        return 0

    cdef bint copy_begins(self, bint within):
        me = this_thread()
        with cython.critical_section(self):
            self.look_at_forks()
            if self.trainer != 0 and not (within and self.trainer == me):
                return False
            self.copiers.append(me)
            return True

    cdef int copy_ends(self) except -1:
        with cython.critical_section(self):
            self.look_at_forks()
            self.forget(this_thread())
        return 0

    cdef int forget(self, int64_t copier) except -1:
        self.copiers.remove(copier)
        return 0

    cdef int look_at_forks(self) except -1:
        """What was held by threads that stayed in the parent is free."""
        if self.seen != forks:
            self.seen = forks
            if self.trainer != survivor:
                self.trainer = 0
                self.present = None
            self.copiers = [thread for thread in self.copiers if thread == survivor]
        return 0

    cdef int refuse(self) except -1:
        me = this_thread()
        if self.trainer == me or me in self.copiers:
            raise RuntimeError("this network is in the middle of a call, of fit() or save() for example, that this one "
                               "interrupted: a signal handler, a finalizer or a display of progress may predict, save and "
                               "copy, not train")
        raise RuntimeError("this network is being trained or saved by another thread, or carries its state on there; wait "
                           "for it, or work with a copy.deepcopy() that was made before")


@cython.final
@cython.auto_pickle(False)
cdef class Copying:
    """Any number of threads copy the numbers of a network, while no other trains: RuntimeError where one does. A thread that
    trains and is interrupted may, unless ``within`` is false: ``with`` gives the function that it left in ``between``, or None.
    """

    cdef Training training
    cdef bint within

    def __cinit__(self, Training training not None, bint within=True):
        self.training = training
        self.within = within

    def __enter__(self):
        """Begin to copy, or raise RuntimeError."""
        if not self.training.copy_begins(self.within):
            self.training.refuse()
        return self.training.present

    def __exit__(self, *exception):
        """The copy is made."""
        self.training.copy_ends()


def run_epochs(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    floating[:, ::1] parts not None, floating[:, ::1] state not None, floating[::1] statistics not None,
    floating[:, ::1] carry not None,
    bytes x not None, bytes targets not None, const Py_ssize_t[::1] labels not None,
    const floating[::1] weights not None, const Py_ssize_t[::1] lengths not None, Py_ssize_t[::1] order not None,
    floating[::1] arena not None, floating[::1] workspace not None, floating[:, ::1] scratch not None,
    double[:, ::1] row_results not None, Py_ssize_t[::1] row_labels not None, Py_ssize_t[::1] row_lengths not None,
    double[:, ::1] curves not None, const double[::1] rates not None, const Segment[::1] segments not None,
    double[::1] squares not None,
    Py_ssize_t last_epoch, double patience, Team team, double[::1] laps not None,
):
    """Run epochs until `last_epoch` or, after `patience` seconds, to the next place where Python may look at signals.

    `x` (samples, inputs) and `targets` (samples, outputs) are what source() gave. Either `targets` or `labels` (samples x
    positions of the output) has no rows; empty may be `weights` (all 1), `lengths` (all steps count), `order` (no shuffling),
    `carry` (no state goes from batch to batch), `parts` (few terms make a gradient, see ops/parts.pxd), `laps` (nobody looks at
    the clock), `rates` (that of the run stays), `segments` and `squares` (no update is deferred) and, when nothing is updated,
    `state`, whose last array is the average of the parameters where `run` says that they are averaged.
    `curves` gets a row (loss, metric, seconds, rate) for every complete epoch, `laps` the seconds of every phase. Every member
    of the `team` (None: the caller alone) has a row of `scratch`. Where the call stopped, after `patience` seconds or where
    `rates` end, stands in `run`; the same call again goes on from there.
    """
    cdef Pass batch
    cdef Laps watch
    cdef Py_ssize_t phase
    cdef uint64_t mode
    cdef const Source* inputs = <const Source*><const char*>x
    cdef const Source* wanted = <const Source*><const char*>targets
    cdef TeamState* threads = NULL if team is None else team.here()
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
        batch.parts = &parts[0, 0] if parts.shape[0] > 0 else NULL
        batch.parts_size = parts.shape[1]
        batch.size, batch.states = parameters.shape[0], state.shape[0]
        batch.state = &state[0, 0] if state.shape[0] > 0 else NULL
        batch.average = &state[state.shape[0] - 1, 0] if run[0].average_start > 0 else NULL
        batch.rates = &rates[0] if run[0].scheduled else NULL
        batch.rate_count = rates.shape[0]
        batch.segments = &segments[0] if segments.shape[0] > 0 else NULL
        batch.segment_count = segments.shape[0]
        batch.squares = &squares[0] if squares.shape[0] > 0 else NULL
        batch.learns = first_to_learn(&ops[0], ops.shape[0]) if run[0].mode == TRAIN else 0
        batch.statistics = &statistics[0]
        batch.all_carry = &carry[0, 0] if carry.shape[0] * carry.shape[1] > 0 else NULL
        batch.carry_size = carry.shape[1]
        batch.arena = &arena[0]
        batch.workspace = &workspace[0]
        batch.scratch = &scratch[0, 0]
        batch.scratch_size = scratch.shape[1]
        batch.training = run[0].mode == TRAIN or run[0].training
        batch.kinds, batch.activations, batch.loss = tables.kinds, tables.activations, &tables.losses[run[0].loss]
        begin_rule(&batch.rule, &tables.optimizers[run[0].optimizer], &run[0])
        batch.fused = is_fused(batch.loss, &tables.activations[ops[ops.shape[0] - 1].activation])
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


def needs(Op[::1] ops not None):
    """What an op keeps: (numbers of scratch, of a sample, of no sample, of a state that is carried on). Fills in what else
    follows from its other fields."""
    cdef Op* op = &ops[0]
    cdef Needs found
    memset(&found, 0, sizeof(Needs))
    found.work = <double>op.positions * op.weight_rows * op.weight_width
    if tables.kinds[op.kind].needs is not NULL:
        tables.kinds[op.kind].needs(op, &found)
    op.work = found.work
    return found.scratch, found.kept, found.shared, found.carried


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
        begin_forward(&batch, &tables, &ops[0], ops.shape[0], &parameters[0], &arena[0], inputs.columns)
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


def vector_jacobian(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    floating[:, ::1] parts not None, floating[::1] statistics not None, bytes x not None,
    const Py_ssize_t[::1] lengths not None, bytes d_output not None,
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
        begin_forward(&batch, &tables, &ops[0], ops.shape[0], &parameters[0], &arena[0], inputs.columns)
        batch.run, batch.gradient, batch.scratch = &run[0], &gradient[0], &scratch[0, 0]
        batch.parts = &parts[0, 0] if parts.shape[0] > 0 else NULL
        batch.parts_size = parts.shape[1]
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


def sampled(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] statistics not None,
    bytes x not None, const Py_ssize_t[::1] lengths not None, floating[:, ::1] carry not None, floating[:, ::1] out not None,
    floating[::1] arena not None, floating[::1] workspace not None, floating[::1] scratch not None, Py_ssize_t first,
    double patience,
):
    """As predict(), with the noise of training: that which seed, epoch and step of `run` stand for. No op may wait."""
    cdef const Source* inputs = <const Source*><const char*>x
    cdef double deadline
    cdef Pass batch
    with nogil:
        deadline = now() + patience
        begin_forward(&batch, &tables, &ops[0], ops.shape[0], &parameters[0], &arena[0], inputs.columns)
        batch.statistics, batch.workspace, batch.carry_size = &statistics[0], &workspace[0], carry.shape[1]
        batch.run, batch.training = &run[0], True
        while first < inputs.rows:
            take_rows(&batch, inputs, &lengths[0] if lengths.shape[0] > 0 else NULL, first, &arena[0])
            batch.way = batch.rows
            batch.carry = &carry[first, 0] if carry.shape[0] * carry.shape[1] > 0 else NULL
            values_of_rows(&batch, &arena[0], &scratch[0])
            copy_outputs(&batch, &arena[0], &out[first, 0])
            first += batch.rows
            if now() >= deadline:
                break
    return first


def input_jacobian(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] statistics not None,
    bytes x not None, const Py_ssize_t[::1] lengths not None, floating[:, :, ::1] out not None, floating[::1] arena not None,
    floating[::1] workspace not None, floating[::1] scratch not None, floating[::1] rows not None, Py_ssize_t place,
    double patience,
):
    """Into `out` (samples, outputs, inputs) the derivatives of every output of every row with respect to the row's inputs,
    until `patience` seconds have passed. `rows` holds those of a piece with padded positions. Begins at `place`, which counts
    the outputs of all rows and is one of the first row of a piece, and returns the place where it ended."""
    cdef const Source* inputs = <const Source*><const char*>x
    cdef Py_ssize_t index, outputs = out.shape[1]
    cdef double deadline
    cdef Pass batch
    with nogil:
        deadline = now() + patience
        begin_forward(&batch, &tables, &ops[0], ops.shape[0], &parameters[0], &arena[0], inputs.columns)
        batch.run, batch.statistics, batch.workspace = &run[0], &statistics[0], &workspace[0]
        batch.d_x, batch.ld_dx, batch.way = &rows[0], ops[0].in_positions * padded(ops[0].inputs), inputs.rows
        while place < inputs.rows * outputs:
            index = place % outputs
            take_rows(&batch, inputs, &lengths[0] if lengths.shape[0] > 0 else NULL, place // outputs, &arena[0])
            values_of_rows(&batch, &arena[0], &scratch[0])   # anew: the way back of recurrent ops overwrites what it reads
            begin_output(&batch, index, &arena[0])
            inputs_back(&batch, &arena[0], &scratch[0])
            copy_d_x(&batch, outputs * out.shape[2], &out[batch.first, index, 0])
            place += 1 if index + 1 < outputs else 1 + (batch.rows - 1) * outputs
            if now() >= deadline:
                break
    return place


def row_gradients(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    floating[:, ::1] parts not None, floating[::1] statistics not None, bytes x not None, bytes targets not None,
    const Py_ssize_t[::1] labels not None, const Py_ssize_t[::1] lengths not None, floating[:, :, ::1] out not None,
    double[::1] losses not None, double[:, ::1] row_results not None, const Py_ssize_t[::1] places not None, bint plain,
    floating[::1] arena not None, floating[::1] workspace not None, floating[::1] scratch not None, Py_ssize_t place,
    double patience,
):
    """Into `out` (samples, outputs, parameters) the derivatives of every output of every row with respect to the parameters
    without pads, which lie at `places`. Where `losses` has rows it gets those of the samples, towards `targets` or `labels`,
    and `out` (samples, 1, parameters) their gradients. A piece is one row unless the ops are `plain`. No op may wait. Place and
    patience as for input_jacobian()."""
    cdef const Source* inputs = <const Source*><const char*>x
    cdef const Source* wanted = <const Source*><const char*>targets
    cdef const Py_ssize_t* classes = &labels[0] if labels.shape[0] > 0 else NULL
    cdef Py_ssize_t index, outputs = out.shape[1], size = out.shape[2], begun = -1
    cdef double deadline
    cdef Pass batch
    with nogil:
        deadline = now() + patience
        begin_forward(&batch, &tables, &ops[0], ops.shape[0], &parameters[0], &arena[0], inputs.columns)
        batch.run, batch.statistics, batch.workspace = &run[0], &statistics[0], &workspace[0]
        batch.gradient, batch.training = &gradient[0], run[0].training
        batch.parts, batch.parts_size = &parts[0, 0] if parts.shape[0] > 0 else NULL, parts.shape[1]
        batch.way = inputs.rows if plain else 1
        if losses.shape[0] > 0:
            batch.loss, run[0].batch_weight = &tables.losses[run[0].loss], 1
            batch.fused = is_fused(batch.loss, &tables.activations[ops[ops.shape[0] - 1].activation])
            batch.row_loss, batch.row_metric = &row_results[0, 0], &row_results[1, 0]
            batch.ldy = wanted.columns
        while place < inputs.rows * outputs:
            index = place % outputs
            take_rows(&batch, inputs, &lengths[0] if lengths.shape[0] > 0 else NULL, place // outputs, &arena[0])
            if batch.first != begun or not plain:   # the way back of recurrent ops overwrites what it reads
                values_of_rows(&batch, &arena[0], &scratch[0])
                begun = batch.first
            if losses.shape[0] > 0:
                begin_loss(&batch, wanted, classes, &losses[0], &arena[0])
            else:
                begin_output(&batch, index, &arena[0])
            parameters_back(&batch, plain, &places[0], size, outputs * size, &arena[0], &scratch[0],
                            &out[batch.first, index, 0])
            place += 1 if index + 1 < outputs else 1 + (batch.rows - 1) * outputs
            if now() >= deadline:
                break
    return place


# --- a few rows, straight from Python -----------------------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Answers:
    """Outputs of a stack of dense layers for one row, and for up to ``most``; None where the input has to be looked at.

    It belongs to a ``model`` with these numbers, whose array of parameters is never another. Where columns are ``named``, more
    than one row is always to be looked at. A look-up or an argument takes a hundredth of a microsecond, so all that stays the
    same is kept here, and a network keeps this in the place of its model.
    """

    cdef readonly object model, numbers
    cdef cnp.ndarray ops, parameters
    cdef Py_ssize_t most, rows

    def __cinit__(self, object model, cnp.ndarray ops not None, object numbers, Py_ssize_t most, bint named):
        self.model = model
        self.ops, self.numbers, self.parameters = ops, numbers, numbers.parameters
        self.most, self.rows = most, 0 if named else most

    def one(self, x):
        """For one row."""
        return None if self.most == 0 else self.outputs(x, 1, self.most, None)

    def few(self, X):
        """For some rows."""
        return None if self.rows == 0 else self.outputs(X, 2, self.rows, None)

    def into(self, X, out):
        """For some rows, whose outputs go into an array, which is returned."""
        return None if self.rows == 0 or out is None else self.outputs(X, 2, self.rows, out)

    cdef object outputs(self, object given, int dimensions, Py_ssize_t most, object into):
        cdef Py_ssize_t size = cnp.PyArray_DIM(self.parameters, 0)
        cdef void* parameters = cnp.PyArray_DATA(self.parameters)
        cdef bint flat = last_op(self.ops).units == 1 and self.numbers.flat
        if cnp.PyArray_TYPE(self.parameters) == cnp.NPY_FLOAT:
            return ready_outputs(&tables, self.ops, <const float*>parameters, size, cnp.NPY_FLOAT, given, dimensions, most,
                                 flat, self.parameters, into)
        return ready_outputs(&tables, self.ops, <const double*>parameters, size, cnp.NPY_DOUBLE, given, dimensions, most,
                             flat, self.parameters, into)


@cython.final
@cython.auto_pickle(False)
cdef class Asked:
    """Gradients of a stack of dense layers by up to ``most`` rows; None where something has to be looked at, or where another
    thread asks at the same time: the scratch is kept here.

    Parameters
    ----------
    ops, parameters : array
        The latter is never another.
    count : int
        Parameters without pads.
    run, gradient, arena, scratch, rows : array
        As for ``vector_jacobian``, for ``most`` rows; ``run`` is a gradient's, with the loss and the penalties.
    """

    cdef cnp.ndarray ops, parameters, run, gradient, arena, scratch, rows
    cdef Py_ssize_t count, most
    cdef bint busy

    def __cinit__(
        self, cnp.ndarray ops not None, cnp.ndarray parameters not None, Py_ssize_t count, cnp.ndarray run not None,
        cnp.ndarray gradient not None, cnp.ndarray arena not None, cnp.ndarray scratch not None, cnp.ndarray rows not None,
        Py_ssize_t most,
    ):
        self.ops, self.parameters, self.count, self.run, self.gradient = ops, parameters, count, run, gradient
        self.arena, self.scratch, self.rows, self.most = arena, scratch, rows, most

    def backward(self, X, d_output, out):
        """(d_input, gradient), both new or, where they are not None, those of ``out``."""
        if not self.taken():
            return None
        try:
            return self.asked(X, d_output, out, False)
        finally:
            self.busy = False

    def gradient_of(self, X, y, out):
        """(loss, gradient), the latter new or ``out``."""
        if not self.taken():
            return None
        try:
            return self.asked(X, y, out, True)
        finally:
            self.busy = False

    cdef bint taken(self):
        with cython.critical_section(self):
            if self.busy:
                return False
            self.busy = True
            return True

    cdef object asked(self, object x, object other, object out, bint of_loss):
        cdef const Op* ops = <const Op*>cnp.PyArray_DATA(self.ops)
        cdef Run* run = <Run*>cnp.PyArray_DATA(self.run)
        cdef void* arena = cnp.PyArray_DATA(self.arena)
        cdef Py_ssize_t count = cnp.PyArray_DIM(self.ops, 0), size = cnp.PyArray_DIM(self.parameters, 0)
        cdef Pass batch
        begin_forward(&batch, &tables, ops, count, <float*>cnp.PyArray_DATA(self.parameters), <float*>arena, ops[0].inputs)
        batch.run, batch.size, batch.loss = run, size, &tables.losses[run.loss]
        batch.gradient, batch.scratch = cnp.PyArray_DATA(self.gradient), cnp.PyArray_DATA(self.scratch)
        batch.d_x, batch.ld_dx = cnp.PyArray_DATA(self.rows), padded(ops[0].inputs)
        if cnp.PyArray_TYPE(self.parameters) == cnp.NPY_FLOAT:
            if of_loss:
                return ready_gradient(&batch, <float*>arena, self.parameters, self.count, x, other, out, self.most)
            return ready_back(&batch, <float*>arena, self.parameters, self.count, x, other, out, self.most)
        if of_loss:
            return ready_gradient(&batch, <double*>arena, self.parameters, self.count, x, other, out, self.most)
        return ready_back(&batch, <double*>arena, self.parameters, self.count, x, other, out, self.most)


cdef inline const Op* last_op(cnp.ndarray ops) noexcept:
    return <const Op*>cnp.PyArray_DATA(ops) + cnp.PyArray_DIM(ops, 0) - 1


@cython.final
@cython.auto_pickle(False)
cdef class Following:
    """The optimizer of a network as the core sees it, kept from one small update to the next; made by :mod:`cbp.engine.online`.

    Parameters
    ----------
    training : Training
        Taken by every update.
    numbers : Numbers
        Those that are updated, with the state of an optimizer of one kind.
    optimizer, run
        The optimizer that the record ``run`` describes.
    describe : callable
        ``describe(optimizer, run, other, states)`` gives the record for another optimizer; None where it has another state.
    rates : callable
        ``rates(optimizer, place)`` gives the rates of a schedule from a step or epoch on, as an array.
    ops, gradient, before, segments, squares : array
        As for a run. ``before`` has room for parameters and state.
    """

    cdef Training training
    cdef object numbers, optimizer, describe, ask_rates
    cdef cnp.ndarray run, ops, parameters, state, gradient, before, segments, squares, rates
    cdef Py_ssize_t first_rate

    def __cinit__(
        self, Training training not None, object numbers, object optimizer, cnp.ndarray run not None, object describe,
        object rates, cnp.ndarray ops not None, cnp.ndarray gradient not None, cnp.ndarray before not None,
        cnp.ndarray segments not None, cnp.ndarray squares not None,
    ):
        self.training, self.numbers, self.optimizer, self.run, self.describe = training, numbers, optimizer, run, describe
        self.ops, self.parameters, self.state = ops, numbers.parameters, numbers.state
        self.gradient, self.before, self.segments, self.squares, self.ask_rates = gradient, before, segments, squares, rates

    def suits(self, object numbers):
        """Whether this is still good for these numbers."""
        return numbers is self.numbers and numbers.state is self.state

    cdef object chosen(self, object optimizer):
        """The optimizer that makes the next update, None: that of the numbers. It is described then, its rate too; None where
        that has to be looked at."""
        cdef Run* run
        numbers = self.numbers
        if numbers.state is not self.state:
            return None
        chosen = numbers.optimizer if optimizer is None else optimizer
        if chosen is not self.optimizer:
            described = self.describe(self.optimizer, self.run, chosen, cnp.PyArray_DIM(self.state, 0))
            if described is None:
                return None
            self.optimizer, self.run, self.rates = chosen, described, None
        run = <Run*>cnp.PyArray_DATA(self.run)
        run.step = numbers.step
        if run.average_start > 0:
            run.averaged = numbers.averaged
        if run.scheduled:
            self.take_rate(run, chosen)
        return chosen

    cdef int take_rate(self, Run* run, object optimizer) except -1:
        """The rate of the next step, from those that were worked out ahead."""
        cdef Py_ssize_t place = run.step
        if run.scheduled == BY_EPOCH:
            place = self.numbers.epoch - self.numbers.since
        if self.rates is None or not self.first_rate <= place < self.first_rate + cnp.PyArray_DIM(self.rates, 0):
            self.rates, self.first_rate = self.ask_rates(optimizer, place), place
        run.rate = (<double*>cnp.PyArray_DATA(self.rates))[place - self.first_rate]
        return 0

    cdef void place(self, Pass* batch) noexcept:
        """Let a pass know of the update that comes."""
        cdef const Op* ops = <const Op*>cnp.PyArray_DATA(self.ops)
        cdef Py_ssize_t slots = cnp.PyArray_DIM(self.state, 0), size = cnp.PyArray_DIM(self.state, 1)
        cdef Run* run = <Run*>cnp.PyArray_DATA(self.run)
        memset(batch, 0, sizeof(Pass))
        batch.kinds, batch.activations, batch.loss = tables.kinds, tables.activations, &tables.losses[run.loss]
        batch.ops, batch.count, batch.run = ops, cnp.PyArray_DIM(self.ops, 0), run
        batch.learns = first_to_learn(ops, batch.count)
        batch.training = True
        batch.parameters, batch.gradient = cnp.PyArray_DATA(self.parameters), cnp.PyArray_DATA(self.gradient)
        batch.size, batch.states = size, slots
        batch.state = cnp.PyArray_DATA(self.state) if slots > 0 else NULL
        if run.average_start > 0:
            batch.average = <char*>batch.state + (slots - 1) * size * cnp.PyArray_ITEMSIZE(self.state)
        batch.segments, batch.segment_count = <const Segment*>cnp.PyArray_DATA(self.segments), cnp.PyArray_DIM(self.segments, 0)
        batch.squares = <double*>cnp.PyArray_DATA(self.squares)
        begin_rule(&batch.rule, &tables.optimizers[run.optimizer], run)

    cdef int end(self, object chosen) except -1:
        """The update is made."""
        cdef const Run* run = <const Run*>cnp.PyArray_DATA(self.run)
        self.numbers.step = run.step
        if run.average_start > 0:
            self.numbers.averaged = run.averaged
        if chosen is not self.numbers.optimizer:
            self.numbers.optimizer = chosen
        return 0


@cython.final
@cython.auto_pickle(False)
cdef class Online:
    """Small updates one after the other, by the gradients of a few rows.

    Parameters
    ----------
    following : Following
    arena, scratch, targets : array
        Of a run with up to ``most`` rows; ``targets`` has room for the targets.
    """

    cdef Following following
    cdef cnp.ndarray arena, scratch, targets
    cdef Py_ssize_t most

    def __cinit__(
        self, Following following not None, cnp.ndarray arena not None, cnp.ndarray scratch not None,
        cnp.ndarray targets not None, Py_ssize_t most,
    ):
        self.following, self.arena, self.scratch, self.targets, self.most = following, arena, scratch, targets, most

    def covers(self, object numbers, Py_ssize_t rows):
        """Whether this is still good for such a batch."""
        return rows <= self.most and self.following.suits(numbers)

    def step(self, X, y, optimizer):
        """One update; returns the loss before it, or None with nothing changed: X or y have to be looked at, the numbers are
        taken, their state or the optimizer is of another kind, or the step diverges.

        ``optimizer`` None: that of the numbers. The lock and the count of steps are handled in here too, where no signal comes
        between them and the update.
        """
        if not self.following.training.taken():
            return None
        try:
            return self.taken_step(X, y, optimizer)
        finally:
            self.following.training.give_back()

    cdef object taken_step(self, object x, object y, object optimizer):
        cdef Following following = self.following
        cdef Pass batch
        cdef bint flat = False
        chosen = following.chosen(optimizer)
        if chosen is None:
            return None
        following.place(&batch)
        batch.arena, batch.scratch = cnp.PyArray_DATA(self.arena), cnp.PyArray_DATA(self.scratch)
        if cnp.PyArray_TYPE(following.parameters) == cnp.NPY_FLOAT:
            loss = ready_step(&batch, <float*>batch.arena, <float*>cnp.PyArray_DATA(following.before),
                              <float*>cnp.PyArray_DATA(self.targets), x, y, self.most, &flat)
        else:
            loss = ready_step(&batch, <double*>batch.arena, <double*>cnp.PyArray_DATA(following.before),
                              <double*>cnp.PyArray_DATA(self.targets), x, y, self.most, &flat)
        if loss is None:
            return None
        following.end(chosen)
        if batch.ops[batch.count - 1].units == 1 and following.numbers.flat != flat:
            following.numbers.flat = flat
        return loss


@cython.final
@cython.auto_pickle(False)
cdef class Applied:
    """Updates by gradients that somebody else has computed, as flat vectors without pads.

    Parameters
    ----------
    following : Following
    runs : array of intp, (runs, 2)
        Where the numbers of such a vector lie among those with pads, stretch by stretch: the first place, and how many.
    count : int
        How many numbers such a vector has.
    """

    cdef Following following
    cdef cnp.ndarray runs
    cdef Py_ssize_t count

    def __cinit__(self, Following following not None, cnp.ndarray runs not None, Py_ssize_t count):
        self.following, self.runs, self.count = following, runs, count

    def suits(self, object numbers):
        """Whether this is still good for these numbers."""
        return self.following.suits(numbers)

    def step(self, gradient, optimizer):
        """One update; returns whether it was made. If not nothing is changed, and all is to be looked at, as in ``Online``."""
        if not self.following.training.taken():
            return False
        try:
            return self.taken_step(gradient, optimizer)
        finally:
            self.following.training.give_back()

    def taken_step(self, gradient, optimizer):
        """The same for who has taken the numbers already."""
        cdef Following following = self.following
        cdef Pass batch
        cdef bint done
        cdef const Py_ssize_t* runs = <const Py_ssize_t*>cnp.PyArray_DATA(self.runs)
        chosen = following.chosen(optimizer)
        if chosen is None:
            return False
        following.place(&batch)
        if cnp.PyArray_TYPE(following.parameters) == cnp.NPY_FLOAT:
            done = ready_update(&batch, <float*>batch.gradient, <float*>cnp.PyArray_DATA(following.before), runs,
                                cnp.PyArray_DIM(self.runs, 0), self.count, gradient)
        else:
            done = ready_update(&batch, <double*>batch.gradient, <double*>cnp.PyArray_DATA(following.before), runs,
                                cnp.PyArray_DIM(self.runs, 0), self.count, gradient)
        if done:
            following.end(chosen)
        return done


def put_back(object numbers, object held, object before):
    """Let `numbers` have again the arrays that they `held`, and all values of their copy `before`: no signal comes between."""
    numbers.state, numbers.optimizer, numbers.flat = held.state, held.optimizer, held.flat
    numbers.step, numbers.epoch, numbers.averaged, numbers.since = before.step, before.epoch, before.averaged, before.since
    write_all([numbers.parameters, numbers.state, numbers.statistics], [before.parameters, before.state, before.statistics])


def write_all(list arrays not None, list values not None):
    """Copy the values into the arrays, all of them: no signal comes between."""
    cdef Py_ssize_t k
    for k in range(len(arrays)):
        cnp.PyArray_CopyInto(arrays[k], values[k])


@cython.final
@cython.auto_pickle(False)
cdef class Steps:
    """Outputs of one time step after the other of one sequence, whose state in ``carry`` goes on.

    ``ops`` are those of a plan of one time step, the other arrays what it needs. The GIL is held, so that calls follow each
    other.
    """

    cdef object numbers
    cdef cnp.ndarray ops, carry, arena, workspace, scratch, parameters, statistics

    def __cinit__(
        self, cnp.ndarray ops not None, cnp.ndarray carry not None, cnp.ndarray arena not None, cnp.ndarray workspace not None,
        cnp.ndarray scratch not None,
    ):
        self.ops, self.carry, self.arena, self.workspace, self.scratch = ops, carry, arena, workspace, scratch

    def step(self, numbers not None, x):
        """With these numbers; None where x has to be looked at."""
        if numbers is not self.numbers:
            self.parameters, self.statistics, self.numbers = numbers.parameters, numbers.statistics, numbers
        cdef void* parameters = cnp.PyArray_DATA(self.parameters)
        cdef void* statistics = cnp.PyArray_DATA(self.statistics)
        cdef bint flat = last_op(self.ops).units == 1 and numbers.flat
        if cnp.PyArray_TYPE(self.parameters) == cnp.NPY_FLOAT:
            return step_outputs(&tables, self.ops, <float*>parameters, <float*>statistics, self.carry,
                                <float*>cnp.PyArray_DATA(self.arena), <float*>cnp.PyArray_DATA(self.workspace),
                                <float*>cnp.PyArray_DATA(self.scratch), cnp.NPY_FLOAT, x, flat)
        return step_outputs(&tables, self.ops, <double*>parameters, <double*>statistics, self.carry,
                            <double*>cnp.PyArray_DATA(self.arena), <double*>cnp.PyArray_DATA(self.workspace),
                            <double*>cnp.PyArray_DATA(self.scratch), cnp.NPY_DOUBLE, x, flat)


# --- memory -------------------------------------------------------------------------------------------------------------------

@cython.final
@cython.auto_pickle(False)
cdef class Owner:
    """Keeps memory that arrays show, and shows it to nobody."""

    cdef cnp.ndarray memory


def memory(cnp.npy_intp size, bint clear):
    """Bytes, zeros where they are to be clear, in an array that is not their owner: whoever has a view of a network's numbers
    has its base too, and an owner can be resized, which frees the memory that the core works on."""
    cdef Owner owner = Owner.__new__(Owner)
    owner.memory = cnp.PyArray_ZEROS(1, &size, cnp.NPY_UINT8, 0) if clear else cnp.PyArray_EMPTY(1, &size, cnp.NPY_UINT8, 0)
    shown = cnp.PyArray_SimpleNewFromData(1, &size, cnp.NPY_UINT8, cnp.PyArray_DATA(owner.memory))
    cnp.set_array_base(shown, owner)
    return shown


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
    cdef Py_ssize_t place = -1
    if x.shape[0] > 0:
        with nogil:
            place = place_not_finite(x.shape[0], &x[0])
    return place
