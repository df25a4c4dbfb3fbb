"""The random words of a training step in plain Python: Philox 4x32-10, with the counters that the core gives it.

Source: Salmon et al., 2011, Parallel random numbers: as easy as 1, 2, 3. A word depends on the network's seed, the layer, the
epoch, the step, the row's place in the batch and the number's place in the row, and on nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cbp.trace.graph import size_of

MASK = 0xFFFFFFFF
NOISE = 2
"""Purpose of the first layer of noise; 0 and 1 are the initial weights and the shuffles."""

LANES = 16
"""In the core the last axis of a value is padded to a multiple of this, and the pads have numbers too."""


def block(key: Sequence[int], counter: Sequence[int]) -> list[int]:
    """Ten rounds: four random words from a key of two words and a counter of four."""
    (k0, k1), (c0, c1, c2, c3) = key, counter
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + 0x9E3779B9) & MASK, (k1 + 0xBB67AE85) & MASK
    return [c0, c1, c2, c3]


def noise_key(seed: int, stream: int, epoch: int, step: int) -> list[int]:
    """The key of one layer's noise in one step; ``step`` counts the updates before."""
    return block([seed & MASK, seed >> 32], [step & MASK, step >> 32, epoch, NOISE + stream])[:2]


def words(key: Sequence[int], place: int, count: int) -> list[int]:
    """Random words of the row at ``place``. They come 64 at a time, from sixteen blocks: first all their first words, then all
    their second ones, and so on."""
    found: list[int] = []
    for group in range(-(-count // 64)):
        blocks = [block(key, [16 * group + i, place, 0, 0]) for i in range(16)]
        found += [each[w] for w in range(4) for each in blocks]
    return found


def spread(shape: Sequence[int], numbers: Sequence[float]) -> list[float]:
    """Of numbers that count the pads, those of a value of this shape."""
    width = -(-shape[-1] // LANES) * LANES
    return [numbers[p * width + c] for p in range(size_of(shape[:-1])) for c in range(shape[-1])]


def padded_size(shape: Sequence[int]) -> int:
    return size_of(shape[:-1]) * -(-shape[-1] // LANES) * LANES


def masks(key: Sequence[int], place: int, shape: Sequence[int], rate: float) -> list[float]:
    """0 with the probability ``rate``, else 1 / (1 - rate)."""
    drawn = words(key, place, padded_size(shape))
    return spread(shape, [0.0 if word < int(rate * 2**32) else 1 / (1 - rate) for word in drawn])


def normals(key: Sequence[int], place: int, shape: Sequence[int]) -> list[float]:
    """Standard normal numbers: of every 32 words sixteen choose a distance and sixteen a direction (Box & Muller, 1958)."""
    drawn = words(key, place, padded_size(shape))
    numbers: list[float] = []
    for start in range(0, len(drawn), 32):
        pairs = zip(drawn[start : start + 16], drawn[start + 16 : start + 32], strict=True)
        first, second = zip(*(normal_pair(radius, angle) for radius, angle in pairs), strict=True)
        numbers += [*first, *second]
    return spread(shape, numbers)


def normal_pair(radius: int, angle: int) -> tuple[float, float]:
    """A point at the distance √(-2 log u). The two highest bits of the angle choose the quadrant, the others the direction from
    its middle."""
    distance = math.sqrt(-2 * math.log((radius >> 1) * 2.0**-31 + 2.0**-32))
    quadrant = angle >> 30
    part = (angle & 0x3FFFFFFF) * 2.0**-30 - 0.5
    c, s = distance * math.cos(part * math.pi / 2), distance * math.sin(part * math.pi / 2)
    if quadrant & 1:
        c, s = s, c
    return -c if (quadrant + 1) & 2 else c, -s if quadrant & 2 else s
