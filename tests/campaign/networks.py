"""Random networks, and random data for them.

Layers, losses and optimizers come from cbp's registries and begin as their rows in ``facts.py`` have them; then some of their
fields are drawn anew, by what kind of value they hold. So a new member of a family takes part by itself.
"""

from dataclasses import dataclass, fields, replace

import facts
import numpy as np

import cbp
from campaign.case import Finding, stranger
from cbp.averages import ExponentialMovingAverage, StochasticWeightAverage
from cbp.initializers import INITIALIZERS, Initializer
from cbp.layers.base import parts

MOST_NUMBERS = 500
"""Of a value of one sample: a case takes some ten milliseconds."""
MOST_PARAMETERS = 3000


def pick(rng, items):
    return items[rng.integers(len(items))]


def explained(problem):
    """A refusal says why."""
    if wrong := stranger(problem):
        raise Finding(wrong) from problem


def varied(rng, spec, share=0.4, shape=None):
    """A specification with some of its fields drawn anew; ``shape`` is that of a layer's input, if it is known."""
    for field in fields(spec):
        if rng.random() < share:
            value = drawn(rng, field, getattr(spec, field.name), shape)
            try:
                spec = replace(spec, **{field.name: value})
            except (ValueError, TypeError) as refused:
                explained(refused)
    return spec


def drawn(rng, field, value, shape):
    """Another value of the same kind."""
    if field.default is None and rng.random() < 0.3:
        return None
    match value:
        case bool():
            return not value
        case int() | None:
            return int(pick(rng, [1, 1, 2, 2, 3, 4, 5, 7, 16, 17]))
        case float():
            return float(pick(rng, [value, rng.random(), 10 ** rng.uniform(-4, 0), 0.0, 1.0]))
        case str() if value in facts.ACTIVATIONS:
            return pick(rng, list(facts.ACTIVATIONS))
        case str():
            return pick(rng, ["valid", "same", 1, 2])
        case Initializer():
            return pick(rng, [*INITIALIZERS, float(rng.normal())])
        case cbp.layers.Layer():
            return random_layer(rng, shape)
        case tuple() if value and isinstance(value[0], cbp.layers.Layer):
            return tuple(random_stack(rng, shape, int(rng.integers(1, 3)))) if shape else value
        case tuple():
            return tuple(int(pick(rng, [-1, 1, 2, 3, 4])) for _ in range(rng.integers(1, 4)))
    return value


def random_layer(rng, shape):
    """Any layer, whether it fits or not."""
    kind = pick(rng, list(cbp.layers.LAYERS.values()))
    row = facts.LAYERS[kind]
    given = [layer for layer, _ in row.cases.values()]
    given += [layer for _, layers in row.traced.values() for layer in layers if type(layer) is kind]
    return varied(rng, pick(rng, given), shape=shape)


def random_stack(rng, shape, depth):
    """Layers that fit one after the other, at most ``depth``."""
    layers = []
    for _ in range(40 * depth):
        if len(layers) == depth:
            break
        layer = random_layer(rng, shape)
        try:
            made, arrays = layer.output_shape(shape), layer.parameters(shape)
        except ValueError as refused:
            explained(refused)
            continue
        first = not layers and len(shape) == 1
        reads_samples = any(isinstance(part, cbp.Embedding) for part in parts(layer))
        if np.prod(made) <= MOST_NUMBERS and sum(np.prod(a.shape) for a in arrays.values()) <= MOST_PARAMETERS and (
                first or not reads_samples):
            layers.append(layer)
            shape = made
    return layers


def random_shape(rng):
    axes = pick(rng, [1, 1, 1, 2, 2, 2, 3, 3, 4])
    sizes = [pick(rng, [1, 2, 3, 4, 5, 6, 7, 8]) for _ in range(axes - 1)]
    return tuple(map(int, [*sizes, pick(rng, [1, 2, 3, 4, 6, 16, 17])]))


def random_network(rng):
    """A network, and its description as one would write it."""
    while True:
        shape = random_shape(rng)
        layers = random_stack(rng, shape, int(pick(rng, [1, 1, 2, 2, 3, 4])))
        losses = [loss for name, row in facts.LOSSES.items() for loss in (cbp.losses.get(name), *row.options.values())]
        loss = varied(rng, pick(rng, losses), 0.3)
        if rng.random() < 0.5 or not layers:
            layers.append(cbp.Dense(int(pick(rng, [1, 2, 3, 5])), pick(rng, list(facts.ACTIVATIONS))))
        settings = {"dtype": pick(rng, ["float32", "float64"]), "seed": int(pick(rng, [rng.integers(2**31), 2**63 - 1, 0]))}
        if rng.random() < 0.3:
            settings |= {"l1": float(pick(rng, [0, 0.01])), "l2": float(pick(rng, [0, 0.02, 1]))}
        inputs = shape[0] if len(shape) == 1 and rng.random() < 0.5 else shape
        try:
            net = cbp.Network(inputs, layers, loss=loss, **settings)
        except ValueError as refused:
            explained(refused)
            continue
        for name, values in net.parameters.items():  # biases that are not 0
            if rng.random() < 0.7 and name.rpartition(".")[2] not in ("weight", "recurrent"):
                values += rng.normal(scale=0.3, size=values.shape).astype(values.dtype)
        text = ", ".join(f"{key}={value!r}" for key, value in settings.items())
        return net, f"net = cbp.Network({inputs}, {list(net.layers)!r}, loss={loss!r}, {text})"


def random_optimizer(rng):
    """A rule with its own numbers changed, and sometimes what all of them may have: bounds, an average, a schedule."""
    row = facts.OPTIMIZERS[pick(rng, list(facts.OPTIMIZERS))]
    found = varied(rng, pick(rng, [*row.plain.values(), *row.options.values()]), 0.3)
    if rng.random() < 0.2:
        found = replace(found, average=pick(rng, [ExponentialMovingAverage(0.7), StochasticWeightAverage(1),
                                                  ExponentialMovingAverage(0.5, start=2, every=2)]))
    if rng.random() < 0.2:
        rate, per = found.rate, str(pick(rng, ["step", "epoch"]))
        found = replace(found, rate=pick(rng, [
            cbp.schedules.ExponentialMovingAverage(rate, rate / 10, 0.8, per=per),
            cbp.schedules.WarmUp(3, cbp.schedules.Cosine(rate, steps=4, restarts=1, per=per))]))
    return found


def output_of(net):
    """The shape of a sample's outputs as the last layer gives them."""
    shape = net.input_shape
    for layer in net.layers:
        shape = layer.output_shape(shape)
    return shape


# --- data ---------------------------------------------------------------------------------------------------------------------


@dataclass
class Batch:
    """Samples for a network, as they are given and as numbers of its dtype."""

    given: dict
    """Arguments of ``fit``: X, y, sample_weight, lengths."""
    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    lengths: np.ndarray | None
    tame: bool
    """Whether nothing overflows or underflows."""
    mild: bool
    """Whether inputs are small enough that activations have slopes."""
    text: str

    def __len__(self):
        return len(self.x)

    @property
    def extra(self):
        """Weights and lengths, as they are given."""
        return {key: value for key, value in self.given.items() if key not in ("X", "y") and value is not None}


def dressed(rng, values, exact):
    """The same numbers in another container, dtype or memory layout, and what it is; ``exact`` wants them unchanged in float32
    and float64."""
    how = pick(rng, ["plain", "plain", "plain", "columns", "reversed", "strided", "list", "read only", "double", "swapped",
                     "unaligned", "offset", "whole"])
    a = np.array(values)
    if how == "columns":
        return np.asfortranarray(a), how
    if how == "reversed":
        return np.ascontiguousarray(a[::-1])[::-1], how
    if how == "strided":
        return np.repeat(a, 2, axis=0)[::2], how
    if how == "list":
        return a.tolist(), how
    if how == "read only":
        a.flags.writeable = False
    if how == "double" and a.dtype.kind == "f":
        return a.astype(np.float64), how
    if how == "swapped":
        return a.astype(a.dtype.newbyteorder()), how
    if how == "unaligned":
        raw = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
        raw[...] = a
        return raw, how
    if how == "offset":
        wide = np.zeros((*a.shape[:-1], a.shape[-1] + 3), a.dtype) if a.ndim > 1 else np.zeros(len(a) + 3, a.dtype)
        wide[..., 2:-1] = a
        return wide[..., 2:-1], how
    if how == "whole" and exact and (a == np.rint(a)).all() and np.abs(a).max() < 100 and not np.signbit(a[a == 0]).any():
        kind = pick(rng, [np.int8, np.int16, np.int32, np.int64, np.float16, *([np.uint8, np.uint64] if a.min() >= 0 else [])])
        return a.astype(kind), f"{how} {np.dtype(kind)}"
    return a, how


def random_inputs(rng, net, rows):
    """Samples in the network's dtype, and what they are like."""
    shape, first = (rows, *net.input_shape), next(parts(net.layers[0]))
    table = next((part for part in parts(first) if isinstance(part, cbp.Embedding)), None)
    if table is not None:
        return rng.integers(table.vocabulary, size=shape).astype(net.dtype), "rows of a table"
    kind = pick(rng, ["normal"] * 6 + ["whole", "zeros", "equal", "large", "small", "extreme"])
    x = rng.normal(size=shape)
    if kind == "whole":
        x = np.rint(3 * x)
    elif kind == "zeros":
        x *= rng.random(shape) < 0.3
    elif kind == "equal":
        x = np.broadcast_to(x[:1], shape) + 0
    elif kind in ("large", "small"):
        x *= 1e3 if kind == "large" else 1e-3
    elif kind == "extreme":
        x *= 10.0 ** rng.integers(-37, 38, size=shape)
    return x.astype(net.dtype), kind


def random_batch(rng, net, rows=None, timed=False):
    """Samples, targets, weights and, if the network is ``timed``, lengths."""
    rows = int(pick(rng, [1, 2, 3, 4, 5, 7, 8, 12, 13, 33])) if rows is None else rows
    x, kind = random_inputs(rng, net, rows)
    *places, units = output_of(net)
    y = facts.LOSSES[net.loss.name].targets(rng, rows * int(np.prod(places)), units)
    y = y.reshape(rows, *places, *y.shape[1:])
    if y.dtype.kind == "f":
        y = y.astype(net.dtype)
    if units == 1 and y.shape[1:] == (*places, 1) and rng.random() < 0.3:
        y = y[..., 0]
    weights = lengths = None
    if rng.random() < 0.4:
        weights = rng.choice([0.0, 1.0, 2.5, 0.3], size=rows).astype(net.dtype)
        weights[rng.integers(rows)] = 1
    if timed and rng.random() < 0.6:
        lengths = rng.integers(1, net.input_shape[0] + 1, size=rows).astype(pick(rng, [np.int64, np.int32, np.uint8, np.intp]))
    (given_x, how_x), (given_y, how_y) = dressed(rng, x, True), dressed(rng, y, True)
    text = f"{rows} samples, {kind}; X {how_x}, y {how_y} {y.dtype} {y.shape}"
    given = {"X": given_x, "y": given_y, "sample_weight": weights, "lengths": lengths}
    return Batch(given, x, y, weights, None if lengths is None else lengths.astype(int), kind != "extreme",
                 kind not in ("extreme", "large"), text)
