"""What a network answers, as metrics see it: classes, probabilities, numbers, and which of them its outputs are."""

from __future__ import annotations

from dataclasses import dataclass

from cbp.activations import ACTIVATIONS
from cbp.losses import Loss

__all__ = ["NEEDS", "Task"]

Shape = tuple[int, ...]

NEEDS = {
    "classes": "classes",
    "scores": "scores of classes",
    "probabilities": "probabilities, as 'softmax' and 'sigmoid' give them",
    "numbers": "numbers",
}
"""What a metric compares with the targets -> how messages say it."""


@dataclass(frozen=True)
class Task:
    """What the outputs of a network mean.

    Attributes
    ----------
    outputs : int
        Numbers at every position, the last axis of the outputs.
    places : tuple of int
        The axes before it: () for one answer a sample, (time,), (height, width).
    timed : bool
        Whether the first of these axes is the time of the inputs, of which ``lengths`` tells how much counts.
    classes : str
        ``"binary"`` (one output, positive or not), ``"multiclass"`` (an output for every class), ``"multilabel"`` (every output
        says yes or no for itself), or ``""`` where outputs are numbers.
    gives : frozenset of str
        Those of ``NEEDS`` that a metric can have.
    middle : float
        An output above it says yes, in the first and the third case; so does a target.
    ending : str
        Loss and last activation, for messages.
    """

    outputs: int
    places: Shape
    timed: bool
    classes: str
    gives: frozenset[str]
    middle: float
    ending: str

    @classmethod
    def of(cls, loss: Loss, activation: str | None, outputs: Shape, *, timed: bool = False) -> Task:
        """The task of a loss after the last layer's activation, for outputs (*places, outputs), the first axis of which may be
        time.

        Examples
        --------
        >>> from cbp.metrics.task import Task
        >>> Task.of(cbp.losses.get("cross_entropy"), "softmax", (10,)).classes
        'multiclass'
        """
        *places, count = outputs
        row = ACTIVATIONS.get(activation or "")
        fractions = row is not None and row.range[0] >= 0 and row.range[1] <= 1
        joint = loss.targets == "class" or (loss.targets == "number" and fractions and row is not None and row.joint)
        several = "multiclass" if joint else "multilabel"
        of_classes = loss.targets in ("class", "fraction", "sign") or (loss.targets == "number" and fractions)
        classes = "" if not of_classes else several if count > 1 else "binary"
        gives = {"classes", "scores"} if classes else set()
        gives |= {"probabilities"} if classes and loss.targets != "sign" else set()
        gives |= {"numbers"} if loss.targets not in ("class", "sign") else set()
        ending = f"loss {loss.name!r}" + (f" after {activation!r}" if activation else "")
        return cls(count, tuple(places), timed, classes, frozenset(gives), 0.0 if loss.targets == "sign" else 0.5, ending)

    @property
    def labels(self) -> int:
        """How many classes there are; 0 where outputs are numbers."""
        return {"": 0, "binary": 2}.get(self.classes, self.outputs)

    def lacks(self, need: str) -> str:
        """Why a metric that has this need does not suit, as the end of a sentence; "" where it does."""
        return "" if need in self.gives else f"it needs {NEEDS[need]}, and {self.ending} gives {self._given()}"

    def _given(self) -> str:
        if "numbers" in self.gives:
            return "numbers"
        return "a score of either sign" if "probabilities" not in self.gives else "probabilities of classes"
