"""The compiled core: a network as a table of operations over flat arrays, and the loops that run it.

Every function expects what ``network.py`` prepares: checked, C-contiguous arrays of the network's dtype. Nothing is checked
here, nothing is allocated, and the loops run without the GIL. Kernels are in ``cbp/kernels/``, one subject a file.
"""

from cython cimport floating
from libc.math cimport isfinite
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

import numpy as np

from cbp._structs cimport Op, Run
from cbp.kernels cimport activations, losses, optimizers, random, tile
from cbp.kernels.dense cimport (
    dense_backward_input,
    dense_backward_naive,
    dense_backward_parameters,
    dense_forward,
    dense_forward_naive,
)

# --- names, as Python sees them ---------------------------------------------------------------------------------------------

cdef enum OpKind:
    DENSE

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
    const Op* ops, Py_ssize_t count, const floating* parameters, floating* gradient, Py_ssize_t rows,
    const floating* first_x, Py_ssize_t first_ldx, floating* first_dx, Py_ssize_t first_lddx, floating* arena, floating* mirror,
    bint accumulate, bint last_is_done,
) noexcept nogil:
    """From the gradient of the last output, in the last delta slot, to the gradients of all parameters and (unless first_dx is
    NULL) of the input. With last_is_done that slot already holds the gradient of the weighted sums, from a fused loss."""
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
        dense_backward_parameters(rows, op.inputs, op.width, accumulate, x, ldx, dz, gradient + op.weight,
                                  gradient + op.bias if op.bias >= 0 else NULL)
        if dx is not NULL:
            dense_backward_input(rows, op.inputs, op.units, op.width, parameters + op.weight, mirror, dz,
                                 dx, lddx)


cdef void update(
    const Op* ops, Py_ssize_t count, const Run* run, floating* w, floating* g, floating* first, floating* second, double step,
) noexcept nogil:
    """One step of the optimizer over all layers: penalties and decay on weights, not on biases."""
    cdef Py_ssize_t index, n
    cdef const Op* op
    for index in range(count):
        op = &ops[index]
        n = op.inputs * op.width
        if run.l1 != 0 or run.l2 != 0:
            optimizers.add_penalty(n, w + op.weight, g + op.weight, <floating>run.l1, <floating>run.l2)
        if run.mode == GRADIENT:
            continue
        optimizers.update(
            <int>run.optimizer, n, w + op.weight, g + op.weight, first + op.weight if first is not NULL else NULL,
            second + op.weight if second is not NULL else NULL, run.rate, run.rate * run.weight_decay,
            run.memory1, run.memory2, run.epsilon, step)
        if op.bias >= 0:
            optimizers.update(
                <int>run.optimizer, op.width, w + op.bias, g + op.bias, first + op.bias if first is not NULL else NULL,
                second + op.bias if second is not NULL else NULL, run.rate, 0, run.memory1, run.memory2, run.epsilon, step)


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
    cdef Py_ssize_t batch, piece, unwatched = 0
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
        batch = min(run.batch_size, samples - run.position)
        if run.row == 0:
            begin_batch(run, batch, weights, order)
        piece = min(run.piece, batch - run.row)
        one_piece(ops, count, run, piece, parameters, gradient, x, targets, labels, weights, order, arena, mirror)
        run.row += piece
        unwatched += piece
        if run.row == batch:
            end_batch(ops, count, run, batch, parameters, gradient, state)
            if run.diverged:
                return
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
    run.batch_loss = 0
    run.batch_weight = batch
    if weights.shape[0] > 0:
        run.batch_weight = 0
        for i in range(run.position, run.position + batch):
            run.batch_weight += weights[order[i] if order.shape[0] > 0 else i]


cdef void one_piece(
    const Op* ops, Py_ssize_t count, Run* run, Py_ssize_t rows, floating[::1] parameters, floating[::1] gradient,
    const floating[:, ::1] x, const floating[:, ::1] targets, const Py_ssize_t[::1] labels, const floating[::1] weights,
    const Py_ssize_t[::1] order, floating[::1] arena, floating[::1] mirror,
) noexcept nogil:
    """Forward, loss and (unless evaluating) backward for some rows of a batch."""
    cdef const Op* last = &ops[count - 1]
    cdef bint fused = losses.is_fused(<int>run.loss, <int>last.activation)
    cdef Py_ssize_t first = run.position + run.row
    cdef const floating* piece = &x[first, 0] if order.shape[0] == 0 else &arena[0]
    cdef Py_ssize_t r, sample, label = 0
    cdef double weight, scale, loss
    cdef floating* y_hat
    cdef const floating* y
    if order.shape[0] > 0:
        for r in range(rows):
            memcpy(&arena[r * x.shape[1]], &x[order[first + r], 0], x.shape[1] * sizeof(floating))
    forward(ops, count, &parameters[0], rows, piece, x.shape[1], &arena[0], fused)
    losses.begin_rows(<int>run.loss, fused, rows, last.units, last.width, &arena[rows * last.output],
                      &arena[rows * last.delta])
    scale = 1 / run.batch_weight if run.batch_weight > 0 else 0
    for r in range(rows):
        sample = order[first + r] if order.shape[0] > 0 else first + r
        weight = weights[sample] if weights.shape[0] > 0 else 1
        y = &targets[sample, 0] if targets.shape[0] > 0 else NULL
        label = labels[sample] if labels.shape[0] > 0 else 0
        y_hat = &arena[rows * last.output + r * last.width]
        run.epoch_metric += weight * losses.metric_row(<int>run.loss, fused, last.units, y_hat, y, label)
        loss = losses.loss_row(<int>run.loss, fused, run.delta, last.units, last.width, weight * scale, y_hat, y, label,
                               &arena[rows * last.delta + r * last.width])
        run.batch_loss += weight * loss if weight != 0 else 0
    if run.mode != EVALUATE:
        backward(ops, count, &parameters[0], &gradient[0], rows, piece, x.shape[1], <floating*>NULL, 0, &arena[0], &mirror[0],
                 run.row > 0, fused)


cdef void end_batch(
    const Op* ops, Py_ssize_t count, Run* run, Py_ssize_t batch, floating[::1] parameters, floating[::1] gradient,
    floating[:, ::1] state,
) noexcept nogil:
    """Update with the batch's gradient, unless its loss is not finite: then nothing more is touched."""
    run.diverged = run.mode == TRAIN and not isfinite(run.batch_loss)
    if run.diverged:
        return
    if run.mode != EVALUATE and run.batch_weight > 0:
        run.step += run.mode == TRAIN
        update(ops, count, run, &parameters[0], &gradient[0], &state[0, 0] if state.shape[0] > 0 else NULL,
               &state[1, 0] if state.shape[0] > 1 else NULL, <double>run.step)
    run.epoch_loss += run.batch_loss
    run.epoch_weight += run.batch_weight
    run.position += batch
    run.row = 0


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
    const Op[::1] ops not None, const floating[::1] parameters not None, floating[::1] gradient not None,
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
                     &arena[0], &mirror[0], first > 0, False)
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
    cdef Py_ssize_t i, j, n = x.shape[0], found = -1
    cdef floating lanes[16]
    cdef floating total
    with nogil:
        for i in range(0, n, 1024):
            for j in range(16):
                lanes[j] = 0
            for j in range(0, min(<Py_ssize_t>1024, n - i) // 16):
                add_zeros(&x[i + 16 * j], lanes)
            total = 0
            for j in range(16):
                total += lanes[j]
            for j in range(min(<Py_ssize_t>1024, n - i) // 16 * 16, min(<Py_ssize_t>1024, n - i)):
                total += x[i + j] * 0
            if total != 0:
                for j in range(i, min(i + 1024, n)):
                    if not isfinite(x[j]):
                        found = j
                        break
                break
    return found


cdef inline void add_zeros(const floating* x, floating* lanes) noexcept nogil:
    """lanes += 0 x: 0 for a finite x, NaN for any other."""
    cdef int k
    for k in range(16):
        lanes[k] += x[k] * 0


# --- the kernels one by one, for tests and the benchmark ------------------------------------------------------------------------

def matmul(const floating[:, ::1] a not None, const floating[:, ::1] b not None, floating[:, ::1] c not None):
    """c = a b with the register tile; the columns of b are a multiple of 16."""
    with nogil:
        tile.product(a.shape[0], b.shape[1], a.shape[1], &a[0, 0], a.shape[1], 1, &b[0, 0], b.shape[1],
                     <floating*>NULL, 0, &c[0, 0], c.shape[1])


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
