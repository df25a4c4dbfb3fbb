"""Model files: a network in one file, as ``docs/model-file.md`` describes it.

A safetensors container (``container.py``) carries the numbers, a description in canonical JSON (``description.py``)
everything else. The same network always gives the same bytes. Nothing in a file is executed. What a file claims is
checked against its size before anything is allocated, so a small file cannot ask for much memory.
"""

from __future__ import annotations

import io
import os
import zlib
from collections.abc import Iterable, Mapping
from math import prod
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from cbp.errors import ModelFileError
from cbp.layers.base import blank
from cbp.modelfile import container, files
from cbp.modelfile.description import Description, state_name
from cbp.network import Network
from cbp.optimizers import OPTIMIZERS

__all__ = ["dumps", "load", "loads", "save"]

_NOT_NEGATIVE = tuple(state_name(slot, "") for kind in OPTIMIZERS.values() for slot in kind.not_negative)
"""What the names of means and sums of squares begin with; a layer's end in ``.variance``."""
_LONGEST_MESSAGE = 400

Array = npt.NDArray[Any]


def save(network: Network, path: str | os.PathLike[str]) -> None:
    """Write a network, with its optimizer's state, to a file that :func:`load` reads.

    The file appears, or replaces another, as a whole or not at all, even if the process is killed meanwhile. A symbolic
    link is followed. An array given as ``init`` is not kept: the loaded layer has its default initializer.

    Parameters
    ----------
    network : Network
        The network; nothing of it changes.
    path : str or os.PathLike
        The file, by convention ``....cbp``. Its folder must exist.

    Raises
    ------
    ValueError, TypeError
        A weight, a running statistic or the optimizer's state is not finite, a variance is below 0, or ``metadata`` holds
        what JSON cannot. The file is untouched.
    OSError
        The file cannot be written (no such folder, no permission, disk full). What was there before is still there.
    """
    files.replace(files.name_of(path), _encode(network))


def load(path: str | os.PathLike[str]) -> Network:
    """Read the network that :func:`save` wrote; it trains on exactly as the saved one would have.

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
    except ModelFileError as problem:
        raise _named(name, problem) from None


def dumps(network: Network) -> bytes:
    """The bytes that :func:`save` would write; raises as it does."""
    return b"".join(_encode(network))


def loads(data: bytes) -> Network:
    """The network of such bytes; raises ModelFileError as :func:`load` does."""
    try:
        return _decode(io.BytesIO(data), len(data))
    except ModelFileError as problem:
        raise _named("model data", problem) from None


def _named(name: str, problem: ModelFileError) -> ModelFileError:
    """The same error with the name of the file, cut to a readable length: a hostile file chooses what is quoted."""
    text = str(problem)
    return ModelFileError(f"{name}: {text if len(text) <= _LONGEST_MESSAGE else text[:_LONGEST_MESSAGE] + '...'}")


def _encode(network: Network) -> tuple[bytes, bytearray]:
    """Header and data of the network's file, of one moment: several threads may ask, while none trains."""
    with network._copying, network._training:
        description = Description.of(network)
        arrays = _arrays_of(network)
        if problem := _wrong_value(arrays):
            raise ValueError(f"the network cannot be saved: {problem}{_remedy(network, problem.split()[0])}")
        text = description.to_json()
        data = container.pack(arrays, description.dtype)
    metadata = {"cbp": text, "crc32": _checksum(text, [data])}
    header = container.write_header(metadata, description.shapes(), description.dtype)
    try:  # whatever would be refused when it is loaded is refused now, while the network still exists
        _read_header(io.BytesIO(header), len(header) + len(data))
    except ModelFileError as refusal:
        raise ValueError(f"the network cannot be saved: {refusal}") from None
    return header, data


def _arrays_of(network: Network) -> dict[str, Array]:
    """Views of all numbers of a network, by their names in a file."""
    arrays = {**network.parameters, **network.statistics}
    for slot, state in network.optimizer_state.items():
        arrays |= {state_name(slot, name): array for name, array in state.items()}
    return arrays


def _wrong_value(arrays: Mapping[str, Array]) -> str:
    """What is wrong with the numbers that a file may not hold; empty where all are right."""
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            return f"{name} holds a value that is not finite"
        if (name.startswith(_NOT_NEGATIVE) or name.endswith(".variance")) and array.min() < 0:
            return f"{name} holds a value below 0"
    return ""


def _remedy(network: Network, name: str) -> str:
    """How a network gets rid of what is wrong with an array; nothing is said of weights, which are the user's."""
    if name in network.statistics:
        return f"; network.statistics[{name!r}][:] = 1 mends that"
    return "; set_optimizer gives a fresh state" if name.startswith("optimizer.") else ""


def _decode(file: BinaryIO, size: int) -> Network:
    """Read a network; ``size`` is that of the whole file."""
    header, description, starts = _read_header(file, size)
    data = memoryview(file.read(header.size))
    if len(data) < header.size:
        raise ModelFileError("truncated while it was read")
    kind = np.dtype(description.dtype).newbyteorder("<")
    arrays = {
        name: np.frombuffer(data, kind, prod(shape), starts[name]).reshape(shape)
        for name, shape in description.shapes().items()
    }
    if header.metadata.get("crc32") != _checksum(header.metadata["cbp"], [array.data for array in arrays.values()]):
        raise ModelFileError("damaged: the checksum does not fit the content")
    if problem := _wrong_value(arrays):
        raise ModelFileError(problem)
    return _build(description, arrays)


def _read_header(file: BinaryIO, size: int) -> tuple[container.Header, Description, dict[str, int]]:
    """Read and check all but the data: the header, the description, and where each array begins."""
    header = container.read_header(file, size)
    if "cbp" not in header.metadata:
        raise ModelFileError("a safetensors file, but without cbp's description")
    description = Description.from_json(header.metadata["cbp"])
    return header, description, container.locate(header, description.shapes(), description.dtype)


def _checksum(text: str, arrays: Iterable[bytearray | memoryview]) -> str:
    """CRC-32 of the description and of the arrays in the network's order, as eight hexadecimal digits."""
    checksum = zlib.crc32(text.encode())
    for array in arrays:
        checksum = zlib.crc32(array, checksum)
    return f"{checksum:08x}"


def _build(description: Description, arrays: Mapping[str, Array]) -> Network:
    """The network with these arrays, which are copied."""
    # Zeros spare the work of drawing weights that are replaced: orthogonal ones, if they are many, take minutes.
    layers = [blank(layer) for layer in description.layers]
    try:
        network = Network(
            description.inputs, layers, loss=description.loss, dtype=description.dtype, seed=description.seed,
            l1=description.l1, l2=description.l2,
        )  # fmt: skip
    except (TypeError, ValueError, OverflowError) as problem:
        raise ModelFileError(f"describes no network: {problem}") from None
    except MemoryError as problem:
        raise ModelFileError(f"describes a network that needs more memory than there is: {problem}") from None
    network.layers = description.layers
    network.metadata = description.metadata
    if description.optimizer is not None:
        network.set_optimizer(description.optimizer)
    for name, view in _arrays_of(network).items():
        view[...] = arrays[name]
    network._numbers.step = description.step
    network._numbers.epoch = description.epoch
    return network
