"""Data to try things on: the bundled digits, XOR, and a helper that holds part of some data out."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.engine import check, columns
from cbp.engine.cpu import core as _core
from cbp.habits import understood

__all__ = ["digits", "permutation", "split", "xor"]

_DIGITS = os.path.join(os.path.dirname(__file__), "data", "digits.npz")  # pathlib is slow to import
_SPLIT_STREAM = 1000  # far from the streams of a network, so that the same seed for both makes them no more alike


@understood
def digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Handwritten digits: 1,797 images of 8 x 8 pixels.

    Returns
    -------
    X : float32 array (1797, 64)
        The pixels, row by row from the top left, from 0 (paper) to 1 (ink); multiples of 1/16.
    y : int64 array (1797,)
        The digits, 0 to 9, between 174 and 183 of each.

    Notes
    -----
    The test part of "Optical Recognition of Handwritten Digits" by E. Alpaydin and C. Kaynak (1998), UCI Machine
    Learning Repository, https://archive.ics.uci.edu/dataset/80, licence CC BY 4.0
    (https://creativecommons.org/licenses/by/4.0/). The numbers are unchanged but for the division by 16, and stand in
    the order of scikit-learn's ``load_digits``.

    Examples
    --------
    >>> X, y = digits()
    >>> X.shape, y[:5].tolist()
    ((1797, 64), [0, 1, 2, 3, 4])
    """
    with np.load(_DIGITS, allow_pickle=False) as file:
        return file["images"].astype(np.float32) / np.float32(16), file["labels"].astype(np.int64)


@understood
def xor() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Exclusive or: the four rows of two inputs, and one output that is 1 where exactly one of them is.

    Returns
    -------
    X : float32 array (4, 2)
    y : float32 array (4, 1)
    """
    X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    return X, (X[:, :1] != X[:, 1:]).astype(np.float32)


@understood
def permutation(n: int, seed: int = 0) -> npt.NDArray[np.intp]:
    """The numbers 0 to n - 1 in an order that depends on the seed alone, on every machine and version of NumPy."""
    keys = np.empty(check.integer("n", n, minimum=0))
    seed = check.integer("seed", seed, minimum=0)
    if seed >= 2**63:
        raise ValueError(f"seed must be below 2**63, got {seed}")
    _core.draw(seed, _SPLIT_STREAM, 0, "uniform", keys)
    return np.argsort(keys, kind="stable")


@understood
def split(
    X: npt.ArrayLike, y: npt.ArrayLike, *, test: float = 0.25, seed: int = 0
) -> tuple[Any, Any, Any, Any]:
    """Hold part of some data out at random, to test on what a network has not learnt from.

    Parameters
    ----------
    X, y : arrays
        Inputs and targets, with the same number of rows.
    test : float
        The share to hold out, above 0 and below 1; at least one row goes to either side.
    seed : int
        Which rows are held out depends on this and on the number of rows alone.

    Returns
    -------
    X_train, X_test, y_train, y_test : arrays
        Copies, in shuffled order; of tables of pandas, Polars or Arrow with names of columns such tables.
        The names and their order are those of scikit-learn's ``train_test_split``.

    Raises
    ------
    TypeError
        X or y cannot be read as an array.
    ValueError
        X and y differ in length, there are fewer than two rows, several columns of a table have one name, or ``test`` is out
        of range.
    """
    test = check.real("test", test, above=0, below=1)
    X, y = columns.table_or_array("X", X), columns.table_or_array("y", y)
    shapes = np.shape(X), np.shape(y)
    if not all(shapes) or shapes[0][0] != shapes[1][0]:
        raise ValueError(f"X and y must have the same number of rows, got the shapes {shapes[0]} and {shapes[1]}")
    rows = shapes[0][0]
    if rows < 2:
        raise ValueError(f"X must have at least 2 rows to be split, got {rows}")
    held_out = min(max(round(rows * test), 1), rows - 1)
    order = permutation(rows, seed)
    train, held = order[held_out:], order[:held_out]
    return columns.rows(X, train), columns.rows(X, held), columns.rows(y, train), columns.rows(y, held)
