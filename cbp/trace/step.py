"""The arithmetic of a traced step: forward pass, loss, backward pass and update, on lists of numbers, unit by unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from cbp import _arrays, optimizers
from cbp.layers import Dense
from cbp.losses import Loss
from cbp.optimizers import Optimizer
from cbp.trace.records import Layer, Parameter, Unit
from cbp.trace.rules import ACTIVATION_RULES, FUSED_RULES, LOSS_RULES, OPTIMIZER_RULES, Constants

if TYPE_CHECKING:
    from cbp.network import Network

Numbers = list[float]
Table = list[Numbers]  # [unit][source]: the weights into every unit, its bias last


class Sample(NamedTuple):
    """One row; where the loss takes labels, the target is the one-hot row."""

    inputs: Numbers
    target: Numbers
    weight: float


class Plain(NamedTuple):
    """What the step needs of the network, as lists."""

    names: list[list[str]]  # of the inputs, then of the units of every layer
    activations: list[str]
    biased: list[bool]
    weights: list[Table]
    loss: Loss
    constants: Constants
    l1: float
    l2: float


class Pass(NamedTuple):
    """A forward pass; entry k belongs to layer k, and a layer with biases reads a constant 1 after its other inputs."""

    inputs: list[Numbers]
    sums: list[Numbers]
    values: list[Numbers]
    slopes: list[Any]


class Goal(NamedTuple):
    """The loss of one row with ∂L/∂a of the outputs, or None and ∂L/∂s where activation and loss are one step."""

    loss: float
    slopes: Numbers | None
    fused_deltas: Numbers | None


def read_samples(network: Network, x: Any, y: Any, sample_weight: Any) -> list[Sample]:
    """The rows that ``x``, ``y`` and ``sample_weight`` hold, checked and rounded as the network itself does it."""
    if _is_one_row(x, y, network.input_shape):
        x, y = (value[np.newaxis] if isinstance(value, np.ndarray) else [value] for value in (x, y))
        sample_weight = None if sample_weight is None else np.reshape(sample_weight, -1)
    outputs = network.output_shape[0]
    form = _arrays.Form(network.input_shape, network.output_shape, network.loss, network.dtype)
    data = _arrays.data(form, x, y, sample_weight, names=("x", "y", "sample_weight", "lengths"))
    targets = data.targets.array.astype(network.dtype).tolist()
    if data.labels.size:
        targets = [[float(label == k) for k in range(outputs)] for label in data.labels.tolist()]
    rows = data.x.array.astype(network.dtype).tolist()
    weights = data.weights.tolist() or [1.0] * len(targets)
    return [Sample(*row) for row in zip(rows, targets, weights, strict=True)]


def _is_one_row(x: Any, y: Any, input_shape: tuple[int, ...]) -> bool:
    try:
        shape, target_shape = np.shape(x), np.shape(y)
    except ValueError:
        return False  # rows of different lengths: _arrays says so
    if shape != input_shape and shape[1:] != input_shape:
        raise ValueError(f"x must be one row of shape {input_shape} or a batch of such rows, got the shape {shape}")
    if shape == input_shape and len(target_shape) > 1:
        raise ValueError(f"x is one row, so y must be one number or one row of targets, got the shape {target_shape}")
    return bool(shape == input_shape)


def read_network(network: Network) -> Plain:
    layers = [layer for layer in network.layers if isinstance(layer, Dense)]
    if len(layers) < len(network.layers):
        raise TypeError("a trace goes through Dense layers only, and this network has others")
    weights: list[Table] = []
    for k, layer in enumerate(layers):
        columns = zip(*network.parameters[f"{k}.weight"].tolist(), strict=True)
        biases = [[bias] for bias in network.parameters[f"{k}.bias"].tolist()] if layer.bias else [[]] * layer.units
        weights.append([[*column, *bias] for column, bias in zip(columns, biases, strict=True)])
    tiny = 1e-7 if str(network.dtype) == "float32" else 1e-15
    return Plain(
        names=_names(network.input_shape[0], [layer.units for layer in layers]),
        activations=[layer.activation for layer in layers],
        biased=[layer.bias for layer in layers],
        weights=weights,
        loss=network.loss,
        constants=Constants(network.loss.delta, tiny),
        l1=float(network.l1),
        l2=float(network.l2),
    )


def _names(inputs: int, units: list[int]) -> list[list[str]]:
    """Of the inputs, then of the units of every layer; see the head of ``__init__.py``."""
    hidden = ["h"] if len(units) == 2 else [f"h{k + 1}." for k in range(len(units) - 1)]
    prefixes = ["x", *hidden, "ŷ"]
    names = [[f"{prefix}{i + 1}" for i in range(n)] for prefix, n in zip(prefixes, [inputs, *units], strict=True)]
    return names if units[-1] > 1 else [*names[:-1], ["ŷ"]]


def rule_of_step(network: Network, optimizer: Optimizer | str | None) -> tuple[Optimizer, dict[str, dict[str, Any]], int]:
    """The optimizer, its state as ``[slot][parameter name]`` (empty: all 0), and the number of the step."""
    current = network.optimizer
    spec = optimizers.get(optimizer) if optimizer is not None else current or optimizers.Adam(1e-3)
    if spec != current:
        return spec, {}, 1
    held = network.optimizer_state
    state = {slot: {name: view.tolist() for name, view in arrays.items()} for slot, arrays in held.items()}
    return spec, state, network.step + 1


def forward(net: Plain, weights: list[Table], x: Sequence[float]) -> Pass:
    made = Pass([], [], [], [])
    values = list(x)
    for table, activation, biased in zip(weights, net.activations, net.biased, strict=True):
        inputs = [*values, 1.0] if biased else values
        sums = [sum(w * v for w, v in zip(column, inputs, strict=True)) for column in table]
        values, slopes = ACTIVATION_RULES[activation].row(sums)
        for kept, new in zip(made, (inputs, sums, values, slopes), strict=True):
            kept.append(new)
    return made


def loss_of(net: Plain, made: Pass, target: Sequence[float]) -> Goal:
    fused = FUSED_RULES.get((net.activations[-1], net.loss.name))
    if fused is not None:
        loss, deltas = fused.compute(made.sums[-1], target)
        return Goal(loss, None, deltas)
    loss, slopes = LOSS_RULES[net.loss.name].row(made.values[-1], target, net.constants)
    return Goal(loss, slopes, None)


def _through_activation(activation: str, slopes: Any, outer: Numbers) -> Numbers:
    """∂L/∂s of a layer from ``outer``, its ∂L/∂a."""
    if ACTIVATION_RULES[activation].joint:
        return [sum(d * row[j] for d, row in zip(outer, slopes, strict=True)) for j in range(len(outer))]
    return [d * slope for d, slope in zip(outer, slopes, strict=True)]


def backward(net: Plain, made: Pass, goal: Goal) -> list[Numbers]:
    """The deltas ∂L/∂s of every layer, from the last to the first and then put in order."""
    last = goal.fused_deltas
    if last is None:
        assert goal.slopes is not None
        last = _through_activation(net.activations[-1], made.slopes[-1], goal.slopes)
    deltas = [last]
    for k in range(len(net.weights) - 1, 0, -1):
        units = range(len(net.names[k]))
        outer = [sum(column[i] * d for column, d in zip(net.weights[k], deltas[-1], strict=True)) for i in units]
        deltas.append(_through_activation(net.activations[k - 1], made.slopes[k - 1], outer))
    return deltas[::-1]


def step_of(
    net: Plain, passes: list[Pass], deltas: list[list[Numbers]], shares: Numbers,
    spec: Optimizer, state: dict[str, dict[str, Any]], step: int,
) -> list[Parameter]:  # fmt: skip
    """Gradient and update of every parameter, in the order of the flat vector."""
    parameters = []
    rule = OPTIMIZER_RULES[spec.name]
    for k, table in enumerate(net.weights):
        sources = len(net.names[k])
        for i in range(sources + net.biased[k]):
            is_weight = i < sources
            name = f"{k}.weight" if is_weight else f"{k}.bias"
            for j, column in enumerate(table):
                index = (i, j) if is_weight else (j,)
                w = column[i]
                penalty = net.l1 * ((w > 0) - (w < 0)) + net.l2 * w if is_weight else 0.0
                mean = sum(
                    share * d[k][j] * made.inputs[k][i] for share, d, made in zip(shares, deltas, passes, strict=True)
                )
                before = {slot: _at(state[slot][name], index) if state else 0.0 for slot in spec.slots}
                after, state_after = rule.step(spec, step, w, mean + penalty, before, is_weight)
                source, unit = net.names[k][i] if is_weight else "bias", net.names[k + 1][j]
                gradient = mean + penalty
                parameters.append(
                    Parameter(name, index, source, unit, gradient, penalty, w, after, before, state_after)
                )
    return parameters


def _at(values: Any, index: tuple[int, ...]) -> float:
    for i in index:
        values = values[i]
    return float(values)


def rearranged(net: Plain, flat: Numbers) -> list[Table]:
    """The flat vector as tables."""
    numbers = iter(flat)
    tables = []
    for table in net.weights:
        by_source = [[next(numbers) for _ in table] for _ in table[0]]
        tables.append([list(column) for column in zip(*by_source, strict=True)])
    return tables


def penalty_of(net: Plain, weights: list[Table]) -> float:
    """l1 Σ|w| + l2 / 2 Σw², over the weights and not the biases."""
    counted = [
        w for table, names in zip(weights, net.names, strict=False) for column in table for w in column[: len(names)]
    ]
    return net.l1 * sum(map(abs, counted)) + net.l2 / 2 * sum(w * w for w in counted)


def layers_of(net: Plain, made: Pass, deltas: list[Numbers], goal: Goal) -> tuple[Layer, ...]:
    layers = []
    last = len(net.weights) - 1
    for k, activation in enumerate(net.activations):
        sources = net.names[k] + ["bias"] * net.biased[k]
        units = []
        for j, name in enumerate(net.names[k + 1]):
            slope = made.slopes[k][j]
            loss_slope = goal.slopes[j] if k == last and goal.slopes is not None else None
            outgoing = [] if k == last else [column[j] for column in net.weights[k + 1]]
            units.append(
                Unit(
                    name=name,
                    weighted_sum=made.sums[k][j],
                    value=made.values[k][j],
                    derivative=tuple(slope) if isinstance(slope, list) else slope,
                    delta=deltas[k][j],
                    loss_slope=loss_slope,
                    direction=_direction(deltas[k][j], loss_slope) if k == last else "",
                    _incoming=(sources, net.weights[k][j], made.inputs[k]),
                    _outgoing=(net.names[k + 2], outgoing, deltas[k + 1]) if k < last else ((), (), ()),
                )
            )
        layers.append(Layer(activation, tuple(units)))
    return tuple(layers)


def _direction(delta: float, loss_slope: float | None) -> str:
    """Which way an output should move. Its sum moves against delta; where the activation falls (gelu, silu) or other
    sums act on it too (softmax), that is not the way of the output, which ∂L/∂a tells."""
    slope = delta if loss_slope is None else loss_slope
    return "=" if delta == 0 or slope == 0 else "↓" if slope > 0 else "↑"
