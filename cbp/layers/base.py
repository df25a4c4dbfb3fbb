"""What every layer answers.

A layer is a specification: given the shape of its input it tells the shape of its output and of its parameters, and adds the
ops that it becomes to a plan. It owns no numbers; those lie in the network's flat vector. CONTRIBUTING.md says what belongs to
a new layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, ClassVar

from cbp.activations import ACTIVATIONS
from cbp.engine.plan import Parameter, Plan, Shape, Value
from cbp.errors import quoted
from cbp.initializers import Initializer
from cbp.initializers import get as get_initializer

if TYPE_CHECKING:
    import numpy.typing as npt

__all__ = ["ACTIVATIONS", "Layer", "Parameter", "Plan", "Shape", "Value"]

MOST_LAYERS = 10_000
"""Of a network, those inside of others included: each costs some ten microseconds wherever a network is made."""

ZEROS = Initializer("zeros")
ONES = Initializer("ones")


class Layer:
    """What every layer answers.

    Attributes
    ----------
    kind : str
        Its name in a model file.
    arrays : str
        Its arrays in a model file with their shapes, as ``docs/model-file.md`` shows them; a * stands behind statistics.
    each_step_alone : bool
        Whether what it makes of a step of a sequence depends on that step alone.
    """

    kind: ClassVar[str]
    arrays: ClassVar[str] = ""
    each_step_alone: ClassVar[bool] = False

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one sample's output; raises ValueError where the input's shape does not fit the layer."""
        raise NotImplementedError

    def parameters(self, input_shape: Shape) -> dict[str, Parameter]:
        """The parameters by name, in the order of the flat vector."""
        return {}

    def statistics(self, input_shape: Shape) -> dict[str, Parameter]:
        """Arrays that the layer measures while training and no optimizer moves."""
        return {}

    def multiplications(self, input_shape: Shape) -> int:
        """Products of a number with a weight on one sample's way forward. Those with the zeros around an input count, what
        biases, activations and gates take does not."""
        return 0

    def lower(self, plan: Plan, name: str, value: Value) -> Value:
        """Add the ops that the layer becomes; returns what the next layer reads. The parameters' names begin with ``name``."""
        raise NotImplementedError

    def of_one_step(self) -> Layer:
        """The layer for a sequence that arrives step by step: with a state that outlives a call, if it has a state; raises
        ValueError where it needs more than one step."""
        if not self.each_step_alone:
            raise ValueError(f"predict_step() cannot take {brief(self)} step by step")
        return self


def biases(units: int) -> Parameter:
    """The biases of so many units, which start at 0."""
    return Parameter((units,), ZEROS, penalised=False)


def checked_axis(layer: Layer, input_shape: Shape, axis: str = "features") -> Shape:
    """The shape of an input; raises ValueError unless it has a last axis, on which the layer acts."""
    if not input_shape:
        raise ValueError(f"{type(layer).__name__} needs an axis of {axis}, its input has the shape ()")
    return input_shape


def checked_activation(name: object) -> str:
    """The name of an activation; raises TypeError or ValueError."""
    if not isinstance(name, str):
        raise TypeError(f"activation must be a name, got {quoted(name)}")
    return ACTIVATIONS.find(name).name


def chosen_init(init: str | float | Initializer | npt.ArrayLike | None, activation: str) -> Initializer:
    """The initializer that was given or, for None, the one that suits the activation."""
    return get_initializer(ACTIVATIONS[activation].init if init is None else init)


def brief(layer: Layer) -> str:
    """A layer as one would write it, without what is as usual and without how its weights start."""
    parts = []
    for field in sorted(fields(layer), key=lambda field: bool(field.kw_only)):  # type: ignore[arg-type]
        value = getattr(layer, field.name)
        if field.name == "activation" and not field.kw_only:
            parts.append(repr(value))
        elif field.default is MISSING and field.default_factory is MISSING:
            parts.append(_brief_value(value))
        elif value != field.default and not isinstance(value, Initializer):
            parts.append(f"{field.name}={_brief_value(value)}")
    return f"{type(layer).__name__}({', '.join(parts)})"


def _brief_value(value: object) -> str:
    if isinstance(value, Layer):
        return brief(value)
    if isinstance(value, tuple) and value and isinstance(value[0], Layer):
        return f"[{', '.join(map(brief, value))}]"
    return repr(value)


def parts(layer: Layer) -> Iterator[Layer]:
    """A layer and the layers inside it."""
    yield layer
    for field in fields(layer):  # type: ignore[arg-type]
        value = getattr(layer, field.name)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, Layer):
                yield from parts(inner)
