"""Scores: how good the predictions for the rows of a table are, in the units of the table."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.cli.columns import Target, significant
from cbp.cli.table import Table, TableError

__all__ = ["Score", "of_known", "of_outputs", "text"]

Score = dict[str, float]

Array = npt.NDArray[Any]


def of_outputs(target: Target, outputs: Array, y: Array, y_train: Array | None = None) -> Score:
    """The score of a network's outputs, of shape (rows, outputs) or (rows,), for encoded targets.

    For classes it is the accuracy, with ``y_train`` also that of always guessing the class that was most frequent
    there; for numbers the mean absolute error, the root of the mean squared error, and R² where the targets differ.
    """
    if target.classes:
        score = {"accuracy": significant(float((outputs.argmax(axis=1) == y).mean()))}
        if y_train is not None:
            score["accuracy_of_guessing"] = significant(float((y == np.bincount(y_train).argmax()).mean()))
        return score
    true = y.astype(np.float64)
    errors = outputs.reshape(-1) - true
    score = {
        "mean_absolute_error": significant(float(np.abs(errors).mean()) * target.scale),
        "root_mean_squared_error": significant(float(np.sqrt((errors**2).mean())) * target.scale),
    }
    spread = float(((true - true.mean()) ** 2).mean())
    if spread > 0:
        score["r2"] = significant(1 - float((errors**2).mean()) / spread)
    return score


def of_known(target: Target, data: Table, outputs: Array) -> Score | None:
    """The score on a table that holds the target too, in every row; else None. A class that is new is a mistake."""
    if target.name not in data.columns:
        return None
    try:
        if not target.classes:
            return of_outputs(target, outputs, target.encode(data))
        labels = target.labels(data)
    except TableError:
        return None
    right = sum(label == prediction for label, prediction in zip(labels, target.decode(outputs), strict=True))
    return {"accuracy": significant(right / len(labels))}


def text(score: Score) -> str:
    """A score in words."""
    if "accuracy" in score:
        guessing = score.get("accuracy_of_guessing")
        compared = "" if guessing is None else f" (always guessing the most frequent class: {guessing:.4f})"
        return f"accuracy {score['accuracy']:.4f}{compared}"
    return ", ".join(f"{word} {score[name]:.4g}" for name, word in _WORDS.items() if name in score)


_WORDS = {
    "mean_absolute_error": "mean absolute error",
    "root_mean_squared_error": "root mean squared error",
    "r2": "R²",
}
