"""Initializers: how the weights of a layer start.

Random ones draw from cbp's own generator (``kernels/random.pxd``), so a seed gives the same weights on every version of
NumPy. ``fan_in`` and ``fan_out`` are the numbers of values that a unit reads and that read a unit's input. Biases start at 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from numbers import Number
from typing import cast

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.errors import unknown_name
from cbp.habits import understood

__all__ = ["INITIALIZERS", "Draw", "Initializer", "array", "constant", "get"]

Array = npt.NDArray[np.float64]
Draw = Callable[[str, int], Array]
"""``draw("uniform" | "normal", n)``: n numbers from [0, 1) or from the standard normal distribution."""


def _uniform(bound: float, shape: tuple[int, ...], draw: Draw) -> Array:
    return ((2 * draw("uniform", int(np.prod(shape))) - 1) * bound).reshape(shape)


def _normal(deviation: float, shape: tuple[int, ...], draw: Draw) -> Array:
    return (draw("normal", int(np.prod(shape))) * deviation).reshape(shape)


def _orthogonal(shape: tuple[int, ...], draw: Draw) -> Array:
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    tall = _normal(1.0, (max(rows, columns), min(rows, columns)), draw)
    q, r = np.linalg.qr(tall)
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the decomposition unique, and q uniform
    return (q if rows >= columns else q.T).reshape(shape)


Fans = tuple[int, int]

# name -> values(shape, (fan_in, fan_out), draw).
# Sources: Glorot & Bengio (2010); He et al. (2015); LeCun et al. (1998); Saxe et al. (2014).
INITIALIZERS: dict[str, Callable[[tuple[int, ...], Fans, Draw], Array]] = {
    "glorot_uniform": lambda shape, fans, draw: _uniform(sqrt(6 / sum(fans)), shape, draw),
    "glorot_normal": lambda shape, fans, draw: _normal(sqrt(2 / sum(fans)), shape, draw),
    "he_uniform": lambda shape, fans, draw: _uniform(sqrt(6 / fans[0]), shape, draw),
    "he_normal": lambda shape, fans, draw: _normal(sqrt(2 / fans[0]), shape, draw),
    "lecun_uniform": lambda shape, fans, draw: _uniform(sqrt(3 / fans[0]), shape, draw),
    "lecun_normal": lambda shape, fans, draw: _normal(sqrt(1 / fans[0]), shape, draw),
    "orthogonal": lambda shape, fans, draw: _orthogonal(shape, draw),
    "zeros": lambda shape, fans, draw: np.zeros(shape),
    "ones": lambda shape, fans, draw: np.ones(shape),
}


_ALIASES = {
    "xavier_uniform": "glorot_uniform", "xavier_normal": "glorot_normal", "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
}
"""What other libraries call some of them."""


@understood
@dataclass(frozen=True, eq=False)
class Initializer:
    """An initializer by name, or one that sets given values.

    Parameters
    ----------
    name : str
        One of ``cbp.initializers.INITIALIZERS``, ``"constant"`` or ``"array"``.
    values : array or None
        What ``"constant"`` (a scalar) and ``"array"`` (the shape of the weights) set.

    Examples
    --------
    >>> cbp.Network(2, [cbp.Dense(1, init="ones")], loss="huber").parameters["0.weight"].tolist()
    [[1.0], [1.0]]
    """

    name: str
    values: Array | None = None

    def __post_init__(self) -> None:
        given = self.name in ("constant", "array")
        if not given and self.name not in INITIALIZERS:
            raise unknown_name("init", self.name, INITIALIZERS, _ALIASES)
        if given == (self.values is None):
            raise ValueError(f"init {self.name!r} takes {'its values' if given else 'no values'}")
        if self.values is not None:
            object.__setattr__(self, "values", _frozen(self.values))

    @property
    def starts_at_zero(self) -> bool:
        """Whether all numbers stay as they are in new arrays."""
        return type(self) is Initializer and self.name == "zeros"

    def __call__(self, shape: tuple[int, ...], draw: Draw, fans: Fans | None = None) -> Array:
        """The values for a weight array of this shape; raises ValueError where given values have another. ``fans`` are those of
        a matrix, all axes but the last and the last, unless they are given."""
        if self.values is None:
            return INITIALIZERS[self.name](shape, fans or (int(np.prod(shape[:-1])), shape[-1]), draw)
        if self.name == "array" and self.values.shape != shape:
            raise ValueError(f"init: the weights have the shape {shape}, the given array has {self.values.shape}")
        return np.broadcast_to(self.values, shape)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Initializer)
            and self.name == other.name
            and (self.values is None) == (other.values is None)
            and (self.values is None or np.array_equal(self.values, other.values))  # type: ignore[arg-type]
        )

    def __hash__(self) -> int:
        return hash((self.name, None if self.values is None else self.values.tobytes()))


def _frozen(values: npt.ArrayLike) -> Array:
    """A copy in the memory of ``bytes``, which nobody can write to."""
    checked = check.numbers("init", values, np.dtype(np.float64))
    return np.ndarray(checked.shape, checked.dtype, checked.tobytes())


def constant(value: float) -> Initializer:
    """Every weight starts at ``value``."""
    return Initializer("constant", np.array(check.real("init value", value)))


def array(values: npt.ArrayLike | Sequence[object]) -> Initializer:
    """The weights start at ``values``, which have their shape; the values are copied."""
    return Initializer("array", cast(Array, values))


def get(init: str | float | Initializer | npt.ArrayLike) -> Initializer:
    """The initializer that a user named, built, or gave as a number or an array."""
    if isinstance(init, Initializer):
        return init
    if isinstance(init, str):
        if init not in INITIALIZERS:
            raise unknown_name("init", init, INITIALIZERS, _ALIASES)
        return Initializer(init)
    is_number = isinstance(init, (Number, np.number)) or (isinstance(init, np.ndarray) and init.ndim == 0)
    return constant(cast(float, init)) if is_number else array(cast(npt.ArrayLike, init))
