"""The bundled digits, learnt from given weights in a given order: how soon a library is how accurate."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from bench.peers import PEERS
from bench.workloads import Workload
from cbp import datasets

NET = Workload((64, 64, 10), 32, 42)
EPOCHS = 30
ACCURACY = 0.96
"""Reached by the validation data: this is what the clock runs to."""


class Digits:
    """Both parts of the data, and the order of every epoch, are the same in every library."""

    def __init__(self, peer: str, epochs: int = EPOCHS):
        X, X_test, y, y_test = datasets.split(*datasets.digits())
        rows = NET.steps * NET.batch  # whole batches only
        draws = np.random.default_rng(0)
        orders = [draws.permutation(rows) for _ in range(epochs)]
        self.epochs = [(X[order], y[order]) for order in orders]
        self.test = X_test, y_test
        self.learner = PEERS[peer].learner()
        first = self._learn()
        self.about = {"losses": first["losses_by_epoch"], "version": PEERS[peer].version, "asked": ACCURACY}

    def measure(self, seconds: float) -> dict[str, Any]:
        return self._learn()

    def _learn(self) -> dict[str, Any]:
        learner = self.learner(NET, *self.epochs[0], NET.weights())
        losses, accuracies, spent = [], [], [0.0]
        for X, y in self.epochs:
            started = time.perf_counter()
            losses.append(learner.epoch(X, y))
            spent.append(spent[-1] + time.perf_counter() - started)
            accuracies.append(learner.accuracy(*self.test))
        epochs = next((count for count, accuracy in enumerate(accuracies, 1) if accuracy >= ACCURACY), None)
        return {
            "us": spent[-1] * 1e6, "epochs_to": epochs, "seconds_to": None if epochs is None else spent[epochs],
            "losses_by_epoch": losses, "accuracies": accuracies,
        }
