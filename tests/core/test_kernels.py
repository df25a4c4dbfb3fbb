"""The kernels: products of every shape against NumPy and against the naive ones, the check for NaN, pads, pieces, names."""

import itertools

import facts
import numpy as np
import pytest
from cases import ALL_OPTIMIZERS, LOSS_OUTPUTS, OPTIMIZERS, OUTPUTS, close, inputs, network, targets
from hypothesis import given, settings
from hypothesis import strategies as st

import cbp
from cbp import initializers
from cbp.engine import cpu
from cbp.engine.cpu import core
from cbp.engine.plan import padded

kernels = cpu.kernels()
DTYPES = ["float32", "float64"]
LANES = 16


# --- names: every one has a kernel ------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["OPS", "MODES", "ACTIVATIONS", "LOSSES", "OPTIMIZERS", "SOURCES", "STREAMS"])
def test_numbers_of_names_are_distinct(table):
    numbers = getattr(core, table)
    assert sorted(numbers.values()) == list(range(len(numbers)))


def test_names_of_the_core_and_of_the_specifications_are_the_same():
    assert set(core.ACTIVATIONS) == set(facts.ACTIVATIONS)
    assert set(core.LOSSES) == set(facts.LOSSES)
    # SGD has three kernels; AdamW is Adam's with another default.
    assert set(core.OPTIMIZERS) == {optimizer.rule for optimizer in OPTIMIZERS.values()}
    # Where f falls and rises, the derivative does not follow from the value.
    assert {row.name for row in cbp.activations.ACTIVATIONS.values() if not (row.increasing or row.joint)} == core.KEEPS_SUM
    assert set(initializers.INITIALIZERS) >= {"glorot_uniform", "he_normal", "lecun_normal", "orthogonal", "zeros", "ones"}


def test_every_activation_is_a_function_of_its_own():
    z = np.linspace(-4, 4, LANES)[None]
    values = {}
    for name, kind in core.ACTIVATIONS.items():
        a = z.copy()
        kernels.activate(kind, a, LANES)
        values[name] = a
    for (one, a), (other, b) in itertools.combinations(values.items(), 2):
        assert np.abs(a - b).max() > 1e-3, f"{one} and {other} are the same"
    np.testing.assert_array_equal(values["identity"], z)


def test_every_loss_is_a_function_of_its_own():
    """At the same outputs and for the same targets, as far as the losses allow that."""
    x, ones, first = np.linspace(0.1, 3, 12).reshape(4, 3), np.full((4, 3), 1.0), np.zeros(4, int)
    found = {}
    for loss in core.LOSSES:
        output = "sigmoid" if facts.LOSSES[loss].range == (0, np.inf) else facts.LOSSES[loss].output
        net = cbp.Network(3, [cbp.Dense(3, output, init=np.eye(3))], loss=loss, dtype="float64")
        found[loss] = net.gradient(x, first if facts.LOSSES[loss].distribution else ones)
    for (one, (loss, gradient)), (other, (other_loss, other_gradient)) in itertools.combinations(found.items(), 2):
        assert abs(loss - other_loss) > 1e-3, f"{one} and {other} are the same"
        assert np.abs(gradient - other_gradient).max() > 1e-3, f"{one} and {other} have the same gradient"


def test_every_optimizer_is_a_rule_of_its_own():
    found = {}
    for name, optimizer in OPTIMIZERS.items():
        net = network()
        before = net.get_vector()
        rng = np.random.default_rng(0)
        net.fit(inputs(rng, 8), targets(net.loss.name, rng, 8), epochs=20, optimizer=optimizer)
        found[name] = net.get_vector()
        assert (found[name] != before).all(), f"{name} leaves weights as they were"
    for (one, a), (other, b) in itertools.combinations(found.items(), 2):
        assert np.abs(a - b).max() > 1e-6, f"{one} and {other} are the same"


# --- the matrix product -----------------------------------------------------------------------------------------------


def between_guards(shape, dtype, shift=0):
    """An array of NaN inside a larger vector of NaN, `shift` numbers off a cache line, and that vector."""
    size = int(np.prod(shape))
    vector = np.full(size + 256, np.nan, dtype)
    start = 64 + (-vector.ctypes.data // vector.itemsize) % 64 + shift
    return vector[start : start + size].reshape(shape), vector


def check_product(rows, depth, columns, dtype, rng, shift=0):
    """c = a b within the bound that any order of summation keeps: (depth + 1) eps |a| |b|; nothing outside c is written."""
    a, _ = between_guards((rows, depth), dtype, shift)
    b, _ = between_guards((depth, columns), dtype, shift)
    c, around = between_guards((rows, columns), dtype, shift)
    a[...], b[...] = rng.normal(size=a.shape), rng.normal(size=b.shape)
    kernels.matmul(a, b, c)
    wide_a, wide_b = a.astype(float), b.astype(float)
    allowed = (depth + 1) * float(np.finfo(dtype).eps) * (np.abs(wide_a) @ np.abs(wide_b))
    assert (np.abs(c - wide_a @ wide_b) <= allowed).all(), f"{rows} x {depth} x {columns}"
    assert np.isnan(around).sum() == around.size - c.size, f"{rows} x {depth} x {columns} writes outside"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [16, 32, 48, 64, 112, 128, 144])
def test_product_of_every_number_of_rows(columns, dtype):
    """Every tail of every build's tile, for 1 to 70 rows."""
    rng = np.random.default_rng(columns)
    for rows in range(1, 71):
        for depth in (1, 2, rows % 11 + 1, rows):
            check_product(rows, depth, columns, dtype, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 70), depth=st.one_of(st.integers(1, 70), st.integers(380, 1200)), columns=st.integers(1, 20),
    shift=st.integers(0, 15), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_product_of_any_shape(dtype, rows, depth, columns, shift, seed):
    check_product(rows, depth, 16 * columns, dtype, np.random.default_rng(seed), shift)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=150)
@given(
    inputs_=st.integers(1, 140), units=st.integers(1, 140), rows=st.integers(1, 70), other=st.integers(0, 400),
    share=st.floats(0, 1), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_gradient_of_the_input_does_not_depend_on_how_rows_are_shared(dtype, inputs_, units, rows, other, share, seed):
    """All rows at once, and in two parts as two threads do it, bit for bit; near NumPy's; nothing outside is written."""
    rng = np.random.default_rng(seed)
    if other > 140:  # wide enough that dz is transposed, not the weights
        inputs_, units = other, 560 - other
    weight, dz = np.zeros((inputs_, padded(units)), dtype), np.zeros((rows, padded(units)), dtype)
    weight[:, :units], dz[:, :units] = rng.normal(size=(inputs_, units)), rng.normal(size=(rows, units))
    scratch, around_scratch = between_guards((kernels.STRIP * (units + inputs_),), dtype)
    whole, around_whole = between_guards((rows, padded(inputs_)), dtype)
    parts, around_parts = between_guards(whole.shape, dtype)
    kernels.backward_input(rows, weight, scratch, dz, whole, units)
    middle = int(share * rows)
    for part in (slice(middle), slice(middle, rows)):
        if len(dz[part]):
            kernels.backward_input(rows, weight, scratch, dz[part], parts[part], units)
    np.testing.assert_array_equal(parts, whole)
    wide_w, wide_d = weight.astype(float), dz.astype(float)
    allowed = (units + 1) * float(np.finfo(dtype).eps) * (np.abs(wide_d) @ np.abs(wide_w).T)
    assert (np.abs(whole[:, :inputs_] - wide_d @ wide_w.T) <= allowed).all()
    assert not whole[:, inputs_:].any()
    for around in (around_whole, around_parts):
        assert np.isnan(around).sum() == around.size - whole.size
    assert np.isnan(around_scratch).sum() >= 256


@pytest.mark.parametrize("dtype", DTYPES)
def test_product_keeps_nan_and_infinity_in_their_row_and_column(dtype):
    a, b, c = np.ones((13, 5), dtype), np.ones((5, 48), dtype), np.empty((13, 48), dtype)
    a[7, 2], b[3, 40] = np.nan, np.inf
    kernels.matmul(a, b, c)
    expected = np.full((13, 48), 5.0)
    expected[:, 40], expected[7] = np.inf, np.nan
    np.testing.assert_array_equal(c, expected)


# --- the dense layer against its definition ---------------------------------------------------------------------------


def naive(x, weight, bias, dz):
    """(z, d_weight, d_bias, dx) one number at a time."""
    z, d_weight, d_bias, dx = np.empty_like(dz), np.zeros_like(weight), np.zeros_like(bias), np.zeros_like(x)
    kernels.dense_naive(x, weight, bias, z, dz, d_weight, d_bias, dx)
    return z, d_weight, d_bias, dx


def check_dense(net, rows, rng):
    """Forward and backward of a one-layer network against the naive kernel, within what two orders of summation differ by."""
    dtype, (inputs_,), (units,) = net.dtype, net.input_shape, net.output_shape
    x, dz = rng.normal(size=(rows, inputs_)).astype(dtype), rng.normal(size=(rows, units)).astype(dtype)
    weight, bias = np.ascontiguousarray(net.parameters["0.weight"]), np.ascontiguousarray(net.parameters["0.bias"])
    z, d_weight, d_bias, dx = naive(x, weight, bias, dz)
    d_input, gradient = net.backward(x, dz)
    eps = 2 * float(np.finfo(dtype).eps)
    size_x, size_w, size_d = (np.abs(v.astype(float)) for v in (x, weight, dz))
    for got, expected, terms, size in (
        (net.predict(x), z, inputs_ + 1, size_x @ size_w + np.abs(bias)),
        (d_input, dx, units, size_d @ size_w.T),
        (gradient[: weight.size].reshape(weight.shape), d_weight, rows, size_x.T @ size_d),
        (gradient[weight.size :], d_bias, rows, size_d.sum(axis=0)),
    ):
        assert (np.abs(got - expected) <= (terms + 1) * eps * size).all(), f"{rows} x {inputs_} x {units}"


def one_layer(inputs_, units, dtype):
    net = cbp.Network(inputs_, [cbp.Dense(units)], loss="mean_squared_error", dtype=dtype, seed=units)
    net.parameters["0.bias"][:] = np.linspace(-1, 1, units)
    return net


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_of_every_width_and_batch(dtype):
    """Widths 1 to 70, batches 1 to 40."""
    rng = np.random.default_rng(0)
    for units in range(1, 71):
        net = one_layer(units * 29 % 71, units, dtype)  # 29 is a generator: the inputs run through 1 to 70 too
        for rows in range(1, 41):
            check_dense(net, rows, rng)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)
@given(inputs_=st.integers(1, 500), units=st.integers(1, 300), rows=st.integers(1, 150), seed=st.integers(0, 2**32))
def test_dense_of_any_shape(dtype, inputs_, units, rows, seed):
    check_dense(one_layer(inputs_, units, dtype), rows, np.random.default_rng(seed))


def test_dense_adds_nothing_where_there_is_no_bias():
    net = cbp.Network(3, [cbp.Dense(2, bias=False)], loss="mean_squared_error", dtype="float64", seed=0)
    assert list(net.parameters) == ["0.weight"]
    x = inputs(np.random.default_rng(0), 5, 3)
    np.testing.assert_allclose(net.predict(x), x @ net.parameters["0.weight"], rtol=1e-14)


# --- unusual networks against NumPy -----------------------------------------------------------------------------------


def numpy_gradient(net, x, y):
    """Half squared error of tanh layers and its gradient, by hand."""
    outputs = [x]
    for index in range(len(net.layers)):
        outputs.append(np.tanh(outputs[-1] @ net.parameters[f"{index}.weight"] + net.parameters[f"{index}.bias"]))
    d = (outputs[-1] - y) / len(x)
    gradients = []
    for index in reversed(range(len(net.layers))):
        d = d * (1 - outputs[index + 1] ** 2)
        gradients = [(outputs[index].T @ d).reshape(-1), d.sum(axis=0), *gradients]
        d = d @ net.parameters[f"{index}.weight"].T
    return ((outputs[-1] - y) ** 2).sum() / 2 / len(x), np.concatenate(gradients)


@pytest.mark.parametrize("sizes", [
    [1, 1], [1, 1, 1], [70, 1], [1, 70], [5, 1, 5], [17, 16, 15, 1], [3, *[5] * 20, 2], [2, *[1] * 20, 1], [31, *[16] * 20, 33],
    [3000, 700, 3], [2, 2500, 1], [400, 1030, 500],
], ids=str)  # fmt: skip
def test_narrow_deep_and_wide_networks(sizes):
    net = cbp.mlp(sizes, hidden="tanh", output="tanh", loss="half_squared_error", dtype="float64", seed=1)
    rng = np.random.default_rng(1)
    for rows in (1, 5):
        x, y = rng.normal(size=(rows, sizes[0])), rng.normal(size=(rows, sizes[-1]))
        expected_loss, expected = numpy_gradient(net, x, y)
        loss, gradient = net.gradient(x, y)
        assert loss == pytest.approx(expected_loss, rel=1e-12)
        close(gradient, expected, 1e-12)


# --- batches in pieces ------------------------------------------------------------------------------------------------


PIECE = 1024  # rows that go through a small network at once


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [PIECE, PIECE + 1, 2 * PIECE, 2500])
@pytest.mark.parametrize("weighted", [False, True])
def test_gradient_of_a_batch_in_pieces(rows, weighted, dtype):
    """The gradient of the whole is the weighted mean of its parts' gradients; penalties count once."""
    rng = np.random.default_rng(rows)
    net = network(output="softmax", loss="cross_entropy", dtype=dtype, l2=0.1)
    assert net._plan.piece(rows) == PIECE
    x, y = inputs(rng, rows), rng.integers(3, size=rows)
    w = rng.random(rows) if weighted else np.ones(rows)
    loss, gradient = net.gradient(x, y, w if weighted else None)
    bare = network(output="softmax", loss="cross_entropy", dtype=dtype)
    parts = [slice(start, start + 250) for start in range(0, rows, 250)]
    sums = [w[part].sum() * np.append(*reversed(bare.gradient(x[part], y[part], w[part]))) for part in parts]
    expected = np.sum(sums, axis=0) / w.sum()
    weights = {name: view.astype(float) for name, view in net.parameters.items() if name.endswith("weight")}
    expected[-1] += 0.05 * sum((view**2).sum() for view in weights.values())
    penalty = [0.1 * weights.get(name, 0 * view).reshape(-1) for name, view in net.parameters.items()]
    expected[:-1] += np.concatenate(penalty)
    tolerance = 2e-6 if dtype == "float32" else 1e-13
    close(np.append(gradient, loss), expected, tolerance)
    assert net.evaluate(x, y, w)["loss"] == pytest.approx(loss, rel=tolerance)


@pytest.mark.parametrize("shuffle", [False, True])
def test_training_in_batches_larger_than_a_piece(shuffle):
    """Bit for bit what the same batches give one by one."""
    rng = np.random.default_rng(0)
    x, y, w = inputs(rng, 4000), targets("mean_squared_error", rng, 4000), rng.random(4000)
    net, other = network(seed=3), network(seed=3)
    net.fit(x, y, sample_weight=w, epochs=2, batch_size=1500, shuffle=shuffle, optimizer=cbp.Adam(0.01))
    for epoch in range(2):
        order = np.arange(4000)
        if shuffle:
            core.permutation(other.seed, epoch, order)
        for start in range(0, 4000, 1500):
            batch = order[start : start + 1500]
            other.train_on_batch(x[batch], y[batch], sample_weight=w[batch], optimizer=cbp.Adam(0.01))
    np.testing.assert_array_equal(net.get_vector(), other.get_vector())


def test_predict_in_pieces():
    rng = np.random.default_rng(0)
    net, x = network("gelu", "softmax"), inputs(rng, 2 * PIECE + 77)
    together = net.predict(x)
    apart = np.concatenate([net.predict(x[start : start + 100]) for start in range(0, len(x), 100)])
    np.testing.assert_allclose(together, apart, rtol=1e-13)
    np.testing.assert_allclose([net.predict_one(row) for row in x[:50]], together[:50], rtol=1e-13)


@pytest.mark.parametrize(("loss", "output"), LOSS_OUTPUTS)
def test_samples_of_weight_0_count_for_nothing(loss, output):
    rng = np.random.default_rng(2)
    net = network("tanh", output, loss)
    x, y = inputs(rng, 9), targets(loss, rng, 9)
    kept = np.array([1, 0, 1, 1, 0, 0, 1, 1, 0], bool)
    w = rng.random(9) * kept
    found, gradient = net.gradient(x, y, w)
    expected, expected_gradient = net.gradient(x[kept], y[kept], w[kept])
    assert found == pytest.approx(expected, rel=1e-13)
    close(gradient, expected_gradient, 1e-13)


def test_a_batch_of_weight_0_changes_nothing():
    rng = np.random.default_rng(2)
    net = network(l2=0.1)
    x, y = inputs(rng, 8), targets("mean_squared_error", rng, 8)
    w = np.array([1.0, 1, 1, 1, 0, 0, 0, 0])
    net.fit(x, y, sample_weight=w, epochs=1, batch_size=4, shuffle=False, optimizer=cbp.AdamW(0.01))
    other = network(l2=0.1)
    other.fit(x[:4], y[:4], epochs=1, batch_size=4, shuffle=False, optimizer=cbp.AdamW(0.01))
    np.testing.assert_array_equal(net.get_vector(), other.get_vector())
    assert net.step == other.step == 1


# --- pads -------------------------------------------------------------------------------------------------------------


def pads(net):
    """Where the padded flat vector holds no parameter."""
    taken = np.zeros(net._plan.size, bool)
    for view in net._plan.views(taken).values():
        view[...] = True
    assert taken.sum() == net._plan.count
    return ~taken


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", facts.ACTIVATIONS)
def test_pads_stay_zero(hidden, dtype):
    """In parameters and state, under every rule, with penalties and decay."""
    rng = np.random.default_rng(0)
    for loss, (name, optimizer) in zip(itertools.cycle(OUTPUTS), ALL_OPTIMIZERS.items()):
        net = network(hidden, OUTPUTS[loss][-1], loss, dtype=dtype, l1=0.01, l2=0.02)
        net.fit(inputs(rng, 10), targets(loss, rng, 10), epochs=3, batch_size=4, optimizer=optimizer)
        empty = pads(net)
        assert not net._numbers.parameters[empty].any(), name
        assert not net._numbers.state[:, empty].any(), name
        assert net._numbers.state.shape == (len(optimizer.slots), net._plan.size)


@pytest.mark.parametrize("optimizer", [cbp.Adam(epsilon=1e-50), cbp.RMSprop(epsilon=1e-50), cbp.Adagrad(epsilon=1e-50)],
                         ids=lambda optimizer: optimizer.name)  # fmt: skip
def test_an_epsilon_that_float32_cannot_hold(optimizer):
    """A parameter whose gradient is 0, as every pad is, must not become 0 / 0."""
    net = network(dtype="float32")
    rng = np.random.default_rng(0)
    net.fit(inputs(rng, 10), targets("mean_squared_error", rng, 10), epochs=1, optimizer=optimizer)
    assert np.isfinite(net._numbers.parameters).all()


def test_widths_are_padded_to_whole_vectors():
    assert [padded(width) for width in (1, 15, 16, 17, 32, 33)] == [16, 16, 16, 32, 32, 48]


# --- the check for NaN and infinity -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_not_finite_at_every_place(dtype):
    bad = itertools.cycle([np.nan, np.inf, -np.inf, -np.nan])
    largest = np.finfo(dtype).max
    for size in [*range(1, 50), *range(1020, 1045), 2047, 2048, 2049, 2070, 3000]:
        x = np.resize(np.array([largest, -largest, 0, -0.0, np.finfo(dtype).smallest_subnormal], dtype), size)
        for place in range(size):
            kept, x[place] = x[place], next(bad)
            assert core.first_not_finite(x) == place
            x[place] = kept
        assert core.first_not_finite(x) == -1


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_not_finite_of_every_size(dtype):
    rng = np.random.default_rng(0)
    for size in range(1, 3001):
        x = np.full(size, np.finfo(dtype).max, dtype)
        assert core.first_not_finite(x) == -1
        first, second = sorted(rng.integers(size, size=2))
        x[second], x[first] = -np.inf, np.nan
        assert core.first_not_finite(x) == first
    assert core.first_not_finite(np.empty(0, dtype)) == -1


# --- metrics ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("loss", "output"), LOSS_OUTPUTS)
def test_metrics(loss, output):
    """Weighted accuracy, or mean absolute error, computed from the predictions."""
    rng = np.random.default_rng(4)
    net = network("tanh", output, loss)
    x, y, w = inputs(rng, 40), targets(loss, rng, 40), rng.random(40)
    p = net.predict(x)
    name, hits = facts.LOSSES[loss].metric, facts.LOSSES[loss].measure(p, y)
    assert net.evaluate(x, y, w)[name] == pytest.approx((w * hits).sum() / w.sum(), rel=1e-12)
    history = net.fit(x, y, sample_weight=w, epochs=1, batch_size=None)
    assert history[name][0] == pytest.approx((w * hits).sum() / w.sum(), rel=1e-12)


def test_equal_largest_outputs_answer_with_the_first():
    for units in (2, 5, 16, 17, 40):
        net = cbp.Network(1, [cbp.Dense(units, "softmax", init="zeros")], loss="cross_entropy")
        x = np.ones((units, 1))
        assert net.evaluate(x, np.arange(units))["accuracy"] == pytest.approx(1 / units)
        assert net.evaluate(x, np.zeros(units, int))["accuracy"] == 1
