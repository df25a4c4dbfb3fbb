"""Convolutions: beside their definition in plain NumPy, beside PyTorch, and what they refuse."""

import itertools

import numpy as np
import pytest
from cases import close

import cbp
from cbp.layers import Conv1D, Conv2D, DepthwiseConv2D, SeparableConv2D

TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
"""Relative to the largest number: sums of some hundred products."""


# --- the definition -----------------------------------------------------------------------------------------------------------

def grouped(layer, channels):
    """Groups, and the name of the weights, of a layer that is one convolution."""
    return channels if isinstance(layer, DepthwiseConv2D) else layer.groups


def taps(layer, shape):
    """Every window and tap: (position of the output), (tap), (position of the input), those outside of the image left out."""
    window = layer.window(shape)
    for place in np.ndindex(*window.output):
        for tap in np.ndindex(*window.kernel):
            at = tuple(p * s + t * d - b for p, s, t, d, b in
                       zip(place, window.stride, tap, window.dilation, window.before, strict=True))
            if all(0 <= a < n for a, n in zip(at, window.input, strict=True)):
                yield place, tap, at


def forward(layer, weight, bias, x):
    """z of one layer without activation, x (samples, ..., channels)."""
    groups = grouped(layer, x.shape[-1])
    weight = weight.reshape(*layer.window(x.shape[1:]).kernel, x.shape[-1] // groups, -1)
    read, filters = weight.shape[-2:]
    z = np.zeros((len(x), *layer.output_shape(x.shape[1:]))) + bias
    for place, tap, at in taps(layer, x.shape[1:]):
        for f in range(filters):
            first = f // (filters // groups) * read
            z[:, *place, f] += x[:, *at, first : first + read] @ weight[*tap, :, f]
    return z


def backward(layer, weight, x, dz):
    """Gradients of the input, the weights and the bias of that layer."""
    groups = grouped(layer, x.shape[-1])
    flat = weight
    weight = weight.reshape(*layer.window(x.shape[1:]).kernel, x.shape[-1] // groups, -1)
    read, filters = weight.shape[-2:]
    dx, dw = np.zeros(x.shape), np.zeros(weight.shape)
    for place, tap, at in taps(layer, x.shape[1:]):
        for f in range(filters):
            first = f // (filters // groups) * read
            dx[:, *at, first : first + read] += dz[:, *place, f, None] * weight[*tap, :, f]
            dw[*tap, :, f] += dz[:, *place, f] @ x[:, *at, first : first + read]
    return dx, dw.reshape(flat.shape), dz.sum(tuple(range(dz.ndim - 1)))


# --- networks and cases -------------------------------------------------------------------------------------------------------

def network(shape, layers, dtype="float64", **settings):
    """With biases that are not 0."""
    net = cbp.Network(shape, layers, loss="mean_squared_error", dtype=dtype, seed=1, **settings)
    rng = np.random.default_rng(2)
    for name, view in net.parameters.items():
        if name.endswith("bias"):
            view[...] = rng.normal(size=view.shape)
    return net


def cases():
    """Layers and input shapes: every kind of window at least once, sizes that fill no tile, channels around a multiple of 16."""
    yield (5, 1), Conv1D(2, 2)
    yield (17, 3), Conv1D(5, 3, stride=2, padding="same")
    yield (20, 16), Conv1D(18, 4, dilation=3, padding=2)
    yield (9, 6), Conv1D(4, 3, groups=2, padding="same", bias=False)
    yield (600, 2), Conv1D(3, 5)
    yield (7, 8, 1), Conv2D(4, 3)
    yield (12, 12, 1), Conv2D(6, 5)
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


CASES = [pytest.param(shape, layer, id=cbp.layers.base.brief(layer) + str(shape)) for shape, layer in cases()]


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("shape", "layer"), CASES)
def test_definition(shape, layer, dtype):
    """Outputs and all gradients, as the first layer and behind one whose channels are padded."""
    rng = np.random.default_rng(0)
    for samples, mixed in ((3, False), (1, True)):
        before = [cbp.Conv2D(shape[-1], 1) if len(shape) == 3 else cbp.Conv1D(shape[-1], 1)] if mixed else []
        net = network(shape, [*before, layer], dtype)
        x = rng.normal(size=(samples, *shape))
        inner = x
        name = len(before)
        if mixed:
            inner = x @ np.asarray(net.parameters["0.weight"], float).reshape(shape[-1], -1) + net.parameters["0.bias"]
        weight = np.asarray(net.parameters[f"{name}.weight"], float)
        bias = np.asarray(net.parameters[f"{name}.bias"], float) if layer.bias else 0.0
        z = forward(layer, weight, bias, inner)
        close(net.predict(x), z, TOLERANCE[dtype])
        dz = rng.normal(size=z.shape)
        d_inner, d_weight, d_bias = backward(layer, weight, inner, dz)
        d_input, gradient = net.backward(x, dz)
        expected = [d_weight.ravel()] + ([d_bias] if layer.bias else [])
        if mixed:
            first = np.asarray(net.parameters["0.weight"], float).reshape(shape[-1], -1)
            outer = (shape[-1], -1)
            d_first = np.moveaxis(x, -1, 0).reshape(outer) @ np.moveaxis(d_inner, -1, 0).reshape(outer).T
            expected = [d_first.ravel(), d_inner.sum(tuple(range(d_inner.ndim - 1)))] + expected
            d_inner = d_inner @ first.T
        close(d_input, d_inner, TOLERANCE[dtype])
        close(gradient, np.concatenate([part.ravel() for part in expected]), TOLERANCE[dtype])
