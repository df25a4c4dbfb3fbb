"""The plan of a network: its layers as rows of the core's op table, with a place for every number.

All parameters lie in one flat vector, padded: each row of a weight array is filled up with zeros to a multiple of ``LANES``,
so that the kernels need no tails. Activations and deltas of a batch lie in an arena, whose slots the plan hands out too. To
add a layer, add its kind to ``KINDS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp._cpu import core as _core
from cbp.layers import Dense, Layer

LANES = 16
"""Numbers that every row is padded to a multiple of: an AVX-512 register of float32."""

ALIGNMENT = 64
"""Bytes; a vector load that crosses a cache line costs twice."""

Shape = tuple[int, ...]
Flat = npt.NDArray[Any]


def padded(width: int) -> int:
    """The row length that holds ``width`` numbers."""
    return -(-width // LANES) * LANES


def aligned(size: int, dtype: np.dtype[Any], *, clear: bool = True) -> Flat:
    """A vector that begins at a cache line, of zeros unless whoever gets it writes before reading."""
    raw = (np.zeros if clear else np.empty)(size * dtype.itemsize + ALIGNMENT, dtype=np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size * dtype.itemsize].view(dtype)


class Plan:
    """Shapes, offsets and the op table of a stack of layers.

    Attributes
    ----------
    ops : array
        The op table, one ``Op`` (``_structs.pxd``) a layer.
    shapes : dict
        Name and shape of every parameter, in the order of the flat vector.
    size : int
        Length of the padded flat vector.
    arena : int
        Numbers that one row of a batch needs in the arena.
    targets, weights : int
        Slots of the arena where targets and sample weights are gathered.
    scratch : int
        Numbers that a thread needs beside the arena, for the gradient of the input of the largest layer.
    """

    def __init__(self, layers: tuple[Layer, ...], input_shape: Shape):
        self.input_shape = input_shape
        self.shapes: dict[str, Shape] = {}
        self._offsets: dict[str, int] = {}
        self.size = 0
        self.scratch = 0
        self.arena = padded(prod(input_shape))  # rows are gathered here when the data are shuffled or converted
        self.ops = np.zeros(len(layers), dtype=_core.OP)
        shape = input_shape
        for index, layer in enumerate(layers):
            try:
                output_shape = layer.output_shape(shape)
            except ValueError as problem:
                raise ValueError(f"layers[{index}]: {problem}") from None
            for name, parameter_shape in layer.parameter_shapes(shape).items():
                self._place(f"{index}.{name}", parameter_shape)
            KINDS[type(layer)](self, index, layer, shape)
            shape = output_shape
        self.output_shape = shape
        self.targets = self.slot(prod(shape))
        self.weights = self.slot(1)

    def _place(self, name: str, shape: Shape) -> None:
        self.shapes[name] = shape
        self._offsets[name] = self.size
        self.size += prod(shape[:-1]) * padded(shape[-1])
        if self.size >= 2**48:
            raise ValueError(f"{name} has the shape {shape}; the network would have {self.size:,} parameters, more than any "
                             f"machine holds")

    def slot(self, width: int) -> int:
        """A new slot of the arena."""
        offset = self.arena
        self.arena += padded(width)
        return offset

    def offset(self, name: str) -> int:
        """Where a parameter starts in the padded flat vector; -1 for one that the layer does not have."""
        return self._offsets.get(name, -1)

    @property
    def count(self) -> int:
        """Number of parameters, pads not counted."""
        return sum(prod(shape) for shape in self.shapes.values())

    def views(self, flat: Flat) -> dict[str, Flat]:
        """The parameters by name, as views of a padded flat vector."""
        views = {}
        for name, shape in self.shapes.items():
            start, width = self._offsets[name], padded(shape[-1])
            rows = flat[start : start + prod(shape[:-1]) * width].reshape(*shape[:-1], width)
            views[name] = rows[..., : shape[-1]]
        return views

    @property
    def flat(self) -> bool:
        """Whether inputs and outputs are plain rows of numbers."""
        return len(self.input_shape) == len(self.output_shape) == 1

    def few(self, dtype: np.dtype[Any]) -> int:
        """How many rows ``predict_ready`` of the core may take at once; 0 where the network does not suit it."""
        arena = self.arena * dtype.itemsize
        return min(_core.READY["bytes"] // arena, _core.READY["work"] // self.size, _core.READY["rows"]) if self.flat else 0

    def piece(self, rows: int) -> int:
        """How many of a batch's rows go through the network at once: few enough that Ctrl-C is answered in time and that the
        arena stays small, enough for the product to run at full speed."""
        return min(rows, max(128, min(1024, 2**28 // self.size)))


def _dense(plan: Plan, index: int, layer: Dense, input_shape: Shape) -> None:
    width = padded(layer.units)
    output = plan.slot(width)
    plan.ops[index] = (
        _core.OPS["dense"],
        _core.ACTIVATIONS[layer.activation],
        input_shape[0],
        layer.units,
        width,
        plan.offset(f"{index}.weight"),
        plan.offset(f"{index}.bias"),
        plan.slot(width) if layer.activation in _core.KEEPS_SUM else output,
        output,
        plan.slot(width),
    )
    plan.scratch = max(plan.scratch, _core.STRIP * (layer.units + input_shape[0]))


KINDS: Mapping[type[Layer], Callable[..., None]] = {Dense: _dense}
