"""A plot that is drawn anew while a run goes on, with a run that is played."""

import sys
import types

import matplotlib
import numpy as np
import pytest

import cbp
from cbp.callbacks import live as module
from cbp.pictures import curves

matplotlib.use("agg")


class Run:
    """A run as a callback sees one: with the curves so far."""

    def __init__(self):
        self.epochs = 0

    @property
    def history(self):
        losses = 1 / (1 + np.arange(self.epochs))
        return cbp.History({"loss": losses, "accuracy": 1 - losses, "seconds": np.arange(1.0, self.epochs + 1)})

    def train(self, live, epochs):
        for _ in range(epochs):
            self.epochs += 1
            live.on_epoch_end(self)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = types.SimpleNamespace(time=100.0)
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: now.time))
    return now


def shown(live):
    """How many epochs the picture has; 0 where there is none yet."""
    return len(live.figure.axes[0].get_lines()[0].get_xdata()) if live.figure.axes else 0


def test_it_is_drawn_now_and_then(clock):
    live, run = cbp.LivePlot(seconds=2), Run()
    live.on_fit_begin(run)
    seen = []
    for _ in range(7):
        run.train(live, 1)
        seen.append(shown(live))
        clock.time += 0.9
    assert seen == [1, 1, 1, 4, 4, 4, 7]
    run.epochs = 30
    live.on_fit_end(run)
    assert shown(live) == 30


def test_a_slow_drawing_takes_a_fifth_of_the_time(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module, "time", types.SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(curves, "plot", lambda *given: now.__setitem__(0, now[0] + 1.0))
    live, run = cbp.LivePlot(seconds=0), Run()
    run.train(live, 1)
    assert now == [1.0]
    now[0] = 4.9
    run.train(live, 1)
    assert now == [4.9]
    now[0] = 5.0
    run.train(live, 1)
    assert now == [6.0]


def test_the_picture_is_drawn_anew_and_not_over_itself():
    live, run = cbp.LivePlot(seconds=0), Run()
    for _ in range(3):
        live.on_fit_begin(run)
        run.train(live, 1)
    assert len(live.figure.axes) == 2  # of loss and accuracy
    assert live._repr_png_().startswith(b"\x89PNG")


def test_on_axes_of_ones_own(clock):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots()
    live, run = cbp.LivePlot(seconds=0, axes=axes), Run()
    run.train(live, 3)
    assert live.figure is figure
    assert shown(live) == 3
    plt.close(figure)


def test_in_a_notebook_one_picture_changes(monkeypatch, clock):
    calls = []
    handle = types.SimpleNamespace(update=lambda picture: calls.append(("update", picture)))

    def display(picture, display_id):
        assert display_id is True
        calls.append(("display", picture))
        return handle

    package = types.ModuleType("IPython.display")
    package.display = display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", package)
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    live, run = cbp.LivePlot(seconds=0), Run()
    for _ in range(2):
        live.on_fit_begin(run)
        run.train(live, 2)
        live.on_fit_end(run)
    assert [call for call, _ in calls] == ["display", "update", "update"] * 2
    assert all(picture is live for _, picture in calls)


def test_pyplot_knows_nothing_of_it():
    """Or a notebook would show the last picture twice."""
    import matplotlib.pyplot as plt

    plt.close("all")
    cbp.LivePlot()
    assert plt.get_fignums() == []


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), "1", None, True])
def test_wrong_seconds(seconds):
    with pytest.raises((ValueError, TypeError), match="seconds must be a finite number of at least 0"):
        cbp.LivePlot(seconds=seconds)
