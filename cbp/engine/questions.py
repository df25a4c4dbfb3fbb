"""What a network can be asked beyond its outputs: derivatives row by row, outputs under noise, the values between its layers.

Nothing here changes a number of the network, and all scratch is the call's own, so that threads can ask at once.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from typing import Any, Literal, cast

import numpy as np

from cbp.engine import check
from cbp.engine.answers import room
from cbp.engine.arrays import Data, Source
from cbp.engine.cpu import core as _core
from cbp.engine.model import Model
from cbp.engine.plan import Flat, aligned, padded
from cbp.engine.runner import PATIENCE, room_for_parts
from cbp.errors import quoted

__all__ = ["OF", "activations", "check_no_weights", "checked_of", "jacobian", "noise_seed", "sample_gradients", "sampled"]

OF = ("inputs", "parameters")
"""With respect to what a Jacobian can be asked for."""

TOGETHER = 64
"""Rows of a stack of dense layers that go back together: their values stay in the second-level cache."""

_NO_LOSSES = np.empty(0)
_NO_LABELS = np.empty(0, np.intp)


def checked_of(of: object) -> Literal["inputs", "parameters"]:
    """What a Jacobian is asked for; raises ValueError where it is neither."""
    if of not in OF:
        raise ValueError(f"of must be 'inputs' or 'parameters', got {quoted(of)}")
    return cast(Literal["inputs", "parameters"], of)


def noise_seed(training: bool, seed: object) -> int | None:
    """The seed of the noise of a prediction, None where it has none; raises ValueError or TypeError where the seed is wrong."""
    if not training:
        if seed is not None:
            raise ValueError(f"seed says which noise a prediction with training=True has, got seed={quoted(seed)} without that")
        return None
    return int.from_bytes(os.urandom(8), "little") >> 1 if seed is None else check.integer("seed", seed, minimum=0)


def check_no_weights(sample_weight: object) -> None:
    """Raise ValueError for weights of samples whose gradients are asked for one by one."""
    if sample_weight is not None:
        raise ValueError("per_sample=True gives each sample's own loss and gradient, without weights, so sample_weight must be "
                         "None; weights @ gradients / weights.sum() is the weighted mean")


def jacobian(
    model: Model, x: Source, lengths: Flat, of: Literal["inputs", "parameters"], out: object, others: Mapping[str, object],
) -> Flat:
    """The derivatives of the outputs: (samples, *outputs, *inputs), or (samples, *outputs, parameters). Raises MemoryError
    where the machine has not that much memory, and as ``room`` for ``out`` and the ``others`` that it must not share memory
    with."""
    plan, samples, dtype = model.plan, len(x), model.form.dtype
    behind = plan.input_shape if of == "inputs" else (plan.count,)
    shape = samples, prod(plan.output_shape), prod(behind)
    _check_memory(f"the Jacobian of {samples:,} samples x {shape[1]:,} outputs x {shape[2]:,} {of}", prod(shape), dtype)
    found = room("out", out, (samples, *model.output_shape, *behind), dtype, others)
    if of == "inputs":
        _inputs_of_rows(model, x, lengths, found.reshape(shape))
    elif plan.count:
        _parameters_of_rows(model, x, lengths, found.reshape(shape))
    return found


def sample_gradients(
    model: Model, data: Data, out: object, others: Mapping[str, object], *, training: bool,
) -> tuple[Flat, Flat]:
    """The losses of the samples, and the gradient of each, (samples, parameters), without penalties. Raises ValueError where
    the samples depend on each other, else as ``jacobian``."""
    if training and model.plan.whole_batch:
        raise ValueError("per_sample=True with training=True needs samples that do not depend on each other; a BatchNorm takes "
                         "the statistics of the batch in training: training=False takes what it has seen")
    samples, count, dtype = len(data.x), model.plan.count, model.form.dtype
    _check_memory(f"the gradients of {samples:,} samples x {count:,} parameters", samples * count, dtype)
    found = room("out", out, (samples, count), dtype, others)
    losses = np.empty(samples)
    rows = found.reshape(samples, 1, count) if count else np.empty((samples, 1, 1), dtype)  # the core writes somewhere
    _parameters_of_rows(model, data.x, data.lengths, rows, data, losses, training=training)
    return losses.astype(dtype), found


def _check_memory(what: str, numbers: int, dtype: np.dtype[Any]) -> None:
    size, there = numbers * dtype.itemsize, _memory()
    if size > there:
        raise MemoryError(f"{what} would take {size:,} bytes, and this machine has {there:,}; ask for fewer rows of X at a "
                          f"time")


def _memory() -> int:
    """The bytes of the machine's memory, or more than any has where that cannot be told."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return 2**62


def _record(model: Model, mode: str, piece: int, *, training: bool = False) -> Flat:
    """What the core is told of a pass."""
    plan, numbers = model.plan, model.numbers
    record = np.zeros(1, _core.RUN)
    run = record[0]
    run["mode"], run["piece"], run["training"], run["timed"] = _core.MODES[mode], piece, training, plan.timed
    run["loss"], run["constant"] = _core.LOSSES[model.loss.name], model.loss.constant
    run["targets"], run["shares"] = plan.targets, plan.shares
    run["seed"], run["epoch"], run["step"] = model.seed, numbers.epoch, numbers.step
    return record


def _scratch(model: Model, piece: int) -> tuple[Flat, Flat, Flat]:
    """Arena, workspace and scratch of a pass."""
    plan, dtype = model.plan, model.form.dtype
    return (aligned(plan.arena * piece, dtype), aligned(max(plan.workspace, 1), dtype), aligned(max(plan.scratch, 1), dtype))


def _inputs_of_rows(model: Model, x: Source, lengths: Flat, out: Flat) -> None:
    """Into ``out`` (samples, outputs, inputs)."""
    plan, numbers, dtype = model.plan, model.numbers, model.form.dtype
    samples, outputs, _ = out.shape
    piece = plan.piece(samples, apart=True)
    first = plan.ops[0]
    rows = aligned(piece * int(first["in_positions"]) * padded(int(first["inputs"])), dtype)
    record, rest = _record(model, "gradient", piece), _scratch(model, piece)
    place = 0
    while place < samples * outputs:
        place = _core.input_jacobian(plan.ops, record, numbers.parameters, numbers.statistics, x.record, lengths, out, *rest,
                                     rows, place, PATIENCE)


def _parameters_of_rows(
    model: Model, x: Source, lengths: Flat, out: Flat, data: Data | None = None, losses: Flat = _NO_LOSSES, *,
    training: bool = False,
) -> None:
    """Into ``out`` (samples, outputs, parameters): of each output or, with ``data``, of each sample's loss, which ``losses``
    takes."""
    plan, numbers, dtype = model.plan, model.numbers, model.form.dtype
    samples, outputs, _ = out.shape
    piece = min(TOGETHER, plan.piece(samples)) if plan.plain else 1
    places = plan.places if plan.count else np.zeros(1, np.intp)
    ops = model.learning.ops(plan, gradients=True) if training else plan.ops
    record, rest = _record(model, "gradient", piece, training=training), _scratch(model, piece)
    gradient, parts = aligned(max(plan.size, 1), dtype), room_for_parts(plan, piece, dtype)
    results = np.empty((2, piece * plan.outputs))
    targets, labels = (x.record, _NO_LABELS) if data is None else (data.targets.record, data.labels)
    place = 0
    while place < samples * outputs:
        place = _core.row_gradients(
            ops, record, numbers.parameters, gradient, parts, numbers.statistics, x.record, targets, labels, lengths, out,
            losses, results, places, plan.plain, *rest, place, PATIENCE)


def sampled(
    model: Model, x: Source, lengths: Flat, carry: Flat | None = None, out: Flat | None = None, *, seed: int,
) -> Flat:
    """Outputs as ``predict`` gives them, but with the noise of training, a pure function of the seed."""
    plan, numbers, dtype = model.plan, model.numbers, model.form.dtype
    samples = len(x)
    out = np.empty((samples, *model.output_shape), dtype) if out is None else out
    ops = plan.ops.copy()
    ops["rests"] = True  # what takes statistics of a batch in training takes those that it has seen
    piece = plan.piece(samples, apart=True)
    record = _record(model, "evaluate", piece, training=True)
    record["seed"], record["epoch"], record["step"] = seed, 0, 0
    carried = np.zeros((0, plan.carry), dtype) if carry is None else carry
    rest = _scratch(model, piece)
    done = 0
    while done < samples:
        done = _core.sampled(ops, record, numbers.parameters, numbers.statistics, x.record, lengths, carried,
                             out.reshape(samples, -1), *rest, done, PATIENCE)
    return out


def activations(model: Model, x: Source, lengths: Flat) -> dict[str, Flat]:
    """What every layer gives, (samples, *shape), by the layer's place: "0", and "1.0" for one inside of another."""
    plan, numbers, dtype = model.plan, model.numbers, model.form.dtype
    samples, values = len(x), plan.values
    piece = plan.piece(samples, apart=True)
    found = {place: np.empty((samples, *value.shape), dtype) for place, value in values.items()}
    carried = np.zeros((0, plan.carry), dtype)
    out = np.empty((samples, prod(plan.output_shape)), dtype)
    arena, workspace, scratch = _scratch(model, piece)
    done = 0
    while done < samples:
        end = _core.predict(plan.ops, numbers.parameters, numbers.statistics, x.record, lengths, carried, out, arena, workspace,
                            scratch, piece, done, 0.0)  # no patience: one piece, whose values still lie in the arena
        for place, value in values.items():
            found[place][done:end] = _of_piece(arena, x, value, done, end)
        done = end
    return found


def _of_piece(arena: Flat, x: Source, value: Any, first: int, end: int) -> Flat:
    """A value of the rows of the piece that was run last, without pads."""
    rows = end - first
    if value.slot < 0:
        return x.array[first:end].reshape(rows, *value.shape)
    width = padded(value.shape[-1])
    numbers = arena[rows * value.slot :][: rows * value.positions * width]
    return numbers.reshape(rows, *value.shape[:-1], width)[..., : value.shape[-1]]
