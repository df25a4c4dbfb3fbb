"""Layers: what a network is made of.

A layer is a specification: given the shape of its input it tells the shape of its output and of its parameters. It owns
no numbers; those lie in the network's flat vector. CONTRIBUTING.md says what belongs to a new layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy.typing as npt

from cbp import _check
from cbp._cpu import core as _core
from cbp.errors import unknown_name
from cbp.initializers import Initializer
from cbp.initializers import get as get_initializer

__all__ = ["ACTIVATIONS", "Dense", "Layer"]

ACTIVATIONS: dict[str, int] = _core.ACTIVATIONS
"""Names of the activations, with their number in the core (formulas in ``kernels/activations.pxd``)."""

_DEFAULT_INIT = dict.fromkeys(("relu", "leaky_relu", "elu", "gelu", "silu"), "he_normal") | {"selu": "lecun_normal"}


class Layer:
    """What every layer answers."""

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of one sample's output; raises ValueError where the input's shape does not fit the layer."""
        raise NotImplementedError

    def parameter_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in the order of the flat vector."""
        raise NotImplementedError


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: ``output = activation(input @ weight + bias)``.

    Parameters
    ----------
    units : int
        Number of outputs, at least 1.
    activation : str
        One of ``cbp.layers.ACTIVATIONS``.
    bias : bool
        Whether every unit has a bias.
    init : str, float, array or Initializer
        How the weights, of shape (inputs, units), start. By default ``he_normal`` for relu and its kin, ``lecun_normal``
        for selu, ``glorot_uniform`` for the rest. Biases start at 0.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range, of the wrong kind, or an unknown name.
    """

    units: int
    activation: str = "identity"
    bias: bool = field(default=True, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", _check.integer("units", self.units, below=2**48))
        if not isinstance(self.activation, str):
            raise TypeError(f"activation must be a name, got {self.activation!r}")
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", self.activation, ACTIVATIONS)
        object.__setattr__(self, "bias", _check.boolean("bias", self.bias))
        chosen = _DEFAULT_INIT.get(self.activation, "glorot_uniform") if self.init is None else self.init
        object.__setattr__(self, "init", get_initializer(chosen))

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        if len(input_shape) != 1:
            raise ValueError(f"Dense({self.units}) takes one axis of features, its input has the shape {input_shape}")
        return (self.units,)

    def parameter_shapes(self, input_shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        shapes: dict[str, tuple[int, ...]] = {"weight": (input_shape[0], self.units)}
        if self.bias:
            shapes["bias"] = (self.units,)
        return shapes
