"""Recurrent layers: the same weights at every time step, and a state that is handed from one step to the next.

x is the input of a step, h₋₁ the state of the step before, σ the sigmoid. At the first step h₋₁ is 0, or what a stateful
layer kept. Under ``bptt=k`` no gradient flows back to the state before the steps 1, k + 1, 2k + 1, ..., counted in the order
in which they are walked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from cbp.layers import GRU, LSTM, RNN, Bidirectional
from cbp.trace.graph import Formula, Place
from cbp.trace.layers.registry import batch_rule, compute, rule
from cbp.trace.layers.scope import Scope, Values

State = list[list[int]]  # the nodes that one step hands to the next: h, and c of an LSTM
Shape = tuple[int, ...]
Step = Callable[[int, Sequence[int], State], State]  # (t, inputs of the step, state before) -> state


def _walk(scope: Scope, layer: Any, x: Values, bases: str, step: Step) -> Values:
    """All time steps, in their order or from the end. ``bases`` are the letters of the states, the output's first."""
    times, shape = x.shape[0], (x.shape[0], layer.units)
    valid = scope.counted(x, scope.row)
    order = range(valid - 1, -1, -1) if layer.reverse else range(valid)
    before = valid if layer.reverse else -1
    state = _initial(scope, layer, bases, before, shape)
    outputs: dict[int, list[int]] = {}
    group = scope.group
    for t in order:
        if layer.bptt and (times - 1 - t if layer.reverse else t) % layer.bptt == 0:
            state = [scope.detached(nodes) for nodes in state]
        scope.group = f"{group}t = {t + 1}"
        state = step(t, [x.at(t, i) for i in range(x.shape[1])], state)
        outputs[t] = state[0]
    scope.group = group
    if not layer.return_sequences:
        return Values((layer.units,), state[0])
    beyond = {t: [scope.constant(scope.name((t, u), shape), 0.0) for u in range(layer.units)] for t in range(valid, times)}
    return Values(shape, [node for t in range(times) for node in (outputs | beyond)[t]], x.timed)


def _initial(scope: Scope, layer: Any, bases: str, before: int, shape: Shape) -> State:
    """The state before the first step."""
    kept = scope.given.carried.get((scope.prefix, scope.row)) if layer.stateful else None
    numbers = kept or [[0.0] * layer.units for _ in bases]
    return [
        [scope.constant(scope.name((before, u), shape, base), value) for u, value in enumerate(values)]
        for base, values in zip(bases, numbers, strict=True)
    ]


def _sum(
    scope: Scope, name: str, x: Sequence[int], h: Sequence[int], weights: tuple[Place | None, Place | None, Place | None],
    gate: tuple[int, ...], u: int,
) -> int:
    """Σ W·x + Σ U·h₋₁ + b of unit u; ``weights`` are W, U and b, of which any may be left out."""
    weight, recurrent, bias = weights
    sources = [*(x if weight else ()), *(h if recurrent else ())]
    numbers = [weight.number(i, *gate, u) for i in range(len(x))] if weight else []
    numbers += [recurrent.number(j, *gate, u) for j in range(len(h))] if recurrent else []
    return scope.sum(name, sources, numbers, bias.number(*gate, u) if bias else None)


# ---------------------------------------------------------------------------------------------------------------- RNN


@rule(RNN)
def rnn(scope: Scope, layer: RNN, x: Values) -> Values:
    """h = f(W·x + U·h₋₁ + b). (Elman, 1990, Finding structure in time.)"""
    weights = (scope.symbols("weight", "W"), scope.symbols("recurrent", "U"), scope.symbols("bias", "b"))
    shape = (x.shape[0], layer.units)
    end = " + b" if layer.bias else ""
    scope.say([f"h = f(W·x + U·h₋₁{end}), f = {layer.activation}, with the same W and U at every step"])

    def step(t: int, inputs: Sequence[int], state: State) -> State:
        units = [
            _sum(scope, scope.name((t, u), shape), inputs, state[0], weights, (), u) for u in range(layer.units)
        ]
        scope.graph.activate(units, layer.activation)
        return [units]

    return _walk(scope, layer, x, "h", step)


# --------------------------------------------------------------------------------------------------------------- LSTM


def cell(f: float, c: float, i: float, g: float) -> tuple[float, tuple[float, ...]]:
    value = f * c + i * g
    slopes = (c, f, g, i)
    return value, slopes


CELL = Formula(("f", "c", "i", "g"), "{f}·{c} + {i}·{g}", ("{c}", "{f}", "{g}", "{i}"))


def lstm_output(o: float, c: float) -> tuple[float, tuple[float, ...]]:
    value = o * math.tanh(c)
    slopes = (math.tanh(c), o * (1 - math.tanh(c) * math.tanh(c)))
    return value, slopes


LSTM_OUTPUT = Formula(("o", "c"), "{o}·tanh({c})", ("tanh({c})", "{o}·(1 - tanh({c})²)"))
LSTM_GATES = "ifgo"


@rule(LSTM)
def lstm(scope: Scope, layer: LSTM, x: Values) -> Values:
    """Input gate i, forget gate f, candidate g and output gate o; the cell c keeps what f lets stay and i lets in.

    (Hochreiter & Schmidhuber, 1997, Long short-term memory; with the forget gate of Gers et al., 2000.)
    """
    weights = (
        scope.symbols("weight", "W", gates=LSTM_GATES, gate=1), scope.symbols("recurrent", "U", gates=LSTM_GATES, gate=1),
        scope.symbols("bias", "b", gates=LSTM_GATES, gate=0),
    )  # fmt: skip
    shape = (x.shape[0], layer.units)
    scope.say([
        *_gate_lines("ifo", "σ", layer.bias), *_gate_lines("g", "tanh", layer.bias),
        "c = f·c₋₁ + i·g,   h = o·tanh(c)",
    ])  # fmt: skip

    def step(t: int, inputs: Sequence[int], state: State) -> State:
        before, cells = state
        new: State = [[], []]
        for u in range(layer.units):
            gates = {}
            for k, gate in enumerate(LSTM_GATES):
                node = _sum(scope, scope.name((t, u), shape, gate), inputs, before, weights, (k,), u)
                scope.graph.activate([node], "tanh" if gate == "g" else "sigmoid")
                gates[gate] = node
            sources = [gates["f"], cells[u], gates["i"], gates["g"]]
            c = scope.formula(scope.name((t, u), shape, "c"), CELL, sources, cell(*map(scope.value, sources)))
            sources = [gates["o"], c]
            name = scope.name((t, u), shape)
            new[0].append(scope.formula(name, LSTM_OUTPUT, sources, lstm_output(*map(scope.value, sources))))
            new[1].append(c)
        return new

    return _walk(scope, layer, x, "hc", step)


def _gate_lines(gates: str, function: str, bias: bool) -> list[str]:
    texts = [f"{gate} = {function}(W_{gate}·x + U_{gate}·h₋₁{f' + b_{gate}' if bias else ''})" for gate in gates]
    return [",   ".join(texts)]


# ---------------------------------------------------------------------------------------------------------------- GRU


def candidate(q: float, r: float, m: float) -> tuple[float, tuple[float, ...]]:
    value = q + r * m
    slopes = (1.0, m, r)
    return value, slopes


CANDIDATE = Formula(("q", "r", "m"), "{q} + {r}·{m}", ("1", "{m}", "{r}"))


def mixture(z: float, n: float, h: float) -> tuple[float, tuple[float, ...]]:
    value = (1 - z) * n + z * h
    slopes = (h - n, 1 - z, z)
    return value, slopes


MIXTURE = Formula(("z", "n", "h"), "(1 - {z})·{n} + {z}·{h}", ("{h} - {n}", "1 - {z}", "{z}"))


@rule(GRU)
def gru(scope: Scope, layer: GRU, x: Values) -> Values:
    """Reset gate r, update gate z and candidate n, of which h takes the share 1 - z.

    (Cho et al., 2014, Learning phrase representations; the reset gate acts after the product with U, as in cuDNN and PyTorch.)
    """
    weight, recurrent = scope.symbols("weight", "W", gates="rzn", gate=1), scope.symbols("recurrent", "U", gates="rzn", gate=1)
    bias = scope.symbols("bias", "b", gates="rznm", gate=0)
    shape = (x.shape[0], layer.units)
    end = " + b_n" if layer.bias else "", " + b_m" if layer.bias else ""
    scope.say([
        *_gate_lines("rz", "σ", layer.bias),
        f"q = W_n·x{end[0]},   m = U_n·h₋₁{end[1]},   n = tanh(q + r·m),   h = (1 - z)·n + z·h₋₁",
    ])  # fmt: skip

    def step(t: int, inputs: Sequence[int], state: State) -> State:
        before, new = state[0], []
        for u in range(layer.units):
            r, z = (
                _sum(scope, scope.name((t, u), shape, gate), inputs, before, (weight, recurrent, bias), (k,), u)
                for k, gate in enumerate("rz")
            )
            scope.graph.activate([r], "sigmoid")
            scope.graph.activate([z], "sigmoid")
            q = _sum(scope, scope.name((t, u), shape, "q"), inputs, (), (weight, None, bias), (2,), u)
            m = _sum_m(scope, scope.name((t, u), shape, "m"), before, recurrent, bias, u)
            n = scope.formula(scope.name((t, u), shape, "n"), CANDIDATE, [q, r, m], candidate(*map(scope.value, [q, r, m])))
            scope.graph.activate([n], "tanh")
            sources = [z, n, before[u]]
            new.append(scope.formula(scope.name((t, u), shape), MIXTURE, sources, mixture(*map(scope.value, sources))))
        return [new]

    return _walk(scope, layer, x, "h", step)


def _sum_m(scope: Scope, name: str, h: Sequence[int], recurrent: Place | None, bias: Place | None, u: int) -> int:
    """U_n·h₋₁ + b_m: the candidate's part from the state, its bias the fourth."""
    assert recurrent is not None
    weights = [recurrent.number(j, 2, u) for j in range(len(h))]
    return scope.sum(name, h, weights, bias.number(3, u) if bias else None)


# ------------------------------------------------------------------------------------------------------ bidirectional


@batch_rule(Bidirectional)
def bidirectional(scope: Scope, layer: Bidirectional, batch: list[Values]) -> list[Values]:
    """The layer from the beginning (→) and a copy of it from the end (←), side by side."""
    results = []
    for (part, copy), arrow in zip(layer.sides.items(), "→←", strict=True):
        inner = scope.inner(part, arrow)
        inner.group = f"{arrow} "
        results.append(compute(inner, copy, batch))
        scope.noted.lines += [f"{arrow} {line}" for line in inner.noted.lines]
    return [_beside(*pair) for pair in zip(*results, strict=True)]


def _beside(first: Values, second: Values) -> Values:
    pairs = zip(first.positions(), second.positions(), strict=True)
    nodes = [node for (_, a), (_, b) in pairs for node in (*a, *b)]
    return Values((*first.shape[:-1], first.shape[-1] + second.shape[-1]), nodes, first.timed)
