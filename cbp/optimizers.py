"""Optimizers: the rule that turns gradients into updates.

An optimizer is a specification and owns no numbers. Its state, one array per entry of ``slots`` with the shape of the
parameters, belongs to the network. The arithmetic is in ``kernels/optimizers.pxd``. In the formulas w is a parameter, g
its gradient, η the rate and t the number of the step, counted from 1; every operation is per element.

``weight_decay`` is decoupled (Loshchilov & Hutter, 2019, Decoupled weight decay regularization): besides the update, each
weight shrinks by ``rate * weight_decay * w``. Biases do not decay.

Users name an optimizer, ``optimizer="adam"``, or build one, ``optimizer=cbp.Adam(0.01)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import KW_ONLY, dataclass, field, replace
from typing import Any, ClassVar, cast

from cbp import schedules
from cbp._registry import Registry, shown
from cbp.averages import AVERAGES, Average
from cbp.engine import check
from cbp.engine.numbers import AVERAGE
from cbp.engine.specs import CLIPS
from cbp.errors import quoted
from cbp.schedules import Schedule

__all__ = ["OPTIMIZERS", "Optimizer", "get"]

Rate = float | Schedule | Callable[[int], float]

_SINCE_3 = {"since": 3}
"""Metadata of fields that model files have from that format on."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Optimizer:
    """What all optimizers share: the rate and the decay.

    Parameters
    ----------
    rate : float, Schedule or callable
        η: a number above 0, one of ``cbp.schedules``, or a function from the number of the step, from 0 on, to the rate.
    weight_decay : float
        Decoupled decay of the weights.
    clip_value : float or None
        No number of a gradient is more than this in size: larger ones become it.
    clip_array : float or None
        The norm of the gradient of every array (``"0.weight"``, ``"0.bias"``, ...) is at most this: a larger gradient is
        multiplied by ``clip_array / norm`` (Pascanu et al., 2013, On the difficulty of training recurrent neural networks).
    clip_norm : float or None
        The same for the norm of the whole gradient, after the other two. Frozen arrays do not count.
    average : Average or None
        One of ``cbp.averages``: the average of the parameters over the steps.

    Attributes
    ----------
    name : str
        What users write.
    schedule : Schedule or None
        The rate, where it is no number.
    rule : str
        The core's name of the arithmetic that these settings ask for.
    numbers : mapping
        Which field is which number of the core's record, beside ``rate`` and ``weight_decay``.
    state : tuple of str
        Names of the state arrays that the optimizer may have.
    slots : tuple of str
        Names of those that it has with these settings.
    not_negative : tuple of str
        Those of them whose numbers are never below 0.
    aliases : tuple of str
        What other libraries call it, for the errors that suggest a name.

    Examples
    --------
    >>> cbp.Adam(0.01).slots
    ('mean', 'variance')
    """

    name: ClassVar[str]
    numbers: ClassVar[Mapping[str, str]] = {}
    state: ClassVar[tuple[str, ...]] = ()
    not_negative: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[tuple[str, ...]] = ()
    _used: ClassVar[str] = "net.fit(X, y, optimizer=that) goes on with its state"

    rate: Rate
    weight_decay: float = 0.0
    clip_value: float | None = field(default=None, metadata=_SINCE_3)
    clip_array: float | None = field(default=None, metadata=_SINCE_3)
    clip_norm: float | None = field(default=None, metadata=_SINCE_3)
    average: Average | None = field(default=None, metadata=_SINCE_3)

    def __post_init__(self) -> None:
        if type(self) is Optimizer:
            raise TypeError("Optimizer is what the optimizers share; take one of them, for example cbp.Adam(1e-3)")
        self._set("rate", schedules.get(self.rate) if callable(self.rate) else check.real("rate", self.rate, above=0))
        self._set("weight_decay", check.real("weight_decay", self.weight_decay, minimum=0))
        for bound in CLIPS:
            if getattr(self, bound) is not None:
                self._set(bound, check.real(bound, getattr(self, bound), above=0))
        if self.average is not None and type(self.average) not in AVERAGES.values():
            raise TypeError(f"average must be one of cbp.averages, for example cbp.averages.ExponentialMovingAverage(0.999), "
                            f"got {quoted(self.average)}")

    @property
    def schedule(self) -> Schedule | None:
        """The rate, where it is no number."""
        return self.rate if isinstance(self.rate, Schedule) else None

    def rate_at(self, step: int, epoch: int) -> float:
        """The rate of the update that comes after so many steps and epochs with this optimizer."""
        if isinstance(self.rate, Schedule):
            return self.rate(step if self.rate.per == "step" else epoch)
        return cast(float, self.rate)

    def at(self, step: int, epoch: int) -> Optimizer:
        """The same with the number that its rate is then."""
        found = copy(self)
        found._set("rate", self.rate_at(step, epoch))
        return found

    def times(self, factor: float) -> Optimizer:
        """The same with a multiple of its rate, which is a number."""
        found = copy(self)
        found._set("rate", cast(float, self.rate) * factor)
        return found

    def bounded(self, **bounds: float | None) -> Optimizer:
        """The same with these bounds on the gradient, where they are not None; raises ValueError or TypeError where one is no
        number above 0.

        Examples
        --------
        >>> cbp.Adam(0.01).bounded(clip_norm=1.0, clip_value=None)
        Adam(rate=0.01, clip_norm=1.0)
        """
        given: dict[str, Any] = {name: bound for name, bound in bounds.items() if bound is not None}
        return replace(self, **given) if given else self

    @property
    def rule(self) -> str:
        """The core's name of the arithmetic that these settings ask for."""
        return self.name

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the state arrays."""
        return (*self._own_slots, AVERAGE) if self.average is not None else self._own_slots

    @property
    def _own_slots(self) -> tuple[str, ...]:
        """Those that the rule reads and writes."""
        return self.state

    def __repr__(self) -> str:
        return shown(self)

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    def _fraction(self, field: str) -> None:
        self._set(field, check.real(field, getattr(self, field), minimum=0, below=1))

    def _epsilon(self) -> None:
        self._set("epsilon", check.real("epsilon", getattr(self, "epsilon"), above=0))  # noqa: B009


OPTIMIZERS: Registry[type[Optimizer]] = Registry("optimizer")
"""The optimizers by name, each entered by its class: in ``__all__``, which type checkers read, and by ``OPTIMIZERS.add``."""


__all__ += ["SGD"]
@OPTIMIZERS.add
@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Gradient descent: ``w -= η g``, or with momentum μ: ``v = μ v + g``, ``w -= η v``.

    With ``nesterov=True`` the update is ``w -= η (g + μ v)`` (Sutskever et al., 2013, On the importance of initialization
    and momentum in deep learning, in the form that PyTorch gives it).

    Parameters
    ----------
    rate : float, Schedule or callable
        η, above 0; see :class:`Optimizer`, as for the arguments that all share.
    momentum : float
        μ, from 0 to below 1.
    nesterov : bool
        Look ahead along the momentum; needs ``momentum`` above 0.
    weight_decay, clip_value, clip_array, clip_norm, average
        As in :class:`Optimizer`.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, optimizer=cbp.SGD(0.1, momentum=0.5))
    >>> bool(history.loss[-1] < history.loss[0])
    True
    """

    name: ClassVar[str] = "sgd"
    state: ClassVar[tuple[str, ...]] = ("velocity",)
    numbers: ClassVar[Mapping[str, str]] = {"memory1": "momentum"}
    aliases: ClassVar[tuple[str, ...]] = ("momentum", "nesterov")

    rate: Rate = 0.01
    _: KW_ONLY
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fraction("momentum")
        self._set("nesterov", check.boolean("nesterov", self.nesterov))
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov=True needs momentum above 0, for example momentum=0.9")

    @property
    def rule(self) -> str:
        return "nesterov" if self.nesterov else "momentum" if self.momentum else "sgd"

    @property
    def _own_slots(self) -> tuple[str, ...]:
        return self.state if self.momentum else ()


__all__ += ["Adam"]
@OPTIMIZERS.add
@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam: ``m = β1 m + (1 - β1) g``, ``v = β2 v + (1 - β2) g²``,
    ``w -= η (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)`` (Kingma & Ba, 2015).

    Parameters
    ----------
    rate : float, Schedule or callable
        η, above 0; see :class:`Optimizer`, as for the arguments that all share.
    beta1, beta2 : float
        Memory of the two moving averages, from 0 to below 1.
    epsilon : float
        ε, above 0.
    amsgrad : bool
        Divide by the largest v so far, ``u = max(u, v)`` in the place of v, so that no step becomes larger because gradients
        became smaller (Reddi, Kale & Kumar, 2018, On the convergence of Adam and beyond, with the correction of v as PyTorch
        has it).
    weight_decay, clip_value, clip_array, clip_norm, average
        As in :class:`Optimizer`.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, optimizer=cbp.Adam(0.05))
    >>> bool(history.loss[-1] < history.loss[0])
    True
    """

    name: ClassVar[str] = "adam"
    state: ClassVar[tuple[str, ...]] = ("mean", "variance", "largest")
    numbers: ClassVar[Mapping[str, str]] = {"memory1": "beta1", "memory2": "beta2", "epsilon": "epsilon"}
    not_negative: ClassVar[tuple[str, ...]] = ("variance", "largest")

    rate: Rate = 1e-3
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    amsgrad: bool = field(default=False, metadata=_SINCE_3)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fraction("beta1")
        self._fraction("beta2")
        self._epsilon()
        self._set("amsgrad", check.boolean("amsgrad", self.amsgrad))

    @property
    def rule(self) -> str:
        return "amsgrad" if self.amsgrad else "adam"  # that of AdamW too, which has another default alone

    @property
    def _own_slots(self) -> tuple[str, ...]:
        return self.state if self.amsgrad else self.state[:2]


__all__ += ["AdamW"]
@OPTIMIZERS.add
@dataclass(frozen=True, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay on by default (Loshchilov & Hutter, 2019). Parameters as in :class:`Adam`.

    Examples
    --------
    >>> cbp.AdamW(0.01)
    AdamW(rate=0.01)
    """

    name: ClassVar[str] = "adamw"

    _: KW_ONLY
    weight_decay: float = 0.01


__all__ += ["RMSprop"]
@OPTIMIZERS.add
@dataclass(frozen=True, repr=False)
class RMSprop(Optimizer):
    """RMSprop: ``v = ρ v + (1 - ρ) g²``, ``w -= η g / (sqrt(v) + ε)`` (Tieleman & Hinton, 2012, lecture 6.5): a rate that
    follows an exponential moving average of the squared gradient.

    Parameters
    ----------
    rate : float, Schedule or callable
        η, above 0; see :class:`Optimizer`, as for the arguments that all share.
    rho : float
        Memory of the moving average, from 0 to below 1.
    epsilon : float
        ε, above 0.
    weight_decay, clip_value, clip_array, clip_norm, average
        As in :class:`Optimizer`.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, optimizer=cbp.RMSprop(0.05))
    >>> bool(history.loss[-1] < history.loss[0])
    True
    """

    name: ClassVar[str] = "rmsprop"
    state: ClassVar[tuple[str, ...]] = ("variance",)
    numbers: ClassVar[Mapping[str, str]] = {"memory2": "rho", "epsilon": "epsilon"}
    not_negative: ClassVar[tuple[str, ...]] = ("variance",)

    rate: Rate = 1e-3
    _: KW_ONLY
    rho: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fraction("rho")
        self._epsilon()


__all__ += ["Adagrad"]
@OPTIMIZERS.add
@dataclass(frozen=True, repr=False)
class Adagrad(Optimizer):
    """Adagrad: ``s = s + g²``, ``w -= η g / (sqrt(s) + ε)`` (Duchi, Hazan & Singer, 2011).

    Parameters
    ----------
    rate : float, Schedule or callable
        η, above 0; see :class:`Optimizer`, as for the arguments that all share.
    epsilon : float
        ε, above 0.
    weight_decay, clip_value, clip_array, clip_norm, average
        As in :class:`Optimizer`.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, optimizer=cbp.Adagrad(0.1))
    >>> bool(history.loss[-1] < history.loss[0])
    True
    """

    name: ClassVar[str] = "adagrad"
    state: ClassVar[tuple[str, ...]] = ("squares",)
    numbers: ClassVar[Mapping[str, str]] = {"epsilon": "epsilon"}
    not_negative: ClassVar[tuple[str, ...]] = ("squares",)

    rate: Rate = 0.01
    _: KW_ONLY
    epsilon: float = 1e-10
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epsilon()


__all__ += ["Lion"]
@OPTIMIZERS.add
@dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Lion: ``w -= η sign(β1 m + (1 - β1) g)``, then ``m = β2 m + (1 - β2) g`` (Chen et al., 2023, Symbolic discovery of
    optimization algorithms). Every parameter moves by η or, where the sign is that of 0, not at all: η is smaller than Adam's.

    Parameters
    ----------
    rate : float, Schedule or callable
        η, above 0; see :class:`Optimizer`, as for the arguments that all share.
    beta1, beta2 : float
        Memory of the moving average in the update and from step to step, from 0 to below 1.
    weight_decay, clip_value, clip_array, clip_norm, average
        As in :class:`Optimizer`.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, optimizer=cbp.Lion(0.01))
    >>> bool(history.loss[-1] < history.loss[0])
    True
    """

    name: ClassVar[str] = "lion"
    state: ClassVar[tuple[str, ...]] = ("mean",)
    numbers: ClassVar[Mapping[str, str]] = {"memory1": "beta1", "memory2": "beta2"}

    rate: Rate = 1e-4
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fraction("beta1")
        self._fraction("beta2")


__all__ += ["Rprop"]
@OPTIMIZERS.add
@dataclass(frozen=True, repr=False)
class Rprop(Optimizer):
    """Rprop: each parameter has a step of its own, ``w -= s sign(g)``, which is multiplied by ``grow`` where g has the sign
    that it had before, and by ``shrink`` where it has the other; then the parameter waits, and so does the memory of the sign
    (Igel & Hüsken, 2003, Empirical evaluation of the improved Rprop learning algorithms: iRprop-; Riedmiller & Braun, 1993).

    For batch gradient descent, ``fit(batch_size=None)``: from batch to batch signs change by chance.

    Parameters
    ----------
    rate : float, Schedule or callable
        The first step s of every parameter, above 0.
    shrink, grow : float
        Above 0 and below 1; above 1.
    shortest, longest : float
        Between these stays s.
    weight_decay, clip_value, clip_array, clip_norm, average
        As in :class:`Optimizer`.

    Examples
    --------
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=20, batch_size=None, optimizer=cbp.Rprop())
    >>> bool(history.loss[-1] < history.loss[0])
    True
    """

    name: ClassVar[str] = "rprop"
    state: ClassVar[tuple[str, ...]] = ("gradient", "size")
    numbers: ClassVar[Mapping[str, str]] = {"memory1": "shrink", "memory2": "grow", "epsilon": "shortest", "limit": "longest"}
    not_negative: ClassVar[tuple[str, ...]] = ("size",)
    aliases: ClassVar[tuple[str, ...]] = ("irprop", "irprop+", "irprop-")

    rate: Rate = 0.01
    _: KW_ONLY
    shrink: float = 0.5
    grow: float = 1.2
    shortest: float = 1e-6
    longest: float = 50.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("shrink", check.real("shrink", self.shrink, above=0, below=1))
        self._set("grow", check.real("grow", self.grow, above=1))
        self._set("shortest", check.real("shortest", self.shortest, above=0))
        self._set("longest", check.real("longest", self.longest, minimum=self.shortest))


def get(optimizer: str | Optimizer) -> Optimizer:
    """The optimizer that a user named (with its default rate) or built.

    Raises
    ------
    ValueError
        There is none of that name.
    TypeError
        It is neither a name nor one of cbp's own: the core knows no others, and would read the state of a subclass with other
        ``slots`` where there is none.

    Examples
    --------
    >>> cbp.optimizers.get("sgd")
    SGD(rate=0.01)
    """
    if type(optimizer) in OPTIMIZERS.values():
        return cast(Optimizer, optimizer)
    if isinstance(optimizer, Optimizer):
        raise TypeError(f"optimizer must be one of cbp's own, {', '.join(kind.__name__ for kind in OPTIMIZERS.values())}, got "
                        f"{quoted(optimizer)} of a class of your own; net.gradient() is made for rules of your own")
    if isinstance(optimizer, str):
        return OPTIMIZERS.find(optimizer)()  # type: ignore[call-arg]
    raise TypeError(f"optimizer must be a name or an optimizer such as cbp.Adam(1e-3), got {quoted(optimizer)}")
