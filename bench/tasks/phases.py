"""Where the time of cbp's step goes."""

from __future__ import annotations

from bench.jobs import TRAINABLE
from bench.peers import PEERS
from cbp.engine.profile import profile_fit


class Phases:
    def __init__(self, workload: str, most_steps: int):
        job = TRAINABLE[workload]
        self.steps = min(job.steps, most_steps)
        self.trainer = PEERS["cbp"].trainer(job.trainers)(job, *job.data(self.steps), job.weights())
        self.trainer.train(1)
        self.about = {"steps_per_epoch": self.steps}

    def measure(self, seconds: float) -> dict[str, object]:
        """Microseconds a step of every phase, over at least `seconds`."""
        trainer, epochs = self.trainer, 1
        while True:
            phases = profile_fit(
                trainer.net._model, trainer.X, trainer.y, epochs=epochs, batch_size=trainer.batch,
                optimizer=trainer.optimizer,
            )
            if sum(phases.values()) >= seconds:
                return {"phases": {name: taken / (epochs * self.steps) * 1e6 for name, taken in phases.items()}}
            epochs *= 2
