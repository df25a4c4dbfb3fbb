"""What training changes: which arrays of a network it leaves as they are, and at what part of the rate it moves the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.engine.cpu import core as _core
from cbp.engine.plan import Flat, Plan
from cbp.errors import quoted

__all__ = ["NO_SEGMENTS", "NO_SQUARES", "Learning"]

NO_SEGMENTS = np.zeros(0, _core.SEGMENT)
NO_SQUARES = np.zeros(0)


@dataclass(frozen=True)
class Learning:
    """Which arrays training changes, and how fast.

    Attributes
    ----------
    frozen : frozenset of str
        Names of the arrays that stay as they are.
    multipliers : mapping of str to float
        What the rate of an array is multiplied by, where that is not 1.
    """

    frozen: frozenset[str] = frozenset()
    multipliers: Mapping[str, float] = field(default_factory=dict)

    def with_frozen(self, names: Iterable[str]) -> Learning:
        """The same, where these arrays stay too."""
        return replace(self, frozen=self.frozen.union(names))

    def without_frozen(self, names: Iterable[str]) -> Learning:
        """The same, where these arrays do not stay."""
        return replace(self, frozen=self.frozen.difference(names))

    def with_multipliers(self, plan: Plan, given: object) -> Learning:
        """The same with these multipliers by the names of layers or arrays; raises TypeError or ValueError."""
        if not isinstance(given, Mapping):
            raise TypeError(f"rate_multipliers must be a mapping such as {{'0': 0.1}}, got {quoted(given)}")
        found: dict[str, float] = {}
        for name in sorted(given, key=lambda name: len(str(name))):
            factor = check.real(f"rate_multipliers[{name!r}]", given[name], above=0)
            found |= dict.fromkeys(plan.below("rate_multipliers", [name]), factor)
        return replace(self, multipliers={name: found[name] for name in plan.parameters if found.get(name, 1.0) != 1.0})

    def ops(self, plan: Plan, *, gradients: bool = False) -> Flat:
        """The op table for training: nothing is computed for arrays that stay, unless all ``gradients`` are asked for, nor
        before the first that changes. Where all arrays of an op stay its statistics do."""
        if not self.frozen:
            return plan.ops
        ops = plan.ops.copy()
        moved = []
        for op in ops:
            weight, bias = plan.arrays_of(op)
            moved.append(not self.frozen.issuperset((*weight, *bias)))
            op["rests"] = not moved[-1]
            if not gradients:
                op["fixed_weight"], op["fixed_bias"] = self.frozen.issuperset(weight), self.frozen.issuperset(bias)
        if any(moved) and not gradients:
            ops[moved.index(True)]["d_input"] = -1
        return ops

    def apart(self, plan: Plan) -> bool:
        """Whether arrays that an op has in one matrix are moved at rates of their own, or only some of them are."""
        if self.multipliers:
            return True
        return any(0 < len(self.frozen.intersection(weight)) < len(weight) for weight, _ in map(plan.arrays_of, plan.ops)
                   ) if self.frozen else False

    def deferred(self, plan: Plan) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
        """The arrays that an update by the whole gradient changes, and room for what is known of each block of them."""
        tables = {plan.arrays_of(op)[0][0]: op for op in plan.ops if op["sparse"]}
        moved = [name for name in plan.parameters if name not in self.frozen]
        segments: npt.NDArray[Any] = np.zeros(len(moved), _core.SEGMENT)
        for segment, name in zip(segments, moved, strict=True):
            parameter = plan.parameters[name]
            segment["offset"], segment["count"] = plan.offset(name), parameter.taken
            segment["penalised"], segment["multiplier"] = parameter.penalised, self.multipliers.get(name, 1.0)
            if name in tables:
                segment["row"], segment["marks"] = tables[name]["weight_width"], tables[name]["shared"]
        blocks = int((-(-segments["count"] // _core.BLOCK)).sum())
        return segments, np.zeros(blocks + len(segments))
