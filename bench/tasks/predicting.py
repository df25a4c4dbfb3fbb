"""Calls that predict, from NumPy arrays to NumPy arrays, in one library."""

from __future__ import annotations

from itertools import repeat

import numpy as np

from bench.peers import PEERS
from bench.predictions import BY_NAME
from bench.tasks.clock import seconds as seconds_of
from bench.tasks.clock import timed

CHECKED_ROWS = 4


class Predicting:
    def __init__(self, peer: str, prediction: str):
        chosen, job = PEERS[peer], BY_NAME[prediction]
        predictor = chosen.predictor()(job.net, job.net.weights())
        X, _ = job.net.data(-(-max(job.rows, CHECKED_ROWS) // job.net.batch))
        self.argument = {"rows": X[: job.rows], "array": X[0], "list": X[0].tolist()}[job.argument]
        self.call = {"rows": predictor.many, "array": predictor.one, "list": predictor.one_of_floats}[job.argument]
        for _ in range(5):
            outputs = np.atleast_2d(self.call(self.argument))
        self.about = {"version": chosen.version, "outputs": outputs[:CHECKED_ROWS].ravel().tolist()}
        self.once = min(seconds_of(lambda: self.call(self.argument)) for _ in range(20))

    def measure(self, seconds: float) -> dict[str, float]:
        calls = max(1, round(seconds / self.once))
        return timed(lambda: self._repeat(calls), calls)

    def _repeat(self, calls: int) -> None:
        call, argument = self.call, self.argument
        for _ in repeat(None, calls):
            call(argument)
