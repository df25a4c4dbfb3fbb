"""What all kinds of cases share: a random generator, a script of what was done, counts, and what a finding is."""

from collections import Counter

import numpy as np

DOCUMENTED = (ValueError, TypeError, ArithmeticError, RuntimeError, AttributeError, OSError)
"""What public calls may raise, ``ModelFileError`` and ``DivergedError`` among it; ``stranger`` knows exceptions from that."""

LONGEST = 3000
"""Characters of a message."""


class Finding(Exception):
    """Something that cbp should not have done."""


class Case:
    """One case: everything that it does follows from its seed.

    ``say`` is told every line of the script before it runs, so that whoever listens knows it even after a crash.
    """

    def __init__(self, seed, say=lambda line: None):
        self.rng = np.random.default_rng(seed)
        self.counts = Counter()
        self.say = say

    def chance(self, probability):
        return self.rng.random() < probability

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def run(self):
        raise NotImplementedError


def stranger(problem):
    """What is wrong with an exception as the answer of a public call; empty for a good one."""
    kind = type(problem)
    if not isinstance(problem, DOCUMENTED) or isinstance(problem, (RecursionError, NotImplementedError, UnicodeError)):
        return f"{kind.__name__} is no documented exception: {problem}"
    if isinstance(problem, ArithmeticError) and kind.__name__ != "DivergedError":
        return f"{kind.__name__} is no documented exception: {problem}"
    text = str(problem)
    if len(text) < 10 or len(text) > LONGEST:
        return f"{kind.__name__} with a message of {len(text)} characters: {text[:100]}"
    return ""
