"""scikit-learn as the oracle: its numbers for ``predict(X).astype(np.float64)``, for every kind of network, with and without
weights, with ties among the outputs and classes that do not occur."""

import warnings

import numpy as np
import pytest

import cbp
from cbp import metrics as m

sk = pytest.importorskip("sklearn.metrics", reason="needs the extra 'oracle' (scikit-learn)")

pytestmark = pytest.mark.oracle

ROWS = 400
WEIGHTS = {"no weights": None, "weights": np.random.default_rng(7).uniform(0.1, 2, ROWS),
           "whole weights": np.random.default_rng(8).integers(0, 4, ROWS).astype(float)}
NOISE = np.random.default_rng(9).normal(size=(ROWS, 3))


def inputs(features, seed):
    """Whole numbers, so that many rows have the same outputs."""
    return np.random.default_rng(seed).integers(-2, 3, (ROWS, features)).astype(float)


def binary(dtype):
    net = cbp.Network(3, [cbp.Dense(1, "sigmoid")], loss="binary_cross_entropy", dtype=dtype, seed=1)
    X = inputs(3, 1)
    return net, X, (X.sum(axis=1) + NOISE[:, 0] > 0.5).astype(int)


def sign(dtype):
    net = cbp.Network(3, [cbp.Dense(1)], loss="hinge", dtype=dtype, seed=2)
    X = inputs(3, 2)
    return net, X, np.where(X.sum(axis=1) + NOISE[:, 0] > 0.5, 1, -1)


def classes(dtype, *, count=5, occurring=None):
    net = cbp.Network(3, [cbp.Dense(count, "softmax")], loss="cross_entropy", dtype=dtype, seed=3)
    return net, inputs(3, 3), np.random.default_rng(6).integers(0, occurring or count, ROWS)


def labels(dtype):
    net = cbp.Network(3, [cbp.Dense(4, "sigmoid")], loss="binary_cross_entropy", dtype=dtype, seed=4)
    return net, inputs(3, 4), np.random.default_rng(6).integers(0, 2, (ROWS, 4))


def numbers(dtype, *, outputs=1):
    net = cbp.Network(3, [cbp.Dense(outputs)], loss="mean_squared_error", dtype=dtype, seed=5)
    X = inputs(3, 5)
    return net, X, X[:, :1] + NOISE[:, :outputs]


def of_classes(call):
    """Of a function that takes labels: those that are most probable."""
    return lambda y, p, w: call(y, p.argmax(axis=1), w)


def of_yes(call):
    return lambda y, p, w: call(y, (p[:, 0] > 0.5).astype(int), w)


def of_yeses(call):
    return lambda y, p, w: call(y, (p > 0.5).astype(int), w)


def scores(averages, **more):
    """Precision, recall and F1 by every average."""
    kinds = {m.Precision: sk.precision_score, m.Recall: sk.recall_score, m.F1: sk.f1_score}
    return [(kind(average), lambda y, p, w, call=call, average=average: call(
        y, p, average=average, sample_weight=w, zero_division=0.0, **more)) for average in averages
        for kind, call in kinds.items()]


def one_output():
    plain = [
        (m.Accuracy(), lambda y, p, w: sk.accuracy_score(y, p, sample_weight=w)),
        (m.BalancedAccuracy(), lambda y, p, w: sk.balanced_accuracy_score(y, p, sample_weight=w)),
        (m.BalancedAccuracy(adjusted=True), lambda y, p, w: sk.balanced_accuracy_score(y, p, sample_weight=w, adjusted=True)),
        (m.Precision(), lambda y, p, w: sk.precision_score(y, p, sample_weight=w)),
        (m.Recall(), lambda y, p, w: sk.recall_score(y, p, sample_weight=w)),
        (m.F1(), lambda y, p, w: sk.f1_score(y, p, sample_weight=w)),
        *scores(["macro", "micro", "weighted", None]),
    ]
    return [(metric, of_yes(call)) for metric, call in plain] + [
        (m.ROCAUC(), lambda y, p, w: sk.roc_auc_score(y, p[:, 0], sample_weight=w)),
        (m.AveragePrecision(), lambda y, p, w: sk.average_precision_score(y, p[:, 0], sample_weight=w)),
        (m.LogLoss(), lambda y, p, w: sk.log_loss(y, p[:, 0], sample_weight=w)),
        (m.Brier(), lambda y, p, w: sk.brier_score_loss(y, p[:, 0], sample_weight=w)),
    ]


def one_class(count):
    every = list(range(count))
    plain = [
        (m.Accuracy(), lambda y, p, w: sk.accuracy_score(y, p, sample_weight=w)),
        (m.SubsetAccuracy(), lambda y, p, w: sk.accuracy_score(y, p, sample_weight=w)),
        (m.BalancedAccuracy(), lambda y, p, w: sk.balanced_accuracy_score(y, p, sample_weight=w)),
        (m.F1(), lambda y, p, w: sk.f1_score(y, p, sample_weight=w, average="macro", zero_division=0.0)),
        (m.Precision("macro", zero_division=np.nan),
         lambda y, p, w: sk.precision_score(y, p, sample_weight=w, average="macro", zero_division=np.nan)),
        *scores(["macro", "micro", "weighted"]), *scores([None], labels=every),
    ]
    pairs = lambda average: lambda y, p, w: (  # noqa: E731 - scikit-learn takes no weights here
        sk.roc_auc_score(y, p, labels=every, multi_class="ovo", average=average) if w is None else None)
    areas = lambda average: lambda y, p, w: sk.roc_auc_score(  # noqa: E731
        y, p, sample_weight=w, labels=every, multi_class="ovr", average=average)
    precisions = lambda average: lambda y, p, w: sk.average_precision_score(  # noqa: E731
        np.eye(count, dtype=int)[y], p, sample_weight=w, average=average)
    return [(metric, of_classes(call)) for metric, call in plain] + [
        *((m.AveragePrecision(average), precisions(average)) for average in ("macro", "micro", "weighted", None)),
        (m.LogLoss(), lambda y, p, w: sk.log_loss(y, p, sample_weight=w, labels=every)),
        (m.Brier(), lambda y, p, w: sk.brier_score_loss(y, p, sample_weight=w, labels=every)),
        *([] if count == 2 else [
            (m.TopK(2), lambda y, p, w: sk.top_k_accuracy_score(y, p, k=2, sample_weight=w, labels=every)),
            (m.TopK(1), lambda y, p, w: sk.top_k_accuracy_score(y, p, k=1, sample_weight=w, labels=every)),
            *((m.ROCAUC(average), areas(average)) for average in ("macro", "micro", "weighted", None)),
            (m.ROCAUC(multi_class="ovo"), pairs("macro")), (m.ROCAUC("weighted", multi_class="ovo"), pairs("weighted")),
        ]),
    ]


def several_labels():
    plain = [
        (m.Accuracy(), lambda y, p, w: sk.accuracy_score(
            y.ravel(), p.ravel(), sample_weight=None if w is None else np.repeat(w, y.shape[1]))),
        (m.SubsetAccuracy(), lambda y, p, w: sk.accuracy_score(y, p, sample_weight=w)),
        *scores(["macro", "micro", "weighted", None]),
    ]
    return [(metric, of_yeses(call)) for metric, call in plain] + [
        *((m.ROCAUC(average), lambda y, p, w, average=average: sk.roc_auc_score(y, p, sample_weight=w, average=average))
          for average in ("macro", "micro", "weighted", None)),
        *((m.AveragePrecision(average), lambda y, p, w, average=average: sk.average_precision_score(
            y, p, sample_weight=w, average=average)) for average in ("macro", "micro", "weighted", None)),
        (m.LogLoss(), lambda y, p, w: np.mean([sk.log_loss(y[:, j], p[:, j], sample_weight=w) for j in range(4)])),
        (m.Brier(), lambda y, p, w: np.mean([sk.brier_score_loss(y[:, j], p[:, j], sample_weight=w) for j in range(4)])),
    ]


AVERAGES = {"mean": "uniform_average", "variance": "variance_weighted", None: "raw_values"}


def of_numbers():
    plain = [(m.MeanSquaredError, sk.mean_squared_error, {}), (m.RootMeanSquaredError, sk.root_mean_squared_error, {}),
             (m.MeanAbsoluteError, sk.mean_absolute_error, {}), (m.R2, sk.r2_score, {}),
             (m.ExplainedVariance, sk.explained_variance_score, {}), (m.Pinball, sk.mean_pinball_loss, {"tau": 0.9})]
    for kind, call, options in plain:
        theirs = {"alpha": options["tau"]} if options else {}
        for average in kind.averages:
            yield kind(**options, average=average), lambda y, p, w, call=call, theirs=theirs, average=average: call(
                y, p, sample_weight=w, multioutput=AVERAGES[average], **theirs)


def a_score():
    return [
        (m.Accuracy(), lambda y, p, w: sk.accuracy_score(y, np.where(p[:, 0] > 0, 1, -1), sample_weight=w)),
        (m.F1(), lambda y, p, w: sk.f1_score(y, np.where(p[:, 0] > 0, 1, -1), sample_weight=w)),
        (m.ROCAUC(), lambda y, p, w: sk.roc_auc_score(y, p[:, 0], sample_weight=w)),
        (m.AveragePrecision(), lambda y, p, w: sk.average_precision_score(y, p[:, 0], sample_weight=w)),
    ]


KINDS = {
    "binary": (binary, one_output()),
    "sign": (sign, a_score()),
    "classes": (classes, one_class(5)),
    "two classes": (lambda dtype: classes(dtype, count=2), one_class(2)),
    "a class that does not occur": (lambda dtype: classes(dtype, occurring=4), one_class(5)),
    "several labels": (labels, several_labels()),
    "one number": (numbers, list(of_numbers())),
    "numbers": (lambda dtype: numbers(dtype, outputs=3), list(of_numbers())),
}
CASES = [(kind, metric, call) for kind, (_, rows) in KINDS.items() for metric, call in rows]


def both(kind, metric, call, dtype, weights):
    """The values of cbp and of scikit-learn; None for the latter's where it has none."""
    net, X, y = KINDS[kind][0](dtype)
    outputs = net.predict(X).reshape(ROWS, -1).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = list(net.evaluate(X, y, weights, metrics={"asked": metric}).values())[2:]
        theirs = call(y, outputs, weights)
    return np.array(values), None if theirs is None else np.ravel(theirs)


@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kind", "metric", "call"), CASES, ids=lambda value: "" if callable(value) else str(value))
def test_numbers_are_those_of_scikit_learn(kind, metric, call, dtype, weights):
    values, theirs = both(kind, metric, call, dtype, weights)
    if theirs is None:
        return
    own = kind == "several labels" and metric.needs == "probabilities"  # a mean over outputs, which scikit-learn has not
    if metric.needs == "numbers" or (weights is None and not own):
        assert np.array_equal(values, theirs, equal_nan=True)
    else:
        np.testing.assert_allclose(values, theirs, rtol=4e-15, atol=0)


def few(kind, rng):
    """A network and up to seven rows for it."""
    net, X, y = KINDS[kind][0]("float64")
    rows = rng.choice(ROWS, rng.integers(1, 8), replace=False)
    weights = [None, rng.integers(0, 3, len(rows)).astype(float), rng.uniform(size=len(rows))][rng.integers(3)]
    return net, X[rows], y[rows], weights if weights is None or weights.any() else None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_few_rows(kind):
    """Classes that do not occur, weights of 0, nothing to rank or to divide by."""
    rng, compared = np.random.default_rng(0), 0
    for _ in range(40):
        net, X, y, weights = few(kind, rng)
        outputs = net.predict(X).reshape(len(X), -1).astype(np.float64)
        for metric, call in KINDS[kind][1]:
            if getattr(metric, "average", "") is None or getattr(metric, "adjusted", False):
                continue  # a number for every class, even if it does not occur; nan where there is one class
            try:
                theirs = call(y, outputs, weights)
            except (ValueError, ZeroDivisionError):  # a single class in log_loss, pairs of classes without any
                continue
            if theirs is None or (isinstance(theirs, int) and theirs == 0):  # an area where no class holds
                continue
            found = net.evaluate(X, y, weights, metrics={"asked": metric})["asked"]
            np.testing.assert_allclose(found, theirs, rtol=1e-14, atol=1e-16, err_msg=f"{metric} {y} {outputs} {weights}")
            compared += 1
    assert compared > 100


def test_every_metric_is_compared():
    assert {type(metric) for _, metric, _ in CASES} == set(m.METRICS.values())
