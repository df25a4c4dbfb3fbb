"""Schedules: rates that change while an optimizer works, ``cbp.Adam(cbp.schedules.Cosine(1e-3, steps=5000))``.

A schedule says the rate η of every place t, the number of updates that the optimizer has made, from 0 on: so the first update
has that of t = 0. With ``per="epoch"`` places are epochs, and all updates of one have the same rate. It is a pure function of t
and owns no numbers: training goes on with the right rate after a ``save`` and a ``load``. The rates are worked out before the
core needs them, some thousand at a time: it never calls back.

Any function of t is taken as a schedule too; a model file does not hold it, see :class:`Function`.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar, Never, TypeVar, cast

import numpy as np
import numpy.typing as npt

from cbp._registry import Registry, shown
from cbp.engine import check
from cbp.errors import not_by_handler, plain, quoted

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SCHEDULES", "Schedule", "description", "from_description", "get"]

Rates = npt.NDArray[np.float64]
Some = Rates | list[float]
Item = TypeVar("Item")
Listed = tuple[Item, ...] | list[Item]

MOST_PLACES = 10_000
"""Places and parts that a schedule may list; it is made anew from every model file."""

DEEPEST = 16
"""Schedules within schedules."""


@dataclass(frozen=True, repr=False)
class Schedule:
    """What all schedules share. One of your own is a function, ``cbp.SGD(lambda t: 0.1 / (1 + t))``.

    Attributes
    ----------
    name : str
        What files call it.
    per : str
        What places count: ``"step"`` or ``"epoch"``.
    asks : bool
        Whether it asks a Python function, which model files do not hold.

    Examples
    --------
    >>> schedule = cbp.schedules.ExponentialMovingAverage(0.1, 0.01, decay=0.9)
    >>> schedule(0), round(schedule(1), 6)
    (0.1, 0.091)
    >>> schedule.rates(0, 3).round(4)
    array([0.1   , 0.091 , 0.0829])
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    _used: ClassVar[str] = "an optimizer takes it: cbp.Adam(that)"

    def __post_init__(self) -> None:
        if type(self) is Schedule:
            raise TypeError("Schedule is what the schedules share; take one of them, for example cbp.schedules.Cosine(1e-3, "
                            "steps=5000)")
        self._check()

    def _check(self) -> None:
        """Check the fields, in this order, and let them have their types."""

    @property
    def per(self) -> str:
        """What places count."""
        raise NotImplementedError

    @property
    def asks(self) -> bool:
        """Whether it asks a Python function."""
        return False

    def _at(self, places: range) -> Some:
        """The rates of some places; each from its own place alone, so that it is the same in any company."""
        raise NotImplementedError

    def rates(self, first: int, count: int) -> Rates:
        """The rates of the places ``first`` to ``first + count - 1``.

        Raises ValueError where one is below 0 or not finite; what a function raises that gives them goes through.
        """
        found = np.asarray(self._at(range(first, first + count)), np.float64)
        if count and not (found.min() >= 0 and math.isfinite(found.max())):
            place = int(np.flatnonzero(~((found >= 0) & np.isfinite(found)))[0])
            raise ValueError(f"the rate of {self.per} {first + place} is {found[place]:g} by {quoted(self)}; it must be at "
                             f"least 0 and finite")
        return found

    def plot(self, steps: int, axes: Axes | None = None) -> Any:
        """Draw the rates of the first ``steps`` places.

        Needs matplotlib (``pip install 'cbp[plot]'``); raises ImportError without it. Returns the axes.
        """
        rates = self.rates(0, check.integer("steps", steps))
        try:
            import matplotlib.pyplot as plt
        except ImportError:
            raise ImportError("Schedule.plot draws with matplotlib: pip install 'cbp[plot]'") from None
        if axes is None:
            axes = plt.figure(layout="constrained").add_subplot()
        axes.plot(rates, drawstyle="steps-post")
        axes.set_xlabel(self.per)
        axes.set_ylabel("rate")
        return axes

    def __call__(self, place: int) -> float:
        """The rate of one place."""
        return float(self.rates(check.integer("place", place, minimum=0), 1)[0])

    def __add__(self, other: object) -> Schedule:
        return Sum((*_addends(self), *_addends(get(other, "what is added"))))

    def __radd__(self, other: object) -> Schedule:
        return Sum((get(other, "what is added"), *_addends(self)))

    def __repr__(self) -> str:
        return shown(self)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _real(self, *names: str, **bounds: float) -> None:
        for name in names:
            self._set(name, check.real(name, getattr(self, name), **bounds))

    def _count(self, *names: str, minimum: int = 1) -> None:
        for name in names:
            self._set(name, check.integer(name, getattr(self, name), minimum=minimum))


@dataclass(frozen=True, repr=False)
class _Plain(Schedule):
    """A schedule that is made of numbers."""

    _: KW_ONLY
    per: str = "step"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.per not in ("step", "epoch"):
            raise ValueError(f"per must be 'step' or 'epoch', got {quoted(self.per)}")


SCHEDULES: Registry[type[Schedule]] = Registry("schedule")
"""The schedules by name, each entered by its class."""


__all__ += ["Constant"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class Constant(_Plain):
    """``η(t) = rate``: for sums and sequences.

    Parameters
    ----------
    rate : float
        At least 0.

    Examples
    --------
    >>> cbp.schedules.Constant(0.1)(1000)
    0.1
    """

    name: ClassVar[str] = "constant"

    rate: float

    def _check(self) -> None:
        self._real("rate", minimum=0)

    def _at(self, places: range) -> Some:
        return [self.rate] * len(places)


__all__ += ["ExponentialMovingAverage"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class ExponentialMovingAverage(_Plain):
    """``η ← d η + (1 - d) end`` after every step: the exponential moving average of ``end``, begun at ``start``. In closed form
    ``η(t) = end + (start - end) d^t``.

    Parameters
    ----------
    start, end : float
        The first rate and what it tends to, at least 0.
    decay : float
        d, from 0 to 1: after ``1 / (1 - d)`` steps some 37 % of the distance are left.
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> [round(cbp.schedules.ExponentialMovingAverage(1.0, 0.0, 0.5)(t), 3) for t in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    name: ClassVar[str] = "exponential_moving_average"
    aliases: ClassVar[tuple[str, ...]] = ("ema",)

    start: float
    end: float
    decay: float

    def _check(self) -> None:
        self._real("start", "end", minimum=0)
        self._real("decay", minimum=0, maximum=1)

    def _at(self, places: range) -> Some:
        d = self.decay
        return _between(self.start, self.end, [d**t for t in places])


__all__ += ["ExponentialDecay"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class ExponentialDecay(_Plain):
    """``η(t) = start factor^(t / every)``; with ``staircase`` the exponent is rounded down, so that the rate is multiplied by
    ``factor`` every ``every`` places and stays between.

    Parameters
    ----------
    start : float
        At least 0.
    factor : float
        Above 0, at most 1.
    every : int
        At least 1.
    staircase : bool
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> cbp.schedules.ExponentialDecay(0.8, 0.5, every=10)(20)
    0.2
    """

    name: ClassVar[str] = "exponential_decay"
    aliases: ClassVar[tuple[str, ...]] = ("exponential", "exponential_lr", "step_lr")

    start: float
    factor: float
    every: int = 1
    _: KW_ONLY
    staircase: bool = False

    def _check(self) -> None:
        self._real("start", minimum=0)
        self._real("factor", above=0, maximum=1)
        self._count("every")
        self._set("staircase", check.boolean("staircase", self.staircase))

    def _at(self, places: range) -> Some:
        start, factor, every = self.start, self.factor, self.every
        if self.staircase:
            return [start * factor ** (t // every) for t in places]
        return [start * factor ** (t / every) for t in places]


__all__ += ["InverseScaling"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class InverseScaling(_Plain):
    """``η(t) = start / (t + 1)^power`` (Robbins & Monro, 1951, A stochastic approximation method, for powers above 1/2 to 1).

    Parameters
    ----------
    start : float
        At least 0.
    power : float
        From 0 to 10.
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> cbp.schedules.InverseScaling(0.1, 0.5)(3)
    0.05
    """

    name: ClassVar[str] = "inverse_scaling"
    aliases: ClassVar[tuple[str, ...]] = ("invscaling",)

    start: float
    power: float = 0.5

    def _check(self) -> None:
        self._real("start", minimum=0)
        self._real("power", minimum=0, maximum=10)

    def _at(self, places: range) -> Some:
        start, power = self.start, self.power
        return [start / (t + 1) ** power for t in places]


__all__ += ["Steps"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class Steps(_Plain):
    """``η(t) = start factor^k``, where k of the places in ``at`` are reached: ``at=[30, 60]`` multiplies at t = 30 and t = 60.

    Parameters
    ----------
    start : float
        At least 0.
    factor : float
        Above 0.
    at : sequence of int
        Places from 1 on, each larger than the one before.
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> schedule = cbp.schedules.Steps(0.5, 0.5, at=[30, 60], per="epoch")
    >>> schedule(29), schedule(30), schedule(60)
    (0.5, 0.25, 0.125)
    """

    name: ClassVar[str] = "steps"
    aliases: ClassVar[tuple[str, ...]] = ("multi_step", "multi_step_lr", "piecewise_constant", "piecewise_constant_decay")

    start: float
    factor: float
    at: Listed[int]

    def _check(self) -> None:
        self._real("start", minimum=0)
        self._real("factor", above=0)
        self._set("at", _places("at", self.at))

    def _at(self, places: range) -> Some:
        start, factor, at = self.start, self.factor, self.at
        return [start * _power(factor, bisect_right(at, t)) for t in places]


__all__ += ["Polynomial"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class Polynomial(_Plain):
    """``η(t) = end + (start - end) (1 - t / steps)^power``, and ``end`` from t = ``steps`` on; a line with power 1.

    Parameters
    ----------
    start, end : float
        At least 0.
    steps : int
        At least 1; counted by ``per``.
    power : float
        Above 0.
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> cbp.schedules.Polynomial(1.0, 0.0, steps=10)(4)
    0.6
    """

    name: ClassVar[str] = "polynomial"
    aliases: ClassVar[tuple[str, ...]] = ("linear", "linear_lr", "polynomial_lr", "polynomial_decay")

    start: float
    end: float
    steps: int
    power: float = 1.0

    def _check(self) -> None:
        self._real("start", "end", minimum=0)
        self._count("steps")
        self._real("power", above=0)

    def _at(self, places: range) -> Some:
        steps, power = self.steps, self.power
        return _between(self.start, self.end, [(1 - min(t, steps) / steps) ** power for t in places])


__all__ += ["Cosine"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class Cosine(_Plain):
    """``η(t) = end + (start - end) (1 + cos(π t / steps)) / 2``, half a wave, and ``end`` from t = ``steps`` on (Loshchilov &
    Hutter, 2017, SGDR: stochastic gradient descent with warm restarts).

    With ``restarts`` the rate is ``start`` again at t = ``steps``, and so on: every half wave is ``restarts`` times as long as
    the one before.

    Parameters
    ----------
    start, end : float
        At least 0.
    steps : int
        Length of the (first) half wave, at least 1; counted by ``per``.
    restarts : int
        0: none; 1: all are of the same length; 2: every one is twice as long as the one before.
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> schedule = cbp.schedules.Cosine(0.1, steps=100)
    >>> schedule(0), round(schedule(50), 3), schedule(100), schedule(1000)
    (0.1, 0.05, 0.0, 0.0)
    >>> cbp.schedules.Cosine(0.1, steps=100, restarts=1)(100)
    0.1
    """

    name: ClassVar[str] = "cosine"
    aliases: ClassVar[tuple[str, ...]] = (
        "cosine_annealing", "cosine_annealing_lr", "cosine_annealing_warm_restarts", "cosine_decay", "cosine_decay_restarts",
        "sgdr")

    start: float
    end: float = 0.0
    _: KW_ONLY
    steps: int
    restarts: int = 0

    def _check(self) -> None:
        self._real("start", "end", minimum=0)
        self._count("steps")
        self._count("restarts", minimum=0)

    def _at(self, places: range) -> Some:
        steps = self.steps
        if self.restarts == 0:
            parts = [min(t, steps) / steps for t in places]
        elif self.restarts == 1:
            parts = [t % steps / steps for t in places]
        else:
            parts = [self._part(t) for t in places]
        return _between(self.start, self.end, _half_wave(parts))

    def _part(self, t: int) -> float:
        """How much of its half wave is over, where every one is longer than the one before."""
        length = self.steps
        while t >= length:
            t -= length
            length *= self.restarts
        return t / length


__all__ += ["OneCycle"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class OneCycle(_Plain):
    """Up to ``peak`` and down to nearly nothing, each on half a wave of the cosine as that of :class:`Cosine`: up from t = 0
    to ``rising * steps - 1``, down until ``steps - 1`` (Smith & Topin, 2018, Super-convergence: very fast training of neural
    networks using large learning rates, in the form that PyTorch gives it).

    Parameters
    ----------
    peak : float
        The largest rate, at least 0.
    steps : int
        Length of the whole cycle, at least 2; counted by ``per``. The last rate stays.
    rising : float
        What part of it goes up, above 0 and below 1.
    first, last : float
        ``peak`` is divided by ``first`` for the first rate, and that by ``last`` for the last one.
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> schedule = cbp.schedules.OneCycle(0.1, steps=101, rising=0.5)
    >>> round(schedule(0), 4), round(schedule(100), 9)
    (0.004, 4e-07)
    """

    name: ClassVar[str] = "one_cycle"
    aliases: ClassVar[tuple[str, ...]] = ("one_cycle_lr", "onecycle")

    peak: float
    steps: int
    _: KW_ONLY
    rising: float = 0.3
    first: float = 25.0
    last: float = 1e4

    def _check(self) -> None:
        self._real("peak", minimum=0)
        self._count("steps", minimum=2)
        self._real("rising", above=0, below=1)
        self._real("first", "last", minimum=1)

    def _at(self, places: range) -> Some:
        start, end = self.peak / self.first, self.peak / self.first / self.last
        top, last = max(self.rising * self.steps - 1, 0.0), self.steps - 1
        turn = min(max(math.ceil(top), places.start), places.stop)
        up = _half_wave([t / top for t in range(places.start, turn)])
        down = _half_wave([min((t - top) / (last - top), 1.0) for t in range(turn, places.stop)])
        return np.concatenate([_between(start, self.peak, up), _between(self.peak, end, down)])


__all__ += ["Function"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class Function(_Plain):
    """``η(t) = function(t)``: what an optimizer makes of a function, ``cbp.SGD(lambda t: 0.1 / (1 + t))``.

    The function should depend on t alone. It is asked before every epoch of ``fit``, for its updates and at most 1,024 of them
    at a time, and before every update of ``train_on_batch`` and ``apply_gradient``. What it raises goes through, and the
    updates that it was asked for are not made. A model file does not hold the function: a network that was loaded wants it
    again, ``net.fit(X, y, optimizer=cbp.SGD(function))``, and then goes on. Copies of a network have it too, and pickles if it
    can be pickled.

    Parameters
    ----------
    function : callable
        ``function(t)`` gives the rate, at least 0.
    per : str
        ``"step"`` or ``"epoch"``.

    Examples
    --------
    >>> cbp.schedules.Function(lambda epoch: 0.1 / (1 + epoch), per="epoch")(1)
    0.05
    """

    name: ClassVar[str] = "function"
    aliases: ClassVar[tuple[str, ...]] = ("lambda", "lambda_lr")

    function: Callable[[int], float] | None

    def _check(self) -> None:
        if self.function is not None and not callable(self.function):
            raise TypeError(f"function must be one of the place that gives the rate, got {quoted(self.function)}")

    @property
    def asks(self) -> bool:
        """Whether it asks a Python function."""
        return True

    def _at(self, places: range) -> Some:
        if self.function is None:
            raise ValueError("the rate is a Python function, which no file holds; give it again in an optimizer of the same "
                             "class, for example net.fit(X, y, optimizer=cbp.SGD(function)), and training goes on")
        function = self.function
        return [rate if type(rate := function(t)) is float and 0 <= rate < math.inf else
                check.real(f"the rate of {self.per} {t}", rate, minimum=0) for t in places]  # the check takes microseconds


# --- of others ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class _Composed(Schedule):
    """A schedule of others, which count the same; numbers become constants."""

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        raise NotImplementedError

    def __post_init__(self) -> None:
        super().__post_init__()
        counted = {part.per for part in self._parts if not isinstance(part, Constant)}
        if len(counted) > 1:
            raise ValueError(f"{type(self).__name__} has parts per step and parts per epoch; all must count the same")
        if _depth(self) > DEEPEST:
            raise ValueError(f"schedules within schedules are possible {DEEPEST} deep")

    @property
    def per(self) -> str:
        """What places count: as its parts, which all do the same."""
        return next((part.per for part in self._parts if not isinstance(part, Constant)), "step")

    @property
    def asks(self) -> bool:
        """Whether it asks a Python function."""
        return any(part.asks for part in self._parts)


__all__ += ["WarmUp"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class WarmUp(_Composed):
    """Up in equal steps to the first rate of another schedule, which begins at t = ``steps``:
    ``η(t) = then(0) (t + 1) / (steps + 1)``, from there ``then(t - steps)`` (Goyal et al., 2017, Accurate, large minibatch SGD:
    training ImageNet in 1 hour).

    Parameters
    ----------
    steps : int
        At least 1; counted as ``then`` counts.
    then : Schedule or float

    Examples
    --------
    >>> cbp.schedules.WarmUp(3, 0.1).rates(0, 5)
    array([0.025, 0.05 , 0.075, 0.1  , 0.1  ])
    """

    name: ClassVar[str] = "warm_up"
    aliases: ClassVar[tuple[str, ...]] = ("warmup", "linear_warmup")

    steps: int
    then: Schedule | float

    def _check(self) -> None:
        self._count("steps")
        self._set("then", get(self.then, "then"))

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return (cast(Schedule, self.then),)

    def _at(self, places: range) -> Some:
        then, n = cast(Schedule, self.then), self.steps
        first = then(0) if places.start < n else 0.0
        rising = [first * (t + 1) / (n + 1) for t in range(places.start, min(places.stop, n))]
        start = max(places.start, n)
        return np.concatenate([rising, then._at(range(start - n, max(places.stop, start) - n))])


__all__ += ["Sequence"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class Sequence(_Composed):
    """One schedule after the other, each from its own t = 0: the first until ``at[0]``, the second until ``at[1]``, and so on.

    Parameters
    ----------
    schedules : sequence of Schedule or float
    at : sequence of int
        Where all but the first begin, each later than the one before.

    Examples
    --------
    >>> cbp.schedules.Sequence([0.5, cbp.schedules.ExponentialDecay(0.1, 0.5)], at=[2]).rates(0, 4)
    array([0.5 , 0.5 , 0.1 , 0.05])
    """

    name: ClassVar[str] = "sequence"
    aliases: ClassVar[tuple[str, ...]] = ("sequential", "sequential_lr")

    schedules: Listed[Schedule | float]
    at: Listed[int]

    def _check(self) -> None:
        self._set("schedules", _parts_of(self.schedules))
        self._set("at", _places("at", self.at))
        if len(self.at) != len(self.schedules) - 1:
            raise ValueError(f"at must have a place for every schedule but the first, {len(self.schedules) - 1}, got "
                             f"{len(self.at)}")

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return cast("tuple[Schedule, ...]", self.schedules)

    def _at(self, places: range) -> Some:
        starts = [0, *self.at]
        ends = [*self.at, max(places.stop, starts[-1])]
        found: list[Some] = [[]]
        for part, start, end in zip(self._parts, starts, ends, strict=True):
            first, last = max(places.start, start), min(places.stop, end)
            if first < last:
                found.append(part._at(range(first - start, last - start)))
        return np.concatenate(found)


__all__ += ["Sum"]
@SCHEDULES.add
@dataclass(frozen=True, repr=False)
class Sum(_Composed):
    """The sum of schedules, from left to right; ``one + other`` is that too.

    Parameters
    ----------
    schedules : sequence of Schedule or float

    Examples
    --------
    >>> (cbp.schedules.ExponentialDecay(0.5, 0.5) + 0.25).rates(0, 3)
    array([0.75 , 0.5  , 0.375])
    """

    name: ClassVar[str] = "sum"

    schedules: Listed[Schedule | float]

    def _check(self) -> None:
        self._set("schedules", _parts_of(self.schedules))

    @property
    def _parts(self) -> tuple[Schedule, ...]:
        return cast("tuple[Schedule, ...]", self.schedules)

    def _at(self, places: range) -> Some:
        total = np.zeros(len(places))
        for part in self._parts:
            total += part._at(places)
        return total


def _addends(schedule: Schedule) -> tuple[Schedule, ...]:
    return schedule._parts if isinstance(schedule, Sum) else (schedule,)


def _power(base: float, exponent: int) -> float:
    """Infinite where it is too large for a float; 0 where it is too small."""
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def _between(start: float, end: float, shares: Some) -> Rates:
    """Where such shares are left of the way from start to end; both are met exactly."""
    left = np.asarray(shares, np.float64)
    found: Rates = end + (start - end) * left
    found[left == 1] = start
    return found


def _half_wave(parts: list[float]) -> Rates:
    """What is left of the way on half a wave of the cosine of which these parts are over. NumPy's own cosine may be another for
    another number of places."""
    cos, pi = math.cos, math.pi
    wave: Rates = (1 + np.array([cos(pi * part) for part in parts])) / 2
    return wave


def _places(argument: str, given: object) -> tuple[int, ...]:
    """Places from 1 on, each larger than the one before."""
    if isinstance(given, np.ndarray):
        given = given.tolist()
    if not isinstance(given, (list, tuple)) or len(given) > MOST_PLACES:
        raise TypeError(f"{argument} must be a list of at most {MOST_PLACES:,} places, for example [30, 60], got "
                        f"{quoted(given)}")
    places = tuple(check.integer(f"{argument}[{index}]", place) for index, place in enumerate(given))
    if wrong := next((index for index in range(1, len(places)) if places[index] <= places[index - 1]), 0):
        raise ValueError(f"{argument} must grow, but {argument}[{wrong}] is {places[wrong]} after {places[wrong - 1]}")
    return places


def _parts_of(given: object) -> tuple[Schedule, ...]:
    if not isinstance(given, (list, tuple)) or not 1 <= len(given) <= MOST_PLACES:
        raise TypeError(f"schedules must be a list of 1 to {MOST_PLACES:,} schedules and numbers, got {quoted(given)}")
    return tuple(get(part, f"schedules[{index}]") for index, part in enumerate(given))


def _depth(schedule: Schedule) -> int:
    return 1 + max(map(_depth, schedule._parts), default=0) if isinstance(schedule, _Composed) else 1


def get(rate: object, argument: str = "rate") -> Schedule:
    """The schedule that a user built, or that a function or a number is.

    Raises
    ------
    TypeError, ValueError
        It is none of these, or a number below 0.

    Examples
    --------
    >>> cbp.schedules.get(0.1)
    Constant(rate=0.1)
    """
    if isinstance(rate, Schedule):
        if type(rate) not in SCHEDULES.values():
            raise TypeError(f"{argument} must be one of cbp.schedules or a function, got {quoted(rate)} of a class of your "
                            f"own; its method as a function will do")
        return rate
    if isinstance(rate, type):
        raise TypeError(f"{argument} must be a schedule, got the class {rate.__name__}; build one, {rate.__name__}(...)")
    return Function(rate) if callable(rate) else Constant(check.real(argument, rate, minimum=0))


# --- in files -----------------------------------------------------------------------------------------------------------------


def description(schedule: Schedule) -> dict[str, Any]:
    """A schedule as JSON takes it; of a :class:`Function` only that it is one.

    Examples
    --------
    >>> cbp.schedules.description(cbp.schedules.Constant(0.1))
    {'name': 'constant', 'per': 'step', 'rate': 0.1}
    """
    found: dict[str, Any] = {"name": schedule.name}
    for one in fields(schedule):
        if one.name != "function":
            found[one.name] = _described(getattr(schedule, one.name))
    return found


def _described(value: Any) -> Any:
    if isinstance(value, Schedule):
        return description(value)
    return [_described(item) for item in value] if isinstance(value, tuple) else value


def from_description(described: object, depth: int = 1) -> Schedule:
    """The schedule that :func:`description` gave; raises ValueError for anything else.

    Examples
    --------
    >>> cbp.schedules.from_description({"name": "constant", "rate": 0.1, "per": "step"})
    Constant(rate=0.1)
    """
    if not isinstance(described, Mapping) or depth > DEEPEST:
        raise ValueError(f"a schedule must be a JSON object, {DEEPEST} within one another at most")
    given = dict(described)
    name = given.pop("name", None)
    kind = SCHEDULES.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"schedule {quoted(name)} is unknown")
    known = {one.name for one in fields(kind)} - {"function"}
    if given.keys() != known:
        wrong = sorted(map(plain, given.keys() ^ known))
        raise ValueError(f"schedule {name} must have the keys {', '.join(sorted(known))}; {wrong[0]} is missing or unknown")
    settings = {key: [_part(item, depth) for item in value] if isinstance(value, list) else _part(value, depth)
                for key, value in given.items()}
    if kind is Function:
        settings["function"] = None
    try:
        return kind(**settings)
    except not_by_handler(TypeError, OverflowError) as problem:
        raise ValueError(str(problem)) from None


def _part(value: Any, depth: int) -> Any:
    return from_description(value, depth + 1) if isinstance(value, Mapping) else value


# --- of other libraries -------------------------------------------------------------------------------------------------------


def __getattr__(name: str) -> Never:
    """For a name that is not there: cbp's, if it is one of another library's."""
    wanted = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    own = next((kind.__name__ for kind in SCHEDULES.values() if wanted in kind.aliases), "")
    raise AttributeError(f"cbp.schedules has no {name!r}{f'; it has {own}' if own else ''}", name=name)
