"""The trace of every layer against the core, and what a learner finds in it: names, formulas, places of use."""

import json
import pickle
import re

import numpy as np
import pytest

import cbp
from cbp import _lower
from cbp.trace import philox
from cbp.trace.layers import LAYER_RULES


def dense(units=2, activation="identity"):
    return cbp.Dense(units, activation)


# Name of the case: shape of a sample, layers. Every layer stands between others, so that its way back is traced too.
CASES = {
    "dense on steps": ((3, 2), [dense(3, "tanh"), cbp.Flatten(), dense()]),
    "dense on pixels": ((2, 3, 2), [dense(3, "gelu"), cbp.GlobalAveragePool(), dense()]),
    "conv1d": (
        (6, 2), [dense(2, "tanh"), cbp.Conv1D(4, 3, "tanh", stride=2, padding="same", groups=2), cbp.Flatten(), dense()],
    ),
    "conv1d of 1": ((4, 2), [cbp.Conv1D(3, 1, "tanh"), cbp.Flatten(), dense()]),
    "conv2d": ((4, 3, 1), [cbp.Conv2D(2, 2, "tanh"), cbp.Conv2D(2, 2, "relu"), cbp.Flatten(), dense()]),
    "conv2d with all": (
        (6, 5, 2),
        [dense(4, "tanh"), cbp.Conv2D(4, (3, 2), "tanh", stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, bias=False),
         cbp.Flatten(), dense()],
    ),
    "conv2d same, stride 2": ((5, 4, 2), [cbp.Conv2D(2, 3, "softplus", padding="same", stride=2), cbp.Flatten(), dense()]),
    "depthwise": (
        (4, 4, 2),
        [dense(2, "tanh"), cbp.DepthwiseConv2D(3, activation="tanh", multiplier=2, padding="same"), cbp.GlobalAveragePool(),
         dense()],
    ),
    "separable": (
        (4, 4, 2), [dense(2, "tanh"), cbp.SeparableConv2D(3, 2, "tanh", multiplier=2, stride=2), cbp.GlobalMaxPool(), dense()],
    ),
    "max pools": (
        (5, 5, 2),
        [dense(2, "tanh"), cbp.MaxPool2D(2, stride=1), cbp.MaxPool2D(3, padding="same", stride=2), cbp.Flatten(), dense()],
    ),
    "average pools": (
        (5, 4, 2), [dense(2, "tanh"), cbp.AveragePool2D(2, padding=1), cbp.AveragePool2D((2, 1)), cbp.Flatten(), dense()],
    ),
    "pools of steps": (
        (7, 2), [dense(2, "tanh"), cbp.MaxPool1D(2, stride=1), cbp.AveragePool1D(3, padding="same"), cbp.Flatten(), dense()],
    ),
    "reshape": ((6,), [dense(6, "tanh"), cbp.Reshape((3, 2)), cbp.GRU(2), dense()]),
    "rnn": ((4, 2), [cbp.RNN(2, return_sequences=True), cbp.RNN(3, "sigmoid", reverse=True, bias=False), dense()]),
    "rnn truncated": (
        (5, 2), [cbp.RNN(2, return_sequences=True, bptt=2), cbp.RNN(2, return_sequences=True, reverse=True, bptt=3), dense()],
    ),
    "lstm": ((3, 2), [cbp.LSTM(2, return_sequences=True), cbp.LSTM(3, reverse=True), dense()]),
    "lstm truncated": ((4, 2), [dense(2, "tanh"), cbp.LSTM(2, return_sequences=True, bptt=2)]),
    "gru": ((3, 2), [cbp.GRU(2, return_sequences=True), cbp.GRU(3, reverse=True), dense()]),
    "gru truncated": ((4, 2), [dense(2, "tanh"), cbp.GRU(2, return_sequences=True, bptt=2, bias=False)]),
    "bidirectional": (
        (3, 2), [cbp.Bidirectional(cbp.LSTM(2, return_sequences=True)), cbp.Bidirectional(cbp.GRU(2)), dense()],
    ),
    "bidirectional, every step": ((3, 2), [dense(2, "tanh"), cbp.Bidirectional(cbp.RNN(1, return_sequences=True))]),
    "embedding": ((4,), [cbp.Embedding(5, 3), cbp.RNN(2), dense()]),
    "sparse embedding": ((4,), [cbp.Embedding(6, 2, sparse=True), cbp.Flatten(), dense()]),
    "batch norm": ((3,), [dense(3), cbp.BatchNorm(activation="tanh", momentum=0.3), dense()]),
    "batch norm of steps": ((3, 2), [cbp.BatchNorm(epsilon=1e-3), dense(2, "tanh"), cbp.BatchNorm(), cbp.Flatten(), dense()]),
    "layer norm": ((3, 4), [cbp.LayerNorm(), dense(3), cbp.LayerNorm(activation="tanh"), cbp.Flatten(), dense()]),
    "dropout": ((20,), [cbp.Dropout(0.3), dense(18, "tanh"), cbp.Dropout(0.5), dense()]),
    "dropout of pixels": ((3, 3, 2), [dense(3, "tanh"), cbp.Dropout(0.4), cbp.Flatten(), dense()]),
    "gaussian noise": ((3, 18), [cbp.GaussianNoise(0.5), dense(2, "tanh"), cbp.GaussianNoise(0.1), cbp.Flatten(), dense()]),
    "residual": ((3, 2), [cbp.Residual([dense(3, "tanh"), dense(2)]), cbp.Flatten(), dense()]),
    "residual, projected": (
        (4, 4, 2),
        [dense(2, "tanh"),
         cbp.Residual([cbp.Conv2D(3, 3, padding="same", stride=2, bias=False), cbp.BatchNorm()], activation="relu"),
         cbp.GlobalAveragePool(), dense()],
    ),
    "flatten last": ((2, 2), [dense(2, "tanh"), cbp.Flatten()]),
}  # fmt: skip

MIXED = {
    "convolution, recurrence, dense": (
        (6, 3), [cbp.Conv1D(3, 2, "relu"), cbp.MaxPool1D(2, stride=1), cbp.LayerNorm(), cbp.LSTM(3), cbp.Dropout(0.25),
                 dense(4, "tanh"), dense(3, "softmax")], "cross_entropy",
    ),
    "image, sequence to sequence": (
        (4, 4, 1), [cbp.Conv2D(2, 3, padding="same", bias=False), cbp.BatchNorm(activation="relu"),
                    cbp.Residual([cbp.DepthwiseConv2D(3, padding="same", activation="tanh")]), cbp.AveragePool2D((1, 2)),
                    cbp.Reshape((4, 4)), cbp.Bidirectional(cbp.GRU(2, return_sequences=True)), dense(2, "sigmoid")],
        "binary_cross_entropy",
    ),
}  # fmt: skip

OPTIMIZERS = [cbp.SGD(0.1), cbp.SGD(0.05, momentum=0.9, nesterov=True), cbp.Adam(0.01), cbp.AdamW(0.01, weight_decay=0.2),
              cbp.RMSprop(0.01), cbp.Adagrad(0.1)]  # fmt: skip


def network(shape, layers, loss="half_squared_error", **settings):
    """A network whose biases, scales and shifts are not at their start."""
    net = cbp.Network(shape, layers, loss=loss, dtype=settings.pop("dtype", "float64"), seed=7, **settings)
    generator = np.random.default_rng(5)
    for name, values in net.parameters.items():
        if name.rpartition(".")[2] in ("bias", "scale", "shift"):
            values += generator.normal(size=values.shape) * 0.5
    return net


def data(net, rows=4, seed=3):
    """Inputs and targets that suit the network."""
    generator = np.random.default_rng(seed)
    first = net.layers[0]
    shape = (rows, *net.input_shape)
    x = generator.integers(first.vocabulary, size=shape) if isinstance(first, cbp.Embedding) else generator.normal(size=shape)
    places = (rows, *net.output_shape[:-1])
    if net.loss.name == "cross_entropy":
        return x, generator.integers(net.output_shape[-1], size=places)
    if net.loss.name == "binary_cross_entropy":
        return x, generator.random((rows, *net.output_shape))
    return x, generator.normal(size=(rows, *net.output_shape))


def close(actual, expected, scale=1e-12):
    """Equal up to rounding, measured against the largest of the numbers compared."""
    expected = np.asarray(expected, dtype=float)
    np.testing.assert_allclose(actual, expected, rtol=scale, atol=scale * max(1e-3, np.abs(expected).max(initial=0)))


def agree(net, x, y, optimizer=None, scale=1e-12, **how):
    """Trace the step, let the core make it, and compare every number that both have."""
    traced = net.trace(x, y, optimizer=optimizer, **how)
    stays = {name: values.copy() for name, values in net.statistics.items()}
    assert [parameter.before for parameter in traced.parameters] == net.get_vector().tolist()
    loss, gradient = net.gradient(x, y, training=True, **how)
    close(traced.loss_before, loss, scale)
    if not any(isinstance(layer, cbp.Embedding) and layer.sparse for layer in net.layers):
        close([parameter.gradient for parameter in traced.parameters], gradient, scale)
    close(net.train_on_batch(x, y, optimizer=optimizer, **how), traced.loss_before, scale)
    close([parameter.after for parameter in traced.parameters], net.get_vector(), scale)
    assert traced.step == net.step
    for slot, arrays in net.optimizer_state.items():
        flat = np.concatenate([view.ravel() for view in arrays.values()])
        close([parameter.state_after[slot] for parameter in traced.parameters], flat, scale)
    for name, values in net.statistics.items():  # of a single number they stay
        remembered = [statistic.after for statistic in traced.statistics if statistic.name == name]
        close(remembered or stays[name], values, scale)
    return traced


# ---------------------------------------------------------------------------------------------- agreement with the core


def kinds(layers):
    """The classes of layers, and of the layers inside them."""
    found = set()
    for layer in layers:
        inside = getattr(layer, "layers", None) or [each for each in [getattr(layer, "layer", None)] if each]
        found |= {type(layer)} | kinds(inside)
    return found


def test_every_layer_has_its_rule_and_its_case():
    assert set(LAYER_RULES) == set(_lower.KINDS)
    assert set().union(*(kinds(layers) for _, layers in CASES.values())) == set(LAYER_RULES)


@pytest.mark.parametrize("case", CASES)
def test_every_layer_makes_the_step_of_the_core(case):
    net = network(*CASES[case])
    agree(net, *data(net), cbp.SGD(0.1))
    agree(net, *data(net, rows=3, seed=8), cbp.SGD(0.1), sample_weight=[0.5, 3.0, 1.0])


@pytest.mark.parametrize(
    "case", ["conv2d", "lstm", "batch norm of steps", "sparse embedding", "dropout", "residual, projected"]
)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_every_optimizer_over_several_steps(case, optimizer):
    net = network(*CASES[case], l1=0.01, l2=0.1)
    for step in range(4):
        traced = agree(net, *data(net, seed=step), optimizer if step % 2 == 0 else None, scale=1e-11)
        assert traced.step == step + 1


@pytest.mark.parametrize("case", MIXED)
@pytest.mark.parametrize("optimizer", OPTIMIZERS[:3], ids=repr)
def test_mixed_models(case, optimizer):
    net = network(*MIXED[case])
    for seed in range(3):
        agree(net, *data(net, seed=seed), optimizer, scale=1e-11)


@pytest.mark.parametrize("case", CASES)
def test_one_row_alone(case):
    net = network(*CASES[case])
    x, y = data(net)
    agree(net, x[:1], y[:1], cbp.SGD(0.1))
    assert net.trace(x[0], y[0]).to_dict() == net.trace(x[:1], y[:1]).to_dict()


@pytest.mark.parametrize(
    ("loss", "output", "layers"),
    [
        ("mean_squared_error", "identity", [cbp.RNN(2, return_sequences=True)]),
        ("huber", "identity", [cbp.LSTM(2, return_sequences=True)]),
        ("cross_entropy", "softmax", [cbp.GRU(2, return_sequences=True)]),
        ("binary_cross_entropy", "sigmoid", [cbp.Conv1D(2, 2)]),
        ("mean_absolute_error", "softmax", [cbp.Conv1D(2, 3, padding="same")]),
    ],
)
def test_a_loss_at_every_step(loss, output, layers):
    net = network((4, 2), [*layers, cbp.Dense(3, output)], loss)
    agree(net, *data(net), cbp.SGD(0.1))


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_outputs_that_later_steps_read(activation):
    loss = "binary_cross_entropy" if activation == "sigmoid" else "half_squared_error"
    net = network((4, 2), [cbp.RNN(2, activation, return_sequences=True)], loss)
    agree(net, *data(net), cbp.SGD(0.1))


@pytest.mark.parametrize(
    "layers",
    [
        [cbp.RNN(2, return_sequences=True), cbp.LSTM(2, reverse=True), dense()],
        [cbp.GRU(2, return_sequences=True, reverse=True, bptt=2), dense()],
        [cbp.Bidirectional(cbp.LSTM(2, return_sequences=True)), cbp.BatchNorm(), dense()],
        [cbp.LSTM(2, return_sequences=True), cbp.GlobalMaxPool(), dense()],
        [dense(2, "tanh"), cbp.GlobalAveragePool(), dense()],
        [cbp.Residual([cbp.RNN(2, return_sequences=True)]), cbp.LayerNorm(), dense()],
    ],
)
def test_sequences_of_different_lengths(layers):
    net = network((5, 2), layers)
    agree(net, *data(net), cbp.SGD(0.1), lengths=[2, 5, 1, 3])


def test_lengths_of_an_embedding():
    net = network((5,), [cbp.Embedding(30, 2, sparse=True), cbp.GRU(2), dense()])
    x, y = data(net)
    for _ in range(3):
        traced = agree(net, x, y, cbp.Adam(0.1), lengths=[2, 5, 1, 3])
    moved = {parameter.index[0] for parameter in traced.parameters if parameter.name == "0.weight" and parameter.gradient}
    assert moved == {word for row, length in zip(x, [2, 5, 1, 3], strict=True) for word in row[:length]}


def test_rows_of_weight_0_do_not_count():
    net = network(*CASES["batch norm of steps"])
    agree(net, *data(net), cbp.SGD(0.1), sample_weight=[1.0, 0.0, 2.0, 0.0])


def test_float32():
    net = network(*MIXED["image, sequence to sequence"], dtype="float32")
    agree(net, *data(net), cbp.SGD(0.1), scale=3e-5)


def test_after_a_fit_the_noise_goes_on():
    net = network(*CASES["dropout"])
    x, y = data(net, rows=12)
    net.fit(x, y, epochs=3, batch_size=5, optimizer=cbp.Adam(0.01))
    agree(net, x, y)
    net.set_optimizer(cbp.SGD(0.1))
    agree(net, x, y)


def test_tracing_changes_nothing():
    net = network(*MIXED["image, sequence to sequence"])
    x, y = data(net)
    before = pickle.dumps(net)
    first, second = net.trace(x, y), net.trace(x, y)
    assert first.to_dict() == second.to_dict()
    assert pickle.dumps(net) == before


def test_philox_is_that_of_the_authors():
    """The known answers of Random123, kat_vectors, philox4x32 with 10 rounds."""
    assert philox.block([0, 0], [0, 0, 0, 0]) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox.block([0xFFFFFFFF] * 2, [0xFFFFFFFF] * 4) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    key, counter = [0xA4093822, 0x299F31D0], [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344]
    assert philox.block(key, counter) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


# ------------------------------------------------------------------------------------------------- a small convolution


@pytest.fixture
def convolution():
    """A window of 2x2 on an image of 3x3, its four numbers into one output."""
    net = cbp.Network((3, 3, 1), [cbp.Conv2D(1, 2, "tanh"), cbp.Flatten(), cbp.Dense(1)], loss="half_squared_error",
                      dtype="float64", seed=0)  # fmt: skip
    net.set_vector([0.5, -0.5, 1.0, 0.25, 0.1, 1.0, -1.0, 0.5, 2.0, 0.0])
    image = np.array([[0.0, 1.0, 2.0], [0.5, 0.0, 1.0], [1.0, 1.0, 0.0]])
    return net.trace(image[..., None], 1.0, optimizer=cbp.SGD(0.1))


def test_units_of_a_convolution_are_named_after_row_and_column(convolution):
    assert convolution.input_names == ("x[1,1]", "x[1,2]", "x[1,3]", "x[2,1]", "x[2,2]", "x[2,3]", "x[3,1]", "x[3,2]", "x[3,3]")
    layers = convolution.rows[0].layers
    assert [layer.kind for layer in layers] == ["Conv2D", "Flatten", "Dense"]
    assert [[unit.name for unit in layer.units] for layer in layers] == [["h[1,1]", "h[1,2]", "h[2,1]", "h[2,2]"], [], ["ŷ"]]
    unit = convolution.unit("h[2,1]")
    assert [term.source for term in unit.terms] == ["x[2,1]", "x[2,2]", "x[3,1]", "x[3,2]", "bias"]
    assert [term.value for term in unit.terms] == [0.5, 0.0, 1.0, 1.0, 1.0]
    assert unit.symbols == ("w[1,1]", "w[1,2]", "w[2,1]", "w[2,2]", "b")
    assert unit.weighted_sum == pytest.approx(0.5 * 0.5 + 1.0 * 1.0 + 0.25 * 1.0 + 0.1)
    assert [term.source for term in unit.back_terms] == ["ŷ"]


def test_the_gradient_of_a_tap_is_a_sum_over_its_places(convolution):
    tap = convolution.parameter("w[2,1]")
    assert (tap.name, tap.index, tap.symbol, tap.source, tap.unit) == ("0.weight", (1, 0, 0, 0), "w[2,1]", "", "")
    assert [(use.unit, use.source) for use in tap.uses] == [
        ("h[1,1]", "x[2,1]"), ("h[1,2]", "x[2,2]"), ("h[2,1]", "x[3,1]"), ("h[2,2]", "x[3,2]"),
    ]  # fmt: skip
    assert sum(use.delta * use.value for use in tap.uses) == pytest.approx(tap.gradient)
    assert [use.source for use in convolution.parameter("b").uses] == ["bias"] * 4
    assert convolution.parameter("h[2,1]", "ŷ").before == 0.5


def test_text_of_a_convolution(convolution):
    lines = str(convolution).splitlines()
    for line in (
        "Network     3×3×1 inputs → Conv2D 2×2×1 tanh → Flatten 4 → Dense 1 identity",
        "  x[2,1…3]    0.5    0    1",
        "      s[y,x] = Σ w[ky,kx]·input[y+ky-1, x+kx-1] + b",
        "  h[1,2]  s = w[1,1]·x[1,2] + w[1,2]·x[1,3] + w[2,1]·x[2,2] + w[2,2]·x[2,3] + b",
        "            = 0.5·1 - 0.5·2 + 1·0 + 0.25·1 + 0.1 = -0.15",
        "          a = tanh(-0.15) = -0.14889,   a′ = 1 - (-0.14889)² = 0.97783",
        "  ŷ     = w·h[1,1] + w·h[1,2] + w·h[2,1] + w·h[2,2] + bias",
        "  h[1,2]  ∂L/∂a = w·δ(ŷ) = -1·0.78349 = -0.78349",
        "    w[2,1]  g = δ(h[1,1])·x[2,1] + δ(h[1,2])·x[2,2] + δ(h[2,1])·x[3,1] + δ(h[2,2])·x[3,2]",
    ):
        assert line in lines
    assert max(map(len, lines)) <= 100


# ------------------------------------------------------------------------------------------------- a recurrent network


@pytest.fixture
def recurrent():
    """One unit over three steps."""
    net = cbp.Network((3, 1), [cbp.RNN(1), cbp.Dense(1)], loss="half_squared_error", dtype="float64", seed=0)
    net.set_vector([1.0, 0.5, 0.1, 2.0, 0.0])
    return net.trace([[1.0], [0.5], [-1.0]], 1.0, optimizer=cbp.SGD(0.1))


def test_units_of_a_recurrent_network_are_named_after_their_step(recurrent):
    assert recurrent.input_names == ("x[t=1]", "x[t=2]", "x[t=3]")
    first, last = recurrent.rows[0].layers
    assert [(unit.name, unit.group) for unit in first.units] == [(f"h[t={t}]", f"t = {t}") for t in (1, 2, 3)]
    assert [unit.name for unit in last.units] == ["ŷ"]
    unit = recurrent.unit("h[t=2]")
    assert tuple(unit.terms[0]) == ("x[t=2]", 1.0, 0.5)
    assert [term.source for term in unit.terms] == ["x[t=2]", "h[t=1]", "bias"]
    assert unit.symbols == ("W", "U", "b")
    assert [term.source for term in unit.back_terms] == ["h[t=3]"]
    assert unit.back_symbols == ("U",)


def test_the_gradient_through_time_is_a_sum_over_the_steps(recurrent):
    uses = recurrent.parameter("U").uses
    assert [(use.unit, use.source) for use in uses] == [("h[t=1]", "h[t=0]"), ("h[t=2]", "h[t=1]"), ("h[t=3]", "h[t=2]")]
    assert uses[0].value == 0.0
    assert sum(use.delta * use.value for use in uses) == pytest.approx(recurrent.parameter("U").gradient)


def test_text_of_a_recurrent_network(recurrent):
    lines = str(recurrent).splitlines()
    for line in (
        "Network     3×1 inputs → RNN 1 tanh → Dense 1 identity",
        "  x[t=1] = 1, x[t=2] = 0.5, x[t=3] = -1",
        "      h = f(W·x + U·h₋₁ + b), f = tanh, with the same W and U at every step",
        "    t = 2",
        "  h[t=2]  s = W·x[t=2] + U·h[t=1] + b = 1·0.5 + 0.5·0.8005 + 0.1 = 1.0002",
        "  h[t=2]  ∂L/∂a = U·δ(h[t=3]) = 0.5·(-3.0188) = -1.5094",
    ):
        assert line in lines
    gradient = next(line for line in lines if line.startswith("    U "))
    assert "g = δ(h[t=1])·h[t=0] + δ(h[t=2])·h[t=1] + δ(h[t=3])·h[t=2]" in gradient
    steps = [line.strip() for line in lines if line.startswith("    t = ")]
    assert steps[3:] == ["t = 3", "t = 2", "t = 1"]


def test_gates_of_an_lstm():
    net = network((2, 1), [cbp.LSTM(1), dense(1)])
    traced = net.trace([[1.0], [0.5]], 1.0)
    names = [unit.name for unit in traced.rows[0].layers[0].units]
    assert names == [f"{gate}[t={t}]" for t in (1, 2) for gate in "ifgoch"]
    assert traced.unit("c[t=2]").formula == "f[t=2]·c[t=1] + i[t=2]·g[t=2]"
    assert traced.unit("h[t=2]").formula == "o[t=2]·tanh(c[t=2])"
    assert traced.unit("c[t=1]").back_symbols == ("o[t=1]·(1 - tanh(c[t=1])²)", "f[t=2]")
    assert traced.unit("f[t=2]").symbols == ("W_f", "U_f", "b_f")
    assert [traced.unit(f"{gate}[t=1]").activation for gate in "ifgo"] == ["sigmoid", "sigmoid", "tanh", "sigmoid"]
    assert traced.parameter("b_f").index == (1, 0)


def test_gates_of_a_gru():
    net = network((2, 2), [cbp.GRU(2), dense(1)])
    traced = net.trace(np.ones((2, 2)), 1.0)
    assert [unit.name for unit in traced.rows[0].layers[0].units][:6] == [f"{gate}[t=1].1" for gate in "rzqmnh"]
    assert traced.unit("n[t=1].2").formula == "q[t=1].2 + r[t=1].2·m[t=1].2"
    assert traced.unit("h[t=2].1").formula == "(1 - z[t=2].1)·n[t=2].1 + z[t=2].1·h[t=1].1"
    assert traced.parameter("b_m[2]").index == (3, 1)
    assert traced.parameter("U_n[1,2]").index == (0, 2, 1)


def test_truncation_cuts_the_way_back_and_nothing_else():
    whole, cut = (network((4, 1), [cbp.RNN(1, bptt=bptt), dense(1)]) for bptt in (None, 2))
    traced = [net.trace(np.ones((4, 1)), 1.0) for net in (whole, cut)]
    assert traced[0].unit("ŷ").value == traced[1].unit("ŷ").value
    assert [unit.delta != 0 for unit in traced[1].rows[0].layers[0].units] == [False, False, True, True]
    assert all(unit.delta for unit in traced[0].rows[0].layers[0].units)


# --------------------------------------------------------------------------------------------------- names elsewhere


def test_names_tell_layers_apart():
    net = network((4, 4, 2), [cbp.Conv2D(2, 2), cbp.MaxPool2D(2, stride=1), cbp.Conv2D(1, 2), cbp.Flatten(), dense(2)])
    traced = net.trace(*data(net, rows=1))
    assert traced.input_names[:3] == ("x[1,1,1]", "x[1,1,2]", "x[1,2,1]")
    firsts = [layer.units[0].name if layer.units else "" for layer in traced.rows[0].layers]
    assert firsts == ["h1[1,1,1]", "h2[1,1,1]", "h3[1,1]", "", "ŷ1"]
    assert [parameter.label for parameter in traced.parameters][:2] == ["w1[1,1,1,1]", "w1[1,1,1,2]"]
    assert traced.parameters[-1].label == "bias → ŷ2"
    assert traced.parameter("w3[2,1,2,1]").name == "2.weight"
    with pytest.raises(KeyError, match=r"no parameter is called 'w3'; .* w1\[1,1,1,1\]"):
        traced.parameter("w3")


def test_directions_have_arrows():
    net = network((3, 1), [cbp.Bidirectional(cbp.LSTM(1, return_sequences=True)), cbp.RNN(1), dense(1)])
    traced = net.trace(np.ones((3, 1)), 1.0)
    names = [unit.name for unit in traced.rows[0].layers[0].units]
    assert names[0] == "i1→[t=1]"
    assert names[18] == "i1←[t=3]"
    assert traced.parameter("U1←_g").name == "0.backward.recurrent"


def test_a_pool_shows_who_won():
    net = network((2, 2, 1), [cbp.MaxPool2D(2), cbp.Flatten(), dense(1)])
    traced = net.trace(np.array([[1.0, 4.0], [3.0, 2.0]])[..., None], 1.0)
    unit = traced.unit("h[1,1]")
    assert unit.formula == "max(x[1,1], x[1,2], x[2,1], x[2,2])"
    assert [term.weight for term in unit.terms] == [0.0, 1.0, 0.0, 0.0]
    assert "= max(1, 4, 3, 2) = 4   (from x[1,2])" in str(traced)


def test_dropout_shows_its_mask():
    net = network((6,), [cbp.Dropout(0.5), dense(1)])
    traced = net.trace(np.ones(6), 1.0)
    units = traced.rows[0].layers[0].units
    assert {unit.terms[0].weight for unit in units} == {0.0, 2.0}
    assert {unit.note for unit in units} == {"", "dropped"}
    assert re.search(r"h\d +=? *= x\d·m = 1·2 = 2$", str(traced), re.MULTILINE)


def test_batch_norm_shows_its_moments_and_what_it_remembers():
    net = network((2,), [cbp.BatchNorm(), dense(1)])
    traced = net.trace([[1.0, 0.0], [3.0, 4.0]], [1.0, 2.0])
    assert (traced.unit("μ[1]").value, traced.unit("v[1]").value) == (2.0, 1.0)
    assert traced.unit("μ[2]").formula == "(x2⁽¹⁾ + x2⁽²⁾) / 2"
    assert traced.unit("x̂1", row=1).value == pytest.approx(1 / np.sqrt(1 + 1e-5))
    assert traced.coupled
    remembered = {(statistic.name, statistic.index): statistic for statistic in traced.statistics}
    assert remembered["0.mean", (1,)].after == pytest.approx(0.1 * 2.0)
    assert remembered["0.variance", (0,)].batch == 2.0
    assert "remembered" in str(traced)
    assert "remembered" in traced._repr_html_()


def test_an_embedding_shows_which_row_was_picked():
    net = network((2,), [cbp.Embedding(4, 1), cbp.Flatten(), dense(1)])
    traced = net.trace([3, 3], 1.0)
    assert [(use.unit, use.source) for use in traced.parameter("E[3]").uses] == [
        ("e[t=1]", "[x[t=1]=3]"), ("e[t=2]", "[x[t=2]=3]"),
    ]  # fmt: skip
    assert traced.parameter("E[0]").uses == ()


def test_only_dense_layers_on_features_keep_their_look():
    plain = cbp.Network(2, [cbp.Dense(2), cbp.Dense(1)], loss="half_squared_error", seed=1).trace([1, 2], 3)
    assert not plain.layered
    assert "Hidden layer, identity:" in str(plain)
    steps = cbp.Network((2, 1), [cbp.Dense(2), cbp.Dense(1)], loss="half_squared_error", seed=1).trace([[1], [2]], [[3], [4]])
    assert steps.layered
    assert "h[t=2].1" in str(steps)


# -------------------------------------------------------------------------------------------------- dict, text and HTML


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [1, 3])
def test_dict_text_and_html(case, rows):
    net = network(*CASES[case])
    traced = net.trace(*data(net, rows=rows), optimizer=cbp.Adam(0.01))
    plain = traced.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(json.dumps(plain))
    assert [layer["kind"] for layer in plain["rows"][0]["layers"]] == [type(layer).__name__ for layer in net.layers]
    lines = str(traced).splitlines()
    assert max(map(len, lines)) <= 100
    assert not any(line != line.rstrip() for line in lines)
    assert not re.search(r"\{|\bnan\b|None", str(traced))
    page = traced._repr_html_()
    assert page.count("<table>") == page.count("</table>")
    assert page.count("<div") == page.count("</div>")
    assert pickle.loads(pickle.dumps(traced)).to_dict() == plain


@pytest.mark.parametrize("case", CASES)
def test_sums_add_up(case):
    """Every sum is that of its terms, and every δ what its readers hand back."""
    net = network(*CASES[case])
    for row in net.trace(*data(net, rows=2)).rows:
        for unit in (unit for layer in row.layers for unit in layer.units):
            if unit.template is None:
                close(sum(term.product for term in unit.terms), unit.weighted_sum)
            if not unit.direction and isinstance(unit.derivative, float):
                close(unit.derivative * sum(term.product for term in unit.back_terms), unit.delta)


def test_long_sequences_and_large_layers_are_cut_short():
    net = network((30, 2), [cbp.LSTM(12, return_sequences=True), cbp.GlobalMaxPool(), dense(1)])
    traced = net.trace(*data(net, rows=1))
    text = str(traced)
    assert "… 24 more steps" in text
    assert "the largest of 30 = " in text
    assert len(text.splitlines()) < 1500
    assert "… 24 more steps" not in traced.to_text(steps=30)
    assert "h1[t=30].12" in traced.to_text(steps=30, units=100)
    with pytest.raises(ValueError, match="steps must be a whole number of at least 1, got 0"):
        traced.to_text(steps=0)
