"""The trace of every layer against the core: one step, every number that both have."""

import pickle

import facts
import numpy as np
import pytest
from cases import OPTIMIZERS
from trace_cases import CASES, MIXED, data, dense, network

import cbp
from cbp.trace import philox
from cbp.trace.layers import LAYER_RULES


def close(actual, expected, scale=1e-12):
    """Equal up to rounding, measured against the largest of the numbers compared."""
    expected = np.asarray(expected, dtype=float)
    np.testing.assert_allclose(actual, expected, rtol=scale, atol=scale * max(1e-3, np.abs(expected).max(initial=0)))


def agree(net, x, y, optimizer=None, scale=1e-12, **how):
    """Trace the step, let the core make it, and compare every number that both have."""
    traced = net.trace(x, y, optimizer=optimizer, **how)
    stays = {name: values.copy() for name, values in net.statistics.items()}
    assert [parameter.before for parameter in traced.parameters] == net.get_vector().tolist()
    loss, gradient = net.gradient(x, y, training=True, **how)
    close(traced.loss_before, loss, scale)
    if not any(isinstance(layer, cbp.Embedding) and layer.sparse for layer in net.layers):
        close([parameter.gradient for parameter in traced.parameters], gradient, scale)
    close(net.train_on_batch(x, y, optimizer=optimizer, **how), traced.loss_before, scale)
    close([parameter.after for parameter in traced.parameters], net.get_vector(), scale)
    assert traced.step == net.step
    for slot, arrays in net.optimizer_state.items():
        flat = np.concatenate([view.ravel() for view in arrays.values()])
        close([parameter.state_after[slot] for parameter in traced.parameters], flat, scale)
    for name, values in net.statistics.items():  # of a single number they stay
        remembered = [statistic.after for statistic in traced.statistics if statistic.name == name]
        close(remembered or stays[name], values, scale)
    return traced


# ---------------------------------------------------------------------------------------------- agreement with the core


def kinds(layers):
    """The classes of layers, and of the layers inside them."""
    found = set()
    for layer in layers:
        inside = getattr(layer, "layers", None) or [each for each in [getattr(layer, "layer", None)] if each]
        found |= {type(layer)} | kinds(inside)
    return found


def test_every_layer_has_its_rule_and_its_case():
    assert set(LAYER_RULES) == set(cbp.layers.LAYERS.values())
    assert set().union(*(kinds(layers) for _, layers in CASES.values())) == set(LAYER_RULES)


@pytest.mark.parametrize("case", CASES)
def test_every_layer_makes_the_step_of_the_core(case):
    net = network(*CASES[case])
    agree(net, *data(net), cbp.SGD(0.1))
    agree(net, *data(net, rows=3, seed=8), cbp.SGD(0.1), sample_weight=[0.5, 3.0, 1.0])


@pytest.mark.parametrize(
    "case", ["conv2d", "lstm", "batch norm of steps", "sparse embedding", "dropout", "residual, projected"]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_over_several_steps(case, optimizer):
    net = network(*CASES[case], l1=0.01, l2=0.1)
    for step in range(4):
        traced = agree(net, *data(net, seed=step), optimizer if step % 2 == 0 else None, scale=1e-11)
        assert traced.step == step + 1


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.parametrize("optimizer", [cbp.SGD(0.1), cbp.SGD(0.05, momentum=0.9, nesterov=True), cbp.Adam(0.01)], ids=repr)
def test_mixed_models(case, optimizer):
    net = network(*MIXED[case])
    for seed in range(3):
        agree(net, *data(net, seed=seed), optimizer, scale=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_one_row_alone(case):
    net = network(*CASES[case])
    x, y = data(net)
    agree(net, x[:1], y[:1], cbp.SGD(0.1))
    assert net.trace(x[0], y[0]).to_dict() == net.trace(x[:1], y[:1]).to_dict()


AT_EVERY_STEP = [cbp.RNN(2, return_sequences=True), cbp.LSTM(2, return_sequences=True), cbp.GRU(2, return_sequences=True),
                 cbp.Conv1D(2, 2), cbp.Conv1D(2, 3, padding="same")]  # fmt: skip


@pytest.mark.parametrize("layer", AT_EVERY_STEP, ids=repr)
def test_a_mean_of_losses_at_every_step(layer):
    net = network((4, 2), [layer, cbp.Dense(3, "softmax")], "mean_absolute_error")
    agree(net, *data(net), cbp.SGD(0.1))


@pytest.mark.parametrize("loss", facts.LOSSES)
def test_every_loss_at_every_step(loss):
    net = network((4, 2), [cbp.LSTM(2, return_sequences=True), cbp.Dense(3, facts.LOSSES[loss].output)], loss)
    agree(net, *data(net), cbp.SGD(0.1))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_outputs_that_later_steps_read(activation):
    loss = "binary_cross_entropy" if activation == "sigmoid" else "half_squared_error"
    net = network((4, 2), [cbp.RNN(2, activation, return_sequences=True)], loss)
    agree(net, *data(net), cbp.SGD(0.1))


@pytest.mark.parametrize(
    "layers",
    [
        [cbp.RNN(2, return_sequences=True), cbp.LSTM(2, reverse=True), dense()],
        [cbp.GRU(2, return_sequences=True, reverse=True, bptt=2), dense()],
        [cbp.Bidirectional(cbp.LSTM(2, return_sequences=True)), cbp.BatchNorm(), dense()],
        [cbp.LSTM(2, return_sequences=True), cbp.GlobalMaxPool(), dense()],
        [dense(2, "tanh"), cbp.GlobalAveragePool(), dense()],
        [cbp.Residual([cbp.RNN(2, return_sequences=True)]), cbp.LayerNorm(), dense()],
    ],
)
def test_sequences_of_different_lengths(layers):
    net = network((5, 2), layers)
    agree(net, *data(net), cbp.SGD(0.1), lengths=[2, 5, 1, 3])


def test_lengths_of_an_embedding():
    net = network((5,), [cbp.Embedding(30, 2, sparse=True), cbp.GRU(2), dense()])
    x, y = data(net)
    for _ in range(3):
        traced = agree(net, x, y, cbp.Adam(0.1), lengths=[2, 5, 1, 3])
    moved = {parameter.index[0] for parameter in traced.parameters if parameter.name == "0.weight" and parameter.gradient}
    assert moved == {word for row, length in zip(x, [2, 5, 1, 3], strict=True) for word in row[:length]}


@pytest.mark.parametrize("lengths", [None, [2, 4, 1, 3]])
def test_states_go_on_from_batch_to_batch(lengths):
    layers = [cbp.GRU(17, return_sequences=True, stateful=True), cbp.LSTM(2, stateful=True, bptt=3), dense()]
    net = network((4, 2), layers)
    for seed in range(3):
        x, y = data(net, seed=seed)
        traced = net.trace(x, y, optimizer=cbp.SGD(0.1), lengths=lengths)
        assert traced.loss_before == pytest.approx(net.train_on_batch(x, y, optimizer=cbp.SGD(0.1), lengths=lengths), rel=1e-12)
        close([parameter.after for parameter in traced.parameters], net.get_vector())
    assert traced.rows[0].layers[0].units[0].terms[2].value != 0
    with pytest.raises(ValueError, match="X has 2 samples, but stateful layers hold the state of the 4"):
        net.trace(x[:2], y[:2])
    net.reset_state()
    assert net.trace(x[:2], y[:2]).rows[0].layers[0].units[0].terms[2].value == 0


def test_rows_of_weight_0_do_not_count():
    net = network(*CASES["batch norm of steps"])
    agree(net, *data(net), cbp.SGD(0.1), sample_weight=[1.0, 0.0, 2.0, 0.0])


def test_float32():
    net = network(*MIXED["image, sequence to sequence"], dtype="float32")
    agree(net, *data(net), cbp.SGD(0.1), scale=3e-5)


def test_after_a_fit_the_noise_goes_on():
    net = network(*CASES["dropout"])
    x, y = data(net, rows=12)
    net.fit(x, y, epochs=3, batch_size=5, optimizer=cbp.Adam(0.01))
    agree(net, x, y)
    net.set_optimizer(cbp.SGD(0.1))
    agree(net, x, y)


def test_tracing_changes_nothing():
    net = network(*MIXED["image, sequence to sequence"])
    x, y = data(net)
    before = pickle.dumps(net)
    first, second = net.trace(x, y), net.trace(x, y)
    assert first.to_dict() == second.to_dict()
    assert pickle.dumps(net) == before


def test_windows_that_see_nothing():
    """Without a bias such a sum has neither terms nor weights."""
    net = network((3, 2), [cbp.Conv1D(2, 2, "tanh", padding=2, bias=False), dense(1)])
    x, y = data(net, rows=1)
    agree(net, x, y)
    first = net.trace(x, y).to_dict()["rows"][0]["layers"][0]["units"][0]
    assert (first["terms"], first["weighted_sum"], first["symbols"]) == ([], 0, [])
    assert "0" in str(net.trace(x, y))


def test_philox_is_that_of_the_authors():
    """The known answers of Random123, kat_vectors, philox4x32 with 10 rounds."""
    assert philox.block([0, 0], [0, 0, 0, 0]) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox.block([0xFFFFFFFF] * 2, [0xFFFFFFFF] * 4) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    key, counter = [0xA4093822, 0x299F31D0], [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    assert philox.block(key, counter) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
