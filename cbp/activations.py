"""Activations: the functions that a layer applies to its weighted sums, one row each.

The arithmetic is in ``kernels/activations.pxd``; a row says everything else that cbp knows of an activation. What others
derive from it (the initializer of a layer, which outputs suit a loss, what an RNN's state may be, PyTorch's modules) is
derived there.

>>> from cbp.activations import ACTIVATIONS
>>> [name for name, row in ACTIVATIONS.items() if row.range == (0, 1)]
['sigmoid', 'hard_sigmoid', 'softmax']
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from cbp._registry import Registry
from cbp.engine.cpu import core as _core

__all__ = ["ACTIVATIONS", "Activation"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Activation:
    """What is known of an activation f beside its arithmetic.

    Parameters
    ----------
    name : str
        What users write, and the core's name.
    init : str
        The initializer of the weights before it that suits it.
    range : tuple of float
        The values lie between these two, the bounds included or not.
    increasing : bool
        Whether f(s) never falls as s grows: the largest of some numbers is then the largest after f too.
    homogeneous : bool
        Whether f(c s) = c f(s) for all c >= 0.
    joint : bool
        Whether every value depends on all sums of a unit's layer.
    pytorch : str or None
        The class in ``torch.nn``.
    pytorch_options : mapping
        The attributes that an object of that class must have.
    aliases : tuple of str
        What other libraries call it, for the errors that suggest a name.

    Examples
    --------
    >>> cbp.activations.ACTIVATIONS["relu"].init
    'he_normal'
    """

    name: str
    init: str = "glorot_uniform"
    range: tuple[float, float] = (-inf, inf)
    increasing: bool = True
    homogeneous: bool = False
    joint: bool = False
    pytorch: str | None = None
    pytorch_options: Mapping[str, object] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()

    @property
    def of_value(self) -> bool:
        """Whether the derivative follows from the value alone, each number for itself: what a recurrent state needs."""
        return not self.joint and self.name not in _core.KEEPS_SUM


ACTIVATIONS: Registry[Activation] = Registry("activation")
"""The activations by name."""

for _row in (
    Activation(name="identity", homogeneous=True, aliases=("linear", "none")),
    Activation(name="relu", init="he_normal", range=(0, inf), homogeneous=True, pytorch="ReLU"),
    Activation(name="leaky_relu", init="he_normal", homogeneous=True, pytorch="LeakyReLU",
               pytorch_options={"negative_slope": 0.01}),
    Activation(name="elu", init="he_normal", range=(-1, inf), pytorch="ELU", pytorch_options={"alpha": 1.0}),
    Activation(name="selu", init="lecun_normal", range=(-1.7580993408473766, inf), pytorch="SELU"),
    Activation(name="gelu", init="he_normal", range=(-0.16997120747990369, inf), increasing=False, pytorch="GELU",
               pytorch_options={"approximate": "none"}),
    Activation(name="silu", init="he_normal", range=(-0.2784645427610738, inf), increasing=False, pytorch="SiLU",
               aliases=("swish",)),
    Activation(name="mish", init="he_normal", range=(-0.30884341301725043, inf), increasing=False, pytorch="Mish"),
    Activation(name="softplus", range=(0, inf), pytorch="Softplus", pytorch_options={"beta": 1, "threshold": 20}),
    Activation(name="tanh", range=(-1, 1), pytorch="Tanh"),
    Activation(name="sigmoid", range=(0, 1), pytorch="Sigmoid", aliases=("logistic",)),
    Activation(name="hard_sigmoid", range=(0, 1), pytorch="Hardsigmoid"),
    Activation(name="softsign", range=(-1, 1), pytorch="Softsign"),
    Activation(name="softmax", range=(0, 1), increasing=False, joint=True, pytorch="Softmax"),
):
    ACTIVATIONS.add(_row)
