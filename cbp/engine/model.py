"""A network as the engine sees it: what is run, on which data, and towards what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from cbp.engine.arrays import Form
from cbp.engine.columns import Names
from cbp.engine.cpu import core as _core
from cbp.engine.numbers import Numbers
from cbp.engine.plan import Flat, Plan, Shape
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
    def answers(self) -> _core.Answers:
        """The short way of a few rows, made anew; it holds this model."""
        return _core.Answers(self, self.plan.ops, self.numbers, self.plan.few(self.form.dtype), self.form.names is not None)

    @cached_property
    def parameters(self) -> Mapping[str, Flat]:
        """Views of what is learned, by name."""
        return self.plan.views(self.numbers.parameters)

    @cached_property
    def statistics(self) -> Mapping[str, Flat]:
        """Views of what the layers measure, by name."""
        return self.plan.views(self.numbers.statistics, self.plan.statistics)

    def published(self, parameters: Mapping[str, Flat], statistics: Mapping[str, Flat] | None) -> Model:
        """The same with these values, None for those that it has, in memory of their own; it takes the place of this one, with
        which nobody trains on."""
        fresh = Numbers.zeros(self.plan, self.form.dtype)
        model = replace(self, numbers=replace(self.numbers, parameters=fresh.parameters, statistics=fresh.statistics))
        measured = self.statistics if statistics is None else statistics
        for views, values in (model.parameters, parameters), (model.statistics, measured):
            for name, view in views.items():
                view[...] = values[name]
        self.numbers.state = self.numbers.state[:]  # another object, by which a step that is about to begin knows
        return model

    def named(self, names: Names | None) -> Model:
        """The same, over the same numbers, where columns have these names."""
        return replace(self, form=replace(self.form, names=names))

    @property
    def output_shape(self) -> Shape:
        """Of one sample's outputs, which come without their last axis where the targets of the training did."""
        shape = self.plan.output_shape
        return shape[:-1] if self.numbers.flat else shape

    @property
    def loss(self) -> Loss:
        return self.form.loss

    @property
    def still(self) -> Model:
        """The same arrays with counters of their own, for a pass that changes nothing."""
        return replace(self, numbers=replace(self.numbers))
