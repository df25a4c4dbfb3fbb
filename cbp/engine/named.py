"""Arrays by name, as users see them: views of a network's numbers that can be written to, and replaced by what was checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.engine.cpu import core as _core
from cbp.errors import plain, quoted, unknown_name

__all__ = ["Named", "NamedState", "checked"]

Array = npt.NDArray[Any]


def _set_own(arrays: Any, name: str, value: object) -> None:
    """Set an attribute that the class has: all others are slips for a key, which would change nothing without a word."""
    if name not in arrays.__slots__:
        what = arrays._what if isinstance(arrays, Named) else "optimizer_state"
        known = ", ".join(repr(one) for one in islice(arrays, _SHOWN))
        raise AttributeError(f"{what} has no attribute {name!r} to set; {what}[name] = ... replaces one array, by one of "
                             f"the names {known or '(there are none)'}", name=name, obj=arrays)
    object.__setattr__(arrays, name, value)


class Named(MutableMapping[str, Array]):
    """Arrays by name, views of the network's numbers; a network has as many for ever.

    What is assigned, one array or by ``assign`` all of them, is checked and copied. Every access gives another view, so that
    nothing that a user does to one, but to write its numbers, reaches the network.

    Parameters
    ----------
    what : str
        What errors call them.
    views : mapping of str to array
    guard : context manager
        Held while numbers are written; it raises where another thread trains.
    not_negative : bool
        Whether none of their numbers may be below 0.
    """

    __slots__ = ("_guard", "_not_negative", "_views", "_what")

    def __init__(
        self, what: str, views: Mapping[str, Array], guard: AbstractContextManager[None], *, not_negative: bool = False,
    ):
        self._what = what
        self._views = views
        self._guard = guard
        self._not_negative = not_negative

    def __setattr__(self, name: str, value: object) -> None:
        _set_own(self, name, value)

    def __getitem__(self, name: str) -> Array:
        return self._view(name)[...]

    def __setitem__(self, name: str, array: npt.ArrayLike) -> None:
        values = _checked(f"{self._what}[{name!r}]", self._view(name), array, self._bounded(name))
        with self._guard:
            self._views[name][...] = values

    def __delitem__(self, name: str) -> None:
        raise TypeError(f"{self._what}[{name!r}] cannot be deleted: the layers of a network are fixed")

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name!r}: array of shape {view.shape}" for name, view in self._views.items())
        return f"<{self._what}: {{{shapes}}}>"

    def assign(self, given: Mapping[str, npt.ArrayLike]) -> None:
        """Copy the numbers of all arrays from others of the same names and shapes; raises as :meth:`checked`."""
        values = self.checked(given)
        with self._guard:
            self.write(values)

    def checked(self, given: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
        """Arrays of the same names and shapes, of finite numbers; raises TypeError or ValueError where they are not that."""
        return checked(self._what, self._views, given, not_negative=self._not_negative)

    def write(self, values: Mapping[str, Array]) -> None:
        """Copy what was checked."""
        _core.write_all(list(self._views.values()), [values[name] for name in self._views])

    def _view(self, name: str) -> Array:
        if name not in self._views:
            raise KeyError(str(unknown_name(self._what, name, self._views, {})))
        return self._views[name]

    def _bounded(self, name: str) -> bool:
        return self._not_negative or name.endswith(".variance")


class NamedState(MutableMapping[str, Mapping[str, Array]]):
    """The state of an optimizer: arrays by name for every slot. Assigning is as in :class:`Named`."""

    __slots__ = ("_guard", "_slots")

    def __init__(self, slots: Mapping[str, Named], guard: AbstractContextManager[None]):
        self._slots = slots
        self._guard = guard

    def __setattr__(self, name: str, value: object) -> None:
        _set_own(self, name, value)

    def __getitem__(self, slot: str) -> Named:
        if slot not in self._slots:
            raise KeyError(str(unknown_name("optimizer_state", slot, self._slots, {})))
        return self._slots[slot]

    def __setitem__(self, slot: str, arrays: Mapping[str, npt.ArrayLike]) -> None:
        self[slot].assign(arrays)

    def __delitem__(self, slot: str) -> None:
        raise TypeError(f"optimizer_state[{slot!r}] cannot be deleted; net.set_optimizer() begins with fresh state")

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, slot: object) -> bool:
        return slot in self._slots

    def __repr__(self) -> str:
        return f"<optimizer_state: {', '.join(self._slots) or 'none'}>"

    def assign(self, given: Mapping[str, Mapping[str, npt.ArrayLike]]) -> None:
        """Copy the numbers of all slots; raises as :meth:`Named.checked`, with nothing changed."""
        _check_names("optimizer_state", self._slots, given)
        values = {slot: arrays.checked(given[slot]) for slot, arrays in self._slots.items()}
        with self._guard:
            _core.write_all([view for arrays in self._slots.values() for view in arrays.values()],
                            [values[slot][name] for slot, arrays in self._slots.items() for name in arrays])


def checked(
    what: str, views: Mapping[str, Array], given: Any, *, not_negative: bool = False,
) -> dict[str, Array]:
    """Arrays of finite numbers that can take the place of those in ``views``, whose memory they do not share; raises TypeError
    or ValueError where they are not that."""
    _check_names(what, views, given)
    return {name: _checked(f"{what}[{name!r}]", view, given[name], not_negative or name.endswith(".variance"))
            for name, view in views.items()}


def _check_names(what: str, wanted: Mapping[str, object], given: object) -> None:
    """Raise TypeError or ValueError where something else is given than what the network has under ``what``."""
    if not isinstance(given, Mapping):
        vector = "; set_vector(vector) takes all of them as one vector" if what == "parameters" else ""
        raise TypeError(f"{what} must be a mapping of names to arrays, got {quoted(given)}{vector}")
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    if missing or unknown:
        found = [f"lacks {_listed(missing)}"] * bool(missing) + [f"has the unknown {_listed(unknown)}"] * bool(unknown)
        known = f"; known: {_listed(wanted) or 'none'}" if unknown else ""
        raise ValueError(f"{what} {' and '.join(found)}{known}; all are replaced at once, {what}[name] = ... replaces one "
                         f"alone")


_SHOWN = 8


def _listed(names: Collection[object]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return plain(", ".join(map(str, islice(names, _SHOWN))), 1000) + more


def _checked(what: str, view: Array, given: npt.ArrayLike, not_negative: bool) -> Array:
    values = check.numbers(what, given, view.dtype)
    if values.shape != view.shape:
        raise ValueError(f"{what} must have the shape {view.shape}, got {values.shape}")
    if not_negative and values.size and values.min() < 0:
        raise ValueError(f"{what} holds {values.min():g}; its numbers must be at least 0")
    return values.copy() if np.may_share_memory(values, view) else values
