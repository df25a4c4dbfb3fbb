"""What a network of two inputs answers everywhere between its data."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.pictures import canvas

__all__ = ["plot_decision"]

Array = npt.NDArray[Any]


def plot_decision(net: Any, X: npt.ArrayLike, y: npt.ArrayLike | None = None, *, output: int = 0, resolution: int = 200,
                  axes: Any = None) -> Any:
    """Draw what a network of two inputs answers, and the data over it.

    Of a classifier, a network whose metric is the accuracy, these are the regions of the classes, the stronger in colour the
    more probable the class; points have the colour and the marker of their label. Of other networks it is the surface of an
    output, a colour for every height; points have their targets on the same scale, so those that fit hardly show.

    Needs matplotlib (``pip install 'cbp[plot]'``); raises ImportError without it.

    Parameters
    ----------
    net : Network
        Of two inputs.
    X : array, (samples, 2)
        Points; what is drawn reaches a little further than they do.
    y : array, (samples,) or (samples, outputs), optional
        Their labels or targets as ``fit`` takes them.
    output : int
        Which output is drawn where there are no classes, from 0.
    resolution : int
        Answers along each axis, at least 2.
    axes : matplotlib.axes.Axes, optional
        Where to draw; by default a new figure is made.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        The network has not two inputs, X or y have another shape, or an argument is out of range.

    Examples
    --------
    >>> net = cbp.mlp([2, 8, 1], hidden="tanh", output="sigmoid", seed=0)
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> history = net.fit(X, y, epochs=300, optimizer=cbp.Adam(0.05))
    >>> axes = cbp.plot_decision(net, X, y)
    >>> axes.get_title(loc="left")
    '2 classes'
    """
    points, targets = _checked(net, X, y, output, resolution)
    canvas.required("plot_decision")
    if axes is None:
        axes = canvas.new_axes("plot_decision", 5.6, 4.4)
    sides = [_side(points[:, i], resolution) for i in (0, 1)]
    grid = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    answers = np.asarray(net.predict(_like(net, X, grid)), dtype=np.float64).reshape(resolution, resolution, -1)
    if net.loss.metric == "accuracy":
        _regions(axes, sides, answers, points, targets, net.loss.targets)
    else:
        _surface(axes, sides, answers[..., output], points, None if targets is None else targets[:, output])
        axes.set_title(f"output {output}" if answers.shape[-1] > 1 else "output", loc="left", fontsize="medium")
    names = net.feature_names or ("input 0", "input 1")
    axes.set_xlabel(canvas.plain(names[0]))
    axes.set_ylabel(canvas.plain(names[1]))
    axes.set_xlim(sides[0][0], sides[0][-1])
    axes.set_ylim(sides[1][0], sides[1][-1])
    return axes


def _checked(net: Any, X: npt.ArrayLike, y: npt.ArrayLike | None, output: int, resolution: int) -> tuple[Array, Array | None]:
    """The points, and the targets (samples, numbers)."""
    if net.input_shape != (2,):
        raise ValueError(f"plot_decision draws networks of two inputs, this one takes samples of the shape {net.input_shape}")
    points = np.asarray(X, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not len(points) or not np.isfinite(points).all():
        raise ValueError(f"X must be finite numbers of the shape (samples, 2), got the shape {points.shape}")
    if not isinstance(resolution, int) or not 2 <= resolution <= 2000:
        raise ValueError(f"resolution must be a whole number from 2 to 2,000, got {resolution!r:.80}")
    outputs = net.output_shape[0] if net.output_shape else 1
    if not isinstance(output, int) or not 0 <= output < outputs:
        raise ValueError(f"output must be from 0 to {outputs - 1}, got {output!r:.80}")
    if y is None:
        return points, None
    targets = np.asarray(y)
    targets = targets.reshape(len(targets), -1) if targets.ndim else targets
    if targets.ndim != 2 or len(targets) != len(points) or targets.shape[1] not in (1, outputs):
        raise ValueError(f"y must have a label or a target for each of the {len(points)} rows of X, got the shape "
                         f"{np.shape(y)}")
    if net.loss.metric != "accuracy" and targets.shape[1] != outputs:
        raise ValueError(f"y must have {outputs} targets a row, got the shape {np.shape(y)}")
    return points, targets


class _Table:
    """Rows with names of columns, as a table has them."""

    def __init__(self, rows: Array, columns: tuple[str, ...]):
        self.rows, self.columns, self.shape = rows, columns, rows.shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.rows, dtype)


def _like(net: Any, X: npt.ArrayLike, grid: Array) -> Any:
    """The grid as rows that the network knows, after it has seen whether X is: it may say that its names are others."""
    if net.feature_names is None:
        return grid
    net.predict(X)
    return _Table(grid, tuple(net.feature_names))


def _side(values: Array, resolution: int) -> Array:
    """Where the answers stand along an axis: a tenth beyond the points."""
    low, high = values.min(), values.max()
    room = 0.1 * (high - low) or 0.5
    return np.linspace(low - room, high + room, resolution)


def _regions(axes: Any, sides: list[Array], answers: Array, points: Array, targets: Array | None, kind: str) -> None:
    """The classes, mixed with white where they are less sure, and lines where they meet."""
    chance = _chances(answers, kind)
    winner, classes = chance.argmax(axis=-1), chance.shape[-1]
    sure = (chance.max(axis=-1) - 1 / classes) / (1 - 1 / classes)
    inks = _inks(classes)
    picture = 1 - (0.15 + 0.45 * np.clip(sure, 0, 1))[..., np.newaxis] * (1 - inks[winner])
    extent = (sides[0][0], sides[0][-1], sides[1][0], sides[1][-1])
    axes.imshow(picture, extent=extent, origin="lower", aspect="auto", interpolation="bilinear", zorder=0)
    for i in np.unique(winner) if len(np.unique(winner)) > 1 else ():
        axes.contour(*sides, winner == i, levels=[0.5], colors="0.25", linewidths=0.8)
    axes.set_title(f"{classes} classes", loc="left", fontsize="medium")
    if targets is None:
        return
    labels = _labels(targets, kind)
    for i in np.unique(labels):
        mine = points[labels == i]
        axes.scatter(mine[:, 0], mine[:, 1], s=26, color=[inks[i % classes]], marker=canvas.MARKERS[i % len(canvas.MARKERS)],
                     edgecolors="black", linewidths=0.6, label=str(i), zorder=3)
    if classes <= 2 * len(canvas.COLOURS):
        axes.legend(title="class", loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, frameon=False)


def _chances(answers: Array, kind: str) -> Array:
    """Of every class; one output tells two classes, by its sign or as the chance of class 1."""
    if answers.shape[-1] > 1:
        return answers
    one = 0.5 + 0.5 * np.clip(answers, -1, 1) if kind == "sign" else answers
    return np.concatenate([1 - one, one], axis=-1)


def _labels(targets: Array, kind: str) -> npt.NDArray[np.intp]:
    """The number of every sample's class."""
    if targets.shape[1] > 1:
        return np.asarray(targets.argmax(axis=1), dtype=np.intp)
    only = targets[:, 0]
    return np.asarray(only > 0 if kind == "sign" else np.round(only.astype(np.float64)), dtype=np.intp)


def _inks(classes: int) -> Array:
    """A colour (red, green, blue) for every class: from far apart on a scale where there are more than have names."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if classes <= len(canvas.COLOURS):
        return np.array([to_rgb(colour) for colour in canvas.COLOURS[:classes]])
    return np.asarray(colormaps["viridis"](np.linspace(0, 1, classes))[:, :3])


def _surface(axes: Any, sides: list[Array], heights: Array, points: Array, targets: Array | None) -> None:
    """Lines of equal height; points on the same scale."""
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    seen = heights if targets is None else np.concatenate([heights.ravel(), targets.astype(np.float64)])
    low, high = float(np.min(seen)), float(np.max(seen))
    high = high if high > low else low + 1
    scale = Normalize(low, high)
    drawn = axes.contourf(*sides, heights, levels=np.linspace(low, high, 21), cmap="viridis", norm=scale)
    axes.figure.colorbar(drawn, ax=axes, ticks=MaxNLocator(7))
    if targets is None:
        axes.scatter(points[:, 0], points[:, 1], s=9, color="white", edgecolors="black", linewidths=0.5, zorder=3)
    else:
        axes.scatter(points[:, 0], points[:, 1], s=26, c=targets.astype(np.float64), cmap="viridis", norm=scale,
                     edgecolors="black", linewidths=0.6, zorder=3)
