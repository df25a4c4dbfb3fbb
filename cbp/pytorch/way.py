"""The value between two of PyTorch's modules, and the layers up to there.

PyTorch's modules name the axes of a value by number: axis 1 holds the channels of a convolution, whatever stands there, and a
Linear acts on the last. cbp's layers all act on the last axis. So a value is followed with its shape in cbp and with which of
PyTorch's axes each of cbp's is.
"""

from __future__ import annotations

from dataclasses import fields, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp import layers
from cbp.activations import ACTIVATIONS
from cbp.layers.base import Layer, Shape

Array = npt.NDArray[Any]
Module = Any  # torch.nn.Module, whose types nobody has who does not have PyTorch
Placed = tuple[str, Module]

ELEMENTWISE = frozenset(name for name, row in ACTIVATIONS.items() if not row.joint)


def numbers_of(tensor: Any) -> Array:
    """A parameter or a statistic as an array; raises ValueError where PyTorch has allocated no numbers."""
    if tensor.is_meta:
        raise ValueError("its parameters are on the device 'meta', where they have no numbers; load them into the module, by "
                         "to_empty(device='cpu') and load_state_dict() for example")
    values: Array = tensor.detach().cpu().numpy()
    return values


class Way:
    """The value between two modules, and the layers up to there.

    Attributes
    ----------
    shape : tuple
        In cbp.
    axes : tuple of int
        Which of PyTorch's axes each of cbp's is; 0 is the first behind the samples, which its documentation calls axis 1. cbp
        may lack axes of length 1.
    rank : int
        Number of PyTorch's axes behind the samples.
    order : array or None
        Behind a Flatten, the place in cbp of every number of PyTorch; None where it is the same.
    channels : bool or None
        Whether the last module that cares had the channels first, so that the positions are the steps of a recurrence; None
        behind a recurrence, whose steps are the positions of such a module. (In PyTorch a transpose(1, 2) stands there.)
    pads : dict
        Zeros before and after an axis of PyTorch's that are still to be put there, by the convolution that follows.
    log : bool
        Whether PyTorch has the logarithms of the outputs.
    rest : list
        The modules that are to come.
    """

    def __init__(self, shape: Shape, *, channels_first: bool):
        self.rank = len(shape)
        self.axes = self.channels_last if channels_first else self.as_in_pytorch
        self.shape = self.input_shape = tuple(shape[axis] for axis in self.axes)
        self.order: Array | None = None
        self.channels: bool | None = channels_first
        self.log = False
        self.pads: dict[int, tuple[int, int]] = {}
        self.rest: list[Placed] = []
        self.layers: list[Layer] = []
        self.arrays: dict[str, Array] = {}
        self._owner = -1
        self._foldable: frozenset[str] = frozenset()

    # --- layers ---------------------------------------------------------------------------------------------------------------

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

    def reshape(self, shape: Shape, axes: tuple[int, ...]) -> None:
        """Read the numbers, in their order, as another shape, whose axes are these of PyTorch's."""
        if shape != self.shape:
            layer = layers.Flatten() if len(shape) == 1 else layers.Reshape(shape)
            self.add_between(layer, frozenset(ACTIVATIONS) if shape[-1] == self.shape[-1] else ELEMENTWISE)
        self.axes = axes

    def activate(self, name: str) -> None:
        """Let the last layer that has an activation have this one."""
        if name not in self._foldable:
            raise ValueError("cbp has one activation a layer, in a Linear, a convolution or a normalization; none of them "
                             "comes right before this module, or the one that does has an activation already; put a Linear or "
                             "a normalization before it, or apply it to the data")
        changes: dict[str, Any] = {"activation": name}
        layer = self.layers[self._owner]
        if any(field.name == "init" for field in fields(layer)):  # type: ignore[arg-type]
            changes["init"] = None  # the one that suits the activation
        self.layers[self._owner] = replace(layer, **changes)  # type: ignore[type-var]
        self._foldable = frozenset()

    # --- axes -----------------------------------------------------------------------------------------------------------------

    @property
    def as_in_pytorch(self) -> tuple[int, ...]:
        """All of PyTorch's axes in their order."""
        return tuple(range(self.rank))

    @property
    def channels_last(self) -> tuple[int, ...]:
        """All of PyTorch's axes, the first of them last."""
        return (*range(1, self.rank), 0) if self.rank else ()

    @property
    def torch_shape(self) -> Shape:
        """What PyTorch has."""
        return tuple(self.size(axis) + sum(self.pads.get(axis, ())) for axis in self.as_in_pytorch)

    def size(self, axis: int) -> int:
        """Of one of PyTorch's axes, without the zeros that are still to come."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def long(self, axes: tuple[int, ...]) -> list[int]:
        """Those of more than one number; the others may stand anywhere."""
        return [axis for axis in axes if self.size(axis) > 1]

    def arrange(self, axes: tuple[int, ...]) -> bool:
        """Have all of PyTorch's axes in this order, unless that takes more than a Reshape; tells whether it could be done."""
        if self.long(axes) != self.long(self.axes):
            return False
        self.reshape(tuple(map(self.size, axes)), axes)
        return True

    def have_channels_last(self, told: str, remedy: str = "put it before that one") -> None:
        """Have PyTorch's axis 1 as the last in cbp, or raise ValueError with an option that tells of it."""
        self.has_channels()
        if self.axes[-1:] != (0,) and not self.arrange(self.channels_last):
            raise ValueError(f"{told} of {self.torch_shape}: the channels are axis 1 in PyTorch, the first of a sample, which "
                             "cbp has in another place behind a module that acts on the last axis (Linear, Embedding, "
                             f"Unflatten); {remedy}")

    def first_axis(self, name: str, wanted: int) -> None:
        """Check the length of PyTorch's axis 1."""
        if not self.rank or self.torch_shape[0] != wanted:
            raise ValueError(f"{name} is {wanted}, but what comes here has the shape {self.torch_shape} a sample, and the "
                             "channels are the first of its axes")

    def last_axis(self, name: str, wanted: int) -> None:
        """Check the length of PyTorch's last axis."""
        if not self.rank or self.torch_shape[-1] != wanted:
            raise ValueError(f"{name} is {wanted}, but what comes here has the shape {self.torch_shape} a sample, and it acts "
                             "on the last of its axes")

    def positions(self, axes: int, *more: int) -> None:
        """Check the number of axes before a module that takes the channels and so many axes; behind a recurrence, its features
        become the channels."""
        if self.rank not in (axes + 1, *more) or self.order is not None:
            wanted = "(channels, length)" if axes == 1 else "(channels, height, width)"
            remedy = "a Flatten gives a sample fewer axes" if self.rank > axes + 1 else "an Unflatten gives a sample more axes"
            raise ValueError(f"it takes {wanted}, but what comes here has the shape {self.torch_shape} a sample; {remedy}")
        self.has_channels()

    def has_channels(self) -> None:
        """A module comes that has the channels first; of a recurrence's steps these are the features."""
        if self.channels is None:
            self.axes = self.channels_last
        self.channels = True

    # --- the numbers of a Flatten ---------------------------------------------------------------------------------------------

    def flatten(self) -> None:
        """All numbers on one axis; in which order they are here, is kept."""
        numbers = prod(self.shape)
        order = np.arange(numbers).reshape(self.shape).transpose(np.argsort(self.axes)).reshape(-1)
        self.order = None if (np.diff(order) == 1).all() else order
        self.rank, self.channels = 1, False
        self.reshape((numbers,), (0,))

    def in_order(self, values: Any) -> Array:
        """An array whose first axis are the numbers of the last Flatten, as cbp has them."""
        given = numbers_of(values)
        if self.order is None:
            return given
        arranged = np.empty_like(given)
        arranged[self.order] = given
        return arranged

    def finish(self) -> None:
        """Have the axes that PyTorch has; raises ValueError where the outputs cannot be had."""
        if self.pads:
            raise ValueError("the modules end with a padding, which cbp has only as part of a convolution; leave it out")
        if self.order is not None:
            raise ValueError("the modules end with the numbers of a Flatten, which cbp has in another order (the channels "
                             "last); leave the Flatten out, or let a Linear follow")
        self.arrange((*(axis for axis in self.as_in_pytorch if axis not in self.axes), *self.axes))
        if not any(self.axes == order or self.arrange(order) for order in (self.channels_last, self.as_in_pytorch)):
            raise ValueError(f"the modules end with {self.torch_shape} a sample, whose axes cbp has neither in this order nor "
                             "with the channels last; leave the last Unflatten out")
        if not self.layers:
            raise ValueError("these modules do nothing; a network needs a layer, for example torch.nn.Linear(4, 1)")
