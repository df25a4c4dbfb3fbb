"""How formulas and sums are written: in names, and filled in with numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from cbp.trace.records import Term


class Limits(NamedTuple):
    """How much is shown: significant digits, rows, units of a layer, terms of a sum, connections into a layer, time steps."""

    digits: int
    rows: int
    units: int
    terms: int
    connections: int
    steps: int = 6


PAGE = Limits(digits=5, rows=4, units=10, terms=8, connections=40)
"""What a page shows unless it is told otherwise."""


def number(value: float, digits: int) -> str:
    """Without a negative zero."""
    return f"{value + 0.0:.{digits}g}"


def fill(template: str, digits: int, **values: float | str) -> str:
    """A formula with its numbers; negative ones stand in parentheses where they must."""
    texts = {name: value if isinstance(value, str) else number(value, digits) for name, value in values.items()}
    filled = template.format_map({name: f"({text})" if text[:1] == "-" else text for name, text in texts.items()})
    # tanh((-1)) is tanh(-1) and (-1) - 2 is -1 - 2, but (-1)² stays.
    return re.sub(r"(^|[(|]|, |if |else |[<=>] )\((-[\d.e+-]+)\)(?![²^])", r"\1\2", filled)


def shape_text(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def signed_sum(texts: Sequence[str]) -> str:
    """``a + b - c`` of a, b and -c."""
    text = "".join(f" - {text[1:]}" if text[:1] == "-" else f" + {text}" for text in texts)
    return "0" if not text else text[3:] if text[:3] == " + " else "-" + text[3:]


def is_sum(text: str) -> bool:
    """Whether a formula has a plus or minus outside of parentheses, or is a quotient."""
    depth = 0
    for i, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and text[i : i + 3] in (" + ", " - ", " / "):
            return True
    return False


def addends(
    terms: Sequence[Term], limits: Limits, symbols: Sequence[str] | None = None, names: Sequence[str] = ()
) -> tuple[list[str], list[str]]:  # fmt: skip
    """The addends of a sum in names, ``w·x``, and in numbers, ``0.5·2``; of many the largest, and what the others come to.

    Without symbols nothing is said in names; in a long sum the numbers then have their sources behind them.
    """
    kept = list(range(len(terms)))
    if len(terms) > limits.terms + 1:
        kept = sorted(sorted(kept, key=lambda i: -abs(terms[i].product))[: limits.terms])
    in_names = [_named(symbols[i], names[i]) for i in kept] if symbols else []
    in_numbers = [_product(symbols[i] if symbols else "w", terms[i], limits.digits) for i in kept]
    left = len(terms) - len(kept)
    if left:
        rest = number(sum(term.product for i, term in enumerate(terms) if i not in kept), limits.digits)
        if symbols:
            return [*in_names, f"… {left} more"], [*in_numbers, f"… ({rest})"]
        in_numbers = [f"{addend} ({terms[i].source})" for addend, i in zip(in_numbers, kept, strict=True)]
        in_numbers.append(f"… {left} more ({rest})")
    return in_names, in_numbers


def _named(symbol: str, name: str) -> str:
    """``w·x``, where w may be a formula."""
    if name == "bias":
        return symbol
    if symbol in ("1", "-1"):
        return name if symbol == "1" else f"-{name}"
    return f"{f'({symbol})' if is_sum(symbol) else symbol}·{name}"


def _product(symbol: str, term: Term, digits: int) -> str:
    if term.source == "bias":
        return number(term.weight, digits)
    if symbol == "1":
        return number(term.value, digits)
    return fill("{w}·{v}", digits, w=term.weight, v=term.value)
