"""Calls that give a recurrent layer its next time step, as a NumPy array, and take its output as one."""

from __future__ import annotations

from itertools import cycle, islice

import numpy as np

from bench.models import STEPS
from bench.peers import PEERS
from bench.tasks.clock import seconds as seconds_of
from bench.tasks.clock import timed

CHECKED_STEPS, CALLS = 4, 1000


class Stepping:
    def __init__(self, peer: str, model: str):
        chosen = PEERS[peer]
        job = next(one for one in STEPS if one.name == model)
        self.step = chosen.stepper()(job, job.weights()).step
        self.inputs = list(np.random.default_rng(4).standard_normal((64, job.shape[-1]), dtype=np.float32))
        outputs = [np.array(self.step(x)) for x in self.inputs[:CHECKED_STEPS]]
        self.about = {"version": chosen.version, "outputs": np.concatenate(outputs).tolist()}
        self._walk(CALLS)
        self.once = seconds_of(lambda: self._walk(CALLS)) / CALLS

    def measure(self, seconds: float) -> dict[str, float]:
        calls = max(1, round(seconds / self.once))
        return timed(lambda: self._walk(calls), calls)

    def _walk(self, calls: int) -> None:
        step = self.step
        for x in islice(cycle(self.inputs), calls):
            step(x)
