"""Model files: a snapshot of a network in one file, as ``docs/model-file.md`` describes it.

A safetensors container (``container.py``) carries the numbers, a description in canonical JSON (``description.py``)
everything else. The same network always gives the same bytes. Nothing in a file is executed. What a file claims is
checked against its size before anything is allocated, so a small file cannot ask for much memory.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import prod
from typing import Any, BinaryIO, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from cbp.engine import check
from cbp.engine.snapshot import Snapshot
from cbp.errors import ModelFileError, not_by_handler, plain
from cbp.modelfile import container, description, files
from cbp.modelfile.description import Layout, state_name
from cbp.optimizers import OPTIMIZERS

__all__ = ["dumps", "load", "loads", "refusal", "restored", "save"]


class _FromSnapshot(Protocol):
    """A class of networks, which are specified above."""

    @classmethod
    def from_snapshot(cls, snapshot: Snapshot) -> Self: ...


Built = TypeVar("Built", bound=_FromSnapshot)

_NOT_NEGATIVE = tuple(state_name(slot, "") for kind in OPTIMIZERS.values() for slot in kind.not_negative)
"""What the names of means and sums of squares begin with; a layer's end in ``.variance``."""
_LONGEST_MESSAGE = 400

Array = npt.NDArray[Any]


def save(snapshot: Snapshot, path: str | os.PathLike[str], *, optimizer: bool = True) -> None:
    """Write a snapshot to a file that :func:`load` reads.

    The file appears, or replaces another, as a whole or not at all, even if the process is killed meanwhile. A symbolic
    link is followed. An array given as ``init`` is not kept: the loaded layer has its default initializer.

    Parameters
    ----------
    snapshot : Snapshot
    path : str or os.PathLike
        The file, by convention ``....cbp``. Its folder must exist.
    optimizer : bool
        Whether the optimizer, its state and its step are written. Without them a file is enough to predict.

    Raises
    ------
    ValueError, TypeError
        A weight, a running statistic or the optimizer's state is not finite, a variance is below 0, or ``metadata`` holds
        what JSON cannot. The file is untouched.
    OSError
        The file cannot be written (no such folder, no permission, disk full). What was there before is still there.
    """
    files.replace(files.name_of(path), _encode(_chosen(snapshot, optimizer)))


def load(path: str | os.PathLike[str]) -> Snapshot:
    """Read what :func:`save` wrote.

    Parameters
    ----------
    path : str or os.PathLike
        The file. It may come from a stranger: the worst that it can do is to be refused.

    Raises
    ------
    ModelFileError
        The file is damaged, truncated, written by a newer cbp, or no cbp model file.
    FileNotFoundError, PermissionError, OSError
        The file cannot be opened or read.
    """
    name = files.name_of(path)
    try:
        with files.open_regular(name) as (file, size):
            return _decode(file, size)
    except not_by_handler(ModelFileError) as problem:
        raise refusal(name, problem) from None


def dumps(snapshot: Snapshot, *, optimizer: bool = True) -> bytes:
    """The bytes that :func:`save` would write; raises as it does."""
    return b"".join(_encode(_chosen(snapshot, optimizer)))


def loads(data: bytes) -> Snapshot:
    """What such bytes hold; raises ModelFileError as :func:`load` does."""
    try:
        return _decode(io.BytesIO(data), len(data))
    except not_by_handler(ModelFileError) as problem:
        raise refusal(None, problem) from None


def restored(kind: type[Built], snapshot: Snapshot, path: str | os.PathLike[str] | None) -> Built:
    """The network of a kind that a file, or bytes, describe; raises ModelFileError where that is none."""
    try:
        return kind.from_snapshot(snapshot)
    except not_by_handler(TypeError, ValueError, OverflowError, MemoryError) as problem:
        needs = "a network that needs more memory than there is" if isinstance(problem, MemoryError) else "no network"
        raise refusal(path, f"describes {needs}: {problem}") from None


def refusal(path: str | os.PathLike[str] | None, problem: object) -> ModelFileError:
    """The error for a file, or for bytes, with its name, cut to a readable length: a hostile file chooses what is quoted."""
    name = "model data" if path is None else files.name_of(path)
    return ModelFileError(f"{plain(name)}: {plain(problem, _LONGEST_MESSAGE)}")


def _chosen(snapshot: Snapshot, optimizer: bool) -> Snapshot:
    """What is to be written of a snapshot."""
    if check.boolean("optimizer", optimizer):
        return snapshot
    return replace(snapshot, optimizer=None, optimizer_state={}, step=0, averaged=0, since=0)


def _encode(snapshot: Snapshot) -> list[bytes | memoryview]:
    """Header and data of a file, the data without copying where it lies as files have it."""
    text, shapes, dtype = description.write(snapshot), Layout.of(snapshot).shapes, snapshot.dtype
    arrays = _arrays_of(snapshot)
    if problem := _wrong_value(arrays):
        raise ValueError(f"the network cannot be saved or copied: {problem}{_remedy(snapshot, problem.split()[0])}")
    if {name: array.shape for name, array in arrays.items()} != shapes:
        raise ValueError("the network cannot be saved: its arrays are not those of its layers")
    data = [container.raw(array, dtype) for array in arrays.values()]
    metadata = {"cbp": text, "crc32": _checksum(text, data)}
    header = container.write_header(metadata, shapes, dtype)
    try:  # whatever would be refused when it is loaded is refused now, while the network still exists
        _read_header(io.BytesIO(header), len(header) + sum(map(len, data)))
    except not_by_handler(ModelFileError) as refused:
        raise ValueError(f"the network cannot be saved: {refused}") from None
    return [header, *data]


def _arrays_of(snapshot: Snapshot) -> dict[str, Array]:
    """All arrays of a network, by their names in a file."""
    arrays = {**snapshot.parameters, **snapshot.statistics}
    for slot, state in snapshot.optimizer_state.items():
        arrays |= {state_name(slot, name): array for name, array in state.items()}
    return arrays


def _wrong_value(arrays: Mapping[str, Array]) -> str:
    """What is wrong with the numbers that a file may not hold; empty where all are right."""
    for name, array in arrays.items():
        with np.errstate(invalid="ignore"):
            least, most = array.min(), array.max()  # both are NaN where a value is, and take no memory
        if not (np.isfinite(least) and np.isfinite(most)):
            index = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
            return f"{name} holds a value that is not finite, {array[index]} at index {index}"
        if (name.startswith(_NOT_NEGATIVE) or name.endswith(".variance")) and least < 0:
            return f"{name} holds a value below 0"
    return ""


def _remedy(snapshot: Snapshot, name: str) -> str:
    """How a network gets rid of what is wrong with an array."""
    if name in snapshot.statistics:
        return f"; network.statistics[{name!r}][:] = 1 mends that"
    if name.startswith("optimizer."):
        return "; set_optimizer gives a fresh state"
    return f"; write finite values to network.parameters[{name!r}], or take a network that was saved before"


def _decode(file: BinaryIO, size: int) -> Snapshot:
    """Read a snapshot; ``size`` is that of the whole file."""
    header, snapshot, layout, starts = _read_header(file, size)
    raw = file.read(header.size)
    if len(raw) < header.size:
        raise ModelFileError("truncated while it was read")
    numbers = np.frombuffer(raw, np.dtype(snapshot.dtype).newbyteorder("<"))
    arrays = {name: numbers[(start := starts[name] // numbers.itemsize) : start + prod(shape)].reshape(shape)
              for name, shape in layout.shapes.items()}
    if header.metadata.get("crc32") != _checksum(header.metadata["cbp"], [array.data for array in arrays.values()]):
        raise ModelFileError("damaged: the checksum does not fit the content")
    if problem := _wrong_value(arrays):
        raise ModelFileError(problem)
    return layout.filled(snapshot, arrays)


def _read_header(file: BinaryIO, size: int) -> tuple[container.Header, Snapshot, Layout, dict[str, int]]:
    """Read and check all but the data: the header, the description, which arrays there are and where each begins."""
    header = container.read_header(file, size)
    if "cbp" not in header.metadata:
        raise ModelFileError("a safetensors file, but without cbp's description")
    snapshot, layout = description.read(header.metadata["cbp"])
    return header, snapshot, layout, container.locate(header, layout.shapes, snapshot.dtype)


def _checksum(text: str, arrays: Iterable[memoryview]) -> str:
    """CRC-32 of the description and of the arrays in the network's order, as eight hexadecimal digits."""
    checksum = zlib.crc32(text.encode())
    for array in arrays:
        checksum = zlib.crc32(array, checksum)
    return f"{checksum:08x}"
