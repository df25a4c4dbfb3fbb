"""The arithmetic of a traced step: forward pass, loss, backward pass and update, node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cbp.optimizers import Optimizer
from cbp.trace.graph import Graph, Place
from cbp.trace.layers.registry import compute
from cbp.trace.layers.scope import Noted, Scope, Values, indices
from cbp.trace.names import value_name
from cbp.trace.reading import Plain, Sample
from cbp.trace.records import Layer, Parameter, Row, Statistic, Unit
from cbp.trace.rules import FUSED_RULES, LOSS_RULES, OPTIMIZER_RULES
from cbp.trace.rules.clipping import clipped

Numbers = list[float]


@dataclass
class Made:
    """A forward pass over the batch: its nodes, and of every row the values before and after every layer."""

    graph: Graph
    values: list[list[Values]]
    noted: list[Noted]

    @property
    def coupled(self) -> bool:
        """Whether rows act on each other, through the statistics of a batch normalisation."""
        return any(node.row < 0 for node in self.graph.nodes[1:])

    @property
    def outputs(self) -> list[Values]:
        return self.values[-1]


@dataclass
class Goal:
    """The loss of one row with ∂L/∂a of the outputs, or ∂L/∂s where activation and loss are one step."""

    loss: float
    slopes: dict[int, float]
    fused: dict[int, float]
    counted: int


def forward(net: Plain, parameters: Numbers, samples: Sequence[Sample], *, read: bool) -> Made:
    graph = Graph(dict(net.places), parameters, read=read)
    made = Made(graph, [], [])
    inputs = Scope(graph, -1, "", "", "", Noted(), net.given)
    batch = []
    graph.rows = len(samples)
    for inputs.row, sample in enumerate(samples):
        nodes = [inputs.constant(name, x) for name, x in zip(net.names, sample.inputs, strict=True)]
        batch.append(Values(net.input_shape, nodes, timed=len(net.input_shape) == 2))
    made.values.append(batch)
    for k, layer in enumerate(net.layers):
        scope = replace(
            inputs, layer=k, prefix=f"{k}.", tag=net.tags[k], symbol_tag=net.symbol_tags[k], noted=Noted()
        )
        batch = compute(scope, layer, batch)
        made.values.append(batch)
        made.noted.append(scope.noted)
    made.values[-1] = [_named_outputs(inputs, values) for values in batch]
    return made


def _named_outputs(scope: Scope, values: Values) -> Values:
    """The outputs, under names of their own."""
    for position, nodes in values.positions():
        for c, node in enumerate(nodes):
            name = value_name("ŷ", "", (*position, c), values.shape)
            scope.graph.nodes[node].name = "ŷ" if values.shape == (1,) else name
    return values


def loss_of(net: Plain, graph: Graph, outputs: Values, sample: Sample) -> Goal:
    """The loss of one row: the mean over its positions, of a sequence over its valid time steps."""
    positions = [nodes for _, nodes in outputs.positions()]
    counted = sample.length if sample.length and outputs.timed else len(positions)
    goal = Goal(0.0, {}, {}, counted)
    width = outputs.shape[-1]
    for p, nodes in enumerate(positions[:counted]):
        _add_loss(goal, net, graph, nodes, sample.target[p * width : (p + 1) * width])
    goal.loss /= counted
    for slopes in (goal.slopes, goal.fused):
        for node in slopes:
            slopes[node] /= counted
    return goal


def _add_loss(goal: Goal, net: Plain, graph: Graph, nodes: Sequence[int], target: Sequence[float]) -> None:
    """The loss of one position, and its derivatives."""
    found = [graph.nodes[node] for node in nodes]
    fused = FUSED_RULES.get((found[0].activation, net.loss.name))
    if fused is not None:
        loss, slopes = fused.compute([node.s for node in found], target)
        into = goal.fused
    else:
        loss, slopes = LOSS_RULES[net.loss.name].row([node.a for node in found], target, net.constants)
        into = goal.slopes
    goal.loss += loss
    into.update(zip(nodes, slopes, strict=True))


def penalty_of(net: Plain, parameters: Numbers) -> float:
    """l1 Σ|w| + l2 / 2 Σw², over the weights and not the biases."""
    counted = [
        parameters[number] for place in net.places.values() if place.penalised for number in place.numbers
    ]
    return net.l1 * sum(map(abs, counted)) + net.l2 / 2 * sum(w * w for w in counted)


def step_of(
    net: Plain, made: Made, shares: Sequence[float], spec: Optimizer, state: dict[str, Numbers], step: int
) -> list[Parameter]:
    """Gradient and update of every parameter, in the order of the flat vector."""
    graph, parameters = made.graph, []
    gradient = graph.gradient([1.0] * len(shares) if made.coupled else shares)
    rule = OPTIMIZER_RULES[spec.rule]
    penalties = [_slope_of_penalty(net, graph, place, number) for place in graph.places.values() for number in place.numbers]
    whole = [slope + penalty for slope, penalty in zip(gradient, penalties, strict=True)]
    followed = clipped(spec, whole, (place.numbers for place in graph.places.values() if net.multipliers[place.name]))
    for place in graph.places.values():
        multiplier = net.multipliers[place.name]
        own = spec.times(multiplier)
        for number, index in zip(place.numbers, indices(place.shape), strict=True):
            w = graph.values[number]
            rests = multiplier == 0 or graph.rests(number)
            before = {slot: state[slot][number] if state else 0.0 for slot in spec.slots}
            after, state_after = (w, before) if rests else rule.step(own, step, w, followed[number], before, place.penalised)
            source, unit = _ends(graph, place, index)
            symbol = graph.symbol(number) if place.connects is None else ""
            parameters.append(
                Parameter(
                    place.name, index, source, unit, whole[number], penalties[number], followed[number], multiplier, w, after,
                    before, state_after, symbol, graph, number,
                )
            )
    return parameters


def _slope_of_penalty(net: Plain, graph: Graph, place: Place, number: int) -> float:
    w = graph.values[number]
    return net.l1 * ((w > 0) - (w < 0)) + net.l2 * w if place.penalised and not graph.rests(number) else 0.0


def _ends(graph: Graph, place: Place, index: tuple[int, ...]) -> tuple[str, str]:
    """What a weight connects, or a bias: names of the source and of the unit."""
    if place.connects is None:
        return "", ""
    sources, units = place.connects
    return graph.nodes[sources[index[0] if len(index) > 1 else 0]].name, graph.nodes[units[index[-1]]].name


def statistics_of(net: Plain, graph: Graph) -> list[Statistic]:
    """What batch normalisations remember, before and after the step."""
    found = []
    for name, (momentum, values) in graph.statistics.items():
        for i, (before, batch) in enumerate(zip(net.given.statistics[name], values, strict=True)):
            found.append(Statistic(name, (i,), before, batch, before + momentum * (batch - before)))
    return found


def row_of(
    r: int, sample: Sample, share: float, passes: tuple[Made, Made], goals: tuple[Goal, Goal],
    layers: tuple[tuple[Layer, ...], tuple[Unit, ...]],
) -> Row:  # fmt: skip
    """The record of row r, before and after the step."""
    before, after = (
        tuple(made.graph.nodes[node].a for node in made.outputs[r].nodes) for made in passes
    )
    output = passes[0].outputs[r]
    return Row(
        inputs=tuple(sample.inputs), target=tuple(sample.target), weight=sample.weight, share=share,
        layers=layers[0], output_before=before, output_after=after, loss_before=goals[0].loss, loss_after=goals[1].loss,
        outputs=layers[1], positions=len(output.nodes) // output.shape[-1], counted=goals[0].counted,
    )  # fmt: skip


def layers_of(net: Plain, made: Made, r: int) -> tuple[tuple[Layer, ...], tuple[Unit, ...]]:
    """The layers of row r with their units, and the units that are the outputs."""
    graph, outputs = made.graph, made.outputs[r].nodes
    inside = set(outputs)
    units: list[list[Unit]] = [[] for _ in net.layers]
    found: dict[int, Unit] = {}
    for number, node in enumerate(graph.nodes):
        if number in inside or (node.layer >= 0 and node.row in (r, -1)):
            found[number] = unit = _unit(graph, number, number in inside)
            if node.layer >= 0:
                units[node.layer].append(unit)
    layers = tuple(
        Layer(
            getattr(layer, "activation", ""), tuple(units[k]), type(layer).__name__, made.values[k + 1][r].shape,
            tuple(made.noted[k].lines),
        )
        for k, layer in enumerate(net.layers)
    )  # fmt: skip
    return layers, tuple(found[number] for number in outputs)


def _unit(graph: Graph, number: int, is_output: bool) -> Unit:
    node = graph.nodes[number]
    return Unit(
        name=node.name,
        weighted_sum=node.s,
        value=node.a,
        derivative=tuple(node.slope) if isinstance(node.slope, list) else node.slope,
        delta=node.delta,
        loss_slope=node.loss_slope,
        direction=_direction(node.delta, node.loss_slope) if is_output else "",
        activation=node.activation,
        group=node.group,
        _graph=graph,
        _number=number,
    )


def _direction(delta: float, loss_slope: float | None) -> str:
    """Which way an output should move. Its sum moves against delta; where the activation falls (gelu below -0.75) or other
    sums act on it too (softmax), that is not the way of the output, which ∂L/∂a tells."""
    slope = delta if loss_slope is None else loss_slope
    return "=" if delta == 0 or slope == 0 else "↓" if slope > 0 else "↑"
