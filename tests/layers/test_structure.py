"""Flatten, Reshape, Residual, and the ops under them: values that are copied, that part and that meet."""

from dataclasses import dataclass

import numpy as np
import pytest
from cases import assert_threads_and_pieces_change_no_bit, close

import cbp
from cbp.engine.cpu import core
from cbp.layers.base import Layer

DTYPES = {"float32": 2e-5, "float64": 1e-12}

ACTIVATION = {
    "identity": lambda z: z,
    "relu": lambda z: z.clip(0),
    "tanh": np.tanh,
    "silu": lambda z: z / (1 + np.exp(-z)),  # keeps its sum
}


def network(shape, layers, dtype="float64", **settings):
    settings.setdefault("loss", "mean_squared_error")
    return cbp.Network(shape, layers, dtype=dtype, seed=1, **settings)


# --- Flatten and Reshape ----------------------------------------------------------------------------------------------

SHAPES = [
    ((4, 6), (24,)), ((4, 6), (2, 12)), ((4, 6), (8, 3)), ((4, 6), (6, 4)), ((4, 6), (2, 2, 6)), ((3, 5, 7), (105,)),
    ((2, 16), (32,)), ((4, 32), (8, 16)), ((2, 24), (3, 16)), ((3, 16), (48,)), ((3, 16), (2, 24)), ((17,), (17, 1)),
    ((1, 48), (48,)), ((2, 3, 4), (4, 3, 2)), ((48,), (3, 16)), ((16,), (16,)),
]


@pytest.mark.parametrize(("before", "after"), SHAPES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_keep_their_order(before, after, dtype):
    rng = np.random.default_rng(0)
    x, d = rng.normal(size=(3, *before)).astype(dtype), rng.normal(size=(3, *after)).astype(dtype)
    same = [cbp.Dense(shape[-1], bias=False, init=np.eye(shape[-1])) for shape in (before, after)]
    reshape = cbp.Reshape(after)
    for layers in ([reshape], [same[0], reshape], [reshape, same[1]], [same[0], reshape, same[1]],
                   [cbp.Residual([reshape, cbp.Reshape(before)]), reshape]):
        net = network(before, layers, dtype)
        scale = 2 if isinstance(layers[0], cbp.Residual) else 1
        assert net.output_shape == after
        np.testing.assert_array_equal(net.predict(x), scale * x.reshape(3, *after))
        np.testing.assert_array_equal(net.backward(x, d)[0], scale * d.reshape(x.shape))


def test_what_lies_without_pads_is_not_copied():
    for units, copies in ((16, 0), (48, 0), (5, 1)):
        net = network((4, 32), [cbp.Dense(units), cbp.Flatten(), cbp.Dense(3)])
        assert (net._plan.ops["kind"] == core.OPS["copy"]).sum() == copies
    assert len(network((4, 5), [cbp.Flatten(), cbp.Dense(3)])._plan.ops) == 1  # samples have no pads


def test_flatten_and_minus_one():
    assert cbp.Flatten().output_shape((3, 4, 5)) == (60,)
    assert cbp.Reshape(-1).output_shape((3, 4)) == (12,)
    assert cbp.Reshape((2, -1, 3)).output_shape((3, 4)) == (2, 2, 3)
    assert cbp.Reshape([12]) == cbp.Reshape((12,)) == cbp.Reshape(12)


@pytest.mark.parametrize("given", [(0,), (), (-1, -1), (2, 0), (-2,)])
def test_a_shape_that_is_none(given):
    with pytest.raises(ValueError, match="shape must"):
        cbp.Reshape(given)
    with pytest.raises(TypeError, match="shape must"):
        cbp.Reshape("12")


@pytest.mark.parametrize(("shape", "message"), [
    ((5, 2), r"layers\[0\]: Reshape\(\(5, 2\)\) needs 10 numbers, its input has the shape \(3, 4\) with 12"),
    ((5, -1), r"Reshape\(\(5, -1\)\) needs a multiple of 5 numbers, its input has the shape \(3, 4\) with 12"),
])
def test_a_shape_that_does_not_fit(shape, message):
    with pytest.raises(ValueError, match=message):
        network((3, 4), [cbp.Reshape(shape)])


def test_the_output_may_have_another_shape_than_the_last_op():
    """Labels and the mean over positions belong to the shape that is seen outside."""
    rng = np.random.default_rng(1)
    net = network(5, [cbp.Dense(12), cbp.Reshape((4, 3))])
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 4, 3))
    assert net.predict(x).shape == (6, 4, 3)
    assert net.evaluate(x, y)["loss"] == pytest.approx(((net.predict(x) - y) ** 2).mean())
    assert cbp.check_gradients(net, x, y).error < 1e-6
    net = network(5, [cbp.Dense(16), cbp.Reshape((2, 8))])
    close(net.predict(x).reshape(6, 16), x @ net.parameters["0.weight"], 1e-14)


# --- Residual -----------------------------------------------------------------------------------------------------------


def dense(x, parameters, name, activation="identity"):
    z = x @ parameters[f"{name}.weight"]
    if f"{name}.bias" in parameters:
        z = z + parameters[f"{name}.bias"]
    return ACTIVATION[activation](z)


def shake(net):
    """Biases that are not 0."""
    rng = np.random.default_rng(2)
    for view in net.parameters.values():
        view[...] = rng.normal(scale=0.4, size=view.shape)
    return net


def residual(units, last, activation):
    return cbp.Residual([cbp.Dense(units, "tanh"), cbp.Dense(last)], activation=activation)


@pytest.mark.parametrize("activation", ACTIVATION)
@pytest.mark.parametrize("shape", [(5,), (4, 3), (16,), (2, 3, 17)])
@pytest.mark.parametrize("change", [0, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_block_is_a_sum(shape, change, activation, dtype):
    rng = np.random.default_rng(3)
    units = shape[-1] + change
    x = rng.normal(size=(6, *shape))
    first = shake(network(shape, [residual(7, units, activation)], dtype))
    p = first.parameters
    names = ["0.0.weight", "0.0.bias", "0.1.weight", "0.1.bias"] + ["0.skip.weight"] * bool(change)
    assert list(p) == names
    around = dense(x, p, "0.skip") if change else x
    wanted = ACTIVATION[activation](dense(dense(x, p, "0.0", "tanh"), p, "0.1") + around)
    close(first.predict(x), wanted, DTYPES[dtype])
    second = shake(network(shape, [cbp.Dense(shape[-1], "tanh"), residual(7, units, activation), cbp.Dense(2)], dtype))
    p = second.parameters
    value = dense(x, p, "0", "tanh")
    around = dense(value, p, "1.skip") if change else value
    value = ACTIVATION[activation](dense(dense(value, p, "1.0", "tanh"), p, "1.1") + around)
    close(second.predict(x), dense(value, p, "2"), DTYPES[dtype])


BLOCKS = {
    "identity": [residual(7, 5, "tanh")],
    "projection": [residual(7, 4, "silu")],
    "nested": [cbp.Residual([cbp.Dense(6, "tanh"), cbp.Residual([cbp.Dense(6, "sigmoid")]), residual(3, 5, "tanh")])],
    "in a row": [residual(4, 5, "identity"), residual(5, 5, "silu"), residual(6, 3, "tanh")],
    "inside": [cbp.Dense(6, "tanh"), residual(4, 6, "tanh"), cbp.Dense(3, "tanh")],
    "nothing but another shape inside": [cbp.Residual([cbp.Reshape((5, 1)), cbp.Flatten()]), cbp.Dense(5, "tanh")],
    "an activation at the end of the branch": [cbp.Residual([cbp.Dense(5, "silu")], activation="silu")],
}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("end", [[cbp.Dense(3, "softmax")], [cbp.Residual([cbp.Dense(3, "tanh")], activation="softmax")]])
def test_gradients(name, end):
    rng = np.random.default_rng(4)
    net = shake(network(5, [*BLOCKS[name], *end], loss="cross_entropy", l2=0.01))
    assert cbp.check_gradients(net, rng.normal(size=(6, 5)), rng.integers(3, size=6)).error < 1e-6


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("shape", [(), (3,)])
def test_the_gradient_of_the_inputs(name, shape):
    """By central differences; of vectors and of sequences, on which blocks act step by step."""
    if shape and name.startswith("nothing"):
        shape = ()
    rng = np.random.default_rng(5)
    net = shake(network((*shape, 5), BLOCKS[name]))
    x, d = rng.normal(size=(2, *shape, 5)), rng.normal(size=(2, *net.output_shape))
    analytic, numeric = net.backward(x, d)[0], np.empty(x.shape)
    for place in np.ndindex(*x.shape):
        moved = [x.copy(), x.copy()]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        numeric[place] = ((net.predict(moved[0]) - net.predict(moved[1])) * d).sum() / 2e-5
    close(analytic, numeric, 1e-8)


@pytest.mark.oracle
@pytest.mark.parametrize("name", BLOCKS)
def test_against_pytorch(name):
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    functions = {"identity": lambda z: z, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": torch.nn.functional.silu}
    net = shake(network(5, BLOCKS[name]))
    weights = {key: torch.tensor(np.array(view), requires_grad=True) for key, view in net.parameters.items()}

    def run(layer, key, x):
        if isinstance(layer, cbp.Residual):
            inside = x
            for index, inner in enumerate(layer.layers):
                inside = run(inner, f"{key}.{index}", inside)
            around = x @ weights[f"{key}.skip.weight"] if f"{key}.skip.weight" in weights else x
            return functions[layer.activation](inside + around)
        if isinstance(layer, cbp.Dense):
            return functions[layer.activation](x @ weights[f"{key}.weight"] + weights[f"{key}.bias"])
        return x.reshape(len(x), *layer.output_shape(tuple(x.shape[1:])))

    rng = np.random.default_rng(6)
    x, d = rng.normal(size=(4, 5)), rng.normal(size=(4, *net.output_shape))
    given = value = torch.tensor(x, requires_grad=True)
    for index, layer in enumerate(net.layers):
        value = run(layer, str(index), value)
    value.backward(torch.tensor(d))
    d_input, gradient = net.backward(x, d)
    close(net.predict(x), value.detach().numpy(), 1e-12)
    close(d_input, given.grad.numpy(), 1e-12)
    close(gradient, np.concatenate([w.grad.numpy().ravel() for w in weights.values()]), 1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_and_pieces_give_the_same_bits(dtype, monkeypatch):
    rng = np.random.default_rng(7)
    block = cbp.Residual([cbp.Dense(9, "tanh"), *BLOCKS["nested"], cbp.Dense(5)], activation="silu")
    layers = [block, cbp.Flatten(), cbp.Dense(3)]
    x, y = rng.normal(size=(50, 4, 5)).astype(dtype), rng.normal(size=(50, 3)).astype(dtype)
    assert_threads_and_pieces_change_no_bit(lambda: network((4, 5), layers, dtype), x, y, monkeypatch)


def test_a_sample_of_weight_0_has_no_gradient():
    rng = np.random.default_rng(8)
    net = shake(network(5, [*BLOCKS["in a row"], cbp.Dense(2)]))
    x, y = rng.normal(size=(3, 5)), rng.normal(size=(3, 2))
    x[1] = 1e308
    close(net.gradient(x, y, [1, 0, 2])[1], net.gradient(x[[0, 2]], y[[0, 2]], [1, 2])[1], 1e-14)


def test_a_block_in_a_file(tmp_path):
    net = network(5, BLOCKS["nested"])
    net.save(tmp_path / "model.cbp")
    again = cbp.load(tmp_path / "model.cbp")
    assert again.layers == net.layers
    np.testing.assert_array_equal(again.predict(np.ones((1, 5))), net.predict(np.ones((1, 5))))
    assert cbp.Residual([cbp.Dense(3)]) == cbp.Residual((cbp.Dense(3),))


@pytest.mark.parametrize(("arguments", "options", "error", "message"), [
    (([],), {}, ValueError, "layers must hold at least one layer, got none"),
    ((cbp.Dense(3),), {}, TypeError, "layers must be a list of layers, got Dense"),
    (([3],), {}, TypeError, r"layers\[0\] of Residual must be a layer such as Dense\(10\), got 3"),
    (([cbp.Dense(3)],), {"activation": "rely"}, ValueError, "relu"),
])
def test_wrong_blocks(arguments, options, error, message):
    with pytest.raises(error, match=message):
        cbp.Residual(*arguments, **options)


@pytest.mark.parametrize(("shape", "layers", "message"), [
    ((4, 6), [cbp.Reshape((5, 5))], r"layers\[0\]: Residual, layers\[0\]: Reshape\(\(5, 5\)\) needs 25 numbers"),
    ((4, 6), [cbp.Flatten()], r"Residual\(\[Flatten\(\)\]\) adds its input .*\(4, 6\) and \(24,\) must be the same"),
    ((4, 6), [cbp.Reshape((3, 8))], r"the shapes \(4, 6\) and \(3, 8\) must be the same, but for the last axis"),
])
def test_blocks_that_do_not_fit(shape, layers, message):
    with pytest.raises(ValueError, match=message):
        network(shape, [cbp.Residual(layers)])


STRIDES = {
    "a picture halved": ((6, 8, 3), [cbp.Conv2D(5, 3, "tanh", stride=2, padding="same"), cbp.Conv2D(4, 3, padding="same")]),
    "odd sizes": ((5, 7, 3), [cbp.Conv2D(4, 3, stride=2, padding="same")]),
    "one axis only": ((4, 6, 3), [cbp.Conv2D(4, 3, "tanh", stride=(1, 3), padding="same"), cbp.Dense(16)]),
    "by a pool": ((4, 6, 16), [cbp.Conv2D(16, 3, padding="same"), cbp.MaxPool2D(2)]),
    "a sequence": ((7, 3), [cbp.Conv1D(5, 3, "tanh", stride=3, padding="same")]),
}


@pytest.mark.parametrize("name", STRIDES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("first", [True, False])
def test_a_projection_with_a_stride(name, dtype, first):
    """Beside the layers of the branch, run alone, and positions that are picked by slices; first and second layer."""
    shape, layers = STRIDES[name]
    rng = np.random.default_rng(11)
    before = [] if first else [cbp.Dense(shape[-1], "tanh")]
    net = shake(network(shape, [*before, cbp.Residual(layers, activation="silu")], dtype))
    x, d = rng.normal(size=(3, *shape)), rng.normal(size=(3, *net.output_shape))
    value = x if first else np.tanh(dense(x, net.parameters, "0"))
    place = f"{len(before)}"
    branch = network(shape, layers, dtype)
    for key, view in branch.parameters.items():
        view[...] = net.parameters[f"{place}.{key}"]
    weight = np.asarray(net.parameters[f"{place}.skip.weight"], float)
    strides = [-(-n // m) for n, m in zip(shape[:-1], net.output_shape[:-1], strict=True)]
    picked = value[(slice(None), *(slice(None, None, stride) for stride in strides))]
    z = branch.predict(value) + picked @ weight.reshape(weight.shape[-2:])
    close(net.predict(x), ACTIVATION["silu"](z), DTYPES[dtype])
    sigmoid = 1 / (1 + np.exp(-z))
    dz = d * sigmoid * (1 + z * (1 - sigmoid))
    d_weight = np.tensordot(picked, dz, [tuple(range(z.ndim - 1))] * 2)
    d_value, d_branch = branch.backward(value, dz)
    d_value[(slice(None), *(slice(None, None, stride) for stride in strides))] += dz @ weight.reshape(weight.shape[-2:]).T
    d_input, gradient = net.backward(x, d)
    close(gradient[-weight.size - d_branch.size :], np.concatenate([d_branch, d_weight.ravel()]), 10 * DTYPES[dtype])
    if first:
        close(d_input, d_value, 10 * DTYPES[dtype])


@pytest.mark.parametrize("name", STRIDES)
def test_gradients_of_a_projection_with_a_stride(name):
    shape, layers = STRIDES[name]
    rng = np.random.default_rng(12)
    block = cbp.Residual(layers, activation="tanh")
    net = shake(network(shape, [block, cbp.Flatten(), cbp.Dense(3, "softmax")], loss="cross_entropy"))
    assert cbp.check_gradients(net, rng.normal(size=(3, *shape)), rng.integers(3, size=3), limit=200).error < 1e-6


# --- side by side -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Beside(Layer):
    """A layer for this test: what two layers make of one input, one behind the other."""

    one: Layer
    other: Layer

    def output_shape(self, input_shape):
        shapes = [layer.output_shape(input_shape) for layer in (self.one, self.other)]
        return (*shapes[0][:-1], shapes[0][-1] + shapes[1][-1])

    def parameters(self, input_shape):
        return {f"{side}.{name}": array for side in ("one", "other")
                for name, array in getattr(self, side).parameters(input_shape).items()}

    def lower(self, plan, name, value):
        one, other = plan.split(value)
        return plan.concat(self.one.lower(plan, f"{name}.one", one), self.other.lower(plan, f"{name}.other", other))


@pytest.mark.parametrize("shape", [(5,), (4, 6)])
@pytest.mark.parametrize("units", [(3, 4), (16, 16), (16, 3), (15, 18)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_values_one_behind_the_other(shape, units, dtype, monkeypatch):
    monkeypatch.setitem(cbp.layers.LAYERS, "beside", Beside)
    rng = np.random.default_rng(9)
    layer = Beside(cbp.Dense(units[0], "tanh"), cbp.Dense(units[1]))
    net = shake(network(shape, [layer], dtype))
    x, d = rng.normal(size=(5, *shape)), rng.normal(size=(5, *net.output_shape))
    one, other = (network(shape, [part], dtype) for part in (layer.one, layer.other))
    for part, side in ((one, "one"), (other, "other")):
        for name, view in part.parameters.items():
            view[...] = net.parameters[f"0.{side}.{name[2:]}"]
    close(net.predict(x), np.concatenate([one.predict(x), other.predict(x)], -1), 1e-14)
    d_input, gradient = net.backward(x, d)
    halves = one.backward(x, d[..., : units[0]]), other.backward(x, d[..., units[0] :])
    close(d_input, halves[0][0] + halves[1][0], DTYPES[dtype])
    close(gradient, np.concatenate([halves[0][1], halves[1][1]]), DTYPES[dtype])


def test_a_value_beside_the_samples_themselves(monkeypatch):
    """The second half of the last axis comes straight from the samples, which have no pads."""
    monkeypatch.setitem(cbp.layers.LAYERS, "beside", Beside)
    rng = np.random.default_rng(10)
    layer = Beside(cbp.Dense(3, "tanh"), cbp.Reshape((4, 5)))
    net = network((4, 5), [layer, cbp.Dense(2)])
    x = rng.normal(size=(3, 4, 5))
    wanted = np.concatenate([np.tanh(dense(x, net.parameters, "0.one")), x], -1)
    close(net.predict(x), dense(wanted, net.parameters, "1"), 1e-14)
    assert cbp.check_gradients(net, x, rng.normal(size=(3, 4, 2))).error < 1e-6
