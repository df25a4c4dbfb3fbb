"""History: a mapping of curves, its words and its plot."""

import builtins
import copy
import importlib.util
import pickle
import sys
import types
from collections.abc import Mapping

import facts
import matplotlib
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


@pytest.fixture
def new_axes():
    """Makes axes that nobody looks at."""
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    yield lambda: plt.figure(layout="constrained").add_subplot()
    plt.close("all")


def twin_of(axes):
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


def words(axes):
    """What the legend of a figure says."""
    return [text.get_text() for other in axes.figure.axes if other.get_legend() for text in other.get_legend().get_texts()]


def test_the_plot_marks_the_best_epoch(new_axes):
    history = History(curves(4, validated=True) | {"val_loss": [3, 1, 2, 4]})
    axes = history.plot(new_axes())
    (mark,) = [found for found in axes.collections if found.get_label() == "best epoch: 2"]
    assert {x for x, _ in mark.get_segments()[0]} == {2}
    assert words(axes) == ["loss", "val_loss", "accuracy", "val_accuracy", "best epoch: 2"]
    assert History(curves(2) | {"loss": [np.nan, np.inf]}).plot(new_axes()).collections[:] == []


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 60, 1234])
def test_epochs_are_whole_numbers(new_axes, epochs):
    axes = History(curves(epochs)).plot(new_axes())
    axes.figure.canvas.draw()
    low, high = axes.get_xlim()
    assert low < 1 <= epochs < high
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    assert ticks
    assert all(tick == int(tick) for tick in ticks)


def test_the_plot_tells_what_an_epoch_took(new_axes):
    def title(epochs, seconds):
        return History({"loss": np.ones(epochs), "seconds": np.linspace(0, seconds, epochs + 1)[1:]}).plot(
            new_axes()).get_title(loc="left")

    assert title(1, 0.5) == "1 epoch, 500 ms each"
    assert title(4, 0.0064) == "4 epochs, 1.6 ms each"
    assert title(2000, 60_000) == "2,000 epochs, 30.0 s each"
    assert title(0, 1) == "0 epochs"


@pytest.mark.parametrize("rates", [[0.1, 0.01, 0.001], [0.1, 0.09, 0.08], [0.0, 0.05, 0.1], [0.0, 0.0, 0.0]])
def test_rates_have_an_axis_of_their_own(new_axes, rates):
    axes = History(curves() | {"rate": rates}).plot(new_axes())
    (side,) = [other for other in axes.figure.axes if other.get_ylabel() == "rate"]
    (line,) = side.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), rates)
    assert side.get_yscale() == ("log" if rates[-1] == 0.001 else "linear")
    assert len(axes.figure.axes) == 3
    assert f"rate: {min(rates):.3g} to {max(rates):.3g}" in words(axes)
    axes.figure.canvas.draw()
    right = axes.figure.bbox.width
    assert side.get_tightbbox().x1 <= right + 1  # whole in the picture


def test_in_a_figure_without_a_layout_the_legend_alone_tells_rates():
    from matplotlib.figure import Figure

    axes = History(curves() | {"rate": [0.1, 0.01, 0.001]}).plot(Figure().add_subplot())
    assert "rate: 0.001 to 0.1" in words(axes)
    assert [other.yaxis.get_visible() for other in axes.figure.axes] == [True, True, False]


@pytest.mark.parametrize("width", [4, 6.4, 13])
def test_the_legend_covers_nothing_and_is_not_cut(width):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, 0.7 * width), layout="constrained")
    FigureCanvasAgg(figure)
    axes = History(curves(9, validated=True) | {"rate": np.logspace(-1, -5, 9)}).plot(figure.add_subplot())
    figure.canvas.draw()
    (legend,) = [other.get_legend() for other in figure.axes if other.get_legend()]
    box, below = legend.get_window_extent(), axes.xaxis.label.get_window_extent()
    assert box.y1 <= below.y0
    assert box.y0 >= 0
    assert box.x1 <= figure.bbox.width


def test_every_metric_has_its_colour(new_axes):
    axes = History(curves(validated=True) | {"f1": [1, 2, 3], "val_f1": [1, 2, 3], "a$b$": [0, 1, 2]}).plot(new_axes())
    lines = {line.get_label(): line for line in twin_of(axes).get_lines()}
    colours = {name: line.get_color() for name, line in lines.items()}
    assert colours["f1"] == colours["val_f1"]
    assert colours["accuracy"] == colours["val_accuracy"]
    assert len(set(colours.values())) == 3
    assert [lines[name].get_linestyle() for name in ("f1", "val_f1")] == ["-", "--"]
    assert twin_of(axes).get_ylabel() == r"accuracy, f1, a\$b\$"


def hide(monkeypatch, package):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)


def test_the_plot_without_matplotlib(monkeypatch):
    hide(monkeypatch, "matplotlib")
    with pytest.raises(ImportError, match=r"History.plot draws with matplotlib: pip install 'cbp\[plot\]'"):
        History(curves()).plot()
    with pytest.raises(ImportError, match=r"LivePlot draws with matplotlib: pip install 'cbp\[plot\]'"):
        cbp.LivePlot()


# --- a table ------------------------------------------------------------------------------------------------------------


def test_a_table_without_pandas(monkeypatch):
    hide(monkeypatch, "pandas")
    with pytest.raises(ImportError, match="to_frame makes a table of pandas: pip install pandas"):
        History(curves()).to_frame()


def test_a_table_of_pandas(monkeypatch):
    """By something that is called like pandas, which the tests do not need."""
    pandas = types.ModuleType("pandas")
    pandas.RangeIndex = lambda start, stop, name: (name, list(range(start, stop)))
    pandas.DataFrame = lambda data, index: (data, index)
    monkeypatch.setitem(sys.modules, "pandas", pandas)
    data, index = History(curves()).to_frame()
    assert type(data) is dict
    assert list(data) == ["loss", "accuracy", "seconds"]
    assert index == ("epoch", [1, 2, 3])


def test_a_history_is_what_tables_are_made_of():
    """A dict of columns, which pandas tells from other mappings; with the packages that are installed tables are made of it."""
    history = History(curves(4, validated=True))
    assert isinstance(history, dict)
    assert [(name, len(curve)) for name, curve in history.items()] == [(name, 4) for name in curves(4, validated=True)]
    for package in ("pandas", "polars"):
        if importlib.util.find_spec(package):
            frame = importlib.import_module(package).DataFrame(history)
            assert frame.shape == (4, 5)
            assert list(frame.columns) == list(history)
            for name, curve in history.items():
                np.testing.assert_array_equal(frame[name].to_numpy(), curve)


def test_it_is_short_in_a_notebook():
    history = History(curves(500, validated=True) | {"val_loss": np.r_[np.ones(250), 0, np.ones(249)], "<b>": np.ones(500)})
    text = history._repr_html_()
    assert len(text) < 12_000
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert "500 epochs, 1,080 ms each" in text
    assert "epoch 251, the best" in text
    assert text.count("<polyline") == 5
    assert "NaN" not in History({"loss": [np.nan, 1, np.inf, 2], "seconds": [1, 2, 3, 4]})._repr_html_()
    assert "0 epochs" in History(curves(0))._repr_html_()


# --- the best epoch -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("found", "best"), [
    ({"loss": [3, 1, 2]}, 2), ({"loss": [3, 1, 2], "val_loss": [1, 2, 3]}, 1), ({"loss": [np.nan, np.inf, 5.0]}, 3),
    ({"loss": [1, 1, 1]}, 1), ({"loss": []}, None), ({"loss": [1.0], "val_loss": [np.nan]}, None),
    ({"loss": [1.0, -np.inf]}, 1),
])  # fmt: skip
def test_the_best_epoch(found, best):
    assert History(found).best_epoch == best


# --- nothing changes it -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [
    lambda h: h.__setitem__("loss", 1), lambda h: h.__delitem__("loss"), lambda h: h.update(loss=1), lambda h: h.pop("loss"),
    lambda h: h.popitem(), lambda h: h.clear(), lambda h: h.setdefault("new", 1), lambda h: h.__ior__({"loss": 1}),
])  # fmt: skip
def test_nothing_can_be_added_or_taken_away(change):
    history = History(curves())
    with pytest.raises(TypeError, match="read-only"):
        change(history)
    with pytest.raises(AttributeError, match="cannot be set"):
        history.loss = 1
    assert repr(history) == repr(History(curves()))


def test_the_curves_are_read_only():
    history = cbp.mlp([1, 1], seed=0).fit([[1.0]], [1.0], epochs=2)
    for curve in history.loss, history["loss"]:
        with pytest.raises(ValueError, match="read-only"):
            curve[0] = 99
    history.loss.copy()[0] = 99
