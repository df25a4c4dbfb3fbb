"""History: a mapping of curves, its words and its plot."""

import builtins
import copy
import importlib.util
import pickle
import sys
import types
from collections.abc import Mapping

import facts
import numpy as np
import pytest
from cases import seed_of, targets

import cbp
from cbp import History

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((30, 3)), RNG.standard_normal((30, 2))
LABELS = RNG.integers(0, 2, 30)


def curves(epochs=3, *, validated=False, metric="accuracy"):
    names = ["loss", metric] + (["val_loss", f"val_{metric}"] if validated else []) + ["seconds"]
    return {name: np.arange(epochs) + 10.0 * index for index, name in enumerate(names)}


# --- a mapping ----------------------------------------------------------------------------------------------------


def test_a_history_is_a_mapping_of_arrays():
    history = History(curves())
    assert isinstance(history, Mapping)
    assert list(history) == ["loss", "accuracy", "seconds"]
    assert len(history) == 3
    assert history.epochs == 3
    assert "loss" in history
    assert "val_loss" not in history
    assert history.get("val_loss") is None
    np.testing.assert_array_equal(history["accuracy"], [10, 11, 12])
    assert {name: curve.tolist() for name, curve in history.items()} == {n: c.tolist() for n, c in curves().items()}
    assert dict(history).keys() == history.keys()


def test_curves_are_attributes_too():
    history = History(curves(validated=True))
    for name in history:
        assert getattr(history, name) is history[name]
    with pytest.raises(KeyError, match="mae"):
        history["mae"]
    with pytest.raises(AttributeError, match=r"'mae'.*loss, accuracy, val_loss, val_accuracy, seconds"):
        history.mae  # noqa: B018
    assert not hasattr(history, "_nothing")


def test_lists_become_arrays_of_doubles():
    history = History({"loss": [1, 2], "accuracy": (0.5, 1), "seconds": np.array([1, 2], np.float32)})
    assert all(isinstance(curve, np.ndarray) and curve.dtype == np.float64 for curve in history.values())


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda history: pickle.loads(pickle.dumps(history))])
@pytest.mark.parametrize("epochs", [0, 3])
def test_copies(duplicate, epochs):
    history = History(curves(epochs))
    again = duplicate(history)
    assert repr(again) == repr(history)
    assert {name: curve.tolist() for name, curve in again.items()} == {n: c.tolist() for n, c in history.items()}


def test_words():
    assert repr(History(curves(0))) == "History(0 epochs)"
    text = repr(History(curves(3, validated=True)))
    assert text.startswith("History(3 epochs in 42.00 s; ")
    for part in ("loss 2", "accuracy 12", "val_loss 22", "val_accuracy 32"):
        assert part in text
    assert "seconds" not in text


# --- of a run -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "metric"), [(name, row.metric) for name, row in facts.LOSSES.items()])
def test_a_run_names_its_curves_after_its_loss(loss, metric):
    net = cbp.mlp([3, 4, 2], output=facts.LOSSES[loss].output, loss=loss, seed=0)
    y = targets(loss, np.random.default_rng(seed_of(loss)), len(X), 2)
    assert list(net.fit(X, y, epochs=2)) == ["loss", metric, "seconds"]
    history = net.fit(X, y, epochs=2, validation_data=(X, y))
    assert list(history) == ["loss", metric, "val_loss", f"val_{metric}", "seconds"]
    assert list(net.evaluate(X, y)) == ["loss", metric]


def test_a_history_is_not_changed_by_later_runs():
    net = cbp.mlp([3, 4, 2], seed=0)
    first = net.fit(X, Y, epochs=3)
    before = {name: curve.tolist() for name, curve in first.items()}
    second = net.fit(X, Y, epochs=2)
    assert {name: curve.tolist() for name, curve in first.items()} == before
    assert (first.epochs, second.epochs, net.history.epochs) == (3, 2, 2)


def test_a_history_holds_on_to_no_data():
    """The curves are small arrays of their own, not views of blocks with room for thousands of epochs."""
    history = cbp.mlp([3, 4, 2], seed=0).fit(X, Y, epochs=2)
    assert len(pickle.dumps(history)) < 2000
    for curve in history.values():
        root = curve
        while root.base is not None:
            root = root.base
        assert root.nbytes < 1000


# --- the plot -----------------------------------------------------------------------------------------------------


class FakeAxes:
    """As much of matplotlib's axes as the plot uses."""

    def __init__(self):
        self.lines, self.labels, self.twin, self.shown = [], {}, None, None

    def plot(self, x, y, **style):
        x, y = np.asarray(x), np.asarray(y)
        assert x.shape == y.shape
        line = types.SimpleNamespace(get_label=lambda: style["label"], get_xdata=lambda: x, get_ydata=lambda: y)
        self.lines.append(line)

    def get_lines(self):
        return self.lines

    def set_xlabel(self, text):
        self.labels["x"] = text

    def set_ylabel(self, text, **style):
        self.labels["y"] = text

    def get_xlabel(self):
        return self.labels["x"]

    def get_ylabel(self):
        return self.labels["y"]

    def twinx(self):
        self.twin = FakeAxes()
        return self.twin

    def legend(self, handles, labels, **style):
        self.shown = labels


@pytest.fixture(params=["fake"] + (["real"] if importlib.util.find_spec("matplotlib") else []))
def new_axes(request, monkeypatch):
    """Makes axes, as pyplot would; with the real matplotlib too where it is installed."""
    if request.param == "real":
        import matplotlib as mpl

        mpl.use("agg")
        import matplotlib.pyplot as plt

        yield lambda: plt.figure().add_subplot()
        plt.close("all")
        return
    package, pyplot = types.ModuleType("matplotlib"), types.ModuleType("matplotlib.pyplot")
    package.pyplot = pyplot
    pyplot.figure = lambda **options: types.SimpleNamespace(add_subplot=FakeAxes)
    monkeypatch.setitem(sys.modules, "matplotlib", package)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    yield FakeAxes


def twin_of(axes):
    if isinstance(axes, FakeAxes):
        return axes.twin
    (twin,) = [other for other in axes.figure.axes if other is not axes]
    return twin


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(
    ("validated", "metric"), [(False, "accuracy"), (True, "accuracy"), (True, "mean_absolute_error")])
def test_the_plot_draws_every_curve(new_axes, given, validated, metric):
    history = History(curves(4, validated=validated, metric=metric))
    axes = new_axes() if given else None
    result = history.plot(axes) if given else history.plot()
    if given:
        assert result is axes
    lines = {line.get_label(): line for line in [*result.get_lines(), *twin_of(result).get_lines()]}
    assert set(lines) == set(history) - {"seconds"}
    for name, line in lines.items():
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3, 4])
        np.testing.assert_array_equal(line.get_ydata(), history[name])
    assert {line.get_label() for line in result.get_lines()} == {name for name in history if name.endswith("loss")}
    assert result.get_xlabel() == "epoch"
    assert result.get_ylabel() == "loss"
    assert twin_of(result).get_ylabel() == metric.replace("_", " ")


@pytest.mark.parametrize("epochs", [0, 1])
def test_the_plot_of_hardly_anything(new_axes, epochs):
    History(curves(epochs, validated=True)).plot(new_axes())


def test_the_plot_of_a_real_run(new_axes):
    net = cbp.mlp([3, 4, 2], output="softmax", seed=0)
    axes = net.fit(X, LABELS, epochs=5, validation_data=(X, LABELS)).plot(new_axes())
    assert len(axes.get_lines()) == 2


def test_the_plot_without_matplotlib(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'cbp\[plot\]'"):
        History(curves()).plot()


def test_the_curves_are_read_only():
    history = cbp.mlp([1, 1], seed=0).fit([[1.0]], [1.0], epochs=2)
    for curve in history.loss, history["loss"]:
        with pytest.raises(ValueError, match="read-only"):
            curve[0] = 99
    history.loss.copy()[0] = 99
