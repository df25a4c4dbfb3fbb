"""cbp: one call of `fit` runs all epochs."""

from __future__ import annotations

import numpy as np

import cbp
from bench.kernels import Kernel
from bench.peers import with_cbp
from bench.workloads import Array, Targets


class Trainer(with_cbp.Trainer):
    def __init__(self, kernel: Kernel, X: Array, y: Targets, weights: dict[str, Array]):
        self.net = kernel.network()
        for name, array in weights.items():
            self.net.parameters[name][...] = array
        self.X, self.y, self.batch = X, y, kernel.batch
        self.optimizer, self.batches, self.threads = kernel.optimizer, None, 1
        self.lengths = None if kernel.lengths is None else np.tile(kernel.lengths, len(X) // kernel.batch)

    def _fit(self, epochs: int) -> cbp.History:
        return self.net.fit(
            self.X, self.y, epochs=epochs, batch_size=self.batch, optimizer=self.optimizer, shuffle=False, progress=False,
            lengths=self.lengths,
        )
