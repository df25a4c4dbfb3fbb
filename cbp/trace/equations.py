"""The equations of a step: of its units forward and backward, of the loss, of gradients and updates.

All hold numbers; where a unit is ``named``, its sums are said in names first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from cbp.trace.blocks import Equation
from cbp.trace.formulas import Limits, addends, fill, is_sum, number, signed_sum
from cbp.trace.records import Parameter, Row, Term, Unit, Use
from cbp.trace.rules import ACTIVATION_RULES, FUSED_RULES, LOSS_RULES, OPTIMIZER_RULES, TINY, Constants

if TYPE_CHECKING:
    from cbp.trace import Trace

Equations = tuple[Equation, ...]


def forward(unit: Unit, limits: Limits, *, named: bool) -> Equations:
    """s, a and a′ of a unit; said in names, a unit without an activation is one number, and needs no letter."""
    digits, total = limits.digits, number(unit.weighted_sum, limits.digits)
    names, numbers = _sum(unit, limits, named=named)
    if named and unit.activation == "identity":
        return (Equation("", names, numbers, total + (f"   ({unit.note})" if unit.note else "")),)
    rule, known = ACTIVATION_RULES[unit.activation], {"s": unit.weighted_sum, "a": unit.value}
    return (
        Equation("s", names, numbers, total),
        Equation("a", "", fill(rule.formula, digits, **known), number(unit.value, digits)),
        Equation("a′", "", fill(rule.slope, digits, **known), number(unit.own_derivative, digits)),
    )


def _sum(unit: Unit, limits: Limits, *, named: bool) -> tuple[str, str]:
    """s in names and in numbers; of a unit that is no weighted sum its formula, or that in words where it would be long."""
    template, terms = unit.template, unit.terms
    if template is None:
        names, numbers = addends(terms, limits, unit.symbols if named else None, [term.source for term in terms])
        return signed_sum(names) if named else "", signed_sum(numbers)
    if template.short and len(terms) > limits.terms + 1:
        return template.short.format_map(unit.known_names), ""
    return unit.formula, fill(template.text, limits.digits, **unit.known_numbers)


def loss_formula(trace: Trace, template: str, digits: int, p: float | str, y: float | str) -> str:
    """A formula of the loss for an output p and its target y."""
    return fill(template, digits, p=p, y=y, **vars(trace.loss))


def loss_parts(trace: Trace, row: Row, digits: int) -> list[tuple[str, Equation]]:
    """The part that every output has in the row's loss; of a cross entropy those with y above 0."""
    rule = LOSS_RULES[trace.loss.name]
    constants = Constants(trace.loss, TINY[trace.dtype])
    parts = []
    counted = row.counted * len(row.target) // row.positions
    for unit, y in list(zip(row.outputs, row.target, strict=True))[:counted]:
        if y or trace.loss.name != "cross_entropy":
            formula, part = loss_formula(trace, rule.formula, digits, unit.value, y), rule.compute(unit.value, y, constants)[0]
            parts.append((unit.name, Equation(formula, "", "", number(part, digits))))
    return parts


def averaged(trace: Trace, row: Row, formula: str, digits: int) -> str:
    """A derivative by one output as its part of the loss: a mean over outputs or positions, and of a coupled batch."""
    outputs = len(row.target) // row.positions if LOSS_RULES[trace.loss.name].mean else 1
    count = outputs * row.counted
    text = f"({formula}) / {count}" if count > 1 else formula
    if trace.coupled and len(trace.rows) > 1:
        share = number(row.share, digits)
        return f"{share}·({text})" if is_sum(text) else f"{share}·{text}"
    return text


def _by_output(trace: Trace, row: Row, unit: Unit, template: str, digits: int) -> tuple[str, str]:
    """A derivative of the loss by an output or its sum, in names and in numbers."""
    place = next(i for i, output in enumerate(row.outputs) if output is unit or output.name == unit.name)
    pairs = ((unit.name, unit.name.replace("ŷ", "y")), (unit.value, row.target[place]))
    names, numbers = (averaged(trace, row, loss_formula(trace, template, digits, p, y), digits) for p, y in pairs)
    return names, numbers


def backward(trace: Trace, row: Row, unit: Unit, limits: Limits, *, named: bool) -> Equations:
    """∂L/∂a and δ of a unit."""
    digits, result = limits.digits, number(unit.delta, limits.digits)
    fused = FUSED_RULES.get((unit.activation, trace.loss.name)) if unit.direction and unit.loss_slope is None else None
    outer = _outer(trace, row, unit, limits, named=named)
    product = fill("{d}·{a}", digits, d=unit.outer_slope, a=unit.own_derivative)
    if fused is not None:
        names, numbers = _by_output(trace, row, unit, fused.delta, digits)
        if not unit.back_terms:
            return (Equation("δ", names if named else "", numbers, result),)
        return outer, Equation("δ", f"{names} + ∂L/∂a·a′", f"{numbers} + {product}", result)
    if ACTIVATION_RULES[unit.activation].joint:
        return outer, _joint(unit, limits, named=named)
    if named and unit.activation == "identity":
        return (Equation("δ", outer.names, outer.numbers, result),)
    if named or unit.loss_slope is not None:
        return outer, Equation("δ", "∂L/∂a·a′" if named else "", product, result)
    slope = fill("1·{a}", digits, a=unit.own_derivative)[2:]
    return (Equation("δ", "", f"({outer.numbers})·{slope}", result),)


def _outer(trace: Trace, row: Row, unit: Unit, limits: Limits, *, named: bool) -> Equation:
    """∂L/∂a: what the loss says of an output, and what the readers of a unit hand back."""
    left, terms = "∂L/∂a", unit.back_terms
    names, numbers = addends(terms, limits, unit.back_symbols if named else None, [f"δ({term.source})" for term in terms])
    if unit.loss_slope is not None:
        left = left if named else f"∂L/∂{unit.name}"
        sides = _by_output(trace, row, unit, LOSS_RULES[trace.loss.name].slope, limits.digits)
        names, numbers = [sides[0], *names], [sides[1], *numbers]
    return Equation(left, signed_sum(names) if named else "", signed_sum(numbers), number(unit.outer_slope, limits.digits))


def _joint(unit: Unit, limits: Limits, *, named: bool) -> Equation:
    """δ where several activations depend on the sum s."""
    terms = unit.joint_terms
    symbols = [f"∂{term.source}/∂s" for term in terms] if named else None
    names, numbers = addends(terms, limits, symbols, [f"∂L/∂{term.source}" for term in terms])
    return Equation("δ", signed_sum(names) if named else "", signed_sum(numbers), number(unit.delta, limits.digits))


def gradient(trace: Trace, parameter: Parameter, limits: Limits) -> Equations:
    """The gradient of a shared parameter: of every row the sum over its places, then the mean over the rows."""
    digits, uses = limits.digits, parameter.uses
    total = number(parameter.gradient, digits)
    penalty = [number(parameter.penalty, digits)] if parameter.penalty else []
    if len(trace.rows) > limits.rows:
        over = f"{'sum' if trace.coupled else 'mean'} over {len(trace.rows)} rows of Σ δ·value"
        return (Equation("g", "", signed_sum([over, *penalty]), total),)
    if len(trace.rows) == 1:
        names, numbers = (signed_sum([*side, *penalty]) if uses else "" for side in _over_places(uses, limits))
        return (Equation("g", names, numbers, total),)
    equations = []
    for r in range(len(trace.rows)):
        own = [use for use in uses if use.row == r]
        names, numbers = map(signed_sum, _over_places(own, limits))
        equations.append(Equation(f"row {r + 1}", names, numbers, number(sum(use.product for use in own), digits)))
    mean = _over_rows(trace, [equation.result for equation in equations], digits)
    return (*equations, Equation("g", "", signed_sum([mean, *penalty]), total))


def _over_places(uses: Sequence[Use], limits: Limits) -> tuple[list[str], list[str]]:
    """The addends δ·value, one a place of use."""
    terms = [Term(use.source, use.delta, use.value) for use in uses]
    return addends(terms, limits, [f"δ({use.unit})" for use in uses], [use.source for use in uses])


def connection_gradient(trace: Trace, parameter: Parameter, limits: Limits) -> str:
    """δ of the unit times the value of the source, as the mean of that over the rows, plus the penalty's part."""
    products = [fill("{d}·{v}", limits.digits, d=use.delta, v=use.value) for use in parameter.uses]
    if len(trace.rows) > limits.rows:
        formula = f"{'sum' if trace.coupled else 'mean'} of {len(products)} products δ·value"
    else:
        formula = _over_rows(trace, products, limits.digits)
    return signed_sum([formula, number(parameter.penalty, limits.digits)]) if parameter.penalty else formula


def _over_rows(trace: Trace, parts: Sequence[str], digits: int) -> str:
    """The weighted mean of what the rows contribute; where the rows are coupled δ has their shares in it already."""
    weights = [row.weight for row in trace.rows]
    if trace.coupled or len(weights) == 1:
        return signed_sum(parts)
    if len(set(weights)) == 1:
        return f"({signed_sum(parts)}) / {len(parts)}"
    weighted = [f"{part}·{number(weight, digits)}" for part, weight in zip(parts, weights, strict=True)]
    return f"({signed_sum(weighted)}) / {number(sum(weights), digits)}"


def symbols(trace: Trace) -> dict[str, str]:
    """How the optimizer's settings and state are written."""
    return OPTIMIZER_RULES[trace.optimizer.rule].symbols


def update_rules(trace: Trace) -> list[str]:
    """The optimizer's formulas in symbols."""
    known = symbols(trace)
    values: dict[str, Any] = {**known, "w": "w", "g": "g", "t": "t"}
    values |= {f"{slot}_new": known[slot] for slot in trace.optimizer.slots}
    return [f"{known.get(name, name)} ← {fill(formula, 5, **values)}" for name, formula in _formulas(trace, decays=True)]


def update(trace: Trace, parameter: Parameter, limits: Limits) -> Equations:
    """Gradient, state and new value of one parameter in numbers."""
    digits, known, results = limits.digits, symbols(trace), parameter.state_after | {"w": parameter.after}
    settings = {name: value for name, value in vars(trace.optimizer).items() if value is not None}
    values: dict[str, Any] = settings | {"w": parameter.before, "g": parameter.clipped, "t": str(trace.step)}
    values["rate"] *= parameter.multiplier
    values |= parameter.state_before | {f"{slot}_new": value for slot, value in parameter.state_after.items()}
    start = "" if parameter.symbol else connection_gradient(trace, parameter, limits)
    equations = [Equation("g", "", start, number(parameter.gradient, digits))]
    if parameter.clipped != parameter.gradient:
        equations.append(Equation("g clipped", "", "", number(parameter.clipped, digits)))
    if parameter.after == parameter.before and parameter.multiplier == 0:
        return tuple(equations)
    for name, formula in _formulas(trace, decays=parameter.decays):
        equations.append(Equation(known.get(name, name), "", fill(formula, digits, **values), number(results[name], digits)))
    return tuple(equations)


def _formulas(trace: Trace, *, decays: bool) -> list[tuple[str, str]]:
    spec = trace.optimizer
    rule = OPTIMIZER_RULES[spec.rule]
    change = "{w} - " + rule.update
    change += " - {rate}·{weight_decay}·{w}" if spec.weight_decay and decays else ""
    return [*rule.slots.items(), ("w", change)]
