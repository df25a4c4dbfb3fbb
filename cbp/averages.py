"""Averages of the parameters over the steps of a training: an optimizer takes one, ``cbp.Adam(1e-3, average=...)``.

The average is one more array of the optimizer's state, ``network.optimizer_state["average"]``, saved with it, and goes on after
a load. ``network.predict(X, averaged=True)`` and ``evaluate`` use it in the place of the parameters, which are trained on as
if there were none. The arithmetic is in ``loops/deferred.pxd``.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from cbp._registry import Registry
from cbp.engine import check

__all__ = ["AVERAGES", "Average"]


@dataclass(frozen=True)
class Average:
    """What all averages share. Steps are those of the optimizer, counted from 1.

    Attributes
    ----------
    name : str
        What files call it.
    start, every : int
        The average takes in the parameters as they are after step ``start``, where it begins, and after every ``every`` steps.
    memory : float
        What part of the average stays when it takes in the parameters again; 0: all that it took in count alike.

    Examples
    --------
    >>> cbp.averages.ExponentialMovingAverage(0.99).memory
    0.99
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    start: int
    every: int

    def __post_init__(self) -> None:
        if type(self) is Average:
            raise TypeError("Average is what the averages share; take cbp.averages.ExponentialMovingAverage(0.999) for example")
        for field in ("start", "every"):
            object.__setattr__(self, field, check.integer(field, getattr(self, field)))

    @property
    def memory(self) -> float:
        """What part of the average stays."""
        return 0.0


AVERAGES: Registry[type[Average]] = Registry("average")
"""The averages by name, each entered by its class."""


__all__ += ["ExponentialMovingAverage"]
@AVERAGES.add
@dataclass(frozen=True)
class ExponentialMovingAverage(Average):
    """An exponential moving average: ``a = w`` after the first step, then ``a = d a + (1 - d) w`` (Polyak & Juditsky, 1992,
    Acceleration of stochastic approximation by averaging, in the form that is usual now).

    Parameters
    ----------
    decay : float
        d, above 0 and below 1: about the last ``1 / (1 - d)`` steps count.
    start, every : int
        The average begins after step ``start`` and takes in every ``every``-th step from there.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> average = cbp.averages.ExponentialMovingAverage(0.9)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, optimizer=cbp.SGD(0.1, average=average))
    >>> net.predict([[0.0, 1.0]], averaged=True).round(2)
    array([0.97], dtype=float32)
    """

    name: ClassVar[str] = "exponential_moving_average"
    aliases: ClassVar[tuple[str, ...]] = ("ema",)

    decay: float = 0.999
    _: KW_ONLY
    start: int = 1
    every: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "decay", check.real("decay", self.decay, above=0, below=1))

    @property
    def memory(self) -> float:
        return self.decay


__all__ += ["StochasticWeightAverage"]
@AVERAGES.add
@dataclass(frozen=True)
class StochasticWeightAverage(Average):
    """The mean of the parameters after step ``start`` and every ``every``-th step from there (Izmailov et al., 2018, Averaging
    weights leads to wider optima and better generalization). With ``every`` the number of batches in an epoch it takes in each
    epoch's end, as in the paper.

    Parameters
    ----------
    start, every : int
        The first step that counts, and the distance to the next.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> average = cbp.averages.StochasticWeightAverage(start=10)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, optimizer=cbp.SGD(0.1, average=average))
    >>> net.optimizer_state["average"]["0.bias"].shape
    (1,)
    """

    name: ClassVar[str] = "stochastic_weight_average"
    aliases: ClassVar[tuple[str, ...]] = ("swa",)

    start: int
    _: KW_ONLY
    every: int = 1
