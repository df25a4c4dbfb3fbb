"""What each of PyTorch's modules becomes: one function for every kind, and the tables of all."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from cbp import layers
from cbp.activations import ACTIVATIONS, Activation
from cbp.layers.base import Layer
from cbp.pytorch.way import Array, Module, Placed, Way, numbers_of

INCREASING = frozenset(name for name, row in ACTIVATIONS.items() if row.increasing)
"""The largest of some numbers is the largest after these too, so they may come before a maximum as well as behind it."""
HOMOGENEOUS = frozenset(name for name, row in ACTIVATIONS.items() if row.homogeneous)
"""f(c x) = c f(x) for c >= 0: the same before and behind a Dropout, which scales."""
ELEMENTWISE = frozenset(name for name, row in ACTIVATIONS.items() if not row.joint)


def _only(module: Module, **usual: object) -> None:
    """Refuse every option that is not as it usually is."""
    for name, value in usual.items():
        given = getattr(module, name)
        if given != value:
            raise ValueError(f"{name}={given!r} has no counterpart in cbp, which knows {name}={value!r}")


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)


def _linear(way: Way, module: Module) -> None:
    if way.channels_first and way.order is None and len(way.torch_shape) > 1:
        raise ValueError(f"it would act on the last axis of {way.torch_shape}, which cbp has in another place; put a Flatten "
                         "before it")
    way.features("in_features", module.in_features)
    layer = layers.Dense(module.out_features, bias=module.bias is not None)
    way.add(layer, weight=way.in_order(module.weight.T), bias=_bias(module))
    way.order, way.channels_first = None, False


def _bias(module: Module) -> Array | None:
    return None if module.bias is None else numbers_of(module.bias)


def _convolution(way: Way, module: Module) -> None:
    axes = len(module.kernel_size)
    _only(module, padding_mode="zeros")
    way.positions(axes)
    way.features("in_channels", module.in_channels)
    how: dict[str, Any] = {
        "stride": _single(module.stride), "padding": _padding(module.padding), "dilation": _single(module.dilation),
        "bias": module.bias is not None,
    }
    size = _single(module.kernel_size)
    weight = np.moveaxis(numbers_of(module.weight), (0, 1), (-1, -2))  # (..., inputs of a group, filters)
    if axes == 2 and module.groups == module.in_channels > 1:
        layer: Layer = layers.DepthwiseConv2D(size, multiplier=module.out_channels // module.in_channels, **how)
        weight = weight[..., 0, :]
    else:
        kind = layers.Conv1D if axes == 1 else layers.Conv2D
        layer = kind(module.out_channels, size, groups=module.groups, **how)
    way.add(layer, weight=weight, bias=_bias(module))


def _padding(value: Any) -> Any:
    if isinstance(value, str):
        return value
    return _single(_numbers(value)) if any(_numbers(value)) else "valid"


def _single(numbers: tuple[int, ...]) -> Any:
    """The number of one axis, or those of two."""
    return numbers[0] if len(numbers) == 1 else numbers


def _pool(way: Way, module: Module) -> None:
    name = type(module).__name__
    largest, axes = name.startswith("Max"), int(name[-2])
    _only(module, ceil_mode=False)
    if largest:
        _only(module, return_indices=False)
        if set(_numbers(module.dilation)) != {1}:
            _only(module, dilation=1)
    elif any(_numbers(module.padding)):
        _only(module, count_include_pad=False)
    if not largest and axes == 2:
        _only(module, divisor_override=None)
    way.positions(axes)
    kind = getattr(layers, f"{'Max' if largest else 'Average'}Pool{axes}D")
    size, stride = (_single(_numbers(value)) for value in (module.kernel_size, module.stride))
    way.add_between(kind(size, stride=stride, padding=_padding(module.padding)), INCREASING if largest else frozenset())


def _adaptive_pool(way: Way, module: Module) -> None:
    name = type(module).__name__
    largest, axes = "Max" in name, int(name[-2])
    if largest:
        _only(module, return_indices=False)
    way.positions(axes)
    passes = INCREASING if largest else frozenset()
    given = _numbers(module.output_size) * (axes if not isinstance(module.output_size, tuple) else 1)
    wanted = tuple(there if size is None else size for size, there in zip(given, way.shape, strict=False))
    if set(wanted) == {1}:
        way.add_between(layers.GlobalMaxPool() if largest else layers.GlobalAveragePool(), passes)
        way.ones = axes
        return
    if any(there % size for size, there in zip(wanted, way.shape, strict=False)):
        raise ValueError(f"output_size={module.output_size!r} does not divide the size of {way.torch_shape}; cbp's windows all "
                         "have one size")
    size = tuple(there // size for size, there in zip(wanted, way.shape, strict=False))
    kind = getattr(layers, f"{'Max' if largest else 'Average'}Pool{axes}D")
    way.add_between(kind(_single(size)), passes)


def _flatten(way: Way, module: Module) -> None:
    axes = len(way.torch_shape)
    start, end = module.start_dim, module.end_dim % (axes + 1)
    if (start, end) == (2, axes) and axes == 3 and way.channels_first:
        way.unsqueeze()
        way.add_between(layers.Reshape((prod(way.shape[:-1]), way.shape[-1])), frozenset(ACTIVATIONS))
        return
    if (start, end) != (1, axes):
        raise ValueError(f"start_dim={module.start_dim} and end_dim={module.end_dim} have no counterpart in cbp, which "
                         "flattens all axes of a sample")
    if way.ones:  # cbp's pooling has flattened already
        way.ones, way.channels_first = 0, False
        return
    if len(way.shape) == 1:
        return
    if way.channels_first:
        order = np.moveaxis(np.arange(prod(way.shape)).reshape(way.shape), -1, 0).reshape(-1)
        way.order = None if (np.diff(order) == 1).all() else order
    way.channels_first = False
    way.add_between(layers.Flatten(), frozenset(ACTIVATIONS) if prod(way.shape[:-1]) == 1 else ELEMENTWISE)


def _recurrence(way: Way, module: Module) -> None:
    name = type(module).__name__
    _only(module, batch_first=True, proj_size=0)
    way.unsqueeze()
    if len(way.shape) != 2:
        raise ValueError(f"it takes (time, features), but what comes here has the shape {way.torch_shape} a sample")
    way.features("input_size", module.input_size)
    way.channels_first = False
    how: dict[str, Any] = {"bias": module.bias}
    if name == "RNN":
        how["activation"] = module.nonlinearity
    to_the_last_step = _hands_on_last_step(way.rest)
    for index in range(module.num_layers):
        last = index == module.num_layers - 1
        layer = getattr(layers, name)(module.hidden_size, return_sequences=not (last and to_the_last_step), **how)
        arrays = _recurrent_arrays(module, f"l{index}")
        if module.bidirectional:
            layer = layers.Bidirectional(layer)
            backward = _recurrent_arrays(module, f"l{index}_reverse")
            arrays = {f"forward__{key}": value for key, value in arrays.items()}
            arrays |= {f"backward__{key}": value for key, value in backward.items()}
        way.add(layer, **arrays)
        if module.dropout and not last:
            way.add(layers.Dropout(module.dropout))


def _hands_on_last_step(rest: list[Placed]) -> bool:
    """Whether a Linear follows, with nothing before it that needs all steps."""
    for _, module in rest:
        name = type(module).__name__
        if name == "Linear":
            return True
        if name not in ("Dropout", "Identity", "LayerNorm", "GroupNorm", "BatchNorm1d", "PReLU") and name not in FOLDED:
            return False
    return False


def _recurrent_arrays(module: Module, suffix: str) -> dict[str, Array]:
    """The parameters of one layer in one direction."""
    gates, units = getattr(layers, type(module).__name__).GATES, module.hidden_size
    inner = (gates, units) if gates > 1 else (units,)

    def weight(name: str) -> Array:
        array = numbers_of(getattr(module, f"{name}_{suffix}")).T
        return array.reshape(len(array), *inner)

    arrays = {"weight": weight("weight_ih"), "recurrent": weight("weight_hh")}
    if module.bias:
        given, own = (numbers_of(getattr(module, f"bias_{side}_{suffix}")).reshape(inner) for side in ("ih", "hh"))
        both = given + own
        arrays["bias"] = np.concatenate([both[:2], given[2:], own[2:]]) if type(module).__name__ == "GRU" else both
    return arrays


def _embedding(way: Way, module: Module) -> None:
    _only(module, padding_idx=None, max_norm=None, scale_grad_by_freq=False)
    if way.layers:
        raise ValueError("an Embedding must be the first module")
    layer = layers.Embedding(module.num_embeddings, module.embedding_dim, sparse=module.sparse)
    way.add(layer, weight=numbers_of(module.weight))


def _batch_norm(way: Way, module: Module) -> None:
    _only(module, affine=True, track_running_stats=True)
    if module.momentum is None:
        raise ValueError("momentum=None, a plain mean of all batches, has no counterpart in cbp; give it a number")
    if type(module).__name__ == "BatchNorm2d":
        way.positions(2)
    elif len(way.torch_shape) > 1:
        way.positions(1)
    way.features("num_features", module.num_features)
    names = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
    layer = layers.BatchNorm(momentum=module.momentum, epsilon=module.eps)
    way.add(layer, **{name: way.in_order(getattr(module, theirs)) for name, theirs in names.items()})


def _layer_norm(way: Way, module: Module) -> None:
    _only(module, elementwise_affine=True)
    if module.bias is None:
        raise ValueError("bias=False has no counterpart in cbp, whose LayerNorm has a shift")
    if len(module.normalized_shape) != 1 or (way.channels_first and len(way.torch_shape) > 1):
        raise ValueError(f"normalized_shape={tuple(module.normalized_shape)} of {way.torch_shape}: cbp normalizes over the "
                         "features of a step or of a sample, PyTorch's last axis behind a recurrence, a Linear or a Flatten")
    way.features("normalized_shape", module.normalized_shape[0])
    layer = layers.LayerNorm(epsilon=module.eps)
    way.add(layer, scale=way.in_order(module.weight), shift=way.in_order(module.bias))


def _group_norm(way: Way, module: Module) -> None:
    _only(module, affine=True)
    if way.channel_axis != 1 or (way.order is not None and module.num_groups > 1):
        raise ValueError(f"num_groups={module.num_groups} of {way.torch_shape}: PyTorch's groups lie on the first axis of a "
                         "sample, cbp's on the last, which has other neighbours behind a Flatten")
    way.features("num_channels", module.num_channels)
    layer = layers.GroupNorm(module.num_groups, epsilon=module.eps)
    way.add(layer, scale=way.in_order(module.weight), shift=way.in_order(module.bias))


def _prelu(way: Way, module: Module) -> None:
    """One slope for all numbers becomes one a channel, all equal."""
    count = module.num_parameters
    if count == 1:
        way.add(layers.PReLU(), slope=np.full(way.shape[-1:], numbers_of(module.weight)))
        return
    if way.channel_axis != 1:
        raise ValueError(f"num_parameters={count} of {way.torch_shape}: PyTorch's slopes belong to the first axis of a sample, "
                         "cbp's to the last, the features; num_parameters=1 is the same in both")
    way.features("num_parameters", count)
    way.add(layers.PReLU(), slope=way.in_order(module.weight))


def _dropout(way: Way, module: Module) -> None:
    way.add_between(layers.Dropout(module.p), HOMOGENEOUS)


def _identity(way: Way, module: Module) -> None:
    """Nothing to do."""


def _activation(row: Activation) -> Callable[[Way, Module], None]:
    def fold(way: Way, module: Module) -> None:
        if row.joint:
            _over_channels(way, module, row.name)
        _only(module, **row.pytorch_options)
        way.activate(row.name)

    return fold


def _over_channels(way: Way, module: Module, name: str) -> None:
    """Refuse another axis than that of the units."""
    axes = len(way.torch_shape) + 1
    dim = way.channel_axis if module.dim is None and axes in (2, 4) else module.dim
    if dim is None or dim % axes != way.channel_axis:
        raise ValueError(f"dim={module.dim} of {way.torch_shape} a sample; cbp's {name} is one over the channels, "
                         f"dim={way.channel_axis}")


FOLDED = {row.pytorch: _activation(row) for row in ACTIVATIONS.values() if row.pytorch}
KNOWN: dict[str, Callable[[Way, Module], None]] = {
    "Linear": _linear,
    "Conv1d": _convolution, "Conv2d": _convolution,
    "MaxPool1d": _pool, "MaxPool2d": _pool, "AvgPool1d": _pool, "AvgPool2d": _pool,
    "AdaptiveAvgPool1d": _adaptive_pool, "AdaptiveAvgPool2d": _adaptive_pool,
    "AdaptiveMaxPool1d": _adaptive_pool, "AdaptiveMaxPool2d": _adaptive_pool,
    "Flatten": _flatten,
    "RNN": _recurrence, "LSTM": _recurrence, "GRU": _recurrence,
    "Embedding": _embedding,
    "BatchNorm1d": _batch_norm, "BatchNorm2d": _batch_norm, "LayerNorm": _layer_norm, "GroupNorm": _group_norm, "PReLU": _prelu,
    "Dropout": _dropout, "Identity": _identity,
    **FOLDED,
}


def convert(way: Way, module: Module, torch: Any) -> None:
    """Go through a module; raises ValueError or TypeError where cbp has nothing like it."""
    name = type(module).__name__
    if name not in KNOWN or type(module) is not getattr(torch.nn, name):
        raise ValueError(f"this module has no counterpart in cbp, which knows {', '.join(KNOWN)}")
    KNOWN[name](way, module)
