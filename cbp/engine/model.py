"""A network as the engine sees it: what is run, on which data, and towards what."""

from __future__ import annotations

from dataclasses import dataclass, replace

from cbp.engine.arrays import Form
from cbp.engine.numbers import Numbers
from cbp.engine.plan import Plan
from cbp.engine.specs import Loss

__all__ = ["Model"]


@dataclass(frozen=True)
class Model:
    """A plan with its numbers, and what is minimised.

    Attributes
    ----------
    plan : Plan
    form : Form
        What goes in and comes out, and the loss that compares it.
    numbers : Numbers
    l1, l2 : float
        The penalties on the weights.
    seed : int
        Of the shuffles and of noise.
    """

    plan: Plan
    form: Form
    numbers: Numbers
    l1: float
    l2: float
    seed: int

    @property
    def loss(self) -> Loss:
        return self.form.loss

    @property
    def still(self) -> Model:
        """The same arrays with counters of their own, for a pass that changes nothing."""
        return replace(self, numbers=replace(self.numbers))
