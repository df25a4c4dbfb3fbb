"""Pooling: every channel of a window becomes its largest number or its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, TypeVar

from cbp import _check
from cbp.layers.base import Layer, Shape, brief

__all__ = ["AveragePool1D", "AveragePool2D", "GlobalAveragePool", "GlobalMaxPool", "MaxPool1D", "MaxPool2D"]


class Windows(NamedTuple):
    """How the windows lie along one axis."""

    inputs: int
    outputs: int
    size: int
    stride: int
    before: int


@dataclass(frozen=True)
class _Pool(Layer):
    """What the layers with windows share: the arguments and the shapes."""

    size: int | Sequence[int] = 2
    stride: int | Sequence[int] | None = field(default=None, kw_only=True)
    padding: str | int | Sequence[int] = field(default="valid", kw_only=True)

    _axes: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        axes = len(self._axes)
        size = _each_axis("size", self.size, axes, minimum=1)
        stride = size if self.stride is None else _each_axis("stride", self.stride, axes, minimum=1)
        object.__setattr__(self, "size", _short(size))
        object.__setattr__(self, "stride", None if stride == size else _short(stride))
        if isinstance(self.padding, str):
            if self.padding not in ("valid", "same"):
                raise ValueError(f"padding must be 'valid', 'same' or a number of pads, got {self.padding!r}")
            return
        padding = _each_axis("padding", self.padding, axes, minimum=0)
        if any(2 * pads > extent for pads, extent in zip(padding, size, strict=True)):
            raise ValueError(f"padding must be at most half the size {_short(size)}, or a window could lie in pads alone, got "
                             f"{_short(padding)}")
        object.__setattr__(self, "padding", _short(padding))

    def windows(self, input_shape: Shape) -> list[Windows]:
        """The windows along every axis but that of the channels."""
        axes = self._axes
        if len(input_shape) != len(axes) + 1:
            raise ValueError(f"{brief(self)} needs inputs ({', '.join(axes)}, channels), its input has the shape {input_shape}")
        sizes = _each_axis("size", self.size, len(axes), minimum=1)
        strides = sizes if self.stride is None else _each_axis("stride", self.stride, len(axes), minimum=1)
        found = []
        for axis, (name, inputs, size, stride) in enumerate(zip(axes, input_shape, sizes, strides, strict=False)):
            if self.padding == "same":
                outputs = -(-inputs // stride)
                found.append(Windows(inputs, outputs, size, stride, max((outputs - 1) * stride + size - inputs, 0) // 2))
                continue
            pads = 0 if isinstance(self.padding, str) else _each_axis("padding", self.padding, len(axes), minimum=0)[axis]
            if inputs + 2 * pads < size:
                raise ValueError(f"{brief(self)} needs a {name} of at least {size - 2 * pads}, its input has the shape "
                                 f"{input_shape}")
            found.append(Windows(inputs, (inputs + 2 * pads - size) // stride + 1, size, stride, pads))
        return found

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*(windows.outputs for windows in self.windows(input_shape)), input_shape[-1])


def _each_axis(argument: str, value: object, axes: int, *, minimum: int) -> tuple[int, ...]:
    """A number for every axis: one for all, or a sequence."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (_check.integer(argument, value, minimum=minimum, below=2**31),) * axes
    if len(value) != axes:
        wanted = "a whole number" if axes == 1 else f"a whole number or {axes} of them"
        raise ValueError(f"{argument} must be {wanted}, got {value!r}")
    return tuple(_check.integer(argument, number, minimum=minimum, below=2**31) for number in value)


def _short(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    """One number where all are the same."""
    return numbers[0] if len(set(numbers)) == 1 else numbers


_ARGUMENTS = """

    Parameters
    ----------
    size : int{pair}
        Of a window.
    stride : int{pair} or None
        From one window to the next; None: the size, so that windows lie beside one another.
    padding : str, int{pair}
        ``"valid"``: windows lie inside the input, what does not fill one at the end is left out. ``"same"``: the output has
        ``ceil(input / stride)`` positions, the pads that it takes are shared by both ends, the smaller half before. A number:
        so many pads at both ends, at most half the size. {pads}

    Raises
    ------
    ValueError, TypeError
        An argument is out of range or of the wrong kind.
    """


_Kind = TypeVar("_Kind", bound=type[_Pool])


def _documented(cls: _Kind) -> _Kind:
    """The arguments are the same for all."""
    pair = "" if len(cls._axes) == 1 else " or pair of int"
    pads = "Pads are never the largest." if "Max" in cls.__name__ else "The mean does not count pads."
    cls.__doc__ = (cls.__doc__ or "") + _ARGUMENTS.format(pair=pair, pads=pads)
    return cls


@_documented
@dataclass(frozen=True)
class MaxPool1D(_Pool):
    """The largest number of every channel in windows of a sequence (time, channels).

    Its gradient goes to that number, and to the first where several are equal."""

    _axes = ("time",)


@_documented
@dataclass(frozen=True)
class MaxPool2D(_Pool):
    """The largest number of every channel in windows of a picture (height, width, channels).

    Its gradient goes to that number, and to the first, row by row, where several are equal."""

    _axes = ("height", "width")


@_documented
@dataclass(frozen=True)
class AveragePool1D(_Pool):
    """The mean of every channel in windows of a sequence (time, channels)."""

    _axes = ("time",)


@_documented
@dataclass(frozen=True)
class AveragePool2D(_Pool):
    """The mean of every channel in windows of a picture (height, width, channels)."""

    _axes = ("height", "width")


@dataclass(frozen=True)
class _GlobalPool(Layer):
    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise ValueError(f"{brief(self)} needs positions and channels, such as (time, channels) or (height, width, "
                             f"channels), its input has the shape {input_shape}")
        return input_shape[-1:]


@dataclass(frozen=True)
class GlobalMaxPool(_GlobalPool):
    """The largest number of every channel, over all axes but the last; of a sample with a length, over its steps."""


@dataclass(frozen=True)
class GlobalAveragePool(_GlobalPool):
    """The mean of every channel, over all axes but the last; of a sample with a length, over its steps."""
