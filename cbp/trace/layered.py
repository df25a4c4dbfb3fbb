"""What a trace says of a network whose layers share weights between places: every number first in names, then in numbers.

An equation is a list: what is said, then the sides that are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cbp.trace.formulas import Limits, fill, number, signed_sum
from cbp.trace.records import Layer, Parameter, Row, Term, Unit, Use
from cbp.trace.rules import ACTIVATION_RULES, FUSED_RULES, LOSS_RULES

if TYPE_CHECKING:
    from cbp.trace import Trace

Equation = list[str]


# -------------------------------------------------------------------------------------------------------------- layers


def shape_text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def network_text(trace: Trace) -> str:
    """The layers with the shapes of their outputs."""
    layers = [
        f"{layer.kind} {shape_text(layer.shape)} {layer.activation}".rstrip() for layer in trace.rows[0].layers
    ]
    return " → ".join([f"{shape_text(trace.input_shape)} inputs", *layers])


def layer_title(row: Row, k: int) -> str:
    layer = row.layers[k]
    activation = f", {layer.activation}" if layer.activation else ""
    return f"Layer {k + 1}, {layer.kind}{activation}, output {shape_text(layer.shape)}"


def layer_rules(layer: Layer) -> list[str]:
    """What the layer does, in symbols."""
    rules = list(layer.rules)
    if layer.kind == "Dense" and not rules:
        rules = ["s = Σ w·input" + (" + bias" if "bias" in (term.source for term in layer.units[0].terms) else "")]
    rule = ACTIVATION_RULES.get(layer.activation)
    if rule is None or layer.activation == "identity":
        return rules
    slope = "∂aᵢ/∂sᵢ = aᵢ·(1 - aᵢ), ∂aᵢ/∂sⱼ = -aᵢ·aⱼ" if rule.joint else fill(rule.slope, 5, s="s", a="a")
    return [*rules, f"a = {fill(rule.formula, 5, s='s', a='a')},   a′ = {slope}"]


def groups(layer: Layer, limits: Limits, *, backward: bool = False) -> list[tuple[str, list[Unit], int]]:
    """(heading, units, units left out) of the groups of a layer, such as its time steps; how many groups are left out is
    the last entry, without units. On the way back what was computed last comes first, where units of the layer depend on
    each other."""
    found: dict[str, list[Unit]] = {}
    for unit in layer.units:
        found.setdefault(unit.group, []).append(unit)
    most = limits.units if len(found) < 2 else 2 * limits.units
    names = {unit.name for unit in layer.units}
    chained = any(term.source in names for unit in layer.units for term in unit.terms)
    shown = []
    for heading, units in list(found.items())[: limits.steps]:
        kept = units[:most]
        shown.append((heading, kept[::-1] if backward and chained else kept, len(units) - len(kept)))
    shown = shown[::-1] if backward and chained else shown
    return [*shown, ("", [], len(found) - limits.steps)] if len(found) > limits.steps else shown


# ---------------------------------------------------------------------------------------------------------------- sums


def factor(symbol: str, name: str) -> str:
    """``w·x``, where w may be a formula."""
    if name == "bias":
        return symbol
    if symbol in ("1", "-1"):
        return name if symbol == "1" else f"-{name}"
    return f"{f'({symbol})' if _is_sum(symbol) else symbol}·{name}"


def _is_sum(text: str) -> bool:
    """Whether a formula has a plus or minus outside of parentheses, or is a quotient."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and text[i : i + 3] in (" + ", " - ", " / "):
            return True
    return False


def sides(symbols: Sequence[str], names: Sequence[str], terms: Sequence[Term], limits: Limits) -> tuple[list[str], list[str]]:
    """Addends in names and in numbers; of many the largest, and what the others come to."""
    kept = range(len(terms))
    if len(terms) > limits.terms + 1:
        largest = sorted(kept, key=lambda i: -abs(terms[i].product))[: limits.terms]
        kept = sorted(largest)  # type: ignore[assignment]
    written = [factor(symbols[i], names[i]) for i in kept]
    numbers = [_numbers(symbols[i], terms[i], limits.digits) for i in kept]
    left = len(terms) - len(kept)
    if left:
        rest = sum(term.product for i, term in enumerate(terms) if i not in kept)
        written.append(f"… {left} more")
        numbers.append(f"… ({number(rest, limits.digits)})")
    return written, numbers


def _numbers(symbol: str, term: Term, digits: int) -> str:
    if term.source == "bias":
        return number(term.weight, digits)
    if symbol == "1":
        return number(term.value, digits)
    return fill("{w}·{v}", digits, w=term.weight, v=term.value)


# ------------------------------------------------------------------------------------------------------------- forward


def forward(unit: Unit, limits: Limits) -> list[Equation]:
    """s, a and a′ of a unit; where the activation is the identity the number is said once, without a letter."""
    digits, total = limits.digits, number(unit.weighted_sum, limits.digits)
    template = unit.template
    if template is None:
        names, numbers = sides(unit.symbols, [term.source for term in unit.terms], unit.terms, limits)
        written = [signed_sum(names), signed_sum(numbers)]
    elif template.short and len(unit.terms) > limits.terms + 1:
        written = [template.short.format_map(unit.known_names)]
    else:
        written = [unit.formula, fill(template.text, digits, **unit.known_numbers)]
    if unit.activation == "identity":
        return [["", *written, total + (f"   ({unit.note})" if unit.note else "")]]
    rule, known = ACTIVATION_RULES[unit.activation], {"s": unit.weighted_sum, "a": unit.value}
    return [
        ["s", *written, total],
        ["a", fill(rule.formula, digits, **known), number(unit.value, digits)],
        ["a′", fill(rule.slope, digits, **known), number(unit.own_derivative, digits)],
    ]


# ------------------------------------------------------------------------------------------------------------ backward


DELTA = "δ = ∂L/∂s, how fast the loss grows with the sum s"
BACKWARD = "∂L/∂a = Σ ∂s/∂a·δ over the units that read a, δ = ∂L/∂a·a′ (a′ = 1 where a is a sum itself)"


def _averaged(trace: Trace, row: Row, formula: str, digits: int) -> str:
    """A derivative by one output as its part of the loss: a mean over outputs or positions, and of a coupled batch."""
    outputs = len(row.target) // row.positions if LOSS_RULES[trace.loss.name].mean else 1
    count = outputs * row.counted
    text = f"({formula}) / {count}" if count > 1 else formula
    if trace.coupled and len(trace.rows) > 1:
        share = number(row.share, digits)
        return f"{share}·({text})" if _is_sum(text) else f"{share}·{text}"
    return text


def backward(trace: Trace, row: Row, unit: Unit, limits: Limits) -> list[Equation]:
    """∂L/∂a and δ of a unit."""
    digits, delta = limits.digits, number(unit.delta, limits.digits)
    terms = unit.back_terms
    names, numbers = sides(unit.back_symbols, [f"δ({term.source})" for term in terms], terms, limits)
    fused = FUSED_RULES.get((unit.activation, trace.loss.name)) if unit.direction and unit.loss_slope is None else None
    if unit.loss_slope is not None:
        slope = LOSS_RULES[trace.loss.name].slope
        y, written = row.target[_place(row, unit)], unit.name.replace("ŷ", "y")
        names.insert(0, _averaged(trace, row, fill(slope, digits, p=unit.name, y=written, **vars(trace.loss)), digits))
        numbers.insert(0, _averaged(trace, row, fill(slope, digits, p=unit.value, y=y, **vars(trace.loss)), digits))
    outer = number(unit.outer_slope, digits)
    start = ["∂L/∂a", signed_sum(names), signed_sum(numbers), outer]
    if fused is not None:
        return _fused(trace, row, unit, fused.delta, [start] if terms else [], digits)
    if ACTIVATION_RULES[unit.activation].joint:
        pairs = unit.joint_terms
        inner = sides([f"∂{term.source}/∂s" for term in pairs], [f"∂L/∂{term.source}" for term in pairs], pairs, limits)
        return [start, ["δ", signed_sum(inner[0]), signed_sum(inner[1]), delta]]
    if unit.activation == "identity":
        return [["δ", *start[1:3], delta]]
    product = fill("{d}·{a}", digits, d=unit.outer_slope, a=unit.own_derivative)
    return [start, ["δ", "∂L/∂a·a′", product, delta]]


def _fused(trace: Trace, row: Row, unit: Unit, formula: str, start: list[Equation], digits: int) -> list[Equation]:
    """δ of an output whose activation and loss are one step; a unit that others read as well has their part in it."""
    y = row.target[_place(row, unit)]
    names = _averaged(trace, row, fill(formula, digits, p=unit.name, y=unit.name.replace("ŷ", "y")), digits)
    numbers = _averaged(trace, row, fill(formula, digits, p=unit.value, y=y), digits)
    if start:
        names += " + ∂L/∂a·a′"
        numbers += " + " + fill("{d}·{a}", digits, d=unit.outer_slope, a=unit.own_derivative)
    return [*start, ["δ", names, numbers, number(unit.delta, digits)]]


def _place(row: Row, unit: Unit) -> int:
    return next(i for i, output in enumerate(row.outputs) if output is unit or output.name == unit.name)


# ---------------------------------------------------------------------------------------------------------------- step


def _summed(uses: Sequence[Use], limits: Limits) -> Equation:
    """δ·value over the places of use."""
    terms = [Term(use.source, use.delta, use.value) for use in uses]
    names, numbers = sides([f"δ({use.unit})" for use in uses], [use.source for use in uses], terms, limits)
    return [signed_sum(names), signed_sum(numbers), number(sum(use.product for use in uses), limits.digits)]


def gradient(trace: Trace, parameter: Parameter, limits: Limits) -> list[Equation]:
    """The gradient of a shared parameter: of every row the sum over its places, then the mean over the rows."""
    total, digits = number(parameter.gradient, limits.digits), limits.digits
    penalty = [number(parameter.penalty, digits)] if parameter.penalty else []
    uses = parameter.uses
    if len(trace.rows) == 1:
        names, numbers, _ = _summed(uses, limits)
        return [["g", signed_sum([names, *penalty]), signed_sum([numbers, *penalty]), total]] if uses else [["g", total]]
    if len(trace.rows) > limits.rows:
        over = f"{'sum' if trace.coupled else 'mean'} over {len(trace.rows)} rows of Σ δ·value"
        return [["g", signed_sum([over, *penalty]), total]]
    equations, parts = [], []
    for r in range(len(trace.rows)):
        own = [use for use in uses if use.row == r]
        equations.append([f"row {r + 1}", *_summed(own, limits)])
        parts.append(sum(use.product for use in own))
    return [*equations, ["g", signed_sum([_mean(trace, parts, digits), *penalty]), total]]


def _mean(trace: Trace, parts: Sequence[float], digits: int) -> str:
    """The weighted mean of what the rows contribute; where the rows are coupled δ has their shares in it already."""
    texts = [number(part, digits) for part in parts]
    if trace.coupled:
        return signed_sum(texts)
    weights = [row.weight for row in trace.rows]
    if len(set(weights)) == 1:
        return f"({signed_sum(texts)}) / {len(texts)}"
    products = [fill("{v}·{w}", digits, v=part, w=weight) for part, weight in zip(parts, weights, strict=True)]
    return f"({signed_sum(products)}) / {number(sum(weights), digits)}"
