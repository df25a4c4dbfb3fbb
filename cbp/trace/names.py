"""What the numbers of a trace are called.

Values: x1, h2, ŷ3 in a row of features; h[t=2].3 is feature 3 at time step 2; h[1,2] is row 1, column 2 of an image,
h[1,2,3] its channel 3. Where several layers are hidden, h2.1, h2[t=2].3 and h2[1,2] belong to layer 2.

Parameters: those that serve one connection are called after it, x1 → h1. Those that are shared between places have a name
of their own: a tap w[1,2] (row and column of the window; w[1,2,c,f] with channel and filter), W[1,2] from input 1 to unit 2
of a recurrent layer, U[1,2] from its unit 1 a step before, W_i[1,2] of its gate i.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def value_name(base: str, tag: str, index: Sequence[int], shape: Sequence[int], *, timed: bool = False) -> str:
    """Of the number at ``index`` of a value of this shape; ``tag`` names the layer where that is needed."""
    start = base + tag
    last = index[-1] + 1 if index else 1
    if len(shape) == 1:
        if timed:
            return f"{start}[t={last}]"
        return f"{start}.{last}" if tag else f"{start}{last}"
    if len(shape) == 2:
        return f"{start}[t={index[0] + 1}]" + (f".{last}" if shape[1] > 1 else "")
    return f"{start}[{','.join(str(i + 1) for i in (index if shape[-1] > 1 else index[:-1]))}]"


@dataclass(frozen=True, slots=True)
class Symbols:
    """Names of the numbers of one array of parameters.

    The first ``kept`` axes are always named, the others unless all of them have the size 1. Along axis ``gate`` lie the gates,
    which are named by letters. ``from_zero``: the first axis is counted from 0, as the data that pick its rows do.
    """

    letter: str
    shape: tuple[int, ...]
    kept: int = 0
    gates: str = ""
    gate: int = -1
    from_zero: bool = False

    def __call__(self, index: Sequence[int]) -> str:
        axes = [axis for axis in range(len(self.shape)) if axis != self.gate]
        kept, others = axes[: self.kept], axes[self.kept :]
        named = axes if any(self.shape[axis] > 1 for axis in others) else kept
        start = 0 if self.from_zero else 1
        places = ",".join(str(index[axis] + (start if axis == 0 else 1)) for axis in named)
        letter = f"{self.letter}_{self.gates[index[self.gate]]}" if self.gates else self.letter
        return f"{letter}[{places}]" if places else letter
