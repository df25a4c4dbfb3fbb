"""Convolutions of sequences and of images, channels last."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING

import numpy.typing as npt

from cbp import _check
from cbp.initializers import Initializer
from cbp.layers.base import ZEROS, Layer, Parameter, Shape, brief, checked_activation, chosen_init

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Window"]

Sizes = "int | tuple[int, int]"
Init = "str | float | Initializer | npt.ArrayLike | None"

_MOST = 2**31


@dataclass(frozen=True)
class Window:
    """Where the windows of a convolution stand, one number an axis.

    Attributes
    ----------
    input, output, kernel, stride, dilation : tuple of int
    before : tuple of int
        Zeros before the first number of the input.
    """

    input: Shape
    output: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape


class _Convolution(Layer):
    """What all convolutions share: their windows, and the checks of what describes them."""

    _axes: tuple[str, ...] = ("height", "width")

    kernel_size: int | tuple[int, int]
    activation: str
    stride: int | tuple[int, int]
    padding: str | int | tuple[int, int]
    dilation: int | tuple[int, int]
    bias: bool
    init: str | float | Initializer | npt.ArrayLike | None

    def _check_window(self) -> None:
        axes = len(self._axes)
        for name in ("kernel_size", "stride", "dilation"):
            object.__setattr__(self, name, _sizes(name, getattr(self, name), axes))
        object.__setattr__(self, "padding", _padding(self.padding, axes))
        checked_activation(self.activation)
        object.__setattr__(self, "bias", _check.boolean("bias", self.bias))
        object.__setattr__(self, "init", chosen_init(self.init, self.activation))

    def window(self, input_shape: Shape) -> Window:
        """Where the windows stand on an input; raises ValueError if it has other axes or no room for one window.

        With padding "same" an axis of n numbers has ceil(n / stride) windows; as many zeros as that takes are put around it,
        the smaller half before it (as TensorFlow and PyTorch do).
        """
        axes = len(self._axes)
        if len(input_shape) != axes + 1:
            raise ValueError(f"{brief(self)} takes ({', '.join(self._axes)}, channels), its input has the shape {input_shape}")
        sizes = input_shape[:-1]
        kernel, stride, dilation = (_per_axis(n, axes) for n in (self.kernel_size, self.stride, self.dilation))
        spans = tuple(d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
        if self.padding == "same":
            output = tuple(-(-n // s) for n, s in zip(sizes, stride, strict=True))
            missing = ((o - 1) * s + span - n for o, s, span, n in zip(output, stride, spans, sizes, strict=True))
            before = tuple(max(m, 0) // 2 for m in missing)
        else:
            assert not isinstance(self.padding, str) or self.padding == "valid"
            before = _per_axis(0 if isinstance(self.padding, str) else self.padding, axes)
            output = tuple((n + 2 * p - span) // s + 1 for n, p, span, s in zip(sizes, before, spans, stride, strict=True))
            if min(output) < 1:
                raise ValueError(self._too_small(input_shape, spans, before))
        return Window(sizes, output, kernel, stride, dilation, before)

    def _too_small(self, input_shape: Shape, spans: Shape, before: Shape) -> str:
        least = tuple(max(1, span - 2 * p) for span, p in zip(spans, before, strict=True))
        needs = " and ".join(f"a {axis} of at least {n}" for axis, n in zip(self._axes, least, strict=True))
        return (f"{brief(self)} needs {needs} for one window of {' x '.join(map(str, spans))}, its input has the shape "
                f"{input_shape}; padding='same' takes any size")


def _sizes(argument: str, value: object, axes: int, minimum: int = 1) -> int | tuple[int, int]:
    """A whole number, or one for every axis; a single one if they are equal."""
    if axes == 2 and isinstance(value, (tuple, list)):
        if len(value) != 2:
            raise ValueError(f"{argument} must be a whole number or a pair of them, got {value!r}")
        first, second = (_check.integer(f"{argument}[{i}]", n, minimum=minimum, below=_MOST) for i, n in enumerate(value))
        return first if first == second else (first, second)
    return _check.integer(argument, value, minimum=minimum, below=_MOST)


def _padding(value: object, axes: int) -> str | int | tuple[int, int]:
    if isinstance(value, str):
        if value not in ("valid", "same"):
            raise ValueError(f"padding must be 'valid', 'same' or a whole number, got {value!r}")
        return value
    sizes = _sizes("padding", value, axes, minimum=0)
    return "valid" if sizes == 0 else sizes


def _per_axis(value: int | Sequence[int], axes: int) -> Shape:
    return (value,) * axes if isinstance(value, int) else tuple(value)


def _check_groups(layer: _Convolution, groups: int, filters: int, input_shape: Shape) -> None:
    if input_shape[-1] % groups:
        raise ValueError(f"{brief(layer)} needs channels that {groups} groups can share evenly, its input has the shape "
                         f"{input_shape}")


class _Filters(_Convolution):
    """Conv1D and Conv2D: every filter reads all channels of its group."""

    filters: int
    groups: int

    def _check(self) -> None:
        object.__setattr__(self, "filters", _check.integer("filters", self.filters, below=2**48))
        self._check_window()
        object.__setattr__(self, "groups", _check.integer("groups", self.groups, below=2**48))
        if self.filters % self.groups:
            raise ValueError(f"groups must divide filters, got {self.groups} groups for {self.filters} filters")

    def output_shape(self, input_shape: Shape) -> Shape:
        window = self.window(input_shape)
        _check_groups(self, self.groups, self.filters, input_shape)
        return (*window.output, self.filters)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        kernel = self.window(input_shape).kernel
        read = input_shape[-1] // self.groups
        fans = (prod(kernel) * read, prod(kernel) * self.filters // self.groups)
        found = {"weight": Parameter((*kernel, read, self.filters), self.init, fans)}
        if self.bias:
            found["bias"] = Parameter((self.filters,), ZEROS)
        return found


@dataclass(frozen=True)
class Conv1D(_Filters):
    """A convolution along time: ``output[t, f] = activation(bias[f] + sum(input[t * stride + k * dilation - before, c] *
    weight[k, c, f]))``, over the taps k and the channels c of the filter's group; outside of the input are zeros.

    Takes (time, channels), gives (time', filters). It is what is usually called a convolution, the cross-correlation.

    Parameters
    ----------
    filters : int
        Number of outputs at a step.
    kernel_size : int
        Taps of the window.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``.
    stride : int
        Steps from one window to the next.
    padding : "valid", "same" or int
        Zeros around the input: none; as many as make ``ceil(time / stride)`` windows, the smaller half of them before; or so
        many on both sides.
    dilation : int
        Steps from one tap to the next.
    groups : int
        Channels and filters are shared out into so many groups; a filter reads the channels of its group.
    bias : bool
        Whether every filter has a bias.
    init : str, float, array or Initializer
        How the weights, of shape (kernel_size, channels / groups, filters), start; by default as those of ``Dense``.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    _axes = ("time",)

    filters: int
    kernel_size: int
    activation: str = "identity"
    stride: int = field(default=1, kw_only=True)
    padding: str | int = field(default="valid", kw_only=True)
    dilation: int = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check()


@dataclass(frozen=True)
class Conv2D(_Filters):
    """A convolution of images: ``output[y, x, f] = activation(bias[f] + sum(input[y * stride + ky * dilation - before,
    x * stride + kx * dilation - before, c] * weight[ky, kx, c, f]))``, over the taps (ky, kx) and the channels c of the
    filter's group; outside of the image are zeros.

    Takes (height, width, channels), gives (height', width', filters). It is what is usually called a convolution, the
    cross-correlation.

    Parameters
    ----------
    filters : int
        Number of outputs at a pixel.
    kernel_size : int or pair
        Taps of the window: height and width.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``.
    stride : int or pair
        Pixels from one window to the next.
    padding : "valid", "same", int or pair
        Zeros around the image: none; as many as make ``ceil(size / stride)`` windows, the smaller half of them above and on
        the left; or so many on both sides.
    dilation : int or pair
        Pixels from one tap to the next.
    groups : int
        Channels and filters are shared out into so many groups; a filter reads the channels of its group.
    bias : bool
        Whether every filter has a bias.
    init : str, float, array or Initializer
        How the weights, of shape (height, width, channels / groups, filters), start; by default as those of ``Dense``.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    filters: int
    kernel_size: int | tuple[int, int]
    activation: str = "identity"
    stride: int | tuple[int, int] = field(default=1, kw_only=True)
    padding: str | int | tuple[int, int] = field(default="valid", kw_only=True)
    dilation: int | tuple[int, int] = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check()


@dataclass(frozen=True)
class DepthwiseConv2D(_Convolution):
    """A convolution of every channel for itself: ``output[y, x, c * multiplier + m]`` is the sum over the taps of
    ``input[.., .., c] * weight[ky, kx, c * multiplier + m]``, plus bias, through the activation.

    Takes (height, width, channels), gives (height', width', channels * multiplier). It is ``Conv2D`` with as many groups as
    channels.

    Parameters
    ----------
    kernel_size : int or pair
        Taps of the window: height and width.
    multiplier : int
        Outputs of a channel.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``.
    stride, padding, dilation, bias
        As those of ``Conv2D``.
    init : str, float, array or Initializer
        How the weights, of shape (height, width, channels * multiplier), start; by default as those of ``Dense``.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    kernel_size: int | tuple[int, int]
    multiplier: int = field(default=1, kw_only=True)
    stride: int | tuple[int, int] = field(default=1, kw_only=True)
    padding: str | int | tuple[int, int] = field(default="valid", kw_only=True)
    dilation: int | tuple[int, int] = field(default=1, kw_only=True)
    activation: str = field(default="identity", kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        self._check_window()
        object.__setattr__(self, "multiplier", _check.integer("multiplier", self.multiplier, below=2**48))

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self.window(input_shape).output, input_shape[-1] * self.multiplier)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        units = input_shape[-1] * self.multiplier
        found = {"weight": _depthwise_weight(self, input_shape, self.multiplier, self.init)}
        if self.bias:
            found["bias"] = Parameter((units,), ZEROS)
        return found


@dataclass(frozen=True)
class SeparableConv2D(_Convolution):
    """A depthwise convolution, then a 1 x 1 convolution that mixes the channels: far fewer weights than ``Conv2D`` has.

    Takes (height, width, channels), gives (height', width', filters).

    Parameters
    ----------
    filters : int
        Number of outputs at a pixel.
    kernel_size : int or pair
        Taps of the depthwise window: height and width.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``, of the whole: nothing comes between the two convolutions.
    multiplier : int
        Outputs of a channel of the depthwise convolution.
    stride, padding, dilation
        Those of the depthwise convolution, as in ``Conv2D``.
    bias : bool
        Whether every filter has a bias; the depthwise convolution has none.
    init : str, float, array or Initializer
        How the weights start, "depthwise" of shape (height, width, channels * multiplier) and "pointwise" of shape
        (channels * multiplier, filters); by default as those of ``Dense``.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    filters: int
    kernel_size: int | tuple[int, int]
    activation: str = "identity"
    multiplier: int = field(default=1, kw_only=True)
    stride: int | tuple[int, int] = field(default=1, kw_only=True)
    padding: str | int | tuple[int, int] = field(default="valid", kw_only=True)
    dilation: int | tuple[int, int] = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", _check.integer("filters", self.filters, below=2**48))
        self._check_window()
        object.__setattr__(self, "multiplier", _check.integer("multiplier", self.multiplier, below=2**48))

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self.window(input_shape).output, self.filters)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        found = {
            "depthwise": _depthwise_weight(self, input_shape, self.multiplier, self.init),
            "pointwise": Parameter((input_shape[-1] * self.multiplier, self.filters), self.init),
        }
        if self.bias:
            found["bias"] = Parameter((self.filters,), ZEROS)
        return found


def _depthwise_weight(layer: _Convolution, input_shape: Shape, multiplier: int, init: Initializer) -> Parameter:
    kernel = layer.window(input_shape).kernel
    return Parameter((*kernel, input_shape[-1] * multiplier), init, (prod(kernel), prod(kernel) * multiplier))
