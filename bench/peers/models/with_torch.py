"""PyTorch, eager: fused Adam, the data in tensors before the clock starts, images in the memory format "channels last",
sequences with the time first, which is 1 to 6 % faster than `batch_first`."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bench.models import Convolution, Dense, Flatten, GlobalAverage, Layer, MaxPool, Model, Recurrent, Separable, Shape, Weights
from bench.peers import batches, with_torch
from bench.workloads import Array, Targets


class LastState(nn.Module):
    """The last state of an LSTM or a GRU, with zeros before the first step."""

    def __init__(self, layer: Recurrent, features: int, arrays: dict[str, Array]):
        super().__init__()
        kind = nn.LSTM if layer.gates == 4 else nn.GRU
        self.inner = kind(features, layer.units)
        fill(self.inner, {f"{name}_l0": array for name, array in gates(layer, arrays).items()})
        self._one_bias_a_gate(layer)

    def _one_bias_a_gate(self, layer: Recurrent) -> None:
        """PyTorch has two and adds them, so that Adam would move their sum twice as far as a single one."""
        if layer.gates == 4:
            self.inner.bias_hh_l0.requires_grad_(False)
        else:
            learnt = torch.ones(3, layer.units)
            learnt[:2] = 0
            self.inner.bias_hh_l0.register_hook(learnt.reshape(-1).mul)

    def forward(self, x: Tensor) -> Tensor:
        _, state = self.inner(x)
        return (state[0] if isinstance(state, tuple) else state)[0]


def gates(layer: Recurrent, arrays: dict[str, Array]) -> dict[str, Array]:
    """The weights under PyTorch's names. The second bias is 0 where cbp has one for both."""
    bias = arrays["bias"].reshape(-1)
    own = np.zeros_like(bias[: layer.gates * layer.units])
    if layer.gates == 3:
        own[-layer.units :] = arrays["bias"][3]
    return {
        "weight_ih": joined(arrays["weight"]), "weight_hh": joined(arrays["recurrent"]),
        "bias_ih": bias[: len(own)], "bias_hh": own,
    }


def joined(weight: Array) -> Array:
    """(inputs, gates, units) as PyTorch has it, (gates * units, inputs)."""
    return weight.reshape(len(weight), -1).T


def fill(module: nn.Module, arrays: dict[str, Array]) -> nn.Module:
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, array in arrays.items():
            parameters[name].copy_(torch.from_numpy(np.ascontiguousarray(array)))
    return module


def modules_of(layer: Layer, shape: Shape, arrays: dict[str, Array], before: Shape | None) -> list[nn.Module]:
    """PyTorch's modules for one layer; `before` is the image that was made flat to become its input, if one was."""
    if isinstance(layer, Convolution):
        convolution = nn.Conv2d(shape[-1], layer.filters, layer.size)
        return [fill(convolution, {"weight": arrays["weight"].transpose(3, 2, 0, 1), "bias": arrays["bias"]}), nn.ReLU()]
    if isinstance(layer, Separable):
        depthwise = nn.Conv2d(shape[-1], shape[-1], layer.size, padding="same", groups=shape[-1], bias=False)
        pointwise = nn.Conv2d(shape[-1], layer.filters, 1)
        return [
            fill(depthwise, {"weight": arrays["depthwise"].transpose(2, 0, 1)[:, None]}),
            fill(pointwise, {"weight": arrays["pointwise"].T[:, :, None, None], "bias": arrays["bias"]}), nn.ReLU(),
        ]
    if isinstance(layer, MaxPool):
        return [nn.MaxPool2d(layer.size)]
    if isinstance(layer, GlobalAverage):
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    if isinstance(layer, Recurrent):
        return [LastState(layer, shape[-1], arrays)]
    if isinstance(layer, Dense):
        weight = arrays["weight"]
        if before:  # PyTorch flattens channels first
            weight = weight.reshape(*before, -1).transpose(2, 0, 1, 3).reshape(weight.shape)
        linear = fill(nn.Linear(*weight.shape), {"weight": weight.T, "bias": arrays["bias"]})
        return [linear, nn.ReLU()] if layer.activation == "relu" else [linear]
    return [nn.Flatten()]


def network(model: Model, weights: Weights) -> nn.Sequential:
    """The net without a softmax at its end."""
    modules: list[nn.Module] = []
    flattened: Shape | None = None
    for (layer, shape), arrays in zip(model.with_shapes(), weights, strict=True):
        modules += modules_of(layer, shape, arrays, flattened)
        flattened = shape if isinstance(layer, Flatten) else None
    net = nn.Sequential(*modules).to(getattr(torch, model.dtype))
    return net.to(memory_format=torch.channels_last) if len(model.shape) == 3 else net


def loaded(model: Model, X: Array, y: Targets) -> list[tuple[Tensor, Tensor]]:
    """The batches as PyTorch takes them: images are (samples, channels, height, width), with the channels last in memory,
    sequences (time, samples, features)."""
    pairs = batches(torch.from_numpy(X), torch.from_numpy(y), model.batch)
    images = len(model.shape) == 3
    return [(x.permute(0, 3, 1, 2) if images else x.transpose(0, 1).contiguous(), labels) for x, labels in pairs]


class Trainer(with_torch.Trainer):
    network = staticmethod(network)

    def __init__(self, model: Model, X: Array, y: Targets, weights: Weights):
        super().__init__(model, X, y, weights)
        self.batches = loaded(model, X, y)


class Stepper:
    """A cell, which is faster than a sequence of one step."""

    def __init__(self, model: Model, weights: Weights):
        torch.set_num_threads(1)
        layer = model.layers[0]
        self.lstm = layer.gates == 4
        self.cell = fill((nn.LSTMCell if self.lstm else nn.GRUCell)(model.shape[-1], layer.units), gates(layer, weights[0]))
        zeros = torch.zeros(1, layer.units)
        self.state = (zeros, zeros) if self.lstm else zeros

    @torch.inference_mode()
    def step(self, x: Array) -> Array:
        self.state = self.cell(torch.from_numpy(x)[None], self.state)
        return (self.state[0] if self.lstm else self.state).numpy()[0]
