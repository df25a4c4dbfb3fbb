"""The trace: one training step in plain Python, with every number of it kept.

``network.trace(x, y)`` computes what ``network.train_on_batch(x, y)`` would do, one unit after the other, with nothing
but ``math`` and lists: a teaching tool, and an independent oracle for the compiled core.

reading.py   what the step needs of the network and of the data, as plain numbers
graph.py     the numbers as nodes: what each is computed from, and its derivatives
rules/       activations, losses and optimizers, each with its derivative and its formula
layers/      how the nodes of every kind of layer arise; philox.py draws the noise of a step
step.py      the step: forward, loss, backward, update
records.py   what is kept of it: terms, units, layers, rows, parameters
names.py     what the numbers are called
formulas.py  how a formula and a sum are written; equations.py those of a step, with their numbers
blocks.py    what a document consists of: headings, equations, tables, a drawing
story.py     the step as such a document, in one of the two voices of voices.py
text.py      writes any document as text, html.py as a page, with svg.py for its drawings

Names: inputs x1, x2, ...; hidden units h1, h2, ..., or h1.1, h1.2, ..., h2.1, ... (layer.unit) where there are several
hidden layers; outputs ŷ, or ŷ1, ŷ2, ...; the constant 1 that a bias is the weight of is called "bias". Of a sequence h[t=2].3
is feature 3 at time step 2, of an image h[1,2,3] is row 1, column 2, channel 3. A weight is called after what it connects,
x1 → h1; one that is shared between places has a name of its own, such as the tap w[1,2]. names.py has them all.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp import losses, optimizers
from cbp.engine import check, finite
from cbp.engine.arrays import Form
from cbp.engine.columns import check_names, check_row_names
from cbp.engine.snapshot import Snapshot
from cbp.errors import DivergedError, quoted
from cbp.layers import Dense, stack
from cbp.losses import Loss
from cbp.optimizers import Optimizer
from cbp.trace import html, story, text
from cbp.trace.formulas import PAGE, Limits
from cbp.trace.reading import Carried, Plain, Sample, read_network, read_samples, rule_of_step, terms_of
from cbp.trace.records import Layer, Parameter, Row, Statistic, Term, Unit, Use, fields_dict, parameter_dict, row_dict
from cbp.trace.step import Goal, Made, forward, layers_of, loss_of, penalty_of, row_of, statistics_of, step_of

__all__ = ["Layer", "Parameter", "Row", "Statistic", "Term", "Trace", "Unit", "Use", "trace", "worked_example"]

MOST_TERMS = 2**21
"""Numbers and products of a traced step, each an object: more take half a minute and gigabytes."""


@dataclass(frozen=True)
class Trace:
    """One training step, number by number: what :func:`trace` returns.

    ``print`` it, show it in a notebook, or read its attributes.

    Attributes
    ----------
    rows : tuple of Row
        Forward and backward pass of every row.
    parameters : tuple of Parameter
        Every weight and bias, in the order of the flat vector.
    loss_before, loss_after : float
        The batch's loss, penalty included, before and after the step.
    penalty_before, penalty_after : float
        The part of it that comes from l1 and l2.
    optimizer : Optimizer
        The rule of the step.
    step : int
        Number of the step, from 1.
    input_names : tuple of str
    loss : cbp.losses.Loss
    l1, l2 : float
    dtype : str
        Of the network. The trace itself computes in double precision.
    input_shape : tuple of int
    coupled : bool
        Whether rows act on each other (BatchNorm): deltas are then those of the batch's loss, not of the row's.
    statistics : tuple of Statistic
        The running statistics of batch normalisations before and after the step.
    """

    rows: tuple[Row, ...]
    parameters: tuple[Parameter, ...]
    loss_before: float
    loss_after: float
    penalty_before: float
    penalty_after: float
    optimizer: Optimizer
    step: int
    input_names: tuple[str, ...]
    loss: Loss
    l1: float
    l2: float
    dtype: str
    input_shape: tuple[int, ...]
    coupled: bool
    statistics: tuple[Statistic, ...]

    @property
    def layered(self) -> bool:
        """Whether there is more than dense layers on rows of features."""
        return len(self.input_shape) > 1 or any(layer.kind != "Dense" for layer in self.rows[0].layers)

    def unit(self, name: str, row: int = 0) -> Unit:
        """The unit of that name, such as "h1", on one of the rows."""
        units = [unit for layer in self.rows[row].layers for unit in layer.units]
        for unit in units:
            if unit.name == name:
                return unit
        raise KeyError(f"no unit is called {quoted(name)}; the units are {units[0].name} to {units[-1].name}")

    def parameter(self, source: str, unit: str = "") -> Parameter:
        """The weight of the connection from ``source`` ("x1", "h1", "bias") to ``unit`` ("h1", "ŷ"), or the parameter that
        is shared between places under that name ("w[1,2]", "U[1,1]")."""
        for parameter in self.parameters:
            if ((parameter.source, parameter.unit) if unit else (parameter.symbol, "")) == (source, unit):
                return parameter
        if unit:
            raise KeyError(f"no connection leads from {quoted(source)} to {quoted(unit)}")
        symbols = [parameter.symbol for parameter in self.parameters if parameter.symbol]
        known = f"the shared parameters are {symbols[0]} to {symbols[-1]}" if symbols else "a connection has two ends"
        raise KeyError(f"no parameter is called {quoted(source)}; {known}")

    def to_dict(self) -> dict[str, Any]:
        """Everything, as dicts, lists, strings and numbers that ``json.dumps`` takes."""
        return {
            "optimizer": {"name": self.optimizer.name, **dataclasses.asdict(self.optimizer)},
            "step": self.step,
            "loss": {"name": self.loss.name, **dataclasses.asdict(self.loss)},
            "l1": self.l1,
            "l2": self.l2,
            "dtype": self.dtype,
            "loss_before": self.loss_before,
            "loss_after": self.loss_after,
            "penalty_before": self.penalty_before,
            "penalty_after": self.penalty_after,
            "rows": [row_dict(row, self.input_names) for row in self.rows],
            "statistics": [fields_dict(statistic) for statistic in self.statistics],
            "parameters": [parameter_dict(parameter) for parameter in self.parameters],
        }

    def to_text(
        self, *, digits: int = 5, rows: int = 4, units: int = 10, terms: int = 6, connections: int = 20, steps: int = 6
    ) -> str:  # fmt: skip
        """The step as text, formulas filled in with numbers, for a terminal of 100 columns.

        Parameters
        ----------
        digits : int
            Significant digits.
        rows, units, terms, connections, steps : int
            How many rows of the batch, units of a layer, terms of a sum, connections into a layer (or parameters of
            it) and time steps are shown; the others are counted. Of terms and connections the largest are shown.
        """
        return text.write(story.tell(self, _checked(Limits(digits, rows, units, terms, connections, steps))))

    def to_html(
        self, *, digits: int = 5, rows: int = 4, units: int = 10, terms: int = 8, connections: int = 40, steps: int = 6
    ) -> str:  # fmt: skip
        """The step as a page for a browser that needs nothing else; parameters as of :meth:`to_text`."""
        limits = _checked(Limits(digits, rows, units, terms, connections, steps))
        return html.page(f"step {self.step} - cbp trace", html.write(story.tell(self, limits)))

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return (
            f"<Trace of step {self.step} with {self.optimizer} on {len(self.rows)} row{'s' * (len(self.rows) != 1)}: "
            f"loss {self.loss_before:.5g} -> {self.loss_after:.5g}>"
        )

    def _repr_html_(self) -> str:
        return html.write(story.tell(self, PAGE))


def _checked(limits: Limits) -> Limits:
    for name, value in limits._asdict().items():
        check.integer(name, value)
    return limits


def trace(
    network: Snapshot, x: npt.ArrayLike, y: npt.ArrayLike, *, optimizer: Optimizer | str | None = None,
    sample_weight: npt.ArrayLike | None = None, lengths: npt.ArrayLike | None = None, carried: Carried | None = None,
) -> Trace:  # fmt: skip
    """Trace one training step of a snapshot ``network`` on ``x`` and ``y``.

    The arithmetic is Python's, in double precision; for a float32 network the last digits therefore differ from those
    that the network computes itself.

    Parameters
    ----------
    network : Snapshot
        What ``cbp.Network.snapshot`` gives.
    x : array_like
        One row, of the shape ``network.input_shape`` such as (features,), (time, features) or (height, width, channels), or a
        batch (rows, *input_shape).
    y : array_like
        Its target, of the shape ``network.output_shape``, or where the loss takes labels the label of every position,
        ``output_shape[:-1]``; a single number needs no axis. Or one for every row of the batch.
    optimizer : Optimizer or str, optional
        The rule of the step. Without one, or with one of the class of ``network.optimizer``, the step goes on from the
        network's optimizer state; any other starts afresh. A network that was never trained takes ``Adam(1e-3)``.
    sample_weight : array_like, optional
        Weight of the row or rows, 0 or above.
    lengths : array_like of int, optional
        How many time steps of the row or rows count.
    carried : callable, optional
        From a number of rows to the state that they go on from in stateful layers; without it they begin at 0.

    Returns
    -------
    Trace

    Raises
    ------
    ValueError, TypeError
        ``x``, ``y``, ``optimizer``, ``sample_weight`` or ``lengths`` do not fit the network, it is too large to be traced, or a
        number of its own is not finite.
    DivergedError
        A number of the step is not finite.
    """
    state_arrays = {f"optimizer_state[{slot!r}]": state for slot, state in network.optimizer_state.items()}
    arrays = {"parameters": network.parameters, "statistics": network.statistics, **state_arrays}
    defect = finite.defect(arrays, network.optimizer)
    if defect is not None:
        raise ValueError(f"{defect}. A step cannot mend that")
    plan, dtype = stack.plan(network.layers, network.input_shape), np.dtype(network.dtype)
    check_names("x", x, network.feature_names)
    check_row_names("x", x, network.feature_names)
    samples = read_samples(Form.of(plan, network.loss, dtype), x, y, sample_weight, lengths)
    terms = terms_of(plan) * len(samples) + 2 * plan.count
    if terms > MOST_TERMS:
        raise ValueError(f"x: a trace keeps every number and product of a step, some {terms:,} for {len(samples)} row(s) of "
                         f"this network; at most {MOST_TERMS:,} are possible. Trace fewer rows, or a smaller network")
    spec, state, step = rule_of_step(network, optimizer)
    net = read_network(network, plan, samples, step, carried or (lambda rows: np.zeros((rows, plan.carry))))
    total = sum(sample.weight for sample in samples)
    shares = [sample.weight / total for sample in samples]
    made, goals = _passed(net, net.values, samples, read=True)
    _go_back(made, goals, shares)
    parameters = step_of(net, made, shares, spec, state, step)
    values = [parameter.after for parameter in parameters]
    after, goals_after = _passed(net, values, samples, read=False)
    passes, ends = (made, after), zip(goals, goals_after, strict=True)
    rows = [
        row_of(r, sample, share, passes, pair, layers_of(net, made, r))
        for r, (sample, share, pair) in enumerate(zip(samples, shares, ends, strict=True))
    ]
    penalty_before, penalty_after = penalty_of(net, net.values), penalty_of(net, values)
    loss_before = sum(row.share * row.loss_before for row in rows) + penalty_before
    loss_after = sum(row.share * row.loss_after for row in rows) + penalty_after
    if not all(map(math.isfinite, [loss_before, loss_after, *values])):
        raise DivergedError(
            f"the step is not finite: {finite.divergence(np.dtype(np.float64), updated=math.isfinite(loss_before))} "
            f"The rate is {spec.rate:g}."
        )
    return Trace(
        tuple(rows), tuple(parameters), loss_before, loss_after, penalty_before, penalty_after,
        spec, step, tuple(net.names), net.loss, net.l1, net.l2, network.dtype, net.input_shape, made.coupled,
        tuple(statistics_of(net, made.graph)),
    )  # fmt: skip


def _passed(net: Plain, parameters: list[float], samples: list[Sample], *, read: bool) -> tuple[Made, list[Goal]]:
    """Forward pass and losses of all rows; ``read``: for a way back."""
    made = forward(net, parameters, samples, read=read)
    pairs = zip(made.outputs, samples, strict=True)
    return made, [loss_of(net, made.graph, outputs, sample) for outputs, sample in pairs]


def _go_back(made: Made, goals: list[Goal], shares: list[float]) -> None:
    """The backward pass: of every row's own loss, or of the batch's where its rows act on each other."""
    scales = shares if made.coupled else [1.0] * len(shares)
    slopes, fused = (
        {node: scale * slope for scale, goal in zip(scales, goals, strict=True) for node, slope in getattr(goal, kind).items()}
        for kind in ("slopes", "fused")
    )
    made.graph.backward(slopes, fused)


def worked_example() -> Trace:
    """The first step of a XOR network with two inputs, three hidden identity units and one output, every parameter 1.

    Gradient descent at rate 0.1 on the row x = (0, 0), y = 0; see docs/worked-example.md.
    """
    layers = Dense(3), Dense(1)
    parameters = {name: np.ones(parameter.shape) for name, parameter in stack.plan(layers, (2,)).parameters.items()}
    network = Snapshot(input_shape=(2,), layers=layers, loss=losses.get("half_squared_error"), dtype="float64", seed=0,
                       parameters=parameters)
    return trace(network, [0.0, 0.0], 0.0, optimizer=optimizers.SGD(0.1))
