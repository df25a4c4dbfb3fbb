"""What every layer promises, whatever it computes: one contract, through which the cases of `LAYERS` in cases.py run.

What a layer computes is tested where its kind is; here its shapes, its names, its gradients against central differences, both
dtypes, the same bits for every way to share the work, files, and samples that have no weight.
"""

import copy
import pickle
import threading
from math import prod

import numpy as np
import pytest
from cases import BLOCKS, LAYERS, close, layer_data, layer_network

import cbp
from cbp.engine.cpu import core
from cbp.layers import Layer
from cbp.modelfile import description

DTYPES = ["float32", "float64"]
every = pytest.mark.parametrize("name", LAYERS)
either = pytest.mark.parametrize("dtype", DTYPES)
exact = [name for name in LAYERS if "truncated" not in name]
learning = [name for name in exact if LAYERS[name][0].parameters(LAYERS[name][1])]
smooth = [name for name in LAYERS if "embedding" not in name]


def same(net, other):
    return (np.array_equal(net.get_vector(), other.get_vector())
            and all(np.array_equal(view, other.statistics[name]) for name, view in net.statistics.items()))


# --- the table ----------------------------------------------------------------------------------------------------------------


def test_every_layer_and_every_op_has_a_case():
    classes = {kind for kind in vars(cbp.layers).values() if isinstance(kind, type) and issubclass(kind, Layer)} - {Layer}
    assert {type(layer) for layer, _ in LAYERS.values()} == classes == set(description.LAYERS.values())
    assert {kind.__name__ for kind in classes} <= set(cbp.__all__) & set(cbp.layers.__all__)
    kinds = {int(op["kind"]) for name in LAYERS for op in layer_network(name)._plan.ops}
    assert kinds == set(core.OPS.values()) - {core.OPS["thin"]}  # which large layers have: test_thin.py


# --- shapes and names ---------------------------------------------------------------------------------------------------------


@either
@every
def test_shapes(name, dtype):
    layer, shape = LAYERS[name]
    net = layer_network(name, dtype=dtype)
    x, _, _ = layer_data(net, 4)
    assert net.output_shape == layer.output_shape(shape)
    outputs = net.predict(x)
    assert outputs.shape == (4, *net.output_shape)
    assert outputs.dtype == dtype
    assert np.array_equal(net.predict_one(x[2]), net.predict(x[2:3])[0])
    d_input, gradient = net.backward(x, outputs)
    assert d_input.shape == x.shape
    assert gradient.shape == net.get_vector().shape


@every
def test_parameters_and_statistics(name):
    layer, shape = LAYERS[name]
    net = cbp.Network(shape, [layer], loss="mean_squared_error", seed=1)
    again = cbp.Network(shape, [layer], loss="mean_squared_error", seed=1)
    for views, specified in ((net.parameters, layer.parameters(shape)), (net.statistics, layer.statistics(shape))):
        assert {key: view.shape for key, view in views.items()} == {f"0.{key}": found.shape for key, found in specified.items()}
        assert all(np.isfinite(view).all() for view in views.values())
    assert len(net.get_vector()) == sum(prod(found.shape) for found in layer.parameters(shape).values())
    assert same(net, again)
    assert f"{len(net.get_vector()):,} parameters" in net.summary()


@every
def test_it_is_written_as_it_was_made(name):
    layer, _ = LAYERS[name]
    net = layer_network(name)
    kind = type(layer).__name__
    assert f"[{kind}(" in repr(net)
    assert kind in net.summary()
    made = eval(repr(net), {**vars(cbp), **vars(cbp.layers)})
    assert made.output_shape == net.output_shape
    shapes = [{key: view.shape for key, view in some.parameters.items()} for some in (made, net)]
    assert shapes[0] == shapes[1]


# --- numbers ------------------------------------------------------------------------------------------------------------------


@every
def test_evaluate_and_gradient_see_what_predict_says(name):
    net = layer_network(name)
    x, y, w = layer_data(net, 9)
    each = ((net.predict(x) - y) ** 2).reshape(9, -1).mean(1)
    expected = (w * each).sum() / w.sum()
    assert net.evaluate(x, y, w)["loss"] == pytest.approx(expected, rel=1e-12)
    assert net.gradient(x, y, w)[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", learning)
def test_gradients_of_parameters(name, training):
    for before, after in ((False, False), (True, True)):
        net = layer_network(name, before, after, l2=0.01)
        x, y, w = layer_data(net, 4)
        result = cbp.check_gradients(net, x, y, sample_weight=w + 0.5, training=training, limit=25)
        assert result.error < 1e-6, str(result)


@pytest.mark.parametrize("name", [name for name in exact if name in smooth])
def test_gradients_of_inputs(name):
    for before, after in ((False, False), (True, True)):
        net = layer_network(name, before, after)
        x, d, _ = layer_data(net, 5)
        direction = np.random.default_rng(6).normal(size=x.shape)
        d_input, _ = net.backward(x, d)
        steps = [(d * (net.predict(x + h * direction) - net.predict(x - h * direction))).sum() / (2 * h) for h in (1e-4, 2e-4)]
        assert (d_input * direction).sum() == pytest.approx((4 * steps[0] - steps[1]) / 3, rel=1e-7)


@every
def test_float32_is_close_to_float64(name):
    single, double = (layer_network(name, True, True, dtype) for dtype in DTYPES)
    double.set_vector(single.get_vector())
    for key, view in single.statistics.items():
        double.statistics[key][...] = view
    x, y, w = layer_data(single, 9)
    wide = x.astype(np.float64) if x.dtype.kind == "f" else x
    close(single.predict(x), double.predict(wide), 1e-5)
    for training in (True, False):
        losses, gradients = zip(*(net.gradient(data, y.astype(net.dtype), w, training=training)
                                  for net, data in ((single, x), (double, wide))), strict=True)
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)
        close(*gradients, 1e-4)
        products = [net.backward(data, y.astype(net.dtype), training=training)
                    for net, data in ((single, x), (double, wide))]
        close(products[0][0], products[1][0], 1e-4)
        close(products[0][1], products[1][1], 1e-4)


@every
def test_training_lowers_the_loss(name):
    """From random weights to those of a teacher: the same network, moved a little."""
    net, teacher = layer_network(name, True, True), layer_network(name, True, True)
    rng = np.random.default_rng(7)
    teacher.set_vector(teacher.get_vector() + 0.3 * rng.normal(size=teacher.get_vector().shape))
    x, _, _ = layer_data(net, 60)
    y = teacher.predict(x)
    before = net.evaluate(x, y)["loss"]
    net.fit(x, y, epochs=30, batch_size=20, optimizer=cbp.Adam(0.01))
    assert net.evaluate(x, y)["loss"] < 0.9 * before


@pytest.mark.parametrize("name", BLOCKS)
def test_first_in_a_block(name):
    """What a block does with the samples, whose rows have no pads, it does with any other value."""
    net = copy.deepcopy(BLOCKS[name])
    features = net.input_shape[-1]
    same_numbers = cbp.Dense(features, bias=False, init=np.eye(features))
    behind = cbp.Network(net.input_shape, [same_numbers, *net.layers], loss=net.loss, dtype="float64", seed=net.seed)
    behind.set_vector([*np.eye(features).ravel(), *net.get_vector()])
    x, y, w = layer_data(net, 7)
    np.testing.assert_array_equal(net.predict(x), [net.predict_one(row) for row in x])
    close(net.predict(x), behind.predict(x), 1e-14)
    for training in (True, False):
        if name in exact:
            assert cbp.check_gradients(net, x, y, sample_weight=w, training=training, limit=60).error < 1e-6
        d_input, gradient = net.backward(x, y, training=training)
        close(d_input, behind.backward(x, y, training=training)[0], 1e-12)
        close(gradient, behind.backward(x, y, training=training)[1][features**2 :], 1e-12)
    found = []
    for threads in (1, 2, 3):
        twin = copy.deepcopy(net)
        twin.fit(x, y, epochs=3, batch_size=4, threads=threads)
        found.append(twin.get_vector())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


# --- the same bits ------------------------------------------------------------------------------------------------------------


@either
@every
def test_threads(name, dtype):
    nets = []
    for threads in (1, 2, 3, 5):
        net = layer_network(name, True, True, dtype)
        x, y, w = layer_data(net, 43)
        net.fit(x, y, epochs=2, batch_size=16, threads=threads)
        net.fit(x, y, epochs=1, batch_size=None, threads=threads, sample_weight=w)
        nets.append(net)
    assert all(same(net, nets[0]) for net in nets[1:])


@either
@every
def test_pieces(name, dtype, monkeypatch):
    """How many rows go through at once changes nothing; a training step of BatchNorm takes them all."""
    found = []
    for piece in (40, 24, 13, 3, 1):
        net = layer_network(name, True, True, dtype)
        x, y, w = layer_data(net, 40)

        def pieces(plan, rows, *, apart=False, piece=piece):
            return rows if plan.whole_batch and not apart else min(rows, piece)

        monkeypatch.setattr(type(net._plan), "piece", pieces)
        results = [net.predict(x), *net.backward(x, y), net.get_vector()]
        for training in (True, False):
            results += net.gradient(x, y, w, training=training)
        net.fit(x, y, epochs=1, batch_size=30)
        found.append([*results, net.get_vector()])
        monkeypatch.undo()
    for results in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(results, found[0], strict=True))


@every
def test_rows_of_other_arrays(name):
    """Reversed and strided samples, integers and lists are read as they are."""
    net = layer_network(name)
    x, _, _ = layer_data(net, 6)
    x = np.round(3 * x) if x.dtype.kind == "f" else x
    expected = net.predict(x)
    for other in (x[::-1][::-1], np.repeat(x, 2, axis=0)[::2], x.astype(np.int8), np.asfortranarray(x), x.tolist()):
        assert np.array_equal(net.predict(other), expected)


@either
@every
def test_a_run_in_two_parts_equals_one(name, dtype, tmp_path):
    whole, half = (layer_network(name, True, True, dtype) for _ in range(2))
    x, y, _ = layer_data(whole, 20)
    whole.fit(x, y, epochs=3, batch_size=8, optimizer="adam")
    half.fit(x, y, epochs=1, batch_size=8, optimizer="adam")
    half.save(tmp_path / "half.cbp")
    resumed = pickle.loads(pickle.dumps(cbp.load(tmp_path / "half.cbp")))
    assert resumed.layers == half.layers
    assert same(resumed, half)
    copied = copy.deepcopy(half)
    for net in (resumed, copied):
        net.fit(x, y, epochs=2, batch_size=8)
        assert same(net, whole)
        assert np.array_equal(net.predict(x), whole.predict(x))


@every
def test_predictions_from_several_threads_at_once(name):
    net = layer_network(name, True, True, "float32")
    x, _, _ = layer_data(net, 200)
    expected, right = net.predict(x), []

    def ask():
        right.extend(np.array_equal(net.predict(x), expected) for _ in range(5))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(right) == 20
    assert all(right)


# --- what must not matter -----------------------------------------------------------------------------------------------------


@either
@pytest.mark.parametrize("name", smooth)
def test_a_sample_of_weight_0_that_overflows(name, dtype):
    for before, after in ((False, False), (False, True), (True, True)):
        nets = [layer_network(name, before, after, dtype) for _ in range(2)]
        x, y, w = layer_data(nets[0], 9)
        wild = x.copy()
        wild[w == 0] = np.finfo(dtype).max * np.sign(x[w == 0])
        for training in (True, False):
            loss, gradient = nets[0].gradient(wild, y, w, training=training)
            expected, expected_gradient = nets[1].gradient(x, y, w, training=training)
            assert loss == expected
            assert np.array_equal(gradient, expected_gradient)
        for threads in (1, 2):
            nets[0].fit(wild, y, epochs=2, batch_size=5, sample_weight=w, threads=threads, shuffle=False)
            nets[1].fit(x, y, epochs=2, batch_size=5, sample_weight=w, threads=threads, shuffle=False)
            assert same(*nets)


@every
def test_a_batch_whose_samples_all_have_weight_0_changes_nothing(name):
    """The epoch is that of the second half alone."""
    net, other = (layer_network(name, True, True) for _ in range(2))
    x, y, _ = layer_data(net, 8)
    net.fit(x, y, epochs=1, batch_size=4, sample_weight=[0, 0, 0, 0, 1, 2, 0, 1], shuffle=False)
    other.fit(x[4:], y[4:], epochs=1, batch_size=4, sample_weight=[1, 2, 0, 1], shuffle=False)
    assert same(net, other)
    assert net.step == 1


@pytest.mark.parametrize("name", [name for name in LAYERS if not layer_network(name)._plan.no_lengths])
def test_steps_beyond_the_lengths(name):
    net = layer_network(name, True)
    x, y, _ = layer_data(net, 5)
    time = net.input_shape[0]
    lengths = np.array([time, 1, 2, time - 1, 1])
    beyond = np.arange(time) >= lengths[:, None]
    other = x.copy()
    other[beyond] = 0 if x.dtype.kind != "f" else -3
    for training in (True, False):
        found, expected = (net.gradient(data, y, lengths=lengths, training=training) for data in (other, x))
        assert found[0] == expected[0]
        assert np.array_equal(found[1], expected[1])
    if name in exact:
        assert cbp.check_gradients(net, x, y, lengths=lengths, limit=20).error < 1e-6
    full = np.full(5, time)
    assert np.array_equal(net.predict(x, lengths=full), net.predict(x))


@every
def test_wrong_shapes_of_samples(name):
    net = layer_network(name)
    x, y, _ = layer_data(net, 3)
    wrong = np.concatenate([x, x], axis=-1)
    for call in (lambda: net.predict(wrong), lambda: net.fit(wrong, y), lambda: net.backward(wrong, y)):
        with pytest.raises(ValueError, match="X "):
            call()
    with pytest.raises(ValueError, match=r"y |output"):
        net.fit(x, np.concatenate([y, y], axis=-1))
