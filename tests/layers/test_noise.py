"""Dropout and GaussianNoise: their numbers, that they are a pure function of where they are used, and their gradients."""

import math
import pickle

import numpy as np
import pytest
from cases import close
from oracles.random_oracle import philox

import cbp

DTYPES = ["float32", "float64"]
SHAPES = [(1,), (16,), (70,), (5, 3), (3, 2, 17)]
MASK = 2**32 - 1


def layers_of(kind):
    """What passes through the layer can be read off: the identity follows it."""
    return [cbp.Dropout(0.4) if kind == "dropout" else cbp.GaussianNoise(0.5)]


def network(shape, layers, dtype="float64", seed=1, **settings):
    return cbp.Network(shape, layers, loss="half_squared_error", dtype=dtype, seed=seed, **settings)


def passed(net, x):
    """What layers without parameters make of x in the next training step: the gradient of the weights of a layer behind them,
    for a d_output that is 1 for one sample in every column."""
    flat = cbp.Dense(len(x), init="zeros")
    probe = cbp.Network(net.input_shape, [*net.layers, flat], loss=net.loss, dtype=net.dtype, seed=net.seed)
    at(probe, net.step, net.epoch)
    positions = math.prod(net.input_shape[:-1])
    rows = []
    for position in range(positions):
        d = np.zeros((len(x), positions, len(x)))
        d[:, position] = np.eye(len(x))
        _, gradient = probe.backward(x, d.reshape(len(x), *net.input_shape[:-1], len(x)), training=True)
        rows.append(gradient[: -len(x)].reshape(-1, len(x)).T)
    return np.stack(rows, axis=1).reshape(x.shape)


def noise_of(net, rows):
    """The normal numbers that the next step adds."""
    return passed(net, np.zeros((rows, *net.input_shape), net.dtype))


def at(net, step, epoch):
    """The network as if it had trained so far."""
    net._numbers.step, net._numbers.epoch = step, epoch
    return net


# --- the definition, in plain Python ------------------------------------------------------------------------------------------


def words(seed, stream, epoch, step, place, count):
    """The random words of the sample at `place`, in groups of 64: the first words of sixteen blocks, then the second ones."""
    key = philox((seed & MASK, seed >> 32), (step & MASK, step >> 32, epoch, 2 + stream))[:2]
    blocks = [philox(key, (i, place, 0, 0)) for i in range(-(-count // 64) * 16)]
    groups = [np.array(blocks[i : i + 16]).T.reshape(-1) for i in range(0, len(blocks), 16)]
    return np.concatenate(groups)[:count]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_masks_are_what_the_definition_says(shape, dtype):
    """Numbers are counted with the pads of the last axis."""
    net = at(network(shape, [cbp.Dropout(0.4)], dtype, seed=2**40 + 3), step=7, epoch=5)
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(dtype)
    width = -(-shape[-1] // 16) * 16
    for place in range(3):
        drawn = words(net.seed, 0, 5, 7, place, math.prod(shape[:-1]) * width)
        kept = (drawn >= int(0.4 * 2**32)).reshape(*shape[:-1], width)[..., : shape[-1]]
        close(passed(net, x)[place], np.where(kept, x[place] / 0.6, 0), 1e-6 if dtype == "float32" else 1e-15)


def test_normal_numbers_are_what_the_definition_says():
    net = at(network((21,), [cbp.GaussianNoise(0.5)], seed=2**40 + 3), step=2**33 + 1, epoch=9)
    drawn = np.array([words(net.seed, 0, 9, 2**33 + 1, place, 64) for place in range(3)])
    radius, angle = drawn[:, :16], drawn[:, 16:32]
    distance = np.sqrt(-2 * np.log(((radius >> 1) + 0.5) / 2**31))
    turn = ((angle & 0x3FFFFFFF) / 2**30 - 0.5 + (angle >> 30)) * np.pi / 2
    normal = np.concatenate([distance * np.cos(turn), distance * np.sin(turn)], axis=1)
    close(noise_of(net, 3), 0.5 * normal[:, :21], 1e-14)


# --- what the numbers are like ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_the_rate_of_dropout(rate):
    net = network((1000,), [cbp.Dropout(rate)])
    outputs = passed(net, np.ones((300, 1000)))
    deviation = math.sqrt(rate * (1 - rate) / outputs.size)
    assert np.mean(outputs == 0) == pytest.approx(rate, abs=5 * deviation)
    assert set(np.unique(outputs)) <= {0.0, 1 / (1 - rate)}
    for axis in (0, 1):  # nor do some samples or some features get more than others
        share = np.mean(outputs == 0, axis=axis)
        assert np.abs(share - rate).max() <= 5.5 * math.sqrt(rate * (1 - rate) / outputs.shape[axis]) + 1e-12


def test_normal_numbers_are_normal():
    for dtype in DTYPES:
        z = noise_of(network((1000,), [cbp.GaussianNoise(1.0)], dtype), 100).reshape(-1)
        assert abs(z.mean()) < 5 / math.sqrt(z.size)
        assert abs(z.var() - 1) < 5 * math.sqrt(2 / z.size)
        assert abs((z**3).mean()) < 5 * math.sqrt(15 / z.size)
        assert abs((z**4).mean() - 3) < 5 * math.sqrt(96 / z.size)
        expected = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in np.sort(z)[::50]])
        assert np.abs(expected - np.arange(0, z.size, 50) / z.size).max() < 2 / math.sqrt(z.size)  # Kolmogorov: p = 7e-4


def test_normal_numbers_of_both_dtypes_agree():
    single, double = (noise_of(network((500,), [cbp.GaussianNoise(1.0)], dtype), 4) for dtype in DTYPES)
    close(single, double, 2e-6)


def masks(net, rows=40):
    return passed(net, np.ones((rows, *net.input_shape))) != 0


def test_masks_are_independent():
    """Of samples, numbers, steps, epochs, layers and seeds: two of them agree in half of their places."""
    first = masks(network((500,), [cbp.Dropout(0.5)]))
    others = {
        "step": masks(at(network((500,), [cbp.Dropout(0.5)]), step=1, epoch=0)),
        "epoch": masks(at(network((500,), [cbp.Dropout(0.5)]), step=0, epoch=1)),
        "seed": masks(network((500,), [cbp.Dropout(0.5)], seed=2)),
        "sample": np.roll(first, 1, axis=0),
        "number": np.roll(first, 1, axis=1),
        "sixteen numbers": np.roll(first, 16, axis=1),
    }
    two = passed(network((500,), [cbp.Dropout(0.5), cbp.Dropout(0.5)]), np.ones((40, 500))) != 0
    assert np.mean(two) == pytest.approx(0.25, abs=5 * math.sqrt(0.1875 / two.size))
    assert not (two & ~first).any()
    for name, other in others.items():
        assert np.mean(first == other) == pytest.approx(0.5, abs=5 * 0.5 / math.sqrt(first.size)), name


def test_the_noise_of_two_layers_is_independent():
    one = noise_of(network((400,), [cbp.GaussianNoise(1.0)]), 50)
    two = noise_of(network((400,), [cbp.GaussianNoise(1.0), cbp.GaussianNoise(1.0)]), 50) - one
    assert abs(np.mean(one * two)) < 5 / math.sqrt(one.size)
    assert two.std() == pytest.approx(1, abs=0.02)


# --- where it happens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_nothing_happens_at_prediction(kind, shape, dtype):
    net = network(shape, layers_of(kind), dtype)
    x = np.random.default_rng(0).normal(size=(4, *shape)).astype(dtype)
    assert np.array_equal(net.predict(x), x)
    assert np.array_equal(net.predict_one(x[1]), x[1])
    assert net.evaluate(x, x)["loss"] == 0
    assert np.array_equal(net.backward(x, x)[0], x)
    assert net.gradient(x, x)[0] == 0
    assert net.gradient(x, x, training=True)[0] > 0


@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_a_gradient_with_training_is_that_of_the_next_step(kind):
    rng = np.random.default_rng(0)
    net = network((6,), [*layers_of(kind), cbp.Dense(4, "tanh"), *layers_of(kind), cbp.Dense(2)])
    x, y = rng.normal(size=(9, 6)), rng.normal(size=(9, 2))
    seen = set()
    for _ in range(4):
        before = net.get_vector()
        loss, gradient = net.gradient(x, y, training=True)
        again, _ = net.gradient(x, y, training=True)
        assert again == loss
        assert net.train_on_batch(x, y, optimizer=cbp.SGD(0.1)) == pytest.approx(loss, rel=1e-14)
        close(net.get_vector(), before - 0.1 * gradient, 1e-14)
        seen.add(loss)
    assert len(seen) == 4
    loss, gradient = net.gradient(x, y, training=True)
    before = net.get_vector()
    history = net.fit(x, y, epochs=1, batch_size=None, optimizer=cbp.SGD(0.1))
    assert history["loss"][0] == pytest.approx(loss, rel=1e-14)
    close(net.get_vector(), before - 0.1 * gradient, 1e-14)


def test_every_epoch_has_its_own_noise():
    net = network((6,), [cbp.Dropout(0.5), cbp.Dense(1)])
    rng = np.random.default_rng(0)
    history = net.fit(rng.normal(size=(5, 6)), rng.normal(size=(5, 1)), epochs=20, optimizer=cbp.SGD(1e-12))
    assert len(set(history["loss"])) == 20


# --- gradients ----------------------------------------------------------------------------------------------------------------

STACKS = {
    "dropout first": [cbp.Dropout(0.3), cbp.Dense(4, "tanh")],
    "dropout last": [cbp.Dense(18, "tanh"), cbp.Dropout(0.3)],
    "dropout between": [cbp.Dense(18, "gelu"), cbp.Dropout(0.5), cbp.Dropout(0.2), cbp.Dense(3)],
    "noise first": [cbp.GaussianNoise(0.3), cbp.Dense(4, "tanh")],
    "noise last": [cbp.Dense(18, "tanh"), cbp.GaussianNoise(0.3)],
    "noise between": [cbp.Dense(18, "gelu"), cbp.GaussianNoise(0.5), cbp.Dense(3)],
    "with normalisation": [cbp.Dropout(0.1), cbp.BatchNorm(), cbp.Dense(5, "silu"), cbp.GaussianNoise(0.2), cbp.BatchNorm(),
                           cbp.Dropout(0.4), cbp.LayerNorm()],
}  # fmt: skip


@pytest.mark.parametrize("shape", [(4,), (3, 2, 3)], ids=str)
@pytest.mark.parametrize("stack", STACKS)
def test_central_differences(stack, shape):
    net = network(shape, STACKS[stack])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, *shape)), rng.normal(size=(6, *net.output_shape))
    for training in (True, False):
        result = cbp.check_gradients(net, x, y, training=training, limit=60)
        assert result.error < 1e-6, str(result)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_gradient_of_dropout_goes_where_the_numbers_went(shape):
    """Also where a number was 0 before, and for the samples as well as behind a layer."""
    rng = np.random.default_rng(0)
    d = rng.normal(size=(5, *shape))
    x = np.zeros((5, *shape))
    net = network(shape, [cbp.Dropout(0.4)])
    mask = net.backward(x, np.ones_like(x), training=True)[0]
    assert np.array_equal(net.backward(x, d, training=True)[0], mask * d)
    behind = network(shape, [cbp.Dense(shape[-1], init=np.eye(shape[-1])), cbp.Dropout(0.4)])
    d_input, gradient = behind.backward(x, d, training=True)
    close(d_input, mask * d, 1e-15)
    close(gradient[-shape[-1] :], (mask * d).sum(tuple(range(x.ndim - 1))), 1e-13)


@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_samples_of_weight_0_that_overflow(kind):
    net = network((3,), [cbp.Dense(4), *layers_of(kind), cbp.Dense(2)], "float32")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(6, 2)).astype(np.float32)
    w = np.array([1, 0, 1, 2, 0, 1])
    expected = net.gradient(x, y, w, training=True)
    x[w == 0] = 3e38
    loss, gradient = net.gradient(x, y, w, training=True)
    assert loss == expected[0]
    assert np.array_equal(gradient, expected[1])


# --- the same bits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(4,), (5, 4)], ids=str)
@pytest.mark.parametrize("stack", ["dropout between", "noise first", "with normalisation"])
def test_threads_do_not_change_a_bit(stack, shape, dtype):
    rng = np.random.default_rng(0)
    vectors = []
    for threads in (1, 2, 3, 5):
        net = network(shape, STACKS[stack], dtype)
        if not vectors:
            x, y = rng.normal(size=(57, *shape)), rng.normal(size=(57, *net.output_shape))
        net.fit(x, y, epochs=3, batch_size=20, threads=threads)
        vectors.append(net.get_vector())
    assert all(np.array_equal(vector, vectors[0]) for vector in vectors)


@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_pieces_do_not_change_a_bit(kind, monkeypatch):
    """A sample's noise belongs to its place in the batch."""
    rng = np.random.default_rng(0)
    layers = [*layers_of(kind), cbp.Dense(4, "tanh"), *layers_of(kind), cbp.Dense(2)]
    x, y = rng.normal(size=(300, 6)), rng.normal(size=(300, 2))
    results = []
    for piece in (300, 128, 36, 7):
        net = network((6,), layers)
        monkeypatch.setattr(type(net._plan), "piece", lambda plan, rows, *, apart=False, piece=piece: min(rows, piece))
        net.fit(x, y, epochs=2, batch_size=150)
        results.append((net.get_vector(), *net.gradient(x, y, training=True), net.backward(x, y, training=True)[0]))
    for found in results[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found, results[0], strict=True))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("stack", STACKS)
def test_a_run_in_two_parts_equals_one(stack, dtype, tmp_path):
    rng = np.random.default_rng(0)
    nets = [network((4,), STACKS[stack], dtype) for _ in range(2)]
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, *nets[0].output_shape))
    nets[0].fit(x, y, epochs=5, batch_size=7)
    nets[1].fit(x, y, epochs=2, batch_size=7)
    nets[1].save(tmp_path / "half.cbp")
    resumed = pickle.loads(pickle.dumps(cbp.load(tmp_path / "half.cbp")))
    assert resumed.layers == nets[1].layers
    resumed.fit(x, y, epochs=3, batch_size=7)
    assert np.array_equal(resumed.get_vector(), nets[0].get_vector())
    x, y = x[:5], y[:5]
    for net in (nets[0], resumed):
        net.train_on_batch(x, y)
    assert np.array_equal(resumed.get_vector(), nets[0].get_vector())


# --- arguments ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: cbp.Dropout(1), ValueError, "rate must be a finite number of at least 0 and below 1, got 1"),
    (lambda: cbp.Dropout(-0.1), ValueError, "rate must be .* got -0.1"),
    (lambda: cbp.Dropout("half"), TypeError, "rate must be .* got 'half'"),
    (lambda: cbp.Dropout(True), TypeError, "rate must be"),
    (lambda: cbp.Dropout(), TypeError, "rate"),
    (lambda: cbp.GaussianNoise(-1), ValueError, "deviation must be a finite number of at least 0, got -1"),
    (lambda: cbp.GaussianNoise(float("inf")), ValueError, "deviation must be"),
    (lambda: cbp.GaussianNoise(None), TypeError, "deviation must be .* got None"),
    (lambda: cbp.Dropout(0.5).output_shape(()), ValueError, r"Dropout needs an axis of features, its input has the shape \(\)"),
])
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_what_the_layers_say_about_themselves():
    assert cbp.Dropout(0.5) == cbp.Dropout(np.float32(0.5))
    assert "[Dropout(0.5), GaussianNoise(0.25)]" in repr(network((2,), [cbp.Dropout(0.5), cbp.GaussianNoise(0.25)]))


def test_a_network_without_parameters_can_be_trained():
    net = network((3,), [cbp.Dropout(0.5), cbp.GaussianNoise(0.1)])
    x = np.ones((5, 3))
    assert net.fit(x, x, epochs=2)["loss"][1] > 0
    assert len(net.get_vector()) == 0
