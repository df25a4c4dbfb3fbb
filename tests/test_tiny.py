"""All that cbp offers, once, on tiny data: a few seconds that tell whether anything at all is broken. The rest of the tests say
what. It runs first, and `pytest tests/test_tiny.py` alone is for while one works.
"""

import pickle

import facts
import numpy as np
import pytest
from cases import ALL_LOSSES, ALL_OPTIMIZERS, LAYERS, OUTPUTS, layer_data, layer_network, seed_of, targets

import cbp
from cbp.cli import main


def learns(net, x, y, epochs=20, **settings):
    """Train; the loss goes down, and what is predicted is finite."""
    history = net.fit(x, y, epochs=epochs, **settings)
    assert history.loss[-1] < history.loss[0]
    assert np.isfinite(net.predict(x)).all()
    return history


def agrees(net, x, y):
    """The gradient is right, and the trace makes the step of the core."""
    assert cbp.check_gradients(net, x, y).error < 1e-6
    traced = net.trace(x, y, optimizer=cbp.SGD(0.01))
    assert net.train_on_batch(x, y, optimizer=cbp.SGD(0.01)) == pytest.approx(traced.loss_before, rel=1e-9)
    np.testing.assert_allclose([parameter.after for parameter in traced.parameters], net.get_vector(), atol=1e-9)


# --- every member of a family -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", facts.ACTIVATIONS)
def test_activation(name):
    rng = np.random.default_rng(seed_of(name))
    net = cbp.mlp([3, 5, 2], hidden=name, loss="mean_squared_error", dtype="float64", seed=1)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    agrees(net, x, y)
    learns(net, x, y, optimizer=cbp.SGD(0.01))


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_loss(name):
    loss = ALL_LOSSES[name]
    rng = np.random.default_rng(seed_of(name))
    net = cbp.mlp([3, 5, 2], hidden="tanh", output=facts.LOSSES[loss.name].output, loss=loss, dtype="float64", seed=1)
    x, y = rng.normal(size=(6, 3)), targets(loss, rng, 6, 2)
    agrees(net, x, y)
    learns(net, x, y, optimizer=cbp.SGD(0.01))
    expected = facts.LOSSES[loss.name].value(loss, net.predict(x), y).mean()
    assert net.evaluate(x, y)["loss"] == pytest.approx(expected, rel=1e-9)
    assert OUTPUTS[loss.name]


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
def test_optimizer(name, tmp_path):
    """A run that was saved half-way goes on with the same bits."""
    rng = np.random.default_rng(seed_of(name))
    x, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 2))
    through, stopped = (cbp.mlp([3, 5, 2], seed=1) for _ in range(2))
    learns(through, x, y, epochs=4, batch_size=6, optimizer=ALL_OPTIMIZERS[name])
    stopped.fit(x, y, epochs=2, batch_size=6, optimizer=ALL_OPTIMIZERS[name])
    stopped.save(tmp_path / "net.cbp")
    loaded = cbp.load(tmp_path / "net.cbp")
    loaded.fit(x, y, epochs=2, batch_size=6)
    np.testing.assert_array_equal(loaded.get_vector(), through.get_vector())


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    net = layer_network(name, before=True, after=True)
    x, y, w = layer_data(net, 5)
    threaded = pickle.loads(pickle.dumps(net))
    net.fit(x, y, epochs=2, batch_size=2, sample_weight=w)
    threaded.fit(x, y, epochs=2, batch_size=2, sample_weight=w, threads=2)
    np.testing.assert_array_equal(net.get_vector(), threaded.get_vector())
    np.testing.assert_array_equal(net.predict_one(x[0]), net.predict(x)[0])
    assert type(LAYERS[name][0]).__name__ in net.summary()


@pytest.mark.parametrize("init", [*cbp.initializers.INITIALIZERS, 0.5], ids=str)
def test_initializer(init):
    net = cbp.Network(4, [cbp.Dense(3, init=init)], loss="mean_squared_error", seed=1)
    assert np.isfinite(net.parameters["0.weight"]).all()


# --- a network, from its making to its file ---------------------------------------------------------------------------


def test_classes_from_raw_data_to_a_file(tmp_path):
    images, labels = cbp.datasets.digits()
    train_x, test_x, train_y, test_y = cbp.datasets.split(images, labels, test=0.2, seed=0)
    net = cbp.mlp([64, 16, 10], hidden="relu", output="softmax", seed=0)
    history = learns(net, train_x, train_y, epochs=10, batch_size=32, validation_data=(test_x, test_y), optimizer="adam")
    assert history.val_accuracy[-1] > 0.8
    assert net.evaluate(test_x, test_y)["accuracy"] == pytest.approx(history.val_accuracy[-1])
    net.metadata["classes"] = list(range(10))
    net.save(tmp_path / "digits.cbp")
    loaded = cbp.load(tmp_path / "digits.cbp")
    assert loaded.metadata == net.metadata
    np.testing.assert_array_equal(loaded.predict(test_x), net.predict(test_x))
    (tmp_path / "broken.cbp").write_bytes((tmp_path / "digits.cbp").read_bytes()[:-1])
    with pytest.raises(cbp.ModelFileError):
        cbp.load(tmp_path / "broken.cbp")


def test_parameters_gradients_and_steps_by_hand():
    x, y = cbp.datasets.xor()
    net = cbp.mlp([2, 4, 1], hidden="tanh", output="sigmoid", dtype="float64", seed=3)
    loss, gradient = net.gradient(x, y)
    assert loss == pytest.approx(net.evaluate(x, y)["loss"])
    net.set_vector(net.get_vector() - 0.1 * gradient)
    assert net.evaluate(x, y)["loss"] < loss
    d_input, vector = net.backward(x, np.ones((4, 1)))
    assert d_input.shape == x.shape
    assert vector.shape == gradient.shape
    net.set_optimizer(cbp.Adam(0.05))
    for _ in range(300):
        net.train_on_batch(x, y)
    assert net.step == 300
    assert set(net.optimizer_state) == {"mean", "variance"}
    assert net.evaluate(x, y)["accuracy"] == 1


def test_sequences_step_by_step():
    net = cbp.Network((6, 2), [cbp.GRU(4, return_sequences=True), cbp.Dense(1)], loss="huber", seed=1)
    x = np.random.default_rng(0).normal(size=(8, 6, 2))
    learns(net, x, x[..., :1].cumsum(axis=1), lengths=[6, 5, 4, 3, 2, 1, 6, 6], batch_size=None)
    stepwise = [net.predict_step(x[0, t]) for t in range(6)]
    np.testing.assert_allclose(stepwise, net.predict(x[:1])[0], rtol=1e-5, atol=1e-6)
    net.reset_state()


def test_training_that_diverges_is_told():
    net = cbp.mlp([2, 1], seed=0)
    with pytest.raises(cbp.DivergedError) as caught:
        net.fit(np.ones((4, 2)), np.ones(4), epochs=2000, optimizer=cbp.SGD(1e3))
    assert isinstance(caught.value.history, cbp.History)


def test_the_trace_in_text_and_html():
    traced = cbp.mlp([2, 2, 1], hidden="sigmoid", output="sigmoid", seed=1).trace([0.05, 0.1], [0.3])
    assert "δ" in str(traced)
    assert "<" in traced.to_html()
    assert traced.to_dict()["step"] == 1


def test_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xor.csv").write_text("a,b,y\n" + "0,0,0\n0,1,1\n1,0,1\n1,1,0\n" * 5, encoding="utf-8")
    for command in ("train xor.csv --target y --epochs 5 -o xor.cbp", "predict xor.cbp xor.csv", "info xor.cbp", "trace xor"):
        assert main(command.split()) == 0
    assert capsys.readouterr().out
