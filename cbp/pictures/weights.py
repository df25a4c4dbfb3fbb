"""Weights as pictures: what every unit of a layer looks for in its inputs, and the filters of a convolution."""

from __future__ import annotations

from math import ceil, isqrt, prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.pictures import canvas

__all__ = ["plot", "tiles"]

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


def plot(net: Any, name: str | None, shape: Shape | None, most: int, axes: Any = None) -> Any:
    """Draw the array of this name as tiles of one picture; returns the axes."""
    name = _first(net) if name is None else name
    if name not in net.parameters or net.parameters[name].ndim < 2:
        drawable = [known for known, array in net.parameters.items() if array.ndim > 1]
        raise ValueError(f"name must be one of parameters with several axes, {', '.join(drawable[:8])}, got {name!r:.80}")
    array = np.asarray(net.parameters[name], dtype=np.float64)
    pictures = _pictures(net, name, array, shape)
    canvas.required("Network.plot_weights")
    shown = pictures[:most]
    mosaic = tiles(shown)
    if axes is None:
        axes = canvas.new_axes("Network.plot_weights", *_size(mosaic))
    limit = float(np.nanmax(np.abs(mosaic))) or 1.0
    drawn = axes.imshow(mosaic, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", aspect=_aspect(mosaic))
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_title(_title(name, array, len(shown), len(pictures)), loc="left", fontsize="medium")
    if len(pictures) == 1:
        axes.set_xlabel("unit")
        axes.set_ylabel("input")
    axes.figure.colorbar(drawn, ax=axes, shrink=0.8)
    return axes


def _first(net: Any) -> str:
    """The first array with several axes."""
    for name, array in net.parameters.items():
        if array.ndim > 1:
            return str(name)
    raise ValueError("plot_weights draws arrays with several axes, and this network has none")


def _pictures(net: Any, name: str, array: Array, shape: Shape | None) -> Array:
    """(tiles, height, width): of filters those of each channel, filter after filter; of units what each reads, as an image if
    it is one; else all in one, the inputs below each other, the units side by side."""
    kind = _kind(net, name)
    if array.ndim == 4 and shape is None:  # (height, width, channels, filters)
        return array.transpose(3, 2, 0, 1).reshape(-1, *array.shape[:2])
    if array.ndim == 3 and kind.startswith("conv") and shape is None:  # (taps, channels, filters)
        return array.transpose(2, 1, 0)
    if array.ndim == 3 and kind.startswith("depthwise") and shape is None:
        return array.transpose(2, 0, 1)
    rows = array.reshape(len(array), -1)
    image = _image(net, name, len(rows)) if shape is None else tuple(shape)
    if not image:
        return rows[np.newaxis]
    if len(image) not in (2, 3) or prod(image) != len(rows):
        raise ValueError(f"shape must be (height, width) or (height, width, channels) of the {len(rows):,} numbers that a unit "
                         f"of {name} reads, got {image}")
    height, width, channels = (*image, 1)[:3]
    return rows.T.reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(-1, height, width)


def _kind(net: Any, name: str) -> str:
    """Of the layer that an array belongs to: "conv_2d"; of one inside a layer, that one's."""
    return str(getattr(net.layers[int(name.split(".")[0])], "kind", ""))


def _image(net: Any, name: str, inputs: int) -> Shape:
    """The shape of the images that a dense layer reads: of those that were made flat before it, or a square of at least 4 x 4;
    () where it reads something else."""
    place = name.split(".")
    if len(place) != 2 or _kind(net, name) != "dense":
        return ()
    shape, before = net.input_shape, net.input_shape
    for layer in net.layers[: int(place[0])]:
        before, shape = shape, layer.output_shape(shape)
    flattened = int(place[0]) > 0 and len(shape) == 1 and len(before) == 3 and prod(before) == inputs
    if flattened:
        return tuple(before)
    side = isqrt(inputs)
    return (side, side) if int(place[0]) == 0 and side >= 4 and side * side == inputs else ()


def tiles(pictures: Array) -> Array:
    """Pictures (count, height, width) side by side in rows, a line of NaN between them.

    Examples
    --------
    >>> import numpy as np
    >>> from cbp.pictures.weights import tiles
    >>> tiles(np.arange(8.0).reshape(2, 2, 2))
    array([[ 0.,  1., nan,  4.,  5.],
           [ 2.,  3., nan,  6.,  7.]])
    """
    count, height, width = pictures.shape
    across = min(count, max(1, ceil(sqrt(count * height * 1.6 / width))))
    down = ceil(count / across)
    mosaic = np.full((down * (height + 1) - 1, across * (width + 1) - 1), np.nan)
    for i, picture in enumerate(pictures):
        y, x = i // across * (height + 1), i % across * (width + 1)
        mosaic[y : y + height, x : x + width] = picture
    return mosaic


def _aspect(mosaic: Array) -> str:
    """Square pixels, unless the picture would be a thread."""
    height, width = mosaic.shape
    return "equal" if 0.2 < height / width < 5 else "auto"


def _size(mosaic: Array) -> tuple[float, float]:
    """Of a figure for it, in inches."""
    height, width = mosaic.shape
    return 6.4, min(6.4, max(1.9, 5.2 * height / width + 0.5))


def _title(name: str, array: Array, shown: int, all_of_them: int) -> str:
    title = f"{canvas.plain(name)} {array.shape}"
    return title if shown == all_of_them else f"{title}: {shown:,} of {all_of_them:,}"
