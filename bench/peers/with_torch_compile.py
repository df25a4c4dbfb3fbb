"""PyTorch, compiled: loss, gradient and update are one graph without a break, called from compiled code.

Tried and slower: compiling only the loss, with the fused optimizer beside it (3 to 4 times on small nets), and leaving
the call of the kernels to Python.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from shutil import which

import torch
from torch import Tensor
from torch._inductor import config
from torch.nn import functional

from bench.peers import batches
from bench.peers.with_torch import loss_of
from bench.unsupported import Unsupported
from bench.workloads import MOMENTUM, Array, Targets, Workload

config.cpp_wrapper = True
ACTIVATE = {"relu": functional.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid}
Parameters = list[Tensor]  # weight, bias, weight, bias, ...
State = tuple[Parameters, Parameters, Parameters, Tensor]  # parameters, mean (or momentum), variance, step
Step = Callable[[State, Tensor, Tensor], Tensor]


class Trainer:
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        arrays = [array for weight in weights for array in (weight.T.copy(), 0 * weight[0])]
        self.state = beginning([torch.from_numpy(array) for array in arrays])
        self.batches = batches(torch.from_numpy(X), torch.from_numpy(y), workload.batch)
        self.step = compiled_step(workload)

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for x, y in self.batches:
                self.step(self.state, x, y)

    def losses(self, epochs: int) -> list[float]:
        return [sum(self.step(self.state, x, y).item() for x, y in self.batches) / len(self.batches) for _ in range(epochs)]


def beginning(parameters: Parameters) -> State:
    if not (which("g++") or which("clang++")):
        raise Unsupported("torch.compile needs a C++ compiler")
    torch.set_num_threads(1)
    mean, variance = ([torch.zeros_like(value) for value in parameters] for _ in range(2))
    # The step is counted in float32 for float64 nets too: with a float64 count PyTorch 2.13's compiled losses were NaN.
    return parameters, mean, variance, torch.zeros((), dtype=torch.float32)


@cache
def compiled_step(workload: Workload) -> Step:
    loss, activate = loss_of(workload), ACTIVATE[workload.hidden]

    def loss_of_parameters(parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        *hidden, weight, bias = parameters
        for inner_weight, inner_bias in zip(hidden[::2], hidden[1::2], strict=True):
            x = activate(functional.linear(x, inner_weight, inner_bias))
        return loss(functional.linear(x, weight, bias), y)

    return compiled(workload, loss_of_parameters)


def compiled(workload: Workload, loss_of_parameters: Callable[[Parameters, Tensor, Tensor], Tensor]) -> Step:
    update = {"sgd": sgd, "momentum": momentum, "adam": adam}[workload.optimizer]

    def step(state: State, x: Tensor, y: Tensor) -> Tensor:
        gradient, loss = torch.func.grad_and_value(loss_of_parameters)(state[0], x, y)
        update(state, gradient, workload.rate)
        return loss

    return torch.compile(step, fullgraph=True, dynamic=False)


def sgd(state: State, gradient: Parameters, rate: float) -> None:
    for value, slope in zip(state[0], gradient, strict=True):
        value.sub_(slope, alpha=rate)


def momentum(state: State, gradient: Parameters, rate: float) -> None:
    for value, velocity, slope in zip(state[0], state[1], gradient, strict=True):
        value.sub_(velocity.mul_(MOMENTUM).add_(slope), alpha=rate)


def adam(state: State, gradient: Parameters, rate: float) -> None:
    *arrays, step = state
    step.add_(1)
    scale1, scale2 = rate / (1 - 0.9**step), 1 / (1 - 0.999**step)
    for value, mean, variance, slope in zip(*arrays, gradient, strict=True):
        mean.mul_(0.9).add_(slope, alpha=0.1)
        variance.mul_(0.999).addcmul_(slope, slope, value=0.001)
        value.sub_(scale1 * mean / ((variance * scale2).sqrt() + 1e-8))
