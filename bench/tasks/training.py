"""Steps of training one network in one library."""

from __future__ import annotations

from typing import Any

from bench.jobs import TRAINABLE
from bench.peers import PEERS
from bench.tasks.clock import seconds as seconds_of
from bench.tasks.clock import timed

CHECK_STEPS, CHECK_EPOCHS = 8, 3
CALL_EPOCHS = 5
"""Epochs that one measurement spans at least in a library that takes whole epochs: what it does once a call, such as
the check of all inputs, is spread over as many as in real use, or fewer."""
LONG = 4
"""So many measurements make an epoch that is measured alone: no call's cost shows in it."""


class Training:
    def __init__(self, peer: str, workload: str, seconds: float, most_steps: int, **settings: Any):
        chosen, job = PEERS[peer], TRAINABLE[workload]
        trainer, weights = chosen.trainer(job.trainers, **settings), job.weights()
        few = job.data(CHECK_STEPS)
        losses = trainer(job, *few, weights).losses(CHECK_EPOCHS)
        steps, self.least_epochs = min(job.steps, most_steps), CALL_EPOCHS
        if not chosen.whole_epochs:
            self.least_epochs = 1
            small = trainer(job, *few, weights)
            small.train(2)
            steps = max(1, min(steps, int(seconds * CHECK_STEPS / seconds_of(lambda: small.train(1)))))
        self.trainer, self.steps = trainer(job, *job.data(steps), weights), steps
        self.trainer.train(1)  # compiles, touches all memory
        self.epoch_seconds = seconds_of(lambda: self.trainer.train(1))
        if self.epoch_seconds > LONG * seconds:
            self.least_epochs = 1
        compared = {} if job.random else {"losses": losses}
        self.about = {"version": chosen.version, **compared, "steps_per_epoch": steps}

    def measure(self, seconds: float) -> dict[str, float]:
        epochs = max(self.least_epochs, round(seconds / self.epoch_seconds))
        return timed(lambda: self.trainer.train(epochs), epochs * self.steps)
