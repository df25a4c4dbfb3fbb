"""A network as the engine sees it: what is run, on which data, and towards what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from cbp.engine import check
from cbp.engine.arrays import Form
from cbp.engine.asked import asked
from cbp.engine.columns import Names
from cbp.engine.cpu import core as _core
from cbp.engine.learning import Learning
from cbp.engine.named import checked
from cbp.engine.numbers import AVERAGE, NO_AVERAGE, Numbers
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
    learning : Learning
        What training changes.
    """

    plan: Plan
    form: Form
    numbers: Numbers
    l1: float
    l2: float
    seed: int
    learning: Learning = field(default_factory=Learning)

    @property
    def answers(self) -> _core.Answers:
        """The short way of a few rows, made anew; it holds this model."""
        return _core.Answers(self, self.plan.ops, self.numbers, self.plan.few(self.form.dtype), self.form.names is not None)

    @cached_property
    def asked(self) -> _core.Asked | None:
        """The short way to gradients of a few rows; None where there is none, or columns have names."""
        if self.form.names is not None:
            return None
        return asked(self.plan, self.numbers.parameters, self.loss, self.l1, self.l2)

    @cached_property
    def parameters(self) -> Mapping[str, Flat]:
        """Views of what is learned, by name."""
        return self.plan.views(self.numbers.parameters)

    @cached_property
    def statistics(self) -> Mapping[str, Flat]:
        """Views of what the layers measure, by name."""
        return self.plan.views(self.numbers.statistics, self.plan.statistics)

    def vector(self, argument: str, given: object) -> dict[str, Flat]:
        """The parameters by name in one flat vector of them all; raises TypeError or ValueError where it is none."""
        if isinstance(given, Mapping):
            raise TypeError(f"{argument} must be one flat array, got a {type(given).__name__}; network.parameters = {argument} "
                            f"takes arrays by name")
        return self.plan.named(self.flat_vector(argument, given))

    def flat_vector(self, argument: str, given: object) -> Flat:
        """Finite numbers, one for each parameter."""
        values = check.numbers(argument, given, self.form.dtype)
        if values.shape != (self.plan.count,):
            raise ValueError(f"{argument} must have the shape ({self.plan.count},), got {values.shape}")
        return values

    def published(self, parameters: object, statistics: object) -> Model:
        """The same with other numbers, a vector or arrays by name, None for the statistics that it has, in memory of their own;
        raises TypeError or ValueError where they are wrong. It takes the place of this one, with which nobody trains on."""
        values = (checked("parameters", self.parameters, parameters) if isinstance(parameters, Mapping)
                  else self.vector("parameters", parameters))
        measured = self.statistics if statistics is None else checked("statistics", self.statistics, statistics)
        fresh = Numbers.zeros(self.plan, self.form.dtype)
        model = replace(self, numbers=replace(self.numbers, parameters=fresh.parameters, statistics=fresh.statistics))
        for views, given in (model.parameters, values), (model.statistics, measured):
            for name, view in views.items():
                view[...] = given[name]
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
    def averaged(self) -> Model:
        """The same with the average of the parameters in their place, if one was taken yet; raises ValueError where the
        optimizer takes none."""
        if AVERAGE not in (self.numbers.optimizer.slots if self.numbers.optimizer is not None else ()):
            raise ValueError(NO_AVERAGE)
        if self.numbers.averaged == 0:
            return self
        return replace(self, numbers=replace(self.numbers, parameters=self.numbers.state[-1]))

    @property
    def still(self) -> Model:
        """The same arrays with counters of their own, for a pass that changes nothing."""
        return replace(self, numbers=replace(self.numbers))
