"""What a trace consists of: terms, units, layers, rows and parameters, with every number of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Columns = tuple[Sequence[str], Sequence[float], Sequence[float]]


class Term(NamedTuple):
    """One addend of a sum: where it comes from, its weight, and the value that the weight is multiplied with."""

    source: str
    weight: float
    value: float

    @property
    def product(self) -> float:
        return self.weight * self.value


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit on one row.

    Attributes
    ----------
    name : str
    weighted_sum : float
        s, the sum of the terms.
    value : float
        a = f(s).
    derivative : float or tuple of float
        da/ds; for softmax, where a depends on every sum of the layer, the row da/ds_1, da/ds_2, ... of the Jacobian.
    delta : float
        ∂L/∂s, with L the loss of this row.
    loss_slope : float or None
        ∂L/∂a of an output; None for hidden units, and where activation and loss are one step (softmax or sigmoid with
        its cross-entropy).
    direction : str
        Of an output, "↑" where it should rise for the loss to fall, "↓" where it should fall, "=" where delta is 0;
        "" for hidden units.
    terms : tuple of Term
        The addends of the weighted sum: source, weight, value.
    back_terms : tuple of Term
        The addends of ∂L/∂a of a hidden unit: unit of the next layer, weight of the connection to it, its delta.
    """

    name: str
    weighted_sum: float
    value: float
    derivative: float | tuple[float, ...]
    delta: float
    loss_slope: float | None
    direction: str
    _incoming: Columns = field(repr=False)
    _outgoing: Columns = field(repr=False)

    @property
    def terms(self) -> tuple[Term, ...]:
        return tuple(map(Term, *self._incoming))

    @property
    def back_terms(self) -> tuple[Term, ...]:
        return tuple(map(Term, *self._outgoing))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer on one row: its activation, and its units."""

    activation: str
    units: tuple[Unit, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the batch: ``weight`` is its sample weight, ``share`` that weight over the sum of all; the losses are
    those of this row alone, before and after the step, without the penalty."""

    inputs: tuple[float, ...]
    target: tuple[float, ...]
    weight: float
    share: float
    layers: tuple[Layer, ...]
    output_before: tuple[float, ...]
    output_after: tuple[float, ...]
    loss_before: float
    loss_after: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """One weight or bias in the step. ``gradient`` is ``penalty`` (of l1 and l2) plus the weighted mean over the rows
    of delta(unit) * value(source). ``name`` and ``index`` say where the number lies in ``network.parameters``."""

    name: str
    index: tuple[int, ...]
    source: str
    unit: str
    gradient: float
    penalty: float
    before: float
    after: float
    state_before: dict[str, float]
    state_after: dict[str, float]


def row_dict(row: Row, input_names: Sequence[str]) -> dict[str, Any]:
    """A row as JSON takes it."""
    plain = {name: list(v) if isinstance(v, tuple) else v for name, v in fields_dict(row).items()}
    plain["inputs"] = dict(zip(input_names, row.inputs, strict=True))
    plain["layers"] = [
        {"activation": layer.activation, "units": [_unit_dict(unit) for unit in layer.units]} for layer in row.layers
    ]
    return plain


def _unit_dict(unit: Unit) -> dict[str, Any]:
    return {
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


def fields_dict(record: Any) -> dict[str, Any]:
    """The fields of a dataclass as they are; ``asdict`` would copy them."""
    return {field.name: getattr(record, field.name) for field in dataclasses.fields(record)}
