"""The plan of a network: its layers as rows of the core's op table, with a place for every number.

All parameters lie in one flat vector, padded: each row of a weight array is filled up with zeros to a multiple of ``LANES``,
so that the kernels need no tails; very many rows of few numbers are laid out in another way (``Layout``). The values of a
sample lie in an arena, whose slots the plan hands out too, their last axis padded in the same way. Which ops a layer becomes is
the layer's own affair: it asks the plan for places and adds its ops.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cbp.engine.cpu import core as _core
from cbp.errors import quoted, unknown_name

LANES = 16
"""Numbers that every row is padded to a multiple of: an AVX-512 register of float32."""

THIN = 2**17
"""Numbers of a padded array from which on pads are saved where they are most of it. Networks that the core takes straight from
Python (``READY``) are smaller."""

MOST_NUMBERS = 2**40
"""Of parameters, and of one sample on its way: more than any machine holds, and counts of numbers stay far from 2**63."""

MOST_ARRAYS = 20_000
"""Of parameters and statistics; each costs some ten microseconds and some kilobytes wherever a network is made."""

ALIGNMENT = 64
"""Bytes; a vector load that crosses a cache line costs twice."""

PIECE = 2**18
"""Numbers of the arena of a piece, where a sample has many: about a second-level cache."""

MOST_OF_PIECE = 2**24
"""Numbers of the arena of a piece, unless a single sample has more: memory stays small where samples are large."""

PIECE_WORK = 2**30
"""Multiplications of a piece on the way forward, at most: some hundredths of a second with the way back."""

FIELDS = _core.OP.names or ()
"""Of a record of the op table."""

Shape = tuple[int, ...]
Flat = npt.NDArray[Any]
Layout = Literal["rows", "columns", "packed"]
"""How an array lies in the flat vector: its rows, along the last axis, padded; its columns instead; or all numbers without pads
between them."""


def padded(width: int) -> int:
    """The row length that holds ``width`` numbers."""
    return -(-width // LANES) * LANES


def thin(rows: int, width: int) -> bool:
    """Whether at least half of an array would be pads, and that much memory."""
    return 2 * width <= LANES and rows * LANES > THIN


def aligned(size: int, dtype: np.dtype[Any], *, clear: bool = True) -> Flat:
    """A vector that begins at a cache line, of zeros unless whoever gets it writes before reading."""
    raw = _core.memory(size * dtype.itemsize + ALIGNMENT, clear)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * dtype.itemsize].view(dtype)


@dataclass(frozen=True)
class Parameter:
    """An array of numbers that training changes, or that a layer measures.

    Parameters
    ----------
    shape : tuple of int
    init : cbp.initializers.Initializer
        How it starts: ``init(shape, draw, fans)`` gives the numbers.
    fans : tuple of int or None
        Numbers of values that a unit reads and that read a unit's input, which scale random starts; None: those of a matrix of
        ``shape``, all axes but the last, and the last.
    penalised : bool
        Whether l1, l2 and weight decay act on it: on weights, not on biases, scales and shifts.
    layout : str
        One of ``Layout``, as the op reads it.
    """

    shape: Shape
    init: Callable[[Shape, Callable[[str, int], npt.NDArray[np.float64]], tuple[int, int] | None], npt.NDArray[np.float64]]
    fans: tuple[int, int] | None = None
    penalised: bool = True
    layout: Layout = "rows"

    @cached_property
    def taken(self) -> int:
        """Its numbers in the flat vector, pads included."""
        rows, width = prod(self.shape[:-1]), self.shape[-1]
        return {"rows": rows * padded(width), "columns": width * padded(rows), "packed": padded(rows * width)}[self.layout]

    def view(self, numbers: Flat) -> Flat:
        """The array without pads, as a view of its numbers in the flat vector."""
        width = self.shape[-1]
        if self.layout == "rows":
            return numbers.reshape(*self.shape[:-1], padded(width))[..., :width]
        rows = prod(self.shape[:-1])
        if self.layout == "columns":
            return numbers.reshape(width, padded(rows))[:, :rows].T.reshape(self.shape)
        return numbers[: rows * width].reshape(self.shape)


@dataclass(frozen=True)
class Value:
    """What a layer reads or writes, of one sample.

    Attributes
    ----------
    shape : tuple of int
    slot, gradient : int
        Where it and its gradient lie in the arena; -1 for the samples themselves.
    width : int
        From one position (pixel, time step) to the next: the last axis padded, but not among the samples.
    timed : bool
        Whether the first axis still is the time of the samples, of which ``lengths`` tell how much counts.
    """

    shape: Shape
    slot: int
    gradient: int
    width: int
    timed: bool = False

    @property
    def positions(self) -> int:
        return prod(self.shape[:-1])


class Plan:
    """Shapes, offsets and the op table of a network. A new plan takes places and ops from ``samples`` on, until ``finish``.

    Attributes
    ----------
    samples : Value
        The inputs.
    ops : array
        The op table of ``Op`` records (``kernels/structs.pxd``).
    kinds : list of str
        The names of the ops' kinds.
    parameters, statistics : dict
        Every parameter by name, and every array that the layers measure, in the order of the flat vectors.
    values : dict
        What every layer gives, by its place: those inside of a layer before it.
    size, statistics_size : int
        Lengths of the padded flat vectors.
    arena : int
        Numbers that one row of a batch needs in the arena.
    targets, weights, shares : int
        Slots of the arena for targets and sample weights that are gathered, and for the weight of every position.
    scratch : int
        Numbers that a thread needs beside the arena.
    workspace : int
        Numbers that belong to no sample.
    carry : int
        Numbers of a row's state that goes from batch to batch.
    streams : int
        How many layers draw random numbers while training.
    whole_batch : bool
        Whether a batch must go through at once, because its rows depend on each other.
    vocabulary : int
        How many whole numbers the samples may hold, where they name rows of an embedding; else 0.
    no_lengths : str
        Why samples cannot have lengths of their own; empty where they can.
    """

    def __init__(self, input_shape: Shape):
        self._table = bytearray()
        self._op = np.zeros(1, _core.OP)  # the last one; an array for each would take several times its numbers
        self.kinds: list[str] = []
        self._offsets: dict[str, int] = {}
        self.input_shape = input_shape
        self.parameters: dict[str, Parameter] = {}
        self.statistics: dict[str, Parameter] = {}
        self.values: dict[str, Value] = {}
        self.size = self.statistics_size = self.scratch = self.workspace = self.carry = 0
        self.streams = 0
        self.whole_batch = False
        self.vocabulary = 0
        self.no_lengths = "" if len(input_shape) == 2 else "the samples have no axis of time"
        self.arena = padded(prod(input_shape))  # rows are gathered here when the data are shuffled or converted
        self.samples = Value(input_shape, slot=-1, gradient=-1, width=input_shape[-1], timed=len(input_shape) == 2)

    def finish(self, value: Value) -> None:
        """Make the op table, whose result is ``value``."""
        value = self._written(value)
        self.output_shape = value.shape
        self.ops = np.frombuffer(self._table, _core.OP)
        self.timed = value.timed
        self.targets = self.slot(prod(value.shape))
        self.weights = self.slot(1)
        self.shares = self.slot(self.outputs)

    # --- what layers ask for --------------------------------------------------------------------------------------------------

    def place_parameter(self, name: str, parameter: Parameter) -> None:
        """Give an array that training changes its place."""
        self.parameters[name] = parameter
        self._offsets[name] = self.size
        self.size += parameter.taken
        self._check_size(name, parameter)

    def place_statistic(self, name: str, statistic: Parameter) -> None:
        """Give an array that a layer measures its place."""
        self.statistics[name] = statistic
        self._offsets[name] = self.statistics_size
        self.statistics_size += statistic.taken
        self._check_size(name, statistic)

    def _check_size(self, name: str, array: Parameter) -> None:
        if len(self.parameters) + len(self.statistics) > MOST_ARRAYS:
            raise ValueError(f"the network would have more than {MOST_ARRAYS:,} arrays of parameters and statistics")
        if max(self.size, self.statistics_size) >= MOST_NUMBERS:
            raise ValueError(f"{name} has the shape {array.shape}; the network would have {self.size:,} parameters, more than "
                             f"any machine holds")

    def value(self, shape: Shape, *, timed: bool = False) -> Value:
        """A new value, with slots for it and its gradient."""
        size = prod(shape[:-1]) * padded(shape[-1])
        return Value(shape, self.slot(size), self.slot(size), padded(shape[-1]), timed)

    def slot(self, size: int) -> int:
        """A new slot of the arena."""
        offset = self.arena
        self.arena += padded(size)
        return offset

    def reshaped(self, value: Value, shape: Shape) -> Value:
        """A value in another shape: the same slots, if there are pads neither before nor after, else a copy."""
        timed = value.timed and shape == value.shape
        bare = padded(value.shape[-1]) == value.shape[-1] and padded(shape[-1]) == shape[-1]
        if (value.slot < 0 or bare) and (value.gradient < 0 or bare):
            return replace(value, shape=shape, width=shape[-1], timed=timed)
        output = self.value(shape, timed=timed)
        self.add("copy", value, output)
        return output

    def split(self, value: Value) -> tuple[Value, Value]:
        """A value for two readers, each with a gradient of its own; on the way back their sum is the value's gradient."""
        width = padded(value.shape[-1])
        one, other = (replace(value, gradient=self.slot(value.positions * width)) for _ in range(2))
        # The op writes nothing. Its output is the first gradient, so that clearing the output of a sample clears nothing else.
        written = Value(value.shape, slot=one.gradient, gradient=one.gradient, width=width)
        self.add("split", value, written, second_units=value.shape[-1], d_second=other.gradient)
        return one, other

    def join(self, one: Value, other: Value, activation: str) -> Value:
        """The activation of the sum of two values of one shape. The gradient of the sum takes the slot of the other value's, so
        nobody else may read or change that: what writes ``other`` has no activation."""
        width = padded(one.shape[-1])
        output = Value(one.shape, self.slot(one.positions * width), other.gradient, width, one.timed and other.timed)
        self.add("join", one, output, activation=activation, second=other.slot, second_units=other.shape[-1],
                 d_second=other.gradient)
        return output

    def concat(self, one: Value, other: Value) -> Value:
        """Two values, equal in all axes but the last, one behind the other on the last."""
        output = self.value((*one.shape[:-1], one.shape[-1] + other.shape[-1]), timed=one.timed and other.timed)
        self.add("concat", one, output, second=other.slot, second_units=other.shape[-1], d_second=other.gradient)
        return output

    def _written(self, value: Value) -> Value:
        """The network's output, as the last op writes it: a value of the same numbers in another shape is copied."""
        last = self._op[0]
        if self.kinds and value.slot >= 0 and last["output"] == value.slot and last["units"] == value.shape[-1]:
            return value
        output = self.value(value.shape, timed=value.timed)
        self.add("copy", value, output)
        return output

    def stream(self) -> int:
        """A new stream of random numbers."""
        self.streams += 1
        return self.streams - 1

    def mixes_time(self, layer: str, value: Value) -> None:
        """A layer takes steps of a sample together in a way that knows nothing of lengths."""
        if value.timed and not self.no_lengths:
            self.no_lengths = f"{layer} takes all steps of a sample"

    def offset(self, name: str) -> int:
        """Where a parameter or a measured array starts in its padded flat vector; -1 for one that the layer does not have."""
        return self._offsets.get(name, -1)

    def add(
        self, kind: str, source: Value, output: Value, *, activation: str = "identity", weight: str = "", weight_rows: int = 0,
        weight_width: int = 0, bias: str = "", bias_width: int = 0, stateful: bool = False, **fields: float,
    ) -> None:
        """Add an op from one value to another; ``fields`` are those that follow from neither. ``stateful``: its state goes on
        in the next batch."""
        size = output.positions * output.width
        record: dict[str, Any] = dict.fromkeys(FIELDS, 0) | {
            "kind": _core.OPS[kind],
            "activation": _core.ACTIVATIONS[activation],
            "input": source.slot,
            "in_positions": source.positions,
            "inputs": source.shape[-1],
            "in_width": source.width,
            "d_input": source.gradient,
            "positions": output.positions,
            "units": output.shape[-1],
            "width": output.width,
            "sums": self.slot(size) if activation in _core.KEEPS_SUM else output.slot,
            "output": output.slot,
            "d_output": output.gradient,
            "weight": self.offset(weight),
            "weight_rows": weight_rows,
            "weight_width": weight_width or output.width,
            "unpenalised": weight in self.parameters and not self.parameters[weight].penalised,
            "bias": self.offset(bias),
            "bias_width": bias_width or output.width,
            "carry": -1,
        }
        if self.arena >= MOST_NUMBERS:  # the network is refused; its numbers need not fit into a record
            return
        record |= fields
        self._op[0] = tuple(record.values())
        self._keep(self._op, stateful)
        self._table += self._op.tobytes()
        self.kinds.append(kind)

    def _keep(self, op: Flat, stateful: bool) -> None:
        """Places for what an op keeps, which its kind in the core tells."""
        scratch, kept, shared, carried = map(int, _core.needs(op))
        self.scratch = max(self.scratch, scratch)
        if kept:
            op["extra"], op["extra_size"] = self.slot(kept), padded(kept)
        if shared:
            op["shared"] = self.workspace
            self.workspace += padded(shared)
        if stateful:
            op["carry"] = self.carry
            self.carry += carried

    # --- what running asks for ------------------------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Number of parameters, pads not counted."""
        return sum(prod(parameter.shape) for parameter in self.parameters.values())

    @cached_property
    def outputs(self) -> int:
        """Positions of the output, as the last op writes them."""
        return int(self.ops[-1]["positions"])

    @property
    def on_the_way(self) -> int:
        """Numbers that one sample takes on its way forward and back."""
        return self.arena + self.scratch + self.workspace + self.carry

    @cached_property
    def terms(self) -> int:
        """Of the gradient of a parameter by one sample, at most: one for every position."""
        learning = self.ops[self.ops["weight_rows"] > 0]
        return int(max(learning["positions"].max(initial=0), learning["in_positions"].max(initial=0)))

    @property
    def work(self) -> int:
        """Multiplications of one sample on the way forward, roughly."""
        return int(min(self.ops["work"].sum(), 2**60))

    def views(self, flat: Flat, arrays: dict[str, Parameter] | None = None) -> dict[str, Flat]:
        """The parameters by name, or the statistics, as views of a padded flat vector."""
        views = {}
        for name, parameter in (self.parameters if arrays is None else arrays).items():
            start = self._offsets[name]
            views[name] = parameter.view(flat[start : start + parameter.taken])
        return views

    def below(self, argument: str, names: object) -> list[str]:
        """The parameters of layers or arrays: ``"0"`` means all whose names begin with ``"0."``; raises TypeError or ValueError
        for a name of nothing."""
        found = []
        for name in names if isinstance(names, (list, tuple, set, frozenset)) else [names]:
            if isinstance(name, bool) or not isinstance(name, (str, int)):
                raise TypeError(f"{argument} must be of layers or arrays, '0' or '0.weight' for example, got {quoted(name)}")
            below = [known for known in self.parameters if known == name or known.startswith(f"{name}.")]
            if not below:
                raise unknown_name(argument, name, dict.fromkeys(
                    [place for known in self.parameters for place in (known.partition(".")[0], known)]), {})
            found += below
        return found

    def arrays_of(self, op: Any) -> tuple[list[str], list[str]]:
        """The names of the parameters in the matrix of an op, and in its bias."""
        start, size = int(op["weight"]), int(op["weight_rows"] * op["weight_width"])
        row = int(op["bias"])
        return self._named_from(start, size if start >= 0 else 0), self._named_from(row, int(row >= 0))

    def _named_from(self, start: int, size: int) -> list[str]:
        names, offsets = self._order
        return names[bisect_left(offsets, start) : bisect_left(offsets, start + size)]

    @cached_property
    def _order(self) -> tuple[list[str], list[int]]:
        """The parameters as they lie one after the other, and where."""
        return list(self.parameters), [self._offsets[name] for name in self.parameters]

    def compact(self, flat: Flat, out: Flat | None = None) -> Flat:
        """A copy of a padded flat vector of parameters without its pads, in ``out`` if there is one."""
        if out is not None:
            return np.take(flat, self.places, out=out, mode="clip")  # with the mode "raise" it would write to a copy first
        return np.concatenate([flat[:0], *(view.reshape(-1) for view in self.views(flat).values())])

    @cached_property
    def places(self) -> npt.NDArray[np.intp]:
        """Where every number of a vector of the parameters without pads lies in one with pads."""
        return self.compact(np.arange(max(self.size, 1), dtype=np.intp))

    @cached_property
    def runs(self) -> npt.NDArray[np.intp]:
        """The same as (first place, how many follow one another) for one stretch after the other."""
        begins = np.flatnonzero(np.diff(self.places, prepend=-2) != 1)
        counts = np.diff(begins, append=len(self.places))
        return np.stack([self.places[begins], counts], axis=1).astype(np.intp)

    def named(self, compact: Flat) -> dict[str, Flat]:
        """The parameters by name in a vector without pads."""
        found, start = {}, 0
        for name, parameter in self.parameters.items():
            size = prod(parameter.shape)
            found[name] = compact[start : start + size].reshape(parameter.shape)
            start += size
        return found

    @cached_property
    def plain(self) -> bool:
        """Whether the network is a stack of dense layers from plain rows of numbers to plain rows."""
        return self._products and "thin" not in self.kinds

    @cached_property
    def _products(self) -> bool:
        """The same, where dense layers may be thin."""
        return (len(self.input_shape) == len(self.output_shape) == 1 and {"dense", "thin"}.issuperset(self.kinds)
                and bool((self.ops["positions"] == 1).all()))

    def few(self, dtype: np.dtype[Any]) -> int:
        """How many rows ``Answers`` of the core may take at once; 0 where the network does not suit it."""
        arena = self.arena * dtype.itemsize
        return min(_core.READY["bytes"] // arena, _core.READY["work"] // self.size, _core.READY["rows"]) if self.plain else 0

    def piece(self, rows: int, *, apart: bool = False) -> int:
        """How many of a batch's rows go through the network at once: few enough that Ctrl-C is answered in time and that the
        arena stays small, enough for the product to run at full speed. ``apart``: no row depends on another, because nobody
        trains."""
        if self.whole_batch and not apart:
            return rows
        if self._products:
            most = max(128, min(1024, 2**28 // self.size))
        else:
            most = min(max(12, min(1020, PIECE // self.arena)), max(1, PIECE_WORK // max(self.work, 1)))
            most = most // 12 * 12 or most
        return min(rows, most, max(1, MOST_OF_PIECE // self.arena))
