"""JSON as model files hold it: canonical when written, nothing ambiguous or oversized when read.

The limits keep a hostile text from costing more than a second, or more memory than twice its size and 50 MB, whatever it
holds.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from cbp.errors import not_by_handler, quoted

__all__ = ["MAX_DEPTH", "check", "decode", "encode"]

MAX_DEPTH = 64
MAX_ITEMS = 1_000_000
"""A string counts as one more, a list as 3, an object as 6: as much memory as they take in Python beside a number."""
MAX_KEYS = 170_000
MAX_STRINGS = 250_000
MAX_WIDE = 3 * 2**20
"""Characters of a text in which some are not of Latin-1: Python keeps each of its characters in two or four bytes then."""
MAX_DIGITS = 400

# A string, closed or not; possessive, so that a long one costs no memory.
_STRING = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
_WIDE = re.compile(rb"[\xc4-\xff]|\\u(?!00)")
_CONTINUATION = bytes(range(0x80, 0xC0))
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")


def encode(value: object, *, sort_keys: bool = True) -> str:
    """A value that :func:`check` let pass, as canonical JSON: sorted keys, no spaces, nothing escaped needlessly."""
    return json.dumps(value, sort_keys=sort_keys, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def decode(text: str | bytes, where: str) -> Any:
    """The value of a JSON text; raises ValueError for anything that :func:`encode` would not have written."""
    text = _checked_text(text.encode() if isinstance(text, str) else text, where)
    try:
        value = _DECODER.decode(text)
    except not_by_handler(ValueError) as problem:
        raise ValueError(f"{where}: not valid JSON ({problem})") from None
    if _SURROGATE.search(text):  # all else that `check` refuses, the decoder has refused
        check(value, where)
    return value


def _checked_text(raw: bytes, where: str) -> str:
    """A text in UTF-8; raises ValueError where it would cost too much: looked at before it is decoded and parsed, so that the
    parser's recursion stays shallow too."""
    if len(raw) > MAX_WIDE and _WIDE.search(raw) and len(raw.translate(None, _CONTINUATION)) > MAX_WIDE:
        raise ValueError(f"{where}: more than {MAX_WIDE:,} characters, not all of them of Latin-1")
    text = raw.decode()
    if text.count('"') - text.count('\\"') > 2 * MAX_STRINGS:
        raise ValueError(f"{where}: more than {MAX_STRINGS:,} strings")
    bare, strings = _STRING.subn("", text)
    items = bare.count(",") + strings + 3 * bare.count("[") + 6 * bare.count("{")
    for what, count, most in (
        ("strings", strings, MAX_STRINGS), ("keys", bare.count(":"), MAX_KEYS), ("items", items, MAX_ITEMS)):
        if count > most:
            raise ValueError(f"{where}: more than {most:,} {what}")
    depth = deepest = 0
    for match in _BRACKET.finditer(bare):
        depth += 1 if match[0] in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise ValueError(f"{where}: nested too deeply")
    return text


def check(value: object, where: str, levels: int = MAX_DEPTH) -> None:
    """Raise unless ``value`` is made of what JSON gives back as it was (tuples aside, which come back as lists).

    The TypeError or ValueError names the place inside ``where``. At most ``levels`` containers may lie in each other.
    """
    try:
        _check(value, levels)
    except _Wrong as wrong:
        keys = "" if wrong.kind is RecursionError else "".join(f"[{quoted(key)}]" for key in reversed(wrong.place))
        kind = ValueError if wrong.kind is RecursionError else wrong.kind
        raise kind(f"{where}{keys}{wrong}") from None


class _Wrong(Exception):
    """What is wrong, and under which keys, the innermost first: a place is spelt only where one is asked for."""

    def __init__(self, kind: type[Exception], problem: str):
        super().__init__(problem)
        self.kind = kind
        self.place: list[object] = []


def _check(value: object, levels: int) -> None:
    if isinstance(value, (dict, list, tuple)):
        if not levels:
            raise _Wrong(RecursionError, ": nested too deeply")
        if isinstance(value, dict):
            _check_keys(value)
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            try:
                _check(item, levels - 1)
            except _Wrong as wrong:
                wrong.place.append(key)
                raise
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _Wrong(ValueError, f" must be finite, got {value}")
    elif isinstance(value, int):
        if abs(value) >= 10**MAX_DIGITS:
            raise _Wrong(ValueError, f": an integer of more than {MAX_DIGITS} digits")
    elif value is not None:
        raise _Wrong(TypeError, f" must be JSON data (None, a bool, number, string, list or dict; arrays as .tolist()), "
                                f"got {type(value).__name__}")


def _check_keys(value: dict[Any, object]) -> None:
    for key in value:
        if not isinstance(key, str):
            raise _Wrong(TypeError, f": keys must be strings, got {quoted(key)}")
        _check_text(key)


def _check_text(text: str) -> None:
    try:
        text.encode()
    except not_by_handler(UnicodeEncodeError):
        raise _Wrong(ValueError, f": half a surrogate pair in the string {quoted(text)}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {quoted(twice)} occurs twice")
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


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_constant, parse_float=_float, parse_int=_int)
