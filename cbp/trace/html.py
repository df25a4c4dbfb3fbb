"""A trace as HTML that stands alone, for notebooks and browsers: no script, nothing loaded, legible on light and dark.

Colours come from the page (``currentColor`` and translucent greys); only rise and fall have their own, which read on
both.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from cbp.trace import formulas, layered, layered_html, svg
from cbp.trace.elements import CLASSES, code, direction, formula, quiet, table
from cbp.trace.formulas import Limits, equation, more, number
from cbp.trace.records import Row
from cbp.trace.rules import LOSS_RULES

if TYPE_CHECKING:
    from cbp.trace import Trace

LIMITS = Limits(digits=5, rows=4, units=10, terms=8, connections=40)

STYLE = """
.cbp-trace {font: 14px/1.5 system-ui, sans-serif; color: inherit; max-width: 76em}
.cbp-trace table {border-collapse: collapse; margin: .3em 0 .9em; font-size: 13px; color: inherit}
.cbp-trace th, .cbp-trace td {padding: .22em .9em .22em 0; text-align: left; vertical-align: top; color: inherit;
  background: none; border: 0; border-bottom: 1px solid rgba(127, 127, 127, .28); white-space: normal}
.cbp-trace thead th {font-weight: 600; border-bottom: 1px solid rgba(127, 127, 127, .7); white-space: nowrap}
.cbp-trace tbody th {font-weight: 600; white-space: nowrap}
.cbp-trace td, .cbp-trace code {font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: 12.5px}
.cbp-trace code {background: none; color: inherit; padding: 0}
.cbp-trace td span, .cbp-trace code span {white-space: nowrap}
.cbp-trace td.n {text-align: right; white-space: nowrap}
.cbp-trace th.n {text-align: right}
.cbp-trace .wide {overflow-x: auto}
.cbp-trace details {margin: .6em 0}
.cbp-trace summary {cursor: pointer; font-weight: 600; padding: .25em .6em; background: rgba(127, 127, 127, .15);
  border-radius: 4px}
.cbp-trace details > div {padding: .2em .6em}
.cbp-trace h4 {font-size: 14px; font-weight: 600; margin: 1em 0 .2em; color: inherit}
.cbp-trace p {margin: .2em 0 .4em}
.cbp-trace .quiet {opacity: .75}
.cbp-trace .up {color: #1a8f5f; font-weight: 600} .cbp-trace .down {color: #d2502f; font-weight: 600}
.cbp-trace svg {display: block; max-width: 100%; height: auto; margin: .6em 0}
"""


def render(trace: Trace, limits: Limits = LIMITS) -> str:
    """The whole trace as one element."""
    parts = [_facts(trace), _result(trace, limits)]
    shown = trace.rows[: limits.rows]
    parts += [_row(trace, r, limits) for r in range(len(shown))]
    parts += [quiet(line) for line in more(len(trace.rows) - len(shown), "rows")]
    return f'<div class="cbp-trace"><style>{STYLE}</style>{"".join(parts)}{_step(trace, limits)}</div>'


def page(title: str, body: str) -> str:
    """A page for a browser."""
    return f'<!doctype html>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n{body}\n'


def _details(summary: str, content: str) -> str:
    return f"<details open><summary>{escape(summary)}</summary><div>{content}</div></details>"


# ------------------------------------------------------------------------------------------------------------ sections


def _facts(trace: Trace) -> str:
    rows = [["Network", code((layered if trace.layered else formulas).network_text(trace))]]
    rows.append(["Loss", code(f"{trace.loss.name}, {formulas.loss_rule(trace)}")])
    rows.append(["Optimizer", code(formulas.optimizer_text(trace))])
    if trace.l1 or trace.l2:
        rows.append(["Penalty", code(formulas.penalty_text(trace))])
    return table([], rows)


def _result(trace: Trace, limits: Limits) -> str:
    rows = []
    for r, row in enumerate(trace.rows[: limits.rows]):
        for j, unit in enumerate(row.outputs[: limits.units]):
            name = f"row {r + 1}, {unit.name}" if len(trace.rows) > 1 else unit.name
            values = [number(v, limits.digits) for v in (row.target[j], row.output_before[j], row.output_after[j])]
            rows.append([escape(name), direction(unit.direction), *values])
    before, after = (number(v, limits.digits) for v in (trace.loss_before, trace.loss_after))
    left_out = more(len(trace.rows) * len(trace.rows[0].target) - len(rows), "outputs")
    rows.append(["loss" + (" with penalty" if trace.l1 or trace.l2 else ""), "", "", before, after])
    shown = table(["output", "", "target", "before", "after the step"], rows, (2, 3, 4))
    return shown + _statistics(trace, limits) + "".join(map(quiet, left_out))


def _statistics(trace: Trace, limits: Limits) -> str:
    """What batch normalisations remember."""
    if not trace.statistics:
        return ""
    rows = []
    for statistic in trace.statistics[: limits.connections]:
        numbers = (statistic.before, statistic.batch, statistic.after)
        name = f"{statistic.name}[{statistic.index[0] + 1}]"
        rows.append([escape(name), *(number(value, limits.digits) for value in numbers)])
    left_out = more(len(trace.statistics) - len(rows), "statistics")
    return table(["remembered", "before", "in this batch", "after"], rows, (1, 2, 3)) + "".join(map(quiet, left_out))


def _row(trace: Trace, r: int, limits: Limits) -> str:
    row = trace.rows[r]
    title = f"Row {r + 1} of {len(trace.rows)}" if len(trace.rows) > 1 else "The row"
    inputs = formulas.values_text(trace.input_names, row.inputs, limits)
    there, back = (layered_html.forward, layered_html.backward) if trace.layered else (_forward, _backward)
    parts = [
        layered_html.image(trace, row, limits) if trace.layered else svg.draw(trace, row),
        *(there(trace, row, k, limits) for k in range(len(row.layers))),
        _loss(trace, row, limits),
        f"<h4>Backward</h4><p>{code(layered.DELTA)}</p><p>{code(layered.BACKWARD)}</p>" if trace.layered else "",
        *(back(trace, row, k, limits) for k in range(len(row.layers) - 1, -1, -1)),
    ]
    return _details(f"{title}: {inputs}; target {formulas.target_text(trace, row, limits)}", "".join(parts))


def _forward(trace: Trace, row: Row, k: int, limits: Limits) -> str:
    layer = row.layers[k]
    rows = []
    for j, unit in enumerate(layer.units[: limits.units]):
        rows.append([escape(unit.name), *map(formula, formulas.unit_texts(layer, j, limits))])
    head = ["unit", "weighted sum", "activation", "derivative"]
    return (
        f"<h4>Forward: {escape(formulas.layer_name(row, k).lower())}, {escape(layer.activation)}</h4>"
        f"<p>{code(', '.join(formulas.layer_rule(layer)))}</p>"
        + table(head, rows)
        + "".join(map(quiet, more(len(layer.units) - limits.units, "units")))
    )


def _loss(trace: Trace, row: Row, limits: Limits) -> str:
    parts = formulas.loss_parts(trace, row, limits.digits)
    total = number(row.loss_before, limits.digits)
    mean = LOSS_RULES[trace.loss.name].mean
    if len(parts) == 1 and (len(row.target) == 1 or not mean):
        return f"<h4>Loss</h4><p>{code(equation('L', parts[0][1], total))}</p>"
    rows = [
        [escape(name), formula(equation("", text, number(value, limits.digits)))]
        for name, text, value in parts[: limits.units]
    ]
    rows.append([formulas.total_text(trace, row), f"L = {total}"])
    return "<h4>Loss</h4>" + table([], rows) + "".join(map(quiet, more(len(parts) - limits.units, "outputs")))


def _backward(trace: Trace, row: Row, k: int, limits: Limits) -> str:
    layer = row.layers[k]
    rows = []
    for j, unit in enumerate(layer.units[: limits.units]):
        texts = map(formula, formulas.delta_texts(trace, row, k, j, limits))
        rows.append([escape(unit.name), *texts, *([direction(unit.direction)] if unit.direction else [])])
    return (
        f"<h4>Backward: {escape(formulas.layer_name(row, k).lower())}</h4>"
        f"<p>{code(formulas.delta_rule(trace, row, k))}</p>"
        + table([], rows)
        + "".join(map(quiet, more(len(layer.units) - limits.units, "units")))
    )


def _step(trace: Trace, limits: Limits) -> str:
    parts = [f"<p>{code(rule)}</p>" for rule in formulas.update_rules(trace)]
    if trace.parameters:
        example = formulas.example_parameter(trace)
        parts.append(f"<p>For example {escape(example.label)}:</p>")
        parts += [f"<p>{code(text)}</p>" for text in formulas.update_texts(trace, example, limits)]
    for k in range(len(trace.rows[0].layers)):
        parts.append(_parameters(trace, k, limits))
    mean = formulas.over_the_rows(trace)
    what = "Σ over its places of δ · value" if trace.layered else "δ of the unit · value of the source"
    return _details(f"The step: gradient g = {what}{mean}", "".join(parts))


def _parameters(trace: Trace, k: int, limits: Limits) -> str:
    """The parameters of layer k before and after."""
    parameters, left_out = formulas.shown_parameters(trace, k, limits)
    if not parameters:
        return ""
    slots = [f"{slot} {formulas.symbols(trace)[slot]}" for slot in trace.optimizer.slots]
    noun = formulas.noun(parameters)
    rows = []
    for p in parameters:
        total = number(p.gradient, limits.digits)
        gradient = total if p.symbol else equation("", formulas.gradient_text(trace, p, limits), total)
        arrow = formulas.change(p)
        state = [number(v, limits.digits) for v in p.state_after.values()]
        before, after = number(p.before, limits.digits), number(p.after, limits.digits)
        marked = f'<span class="{CLASSES[arrow]}">{arrow}</span>'
        rows.append([escape(p.label), formula(gradient), before, marked, after, *state])
    name = layered.layer_title(trace.rows[0], k) if trace.layered else formulas.layer_name(trace.rows[0], k)
    note = ", the largest gradients" if left_out else ""
    shared = layered_html.gradients(trace, k, limits) if trace.layered else ""
    shown = table([noun, "gradient g", "before", "", "after", *slots], rows, (2, 4, 5, 6))
    return f"<h4>{escape(name + note)}</h4>{shared}{shown}" + "".join(map(quiet, more(left_out, f"{noun}s")))
