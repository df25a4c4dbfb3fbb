"""The safetensors container: a length, a JSON header that names the arrays, the arrays' bytes.

Written and read by cbp itself, strictly. Readers elsewhere take a key that occurs twice, values that are not finite, or
any name for an array; writers take arrays that are not contiguous and write other memory in their place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from cbp.errors import ModelFileError, not_by_handler, quoted
from cbp.modelfile import canonical_json

__all__ = ["DTYPES", "HEADER_LIMIT", "Header", "data_size", "locate", "raw", "read_header", "write_header"]

HEADER_LIMIT = 16 * 2**20
"""Bytes that a header may have; the format itself allows 100 MB."""

DTYPES = {"float32": "F32", "float64": "F64"}
"""The container's names of cbp's dtypes."""

Shapes = Mapping[str, tuple[int, ...]]

# How files begin that people take for model files, and what they are.
_FOREIGN = {
    b"PK\x03\x04": "a zip archive, such as .npz, .keras or a PyTorch checkpoint",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, such as Keras' .h5",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"\x1f\x8b": "a gzip archive",
    **{bytes((0x80, protocol)): "a pickle" for protocol in range(2, 6)},
}


def data_size(shapes: Shapes, dtype: str) -> int:
    """Bytes of all the arrays together."""
    return sum(map(prod, shapes.values())) * np.dtype(dtype).itemsize


def raw(array: npt.NDArray[Any], dtype: str) -> memoryview:
    """The bytes of an array: its numbers little-endian, in C order whatever its strides are."""
    return np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<")).reshape(-1).view(np.uint8).data


def write_header(metadata: Mapping[str, str], shapes: Shapes, dtype: str) -> bytes:
    """The length and the header of a file whose arrays lie in the order of ``shapes``."""
    entries: dict[str, object] = {"__metadata__": dict(metadata)}
    start = 0
    for name, shape in shapes.items():
        end = start + prod(shape) * np.dtype(dtype).itemsize
        entries[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = canonical_json.encode(entries, sort_keys=False).encode()
    text += b" " * (-len(text) % 8)  # aligns the numbers that follow
    if len(text) > HEADER_LIMIT:
        raise ValueError(f"the header of the model file would take {len(text):,} bytes, the limit is {HEADER_LIMIT:,}")
    return len(text).to_bytes(8, "little") + text


class Entry(NamedTuple):
    """What a file says of an array, None where that has not even the right form. Thousands lie in memory while the description
    is read: a tuple is small."""

    dtype: str | None
    shape: tuple[int, ...] | None
    offsets: tuple[int, ...] | None


@dataclass(frozen=True)
class Header:
    """The header of a file: what cbp knows of its metadata, its entries, and where and how long the data is."""

    metadata: dict[str, str]
    entries: dict[str, Entry]
    start: int
    size: int


def read_header(file: BinaryIO, size: int) -> Header:
    """Read the header of a file of ``size`` bytes; raises ModelFileError where it is none."""
    first = file.read(9)
    if not size:
        raise ModelFileError("the file is empty, not a cbp model file")
    length = int.from_bytes(first[:8], "little")
    if len(first) < 9 or first[8:] != b"{" or length < 2:
        raise ModelFileError(f"not a cbp model file{_guess(first)}")
    if length > HEADER_LIMIT:
        raise ModelFileError(f"not a cbp model file: a header of {length:,} bytes, the limit is {HEADER_LIMIT:,}")
    if 8 + length > size:
        raise ModelFileError(f"truncated: the header ends at byte {8 + length:,}, the file at byte {size:,}")
    raw = first[8:] + file.read(length - 1)
    if len(raw) < length:
        raise ModelFileError("truncated while it was read")
    try:
        entries = canonical_json.decode(raw, "header")
    except not_by_handler(ValueError) as problem:
        raise ModelFileError(f"damaged header: {problem}") from None
    metadata = entries.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ModelFileError("damaged header: __metadata__ must map strings to strings")
    known = {key: metadata[key] for key in ("cbp", "crc32") if key in metadata}
    return Header(known, {name: _entry(name, entry) for name, entry in entries.items()}, 8 + length, size - 8 - length)


def _guess(first: bytes) -> str:
    return next((f", but {kind}" for magic, kind in _FOREIGN.items() if first.startswith(magic)), "")


def locate(header: Header, shapes: Shapes, dtype: str) -> dict[str, int]:
    """Where the data of every array begins, counted from the start of the data, in the order of ``shapes``.

    Raises ModelFileError unless the header lists exactly these arrays, they lie one after the other without gaps or
    overlaps from the first byte of the data, and end with the file.
    """
    expected = data_size(shapes, dtype)
    if expected > header.size:
        raise ModelFileError(f"truncated: the arrays take {_count(expected)} bytes, the file has {header.size:,}")
    if expected < header.size:
        raise ModelFileError(f"{header.size - expected:,} bytes too long: the arrays take {expected:,}")
    for name in shapes:
        if name not in header.entries:
            raise ModelFileError(f"damaged header: the array {quoted(name)} is missing")
    if len(header.entries) > len(shapes):
        name = next(name for name in header.entries if name not in shapes)
        raise ModelFileError(f"damaged header: the network has no array {quoted(name)}")
    spans = {name: _span(name, header.entries[name], shape, dtype) for name, shape in shapes.items()}
    end = 0
    for name, (start, stop) in sorted(spans.items(), key=lambda item: item[1]):
        if start != end:
            raise ModelFileError(f"damaged header: {quoted(name)} should begin at {end:,}, not at {_count(start)}")
        end = stop
    return {name: start for name, (start, _) in spans.items()}


def _entry(name: str, entry: object) -> Entry:
    """What a header has under a name."""
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ModelFileError(f"damaged header: {quoted(name)} must have dtype, shape and data_offsets, and nothing else")
    dtype = entry["dtype"]
    return Entry(dtype if isinstance(dtype, str) else None, _integers(entry["shape"]), _integers(entry["data_offsets"]))


def _span(name: str, entry: Entry, shape: tuple[int, ...], dtype: str) -> tuple[int, int]:
    """First and last offset of an array whose entry must have this shape and dtype."""
    if entry.dtype != DTYPES[dtype]:
        raise ModelFileError(f"damaged header: the dtype of {quoted(name)} must be {DTYPES[dtype]}")
    if entry.shape != shape:
        raise ModelFileError(f"damaged header: the shape of {quoted(name)} must be {list(shape)}")
    size = prod(shape) * np.dtype(dtype).itemsize
    offsets = entry.offsets or ()
    if len(offsets) != 2 or offsets[1] - offsets[0] != size:
        raise ModelFileError(f"damaged header: {quoted(name)} needs two data_offsets that are {size:,} bytes apart")
    return offsets


def _integers(value: object) -> tuple[int, ...] | None:
    """A list of whole numbers, else None; in Python True counts as 1 and 2.0 equals 2, in a file they do not."""
    return tuple(value) if isinstance(value, list) and all(type(item) is int for item in value) else None


def _count(number: int) -> str:
    return f"{number:,}" if abs(number) < 2**63 else "more than 2**63"
