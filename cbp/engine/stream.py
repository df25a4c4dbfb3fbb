"""State that outlives a call: that of stateful layers between batches, and that of a sequence that arrives step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.engine.cpu import core as _core
from cbp.engine.numbers import Numbers
from cbp.engine.plan import Plan, Shape, aligned

Array = npt.NDArray[Any]


class Carried:
    """The state of stateful layers between one call and the next: of every row of a batch ``plan.carry`` numbers."""

    def __init__(self, plan: Plan, dtype: np.dtype[Any]):
        self._size = plan.carry
        self._dtype = dtype
        self.rows: Array | None = None
        """The state after the last call; None: every row starts from 0. A call that succeeds sets it."""

    def __bool__(self) -> bool:
        """Whether any layer is stateful."""
        return self._size > 0

    def copy(self, rows: int) -> Array:
        """What a batch of so many rows goes on from."""
        if self.rows is None:
            return np.zeros((rows, self._size), self._dtype)
        if len(self.rows) != rows:
            raise ValueError(f"X has {rows} samples, but stateful layers hold the state of the {len(self.rows)} of the last "
                             f"call: go on with as many, or call net.reset_state() first")
        return self.rows.copy()

    def reset(self) -> None:
        """Every row starts from 0 again."""
        self.rows = None

    def check_order(self, shuffle: bool, samples: int, batch_size: int | None) -> None:
        """Rows of a shuffled batch do not go on where those of the last one stopped."""
        if self and shuffle and batch_size is not None and batch_size < samples:
            raise ValueError("shuffle must be False for a network with stateful layers, whose row i of a batch goes on from "
                             "row i of the batch before it (or take one batch an epoch: batch_size=None)")


class Stream:
    """A network that takes one time step after the other: the same parameters under a plan of one step.

    ``of_one_step`` makes that plan from the shape of a step. Raises ValueError, as that does, for a network whose layers need
    more than the present step and their state.
    """

    def __init__(self, plan: Plan, numbers: Numbers, of_one_step: Callable[[Shape], Plan]):
        self._vocabulary = plan.vocabulary
        self._shape: Shape = plan.input_shape[1:]
        if len(plan.input_shape) != (1 if self._vocabulary else 2):
            raise ValueError(f"predict_step() takes a step of a sequence (time, features); the inputs of this network have the "
                             f"shape {plan.input_shape}: predict_one() takes one of them")
        single = of_one_step(self._shape)
        if _places(single) != _places(plan):
            raise ValueError("predict_step(): the layers are no longer those that the network was built of; they are not to be "
                             "changed")
        dtype = self._dtype = numbers.parameters.dtype
        self._carry = aligned(max(single.carry, 1), dtype)
        self._steps = _core.Steps(single.ops, self._carry, aligned(single.arena, dtype),
                                  aligned(max(single.workspace, 1), dtype), aligned(max(single.scratch, 1), dtype))

    def step(self, x: object, numbers: Numbers) -> Any:
        """Outputs of the next step, with numbers that belong to the plan."""
        outputs = self._steps.step(numbers, (x,) if self._vocabulary else x)
        if outputs is None:
            outputs = self._steps.step(numbers, self._checked(x))
            assert outputs is not None
        return outputs

    def reset(self) -> None:
        """The next step is the first of a sequence."""
        self._carry[:] = 0

    def _checked(self, x: object) -> Array:
        values = check.numbers("x", x, self._dtype)
        if values.shape != self._shape:
            wanted = f"of the shape {self._shape}" if self._shape else "a whole number"
            raise ValueError(f"x must be one time step, {wanted}, got the shape {values.shape}; whole sequences go to predict")
        if self._vocabulary:
            check.row_numbers("x", np.asarray(x).reshape(-1), self._vocabulary)
        return values.reshape(-1)


def _places(plan: Plan) -> list[tuple[str, Shape, str]]:
    """What must be the same where plans share their numbers."""
    return [(name, array.shape, array.layout) for name, array in {**plan.parameters, **plan.statistics}.items()]
