"""PyTorch, compiled: loss, gradient and update are one graph without a break, called from compiled code.

Tried and slower: compiling only the loss, with the fused optimizer beside it (3 to 4 times on small nets), and leaving
the call of the kernels to Python.
"""

from __future__ import annotations

from shutil import which
from typing import Any

import torch
from torch import Tensor
from torch._inductor import config

from bench.peers import batches
from bench.peers.with_torch import loss_of, network
from bench.unsupported import Unsupported
from bench.workloads import MOMENTUM, Array, Targets, Workload

config.cpp_wrapper = True


class Trainer:
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        if not (which("g++") or which("clang++")):
            raise Unsupported("torch.compile needs a C++ compiler")
        torch.set_num_threads(1)
        self.workload, self.net, self.loss = workload, network(workload, weights), loss_of(workload)
        self.parameters = {name: value.detach() for name, value in self.net.named_parameters()}
        self.mean, self.variance = (
            {name: torch.zeros_like(value) for name, value in self.parameters.items()} for _ in range(2)
        )
        self.step = torch.zeros((), dtype=getattr(torch, workload.dtype))
        self.batches = batches(torch.from_numpy(X), torch.from_numpy(y), workload.batch)
        self.compiled = torch.compile(self._step, fullgraph=True, dynamic=False)

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for x, y in self.batches:
                self.compiled(x, y)

    def losses(self, epochs: int) -> list[float]:
        return [sum(self.compiled(x, y).item() for x, y in self.batches) / len(self.batches) for _ in range(epochs)]

    def _loss(self, parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return self.loss(torch.func.functional_call(self.net, parameters, (x,)), y)

    def _step(self, x: Tensor, y: Tensor) -> Tensor:
        gradient, loss = torch.func.grad_and_value(self._loss)(self.parameters, x, y)
        update: Any = {"sgd": self._sgd, "momentum": self._momentum, "adam": self._adam}[self.workload.optimizer]
        update(gradient)
        return loss

    def _sgd(self, gradient: dict[str, Tensor]) -> None:
        for name, value in self.parameters.items():
            value.sub_(gradient[name], alpha=self.workload.rate)

    def _momentum(self, gradient: dict[str, Tensor]) -> None:
        for name, value in self.parameters.items():
            velocity = self.mean[name].mul_(MOMENTUM).add_(gradient[name])
            value.sub_(velocity, alpha=self.workload.rate)

    def _adam(self, gradient: dict[str, Tensor]) -> None:
        self.step.add_(1)
        scale1, scale2 = self.workload.rate / (1 - 0.9**self.step), 1 / (1 - 0.999**self.step)
        for name, value in self.parameters.items():
            mean = self.mean[name].mul_(0.9).add_(gradient[name], alpha=0.1)
            variance = self.variance[name].mul_(0.999).addcmul_(gradient[name], gradient[name], value=0.001)
            value.sub_(scale1 * mean / ((variance * scale2).sqrt() + 1e-8))
