"""What the engine asks of a loss and of an optimizer, which are specified above it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["CLIPS", "Average", "Callback", "Loss", "Measure", "Optimizer", "Schedule"]


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


class Callback(Protocol):
    """What a run tells, each time with the ``Run`` itself."""

    def on_fit_begin(self, run: Any, /) -> None: ...
    def on_epoch_begin(self, run: Any, /) -> None: ...
    def on_epoch_end(self, run: Any, /) -> None: ...
    def on_fit_end(self, run: Any, /) -> None: ...


class Measure(Protocol):
    """What is measured on some data beside the loss: names, whether higher is better, and the values for outputs."""

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def higher_is_better(self) -> Mapping[str, bool | None]: ...
    def of(self, outputs: npt.NDArray[Any], /) -> dict[str, float]: ...


class Schedule(Protocol):
    """The rates of an optimizer by their places, steps or epochs, from 0 on."""

    @property
    def per(self) -> str: ...
    @property
    def asks(self) -> bool: ...
    def rates(self, first: int, count: int, /) -> npt.NDArray[np.float64]: ...


class Average(Protocol):
    """When an average takes the parameters in, counted in steps, and how much of it stays then; 0: all count alike."""

    @property
    def start(self) -> int: ...
    @property
    def every(self) -> int: ...
    @property
    def memory(self) -> float: ...


CLIPS = ("clip_value", "clip_array", "clip_norm")
"""What bounds a gradient, where it is not None."""


class Optimizer(Protocol):
    """An optimizer: ``rule`` is the core's name of its arithmetic, ``numbers`` says which field is which number of the core's
    record, and its state has an array of the parameters' shape for each of ``slots``, without numbers below 0 in those of
    ``not_negative``. Its rate is a number if there is no ``schedule``."""

    @property
    def rule(self) -> str: ...
    @property
    def numbers(self) -> Mapping[str, str]: ...
    @property
    def rate(self) -> Any: ...
    @property
    def schedule(self) -> Schedule | None: ...
    def rate_at(self, step: int, epoch: int, /) -> float: ...
    @property
    def clip_value(self) -> float | None: ...
    @property
    def clip_array(self) -> float | None: ...
    @property
    def clip_norm(self) -> float | None: ...
    @property
    def average(self) -> Average | None: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def slots(self) -> tuple[str, ...]: ...
    @property
    def not_negative(self) -> tuple[str, ...]: ...
