"""cbp: one call of `fit` runs all epochs."""

from __future__ import annotations

import cbp
from bench.workloads import Array, Targets, Workload

OPTIMIZERS = {"sgd": cbp.SGD, "adam": cbp.Adam}


class Trainer:
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        *hidden, outputs = workload.sizes[1:]
        output = "softmax" if workload.classifies else "identity"
        layers = [*(cbp.Dense(units, workload.hidden) for units in hidden), cbp.Dense(outputs, output)]
        self.net = cbp.Network(workload.sizes[0], layers, loss=workload.loss, dtype="float32", seed=0)
        for index, weight in enumerate(weights):
            self.net.parameters[f"{index}.weight"][...] = weight
        self.X, self.y, self.batch = X, y, workload.batch
        self.optimizer = OPTIMIZERS[workload.optimizer](workload.rate)

    def train(self, epochs: int) -> None:
        self._fit(epochs)

    def losses(self, epochs: int) -> list[float]:
        return [float(loss) for loss in self._fit(epochs)["loss"]]

    def _fit(self, epochs: int) -> cbp.History:
        return self.net.fit(
            self.X, self.y, epochs=epochs, batch_size=self.batch, optimizer=self.optimizer,
            shuffle=False, progress=False,
        )
