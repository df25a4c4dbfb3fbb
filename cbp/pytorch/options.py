"""What PyTorch's modules are told, and what to do where cbp knows one value alone."""

from __future__ import annotations

from typing import Any

from cbp.errors import quoted
from cbp.pytorch.way import Module

REMEDIES = {
    "batch_first": "set module.batch_first = True, which leaves the weights as they are, and give (samples, time, features)",
    "affine": "with True, weights 1 and biases 0, the outputs are the same, but these are learned",
    "elementwise_affine": "with True, weights 1 and biases 0, the outputs are the same, but these are learned",
    "track_running_stats": "cbp predicts with running statistics",
    "count_include_pad": "or take an average without padding",
    "padding_mode": "pad the data before",
    "padding_idx": "with padding_idx=None the outputs are the same, but that row is learned too",
    "return_indices": "the indices are no outputs in cbp",
    "proj_size": "let a Linear follow instead",
}
"""By the name of the option."""


def only(module: Module, remedy: str | None = None, /, **usual: object) -> None:
    """Refuse every option that is not as it usually is, with this remedy or the one in the table."""
    for name, value in usual.items():
        given = getattr(module, name)
        if given != value:
            advice = remedy or REMEDIES.get(name, "take that one")
            raise ValueError(f"{name}={quoted(given)} has no counterpart in cbp, which knows {name}={value!r}; {advice}")


def each(value: Any, axes: int) -> tuple[Any, ...]:
    """One value an axis, where PyTorch takes one for all."""
    return tuple(value) if isinstance(value, tuple) else (value,) * axes


def single(numbers: tuple[int, ...]) -> Any:
    """The number of one axis, or those of several."""
    return numbers[0] if len(numbers) == 1 else numbers
