"""What the engine asks of a loss and of an optimizer, which are specified above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Loss", "Optimizer"]


class Loss(Protocol):
    """A loss by the core's name; ``constant`` is the one number that the core takes beside outputs and targets."""

    @property
    def name(self) -> str: ...
    @property
    def targets(self) -> str: ...
    @property
    def metric(self) -> str: ...
    @property
    def constant(self) -> float: ...


class Optimizer(Protocol):
    """An optimizer: ``rule`` is the core's name of its arithmetic, ``numbers`` says which field is which number of the core's
    record, and its state has an array of the parameters' shape for each of ``slots``, without numbers below 0 in those of
    ``not_negative``."""

    @property
    def rule(self) -> str: ...
    @property
    def numbers(self) -> Mapping[str, str]: ...
    @property
    def rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def slots(self) -> tuple[str, ...]: ...
    @property
    def not_negative(self) -> tuple[str, ...]: ...
