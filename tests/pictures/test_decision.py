"""What a network of two inputs answers everywhere: regions of classes, the surface of an output, the points over it."""

import warnings

import matplotlib
import numpy as np
import pytest

import cbp

matplotlib.use("agg")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _no_figure_stays():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def linear(weight, bias, output, loss=None):
    """A network of one layer with these numbers."""
    net = cbp.mlp([2, len(bias)], output=output, loss=loss, dtype="float64")
    net.parameters["0.weight"][:] = weight
    net.parameters["0.bias"][:] = bias
    return net


LEFT_RIGHT = linear([[-20, 20], [0, 0]], [0, 0], "softmax")
SQUARE = np.array([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])


def colours(axes):
    """The colour of the region at a point."""
    (image,) = axes.get_images()
    left, right, bottom, top = image.get_extent()
    picture = np.asarray(image.get_array())

    def at(x, y):
        row = int((y - bottom) / (top - bottom) * len(picture))
        column = int((x - left) / (right - left) * picture.shape[1])
        return picture[row, column]

    return at


def near(colour, name):
    """Whether a colour is a mixture of white with the named one."""
    from matplotlib.colors import to_rgb

    wanted = 1 - np.array(to_rgb(name))
    given = 1 - np.asarray(colour)[:3]
    return np.allclose(given / given.max(), wanted / wanted.max(), atol=0.02)


def test_regions_are_where_the_classes_are():
    axes = cbp.plot_decision(LEFT_RIGHT, SQUARE, [0, 0, 1, 1])
    at = colours(axes)
    assert near(at(-0.9, 0.5), "#0072b2")
    assert near(at(0.9, -0.5), "#d55e00")
    assert axes.get_title(loc="left") == "2 classes"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["0", "1"]
    left, right = axes.collections[-2:]
    np.testing.assert_array_equal(left.get_offsets(), SQUARE[:2])
    np.testing.assert_array_equal(right.get_offsets(), SQUARE[2:])
    assert left.get_paths()[0].vertices.shape != right.get_paths()[0].vertices.shape  # another marker, not colour alone


def test_where_it_is_less_sure_it_is_paler():
    axes = cbp.plot_decision(linear([[-1, 1], [0, 0]], [0, 0], "softmax"), SQUARE * 5)
    at = colours(axes)
    assert np.all(at(-0.3, 0)[:3] > at(-5, 0)[:3])


def test_the_line_between_two_classes():
    axes = cbp.plot_decision(LEFT_RIGHT, SQUARE)
    lines = np.concatenate([path.vertices for found in axes.collections for path in found.get_paths()])
    assert np.abs(lines[:, 0]).max() < 0.02
    assert lines[:, 1].min() < -1 < 1 < lines[:, 1].max()


@pytest.mark.parametrize(("output", "loss", "labels"), [
    ("sigmoid", "binary_cross_entropy", [0, 0, 1, 1]), ("sigmoid", "binary_cross_entropy", [[False], [False], [True], [True]]),
    ("tanh", "hinge", [-1, -1, 1, 1]),
])  # fmt: skip
def test_one_output_tells_two_classes(output, loss, labels):
    axes = cbp.plot_decision(linear([[20], [0]], [0], output, loss), SQUARE, labels)
    at = colours(axes)
    assert near(at(-0.9, 0.5), "#0072b2")
    assert near(at(0.9, -0.5), "#d55e00")
    left, right = axes.collections[-2:]
    np.testing.assert_array_equal(left.get_offsets(), SQUARE[:2])
    np.testing.assert_array_equal(right.get_offsets(), SQUARE[2:])


def test_rows_of_probabilities_are_labels_too():
    axes = cbp.plot_decision(LEFT_RIGHT, SQUARE, np.eye(2)[[1, 0, 0, 0]])
    assert [len(found.get_offsets()) for found in axes.collections[-2:]] == [3, 1]


@pytest.mark.parametrize("classes", [3, 8, 12, 20])
def test_many_classes(classes):
    angle = 2 * np.pi * np.arange(classes) / classes
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    axes = cbp.plot_decision(linear(30 * around.T, np.zeros(classes), "softmax"), 2 * around, np.arange(classes))
    at = colours(axes)
    seen = {tuple(np.round(at(*(1.9 * direction)), 3)) for direction in around}
    assert len(seen) == classes
    assert (axes.get_legend() is not None) == (classes <= 16)


def test_a_single_region_and_a_single_point():
    axes = cbp.plot_decision(linear(np.zeros((2, 2)), [9, 0], "softmax"), [[3, 4]], [1])
    assert near(colours(axes)(3, 4), "#0072b2")
    assert axes.get_xlim() == (2.5, 3.5)


def test_the_surface_of_an_output():
    net = linear([[2], [0]], [1], "identity")
    axes = cbp.plot_decision(net, SQUARE, SQUARE[:, 0] * 2 + 1)
    surface, points = axes.collections[0], axes.collections[-1]
    np.testing.assert_array_equal(points.get_offsets(), SQUARE)
    np.testing.assert_array_equal(points.get_array(), [-1, -1, 3, 3])
    assert points.norm is surface.norm
    assert surface.norm.vmin == pytest.approx(2 * -1.2 + 1)
    assert surface.norm.vmax == pytest.approx(2 * 1.2 + 1)
    assert axes.get_title(loc="left") == "output"
    assert len(axes.figure.axes) == 2  # with the scale


def test_targets_beyond_the_surface_are_on_the_scale():
    axes = cbp.plot_decision(linear([[0], [0]], [0], "identity"), SQUARE, [0, 0, 0, 50])
    assert axes.collections[0].norm.vmax == 50


def test_another_output():
    net = linear([[1, 0], [0, 1]], [0, 0], "identity")
    axes = cbp.plot_decision(net, SQUARE, SQUARE * 3, output=1)
    assert axes.get_title(loc="left") == "output 1"
    np.testing.assert_array_equal(axes.collections[-1].get_array(), SQUARE[:, 1] * 3)
    assert len(cbp.plot_decision(net, SQUARE).collections[-1].get_offsets()) == 4


def test_axes_are_named_after_the_features():
    class Table:
        columns, shape = ["length $", "width\n_2^3"], (4, 2)

        def __array__(self, dtype=None, copy=None):
            return np.array(SQUARE, dtype)

    net = cbp.mlp([2, 1], seed=0)
    net.fit(Table(), [0, 1, 2, 3], epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        axes = cbp.plot_decision(net, Table(), [0, 1, 2, 3])
    assert axes.get_xlabel() == r"length \$"
    assert axes.get_ylabel() == "width _2^3"
    axes.figure.canvas.draw()  # no formula that cannot be read
    with pytest.warns(UserWarning, match="X has no names of columns"):
        cbp.plot_decision(net, SQUARE)
    assert cbp.plot_decision(LEFT_RIGHT, SQUARE).get_xlabel() == "input 0"


def test_on_axes_of_ones_own():
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2)
    assert cbp.plot_decision(LEFT_RIGHT, SQUARE, axes=right) is right
    assert not left.get_images()


def test_it_changes_nothing():
    net = cbp.mlp([2, 4, 1], seed=0)
    before = net.get_vector()
    cbp.plot_decision(net, SQUARE, [0, 1, 2, 3])
    assert np.array_equal(net.get_vector(), before)
    assert (net.step, net.epoch, net.history) == (0, 0, None)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: cbp.plot_decision(cbp.mlp([3, 1]), SQUARE), r"networks of two inputs, .* shape \(3,\)"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE[:, :1]), r"X must be finite .* \(samples, 2\), got .*\(4, 1\)"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE[:0]), r"X must be"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE * np.nan), r"X must be finite"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE, [0, 1]), r"y must have a label or a target for each of the 4 rows"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE, 1), r"y must have"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE, np.zeros((4, 3))), r"y must have"),
    (lambda: cbp.plot_decision(linear(np.eye(2), [0, 0], "identity"), SQUARE, [1, 2, 3, 4]), r"y must have 2 targets a row"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE, resolution=1), r"resolution must be .* from 2 to 2,000, got 1"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE, resolution=50.0), r"resolution must be"),
    (lambda: cbp.plot_decision(LEFT_RIGHT, SQUARE, output=2), r"output must be from 0 to 1, got 2"),
])  # fmt: skip
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
