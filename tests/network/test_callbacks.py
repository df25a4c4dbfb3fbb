"""What goes with a training: stopping early, saving, rates, reports, callbacks of one's own; and what is held out for it."""

import copy
import csv
import logging
import math
import os
import signal
import sys
import threading
import time
import types

import numpy as np
import pytest
from cases import dumps, loads

import cbp
from cbp.engine.validation import held_out

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(60, 4)), RNG.normal(size=(60, 2))
HELD = RNG.normal(size=(20, 4)), RNG.normal(size=(20, 2))


def make(kind="dense", dtype="float64"):
    """A net that overfits the noise of X, Y soon, as ones of other kinds do theirs."""
    shape, layers = {
        "dense": ((4,), [cbp.Dense(16, "tanh"), cbp.Dense(2)]), "lstm": ((4, 1), [cbp.LSTM(8), cbp.Dense(2)]),
        "convolution": ((2, 2, 1), [cbp.Conv2D(8, 2, "tanh"), cbp.Flatten(), cbp.Dense(2)]),
        "batch norm": ((4,), [cbp.Dense(16, "tanh"), cbp.BatchNorm(), cbp.Dropout(0.1), cbp.Dense(2)]),
    }[kind]
    return cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype, seed=1)


def data(net):
    return (X.reshape(-1, *net.input_shape), Y), (HELD[0].reshape(-1, *net.input_shape), HELD[1])


def train(net, epochs, callbacks, optimizer=None, **more):
    rows, held = data(net)
    return net.fit(*rows, epochs=epochs, batch_size=8, validation_data=held, callbacks=callbacks,
                   optimizer=optimizer or cbp.Adam(0.02), **more)


def by_hand(net, epochs, patience, monitor="val_loss", sign=1, min_delta=0.0):
    """Early stopping in plain Python: the weights of the best epoch, and when it stopped."""
    rows, held = data(net)
    best, reference, waited, kept = math.inf, math.inf, 0, None
    for epoch in range(1, epochs + 1):
        value = sign * net.fit(*rows, epochs=1, batch_size=8, validation_data=held, optimizer=cbp.Adam(0.02))[monitor][-1]
        if value < best:
            best, kept = value, (epoch, net.snapshot())
        waited = waited + 1 if not value < reference - min_delta else 0
        reference = value if value < reference - min_delta else reference
        if waited >= patience:
            break
    return kept, epoch


def same_numbers(net, snapshot):
    now = net.snapshot()
    for one, other in ((now.parameters, snapshot.parameters), (now.statistics, snapshot.statistics),
                       *((now.optimizer_state[slot], snapshot.optimizer_state[slot]) for slot in now.optimizer_state)):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    assert now.step == snapshot.step


# --- early stopping -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["dense", "lstm", "convolution", "batch norm"])
def test_the_weights_are_those_of_the_best_epoch(kind, dtype, threads):
    net = make(kind, dtype)
    history = train(net, 120, cbp.EarlyStopping(patience=4), threads=threads)
    (best, snapshot), last = by_hand(make(kind, dtype), 120, 4)
    assert history.epochs == last < 120
    assert history.best_epoch == best == np.argmin(history.val_loss) + 1
    assert "val_loss has not become better than" in history.stopped
    assert net.epoch == last
    same_numbers(net, snapshot)
    _, held = data(net)
    assert net.evaluate(*held)["loss"] == history.val_loss.min()


@pytest.mark.parametrize(("monitor", "sign", "min_delta"), [
    ("val_mean_absolute_error", 1, 0.0), ("loss", 1, 0.01), ("val_loss", 1, 0.3), ("val_r2", -1, 0.0),
])
def test_what_is_watched_and_what_counts(monitor, sign, min_delta):
    net, metrics = make(), ["r2"] if monitor == "val_r2" else None
    history = train(net, 60, cbp.EarlyStopping(monitor, patience=3, min_delta=min_delta), metrics=metrics)
    best = (sign * history[monitor]).argmin() + 1
    assert history.best_epoch == best
    reference, waited, ends = math.inf, 0, 60
    for epoch, value in enumerate(sign * history[monitor], 1):
        waited, reference = (0, value) if value < reference - min_delta else (waited + 1, reference)
        if waited == 3:
            ends = epoch
            break
    assert history.epochs == ends


def test_mode_turns_it_round():
    history = train(make(), 30, cbp.EarlyStopping("val_loss", patience=1, mode="max"))
    falls = int(np.argmax(np.diff(history.val_loss) <= 0)) + 1  # the first epoch that is followed by a lower value
    assert (history.epochs, history.best_epoch) == (falls + 1, falls)


class Failing(cbp.Callback):
    def __init__(self, after, problem):
        self.after, self.problem = after, problem

    def on_epoch_end(self, run):
        if run.epoch == self.after:
            raise self.problem


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), ZeroDivisionError("mine"), SystemExit(3)], ids=repr)
@pytest.mark.parametrize("first", [True, False])
def test_whatever_ends_the_run_the_best_weights_stay(problem, first):
    net, best = make(), cbp.EarlyStopping(patience=100)
    others = [Failing(40, problem)]
    with pytest.raises(type(problem)):
        train(net, 90, [best, *others] if first else [*others, best])
    (epoch, snapshot), _ = by_hand(make(), 40 if first else 39, 100)
    assert (net.history.best_epoch, net.history.epochs) == (epoch, 40)
    assert net.history.stopped is None
    same_numbers(net, snapshot)


def test_the_limit_of_epochs_leaves_the_best_too():
    net = make()
    history = train(net, 50, cbp.EarlyStopping(patience=1000))
    (epoch, snapshot), _ = by_hand(make(), 50, 1000)
    assert (history.epochs, history.best_epoch, history.stopped) == (50, epoch, None)
    same_numbers(net, snapshot)


def test_a_real_ctrl_c_leaves_the_best():
    net, rows = make(), data(make())
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell lets background processes ignore it
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            net.fit(*rows[0], epochs=10**8, batch_size=8, validation_data=rows[1], optimizer=cbp.Adam(0.02),
                    callbacks=[cbp.EarlyStopping(patience=10**9), cbp.TimeLimit(60)])
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)
    assert net.history.best_epoch == np.argmin(net.history.val_loss) + 1
    assert net.evaluate(*rows[1])["loss"] == net.history.val_loss.min()


def test_a_divergence_leaves_the_best():
    class Steeper(cbp.Callback):
        def on_epoch_end(self, run):
            run.rate *= 30
    net = make(dtype="float32")
    with pytest.raises(cbp.DivergedError) as caught:
        train(net, 100, [Steeper(), cbp.EarlyStopping(patience=1000)], optimizer=cbp.SGD(0.001))
    history = caught.value.history
    assert np.isfinite(net.get_vector()).all()
    best = int(np.nanargmin(history.val_loss)) + 1
    assert net.history.best_epoch == best
    assert net.evaluate(*data(net)[1])["loss"] == history.val_loss[best - 1]


def test_training_goes_on_from_the_best():
    net = make()
    train(net, 60, cbp.EarlyStopping(patience=3))
    other = loads(dumps(net))
    for each in net, other:
        train(each, 3, None)
    assert dumps(net) == dumps(other)


def test_one_that_was_used_begins_anew():
    stopper, net = cbp.EarlyStopping(patience=3), make()
    first = train(net, 100, stopper)
    again = train(make(), 100, stopper)
    assert again.epochs == first.epochs
    np.testing.assert_array_equal(again.val_loss, first.val_loss)


def test_values_that_are_not_finite_are_no_improvement():
    class Spoil(cbp.Callback):
        def on_epoch_end(self, run):
            run.logs = {**run.logs, "val_loss": math.nan} if run.epoch > 1 else run.logs
    history = train(make(), 50, [Spoil(), cbp.EarlyStopping(patience=4)])
    assert (history.epochs, history.best_epoch) == (5, 1)


@pytest.mark.parametrize(("given", "error", "words"), [
    ({"patience": 0}, ValueError, "patience"), ({"patience": 1.5}, TypeError, "patience"),
    ({"min_delta": -1}, ValueError, "min_delta"), ({"mode": "up"}, ValueError, "mode must be"),
    ({"monitor": 3}, TypeError, "monitor"),
])
def test_arguments_of_early_stopping(given, error, words):
    with pytest.raises(error, match=words):
        cbp.EarlyStopping(**given)


@pytest.mark.parametrize(("callbacks", "more", "error", "words"), [
    (cbp.EarlyStopping(), {}, ValueError, "validation_split=0.1"),
    (cbp.EarlyStopping("val_losss"), {"val": True}, ValueError, "val_loss"),
    (cbp.EarlyStopping("accuracy"), {"val": True}, ValueError, "accuracy"),
    ("early", {}, TypeError, "callbacks must be a list"), ([object()], {}, TypeError, "derive from cbp.Callback"),
    ([cbp.EarlyStopping], {}, TypeError, r"write EarlyStopping\(\.\.\.\)"),
    (cbp.ReduceOnPlateau("loss"), {"optimizer": cbp.SGD(cbp.schedules.Constant(0.1))}, ValueError, "take one of the two"),
    (cbp.Checkpoint("/no/such/folder/x.cbp"), {}, OSError, "folder"),
    (cbp.CSVLogger("/no/such/folder/x.csv"), {}, OSError, "folder"),
    (cbp.EarlyStopping("val_mine"), {"val": True, "metrics": {"mine": lambda y, p: 0.0}}, ValueError, "mode='max'"),
])
def test_what_cannot_be_is_refused_before_anything_changed(callbacks, more, error, words):
    net = make()
    net.fit(X, Y, epochs=1, optimizer="adagrad")
    before, (rows, held) = dumps(net), data(net)
    if more.pop("val", False):
        more["validation_data"] = held
    with pytest.raises(error, match=words):
        net.fit(*rows, callbacks=callbacks, **more)
    assert dumps(net) == before


def test_the_same_callback_twice():
    stopper = cbp.EarlyStopping("loss")
    with pytest.raises(ValueError, match="twice"):
        make().fit(X, Y, callbacks=[stopper, stopper])


# --- one's own ----------------------------------------------------------------------------------------------------------------


class Recorder(cbp.Callback):
    def __init__(self):
        self.events = []

    def on_fit_begin(self, run):
        self.events.append(("fit", run.epoch, run.epochs, dict(run.logs)))

    def on_epoch_begin(self, run):
        self.events.append(("begin", run.epoch))

    def on_epoch_end(self, run):
        self.events.append(("end", run.epoch, dict(run.logs)))

    def on_fit_end(self, run):
        self.events.append(("over", run.epoch, run.stopped))


def test_what_is_told_and_when():
    one, net = Recorder(), make()
    history = train(net, 3, one)
    assert [event[:2] for event in one.events] == [
        ("fit", 0), ("begin", 0), ("end", 1), ("begin", 1), ("end", 2), ("begin", 2), ("end", 3), ("over", 3)]
    for event in one.events:
        if event[0] == "end":
            assert {name: history[name][event[1] - 1] for name in history} == {
                name: value for name, value in event[2].items() if name != "rate"}
            assert event[2]["rate"] == 0.02


def test_a_run_with_callbacks_has_the_bits_of_one_without():
    with_one, without = make("batch norm"), make("batch norm")
    (rows, _) = data(with_one)
    with_one.fit(*rows, epochs=7, batch_size=8, callbacks=[Recorder(), cbp.Log()])
    without.fit(*rows, epochs=7, batch_size=8)
    assert dumps(with_one) == dumps(without)


def test_the_network_may_be_asked_and_saved_meanwhile_not_trained(tmp_path):
    class Curious(cbp.Callback):
        def on_epoch_end(self, run):
            run.network.save(tmp_path / f"{run.epoch}.cbp")
            self.asked = run.network.predict(X[:3])
            with pytest.raises(RuntimeError):
                run.network.fit(X, Y, epochs=1)
            with pytest.raises(RuntimeError):
                run.network.train_on_batch(X, Y)
            assert run.history.epochs == run.epoch
    net, other = make(), make()
    train(net, 3, Curious())
    for epoch in 1, 2, 3:
        train(other, 1, None)
        assert dumps(cbp.load(tmp_path / f"{epoch}.cbp")) == dumps(other)


def test_stop_needs_a_reason_and_the_first_counts():
    class Stop(cbp.Callback):
        def __init__(self, *reasons):
            self.reasons = reasons

        def on_epoch_end(self, run):
            for reason in self.reasons:
                run.stop(reason)
    assert train(make(), 5, Stop("one", "two")).stopped == "one"
    with pytest.raises(TypeError, match="reason"):
        train(make(), 5, Stop(None))


def test_all_are_told_of_the_end_and_the_first_exception_is_raised():
    class End(cbp.Callback):
        def on_fit_end(self, run):
            raise ValueError("at the end")
    one, net = Recorder(), make()
    with pytest.raises(ValueError, match="at the end"):
        train(net, 2, [End(), one])
    assert one.events[-1][0] == "over"
    assert net.history.epochs == 2
    assert net.epoch == 2


def test_what_begins_a_fit_badly_ends_it_for_the_others():
    class Bad(cbp.Callback):
        def on_fit_begin(self, run):
            raise OSError("no")
    one, net = Recorder(), make()
    before = dumps(net)
    with pytest.raises(OSError, match="no"):
        train(net, 2, [one, Bad()])
    assert [event[0] for event in one.events] == ["fit", "over"]
    assert dumps(net) == before


# --- the others ---------------------------------------------------------------------------------------------------------------


def test_checkpoint_and_on(tmp_path):
    path, whole, net = tmp_path / "run.cbp", make("batch norm"), make("batch norm")
    train(whole, 9, None)
    with pytest.raises(ZeroDivisionError):
        train(net, 9, [cbp.Checkpoint(path), Failing(4, ZeroDivisionError())])
    found = cbp.load(path)
    assert found.epoch == 4
    rows, held = data(found)
    found.fit(*rows, until_epoch=9, batch_size=8, validation_data=held)
    assert dumps(found) == dumps(whole)
    assert found.fit(*rows, until_epoch=9).epochs == 0


def test_until_epoch_and_epochs_are_two_words_for_one_thing():
    with pytest.raises(ValueError, match="give one of them"):
        make().fit(X, Y, epochs=3, until_epoch=5)
    with pytest.raises(TypeError, match="until_epoch"):
        make().fit(X, Y, until_epoch=2.5)
    assert make().fit(X, Y).epochs == 10


def test_checkpoints_of_every_epoch_and_of_the_best(tmp_path):
    each, best = cbp.Checkpoint(tmp_path / "{epoch}.cbp"), cbp.Checkpoint(tmp_path / "best.cbp", best_only=True)
    history = train(make(), 12, [each, best])
    assert sorted(int(name[:-4]) for name in os.listdir(tmp_path) if name != "best.cbp") == list(range(1, 13))
    assert cbp.load(tmp_path / "best.cbp").epoch == history.best_epoch == np.argmin(history.val_loss) + 1


def test_checkpoints_by_time(tmp_path):
    class Wait(cbp.Callback):
        def on_epoch_end(self, run):
            time.sleep(0.02)
    saved = []
    one = cbp.Checkpoint(tmp_path / "a.cbp", every=0.05)
    one._save = lambda run, save=one._save: (saved.append(run.epoch), save(run))
    train(make(), 10, [Wait(), one])
    assert 1 <= len(saved) < 10
    assert saved[-1] == 10 == cbp.load(tmp_path / "a.cbp").epoch
    for wrong in 0, -1, "often":
        with pytest.raises(ValueError, match="every"):
            cbp.Checkpoint("a", every=wrong)


def test_a_time_limit():
    started = time.monotonic()
    history = train(make(), 10**8, cbp.TimeLimit(0.1))
    assert history.stopped == "the limit of 0.1 s is over"
    assert 0.1 <= time.monotonic() - started < 60


def test_a_plateau_of_a_schedule_of_values():
    """The rates are those of a rule in plain Python, with patience, cooldown and a minimum."""
    values = [5, 4, 4, 4, 4, 3.99999, 4, 4, 4, 4, 4, 1, 1, 1, 1, 1, 1, 1, 1]

    class Told(cbp.Callback):
        def on_epoch_end(self, run):
            run.logs = {**run.logs, "val_loss": values[run.epoch - 1]}
    plateau = cbp.ReduceOnPlateau(factor=0.5, patience=2, cooldown=1, minimum=0.002, min_delta=1e-4)
    history = train(make(), len(values), [Told(), plateau], optimizer=cbp.SGD(0.01))
    rate, best, waited, cooling, expected = 0.01, math.inf, 0, 0, []
    for value in values:
        expected.append(rate)
        waited, best = (0, value) if value < best - 1e-4 else (waited + 1, best)
        if cooling:
            cooling, waited = cooling - 1, 0
        if waited >= 2:
            rate, waited, cooling = max(rate / 2, 0.002), 0, 1
    np.testing.assert_array_equal(history.rate, expected)
    assert min(expected) == 0.002


def test_another_rate_keeps_the_state_and_the_bits_of_by_hand():
    class Halve(cbp.Callback):
        def on_epoch_end(self, run):
            run.rate /= 2
    net, other = make(), make()
    train(net, 6, Halve(), optimizer=cbp.Adam(0.1))
    for epoch in range(6):
        train(other, 1, None, optimizer=cbp.Adam(0.1 / 2**epoch))
    assert net.optimizer == cbp.Adam(0.1 / 64)
    other.fit(*data(other)[0], epochs=0, optimizer=net.optimizer)
    assert dumps(net) == dumps(other)


@pytest.mark.parametrize("wrong", [0, -1, math.nan, "a"])
def test_a_rate_that_is_none(wrong):
    class Bad(cbp.Callback):
        def on_epoch_end(self, run):
            run.rate = wrong
    with pytest.raises((ValueError, TypeError), match="rate"):
        train(make(), 3, Bad())


def test_a_table_of_the_epochs(tmp_path):
    path, net = tmp_path / "run.csv", make()
    history = train(net, 3, cbp.CSVLogger(path))
    more = train(net, 2, cbp.CSVLogger(path, append=True))
    with open(path, encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4, 5]
    for name in "loss", "val_loss", "seconds":
        assert [float(row[name]) for row in rows] == [*history[name], *more[name]]
    with pytest.raises(ValueError, match="has the columns"):
        net.fit(X, Y, callbacks=cbp.CSVLogger(path, append=True))
    net.fit(X, Y, epochs=1, callbacks=cbp.CSVLogger(path))
    assert len(path.read_text().splitlines()) == 2


def test_lines_for_the_logger(caplog):
    with caplog.at_level(logging.INFO, "cbp"):
        train(make(), 5, [cbp.EarlyStopping(patience=100), cbp.Log(every=2)])
    assert [record.message.split(":")[0] for record in caplog.records] == [
        "epoch 2 of 5", "epoch 4 of 5", "epoch 5 of 5", f"training is over after 5 epochs, with the weights of epoch "
        f"{caplog.records[-1].message.split()[-1]}"]


def test_tensorboard_writes_all_that_was_measured(monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder):
            written.append(folder)

        def add_scalar(self, *given):
            written.append(given)

        def flush(self):
            pass

        def close(self):
            written.append("closed")
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    history = train(make(), 2, cbp.TensorBoard("runs/a"))
    assert (written[0], written[-1]) == ("runs/a", "closed")
    assert ("val_loss", history.val_loss[1], 2) in written
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"cbp\[tensorboard\]"):
        train(make(), 2, cbp.TensorBoard("runs/a"))


@pytest.mark.parametrize("kind", cbp.callbacks.CALLBACKS.values())
def test_all_can_be_copied_and_show_what_they_are(kind):
    given = {"checkpoint": ("a.cbp",), "csv_logger": ("a.csv",), "tensorboard": ("a",), "time_limit": (5,)}.get(kind.name, ())
    one = kind(*given)
    assert repr(one).startswith(f"{kind.__name__}(")
    assert repr(copy.deepcopy(one)) == repr(one)


# --- metrics and weights of classes in fit ------------------------------------------------------------------------------------


def classes():
    rng = np.random.default_rng(0)
    y = rng.choice(3, size=90, p=[0.7, 0.2, 0.1])
    return rng.normal(size=(90, 4)) + y[:, None], y


def classifier(dtype="float64"):
    return cbp.mlp([4, 8, 3], output="softmax", seed=0, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_metrics_of_every_epoch_are_those_of_evaluate(dtype):
    x, y = classes()
    net, other = classifier(dtype), classifier(dtype)
    asked = ["f1", "roc_auc", cbp.metrics.TopK(2)]
    history = net.fit(x, y, epochs=4, validation_data=(x[:40], y[:40], np.arange(40.0)), metrics=asked)
    for epoch in range(4):
        other.fit(x, y, epochs=1)
        for name, value in other.evaluate(x[:40], y[:40], np.arange(40.0), metrics=asked).items():
            assert history[f"val_{name}"][epoch] == value


def test_metrics_in_fit_need_validation():
    with pytest.raises(ValueError, match=r"validation_split=0\.1"):
        classifier().fit(*classes(), metrics="f1")


@pytest.mark.parametrize("given", ["balanced", {0: 0.5, 1: 2, 2: 7.5}, {2: 3.0}, {1: 0}])
def test_weights_of_classes_are_weights_of_samples(given):
    x, y = classes()
    counts = np.bincount(y)
    weights = 90 / (3 * counts) if given == "balanced" else [given.get(k, 1.0) for k in range(3)]
    own = np.linspace(0.5, 2, 90)
    net, other = classifier(), classifier()
    net.fit(x, y, epochs=3, class_weight=given, sample_weight=own)
    other.fit(x, y, epochs=3, sample_weight=np.asarray(weights)[y] * own)
    assert dumps(net) == dumps(other)


@pytest.mark.parametrize(("y", "net"), [
    (lambda y: np.eye(3)[y], classifier), (lambda y: y == 1, lambda: cbp.mlp([4, 5, 1], output="sigmoid", seed=0)),
    (lambda y: (y[:, None] == 1).astype(float), lambda: cbp.mlp([4, 5, 1], output="sigmoid", seed=0)),
])
def test_classes_in_other_forms(y, net):
    x, labels = classes()
    given = y(labels)
    of_rows = labels if given.shape == (90, 3) else np.asarray(given, int).reshape(-1)
    one, other = net(), net()
    one.fit(x, given, epochs=2, class_weight={0: 1, 1: 4})
    other.fit(x, given, epochs=2, sample_weight=np.where(of_rows == 1, 4.0, 1.0))
    assert dumps(one) == dumps(other)


@pytest.mark.parametrize(("given", "error", "words"), [
    ({3: 1.0}, ValueError, "classes are 0 to 2"), ({-1: 1.0}, ValueError, "class"), ({0: -1.0}, ValueError, "class_weight"),
    ({0: np.nan}, ValueError, "class_weight"), ("even", TypeError, "balanced"), ([1, 2, 3], TypeError, "mapping"),
    ({"a": 1.0}, TypeError, "class"),
])
def test_weights_that_are_none(given, error, words):
    net = classifier()
    before = dumps(net)
    with pytest.raises(error, match=words):
        net.fit(*classes(), class_weight=given)
    assert dumps(net) == before


def test_targets_that_are_no_classes_have_no_weights():
    with pytest.raises(ValueError, match="sample_weight takes a weight"):
        make().fit(X, Y, class_weight="balanced")


# --- what is held out ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("samples", [2, 7, 90, 333])
def test_of_every_class_the_same_share(share, samples):
    y = np.random.default_rng(0).choice(4, size=samples, p=[0.5, 0.3, 0.15, 0.05])
    train_rows, held = held_out(share, y, None, samples, 5)
    np.testing.assert_array_equal(np.sort(np.concatenate([train_rows, held])), np.arange(samples))
    assert len(held) == min(max(round(share * samples), 1), samples - 1)
    exact = np.bincount(y, minlength=4) * len(held) / samples
    if len(np.unique(y)) <= samples / 2:
        assert (np.abs(np.bincount(y[held], minlength=4) - exact) < 1).all()


def test_as_evenly_as_scikit_learn():
    selection = pytest.importorskip("sklearn.model_selection", reason="needs the extra 'oracle'")
    y = np.random.default_rng(1).choice(5, size=200, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    _, theirs = next(selection.StratifiedShuffleSplit(1, test_size=0.2, random_state=0).split(y, y))
    _, held = held_out(0.2, y, None, 200, 0)
    assert np.abs(np.bincount(y[held]) - np.bincount(y[theirs])).max() <= 1


def test_groups_stay_whole():
    rng = np.random.default_rng(2)
    groups = rng.choice(["a", "b", "c", "d", "e", "f", "g"], size=100)
    for seed in range(20):
        train_rows, held = held_out(0.3, np.zeros(100, int), groups, 100, seed)
        assert not set(groups[train_rows]) & set(groups[held])
        assert len(train_rows)
        assert 1 <= len(held) <= 60
    assert len({tuple(held_out(0.3, np.zeros(100, int), groups, 100, seed)[1]) for seed in range(20)}) > 3


def test_numbers_are_split_without_classes_and_the_seed_says_how():
    y = np.random.default_rng(3).normal(size=50)
    one = held_out(0.2, y, None, 50, 1)[1]
    np.testing.assert_array_equal(held_out(0.2, -y, None, 50, 1)[1], one)
    assert not np.array_equal(held_out(0.2, y, None, 50, 2)[1], one)


def test_a_split_is_the_same_in_every_call_and_after_a_file():
    x, y = classes()
    net = classifier()
    net.fit(x, y, epochs=2, validation_split=0.2)
    other = loads(dumps(net))
    first, again = (each.fit(x, y, epochs=2, validation_split=0.2) for each in (net, other))
    np.testing.assert_array_equal(first.val_loss, again.val_loss)
    train_rows, held = held_out(0.2, y, None, len(y), net.seed)
    by_hand = classifier()
    by_hand.fit(x[train_rows], y[train_rows], epochs=4, validation_data=(x[held], y[held]))
    assert dumps(by_hand) == dumps(net)


def test_weights_and_lengths_are_split_with_their_samples():
    rng = np.random.default_rng(4)
    x, y, w, steps = rng.normal(size=(30, 5, 2)), rng.normal(size=30), rng.random(30), rng.integers(1, 6, 30)
    one, other = (cbp.Network((5, 2), [cbp.GRU(3), cbp.Dense(1)], loss="mean_squared_error", seed=0) for _ in range(2))
    one.fit(x, y, sample_weight=w, lengths=steps, epochs=2, validation_split=0.3)
    a, b = held_out(0.3, y, None, 30, 0)
    other.fit(x[a], y[a], sample_weight=w[a], lengths=steps[a], epochs=2, validation_data=(x[b], y[b], w[b], steps[b]))
    assert dumps(one) == dumps(other)
    np.testing.assert_array_equal(one.history.val_loss, other.history.val_loss)


class Table:
    """What cbp knows of a table of pandas."""

    def __init__(self, array, names):
        self.array, self.columns, self.shape = array, names, array.shape

    @property
    def iloc(self):
        table = self

        class Rows:
            def __getitem__(self, places):
                return Table(table.array[places], table.columns)
        return Rows()

    def __array__(self, dtype=None, copy=None):
        return self.array


def test_tables_are_split_as_tables():
    x, y = classes()
    net, plain = classifier(), classifier()
    net.fit(Table(x, list("abcd")), y, epochs=1, validation_split=0.2)
    plain.fit(x, y, epochs=1, validation_split=0.2)
    assert net.feature_names == ("a", "b", "c", "d")
    np.testing.assert_array_equal(net.get_vector(), plain.get_vector())


@pytest.mark.parametrize(("more", "error", "words"), [
    ({"validation_split": 0}, ValueError, "validation_split"), ({"validation_split": 1.0}, ValueError, "validation_split"),
    ({"validation_split": "a"}, TypeError, "validation_split"),
    ({"validation_groups": np.zeros(60)}, ValueError, "validation_split=0.1"),
    ({"validation_split": 0.1, "validation_data": HELD}, ValueError, "give one of them"),
    ({"validation_split": 0.1, "validation_groups": np.zeros(59)}, ValueError, "validation_groups"),
    ({"validation_split": 0.1, "validation_groups": np.zeros(60)}, ValueError, "at least 2 groups"),
])
def test_splits_that_cannot_be(more, error, words):
    net = make()
    before = dumps(net)
    with pytest.raises(error, match=words):
        net.fit(X, Y, **more)
    assert dumps(net) == before
