"""Backpropagation against central differences, and the checker itself.

A central difference is wrong where a kink, or a jump of the second derivative, lies between its two points, or so near that
higher derivatives are huge. So the cases below take the first seed whose numbers all keep a distance from such places, and
the distance is computed here, in NumPy.
"""

import numpy as np
import pytest
from cases import ALL_LOSSES, LOSS_OUTPUTS, OPTIMIZERS, OUTPUTS, inputs, network, targets
from facts import ACTIVATIONS, LOSSES

import cbp
from cbp.engine import cpu
from cbp.engine.cpu import core

kernels = cpu.kernels()
ROWS = 5
DISTANCE = 1e-3
"""Far more than 6e-6, by which check_gradients moves a parameter when it finds a kink near it."""

KINKS = {name: row.kinks for name, row in ACTIVATIONS.items() if row.kinks}


def activate(name, z):
    rows = np.zeros((len(z), -(-z.shape[1] // 16) * 16))
    rows[:, : z.shape[1]] = z
    kernels.activate(core.ACTIVATIONS[name], rows, z.shape[1])
    return rows[:, : z.shape[1]]


def distance(net, x, y):
    """How near the network's numbers come to a kink."""
    nearest, a = np.inf, x
    for index, layer in enumerate(net.layers):
        z = a @ net.parameters[f"{index}.weight"] + net.parameters.get(f"{index}.bias", 0)
        a = activate(layer.activation, z)
        for kink in ACTIVATIONS[layer.activation].kinks:
            nearest = min(nearest, np.abs(z - kink).min())
    if LOSSES[net.loss.name].kinks:
        nearest = min(nearest, LOSSES[net.loss.name].kinks(net.loss, a, y).min())
    if net.l1:
        weights = [view for name, view in net.parameters.items() if name.endswith("weight")]
        nearest = min(nearest, *(np.abs(view).min() for view in weights))
    return nearest


def case(hidden, output, loss, **settings):
    """(network, X, y, weights) away from kinks."""
    for seed in range(2000):
        rng = np.random.default_rng(seed)
        net = network(hidden, output, loss, seed=seed, **settings)
        x, y = inputs(rng, ROWS), targets(loss, rng, ROWS)
        if distance(net, x, y) > DISTANCE:
            return net, x, y, rng.random(ROWS) + 0.1
    raise AssertionError("no seed keeps the distance")


def check(net, x, y, sample_weight=None):
    result = cbp.check_gradients(net, x, y, sample_weight=sample_weight)
    assert result.error < 1e-6, str(result)
    assert result.checked == len(net.get_vector())


# --- every layer, activation, loss --------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_hidden_activations_and_losses(hidden, loss):
    net, x, y, w = case(hidden, OUTPUTS[loss][-1], loss)
    check(net, x, y)
    check(net, x, y, w)


@pytest.mark.parametrize(("loss", "output"), LOSS_OUTPUTS)
def test_last_activations_and_losses(loss, output):
    net, x, y, w = case("tanh", output, loss)
    check(net, x, y)
    check(net, x, y, w)


@pytest.mark.parametrize("bias", [(True, True, True), (False, True, False), (False, False, False)])
@pytest.mark.parametrize(("l1", "l2"), [(0.0, 0.0), (0.05, 0.0), (0.0, 0.1), (0.03, 0.07)])
@pytest.mark.parametrize(("loss", "output"), [("cross_entropy", "softmax"), ("mean_squared_error", "gelu")])
def test_biases_and_penalties(loss, output, l1, l2, bias):
    net, x, y, w = case("sigmoid", output, loss, l1=l1, l2=l2, bias=bias)
    check(net, x, y)
    check(net, x, y, w)


@pytest.mark.parametrize("init", [*cbp.initializers.INITIALIZERS, 0.3, np.arange(12).reshape(4, 3) / 10], ids=str)
def test_initial_weights_make_no_difference(init):
    layers = [cbp.Dense(3, "tanh", init=init), cbp.Dense(2, "silu")]
    rng = np.random.default_rng(0)
    check(cbp.Network(4, layers, loss="mean_squared_error", dtype="float64", seed=0), inputs(rng, 5), rng.normal(size=(5, 2)))


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_parameters_of_losses(name):
    loss = ALL_LOSSES[name]
    net, x, y, w = case("silu", LOSSES[loss.name].output, loss)
    check(net, x, y, w)


@pytest.mark.parametrize("delta", [0.2, 1.0, 5.0])
def test_the_bend_of_huber(delta):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        net, x, y = network(loss=cbp.losses.huber(delta)), inputs(rng, ROWS), 2 * rng.normal(size=(ROWS, 3))
        if np.abs(np.abs(net.predict(x) - y) - delta).min() > DISTANCE:
            break
    errors = np.abs(net.predict(x) - y)
    assert delta == 5.0 or (errors > delta).any()
    assert delta == 0.2 or (errors < delta).any()
    check(net, x, y)


@pytest.mark.parametrize("sizes", [[1, 1], [1, 1, 1], [17, 16, 2], [3, *[4] * 10, 2], [2, 33, 1]], ids=str)
def test_sizes(sizes):
    rng = np.random.default_rng(0)
    for rows in (1, 2, 13):
        net = cbp.mlp(sizes, hidden="tanh", dtype="float64", seed=1)
        check(net, rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1])))


def test_a_batch_in_pieces():
    rng = np.random.default_rng(0)
    net = cbp.mlp([2, 3, 2], hidden="silu", output="softmax", dtype="float64", seed=1, l2=0.01)
    check(net, rng.normal(size=(1500, 2)), rng.integers(2, size=1500), rng.random(1500))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_after_training(optimizer):
    """The parameters are then no longer those of an initializer, and the network holds state."""
    net, x, y, _ = case("gelu", "softmax", "cross_entropy")
    net.fit(x, y, epochs=5, batch_size=2, optimizer=OPTIMIZERS[optimizer])
    check(net, x, y)


@pytest.mark.parametrize("hidden", KINKS)
@pytest.mark.parametrize("side", [-1, 1])
def test_a_kink_close_by(hidden, side):
    """Nearer than the checker's first steps, farther than its last."""
    layers = [cbp.Dense(1, hidden, init="ones"), cbp.Dense(1, init="ones")]
    net = cbp.Network(1, layers, loss="half_squared_error", dtype="float64")
    for kink in KINKS[hidden]:
        check(net, [[kink + side * 1e-4]], [2.0])


@pytest.mark.parametrize("weight", [1e-4, -1e-4])
def test_the_kink_of_l1_close_by(weight):
    net = cbp.Network(1, [cbp.Dense(1, init=weight)], loss="half_squared_error", dtype="float64", l1=0.3)
    check(net, [[1.5]], [2.0])


# --- the checker ----------------------------------------------------------------------------------------------------------


def numbered(net):
    """The name of every number of the flat vector."""
    arrays = net.parameters.items()
    return [f"{name}[{', '.join(map(str, index))}]" for name, view in arrays for index in np.ndindex(view.shape)]


@pytest.fixture
def wrong(monkeypatch):
    """wrong(place, change): from now on the gradient is wrong there."""
    right = cbp.Network.gradient

    def install(place, change):
        def gradient(self, *args, **kwargs):
            loss, vector = right(self, *args, **kwargs)
            vector = vector.copy()
            vector[place] = change(vector[place])
            return loss, vector

        monkeypatch.setattr(cbp.Network, "gradient", gradient)

    return install


@pytest.mark.parametrize("change", [lambda g: -g, lambda g: 2 * g, lambda g: 0.0, lambda g: g * (1 + 1e-4), lambda g: g + 0.1])
def test_a_wrong_gradient_is_found_and_named(wrong, change):
    net, x, y, _ = case("tanh", "softmax", "cross_entropy")
    _, gradient = net.gradient(x, y)
    for place in (0, 7, 24, len(gradient) - 1):
        wrong(place, change)
        result = cbp.check_gradients(net, x, y)
        assert result.error > 1e-5
        assert result.parameter == numbered(net)[place]
        assert result.analytic == change(gradient[place])
        assert result.numeric == pytest.approx(gradient[place], rel=1e-5)
        assert result.error == pytest.approx(
            abs(result.analytic - result.numeric) / max(abs(result.analytic), abs(result.numeric)), rel=1e-6)  # fmt: skip


def test_every_parameter_has_its_name(wrong):
    layers = [cbp.Dense(3, "tanh"), cbp.Dense(2, bias=False), cbp.Dense(2)]
    net = cbp.Network(2, layers, loss="mean_squared_error", dtype="float64", seed=0)
    rng = np.random.default_rng(0)
    x, y = inputs(rng, 3, 2), targets("mean_squared_error", rng, 3, 2)
    for place, name in enumerate(numbered(net)):
        wrong(place, lambda g: g + 1)
        assert cbp.check_gradients(net, x, y).parameter == name


def test_a_right_gradient_is_right_and_its_worst_place_is_named():
    net, x, y, _ = case("tanh", "softmax", "cross_entropy")
    result = cbp.check_gradients(net, x, y)
    assert 0 <= result.error < 1e-6
    assert result.parameter in numbered(net)
    assert result.analytic == net.gradient(x, y)[1][numbered(net).index(result.parameter)]


def test_no_gradient_at_all():
    """Dead relus: every gradient is 0 and so is every difference."""
    net = cbp.Network(2, [cbp.Dense(3, "relu", init=-1.0, bias=False), cbp.Dense(1, bias=False)], loss="mean_squared_error")
    result = cbp.check_gradients(net, np.ones((4, 2)), np.zeros(4))
    assert result.error == 0
    assert result.analytic == result.numeric == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_network_is_left_as_it_was(dtype):
    net = network("silu", "softmax", "cross_entropy", dtype=dtype)
    rng = np.random.default_rng(0)
    x, y = inputs(rng, 8), rng.integers(3, size=8)
    net.fit(x, y, epochs=2, batch_size=3, optimizer=cbp.Adam(0.01))
    before = (net.get_vector(), net._numbers.state.copy(), net.step, net.epoch, net.optimizer, net.history, net.seed)
    x_before, y_before = x.copy(), y.copy()
    result = cbp.check_gradients(net, x, y, sample_weight=np.ones(8))
    assert result.error < 1e-6  # a float32 network is checked in float64
    after = (net.get_vector(), net._numbers.state, net.step, net.epoch, net.optimizer, net.history, net.seed)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)


@pytest.mark.parametrize("limit", [1, 2, 10, 57, 58, 10_000])
def test_limit(limit, wrong):
    net = network()
    count = len(net.get_vector())
    assert count == 55
    rng = np.random.default_rng(0)
    x, y = inputs(rng, 3), targets("mean_squared_error", rng, 3)
    assert cbp.check_gradients(net, x, y, limit=limit).checked == min(limit, count)
    wrong(0, lambda g: g + 1)  # the first parameter is always among them
    assert cbp.check_gradients(net, x, y, limit=limit).parameter == "0.weight[0, 0]"
    if limit > 1:  # and so is the last
        wrong(count - 1, lambda g: g + 1)
        assert cbp.check_gradients(net, x, y, limit=limit).parameter == "2.bias[2]"


@pytest.mark.parametrize("limit", [0, -1, 2.5, "many", None])
def test_limits_that_are_refused(limit):
    with pytest.raises((ValueError, TypeError), match="limit"):
        cbp.check_gradients(network(), np.ones((1, 4)), np.ones((1, 3)), limit=limit)


def test_the_result_as_text(wrong):
    net = network()
    rng = np.random.default_rng(0)
    wrong(3, lambda g: 2.0)
    text = str(cbp.check_gradients(net, inputs(rng, 3), targets("mean_squared_error", rng, 3)))
    assert "0.weight[0, 3]" in text
    assert "55 parameters" in text
    assert "backpropagation 2" in text
