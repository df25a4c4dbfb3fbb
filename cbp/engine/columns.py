"""Names of columns: those of a table, and whether a later table has the same ones in the same order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Never

import numpy as np
import numpy.typing as npt

from cbp.engine.containers import as_array
from cbp.engine.finite import warn
from cbp.errors import not_by_handler, quoted

__all__ = ["Names", "check_names", "check_row_names", "names_of", "names_or_none", "names_to_learn", "rows",
           "table_or_array", "warn_where_nameless"]

Names = tuple[str, ...]

_SHOWN = 5

_CHOICE = {False: "[list(network.feature_names)]", True: ".select(list(network.feature_names))"}
"""How columns are chosen; the second of a table of Arrow."""


def names_of(table: Any) -> Names | None:
    """The names of the columns of a table of pandas, Polars or Arrow; None where there are none, not one for every column, or
    not all are strings."""
    return _names_in(table, "column_names") or _names_in(table, "columns")  # Arrow's columns are its data


def _names_in(owner: Any, attribute: str) -> Names | None:
    """The names that an attribute holds, if it does: objects of any class may have one of that name, and it may be anything."""
    try:
        names: Any = getattr(owner, attribute, None)
        shape = getattr(owner, "shape", None)
        if not hasattr(names, "__getitem__") or isinstance(names, (str, bytes, Mapping)):
            return None
        listed = list(names)
        fits = not isinstance(shape, tuple) or shape[-1:] == (len(listed),)
    except not_by_handler(Exception):  # whatever the code of another package raises
        return None
    return tuple(map(str, listed)) if listed and fits and all(map(_is_name, listed)) else None


def table_or_array(argument: str, data: Any) -> Any:
    """Data of which :func:`rows` can be taken: a table whose columns have names stays one."""
    names = names_of(data) if isinstance(getattr(data, "shape", None), tuple) else None  # a LazyFrame has names and no rows
    if names is None:
        return as_array(argument, data, "be an array")
    _check_unlike(argument, names)
    return data


def rows(data: Any, places: npt.NDArray[np.intp]) -> Any:
    """Rows of an array, or of a table, which stays one and keeps the names of its columns."""
    if names_of(data) is None:
        return np.asarray(data)[places]
    if hasattr(data, "iloc"):  # pandas
        return data.iloc[places]
    return data.take(places) if hasattr(data, "take") else data[places]  # Arrow, Polars


def names_to_learn(argument: str, table: object, shape: tuple[int, ...]) -> Names | None:
    """The names of the columns of a table for samples of a shape, None for none; raises ValueError where two are the same."""
    names = names_of(table)
    if names is None or shape != (len(names),):
        return None
    _check_unlike(argument, names)
    return names


def _check_unlike(argument: str, names: Names) -> None:
    """Raise ValueError where several columns have the same name: no later table could be chosen by them."""
    twice = _repeated(names)
    if twice:
        raise ValueError(f"{argument} must have a name of its own for every column, got {_listed(twice)} more than once; "
                         f"rename these columns, or pass the numbers without names, np.asarray({argument})")


def _repeated(names: list[str] | Names) -> list[str]:
    """Those that come more than once."""
    return [name for name, count in Counter(names).items() if count > 1]


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
    twice = _repeated(listed)
    if twice:
        raise ValueError(f"{argument} must all be different, got {_listed(twice)} more than once; rename these features, or "
                         f"let network.feature_names = None forget them")
    return tuple(map(str, listed))


def check_names(argument: str, table: object, known: Names | None) -> None:
    """Raise ValueError where a table has other columns than the ``known`` ones."""
    given = None if known is None else names_of(table)
    if known is not None and given is not None and given != known:
        _refuse(argument, given, known, f"{argument}{_CHOICE[hasattr(table, 'column_names')]}")


def check_row_names(argument: str, row: object, known: Names | None) -> None:
    """Raise ValueError where a row of a table, a Series of pandas, has other names in its index than the ``known`` ones."""
    given = None if known is None else _names_in(row, "index")
    if known is not None and given is not None and given != known:
        _refuse(argument, given, known, f"{argument}{_CHOICE[False]}")


def _refuse(argument: str, given: Names, known: Names, choice: str) -> Never:
    """Raise the ValueError for names other than the ``known`` ones."""
    _check_unlike(argument, given)
    missing, unknown = [[name for name in one if name not in other] for one, other in (
        (known, set(given)), (given, set(known)))]
    found = [f"it lacks {_listed(missing)}"] * bool(missing) + [f"it has the unknown {_listed(unknown)}"] * bool(unknown)
    remedy = f"add what is missing; network.feature_names has all {len(known)}" if missing else (
        f"{choice} has them in the right order")
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
