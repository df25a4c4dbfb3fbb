"""PyTorch, compiled: loss, gradient and update are one graph without a break, called from compiled code.

Tried and slower: compiling only the loss, with the fused optimizer beside it. Without recurrences: Dynamo, which makes the
graph, does not take LSTM and GRU.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from bench.models import Model, Recurrent, Weights
from bench.peers import with_torch_compile
from bench.peers.models.with_torch import loaded, network
from bench.unsupported import Unsupported
from bench.workloads import Array, Targets


class Trainer(with_torch_compile.Trainer):
    def __init__(self, model: Model, X: Array, y: Targets, weights: Weights):
        if any(isinstance(layer, Recurrent) for layer in model.layers):
            raise Unsupported("torch.compile does not take nn.LSTM and nn.GRU")
        net = network(model, weights)
        names = [name for name, _ in net.named_parameters()]
        self.state = with_torch_compile.beginning([parameter.detach() for parameter in net.parameters()])
        self.batches = loaded(model, X, y)

        def loss_of(parameters: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
            values = dict(zip(names, parameters, strict=True))
            return functional.cross_entropy(torch.func.functional_call(net, values, (x,)), y)

        self.step = with_torch_compile.compiled(model, loss_of)
