"""PReLU: against its formula in NumPy and against PyTorch, at 0 and beyond what is finite, and what counts in its sums."""

import numpy as np
import pytest
from cases import assert_threads_and_pieces_change_no_bit, close, dumps, loads

import cbp

SHAPES = [(1,), (3,), (16,), (37,), (5, 4), (3, 2, 17)]
DTYPES = ["float32", "float64"]


def network(shape, layers, dtype="float64", **settings):
    """With slopes that are not those of a new network, some below 0."""
    net = cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype, seed=1, **settings)
    rng = np.random.default_rng(2)
    for name, view in net.parameters.items():
        if name.endswith("slope"):
            view[...] = rng.normal(size=view.shape)
    return net


def sample(net, rows, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(rows, *shape)).astype(net.dtype) for shape in (net.input_shape, net.output_shape))


# --- against the formula ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_outputs_and_gradients(shape, dtype):
    """First, where the samples have no pads, and behind another layer."""
    for first in (True, False):
        net = network(shape, [cbp.PReLU()] if first else [cbp.Dense(shape[-1], init=np.eye(shape[-1])), cbp.PReLU()], dtype)
        x, d = sample(net, 9)
        x[0] = 0
        slope = net.parameters["0.slope" if first else "1.slope"]
        np.testing.assert_array_equal(net.predict(x), np.where(x > 0, x, slope * x))
        d_input, gradient = net.backward(x, d)
        np.testing.assert_array_equal(d_input, np.where(x > 0, d, slope * d))
        expected = np.where(x > 0, 0, d * x).reshape(-1, shape[-1]).sum(0)
        close(gradient[-shape[-1] :], expected, 1e-6 if dtype == "float32" else 1e-15)


def test_the_slopes_start_at_a_quarter_or_where_they_are_told():
    def started(**how):
        return cbp.Network(3, [cbp.PReLU(**how)], loss="mean_squared_error").parameters["0.slope"].tolist()

    assert started() == [0.25] * 3
    assert started(init=0.5) == [0.5] * 3
    assert started(init=[1, 2, 3]) == [1, 2, 3]
    assert started(init="zeros") == [0] * 3
    with pytest.raises(ValueError, match=r"init: the weights have the shape \(3,\), the given array has \(2,\)"):
        started(init=[1, 2])
    with pytest.raises(ValueError, match="needs an axis of channels"):
        cbp.PReLU().output_shape(())


@pytest.mark.parametrize("init", [0.1, "ones", [0.5, 0.25, 0.125]])
def test_a_file_has_the_slopes_whatever_they_started_from(init):
    """Of the starts all but an array, for which a file has the usual one."""
    net = cbp.Network(3, [cbp.PReLU(init=init)], loss="mean_squared_error")
    loaded = loads(dumps(net))
    np.testing.assert_array_equal(loaded.get_vector(), net.get_vector())
    assert loaded.layers == (cbp.PReLU() if isinstance(init, list) else cbp.PReLU(init=init),)


@pytest.mark.filterwarnings("ignore:.* holds")
@pytest.mark.parametrize("dtype", DTYPES)
def test_beyond_what_is_finite(dtype):
    """Layers before overflow to inf, -inf and 0 times inf: as leaky_relu, whose slope this is."""
    before = [cbp.Dense(1, init=2, bias=False), cbp.Dense(3, init=[[1, -1, 0]], bias=False)]
    net = cbp.Network(1, [*before, cbp.PReLU(init=0.01)], loss="mean_squared_error", dtype=dtype)
    usual = [before[0], cbp.Dense(3, "leaky_relu", init=before[1].init, bias=False)]
    other = cbp.Network(1, usual, loss="mean_squared_error", dtype=dtype)
    x, d = np.full((1, 1), np.finfo(dtype).max), np.ones((1, 3), dtype)
    np.testing.assert_array_equal(net.predict(x), [[np.inf, -np.inf, np.nan]])
    np.testing.assert_array_equal(other.predict(x), net.predict(x))
    gradient, slopes = np.split(net.backward(x, d)[1], [4])
    np.testing.assert_array_equal(gradient, other.backward(x, d)[1])
    np.testing.assert_array_equal(slopes, [0, -np.inf, np.nan])


# --- what counts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [[], [cbp.Dense(4, "tanh")]], ids=["first", "behind"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_sample_of_weight_0_is_as_if_it_were_not_there(before, dtype):
    net = network((5, 4), [*before, cbp.PReLU(), cbp.Dense(2)], dtype)
    x, y = sample(net, 8)
    w = np.array([1, 0, 2, 1, 0, 0, 0.5, 1])
    kept = w > 0
    x[~kept] = -np.finfo(dtype).max  # outputs overflow
    loss, gradient = net.gradient(x, y, w)
    expected, expected_gradient = net.gradient(x[kept], y[kept], w[kept])
    assert loss == pytest.approx(expected, rel=1e-6 if dtype == "float32" else 1e-14)
    close(gradient, expected_gradient, 1e-6 if dtype == "float32" else 1e-14)


def test_steps_beyond_a_length_do_not_count():
    net = network((6, 3), [cbp.PReLU(), cbp.Dense(2), cbp.PReLU()])
    x, y = sample(net, 4)
    lengths = np.array([6, 2, 1, 4])
    inside = np.arange(6) < lengths[:, None]
    loss, gradient = net.gradient(x, y, lengths=lengths)
    other, other_gradient = net.gradient(np.where(inside[..., None], x, -77.0), y, lengths=lengths)
    assert loss == other
    np.testing.assert_array_equal(gradient, other_gradient)
    assert cbp.check_gradients(net, x, y, lengths=lengths).error < 1e-6


def test_penalties_and_decay_leave_slopes_alone():
    net, plain = network((4,), [cbp.PReLU()], l1=10.0, l2=10.0), network((4,), [cbp.PReLU()])
    x, y = sample(net, 6)
    assert net.evaluate(x, y) == plain.evaluate(x, y)
    np.testing.assert_array_equal(net.gradient(x, y)[1], plain.gradient(x, y)[1])
    net.train_on_batch(x, y, optimizer=cbp.SGD(0.1, weight_decay=0.5))
    plain.train_on_batch(x, y, optimizer=cbp.SGD(0.1))
    np.testing.assert_array_equal(net.get_vector(), plain.get_vector())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(37,), (5, 4)], ids=str)
def test_threads_and_pieces_change_no_bit(shape, dtype, monkeypatch):
    def make():
        return network(shape, [cbp.PReLU(), cbp.Dense(19), cbp.PReLU(), cbp.Dense(2)], dtype)

    x, y = sample(make(), 50)
    assert_threads_and_pieces_change_no_bit(make, x, y, monkeypatch)


def test_in_a_block_and_step_by_step():
    net = network((5, 4), [cbp.Residual([cbp.Dense(4), cbp.PReLU()]), cbp.PReLU()])
    x, y = sample(net, 3)
    assert cbp.check_gradients(net, x, y).error < 1e-6
    close([net.predict_step(step) for step in x[0]], net.predict(x[:1])[0], 1e-15)


# --- PyTorch ------------------------------------------------------------------------------------------------------------------


def modules(described, shape):
    """PyTorch, its modules with parameters that differ, and cbp's network of them."""
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    generator = torch.Generator().manual_seed(3)
    made = torch.nn.Sequential(*(getattr(torch.nn, name)(*how) for name, *how in described)).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return torch, made, cbp.from_torch(made, shape)


@pytest.mark.oracle
@pytest.mark.parametrize(("described", "shape"), [
    ([("PReLU", 6)], (6,)), ([("PReLU",)], (6,)), ([("PReLU",)], (5, 3)),
    ([("Linear", 6, 17), ("PReLU", 17), ("Linear", 17, 2), ("PReLU",)], (6,)),
    ([("Linear", 3, 4), ("PReLU",), ("Linear", 4, 2)], (5, 3)),
    ([("Conv1d", 4, 5, 3), ("PReLU", 5), ("MaxPool1d", 2), ("PReLU",)], (4, 11)),
    ([("Conv2d", 3, 1, 3), ("PReLU", 1)], (3, 9, 7)),
    ([("Conv2d", 3, 5, 3), ("PReLU", 5), ("AdaptiveAvgPool2d", 1), ("PReLU", 5), ("Flatten",), ("Linear", 5, 3)], (3, 9, 7)),
    ([("Conv2d", 3, 5, 3), ("Flatten",), ("PReLU", 175), ("Dropout", 0.2), ("Linear", 175, 3)], (3, 9, 7)),
], ids=str)
def test_what_pytorch_computes(described, shape):
    torch, made, net = modules(described, shape)
    rng = np.random.default_rng(5)
    x = torch.tensor(rng.normal(size=(5, *shape)), requires_grad=True)
    expected = made(x)
    d = torch.tensor(rng.normal(size=expected.shape))
    expected.backward(d)

    def arranged(values):
        """Channels last, behind a convolution."""
        values = values.detach().numpy()
        return np.ascontiguousarray(np.moveaxis(values, 1, -1)) if described[0][0].startswith("Conv") else values

    close(net.predict(arranged(x)), arranged(expected), 1e-13)
    d_input, gradient = net.backward(arranged(x), arranged(d))
    close(d_input, arranged(x.grad), 1e-13)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(parameter.grad)
    theirs = cbp.from_torch(made, shape).parameters  # their gradients, as cbp has the parameters
    ends = np.cumsum([values.size for values in theirs.values()])
    for values, (name, wanted) in zip(np.split(gradient, ends[:-1]), theirs.items(), strict=True):
        shared = described[int(name.partition(".")[0])] == ("PReLU",)
        close(values.sum() if shared else values, wanted[0] if shared else wanted.reshape(-1), 1e-12)


@pytest.mark.oracle
def test_a_prelu_between_a_recurrence_and_a_linear():
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    parts = [torch.nn.GRU(3, 4, batch_first=True), torch.nn.PReLU(4), torch.nn.Linear(4, 2)]
    net = cbp.from_torch(parts, (6, 3))
    x = torch.tensor(np.random.default_rng(5).normal(size=(5, 6, 3)), dtype=torch.float32)
    expected = parts[2](parts[1](parts[0](x)[1][0]))
    close(net.predict(x.numpy()), expected.detach().numpy(), 1e-5)


@pytest.mark.oracle
@pytest.mark.parametrize(("described", "shape", "message"), [
    ([("Linear", 3, 4), ("PReLU", 4)], (5, 3), r"modules\.1 \(PReLU\): num_parameters=4 of \(5, 4\)"),
    ([("Linear", 3, 5), ("PReLU", 5)], (5, 3), "num_parameters=1 is the same in both"),
    ([("PReLU", 4)], (6,), r"num_parameters is 4, but what comes here has the shape \(6,\)"),
    ([("Linear", 6, 4), ("PReLU", 4), ("ReLU",)], (6,), "one activation a layer"),
])
def test_refused_from_pytorch(described, shape, message):
    with pytest.raises(ValueError, match=message):
        modules(described, shape)
