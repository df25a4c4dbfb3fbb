"""Whatever stands for an array: lists, tables, tensors of other packages, as NumPy arrays, or an error that names the argument
and says what to pass instead. The packages are known by the protocols of their objects; none is imported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.errors import not_by_handler

__all__ = ["as_array"]

Array = npt.NDArray[Any]

_NUMPYS = ("__array__", "__array_interface__", "__array_struct__")
"""What NumPy looks for beside the buffer protocol."""

_DEEPEST = 64
"""Lists within lists; NumPy knows no more axes."""


def as_array(argument: str, values: Any, wanted: str = "be an array of numbers") -> Array:
    """``values`` as an array of any dtype, not copied where they are one already; ``wanted`` says what the argument must be."""
    if type(values) is np.ndarray and values.dtype.kind in "fiu":
        return values
    if _hides_values(values):
        raise ValueError(f"{argument} is a masked array with masked values; fill them first")
    if times := _columns_of_times(values):
        raise TypeError(f"{argument} must hold numbers, got dates or times in {', '.join(times)}; make numbers of them first, "
                        f"or leave them out")
    try:
        array = np.from_dlpack(values) if _has_only_dlpack(values) else np.asarray(values)
    except MemoryError:
        raise
    except not_by_handler(Exception) as problem:  # whatever another package raises: memory of a GPU, gradients, sparse tensors
        raise _refusal(argument, values, wanted, problem) from None
    if array.dtype.names is not None:
        raise TypeError(f"{argument} must {wanted}, got records with the fields {', '.join(array.dtype.names)}; "
                        f"structured_to_unstructured({argument}) of numpy.lib.recfunctions makes columns of numbers of them")
    if array.ndim == 0 and array.dtype.kind in "OUS" and not isinstance(values, (Real, Decimal)):
        raise TypeError(f"{argument} must {wanted}, got {_kind(values)}{_instead(argument, values)}")
    return array


def _refusal(argument: str, values: object, wanted: str, problem: Exception) -> Exception:
    """The error for what cannot be read as an array."""
    if isinstance(problem, ValueError):
        ragged = "; sequences of different lengths are padded with zeros, and lengths= says how long each is"
        return ValueError(f"{argument} must be a rectangular array of numbers ({problem})"
                          f"{ragged if 'inhomogeneous' in str(problem) else ''}")
    return TypeError(f"{argument} must {wanted}, got {_kind(values)} that cannot be read as one: {problem}"
                     f"{_remedy_of(argument, str(problem))}")


def _hides_values(values: object, depth: int = 0) -> bool:
    """Whether any value is masked: NumPy would show what is under the mask, that of a list of masked arrays too."""
    if isinstance(values, np.ma.MaskedArray):
        return bool(np.ma.getmaskarray(values).any())
    if not isinstance(values, (list, tuple)) or depth == _DEEPEST or not values or isinstance(values[0], (int, float)):
        return False
    return any(_hides_values(value, depth + 1) for value in values)


def _columns_of_times(values: Any) -> list[str]:
    """Names of columns that hold dates or times: beside floats Polars makes days or microseconds of them without a word."""
    if hasattr(values, "collect"):  # a LazyFrame, whose schema takes work
        return []
    schema = getattr(values, "schema", None)
    columns = schema.items() if isinstance(schema, Mapping) else zip(
        getattr(schema, "names", ()), getattr(schema, "types", ()), strict=False)  # that of Arrow is no mapping
    return [str(name) for name, dtype in columns if str(dtype).lower().startswith(("date", "time", "duration"))]


def _has_only_dlpack(values: object) -> bool:
    """Whether this protocol is the one way to the numbers; classes and lists are none of it."""
    return hasattr(type(values), "__dlpack__") and not any(hasattr(values, name) for name in _NUMPYS)


def _kind(values: object) -> str:
    """What came, in a few words."""
    if values is None or isinstance(values, (str, bytes)):
        text = repr(values)
        return f"the single value {text if len(text) <= 80 else text[:80] + '…'}"
    return f"the class {values.__name__}" if isinstance(values, type) else f"an object of the class {type(values).__name__}"


def _remedy_of(argument: str, problem: str) -> str:
    """For errors of PyTorch that name none."""
    return f"; {argument}.float() can be" if "unsupported ScalarType" in problem else ""


def _instead(argument: str, values: object) -> str:
    """What to pass in place of an object that NumPy takes for a single value."""
    if isinstance(values, type):
        return ""
    if hasattr(values, "toarray"):
        return f"; it is sparse: pass {argument}.toarray()"
    if hasattr(values, "__cuda_array_interface__"):
        return "; it is in the memory of a GPU: copy it to that of the host first"
    if hasattr(values, "collect"):
        return f"; pass {argument}.collect()"
    if isinstance(values, Mapping):
        return f"; np.column_stack(list({argument}.values())) makes columns of what it holds"
    if isinstance(values, Set):
        return "; it has no order: pass a list"
    if isinstance(values, Iterable) and not isinstance(values, (str, bytes)):
        return f"; pass list({argument})"
    return ""
