"""A traced step as one document: what is told, in which order, and how much of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from cbp.trace import blocks, equations
from cbp.trace.blocks import Block, Cell, Entry, Equation, Heading, More, Move, Paragraph, Part, Section, Story
from cbp.trace.formulas import Limits, number, shape_text
from cbp.trace.records import Layer, Parameter, Row, Unit
from cbp.trace.rules import LOSS_RULES
from cbp.trace.voices import Voice, voice_of

if TYPE_CHECKING:
    from cbp.trace import Trace

DIRECTIONS = {"↑": Move("↑", "↑ should rise"), "↓": Move("↓", "↓ should fall"), "=": Move("=", "= stays")}

COLUMNS = 12
"""Most columns of an image that is shown as one."""

LARGEST_LAYER, MOST_LAYERS = 6, 4
"""Of a network that is drawn."""

DRAWN_DIGITS = 3


def tell(trace: Trace, limits: Limits) -> Story:
    """The whole trace."""
    voice = voice_of(trace)
    shown = [_row(trace, r, voice, limits) for r in range(min(len(trace.rows), limits.rows))]
    left = len(trace.rows) - len(shown)
    more = [More(left, "rows")] if left else []
    return Story(_facts(trace, voice), (*shown, *more, _step(trace, voice, limits)), _result(trace, limits))


def _facts(trace: Trace, voice: Voice) -> dict[str, list[str]]:
    inputs = f"{shape_text(trace.input_shape)} input{'s' * (len(trace.input_names) > 1)}"
    facts = {
        "Network": [inputs, *map(voice.link, trace.rows[0].layers)],
        "Loss": [f"{trace.loss.name}, {_loss_rule(trace)}"],
        "Optimizer": [_optimizer(trace)],
    }
    if trace.l1 or trace.l2:
        facts["Penalty"] = [f"l1·Σ|w| + l2·Σw²/2 over the weights, l1 = {trace.l1:g}, l2 = {trace.l2:g}"]
    if len(trace.rows) > 1:
        facts["Batch"] = [f"{len(trace.rows):,} rows"]
    return facts


def _loss_rule(trace: Trace) -> str:
    """The loss in symbols."""
    rule = LOSS_RULES[trace.loss.name]
    row = trace.rows[0]
    over = f"{'mean' if rule.mean else 'sum'} over the outputs of " if len(row.target) > row.positions else ""
    if row.positions > 1:
        over = f"mean over the {row.positions} places of {'the ' * (not over)}{over or 'output of '}"
    return f"L = {over}{equations.loss_formula(trace, rule.formula, 5, 'ŷ', 'y')}"


def _optimizer(trace: Trace) -> str:
    """The optimizer with the symbols of its settings; those that are 0 are not used, but a rate of 0 is one."""
    spec = trace.optimizer
    symbols = equations.symbols(trace).items()
    settings = [f"{symbol} = {getattr(spec, name):g}" for name, symbol in symbols
                if name == "rate" or getattr(spec, name, None)]
    nesterov = " with Nesterov momentum" if getattr(spec, "nesterov", False) else ""
    return f"{type(spec).__name__}{nesterov}, {', '.join(settings)}; step t = {trace.step}"


# ----------------------------------------------------------------------------------------------------------------- row


def _row(trace: Trace, r: int, voice: Voice, limits: Limits) -> Part:
    row = trace.rows[r]
    layers = range(len(row.layers))
    inputs, target = _values(trace.input_names, row.inputs, limits), _target(trace, row, limits)
    there = [*_drawing(trace, row), _inputs(trace, row, inputs, limits)]
    there += [block for k in layers for block in _forward(row, k, voice, limits)]
    back: list[Block] = [Paragraph(voice.backward)] if voice.backward else []
    back += [block for k in layers[::-1] if row.layers[k].units for block in _backward(trace, row, k, voice, limits)]
    sections = (
        Section("forward", f"Forward: {voice.forward}", tuple(there)),
        Section("loss", "Loss", (Paragraph(target, "target"), *_loss(trace, row, limits))),
        Section("backward", "Backward: delta δ = ∂L/∂s, how fast the loss grows with the sum s", tuple(back)),
    )
    label, start = (f"Row {r + 1} of {len(trace.rows)}", "") if len(trace.rows) > 1 else ("", "The row: ")
    return Part(label, f"{start}{inputs}; target {target}", sections)


def _values(names: Sequence[str], values: Sequence[float], limits: Limits) -> str:
    """``x1 = 0, x2 = 1, … 62 more``"""
    shown = [f"{name} = {number(v, limits.digits)}" for name, v in zip(names[: limits.terms], values, strict=False)]
    left = len(values) - len(shown)
    return ", ".join([*shown, *[str(More(left))] * (left > 0)])


def _target(trace: Trace, row: Row, limits: Limits) -> str:
    """The targets; of the classes of a cross entropy those above 0."""
    names = [unit.name.replace("ŷ", "y") for unit in row.outputs]
    goals = list(zip(names, row.target, strict=True))
    others = ""
    if trace.loss.name == "cross_entropy" and not all(row.target):
        goals, others = [(name, y) for name, y in goals if y], ", the others 0"
        if row.positions == 1 == len(goals):
            others = f" (label {names.index(goals[0][0])}){others}"
    return _values([name for name, _ in goals], [y for _, y in goals], limits) + others


def _inputs(trace: Trace, row: Row, values: str, limits: Limits) -> Block:
    """The numbers by name; an image of one channel as one."""
    shape = trace.input_shape
    if len(shape) != 3 or shape[2] > 1 or shape[1] > COLUMNS:
        return Paragraph(values)
    cells = _numbers(limits, *row.inputs)
    return blocks.Image("x", tuple(cells[y * shape[1] : (y + 1) * shape[1]] for y in range(shape[0])))


def _forward(row: Row, k: int, voice: Voice, limits: Limits) -> Iterator[Block]:
    layer = row.layers[k]
    yield from voice.there(row, k)
    head = voice.head(layer)
    for title, units, more in _groups(layer, limits):
        entries = tuple(Entry(unit.name, equations.forward(unit, limits, named=voice.named)) for unit in units)
        yield blocks.Equations(entries, more, title, head, layer=k)


def _loss(trace: Trace, row: Row, limits: Limits) -> Iterator[Block]:
    mean = LOSS_RULES[trace.loss.name].mean
    parts = equations.loss_parts(trace, row, limits.digits)
    total = number(row.loss_before, limits.digits)
    if len(parts) == 1 and (len(row.target) == 1 or not mean):
        yield Paragraph(str(Equation("L", "", parts[0][1].left, total)))
        return
    entries = tuple(Entry(name, (equation,)) for name, equation in parts[: limits.units])
    yield blocks.Equations(entries, More(len(parts) - len(entries), "outputs"))
    over = "mean" if mean else "sum" if row.counted == 1 else f"sum / {row.counted}"
    yield Paragraph(f"L = {over} = {total}")


def _backward(trace: Trace, row: Row, k: int, voice: Voice, limits: Limits) -> Iterator[Block]:
    yield voice.back(trace, row, k)
    for title, units, more in _groups(row.layers[k], limits, backward=True):
        entries = tuple(
            Entry(unit.name, equations.backward(trace, row, unit, limits, named=voice.named), DIRECTIONS.get(unit.direction))
            for unit in units
        )
        yield blocks.Equations(entries, more, title, layer=k)


def _groups(layer: Layer, limits: Limits, *, backward: bool = False) -> list[tuple[str, list[Unit], More]]:
    """(title, units, units left out) of the groups of a layer, such as its time steps; how many groups are left out is
    the last entry, without units. On the way back what was computed last comes first, where units of the layer depend on
    each other."""
    found: dict[str, list[Unit]] = {}
    for unit in layer.units:
        found.setdefault(unit.group, []).append(unit)
    most = limits.units if len(found) < 2 else 2 * limits.units
    names = {unit.name for unit in layer.units}
    turned = backward and any(term.source in names for unit in layer.units for term in unit.terms)
    shown = []
    for title, units in list(found.items())[: limits.steps]:
        kept = units[:most]
        shown.append((title, kept[::-1] if turned else kept, More(len(units) - len(kept), "units")))
    shown = shown[::-1] if turned else shown
    left = len(found) - limits.steps
    return [*shown, ("", [], More(left, "steps"))] if left > 0 else shown


# ---------------------------------------------------------------------------------------------------------------- step


def _step(trace: Trace, voice: Voice, limits: Limits) -> Part:
    over = "" if len(trace.rows) == 1 else ", sum over the rows" if trace.coupled else ", mean over the rows"
    told: list[Block] = [Paragraph(rule) for rule in equations.update_rules(trace)]
    if trace.parameters:
        example = max(trace.parameters, key=lambda parameter: abs(parameter.gradient))
        entry = Entry(example.label, equations.update(trace, example, limits))
        told.append(blocks.Updates(f"For example {example.label}:", entry))
    told += [block for k in range(len(trace.rows[0].layers)) for block in _parameters(trace, k, voice, limits)]
    return Part("", "The step", (Section("update", f"Step: gradient g = {voice.gradient}{over}", tuple(told)),))


def _parameters(trace: Trace, k: int, voice: Voice, limits: Limits) -> Iterator[Block]:
    """The parameters of layer k: gradients of those that are shared, place by place; then all, before and after."""
    own = [parameter for parameter in trace.parameters if parameter.name.startswith(f"{k}.")]
    if not own:
        return
    several = [parameter for parameter in own if parameter.symbol]
    listed, shared = _largest(own, limits.connections), _largest(several, limits.units)
    cut = len(listed) < len(own) or len(shared) < len(several)
    yield Heading(f"{voice.layer(trace.rows[0], k)}{', the largest gradients' * cut}")
    if shared:
        entries = tuple(Entry(parameter.symbol, equations.gradient(trace, parameter, limits)) for parameter in shared)
        yield blocks.Equations(entries, More(len(several) - len(shared), "parameters"), stacked=True, layer=k)
    thing = "parameter" if any(parameter.symbol for parameter in listed) else "connection"
    symbols = equations.symbols(trace)
    head = (thing, "gradient", "before", "", "after", *(f"{slot} {symbols[slot]}" for slot in trace.optimizer.slots))
    rows = tuple(_parameter(trace, parameter, limits) for parameter in listed)
    yield blocks.Table(head, rows, (2, *range(4, len(head))), More(len(own) - len(listed), f"{thing}s"), layer=k)


def _largest(parameters: list[Parameter], most: int) -> list[Parameter]:
    """All, or those with the largest gradients."""
    if len(parameters) <= most:
        return parameters
    return sorted(parameters, key=lambda parameter: -abs(parameter.gradient))[:most]


def _parameter(trace: Trace, parameter: Parameter, limits: Limits) -> tuple[Cell, ...]:
    """Name, gradient, value before and after, and state after the step."""
    total, before, after, *state = _numbers(
        limits, parameter.gradient, parameter.before, parameter.after, *parameter.state_after.values()
    )
    products = "" if parameter.symbol else equations.connection_gradient(trace, parameter, limits)
    arrow = _change(parameter)
    return (parameter.label, Equation("", "", products, total), before, Move(arrow, arrow), after, *state)


def _change(parameter: Parameter) -> str:
    return "↑" if parameter.after > parameter.before else "↓" if parameter.after < parameter.before else "="


# -------------------------------------------------------------------------------------------------------------- result


def _result(trace: Trace, limits: Limits) -> Section:
    rows: list[tuple[Cell, ...]] = []
    for r, row in enumerate(trace.rows[: limits.rows]):
        for j, unit in enumerate(row.outputs[: limits.units]):
            name = f"row {r + 1}, {unit.name}" if len(trace.rows) > 1 else unit.name
            values = row.target[j], row.output_before[j], row.output_after[j]
            rows.append((name, DIRECTIONS[unit.direction], *_numbers(limits, *values)))
    more = More(len(trace.rows) * len(trace.rows[0].target) - len(rows), "outputs")
    before, after = _numbers(limits, trace.loss_before, trace.loss_after)
    penalty = " (penalty included)" if trace.l1 or trace.l2 else ""
    table = blocks.Table(("output", "", "target", "before", "after"), tuple(rows), (2, 3, 4), more)
    loss = Paragraph(f"loss {before} → {after}{penalty}")
    return Section("result", "Result of the step", (table, loss, *_statistics(trace, limits)))


def _statistics(trace: Trace, limits: Limits) -> Iterator[Block]:
    """What batch normalisations remember."""
    rows = tuple(
        (f"{each.name}[{each.index[0] + 1}]", *_numbers(limits, each.before, each.batch, each.after))
        for each in trace.statistics[: limits.connections]
    )
    if rows:
        more = More(len(trace.statistics) - len(rows), "statistics")
        yield blocks.Table(("remembered", "before", "in this batch", "after"), rows, (1, 2, 3), more)


def _numbers(limits: Limits, *values: float) -> tuple[str, ...]:
    return tuple(number(value, limits.digits) for value in values)


# ------------------------------------------------------------------------------------------------------------- drawing


def _drawing(trace: Trace, row: Row) -> Iterator[blocks.Drawing]:
    """The network with the numbers of one row, if it has few units, each with a place of its own."""
    sizes = [len(trace.input_names), *(len(layer.units) for layer in row.layers)]
    if trace.layered or max(sizes) > LARGEST_LAYER or len(sizes) > MOST_LAYERS + 1:
        return
    inputs = zip(trace.input_names, row.inputs, strict=True)
    columns = [tuple(blocks.Circle(name, number(value, DRAWN_DIGITS), ()) for name, value in inputs)]
    biases = {parameter.unit: _moves(parameter) for parameter in trace.parameters if parameter.source == "bias"}
    columns += [tuple(_circle(unit, biases) for unit in layer.units) for layer in row.layers]
    places = {(c, circle.name): (c, i) for c, column in enumerate(columns) for i, circle in enumerate(column)}
    largest = max((abs(parameter.gradient) for parameter in trace.parameters), default=0.0) or 1.0
    lines = []
    for parameter in trace.parameters:
        if parameter.source != "bias":
            k = int(parameter.name.split(".")[0])
            ends = places[k, parameter.source], places[k + 1, parameter.unit]
            lines.append(blocks.Line(*ends, abs(parameter.gradient) / largest, _moves(parameter)))
    title = "The network with the values of this row: in the circles the activations, on the lines the weights."
    yield blocks.Drawing(title, tuple(columns), tuple(lines))


def _circle(unit: Unit, biases: dict[str, Move]) -> blocks.Circle:
    notes = [Move("", f"δ = {number(unit.delta, DRAWN_DIGITS)} {unit.direction}")]
    if unit.name in biases:
        notes.append(replace(biases[unit.name], words=f"bias {biases[unit.name]}"))
    return blocks.Circle(unit.name, number(unit.value, DRAWN_DIGITS), tuple(notes))


def _moves(parameter: Parameter) -> Move:
    """A weight before and after the step, in the drawing."""
    before, after = number(parameter.before, DRAWN_DIGITS), number(parameter.after, DRAWN_DIGITS)
    return Move(_change(parameter), before if before == after else f"{before} → {after}")
