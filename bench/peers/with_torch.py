"""PyTorch, eager: fused optimizer, the data in tensors before the clock starts, batches as views of them."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from bench.peers import batches
from bench.workloads import MOMENTUM, Array, Targets, Workload

OPTIMIZERS = {
    "sgd": torch.optim.SGD,
    "momentum": partial(torch.optim.SGD, momentum=MOMENTUM),
    "adam": torch.optim.Adam,
}
HIDDEN = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


def network(workload: Workload, weights: list[Array]) -> nn.Sequential:
    """The net without a softmax at its end."""
    layers: list[nn.Module] = []
    for weight in weights:
        linear = nn.Linear(*weight.shape, dtype=getattr(torch, workload.dtype))
        with torch.no_grad():
            linear.weight.copy_(torch.from_numpy(weight.T.copy()))
            linear.bias.zero_()
        layers += [linear, HIDDEN[workload.hidden]()]
    return nn.Sequential(*layers[:-1])


def half_squared_error(output: Tensor, y: Tensor) -> Tensor:
    return nn.functional.mse_loss(output, y, reduction="sum") * (0.5 / len(y))


def loss_of(workload: Workload):
    return nn.functional.cross_entropy if workload.classifies else half_squared_error


class Trainer:
    network = staticmethod(network)

    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        torch.set_num_threads(1)
        self.net, self.loss = self.network(workload, weights), loss_of(workload)
        learnt = [parameter for parameter in self.net.parameters() if parameter.requires_grad]
        self.optimizer = OPTIMIZERS[workload.optimizer](learnt, lr=workload.rate, fused=True)
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


class Learner(Trainer):
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        super().__init__(workload, X, y, weights)
        self.batch = workload.batch

    def epoch(self, X: Array, y: Targets) -> float:
        self.batches = batches(torch.from_numpy(X), torch.from_numpy(y), self.batch)
        return self.losses(1)[0]

    @torch.inference_mode()
    def accuracy(self, X: Array, y: Targets) -> float:
        return float((self.net(torch.from_numpy(X)).argmax(dim=1).numpy() == y).mean())


class Predictor:
    def __init__(self, workload: Workload, weights: list[Array]):
        torch.set_num_threads(1)
        net = network(workload, weights)
        self.net = nn.Sequential(*net, nn.Softmax(dim=-1)) if workload.classifies else net
        self.dtype = getattr(torch, workload.dtype)

    @torch.inference_mode()
    def many(self, X: Array) -> Array:
        return self.net(torch.from_numpy(X)).numpy()

    one = many

    @torch.inference_mode()
    def one_of_floats(self, x: list[float]) -> Array:
        return self.net(torch.tensor(x, dtype=self.dtype)).numpy()
