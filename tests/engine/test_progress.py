"""Progress: who sees it, what it looks like, and that nothing else depends on it."""

import importlib.util
import io
import sys
import types
from contextlib import suppress

import numpy as np
import pytest

import cbp
from cbp.engine import fit, progress, runner
from cbp.engine.progress import Progress

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((30, 3)), RNG.standard_normal((30, 2))


def network():
    return cbp.mlp([3, 4, 2], seed=0)


class Stream(io.StringIO):
    """A text stream that says whether it is a terminal."""

    def __init__(self, terminal):
        super().__init__()
        self._terminal = terminal

    def isatty(self):
        return self._terminal


class FakeBar:
    """Records what is done to a bar of tqdm."""

    made: list["FakeBar"]

    def __init__(self, **options):
        self.options, self.n, self.closed, self.updates, self.notes = options, 0, 0, [], []
        FakeBar.made.append(self)

    def __bool__(self):
        return self.options["total"] > 0

    def update(self, count):
        assert not self.closed
        self.updates.append(count)
        self.n += count

    def set_postfix_str(self, text, refresh=True):
        assert not self.closed
        self.notes.append(text)

    def close(self):
        self.closed += 1


class Clock:
    """A clock that goes on by a fixed step whenever it is read."""

    def __init__(self, step):
        self.now, self.step = 0.0, step

    def monotonic(self):
        self.now += self.step
        return self.now


@pytest.fixture(autouse=True)
def silent_stdout(capfd):
    """Whatever happens, nothing is written to stdout."""
    yield
    assert capfd.readouterr().out == ""


def with_stderr(monkeypatch, stream):
    """Let the display see this stream; pytest puts its own into ``sys`` whenever it captures."""
    monkeypatch.setattr(progress, "sys", types.SimpleNamespace(stderr=stream, modules=sys.modules))
    return stream


@pytest.fixture
def terminal(monkeypatch):
    return with_stderr(monkeypatch, Stream(True))


@pytest.fixture
def pipe(monkeypatch):
    return with_stderr(monkeypatch, Stream(False))


@pytest.fixture
def bars(monkeypatch):
    """tqdm, as far as the progress display uses it; the list of the bars that were made."""
    FakeBar.made = []
    module = types.ModuleType("tqdm.auto")
    module.tqdm = FakeBar
    monkeypatch.setitem(sys.modules, "tqdm", types.ModuleType("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", module)
    return FakeBar.made


@pytest.fixture
def no_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)


@pytest.fixture
def slow(monkeypatch):
    """Every run is long: for the display's clock, whatever it takes."""
    monkeypatch.setattr(progress, "time", Clock(0.6))
    monkeypatch.setattr(runner, "PATIENCE", 0.0)


@pytest.fixture
def quick(monkeypatch):
    """Every run is over at once, for the display's clock."""
    monkeypatch.setattr(progress, "time", Clock(0.0))


# --- who sees it --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("slow", "no_tqdm")
@pytest.mark.parametrize("wanted", [None, False])
def test_nobody_watches(pipe, wanted):
    network().fit(X, Y, epochs=20, batch_size=4, progress=wanted)
    assert pipe.getvalue() == ""


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("wanted", [None, False])
def test_nobody_watches_and_tqdm_is_there(pipe, bars, wanted):
    network().fit(X, Y, epochs=20, batch_size=4, progress=wanted)
    assert bars == []
    assert pipe.getvalue() == ""


@pytest.mark.usefixtures("slow", "no_tqdm")
def test_a_terminal_sees_a_long_run(terminal):
    network().fit(X, Y, epochs=20, batch_size=4)
    assert "epoch" in terminal.getvalue()
    assert "/20" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


@pytest.mark.usefixtures("slow")
def test_a_terminal_sees_a_bar(terminal, bars):
    network().fit(X, Y, epochs=20, batch_size=4)
    (bar,) = bars
    assert bar.options["total"] == 20
    assert bar.closed == 1
    assert terminal.getvalue() == ""  # the bar is tqdm's business


@pytest.mark.usefixtures("quick", "no_tqdm")
def test_a_terminal_does_not_see_a_short_run(terminal):
    network().fit(X, Y, epochs=20, batch_size=4)
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("slow", "terminal")
def test_unwanted_is_unwanted(bars):
    network().fit(X, Y, epochs=20, progress=False)
    assert bars == []


@pytest.mark.usefixtures("quick", "no_tqdm")
def test_wanted_is_shown_without_a_terminal_and_for_a_short_run(pipe):
    network().fit(X, Y, epochs=3, progress=True)
    assert "3/3" in pipe.getvalue()
    assert pipe.getvalue().endswith("\n")


@pytest.mark.usefixtures("quick", "pipe")
@pytest.mark.parametrize("value", [True, np.True_])
def test_wanted_is_shown_as_a_bar(bars, value):
    network().fit(X, Y, epochs=3, progress=value)
    (bar,) = bars
    assert (bar.n, bar.closed) == (3, 1)


@pytest.mark.usefixtures("slow", "pipe")
def test_a_notebook_watches(bars, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    network().fit(X, Y, epochs=20, batch_size=4)
    assert len(bars) == 1


@pytest.mark.usefixtures("slow", "bars")
def test_only_fit_shows_progress(terminal):
    net = network()
    net.train_on_batch(X, Y), net.evaluate(X, Y), net.predict(X), net.gradient(X, Y), net.backward(X, Y)
    assert terminal.getvalue() == ""
    assert FakeBar.made == []


@pytest.mark.usefixtures("pipe")
def test_tqdm_is_not_imported_in_vain(monkeypatch):
    class Forbidden(types.ModuleType):
        def __getattr__(self, name):
            raise AssertionError("tqdm was touched")

    monkeypatch.setitem(sys.modules, "tqdm", Forbidden("tqdm"))
    monkeypatch.setitem(sys.modules, "tqdm.auto", Forbidden("tqdm.auto"))
    network().fit(X, Y, epochs=20)
    network().fit(X, Y, epochs=20, progress=False)


# --- what it looks like -------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_the_bar_counts_the_epochs(bars, epochs, validated):
    network().fit(X, Y, epochs=epochs, progress=True, validation_data=(X, Y) if validated else None)
    (bar,) = bars
    assert all(count >= 0 for count in bar.updates)
    assert bar.n == epochs
    assert bar.closed == 1


@pytest.mark.usefixtures("slow")
def test_the_bar_shows_the_loss(bars):
    net = network()
    net.fit(X, Y, epochs=30, batch_size=8, progress=True)
    shown = [float(note.removeprefix("loss ")) for note in bars[0].notes if note]
    assert shown
    assert np.isfinite(shown).all()
    assert min(shown) > 0


@pytest.mark.usefixtures("slow", "no_tqdm")
@pytest.mark.parametrize("epochs", [1, 7])
def test_the_plain_line(pipe, epochs):
    network().fit(X, Y, epochs=epochs, batch_size=8, progress=True)
    text = pipe.getvalue()
    assert text.count("\n") == 1
    assert text.endswith("\n")
    assert text.isascii()
    assert f"epoch {epochs}/{epochs}" in text.split("\r")[-1]
    assert "loss" in text or epochs == 1


def test_one_line_covers_the_one_before(pipe, no_tqdm, monkeypatch):
    """Each line first wipes the whole of its predecessor."""
    monkeypatch.setattr(progress, "time", Clock(1.0))
    show = Progress(100, True)
    for done, loss in ((1, 1234567.0), (2, 1.0), (99, None), (100, 0.5)):
        show.show(done, loss)
    show.close()
    screen, column = {}, 0
    for character in pipe.getvalue().removesuffix("\n"):
        if character == "\r":
            column = 0
        else:
            screen[column] = character
            column += 1
    visible = "".join(screen[place] for place in sorted(screen)).rstrip()
    assert visible.startswith("epoch 100/100")
    assert "1234567" not in visible
    assert visible == pipe.getvalue().split("\r")[-1].strip()


@pytest.mark.usefixtures("no_tqdm")
def test_it_draws_at_most_ten_times_a_second(pipe, monkeypatch):
    monkeypatch.setattr(progress, "time", Clock(0.001))
    show = Progress(5000, True)
    for done in range(1, 5001):
        show.show(done, 1.0)
    show.close()
    lines = pipe.getvalue().count("epoch")
    assert 20 <= lines <= 52


@pytest.mark.usefixtures("no_tqdm")
def test_a_run_that_is_nearly_over_shows_nothing(terminal, monkeypatch):
    """After a second of silence only what will take another one is worth a line."""
    monkeypatch.setattr(progress, "time", Clock(0.25))
    show = Progress(10, None)
    for done in range(1, 11):
        show.show(done, 1.0)
        assert (terminal.getvalue() != "") == (done >= 4)  # at 1 s with 4 of 10 epochs done, 1.5 s remain
    show.close()
    hasty = Progress(6, None)
    before = terminal.getvalue()
    for done in range(1, 7):
        hasty.show(done, 1.0)  # at 1 s with 4 of 6 epochs done, half a second remains
    hasty.close()
    assert terminal.getvalue() == before


@pytest.mark.usefixtures("slow")
def test_whatever_is_installed(monkeypatch):
    """With the real tqdm, or the real lack of it."""
    stream = Stream(True)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        network().fit(X, Y, epochs=20, batch_size=4)
    text = stream.getvalue()
    assert ("training" in text) == (importlib.util.find_spec("tqdm") is not None)
    assert "20/20" in text
    assert "loss" in text
    assert text.endswith("\n")


# --- and nothing else depends on it -------------------------------------------------------------------------------


@pytest.mark.usefixtures("slow", "pipe")
def test_a_watched_run_gives_the_same_bits(bars):
    nets = [network(), network()]
    nets[0].fit(X, Y, epochs=9, batch_size=4, progress=True)
    nets[1].fit(X, Y, epochs=9, batch_size=4, progress=False)
    assert len(bars) == 1
    assert np.array_equal(nets[0].get_vector(), nets[1].get_vector())
    assert nets[0].history.loss.tolist() == nets[1].history.loss.tolist()


@pytest.mark.usefixtures("slow", "pipe")
def test_no_epochs_no_bar(bars):
    assert network().fit(X, Y, epochs=0, progress=True).epochs == 0
    assert bars == []


@pytest.mark.usefixtures("slow", "pipe")
def test_the_bar_is_closed_when_the_run_diverges(bars):
    net = cbp.mlp([3, 2], seed=0)
    with pytest.raises(cbp.DivergedError):
        net.fit(X, Y, epochs=1000, progress=True, optimizer=cbp.SGD(10.0))
    assert [bar.closed for bar in bars] == [1]


@pytest.mark.usefixtures("slow", "no_tqdm")
def test_the_line_is_ended_when_the_run_diverges(pipe):
    net = cbp.mlp([3, 2], seed=0)
    with pytest.raises(cbp.DivergedError):
        net.fit(X, Y, epochs=1000, progress=True, optimizer=cbp.SGD(10.0))
    assert pipe.getvalue().endswith("\n")


@pytest.mark.usefixtures("slow", "pipe")
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
def test_the_bar_is_closed_when_the_run_breaks(bars, monkeypatch, error):
    net = network()
    real = runner.Runner.slice

    def slice_or_break(self, curves, last_epoch):
        if self._numbers.epoch >= 3:
            raise error
        real(self, curves, last_epoch)

    monkeypatch.setattr(runner.Runner, "slice", slice_or_break)
    with pytest.raises(error):
        net.fit(X, Y, epochs=1000, progress=True)
    assert [bar.closed for bar in bars] == [1]
    assert net.history.epochs == 3


def test_the_display_belongs_to_one_run(monkeypatch):
    """fit makes a display, feeds it and closes it, exactly once each."""
    calls = []

    class Recorder:
        def __init__(self, epochs, wanted):
            calls.append(("made", epochs, wanted))

        def show(self, done, loss):
            calls.append("shown")

        def close(self):
            calls.append("closed")

    monkeypatch.setattr(fit, "Progress", Recorder)
    network().fit(X, Y, epochs=4, progress=False)
    assert calls[0] == ("made", 4, False)
    assert calls[-1] == "closed"
    assert set(calls[1:-1]) == {"shown"}


class Deaf:
    """A stream without isatty, as some windowed programs put in the place of stderr."""

    def write(self, text):
        return len(text)

    def flush(self):
        pass


def closed_stream():
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.usefixtures("slow", "no_tqdm")
@pytest.mark.parametrize("stream", [None, Deaf(), closed_stream()], ids=["None", "without isatty", "closed"])
def test_training_needs_no_stderr(monkeypatch, stream):
    """Windowed programs and services have no stderr, or a closed one; nobody watches there."""
    with_stderr(monkeypatch, stream)
    assert network().fit(X, Y, epochs=3).epochs == 3


@pytest.mark.usefixtures("slow", "no_tqdm")
def test_progress_that_is_wanted_without_a_stderr(monkeypatch):
    with_stderr(monkeypatch, None)
    assert network().fit(X, Y, epochs=3, progress=True).epochs == 3


@pytest.mark.usefixtures("slow", "no_tqdm")
def test_a_display_that_fails_leaves_a_sound_network(monkeypatch):
    """A stream that breaks may end the run, but the numbers, the history and the lock stay in order."""

    class Broken(Stream):
        def write(self, text):
            raise BrokenPipeError

    net = network()
    with_stderr(monkeypatch, Broken(True))
    with suppress(BrokenPipeError):
        net.fit(X, Y, epochs=5, batch_size=4)
    assert np.isfinite(net.get_vector()).all()
    assert net.history.epochs <= net.epoch <= net.history.epochs + 1
    assert net.step >= 8 * net.history.epochs
    net.fit(X, Y, epochs=1, progress=False)
