"""A trace as text of at most 100 columns (a table of a batch's step may need more where its numbers are long)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbp.trace import formulas, layered, layered_text
from cbp.trace.formulas import Limits, equation, more, number
from cbp.trace.lines import DIRECTIONS, LABEL, WIDTH, chain, table, title, wrapped
from cbp.trace.records import Row
from cbp.trace.rules import LOSS_RULES

if TYPE_CHECKING:
    from cbp.trace import Trace

SEPARATOR = ",   "


def render(trace: Trace, limits: Limits) -> str:
    """The whole trace."""
    lines = _heading(trace)
    shown = trace.rows[: limits.rows]
    for r, row in enumerate(shown):
        heading = f"ROW {r + 1} of {len(trace.rows)}: " if len(trace.rows) > 1 else ""
        there, back = (layered_text.forward, layered_text.backward) if trace.layered else (_forward, _backward)
        lines += ["", *there(trace, row, heading, limits)]
        lines += ["", *_loss(trace, row, limits), "", *back(trace, row, limits)]
    lines += [f"\n{line}" for line in more(len(trace.rows) - len(shown), "rows")]
    lines += ["", *_step(trace, limits), "", *_result(trace, limits)]
    return "\n".join(lines)


def _fitted(label: str, parts: Sequence[str]) -> list[str]:
    """The parts on one line if they fit, else each on its own; behind the label or aligned with what is."""
    line = label.ljust(LABEL) + SEPARATOR.join(parts)
    if len(line) <= WIDTH:
        return [line]
    return [line for p, part in enumerate(parts) for line in wrapped(("" if p else label).ljust(LABEL), part)]


def _heading(trace: Trace) -> list[str]:
    lines = [
        *chain("Network     ", (layered if trace.layered else formulas).network_text(trace)),
        *wrapped("Loss        ", f"{trace.loss.name}, {formulas.loss_rule(trace)}"),
        *wrapped("Optimizer   ", formulas.optimizer_text(trace)),
    ]
    if trace.l1 or trace.l2:
        lines += wrapped("Penalty     ", formulas.penalty_text(trace))
    if len(trace.rows) > 1:
        lines.append(f"Batch       {len(trace.rows):,} rows")
    return lines


def _forward(trace: Trace, row: Row, start: str, limits: Limits) -> list[str]:
    lines = [
        title(f"{start}FORWARD: weighted sum s, activation a = f(s), derivative a′ = da/ds"),
        *wrapped("  ", formulas.values_text(trace.input_names, row.inputs, limits)),
    ]
    for k, layer in enumerate(row.layers):
        lines += ["", f"  {formulas.layer_name(row, k)}, {layer.activation}:"]
        lines += _fitted("", formulas.layer_rule(layer))
        units = layer.units[: limits.units]
        texts = [formulas.unit_texts(layer, j, limits) for j in range(len(units))]
        fits = all(len(SEPARATOR.join(three)) + LABEL <= WIDTH for three in texts)
        for unit, (weighted_sum, *others) in zip(units, texts, strict=True):
            if fits:
                lines += _fitted(f"  {unit.name} ", [weighted_sum, *others])
            else:
                lines += _fitted(f"  {unit.name} ", [weighted_sum]) + _fitted("", others)
        lines += ["    " + line for line in more(len(layer.units) - len(units), "units")]
    return lines


def _loss(trace: Trace, row: Row, limits: Limits) -> list[str]:
    lines = [title("LOSS"), *wrapped("  target ", formulas.target_text(trace, row, limits))]
    mean = LOSS_RULES[trace.loss.name].mean
    parts = formulas.loss_parts(trace, row, limits.digits)
    total = number(row.loss_before, limits.digits)
    if len(parts) == 1 and (len(row.target) == 1 or not mean):
        return [*lines, *wrapped("  ", equation("L", parts[0][1], total))]
    for name, formula, value in parts[: limits.units]:
        lines += wrapped(f"  {name} ".ljust(LABEL), equation("", formula, number(value, limits.digits)))
    lines += ["    " + line for line in more(len(parts) - limits.units, "outputs")]
    return [*lines, f"  L = {formulas.total_text(trace, row)} = {total}"]


def _backward(trace: Trace, row: Row, limits: Limits) -> list[str]:
    lines = [title("BACKWARD: delta δ = ∂L/∂s, how fast the loss grows with the sum s")]
    for k in range(len(row.layers) - 1, -1, -1):
        layer = row.layers[k]
        lines += wrapped("  ", f"{formulas.layer_name(row, k)}: {formulas.delta_rule(trace, row, k)}")
        for j, unit in enumerate(layer.units[: limits.units]):
            texts = formulas.delta_texts(trace, row, k, j, limits)
            lines += _fitted(f"  {unit.name} ", [*texts, *filter(None, [DIRECTIONS.get(unit.direction)])])
        lines += ["    " + line for line in more(len(layer.units) - limits.units, "units")]
        lines += [""] if k else []
    return lines


def _step(trace: Trace, limits: Limits) -> list[str]:
    mean = formulas.over_the_rows(trace)
    what = "Σ over its places of δ · value" if trace.layered else "δ of the unit · value of the source"
    lines = [title(f"STEP: gradient g = {what}{mean}")]
    for rule in formulas.update_rules(trace):
        lines += wrapped("  ", rule)
    if trace.parameters:
        example = formulas.example_parameter(trace)
        lines += [f"  For example {example.label}:"]
        for text in formulas.update_texts(trace, example, limits):
            lines += wrapped("    ", text)
    for k in range(len(trace.rows[0].layers)):
        lines += layered_text.gradients(trace, k, limits) if trace.layered else [""]
        lines += _connections(trace, k, limits)
    return lines


def _connections(trace: Trace, k: int, limits: Limits) -> list[str]:
    """The table of layer k: connections with gradient, before, after, and state after."""
    parameters, left_out = formulas.shown_parameters(trace, k, limits)
    if not parameters:
        return []
    slots = [f"{slot} {formulas.symbols(trace)[slot]}" for slot in trace.optimizer.slots]
    rows, short = [], []
    for p in parameters:
        numbers = [number(v, limits.digits) for v in (p.before, p.after, *p.state_after.values())]
        gradient = number(p.gradient, limits.digits)
        formula = gradient if p.symbol else equation("", formulas.gradient_text(trace, p, limits), gradient)
        cells = [numbers[0], formulas.change(p), *numbers[1:]]
        rows.append([p.label, formula, *cells])
        short.append([p.label, gradient, *cells])
    noun = formulas.noun(parameters)
    head = [noun, "gradient", "before", "", "after", *slots]
    lines = table(head, rows, "    ")
    if max(map(len, lines)) > WIDTH:
        lines = table(head, short, "    ")
    note = ", the largest gradients" if left_out else ""
    tail = ["    " + line for line in more(left_out, f"{noun}s")]
    heading = [] if trace.layered else [f"  {formulas.layer_name(trace.rows[0], k)}{note}"]
    return [*heading, *lines, *tail]


def _result(trace: Trace, limits: Limits) -> list[str]:
    cells = []
    for r, row in enumerate(trace.rows[: limits.rows]):
        for j, unit in enumerate(row.outputs[: limits.units]):
            name = f"row {r + 1}, {unit.name}" if len(trace.rows) > 1 else unit.name
            values = [number(v, limits.digits) for v in (row.target[j], row.output_before[j], row.output_after[j])]
            cells.append([name, DIRECTIONS[unit.direction], *values])
    left_out = len(trace.rows) * len(trace.rows[0].target) - len(cells)
    before, after = (number(v, limits.digits) for v in (trace.loss_before, trace.loss_after))
    penalty = " (penalty included)" if trace.l1 or trace.l2 else ""
    return [
        title("RESULT of the step"),
        *table(["output", "", "target", "before", "after"], cells, "  "),
        *["  " + line for line in more(left_out, "outputs")],
        f"  loss {before} → {after}{penalty}",
        *_statistics(trace, limits),
    ]


def _statistics(trace: Trace, limits: Limits) -> list[str]:
    """What batch normalisations remember."""
    if not trace.statistics:
        return []
    rows = []
    for statistic in trace.statistics[: limits.connections]:
        numbers = (statistic.before, statistic.batch, statistic.after)
        name = f"{statistic.name}[{statistic.index[0] + 1}]"
        rows.append([name, "", *(number(value, limits.digits) for value in numbers)])
    tail = more(len(trace.statistics) - len(rows), "statistics")
    return ["", *table(["remembered", "", "before", "in this batch", "after"], rows, "  "), *["  " + line for line in tail]]
