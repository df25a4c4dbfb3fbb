"""BatchNorm, LayerNorm and GroupNorm: against PyTorch, against their formulas in NumPy, and what the specification promises."""

import pickle

import numpy as np
import pytest
from cases import assert_threads_and_pieces_change_no_bit, close

import cbp

BATCH, LAYER, GROUP = cbp.BatchNorm, cbp.LayerNorm, cbp.GroupNorm
SHAPES = [(1,), (3,), (16,), (21,), (5, 4), (3, 2, 17)]
DTYPES = ["float32", "float64"]


def network(shape, layers, dtype="float64", **settings):
    """With scales and shifts that are not 1 and 0, and running statistics that are not those of a new network."""
    net = cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype, seed=1, **settings)
    rng = np.random.default_rng(2)
    for name, view in net.parameters.items():
        if name.endswith(("scale", "shift", "bias")):
            view[...] = rng.normal(size=view.shape)
    for name, view in net.statistics.items():
        view[...] = rng.normal(size=view.shape) if name.endswith("mean") else rng.random(view.shape) + 0.5
    return net


def sample(net, rows, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, *net.input_shape)) * 2 + 1).astype(dtype)
    return x, rng.normal(size=(rows, *net.output_shape)).astype(dtype)


def batch_axes(x):
    return tuple(range(x.ndim - 1))


def normalised(x, mean, variance, epsilon=1e-5):
    return (x - mean) / np.sqrt(variance + epsilon)


# --- against the formulas -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_prediction_of_batch_norm_uses_the_running_statistics(shape, dtype):
    net = network(shape, [BATCH(epsilon=0.01)], dtype)
    x, _ = sample(net, 9)
    p, s = net.parameters, net.statistics
    expected = normalised(x, s["0.mean"], s["0.variance"], 0.01) * p["0.scale"] + p["0.shift"]
    close(net.predict(x), expected, 1e-6 if dtype == "float32" else 1e-14)
    close(net.predict_one(x[3]), expected[3], 1e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_layer_norm(shape, dtype):
    net = network(shape, [LAYER(epsilon=0.01)], dtype)
    x, _ = sample(net, 9)
    p = net.parameters
    expected = normalised(x, x.mean(-1, keepdims=True), x.var(-1, keepdims=True), 0.01) * p["0.scale"] + p["0.shift"]
    close(net.predict(x), expected, 2e-6 if dtype == "float32" else 1e-14)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_training_uses_the_statistics_of_the_batch_and_moves_the_running_ones(shape):
    net = network(shape, [BATCH(momentum=0.3)])
    before = {name: view.copy() for name, view in net.statistics.items()}
    x, y = sample(net, 9)
    mean, count = x.mean(batch_axes(x)), x[..., 0].size
    expected = normalised(x, mean, x.var(batch_axes(x))) * net.parameters["0.scale"] + net.parameters["0.shift"]
    loss = net.train_on_batch(x, y, optimizer=cbp.SGD(0.1))
    assert loss == pytest.approx(np.mean((expected - y) ** 2), rel=1e-12)
    close(net.statistics["0.mean"], 0.7 * before["0.mean"] + 0.3 * mean, 1e-14)
    unbiased = x.var(batch_axes(x)) * count / (count - 1)
    close(net.statistics["0.variance"], 0.7 * before["0.variance"] + 0.3 * unbiased, 1e-14)


def test_only_training_moves_the_running_statistics():
    net = network((4,), [cbp.Dense(3), BATCH()])
    x, y = sample(net, 8)
    before = {name: view.copy() for name, view in net.statistics.items()}
    net.predict(x)
    net.evaluate(x, y)
    net.gradient(x, y)
    net.gradient(x, y, training=True)
    net.backward(x, y)
    net.backward(x, y, training=True)
    cbp.check_gradients(net, x, y)
    assert all(np.array_equal(before[name], view) for name, view in net.statistics.items())
    net.fit(x, y, epochs=1)
    assert not any(np.array_equal(before[name], view) for name, view in net.statistics.items())


# --- numbers whose mean is large ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [3, 16, 40])
@pytest.mark.parametrize("layer", [BATCH(), LAYER(), GROUP(1)])
def test_a_large_mean_does_not_cost_the_variance(layer, features):
    """In float32 a mean of 1e4 leaves 1e-3 of the input's own digits; nothing more may be lost."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(500, features)) + 1e4).astype(np.float32)
    y = rng.normal(size=x.shape).astype(np.float32)
    single, double = (network((features,), [layer], dtype) for dtype in DTYPES)
    wide = x.astype(np.float64)
    for training in (True, False) if not isinstance(layer, BATCH) else (True,):
        loss, gradient = single.gradient(x, y, training=training)
        expected, expected_gradient = double.gradient(wide, y.astype(np.float64), training=training)
        assert loss == pytest.approx(expected, rel=1e-5)
        close(gradient, expected_gradient, 2e-5)
        close(single.backward(x, y, training=training)[0], double.backward(wide, y, training=training)[0], 2e-5)
    for net, data in ((single, x), (double, wide)):
        net.fit(data, y, epochs=100, batch_size=500, optimizer=cbp.SGD(1e-9))
    for name, view in single.statistics.items():
        close(view, double.statistics[name], 1e-5)
        close(view, x.mean(0) if name.endswith("mean") else wide.var(0, ddof=1), 1e-4)


@pytest.mark.parametrize("layer", [BATCH(), LAYER(), GROUP(4)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_constant_channels(layer, dtype):
    net = network((20,), [layer], dtype)
    x = np.full((6, 20), 12345.678, dtype)
    _, y = sample(net, 6, dtype=dtype)
    loss, gradient = net.gradient(x, y, training=True)
    assert loss == pytest.approx(np.mean((net.parameters["0.shift"] - y) ** 2), rel=1e-5)
    assert np.isfinite(gradient).all()
    net.fit(x, y, epochs=2)
    assert np.isfinite(net.predict(x)).all()


# --- a batch of a single value ------------------------------------------------------------------------------------------------


def test_a_batch_with_one_value_a_channel_uses_the_running_statistics_and_leaves_them():
    net = network((4,), [BATCH(), cbp.Dense(2)])
    x, y = sample(net, 1)
    before = {name: view.copy() for name, view in net.statistics.items()}
    frozen, trained = (net.gradient(x, y, training=training) for training in (False, True))
    assert trained[0] == pytest.approx(frozen[0], rel=1e-14)
    close(trained[1], frozen[1], 1e-14)
    close(net.backward(x, y, training=True)[0], net.backward(x, y)[0], 1e-14)
    assert cbp.check_gradients(net, x, y).error < 1e-6
    net.train_on_batch(x, y)
    assert all(np.array_equal(before[name], view) for name, view in net.statistics.items())
    x, y = sample(net, 9)
    net.fit(x, y, epochs=2, batch_size=4)  # the last batch has one row
    assert all(np.isfinite(view).all() for view in net.statistics.values())


def test_one_sample_of_several_positions_has_a_variance():
    net = network((6, 3), [BATCH()])
    x, y = sample(net, 1)
    assert cbp.check_gradients(net, x, y).error < 1e-6
    before = net.statistics["0.mean"].copy()
    net.train_on_batch(x, y)
    close(net.statistics["0.mean"], 0.9 * before + 0.1 * x[0].mean(0), 1e-14)


# --- what counts --------------------------------------------------------------------------------------------------------------


# One normalisation at a time: of few numbers after each other they multiply the rounding of float32 tenfold and more.
@pytest.mark.parametrize("layers", [
    [cbp.Dense(3, "relu"), BATCH(), cbp.Dense(2), LAYER()], [cbp.Dense(8, "tanh"), GROUP(2), cbp.Dense(2)],
], ids=["batch", "group"])  # fmt: skip
@pytest.mark.parametrize("shape", [(4,), (5, 4)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_of_weight_0_is_as_if_it_were_not_there(shape, dtype, layers):
    net, other = network(shape, layers, dtype), network(shape, layers, dtype)
    x, y = sample(net, 8, dtype=dtype)
    w = np.array([1, 0, 2, 1, 0, 0, 0.5, 1])
    kept = w > 0
    x[~kept] = 1e30 if dtype == "float32" else 1e200  # products overflow
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    loss, gradient = net.gradient(x, y, w, training=True)
    expected, expected_gradient = other.gradient(x[kept], y[kept], w[kept], training=True)
    assert loss == pytest.approx(expected, rel=tolerance)
    close(gradient, expected_gradient, tolerance)
    net.train_on_batch(x, y, sample_weight=w)
    other.train_on_batch(x[kept], y[kept], sample_weight=w[kept])
    for name, view in net.statistics.items():
        close(view, other.statistics[name], tolerance)


def test_steps_beyond_a_length_do_not_count():
    net = network((6, 3), [BATCH(momentum=1.0)])
    x, y = sample(net, 4)
    lengths = np.array([6, 2, 1, 4])
    inside = np.arange(6) < lengths[:, None]
    changed = np.where(inside[..., None], x, 77.0)
    loss, gradient = net.gradient(x, y, lengths=lengths, training=True)
    other, other_gradient = net.gradient(changed, y, lengths=lengths, training=True)
    assert loss == other
    assert np.array_equal(gradient, other_gradient)
    net.train_on_batch(x, y, lengths=lengths)
    close(net.statistics["0.mean"], x[inside].mean(0), 1e-14)
    close(net.statistics["0.variance"], x[inside].var(0, ddof=1), 1e-14)


def test_gradients_with_lengths_and_weights():
    rng = np.random.default_rng(3)
    net = network((6, 3), [cbp.Dense(5, "tanh"), BATCH(activation="silu"), cbp.Dense(2), LAYER()])
    x, y = sample(net, 5)
    lengths, w = np.array([6, 2, 1, 4, 3]), np.array([1, 0.5, 2, 0, 1])
    assert cbp.check_gradients(net, x, y, sample_weight=w, lengths=lengths).error < 1e-6
    d = rng.normal(size=y.shape)
    d_input, _ = net.backward(x, d, lengths=lengths, training=True)
    step = 1e-6 * rng.normal(size=x.shape)
    close_by = [summed(net, x + sign * step, d, lengths) for sign in (1, -1)]
    assert (close_by[0] - close_by[1]) / 2 == pytest.approx((d_input * step).sum(), rel=1e-6)


def summed(net, x, d, lengths):
    """sum(d * outputs) in training, from the gradient of the last shift and scale: d * (x̂ scale + shift)."""
    _, gradient = net.backward(x, d, lengths=lengths, training=True)
    scale, shift = list(net.parameters.values())[-2:]
    places = scale.size + shift.size
    return (gradient[-places:] * np.concatenate([scale, shift])).sum()


# --- a step that must leave no trace ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_whose_loss_is_not_finite_changes_nothing(threads):
    net = network((3,), [BATCH(), cbp.Dense(2)], "float32")
    x, y = sample(net, 8, dtype=np.float32)
    net.fit(x, y, epochs=2)
    before = net.get_vector(), {name: view.copy() for name, view in net.statistics.items()}
    net.parameters["1.weight"][...] = 3e38
    with pytest.raises(cbp.DivergedError):
        net.fit(x, y, epochs=2, threads=threads)
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch(x, y)
    assert all(np.array_equal(before[1][name], view) for name, view in net.statistics.items())


def test_a_divergence_goes_back_to_the_statistics_of_the_last_finite_epoch():
    net, other = (network((3,), [cbp.Dense(4), BATCH(), cbp.Dense(1)], "float32") for _ in range(2))
    x, y = sample(net, 40, dtype=np.float32)
    with pytest.raises(cbp.DivergedError) as raised:
        net.fit(x, y, epochs=2000, batch_size=10, optimizer=cbp.SGD(40.0))
    epochs = len(raised.value.history["loss"])
    other.fit(x, y, epochs=epochs, batch_size=10, optimizer=cbp.SGD(40.0))
    assert np.array_equal(net.get_vector(), other.get_vector())
    assert all(np.array_equal(other.statistics[name], view) for name, view in net.statistics.items())


# --- gradients ----------------------------------------------------------------------------------------------------------------

STACKS = {
    "batch first": [BATCH(), cbp.Dense(3, "tanh")],
    "batch last": [cbp.Dense(18, "tanh"), BATCH()],
    "batch alone": [BATCH(activation="tanh")],
    "batch with sums kept": [cbp.Dense(5), BATCH(activation="gelu"), cbp.Dense(2)],
    "batch twice": [cbp.Dense(5), BATCH(activation="tanh"), BATCH(epsilon=0.1), cbp.Dense(2)],
    "layer first": [LAYER(), cbp.Dense(3, "tanh")],
    "layer last": [cbp.Dense(18, "tanh"), LAYER()],
    "layer alone": [LAYER(activation="tanh")],
    "layer with sums kept": [cbp.Dense(5), LAYER(activation="gelu", epsilon=0.1), cbp.Dense(2)],
    "group first": [GROUP(1), cbp.Dense(3, "tanh")],
    "group last": [cbp.Dense(18, "tanh"), GROUP(3)],
    "group with sums kept": [cbp.Dense(6), GROUP(2, activation="gelu", epsilon=0.1), cbp.Dense(2)],
    "both": [LAYER(), cbp.Dense(33), BATCH(activation="silu"), LAYER(), BATCH(), cbp.Dense(2), BATCH(activation="tanh")],
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", [(4,), (3, 2, 3)], ids=str)
@pytest.mark.parametrize("stack", STACKS)
def test_central_differences(stack, shape, training):
    net = network(shape, STACKS[stack], l1=0.01, l2=0.02)
    x, y = sample(net, 6)
    result = cbp.check_gradients(net, x, y, training=training, limit=60)
    assert result.error < 1e-6, str(result)


def test_penalties_and_decay_leave_scales_alone():
    net = network((4,), [BATCH(), LAYER()], l1=10.0, l2=10.0)
    plain = network((4,), [BATCH(), LAYER()])
    x, y = sample(net, 6)
    assert net.evaluate(x, y) == plain.evaluate(x, y)
    net.train_on_batch(x, y, optimizer=cbp.SGD(0.1, weight_decay=0.5))
    plain.train_on_batch(x, y, optimizer=cbp.SGD(0.1))
    assert np.array_equal(net.get_vector(), plain.get_vector())


# --- the same bits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4,), (5, 4)], ids=str)
@pytest.mark.parametrize("stack", ["batch first", "batch last", "both"])
def test_threads_do_not_change_a_bit(stack, shape, dtype):
    nets = []
    for threads in (1, 2, 3, 5):
        net = network(shape, STACKS[stack], dtype)
        x, y = sample(net, 57, dtype=dtype)
        w = np.random.default_rng(4).integers(3, size=57)
        net.fit(x, y, epochs=2, batch_size=20, threads=threads)
        net.fit(x, y, epochs=2, batch_size=20, threads=threads, sample_weight=w)
        nets.append(net)
    for net in nets[1:]:
        assert np.array_equal(net.get_vector(), nets[0].get_vector())
        assert all(np.array_equal(view, nets[0].statistics[name]) for name, view in net.statistics.items())


def test_a_batch_is_not_taken_in_pieces():
    """A plain network takes at most 1024 rows at once; the statistics are of all 3000."""
    net = network((2,), [cbp.Dense(3, "tanh"), BATCH(), cbp.Dense(1)])
    x, y = sample(net, 3000)
    p = net.parameters
    a = np.tanh(x @ p["0.weight"] + p["0.bias"])
    b = normalised(a, a.mean(0), a.var(0)) * p["1.scale"] + p["1.shift"]
    expected = np.mean((b @ p["2.weight"] + p["2.bias"] - y) ** 2)
    assert net.gradient(x, y, training=True)[0] == pytest.approx(expected, rel=1e-12)
    assert cbp.check_gradients(net, x, y, limit=10).error < 1e-6
    _, gradient = net.backward(x, y, training=True)
    close(gradient[-4:-1], (y.T @ b)[0], 1e-12)


def test_pieces_of_predictions_and_frozen_gradients():
    net = network((40, 30), [LAYER(), cbp.Dense(20), BATCH()])
    x, y = sample(net, 300)
    rows = np.concatenate([net.predict(x[:7]), net.predict(x[7:])])
    assert np.array_equal(net.predict(x), rows)
    d_input, gradient = net.backward(x, y)
    halves = [net.backward(x[:150], y[:150]), net.backward(x[150:], y[150:])]
    assert np.array_equal(d_input, np.concatenate([halves[0][0], halves[1][0]]))
    close(gradient, halves[0][1] + halves[1][1], 1e-12)


# --- files, copies, resuming --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_run_in_two_parts_equals_one(tmp_path, dtype):
    nets = [network((4,), STACKS["both"], dtype) for _ in range(2)]
    x, y = sample(nets[0], 30, dtype=dtype)
    nets[0].fit(x, y, epochs=6, batch_size=7, optimizer="adam")
    nets[1].fit(x, y, epochs=2, batch_size=7, optimizer="adam")
    nets[1].save(tmp_path / "half.cbp")
    resumed = pickle.loads(pickle.dumps(cbp.load(tmp_path / "half.cbp")))
    assert resumed.layers == nets[1].layers
    resumed.fit(x, y, epochs=4, batch_size=7)
    assert np.array_equal(resumed.get_vector(), nets[0].get_vector())
    assert all(np.array_equal(view, nets[0].statistics[name]) for name, view in resumed.statistics.items())


def test_statistics_are_no_parameters():
    net = cbp.Network((5, 3), [cbp.Dense(2), BATCH(), LAYER()], loss="mean_squared_error")
    assert list(net.statistics) == ["1.mean", "1.variance"]
    assert list(net.parameters) == ["0.weight", "0.bias", "1.scale", "1.shift", "2.scale", "2.shift"]
    for name, start in (("1.scale", 1), ("1.shift", 0), ("2.scale", 1), ("2.shift", 0)):
        assert np.array_equal(net.parameters[name], [start, start])
    assert np.array_equal(net.statistics["1.mean"], [0, 0])
    assert np.array_equal(net.statistics["1.variance"], [1, 1])
    assert len(net.get_vector()) == 3 * 2 + 2 + 8


# --- arguments ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: BATCH(momentum=0), ValueError, "momentum must be a finite number above 0 and of at most 1, got 0"),
    (lambda: BATCH(momentum=1.5), ValueError, "momentum must be .* at most 1, got 1.5"),
    (lambda: BATCH(momentum="fast"), TypeError, "momentum must be .* got 'fast'"),
    (lambda: BATCH(epsilon=0), ValueError, "epsilon must be a finite number of at least 1e-12, got 0"),
    (lambda: BATCH(epsilon=float("nan")), ValueError, "epsilon"),
    (lambda: LAYER(epsilon=-1), ValueError, "epsilon must be a finite number of at least 1e-12, got -1"),
    (lambda: LAYER(activation="rleu"), ValueError, "activation"),
    (lambda: BATCH(activation=3), TypeError, "activation must be a name, got 3"),
    (lambda: GROUP(0), ValueError, "groups must be a whole number of at least 1, got 0"),
    (lambda: GROUP(2.5), TypeError, "groups must be a whole number"),
    (lambda: GROUP(2, epsilon=0), ValueError, "epsilon must be a finite number of at least 1e-12, got 0"),
    (lambda: GROUP(1).output_shape(()), ValueError, r"GroupNorm needs an axis of channels, its input has the shape \(\)"),
    (lambda: BATCH("relu"), TypeError, "by place"),
    (lambda: BATCH().output_shape(()), ValueError, r"BatchNorm needs an axis of channels, its input has the shape \(\)"),
    (lambda: LAYER().output_shape(()), ValueError, r"LayerNorm needs an axis of channels, its input has the shape \(\)"),
])
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_the_layers_say_about_themselves():
    assert BATCH() == BATCH(momentum=0.1)
    assert BATCH(momentum=1).momentum == 1.0
    assert "[BatchNorm(momentum=0.5), LayerNorm(activation='tanh')]" in repr(
        cbp.Network(3, [BATCH(momentum=0.5), LAYER(activation="tanh")], loss="mean_squared_error"))


# --- PyTorch ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    found = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    found.set_num_threads(1)
    return found


class Twin:
    """A stack of Dense and normalizations in PyTorch, in float64."""

    def __init__(self, torch, net):
        self.torch, self.net = torch, net
        self.parameters = {name: torch.tensor(np.array(view), requires_grad=True) for name, view in net.parameters.items()}
        self.statistics = {name: torch.tensor(np.array(view)) for name, view in net.statistics.items()}

    def forward(self, x, training):
        F = self.torch.nn.functional
        p, s = self.parameters, self.statistics
        for i, layer in enumerate(self.net.layers):
            if isinstance(layer, cbp.Dense):
                x = x @ p[f"{i}.weight"] + p[f"{i}.bias"]
            elif isinstance(layer, BATCH):
                rows = F.batch_norm(x.reshape(-1, x.shape[-1]), s[f"{i}.mean"], s[f"{i}.variance"], p[f"{i}.scale"],
                                    p[f"{i}.shift"], training, layer.momentum, layer.epsilon)
                x = rows.reshape(x.shape)
            elif isinstance(layer, GROUP):
                first = x.movedim(-1, 1)
                x = F.group_norm(first, layer.groups, p[f"{i}.scale"], p[f"{i}.shift"], layer.epsilon).movedim(1, -1)
            else:
                x = F.layer_norm(x, x.shape[-1:], p[f"{i}.scale"], p[f"{i}.shift"], layer.epsilon)
            x = x if layer.activation == "identity" else getattr(F, layer.activation)(x)
        return x

    def vector(self, tensors):
        return np.concatenate([tensor.detach().numpy().reshape(-1) for tensor in tensors])


@pytest.mark.oracle
@pytest.mark.parametrize("shape", [(4,), (5, 3), (3, 2, 17)], ids=str)
@pytest.mark.parametrize("stack", STACKS)
def test_outputs_and_gradients_of_pytorch(torch, stack, shape):
    net = network(shape, STACKS[stack])
    x, d = sample(net, 6)
    for training in (True, False):
        twin = Twin(torch, net)
        tensor = torch.tensor(x, requires_grad=True)
        outputs = twin.forward(tensor, training)
        d_input, *gradients = torch.autograd.grad(outputs, [tensor, *twin.parameters.values()], torch.tensor(d))
        got_input, got = net.backward(x, d, training=training)
        close(got_input, d_input, 1e-9)
        close(got, twin.vector(gradients), 1e-9)
        if not training:
            close(net.predict(x), outputs.detach(), 1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("shape", [(4,), (5, 3)], ids=str)
@pytest.mark.parametrize("stack", STACKS)
def test_ten_steps_of_pytorch(torch, stack, shape, threads):
    """Not with Adam: the bias of a layer before BatchNorm has the gradient 0, whose rounding Adam would make a step of."""
    net = network(shape, STACKS[stack])
    twin = Twin(torch, net)
    rule = torch.optim.SGD(twin.parameters.values(), lr=0.02, momentum=0.9)
    for step in range(10):
        x, y = sample(net, 6, seed=step)
        rule.zero_grad()
        expected = ((twin.forward(torch.tensor(x), True) - torch.tensor(y)) ** 2).mean()
        expected.backward()
        rule.step()
        history = net.fit(x, y, epochs=1, batch_size=None, optimizer=cbp.SGD(0.02, momentum=0.9), threads=threads)
        assert history["loss"][0] == pytest.approx(expected.item(), rel=1e-9)
    close(net.get_vector(), twin.vector(twin.parameters.values()), 1e-9)
    for name, view in net.statistics.items():
        close(view, twin.statistics[name], 1e-9)
    x, _ = sample(net, 5)
    close(net.predict(x), twin.forward(torch.tensor(x), False).detach(), 1e-9)


# --- groups -------------------------------------------------------------------------------------------------------------------

GROUPED = [(1, (6,)), (3, (6,)), (6, (3, 6)), (1, (3, 6)), (2, (7, 34)), (17, (70, 34)), (8, (3, 2, 16)), (2, (5, 4, 3, 80))]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("groups", "shape"), GROUPED, ids=str)
@pytest.mark.parametrize("first", [True, False])
def test_group_norm(groups, shape, dtype, first):
    """Outputs and gradients are those of the formula, on the samples, which have no pads, and behind another layer."""
    layers = [*([] if first else [cbp.Dense(shape[-1], init=np.eye(shape[-1]))]), GROUP(groups, epsilon=0.01)]
    net = network(shape, layers, dtype)
    if not first:
        net.parameters["0.bias"][...] = 0
    x, d = sample(net, 5, dtype=dtype)
    wide = x.astype(np.float64).reshape(5, -1, groups, shape[-1] // groups)
    scale, shift = (net.parameters[f"{len(layers) - 1}.{name}"].astype(np.float64) for name in ("scale", "shift"))
    inverse = 1 / np.sqrt(wide.var((1, 3), keepdims=True) + 0.01)
    hat = ((wide - wide.mean((1, 3), keepdims=True)) * inverse).reshape(x.shape)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    close(net.predict(x), hat * scale + shift, tolerance)
    d_input, gradient = net.backward(x, d)
    close(gradient[-2 * shape[-1] :], np.concatenate([(d * hat).sum(batch_axes(x)), d.sum(batch_axes(x))]), tolerance)
    g, hat = ((values.reshape(wide.shape)) for values in (d * scale, hat))
    expected = inverse * (g - g.mean((1, 3), keepdims=True) - hat * (g * hat).mean((1, 3), keepdims=True))
    close(d_input, expected.reshape(x.shape), tolerance)


def test_groups_of_one_sample_know_no_other():
    net = network((4, 6), [GROUP(2), cbp.Dense(3), GROUP(3)])
    x, _ = sample(net, 7)
    np.testing.assert_array_equal(net.predict(x)[2:4], net.predict(x[2:4]))
    np.testing.assert_array_equal(net.predict_one(x[3]), net.predict(x)[3])


@pytest.mark.parametrize("shape", [(6,), (5, 6)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_pieces_change_no_bit_of_groups(shape, dtype, monkeypatch):
    def make():
        return network(shape, [GROUP(2), cbp.Dense(18), GROUP(3), cbp.Dense(2)], dtype)

    assert_threads_and_pieces_change_no_bit(make, *sample(make(), 50, dtype=dtype), monkeypatch)


def test_groups_that_do_not_fit():
    with pytest.raises(ValueError, match=r"GroupNorm\(4\) needs groups that divide the channels, .* the shape \(3, 6\)"):
        network((3, 6), [GROUP(4)])


def test_groups_over_time_refuse_lengths():
    net = network((5, 4), [GROUP(2), cbp.Dense(2)])
    with pytest.raises(ValueError, match=r"GroupNorm\(2\) takes all steps of a sample"):
        net.predict(np.zeros((2, 5, 4)), lengths=[1, 5])
    with pytest.raises(ValueError, match=r"predict_step\(\) cannot take GroupNorm\(2\) step by step"):
        net.predict_step(np.zeros(4))


@pytest.mark.oracle
def test_groups_from_pytorch():
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    nn = torch.nn
    generator = torch.Generator().manual_seed(3)
    for modules, shape in (
        ([nn.GroupNorm(2, 6, eps=0.1)], (6,)), ([nn.GroupNorm(2, 6), nn.Conv1d(6, 3, 2)], (6, 5)),
        ([nn.GroupNorm(6, 6)], (6, 5)),
        ([nn.Conv2d(3, 8, 3), nn.GroupNorm(4, 8), nn.SiLU()], (3, 6, 5)),
        ([nn.Conv2d(3, 2, 3), nn.Flatten(), nn.GroupNorm(1, 24), nn.ReLU(), nn.Linear(24, 2)], (3, 6, 5)),
    ):  # fmt: skip
        made = nn.Sequential(*modules).double()
        for parameter in made.parameters():
            parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        x = torch.randn(4, *shape, generator=generator, dtype=torch.float64)
        given, expected = (np.moveaxis(values.detach().numpy(), 1, -1) for values in (x, made(x)))
        close(cbp.from_torch(made, shape).predict(np.ascontiguousarray(given)), expected, 1e-12)
    for modules, shape, message in (
        ([nn.GroupNorm(2, 6, affine=False)], (6,), "affine=False"), ([nn.GroupNorm(2, 6)], (4,), "num_channels is 6"),
        ([nn.Linear(3, 5), nn.GroupNorm(1, 5)], (5, 3), r"num_groups=1 of \(5, 5\)"),
        ([nn.Conv2d(3, 2, 3), nn.Flatten(), nn.GroupNorm(2, 24)], (3, 6, 5), "other neighbours behind a Flatten"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            cbp.from_torch(modules, shape)
