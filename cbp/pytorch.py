"""From PyTorch's modules to a network of cbp with the same outputs. PyTorch is optional: only a call imports it.

PyTorch has the channels of images and signals first, cbp has them last; a value in between is followed with its shape in cbp
and with what sets it apart from PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp import _check, layers
from cbp.layers.base import ACTIVATIONS, Layer, Shape
from cbp.losses import Loss
from cbp.losses import usual as usual_loss
from cbp.network import Network

__all__ = ["from_torch"]

Array = npt.NDArray[Any]
Module = Any  # torch.nn.Module, whose types nobody has who does not have PyTorch
Placed = tuple[str, Module]

INCREASING = frozenset({
    "identity", "relu", "leaky_relu", "elu", "selu", "softplus", "tanh", "sigmoid", "hard_sigmoid", "softsign",
})
"""The largest of some numbers is the largest after these too, so they may come before a maximum as well as behind it."""
HOMOGENEOUS = frozenset({"identity", "relu", "leaky_relu"})
"""f(c x) = c f(x) for c >= 0: the same before and behind a Dropout, which scales."""
ELEMENTWISE = frozenset(ACTIVATIONS) - {"softmax"}


def from_torch(
    modules: Module | Sequence[Module], input_shape: int | Sequence[int], *, loss: str | Loss | None = None, **options: Any
) -> Network:
    """A network with the layers, the weights and the outputs of PyTorch's modules, in their dtype.

    Parameters
    ----------
    modules : torch.nn.Sequential or sequence of torch.nn.Module
        A Sequential within is taken apart. There may be Linear, Conv1d, Conv2d, MaxPool1d/2d, AvgPool1d/2d, AdaptiveAvgPool1d/2d
        and AdaptiveMaxPool1d/2d (to 1, or to a divisor of the size), Flatten, RNN, LSTM and GRU with ``batch_first=True``,
        Embedding as the first, BatchNorm1d/2d, LayerNorm over the last axis, Dropout, Identity, and the activations that cbp
        has, which become part of the layer before them.
    input_shape : int or sequence of int
        Shape of one sample as PyTorch takes it: (features,), (channels, length) in front of a Conv1d, (time, features) in front
        of a recurrence, (channels, height, width), (time,) in front of an Embedding.
    loss : str, Loss or None
        As in :func:`cbp.mlp`: None takes ``cross_entropy`` after a Softmax, ``binary_cross_entropy`` after a Sigmoid, else
        ``mean_squared_error``. (Where PyTorch's loss works on logits, add the Softmax or Sigmoid to the modules.)
    **options
        ``seed``, ``l1``, ``l2`` of :class:`Network`.

    Returns
    -------
    Network
        With copies of the weights. It takes and gives the channels last: (height, width, channels), (length, channels). Its
        outputs are those of the modules after ``eval()``. All weights are learnt, also those that PyTorch had frozen.

    Raises
    ------
    ImportError
        PyTorch is not there.
    ValueError, TypeError
        A module, or an option of one, has no counterpart, or the shapes do not fit; the message names the module's place.

    Notes
    -----
    PyTorch's recurrent modules return a pair, so that a Sequential cannot run them; here the next module gets the outputs of
    all steps, or, if it is a Linear (Dropout, normalization and activations may come between), the state after the last step;
    of a bidirectional one, the last state of both directions (PyTorch's ``h_n``). A recurrence behind a Conv1d takes its
    positions as steps, and a Conv1d behind a recurrence takes the steps as positions.

    The gates of LSTM and GRU have two biases in PyTorch where one does the same. cbp has their sum, and so learns it half as
    fast, or with Adam about half as fast.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("cbp.from_torch needs PyTorch: pip install torch") from None
    placed = list(_flattened(modules, torch))
    sizes = input_shape if isinstance(input_shape, Sequence) else (input_shape,)
    shape = tuple(_check.integer("input_shape", size) for size in sizes)
    dtype = _dtype(placed, torch)
    way = _Way(shape, placed)
    for index, (place, module) in enumerate(placed):
        try:
            way.rest = placed[index + 1 :]
            _handler(module, torch)(way, module)
        except (ValueError, TypeError) as problem:
            raise type(problem)(f"{place} ({type(module).__name__}): {problem}") from None
    way.finish()
    found = way.layers
    chosen = usual_loss(getattr(found[-1], "activation", "identity")) if loss is None else loss
    net = Network(way.input_shape, found, loss=chosen, dtype=dtype, **options)
    for name, array in way.arrays.items():
        (net.parameters if name in net.parameters else net.statistics)[name][...] = array
    return net


# --- the modules --------------------------------------------------------------------------------------------------------------


def _flattened(modules: Module | Sequence[Module], torch: Any) -> Iterator[Placed]:
    """Every module with its place, those of nested Sequentials too."""
    if isinstance(modules, torch.nn.Sequential):
        found = [(f"modules.{name}", module) for name, module in modules.named_children()]
    elif isinstance(modules, Sequence) and not isinstance(modules, str):
        found = [(f"modules[{index}]", module) for index, module in enumerate(modules)]
    else:
        raise TypeError(f"modules must be a torch.nn.Sequential or a list of modules, got {type(modules).__name__}; put a single "
                        "module into a list")
    seen: dict[int, str] = {}
    pending = found[::-1]
    if not pending:
        raise ValueError("modules is empty; a network needs at least one, for example torch.nn.Linear(4, 1)")
    while pending:
        place, module = pending.pop()
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{place} must be a torch.nn.Module, got {type(module).__name__}")
        if type(module) is torch.nn.Sequential:
            pending += [(f"{place}.{name}", inner) for name, inner in reversed(module._modules.items())]
            continue
        if any(True for _ in module.parameters()) and seen.setdefault(id(module), place) != place:
            raise ValueError(f"{place} is the same module as {seen[id(module)]}; cbp's layers do not share weights")
        yield place, module


def _dtype(placed: list[Placed], torch: Any) -> str:
    """The one dtype of all parameters."""
    found: dict[str, str] = {}
    for place, module in placed:
        for parameter in module.parameters():
            found.setdefault(str(parameter.dtype).removeprefix("torch."), place)
    if not found:
        return str(torch.get_default_dtype()).removeprefix("torch.")
    for name, place in found.items():
        if name not in ("float32", "float64"):
            raise ValueError(f"{place} has parameters of dtype {name}; a network has float32 or float64: convert the modules "
                             "with .float() or .double()")
    if len(found) > 1:
        raise ValueError(f"{' and '.join(found.values())} have parameters of different dtypes, {' and '.join(found)}; convert "
                         "the modules with .float() or .double()")
    return next(iter(found))


def _numpy(tensor: Any) -> Array:
    values: Array = tensor.detach().cpu().numpy()
    return values


def _only(module: Module, **usual: object) -> None:
    """Refuse every option that is not as it usually is."""
    for name, value in usual.items():
        given = getattr(module, name)
        if given != value:
            raise ValueError(f"{name}={given!r} has no counterpart in cbp, which knows {name}={value!r}")


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple) else (value,)


class _Way:
    """The value between two modules, and the layers up to there.

    Attributes
    ----------
    shape : tuple
        In cbp, the channels last.
    channels_first : bool
        Whether PyTorch has them first.
    ones : int
        Axes of length 1 that PyTorch has behind the channels and cbp has not.
    order : array or None
        Behind a Flatten, the place in cbp of every number of PyTorch; None where it is the same.
    rest : list
        The modules that are to come.
    """

    def __init__(self, shape: Shape, placed: list[Placed]):
        self.channels_first = len(shape) == 3 or (len(shape) == 2 and _takes_channels_first(placed))
        self.shape = self.input_shape = (*shape[1:], shape[0]) if self.channels_first else shape
        self.ones = 0
        self.order: Array | None = None
        self.layers: list[Layer] = []
        self.arrays: dict[str, Array] = {}
        self.rest: list[Placed] = []
        self._owner = -1
        self._foldable: frozenset[str] = frozenset()

    def add(self, layer: Layer, **arrays: Array | None) -> None:
        """Go through a layer, whose parameters and statistics are these."""
        self.shape = layer.output_shape(self.shape)
        self._owner = len(self.layers)
        self._foldable = frozenset(ACTIVATIONS) if getattr(layer, "activation", None) == "identity" else frozenset()
        self.layers.append(layer)
        self.arrays.update({
            f"{self._owner}.{name.replace('__', '.')}": array for name, array in arrays.items() if array is not None
        })

    def add_between(self, layer: Layer, passes: frozenset[str]) -> None:
        """Go through a layer of which activations may just as well come before as behind, if they are these."""
        owner, foldable = self._owner, self._foldable & passes
        self.add(layer)
        self._owner, self._foldable = owner, foldable

    def activate(self, name: str) -> None:
        """Let the last layer that has an activation have this one."""
        if name not in self._foldable:
            raise ValueError("cbp has one activation a layer, in a Linear, a convolution or a normalization; none of them comes "
                             "right before this module, or the one that does has an activation already")
        changes: dict[str, Any] = {"activation": name}
        layer = self.layers[self._owner]
        if any(field.name == "init" for field in fields(layer)):  # type: ignore[arg-type]
            changes["init"] = None  # the one that suits the activation
        self.layers[self._owner] = replace(layer, **changes)  # type: ignore[type-var]
        self._foldable = frozenset()

    def features(self, name: str, wanted: int) -> None:
        """Check the length of the last axis."""
        if not self.shape or self.shape[-1] != wanted:
            raise ValueError(f"{name} is {wanted}, but what comes here has the shape {self.torch_shape} a sample")

    def positions(self, axes: int) -> None:
        """Check the number of axes before a module that takes the channels first."""
        self.unsqueeze()
        if len(self.shape) != axes + 1 or self.order is not None:
            wanted = "(channels, length)" if axes == 1 else "(channels, height, width)"
            raise ValueError(f"it takes {wanted}, but what comes here has the shape {self.torch_shape} a sample")
        self.channels_first = True

    def unsqueeze(self) -> None:
        """Have the axes of length 1 that PyTorch has."""
        if self.ones:
            self.add_between(layers.Reshape((*(1,) * self.ones, *self.shape)), frozenset(ACTIVATIONS))
            self.ones = 0

    @property
    def torch_shape(self) -> Shape:
        if self.channels_first and self.order is None:
            return (self.shape[-1], *self.shape[:-1], *(1,) * self.ones)
        return self.shape

    @property
    def channel_axis(self) -> int:
        """Of PyTorch's tensor, the samples being axis 0."""
        return 1 if self.channels_first else len(self.shape)

    def in_order(self, values: Any) -> Array:
        """An array whose first axis are the numbers of the last Flatten, as cbp has them."""
        given = _numpy(values)
        if self.order is None:
            return given
        arranged = np.empty_like(given)
        arranged[self.order] = given
        return arranged

    def finish(self) -> None:
        self.unsqueeze()
        if self.order is not None:
            raise ValueError("the modules end with the numbers of a Flatten, which cbp has in another order (the channels last); "
                             "leave the Flatten out, or let a Linear follow")
        if not self.layers:
            raise ValueError("these modules do nothing; a network needs a layer, for example torch.nn.Linear(4, 1)")


def _takes_channels_first(placed: list[Placed]) -> bool:
    """Whether samples with two axes are (channels, length), not (time, features): what the first module says that cares."""
    for _, module in placed:
        name = type(module).__name__
        if name.endswith(("Conv1d", "Pool1d", "BatchNorm1d")):
            return True
        if name in ("RNN", "LSTM", "GRU", "Linear", "LayerNorm", "Flatten"):
            return False
    return False


# --- one function for every kind ----------------------------------------------------------------------------------------------


def _linear(way: _Way, module: Module) -> None:
    if way.channels_first and way.order is None and len(way.torch_shape) > 1:
        raise ValueError(f"it would act on the last axis of {way.torch_shape}, which cbp has in another place; put a Flatten "
                         "before it")
    way.features("in_features", module.in_features)
    way.add(layers.Dense(module.out_features, bias=module.bias is not None), weight=way.in_order(module.weight.T), bias=_bias(module))
    way.order, way.channels_first = None, False


def _bias(module: Module) -> Array | None:
    return None if module.bias is None else _numpy(module.bias)


def _convolution(way: _Way, module: Module) -> None:
    axes = len(module.kernel_size)
    _only(module, padding_mode="zeros")
    way.positions(axes)
    way.features("in_channels", module.in_channels)
    how: dict[str, Any] = {
        "stride": _single(module.stride), "padding": _padding(module.padding), "dilation": _single(module.dilation),
        "bias": module.bias is not None,
    }
    size = _single(module.kernel_size)
    weight = np.moveaxis(_numpy(module.weight), (0, 1), (-1, -2))  # (..., inputs of a group, filters)
    if axes == 2 and module.groups == module.in_channels > 1:
        layer: Layer = layers.DepthwiseConv2D(size, multiplier=module.out_channels // module.in_channels, **how)
        weight = weight[..., 0, :]
    else:
        kind = layers.Conv1D if axes == 1 else layers.Conv2D
        layer = kind(module.out_channels, size, groups=module.groups, **how)
    way.add(layer, weight=weight, bias=_bias(module))


def _padding(value: Any) -> str | int | tuple[int, ...]:
    if isinstance(value, str):
        return value
    return _single(_numbers(value)) if any(_numbers(value)) else "valid"


def _single(numbers: tuple[int, ...]) -> int | tuple[int, ...]:
    return numbers[0] if len(numbers) == 1 else numbers


def _pool(way: _Way, module: Module) -> None:
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


def _adaptive_pool(way: _Way, module: Module) -> None:
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


def _flatten(way: _Way, module: Module) -> None:
    axes = len(way.torch_shape)
    start, end = module.start_dim, module.end_dim % (axes + 1)
    if (start, end) == (2, axes) and axes == 3 and way.channels_first:
        way.unsqueeze()
        way.add_between(layers.Reshape((prod(way.shape[:-1]), way.shape[-1])), frozenset(ACTIVATIONS))
        return
    if (start, end) != (1, axes):
        raise ValueError(f"start_dim={module.start_dim} and end_dim={module.end_dim} have no counterpart in cbp, which flattens "
                         "all axes of a sample")
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


GATES = {"RNN": 1, "LSTM": 4, "GRU": 3}


def _recurrence(way: _Way, module: Module) -> None:
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
        if name not in ("Dropout", "Identity", "LayerNorm", "BatchNorm1d") and name not in FOLDED:
            return False
    return False


def _recurrent_arrays(module: Module, suffix: str) -> dict[str, Array]:
    """The parameters of one layer in one direction."""
    gates, units = GATES[type(module).__name__], module.hidden_size
    inner = (gates, units) if gates > 1 else (units,)

    def weight(name: str) -> Array:
        array = _numpy(getattr(module, f"{name}_{suffix}")).T
        return array.reshape(len(array), *inner)

    arrays = {"weight": weight("weight_ih"), "recurrent": weight("weight_hh")}
    if module.bias:
        given, own = (_numpy(getattr(module, f"bias_{side}_{suffix}")).reshape(inner) for side in ("ih", "hh"))
        both = given + own
        arrays["bias"] = np.concatenate([both[:2], given[2:], own[2:]]) if type(module).__name__ == "GRU" else both
    return arrays


def _embedding(way: _Way, module: Module) -> None:
    _only(module, padding_idx=None, max_norm=None, scale_grad_by_freq=False)
    if way.layers:
        raise ValueError("an Embedding must be the first module")
    layer = layers.Embedding(module.num_embeddings, module.embedding_dim, sparse=module.sparse)
    way.add(layer, weight=_numpy(module.weight))


def _batch_norm(way: _Way, module: Module) -> None:
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


def _layer_norm(way: _Way, module: Module) -> None:
    _only(module, elementwise_affine=True)
    if module.bias is None:
        raise ValueError("bias=False has no counterpart in cbp, whose LayerNorm has a shift")
    if len(module.normalized_shape) != 1 or (way.channels_first and len(way.torch_shape) > 1):
        raise ValueError(f"normalized_shape={tuple(module.normalized_shape)} of {way.torch_shape}: cbp normalizes over the features "
                         "of a step or of a sample, PyTorch's last axis behind a recurrence, a Linear or a Flatten")
    way.features("normalized_shape", module.normalized_shape[0])
    layer = layers.LayerNorm(epsilon=module.eps)
    way.add(layer, scale=way.in_order(module.weight), shift=way.in_order(module.bias))


def _dropout(way: _Way, module: Module) -> None:
    way.add_between(layers.Dropout(module.p), HOMOGENEOUS)


def _identity(way: _Way, module: Module) -> None:
    """Nothing to do."""


def _activation(name: str, **usual: object) -> Callable[[_Way, Module], None]:
    def fold(way: _Way, module: Module) -> None:
        _only(module, **usual)
        way.activate(name)

    return fold


def _softmax(way: _Way, module: Module) -> None:
    axes = len(way.torch_shape) + 1
    dim = way.channel_axis if module.dim is None and axes in (2, 4) else module.dim
    if dim is None or dim % axes != way.channel_axis:
        raise ValueError(f"dim={module.dim} of {way.torch_shape} a sample; cbp's softmax is one over the channels, "
                         f"dim={way.channel_axis}")
    way.activate("softmax")


FOLDED: dict[str, Callable[[_Way, Module], None]] = {
    "ReLU": _activation("relu"),
    "LeakyReLU": _activation("leaky_relu", negative_slope=0.01),
    "ELU": _activation("elu", alpha=1.0),
    "SELU": _activation("selu"),
    "GELU": _activation("gelu", approximate="none"),
    "SiLU": _activation("silu"),
    "Softplus": _activation("softplus", beta=1, threshold=20),
    "Tanh": _activation("tanh"),
    "Sigmoid": _activation("sigmoid"),
    "Hardsigmoid": _activation("hard_sigmoid"),
    "Softsign": _activation("softsign"),
    "Softmax": _softmax,
}
KNOWN: dict[str, Callable[[_Way, Module], None]] = {
    "Linear": _linear,
    "Conv1d": _convolution, "Conv2d": _convolution,
    "MaxPool1d": _pool, "MaxPool2d": _pool, "AvgPool1d": _pool, "AvgPool2d": _pool,
    "AdaptiveAvgPool1d": _adaptive_pool, "AdaptiveAvgPool2d": _adaptive_pool,
    "AdaptiveMaxPool1d": _adaptive_pool, "AdaptiveMaxPool2d": _adaptive_pool,
    "Flatten": _flatten,
    "RNN": _recurrence, "LSTM": _recurrence, "GRU": _recurrence,
    "Embedding": _embedding,
    "BatchNorm1d": _batch_norm, "BatchNorm2d": _batch_norm, "LayerNorm": _layer_norm,
    "Dropout": _dropout, "Identity": _identity,
    **FOLDED,
}


def _handler(module: Module, torch: Any) -> Callable[[_Way, Module], None]:
    name = type(module).__name__
    if name not in KNOWN or type(module) is not getattr(torch.nn, name):
        raise ValueError(f"this module has no counterpart in cbp, which knows {', '.join(KNOWN)}")
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError("it has forward hooks (those of weight_norm, for example), which cbp cannot take over; remove them")
    return KNOWN[name]
