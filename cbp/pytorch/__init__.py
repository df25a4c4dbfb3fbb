"""From PyTorch's modules to a network of cbp with the same outputs. PyTorch is optional: only a call imports it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cbp import losses
from cbp.engine import check
from cbp.habits import understood
from cbp.losses import Loss
from cbp.network import Network
from cbp.pytorch.modules import convert
from cbp.pytorch.way import Module, Placed, Way

__all__ = ["from_torch"]


@understood
def from_torch(
    modules: Module | Sequence[Module], input_shape: int | Sequence[int], *, loss: str | Loss | None = None, **options: Any
) -> Network:
    """A network with the layers, the weights and the outputs of PyTorch's modules, in their dtype.

    Parameters
    ----------
    modules : torch.nn.Sequential or sequence of torch.nn.Module
        A Sequential within is taken apart. There may be whatever ``cbp.pytorch.modules.KNOWN`` names: the layers that cbp has
        too, with some conditions, which a message tells. Recurrences must have ``batch_first=True``, adaptive pools give 1 or
        a divisor of the size, a LayerNorm acts on the last axis. Activations become part of the layer before them.
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

    RNN, LSTM and GRU have two biases in PyTorch where one does the same (but for the candidate of a GRU, whose two cbp has as
    well). cbp has their sum, and so learns it half as fast, or with Adam about half as fast.
    """
    try:
        import torch
    except ImportError:
        raise ImportError("cbp.from_torch needs PyTorch: pip install torch") from None
    placed = list(_flattened(modules, torch))
    if not placed:
        raise ValueError("modules is empty; a network needs at least one, for example torch.nn.Linear(4, 1)")
    sizes = input_shape if isinstance(input_shape, Sequence) else (input_shape,)
    shape = tuple(check.integer("input_shape", size) for size in sizes)
    dtype = _dtype(placed, torch)
    way = Way(shape, placed)
    for index, (place, module) in enumerate(placed):
        try:
            way.rest = placed[index + 1 :]
            convert(way, module, torch)
        except (ValueError, TypeError) as problem:
            raise type(problem)(f"{place} ({type(module).__name__}): {problem}") from None
    way.finish()
    found = way.layers
    chosen = losses.usual(getattr(found[-1], "activation", "identity")) if loss is None else loss
    net = Network(way.input_shape, found, loss=chosen, dtype=dtype, **options)
    for name, array in way.arrays.items():
        (net.parameters if name in net.parameters else net.statistics)[name][...] = array
    return net


def _flattened(modules: Module | Sequence[Module], torch: Any) -> Iterator[Placed]:
    """Every module with its place, those of nested Sequentials too."""
    if isinstance(modules, torch.nn.Sequential):
        pending = [("modules", modules)]
    elif isinstance(modules, Sequence) and not isinstance(modules, str):
        pending = [(f"modules[{index}]", module) for index, module in enumerate(modules)][::-1]
    else:
        raise TypeError(f"modules must be a torch.nn.Sequential or a list of modules, got {type(modules).__name__}; put a "
                        "single module into a list")
    seen: dict[int, str] = {}
    while pending:
        place, module = pending.pop()
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{place} must be a torch.nn.Module, got {type(module).__name__}")
        if module._forward_hooks or module._forward_pre_hooks:
            raise ValueError(f"{place} ({type(module).__name__}): it has forward hooks (those of weight_norm, for example), "
                             "which cbp cannot take over; remove them")
        if isinstance(module, torch.nn.Sequential):
            if type(module) is not torch.nn.Sequential:
                raise TypeError(f"{place} is a {type(module).__name__}, whose forward cbp cannot read; if it only calls "
                                "its modules one after another, pass them as a list")
            # not named_children(), which leaves out a module that stands there a second time
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
