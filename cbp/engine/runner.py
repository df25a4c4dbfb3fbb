"""Runs passes over data through the core, a slice of time after the other.

The core runs without the GIL until ``PATIENCE`` seconds have passed and tells in a ``Run`` record where it stopped; between
two slices Python sees signals, so that Ctrl-C finds the network between two updates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine.arrays import Data, Source
from cbp.engine.cpu import core as _core
from cbp.engine.learning import NO_SEGMENTS, NO_SQUARES
from cbp.engine.model import Model
from cbp.engine.plan import Flat, Plan, aligned, padded
from cbp.engine.rates import Rates
from cbp.engine.specs import CLIPS, Optimizer
from cbp.engine.team import Crew

PATIENCE = 0.05
BLOCK = 4096
"""Epochs whose curves are allocated at a time."""
CURVES = 4
"""Loss, metric, seconds, rate."""


class Runner:
    """One pass, or many, of a model over data.

    Parameters
    ----------
    model : Model
    data : Data
        Checked by ``arrays.py``.
    mode : str
        ``"train"``, ``"gradient"`` or ``"evaluate"``.
    batch_size : int or None
        None: all samples in one batch.
    optimizer : Optimizer or None
        Needed for ``"train"``.
    accumulate : int
        Batches whose gradients make one update.
    shuffle : bool
        Whether every epoch takes the samples in a new order.
    crew : Crew or None
        The threads; None: the caller alone.
    training : bool
        Whether a gradient is that of a training step, with batch statistics and noise.
    carry : array or None
        The state that the rows of the first batch go on from, (rows, ``plan.carry``), which becomes the state after the last
        one; None: a state goes from batch to batch, of every epoch anew, if a ``"train"`` has stateful layers.
    profile : bool
        Whether ``phases`` is measured.
    """

    def __init__(
        self, model: Model, data: Data, *, mode: str, batch_size: int | None = None, accumulate: int = 1,
        optimizer: Optimizer | None = None, shuffle: bool = False, crew: Crew | None = None, training: bool = False,
        carry: Flat | None = None, profile: bool = False,
    ):
        plan, numbers = model.plan, model.numbers
        samples = len(data.x)
        rows = samples if batch_size is None else min(batch_size, samples)
        batch = min(rows * accumulate, samples)
        piece = min(plan.piece(batch, apart=mode == "evaluate"), rows)
        dtype = numbers.parameters.dtype
        self._plan = plan
        self._ops = model.learning.ops(plan, gradients=mode == "gradient") if mode == "train" or training else plan.ops
        self._numbers = numbers
        self._data = data
        self._crew = crew
        self._tempo = crew.tempo if crew is not None and mode == "train" else None
        self._order = np.empty(samples if shuffle and batch < samples else 0, np.intp)
        self._gradient = aligned(max(plan.size, 1) if mode != "evaluate" else 1, dtype)
        self._parts = room_for_parts(plan, batch if mode != "evaluate" else 0, dtype)
        self._arena = aligned(plan.arena * piece, dtype)
        self._scratch = _scratch(plan, 1 if crew is None else crew.threads, dtype)
        self._workspace = aligned(max(plan.workspace, 1), dtype)
        self._carry = np.zeros((batch if mode == "train" else 0, plan.carry), dtype) if carry is None else carry
        self._row_results = np.empty((2, piece * plan.outputs))
        self._row_labels = np.empty(piece * plan.outputs, np.intp)
        self._row_lengths = np.empty(piece, np.intp)
        self._laps = np.zeros(len(_core.PHASES) if profile else 0)
        self._record = np.zeros(1, dtype=_core.RUN)
        run = self._run = self._record[0]
        if len(data.labels) and model.loss.name not in _core.TAKES_LABELS:
            raise ValueError(f"loss {model.loss.name!r} takes no labels, although its class says so; {_UNTOUCHED}")
        run["mode"] = _core.MODES[mode]
        run["loss"] = _core.LOSSES[model.loss.name]
        run["constant"] = model.loss.constant
        run["l1"], run["l2"] = model.l1, model.l2
        run["batch_size"], run["piece"] = batch, piece
        run["targets"], run["weights"], run["shares"] = plan.targets, plan.weights, plan.shares
        run["timed"], run["training"] = plan.timed, training
        run["fresh"] = carry is None
        run["shuffle"], run["seed"] = len(self._order) > 0, model.seed
        run["epoch"] = run["first_epoch"] = numbers.epoch
        run["step"] = numbers.step
        run["averaged"] = numbers.averaged
        self._segments, self._squares = NO_SEGMENTS, NO_SQUARES
        self._rates = Rates(optimizer, numbers.since)
        if optimizer is not None:
            self._apart = model.learning.apart(plan)
            describe(optimizer, run, len(numbers.state), apart=self._apart)
            if run["deferred"]:
                self._segments, self._squares = model.learning.deferred(plan)

    @property
    def plan(self) -> Plan:
        """Of the model that is run."""
        return self._plan

    @property
    def scratch(self) -> tuple[npt.NDArray[Any], Flat, Flat, Flat]:
        """The record that describes the run, and room for the gradient, the arena and the scratch."""
        return self._record, self._gradient, self._arena, self._scratch

    @property
    def gradient(self) -> Flat:
        """The padded gradient of the last batch, penalties included."""
        return self._gradient

    @property
    def phases(self) -> dict[str, float]:
        """Seconds spent in every phase of the steps so far."""
        return dict(zip(_core.PHASES, self._laps.tolist(), strict=True))

    @property
    def diverged(self) -> bool:
        """Whether the run stopped at a batch whose loss is not finite."""
        return bool(self._run["diverged"])

    @property
    def inside_epoch(self) -> bool:
        return bool(self._run["position"] or self._run["row"])

    @property
    def loss_so_far(self) -> float | None:
        """Mean loss of the epoch that runs, None at its beginning."""
        weight = float(self._run["epoch_weight"])
        return float(self._run["epoch_loss"]) / weight + float(self._run["penalty"]) if weight else None

    def take_up(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer of the same kind, whose state the numbers hold."""
        describe(optimizer, self._run, len(self._numbers.state), apart=self._apart)
        self._rates = Rates(optimizer, self._numbers.since)

    def begin(self, started: float) -> None:
        """Take up where the network's numbers stand; ``started`` is the clock's time of the beginning."""
        run = self._run
        run["epoch"] = run["first_epoch"] = self._numbers.epoch
        run["step"], run["averaged"] = self._numbers.step, self._numbers.averaged
        run["position"] = run["row"] = run["diverged"] = 0
        run["started"] = started

    def rebase(self) -> int:
        """Let the next row of curves belong to the present epoch, and return that."""
        self._run["first_epoch"] = self._run["epoch"]
        return int(self._run["epoch"])

    def slice(self, curves: npt.NDArray[np.float64], last_epoch: int) -> None:
        """Run until ``last_epoch`` or until the patience is over, and keep the network's counters in step."""
        data, numbers, crew, tempo = self._data, self._numbers, self._crew, self._tempo
        run = self._run
        rates = self._rates.ahead(run, len(data.x), last_epoch)
        patience = PATIENCE if tempo is None else tempo.patience(PATIENCE)
        rows, started = self._rows_done, _core.clock()
        try:
            _core.run_epochs(
                self._ops, self._record, numbers.parameters, self._gradient, self._parts, numbers.state,
                numbers.statistics, self._carry, data.x.record, data.targets.record, data.labels, data.weights, data.lengths,
                self._order, self._arena, self._workspace, self._scratch, self._row_results, self._row_labels,
                self._row_lengths, curves, rates, self._segments, self._squares, last_epoch, patience,
                None if crew is None else crew.team, self._laps,
            )
        finally:
            self.sync()
        if tempo is not None:
            tempo.measured(self._rows_done - rows, _core.clock() - started)

    @property
    def _rows_done(self) -> int:
        run = self._run
        return int(run["epoch"]) * len(self._data.x) + int(run["position"]) + int(run["row"])

    @property
    def counters(self) -> tuple[int, int]:
        """Updates made and epochs begun."""
        return int(self._run["step"]), int(self._run["epoch"])

    def sync(self) -> None:
        """Let the network's counters be the run's."""
        self._numbers.step, self._numbers.epoch = self.counters
        self._numbers.averaged = int(self._run["averaged"])

    def epochs(self, count: int) -> npt.NDArray[np.float64]:
        """Run ``count`` epochs, at most BLOCK, or up to a divergence; the complete ones' CURVES."""
        curves = np.empty((count, CURVES))
        first = self.rebase()
        while int(self._run["epoch"]) < first + count and not self.diverged:
            self.slice(curves, first + count)
        return curves[: int(self._run["epoch"]) - first]


_UNTOUCHED = "the attributes of cbp's classes are not to be changed"


def describe(optimizer: Optimizer, run: Any, states: int, *, apart: bool) -> None:
    """The optimizer's fields as the core reads them, for arrays that it moves ``apart`` from each other or not.

    Raises ValueError where it holds less than the rule's state arrays, which the core would read all the same.
    """
    average = optimizer.average
    needed = _core.STATES[optimizer.rule] + (average is not None)
    if states != needed:
        raise ValueError(f"optimizer {optimizer!r} needs {needed} state arrays, and the network holds {states}, one for each "
                         f"of its slots; {_UNTOUCHED}")
    run["optimizer"] = _core.OPTIMIZERS[optimizer.rule]
    schedule = optimizer.schedule
    run["scheduled"] = 0 if schedule is None else _core.SCHEDULED[schedule.per]
    run["rate"] = optimizer.rate if schedule is None else 0
    run["weight_decay"] = optimizer.weight_decay
    for bound in CLIPS:
        run[bound] = getattr(optimizer, bound) or 0
    run["deferred"] = bool(apart or optimizer.clip_norm or optimizer.clip_array)
    run["average_start"], run["average_every"], run["average_memory"] = (0, 1, 0) if average is None else (
        average.start, average.every, average.memory)
    for number, field in optimizer.numbers.items():
        run[number] = getattr(optimizer, field)


def predict(model: Model, x: Source, lengths: Flat, carry: Flat | None = None, out: Flat | None = None) -> Flat:
    """Outputs for checked inputs, in ``out`` if there is one. All scratch is the call's own, so that threads can predict at
    once. ``carry`` is the state that the rows go on from, and becomes the state after them."""
    plan, parameters, statistics = model.plan, model.numbers.parameters, model.numbers.statistics
    samples, dtype = len(x), parameters.dtype
    out = np.empty((samples, *model.output_shape), dtype) if out is None else out
    rows = out.reshape(samples, -1)
    piece = plan.piece(samples, apart=True)
    arena = aligned(plan.arena * piece, dtype, clear=False)
    workspace, scratch = aligned(max(plan.workspace, 1), dtype), aligned(max(plan.scratch, 1), dtype, clear=False)
    carried = np.zeros((0, plan.carry), dtype) if carry is None else carry
    done = 0
    while done < samples:
        done = _core.predict(plan.ops, parameters, statistics, x.record, lengths, carried, rows, arena, workspace, scratch,
                             piece, done, PATIENCE)
    return out


def gradient(model: Model, data: Data, *, training: bool) -> tuple[float, Flat]:
    """The loss of all samples and its (padded) gradient."""
    runner = Runner(model.still, data, mode="gradient", training=training)
    return float(runner.epochs(1)[0, 0]), runner.gradient


def measure(model: Model, data: Data, crew: Crew | None = None) -> dict[str, float]:
    """The loss and the metric of all samples by name."""
    loss, metric, *_ = Runner(model.still, data, mode="evaluate", crew=crew).epochs(1)[0]
    return {"loss": float(loss), model.loss.metric: float(metric)}


def vector_jacobian(
    model: Model, x: Source, lengths: Flat, d_output: Source, d_input: Flat, *, training: bool,
) -> Flat:
    """The gradients of ``sum(d_output * outputs)`` with respect to the inputs, which go into ``d_input``, and to the (padded)
    parameters."""
    plan, numbers = model.plan, model.numbers
    samples, dtype = len(x), numbers.parameters.dtype
    piece = plan.piece(samples, apart=not training)
    gradient, parts = aligned(max(plan.size, 1), dtype), room_for_parts(plan, samples, dtype)
    arena = aligned(plan.arena * piece, dtype)
    workspace, scratch = aligned(max(plan.workspace, 1), dtype), _scratch(plan, 1, dtype)
    first = plan.ops[0]
    rows = aligned(piece * int(first["in_positions"]) * padded(int(first["inputs"])), dtype)
    record = np.zeros(1, dtype=_core.RUN)
    record["mode"] = _core.MODES["gradient"]
    record["piece"], record["targets"], record["training"] = piece, plan.targets, training
    record["timed"] = plan.timed
    record["seed"], record["epoch"], record["step"] = model.seed, numbers.epoch, numbers.step
    done = 0
    while done < samples:
        done = _core.vector_jacobian(
            plan.ops, record, numbers.parameters, gradient, parts, numbers.statistics, x.record, lengths, d_output.record,
            d_input.reshape(samples, -1), arena, workspace, scratch, rows, done, PATIENCE)
    return gradient


def _scratch(plan: Plan, threads: int, dtype: np.dtype[Any]) -> Flat:
    """A row of scratch for every thread."""
    size = padded(max(plan.scratch, 1))
    return aligned(threads * size, dtype).reshape(threads, size)


def room_for_parts(plan: Plan, rows: int, dtype: np.dtype[Any]) -> Flat:
    """What the core needs beside the gradient of so many rows where its terms are many; nothing where they are few."""
    if rows * plan.terms <= _core.DEEP or dtype != np.float32:
        return np.empty((0, plan.size), dtype)
    return aligned(3 * plan.size, dtype, clear=False).reshape(3, plan.size)
