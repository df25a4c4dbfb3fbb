"""What each of PyTorch's modules becomes: one function for every kind, and the tables of all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from cbp import layers
from cbp.activations import ACTIVATIONS, Activation
from cbp.layers.base import Shape
from cbp.pytorch.given import unknown
from cbp.pytorch.options import only
from cbp.pytorch.way import Array, Module, Placed, Way, numbers_of
from cbp.pytorch.windows import adaptive_pool, convolution, padding, pool

HOMOGENEOUS = frozenset(name for name, row in ACTIVATIONS.items() if row.homogeneous)
"""f(c x) = c f(x) for c >= 0: the same before and behind a Dropout, which scales."""


def _linear(way: Way, module: Module) -> None:
    way.last_axis("in_features", module.in_features)
    weight, bias = numbers_of(module.weight).T, None if module.bias is None else numbers_of(module.bias)
    if way.arrange(way.as_in_pytorch):
        way.add(layers.Dense(module.out_features, bias=bias is not None), weight=way.in_order(module.weight.T), bias=bias)
    elif way.rank == 2:  # of (length, channels) it reads the length: as an image, of which a window holds all of the height
        length, channels = way.shape
        way.reshape((length, channels, 1), way.axes)
        way.add(layers.Conv2D(module.out_features, (length, 1), bias=bias is not None), weight=weight[:, None, None], bias=bias)
        way.reshape(way.shape[1:], way.as_in_pytorch)
    else:
        raise ValueError(f"it would act on the last axis of {way.torch_shape}, which cbp has in another place; put a Flatten "
                         "before it")
    way.order, way.channels = None, False


def _flatten(way: Way, module: Module) -> None:
    axes = way.rank + 1
    start, end = module.start_dim % axes, module.end_dim % axes
    merged = range(start - 1, end)
    if start and len(merged) == 1:
        return
    if start and len(merged) == way.rank:
        way.flatten()
        return
    block, long = way.long(tuple(merged)), way.long(way.axes)
    if not start or (block and long[long.index(block[0]) :][: len(block)] != block):
        raise ValueError(f"start_dim={module.start_dim} and end_dim={module.end_dim} of {way.torch_shape} have no counterpart "
                         "in cbp, which has the channels last; flatten all axes of a sample")
    sizes = way.torch_shape
    shape: list[int] = []
    left: list[int] = []
    for axis in way.axes:
        if axis in merged and axis != (block or merged)[0]:
            continue
        left.append(start - 1 if axis in merged else axis - (len(merged) - 1) * (axis >= end))
        shape.append(prod(sizes[start - 1 : end]) if axis in merged else sizes[axis])
    way.rank -= len(merged) - 1
    way.reshape(tuple(shape), tuple(left))


def _unflatten(way: Way, module: Module) -> None:
    given, sizes = module.dim, module.unflattened_size
    dim = given % (way.rank + 1)
    if dim == 0 or way.order is not None:
        raise ValueError(f"dim={given} of {way.torch_shape} has no counterpart in cbp, which has the samples first, and the "
                         "numbers of a Flatten in another order; let a Linear come between a Flatten and an Unflatten")
    axis, more = dim - 1, len(sizes) - 1
    length = way.size(axis)
    known = -prod(sizes) if -1 in sizes else prod(sizes)
    sizes = tuple(length // known if size == -1 else size for size in sizes)
    if prod(sizes) != length:
        raise ValueError(f"unflattened_size={module.unflattened_size} does not hold the {length} numbers of an axis of "
                         f"{way.torch_shape}")
    shape: list[int] = []
    axes: list[int] = []
    for before in way.axes:
        if before == axis:
            axes += range(axis, axis + more + 1)
            shape += sizes
        else:
            axes.append(before + more * (before > axis))
            shape.append(way.size(before))
    way.rank += more
    way.reshape(tuple(shape), tuple(axes))
    way.channels = bool(way.channels) and axis > 0


def _recurrence(way: Way, module: Module) -> None:
    name = type(module).__name__
    only(module, batch_first=True, proj_size=0)
    if way.rank != 2:
        raise ValueError(f"it takes (time, features), but what comes here has the shape {way.torch_shape} a sample")
    if way.channels:
        channels, positions = way.torch_shape
        if not way.arrange(way.channels_last) or channels != module.input_size:
            raise ValueError(f"input_size={module.input_size} of {way.torch_shape}: behind a module that takes (channels, "
                             f"length) the {positions} positions are the steps of a recurrence, and the {channels} channels, "
                             "which cbp must have last, its features, as behind a transpose(1, 2) in PyTorch; put it before "
                             "the modules that act on axis 1")
    else:
        way.arrange(way.as_in_pytorch)
        way.last_axis("input_size", module.input_size)
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
    way.channels, way.rank = False if to_the_last_step else None, len(way.shape)
    way.axes = way.as_in_pytorch


def _hands_on_last_step(rest: list[Placed]) -> bool:
    """Whether a Linear follows, with nothing before it that needs all steps."""
    names = [type(module).__name__ for _, module in rest]
    other = next((name for name in names if name not in KNOWN or not KNOWN[name].same_shape), None)
    return other == "Linear"


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
    only(module, padding_idx=None, max_norm=None, scale_grad_by_freq=False)
    if way.layers:
        raise ValueError("an Embedding must be the first module")
    layer = layers.Embedding(module.num_embeddings, module.embedding_dim, sparse=module.sparse)
    way.add(layer, weight=numbers_of(module.weight))
    way.channels, way.rank = False, len(way.shape)
    way.axes = way.as_in_pytorch


_OR_LAYER_NORM = "put it before that one, or take a LayerNorm, which acts on the last axis too"


def _batch_norm(way: Way, module: Module) -> None:
    only(module, affine=True, track_running_stats=True)
    if module.momentum is None:
        raise ValueError("momentum=None, a plain mean of all batches, has no counterpart in cbp; give it a number")
    if type(module).__name__ == "BatchNorm2d":
        way.positions(2)
    elif way.rank > 1:
        way.positions(1)
    way.have_channels_last(f"num_features={module.num_features}", _OR_LAYER_NORM)
    way.first_axis("num_features", module.num_features)
    names = {"scale": "weight", "shift": "bias", "mean": "running_mean", "variance": "running_var"}
    layer = layers.BatchNorm(momentum=module.momentum, epsilon=module.eps)
    way.add(layer, **{name: way.in_order(getattr(module, theirs)) for name, theirs in names.items()})


def _layer_norm(way: Way, module: Module) -> None:
    only(module, elementwise_affine=True)
    if module.bias is None:
        raise ValueError("bias=False has no counterpart in cbp, whose LayerNorm has a shift")
    if len(module.normalized_shape) != 1 or not way.arrange(way.as_in_pytorch):
        raise ValueError(f"normalized_shape={tuple(module.normalized_shape)} of {way.torch_shape}: cbp normalizes over the "
                         "features of a step or of a sample, PyTorch's last axis behind a recurrence, a Linear or a Flatten; "
                         "GroupNorm(1, channels) normalizes all of a sample")
    way.last_axis("normalized_shape", module.normalized_shape[0])
    layer = layers.LayerNorm(epsilon=module.eps)
    way.add(layer, scale=way.in_order(module.weight), shift=way.in_order(module.bias))


def _group_norm(way: Way, module: Module) -> None:
    only(module, affine=True)
    if way.order is not None and module.num_groups > 1:
        raise ValueError(f"num_groups={module.num_groups} of {way.torch_shape}: a group is of neighbours, and numbers have "
                         "other neighbours behind a Flatten in cbp; put it before the Flatten, or take num_groups=1")
    way.have_channels_last(f"num_groups={module.num_groups}", _OR_LAYER_NORM)
    way.first_axis("num_channels", module.num_channels)
    layer = layers.GroupNorm(module.num_groups, epsilon=module.eps)
    way.add(layer, scale=way.in_order(module.weight), shift=way.in_order(module.bias))


def _prelu(way: Way, module: Module) -> None:
    """One slope for all numbers becomes one a channel, all equal."""
    count = module.num_parameters
    if count == 1:
        way.add(layers.PReLU(), slope=np.full(way.shape[-1:], numbers_of(module.weight)))
        return
    way.have_channels_last(f"num_parameters={count}", "num_parameters=1 is the same in both")
    way.first_axis("num_parameters", count)
    way.add(layers.PReLU(), slope=way.in_order(module.weight))


def _dropout(way: Way, module: Module) -> None:
    way.add_between(layers.Dropout(module.p), HOMOGENEOUS)


def _identity(way: Way, module: Module) -> None:
    """Nothing to do."""


def _no_dropout(way: Way, module: Module) -> None:
    """One that drops something else than single numbers is taken where it drops nothing."""
    if module.p:
        raise ValueError(f"p={module.p} has no counterpart in cbp, whose Dropout drops single numbers; take torch.nn.Dropout, "
                         "or leave it out: after eval() it does nothing")


_OTHERWISE = {
    "leaky_relu": "torch.nn.PReLU(init=slope) has any slope, and learns it",
    "gelu": "with that one the outputs differ by less than 0.001",
}


def _activation(row: Activation) -> Callable[[Way, Module], None]:
    def fold(way: Way, module: Module) -> None:
        if row.joint:
            _over_units(way, module, row.name)
        only(module, _OTHERWISE.get(row.name), **row.pytorch_options)
        way.activate(row.name)

    return fold


def _over_units(way: Way, module: Module, name: str) -> None:
    """Refuse another axis than cbp's last."""
    axes, right = way.rank + 1, way.axes[-1] + 1
    dim = (0 if axes == 3 else 1) if module.dim is None else module.dim
    if dim % axes != right:
        raise ValueError(f"dim={module.dim} of {way.torch_shape} a sample; cbp's {name} is one over the units of the layer "
                         f"before, dim={right}")


def _log_softmax(way: Way, module: Module) -> None:
    """The probabilities, of which the loss takes the logarithm."""
    if any(type(inner).__name__ != "Identity" for _, inner in way.rest):
        raise ValueError("logarithms of probabilities have no counterpart in cbp but as the last of the modules; put it there, "
                         "or take a Softmax")
    _over_units(way, module, "softmax")
    way.activate("softmax")
    if getattr(way.layers[-1], "activation", None) != "softmax":
        raise ValueError(f"the probabilities of {way.torch_shape} a sample do not come right out of a layer of cbp's, as its "
                         "cross entropy needs them; take a Softmax, for which loss='mean_squared_error' is there")
    way.log = True


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of module.

    Attributes
    ----------
    convert : function
        Goes through a module, or raises ValueError.
    acts_on : str or None
        ``"first"``: the first axis behind the samples is that of the channels; ``"last"``: it reads the axes as they are; None:
        every number by itself.
    same_shape : bool
        Whether it leaves the shape as it is.
    padded : bool
        Whether it may follow a padding.
    """

    convert: Callable[[Way, Module], None]
    acts_on: str | None = None
    same_shape: bool = False
    padded: bool = False


_CONVOLUTION = Kind(convolution, "first", padded=True)
_POOL, _ADAPTIVE_POOL = Kind(pool, "first"), Kind(adaptive_pool, "first")
_PADDING = Kind(padding, padded=True)
_RECURRENCE = Kind(_recurrence, "last")
_BATCH_NORM = Kind(_batch_norm, "first", same_shape=True)
_NO_DROPOUT = Kind(_no_dropout, same_shape=True, padded=True)

KNOWN: dict[str, Kind] = {
    "Linear": Kind(_linear, "last"),
    "Conv1d": _CONVOLUTION, "Conv2d": _CONVOLUTION,
    "ZeroPad1d": _PADDING, "ZeroPad2d": _PADDING, "ConstantPad1d": _PADDING, "ConstantPad2d": _PADDING,
    "MaxPool1d": _POOL, "MaxPool2d": _POOL, "AvgPool1d": _POOL, "AvgPool2d": _POOL,
    "AdaptiveAvgPool1d": _ADAPTIVE_POOL, "AdaptiveAvgPool2d": _ADAPTIVE_POOL,
    "AdaptiveMaxPool1d": _ADAPTIVE_POOL, "AdaptiveMaxPool2d": _ADAPTIVE_POOL,
    "Flatten": Kind(_flatten, "last"), "Unflatten": Kind(_unflatten, "last"),
    "RNN": _RECURRENCE, "LSTM": _RECURRENCE, "GRU": _RECURRENCE,
    "Embedding": Kind(_embedding, "last"),
    "BatchNorm1d": _BATCH_NORM, "BatchNorm2d": _BATCH_NORM,
    "LayerNorm": Kind(_layer_norm, "last", same_shape=True), "GroupNorm": Kind(_group_norm, "first", same_shape=True),
    "PReLU": Kind(_prelu, same_shape=True),
    "Dropout": Kind(_dropout, same_shape=True, padded=True), "Identity": Kind(_identity, same_shape=True, padded=True),
    "Dropout1d": _NO_DROPOUT, "Dropout2d": _NO_DROPOUT, "AlphaDropout": _NO_DROPOUT, "FeatureAlphaDropout": _NO_DROPOUT,
    "LogSoftmax": Kind(_log_softmax),
    **{row.pytorch: Kind(_activation(row), same_shape=True) for row in ACTIVATIONS.values() if row.pytorch},
}


def channels_first(shape: Shape, placed: list[Placed]) -> bool:
    """Whether the first axis of a sample is that of the channels: of an image; of two axes if the first module that acts on one
    says so."""
    for _, module in placed:
        kind = KNOWN.get(type(module).__name__)
        if kind is not None and (kind.acts_on or getattr(module, "num_parameters", 1) > 1):
            return len(shape) == 3 or (len(shape) == 2 and kind.acts_on != "last")
    return len(shape) == 3


def convert(way: Way, module: Module, torch: Any) -> None:
    """Go through a module; raises ValueError or TypeError where cbp has nothing like it."""
    name = type(module).__name__
    if name not in KNOWN or type(module) is not getattr(torch.nn, name):
        raise ValueError(unknown(module, torch, list(KNOWN)))
    if way.pads and not KNOWN[name].padded:
        raise ValueError("a padding comes before it, which cbp has only as part of a convolution; a pool has one of its own")
    KNOWN[name].convert(way, module)
