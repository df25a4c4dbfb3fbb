"""cbp: one call of `fit` runs all epochs, or one call of `train_on_batch` every step."""

from __future__ import annotations

import cbp
from bench.peers import batches
from bench.workloads import MOMENTUM, Array, Targets, Workload

OPTIMIZERS = {
    "sgd": cbp.SGD,
    "momentum": lambda rate: cbp.SGD(rate, momentum=MOMENTUM),
    "adam": cbp.Adam,
}


def network(workload: Workload, weights: list[Array]) -> cbp.Network:
    *hidden, outputs = workload.sizes[1:]
    output = "softmax" if workload.classifies else "identity"
    layers = [*(cbp.Dense(units, workload.hidden) for units in hidden), cbp.Dense(outputs, output)]
    net = cbp.Network(workload.sizes[0], layers, loss=workload.loss, dtype=workload.dtype, seed=0)
    for index, weight in enumerate(weights):
        net.parameters[f"{index}.weight"][...] = weight
    return net


class Trainer:
    network = staticmethod(network)

    def __init__(
        self, workload: Workload, X: Array, y: Targets, weights: list[Array], threads: int | str = 1,
        batch_by_batch: bool = False,
    ):
        self.net = self.network(workload, weights)
        self.X, self.y, self.batch = X, y, workload.batch
        self.optimizer = OPTIMIZERS[workload.optimizer](workload.rate)
        self.batches = batches(X, y, workload.batch) if batch_by_batch else None
        self.threads = threads

    def train(self, epochs: int) -> None:
        if self.batches is None:
            self._fit(epochs)
        else:
            for _ in range(epochs):
                for x, y in self.batches:
                    self.net.train_on_batch(x, y, optimizer=self.optimizer)

    def losses(self, epochs: int) -> list[float]:
        return [float(loss) for loss in self._fit(epochs)["loss"]]

    def _fit(self, epochs: int) -> cbp.History:
        return self.net.fit(
            self.X, self.y, epochs=epochs, batch_size=self.batch, optimizer=self.optimizer, shuffle=False,
            progress=False, threads=self.threads,
        )


class Learner(Trainer):
    def epoch(self, X: Array, y: Targets) -> float:
        self.X, self.y = X, y
        return self.losses(1)[0]

    def accuracy(self, X: Array, y: Targets) -> float:
        return float((self.net.predict(X).argmax(axis=1) == y).mean())


class Predictor:
    def __init__(self, workload: Workload, weights: list[Array]):
        net = network(workload, weights)
        self.many, self.one, self.one_of_floats = net.predict, net.predict_one, net.predict_one
