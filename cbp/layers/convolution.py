"""Convolutions of sequences and of images, channels last.

They become one op: of all channels ("convolution") or of groups of them ("grouped"). A window of one pixel is a dense layer; a
separable convolution is a grouped one and a dense layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

import numpy.typing as npt

from cbp.engine import check
from cbp.initializers import Initializer
from cbp.layers.base import Layer, Parameter, Plan, Shape, Value, biases, brief, checked_activation, chosen_init
from cbp.layers.dense import add_product
from cbp.layers.window import Window, add_window, check_pads, checked_padding, checked_sizes, each_axis, spans

__all__ = ["Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D"]


class _Convolution(Layer):
    """What all convolutions share: their windows, and the checks of what describes them."""

    _axes: ClassVar[tuple[str, ...]] = ("height", "width")

    kernel_size: int | tuple[int, int]
    activation: str
    stride: int | tuple[int, int]
    padding: str | int | tuple[int, int]
    dilation: int | tuple[int, int]
    bias: bool
    init: str | float | Initializer | npt.ArrayLike | None

    def __post_init__(self) -> None:
        axes = len(self._axes)
        for name in ("kernel_size", "stride", "dilation"):
            object.__setattr__(self, name, checked_sizes(self, name, getattr(self, name), axes))
        padding = checked_padding(self, self.padding, axes)
        if not isinstance(padding, str):
            check_pads(self, each_axis(padding, axes), spans(each_axis(self.kernel_size, axes), each_axis(self.dilation, axes)))
        object.__setattr__(self, "padding", padding)
        checked_activation(self.activation)
        object.__setattr__(self, "bias", check.boolean("bias", self.bias))
        object.__setattr__(self, "init", chosen_init(self.init, self.activation))

    def window(self, input_shape: Shape) -> Window:
        """Where the windows stand on an input; raises ValueError if it has other axes or no room for one window."""
        return Window.of(self, self._axes, input_shape, self.kernel_size, self.stride, self.padding, self.dilation)


class _Filters(_Convolution):
    """Conv1D and Conv2D: every filter reads all channels of its group."""

    filters: int
    groups: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "filters", check.integer("filters", self.filters, below=2**48))
        super().__post_init__()
        object.__setattr__(self, "groups", check.integer("groups", self.groups, below=2**48))
        if self.filters % self.groups:
            raise ValueError(f"groups must divide filters, got {self.groups} groups for {self.filters} filters")

    def output_shape(self, input_shape: Shape) -> Shape:
        window = self.window(input_shape)
        if input_shape[-1] % self.groups:
            raise ValueError(f"{brief(self)} needs channels that {self.groups} groups can share evenly, its input has the "
                             f"shape {input_shape}")
        return (*window.output, self.filters)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        kernel = self.window(input_shape).kernel
        read = input_shape[-1] // self.groups
        fans = (prod(kernel) * read, prod(kernel) * self.filters // self.groups)
        found = {"weight": Parameter((*kernel, read, self.filters), self.init, fans)}
        if self.bias:
            found["bias"] = biases(self.filters)
        return found

    def multiplications(self, input_shape: Shape) -> int:
        return prod(self.output_shape(input_shape)) * prod(self.window(input_shape).kernel) * input_shape[-1] // self.groups

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        window = self.window(value.shape)
        if self.groups == 1 and window.kernel == window.stride == (1,) * len(window.kernel) and window.input == window.output:
            output = plan.value((*window.output, self.filters), timed=value.timed)
            add_product(plan, name, value, output, activation=self.activation)
            return output
        output = plan.value((*window.output, self.filters))
        _add(plan, name, self, value, output, window, self.groups, activation=self.activation)
        return output


@dataclass(frozen=True)
class Conv1D(_Filters):
    """A convolution along time: ``output[t, f] = activation(bias[f] + sum(input[t * stride + k * dilation - before, first + c]
    * weight[k, c, f]))``, over the taps k and the channels c of a group.

    ``before`` is the number of zeros before the input that ``padding`` asks for; as many as it takes lie behind it. ``first``
    is the first channel that filter f reads: 0 or, with groups, ``f // (filters / groups) * (channels / groups)``.

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
        many on both sides, at most what a window reaches over.
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

    kind: ClassVar[str] = "conv_1d"
    arrays: ClassVar[str] = "`weight` (kernel, inputs / groups, filters), `bias` (filters)"
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


@dataclass(frozen=True)
class Conv2D(_Filters):
    """A convolution of images: ``output[y, x, f] = activation(bias[f] + sum(input[y * stride + ky * dilation - before,
    x * stride + kx * dilation - before, first + c] * weight[ky, kx, c, f]))``, over the taps (ky, kx) and the channels c of a
    group; stride, dilation and before are those of the axis.

    ``before`` is the number of zeros above the image, or on its left, that ``padding`` asks for; as many as it takes lie below
    and on the right. ``first`` is the first channel that filter f reads: 0 or, with groups,
    ``f // (filters / groups) * (channels / groups)``.

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
        the left; or so many on both sides, at most what a window reaches over.
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

    kind: ClassVar[str] = "conv_2d"
    arrays: ClassVar[str] = "`weight` (height, width, inputs / groups, filters), `bias` (filters)"

    filters: int
    kernel_size: int | tuple[int, int]
    activation: str = "identity"
    stride: int | tuple[int, int] = field(default=1, kw_only=True)
    padding: str | int | tuple[int, int] = field(default="valid", kw_only=True)
    dilation: int | tuple[int, int] = field(default=1, kw_only=True)
    groups: int = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)


class _Depthwise(_Convolution):
    """DepthwiseConv2D and SeparableConv2D: a window sees one channel, of which it makes ``multiplier`` outputs."""

    multiplier: int

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "multiplier", check.integer("multiplier", self.multiplier, below=2**48))

    def multiplications(self, input_shape: Shape) -> int:
        window = self.window(input_shape)
        return prod(window.output) * prod(window.kernel) * input_shape[-1] * self.multiplier

    def _depthwise_weight(self, input_shape: Shape) -> Parameter:
        assert isinstance(self.init, Initializer)
        kernel = self.window(input_shape).kernel
        fans = (prod(kernel), prod(kernel) * self.multiplier)
        return Parameter((*kernel, input_shape[-1] * self.multiplier), self.init, fans)


@dataclass(frozen=True)
class DepthwiseConv2D(_Depthwise):
    """A convolution of every channel for itself: ``output[y, x, c * multiplier + m] = activation(bias[c * multiplier + m] +
    sum(input[y * stride + ky * dilation - before, x * stride + kx * dilation - before, c] *
    weight[ky, kx, c * multiplier + m]))``, over the taps (ky, kx), with ``before`` as in ``Conv2D``.

    Takes (height, width, channels), gives (height', width', channels * multiplier). It is ``Conv2D`` with as many groups as
    channels.

    Parameters
    ----------
    kernel_size : int or pair
        Taps of the window: height and width.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``.
    multiplier : int
        Outputs of a channel.
    stride, padding, dilation, bias
        As those of ``Conv2D``.
    init : str, float, array or Initializer
        How the weights, of shape (height, width, channels * multiplier), start; by default as those of ``Dense``.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    kind: ClassVar[str] = "depthwise_conv_2d"
    arrays: ClassVar[str] = "`weight` (height, width, inputs * multiplier), `bias` (inputs * multiplier)"

    kernel_size: int | tuple[int, int]
    activation: str = "identity"
    multiplier: int = field(default=1, kw_only=True)
    stride: int | tuple[int, int] = field(default=1, kw_only=True)
    padding: str | int | tuple[int, int] = field(default="valid", kw_only=True)
    dilation: int | tuple[int, int] = field(default=1, kw_only=True)
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self.window(input_shape).output, input_shape[-1] * self.multiplier)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        units = input_shape[-1] * self.multiplier
        found = {"weight": self._depthwise_weight(input_shape)}
        if self.bias:
            found["bias"] = biases(units)
        return found

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        output = plan.value(self.output_shape(value.shape))
        _add(plan, name, self, value, output, self.window(value.shape), value.shape[-1], activation=self.activation)
        return output


@dataclass(frozen=True)
class SeparableConv2D(_Depthwise):
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

    kind: ClassVar[str] = "separable_conv_2d"
    arrays: ClassVar[str] = (
        "`depthwise` (height, width, inputs * multiplier), `pointwise` (inputs * multiplier, filters), "
        "`bias` (filters)")

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
        object.__setattr__(self, "filters", check.integer("filters", self.filters, below=2**48))
        super().__post_init__()

    def output_shape(self, input_shape: Shape) -> Shape:
        return (*self.window(input_shape).output, self.filters)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        found = {
            "depthwise": self._depthwise_weight(input_shape),
            "pointwise": Parameter((input_shape[-1] * self.multiplier, self.filters), self.init),
        }
        if self.bias:
            found["bias"] = biases(self.filters)
        return found

    def multiplications(self, input_shape: Shape) -> int:
        mixed = prod(self.output_shape(input_shape)) * input_shape[-1] * self.multiplier
        return super().multiplications(input_shape) + mixed

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        window = self.window(value.shape)
        between = plan.value((*window.output, value.shape[-1] * self.multiplier))
        _add(plan, name, self, value, between, window, value.shape[-1], weight="depthwise", bias="")
        output = plan.value((*window.output, self.filters))
        add_product(plan, name, between, output, activation=self.activation, weight="pointwise")
        return output


def _add(
    plan: Plan, name: str, layer: Layer, value: Value, output: Value, window: Window, groups: int, *,
    activation: str = "identity", weight: str = "weight", bias: str = "bias",
) -> None:
    """The op: of all channels, or of groups of them."""
    add_window(plan, "convolution" if groups == 1 else "grouped", layer, value, output, window, activation=activation,
               weight=f"{name}.{weight}", weight_rows=prod(window.kernel) * value.shape[-1] // groups,
               bias=f"{name}.{bias}" if bias else "", groups=groups)
