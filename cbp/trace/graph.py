"""The graph of a traced step: every number of the forward pass, what it comes from, and who reads it.

A node is one number: s from its sources, then a = f(s). It keeps the factor ∂s/∂source of every source (the weight, in a
weighted sum), and every node knows its readers. So the backward pass is one walk from the last node to the first,
∂L/∂a = Σ factor·δ over the readers, and the gradient of a parameter is the sum of δ·value over the places of its use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from cbp.trace.names import Symbols
from cbp.trace.rules.activations import ACTIVATION_RULES

BIAS = 0
"""Number of the node that is always 1: what a bias is the weight of."""


class Formula(NamedTuple):
    """How a node that is no weighted sum is written: templates, filled with names and with numbers.

    ``keys`` name the sources in ``text``, which gives s, and in ``slopes``, which give ∂s/∂source.
    ``short`` says it in words where the sources are too many to be listed.
    """

    keys: tuple[str, ...]
    text: str
    slopes: tuple[str, ...]
    short: str = ""


@dataclass(slots=True)
class Node:
    """One number on one row of the batch (row -1: on all of them, as the mean in a batch normalisation).

    ``parameters`` are the numbers of the parameters that the factors are, -1 where one is none; empty where all are none.
    ``note`` is said beside the value. ``joint`` are the nodes whose sums a depends on, where those are several (softmax).
    """

    name: str
    layer: int
    row: int
    group: str
    sources: Sequence[int]
    factors: Sequence[float]
    parameters: Sequence[int]
    s: float
    a: float
    slope: float | list[float] = 1.0
    activation: str = "identity"
    formula: Formula | None = None
    known: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    joint: range | None = None
    readers: list[int] = field(default_factory=list)
    reader_factors: list[float] = field(default_factory=list)
    loss_slope: float | None = None
    delta: float = 0.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where an array of parameters lies in the flat vector, how its numbers are called, and whether l1, l2 and weight decay
    act on them. ``connects``: nodes from and to which the weights of a dense layer lead, where each has one place."""

    name: str
    first: int
    shape: tuple[int, ...]
    penalised: bool
    symbols: Symbols | None = None
    connects: tuple[Sequence[int], Sequence[int]] | None = None

    @property
    def numbers(self) -> range:
        """Of its parameters."""
        return range(self.first, self.first + size_of(self.shape))

    def number(self, *index: int) -> int:
        offset = 0
        for i, size in zip(index, self.shape, strict=True):
            offset = offset * size + i
        return self.first + offset

    def index(self, number: int) -> tuple[int, ...]:
        offset, reverse = number - self.first, []
        for size in self.shape[::-1]:
            offset, i = divmod(offset, size)
            reverse.append(i)
        return tuple(reverse[::-1])


class Graph:
    """The nodes of one forward pass over a batch, in the order in which they are computed. ``read``: whether they know their
    readers, for a way back."""

    def __init__(self, places: dict[str, Place], values: list[float], *, read: bool = True) -> None:
        self._read = read
        self.places = places
        self.values = values  # of the parameters
        self.nodes = [Node("bias", -1, -1, "", (), (), (), 1.0, 1.0)]
        self.rows = 0
        self.statistics: dict[str, tuple[float, list[float]]] = {}  # momentum, and what running statistics move towards
        self.sparse: set[int] = set()  # parameters that a step moves only if they are touched
        self.touched: set[int] = set()
        self.carried: dict[str, int] = {}  # where the states of stateful layers begin in what the network keeps of a row
        self.carry = 0
        self.streams = 0  # layers of noise so far
        self._uses: dict[int, list[tuple[int, int]]] | None = None
        self._place_of: list[Place] = []
        self._symbols: dict[int, str] = {}

    # --- forward --------------------------------------------------------------------------------------------------------------

    def add(self, node: Node) -> int:
        """A further node, of which its sources hear."""
        number, nodes = len(self.nodes), self.nodes
        nodes.append(node)
        if self._read:
            for source, factor in zip(node.sources, node.factors, strict=True):
                read = nodes[source]
                read.readers.append(number)
                read.reader_factors.append(factor)
        return number

    def activate(self, numbers: Sequence[int], activation: str) -> None:
        """a = f(s) of nodes that are computed together; softmax takes them as one."""
        rule = ACTIVATION_RULES[activation]
        values, slopes = rule.row([self.nodes[number].s for number in numbers])
        for i, number in enumerate(numbers):
            node = self.nodes[number]
            node.a, node.slope, node.activation = values[i], slopes[i], activation
            node.joint = range(numbers[0], numbers[-1] + 1) if rule.joint else None

    # --- backward -------------------------------------------------------------------------------------------------------------

    def backward(self, slopes: Mapping[int, float], fused: Mapping[int, float]) -> None:
        """Every δ = ∂L/∂s, from ∂L/∂a of the outputs, or from ∂L/∂s where activation and loss are one step."""
        for number in range(len(self.nodes) - 1, BIAS, -1):
            node = self.nodes[number]
            if node.joint is None:
                node.loss_slope = slopes.get(number)
                node.delta = self.outer(number) * float_of(node.slope)
            elif number == node.joint[-1]:
                self._backward_joint(node.joint, slopes)
            if number in fused:
                node.delta += fused[number]

    def outer(self, number: int) -> float:
        """∂L/∂a."""
        node = self.nodes[number]
        start = node.loss_slope or 0.0
        return start + sum(
            factor * self.nodes[reader].delta for factor, reader in zip(node.reader_factors, node.readers, strict=True)
        )

    def _backward_joint(self, numbers: range, slopes: Mapping[int, float]) -> None:
        nodes = [self.nodes[number] for number in numbers]
        for number, node in zip(numbers, nodes, strict=True):
            node.loss_slope = slopes.get(number)
        outer = [self.outer(number) for number in numbers]
        rows = [node.slope for node in nodes if isinstance(node.slope, list)]
        for j, node in enumerate(nodes):
            node.delta = sum(d * row[j] for d, row in zip(outer, rows, strict=True))

    def gradient(self, shares: Sequence[float]) -> list[float]:
        """Of every parameter, with the rows weighted by their shares."""
        sums = [0.0] * len(self.values)
        for node in self.nodes:
            scaled = node.delta * shares[node.row] if node.row >= 0 else node.delta
            for parameter, source in zip(node.parameters, node.sources, strict=False):
                if parameter >= 0:
                    sums[parameter] += scaled * self.nodes[source].a
        return sums

    # --- asking ---------------------------------------------------------------------------------------------------------------

    def uses(self, parameter: int) -> list[tuple[int, int]]:
        """(node, source) wherever the parameter is the factor of a source."""
        if self._uses is None:
            self._uses = {}
            for number, node in enumerate(self.nodes):
                for used, source in zip(node.parameters, node.sources, strict=False):
                    self._uses.setdefault(used, []).append((number, source))
        return self._uses.get(parameter, [])

    def rests(self, parameter: int) -> bool:
        """Whether the step leaves the parameter and its state alone."""
        return parameter in self.sparse and parameter not in self.touched

    def place(self, parameter: int) -> Place:
        if not self._place_of:
            self._place_of = [place for place in self.places.values() for _ in range(size_of(place.shape))]
        return self._place_of[parameter]

    def symbol(self, parameter: int) -> str:
        """What the parameter is called; one of a dense layer only "w" or "bias", since its connection names it."""
        found = self._symbols.get(parameter)
        if found is None:
            place = self.place(parameter)
            plain = "bias" if place.name.endswith("bias") else "w"
            found = place.symbols(place.index(parameter)) if place.symbols is not None else plain
            self._symbols[parameter] = found
        return found


def float_of(slope: float | list[float]) -> float:
    assert not isinstance(slope, list)
    return slope


def padded(width: int) -> int:
    """What the last axis of a value takes in the core."""
    return -(-width // 16) * 16


def size_of(shape: Sequence[int]) -> int:
    size = 1
    for n in shape:
        size *= n
    return size
