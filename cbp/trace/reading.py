"""What a trace needs of a network and of the data, as plain numbers in lists."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from cbp import optimizers
from cbp.engine import arrays
from cbp.engine.plan import Plan
from cbp.engine.snapshot import Snapshot
from cbp.errors import not_by_handler
from cbp.layers import Dense, Embedding, Flatten, Layer, Reshape
from cbp.losses import Loss
from cbp.optimizers import Optimizer
from cbp.trace.graph import Place
from cbp.trace.layers.scope import Draws, Given, indices
from cbp.trace.names import value_name
from cbp.trace.rules import TINY, Constants

_RECURRENT = "rnn", "lstm", "gru"

Numbers = list[float]
Shape = tuple[int, ...]
Carried = Callable[[int], arrays.Array]
"""The state that so many rows of stateful layers go on from."""


class Sample(NamedTuple):
    """One row, flat; where the loss takes labels, the target is the one-hot row of every position."""

    inputs: Numbers
    target: Numbers
    weight: float
    length: int | None


@dataclass(frozen=True)
class Plain:
    """The network. ``tags`` and ``symbol_tags`` are what the names of a layer's units and parameters bear, see names.py."""

    layers: Sequence[Layer]
    input_shape: Shape
    names: list[str]  # of the inputs
    tags: list[str]
    symbol_tags: list[str]
    places: dict[str, Place]
    values: Numbers  # of the parameters
    loss: Loss
    constants: Constants
    l1: float
    l2: float
    multipliers: dict[str, float]  # of the rate of an array; 0: it is frozen
    given: Given


def terms_of(plan: Plan) -> int:
    """How many numbers and products a row of the network has, roughly."""
    total = 0
    for kind, op in zip(plan.kinds, plan.ops, strict=True):
        read, written, units = int(op["in_positions"]), int(op["positions"]), int(op["units"])
        total += read * int(op["inputs"]) + written * units
        if kind == "thin":  # whose weights lie the other way round
            total += written * int(op["inputs"]) * units
        elif kind != "embedding":  # which looks up and multiplies nothing
            steps = read if kind in _RECURRENT else written
            total += steps * int(op["weight_rows"]) * units * (int(op["weight_width"]) // int(op["width"]))
    return total


def read_samples(form: arrays.Form, x: Any, y: Any, sample_weight: Any, lengths: Any) -> list[Sample]:
    """The rows that are given, checked and rounded as the network itself does it."""
    if _is_one_row(x, y, form.inputs, form.outputs):
        x, y = (value[np.newaxis] if isinstance(value, np.ndarray) else [value] for value in (x, y))
        sample_weight, lengths = (None if given is None else np.reshape(given, -1) for given in (sample_weight, lengths))
    data = arrays.data(form, x, y, sample_weight, lengths, ("x", "y", "sample_weight", "lengths"))
    rows = data.x.array.astype(form.dtype).tolist()
    if data.labels.size:
        width, labels = form.outputs[-1], data.labels.reshape(len(rows), -1).tolist()
        targets = [[float(label == k) for label in places for k in range(width)] for places in labels]
    else:
        targets = data.targets.array.astype(form.dtype).tolist()
    weights = data.weights.tolist() or [1.0] * len(rows)
    counted = data.lengths.tolist() or [None] * len(rows)
    return [Sample(*row) for row in zip(rows, targets, weights, counted, strict=True)]


def _is_one_row(x: Any, y: Any, input_shape: Shape, output_shape: Shape) -> bool:
    try:
        shape, target_shape = np.shape(x), np.shape(y)
    except not_by_handler(ValueError):
        return False  # rows of different lengths: engine/arrays.py says so
    if shape != input_shape and shape[1:] != input_shape:
        raise ValueError(f"x must be one row of shape {input_shape} or a batch of such rows, got the shape {shape}")
    if shape == input_shape and len(target_shape) > len(output_shape):
        raise ValueError(f"x is one row, so y must be one number or one row of targets, got the shape {target_shape}")
    return bool(shape == input_shape)


def read_network(network: Snapshot, plan: Plan, samples: Sequence[Sample], step: int, carried: Carried) -> Plain:
    """The network, whose plan this is, with its numbers as lists."""
    first = 0
    places = {}
    for name, array in network.parameters.items():
        places[name] = Place(name, first, array.shape, plan.parameters[name].penalised)
        first += array.size
    tags, symbol_tags = _tags(network)
    timed = isinstance(network.layers[0], Embedding)
    return Plain(
        layers=network.layers,
        input_shape=network.input_shape,
        names=[value_name("x", "", index, network.input_shape, timed=timed) for index in indices(network.input_shape)],
        tags=tags,
        symbol_tags=symbol_tags,
        places=places,
        values=[value for array in network.parameters.values() for value in array.reshape(-1).tolist()],
        loss=network.loss,
        constants=Constants(network.loss, TINY[network.dtype]),
        l1=float(network.l1),
        l2=float(network.l2),
        multipliers={name: 0.0 if name in network.frozen else network.rate_multipliers.get(name, 1.0)
                     for name in network.parameters},
        given=_given(network, samples, step, carried),
    )


def _given(network: Snapshot, samples: Sequence[Sample], step: int, carried: Carried) -> Given:
    """What else the step depends on."""
    return Given(
        weights=[sample.weight for sample in samples],
        lengths=[sample.length for sample in samples if sample.length is not None] or None,
        draws=Draws(network.seed, network.epoch, step - 1),
        statistics={name: array.tolist() for name, array in network.statistics.items()},
        carried=carried(len(samples)).tolist(),
        frozen=frozenset(network.frozen),
    )


def _tags(network: Snapshot) -> tuple[list[str], list[str]]:
    """Layers are told apart by their number, in the names of units where several hidden layers have units, in those of
    parameters where several layers have parameters with names of their own."""
    shapes = [network.input_shape]
    for layer in network.layers:
        shapes.append(layer.output_shape(shapes[-1]))
    made = [not isinstance(layer, (Flatten, Reshape)) for layer in network.layers]
    alone = sum(made) - 1 <= 1
    last = max((k for k, makes in enumerate(made) if makes), default=0)
    tags = ["" if alone and (k != last or sum(made) == 1) else str(k + 1) for k in range(len(made))]
    prefixes = {name.partition(".")[0] for name in network.parameters}
    named = [
        str(k) in prefixes and not (isinstance(layer, Dense) and len(shape) == 1)
        for k, (layer, (shape, _)) in enumerate(zip(network.layers, pairwise(shapes), strict=True))
    ]
    return tags, ["" if sum(named) == 1 else str(k + 1) for k in range(len(named))]


def rule_of_step(network: Snapshot, optimizer: Optimizer | str | None) -> tuple[Optimizer, dict[str, Numbers], int]:
    """The optimizer, its state as ``[slot][number of the parameter]`` (empty: all 0), and the number of the step."""
    current = network.optimizer
    spec = optimizers.get(optimizer) if optimizer is not None else current or optimizers.Adam(1e-3)
    spec = replace(spec, average=None)  # which changes nothing in the step
    if type(spec) is not type(current):
        return spec.at(0, 0), {}, 1
    state = {
        slot: [value for view in network.optimizer_state[slot].values() for value in view.reshape(-1).tolist()]
        for slot in spec.slots if slot in network.optimizer_state
    }
    return spec.at(network.step, network.epoch - network.since), state, network.step + 1
