"""What a layer's rule works with: its values, its parameters, and the means to add nodes to the graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import NamedTuple

from cbp.trace.graph import BIAS, Formula, Graph, Node, Place
from cbp.trace.names import Symbols, value_name


class Values(NamedTuple):
    """The nodes of one row's value, its last axis fastest. ``timed``: its first axis is the time that the lengths count."""

    shape: tuple[int, ...]
    nodes: Sequence[int]
    timed: bool = False

    def like(self, nodes: Sequence[int]) -> Values:
        """Other nodes in the same shape."""
        return self._replace(nodes=nodes)

    def at(self, *index: int) -> int:
        offset = 0
        for i, size in zip(index, self.shape, strict=True):
            offset = offset * size + i
        return self.nodes[offset]

    def positions(self) -> Iterator[tuple[tuple[int, ...], Sequence[int]]]:
        """Every position, an index without the last axis, with its nodes."""
        width = self.shape[-1]
        for p, index in enumerate(indices(self.shape[:-1])):
            yield index, self.nodes[p * width : (p + 1) * width]


def indices(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All indices of an array of this shape, the last axis fastest."""
    return product(*map(range, shape))


class Draws(NamedTuple):
    """What the noise of a step depends on; ``step`` counts the updates before."""

    seed: int
    epoch: int
    step: int


class Given(NamedTuple):
    """What a step depends on beside parameters and inputs: the weights and the lengths of the rows (None: all time steps
    count), the draws of noise, the running statistics by name, of every row what stateful layers kept, and the names of frozen
    arrays."""

    weights: Sequence[float]
    lengths: Sequence[int] | None
    draws: Draws
    statistics: Mapping[str, list[float]]
    carried: Sequence[Sequence[float]]
    frozen: frozenset[str] = frozenset()


@dataclass
class Noted:
    """What a layer says about itself: its rules in symbols."""

    lines: list[str] = field(default_factory=list)


@dataclass
class Scope:
    """One layer of the graph, or a layer inside it.

    ``layer`` is its number in the network, ``prefix`` the start of its parameters' names there, ``tag`` what the names of
    its units begin with, after the letter.
    """

    graph: Graph
    layer: int
    prefix: str
    tag: str
    symbol_tag: str
    noted: Noted
    given: Given
    row: int = 0
    group: str = ""

    def inner(self, part: str, tag: str, group: str) -> Scope:
        """The scope of a layer inside this one: ``part`` of its parameters' names, ``tag`` of its units', ``group`` of them."""
        prefix, group = f"{self.prefix}{part}.", self.within(group)
        return replace(self, prefix=prefix, tag=self.tag + tag, symbol_tag=self.symbol_tag + tag, group=group, noted=Noted())

    def within(self, group: str) -> str:
        """The heading of a group inside the present one."""
        return f"{self.group}, {group}" if self.group else group

    # --- parameters -----------------------------------------------------------------------------------------------------------

    def place(self, name: str) -> Place | None:
        """An array of the layer's parameters."""
        return self.graph.places.get(self.prefix + name)

    def symbols(
        self, name: str, letter: str, *, kept: int = 0, gates: str = "", gate: int = -1, from_zero: bool = False
    ) -> Place | None:
        """The same, its numbers called by that letter; a layer without it (no bias) gives None."""
        place = self.place(name)
        if place is None:
            return None
        called = Symbols(letter + self.symbol_tag, place.shape, kept, gates, gate, from_zero)
        place = replace(place, symbols=called)
        self.graph.places[place.name] = place
        return place

    def counted(self, x: Values, row: int) -> int:
        """How many positions of a row's value count."""
        positions = len(x.nodes) // x.shape[-1]
        return self.given.lengths[row] if self.given.lengths is not None and x.timed else positions

    # --- nodes ----------------------------------------------------------------------------------------------------------------

    def value(self, node: int) -> float:
        return self.graph.nodes[node].a

    def name(self, index: Sequence[int], shape: Sequence[int], base: str = "h") -> str:
        """Of the unit at ``index`` of a value of this shape."""
        return value_name(base, self.tag, index, shape)

    def sum(self, name: str, sources: Sequence[int], weights: Sequence[int], bias: int | None = None) -> int:
        """A weighted sum, its weights and its bias given as numbers of parameters."""
        if bias is not None:
            sources, weights = [*sources, BIAS], [*weights, bias]
        graph = self.graph
        factors = [graph.values[weight] for weight in weights]
        total = sum(w * graph.nodes[source].a for w, source in zip(factors, sources, strict=True))
        return graph.add(Node(name, self.layer, self.row, self.group, sources, factors, weights, total, total))

    def formula(
        self, name: str, formula: Formula, sources: Sequence[int], result: tuple[float, Sequence[float]],
        note: str = "", **known: float,
    ) -> int:  # fmt: skip
        """A node that is no weighted sum: its value and its derivatives ∂s/∂source, as ``formula`` writes them."""
        value, slopes = result
        node = Node(name, self.layer, self.row, self.group, sources, slopes, (), value, value)
        node.formula, node.known, node.note = formula, known, note
        return self.graph.add(node)

    def constant(self, name: str, value: float) -> int:
        """A number that does not depend on the parameters."""
        return self.graph.add(Node(name, -1, self.row, "", (), (), (), value, value))

    def detached(self, nodes: Sequence[int]) -> list[int]:
        """Copies through which no gradient flows back."""
        return [self.constant(self.graph.nodes[node].name, self.value(node)) for node in nodes]

    def say(self, lines: list[str]) -> None:
        """What the layer does, in symbols; said once, though computed on every row."""
        if not self.noted.lines:
            self.noted.lines = lines
