"""Numbers that name something, such as words, as rows of numbers that are learned."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy.typing as npt

from cbp.engine import check
from cbp.engine.plan import Layout, thin
from cbp.initializers import Initializer
from cbp.initializers import get as get_initializer
from cbp.layers.base import Layer, Parameter, Plan, Shape, Value, brief

__all__ = ["Embedding"]


@dataclass(frozen=True)
class Embedding(Layer):
    """A table of which every input picks a row: ``output[t] = weight[input[t]]``.

    Takes (time,), gives (time, units). It is the first layer of a network, and the inputs are whole numbers from 0 to
    ``vocabulary - 1`` in an array of any dtype. A float32 network holds whole numbers up to 2**24, so a larger vocabulary needs
    float64.

    Parameters
    ----------
    vocabulary : int
        Number of rows of the table.
    units : int
        Numbers of a row.
    sparse : bool
        A training step touches only the rows that occur in its batch (before the lengths of the samples, if there are any).
        A step then costs what its batch has, however large the vocabulary. For plain SGD that is the same. Other optimizers
        go on moving a row that does not occur, by its momentum, and let its averages decay; with ``sparse`` its weights and its
        state wait until it occurs again. ``l1``, ``l2`` and ``weight_decay`` too act on a row only in the steps in which it
        occurs; the loss that is reported, and ``Network.gradient``, have the penalties of all rows.
    init : str, float, array or Initializer
        How the weights, of shape (vocabulary, units), start. By default each is normally distributed with a deviation of 1.

    Raises
    ------
    ValueError, TypeError
        An argument is out of range or of the wrong kind.
    """

    kind: ClassVar[str] = "embedding"
    arrays: ClassVar[str] = "`weight` (vocabulary, units)"
    each_step_alone: ClassVar[bool] = True

    vocabulary: int
    units: int
    sparse: bool = field(default=False, kw_only=True)
    init: str | float | Initializer | npt.ArrayLike | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "vocabulary", check.integer("vocabulary", self.vocabulary, below=2**48))
        object.__setattr__(self, "units", check.integer("units", self.units, below=2**48))
        object.__setattr__(self, "sparse", check.boolean("sparse", self.sparse))
        object.__setattr__(self, "init", get_initializer("lecun_normal" if self.init is None else self.init))

    def output_shape(self, input_shape: Shape) -> Shape:
        if len(input_shape) != 1:
            raise ValueError(f"Embedding({self.vocabulary}, {self.units}) needs inputs (time,) of whole numbers, its input has "
                             f"the shape {input_shape}")
        return (input_shape[0], self.units)

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        assert isinstance(self.init, Initializer)
        # A unit reads one number of the table, whatever the vocabulary: lecun_normal is the standard normal distribution.
        layout: Layout = "packed" if thin(self.vocabulary, self.units) else "rows"
        return {"weight": Parameter((self.vocabulary, self.units), self.init, fans=(1, self.units), layout=layout)}

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """One op, which reads the samples: rows of the weights, one for every step."""
        if value.slot >= 0 or value.gradient >= 0:
            raise ValueError(f"{brief(self)} must be the first layer, because it takes whole numbers from the samples")
        output = plan.value(self.output_shape(value.shape), timed=True)
        plan.no_lengths = ""
        plan.vocabulary = self.vocabulary
        packed = plan.parameters[f"{name}.weight"].layout == "packed"
        plan.add("embedding", value, output, weight=f"{name}.weight", weight_rows=self.vocabulary,
                 weight_width=self.units if packed else output.width, sparse=self.sparse)
        return output
