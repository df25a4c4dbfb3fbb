"""Convolutions: beside their definition in plain NumPy, beside PyTorch, and what they refuse."""

import re
from dataclasses import replace

import numpy as np
import pytest
from cases import close

import cbp
from cbp.layers import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D
from cbp.layers.base import brief

# PyTorch says once that "same" of even kernels takes a copy.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Relative to the largest number: sums of some hundred products."""


# --- the definition -----------------------------------------------------------------------------------------------------------

def each(value, axes):
    return value if isinstance(value, tuple) else (value,) * axes


def pads_of_same(inputs, kernel, stride, dilation):
    """Zeros before and after an axis that give it ceil(inputs / stride) windows."""
    missing = max((-(-inputs // stride) - 1) * stride + (kernel - 1) * dilation + 1 - inputs, 0)
    return missing // 2, missing - missing // 2


def starts(layer, shape):
    """Along every axis: where the windows start, which is negative in the zeros before it."""
    axes = len(shape) - 1
    arguments = (each(value, axes) for value in (layer.kernel_size, layer.stride, layer.dilation, layer.padding))
    for inputs, kernel, stride, dilation, padding in zip(shape, *arguments, strict=False):
        if padding == "same":
            before, after = pads_of_same(inputs, kernel, stride, dilation)
        else:
            before = after = 0 if padding == "valid" else padding
        yield range(-before, inputs + after - (kernel - 1) * dilation, stride)


def taps(layer, shape):
    """Every window and tap: (position of the output), (tap), (position of the input), those outside of the image left out."""
    axes, along = len(shape) - 1, list(starts(layer, shape))
    dilation = each(layer.dilation, axes)
    for place in np.ndindex(*map(len, along)):
        for tap in np.ndindex(*each(layer.kernel_size, axes)):
            at = tuple(start[p] + t * d for start, p, t, d in zip(along, place, tap, dilation, strict=True))
            if all(0 <= a < n for a, n in zip(at, shape[:-1], strict=True)):
                yield place, tap, at


def full_weight(layer, weight, shape):
    """The weights as (*kernel, channels, filters), 0 where a filter does not read a channel."""
    kernel, channels = each(layer.kernel_size, len(shape) - 1), shape[-1]
    groups = channels if isinstance(layer, DepthwiseConv2D) else layer.groups
    weight = weight.reshape(*kernel, channels // groups, -1)
    read, filters = weight.shape[-2:]
    full = np.zeros((*kernel, channels, filters))
    for f in range(filters):
        first = f // (filters // groups) * read
        full[..., first : first + read, f] = weight[..., f]
    return full


def own_weight(layer, full, like):
    """Back: of the gradient of all those weights the part that the layer has."""
    channels, filters = full.shape[-2:]
    groups = channels if isinstance(layer, DepthwiseConv2D) else layer.groups
    read = channels // groups
    own = [full[..., f // (filters // groups) * read :, f][..., :read] for f in range(filters)]
    return np.stack(own, axis=-1).reshape(like.shape)


def forward(layer, weight, bias, x):
    """z of one layer without activation, x (samples, ..., channels)."""
    full = full_weight(layer, weight, x.shape[1:])
    z = np.zeros((len(x), *map(len, starts(layer, x.shape[1:])), full.shape[-1])) + bias
    for place, tap, at in taps(layer, x.shape[1:]):
        z[:, *place] += x[:, *at] @ full[tap]
    return z


def backward(layer, weight, x, dz):
    """Gradients of the input, the weights and the bias of that layer."""
    full = full_weight(layer, weight, x.shape[1:])
    dx, dw = np.zeros(x.shape), np.zeros(full.shape)
    for place, tap, at in taps(layer, x.shape[1:]):
        dx[:, *at] += dz[:, *place] @ full[tap].T
        dw[tap] += x[:, *at].T @ dz[:, *place]
    return dx, own_weight(layer, dw, weight), dz.sum(tuple(range(dz.ndim - 1)))


# --- networks and cases -------------------------------------------------------------------------------------------------------

def network(shape, layers, dtype="float64", **settings):
    """With biases that are not 0."""
    net = cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype, seed=1, **settings)
    rng = np.random.default_rng(2)
    for name, view in net.parameters.items():
        if name.endswith("bias"):
            view[...] = rng.normal(size=view.shape)
    return net


def weights(net, index):
    """The weights of a layer and its bias, 0 if it has none, in float64."""
    bias = net.parameters.get(f"{index}.bias")
    return np.asarray(net.parameters[f"{index}.weight"], float), 0.0 if bias is None else np.asarray(bias, float)


def flat(arrays):
    return np.concatenate([array.ravel() for array in arrays])


def cases():
    """Layers and input shapes: every kind of window at least once, sizes that fill no tile, channels around 16."""
    yield (5, 1), Conv1D(2, 2)
    yield (17, 3), Conv1D(5, 3, stride=2, padding="same")
    yield (20, 16), Conv1D(18, 4, dilation=3, padding=2)
    yield (9, 6), Conv1D(4, 3, groups=2, padding="same", bias=False)
    yield (600, 2), Conv1D(3, 5)
    yield (7, 8, 1), Conv2D(4, 3)
    yield (12, 12, 1), Conv2D(6, 5)
    yield (13, 12, 2), Conv2D(3, (4, 3))
    yield (9, 10, 3), Conv2D(2, 3, padding="same", bias=False)
    yield (3, 600, 1), Conv2D(4, 3, padding="same", dilation=(2, 1))
    yield (9, 7, 3), Conv2D(7, (3, 2), stride=(2, 1), padding="same")
    yield (10, 11, 6), Conv2D(16, (5, 3), bias=False)
    yield (8, 9, 17), Conv2D(33, 3, padding=(1, 2))
    yield (13, 12, 4), Conv2D(5, 3, dilation=2, padding="same")
    yield (14, 13, 16), Conv2D(16, 3, stride=3, dilation=(2, 1), padding=3)
    yield (11, 12, 5), Conv2D(3, (4, 1), stride=(4, 6), dilation=(2, 1), padding=(4, 0))
    yield (8, 8, 4), Conv2D(6, 1, stride=2)
    yield (5, 6, 4), Conv2D(6, 1)
    yield (6, 6, 8), Conv2D(12, 3, groups=4, padding="same")
    yield (7, 6, 6), Conv2D(6, 3, groups=2, stride=2, dilation=2, padding=2)
    yield (3, 30, 2), Conv2D(40, (3, 7))
    yield (2, 2, 2), Conv2D(3, 2, padding=5, dilation=4, stride=4)
    yield (8, 7, 3), DepthwiseConv2D(3)
    yield (9, 30, 16), DepthwiseConv2D(3, padding="same")
    yield (8, 8, 20), DepthwiseConv2D((5, 2), padding="same", bias=False)
    yield (9, 10, 32), DepthwiseConv2D(3, stride=2, padding=1)
    yield (10, 9, 4), DepthwiseConv2D((3, 5), multiplier=3, padding=(2, 3), dilation=(2, 1))
    yield (12, 13, 16), DepthwiseConv2D(7, stride=(1, 2), padding="same")
    yield (4, 5, 1), DepthwiseConv2D(2, multiplier=2)
    yield (4, 150, 16), DepthwiseConv2D(3, dilation=(1, 4), padding="same")


CASES = [pytest.param(shape, layer, id=brief(layer) + str(shape)) for shape, layer in cases()]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize(("shape", "layer"), CASES)
def test_definition_first(shape, layer, samples, dtype):
    """Outputs and all gradients of a network of one layer, which reads the samples as they are."""
    rng = np.random.default_rng(0)
    net = network(shape, [layer], dtype)
    x = rng.normal(size=(samples, *shape))
    weight, bias = weights(net, 0)
    z = forward(layer, weight, bias, x)
    close(net.predict(x), z, TOLERANCE[dtype])
    dz = rng.normal(size=z.shape)
    d_x, d_weight, d_bias = backward(layer, weight, x, dz)
    d_input, gradient = net.backward(x, dz)
    close(d_input, d_x, TOLERANCE[dtype])
    close(gradient, flat([d_weight, d_bias][: 1 + layer.bias]), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("shape", "layer"), CASES)
def test_definition_later(shape, layer, dtype):
    """The same behind another layer, whose channels are padded."""
    rng = np.random.default_rng(1)
    net = network(shape, [cbp.Dense(shape[-1]), layer], dtype)
    x = rng.normal(size=(2, *shape))
    (before, shift), (weight, bias) = weights(net, 0), weights(net, 1)
    inner = x @ before + shift
    z = forward(layer, weight, bias, inner)
    close(net.predict(x), z, TOLERANCE[dtype])
    dz = rng.normal(size=z.shape)
    d_inner, d_weight, d_bias = backward(layer, weight, inner, dz)
    rows = x.reshape(-1, shape[-1]).T @ d_inner.reshape(-1, shape[-1])
    d_input, gradient = net.backward(x, dz)
    close(d_input, d_inner @ before.T, TOLERANCE[dtype])
    d_shift = d_inner.reshape(-1, shape[-1]).sum(0)
    close(gradient, flat([rows, d_shift, d_weight, d_bias][: 3 + layer.bias]), TOLERANCE[dtype])


def test_separable_is_depthwise_then_pointwise():
    rng = np.random.default_rng(0)
    window = {"stride": (2, 1), "padding": "same", "dilation": (1, 2)}
    whole = network((9, 8, 5), [SeparableConv2D(7, 3, "tanh", multiplier=2, **window)])
    parts = network((9, 8, 5), [DepthwiseConv2D(3, multiplier=2, bias=False, **window), Conv2D(7, 1, "tanh")])
    assert list(whole.parameters) == ["0.depthwise", "0.pointwise", "0.bias"]
    parts.set_vector(whole.get_vector())
    x, d_output = rng.normal(size=(3, 9, 8, 5)), rng.normal(size=(3, 5, 8, 7))
    np.testing.assert_array_equal(whole.predict(x), parts.predict(x))
    for one, other in zip(whole.backward(x, d_output), parts.backward(x, d_output), strict=True):
        np.testing.assert_array_equal(one, other)


# --- threads, pieces, central differences -------------------------------------------------------------------------------------

STACKS = {
    "valid": ((12, 11, 1), [Conv2D(6, 5, "relu"), Conv2D(17, 3, "tanh"), cbp.Dense(3)]),
    "same, strides": (
        (9, 9, 3), [Conv2D(8, 3, "gelu", stride=2, padding="same"), Conv2D(4, (1, 3), dilation=2, padding=(1, 2))]),
    "groups": ((8, 7, 16), [DepthwiseConv2D(3, padding="same", activation="tanh"), Conv2D(6, 3, groups=2, stride=2)]),
    "separable": ((7, 7, 4), [SeparableConv2D(8, 3, "tanh", multiplier=3), SeparableConv2D(2, 3, padding="same", stride=2)]),
    "time": ((23, 3), [Conv1D(5, 4, "tanh", stride=2), Conv1D(4, 3, dilation=2, padding="same", groups=1)]),
}


def stack(name, dtype="float32"):
    """A network and data for it."""
    shape, layers = STACKS[name]
    net = network(shape, layers, dtype)
    rng = np.random.default_rng(3)
    return net, rng.normal(size=(31, *shape)), rng.normal(size=(31, *net.output_shape))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", STACKS)
def test_threads_change_no_bit(name, dtype):
    vectors = []
    for threads in (1, 2, 3, 5):
        net, x, y = stack(name, dtype)
        net.fit(x, y, epochs=2, batch_size=13, optimizer=cbp.Adam(0.01), threads=threads)
        vectors.append(net.get_vector())
    for vector in vectors[1:]:
        np.testing.assert_array_equal(vector, vectors[0])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", STACKS)
def test_pieces_change_no_bit(name, dtype, monkeypatch):
    """Neither does how many samples of a batch go through the network at once."""
    results = []
    for piece in (31, 12, 5, 1):
        net, x, y = stack(name, dtype)
        monkeypatch.setattr(net._plan, "piece", lambda rows, piece=piece, **_: min(rows, piece))
        results.append((net.predict(x), *net.backward(x, y)))
    for result in results[1:]:
        for one, other in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", STACKS)
def test_central_differences(name):
    net, x, y = stack(name, "float64")
    assert cbp.check_gradients(net, x[:3], y[:3], limit=150).error < 1e-6


def test_pads_stay_zero():
    """An optimizer sees the lanes beyond the filters as parameters that never move."""
    net, x, y = stack("groups")
    net.fit(x, y, epochs=2, batch_size=8, optimizer=cbp.Adam(0.1))
    used = sum(view.size for view in net.parameters.values())
    assert np.count_nonzero(net._numbers.parameters) == used


# --- PyTorch ------------------------------------------------------------------------------------------------------------------

WINDOWS = [  # kernel, stride, padding, dilation
    (1, 2, "valid", 1), (2, 1, "same", 1), (3, 1, 1, 1), (3, 2, "same", 1), (3, 1, "valid", 2), (3, 3, 4, 2),
    ((3, 1), 1, "same", 1), ((2, 4), (3, 1), (0, 2), (1, 2)), (5, 1, "valid", 1),
    ((1, 7), 2, "same", 1), (4, 2, 3, 3), (5, 4, "same", 2),
]


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    torch.set_num_threads(1)
    torch.manual_seed(5)
    return torch


def compare(torch, modules, shape, rows, *, change=None, reference=None):
    """The network that from_torch makes beside the modules: outputs, all gradients, ten steps, and where they lead.

    Where PyTorch has no such module, ``change`` makes the layers that are meant of those that from_torch found, with the same
    parameters, and ``reference`` are PyTorch's modules for the same.
    """
    shape = tuple(shape)
    run = torch.nn.Sequential(*(modules if reference is None else reference)).double()

    def made():
        net = cbp.from_torch(modules, shape)
        if change is None:
            return net
        changed = cbp.Network(net.input_shape, change(list(net.layers)), loss="mean_squared_error", dtype="float64")
        changed.set_vector(net.get_vector())
        return changed

    def in_cbp(values):
        """PyTorch's numbers for its parameters in the order of the network: they go the way of the parameters."""
        kept = [parameter.detach().clone() for parameter in run.parameters()]
        with torch.no_grad():
            for parameter, value in zip(run.parameters(), values, strict=True):
                parameter.copy_(value)
            vector = made().get_vector()
            for parameter, value in zip(run.parameters(), kept, strict=True):
                parameter.copy_(value)
        return vector

    rng = np.random.default_rng(4)
    net = made()
    X = rng.normal(size=(rows, *net.input_shape))
    Y, d_output = rng.normal(size=(2, rows, *net.output_shape))
    x, y, d = (torch.tensor(np.moveaxis(values, -1, 1).copy()) for values in (X, Y, d_output))
    x.requires_grad_()
    output = run(x)
    close(net.predict(X), np.moveaxis(output.detach().numpy(), 1, -1), 1e-9)
    output.backward(d)
    d_input, gradient = net.backward(X, d_output)
    close(d_input, np.moveaxis(x.grad.numpy(), 1, -1), 1e-9)
    close(gradient, in_cbp([parameter.grad for parameter in run.parameters()]), 1e-9)

    rule = torch.optim.Adam(run.parameters(), lr=0.01)
    for _ in range(10):
        rule.zero_grad()
        loss = torch.nn.functional.mse_loss(run(x.detach()), y)
        loss.backward()
        rule.step()
        assert net.train_on_batch(X, Y, optimizer=cbp.Adam(0.01)) == pytest.approx(loss.item(), rel=1e-9)
    close(net.get_vector(), made().get_vector(), 1e-9)


def convolution(torch, shape, filters, window, **options):
    """The module, what PyTorch runs, and whether these differ: PyTorch has no "same" with a stride, so there the module has no
    padding, PyTorch reads zeros that are counted here, and the layer still has to get its padding."""
    kernel, stride, padding, dilation = window
    channels, *sizes = shape
    axes = len(sizes)
    kind = torch.nn.Conv1d if axes == 1 else torch.nn.Conv2d
    strided = padding == "same" and set(each(stride, axes)) != {1}
    module = kind(channels, filters, kernel, stride=stride, padding=0 if strided else padding, dilation=dilation, **options)
    if not strided:
        return module, [module], False
    arguments = zip(sizes, *(each(value, axes) for value in (kernel, stride, dilation)), strict=True)
    around = [n for axis in arguments for n in pads_of_same(*axis)[::-1]][::-1]
    zeros = (torch.nn.ZeroPad1d if axes == 1 else torch.nn.ZeroPad2d)(tuple(around))
    return module, [zeros, module], True


def check(torch, shape, filters, window, rows, before=(), after=(), **options):
    """One convolution of this shape, with modules around it."""
    inside = torch.nn.Sequential(*before)(torch.zeros(1, *shape)).shape[1:]
    module, reference, strided = convolution(torch, inside, filters, window, **options)

    def change(layers):
        place = sum(bool(list(one.parameters())) for one in before)
        return [*layers[:place], replace(layers[place], padding="same"), *layers[place + 1 :]]

    compare(torch, [*before, module, *after], shape, rows, change=change if strided else None,
            reference=[*before, *reference, *after])


@pytest.mark.oracle
@pytest.mark.parametrize(("channels", "filters", "groups"), [(1, 6, 1), (6, 20, 1), (16, 32, 1), (6, 9, 3), (4, 12, 2)])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_torch_images(torch, window, channels, filters, groups):
    """As the first and as the second layer."""
    nn = torch.nn
    check(torch, (channels, 12, 15), filters, window, 1, groups=groups)
    check(torch, (3, 13, 11), filters, window, 5, [nn.Conv2d(3, channels, 2), nn.Tanh()], [nn.Tanh()], groups=groups)


@pytest.mark.oracle
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_torch_single_channels(torch, window, multiplier):
    nn = torch.nn
    check(torch, (16, 13, 12), 16 * multiplier, window, 3, after=[nn.Tanh()], groups=16)
    check(torch, (3, 11, 14), 5 * multiplier, window, 2, [nn.Conv2d(3, 5, 2), nn.ReLU()], groups=5, bias=False)


@pytest.mark.oracle
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_torch_separable(torch, window, multiplier):
    """PyTorch has two modules for it, and so has from_torch two layers."""
    nn = torch.nn
    single, reference, strided = convolution(torch, (5, 11, 13), 5 * multiplier, window, groups=5, bias=False)
    rest = [nn.Conv2d(5 * multiplier, 7, 1), nn.Tanh()]

    def change(layers):
        depthwise, pointwise = layers[1:]
        options = {name: getattr(depthwise, name) for name in ("multiplier", "stride", "dilation")}
        whole = SeparableConv2D(pointwise.filters, depthwise.kernel_size, pointwise.activation, **options,
                                padding="same" if strided else depthwise.padding)
        return [layers[0], whole]

    before = [nn.Conv2d(3, 5, 2), nn.ReLU()]
    compare(torch, [*before, single, *rest], (3, 12, 14), 2, change=change, reference=[*before, *reference, *rest])


@pytest.mark.oracle
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("window", [w for w in WINDOWS if np.ndim(w[0]) == 0], ids=str)
def test_torch_sequences(torch, window, groups):
    nn = torch.nn
    check(torch, (4, 27), 8, window, 3, [nn.Identity()], [nn.Conv1d(8, 2, 2), nn.Tanh()], groups=groups)
    check(torch, (3, 20), 8, window, 2, [nn.Conv1d(3, 4, 2), nn.Tanh()], groups=groups)


# --- what is refused, and how it is described ---------------------------------------------------------------------------------

@pytest.mark.parametrize(("layer", "shape", "message"), [
    (Conv2D(32, 3, "relu"), (2, 2, 16), r"layers\[0\]: Conv2D\(32, 3, 'relu'\) needs a height of at least 3 and a width of at "
     r"least 3 for one window of 3 x 3, its input \(height, width, channels\) has the shape \(2, 2, 16\); "
     r"padding='same' takes any size"),
    (Conv2D(4, (2, 5), padding=1, dilation=2), (9, 6, 1), "a height of at least 1 and a width of at least 7 for one window of "
     "3 x 9"),
    (Conv2D(4, 3), (28, 28), r"takes \(height, width, channels\), .*; a single channel is the shape \(28, 28, 1\)"),
    (Conv1D(4, 3), (2, 7), r"needs a time of at least 3 for .* of 3, its input \(time, channels\) has the shape \(2, 7\)"),
    (Conv1D(4, 3), (7,), r"takes \(time, channels\), its input has the shape \(7,\)"),
    (Conv2D(6, 3, groups=3), (8, 8, 4), r"needs channels that 3 groups can share evenly, its input has the shape \(8, 8, 4\)"),
    (DepthwiseConv2D(5), (4, 9, 2), r"DepthwiseConv2D\(5, 'identity'\) needs a height of at least 5"),
    (SeparableConv2D(8, 3), (9, 2, 2), r"SeparableConv2D\(8, 3, 'identity'\) needs .* a width of at least 3"),
])
def test_misfits(layer, shape, message):
    with pytest.raises(ValueError, match=message):
        cbp.Network(shape, [layer], loss="mean_squared_error")


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Conv2D(0, 3), ValueError, "filters must be a whole number of at least 1, got 0"),
    (lambda: Conv2D(4, 0), ValueError, "Conv2D: kernel_size must be a whole number of at least 1, got 0"),
    (lambda: Conv2D(4, (3, 0)), ValueError, r"Conv2D: kernel_size\[1\] must be a whole number of at least 1, got 0"),
    (lambda: Conv2D(4, (3, 3, 3)), ValueError,
     r"Conv2D: kernel_size must be a whole number or 2 of them, got \(3, 3, 3\)"),
    (lambda: Conv1D(4, (3, 3)), ValueError, r"Conv1D: kernel_size must be a whole number, got \(3, 3\)"),
    (lambda: Conv2D(4, "3"), TypeError, r"Conv2D: kernel_size must be a whole number of at least 1, got '3'"),
    (lambda: Conv2D(4, 3, stride=0), ValueError, "stride must be"),
    (lambda: Conv2D(4, 3, stride=1.5), TypeError, "stride must be a whole number"),
    (lambda: Conv2D(4, 3, dilation=-1), ValueError, "dilation must be"),
    (lambda: Conv2D(4, 3, padding="full"), ValueError,
     "Conv2D: padding must be 'valid', 'same' or a whole number, got 'full'"),
    (lambda: Conv2D(4, 3, padding=-1), ValueError, "padding must be a whole number of at least 0, got -1"),
    (lambda: Conv2D(4, 3, groups=3), ValueError, "groups must divide filters, got 3 groups for 4 filters"),
    (lambda: Conv2D(4, 3, "rleu"), ValueError, "did you mean 'relu'"),
    (lambda: Conv2D(4, 3, bias=2), TypeError, "bias must be True or False, got 2"),
    (lambda: DepthwiseConv2D(3, multiplier=0), ValueError, "multiplier must be"),
    (lambda: SeparableConv2D(4, 3, multiplier=True), TypeError, "multiplier must be"),
])
def test_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_same_however_it_is_written():
    assert Conv2D(4, (3, 3), stride=[2, 2], padding=(0, 0)) == Conv2D(4, 3, stride=2)
    assert Conv2D(4, [3, 1]).kernel_size == (3, 1)
    assert Conv1D(4, (3,), stride=[2], padding=(1,), dilation=(2,)) == Conv1D(4, 3, stride=2, padding=1, dilation=2)


@pytest.mark.parametrize(("layer", "arguments"), [
    (Conv1D, (4, 3)), (Conv2D, (4, 3)), (DepthwiseConv2D, (3,)), (SeparableConv2D, (4, 3)),
])
def test_activation_comes_right_behind_the_window(layer, arguments):
    assert layer(*arguments, "relu") == layer(*arguments, activation="relu")


@pytest.mark.parametrize("size", range(1, 8))
@pytest.mark.parametrize(("stride", "kernel"), [(1, 2), (2, 3), (3, 2), (3, 7)])
def test_same_padding_keeps_the_size_by_stride(size, stride, kernel):
    window = Conv1D(1, kernel, stride=stride, padding="same").window((size, 1))
    assert window.output == (-(-size // stride),)
    behind = (window.output[0] - 1) * stride + kernel - size - window.before[0]
    assert window.before[0] <= max(behind, 0) <= window.before[0] + 1


def test_start():
    """he_normal for relu, of the numbers that a filter reads."""
    net = network((8, 8, 16), [Conv2D(64, 3, "relu", groups=2), DepthwiseConv2D(5, activation="relu")])
    wide, single = net.parameters["0.weight"], net.parameters["1.weight"]
    assert wide.shape == (3, 3, 8, 64)
    assert single.shape == (5, 5, 64)
    assert np.isclose(wide.std(), np.sqrt(2 / (9 * 8)), rtol=0.05)
    assert np.isclose(single.std(), np.sqrt(2 / 25), rtol=0.1)


def test_files(tmp_path):
    net, x, _ = stack("separable")
    net.save(tmp_path / "net.cbp")
    again = cbp.load(tmp_path / "net.cbp")
    assert again.layers == net.layers
    np.testing.assert_array_equal(again.predict(x), net.predict(x))


@pytest.mark.parametrize("layer", [
    Conv1D(3, 2), Conv1D(4, 2, groups=2), Conv1D(3, 1, stride=2), cbp.MaxPool1D(2), cbp.AveragePool1D(2),
], ids=repr)
def test_lengths_do_not_pass_a_window(layer):
    net = network((8, 16), [layer, cbp.Flatten(), cbp.Dense(1)])
    with pytest.raises(ValueError, match=rf"{re.escape(brief(layer))} takes all steps of a sample"):
        net.predict(np.zeros((1, 8, 16)), lengths=[4])
