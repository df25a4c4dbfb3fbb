"""The process that measures one thing: pinned first, then importing, then answering one line of JSON a question.

Started by ``measure.py`` with what to measure as JSON in its argument. Every line on its input is a number of seconds
to measure for.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

CHECK_STEPS, CHECK_EPOCHS = 8, 3
CALL_EPOCHS = 5
"""Epochs that one measurement spans at least in a library that takes whole epochs: what it does once a call, such as
the check of all inputs, is spread over as many as in real use, or fewer."""


class Training:
    """One network in one library."""

    def __init__(self, peer: str, workload: str, seconds: float, most_steps: int):
        from bench.peers import PEERS
        from bench.workloads import BY_NAME

        chosen, job = PEERS[peer], BY_NAME[workload]
        trainer, weights = chosen.trainer(), job.weights()
        few = job.data(CHECK_STEPS)
        losses = trainer(job, *few, weights).losses(CHECK_EPOCHS)
        steps, self.least_epochs = min(job.steps, most_steps), CALL_EPOCHS
        if not chosen.compiled:
            self.least_epochs = 1
            small = trainer(job, *few, weights)
            small.train(2)
            steps = max(1, min(steps, int(seconds * CHECK_STEPS / _seconds(small, 1))))
        self.trainer, self.steps = trainer(job, *job.data(steps), weights), steps
        self.trainer.train(1)  # compiles, touches all memory
        self.epoch_seconds = _seconds(self.trainer, 1)
        self.about = {"version": chosen.version, "losses": losses, "steps_per_epoch": steps}

    def measure(self, seconds: float) -> dict[str, float]:
        epochs = max(self.least_epochs, round(seconds / self.epoch_seconds))
        cpu = time.process_time()
        wall = _seconds(self.trainer, epochs)
        cpu = time.process_time() - cpu
        return {"us": wall / (epochs * self.steps) * 1e6, "cpu_per_wall": cpu / wall}


def _seconds(trainer: Any, epochs: int) -> float:
    started = time.perf_counter()
    trainer.train(epochs)
    return time.perf_counter() - started


def start(kind: str, arguments: dict[str, Any]) -> Any:
    if kind == "training":
        return Training(**arguments)
    from bench import probe

    return {"machine": probe.Machine, "tile": probe.Tile}[kind](**arguments)


def main() -> None:
    request = json.loads(sys.argv[1])
    if request["core"] is not None:
        os.sched_setaffinity(0, {request["core"]})
    # Answers go out on a channel of their own: whatever a library prints goes to the error stream.
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)
        task = start(request["kind"], request["arguments"])
        print(json.dumps(task.about), file=channel, flush=True)
        for line in sys.stdin:
            print(json.dumps(task.measure(float(line))), file=channel, flush=True)


if __name__ == "__main__":
    main()
