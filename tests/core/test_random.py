"""Random numbers: the generator against published vectors and a plain Python one, what is drawn from it, and frozen results.

The frozen ("golden") numbers say that a seed means the same in every version of cbp. Whoever must change one changes what
every seed gives, and says so in CHANGELOG.md.
"""

import math

import facts
import numpy as np
import pytest
from cases import OPTIMIZERS, inputs
from oracles.random_oracle import philox

import cbp
from cbp.engine.cpu import core

SEEDS = [0, 1, 2**31, 2**32, 2**63 - 1]


# --- Philox4x32-10 ----------------------------------------------------------------------------------------------------


def words(seed, stream, counter):
    """The endless sequence of words that belongs to (seed, stream, counter)."""
    key, block = (seed & 0xFFFFFFFF, seed >> 32), 0
    while True:
        yield from philox(key, (block & 0xFFFFFFFF, block >> 32, counter, stream))
        block += 1


def uniform(source):
    return ((next(source) << 32 | next(source)) >> 11) / 2**53


def normal(source):
    """(number, how much its logarithm magnifies a rounding of s), by Marsaglia's polar method."""
    while True:
        u, v = 2 * uniform(source) - 1, 2 * uniform(source) - 1
        s = u * u + v * v
        if 0 < s < 1:
            return u * math.sqrt(-2 * math.log(s) / s), 1 - 1 / math.log(s)


def below(source, bound):
    """Lemire's method: the multiples that would make some results likelier are drawn again."""
    while True:
        product = next(source) * bound
        if product & 0xFFFFFFFF >= 2**32 % bound:
            return product >> 32


def shuffled(seed, epoch, n):
    source, order = words(seed, core.STREAMS["shuffle"], epoch), list(range(n))
    for i in range(n - 1, 0, -1):
        j = below(source, i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def draw(kind, count, seed=0, counter=0, stream="initial_weights"):
    out = np.empty(count)
    core.draw(seed, core.STREAMS[stream], counter, kind, out)
    return out


def permutation(seed, epoch, n):
    order = np.empty(n, np.intp)
    core.permutation(seed, epoch, order)
    return order


def from_words(low, *rest):
    """A wide number from its 32-bit words, the lowest first."""
    return low if not rest else low | from_words(*rest) << 32


@pytest.mark.parametrize(("key", "counter", "expected"), [
    ("00000000 00000000", "00000000 00000000 00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff", "ffffffff ffffffff ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("a4093822 299f31d0", "243f6a88 85a308d3 13198a2e 03707344", "d16cfe09 94fdcceb 5001e420 24126ea1"),
])  # fmt: skip
def test_the_published_vectors(key, counter, expected):
    """The known answers of the authors' library, Random123 (kat_vectors, philox4x32 with 10 rounds)."""
    k, c, words_ = ([int(word, 16) for word in text.split()] for text in (key, counter, expected))
    assert core.philox(from_words(*k), from_words(*c[:2]), from_words(*c[2:])) == tuple(words_)
    assert philox(k, c) == tuple(words_)


def test_philox_against_plain_python():
    source = words(99, 7, 7)
    for _ in range(200):
        key, low, high = (from_words(next(source), next(source)) for _ in range(3))
        split = [(wide & 0xFFFFFFFF, wide >> 32) for wide in (key, low, high)]
        assert core.philox(key, low, high) == philox(split[0], split[1] + split[2])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("counter", [0, 1, 2**32 - 1])
def test_draws_against_plain_python(seed, counter):
    for stream, number in core.STREAMS.items():
        source = words(seed, number, counter)
        assert draw("uniform", 101, seed, counter, stream).tolist() == [uniform(source) for _ in range(101)]
        source = words(seed, number, counter)
        expected, magnified = np.transpose([normal(source) for _ in range(101)])
        errors = np.abs(draw("normal", 101, seed, counter, stream) - expected)
        assert (errors <= 1e-15 * magnified * np.abs(expected)).all()  # a fused multiply-add rounds s another way


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("n", [1, 2, 3, 10, 257])
def test_shuffles_against_plain_python(seed, n):
    for epoch in (0, 1, 1000):
        assert permutation(seed, epoch, n).tolist() == shuffled(seed, epoch, n)


def test_a_long_shuffle_draws_some_places_again():
    """Lemire's rejection is rare: about n² / 2^34 times in a shuffle of n."""
    n, seed = 150_000, 2
    source = words(seed, core.STREAMS["shuffle"], 0)
    taken = [next(source) for _ in range(n)]
    again = sum((word * bound) & 0xFFFFFFFF < 2**32 % bound for word, bound in zip(taken, range(n, 1, -1), strict=False))
    assert again > 0
    assert permutation(seed, 0, n).tolist() == shuffled(seed, 0, n)


# --- distributions: fixed seeds, so that they hold or do not ----------------------------------------------------------


def test_uniform_numbers():
    x = draw("uniform", 200_000, seed=5)
    assert x.min() >= 0
    assert x.max() < 1
    assert ((x * 2**53) == np.floor(x * 2**53)).all()
    for power in range(1, 5):  # moments within 4 standard errors
        error = math.sqrt((1 / (2 * power + 1) - 1 / (power + 1) ** 2) / len(x))
        assert abs((x**power).mean() - 1 / (power + 1)) < 4 * error
    counts = np.histogram(x, 100, (0, 1))[0]
    assert chi_square(counts, len(x) / 100) < 4
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / math.sqrt(len(x))


def test_normal_numbers():
    x = draw("normal", 200_000, seed=5)
    for power, moment in [(1, 0), (2, 1), (3, 0), (4, 3), (5, 0), (6, 15)]:
        error = math.sqrt((math.prod(range(2 * power - 1, 0, -2)) - moment**2) / len(x))
        assert abs((x**power).mean() - moment) < 4 * error
    edges = np.linspace(-3, 3, 61)
    shares = np.diff([(1 + math.erf(edge / math.sqrt(2))) / 2 for edge in edges])
    assert chi_square(np.histogram(x, edges)[0], shares * len(x)) < 4
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 4 / math.sqrt(len(x))
    assert 4 < np.abs(x).max() < 6


def chi_square(counts, expected):
    """How many standard deviations the statistic is above its mean (it is nearly normal for many cells)."""
    freedom = counts.size - 1
    return (((counts - expected) ** 2 / expected).sum() - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize("n", [1, 2, 3, 17, 1000, 100_003])
def test_a_shuffle_is_a_permutation(n):
    order = permutation(3, 4, n)
    assert (np.sort(order) == np.arange(n)).all()
    assert n < 10 or not (order == np.arange(n)).all()


def test_shuffles_prefer_no_place():
    """Each sample comes at each place equally often, over epochs and over seeds; and so does each of the 24 orders of four."""
    n, repeats = 12, 6000
    of_epochs = [permutation(7, epoch, n) for epoch in range(repeats)]
    of_seeds = [permutation(seed, 0, n) for seed in range(repeats)]
    for orders in (of_epochs, of_seeds):
        counts = np.zeros((n, n))
        for order in orders:
            counts[np.arange(n), order] += 1
        # Rows and columns have fixed sums: (n - 1)² of the n² cells are free.
        statistic = ((counts - repeats / n) ** 2 / (repeats / n)).sum() * (n - 1) / n
        assert abs(statistic - (n - 1) ** 2) < 4 * math.sqrt(2) * (n - 1)
    seen = [tuple(permutation(8, epoch, 4)) for epoch in range(repeats)]
    counts = np.array([seen.count(order) for order in set(seen)])
    assert len(counts) == 24
    assert chi_square(counts, repeats / 24) < 4


def test_every_seed_epoch_and_stream_has_its_own_numbers():
    places = [(seed, counter, stream) for seed in SEEDS for counter in (0, 1, 2, 2**32 - 1) for stream in core.STREAMS]
    drawn = {tuple(draw("uniform", 4, *place)) for place in places}
    assert len(drawn) == len(places)
    orders = {tuple(permutation(seed, epoch, 20)) for seed in SEEDS for epoch in range(20)}
    assert len(orders) == 20 * len(SEEDS)


def test_more_numbers_begin_with_the_same():
    for kind in ("uniform", "normal"):
        np.testing.assert_array_equal(draw(kind, 1000, 3)[:7], draw(kind, 7, 3))


# --- shuffles in training ---------------------------------------------------------------------------------------------


def small(seed=0, **settings):
    settings.setdefault("dtype", "float64")
    return cbp.mlp([4, 6, 3], hidden="tanh", output="softmax", seed=seed, **settings)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return inputs(rng, 50), rng.integers(3, size=50)


def test_an_epoch_takes_its_shuffle_whatever_came_before(data):
    """Two fits of 2 and 3 epochs are one of 5; predictions and single batches between them change no order."""
    one, two = small(), small()
    one.fit(*data, epochs=5, batch_size=8)
    two.fit(*data, epochs=2, batch_size=8)
    two.predict(data[0])
    two.evaluate(*data)
    two.gradient(*data)
    two.fit(*data, epochs=3, batch_size=8)
    np.testing.assert_array_equal(one.get_vector(), two.get_vector())
    assert one.epoch == two.epoch == 5


def test_seeds_and_epochs_take_other_orders(data):
    """The same start, but the data in the order of another seed or another epoch, or in the given one."""
    results = []
    for seed, epoch, shuffle in [(0, 0, True), (1, 0, True), (0, 1, True), (0, 0, False)]:
        net = small(seed)
        if epoch:
            net.fit(*data, epochs=epoch, optimizer=cbp.SGD(1e-300))
        net.set_vector(small().get_vector())
        net.fit(*data, epochs=1, batch_size=8, optimizer=cbp.SGD(0.1), shuffle=shuffle)
        results.append(tuple(net.get_vector()))
    assert len(set(results)) == 4


# --- initial weights --------------------------------------------------------------------------------------------------

# name -> (bound or None, standard deviation) for a weight array of (inputs, units)
SPREAD = {
    "glorot_uniform": (lambda n, m: math.sqrt(6 / (n + m)), lambda n, m: math.sqrt(2 / (n + m))),
    "glorot_normal": (None, lambda n, m: math.sqrt(2 / (n + m))),
    "he_uniform": (lambda n, m: math.sqrt(6 / n), lambda n, m: math.sqrt(2 / n)),
    "he_normal": (None, lambda n, m: math.sqrt(2 / n)),
    "lecun_uniform": (lambda n, m: math.sqrt(3 / n), lambda n, m: math.sqrt(1 / n)),
    "lecun_normal": (None, lambda n, m: math.sqrt(1 / n)),
}


def weights(init, shape=(5, 3), seed=42, activation="identity", dtype="float64"):
    layer = cbp.Dense(shape[1], activation, init=init)
    net = cbp.Network(shape[0], [layer], loss="mean_squared_error", dtype=dtype, seed=seed)
    assert not net.parameters["0.bias"].any()
    return np.array(net.parameters["0.weight"])


def test_every_initializer_is_tested():
    assert set(SPREAD) | {"orthogonal", "zeros", "ones"} == set(cbp.initializers.INITIALIZERS)
    assert set(GOLDEN_WEIGHTS) | {"zeros", "ones"} == set(cbp.initializers.INITIALIZERS)


@pytest.mark.parametrize("shape", [(300, 200), (50, 400), (1000, 30)])
@pytest.mark.parametrize("name", SPREAD)
def test_spread_of_initial_weights(name, shape):
    values = weights(name, shape)
    bound, deviation = SPREAD[name]
    count, deviation = values.size, deviation(*shape)
    assert abs(values.mean()) < 4 * deviation / math.sqrt(count)
    assert values.std() == pytest.approx(deviation, rel=4 / math.sqrt(2 * count))
    if bound is not None:
        assert 0.999 * bound(*shape) < np.abs(values).max() <= bound(*shape)


@pytest.mark.parametrize("shape", [(6, 6), (10, 4), (4, 10), (1, 5), (5, 1), (64, 32)])
def test_orthogonal_weights(shape):
    for seed in range(5):
        values = weights("orthogonal", shape, seed)
        gram = values.T @ values if shape[0] >= shape[1] else values @ values.T
        np.testing.assert_allclose(gram, np.eye(min(shape)), rtol=0, atol=1e-13)


def test_constant_weights():
    assert (weights("zeros") == 0).all()
    assert (weights("ones") == 1).all()
    assert (weights(0.25) == 0.25).all()
    given = np.arange(15.0).reshape(5, 3)
    np.testing.assert_array_equal(weights(given), given)


@pytest.mark.parametrize("activation", facts.ACTIVATIONS)
def test_the_default_initializer_suits_the_activation(activation):
    np.testing.assert_array_equal(weights(None, activation=activation), weights(facts.ACTIVATIONS[activation].init))


@pytest.mark.parametrize("name", [*SPREAD, "orthogonal"])
def test_a_seed_means_the_same_in_both_dtypes(name):
    np.testing.assert_array_equal(weights(name, dtype="float32"), weights(name).astype(np.float32))
    np.testing.assert_array_equal(weights(name), weights(name))
    assert (weights(name) != weights(name, seed=43)).all()


def test_layers_start_differently():
    net = cbp.mlp([6, 6, 6, 6], dtype="float64", seed=0, hidden="identity")
    first, second, third = (np.array(net.parameters[f"{index}.weight"]) for index in range(3))
    assert (first != second).all()
    assert (second != third).all()


# --- golden numbers ---------------------------------------------------------------------------------------------------

# weights(name): the first row and the last number.
GOLDEN_WEIGHTS = {
    "glorot_uniform": [0.19565225343701206, -0.7391843138090713, 0.8447534831828812, -0.24532679191695836],
    "glorot_normal": [0.09028807744439442, 0.1563432186429883, 0.5884775299245266, -0.1526692685075188],
    "he_uniform": [0.2474827000821861, -0.9350024169221276, 1.06853802728746, -0.3103165734079096],
    "he_normal": [0.11420638811278441, 0.19776026705341695, 0.7443717385565598, -0.19311304687822983],
    "lecun_uniform": [0.17499669545447036, -0.661146549431448, 0.7555704850506592, -0.21942695337130597],
    "lecun_normal": [0.08075611148937256, 0.1398376258827337, 0.5263503040569633, -0.13655154498319197],
    "orthogonal": [0.05328591226678858, 0.17817391084911255, 0.7867455328193509, 0.096645673053528],
}
GOLDEN_ORDER = [1, 4, 0, 11, 7, 5, 10, 3, 2, 8, 9, 6]


@pytest.mark.parametrize("name", GOLDEN_WEIGHTS)
def test_golden_weights(name):
    values = weights(name)
    np.testing.assert_allclose([*values[0], values[-1, -1]], GOLDEN_WEIGHTS[name], rtol=1e-12)


def test_golden_order():
    assert permutation(42, 3, 12).tolist() == GOLDEN_ORDER


def golden_run(dtype, optimizer):
    """The final loss of a small run on the digits, whose every part is fixed by the seed."""
    x, y = cbp.datasets.digits()
    net = cbp.mlp([64, 16, 10], hidden="tanh", output="softmax", seed=42, dtype=dtype, l2=1e-4)
    net.fit(x[:200], y[:200], epochs=6, batch_size=17, optimizer=optimizer)
    return net.evaluate(x[:200], y[:200])["loss"]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-9), ("float32", 5e-6)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_golden_runs(name, dtype, tolerance):
    """72 updates. The builds for different CPUs round differently, and float32 differently from float64."""
    optimizer = OPTIMIZERS[name]
    assert golden_run(dtype, optimizer) == pytest.approx(facts.OPTIMIZERS[optimizer.name].golden[name], rel=tolerance)
