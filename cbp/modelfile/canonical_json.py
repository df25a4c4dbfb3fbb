"""JSON as model files hold it: canonical when written, nothing ambiguous or oversized when read.

The limits keep a hostile text from costing more than a few hundred megabytes or a few seconds, whatever it holds.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

__all__ = ["MAX_DEPTH", "check", "decode", "encode"]

MAX_DEPTH = 64
MAX_ITEMS = 1_000_000
MAX_DIGITS = 400

# A string, closed or not; possessive, so that a long one costs no memory.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


def encode(value: object, *, sort_keys: bool = True) -> str:
    """A value that :func:`check` let pass, as canonical JSON: sorted keys, no spaces, nothing escaped needlessly."""
    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def decode(text: str, where: str) -> Any:
    """The value of a JSON text; raises ValueError for anything that :func:`encode` would not have written."""
    if sum(map(text.count, ",[{")) > MAX_ITEMS:
        raise ValueError(f"{where}: more than {MAX_ITEMS:,} items")
    if _depth(text) > MAX_DEPTH:  # looked at beforehand, so that the parser's recursion stays shallow
        raise ValueError(f"{where}: nested too deeply")
    try:
        value = _DECODER.decode(text)
    except ValueError as problem:
        raise ValueError(f"{where}: not valid JSON ({problem})") from None
    check(value, where)
    return value


def check(value: object, where: str, levels: int = MAX_DEPTH) -> None:
    """Raise unless ``value`` is made of what JSON gives back as it was (tuples aside, which come back as lists).

    The TypeError or ValueError names the place inside ``where``. At most ``levels`` containers may lie in each other.
    """
    if isinstance(value, (dict, list, tuple)):
        if not levels:
            raise ValueError(f"{where.split('[')[0]}: nested too deeply")
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(value, dict):
                if not isinstance(key, str):
                    raise TypeError(f"{where}: keys must be strings, got {_short(key)}")
                _check_text(key, where)
            check(item, f"{where}[{_short(key)}]", levels - 1)
    elif isinstance(value, str):
        _check_text(value, where)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where} must be finite, got {value}")
    elif isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            raise ValueError(f"{where}: an integer of more than {MAX_DIGITS} digits")
    elif value is not None:
        raise TypeError(
            f"{where} must be JSON data (None, a bool, number, string, list or dict; arrays as .tolist()), "
            f"got {type(value).__name__}"
        )


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{where}: half a surrogate pair in the string {_short(text)}") from None


def _depth(text: str) -> int:
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_short(twice)} occurs twice")
    return result


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of more than {MAX_DIGITS} digits")
    return int(digits)


def _float(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits} is out of range")
    return value


def _short(value: object) -> str:
    """``repr(value)``, cut to what an error message can carry."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int)
