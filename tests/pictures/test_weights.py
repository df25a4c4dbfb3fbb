"""Weights as pictures: which array, cut into which tiles, on which scale."""

import builtins

import matplotlib
import numpy as np
import pytest

import cbp
from cbp.pictures.weights import tiles

matplotlib.use("agg")


@pytest.fixture(autouse=True)
def _no_figure_stays():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def network(shape, *layers):
    return cbp.Network(shape, [*layers, cbp.Flatten(), cbp.Dense(2)], loss="huber", seed=0)


def drawn(axes):
    """The numbers of the picture, NaN between the tiles."""
    (image,) = axes.get_images()
    return np.ma.filled(image.get_array().astype(float), np.nan)


def cut(mosaic, height, width, count):
    """The tiles of a mosaic again, row by row."""
    found = [mosaic[y : y + height, x : x + width] for y in range(0, mosaic.shape[0], height + 1)
             for x in range(0, mosaic.shape[1], width + 1)]
    assert all(np.isnan(tile).all() for tile in found[count:])
    return found[:count]


def test_what_a_unit_reads_of_a_square_picture():
    net = cbp.mlp([64, 5, 2], seed=0)
    axes = net.plot_weights()
    weight = net.parameters["0.weight"]
    for unit, tile in enumerate(cut(drawn(axes), 8, 8, 5)):
        np.testing.assert_array_equal(tile, weight[:, unit].reshape(8, 8))
    assert axes.get_title(loc="left") == "0.weight (64, 5)"


def test_of_a_picture_that_was_made_flat():
    net = cbp.Network((4, 6, 2), [cbp.Flatten(), cbp.Dense(3)], loss="huber", seed=0)
    weight = net.parameters["1.weight"].reshape(4, 6, 2, 3)
    tiles = cut(drawn(net.plot_weights()), 4, 6, 6)
    for i, tile in enumerate(tiles):
        np.testing.assert_array_equal(tile, weight[:, :, i % 2, i // 2])


def test_a_shape_of_ones_own():
    net = cbp.mlp([12, 4, 1], seed=0)
    weight = net.parameters["0.weight"]
    np.testing.assert_array_equal(drawn(net.plot_weights()), weight)  # 12 is no square: all units are one picture
    first = cut(drawn(net.plot_weights(shape=(2, 6))), 2, 6, 4)[0]
    np.testing.assert_array_equal(first, weight[:, 0].reshape(2, 6))
    with pytest.raises(ValueError, match=r"shape must be .* of the 12 numbers that a unit of 0\.weight reads, got \(5, 5\)"):
        net.plot_weights(shape=(5, 5))


@pytest.mark.parametrize(("shape", "layer", "height", "width", "pick"), [
    ((8, 8, 2), cbp.Conv2D(3, (3, 2)), 3, 2, lambda w, i: w[:, :, i % 2, i // 2]),
    ((9, 2), cbp.Conv1D(3, 4), 2, 4, lambda w, i: w[:, :, i].T),
    ((8, 8, 2), cbp.DepthwiseConv2D(3), 3, 3, lambda w, i: w[:, :, i]),
], ids=["conv_2d", "conv_1d", "depthwise"])  # fmt: skip
def test_filters(shape, layer, height, width, pick):
    net = network(shape, layer)
    weight = net.parameters["0.weight"]
    mosaic = drawn(net.plot_weights())
    count = weight[..., 0].size * weight.shape[-1] // (height * width)
    for i, tile in enumerate(cut(mosaic, height, width, count)):
        np.testing.assert_array_equal(tile, pick(weight, i))


@pytest.mark.parametrize(("shape", "layer", "name"), [
    ((6, 3), cbp.LSTM(4, return_sequences=True), "0.weight"), ((5,), cbp.Embedding(30, 4), "0.weight"),
    ((6, 3), cbp.Bidirectional(cbp.GRU(2)), "0.forward.weight"), ((6,), cbp.Residual([cbp.Dense(6)]), "0.0.weight"),
], ids=["lstm", "embedding", "both ways", "around"])  # fmt: skip
def test_others_are_one_picture(shape, layer, name):
    net = network(shape, layer)
    axes = net.plot_weights()
    np.testing.assert_array_equal(drawn(axes), net.parameters[name].reshape(len(net.parameters[name]), -1))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("unit", "input")


def test_the_scale_has_0_in_the_middle():
    net = cbp.mlp([16, 3], seed=0)
    net.parameters["0.weight"][3, 1] = -9
    axes = net.plot_weights()
    (image,) = axes.get_images()
    assert image.get_clim() == (-9, 9)
    assert image.cmap.name == "RdBu_r"
    assert image.cmap(image.norm(0.0))[:3] == pytest.approx((0.97, 0.97, 0.97), abs=0.02)
    net.parameters["0.weight"][:] = 0
    assert net.plot_weights().get_images()[0].get_clim() == (-1, 1)


def test_not_more_than_asked_for():
    net = cbp.mlp([16, 100, 1], seed=0)
    axes = net.plot_weights(most=7)
    cut(drawn(axes), 4, 4, 7)
    assert axes.get_title(loc="left") == "0.weight (16, 100): 7 of 100"
    assert "64 of 100" in net.plot_weights().get_title(loc="left")
    with pytest.raises(ValueError, match="most must be a whole number of at least 1, got 0"):
        net.plot_weights(most=0)


def test_on_axes_of_ones_own():
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2)
    assert cbp.mlp([16, 3], seed=0).plot_weights(axes=right) is right
    assert right.figure is figure
    assert not left.get_images()


def test_a_name_that_is_not_there():
    net = cbp.mlp([3, 2, 1])
    for name in ("0.bias", "2.weight", "$", 3):
        with pytest.raises(ValueError, match=r"name must be one of .*0\.weight, 1\.weight, got"):
            net.plot_weights(name)
    plain = cbp.Network(3, [cbp.LayerNorm()], loss="huber")
    with pytest.raises(ValueError, match="this network has none"):
        plain.plot_weights()


def test_a_mosaic_keeps_every_number():
    for count, height, width in [(1, 3, 2), (5, 2, 2), (12, 1, 9), (7, 9, 1)]:
        pictures = np.random.default_rng(0).normal(size=(count, height, width))
        mosaic = tiles(pictures)
        np.testing.assert_array_equal(np.array(cut(mosaic, height, width, count)), pictures)


def test_without_matplotlib(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **named):
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    net = cbp.mlp([2, 1])
    calls = {"Network.plot_weights": net.plot_weights, "plot_decision": lambda: cbp.plot_decision(net, [[1, 2]])}
    for what, call in calls.items():
        with pytest.raises(ImportError, match=rf"{what} draws with matplotlib: pip install 'cbp\[plot\]'"):
            call()
