"""The confusion matrix: its numbers, its words, and what it refuses."""

import pickle

import numpy as np
import pytest

import cbp
from cbp.metrics import ConfusionMatrix

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((60, 3)), RNG.integers(0, 4, 60)
WEIGHTS = {"no weights": None, "weights": RNG.uniform(size=60), "whole weights": RNG.integers(0, 3, 60)}


def classifier():
    return cbp.Network(3, [cbp.Dense(4, "softmax")], loss="cross_entropy", seed=0)


def yes_or_no():
    return cbp.Network(3, [cbp.Dense(1, "sigmoid")], loss="binary_cross_entropy", seed=0)


def counted(truth, answers, classes, weights=None):
    found = np.zeros((classes, classes))
    for true, answer, weight in zip(truth, answers, np.ones(len(truth)) if weights is None else weights, strict=True):
        found[true, answer] += weight
    return found


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
def test_it_counts(weights):
    net = classifier()
    found = net.confusion(X, LABELS, weights)
    np.testing.assert_allclose(found, counted(LABELS, net.predict(X).argmax(axis=1), 4, weights), rtol=1e-14)
    assert found.counts.dtype == (np.int64 if weights is None else np.float64)
    assert net.confusion(X, np.eye(4)[LABELS], weights) == found
    assert found.accuracy == pytest.approx(net.evaluate(X, LABELS, weights)["accuracy"], rel=1e-6)


@pytest.mark.parametrize("loss", ["binary_cross_entropy", "hinge"])
def test_one_output_has_two_classes(loss):
    net = cbp.Network(3, [cbp.Dense(1, "sigmoid" if loss.startswith("b") else "identity")], loss=loss, seed=0)
    y = LABELS % 2
    answers = net.predict(X)[:, 0] > (0.5 if loss.startswith("b") else 0)
    found = net.confusion(X, y if loss.startswith("b") else 2 * y - 1)
    assert np.array_equal(found, counted(y, answers.astype(int), 2))
    assert found.labels == ("0", "1")


@pytest.mark.oracle
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("occurring", [4, 3, 1])
def test_its_numbers_are_those_of_scikit_learn(weights, occurring):
    sk = pytest.importorskip("sklearn.metrics", reason="needs the extra 'oracle' (scikit-learn)")
    net, y = classifier(), LABELS % occurring
    answers, labels = net.predict(X).argmax(axis=1), np.arange(4)
    weight = None if weights is None else weights.astype(float)
    found = net.confusion(X, y, weights)
    theirs = sk.confusion_matrix(y, answers, sample_weight=weight, labels=labels)
    assert np.array_equal(found, theirs)
    assert found.counts.dtype == theirs.dtype
    for over, word in (("true", "true"), ("answered", "pred"), ("all", "all")):
        theirs = sk.confusion_matrix(y, answers, sample_weight=weight, labels=labels, normalize=word)
        np.testing.assert_allclose(found.normalized(over), theirs, rtol=1e-15)
    scores = sk.precision_recall_fscore_support(y, answers, sample_weight=weight, labels=labels, zero_division=0.0)
    for own, score in zip((found.precision, found.recall, found.f1, found.support), scores, strict=True):
        np.testing.assert_allclose(own, score, rtol=1e-15, atol=0)


def test_it_shows_a_table():
    matrix = ConfusionMatrix([[5, 1], [2, 4]], labels=["cat", "dog"])
    assert repr(matrix).splitlines() == [
        "true \\ answered  cat  dog   precision  recall     f1",
        "cat                5    1       0.714   0.833  0.769",
        "dog                2    4       0.800   0.667  0.727",
        "accuracy 0.7500 of 12",
    ]
    assert str(ConfusionMatrix([[0.25, 0.0], [1.0, 2.0]])).splitlines()[1].split()[:3] == ["0", "0.25", "0"]


def test_a_notebook_sees_it_and_no_markup_of_the_user():
    page = ConfusionMatrix([[5, 1], [2, 4]], labels=["<script>", "a\x1b&"])._repr_html_()
    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert "\x1b" not in page
    assert page.count("<tr>") == 3
    assert page.count("rgba(46,125,50") == page.count("rgba(198,40,40") == 2


def test_of_many_classes_the_scores_are_shown():
    matrix = ConfusionMatrix(np.diag(np.arange(30)))
    lines = repr(matrix).splitlines()
    assert lines[0].split() == ["class", "support", "precision", "recall", "f1"]
    assert lines[8].split() == ["7", "7", "1.000", "1.000", "1.000"]
    assert len(lines) == 32
    assert "rgba" not in matrix._repr_html_()


def test_it_is_read_like_an_array():
    matrix = ConfusionMatrix([[5, 1], [2, 4]])
    assert matrix[0, 1] == 1
    assert type(matrix[0, 1]) is int
    assert matrix[1].tolist() == [2, 4]
    assert [row.tolist() for row in matrix] == [[5, 1], [2, 4]]
    assert len(matrix) == 2
    assert np.asarray(matrix, dtype=float).dtype == float
    with pytest.raises(ValueError, match="read-only"):
        matrix.counts[0, 0] = 1
    np.array(matrix)[0, 0] = 1
    assert matrix == ConfusionMatrix([[5, 1], [2, 4]]) == pickle.loads(pickle.dumps(matrix))
    assert matrix != ConfusionMatrix([[5, 1], [2, 4]], ["a", "b"])
    assert matrix != [[5, 1], [2, 4]]


@pytest.mark.parametrize(("build", "message"), [
    (lambda: ConfusionMatrix([1, 2]), "counts must be a square"), (lambda: ConfusionMatrix([["a"]]), "counts must be a square"),
    (lambda: ConfusionMatrix([[1, -1], [0, 0]]), "counts must be at least 0"),
    (lambda: ConfusionMatrix([[1, np.nan], [0, 0]]), "counts must be at least 0"),
    (lambda: ConfusionMatrix([[1, 0], [0, 0]], "ab"), "labels must be 2 names"),
    (lambda: ConfusionMatrix([[1, 0], [0, 0]], ["a"]), "labels must be 2 names, one for each class"),
    (lambda: ConfusionMatrix([[1, 0], [0, 0]], 3), "labels must be 2 names"),
    (lambda: ConfusionMatrix([[1, 0], [0, 0]]).normalized("pred"), "over must be 'true', 'answered' or 'all', got 'pred'"),
    (lambda: classifier().confusion(X, LABELS, labels=["a"]), "labels must be 4 names"),
    (lambda: classifier().confusion(X, LABELS[:3]), "X has 60 samples and y has 3"),
    (lambda: classifier().confusion(X, LABELS, normalize="true"), "confusion takes no normalize"),
    (lambda: cbp.mlp([3, 2], output="sigmoid", seed=0).confusion(X, np.eye(2)[LABELS % 2]), "one class a row.*Precision"),
    (lambda: cbp.mlp([3, 2], seed=0).confusion(X, X[:, :2]), "confusion needs classes, and .* gives numbers"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_outputs_that_are_not_finite_are_no_classes():
    net = yes_or_no()
    net.parameters["0.bias"][0] = np.nan
    with (pytest.warns(RuntimeWarning, match=r"parameters\['0\.bias'\] holds nan"),
          pytest.raises(ValueError, match="the outputs are not finite")):
        net.confusion(X, LABELS % 2)
