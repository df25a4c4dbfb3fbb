"""Pooling against a naive NumPy version and PyTorch: windows of every kind, ties, NaN, threads, pieces, messages."""

import numpy as np
import pytest
from cases import assert_threads_and_pieces_change_no_bit, close

import cbp

DTYPES = {"float32": 1e-5, "float64": 1e-12}

# (input without channels, size, stride, padding): windows beside one another, overlapping, apart, cut at the border, with and
# without a rest, of odd sizes; of all 2 x 2 at a stride of 2, which have a kernel of their own.
CASES_2D = [
    ((4, 6), 2, None, "valid"), ((5, 7), 2, None, "valid"), ((5, 7), 2, None, "same"), ((4, 4), 2, None, 1),
    ((2, 2), 2, None, 0),
    ((6, 5), (2, 3), None, "valid"), ((7, 7), 3, 2, "valid"), ((7, 8), 3, 2, 1), ((7, 8), 3, 2, "same"), ((5, 5), 3, 1, "same"),
    ((6, 7), 2, 1, (1, 0)), ((9, 8), 2, 3, "valid"), ((9, 8), 2, (3, 4), "same"), ((3, 1), (3, 1), None, "valid"),
    ((8, 3), (4, 2), (1, 2), (2, 1)), ((4, 5), 1, 2, "valid"), ((1, 1), 3, 2, "same"),
]
CASES_1D = [
    ((6,), 2, None, "valid"), ((7,), 2, None, "same"), ((9,), 3, 2, 1), ((8,), 3, 1, "same"), ((7,), 4, 3, 2),
    ((5,), 5, None, 0), ((5,), 2, 4, "valid"),
]
CHANNELS = (1, 3, 16, 21)


def pads_of_same(inputs, size, stride):
    """Pads before and after an axis that give it ceil(inputs / stride) windows."""
    missing = max((-(-inputs // stride) - 1) * stride + size - inputs, 0)
    return missing // 2, missing - missing // 2


def windows(inputs, size, stride, padding):
    """First and last row of every window along one axis, cut at the border."""
    before, after = pads_of_same(inputs, size, stride) if padding == "same" else (0 if padding == "valid" else padding,) * 2
    starts = range(-before, inputs + after - size + 1, stride)
    return [(max(start, 0), min(start + size, inputs)) for start in starts]


def pair(value, axes):
    return tuple(value) if isinstance(value, tuple) else (value,) * axes


def naive(largest, x, size, stride, padding, d_output):
    """Output and gradient of the input, window by window, for x (samples, height, width, channels)."""
    rows, columns = (windows(n, s, t, p) for n, s, t, p in zip(x.shape[1:3], size, stride, padding, strict=True))
    y = np.empty((len(x), len(rows), len(columns), x.shape[-1]))
    dx = np.zeros(x.shape)
    for r, i, j, c in np.ndindex(*y.shape):
        (top, bottom), (left, right) = rows[i], columns[j]
        part = x[r, top:bottom, left:right, c]
        dy = d_output[r, i, j, c]
        if largest:
            h, w = np.unravel_index(np.argmax(part), part.shape)  # the first of several
            y[r, i, j, c] = part[h, w]
            dx[r, top + h, left + w, c] += dy
        else:
            y[r, i, j, c] = part.mean()
            dx[r, top:bottom, left:right, c] += dy / part.size
    return y, dx


def expected(layer, x, d_output):
    """naive() for a layer and any number of axes."""
    axes = x.ndim - 2
    size, padding = pair(layer.size, axes), pair(layer.padding, axes)
    stride = size if layer.stride is None else pair(layer.stride, axes)
    largest = "Max" in type(layer).__name__
    if axes == 2:
        return naive(largest, x, size, stride, padding, d_output)
    y, dx = naive(largest, x[:, None], (1, *size), (1, *stride), (0, *padding), d_output[:, None])
    return y[:, 0], dx[:, 0]


def alone(layer, shape, dtype="float64"):
    """A network of that layer only."""
    return cbp.Network(shape, [layer], loss="mean_squared_error", dtype=dtype)


def behind(layer, shape, dtype="float64"):
    """A network whose first layer changes nothing, so that the layer reads padded values instead of the samples."""
    same = cbp.Dense(shape[-1], bias=False, init=np.eye(shape[-1]))
    return cbp.Network(shape, [same, layer], loss="mean_squared_error", dtype=dtype)


def with_ties(rng, shape):
    """Few different numbers, so that many windows have several largest."""
    return rng.integers(-3, 4, shape).astype(float)


def layers_of(cases, *kinds):
    for shape, size, stride, padding in cases:
        for kind in kinds:
            yield kind(size, stride=stride, padding=padding), shape


LAYERS = [*layers_of(CASES_2D, cbp.MaxPool2D, cbp.AveragePool2D), *layers_of(CASES_1D, cbp.MaxPool1D, cbp.AveragePool1D)]


@pytest.mark.parametrize(("layer", "positions"), LAYERS, ids=lambda value: repr(value))
def test_against_the_naive_pool(layer, positions):
    rng = np.random.default_rng(0)
    for channels, (dtype, tolerance) in ((c, item) for c in CHANNELS for item in DTYPES.items()):
        shape = (*positions, channels)
        x = with_ties(rng, (3, *shape))
        d = rng.normal(size=(3, *layer.output_shape(shape)))
        y, dx = expected(layer, x, d)
        for net in (alone(layer, shape, dtype), behind(layer, shape, dtype)):
            assert net.output_shape == y.shape[1:]
            close(net.predict(x), y, tolerance)
            close(net.backward(x, d)[0], dx, tolerance)
            assert net.predict_one(x[0]).shape == net.output_shape


@pytest.mark.oracle
@pytest.mark.parametrize(("layer", "positions"), LAYERS, ids=lambda value: repr(value))
def test_against_pytorch(layer, positions):
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    F = torch.nn.functional
    rng = np.random.default_rng(1)
    axes, largest = len(positions), "Max" in type(layer).__name__
    shape = (*positions, 5)
    x = with_ties(rng, (4, *shape))
    d = rng.normal(size=(4, *layer.output_shape(shape)))
    given = torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)
    size, padding = pair(layer.size, axes), layer.padding
    stride = size if layer.stride is None else pair(layer.stride, axes)
    pool = getattr(F, f"{'max' if largest else 'avg'}_pool{axes}d")
    if padding == "same":  # PyTorch's pools have none
        around = [n for places in zip(positions, size, stride, strict=True) for n in pads_of_same(*places)[::-1]][::-1]
        if largest:
            out = pool(F.pad(given, around, value=-np.inf), size, stride)
        else:
            out = pool(F.pad(given, around), size, stride) / pool(F.pad(torch.ones_like(given), around), size, stride)
    else:
        pads = pair(0 if padding == "valid" else padding, axes)
        out = pool(given, size, stride, pads, **({} if largest else {"count_include_pad": False}))
    out.backward(torch.tensor(np.moveaxis(d, -1, 1).copy()))
    net = behind(layer, shape)
    close(net.predict(x), np.moveaxis(out.detach().numpy(), 1, -1), 1e-13)
    close(net.backward(x, d)[0], np.moveaxis(given.grad.numpy(), 1, -1), 1e-13)


@pytest.mark.parametrize("shape", [(7, 3), (3, 5, 4), (1, 16), (2, 2, 2, 3)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_global_pools(shape, dtype):
    rng = np.random.default_rng(2)
    x, d = with_ties(rng, (4, *shape)), rng.normal(size=(4, shape[-1]))
    flat = x.reshape(4, -1, shape[-1])
    mean, largest = np.zeros(flat.shape), np.zeros(flat.shape)
    mean += d[:, None] / flat.shape[1]
    np.put_along_axis(largest, flat.argmax(1)[:, None], d[:, None], 1)
    for build in (alone, behind):
        net = build(cbp.GlobalAveragePool(), shape, dtype)
        close(net.predict(x), flat.mean(1), DTYPES[dtype])
        close(net.backward(x, d)[0], mean.reshape(x.shape), DTYPES[dtype])
        net = build(cbp.GlobalMaxPool(), shape, dtype)
        close(net.predict(x), flat.max(1), DTYPES[dtype])
        close(net.backward(x, d)[0], largest.reshape(x.shape), DTYPES[dtype])


@pytest.mark.parametrize("layer", [cbp.GlobalAveragePool(), cbp.GlobalMaxPool()])
def test_global_pools_see_only_the_steps_that_count(layer):
    rng = np.random.default_rng(3)
    x, lengths = rng.normal(size=(6, 5, 3)), np.array([1, 5, 3, 2, 4, 5])
    d = rng.normal(size=(6, 3))
    for build in (alone, behind):
        net = build(layer, (5, 3))
        outputs, (dx, _) = net.predict(x, lengths=lengths), net.backward(x, d, lengths=lengths)
        for r, length in enumerate(lengths):
            short = build(layer, (int(length), 3))
            close(outputs[r], short.predict(x[r : r + 1, :length])[0], 1e-14)
            close(dx[r, :length], short.backward(x[r : r + 1, :length], d[r : r + 1])[0][0], 1e-14)
            assert not dx[r, length:].any()


def test_windows_over_time_refuse_lengths():
    net = cbp.Network((6, 3), [cbp.MaxPool1D(2), cbp.GlobalMaxPool()], loss="mean_squared_error")
    with pytest.raises(ValueError, match=r"lengths cannot be used with this network: MaxPool1D\(\) takes all steps"):
        net.predict(np.zeros((2, 6, 3)), lengths=[3, 4])


@pytest.mark.filterwarnings("ignore:the output holds")
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_is_not_lost_wherever_it_stands(size, dtype):
    """It comes out of products that overflow, inf times 0: as an input it would be refused."""
    shape = (2 * size, size, 2)
    layers = [cbp.Dense(2, bias=False, init=[[np.finfo(dtype).max, 0], [0, 1]]),
              cbp.Dense(3, bias=False, init=[[0, 1, -1], [1, 1, 1]]), cbp.MaxPool2D(size)]
    net = cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype)
    for i, j in np.ndindex(size, size):
        x = np.full((1, *shape), [0.0, 1.0])
        x[0, i, j, 0] = 10
        np.testing.assert_array_equal(net.predict(x)[0, :, 0], [[np.nan, np.inf, 1], [1, 1, 1]])


def mixed(seed=0, dtype="float64"):
    """Every pool, between dense layers."""
    layers = [
        cbp.MaxPool2D(2, stride=1), cbp.Dense(5, "tanh"), cbp.MaxPool2D(2), cbp.Dense(3, "sigmoid"),
        cbp.AveragePool2D(2, padding="same"), cbp.Reshape((-1, 3)), cbp.MaxPool1D(3, stride=2), cbp.AveragePool1D(2, stride=1),
        cbp.Dense(4, "tanh"), cbp.GlobalAveragePool(), cbp.Dense(3, "softmax"),
    ]
    return cbp.Network((11, 13, 2), layers, loss="cross_entropy", dtype=dtype, seed=seed)


def test_gradients():
    rng = np.random.default_rng(4)
    assert cbp.check_gradients(mixed(), rng.normal(size=(3, 11, 13, 2)), rng.integers(3, size=3)).error < 1e-6


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_pieces_give_the_same_bits(dtype, monkeypatch):
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(50, 11, 13, 2)).astype(dtype), rng.integers(3, size=50)
    assert_threads_and_pieces_change_no_bit(lambda: mixed(dtype=dtype), x, y, monkeypatch)


def test_a_sample_of_weight_0_has_no_gradient():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(3, 11, 13, 2)), rng.integers(3, size=3)
    net = mixed()
    x[1] = 1e308
    close(net.gradient(x, y, [1, 0, 2])[1], net.gradient(x[[0, 2]], y[[0, 2]], [1, 2])[1], 1e-14)


@pytest.mark.parametrize("build", [
    lambda: cbp.MaxPool2D((2, 3), stride=(1, 2), padding="same"), lambda: cbp.AveragePool1D(3, padding=1), cbp.GlobalMaxPool,
    lambda: cbp.MaxPool1D(2, stride=2), lambda: cbp.AveragePool2D([2, 2]), cbp.GlobalAveragePool,
])
def test_equality_repr_and_files(build, tmp_path):
    layer = build()
    assert layer == build()
    assert eval(repr(layer), vars(cbp)) == layer
    shape = (8, 9, 2) if "2D" in repr(layer) else (8, 2)
    net = cbp.Network(shape, [layer, cbp.Flatten(), cbp.Dense(2)], loss="mean_squared_error")
    net.save(tmp_path / "model.cbp")
    assert cbp.load(tmp_path / "model.cbp").layers == net.layers


def test_equal_ways_to_write_a_pool():
    assert cbp.MaxPool2D((2, 2)) == cbp.MaxPool2D(2, stride=2) == cbp.MaxPool2D(stride=(2, 2)) == cbp.MaxPool2D()
    assert cbp.MaxPool2D(2) != cbp.AveragePool2D(2)
    assert cbp.MaxPool1D((3,), padding=(1,)) == cbp.MaxPool1D(3, padding=1)


@pytest.mark.parametrize(("arguments", "options", "error", "message"), [
    ((0,), {}, ValueError, "MaxPool2D: size must be a whole number of at least 1, got 0"),
    ((2.0,), {}, TypeError, "size must be a whole number of at least 1, got 2.0"),
    (("2",), {}, TypeError, "size must be"),
    (((2, 2, 2),), {}, ValueError, r"size must be a whole number or 2 of them, got \(2, 2, 2\)"),
    (((2, 0),), {}, ValueError, r"MaxPool2D: size\[1\] must be a whole number of at least 1, got 0"),
    ((2,), {"stride": 0}, ValueError, "stride must be a whole number of at least 1, got 0"),
    ((2,), {"padding": "full"}, ValueError, "MaxPool2D: padding must be 'valid', 'same' or a whole number, got 'full'"),
    ((2,), {"padding": -1}, ValueError, "padding must be a whole number of at least 0, got -1"),
    ((2,), {"padding": 2}, ValueError, "padding must be at most half the size 2, or a window could lie in pads alone, got 2"),
    (((2, 4),), {"padding": 2}, ValueError, r"at most half the size \(2, 4\)"),
])
def test_wrong_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        cbp.MaxPool2D(*arguments, **options)


@pytest.mark.parametrize(("shape", "layer", "message"), [
    ((2, 2, 1), cbp.MaxPool2D(3),
     r"layers\[0\]: MaxPool2D\(size=3\) needs a height of at least 3 and a width of at least 3 for one window of 3 x 3, its "
     r"input \(height, width, channels\) has the shape \(2, 2, 1\); padding='same' takes any size"),
    ((4, 2, 1), cbp.AveragePool2D(3), r"AveragePool2D\(size=3\) needs .* a width of at least 3 .* \(4, 2, 1\)"),
    ((2, 4), cbp.MaxPool1D(5, padding=1), r"needs a time of at least 3 for .*, its input \(time, channels\) .* \(2, 4\)"),
    ((8, 8), cbp.MaxPool2D(), r"MaxPool2D\(\) takes \(height, width, channels\), its input has the shape \(8, 8\)"),
    ((8, 8, 1), cbp.AveragePool1D(), r"AveragePool1D\(\) takes \(time, channels\), its input has the shape \(8, 8, 1\)"),
    (8, cbp.GlobalMaxPool(), r"GlobalMaxPool\(\) takes positions and channels, .* its input has the shape \(8,\)"),
])
def test_wrong_shapes(shape, layer, message):
    with pytest.raises(ValueError, match=message):
        cbp.Network(shape, [layer, cbp.Flatten(), cbp.Dense(1)], loss="mean_squared_error")
