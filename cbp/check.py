"""check_gradients: backpropagation against the definition of the derivative."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.errors import quoted
from cbp.habits import understood
from cbp.network import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["GradientCheck", "check_gradients"]


@dataclass(frozen=True)
class GradientCheck:
    """Result of :func:`check_gradients`.

    Attributes
    ----------
    error : float
        The largest relative error among the parameters that were checked.
    parameter : str
        Where it is, for example ``"0.weight[3, 1]"``.
    analytic, numeric : float
        The two values there: from backpropagation and from central differences.
    checked : int
        How many parameters were checked.
    """

    error: float
    parameter: str
    analytic: float
    numeric: float
    checked: int

    def __str__(self) -> str:
        return (f"largest relative error {self.error:.1e} among {self.checked} parameters, at {self.parameter}: "
                f"backpropagation {self.analytic:.9g}, central difference {self.numeric:.9g}")


@understood
def check_gradients(
    network: Network, X: npt.ArrayLike, y: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None,
    lengths: npt.ArrayLike | None = None, training: bool = True, limit: int = 1000,
) -> GradientCheck:
    """Compare ``network.gradient(X, y)`` with central differences.

    Everything is computed in float64, on a copy of the network. With ``D(h) = (L(w + h) - L(w - h)) / 2h`` the derivative is
    taken as ``R(h) = (4 D(h) - D(2h)) / 3``, h = 2e-4 (Richardson's extrapolation). Where R(h) and R(2h) disagree there is a
    kink nearby, relu's at 0 for example, and ``D(6e-6)`` is taken. The relative error of a parameter is
    ``|a - n| / max(|a|, |n|, 1e-4 max|gradient|)``: a value far below the gradient's largest one drowns in the rounding of
    the loss. Below 1e-6 the gradient is right; nearer to a kink than 6e-6 a larger error says nothing.

    Parameters
    ----------
    network : Network
        Not changed.
    X, y, sample_weight, lengths
        As for :meth:`Network.fit`; a few samples suffice.
    training : bool
        Whether layers behave as in a training step (batch statistics, the noise of the next step) or as at prediction.
    limit : int
        Check at most this many parameters, evenly spread over the network.

    Returns
    -------
    GradientCheck

    Raises
    ------
    ValueError, TypeError
        An argument is wrong, or the network has no parameters.
    """
    if not isinstance(network, Network):
        raise TypeError(f"network must be a cbp.Network, got {quoted(network)}")
    if not network.parameters:
        raise ValueError("network has no parameters, so there is no gradient to check")
    limit = check.integer("limit", limit)
    double = Network(network.input_shape, network.layers, loss=network.loss, dtype="float64", seed=network.seed, l1=network.l1,
                     l2=network.l2)
    vector = network.get_vector().astype(np.float64)
    double.set_vector(vector)
    for name, values in network.statistics.items():
        double.statistics[name][...] = values
    loss, gradient = double.gradient(X, y, sample_weight, lengths=lengths, training=training)
    floor = max(1e-4 * float(np.abs(gradient).max()), 1e-12)
    worst = (-1.0, 0, 0.0, 0.0)
    places = np.unique(np.linspace(0, len(vector) - 1, min(limit, len(vector))).astype(int))
    numbers = list(_numbers(double))
    for place in places:
        def loss_at(value: float, place: int = place) -> float:
            name, index = numbers[place]
            double.parameters[name][index] = value
            return double.gradient(X, y, sample_weight, lengths=lengths, training=training)[0]

        at = float(vector[place])
        analytic, numeric = float(gradient[place]), _derivative(loss_at, at, loss, floor)
        name, index = numbers[place]
        double.parameters[name][index] = at
        error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor)
        worst = max(worst, (error, int(place), analytic, numeric))
    error, place, analytic, numeric = worst
    name, index = numbers[place]
    return GradientCheck(error, f"{name}[{', '.join(map(str, index))}]", analytic, numeric, len(places))


def _derivative(function: Callable[[float], float], at: float, value: float, floor: float) -> float:
    """The derivative of a function, which has the ``value`` there; differences below ``floor`` are no sign of a kink."""
    size = max(1.0, abs(at))

    def central(step: float) -> float:
        return (function(at + step) - function(at - step)) / (2 * step)

    differences = [central(step * size) for step in (2e-4, 4e-4, 8e-4)]
    near, far = ((4 * d - d2) / 3 for d, d2 in pairwise(differences))
    rounding = 1e-11 * max(1.0, abs(value))
    if abs(near - far) <= max(1e-6 * max(abs(near), floor), rounding):
        return near
    return central(6e-6 * size)


def _numbers(network: Network) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Array and place of every number of the flat vector."""
    for name, view in network.parameters.items():
        for index in np.ndindex(view.shape):
            yield name, index
