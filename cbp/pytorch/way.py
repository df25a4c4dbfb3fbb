"""The value between two of PyTorch's modules, and the layers up to there.

PyTorch has the channels of images and signals first, cbp has them last: a value is followed with its shape in cbp and with
what sets it apart from PyTorch's.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp import layers
from cbp.activations import ACTIVATIONS
from cbp.layers.base import Layer, Shape

Array = npt.NDArray[Any]
Module = Any  # torch.nn.Module, whose types nobody has who does not have PyTorch
Placed = tuple[str, Module]


def numbers_of(tensor: Any) -> Array:
    """A parameter or a statistic as an array; raises ValueError where PyTorch has allocated no numbers."""
    if tensor.is_meta:
        raise ValueError("its parameters are on the device 'meta', where they have no numbers")
    values: Array = tensor.detach().cpu().numpy()
    return values


class Way:
    """The value between two modules, and the layers up to there.

    Attributes
    ----------
    shape : tuple
        In cbp, the channels last.
    channels_first : bool
        Whether PyTorch has them first.
    ones : int
        Axes of length 1 that PyTorch has behind the channels and cbp has not.
    order : array or None
        Behind a Flatten, the place in cbp of every number of PyTorch; None where it is the same.
    rest : list
        The modules that are to come.
    """

    def __init__(self, shape: Shape, placed: list[Placed]):
        self.channels_first = len(shape) == 3 or (len(shape) == 2 and _takes_channels_first(placed))
        self.shape = self.input_shape = (*shape[1:], shape[0]) if self.channels_first else shape
        self.ones = 0
        self.order: Array | None = None
        self.layers: list[Layer] = []
        self.arrays: dict[str, Array] = {}
        self.rest: list[Placed] = []
        self._owner = -1
        self._foldable: frozenset[str] = frozenset()

    def add(self, layer: Layer, **arrays: Array | None) -> None:
        """Go through a layer, whose parameters and statistics are these."""
        self.shape = layer.output_shape(self.shape)
        self._owner = len(self.layers)
        self._foldable = frozenset(ACTIVATIONS) if getattr(layer, "activation", None) == "identity" else frozenset()
        self.layers.append(layer)
        self.arrays.update({
            f"{self._owner}.{name.replace('__', '.')}": array for name, array in arrays.items() if array is not None
        })

    def add_between(self, layer: Layer, passes: frozenset[str]) -> None:
        """Go through a layer of which activations may just as well come before as behind, if they are these."""
        owner, foldable = self._owner, self._foldable & passes
        self.add(layer)
        self._owner, self._foldable = owner, foldable

    def activate(self, name: str) -> None:
        """Let the last layer that has an activation have this one."""
        if name not in self._foldable:
            raise ValueError("cbp has one activation a layer, in a Linear, a convolution or a normalization; none of them "
                             "comes right before this module, or the one that does has an activation already")
        changes: dict[str, Any] = {"activation": name}
        layer = self.layers[self._owner]
        if any(field.name == "init" for field in fields(layer)):  # type: ignore[arg-type]
            changes["init"] = None  # the one that suits the activation
        self.layers[self._owner] = replace(layer, **changes)  # type: ignore[type-var]
        self._foldable = frozenset()

    def features(self, name: str, wanted: int) -> None:
        """Check the length of the last axis."""
        if not self.shape or self.shape[-1] != wanted:
            raise ValueError(f"{name} is {wanted}, but what comes here has the shape {self.torch_shape} a sample")

    def positions(self, axes: int) -> None:
        """Check the number of axes before a module that takes the channels first."""
        self.unsqueeze()
        if len(self.shape) != axes + 1 or self.order is not None:
            wanted = "(channels, length)" if axes == 1 else "(channels, height, width)"
            raise ValueError(f"it takes {wanted}, but what comes here has the shape {self.torch_shape} a sample")
        self.channels_first = True

    def unsqueeze(self) -> None:
        """Have the axes of length 1 that PyTorch has."""
        if self.ones:
            self.add_between(layers.Reshape((*(1,) * self.ones, *self.shape)), frozenset(ACTIVATIONS))
            self.ones = 0

    @property
    def torch_shape(self) -> Shape:
        if self.channels_first and self.order is None:
            return (self.shape[-1], *self.shape[:-1], *(1,) * self.ones)
        return self.shape

    @property
    def channel_axis(self) -> int:
        """Of PyTorch's tensor, the samples being axis 0."""
        return 1 if self.channels_first else len(self.shape)

    def in_order(self, values: Any) -> Array:
        """An array whose first axis are the numbers of the last Flatten, as cbp has them."""
        given = numbers_of(values)
        if self.order is None:
            return given
        arranged = np.empty_like(given)
        arranged[self.order] = given
        return arranged

    def finish(self) -> None:
        self.unsqueeze()
        if self.order is not None:
            raise ValueError("the modules end with the numbers of a Flatten, which cbp has in another order (the channels "
                             "last); leave the Flatten out, or let a Linear follow")
        if not self.layers:
            raise ValueError("these modules do nothing; a network needs a layer, for example torch.nn.Linear(4, 1)")


def _takes_channels_first(placed: list[Placed]) -> bool:
    """Whether samples with two axes are (channels, length), not (time, features): what the first module says that cares."""
    for _, module in placed:
        name = type(module).__name__
        if name.endswith(("Conv1d", "Pool1d", "BatchNorm1d", "GroupNorm")):
            return True
        if name in ("RNN", "LSTM", "GRU", "Linear", "LayerNorm", "Flatten"):
            return False
    return False
