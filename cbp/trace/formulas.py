"""The formulas of a trace as strings: in symbols, and filled in with the numbers of a unit or a parameter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from cbp.trace.records import Layer, Parameter, Row, Term
from cbp.trace.rules import ACTIVATION_RULES, FUSED_RULES, LOSS_RULES, OPTIMIZER_RULES, TINY, Constants

if TYPE_CHECKING:
    from cbp.trace import Trace


class Limits(NamedTuple):
    """How much is shown: significant digits, rows, units of a layer, terms of a sum, connections into a layer, time steps."""

    digits: int
    rows: int
    units: int
    terms: int
    connections: int
    steps: int = 6


# ---------------------------------------------------------------------------------------------------------- templates


def number(value: float, digits: int) -> str:
    """Without a negative zero."""
    return f"{value + 0.0:.{digits}g}"


def fill(template: str, digits: int, **values: float | str) -> str:
    """A formula with its numbers; negative ones stand in parentheses where they must."""
    texts = {name: value if isinstance(value, str) else number(value, digits) for name, value in values.items()}
    filled = template.format_map({name: f"({text})" if text[:1] == "-" else text for name, text in texts.items()})
    # tanh((-1)) is tanh(-1) and (-1) - 2 is -1 - 2, but (-1)² stays.
    return re.sub(r"(^|[(|]|, |if |else |[<=] )\((-[\d.e+-]+)\)(?![²^])", r"\1\2", filled)


def equation(name: str, *sides: str) -> str:
    """``name = side = side``, where equal neighbours are written once."""
    different = [side for side, following in zip(sides, [*sides[1:], None], strict=True) if side != following]
    return " = ".join([name, *different] if name else different)


def signed_sum(texts: Sequence[str]) -> str:
    """``a + b - c`` of a, b and -c."""
    text = "".join(f" - {text[1:]}" if text[:1] == "-" else f" + {text}" for text in texts)
    return "0" if not text else text[3:] if text[:3] == " + " else "-" + text[3:]


def weighted_sum(terms: Sequence[Term], limits: Limits) -> str:
    """``0.5·2 - 1·3 + 4``; of a long sum the largest addends with their sources, and what the others come to."""
    if len(terms) <= limits.terms + 1:
        return signed_sum([_product(term, limits.digits) for term in terms])
    largest = sorted(range(len(terms)), key=lambda i: -abs(terms[i].product))[: limits.terms]
    texts = [f"{_product(terms[i], limits.digits)} ({terms[i].source})" for i in sorted(largest)]
    rest = sum(term.product for i, term in enumerate(terms) if i not in largest)
    return f"{signed_sum(texts)} + … {len(terms) - len(texts)} more ({number(rest, limits.digits)})"


def _product(term: Term, digits: int) -> str:
    if term.source == "bias":
        return number(term.weight, digits)
    return fill("{w}·{v}", digits, w=term.weight, v=term.value)


def more(count: int, what: str) -> list[str]:
    """What is said about what is left out, if anything is."""
    return [f"… {count:,} more {what if count > 1 else what[:-1]}".rstrip()] if count > 0 else []


# -------------------------------------------------------------------------------------------------- forward and loss


def network_text(trace: Trace) -> str:
    """The sizes of the layers."""
    inputs = f"{len(trace.input_names)} input{'s' * (len(trace.input_names) > 1)}"
    return " → ".join([inputs, *(f"{len(layer.units)} {layer.activation}" for layer in trace.rows[0].layers)])


def penalty_text(trace: Trace) -> str:
    """The penalty in symbols, with its two factors."""
    return f"l1·Σ|w| + l2·Σw²/2 over the weights, l1 = {trace.l1:g}, l2 = {trace.l2:g}"


def values_text(names: Sequence[str], values: Sequence[float], limits: Limits) -> str:
    """``x1 = 0, x2 = 1, … 62 more``"""
    shown = [f"{name} = {number(v, limits.digits)}" for name, v in zip(names[: limits.terms], values, strict=False)]
    return ", ".join([*shown, *more(len(values) - len(shown), "")])


def target_text(trace: Trace, row: Row, limits: Limits) -> str:
    """The targets; of the classes of a cross entropy those above 0."""
    names = [unit.name.replace("ŷ", "y") for unit in row.outputs]
    goals = list(zip(names, row.target, strict=True))
    others = ""
    if trace.loss.name == "cross_entropy" and not all(row.target):
        goals, others = [(name, y) for name, y in goals if y], ", the others 0"
        if row.positions == 1 == len(goals):
            others = f" (label {names.index(goals[0][0])}){others}"
    return values_text([name for name, _ in goals], [y for _, y in goals], limits) + others


def layer_name(row: Row, k: int) -> str:
    last = len(row.layers) - 1
    return "Output layer" if k == last else "Hidden layer" if last == 1 else f"Hidden layer {k + 1}"


def layer_rule(layer: Layer) -> list[str]:
    """Weighted sum, activation and derivative in symbols."""
    rule = ACTIVATION_RULES[layer.activation]
    products = [term.source if term.source == "bias" else f"w·{term.source}" for term in layer.units[0].terms]
    if len(products) > 5:
        products[2:-2] = ["…"]
    slope = f"a′ = {fill(rule.slope, 5, s='s', a='a')}"
    if rule.joint:
        slope = "a′ = ∂aᵢ/∂sᵢ = aᵢ·(1 - aᵢ),   ∂aᵢ/∂sⱼ = -aᵢ·aⱼ"
    return [f"s = {' + '.join(products)}", f"a = {fill(rule.formula, 5, s='s', a='a')}", slope]


def unit_texts(layer: Layer, j: int, limits: Limits) -> list[str]:
    """Weighted sum, activation and derivative of unit j in numbers."""
    rule, unit, digits = ACTIVATION_RULES[layer.activation], layer.units[j], limits.digits
    known = {"s": unit.weighted_sum, "a": unit.value}
    return [
        equation("s", weighted_sum(unit.terms, limits), number(unit.weighted_sum, digits)),
        equation("a", fill(rule.formula, digits, **known), number(unit.value, digits)),
        equation("a′", fill(rule.slope, digits, **known), number(unit.own_derivative, digits)),
    ]


def loss_rule(trace: Trace) -> str:
    """The loss in symbols."""
    rule = LOSS_RULES[trace.loss.name]
    row = trace.rows[0]
    over = f"{'mean' if rule.mean else 'sum'} over the outputs of " if len(row.target) > row.positions else ""
    over = f"mean over the {row.positions} places of {'the ' * (not over)}{over or 'output of '}" if row.positions > 1 else over
    return f"L = {over}{fill(rule.formula, 5, p='ŷ', y='y', **vars(trace.loss))}"


def loss_parts(trace: Trace, row: Row, digits: int) -> list[tuple[str, str, float]]:
    """(output, formula, value) of every output's part of the row's loss; of a cross entropy those with y above 0."""
    rule = LOSS_RULES[trace.loss.name]
    constants = Constants(trace.loss, TINY[trace.dtype])
    parts = []
    counted = row.counted * len(row.target) // row.positions
    for unit, y in list(zip(row.outputs, row.target, strict=True))[:counted]:
        if y or trace.loss.name != "cross_entropy":
            formula = fill(rule.formula, digits, p=unit.value, y=y, **vars(trace.loss))
            parts.append((unit.name, formula, rule.compute(unit.value, y, constants)[0]))
    return parts


# ---------------------------------------------------------------------------------------------------------- backward


def _averaged(trace: Trace, formula: str) -> str:
    """A derivative by one output, divided by their number where the loss is a mean over them."""
    outputs = len(trace.rows[0].target)
    return f"({formula}) / {outputs}" if LOSS_RULES[trace.loss.name].mean and outputs > 1 else formula


def total_text(trace: Trace, row: Row) -> str:
    """How the loss of a row comes from its parts."""
    if LOSS_RULES[trace.loss.name].mean:
        return "mean"
    return "sum" if row.counted == 1 else f"sum / {row.counted}"


def delta_rule(trace: Trace, row: Row, k: int) -> str:
    """How the deltas of layer k arise, in symbols."""
    layer = row.layers[k]
    joint = ACTIVATION_RULES[layer.activation].joint
    if k < len(row.layers) - 1:
        if joint:
            return "∂L/∂a = Σ w·δ over the next layer, δ = Σ ∂L/∂aᵢ·∂aᵢ/∂s over this one"
        return "δ = ∂L/∂a·a′, where ∂L/∂a = Σ w·δ over the next layer"
    fused = FUSED_RULES.get((layer.activation, trace.loss.name))
    if fused:
        delta = _averaged(trace, fill(fused.delta, 5, p="ŷ", y="y"))
        return f"{layer.activation} and {trace.loss.name} together leave δ = {delta}"
    slope = fill(LOSS_RULES[trace.loss.name].slope, 5, p="ŷ", y="y", **vars(trace.loss))
    return f"∂L/∂ŷ = {_averaged(trace, slope)}, δ = " + ("Σ ∂L/∂ŷᵢ·∂ŷᵢ/∂s" if joint else "∂L/∂ŷ·a′")


def delta_texts(trace: Trace, row: Row, k: int, j: int, limits: Limits) -> list[str]:
    """The delta of unit j of layer k in numbers, with ∂L/∂a before it where that is a step of its own."""
    layer, unit, digits = row.layers[k], row.layers[k].units[j], limits.digits
    delta = number(unit.delta, digits)
    fused = FUSED_RULES.get((layer.activation, trace.loss.name)) if k == len(row.layers) - 1 else None
    if fused:
        return [equation("δ", _averaged(trace, fill(fused.delta, digits, p=unit.value, y=row.target[j])), delta)]
    outer = number(unit.outer_slope, digits)
    if unit.loss_slope is not None:
        slope = LOSS_RULES[trace.loss.name].slope
        formula = fill(slope, digits, p=unit.value, y=row.target[j], **vars(trace.loss))
        start = [equation(f"∂L/∂{unit.name}", _averaged(trace, formula), outer)]
    else:
        start = [equation("∂L/∂a", weighted_sum(unit.back_terms, limits), outer)]
    if ACTIVATION_RULES[layer.activation].joint:
        return [*start, equation("δ", weighted_sum(unit.joint_terms, limits), delta)]
    if unit.loss_slope is not None:
        product = fill("{d}·{a}", digits, d=unit.outer_slope, a=unit.own_derivative)
        return [*start, equation("δ", product, delta)]
    slope_text = fill("1·{a}", digits, a=unit.own_derivative)[2:]
    return [equation("δ", f"({weighted_sum(unit.back_terms, limits)})·{slope_text}", delta)]


# -------------------------------------------------------------------------------------------------------------- step


def symbols(trace: Trace) -> dict[str, str]:
    """How the optimizer's settings and state are written."""
    return OPTIMIZER_RULES[trace.optimizer.rule].symbols


def optimizer_text(trace: Trace) -> str:
    """The optimizer with the symbols of its settings; those that are 0 are not used."""
    spec = trace.optimizer
    settings = [f"{symbol} = {getattr(spec, name):g}" for name, symbol in symbols(trace).items() if getattr(spec, name, 0)]
    nesterov = " with Nesterov momentum" if getattr(spec, "nesterov", False) else ""
    return f"{type(spec).__name__}{nesterov}, {', '.join(settings)}; step t = {trace.step}"


def update_rules(trace: Trace) -> list[str]:
    """The optimizer's formulas in symbols."""
    known = symbols(trace)
    values: dict[str, Any] = {**known, "w": "w", "g": "g", "t": "t"}
    values |= {f"{slot}_new": known[slot] for slot in trace.optimizer.slots}
    return [f"{known.get(name, name)} ← {fill(formula, 5, **values)}" for name, formula in _formulas(trace, True)]


def update_texts(trace: Trace, parameter: Parameter, limits: Limits) -> list[str]:
    """Gradient, state and new value of one parameter in numbers."""
    spec, digits, known = trace.optimizer, limits.digits, symbols(trace)
    values: dict[str, Any] = vars(spec).copy()
    values |= {"w": parameter.before, "g": parameter.gradient, "t": str(trace.step), **parameter.state_before}
    values |= {f"{slot}_new": value for slot, value in parameter.state_after.items()}
    results = parameter.state_after | {"w": parameter.after}
    start = [] if parameter.symbol else [gradient_text(trace, parameter, limits)]
    lines = [equation("g", *start, number(parameter.gradient, digits))]
    for name, formula in _formulas(trace, parameter.decays):
        lines.append(equation(known.get(name, name), fill(formula, digits, **values), number(results[name], digits)))
    return lines


def _formulas(trace: Trace, decays: bool) -> list[tuple[str, str]]:
    spec = trace.optimizer
    rule = OPTIMIZER_RULES[spec.rule]
    update = "{w} - " + rule.update
    update += " - {rate}·{weight_decay}·{w}" if spec.weight_decay and decays else ""
    return [*rule.slots.items(), ("w", update)]


def over_the_rows(trace: Trace) -> str:
    """What becomes of the rows' gradients. Where the rows act on each other δ has their shares in it already."""
    return "" if len(trace.rows) == 1 else ", sum over the rows" if trace.coupled else ", mean over the rows"


def gradient_text(trace: Trace, parameter: Parameter, limits: Limits) -> str:
    """δ of the unit times the value of the source, as the mean of that over the rows, plus the penalty's part."""
    weighted = len({row.weight for row in trace.rows}) > 1 and not trace.coupled
    if len(trace.rows) > limits.rows:
        formula = f"{'sum' if trace.coupled else 'mean'} of {len(trace.rows)} products δ·value"
    else:
        template = "{d}·{v}·{w}" if weighted else "{d}·{v}"
        products = [
            fill(template, limits.digits, d=use.delta, v=use.value, w=trace.rows[use.row].weight) for use in parameter.uses
        ]
        total = sum(row.weight for row in trace.rows) if weighted else len(trace.rows)
        divided = len(products) > 1 and not trace.coupled
        formula = f"({signed_sum(products)}) / {number(total, limits.digits)}" if divided else signed_sum(products)
    return signed_sum([formula, number(parameter.penalty, limits.digits)]) if parameter.penalty else formula


def example_parameter(trace: Trace) -> Parameter:
    """The one with the largest gradient."""
    return max(trace.parameters, key=lambda parameter: abs(parameter.gradient))


def change(parameter: Parameter) -> str:
    return "↑" if parameter.after > parameter.before else "↓" if parameter.after < parameter.before else "="


def shown_parameters(trace: Trace, k: int, limits: Limits) -> tuple[list[Parameter], int]:
    """The parameters of layer k, if they are many those with the largest gradients; and how many are left out."""
    return _largest([parameter for parameter in trace.parameters if parameter.name.startswith(f"{k}.")], limits.connections)


def shared_parameters(trace: Trace, k: int, limits: Limits) -> tuple[list[Parameter], int]:
    """Those of them whose gradients are written out place by place: as many as units, and the others serve one connection."""
    own = (parameter for parameter in trace.parameters if parameter.name.startswith(f"{k}."))
    return _largest([parameter for parameter in own if parameter.symbol], limits.units)


def _largest(parameters: list[Parameter], most: int) -> tuple[list[Parameter], int]:
    if len(parameters) <= most:
        return parameters, 0
    return sorted(parameters, key=lambda parameter: -abs(parameter.gradient))[:most], len(parameters) - most


def noun(parameters: Sequence[Parameter]) -> str:
    """What they are together."""
    return "parameter" if any(parameter.symbol for parameter in parameters) else "connection"
