"""check_gradients: backpropagation against the definition of the derivative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cbp import _check
from cbp.network import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def check_gradients(
    network: Network, X: npt.ArrayLike, y: npt.ArrayLike, *, sample_weight: npt.ArrayLike | None = None, limit: int = 1000,
) -> GradientCheck:
    """Compare ``network.gradient(X, y)`` with central differences ``(L(w + h) - L(w - h)) / 2h``.

    Everything is computed in float64, on a copy of the network. The relative error of a parameter is
    ``|a - n| / max(|a|, |n|, 1e-4 max|gradient|)``: a value far below the gradient's largest one drowns in the rounding of
    the loss. Below 1e-6 the gradient is right; near a kink (relu at 0) a larger error says nothing.

    Parameters
    ----------
    network : Network
        Not changed.
    X, y, sample_weight
        As for :meth:`Network.fit`; a few samples suffice.
    limit : int
        Check at most this many parameters, evenly spread over the network.

    Returns
    -------
    GradientCheck
    """
    limit = _check.integer("limit", limit)
    double = Network(network.input_shape, network.layers, loss=network.loss, dtype="float64", seed=network.seed, l1=network.l1,
                     l2=network.l2)
    vector = network.get_vector().astype(np.float64)
    double.set_vector(vector)
    _, gradient = double.gradient(X, y, sample_weight)
    floor = max(1e-4 * float(np.abs(gradient).max()), 1e-12)
    worst = (-1.0, 0, 0.0, 0.0)
    places = np.unique(np.linspace(0, len(vector) - 1, min(limit, len(vector))).astype(int))
    for place in places:
        step = 6e-6 * max(1.0, abs(vector[place]))
        losses = []
        for sign in (1, -1):
            moved = vector.copy()
            moved[place] += sign * step
            double.set_vector(moved)
            losses.append(double.evaluate(X, y, sample_weight)["loss"])
        analytic, numeric = float(gradient[place]), (losses[0] - losses[1]) / (2 * step)
        error = abs(analytic - numeric) / max(abs(analytic), abs(numeric), floor)
        worst = max(worst, (error, int(place), analytic, numeric))
    error, place, analytic, numeric = worst
    return GradientCheck(error, list(_names(network))[place], analytic, numeric, len(places))


def _names(network: Network) -> Iterator[str]:
    """The name of every number of the flat vector."""
    for name, view in network.parameters.items():
        for index in np.ndindex(view.shape):
            yield f"{name}[{', '.join(map(str, index))}]"
