"""What a network is and what it costs, layer by layer: the rows of its summary, which text and notebooks show."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import NamedTuple

from cbp.engine.numbers import Numbers
from cbp.engine.plan import Plan
from cbp.engine.snapshot import Snapshot
from cbp.layers.base import Layer, Shape

__all__ = ["HEAD", "NUMBERS", "Row", "html", "rows", "table", "text", "written"]

HEAD = ("layer", "output", "activation", "parameters", "multiplications")
NUMBERS = (3, 4)
"""The columns that stand to the right."""


class Row(NamedTuple):
    """A layer of a network; ``multiplications`` are those of :meth:`Layer.multiplications`."""

    place: str
    name: str
    shape: Shape
    activation: str
    parameters: int
    multiplications: int


def rows(layers: Sequence[Layer], input_shape: Shape) -> Iterator[Row]:
    """The layers, with the shapes of their outputs and what they cost."""
    shape = input_shape
    for index, layer in enumerate(layers):
        count = sum(prod(parameter.shape) for parameter in layer.parameters(shape).values())
        products, shape = layer.multiplications(shape), layer.output_shape(shape)
        yield Row(str(index), type(layer).__name__, shape, getattr(layer, "activation", ""), count, products)


def written(layers: Sequence[Layer], input_shape: Shape) -> list[tuple[str, ...]]:
    """The rows as text, the input first, in the columns of ``HEAD``."""
    return [("input", str(input_shape), "", "", ""), *(
        (f"{row.place} {row.name}", str(row.shape), row.activation, f"{row.parameters:,}", f"{row.multiplications:,}")
        for row in rows(layers, input_shape))]


def table(layers: Sequence[Layer], input_shape: Shape) -> list[str]:
    """The lines of a table of the layers."""
    lines = [HEAD, *written(layers, input_shape)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
    aligned = ["  ".join(cell.rjust(width) if column in NUMBERS else cell.ljust(width)
                         for column, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip() for line in lines]
    return [aligned[0], "-" * (sum(widths) + 2 * len(widths) - 2), *aligned[1:]]


def text(now: Snapshot, plan: Plan, numbers: Numbers) -> str:
    """The table, and below it what the whole network is and costs."""
    facts = _facts(now, plan, numbers)
    whole = facts.pop("network")
    return "\n".join([*table(now.layers, now.input_shape), whole, *(f"{name}: {fact}" for name, fact in facts.items())])


def html(kind: str, now: Snapshot, plan: Plan, numbers: Numbers) -> str:
    """The same for a notebook, with a drawing and with what else is known; ``kind`` is the name of the network's class."""
    from cbp.pictures import network
    from cbp.pictures.drawing import Column

    columns, shape = [Column("input", now.input_shape, False)], now.input_shape
    for index, layer in enumerate(now.layers):
        weight = layer.parameters(shape).get("weight")
        shape = layer.output_shape(shape)
        columns.append(Column(f"{index} {type(layer).__name__}", shape, weight is not None and len(weight.shape) == 2))
    facts = _facts(now, plan, numbers) | {
        "optimizer": "none yet" if now.optimizer is None else repr(now.optimizer),
        "trained": f"{now.epoch:,} epochs, {now.step:,} steps of this optimizer",
    }
    if now.feature_names is not None:
        facts["features"] = network.listed(now.feature_names)
    if now.metadata:
        facts["metadata"] = network.listed([f"{name}: {value!r:.60}" for name, value in now.metadata.items()])
    return network.html(kind, columns, HEAD, written(now.layers, now.input_shape), NUMBERS, facts)


def _facts(now: Snapshot, plan: Plan, numbers: Numbers) -> dict[str, str]:
    """What the whole network is, and takes: multiplications of a sample; memory as it is held, pads included."""
    whole = f"{plan.count:,} parameters, {now.dtype}, loss {now.loss.name}"
    if now.flat:
        whole += ", answers without the axis of its one output"
    products = sum(row.multiplications for row in rows(now.layers, now.input_shape))
    held = numbers.parameters
    memory = [f"{_size(held.nbytes)} of parameters", f"{_size(numbers.state.nbytes)} of optimizer state",
              f"{_size(plan.arena * held.itemsize)} for each row of a batch"]
    return {"network": whole, "multiplications": f"{products:,} for a sample on its way forward", "memory": ", ".join(memory)}


def _size(count: float) -> str:
    """Bytes in a unit that leaves few digits: 1 KiB is 1,024 bytes."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:,.0f} TiB"
