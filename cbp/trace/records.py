"""What a trace consists of: terms, units, layers, rows and parameters, with every number of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from cbp.trace.graph import Formula, Graph, Node, float_of


class Term(NamedTuple):
    """One addend of a sum: where it comes from, its weight, and the value that the weight is multiplied with.

    Of a unit that is no weighted sum: what it is computed from, ∂s/∂source, and the value of the source.
    """

    source: str
    weight: float
    value: float

    @property
    def product(self) -> float:
        """What it adds to the sum."""
        return self.weight * self.value


class Use(NamedTuple):
    """One place where a parameter is used: on which row of the batch, by which unit, with its δ, on which value."""

    row: int
    unit: str
    delta: float
    source: str
    value: float

    @property
    def product(self) -> float:
        """What it adds to the gradient of the row."""
        return self.delta * self.value


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit on one row: everything that is a number of its own, also a gate of an LSTM or the mean of a batch.

    Attributes
    ----------
    name : str
    weighted_sum : float
        s, the sum of the terms, or what the formula gives.
    value : float
        a = f(s).
    derivative : float or tuple of float
        da/ds; for softmax, where a depends on every sum of the layer, the row da/ds_1, da/ds_2, ... of the Jacobian.
    delta : float
        ∂L/∂s, with L the loss of this row (in a network with BatchNorm, where a row acts on all others, of the batch).
    loss_slope : float or None
        ∂L/∂a of an output; None for hidden units, and where activation and loss are one step (softmax or sigmoid with
        its cross-entropy).
    direction : str
        Of an output, "↑" where it should rise for the loss to fall, "↓" where it should fall, "=" where delta is 0;
        "" for hidden units.
    activation : str
    group : str
        What it belongs to inside its layer, for example "t = 2".
    formula : str
        "" for a weighted sum, else what s is, such as "f[t=2]·c[t=1] + i[t=2]·g[t=2]".
    terms : tuple of Term
        The addends of the weighted sum: source, weight, value.
    back_terms : tuple of Term
        The addends of ∂L/∂a: unit that reads this one, ∂s/∂a of that unit (the weight of the connection), its delta.
    symbols, back_symbols : tuple of str
        How the weights of terms and back_terms are written: "w[1,2]", "U[1,1]", "f[t=2]".
    """

    name: str
    weighted_sum: float
    value: float
    derivative: float | tuple[float, ...]
    delta: float
    loss_slope: float | None
    direction: str
    activation: str
    group: str
    _graph: Graph = field(repr=False, compare=False)
    _number: int = field(repr=False, compare=False)

    @property
    def terms(self) -> tuple[Term, ...]:
        """What the unit is computed from."""
        nodes, node = self._graph.nodes, self._graph.nodes[self._number]
        pairs = zip(node.sources, node.factors, strict=True)
        return tuple(Term(_name(self._graph, node, source), factor, nodes[source].a) for source, factor in pairs)

    @property
    def back_terms(self) -> tuple[Term, ...]:
        """The units that read it, each with ∂s/∂a and its δ: the addends of ∂L/∂a."""
        nodes, node = self._graph.nodes, self._graph.nodes[self._number]
        pairs = zip(node.readers, node.reader_factors, strict=True)
        return tuple(Term(_name(self._graph, node, reader), factor, nodes[reader].delta) for reader, factor in pairs)

    @property
    def symbols(self) -> tuple[str, ...]:
        """How the weights of ``terms`` are written."""
        return tuple(_symbol(self._graph, self._number, i) for i in range(len(self._graph.nodes[self._number].sources)))

    @property
    def is_plain(self) -> bool:
        """Whether it is a weighted sum of a dense layer, whose weights are called after what they connect."""
        node = self._graph.nodes[self._number]
        return node.formula is None and bool(node.parameters) and self._graph.place(node.parameters[0]).symbols is None

    @property
    def back_symbols(self) -> tuple[str, ...]:
        """How those of ``back_terms`` are written."""
        graph, own = self._graph, self._number
        node = graph.nodes[own]
        viewer = node if node.row < 0 else None
        return tuple(_symbol(graph, reader, graph.nodes[reader].sources.index(own), viewer) for reader in node.readers)

    @property
    def own_derivative(self) -> float:
        """da/ds by the unit's own s."""
        node = self._graph.nodes[self._number]
        if isinstance(node.slope, list) and node.joint is not None:
            return node.slope[self._number - node.joint.start]
        return float_of(node.slope)

    @property
    def outer_slope(self) -> float:
        """∂L/∂a (of an output whose activation and loss are one step only the part that comes from its readers)."""
        return self._graph.outer(self._number)

    @property
    def joint_terms(self) -> tuple[Term, ...]:
        """The addends of δ = Σ ∂L/∂aᵢ·∂aᵢ/∂s, where several a depend on this s (softmax)."""
        nodes, joint = self._graph.nodes, self._graph.nodes[self._number].joint or range(0)
        return tuple(
            Term(nodes[i].name, self._graph.outer(i), nodes[i].slope[self._number - joint.start])  # type: ignore[index]
            for i in joint
        )

    @property
    def note(self) -> str:
        """A remark, such as where the largest number came from."""
        return self._graph.nodes[self._number].note

    @property
    def formula(self) -> str:
        """How s is computed, in names; empty for a weighted sum."""
        return self.template.text.format_map(self.known_names) if self.template else ""

    @property
    def template(self) -> Formula | None:
        """The formula with keys in the place of names; None for a weighted sum."""
        return self._graph.nodes[self._number].formula

    @property
    def known_names(self) -> dict[str, str]:
        """What the keys of the template stand for."""
        return _known_names(self._graph, self._number)

    @property
    def known_numbers(self) -> Mapping[str, float]:
        """The same in numbers."""
        nodes, node = self._graph.nodes, self._graph.nodes[self._number]
        keys = node.formula.keys if node.formula else ()
        return {**node.known, **{key: nodes[source].a for key, source in zip(keys, node.sources, strict=True)}}


SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def _name(graph: Graph, viewer: Node, number: int) -> str:
    """What a node is called by another; by one that belongs to all rows with the number of its row, h⁽²⁾."""
    node = graph.nodes[number]
    if viewer.row >= 0 or node.row < 0 or graph.rows < 2:
        return node.name
    return f"{node.name}⁽{str(node.row + 1).translate(SUPERSCRIPTS)}⁾"


def _known_names(graph: Graph, number: int, viewer: Node | None = None) -> dict[str, str]:
    """What the keys of a node's formula stand for where the viewer, or the node itself, says them."""
    node = graph.nodes[number]
    viewer = viewer or node
    names = {key: key for key in node.known} | {"self": _name(graph, viewer, number)}
    keys = node.formula.keys if node.formula else ()
    return names | {key: _name(graph, viewer, source) for key, source in zip(keys, node.sources, strict=True)}


def _symbol(graph: Graph, number: int, i: int, viewer: Node | None = None) -> str:
    """How factor i of a node is written."""
    node = graph.nodes[number]
    if node.formula is None:
        return graph.symbol(node.parameters[i])
    return node.formula.slopes[i].format_map(_known_names(graph, number, viewer))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer on one row: its activation, and its units.

    ``kind`` is the class of the layer, ``shape`` that of its output, ``rules`` says in symbols what it does. A layer that only
    arranges the numbers before it anew (Flatten, Reshape) has no units.
    """

    activation: str
    units: tuple[Unit, ...]
    kind: str = "Dense"
    shape: tuple[int, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the batch: ``weight`` is its sample weight, ``share`` that weight over the sum of all; the losses are
    those of this row alone, before and after the step, without the penalty. Inputs, target and outputs of images and
    sequences are flat, the last axis fastest. ``positions`` are the places of the output, of which ``counted`` take part in
    the loss (fewer where a sequence ends early)."""

    inputs: tuple[float, ...]
    target: tuple[float, ...]
    weight: float
    share: float
    layers: tuple[Layer, ...]
    output_before: tuple[float, ...]
    output_after: tuple[float, ...]
    loss_before: float
    loss_after: float
    outputs: tuple[Unit, ...] = field(repr=False)
    positions: int = 1
    counted: int = 1


@dataclass(frozen=True, slots=True)
class Parameter:
    """One weight or bias in the step. ``clipped`` is what the optimizer makes of the gradient before it follows it, at the rate
    times ``multiplier``, which is 0 where the parameter is frozen. ``gradient`` is ``penalty`` (of l1 and l2) plus the weighted
    mean over the rows of delta(unit) * value(source), summed over the places of its use. ``name`` and ``index`` say where the
    number lies in ``network.parameters``. A weight of a dense layer on a row of features has one place, the connection from
    ``source`` to
    ``unit``; what is shared between places has none of its own (both are ""), but a ``symbol``, such as "w[1,2]"."""

    name: str
    index: tuple[int, ...]
    source: str
    unit: str
    gradient: float
    penalty: float
    clipped: float
    multiplier: float
    before: float
    after: float
    state_before: dict[str, float]
    state_after: dict[str, float]
    symbol: str
    _graph: Graph = field(repr=False, compare=False)
    _number: int = field(repr=False, compare=False)

    @property
    def decays(self) -> bool:
        """Whether l1, l2 and weight decay act on it: on weights, not on biases."""
        return self._graph.place(self._number).penalised

    @property
    def label(self) -> str:
        """The symbol, or the connection."""
        return self.symbol or f"{self.source} → {self.unit}"

    @property
    def uses(self) -> tuple[Use, ...]:
        """The places of its use, in the order of the forward pass."""
        nodes = self._graph.nodes
        pairs = [(nodes[unit], nodes[source]) for unit, source in self._graph.uses(self._number)]
        return tuple(Use(unit.row, unit.name, unit.delta, source.name, source.a) for unit, source in pairs)


@dataclass(frozen=True, slots=True)
class Statistic:
    """A running statistic of a batch normalisation, before and after the step; ``batch`` is the value in this batch."""

    name: str
    index: tuple[int, ...]
    before: float
    batch: float
    after: float


def row_dict(row: Row, input_names: Sequence[str]) -> dict[str, Any]:
    """A row as JSON takes it."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in fields_dict(row).items()}
    plain["inputs"] = dict(zip(input_names, row.inputs, strict=True))
    plain["outputs"] = [unit.name for unit in row.outputs]
    plain["layers"] = [
        {
            "kind": layer.kind, "activation": layer.activation, "shape": list(layer.shape), "rules": list(layer.rules),
            "units": [_unit_dict(unit) for unit in layer.units],
        }
        for layer in row.layers
    ]  # fmt: skip
    return plain


def _unit_dict(unit: Unit) -> dict[str, Any]:
    plain = {
        "name": unit.name,
        "terms": [term._asdict() for term in unit.terms],
        "weighted_sum": unit.weighted_sum,
        "value": unit.value,
        "derivative": list(unit.derivative) if isinstance(unit.derivative, tuple) else unit.derivative,
        "back_terms": [term._asdict() for term in unit.back_terms],
        "loss_slope": unit.loss_slope,
        "delta": unit.delta,
        "direction": unit.direction,
    }
    if unit.is_plain:
        return plain
    return plain | {
        "activation": unit.activation, "group": unit.group, "formula": unit.formula, "symbols": list(unit.symbols)
    }  # fmt: skip


def parameter_dict(parameter: Parameter) -> dict[str, Any]:
    """A parameter as JSON takes it; one that is shared with the places of its use."""
    plain = fields_dict(parameter)
    return plain | {"uses": [use._asdict() for use in parameter.uses]} if parameter.symbol else plain


def fields_dict(record: Any) -> dict[str, Any]:
    """The public fields of a dataclass as they are; ``asdict`` would copy them."""
    names = [field.name for field in dataclasses.fields(record)]
    return {name: getattr(record, name) for name in names if not name.startswith("_")}
