"""Model files with random damage, and random bytes in their place: refused, or the same network comes out."""

import json
import random
import struct

import pytest
from cases import dumps, loads, small_trained_classifier
from hypothesis import given, settings
from hypothesis import strategies as st

import cbp

DATA = dumps(small_trained_classifier())


def refused(data, message=None):
    with pytest.raises(cbp.ModelFileError, match=message):
        loads(data)


def refused_or_the_same(data):
    """Damage to a space, or to the order of the header's keys, is none."""
    try:
        net = loads(data)
    except cbp.ModelFileError:
        return
    assert dumps(net) == DATA


def test_every_truncation_is_refused():
    for size in range(len(DATA)):
        refused(DATA[:size], "truncated" if size > 8 else "not a cbp model file")


def damaged(rng):
    """The file with bits flipped, bytes inserted, removed or overwritten, or pieces repeated; mostly in its header."""
    data = bytearray(DATA)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        place = rng.randrange(rng.choice([9, 700, 2200, len(data)])) % len(data)
        end = min(len(data), place + rng.choice([1, 1, 4, 50]))
        match rng.randrange(6):
            case 0 | 1:
                data[place] ^= 1 << rng.randrange(8)
            case 2:
                data[place:end] = rng.randbytes(end - place)
            case 3:
                del data[place:end]
            case 4:
                data[place:place] = rng.choice([rng.randbytes(3), b"0", b"9" * 9, b"[", b'"', b"}", b"-", b"e9", b" "])
            case 5:
                data[place:place] = data[place:end]
    return bytes(data)


def test_damage_at_random_is_noticed():
    rng = random.Random(0)
    for _ in range(5000):
        refused_or_the_same(damaged(rng))


def test_every_flipped_bit_is_noticed():
    for place in range(len(DATA)):
        data = bytearray(DATA)
        data[place] ^= 1 << place % 8
        refused_or_the_same(bytes(data))


@given(st.binary(max_size=60))
def test_arbitrary_bytes(data):
    refused(data)


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: (
    st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["cbp", "format"]), inner, max_size=3)
), max_leaves=10)


def container(value, data=b""):
    header = json.dumps(value).encode()
    return struct.pack("<Q", len(header)) + header + data


HEADERS = st.dictionaries(st.text() | st.sampled_from(["__metadata__", "0.weight"]), JSON, max_size=3)


@settings(max_examples=100)
@given(HEADERS, st.binary(max_size=9))
def test_arbitrary_headers(header, data):
    refused(container(header, data))


@settings(max_examples=100)
@given(JSON)
def test_arbitrary_descriptions(description):
    refused(container({"__metadata__": {"cbp": json.dumps(description)}}))
