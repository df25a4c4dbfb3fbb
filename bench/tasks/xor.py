"""Four rows, full batch, 10,000 epochs: one whole call of `fit`, its history included."""

from __future__ import annotations

import cbp
from bench.tasks.clock import timed

EPOCHS = 10_000


class Xor:
    def __init__(self) -> None:
        self.X, self.y = cbp.datasets.xor()
        history = self._fit()
        self.about = {"epochs": len(history["loss"]), "loss": float(history["loss"][-1])}

    def measure(self, seconds: float) -> dict[str, float]:
        return timed(self._fit, 1)

    def _fit(self) -> cbp.History:
        net = cbp.Network(2, [cbp.Dense(3, "tanh"), cbp.Dense(1, "sigmoid")], loss="binary_cross_entropy", seed=0)
        return net.fit(self.X, self.y, epochs=EPOCHS, batch_size=None, optimizer=cbp.SGD(0.5), progress=False)
