"""A network at one moment: what files hold, what a trace reads, and what a network can be made of again."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine.numbers import AVERAGE, NO_AVERAGE

__all__ = ["Snapshot"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """A network at one moment: its description, its arrays and its counters.

    Attributes
    ----------
    input_shape, layers, loss, l1, l2, seed, optimizer, metadata
        As those of :class:`cbp.Network`.
    dtype : str
        ``"float32"`` or ``"float64"``.
    parameters, statistics : mapping of str to array
        As those of the network, by name and in its order.
    optimizer_state : mapping of str to mapping of str to array
        The optimizer's state: name of the slot -> name of the parameter -> array.
    step, epoch : int
        As those of the network.
    averaged, since : int
        Averages of the parameters that the optimizer took; the epoch that it began with.
    frozen : tuple of str
        Names of the parameters that training leaves as they are.
    rate_multipliers : mapping of str to float
        What the rate of a parameter is multiplied by, where that is not 1.
    feature_names : tuple of str or None
        Of the columns of the table that the network was trained on.
    flat : bool
        Whether outputs come without their last axis, which has one number, as the last targets did.
    extras : mapping of str to JSON data
        Optional keys of the file that it was read from which this cbp does not know. They are written back.
    """

    input_shape: tuple[int, ...]
    layers: tuple[Any, ...]  # layers, loss and optimizer are specified above the engine
    loss: Any
    dtype: str
    seed: int
    parameters: Mapping[str, Array]
    l1: float = 0.0
    l2: float = 0.0
    optimizer: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    statistics: Mapping[str, Array] = field(default_factory=dict)
    optimizer_state: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    step: int = 0
    epoch: int = 0
    averaged: int = 0
    since: int = 0
    frozen: tuple[str, ...] = ()
    rate_multipliers: Mapping[str, float] = field(default_factory=dict)
    feature_names: tuple[str, ...] | None = None
    flat: bool = False
    extras: Mapping[str, Any] = field(default_factory=dict)

    def with_average(self) -> Snapshot:
        """The same with the optimizer's average of the parameters in their place, from the first one on; raises ValueError
        where it takes none."""
        if AVERAGE not in self.optimizer_state:
            raise ValueError(NO_AVERAGE)
        return replace(self, parameters=self.optimizer_state[AVERAGE]) if self.averaged else self

    def copy(self) -> Snapshot:
        """The same with arrays of its own, which are C-contiguous."""
        state = {slot: _copied(arrays) for slot, arrays in self.optimizer_state.items()}
        return replace(self, metadata=copy(self.metadata), parameters=_copied(self.parameters),
                       statistics=_copied(self.statistics), optimizer_state=state)


def _copied(arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name: np.array(array, order="C") for name, array in arrays.items()}
