"""The bundled and generated data, and the split."""

import numpy as np
import pytest

from cbp import datasets


def test_digits_are_the_published_ones():
    X, y = datasets.digits()
    assert X.shape == (1797, 64)
    assert X.dtype == np.float32
    assert y.shape == (1797,)
    assert y.dtype == np.int64
    assert X.min() == 0
    assert X.max() == 1
    assert np.array_equal(X * 16, np.rint(X * 16))
    # Counts of the file's own description, and the first image.
    assert np.bincount(y).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (X[0, :16] * 16).tolist() == [0, 0, 5, 13, 9, 1, 0, 0, 0, 0, 13, 15, 10, 15, 5, 0]
    assert int((X.astype(np.float64) * 16).sum()) == 561718


def test_digits_are_a_fresh_copy():
    X, _ = datasets.digits()
    X[:] = 0
    assert datasets.digits()[0].any()


def test_xor():
    X, y = datasets.xor()
    assert X.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert y.tolist() == [[0], [1], [1], [0]]


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000])
@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_permutation_holds_every_number_once(n, seed):
    assert sorted(datasets.permutation(n, seed).tolist()) == list(range(n))


def test_permutation_depends_on_the_seed_alone():
    first = datasets.permutation(100, 3).tolist()
    assert datasets.permutation(100, 3).tolist() == first
    assert datasets.permutation(100, 4).tolist() != first
    assert datasets.permutation(8, 0).tolist() == GOLDEN_PERMUTATION


GOLDEN_PERMUTATION = [3, 0, 2, 7, 6, 1, 4, 5]


def test_split_takes_every_row_once_and_keeps_pairs_together():
    X = np.arange(40).reshape(20, 2)
    y = np.arange(20)
    X_train, X_test, y_train, y_test = datasets.split(X, y, test=0.25, seed=1)
    assert len(X_test) == len(y_test) == 5
    assert len(X_train) == len(y_train) == 15
    assert sorted([*y_train, *y_test]) == list(range(20))
    assert (X_train[:, 0] == 2 * y_train).all()
    assert (X_test[:, 0] == 2 * y_test).all()
    assert X_test.dtype == X.dtype


def test_split_gives_either_side_a_row():
    for test in (0.001, 0.999):
        parts = datasets.split([[1.0], [2.0]], [1, 2], test=test)
        assert [len(part) for part in parts] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("X", "y", "options", "error", "message"),
    [
        ([[1], [2]], [1], {}, ValueError, "same number of rows"),
        ([[1]], [1], {}, ValueError, "at least 2 rows"),
        (1, [1], {}, ValueError, "same number of rows"),
        ([[1], [2]], [1, 2], {"test": 0}, ValueError, "test must be"),
        ([[1], [2]], [1, 2], {"test": 1}, ValueError, "test must be"),
        ([[1], [2]], [1, 2], {"test": "a"}, TypeError, "test must be"),
        ([[1], [2]], [1, 2], {"seed": -1}, ValueError, "seed must be"),
        ([[1], [2]], [1, 2], {"seed": 2**63}, ValueError, "seed must be"),
        ([[1], [2]], [1, 2], {"seed": 0.5}, TypeError, "seed must be"),
    ],
)
def test_split_refuses(X, y, options, error, message):
    with pytest.raises(error, match=message):
        datasets.split(X, y, **options)


def test_names_that_come_twice_are_refused():
    array = np.arange(24.0).reshape(8, 3)
    twice = Table(array, ["a", "b", "a"], "iloc")
    for X, y, argument in (twice, array, "X"), (array, twice, "y"):
        with pytest.raises(ValueError, match=f"{argument} must have a name of its own for every column, got 'a' more"):
            datasets.split(X, y)


@pytest.mark.parametrize(("data", "error", "words"), [
    ((row for row in [[1], [2]]), TypeError, r"must be an array, got an object of the class generator; pass list\({}\)"),
    ({"a": [1, 2]}, TypeError, r"np\.column_stack\(list\({}\.values\(\)\)\)"),
    (None, TypeError, "must be an array, got the single value None"),
    (np.ma.masked_array([1, 2], [0, 1]), ValueError, "{} is a masked array with masked values; fill them first"),
])
def test_what_cannot_be_split_is_named_with_its_remedy(data, error, words):
    for argument, given in ("X", (data, [1, 2])), ("y", ([[1], [2]], data)):
        with pytest.raises(error, match=words.format(argument)):
            datasets.split(*given)


class Table:
    """As one of pandas, of Arrow or of Polars gives rows."""

    def __init__(self, array, names, way):
        self.array, self.columns, self.shape, self.way = array, names, array.shape, way
        if way == "iloc":
            self.iloc = self
        if way == "take":
            self.take = self.chosen

    def __array__(self, dtype=None, copy=None):
        return self.array

    def chosen(self, rows):
        return Table(self.array[rows], self.columns, self.way)

    def __getitem__(self, rows):
        assert self.way != "take"
        return self.chosen(rows)


@pytest.mark.parametrize("way", ["iloc", "take", "rows"])
def test_a_table_is_split_into_tables(way):
    array = np.arange(24.0).reshape(8, 3)
    parts = datasets.split(Table(array, ["a", "b", "c"], way), np.arange(8))
    for part, wanted in zip(parts[:2], datasets.split(array, np.arange(8))[:2], strict=True):
        assert part.columns == ["a", "b", "c"]
        np.testing.assert_array_equal(part.array, wanted)
