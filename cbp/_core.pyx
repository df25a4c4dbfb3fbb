"""The compiled core: a network as a table of operations over flat arrays, and the loops that run it.

Every function expects what ``network.py`` prepares: checked, C-contiguous arrays of the network's dtype. Nothing is checked
here, nothing is allocated, and the loops run without the GIL. Kernels are in ``cbp/kernels/``, one subject a file.
"""

from cython cimport floating
from libc.math cimport isfinite
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import numpy as np

from cbp._structs cimport Op, Run
from cbp.kernels cimport activations, losses, optimizers, random, tile
from cbp.kernels.dense cimport (
    dense_backward_bias,
    dense_backward_input,
    dense_backward_naive,
    dense_backward_weight,
    dense_forward,
    dense_forward_naive,
)

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
STREAMS = {"initial_weights": random.INITIAL_WEIGHTS, "shuffle": random.SHUFFLE}
KEEPS_SUM = frozenset(name for name, kind in ACTIVATIONS.items() if activations.keeps_sum(kind))
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


# --- one piece of a batch through the network ---------------------------------------------------------------------------------

cdef double now() noexcept nogil:
    cdef timespec clock
    clock_gettime(CLOCK_MONOTONIC, &clock)
    return clock.tv_sec + clock.tv_nsec * 1e-9


def clock():
    """Seconds on the clock that ``curves`` are measured with."""
    return now()


cdef void forward(
    const Op* ops, Py_ssize_t count, const floating* parameters, Py_ssize_t rows, const floating* x, Py_ssize_t ldx,
    floating* arena, bint keep_last_sums,
) noexcept nogil:
    """Outputs of all layers into their slots; with keep_last_sums the last one's activation is left to the fused loss."""
    cdef Py_ssize_t index
    cdef const Op* op
    cdef const floating* bias
    cdef floating* z
    for index in range(count):
        op = &ops[index]
        z = arena + rows * op.sums
        bias = parameters + op.bias if op.bias >= 0 else NULL
        dense_forward(rows, op.inputs, op.width, x, ldx, parameters + op.weight, bias, z)
        if index < count - 1 or not keep_last_sums:
            activations.activate(<int>op.activation, rows, op.units, op.width, z, arena + rows * op.output)
        x = arena + rows * op.output
        ldx = op.width


cdef void backward(
    const Op* ops, Py_ssize_t count, floating* parameters, floating* gradient, Py_ssize_t rows,
    const floating* first_x, Py_ssize_t first_ldx, floating* first_dx, Py_ssize_t first_lddx, floating* arena, floating* mirror,
    bint accumulate, bint last_is_done, const optimizers.Rule* rule, floating* state1, floating* state2,
) noexcept nogil:
    """From the gradient of the last output, in the last delta slot, to the gradients of all parameters and (unless first_dx is
    NULL) of the input. With last_is_done that slot already holds the gradient of the weighted sums, from a fused loss. With a
    rule the parameters of each layer are updated at once."""
    cdef Py_ssize_t index
    cdef const Op* op
    cdef const floating* x
    cdef floating* dx
    cdef floating* dz
    cdef Py_ssize_t ldx, lddx
    for index in range(count - 1, -1, -1):
        op = &ops[index]
        dz = arena + rows * op.delta
        if index < count - 1 or not last_is_done:
            activations.activate_backward(<int>op.activation, rows, op.units, op.width,
                                          arena + rows * op.sums, arena + rows * op.output, dz)
        if index > 0:
            x = arena + rows * ops[index - 1].output
            ldx = lddx = ops[index - 1].width
            dx = arena + rows * ops[index - 1].delta
        else:
            x, ldx, dx, lddx = first_x, first_ldx, first_dx, first_lddx
        if dx is not NULL:
            dense_backward_input(rows, op.inputs, op.units, op.width, parameters + op.weight, mirror, dz, dx, lddx)
        backward_parameters(op, parameters, gradient, rows, x, ldx, dz, accumulate, rule, state1, state2)


cdef void backward_parameters(
    const Op* op, floating* parameters, floating* gradient, Py_ssize_t rows, const floating* x, Py_ssize_t ldx,
    const floating* dz, bint accumulate, const optimizers.Rule* rule, floating* state1, floating* state2,
) noexcept nogil:
    """The gradients of one layer's weights and biases; with a rule also their update.

    The update then follows block by block, while the block of the gradient is still in the first-level cache: in a large
    network that saves two of seven passes over arrays as long as the parameters.
    """
    cdef Py_ssize_t block = op.inputs
    cdef Py_ssize_t first = 0
    cdef Py_ssize_t n, offset
    cdef floating* g
    if rule is not NULL and op.inputs * op.width > GRADIENT_BLOCK:
        block = max(1, GRADIENT_BLOCK // op.width // tile.TILE_ROWS) * tile.TILE_ROWS
    while first < op.inputs:
        n = min(block, op.inputs - first)
        offset = op.weight + first * op.width
        g = gradient + (op.weight if rule is not NULL else offset)
        dense_backward_weight(rows, n, op.width, accumulate, x + first, ldx, dz, g)
        if rule is not NULL:
            update(rule, True, n * op.width, offset, parameters, g, state1, state2)
        first += n
    if op.bias >= 0:
        dense_backward_bias(rows, op.width, accumulate, dz, gradient + op.bias)
        if rule is not NULL:
            update(rule, False, op.width, op.bias, parameters, gradient + op.bias, state1, state2)


cdef void update(
    const optimizers.Rule* rule, bint is_weight, Py_ssize_t n, Py_ssize_t offset, floating* parameters, floating* g,
    floating* state1, floating* state2,
) noexcept nogil:
    """One step of the n parameters from `offset` on."""
    optimizers.update(rule, is_weight, n, parameters + offset, g, state1 + offset if state1 is not NULL else NULL,
                      state2 + offset if state2 is not NULL else NULL)


cdef void end_gradient(
    const Op* ops, Py_ssize_t count, const Run* run, floating* parameters, floating* gradient,
    const optimizers.Rule* rule, floating* state1, floating* state2,
) noexcept nogil:
    """What comes after a gradient that was gathered in pieces: the update or, without a rule, the gradient of the penalties."""
    cdef Py_ssize_t index, n
    cdef const Op* op
    for index in range(count):
        op = &ops[index]
        n = op.inputs * op.width
        if rule is NULL:
            optimizers.add_penalty(n, parameters + op.weight, gradient + op.weight, <floating>run.l1, <floating>run.l2)
            continue
        update(rule, True, n, op.weight, parameters, gradient + op.weight, state1, state2)
        if op.bias >= 0:
            update(rule, False, op.width, op.bias, parameters, gradient + op.bias, state1, state2)


cdef double penalty(const Op* ops, Py_ssize_t count, const Run* run, const floating* w) noexcept nogil:
    cdef double total = 0
    cdef Py_ssize_t index
    if run.l1 == 0 and run.l2 == 0:
        return 0
    for index in range(count):
        total += optimizers.penalty(ops[index].inputs * ops[index].width, w + ops[index].weight, run.l1, run.l2)
    return total


# --- passes over the data -----------------------------------------------------------------------------------------------------

def run_epochs(
    const Op[::1] ops not None, Run[::1] run not None, floating[::1] parameters not None, floating[::1] gradient not None,
    floating[:, ::1] state not None, const floating[:, ::1] x not None, const floating[:, ::1] targets not None,
    const Py_ssize_t[::1] labels not None, const floating[::1] weights not None, Py_ssize_t[::1] order not None,
    floating[::1] arena not None, floating[::1] mirror not None, double[:, ::1] curves not None,
    Py_ssize_t last_epoch, double patience,
):
    """Run epochs until `last_epoch` or, after `patience` seconds, to the next place where Python may look at signals.

    `curves` gets a row (loss, metric, seconds) for every complete epoch. `targets` (samples, outputs) or `labels` (samples)
    is empty, so may be `weights` (all 1), `order` (no shuffling) and, when nothing is updated, `state`. Where the call
    stopped stands in `run`; the same call again goes on from there.
    """
    with nogil:
        epochs_loop(&ops[0], ops.shape[0], &run[0], parameters, gradient, state, x, targets, labels, weights, order, arena,
                    mirror, curves, last_epoch, patience)


cdef void epochs_loop(
    const Op* ops, Py_ssize_t count, Run* run, floating[::1] parameters, floating[::1] gradient, floating[:, ::1] state,
    const floating[:, ::1] x, const floating[:, ::1] targets, const Py_ssize_t[::1] labels, const floating[::1] weights,
    Py_ssize_t[::1] order, floating[::1] arena, floating[::1] mirror, double[:, ::1] curves,
    Py_ssize_t last_epoch, double patience,
) noexcept nogil:
    cdef Py_ssize_t samples = x.shape[0]
    cdef Py_ssize_t piece, unwatched = 0
    cdef double clock = now()
    cdef double deadline = clock + patience
    cdef random.Philox generator
    while run.epoch < last_epoch:
        if run.position == 0 and run.row == 0:
            begin_epoch(run)
            run.penalty = penalty(ops, count, run, &parameters[0])
            if run.shuffle:
                random.philox_start(&generator, run.seed, random.SHUFFLE, <uint32_t>run.epoch)
                random.shuffle(&generator, samples, &order[0])
        if run.row == 0:
            begin_batch(run, min(run.batch_size, samples - run.position), weights, order)
        piece = min(run.piece, run.batch_rows - run.row)
        one_piece(ops, count, run, piece, parameters, gradient, state, x, targets, labels, weights, order, arena, mirror)
        if run.diverged:
            return
        run.row += piece
        unwatched += piece + (parameters.shape[0] >> 14)   # a step of a large network takes long even with one row
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


cdef void begin_batch(Run* run, Py_ssize_t batch, const floating[::1] weights, const Py_ssize_t[::1] order) noexcept nogil:
    """The weight that the gradients of a batch are divided by must be known before its first piece."""
    cdef Py_ssize_t i
    run.batch_rows = batch
    run.batch_loss = 0
    run.batch_weight = batch
    if weights.shape[0] > 0:
        run.batch_weight = 0
        for i in range(run.position, run.position + batch):
            run.batch_weight += weights[order[i] if order.shape[0] > 0 else i]


cdef void end_batch(Run* run) noexcept nogil:
    run.epoch_loss += run.batch_loss
    run.epoch_weight += run.batch_weight
    run.position += run.batch_rows
    run.row = 0


cdef void one_piece(
    const Op* ops, Py_ssize_t count, Run* run, Py_ssize_t rows, floating[::1] parameters, floating[::1] gradient,
    floating[:, ::1] state, const floating[:, ::1] x, const floating[:, ::1] targets, const Py_ssize_t[::1] labels,
    const floating[::1] weights, const Py_ssize_t[::1] order, floating[::1] arena, floating[::1] mirror,
) noexcept nogil:
    """Forward, loss and (unless evaluating) backward for some rows of a batch, and the update after its last ones.

    A batch whose loss is not finite changes nothing.
    """
    cdef bint fused = losses.is_fused(<int>run.loss, <int>ops[count - 1].activation)
    cdef bint whole = run.row == 0 and rows == run.batch_rows
    cdef Py_ssize_t first = run.position + run.row
    cdef const floating* piece = &x[first, 0] if order.shape[0] == 0 else &arena[0]
    cdef Py_ssize_t r
    cdef optimizers.Rule rule
    cdef floating* state1 = &state[0, 0] if state.shape[0] > 0 else NULL
    cdef floating* state2 = &state[1, 0] if state.shape[0] > 1 else NULL
    cdef bint last_piece = run.row + rows == run.batch_rows
    cdef bint updating = run.mode == TRAIN and last_piece and run.batch_weight > 0
    if order.shape[0] > 0:
        for r in range(rows):
            memcpy(&arena[r * x.shape[1]], &x[order[first + r], 0], x.shape[1] * sizeof(floating))
    forward(ops, count, &parameters[0], rows, piece, x.shape[1], &arena[0], fused)
    loss_of_piece(ops, count, run, rows, fused, targets, labels, weights, order, &arena[0])
    run.diverged = run.mode == TRAIN and not isfinite(run.batch_loss + run.penalty)
    if run.diverged or run.mode == EVALUATE:
        return
    if updating:
        run.step += 1
        optimizers.begin_step(&rule, <int>run.optimizer, run.rate, run.weight_decay, run.memory1, run.memory2, run.epsilon,
                              run.l1, run.l2, <double>run.step)
    backward(ops, count, &parameters[0], &gradient[0], rows, piece, x.shape[1], <floating*>NULL, 0, &arena[0], &mirror[0],
             run.row > 0, fused, &rule if updating and whole else NULL, state1, state2)
    if last_piece and not (updating and whole):
        end_gradient(ops, count, run, &parameters[0], &gradient[0], &rule if updating else NULL, state1, state2)


cdef void loss_of_piece(
    const Op* ops, Py_ssize_t count, Run* run, Py_ssize_t rows, bint fused, const floating[:, ::1] targets,
    const Py_ssize_t[::1] labels, const floating[::1] weights, const Py_ssize_t[::1] order, floating* arena,
) noexcept nogil:
    """Add the loss and the metric of some rows to the run's, and leave the gradient of the outputs in the last delta slot."""
    cdef const Op* last = &ops[count - 1]
    cdef Py_ssize_t first = run.position + run.row
    cdef Py_ssize_t r = 0, k, n, sample
    cdef double weight
    cdef double scale = 1 / run.batch_weight if run.batch_weight > 0 else 0
    cdef double loss[64]
    cdef double metric[64]
    while r < rows:
        n = 1 if order.shape[0] > 0 else min(64, rows - r)
        sample = order[first + r] if order.shape[0] > 0 else first + r
        losses.loss_rows(<int>run.loss, fused, run.delta, n, last.units, last.width, scale,
                         <const floating*>arena + rows * last.output + r * last.width,
                         &targets[sample, 0] if targets.shape[0] > 0 else NULL, targets.shape[1],
                         &labels[sample] if labels.shape[0] > 0 else NULL, &weights[sample] if weights.shape[0] > 0 else NULL,
                         arena + rows * last.delta + r * last.width, loss, metric)
        for k in range(n):
            weight = weights[sample + k] if weights.shape[0] > 0 else 1
            if weight == 0:
                silence_row(ops, count, rows, r + k, arena)
            run.epoch_metric += weight * metric[k]
            run.batch_loss += weight * loss[k]
        r += n


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


def predict(
    const Op[::1] ops not None, const floating[::1] parameters not None, const floating[:, ::1] x not None,
    floating[:, ::1] out not None, floating[::1] arena not None, Py_ssize_t piece, Py_ssize_t first, double patience,
):
    """Outputs for the rows of x from `first` on, until `patience` seconds have passed; returns the first row not done."""
    cdef const Op* last = &ops[ops.shape[0] - 1]
    cdef Py_ssize_t r, rows
    cdef double deadline
    with nogil:
        deadline = now() + patience
        while first < x.shape[0]:
            rows = min(piece, x.shape[0] - first)
            forward(&ops[0], ops.shape[0], &parameters[0], rows, &x[first, 0], x.shape[1], &arena[0], False)
            for r in range(rows):
                memcpy(&out[first + r, 0], &arena[rows * last.output + r * last.width], last.units * sizeof(floating))
            first += rows
            if now() >= deadline:
                break
    return first


def vector_jacobian(
    const Op[::1] ops not None, floating[::1] parameters not None, floating[::1] gradient not None,
    const floating[:, ::1] x not None, const floating[:, ::1] d_output not None, floating[:, ::1] d_input not None,
    floating[::1] arena not None, floating[::1] mirror not None, floating[::1] padded not None,
    Py_ssize_t piece, Py_ssize_t first, double patience,
):
    """Gradients of sum(d_output * outputs): `d_input` of the rows from `first` on, and `gradient`, which is overwritten by the
    first piece and added to by the others. `padded` holds one piece of d_input with padded rows. Returns as predict()."""
    cdef const Op* last = &ops[ops.shape[0] - 1]
    cdef Py_ssize_t r, j, rows, ld = padded.shape[0] // piece
    cdef double deadline
    cdef floating* d
    with nogil:
        deadline = now() + patience
        while first < x.shape[0]:
            rows = min(piece, x.shape[0] - first)
            forward(&ops[0], ops.shape[0], &parameters[0], rows, &x[first, 0], x.shape[1], &arena[0], False)
            for r in range(rows):
                d = &arena[rows * last.delta + r * last.width]
                for j in range(last.width):
                    d[j] = d_output[first + r, j] if j < last.units else 0
            backward(&ops[0], ops.shape[0], &parameters[0], &gradient[0], rows, &x[first, 0], x.shape[1], &padded[0], ld,
                     &arena[0], &mirror[0], first > 0, False, NULL, <floating*>NULL, <floating*>NULL)
            for r in range(rows):
                memcpy(&d_input[first + r, 0], &padded[r * ld], x.shape[1] * sizeof(floating))
            first += rows
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


def activate(int kind, floating[:, ::1] z not None, Py_ssize_t units):
    """z = f(z) in place, for rows padded from `units` to a multiple of 16."""
    with nogil:
        activations.activate(kind, z.shape[0], units, z.shape[1], &z[0, 0], &z[0, 0])


def optimizer_step(
    int kind, const double[::1] settings not None, floating[::1] w not None, floating[::1] g not None,
    floating[::1] first not None, floating[::1] second not None, Py_ssize_t times,
):
    """The same step of an optimizer `times` times; settings: rate, weight_decay, memory1, memory2, epsilon, l1, l2, step."""
    cdef optimizers.Rule rule
    cdef Py_ssize_t _time
    optimizers.begin_step(&rule, kind, settings[0], settings[1], settings[2], settings[3], settings[4], settings[5],
                          settings[6], settings[7])
    with nogil:
        for _time in range(times):
            optimizers.update(&rule, True, w.shape[0], &w[0], &g[0], &first[0], &second[0])


def loss_rows(
    int kind, bint fused, double delta, double scale, Py_ssize_t units, const floating[:, ::1] y_hat not None,
    const floating[:, ::1] targets not None, const Py_ssize_t[::1] labels not None, const floating[::1] weights not None,
    floating[:, ::1] d not None, double[::1] loss not None, double[::1] metric not None, Py_ssize_t times,
):
    """Loss and metric of each row and d = weight * scale * gradient, `times` times; of targets and labels one is empty, weights
    may be."""
    cdef Py_ssize_t _time
    with nogil:
        for _time in range(times):
            losses.loss_rows(kind, fused, delta, y_hat.shape[0], units, y_hat.shape[1], scale, &y_hat[0, 0],
                             &targets[0, 0] if targets.shape[0] > 0 else NULL, targets.shape[1],
                             &labels[0] if labels.shape[0] > 0 else NULL, &weights[0] if weights.shape[0] > 0 else NULL,
                             &d[0, 0], &loss[0], &metric[0])


def logarithms(double[::1] x not None):
    """x = log(x) in place."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            x[i] = activations.logarithm(x[i])


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
