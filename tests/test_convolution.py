"""Convolutions: beside their definition in plain NumPy, beside PyTorch, and what they refuse."""

import re

import numpy as np
import pytest
from cases import close

import cbp
from cbp.layers import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D
from cbp.layers.base import brief

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Relative to the largest number: sums of some hundred products."""


# --- the definition -----------------------------------------------------------------------------------------------------------

def taps(layer, shape):
    """Every window and tap: (position of the output), (tap), (position of the input), those outside of the image left out."""
    window = layer.window(shape)
    for place in np.ndindex(*window.output):
        for tap in np.ndindex(*window.kernel):
            at = tuple(p * s + t * d - b for p, s, t, d, b in
                       zip(place, window.stride, tap, window.dilation, window.before, strict=True))
            if all(0 <= a < n for a, n in zip(at, window.input, strict=True)):
                yield place, tap, at


def full_weight(layer, weight, shape):
    """The weights as (*kernel, channels, filters), 0 where a filter does not read a channel."""
    kernel, channels = layer.window(shape).kernel, shape[-1]
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
    z = np.zeros((len(x), *layer.output_shape(x.shape[1:]))) + bias
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
    yield (2, 2, 2), Conv2D(3, 2, padding=5, stride=4)
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
    "same, strides": ((9, 9, 3), [Conv2D(8, 3, "gelu", stride=2, padding="same"), Conv2D(4, (1, 3), dilation=2, padding=2)]),
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


class Twin:
    """The convolutions of a network in PyTorch, float64, with the same weights."""

    def __init__(self, torch, net):
        self.torch, self.net = torch, net
        self.parameters = {name: torch.tensor(np.array(view), requires_grad=True) for name, view in net.parameters.items()}

    def convolve(self, layer, x, weight, bias, groups):
        """x with its channels first; weights as torch has them, (filters, channels / groups, *kernel)."""
        window = layer.window((*x.shape[2:], x.shape[1]))
        functional, contiguous = self.torch.nn.functional, self.torch.contiguous_format  # torch refuses other weights
        around = []
        axes = (window.input, window.output, window.kernel, window.stride, window.dilation, window.before)
        for n, out, k, s, d, before in zip(*axes, strict=True):
            around = [before, max((out - 1) * s + (k - 1) * d + 1 - n - before, 0), *around]
        order = (len(window.kernel) + 1, len(window.kernel), *range(len(window.kernel)))
        convolution = functional.conv1d if len(window.kernel) == 1 else functional.conv2d
        weight = weight.permute(order).clone(memory_format=contiguous)
        return convolution(functional.pad(x, around), weight, bias, window.stride, 0, window.dilation, groups)

    def __call__(self, x):
        x = self.torch.movedim(x, -1, 1)
        for index, layer in enumerate(self.net.layers):
            own = {name.split(".")[1]: value for name, value in self.parameters.items() if name.startswith(f"{index}.")}
            if isinstance(layer, (DepthwiseConv2D, SeparableConv2D)):
                single = own["weight"] if "weight" in own else own["depthwise"]
                bias = own.get("bias") if "weight" in own else None
                x = self.convolve(layer, x, single.unsqueeze(2), bias, x.shape[1])
                if "pointwise" in own:
                    x = self.torch.einsum("nchw,cf->nfhw", x, own["pointwise"])
                    x = x if "bias" not in own else x + own["bias"][:, None, None]
            else:
                x = self.convolve(layer, x, own["weight"], own.get("bias"), layer.groups)
            x = {"identity": lambda z: z, "tanh": self.torch.tanh, "relu": self.torch.relu}[layer.activation](x)
        return self.torch.movedim(x, 1, -1)


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    torch.set_num_threads(1)
    return torch


def compare(torch, net, samples):
    """Outputs, the gradient of the input, and of all parameters."""
    rng = np.random.default_rng(4)
    twin = Twin(torch, net)
    x = torch.tensor(rng.normal(size=(samples, *net.input_shape)), requires_grad=True)
    output = twin(x)
    close(net.predict(x.detach().numpy()), output.detach().numpy(), 1e-12)
    d_output = rng.normal(size=output.shape)
    output.backward(torch.tensor(d_output))
    d_input, gradient = net.backward(x.detach().numpy(), d_output)
    close(d_input, x.grad.numpy(), 1e-12)
    close(gradient, flat([parameter.grad.numpy() for parameter in twin.parameters.values()]), 1e-12)


@pytest.mark.oracle
@pytest.mark.parametrize(("channels", "filters", "groups"), [(1, 6, 1), (6, 20, 1), (16, 32, 1), (6, 9, 3), (4, 4, 4)])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), WINDOWS)
def test_torch_images(torch, kernel, stride, padding, dilation, channels, filters, groups):
    """As the first and as the second layer."""
    window = {"stride": stride, "padding": padding, "dilation": dilation}
    layers = [Conv2D(channels, 2, "tanh"), Conv2D(filters, kernel, groups=groups, **window)]
    compare(torch, network((12, 15, channels), layers[1:]), 1)
    compare(torch, network((13, 14, 3), layers), 5)


@pytest.mark.oracle
@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), WINDOWS)
def test_torch_single_channels(torch, kernel, stride, padding, dilation, multiplier):
    window = {"stride": stride, "padding": padding, "dilation": dilation, "multiplier": multiplier}
    compare(torch, network((13, 12, 16), [DepthwiseConv2D(kernel, activation="tanh", **window)]), 3)
    compare(torch, network((11, 14, 3), [Conv2D(5, 2, "relu"), SeparableConv2D(6, kernel, "tanh", **window)]), 2)


@pytest.mark.oracle
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("kernel", "stride", "padding", "dilation"), [w for w in WINDOWS if np.ndim(w[0]) == 0])
def test_torch_sequences(torch, kernel, stride, padding, dilation, groups):
    window = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    compare(torch, network((27, 4), [Conv1D(6, kernel, **window), Conv1D(2, 2, "tanh")]), 3)


@pytest.mark.oracle
@pytest.mark.parametrize("name", [name for name in STACKS if name not in ("valid", "same, strides")])
def test_torch_ten_steps(torch, name):
    net, x, y = stack(name, "float64")
    twin = Twin(torch, net)
    optimizer = torch.optim.Adam(list(twin.parameters.values()), lr=0.01)
    for _ in range(10):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(twin(torch.tensor(x)), torch.tensor(y))
        loss.backward()
        optimizer.step()
        assert net.train_on_batch(x, y, optimizer=cbp.Adam(0.01)) == pytest.approx(loss.item(), rel=1e-9)
    close(net.get_vector(), flat([parameter.detach().numpy() for parameter in twin.parameters.values()]), 1e-9)


# --- what is refused, and how it is described ---------------------------------------------------------------------------------

@pytest.mark.parametrize(("layer", "shape", "message"), [
    (Conv2D(32, 3, "relu"), (2, 2, 16), r"layers\[0\]: Conv2D\(32, 3, 'relu'\) needs a height of at least 3 and a width of at "
     r"least 3 for one window of 3 x 3, its input has the shape \(2, 2, 16\); padding='same' takes any size"),
    (Conv2D(4, (2, 5), padding=1, dilation=2), (9, 6, 1), "a height of at least 1 and a width of at least 7 for one window of "
     "3 x 9"),
    (Conv2D(4, 3), (28, 28), r"takes \(height, width, channels\), its input has the shape \(28, 28\); put a Reshape before it"),
    (Conv1D(4, 3), (2, 7), r"needs a time of at least 3 for one window of 3, its input has the shape \(2, 7\)"),
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


@pytest.mark.parametrize(("shape", "layer"), [
    ((8,), Conv1D(3, 2)), ((8,), cbp.MaxPool1D(2)), ((8,), cbp.AveragePool1D(2)),
    ((8, 4), Conv2D(3, 2)), ((8, 4), Conv2D(4, 2, groups=2)), ((8, 4), Conv2D(3, 1, stride=2)),
    ((8, 4), DepthwiseConv2D(3, padding="same")), ((8, 4), SeparableConv2D(3, 3, padding="same")),
    ((8, 4), cbp.MaxPool2D(2)), ((8, 4), cbp.AveragePool2D(2)),
    ((8, 4), cbp.GlobalMaxPool()), ((8, 4), cbp.GlobalAveragePool()),
], ids=repr)
def test_lengths_do_not_pass_a_window(shape, layer):
    """Neither along time nor over an image that a Reshape made of steps."""
    net = network((8, 16), [cbp.Reshape((*shape, -1)), layer, cbp.Flatten(), cbp.Dense(1)])
    with pytest.raises(ValueError, match=rf"{re.escape(brief(layer))} takes all steps of a sample"):
        net.predict(np.zeros((1, 8, 16)), lengths=[4])
