"""The two ways to tell of a network: in names first, as any can be told, and in numbers alone.

Where layers share weights between places, or have time steps, rows and columns, a number alone does not say which one it is.
In dense layers on rows of features every weight has one place, and is called after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cbp.trace.blocks import Block, Equation, Heading, Paragraph
from cbp.trace.equations import averaged, loss_formula
from cbp.trace.formulas import fill, shape_text
from cbp.trace.records import Layer, Row
from cbp.trace.rules import ACTIVATION_RULES, FUSED_RULES, LOSS_RULES

if TYPE_CHECKING:
    from cbp.trace import Trace


class Voice:
    """In names first, then in numbers."""

    named = True
    forward = "first in names, then in numbers"
    backward = "∂L/∂a = Σ ∂s/∂a·δ over the units that read a, δ = ∂L/∂a·a′ (a′ = 1 where a is a sum itself)"
    gradient = "Σ over its places of δ · value"

    def link(self, layer: Layer) -> str:
        """A layer in the chain that is the network."""
        return f"{layer.kind} {shape_text(layer.shape)} {layer.activation}".rstrip()

    def layer(self, row: Row, k: int) -> str:
        """The name of layer k."""
        layer = row.layers[k]
        activation = f", {layer.activation}" if layer.activation else ""
        return f"Layer {k + 1}, {layer.kind}{activation}, output {shape_text(layer.shape)}"

    def there(self, row: Row, k: int) -> list[Block]:
        """What stands above the units of layer k on the way there: its name, and what it does in symbols."""
        layer = row.layers[k]
        rules = list(layer.rules)
        if layer.kind == "Dense" and not rules:
            bias = " + bias" if "bias" in (term.source for term in layer.units[0].terms) else ""
            rules = [f"s = Σ w·input{bias}"]
        if layer.activation not in ("", "identity"):
            rules.append(f"a = {_formula(layer)},   a′ = {_slope(layer, ', ')}")
        return [Heading(self.layer(row, k)), *map(Paragraph, rules)]

    def head(self, layer: Layer) -> tuple[Equation, ...]:
        """What the equations of its units are in symbols."""
        return ()

    def back(self, trace: Trace, row: Row, k: int) -> Heading:
        """What stands above the units of layer k on the way back."""
        return Heading(self.layer(row, k))


class InNumbers(Voice):
    """Of dense layers on rows of features."""

    named = False
    forward = "weighted sum s, activation a = f(s), derivative a′ = da/ds"
    backward = ""
    gradient = "δ of the unit · value of the source"

    def link(self, layer: Layer) -> str:
        return f"{len(layer.units)} {layer.activation}"

    def layer(self, row: Row, k: int) -> str:
        last = len(row.layers) - 1
        return "Output layer" if k == last else "Hidden layer" if last == 1 else f"Hidden layer {k + 1}"

    def there(self, row: Row, k: int) -> list[Block]:
        return [Heading(f"{self.layer(row, k)}, {row.layers[k].activation}:")]

    def head(self, layer: Layer) -> tuple[Equation, ...]:
        products = [term.source if term.source == "bias" else f"w·{term.source}" for term in layer.units[0].terms]
        if len(products) > 5:
            products[2:-2] = ["…"]
        sides = {"s": " + ".join(products), "a": _formula(layer), "a′": _slope(layer, ",   ")}
        return tuple(Equation(left, "", "", side) for left, side in sides.items())

    def back(self, trace: Trace, row: Row, k: int) -> Heading:
        output = k == len(row.layers) - 1
        return Heading(self.layer(row, k), (_output_rule if output else _hidden_rule)(trace, row, row.layers[k]))


def voice_of(trace: Trace) -> Voice:
    """That in which a network is told."""
    return Voice() if trace.layered else InNumbers()


def _formula(layer: Layer) -> str:
    return fill(ACTIVATION_RULES[layer.activation].formula, 5, s="s", a="a")


def _slope(layer: Layer, comma: str) -> str:
    rule = ACTIVATION_RULES[layer.activation]
    return f"∂aᵢ/∂sᵢ = aᵢ·(1 - aᵢ){comma}∂aᵢ/∂sⱼ = -aᵢ·aⱼ" if rule.joint else fill(rule.slope, 5, s="s", a="a")


def _hidden_rule(trace: Trace, row: Row, layer: Layer) -> str:
    if ACTIVATION_RULES[layer.activation].joint:
        return "∂L/∂a = Σ w·δ over the next layer, δ = Σ ∂L/∂aᵢ·∂aᵢ/∂s over this one"
    return "δ = ∂L/∂a·a′, where ∂L/∂a = Σ w·δ over the next layer"


def _output_rule(trace: Trace, row: Row, layer: Layer) -> str:
    fused = FUSED_RULES.get((layer.activation, trace.loss.name))
    template = fused.delta if fused else LOSS_RULES[trace.loss.name].slope
    slope = averaged(trace, row, loss_formula(trace, template, 5, "ŷ", "y"), 5)
    if fused:
        return f"{layer.activation} and {trace.loss.name} together leave δ = {slope}"
    return f"∂L/∂ŷ = {slope}, δ = " + ("Σ ∂L/∂ŷᵢ·∂ŷᵢ/∂s" if ACTIVATION_RULES[layer.activation].joint else "∂L/∂ŷ·a′")
