"""Optimizers: the rule that turns gradients into updates.

An optimizer is a specification and owns no numbers. Its state, one array per entry of ``slots`` with the shape of the
parameters, belongs to the network. The arithmetic is in ``kernels/optimizers.pxd``. In the formulas w is a parameter, g
its gradient, η the rate and t the number of the step, counted from 1; every operation is per element.

``weight_decay`` is decoupled (Loshchilov & Hutter, 2019, Decoupled weight decay regularization): besides the update, each
weight shrinks by ``rate * weight_decay * w``. Biases do not decay.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from cbp.engine import check
from cbp.errors import unknown_name

__all__ = ["OPTIMIZERS", "SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "get"]


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What all optimizers share: the rate and the decay."""

    name: ClassVar[str]

    rate: float
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if type(self) is Optimizer:
            raise TypeError("Optimizer is what the optimizers share; take one of them, for example cbp.Adam(1e-3)")
        self._set("rate", check.real("rate", self.rate, above=0))
        self._set("weight_decay", check.real("weight_decay", self.weight_decay, minimum=0))

    @property
    def slots(self) -> tuple[str, ...]:
        """Names of the state arrays."""
        raise NotImplementedError

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    def _fraction(self, field: str) -> None:
        self._set(field, check.real(field, getattr(self, field), minimum=0, below=1))

    def _epsilon(self) -> None:
        self._set("epsilon", check.real("epsilon", getattr(self, "epsilon"), above=0))  # noqa: B009


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent: ``w -= η g``, or with momentum μ: ``v = μ v + g``, ``w -= η v``.

    With ``nesterov=True`` the update is ``w -= η (g + μ v)`` (Sutskever et al., 2013, On the importance of initialization
    and momentum in deep learning, in the form that PyTorch gives it).

    Parameters
    ----------
    rate : float
        η, above 0.
    momentum : float
        μ, from 0 to below 1.
    nesterov : bool
        Look ahead along the momentum; needs ``momentum`` above 0.
    weight_decay : float
        Decoupled decay of the weights.
    """

    name: ClassVar[str] = "sgd"

    rate: float = 0.01
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
    def slots(self) -> tuple[str, ...]:
        return ("velocity",) if self.momentum else ()


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam: ``m = β1 m + (1 - β1) g``, ``v = β2 v + (1 - β2) g²``,
    ``w -= η (m / (1 - β1^t)) / (sqrt(v / (1 - β2^t)) + ε)`` (Kingma & Ba, 2015).

    Parameters
    ----------
    rate : float
        η, above 0.
    beta1, beta2 : float
        Memory of the two moving averages, from 0 to below 1.
    epsilon : float
        ε, above 0.
    weight_decay : float
        Decoupled decay of the weights.
    """

    name: ClassVar[str] = "adam"

    rate: float = 1e-3
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fraction("beta1")
        self._fraction("beta2")
        self._epsilon()

    @property
    def slots(self) -> tuple[str, ...]:
        return ("mean", "variance")


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay on by default (Loshchilov & Hutter, 2019). Parameters as in :class:`Adam`."""

    name: ClassVar[str] = "adamw"

    _: KW_ONLY
    weight_decay: float = 0.01


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop: ``v = ρ v + (1 - ρ) g²``, ``w -= η g / (sqrt(v) + ε)`` (Tieleman & Hinton, 2012, lecture 6.5): a rate that
    follows an exponential moving average of the squared gradient.

    Parameters
    ----------
    rate : float
        η, above 0.
    rho : float
        Memory of the moving average, from 0 to below 1.
    epsilon : float
        ε, above 0.
    weight_decay : float
        Decoupled decay of the weights.
    """

    name: ClassVar[str] = "rmsprop"

    rate: float = 1e-3
    _: KW_ONLY
    rho: float = 0.9
    epsilon: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._fraction("rho")
        self._epsilon()

    @property
    def slots(self) -> tuple[str, ...]:
        return ("variance",)


@dataclass(frozen=True)
class Adagrad(Optimizer):
    """Adagrad: ``s = s + g²``, ``w -= η g / (sqrt(s) + ε)`` (Duchi, Hazan & Singer, 2011).

    Parameters
    ----------
    rate : float
        η, above 0.
    epsilon : float
        ε, above 0.
    weight_decay : float
        Decoupled decay of the weights.
    """

    name: ClassVar[str] = "adagrad"

    rate: float = 0.01
    _: KW_ONLY
    epsilon: float = 1e-10
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epsilon()

    @property
    def slots(self) -> tuple[str, ...]:
        return ("squares",)


OPTIMIZERS: dict[str, type[Optimizer]] = {kind.name: kind for kind in (SGD, Adam, AdamW, RMSprop, Adagrad)}


def get(optimizer: str | Optimizer) -> Optimizer:
    """The optimizer that a user named (with its default rate) or built."""
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, str):
        if optimizer not in OPTIMIZERS:
            raise unknown_name("optimizer", optimizer, OPTIMIZERS, {})
        return OPTIMIZERS[optimizer]()  # type: ignore[call-arg]
    raise TypeError(f"optimizer must be a name or an optimizer such as cbp.Adam(1e-3), got {optimizer!r}")
