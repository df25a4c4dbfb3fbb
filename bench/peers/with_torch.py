"""PyTorch, eager: fused optimizer, the data in tensors before the clock starts, batches as views of them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bench.peers import batches
from bench.workloads import Array, Targets, Workload

OPTIMIZERS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
HIDDEN = {"relu": nn.ReLU, "tanh": nn.Tanh}


def half_squared_error(output: Tensor, y: Tensor) -> Tensor:
    return nn.functional.mse_loss(output, y, reduction="sum") * (0.5 / len(y))


class Trainer:
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        torch.set_num_threads(1)
        layers: list[nn.Module] = []
        for weight in weights:
            linear = nn.Linear(*weight.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(weight.T.copy()))
                linear.bias.zero_()
            layers += [linear, HIDDEN[workload.hidden]()]
        self.net = nn.Sequential(*layers[:-1])
        self.loss = nn.functional.cross_entropy if workload.classifies else half_squared_error
        self.optimizer = OPTIMIZERS[workload.optimizer](self.net.parameters(), lr=workload.rate, fused=True)
        self.batches = batches(torch.from_numpy(X), torch.from_numpy(y), workload.batch)

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for x, y in self.batches:
                self._step(x, y)

    def losses(self, epochs: int) -> list[float]:
        return [sum(self._step(x, y).item() for x, y in self.batches) / len(self.batches) for _ in range(epochs)]

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.net(x), y)
        loss.backward()
        self.optimizer.step()
        return loss
