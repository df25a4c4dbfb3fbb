"""The words that metrics and tasks share."""

from __future__ import annotations

__all__ = ["NEEDS"]

NEEDS = {
    "classes": "classes",
    "scores": "scores of classes",
    "probabilities": "probabilities, as 'softmax' and 'sigmoid' give them",
    "numbers": "numbers",
}
"""What a metric compares with the targets -> how messages say it."""
