"""Windows that move over the axes of a sample: what convolutions and pools share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cbp.engine import check
from cbp.errors import quoted
from cbp.layers.base import Layer, Plan, Shape, Value, brief

__all__ = ["Sizes", "Window", "add_window", "check_pads", "checked_padding", "checked_sizes", "each_axis", "spans"]

Sizes = int | Sequence[int]

_MOST = 2**31


@dataclass(frozen=True)
class Window:
    """Where the windows of a layer stand, one number an axis.

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

    @classmethod
    def of(
        cls, layer: Layer, axes: tuple[str, ...], input_shape: Shape, kernel: Sizes, stride: Sizes, padding: str | Sizes,
        dilation: Sizes = 1,
    ) -> Window:
        """The windows of a layer on an input with these axes and channels, from what the two checks below return; raises
        ValueError if it has other axes or no room for one window.

        With padding "same" an axis of n numbers has ceil(n / stride) windows; as many zeros as that takes are put around it,
        the smaller half before it (as TensorFlow and PyTorch do).
        """
        if len(input_shape) != len(axes) + 1:
            wanted = f"{brief(layer)} takes ({', '.join(axes)}, channels)"
            remedy = (f"a single channel is the shape {(*input_shape, 1)}" if len(input_shape) == len(axes) > 1
                      else "put a Reshape before it")
            raise ValueError(f"{wanted}, its input has the shape {input_shape}; {remedy}")
        sizes = input_shape[:-1]
        kernels, strides, dilations = (each_axis(numbers, len(axes)) for numbers in (kernel, stride, dilation))
        extents = spans(kernels, dilations)
        if padding == "same":
            output = tuple(-(-n // s) for n, s in zip(sizes, strides, strict=True))
            missing = ((o - 1) * s + span - n for o, s, span, n in zip(output, strides, extents, sizes, strict=True))
            before = tuple(max(m, 0) // 2 for m in missing)
        else:
            before = each_axis(0 if isinstance(padding, str) else padding, len(axes))
            output = tuple((n + 2 * p - span) // s + 1 for n, p, span, s in zip(sizes, before, extents, strides, strict=True))
            if min(output) < 1:
                needed = (max(1, span - 2 * p) for span, p in zip(extents, before, strict=True))
                needs = " and ".join(f"a {axis} of at least {n}" for axis, n in zip(axes, needed, strict=True))
                raise ValueError(f"{brief(layer)} needs {needs} for one window of {' x '.join(map(str, extents))}, its input "
                                 f"({', '.join(axes)}, channels) has the shape {input_shape}; padding='same' takes any size")
        return cls(sizes, output, kernels, strides, dilations, before)


def checked_sizes(layer: Layer, argument: str, value: object, axes: int, minimum: int = 1) -> int | tuple[int, ...]:
    """A whole number, or one for every axis; a single one if they are equal."""
    name = f"{type(layer).__name__}: {argument}"
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        return check.integer(name, value, minimum=minimum, below=_MOST)
    if len(value) != axes:
        wanted = "a whole number" if axes == 1 else f"a whole number or {axes} of them"
        raise ValueError(f"{name} must be {wanted}, got {quoted(value)}")
    numbers = tuple(check.integer(f"{name}[{i}]", n, minimum=minimum, below=_MOST) for i, n in enumerate(value))
    return numbers[0] if len(set(numbers)) == 1 else numbers


def checked_padding(layer: Layer, value: object, axes: int) -> str | int | tuple[int, ...]:
    """The name of a padding, or zeros at both ends; none are "valid"."""
    if isinstance(value, str):
        if value not in ("valid", "same"):
            raise ValueError(f"{type(layer).__name__}: padding must be 'valid', 'same' or a whole number, got {quoted(value)}")
        return value
    return checked_sizes(layer, "padding", value, axes, minimum=0) or "valid"


def spans(kernel: Shape, dilation: Shape) -> Shape:
    """How many numbers of the input a window reaches over, on every axis."""
    return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True))


def check_pads(layer: Layer, pads: Shape, extents: Shape) -> None:
    """Raise ValueError where there are more zeros at an end than a window reaches over: it would lie in them alone, and a few
    bytes of a model file would ask for any number of outputs."""
    if any(before > extent for before, extent in zip(pads, extents, strict=True)):
        raise ValueError(f"{type(layer).__name__}: padding must be at most the {' x '.join(map(str, extents))} that a window "
                         f"reaches over, got {' x '.join(map(str, pads))}")


def each_axis(numbers: Sizes, axes: int) -> Shape:
    """A number for every axis."""
    return (numbers,) * axes if isinstance(numbers, int) else tuple(numbers)


def add_window(
    plan: Plan, kind: str, layer: Layer, value: Value, output: Value, window: Window, *, timed: bool = False, **fields: Any
) -> None:
    """The op of a layer whose windows lie over steps or pixels; ``timed`` tells that it looks at lengths.

    It always has two axes: an axis of time is the width of a single line.
    """
    if not timed:
        plan.mixes_time(brief(layer), value)
    for name, numbers, otherwise in (
        ("in", window.input, 1), ("out", window.output, 1), ("kernel", window.kernel, 1), ("stride", window.stride, 1),
        ("dilation", window.dilation, 1), ("pad", window.before, 0),
    ):
        fields[f"{name}_h"], fields[f"{name}_w"] = (otherwise, *numbers)[-2:]
    plan.add(kind, value, output, timed=timed, **fields)
