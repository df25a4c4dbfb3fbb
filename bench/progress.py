"""Tells on the error stream which row is being measured."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence


def say(names: Sequence[str]) -> Iterator[str]:
    for number, name in enumerate(names, 1):
        print(f"  {number}/{len(names)} {name}", file=sys.stderr, flush=True)
        yield name
