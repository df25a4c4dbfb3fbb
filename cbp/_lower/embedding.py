"""An embedding becomes one op, which reads the samples."""

from __future__ import annotations

from cbp.engine.plan import Plan, Value
from cbp.layers import Embedding
from cbp.layers.base import brief

__all__ = ["lower"]


def lower(plan: Plan, name: str, layer: Embedding, value: Value) -> Value:
    """Rows of the weights, one for every step."""
    if value.slot >= 0 or value.delta >= 0:
        raise ValueError(f"{brief(layer)} must be the first layer, because it takes whole numbers from the samples")
    output = plan.value(layer.output_shape(value.shape), timed=True)
    plan.no_lengths = ""
    plan.vocabulary = layer.vocabulary
    plan.need_scratch(value.shape[0])
    plan.add("embedding", value, output, weight=f"{name}.weight", weight_rows=layer.vocabulary, sparse=layer.sparse,
             shared=plan.shared(layer.vocabulary) if layer.sparse else 0)
    return output
