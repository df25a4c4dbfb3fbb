"""The description of a network in a model file: everything but the numbers in its arrays, as canonical JSON.

Nothing in it names code: layers, losses, optimizers and initializers come from fixed tables, and their own checks see
every value. A change of a key or of its meaning raises ``FORMAT``; an optional key, without which a network is right as well,
is a line in ``_OPTIONAL``.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from cbp import schedules
from cbp._version import __version__
from cbp.averages import AVERAGES, Average
from cbp.engine import check
from cbp.engine.plan import MOST_ARRAYS
from cbp.engine.snapshot import Array, Snapshot
from cbp.errors import ModelFileError, not_by_handler, plain, quoted
from cbp.initializers import Initializer, constant
from cbp.layers import LAYERS, Layer
from cbp.layers.base import MOST_LAYERS, Shape, parts
from cbp.losses import LOSSES
from cbp.modelfile import canonical_json, container
from cbp.optimizers import OPTIMIZERS
from cbp.schedules import Schedule

__all__ = ["FORMAT", "Layout", "read", "state_name", "write"]

FORMAT = 3
"""Format 1 had no optional keys, and is as format 2 otherwise, which had neither the keys of ``_SINCE`` nor the fields of a
specification whose metadata say so."""

_SINCE: dict[str, tuple[int, Any]] = {"averaged": (3, 0), "since": (3, 0), "frozen": (3, []), "rate_multipliers": (3, {})}
"""Keys that older formats do not have, each with the format it came with and what it is without."""

_LARGEST = {"seed": 2**63 - 1, "step": 2**53, "epoch": 2**53, "averaged": 2**53, "since": 2**53}
_LONGEST_NAME = 100

Spec = TypeVar("Spec")


_OPTIONAL: dict[str, Callable[[Any, str], Any]] = {
    "feature_names": lambda value, where: tuple(_text(name, where, longest=None) for name in _list(value, where)),
    "flat": lambda value, where: check.boolean(where, value),
}
"""The optional keys, which are fields of the snapshot, each with the function ``(value, where)`` that checks what a file has
there and gives the field. A field that is as usual has no key."""

_WRITER = "cbp"
"""The optional key that tells the version of cbp that wrote the file."""

_ARRAYS = ("parameters", "statistics", "optimizer_state")
_KEYS = {"inputs" if field.name == "input_shape" else field.name: field.name
         for field in fields(Snapshot) if field.name not in (*_ARRAYS, *_OPTIONAL, "extras")}
"""The other keys of a description, with the fields of the snapshot that they are."""


def write(snapshot: Snapshot) -> str:
    """The description of a network; raises TypeError or ValueError for what a file cannot hold."""
    for index, layer in enumerate(snapshot.layers):
        if other := next((part for part in parts(layer) if type(part) not in LAYERS.values()), None):
            raise TypeError(f"layer {index} cannot be saved: {type(other).__name__} is none of cbp's layers")
    if type(snapshot.optimizer) not in (*OPTIMIZERS.values(), type(None)):
        raise TypeError(f"the optimizer cannot be saved: {quoted(snapshot.optimizer)} is none of cbp's optimizers")
    canonical_json.check(snapshot.metadata, "metadata", canonical_json.MAX_DEPTH - 1)
    described = {key: getattr(snapshot, name) for key, name in _KEYS.items()}
    described["format"] = FORMAT
    described["optional"] = _optional(snapshot)
    described["layers"] = [_describe_layer(layer) for layer in snapshot.layers]
    described["loss"] = _describe_named(snapshot.loss)
    if snapshot.optimizer is not None:
        described["optimizer"] = _describe_named(snapshot.optimizer)
    return canonical_json.encode(described)


def _optional(snapshot: Snapshot) -> dict[str, Any]:
    """The optional keys: who writes, those of the network, and what a newer cbp had left."""
    if known := sorted(snapshot.extras.keys() & {_WRITER, *_OPTIONAL}):
        raise ValueError(f"the extras of a snapshot must be keys that cbp does not know, got {', '.join(known)}")
    canonical_json.check(dict(snapshot.extras), "extras", canonical_json.MAX_DEPTH - 1)
    usual = {field.name: field.default for field in fields(Snapshot)}
    own = {key: value for key in _OPTIONAL if (value := getattr(snapshot, key)) != usual[key]}
    return {**snapshot.extras, **own, _WRITER: __version__}


def read(text: str) -> tuple[Snapshot, Layout]:
    """The network of a description, without its arrays, and which those are; raises ModelFileError for anything that no network
    has."""
    writer = ""
    try:
        described = _object(canonical_json.decode(text, "description"), "it")
        optional, version = described.pop("optional", {}), described.pop("format", None)
        writer = _written_by(optional)
        if type(version) is not int or version < 1:
            raise ValueError("format must be a version number")
        if version > FORMAT:
            newer = f"written by a newer cbp {writer}".rstrip()
            raise ModelFileError(f"{newer}: format {version}, this cbp reads format {FORMAT} and older; pip install -U cbp")
        snapshot = _read(described, _object(optional, "optional"), version)
        return snapshot, Layout.of(snapshot)
    except ModelFileError:
        raise
    except not_by_handler(ValueError, TypeError, OverflowError) as problem:
        advice = f"; cbp {writer} wrote it, this is cbp {__version__}: pip install -U cbp if that is newer"
        raise ModelFileError(f"damaged description: {problem}{advice if writer not in ('', __version__) else ''}") from None


def _written_by(optional: object) -> str:
    """The version of cbp that wrote a description, to be shown; empty where none is told. Of a newer format nothing is sure."""
    version = optional.get(_WRITER) if isinstance(optional, dict) else None
    return plain(version, _LONGEST_NAME) if isinstance(version, str) else ""


def _read(described: dict[str, Any], optional: dict[str, Any], version: int) -> Snapshot:
    later = {key: usual for key, (since, usual) in _SINCE.items() if since > version}
    _expect_keys(described, set(_KEYS) - later.keys(), "it")
    described |= later
    _text(optional.pop(_WRITER, ""), f"optional: {_WRITER}")
    known = {key: checked(optional.pop(key), f"optional: {key}") for key, checked in _OPTIONAL.items() if key in optional}
    inputs, layers = _list(described["inputs"], "inputs"), _list(described["layers"], "layers")
    if _count_layers(layers) > MOST_LAYERS:
        raise ValueError(f"more than {MOST_LAYERS:,} layers, those inside of others included")
    optimizer = described["optimizer"]
    snapshot = Snapshot(
        input_shape=check.input_shape(inputs),
        layers=tuple(_read_layer(item, f"layer {index}") for index, item in enumerate(layers)),
        loss=_read_named(described["loss"], LOSSES, "loss", version),
        l1=check.real("l1", described["l1"], minimum=0),
        l2=check.real("l2", described["l2"], minimum=0),
        dtype=_member(described["dtype"], container.DTYPES, "dtype"),
        optimizer=None if optimizer is None else _read_named(optimizer, OPTIMIZERS, "optimizer", version),
        metadata=_object(described["metadata"], "metadata"),
        frozen=tuple(_text(name, "frozen", longest=None) for name in _list(described["frozen"], "frozen")),
        rate_multipliers={name: check.real(f"rate_multipliers: {plain(name)}", factor, above=0)
                          for name, factor in _object(described["rate_multipliers"], "rate_multipliers").items()},
        parameters={}, statistics={}, optimizer_state={},
        **known, extras=optional,
        **{name: _whole(described[name], name, 0, limit) for name, limit in _LARGEST.items()},  # type: ignore[arg-type]
    )
    if snapshot.optimizer is None and snapshot.step:
        raise ValueError("step must be 0 where there is no optimizer")
    return snapshot


@dataclass(frozen=True)
class Layout:
    """Name and shape of every array that a network has, in the order of the file.

    Attributes
    ----------
    parameters, statistics : dict of str to tuple of int
    slots : tuple of str
        The optimizer's, each of which has an array for every parameter.
    """

    parameters: dict[str, Shape]
    statistics: dict[str, Shape]
    slots: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Layout:
        """Of a network as it is described; raises ValueError where its layers do not fit each other."""
        parameters: dict[str, Shape] = {}
        statistics: dict[str, Shape] = {}
        shape = snapshot.input_shape
        for index, layer in enumerate(snapshot.layers):
            output = layer.output_shape(shape)
            parameters |= {f"{index}.{name}": array.shape for name, array in layer.parameters(shape).items()}
            statistics |= {f"{index}.{name}": array.shape for name, array in layer.statistics(shape).items()}
            shape = output
            if len(parameters) + len(statistics) > MOST_ARRAYS:
                raise ValueError(f"more than {MOST_ARRAYS:,} arrays of parameters and statistics")
        slots = () if snapshot.optimizer is None else tuple(snapshot.optimizer.slots)
        if len(parameters) * len(slots) > MOST_ARRAYS:
            raise ValueError(f"more than {MOST_ARRAYS:,} arrays of the optimizer's state; optimizer=False saves without them")
        return cls(parameters, statistics, slots)

    @property
    def shapes(self) -> dict[str, Shape]:
        """Of all arrays, by their names in a file."""
        states = {state_name(slot, name): shape for slot in self.slots for name, shape in self.parameters.items()}
        return self.parameters | self.statistics | states

    def filled(self, snapshot: Snapshot, arrays: Mapping[str, Array]) -> Snapshot:
        """The network as it is described with these arrays, by the names that they have in a file."""
        return replace(
            snapshot,
            parameters={name: arrays[name] for name in self.parameters},
            statistics={name: arrays[name] for name in self.statistics},
            optimizer_state={slot: {name: arrays[state_name(slot, name)] for name in self.parameters} for slot in self.slots},
        )


def state_name(slot: str, parameter: str) -> str:
    """The name in a file of the optimizer's state for a parameter."""
    return f"optimizer.{slot}.{parameter}"


def _fields(spec: Any) -> dict[str, Any]:
    return {field.name: getattr(spec, field.name) for field in fields(spec)}


def _describe_layer(layer: Layer) -> dict[str, Any]:
    return {"kind": layer.kind, **{name: _describe_field(layer, name, value) for name, value in _fields(layer).items()}}


def _describe_field(layer: Layer, name: str, value: object) -> object:
    if isinstance(value, Initializer):
        return _describe_init(layer, name, value)
    if isinstance(value, Layer):
        return _describe_layer(value)
    if isinstance(value, tuple):
        return [_describe_field(layer, name, item) for item in value]
    return value


def _describe_init(layer: Any, name: str, init: Initializer) -> object:
    if init.values is None:
        return init.name
    if init.name == "constant" and init.values.ndim == 0:
        return {"constant": float(init.values)}
    usual = replace(layer, **{name: layer.__dataclass_fields__[name].default})
    return _describe_init(layer, name, getattr(usual, name))  # an array is not kept; this is what the loaded layer will have


def _count_layers(items: list[Any]) -> int:
    """How many layers a list describes, those inside of others included: counted before any is made."""
    count, waiting = 0, list(items)
    while waiting and count <= MOST_LAYERS:
        item = waiting.pop()
        if isinstance(item, dict):
            count += "kind" in item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return count


def _read_layer(item: object, where: str) -> Layer:
    described = _object(item, where)
    kind = LAYERS[_member(described.pop("kind", None), LAYERS, f"{where}: kind")]
    read = {name: _read_field(name, value, f"{where}: {name}") for name, value in described.items()}
    return _make(kind, read, where)


def _read_field(name: str, value: Any, where: str) -> Any:
    """A field of a layer: a start of weights, layers inside, a tuple, or a plain value."""
    if name == "init" or name.endswith("_init"):
        if isinstance(value, dict):
            _expect_keys(value, {"constant"}, where)
            return constant(value["constant"])
        if not isinstance(value, str | None):
            raise ValueError(f"{where} must be a name, null or {{'constant': number}}")
    elif isinstance(value, dict):
        return _read_layer(value, where)
    elif isinstance(value, list):
        return tuple(_read_field(name, item, where) for item in value)
    return value


def _describe_named(spec: Any) -> dict[str, Any]:
    return {"name": spec.name, **{name: _describe_setting(value) for name, value in _fields(spec).items()}}


def _describe_setting(value: Any) -> Any:
    if isinstance(value, Schedule):
        return schedules.description(value)
    return _describe_named(value) if isinstance(value, Average) else value


def _read_named(item: object, known: Mapping[str, type[Spec]], where: str, version: int = FORMAT) -> Spec:
    """A specification of a registry: its name and its fields."""
    described = _object(item, where)
    name = _member(described.pop("name", None), known, f"{where}: name")
    settings = {field: _read_setting(field, value, f"{where}: {field}") for field, value in described.items()}
    return _make(known[name], settings, where, version)


def _read_setting(field: str, value: Any, where: str) -> Any:
    """A field of an optimizer or a loss: a schedule, an average, or a plain value."""
    if isinstance(value, dict) and field == "rate":
        return schedules.from_description(value)
    return _read_named(value, AVERAGES, where) if isinstance(value, dict) and field == "average" else value


def _make(kind: type[Spec], described: dict[str, Any], where: str, version: int = FORMAT) -> Spec:
    """A specification from all of its fields, which checks their values itself."""
    known = {field.name for field in fields(kind) if field.metadata.get("since", 1) <= version}  # type: ignore[arg-type]
    _expect_keys(described, known, where)
    if any(isinstance(value, str) and len(value) > _LONGEST_NAME for value in described.values()):
        raise ValueError(f"{where}: a name of more than {_LONGEST_NAME} characters")
    try:
        return kind(**described)
    except not_by_handler(TypeError, ValueError, OverflowError) as problem:
        raise ValueError(f"{where}: {problem}") from None


def _expect_keys(described: dict[str, Any], keys: set[str], where: str) -> None:
    if missing := sorted(keys - described.keys()):
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    if unknown := described.keys() - keys:
        raise ValueError(f"{where} has the unknown key {quoted(min(unknown))}")


def _whole(value: object, where: str, smallest: int, largest: int) -> int:
    if type(value) is not int or not smallest <= value <= largest:
        raise ValueError(f"{where} must be a whole number from {smallest} to {largest}")
    return value


def _member(value: object, known: Container[str], where: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{where}: {quoted(value)} is unknown")
    return value


def _text(value: object, where: str, longest: int | None = _LONGEST_NAME) -> str:
    if not isinstance(value, str) or (longest is not None and len(value) > longest):
        raise ValueError(f"{where} must be a text{'' if longest is None else f' of at most {longest} characters'}")
    return value


def _object(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where} must be a JSON object")
    return value


def _list(value: object, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{where} must be a list")
    return value
