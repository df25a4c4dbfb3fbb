"""Pooling: every channel of a window becomes its largest number or its mean.

A pool becomes one op; a global one has a single window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import ClassVar, TypeVar

from cbp.layers.base import Layer, Plan, Shape, Value, brief
from cbp.layers.window import Window, add_window, checked_padding, checked_sizes, each_axis

__all__ = ["MaxPool1D", "MaxPool2D", "AveragePool1D", "AveragePool2D", "GlobalMaxPool", "GlobalAveragePool"]


@dataclass(frozen=True)
class _Pool(Layer):
    """What the layers with windows share: the arguments and the shapes."""

    size: int | Sequence[int] = 2
    stride: int | Sequence[int] | None = field(default=None, kw_only=True)
    padding: str | int | Sequence[int] = field(default="valid", kw_only=True)

    _axes: ClassVar[tuple[str, ...]] = ()
    _largest: ClassVar[bool] = False

    def __post_init__(self) -> None:
        axes = len(self._axes)
        size = checked_sizes(self, "size", self.size, axes)
        stride = size if self.stride is None else checked_sizes(self, "stride", self.stride, axes)
        padding = checked_padding(self, self.padding, axes)
        pads = (0,) * axes if isinstance(padding, str) else each_axis(padding, axes)
        if any(2 * before > extent for before, extent in zip(pads, each_axis(size, axes), strict=True)):
            raise ValueError(f"{type(self).__name__}: padding must be at most half the size {size}, or a window could lie in "
                             f"pads alone, got {padding}")
        object.__setattr__(self, "size", size)
        object.__setattr__(self, "stride", None if stride == size else stride)
        object.__setattr__(self, "padding", padding)

    def window(self, input_shape: Shape) -> Window:
        """Where the windows stand on an input; raises ValueError if it has other axes or no room for one window."""
        return Window.of(self, self._axes, input_shape, self.size, self.stride or self.size, self.padding)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self.window(input_shape).output, input_shape[-1])

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        return _add(plan, self, value, self.window(value.shape), largest=self._largest)


_ARGUMENTS = """
    Takes ({axes}, channels), gives ({outputs}, channels).

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
    """The arguments are the same for all. Python 3.13 takes the indentation of docstrings away, Python 3.11 does not."""
    axes, outputs = ", ".join(cls._axes), ", ".join(f"{axis}'" for axis in cls._axes)
    pair = "" if len(cls._axes) == 1 else " or pair of int"
    pads = "Pads are never the largest." if cls._largest else "The mean does not count pads."
    arguments = _ARGUMENTS.format(axes=axes, outputs=outputs, pair=pair, pads=pads)
    cls.__doc__ = f"{cleandoc(cls.__doc__ or '')}\n\n{cleandoc(arguments)}"
    return cls


@_documented
@dataclass(frozen=True)
class MaxPool1D(_Pool):
    """The largest number of every channel in windows of a sequence.

    Its gradient goes to that number, and to the first where several are equal."""

    kind = "max_pool_1d"
    _axes = ("time",)
    _largest = True


@_documented
@dataclass(frozen=True)
class MaxPool2D(_Pool):
    """The largest number of every channel in windows of a picture.

    Its gradient goes to that number, and to the first, row by row, where several are equal."""

    kind = "max_pool_2d"
    _axes = ("height", "width")
    _largest = True


@_documented
@dataclass(frozen=True)
class AveragePool1D(_Pool):
    """The mean of every channel in windows of a sequence."""

    kind = "average_pool_1d"
    _axes = ("time",)


@_documented
@dataclass(frozen=True)
class AveragePool2D(_Pool):
    """The mean of every channel in windows of a picture."""

    kind = "average_pool_2d"
    _axes = ("height", "width")


@dataclass(frozen=True)
class _GlobalPool(Layer):
    _largest: ClassVar[bool] = False

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) < 2:
            raise ValueError(f"{brief(self)} takes positions and channels, such as (time, channels) or (height, width, "
                             f"channels), its input has the shape {input_shape}; put a Reshape before it")
        return input_shape[-1:]

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """One window over all positions; of a sequence, over the steps that count."""
        all_of_it = (value.positions,)
        window = Window(input=all_of_it, output=(1,), kernel=all_of_it, stride=all_of_it, dilation=(1,), before=(0,))
        return _add(plan, self, value, window, largest=self._largest, timed=value.timed)


@dataclass(frozen=True)
class GlobalMaxPool(_GlobalPool):
    """The largest number of every channel, over all axes but the last; of a sample with a length, over its steps.

    Takes (time, channels), (height, width, channels) or more axes before the channels, gives (channels,).

    Raises
    ------
    ValueError
        In a network where the input has no axis before the channels.
    """

    kind = "global_max_pool"
    _largest = True


@dataclass(frozen=True)
class GlobalAveragePool(_GlobalPool):
    """The mean of every channel, over all axes but the last; of a sample with a length, over its steps.

    Takes (time, channels), (height, width, channels) or more axes before the channels, gives (channels,).

    Raises
    ------
    ValueError
        In a network where the input has no axis before the channels.
    """

    kind = "global_average_pool"


def _add(plan: Plan, layer: Layer, value: Value, window: Window, *, largest: bool, timed: bool = False) -> Value:
    output = plan.value(layer.output_shape(value.shape))
    add_window(plan, "max_pool" if largest else "average_pool", layer, value, output, window, timed=timed)
    return output
