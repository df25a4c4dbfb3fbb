"""Layers one after the other: their check, the plan that they become, and that of a single step of a sequence."""

from __future__ import annotations

from collections.abc import Sequence

from cbp.engine.plan import MOST_NUMBERS, Plan, Value
from cbp.errors import not_by_handler, plain, quoted
from cbp.layers import LAYERS
from cbp.layers.base import MOST_LAYERS, Layer, Shape, brief, parts

__all__ = ["checked", "of_one_step", "plan"]


def checked(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The layers of a network; raises TypeError or ValueError unless all of them are cbp's own."""
    if isinstance(layers, Layer) or not isinstance(layers, (list, tuple)):
        raise TypeError(f"layers must be a list such as [cbp.Dense(8, 'relu'), cbp.Dense(1)], got {quoted(layers)}")
    if not layers:
        raise ValueError("layers is empty; a network needs at least one, for example cbp.Dense(1)")
    count = 0
    for index, layer in enumerate(layers):
        for part in parts(layer) if isinstance(layer, Layer) else [layer]:
            if type(part) not in LAYERS.values():
                raise TypeError(f"layers[{index}] must be a layer such as cbp.Dense(8, 'relu'), got {quoted(part)}"
                                f"{'' if part is layer else ' inside'}")
            count += 1
        if count > MOST_LAYERS:
            raise ValueError(f"layers holds more than {MOST_LAYERS:,} layers, those inside of others included")
    return tuple(layers)


def plan(layers: Sequence[Layer], input_shape: Shape) -> Plan:
    """The plan of a stack of layers; raises ValueError where they do not fit each other."""
    planned = Plan(input_shape)
    value = planned.samples
    for index, layer in enumerate(layers):
        try:
            value = _appended(planned, str(index), layer, value)
        except not_by_handler(ValueError) as problem:
            raise ValueError(f"layers[{index}]: {plain(problem, 1000)}") from None
    planned.finish(value)
    return planned


def _appended(planned: Plan, place: str, layer: Layer, value: Value) -> Value:
    """Places for a layer's arrays, and its ops; what it writes."""
    layer.output_shape(value.shape)
    for name, parameter in layer.parameters(value.shape).items():
        planned.place_parameter(f"{place}.{name}", parameter)
    for name, statistic in layer.statistics(value.shape).items():
        planned.place_statistic(f"{place}.{name}", statistic)
    value = planned.values[place] = layer.lower(planned, place, value)
    if max(planned.arena, planned.scratch, planned.workspace) >= MOST_NUMBERS:
        raise ValueError(f"{brief(layer)} would need more numbers for one sample than any machine holds")
    return value


def of_one_step(layers: Sequence[Layer], step_shape: Shape) -> Plan:
    """The plan for a sequence that arrives step by step, which keeps its state from call to call; raises ValueError where a
    layer needs more than one step."""
    try:
        single = [layer.of_one_step() for layer in layers]
    except not_by_handler(ValueError) as problem:
        alone = ", ".join(layer.__name__ for layer in LAYERS.values() if layer.each_step_alone)
        raise ValueError(f"{problem}; it takes networks of recurrent layers that read forward and of {alone}") from None
    return plan(single, (1, *step_shape))
