"""What a network computes, in NumPy and float64: outputs, losses and their slopes. Nothing of cbp's arithmetic is used.

How far a network may be off is measured, not guessed: the same formulas are computed with every weight, input and output of a
layer disturbed by some 1e-7 of itself, and what that changes is what rounding of that size would. So ill-conditioned networks
get the tolerance that they need, and others none that they do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import facts
import numpy as np
from oracles.random_oracle import philox

import cbp

BLUR = 1e-7
LANES = 16
MASK = 2**32 - 1


@dataclass
class Pass:
    """One way forward of a batch, and what it leaves."""

    subject: Any
    """A ``Snapshot``, or what has its attributes."""
    parameters: dict[str, np.ndarray]
    training: bool = False
    lengths: np.ndarray | None = None
    counts: np.ndarray | None = None
    """Whether a sample has a weight above 0; None: all have."""
    blur: int | None = None
    """The seed of the disturbance; None: there is none."""
    carry: dict[str, tuple] = field(default_factory=dict)
    """The states of stateful layers by their place, before and after."""
    moments: dict[str, tuple] = field(default_factory=dict)
    """Mean and unbiased variance of a batch by the layer's place."""
    streams: int = 0

    def __post_init__(self):
        self._rng = None if self.blur is None else np.random.default_rng(self.blur)

    def blurred(self, values):
        if self._rng is None:
            return values
        return values * (1 + BLUR * self._rng.standard_normal(values.shape))

    def array(self, place, name):
        """A parameter of the layer at a place; 0 for one that it does not have."""
        values = self.parameters.get(f"{place}.{name}")
        return 0.0 if values is None else self.blurred(values)

    def through(self, layer, place, x):
        """What a layer makes of x."""
        output = self.blurred(RULES[type(layer)](self, layer, place, x))
        if output.ndim != 3:
            self.lengths = None  # there is no time any more, or steps of images
        return output

    @np.errstate(all="ignore")
    def outputs(self, x):
        x = self.blurred(np.asarray(x, float))
        for index, layer in enumerate(self.subject.layers):
            x = self.through(layer, str(index), x)
        return x

    def alive(self, shape):
        """Which positions of (samples, ...) count in moments and losses."""
        found = np.ones(shape, bool)
        if self.lengths is not None and len(shape) == 2:
            found &= np.arange(shape[1]) < self.lengths[:, None]
        return found


RULES: dict[type, Callable] = {}
"""(pass, layer, place, x) -> outputs, by the class of the layer. Networks with a layer that has none are held against what they
do themselves in another way."""


def rule(*kinds):
    def add(function):
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return add


def active(layer, z):
    return facts.ACTIVATIONS[layer.activation].numpy(z)


@rule(cbp.Dense)
def dense(run, layer, place, x):
    return active(layer, x @ run.array(place, "weight") + run.array(place, "bias"))


@rule(cbp.PReLU)
def prelu(run, layer, place, x):
    return np.where(x > 0, x, run.array(place, "slope") * x)


# --- windows ------------------------------------------------------------------------------------------------------------------


def windows(x, kernel, stride, padding, dilation=1, fill=0.0):
    """(samples, *positions, taps, channels): what every window sees of (samples, *axes, channels)."""
    axes = x.ndim - 2
    kernel, stride, dilation = (np.broadcast_to(n, axes).tolist() for n in (kernel, stride, dilation))
    before = [0] * axes if isinstance(padding, str) else np.broadcast_to(padding, axes).tolist()
    pads, counts = [], []
    for size, k, s, d, p in zip(x.shape[1:-1], kernel, stride, dilation, before, strict=True):
        span = d * (k - 1) + 1
        if padding == "same":
            count = -(-size // s)
            missing = max((count - 1) * s + span - size, 0)
            pads.append((missing // 2, missing - missing // 2))
        else:
            count = (size + 2 * p - span) // s + 1
            pads.append((p, p))
        counts.append(count)
    padded = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=fill)
    taps = [padded[(slice(None), *(slice(t * d, t * d + (c - 1) * s + 1, s)
                                   for t, d, c, s in zip(tap, dilation, counts, stride, strict=True)))]
            for tap in np.ndindex(*kernel)]
    return np.stack(taps, axis=-2)


def convolved(layer, x, weight, groups):
    """Sums of every window; the weight is (*kernel, channels of a group, filters)."""
    seen = windows(x, layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    *positions, taps, channels = seen.shape
    weight = weight.reshape(taps, channels // groups, -1)
    read, made = channels // groups, weight.shape[-1] // groups
    return np.concatenate([
        seen[..., g * read : (g + 1) * read].reshape(*positions, taps * read)
        @ weight[..., g * made : (g + 1) * made].reshape(taps * read, made) for g in range(groups)], axis=-1)


@rule(cbp.Conv1D, cbp.Conv2D)
def convolution(run, layer, place, x):
    return active(layer, convolved(layer, x, run.array(place, "weight"), layer.groups) + run.array(place, "bias"))


@rule(cbp.DepthwiseConv2D)
def depthwise(run, layer, place, x):
    return active(layer, convolved(layer, x, run.array(place, "weight"), x.shape[-1]) + run.array(place, "bias"))


@rule(cbp.SeparableConv2D)
def separable(run, layer, place, x):
    between = convolved(layer, x, run.array(place, "depthwise"), x.shape[-1])
    return active(layer, between @ run.array(place, "pointwise") + run.array(place, "bias"))


@rule(cbp.MaxPool1D, cbp.MaxPool2D)
def max_pool(run, layer, place, x):
    return windows(x, layer.size, layer.stride or layer.size, layer.padding, fill=-np.inf).max(-2)


@rule(cbp.AveragePool1D, cbp.AveragePool2D)
def average_pool(run, layer, place, x):
    sums, counts = (windows(v, layer.size, layer.stride or layer.size, layer.padding).sum(-2) for v in (x, np.ones_like(x)))
    return sums / counts


@rule(cbp.GlobalMaxPool)
def global_max_pool(run, layer, place, x):
    return np.where(run.alive(x.shape[:-1])[..., None], x, -np.inf).max(tuple(range(1, x.ndim - 1)))


@rule(cbp.GlobalAveragePool)
def global_average_pool(run, layer, place, x):
    alive, axes = run.alive(x.shape[:-1])[..., None], tuple(range(1, x.ndim - 1))
    return (x * alive).sum(axes) / alive.sum(axes)


# --- sequences ----------------------------------------------------------------------------------------------------------------


@rule(cbp.Embedding)
def embedding(run, layer, place, x):
    return run.array(place, "weight")[np.rint(x).astype(int)]


def steps(run, layer, place, x, cell, states):
    """Outputs of a recurrent layer; a cell gets the input and the states and gives the new ones, of which the first is h."""
    samples, time, _ = x.shape
    state = run.carry.get(place) if layer.stateful else None
    state = state or tuple(np.zeros((samples, layer.units)) for _ in range(states))
    found = np.empty((samples, time, layer.units))
    alive = run.alive((samples, time))
    for t in reversed(range(time)) if layer.reverse else range(time):
        state = tuple(np.where(alive[:, t, None], new, old) for new, old in zip(cell(x[:, t], *state), state, strict=True))
        found[:, t] = state[0]
    if layer.stateful:
        run.carry[place] = state
    return found if layer.return_sequences else state[0]


def gates(weight, x):
    """(samples, gates, units)"""
    return np.einsum("ni,igu->ngu", x, weight)


def bias_of(run, place, rows, units):
    bias = run.array(place, "bias")
    return np.zeros((rows, units)) if np.ndim(bias) == 0 else bias


@rule(cbp.RNN)
def rnn(run, layer, place, x):
    weight, recurrent, bias = run.array(place, "weight"), run.array(place, "recurrent"), run.array(place, "bias")
    return steps(run, layer, place, x, lambda x, h: (active(layer, x @ weight + h @ recurrent + bias),), 1)


@rule(cbp.LSTM)
def lstm(run, layer, place, x):
    weight, recurrent, bias = run.array(place, "weight"), run.array(place, "recurrent"), bias_of(run, place, 4, layer.units)

    def cell(x, h, c):
        i, f, g, o = np.moveaxis(gates(weight, x) + gates(recurrent, h) + bias, 1, 0)
        c = facts.logistic(f) * c + facts.logistic(i) * np.tanh(g)
        return facts.logistic(o) * np.tanh(c), c

    return steps(run, layer, place, x, cell, 2)


@rule(cbp.GRU)
def gru(run, layer, place, x):
    weight, recurrent, bias = run.array(place, "weight"), run.array(place, "recurrent"), bias_of(run, place, 4, layer.units)

    def cell(x, h):
        seen, told = np.moveaxis(gates(weight, x), 1, 0), np.moveaxis(gates(recurrent, h), 1, 0)
        r, z = (facts.logistic(seen[k] + told[k] + bias[k]) for k in (0, 1))
        n = np.tanh(seen[2] + bias[2] + r * (told[2] + bias[3]))
        return ((1 - z) * n + z * h + (run.blurred(n) - n),)  # the core rounds n + z (h - n), to units of n

    return steps(run, layer, place, x, cell, 1)


@rule(cbp.Bidirectional)
def bidirectional(run, layer, place, x):
    return np.concatenate([RULES[type(side)](run, side, f"{place}.{name}", x) for name, side in layer.sides.items()], axis=-1)


# --- normalisation, noise, structure ------------------------------------------------------------------------------------------


def normalized(run, layer, place, x, mean, variance):
    mean, variance = run.blurred(mean), run.blurred(variance)
    return active(layer, (x - mean) / np.sqrt(variance + layer.epsilon) * run.array(place, "scale") + run.array(place, "shift"))


@rule(cbp.BatchNorm)
def batch_norm(run, layer, place, x):
    mean, variance = (np.asarray(run.subject.statistics[f"{place}.{name}"], float) for name in ("mean", "variance"))
    if run.training:
        alive = run.alive(x.shape[:-1])
        if run.counts is not None:
            alive &= run.counts.reshape(-1, *[1] * (x.ndim - 2))
        values = x[alive]
        if len(values) > 1:
            mean, variance = values.mean(0), values.var(0)
            run.moments[place] = mean, variance * len(values) / (len(values) - 1)
    return normalized(run, layer, place, x, mean, variance)


@rule(cbp.LayerNorm)
def layer_norm(run, layer, place, x):
    return normalized(run, layer, place, x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True))


@rule(cbp.GroupNorm)
def group_norm(run, layer, place, x):
    grouped = x.reshape(len(x), -1, layer.groups, x.shape[-1] // layer.groups)
    mean, variance = (np.broadcast_to(of(axis=(1, 3), keepdims=True), grouped.shape).reshape(x.shape)
                      for of in (grouped.mean, grouped.var))
    return normalized(run, layer, place, x, mean, variance)


def words(run, shape):
    """Random words (samples, as many as the numbers of a sample with their pads, or some more), from a stream of their own."""
    subject, stream = run.subject, run.streams
    run.streams += 1
    key = philox((subject.seed & MASK, subject.seed >> 32),
                 (subject.step & MASK, subject.step >> 32, subject.epoch, 2 + stream))[:2]
    groups = -(-int(np.prod(shape[1:-1])) * padded(shape[-1]) // 64)
    block, place = np.arange(16 * groups, dtype=np.uint64), np.arange(shape[0], dtype=np.uint64)[:, None]
    drawn = np.stack([np.broadcast_to(word, (shape[0], 16 * groups)) for word in philox(key, (block, place, 0, 0))], axis=1)
    return drawn.reshape(shape[0], 4, groups, 16).transpose(0, 2, 1, 3).reshape(shape[0], -1)


def padded(width):
    return -(-width // LANES) * LANES


def without_pads(numbers, shape):
    wide = (*shape[:-1], padded(shape[-1]))
    return numbers[:, : int(np.prod(wide[1:]))].reshape(wide)[..., : shape[-1]]


@rule(cbp.Dropout)
def dropout(run, layer, place, x):
    if not run.training:
        return x
    return np.where(without_pads(words(run, x.shape), x.shape) < int(layer.rate * 2**32), 0, x / (1 - layer.rate))


@rule(cbp.GaussianNoise)
def gaussian_noise(run, layer, place, x):
    if not run.training:
        return x
    radius, angle = np.moveaxis(words(run, x.shape).reshape(len(x), -1, 2, 16), 2, 0)
    distance = np.sqrt(-2 * np.log((radius >> 1) * 2.0**-31 + 2.0**-32))
    quadrant = angle >> 30
    part = ((angle & 0x3FFFFFFF) * 2.0**-30 - 0.5) * np.pi / 2
    c, s = distance * np.cos(part), distance * np.sin(part)
    c, s = np.where(quadrant & 1, s, c), np.where(quadrant & 1, c, s)
    pair = np.where(quadrant + 1 & 2, -c, c), np.where(quadrant & 2, -s, s)
    normals = np.stack(pair, axis=2).reshape(len(x), -1)
    return x + layer.deviation * without_pads(normals, x.shape)


@rule(cbp.Flatten)
def flatten(run, layer, place, x):
    return x.reshape(len(x), -1)


@rule(cbp.Reshape)
def reshape(run, layer, place, x):
    return x.reshape(len(x), *layer.shape)


@rule(cbp.Residual)
def residual(run, layer, place, x):
    inside, lengths = x, run.lengths
    for index, each in enumerate(layer.layers):
        inside = run.through(each, f"{place}.{index}", inside)
    run.lengths = lengths
    strides = (-(-n // m) for n, m in zip(x.shape[1:-1], inside.shape[1:-1], strict=True))
    around = x[(slice(None), *(slice(None, None, stride) for stride in strides))]
    weight = run.parameters.get(f"{place}.skip.weight")
    if weight is not None:
        around = around @ run.blurred(weight.reshape(weight.shape[-2:]))
    return active(layer, inside + around)


# --- losses -------------------------------------------------------------------------------------------------------------------


def known(layers):
    """Whether there is a rule for all of them and what is in them."""
    from cbp.layers.base import parts

    return all(type(part) in RULES for layer in layers for part in parts(layer))


def over_samples(run, of_rows, outputs, weights):
    """The weighted mean over samples of what every position has, which is averaged over those that count."""
    values = of_rows.reshape(outputs.shape[:-1])
    alive = run.alive(values.shape)
    places = tuple(range(1, values.ndim))
    each = np.where(alive, values, 0).sum(places) / alive.sum(places)
    return float(each.mean() if weights is None else (weights * each).sum() / weights.sum())


def bounded(subject, gradients):
    """What an optimizer follows of gradients by name: those of arrays that change, within its bounds."""
    optimizer = subject.optimizer
    found = {name: g for name, g in gradients.items() if name not in subject.frozen}
    if optimizer.clip_value:
        found = {name: np.clip(g, -optimizer.clip_value, optimizer.clip_value) for name, g in found.items()}
    if optimizer.clip_array:
        found = {name: shortened(g, np.linalg.norm(g), optimizer.clip_array) for name, g in found.items()}
    if optimizer.clip_norm:
        norm = np.linalg.norm([np.linalg.norm(g) for g in found.values()])
        found = {name: shortened(g, norm, optimizer.clip_norm) for name, g in found.items()}
    return gradients | found


def shortened(g, norm, most):
    return g * (most / norm) if norm > most else g


def average(subject, before, parameters):
    """The average of the parameters after the step of a subject, whose average was as ``before``."""
    rule, step = subject.optimizer.average, subject.step + 1
    if step < rule.start or (step - rule.start) % rule.every:
        return before
    share = 1 if subject.averaged == 0 else 1 - rule.memory if rule.memory else 1 / (subject.averaged + 1)
    return before + share * (parameters - before)


def penalty(subject, parameters):
    weights = [parameters[name] for name in penalised(subject)]
    return sum(subject.l1 * np.abs(w).sum() + subject.l2 / 2 * (w**2).sum() for w in weights)


def penalised(subject):
    """Names of the parameters that penalties and decay act on."""
    found, shape = [], subject.input_shape
    for index, layer in enumerate(subject.layers):
        found += [f"{index}.{name}" for name, array in layer.parameters(shape).items() if array.penalised]
        shape = layer.output_shape(shape)
    return found


def exact(parameters):
    """In float64."""
    return {name: np.asarray(values, float) for name, values in parameters.items()}


def clipped(subject, row, outputs):
    """Whether the core takes a logarithm of something so near to 0 that it takes that of a small number instead; it does not
    where it computes loss and last activation as one."""
    fused = row.fused and getattr(subject.layers[-1], "activation", "") == row.output
    low, high = row.range
    near = 2e-7 if subject.dtype == "float32" else 1e-13
    return not fused and np.isfinite(low) and bool((np.minimum(outputs - low, high - outputs) < near).any())


@np.errstate(all="ignore")  # logarithms of 0 are told by what is not finite
def loss_and_metric(subject, x, y, weights=None, lengths=None, parameters=None, **settings):
    """Loss with penalty, metric and the pass of a batch."""
    parameters = exact(subject.parameters) if parameters is None else parameters
    run = Pass(subject, parameters, lengths=lengths, counts=None if weights is None else weights > 0, **settings)
    outputs = run.outputs(x)
    row, units = facts.LOSSES[subject.loss.name], outputs.shape[-1]
    rows = outputs.reshape(-1, units)
    labels = row.distribution and np.size(y) == len(rows)
    goals = np.asarray(y).reshape(-1) if labels else np.asarray(y, float).reshape(-1, units)
    values = np.full(len(rows), np.nan) if clipped(subject, row, rows) else row.value(subject.loss, rows, goals)
    loss = over_samples(run, values, outputs, weights) + penalty(subject, parameters)
    metric = over_samples(run, np.asarray(row.measure(rows, goals), float), outputs, weights)
    return loss, metric, run


# --- how close ----------------------------------------------------------------------------------------------------------------


def tolerance(compute, dtype, blurs=4):
    """What ``compute(None)`` gives, and how far the same in this dtype may be from it: one number, NaN where the oracle itself
    has none."""
    unit = float(np.finfo(dtype).eps)
    expected = np.asarray(compute(None), float)
    spread = max((np.abs(np.asarray(compute(seed), float) - expected).max(initial=0) for seed in range(blurs)), default=0)
    return expected, 512 * spread * unit / BLUR + 256 * unit * np.abs(expected).max(initial=0)


def slope(compute, reach):
    """The derivative at 0 of ``compute(step)``, from steps up to ``reach``, and how far it may be off; None where it jumps."""
    middle = compute(0.0)
    found, jumps = [], []
    for h in (reach, reach / 2, reach / 4):
        high, low = compute(h), compute(-h)
        found.append((high - low) / (2 * h))
        jumps.append((high - 2 * middle + low) / h)
    error = 4 * np.ptp(found) + 1e-15 * abs(middle) / reach * 32
    kink = abs(2 * jumps[2] - jumps[1])  # what a second derivative adds shrinks with the step, a jump of the first does not
    if not kink <= error < np.inf:
        return None
    return (4 * found[2] - found[1]) / 3, error
