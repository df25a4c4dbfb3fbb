"""From PyTorch's modules to a network of cbp with the same outputs. PyTorch is optional: only a call imports it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cbp import losses
from cbp.engine import check
from cbp.errors import not_by_handler
from cbp.habits import understood
from cbp.losses import Loss
from cbp.network import Network
from cbp.pytorch.given import taken_apart
from cbp.pytorch.modules import channels_first, convert
from cbp.pytorch.way import Module, Placed, Way

__all__ = ["from_torch"]


@understood
def from_torch(
    modules: Module | Sequence[Module], input_shape: int | Sequence[int], *, loss: str | Loss | None = None,
    seed: int | None = None, l1: float = 0.0, l2: float = 0.0,
) -> Network:
    """A network with the layers, the weights and the outputs of PyTorch's modules, in their dtype.

    Parameters
    ----------
    modules : torch.nn.Sequential, torch.nn.ModuleList or sequence of torch.nn.Module
        A Sequential within is taken apart. There may be whatever ``cbp.pytorch.modules.KNOWN`` names: the layers that cbp has
        too, with some conditions, which a message tells. Recurrences must have ``batch_first=True``, adaptive pools give 1 or
        a divisor of the size, a LayerNorm acts on the last axis. Activations become part of the layer before them, zeros of a
        padding part of the convolution behind them. A slope that is shared by all channels becomes one for each.
    input_shape : int or sequence of int
        Shape of one sample as PyTorch takes it: (features,), (channels, length) in front of a Conv1d, (time, features) in front
        of a recurrence, (channels, height, width), (time,) in front of an Embedding.
    loss : str, Loss or None
        As in :func:`cbp.mlp`: None takes ``cross_entropy`` after a Softmax, ``binary_cross_entropy`` after a Sigmoid, else
        ``mean_squared_error``. (Where PyTorch's loss works on logits, add the Softmax or Sigmoid to the modules.) After a
        LogSoftmax, for PyTorch's NLLLoss, it is ``cross_entropy``, and the network predicts the probabilities themselves.
    seed, l1, l2
        As for :class:`Network`.

    Returns
    -------
    Network
        With copies of the weights. It takes and gives the channels last, (height, width, channels), (length, channels), where
        PyTorch has them first: in front of and behind convolutions and other modules that act on axis 1. Where these are not
        the first or last modules that act on an axis, but a Linear or a recurrence is, the axes are PyTorch's. Its outputs are
        those of the modules after ``eval()``. All weights are learnt, also those that PyTorch had frozen.

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
    of a bidirectional one, the last state of both directions (PyTorch's ``h_n``). A recurrence behind a Conv1d, or another
    module that takes (channels, length), takes its positions as steps, and such a module behind a recurrence takes the steps as
    positions: that is where a ``transpose(1, 2)`` stands in PyTorch. Nowhere else is anything transposed: a MaxPool1d behind a
    Linear halves the features, as it does in a Sequential.

    RNN, LSTM and GRU have two biases in PyTorch where one does the same (but for the candidate of a GRU, whose two cbp has as
    well). cbp has their sum, and so learns it half as fast, or with Adam about half as fast.

    Examples
    --------
    >>> from torch import nn
    >>> net = cbp.from_torch([nn.Conv1d(2, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(18, 4), nn.LogSoftmax(dim=-1)], (2, 10))
    >>> net.input_shape, net.output_shape, net.loss.name
    ((10, 2), (4,), 'cross_entropy')
    """
    try:
        import torch
    except ImportError:
        raise ImportError("cbp.from_torch needs PyTorch: pip install torch") from None
    placed = taken_apart(modules, torch)
    if not placed:
        raise ValueError("modules is empty; a network needs at least one, for example torch.nn.Linear(4, 1)")
    sizes = input_shape if isinstance(input_shape, Sequence) else (input_shape,)
    shape = tuple(check.integer("input_shape", size) for size in sizes)
    dtype = _dtype(placed, torch)
    way = Way(shape, channels_first=channels_first(shape, placed))
    for index, (place, module) in enumerate(placed):
        try:
            way.rest = placed[index + 1 :]
            convert(way, module, torch)
        except not_by_handler(ValueError, TypeError) as problem:
            raise type(problem)(f"{place} ({type(module).__name__}): {problem}") from None
    way.finish()
    found = way.layers
    chosen = losses.usual(getattr(found[-1], "activation", "identity")) if loss is None else loss
    if way.log and losses.get(chosen).name != "cross_entropy":
        raise ValueError(f"loss={loss!r} would see the logarithms that LogSoftmax gives, where cbp has the probabilities; take "
                         "loss='cross_entropy' (PyTorch's NLLLoss) with a LogSoftmax, another loss with a Softmax")
    net = Network(way.input_shape, found, loss=chosen, dtype=dtype, seed=seed, l1=l1, l2=l2)
    for name, array in way.arrays.items():
        (net.parameters if name in net.parameters else net.statistics)[name][...] = array
    return net


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
