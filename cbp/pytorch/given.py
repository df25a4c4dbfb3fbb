"""What ``from_torch`` is given, as single modules with their places; or why it cannot be that, and what to give instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from cbp.pytorch.way import Module, Placed

INSIDE = {"DataParallel": "module", "DistributedDataParallel": "module", "AveragedModel": "module",
          "OptimizedModule": "_orig_mod"}
"""The attribute of a wrapper in which the module is."""


def taken_apart(modules: Module | Sequence[Module], torch: Any) -> list[Placed]:
    """Every module with its place, those of nested Sequentials too."""
    if isinstance(modules, torch.nn.Sequential):
        pending = [("modules", modules)]
    elif isinstance(modules, torch.nn.ModuleList) or (isinstance(modules, Sequence) and not isinstance(modules, str)):
        pending = [(f"modules[{index}]", module) for index, module in enumerate(modules)][::-1]
    else:
        raise TypeError(f"modules must be a torch.nn.Sequential or a list of modules, got {type(modules).__name__}; "
                        f"{_instead(modules, torch)}")
    found: list[Placed] = []
    while pending:
        place, module = pending.pop()
        if not isinstance(module, torch.nn.Module):
            raise TypeError(f"{place} must be a torch.nn.Module, got {_kind(module)}; {_instead(module, torch)}")
        _plain(place, module, torch)
        if _in_turn(module, torch):
            # not named_children(), which leaves out a module that stands there a second time
            pending += [(f"{place}.{name}", inner) for name, inner in reversed(module._modules.items())]
        elif isinstance(module, torch.nn.Sequential):
            raise TypeError(f"{place} is a {type(module).__name__}, whose forward cbp cannot read; if it only calls "
                            "its modules one after another, pass them as a list")
        else:
            found.append((place, module))
    _nothing_shared(found)
    return found


def _in_turn(module: object, torch: Any) -> bool:
    """Whether it is a Sequential, or of a class derived from it that does nothing else than call its modules in turn."""
    return isinstance(module, torch.nn.Sequential) and type(module).forward is torch.nn.Sequential.forward


def _plain(place: str, module: Module, torch: Any) -> None:
    """Refuse what changes a module from outside."""
    where = f"{place} ({type(module).__name__})"
    if torch.nn.utils.parametrize.is_parametrized(module):
        names = ", ".join(map(repr, module.parametrizations))
        raise ValueError(f"{where}: its {names} is computed by a parametrization, which cbp cannot learn; "
                         f"torch.nn.utils.parametrize.remove_parametrizations(module, {names}) keeps the numbers as they are")
    if isinstance(module, torch.nn.modules.lazy.LazyModuleMixin):
        raise ValueError(f"{where}: it has no shapes yet; call the modules once with a batch, and it is an ordinary one")
    if module._forward_hooks or module._forward_pre_hooks:
        raise ValueError(f"{where}: it has forward hooks, which cbp cannot take over; remove them: those of weight_norm by "
                         "torch.nn.utils.remove_weight_norm(module), those of pruning by torch.nn.utils.prune.remove(module, "
                         "'weight'), others by the handle that registered them")
    if "forward" in vars(module) and type(module).__name__ not in INSIDE:
        raise ValueError(f"{where}: its forward was replaced by one that cbp cannot read; del module.forward removes it")


def _nothing_shared(placed: list[Placed]) -> None:
    """Refuse parameters that stand in two places."""
    seen: dict[int, Placed] = {}
    for place, module in placed:
        for name, parameter in module.named_parameters():
            before, other = seen.setdefault(id(parameter), (place, module))
            if before != place:
                what = f"is the same module as {before}" if other is module else f"has the same {name} as {before}"
                raise ValueError(f"{place} {what}; cbp's layers do not share weights: with copy.deepcopy(module) in one of the "
                                 "places the outputs are the same, and each then learns by itself")


def unknown(module: Module, torch: Any, known: Sequence[str]) -> str:
    """Why this module is none that cbp has, and what to do."""
    name = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        return "it is compiled by torch.jit, and cbp cannot read it; pass the modules that it was compiled from"
    if name in INSIDE and hasattr(module, INSIDE[name]):
        return f"it only wraps another module; pass that one, its attribute {INSIDE[name]}"
    if type(module).__module__.startswith("torch."):
        if isinstance(module, (torch.nn.ModuleList, torch.nn.ModuleDict)):
            return f"a {name} does not say in which order its modules are called; put them one by one into the list of modules"
        return f"this module has no counterpart in cbp, which knows {', '.join(known)}"
    inner = [f"net.{child}" for child, _ in module.named_children()]
    if not inner:
        return ("its class is your own, whose forward cbp cannot read; put PyTorch's own modules in its place, or build the "
                "network of cbp's layers")
    return ("its class is your own, whose forward cbp cannot read; pass the modules that its forward calls, in the order of "
            "the calls, and functions such as torch.relu as modules, torch.nn.ReLU(): "
            f"cbp.from_torch([{', '.join(inner)}], ...)")


def _instead(given: object, torch: Any) -> str:
    """What to pass in place of something that is neither a Sequential nor a list."""
    if isinstance(given, torch.nn.ModuleDict) or (
            isinstance(given, Mapping) and given and all(isinstance(value, torch.nn.Module) for value in given.values())):
        return "pass its modules as a list, in the order in which they are called"
    if isinstance(given, Mapping):
        return ("a state_dict has weights without modules: load it into the modules that it is from, by load_state_dict(), and "
                "pass these")
    if isinstance(given, torch.nn.Module):
        if type(given).__module__.startswith("torch.nn.") and type(given).__name__ not in INSIDE:
            return "put a single module into a list"
        return unknown(given, torch, ())
    if isinstance(given, type):
        return f"call the class: {given.__name__}(...)"
    if isinstance(given, (list, tuple)):
        return "put the modules of an inner list into a torch.nn.Sequential, or into the outer list"
    if callable(given):
        return "a function is no module; there is a module for most, torch.nn.ReLU() for torch.relu"
    return "for example [torch.nn.Linear(4, 2), torch.nn.Tanh()]"


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
