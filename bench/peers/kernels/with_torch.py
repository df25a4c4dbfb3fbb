"""PyTorch, eager, on the networks of cbp's layers: each becomes a module that does the same.

Pictures and sequences have the channels last, as in cbp: around PyTorch's own layers they are permuted, which moves nothing and
gives these the memory format "channels last".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.kernels import Kernel
from bench.peers import batches, with_torch
from bench.unsupported import Unsupported
from bench.workloads import Array, Targets
from cbp import activations, optimizers
from cbp import layers as of

LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean_squared_error": functional.mse_loss,
    "half_squared_error": lambda output, y: functional.mse_loss(output, y, reduction="sum") * (0.5 / (y.numel() / y.shape[-1])),
    "mean_absolute_error": functional.l1_loss,
    "huber": functional.huber_loss,
    "binary_cross_entropy": functional.binary_cross_entropy_with_logits,
    "cross_entropy": lambda output, y: functional.cross_entropy(output.flatten(0, -2), y.flatten()),
    "poisson": lambda output, y: functional.poisson_nll_loss(output, y, log_input=False),
    "hinge": lambda output, y: (1 - y * output).clamp(min=0).mean(),
}
LOGITS = {"binary_cross_entropy": "sigmoid", "cross_entropy": "softmax"}
"""Losses that take the output before the activation."""
OPTIMIZERS: dict[type, Callable[[Any, Any], torch.optim.Optimizer]] = {
    optimizers.SGD: lambda p, one: torch.optim.SGD(p, one.rate, one.momentum, nesterov=one.nesterov, fused=True),
    optimizers.Adam: lambda p, one: torch.optim.Adam(p, one.rate, (one.beta1, one.beta2), one.epsilon, fused=True),
    optimizers.AdamW: lambda p, one: torch.optim.AdamW(
        decayed(p, one.weight_decay), one.rate, (one.beta1, one.beta2), one.epsilon, fused=True),
    optimizers.RMSprop: lambda p, one: torch.optim.RMSprop(p, one.rate, one.rho, one.epsilon, foreach=True),
    optimizers.Adagrad: lambda p, one: torch.optim.Adagrad(p, one.rate, eps=one.epsilon, fused=True),
}
SPARSE = {optimizers.SGD: lambda p, one: torch.optim.SGD(p, one.rate)}
"""Where gradients are sparse, which the fused ones refuse."""


def activation_of(name: str) -> nn.Module:
    row = activations.ACTIVATIONS[name]
    if name == "identity":
        return nn.Identity()
    if row.pytorch is None:
        raise Unsupported(f"no module of PyTorch's is known for {name}")
    return nn.Softmax(dim=-1) if row.joint else getattr(nn, row.pytorch)()


def decayed(parameters: list[nn.Parameter], decay: float) -> list[dict[str, Any]]:
    """cbp does not let biases decay."""
    return [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
            {"params": [p for p in parameters if p.ndim == 1], "weight_decay": 0.0}]


class Around(nn.Module):
    """A module of PyTorch's, which has the channels first, between numbers that have them last."""

    def __init__(self, inner: nn.Module):
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x.movedim(-1, 1)).movedim(1, -1)


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]):
        super().__init__()
        self.forward = function


class Recurrence(nn.Module):
    """A recurrent layer, its output of every step or of the last one."""

    def __init__(self, layer: Any, inner: nn.Module):
        super().__init__()
        self.layer, self.inner = layer, inner

    def forward(self, x: Tensor) -> Tensor:
        if self.layer.reverse:
            x = x.flip(1)
        outputs, _ = self.inner(x)
        if not self.layer.return_sequences:
            return outputs[:, -1]
        return outputs.flip(1) if self.layer.reverse else outputs


class Sides(nn.Module):
    def __init__(self, *sides: nn.Module):
        super().__init__()
        self.sides = nn.ModuleList(sides)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([side(x) for side in self.sides], dim=-1)


class Block(nn.Module):
    def __init__(self, inside: nn.Module, around: nn.Module, activation: str):
        super().__init__()
        self.inside, self.around, self.activation = inside, around, activation_of(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.inside(x) + self.around(x))


def filled(module: nn.Module, **arrays: Array) -> nn.Module:
    with torch.no_grad():
        for name, array in arrays.items():
            getattr(module, name).copy_(torch.from_numpy(np.ascontiguousarray(array)))
    return module


def convolution(layer: Any, channels: int, filters: int, groups: int, arrays: dict[str, Array]) -> nn.Module:
    kind, kernel = (nn.Conv1d, 1) if isinstance(layer, of.Conv1D) else (nn.Conv2d, 2)
    inner = kind(channels, filters, layer.kernel_size, layer.stride, padding=layer.padding, dilation=layer.dilation,
                 groups=groups, bias="bias" in arrays)
    weight = np.moveaxis(arrays.pop("weight"), (-1, -2), (0, 1)).reshape(filters, channels // groups, *(inner.kernel_size))
    return Around(filled(inner, weight=weight, **arrays).to(memory_format=torch.channels_last if kernel == 2
                                                          else torch.preserve_format))


def depthwise(layer: Any, shape: tuple[int, ...], arrays: dict[str, Array]) -> nn.Module:
    weight = arrays["weight"].reshape(*arrays["weight"].shape[:2], 1, -1)
    return convolution(layer, shape[-1], weight.shape[-1], shape[-1], arrays | {"weight": weight})


def separable(layer: Any, shape: tuple[int, ...], arrays: dict[str, Array]) -> nn.Module:
    pointwise = nn.Linear(*arrays["pointwise"].shape)
    return nn.Sequential(depthwise(layer, shape, {"weight": arrays["depthwise"]}),
                         filled(pointwise, weight=arrays["pointwise"].T, bias=arrays["bias"]))


def dense(layer: Any, shape: tuple[int, ...], arrays: dict[str, Array]) -> nn.Module:
    inner = nn.Linear(shape[-1], layer.units, bias=layer.bias)
    return filled(inner, **(arrays | {"weight": arrays["weight"].T}))


def recurrence(layer: Any, shape: tuple[int, ...], arrays: dict[str, Array]) -> nn.Module:
    """PyTorch has two biases for a gate; one of them stays 0, but for the new state of a GRU."""
    if layer.bptt is not None:
        raise Unsupported("PyTorch's layers do not truncate")
    kind = {of.RNN: nn.RNN, of.LSTM: nn.LSTM, of.GRU: nn.GRU}[type(layer)]
    inner = kind(shape[-1], layer.units, batch_first=True)
    bias = arrays["bias"].reshape(-1)
    own = np.zeros_like(bias[: inner.bias_hh_l0.numel()])
    learnt = torch.zeros(len(own))
    if kind is nn.GRU:
        own[-layer.units :] = arrays["bias"][3]
        learnt[-layer.units :] = 1
    filled(inner, weight_ih_l0=arrays["weight"].reshape(shape[-1], -1).T,
           weight_hh_l0=arrays["recurrent"].reshape(layer.units, -1).T, bias_ih_l0=bias[: len(own)], bias_hh_l0=own)
    inner.bias_hh_l0.register_hook(learnt.mul)
    return Recurrence(layer, inner)


def bidirectional(layer: Any, shape: tuple[int, ...], arrays: dict[str, Array]) -> nn.Module:
    return Sides(*(recurrence(side, shape, inside(arrays, name)) for name, side in layer.sides.items()))


def residual(layer: Any, shape: tuple[int, ...], arrays: dict[str, Array]) -> nn.Module:
    around = layer.projection(shape)
    way = nn.Identity() if around is None else module_of(around, shape, inside(arrays, "skip"))
    return Block(nn.Sequential(*modules(layer.layers, shape, arrays)), way, layer.activation)


def pool(kind: type, layer: Any) -> nn.Module:
    return Around(kind(layer.size, layer.stride, layer.padding if layer.padding != "valid" else 0))


MODULES: dict[type, Callable[[Any, tuple[int, ...], dict[str, Array]], nn.Module]] = {
    of.Dense: dense,
    of.Conv1D: lambda layer, shape, arrays: convolution(layer, shape[-1], layer.filters, layer.groups, arrays),
    of.Conv2D: lambda layer, shape, arrays: convolution(layer, shape[-1], layer.filters, layer.groups, arrays),
    of.DepthwiseConv2D: depthwise,
    of.SeparableConv2D: separable,
    of.MaxPool1D: lambda layer, shape, arrays: pool(nn.MaxPool1d, layer),
    of.MaxPool2D: lambda layer, shape, arrays: pool(nn.MaxPool2d, layer),
    of.AveragePool1D: lambda layer, shape, arrays: pool(nn.AvgPool1d, layer),
    of.AveragePool2D: lambda layer, shape, arrays: pool(nn.AvgPool2d, layer),
    of.GlobalMaxPool: lambda layer, shape, arrays: Function(lambda x: x.flatten(1, -2).amax(1)),
    of.GlobalAveragePool: lambda layer, shape, arrays: Function(lambda x: x.flatten(1, -2).mean(1)),
    of.BatchNorm: lambda layer, shape, arrays: (
        Around(nn.BatchNorm2d(shape[-1])) if len(shape) > 1 else nn.BatchNorm1d(shape[-1])),
    of.LayerNorm: lambda layer, shape, arrays: nn.LayerNorm(shape[-1]),
    of.Dropout: lambda layer, shape, arrays: nn.Dropout(layer.rate),
    of.GaussianNoise: lambda layer, shape, arrays: Function(lambda x: x + layer.deviation * torch.randn_like(x)),
    of.Embedding: lambda layer, shape, arrays: filled(
        nn.Embedding(layer.vocabulary, layer.units, sparse=layer.sparse), weight=arrays["weight"]),
    of.RNN: recurrence,
    of.LSTM: recurrence,
    of.GRU: recurrence,
    of.Bidirectional: bidirectional,
    of.Residual: residual,
    of.Flatten: lambda layer, shape, arrays: nn.Flatten(),
    of.Reshape: lambda layer, shape, arrays: Function(lambda x: x.reshape(len(x), *layer.output_shape(shape))),
}


def inside(arrays: dict[str, Array], name: str) -> dict[str, Array]:
    """Those of the arrays that belong to one layer, by what follows its name."""
    return {key.removeprefix(f"{name}."): array for key, array in arrays.items() if key.startswith(f"{name}.")}


def module_of(layer: of.Layer, shape: tuple[int, ...], arrays: dict[str, Array]) -> nn.Module:
    """The layer without its activation, but for a recurrent or a residual one."""
    make = MODULES.get(type(layer))
    if make is None:
        raise Unsupported(f"no module of PyTorch's is known for {type(layer).__name__}")
    return make(layer, shape, arrays)


def modules(layers: tuple[of.Layer, ...], shape: tuple[int, ...], arrays: dict[str, Array]) -> Iterator[nn.Module]:
    for index, layer in enumerate(layers):
        yield module_of(layer, shape, inside(arrays, str(index)))
        if not isinstance(layer, (of.Residual, of.RNN)):
            yield activation_of(getattr(layer, "activation", "identity"))
        shape = layer.output_shape(shape)


class Trainer(with_torch.Trainer):
    def __init__(self, kernel: Kernel, X: Array, y: Targets, weights: dict[str, Array]):
        torch.set_num_threads(1)
        rules = SPARSE if any(getattr(layer, "sparse", False) for layer in kernel.layers) else OPTIMIZERS
        if kernel.loss not in LOSSES or type(kernel.optimizer) not in rules:
            raise Unsupported(f"no counterpart in PyTorch is known for {kernel.loss} or {kernel.optimizer}")
        if kernel.optimizer.weight_decay and not isinstance(kernel.optimizer, optimizers.AdamW):
            raise Unsupported("PyTorch's other decays are part of the gradient")
        if kernel.lengths is not None:
            raise Unsupported("packed sequences are another way to store the data")
        made = list(modules(kernel.layers, kernel.shape, weights))
        if LOGITS.get(kernel.loss) == getattr(kernel.layers[-1], "activation", None):
            made.pop()
        self.net, self.loss = nn.Sequential(*made), LOSSES[kernel.loss]
        self.optimizer = rules[type(kernel.optimizer)](list(self.net.parameters()), kernel.optimizer)
        self.batches = batches(torch.from_numpy(X), torch.from_numpy(y), kernel.batch)
