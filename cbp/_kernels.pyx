"""The kernels of the core one by one, for tests and the benchmark: built in an editable install only, no part of a wheel.

As in the core nothing is checked here: arrays are C-contiguous, of one dtype and padded.
"""

from cython cimport floating
from libc.string cimport memset

from cbp.kernels cimport activations, dense, elementary, losses, optimizers, tile
from cbp.kernels.structs cimport Run
from cbp.ops.passes cimport now

cdef activations.Activation[activations.MOST_ACTIVATIONS] activation_table
cdef losses.Loss[losses.MOST_LOSSES] loss_table
cdef optimizers.Optimizer[optimizers.MOST_OPTIMIZERS] optimizer_table
activations.fill_activations(activation_table)
losses.fill_losses(loss_table)
optimizers.fill_optimizers(optimizer_table)

STRIP = dense.STRIP   # rows of a weight matrix that are transposed at once; scratch is sized by it


def matmul(const floating[:, ::1] a not None, const floating[:, ::1] b not None, floating[:, ::1] c not None):
    """c = a b with the register tile; the columns of b are a multiple of 16."""
    with nogil:
        tile.multiply(a.shape[0], b.shape[1], a.shape[1], &a[0, 0], a.shape[1], 1, &b[0, 0], b.shape[1],
                      <const floating*>NULL, 0, &c[0, 0], c.shape[1])


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
        activations.activate(&activation_table[kind], activations.Size(z.shape[0], units, z.shape[1]), &z[0, 0], &z[0, 0])


def optimizer_step(
    int kind, const double[::1] settings not None, floating[::1] w not None, floating[::1] g not None,
    floating[:, ::1] state not None, Py_ssize_t times,
):
    """The same step of an optimizer `times` times; settings: rate, weight_decay, memory1, memory2, epsilon, l1, l2, step."""
    cdef optimizers.Rule rule
    cdef Run run
    cdef Py_ssize_t _time
    memset(&run, 0, sizeof(Run))
    run.rate, run.weight_decay, run.memory1, run.memory2 = settings[0], settings[1], settings[2], settings[3]
    run.epsilon, run.l1, run.l2 = settings[4], settings[5], settings[6]
    optimizers.begin_rule(&rule, &optimizer_table[kind], &run)
    optimizers.begin_step(&rule, settings[7])
    with nogil:
        for _time in range(times):
            optimizers.update(&rule, True, w.shape[0], &w[0], &g[0], &state[0, 0], w.shape[0])


def loss_rows(
    int kind, bint fused, double constant, double scale, Py_ssize_t units, const floating[:, ::1] y_hat not None,
    const floating[:, ::1] targets not None, const Py_ssize_t[::1] labels not None, const floating[::1] weights not None,
    floating[:, ::1] d not None, double[::1] loss not None, double[::1] metric not None, Py_ssize_t times,
):
    """Loss and metric of each row and d = weight * scale * gradient, `times` times; of targets and labels one is empty, weights
    may be."""
    cdef losses.Rows rows
    cdef Py_ssize_t _time
    rows.count, rows.units, rows.width, rows.ldy = y_hat.shape[0], units, y_hat.shape[1], targets.shape[1]
    rows.labels = &labels[0] if labels.shape[0] > 0 else NULL
    rows.constant, rows.scale = constant, scale
    rows.loss, rows.metric = &loss[0], &metric[0]
    with nogil:
        for _time in range(times):
            losses.loss_rows(&loss_table[kind], fused, &rows, &y_hat[0, 0], &targets[0, 0] if targets.shape[0] > 0 else NULL,
                             &weights[0] if weights.shape[0] > 0 else NULL, &d[0, 0])


def logarithms(double[::1] x not None):
    """x = log(x) in place."""
    cdef Py_ssize_t i
    with nogil:
        for i in range(x.shape[0]):
            x[i] = elementary.logarithm(x[i])


def dense_naive(
    const floating[:, ::1] x not None, const floating[:, ::1] weight not None, const floating[::1] bias not None,
    floating[:, ::1] z not None, const floating[:, ::1] dz not None, floating[:, ::1] d_weight not None,
    floating[::1] d_bias not None, floating[:, ::1] dx not None,
):
    """Forward into z and backward from dz, one number at a time; gradients are added to what is there."""
    with nogil:
        dense.dense_forward_naive(x, weight, bias, z)
        dense.dense_backward_naive(x, weight, dz, d_weight, d_bias, dx)


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
