"""Metrics without a second opinion: names, what suits which network, positions and lengths, weights, functions, edges."""

import warnings

import numpy as np
import pytest

import cbp
from cbp import metrics as m

RNG = np.random.default_rng(0)
X, LABELS = RNG.standard_normal((40, 3)), RNG.integers(0, 4, 40)


def classifier(classes=4, **options):
    return cbp.Network(3, [cbp.Dense(classes, "softmax")], loss="cross_entropy", seed=0, **options)


def yes_or_no(outputs=1):
    return cbp.Network(3, [cbp.Dense(outputs, "sigmoid")], loss="binary_cross_entropy", seed=0)


def regression(outputs=1, **options):
    return cbp.Network(3, [cbp.Dense(outputs)], loss="mean_squared_error", seed=0, **options)


def given(weights):
    """A network of one number in and out that gives what comes in, times the weight."""
    return cbp.Network(1, [cbp.Dense(1, init=weights)], loss="mean_squared_error", dtype="float64")


# --- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", m.METRICS.values(), ids=m.METRICS)
def test_a_name_and_what_is_built_are_one(kind):
    assert m.get(kind.name) == kind() == m.get(kind())
    assert m.get(kind().label) == kind()
    assert kind.short == "" or m.get(kind.short) == kind()
    assert kind.needs in m.task.NEEDS
    assert kind.higher_is_better in (True, False)
    assert getattr(m, kind.__name__) is kind


def test_no_name_means_two_metrics():
    names = [name for kind in m.METRICS.values() for name in (kind.name, kind.short, *kind.aliases) if name]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "metric"), [
    ("f1_macro", m.F1("macro")), ("precision_micro", m.Precision("micro")), ("recall_weighted", m.Recall("weighted")),
    ("top_3", m.TopK(3)), ("pinball_0.9", m.Pinball(0.9)), ("roc_auc_weighted", m.ROCAUC("weighted")),
    ("average_precision_micro", m.AveragePrecision("micro")),
])  # fmt: skip
def test_a_label_is_a_name(name, metric):
    assert m.get(name) == metric
    assert metric.label == name


@pytest.mark.parametrize(("name", "right"), [
    ("acc", "accuracy"), ("auc", "roc_auc"), ("AUC", "roc_auc"), ("binary_accuracy", "accuracy"), ("r2_score", "r2"),
    ("neg_mean_squared_error", "mean_squared_error"), ("top_0", "top_k"), ("pinball_2", "pinball"),
])  # fmt: skip
def test_the_words_of_others_are_answered(name, right):
    with pytest.raises(ValueError, match=f"^metrics: unknown name '{name}'; did you mean '{right}'"):
        m.get(name)


def test_results_have_the_names_that_were_asked_for():
    net = classifier()
    own = {"mine": m.TopK(2), "top": "top_3", "by class": m.Recall(None)}
    assert list(net.evaluate(X, LABELS, metrics=own))[2:] == ["mine", "top", "by class_0", "by class_1", "by class_2",
                                                               "by class_3"]
    assert list(net.evaluate(X, LABELS, metrics="f1")) == ["loss", "accuracy", "f1"]
    assert list(net.evaluate(X, LABELS, metrics=m.F1("macro"))) == ["loss", "accuracy", "f1_macro"]
    assert list(net.evaluate(X, LABELS, metrics=())) == list(net.evaluate(X, LABELS)) == ["loss", "accuracy"]
    assert list(regression().evaluate(X, X[:, 0], metrics=["rmse", "r2"])) == ["loss", "mean_absolute_error", "rmse", "r2"]


def test_the_direction_of_every_name_is_known():
    task = m.Task.of(cbp.losses.get("binary_cross_entropy"), "sigmoid", (1,))
    asked = m.checked([m.F1(None), "log_loss", len, m.Function(len, called="n", higher_is_better=False)], task)
    assert asked.names == ("f1_0", "f1_1", "log_loss", "len", "n")
    assert asked.higher_is_better == {"f1_0": True, "f1_1": True, "log_loss": False, "len": None, "n": False}
    assert not m.checked(None, task)
    assert not m.checked([], task)


def test_metrics_are_written_as_they_are_built():
    assert repr(m.F1()) == "F1(average='auto')"
    assert repr(m.F1("macro", zero_division=1)) == "F1(average='macro', zero_division=1.0)"
    assert repr(m.TopK(3)) == "TopK(k=3)"
    assert repr(m.Pinball(0.9, average=None)) == "Pinball(tau=0.9, average=None)"


# --- what is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("net", "metrics", "problem"), [
    (regression(), ["roc_auc"], "'roc_auc' does not suit this network: it needs scores of classes, and loss "
                                "'mean_squared_error' after 'identity' gives numbers. Those that suit: 'mean_squared_error', "),
    (classifier(), ["r2"], "'r2' does not suit this network: it needs numbers.*'cross_entropy' after 'softmax' gives probab.* "
                           "Those that suit: 'accuracy'"),
    (classifier(), [m.TopK(4)], "'top_4' does not suit this network: k must be below the number of classes, 4"),
    (yes_or_no(), ["top_2"], "an output for every class"),
    (yes_or_no(3), ["balanced_accuracy"], "one class a row.*take 'recall'"),
    (yes_or_no(), [m.ROCAUC(multi_class="ovo")], "take 'ovr'"),
    (cbp.Network(3, [cbp.Dense(1)], loss="hinge"), ["brier"], "needs probabilities.* gives a score of either sign"),
    (cbp.Network(3, [cbp.Dense(1, "softplus")], loss="poisson"), ["accuracy"], "needs classes.*gives numbers"),
    (classifier(), ["f1", m.F1()], "'f1' comes twice"),
    (classifier(), {"loss": "f1"}, "'loss' cannot be the name"),
    (classifier(), {"val_f1": "f1"}, "'val_f1' cannot be the name"),
    (classifier(), {"accuracy": "f1"}, "'accuracy' is the name of another metric"),
    (classifier(), [lambda y, p: 0], "a lambda has no name"),
])  # fmt: skip
def test_what_does_not_suit_is_refused_before_anything_else(net, metrics, problem):
    with pytest.raises(ValueError, match=f"^metrics: .*{problem}"):
        net.evaluate("no data", None, metrics=metrics)


@pytest.mark.parametrize(("metrics", "message"), [
    ([m.F1], "call it: cbp.metrics.F1"), (m.F1, "call it"), ([3], "got 3"), (7, "got 7"), ([None], "got None"),
    ({3: "f1"}, "names must be text"),
])  # fmt: skip
def test_what_is_no_metric_is_refused(metrics, message):
    with pytest.raises(TypeError, match=f"^metrics.*{message}"):
        classifier().evaluate(X, LABELS, metrics=metrics)


@pytest.mark.parametrize(("build", "message"), [
    (lambda: m.F1("binary"), "average must be 'auto', 'macro', 'micro', 'weighted' or None, got 'binary'"),
    (lambda: m.F1(zero_division=0.5), "zero_division must be 0, 1 or nan, got 0.5"),
    (lambda: m.F1(zero_division="warn"), "zero_division must be"),
    (lambda: m.TopK(0), "k must be a whole number of at least 1, got 0"),
    (lambda: m.Pinball(1), "tau must be a finite number above 0 and below 1, got 1"),
    (lambda: m.ROCAUC("samples"), "average must be"),
    (lambda: m.ROCAUC(multi_class="raise"), "multi_class must be 'ovr' or 'ovo'"),
    (lambda: m.ROCAUC("micro", multi_class="ovo"), "average must be 'macro' or 'weighted' with"),
    (lambda: m.R2(average="uniform"), "average must be 'mean', 'variance' or None"),
    (lambda: m.Metric(), "take one of them"), (lambda: m.Function(3), "function must be a function"),
    (lambda: m.BalancedAccuracy(adjusted=1), "adjusted must be True or False"),
    (lambda: m.Pinball(alpha=0.9), "Pinball takes tau, not alpha"),
])  # fmt: skip
def test_arguments_are_checked(build, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build()


def test_metrics_do_not_change():
    with pytest.raises(AttributeError, match="replace"):
        m.TopK(3).k = 4


# --- what kind of answers -------------------------------------------------------------------------------------------------


def test_the_accuracy_is_that_of_the_loss():
    for net, y in ((classifier(), LABELS), (yes_or_no(), LABELS % 2), (yes_or_no(4), np.eye(4)[LABELS]),
                   (classifier(), np.eye(4)[LABELS]), (cbp.Network(3, [cbp.Dense(1)], loss="hinge"), LABELS % 2 * 2 - 1)):
        weights = RNG.uniform(size=40)
        assert net.evaluate(X, y, weights)["accuracy"] == pytest.approx(
            net.evaluate(X, y, weights, metrics=["accuracy"])["accuracy"], rel=1e-6)


def test_labels_and_rows_of_probabilities_are_the_same():
    everything = [name for name, kind in m.METRICS.items() if kind.needs != "numbers" and name != "top_k"]
    net = classifier()
    one = net.evaluate(X, LABELS, metrics=everything)
    assert net.evaluate(X, np.eye(4)[LABELS], metrics=everything) == pytest.approx(one, rel=1e-14)


def test_targets_that_are_probabilities():
    """The nearest class counts, and probabilities are compared as such."""
    y = RNG.dirichlet(np.ones(4), 40)
    net = classifier(dtype="float64")
    found = net.evaluate(X, y, metrics=["accuracy", "log_loss", "brier"])
    p = net.predict(X)
    assert found["accuracy"] == (p.argmax(axis=1) == y.argmax(axis=1)).mean()
    assert found["log_loss"] == pytest.approx(found["loss"], rel=1e-12)
    assert found["brier"] == pytest.approx(((p - y) ** 2).sum(axis=1).mean(), rel=1e-12)


@pytest.mark.parametrize(("activation", "outputs", "y"), [
    ("sigmoid", 1, LABELS % 2), ("softmax", 4, np.eye(4)[LABELS]), ("sigmoid", 4, np.eye(4)[LABELS]),
])  # fmt: skip
def test_squared_errors_of_probabilities_know_classes_too(activation, outputs, y):
    net = cbp.Network(3, [cbp.Dense(outputs, activation)], loss="mean_squared_error", seed=0)
    found = net.evaluate(X, y, metrics=["accuracy", "roc_auc", "brier", "mse", "r2"])
    p = net.predict(X).astype(float).reshape(40, -1)
    right = p.argmax(axis=1) == LABELS if activation == "softmax" else (p > 0.5) == y.reshape(40, -1)
    assert found["accuracy"] == pytest.approx(right.mean())
    with pytest.raises(ValueError, match="accuracy needs targets from 0 to 1, and y holds 3"):
        net.evaluate(X, y * 3.0, metrics=["r2", "accuracy"])
    net.evaluate(X, y * 3.0, metrics=["r2"])


# --- positions, lengths, weights ------------------------------------------------------------------------------------------


def sequences():
    layers = [cbp.GRU(5, return_sequences=True), cbp.Dense(4, "softmax")]
    net = cbp.Network((6, 3), layers, loss="cross_entropy", seed=0)
    return net, RNG.standard_normal((30, 6, 3)), RNG.integers(0, 4, (30, 6))


EVERY = ["accuracy", "f1", "roc_auc", "log_loss", "top_2", m.Recall(None)]


def flat(metrics, p, y, weights=None):
    """The same metrics for rows alone: of a network that gives back the logarithms of probabilities as such."""
    net = cbp.Network(p.shape[1], [cbp.Dense(p.shape[1], "softmax", init=np.eye(p.shape[1]))], loss="cross_entropy",
                      dtype="float64")
    return net.evaluate(np.log(p), y, weights, metrics=metrics)


def test_every_step_counts():
    net, x, y = sequences()
    found = net.evaluate(x, y, metrics=EVERY)
    expected = flat(EVERY, net.predict(x).reshape(-1, 4).astype(float), y.reshape(-1))
    assert found == pytest.approx(expected, rel=1e-5)
    net.evaluate(x, np.eye(4)[y], metrics=EVERY)


def test_steps_behind_the_end_do_not_count():
    net, x, y = sequences()
    lengths, weights = RNG.integers(1, 7, 30), RNG.uniform(0.5, 2, 30)
    within = np.arange(6) < lengths[:, None]
    found = net.evaluate(x, y, weights, metrics=EVERY, lengths=lengths)
    p = net.predict(x, lengths=lengths)[within].astype(float)
    expected = flat(EVERY, p, y[within], np.repeat(weights, lengths))
    for name in list(expected)[1:]:
        assert found[name] == pytest.approx(expected[name], rel=1e-5)
    y[~within] = 0
    assert net.evaluate(x, y, weights, metrics=EVERY, lengths=lengths) == found
    assert net.confusion(x, y, lengths=lengths).counts.sum() == lengths.sum()


def test_one_answer_for_a_sequence_of_any_length():
    net = cbp.Network((6, 3), [cbp.LSTM(4), cbp.Dense(1)], loss="mean_squared_error", seed=0, dtype="float64")
    x, y, lengths = RNG.standard_normal((30, 6, 3)), RNG.standard_normal(30), RNG.integers(1, 7, 30)
    found = net.evaluate(x, y, metrics=["mse", "r2"], lengths=lengths)
    assert found["mse"] == pytest.approx(found["loss"], rel=1e-12)
    assert found["mse"] == pytest.approx(((net.predict(x, lengths=lengths)[..., 0] - y) ** 2).mean(), rel=1e-12)


def test_positions_that_are_no_steps_all_count():
    layers = [cbp.GRU(4), cbp.Dense(6), cbp.Reshape((3, 2))]
    net = cbp.Network((6, 3), layers, loss="mean_squared_error", seed=0, dtype="float64")
    x, y = RNG.standard_normal((30, 6, 3)), RNG.standard_normal((30, 3, 2))
    found = net.evaluate(x, y, metrics=["mse"], lengths=RNG.integers(1, 7, 30))
    assert found["mse"] == pytest.approx(found["loss"], rel=1e-12)


def test_every_pixel_counts():
    net = cbp.Network((5, 4, 2), [cbp.Conv2D(3, 3, "softmax", padding="same")], loss="cross_entropy", seed=0)
    x, y = RNG.standard_normal((7, 5, 4, 2)), RNG.integers(0, 3, (7, 5, 4))
    found = net.evaluate(x, y, metrics=["accuracy", "f1"])
    assert found["accuracy"] == (net.predict(x).argmax(axis=-1) == y).mean()
    assert net.confusion(x, y).counts.sum() == y.size


def test_states_that_go_on_are_left_alone():
    layers = [cbp.GRU(5, stateful=True, return_sequences=True), cbp.Dense(1)]
    net = cbp.Network((4, 3), layers, loss="mean_squared_error", seed=0)
    x, y = RNG.standard_normal((8, 4, 3)), RNG.standard_normal((8, 4))
    net.predict(x)
    one, other = net.evaluate(x, y, metrics=["mse"]), net.evaluate(x, y, metrics=["mse"])
    assert one == other
    assert one["mse"] == pytest.approx(one["loss"], rel=1e-5)


def test_weights_have_all_their_digits():
    """Although a float32 network has them in its own precision."""
    weights = RNG.uniform(size=40)
    errors = regression().predict(X).astype(float)[:, 0] - X[:, 0]
    expected = np.average(errors**2, weights=weights)
    assert regression().evaluate(X, X[:, 0], weights, metrics=["mse"])["mse"] == expected
    assert regression().evaluate(X, X[:, 0], list(weights), metrics=["mse"])["mse"] == expected


def test_float32_loses_nothing_on_the_way():
    net = given(1.0)
    x = np.full((200_000, 1), 0.1)
    assert net.evaluate(x, np.zeros(200_000), metrics=["mae"])["mae"] == pytest.approx(0.1, rel=1e-15)


@pytest.mark.parametrize("as_rows", [False, True])
def test_whole_weights_are_repeats(as_rows):
    times = RNG.integers(0, 3, 40)
    y = np.eye(4)[LABELS] if as_rows else LABELS
    net = classifier()
    once = net.evaluate(X, y, times, metrics=EVERY)
    repeated = net.evaluate(np.repeat(X, times, axis=0), np.repeat(y, times, axis=0), metrics=EVERY)
    assert once == pytest.approx(repeated, rel=1e-6)
    assert np.array_equal(net.confusion(X, y, times).counts, net.confusion(
        np.repeat(X, times, axis=0), np.repeat(y, times, axis=0)).counts)


def test_targets_and_outputs_without_the_axis_of_one():
    net = regression()
    y = X[:, 0]
    one = net.evaluate(X, y, metrics=["r2"])
    assert net.evaluate(X, y[:, None], metrics=["r2"]) == one
    net.fit(X, y, epochs=1)
    assert net.predict(X).shape == (40,)
    assert net.evaluate(X, y, metrics=["r2"]) == net.evaluate(X, y[:, None], metrics=["r2"])


# --- functions ------------------------------------------------------------------------------------------------------------


def test_a_function_gets_rows():
    seen = []

    def mine(y_true, y_pred):
        seen.append((y_true, y_pred))
        return np.float32(2)

    assert regression().evaluate(X, X[:, 0], metrics=[mine])["mine"] == 2.0
    assert np.array_equal(seen[0][0], X[:, 0])
    assert seen[0][1].dtype == np.float64
    assert seen[0][1].shape == (40,)
    classifier().evaluate(X, LABELS, metrics={"other": mine})
    assert np.array_equal(seen[1][0], LABELS)
    assert seen[1][1].shape == (40, 4)
    net, x, y = sequences()
    net.evaluate(x, y, metrics=[mine], lengths=np.full(30, 2))
    assert seen[2][0].shape == (60,)
    assert seen[2][1].shape == (60, 4)


def test_a_function_takes_weights_or_is_refused():
    def heavy(y_true, y_pred, sample_weight=None):
        return 0 if sample_weight is None else sample_weight.sum()

    weights = RNG.uniform(size=40)
    assert classifier().evaluate(X, LABELS, weights, metrics=[heavy])["heavy"] == weights.sum()
    assert classifier().evaluate(X, LABELS, metrics=[heavy])["heavy"] == 0
    with pytest.raises(ValueError, match=r"metrics: mine takes no sample_weight, and here are .*mine\(y_true, y_pred, sample"):
        classifier().evaluate(X, LABELS, weights, metrics={"mine": lambda y_true, y_pred: 0})


def test_a_function_must_give_a_number():
    with pytest.raises(TypeError, match=r"metrics: mine must give a number, got array"):
        classifier().evaluate(X, LABELS, metrics={"mine": lambda y, p: p})
    with pytest.raises(ZeroDivisionError):
        classifier().evaluate(X, LABELS, metrics={"mine": lambda y, p: 1 / 0})
    assert classifier().evaluate(X, LABELS, metrics={"mine": lambda y, p: True})["mine"] == 1.0


# --- edges ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["roc_auc", m.ROCAUC("micro")])
@pytest.mark.parametrize("y", [np.zeros(40), np.ones(40)])
def test_a_ranking_of_one_class_is_nan_and_said(metric, y):
    with pytest.warns(RuntimeWarning, match=r"^metrics: roc_auc.* is not defined here: (no target is|all targets are) of "):
        assert np.isnan(yes_or_no().evaluate(X, y, metrics=[metric])[m.get(metric).label])


def test_a_class_that_does_not_occur():
    y = LABELS % 3
    net = classifier()
    with pytest.warns(RuntimeWarning, match="roc_auc is not defined here: no target is of class 3"):
        found = net.evaluate(X, y, metrics=["roc_auc"])
    assert np.isnan(found["roc_auc"])
    with pytest.warns(RuntimeWarning, match="each is not defined here: no target is of class 3"):
        found = net.evaluate(X, y, metrics={"each": m.ROCAUC(None)})
    assert [np.isnan(found[f"each_{label}"]) for label in range(4)] == [False, False, False, True]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = net.evaluate(X, y, metrics=["roc_auc_weighted", "f1", m.ROCAUC(multi_class="ovo"), m.F1(None)])
    assert np.isfinite(list(found.values())).all()
    assert found["f1_3"] == 0
    with pytest.warns(RuntimeWarning, match="average_precision is not defined here: no target is of class 3"):
        assert net.evaluate(X, y, metrics=["average_precision"])["average_precision"] >= 0


def test_nothing_to_divide_by():
    net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    metrics = {"zero": m.Precision(), "one": m.Precision(zero_division=1), "nan": m.Precision(zero_division=np.nan)}
    found = net.evaluate([[-1.0], [-2.0]], [0, 1], metrics=metrics)
    assert (found["zero"], found["one"]) == (0, 1)
    assert np.isnan(found["nan"])


def test_numbers_that_are_all_the_same():
    assert given(1.0).evaluate([[2.0], [2.0]], [2.0, 2.0], metrics=["r2", "explained_variance"])["r2"] == 1
    assert given(1.0).evaluate([[2.0], [3.0]], [2.0, 2.0], metrics=["r2"])["r2"] == 0
    with pytest.warns(RuntimeWarning, match="r2 is not defined here: there is a single row"):
        assert np.isnan(given(1.0).evaluate([[2.0]], [2.0], metrics=["r2"])["r2"])


def test_probabilities_that_are_0():
    net = cbp.Network(1, [cbp.Dense(1, "sigmoid", init=1.0)], loss="binary_cross_entropy")
    assert net.evaluate([[200.0]], [0], metrics=["log_loss"])["log_loss"] == -np.log(np.finfo(float).eps)


def test_of_equal_outputs_the_later_class_comes_first():
    net = cbp.Network(1, [cbp.Dense(3, "softmax", init=0.0)], loss="cross_entropy")
    x = np.zeros((3, 1))
    found = net.evaluate(x, [0, 1, 2], metrics=["top_1", "top_2"])
    assert (found["top_1"], found["top_2"]) == (1 / 3, 2 / 3)
    assert net.confusion(x, [0, 1, 2]).counts[:, 0].tolist() == [1, 1, 1]  # the first, as in the accuracy


def test_outputs_that_are_not_finite():
    net = regression()
    net.parameters["0.bias"][0] = np.inf
    with pytest.warns(RuntimeWarning, match="bias"):
        found = net.evaluate(X, X[:, 0], metrics=["r2", "rmse"])
    assert np.isnan([found["r2"], found["rmse"]]).all()


# --- measured again and again ---------------------------------------------------------------------------------------------


def test_what_is_prepared_once_measures_as_often_as_is_wanted():
    net = classifier()
    asked, data = net._metrics(EVERY, weighted=False), cbp.engine.arrays.data(net._model.form, X, LABELS)
    measure = asked.on(data)
    for _ in range(2):
        net.fit(X, LABELS, epochs=1)
        assert measure.of(net.predict(X)) == asked.of(net.predict(X), data)
        assert list(measure.of(net.predict(X))) == list(asked.names)


def missing(net, y):
    """Checked data, and the truth in which NaN stands for what is missing."""
    data = cbp.engine.arrays.data(net._model.form, X, np.zeros(y.shape))
    return data.__class__(**{**vars(data), "targets": cbp.engine.arrays.Source(y, b"")})


@pytest.mark.parametrize("outputs", [1, 3])
def test_missing_targets_do_not_count(outputs):
    net = regression(outputs, dtype="float64")
    y = RNG.standard_normal((40, outputs))
    y[RNG.uniform(size=y.shape) < 0.3] = np.nan
    found = net._metrics([m.MeanSquaredError(), m.R2()], weighted=False).of(net.predict(X), missing(net, y))
    there = [~np.isnan(column) for column in y.T]
    squares = [((net.predict(X)[rows, j] - y[rows, j]) ** 2).mean() for j, rows in enumerate(there)]
    spread = [y[rows, j].var() for j, rows in enumerate(there)]
    assert found["mean_squared_error"] == pytest.approx(np.mean(squares), rel=1e-13)
    assert found["r2"] == pytest.approx(np.mean(1 - np.divide(squares, spread)), rel=1e-12)


def test_missing_labels_do_not_count():
    net = yes_or_no(3)
    y = RNG.integers(0, 2, (40, 3)).astype(float)
    y[RNG.uniform(size=y.shape) < 0.3] = np.nan
    names = ["accuracy", "roc_auc", "log_loss", "f1", "brier", "average_precision", "subset_accuracy"]
    found = net._metrics(names, weighted=False).of(net.predict(X), missing(net, y))
    there, p = ~np.isnan(y), net.predict(X).astype(float)
    assert found["accuracy"] == pytest.approx(((p > 0.5) == y)[there].mean())
    assert found["brier"] == pytest.approx(((p - y)[there] ** 2).mean(), rel=1e-13)
    assert found["subset_accuracy"] == pytest.approx((((p > 0.5) == y) | ~there).all(axis=1)[there.any(axis=1)].mean())
    one = yes_or_no(1)
    alone = [one._metrics(["roc_auc", "f1", "average_precision"], weighted=False).of(
        p[there[:, j], j], kept(one, y[there[:, j], j])) for j in range(3)]
    for name in ("roc_auc", "f1", "average_precision"):
        assert found[name] == pytest.approx(np.mean([values[name] for values in alone]), rel=1e-13)


def kept(net, y):
    return cbp.engine.arrays.data(net._model.form, X[: len(y)], y)
