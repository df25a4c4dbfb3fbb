"""Derivatives row by row: Jacobians and the gradients of samples, against central differences, PyTorch and backward."""

import numpy as np
import pytest
from cases import ALL_LOSSES, LAYERS, close, inputs, layer_data, layer_network, network, targets
from facts import LOSSES

import cbp
from cbp.engine import questions

ROWS = 3


def unit_gradients(net, x, of, **settings):
    """The same by one ``backward`` for each output of each row."""
    outputs = int(np.prod(net.output_shape))
    found = []
    for row in range(len(x)):
        mine = {name: value[row : row + 1] for name, value in settings.items()}
        for index in range(outputs):
            d = np.eye(outputs, dtype=net.dtype)[index].reshape(1, *net.output_shape)
            found.append(net.backward(x[row : row + 1], d, **mine)[of == "parameters"])
    behind = net.input_shape if of == "inputs" else net.get_vector().shape
    return np.array(found).reshape(len(x), *net.output_shape, *behind)


def central(function, values, step=1e-6):
    """The derivatives of a function of an array, one number after the other: (*outputs, *values.shape)."""
    found = []
    for place in range(values.size):
        moved = []
        for sign in (1, -1):
            there = values.copy()
            there.reshape(-1)[place] += sign * step
            moved.append(function(there))
        found.append((moved[0] - moved[1]) / (2 * step))
    return np.moveaxis(np.array(found), 0, -1).reshape(*found[0].shape, *values.shape)


# --- every layer --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("surrounded", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_as_backward_row_by_row(name, surrounded, dtype):
    net = layer_network(name, before=surrounded, after=surrounded, dtype=dtype)
    x, _, _ = layer_data(net, ROWS)
    for of in ("inputs", "parameters"):
        found = net.jacobian(x, of=of)
        assert found.dtype == net.dtype
        close(found, unit_gradients(net, x, of), 1e-12 if dtype == "float64" else 2e-6)


@pytest.mark.parametrize("name", [name for name, (layer, _) in LAYERS.items() if not getattr(layer, "bptt", None)])
def test_every_layer_against_central_differences(name):
    net = layer_network(name, after=True)
    x, _, _ = layer_data(net, ROWS)
    vector = net.get_vector()
    found = net.jacobian(x, of="parameters")

    def outputs(parameters):
        net.set_vector(parameters)
        return net.predict(x)

    close(found, central(outputs, vector), 1e-7)
    net.set_vector(vector)
    if not isinstance(net.layers[0], cbp.layers.Embedding):
        expected = [central(lambda row: net.predict(row[None])[0], row) for row in x]
        close(net.jacobian(x), expected, 1e-7)


@pytest.mark.parametrize("cell", [cbp.RNN, cbp.LSTM, cbp.GRU])
def test_lengths(cell):
    layers = [cell(3, return_sequences=True), cbp.Dense(2)]
    net = cbp.Network((4, 2), layers, loss="mean_squared_error", dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    x, lengths = rng.normal(size=(3, 4, 2)), np.array([4, 1, 3])
    for of in ("inputs", "parameters"):
        found = net.jacobian(x, of=of, lengths=lengths)
        close(found, unit_gradients(net, x, of, lengths=lengths), 1e-12)
        assert not found[1, 1:].any()
    y = rng.normal(size=(3, 4, 2))
    losses, gradients = net.gradient(x, y, lengths=lengths, per_sample=True)
    loss, gradient = net.gradient(x, y, lengths=lengths)
    close(losses.mean(), loss, 1e-13)
    close(gradients.mean(axis=0), gradient, 1e-13)


@pytest.mark.parametrize("rows", [1, 2, 3, 63, 64, 65, 200])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_rows(rows, dtype):
    net = cbp.mlp([3, 17, 5, 2], hidden="tanh", dtype=dtype, seed=0)
    rng = np.random.default_rng(1)
    x, d = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
    d_input, gradient = net.backward(x, d)
    tolerance = 1e-13 if dtype == "float64" else 3e-6
    close(np.einsum("rk,rki->ri", d, net.jacobian(x)), d_input, tolerance)
    close(np.einsum("rk,rkp->p", d, net.jacobian(x, of="parameters")), gradient, tolerance)


# --- the gradients of samples -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LAYERS)
def test_samples_of_every_layer(name):
    net = layer_network(name, after=True)
    x, y, w = layer_data(net, ROWS)
    w[0] = 0.5
    losses, gradients = net.gradient(x, y, per_sample=True)
    assert losses.shape == (ROWS,)
    assert gradients.shape == (ROWS, net.get_vector().size)
    assert losses.dtype == gradients.dtype == net.dtype
    for row in range(ROWS):
        loss, gradient = net.gradient(x[row : row + 1], y[row : row + 1])
        close(losses[row], loss, 1e-13)
        close(gradients[row], gradient, 1e-12)
    loss, gradient = net.gradient(x, y, w)
    close(w @ losses / w.sum(), loss, 1e-13)
    close(w @ gradients / w.sum(), gradient, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ALL_LOSSES)
def test_samples_of_every_loss(name, dtype):
    loss = ALL_LOSSES[name]
    rng = np.random.default_rng(3)
    net = network("tanh", LOSSES[loss.name].output, loss, dtype=dtype)
    x, y, w = inputs(rng, 70), targets(loss, rng, 70), rng.random(70)
    losses, gradients = net.gradient(x, y, per_sample=True)
    found, gradient = net.gradient(x, y, w)
    tolerance = 1e-13 if dtype == "float64" else 2e-6
    close(w @ losses / w.sum(), found, tolerance)
    close(w @ gradients / w.sum(), gradient, 2 * tolerance)


def test_samples_have_no_penalty_and_no_weights():
    plain, penalised = network(), network(l1=0.1, l2=0.3)
    rng = np.random.default_rng(4)
    x, y = inputs(rng, 5), targets("mean_squared_error", rng, 5)
    for one, other in zip(plain.gradient(x, y, per_sample=True), penalised.gradient(x, y, per_sample=True), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"sample_weight must be None; weights @ gradients / weights.sum\(\) is"):
        plain.gradient(x, y, np.ones(5), per_sample=True)
    with pytest.raises(TypeError, match="per_sample must be True or False"):
        plain.gradient(x, y, per_sample=2)


def test_samples_with_the_noise_of_a_step():
    net = cbp.Network(4, [cbp.Dense(6, "tanh"), cbp.Dropout(0.5), cbp.Dense(2)], loss="mean_squared_error", dtype="float64",
                      seed=0)
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(9, 2))
    losses, gradients = net.gradient(x, y, training=True, per_sample=True)
    loss, gradient = net.gradient(x, y, training=True)
    close(losses.mean(), loss, 1e-13)
    close(gradients.mean(axis=0), gradient, 1e-13)
    assert abs(net.gradient(x, y)[0] - loss) > 1e-3


def test_samples_that_depend_on_each_other():
    net = cbp.Network(4, [cbp.BatchNorm(), cbp.Dense(2)], loss="mean_squared_error")
    net.gradient(np.ones((3, 4)), np.ones((3, 2)), per_sample=True)
    with pytest.raises(ValueError, match="samples that do not depend on each other; a BatchNorm"):
        net.gradient(np.ones((3, 4)), np.ones((3, 2)), per_sample=True, training=True)


def test_labels_and_frozen_arrays():
    net = cbp.mlp([4, 5, 3], output="softmax", dtype="float64", seed=0)
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(8, 4)), rng.integers(3, size=8)
    before = net.gradient(x, y, per_sample=True), net.jacobian(x, of="parameters")
    close(before[0][1].mean(axis=0), net.gradient(x, y)[1], 1e-13)
    net.freeze("0")
    np.testing.assert_array_equal(net.gradient(x, y, per_sample=True)[1], before[0][1])
    np.testing.assert_array_equal(net.jacobian(x, of="parameters"), before[1])


# --- shapes, places, refusals -------------------------------------------------------------------------------------------------


def test_a_network_of_one_output_that_answers_without_its_axis():
    net = cbp.mlp([2, 3, 1], seed=0)
    x = np.random.default_rng(0).normal(size=(4, 2))
    whole = net.jacobian(x), net.jacobian(x, of="parameters")
    net.train_on_batch(x, np.zeros(4), optimizer=cbp.SGD(1e-30))
    assert net.jacobian(x).shape == (4, 2)
    np.testing.assert_array_equal(net.jacobian(x), whole[0][:, 0])
    np.testing.assert_array_equal(net.jacobian(x, of="parameters"), whole[1][:, 0])


def test_a_network_without_parameters():
    net = cbp.Network((4, 3), [cbp.GlobalMaxPool()], loss="mean_squared_error", dtype="float64")
    x, y = np.random.default_rng(0).normal(size=(2, 4, 3)), np.zeros((2, 3))
    assert net.jacobian(x, of="parameters").shape == (2, 3, 0)
    assert net.jacobian(x).sum() == 6
    losses, gradients = net.gradient(x, y, per_sample=True)
    close(losses.mean(), net.gradient(x, y)[0], 1e-13)
    assert gradients.shape == (2, 0)


@pytest.mark.parametrize("name", ["dense", "conv2d", "lstm"])
def test_an_interrupted_pass_goes_on(name, monkeypatch):
    net = layer_network(name, after=True)
    x, y, _ = layer_data(net, 70)
    before = net.jacobian(x), net.jacobian(x, of="parameters"), net.gradient(x, y, per_sample=True)[1]
    monkeypatch.setattr(questions, "PATIENCE", 0.0)
    for one, other in zip(before, (net.jacobian(x), net.jacobian(x, of="parameters"), net.gradient(x, y, per_sample=True)[1]),
                          strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_would_not_fit_is_refused(monkeypatch):
    net = cbp.mlp([2, 3, 1], dtype="float64")
    monkeypatch.setattr(questions, "_memory", lambda: 1000)
    x = np.zeros((10, 2))
    with pytest.raises(MemoryError, match=r"Jacobian of 10 samples x 1 outputs x 13 parameters would take 1,040 bytes, and "
                                          r"this machine has 1,000; ask for fewer rows of X"):
        net.jacobian(x, of="parameters")
    with pytest.raises(MemoryError, match="the gradients of 10 samples x 13 parameters would take 1,040 bytes"):
        net.gradient(x, np.zeros(10), per_sample=True)
    assert net.jacobian(x).shape == (10, 1, 2)


def test_the_memory_of_the_machine_is_known():
    assert 2**28 < questions._memory() <= 2**62


def test_refusals():
    net = cbp.mlp([2, 3, 1])
    with pytest.raises(ValueError, match="of must be 'inputs' or 'parameters', got 'weights'"):
        net.jacobian(np.zeros((1, 2)), of="weights")
    with pytest.raises(ValueError, match="X must have the shape"):
        net.jacobian(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="lengths cannot be used"):
        net.jacobian(np.zeros((1, 2)), lengths=[1])


def test_a_jacobian_that_overflows_is_told():
    net = cbp.mlp([1, 1], dtype="float32", seed=0)
    net.parameters["0.weight"][...] = 3e38
    deep = cbp.Network(1, [cbp.Dense(1), cbp.Dense(1)], loss="mean_squared_error", seed=0)
    for name in ("0.weight", "1.weight"):
        deep.parameters[name][...] = 1e30
    with pytest.warns(RuntimeWarning, match="the Jacobian holds inf"):
        deep.jacobian([[0.0]])
