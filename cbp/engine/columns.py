"""Names of columns: those of a table, and whether a later table has the same ones in the same order."""

from __future__ import annotations

from typing import Any

from cbp.engine.finite import warn
from cbp.errors import quoted

__all__ = ["Names", "check_names", "names_of", "names_or_none", "warn_where_nameless"]

Names = tuple[str, ...]

_SHOWN = 5

_CHOICE = {False: "[list(network.feature_names)]", True: ".select(list(network.feature_names))"}
"""How columns are chosen; the second of a table of Arrow."""


def names_of(table: Any) -> Names | None:
    """The names of the columns of a table of pandas, Polars or Arrow; None where there are none, or not all are strings."""
    for attribute in ("column_names", "columns"):  # the columns of an Arrow table are its data
        names = getattr(table, attribute, None)
        if names is not None and not callable(names):
            listed = list(names)
            if listed and all(map(_is_name, listed)):
                return tuple(map(str, listed))
    return None


def _is_name(name: object) -> bool:
    return isinstance(name, str) and not any("\ud800" <= letter <= "\udfff" for letter in name)


def names_or_none(argument: str, names: Any, shape: tuple[int, ...]) -> Names | None:
    """Names for the features of samples of a shape, as a user gives them; None for none."""
    if names is None:
        return None
    listed = list(names) if isinstance(names, (list, tuple)) else []
    if not listed or not all(map(_is_name, listed)):
        raise TypeError(f"{argument} must be a tuple of names, or None, got {quoted(names, 100)}")
    if shape != (len(listed),):
        raise ValueError(f"{argument} must name the features of inputs of the shape {shape}, got {len(listed)} names")
    return tuple(map(str, listed))


def check_names(argument: str, table: object, known: Names | None) -> None:
    """Raise ValueError where a table has other columns than the ``known`` ones."""
    given = None if known is None else names_of(table)
    if known is None or given is None or given == known:
        return
    missing, unknown = [[name for name in one if name not in other] for one, other in (
        (known, set(given)), (given, set(known)))]
    found = [f"it lacks {_listed(missing)}"] * bool(missing) + [f"it has the unknown {_listed(unknown)}"] * bool(unknown)
    remedy = f"add what is missing; network.feature_names has all {len(known)}" if missing else (
        f"{argument}{_CHOICE[hasattr(table, 'column_names')]} has them in the right order")
    raise ValueError(f"{argument} must have the columns that the network was trained on, in their order: "
                     f"{' and '.join(found) or 'it has them in another order'}; {remedy}")


def warn_where_nameless(argument: str, table: object, known: Names | None) -> None:
    """Warn where data have no names and others are ``known``: once a call is known to be right in all else."""
    if known is not None and names_of(table) is None:
        warn(f"{argument} has no names of columns, but the network was trained on a table with the columns {_listed(known)}: "
             f"they are taken in this order. Pass such a table, or let network.feature_names = None forget them", UserWarning)


def _listed(names: list[str] | Names) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(f"{quoted(name, 60)}" for name in names[:_SHOWN]) + more
