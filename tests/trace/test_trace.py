"""The trace against the core, and the numbers and words that it shows."""

import copy
import json
import math
import re
from html.parser import HTMLParser

import facts
import numpy as np
import pytest
from cases import ALL_LOSSES, ALL_OPTIMIZERS, LOSS_OUTPUTS, targets

import cbp
from cbp.engine.cpu import core
from cbp.trace import trace, worked_example
from cbp.trace.formulas import fill, signed_sum
from cbp.trace.rules import ACTIVATION_RULES, FUSED_RULES, LOSS_RULES, OPTIMIZER_RULES

OUTPUTS = [(loss, output) for loss, output in LOSS_OUTPUTS
           if facts.LOSSES[loss].range != facts.NUMBERS or output in ("identity", "tanh", "softmax")]
"""Losses and last activations: of a loss that is defined for any number, one of every kind."""


def close(actual, expected, scale=1e-12):
    """Equal up to rounding, measured against the largest of the numbers compared."""
    expected = np.asarray(expected, dtype=float)
    np.testing.assert_allclose(actual, expected, rtol=scale, atol=scale * max(1e-3, np.abs(expected).max(initial=0)))


def network(hidden="tanh", output="identity", loss="half_squared_error", **settings):
    """A net of 4 inputs, 5 and 2 hidden units and 3 outputs, with biases that are not 0."""
    net = cbp.Network(4, [cbp.Dense(5, hidden), cbp.Dense(2, hidden, bias=False), cbp.Dense(3, output)], loss=loss,
                      dtype=settings.pop("dtype", "float64"), seed=11, **settings)  # fmt: skip
    generator = np.random.default_rng(5)
    for name in ("0.bias", "2.bias"):
        net.parameters[name][:] = generator.normal(size=net.parameters[name].shape)
    return net


def batch(net, rows=6, seed=3):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(rows, 4)) * 1.5
    return x, targets(net.loss.name, generator, rows)


def agree(net, x, y, optimizer=None, sample_weight=None, scale=1e-12):
    """Trace the step, let the core make it, and compare every number that both have."""
    traced = net.trace(x, y, optimizer=optimizer, sample_weight=sample_weight)
    x, y = np.reshape(x, (-1, 4)), np.reshape(y, (len(traced.rows), -1))
    y = y[:, 0] if y.shape[1] == 1 else y
    sample_weight = None if sample_weight is None else np.reshape(sample_weight, -1)
    loss, gradient = net.gradient(x, y, sample_weight)
    close([row.output_before for row in traced.rows], net.predict(x), scale)
    close([[unit.value for unit in row.layers[-1].units] for row in traced.rows], net.predict(x), scale)
    close(traced.loss_before, loss, scale)
    close([parameter.gradient for parameter in traced.parameters], gradient, scale)
    assert [parameter.before for parameter in traced.parameters] == net.get_vector().tolist()
    close(net.train_on_batch(x, y, optimizer=optimizer, sample_weight=sample_weight), traced.loss_before, scale)
    close([parameter.after for parameter in traced.parameters], net.get_vector(), scale)
    assert traced.step == net.step
    for slot, arrays in net.optimizer_state.items():
        flat = np.concatenate([view.ravel() for view in arrays.values()])
        close([parameter.state_after[slot] for parameter in traced.parameters], flat, scale)
    close([row.output_after for row in traced.rows], net.predict(x), scale)
    close(traced.loss_after, net.gradient(x, y, sample_weight)[0], scale)
    return traced


# ---------------------------------------------------------------------------------------------- agreement with the core


def test_every_name_has_its_rule():
    assert set(ACTIVATION_RULES) == set(facts.ACTIVATIONS)
    assert set(LOSS_RULES) == set(facts.LOSSES)
    assert set(OPTIMIZER_RULES) == set(core.OPTIMIZERS)


@pytest.mark.parametrize("activation", facts.ACTIVATIONS)
def test_every_hidden_activation(activation):
    net = network(hidden=activation)
    agree(net, *batch(net), cbp.SGD(0.1))


@pytest.mark.parametrize("activation", facts.ACTIVATIONS)
def test_every_output_activation(activation):
    net = network(output=activation)
    agree(net, *batch(net), cbp.SGD(0.1))


@pytest.mark.parametrize(("loss", "output"), OUTPUTS)
def test_every_loss_on_a_batch_and_on_one_row(loss, output):
    net = network(loss=loss, output=output)
    x, y = batch(net)
    agree(net, x, y, cbp.SGD(0.1))
    agree(net, x[0], y[0], cbp.SGD(0.1))
    agree(net, x, y, cbp.SGD(0.1), sample_weight=[0.5, 3.0, 0.0, 1.0, 2.0, 0.25])


@pytest.mark.parametrize("name", ALL_LOSSES)
def test_parameters_of_losses(name):
    loss = ALL_LOSSES[name]
    net = network(loss=loss, output=facts.LOSSES[loss.name].output)
    agree(net, *batch(net), cbp.SGD(0.1))


def test_probabilities_as_targets_of_cross_entropy():
    net = network(loss="cross_entropy", output="softmax")
    x, _ = batch(net)
    agree(net, x, np.random.default_rng(1).dirichlet([1.0, 1.0, 1.0], len(x)), cbp.SGD(0.1))


@pytest.mark.parametrize("optimizer", ALL_OPTIMIZERS.values(), ids=ALL_OPTIMIZERS)
@pytest.mark.parametrize("penalty", [{}, {"l1": 0.01, "l2": 0.1}], ids=["free", "penalised"])
def test_every_optimizer_over_several_steps(optimizer, penalty):
    net = network(hidden="gelu", **penalty)
    x, y = batch(net, rows=20)
    for step in range(5):
        rows = slice(4 * step, 4 * step + 4)
        traced = agree(net, x[rows], y[rows], optimizer if step % 2 == 0 else None, scale=1e-11)
        assert traced.step == step + 1


def test_another_kind_of_optimizer_starts_afresh_and_the_same_goes_on():
    net = network()
    x, y = batch(net)
    for _ in range(3):
        net.train_on_batch(x, y, optimizer=cbp.Adam(0.01))
    assert net.trace(x, y).step == 4
    for same in (cbp.Adam(0.01), cbp.Adam(0.02, beta1=0.5)):
        assert net.trace(x, y, optimizer=same).step == 4
        assert any(net.trace(x, y, optimizer=same).parameters[0].state_before.values())
    fresh = net.trace(x, y, optimizer=cbp.AdamW(0.02))
    assert fresh.step == 1
    assert not any(fresh.parameters[0].state_before.values())
    agree(net, x, y, cbp.Adam(0.02, beta1=0.5))
    agree(net, x, y, cbp.AdamW(0.02))
    for optimizer in (cbp.SGD(0.1), cbp.SGD(0.1, momentum=0.5), cbp.SGD(0.2)):
        agree(net, x, y, optimizer)  # a state array that the numbers make necessary starts at 0


def test_a_network_never_trained_takes_adam():
    net = network()
    assert net.trace(*batch(net)).optimizer == cbp.Adam(1e-3)
    assert net.trace(*batch(net), optimizer="rmsprop").optimizer == cbp.RMSprop()


def test_after_a_fit_the_trace_goes_on_with_its_state():
    net = network(l2=0.01)
    x, y = batch(net, rows=24)
    net.fit(x, y, epochs=3, batch_size=5, optimizer=cbp.SGD(0.02, momentum=0.9))
    agree(net, x, y, scale=1e-11)


def test_float32_networks_agree_to_their_own_precision():
    net = network(dtype="float32")
    traced = agree(net, *batch(net), cbp.Adam(0.01), scale=2e-5)
    assert traced.dtype == "float32"


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_saturated_outputs(loss):
    net = network(loss=loss, output="softmax" if loss == "cross_entropy" else "sigmoid")
    net.parameters["2.weight"][:] *= 200
    agree(net, *batch(net), cbp.SGD(1e-6))


@pytest.mark.parametrize("output", ["hard_sigmoid", "softmax"])
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "poisson"])
def test_outputs_at_the_bounds_of_the_logarithm(loss, output):
    net = network(loss=loss, output=output)
    net.parameters["2.weight"][:] *= 60
    x, y = batch(net)
    assert net.predict(x).min() < 1e-10
    traced = net.trace(x, y, optimizer=cbp.SGD(1e-9))
    loss_of_core, gradient = net.gradient(x, y)
    close(traced.loss_before, loss_of_core)
    # 1 / (1 - p) loses nine digits where p is that close to 1, in the core as here.
    close([parameter.gradient for parameter in traced.parameters], gradient, 1e-8)


def test_tracing_changes_nothing():
    net = network()
    x, y = batch(net)
    net.train_on_batch(x, y, optimizer=cbp.Adam(0.01))
    before, x_before, y_before = copy.deepcopy(net), x.copy(), y.copy()
    first, second = net.trace(x, y), net.trace(x, y)
    first.to_dict()["parameters"][0]["state_after"]["mean"] = 7.0
    assert net.trace(x, y).to_dict() == second.to_dict()
    np.testing.assert_array_equal(net.get_vector(), before.get_vector())
    assert (net.step, net.epoch, net.optimizer) == (before.step, before.epoch, before.optimizer)
    for slot, arrays in net.optimizer_state.items():
        for name, view in arrays.items():
            np.testing.assert_array_equal(view, before.optimizer_state[slot][name])
    np.testing.assert_array_equal(x, x_before)
    np.testing.assert_array_equal(y, y_before)


# --------------------------------------------------------------------------------------------------- the worked example


def test_worked_example_forward_and_backward():
    traced = worked_example()
    assert traced.input_names == ("x1", "x2")
    row = traced.rows[0]
    assert (row.inputs, row.target) == ((0.0, 0.0), (0.0,))
    for name in ("h1", "h2", "h3"):
        unit = traced.unit(name)
        assert [tuple(term) for term in unit.terms] == [("x1", 1.0, 0.0), ("x2", 1.0, 0.0), ("bias", 1.0, 1.0)]
        assert (unit.weighted_sum, unit.value, unit.derivative, unit.delta) == (1.0, 1.0, 1.0, 4.0)
        assert [tuple(term) for term in unit.back_terms] == [("ŷ", 1.0, 4.0)]
        assert unit.direction == ""
    output = traced.unit("ŷ")
    assert [term.source for term in output.terms] == ["h1", "h2", "h3", "bias"]
    assert (output.weighted_sum, output.value, output.derivative, output.delta) == (4.0, 4.0, 1.0, 4.0)
    assert output.direction == "↓"


def test_worked_example_step():
    traced = worked_example()
    assert len(traced.parameters) == 13
    for parameter in traced.parameters:
        stays = parameter.source in ("x1", "x2")
        assert parameter.before == 1.0
        assert parameter.gradient == (0.0 if stays else 4.0)
        assert parameter.after == pytest.approx(1.0 if stays else 0.6, rel=1e-15)
    assert sum(parameter.after == 1.0 for parameter in traced.parameters) == 6
    assert traced.rows[0].output_before == (4.0,)
    assert traced.rows[0].output_after == pytest.approx((1.68,), rel=1e-15)
    assert traced.loss_before == 8.0
    assert traced.loss_after == pytest.approx(1.68**2 / 2, rel=1e-15)


def test_worked_example_agrees_with_the_core():
    net = cbp.Network(2, [cbp.Dense(3), cbp.Dense(1)], loss="half_squared_error", dtype="float64", seed=0)
    net.set_vector(np.ones(13))
    net.train_on_batch([[0, 0]], [0], optimizer=cbp.SGD(0.1))
    close([parameter.after for parameter in worked_example().parameters], net.get_vector())
    close(worked_example().rows[0].output_after, net.predict_one([0, 0]))


def test_worked_example_as_text():
    text = str(worked_example())
    for line in (
        "  h1    s = 1·0 + 1·0 + 1 = 1,   a = 1,   a′ = 1",
        "  ŷ     s = 1·1 + 1·1 + 1·1 + 1 = 4,   a = 4,   a′ = 1",
        "  L = (4 - 0)² / 2 = 8",
        "  ŷ     ∂L/∂ŷ = 4 - 0 = 4,   δ = 4·1 = 4,   ↓ should fall",
        "  h2    δ = (1·4)·1 = 4",
        "    w = 1 - 0.1·4 = 0.6",
        "    x1 → h1      4·0 = 0         1   =       1",
        "    bias → h3    4·1 = 4         1   ↓     0.6",
        "    h1 → ŷ       4·1 = 4         1   ↓     0.6",
        "  ŷ        ↓ should fall        0        4    1.68",
        "  loss 8 → 1.4112",
    ):
        assert line in text.splitlines()


# ----------------------------------------------------------------------------------------------------------- directions


@pytest.mark.parametrize(("target", "direction"), [(0.0, "↓"), (4.0, "="), (9.0, "↑")])
def test_direction_of_an_output(target, direction):
    net = cbp.Network(1, [cbp.Dense(1, init="ones")], loss="half_squared_error", dtype="float64")
    traced = net.trace([4.0], target)
    assert traced.unit("ŷ").direction == direction


def test_direction_where_the_activation_falls():
    net = cbp.Network(1, [cbp.Dense(1, "silu", init="ones")], loss="half_squared_error", dtype="float64")
    output = net.trace([-3.0], 1.0).unit("ŷ")
    assert output.derivative < 0 < output.delta
    assert output.direction == "↑"


def test_directions_of_classes():
    net = network(loss="cross_entropy", output="softmax")
    traced = net.trace(batch(net)[0][0], 1)
    assert [unit.direction for unit in traced.rows[0].layers[-1].units] == ["↓", "↑", "↓"]
    assert traced.rows[0].target == (0.0, 1.0, 0.0)


def test_softmax_has_a_jacobian():
    net = network(loss="cross_entropy", output="softmax")
    units = net.trace(batch(net)[0][0], 1).rows[0].layers[-1].units
    p = np.array([unit.value for unit in units])
    close([unit.derivative for unit in units], np.diag(p) - np.outer(p, p))
    close([unit.delta for unit in units], p - [0, 1, 0])


# ----------------------------------------------------------------------------------------------------- names and shapes


def test_names_of_units():
    shallow = cbp.Network(2, [cbp.Dense(2), cbp.Dense(2)], loss="mean_squared_error").trace([1, 2], [3, 4])
    assert [unit.name for layer in shallow.rows[0].layers for unit in layer.units] == ["h1", "h2", "ŷ1", "ŷ2"]
    deep = cbp.Network(1, [cbp.Dense(2), cbp.Dense(1), cbp.Dense(1)], loss="mean_squared_error").trace([1], 3)
    assert [unit.name for layer in deep.rows[0].layers for unit in layer.units] == ["h1.1", "h1.2", "h2.1", "ŷ"]
    single = cbp.Network(1, [cbp.Dense(1)], loss="mean_squared_error").trace([1], 3)
    assert [(p.source, p.unit) for p in single.parameters] == [("x1", "ŷ"), ("bias", "ŷ")]


def test_parameters_say_where_they_lie():
    net = network()
    for parameter in net.trace(*batch(net)).parameters:
        assert net.parameters[parameter.name][parameter.index] == parameter.before
        assert net.trace(*batch(net)).parameter(parameter.source, parameter.unit) == parameter


def test_unknown_units_and_connections():
    traced = worked_example()
    with pytest.raises(KeyError, match="no unit is called 'h4'"):
        traced.unit("h4")
    with pytest.raises(KeyError, match="no connection leads from 'x1' to 'ŷ'"):
        traced.parameter("x1", "ŷ")


def test_one_row_is_a_batch_of_one():
    net = network()
    x, y = batch(net)
    assert net.trace(x[0], y[0]).to_dict() == net.trace(x[:1], y[:1]).to_dict()
    assert net.trace(x[0].tolist(), tuple(y[0])).to_dict() == net.trace(x[:1], y[:1]).to_dict()
    labelled = network(loss="cross_entropy", output="softmax")
    assert labelled.trace(x[0], np.int64(2)).to_dict() == labelled.trace(x[:1], [2]).to_dict()
    single = cbp.Network(4, [cbp.Dense(1)], loss="huber", seed=1)
    plain = single.trace(x[:1], [1.5]).to_dict()
    assert single.trace(x[0], 1.5).to_dict() == single.trace(x[0], [1.5]).to_dict() == plain


def test_the_weight_of_a_single_row_cancels():
    net = network()
    x, y = batch(net)
    heavy, light = net.trace(x[0], y[0], sample_weight=4.0), net.trace(x[0], y[0])
    assert heavy.rows[0].weight == 4.0
    assert heavy.parameters == light.parameters


@pytest.mark.parametrize(
    ("x", "y", "settings", "error", "words"),
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], {}, ValueError, r"x must be one row of shape \(4,\) .* got the shape \(2,\)"),
        (np.zeros((2, 3)), np.zeros((2, 3)), {}, ValueError, r"x must be one row .* got the shape \(2, 3\)"),
        (1.0, np.zeros(3), {}, ValueError, r"x must be one row .* got the shape \(\)"),
        ([[1, 2, 3, 4], [1, 2]], np.zeros((2, 3)), {}, ValueError, "x must be a rectangular array"),
        (np.zeros(4), np.zeros((1, 3)), {}, ValueError, r"x is one row, so y must be .* got the shape \(1, 3\)"),
        (np.zeros((2, 4)), 1.0, {}, ValueError, "y must have one entry per sample"),
        (np.zeros((0, 4)), np.zeros((0, 3)), {}, ValueError, "x is empty"),
        (np.zeros(4), np.zeros(2), {}, ValueError, "y must have the shape"),
        (np.zeros((2, 4)), np.zeros((3, 3)), {}, ValueError, "x has 2 samples and y has 3"),
        ([0, 0, 0, np.nan], np.zeros(3), {}, ValueError, "x holds nan"),
        (["a", "b", "c", "d"], np.zeros(3), {}, TypeError, "x must hold numbers"),
        (np.ma.masked_equal(np.arange(4), 2), np.zeros(3), {}, ValueError, "x is a masked array"),
        (np.zeros(4), np.zeros(3), {"sample_weight": -1}, ValueError, "sample_weight holds -1"),
        (np.zeros(4), np.zeros(3), {"sample_weight": [1, 2]}, ValueError, "sample_weight must have the shape"),
        (np.zeros((2, 4)), np.zeros((2, 3)), {"sample_weight": [0, 0]}, ValueError, "sample_weight holds only zeros"),
        (np.zeros(4), np.zeros(3), {"optimizer": "adm"}, ValueError, "did you mean 'adam'"),
        (np.zeros(4), np.zeros(3), {"optimizer": 0.1}, TypeError, "optimizer must be a name or an optimizer"),
    ],
)
def test_bad_input(x, y, settings, error, words):
    with pytest.raises(error, match=words):
        trace(network().snapshot(), x, y, **settings)


@pytest.mark.parametrize(("label", "error"), [(3, ValueError), (-1, ValueError), (0.5, ValueError), ("a", TypeError)])
def test_bad_labels(label, error):
    with pytest.raises(error, match="labels must be whole numbers from 0 to 2"):
        network(loss="cross_entropy", output="softmax").trace(np.zeros(4), label)


def test_a_step_that_leaves_the_numbers_diverges():
    net = network()
    x, y = batch(net)
    with pytest.raises(cbp.DivergedError, match="not finite"):
        net.trace(x * 1e200, y, optimizer=cbp.SGD(1e200))


# -------------------------------------------------------------------------------------------------- dict, text and HTML


def big_network():
    return cbp.Network(64, [cbp.Dense(20, "relu"), cbp.Dense(10, "softmax")], loss="cross_entropy", seed=2)


def test_dict_survives_json():
    net = network(loss="cross_entropy", output="softmax", l1=0.01)
    x, y = batch(net)
    plain = net.trace(x, y, optimizer=cbp.Adam(0.01), sample_weight=[1, 2, 3, 4, 5, 6]).to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == json.loads(json.dumps(plain))
    assert plain["optimizer"]["name"] == "adam"
    assert plain["optimizer"]["rate"] == 0.01
    assert plain["loss"]["name"] == "cross_entropy"
    assert [row["weight"] for row in plain["rows"]] == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert list(plain["rows"][0]["inputs"]) == ["x1", "x2", "x3", "x4"]
    unit = plain["rows"][0]["layers"][0]["units"][0]
    assert set(unit) == {"name", "terms", "weighted_sum", "value", "derivative", "back_terms", "loss_slope", "delta",
                         "direction"}  # fmt: skip
    assert unit["weighted_sum"] == pytest.approx(sum(term["weight"] * term["value"] for term in unit["terms"]))
    assert set(plain["parameters"][0]["state_after"]) == {"mean", "variance"}


def test_dict_has_what_the_text_leaves_out():
    net = big_network()
    traced = net.trace(np.random.default_rng(0).random((9, 64)), np.arange(9))
    plain = traced.to_dict()
    assert len(plain["rows"]) == 9
    assert len(plain["parameters"]) == 65 * 20 + 21 * 10
    assert all(len(unit["terms"]) == 65 for unit in plain["rows"][8]["layers"][0]["units"])
    text = str(traced)
    assert "… 59 more (" in text
    assert "… 10 more units" in text
    assert "… 1,280 more connections" in text
    assert "… 5 more rows" in text
    assert len(text.splitlines()) < 700
    assert len(traced._repr_html_()) < 200_000


def test_text_can_be_longer():
    traced = big_network().trace(np.random.default_rng(0).random(64), 3)
    text = traced.to_text(digits=3, units=20, terms=65, connections=2000)
    assert "more" not in text
    assert all(len(term) <= 12 for term in re.findall(r"\d+\.\d+", text))
    with pytest.raises(ValueError, match="units must be a whole number of at least 1, got 0"):
        traced.to_text(units=0)


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("activation", facts.ACTIVATIONS)
def test_text_is_at_most_100_columns_wide(activation, rows):
    net = network(hidden=activation, output=activation, l1=0.1)
    x, y = batch(net, rows)
    for optimizer in ALL_OPTIMIZERS.values():
        lines = str(net.trace(x, y, optimizer=optimizer)).splitlines()
        assert max(map(len, lines)) <= 100
        assert not any(line != line.rstrip() for line in lines)


@pytest.mark.parametrize(("loss", "output"), [(loss, row.output) for loss, row in facts.LOSSES.items()])
def test_text_and_html_of_every_loss(loss, output):
    net = network(loss=loss, output=output)
    x, y = batch(net)
    traced = net.trace(x[0], y[0])
    text = str(traced)
    assert f"{loss}, L = " in text
    assert f"{traced.loss_before:.5g}" in text
    assert "{" not in text
    assert "nan" not in text
    assert f"{traced.loss_before:.5g}" in traced._repr_html_()
    if (output, loss) in FUSED_RULES:
        assert f"{output} and {loss} together leave δ = " in text


@pytest.mark.parametrize("optimizer", ALL_OPTIMIZERS.values(), ids=ALL_OPTIMIZERS)
def test_the_update_in_words_gives_the_number(optimizer):
    """The filled formula of the example, computed by Python, is the new weight."""
    net = network()
    traced = net.trace(*batch(net), optimizer=optimizer)
    text = traced.to_text(digits=17)
    match = re.search(r"^    w = (.*?) = (\S+)$", re.sub(r"\n {6}", " ", text), re.MULTILINE)
    formula = re.sub(r"√(\d[\d.e-]*)", r"sqrt(\1)", match[1]).replace("√", "sqrt").replace("·", "*").replace("^", "**")
    assert eval(formula, dict(vars(np))) == pytest.approx(float(match[2]), rel=1e-12)


def test_formulas_are_filled_as_people_write_them():
    assert fill("tanh({s})", 5, s=-0.5) == "tanh(-0.5)"
    assert fill("1 - {a}²", 5, a=-0.5) == "1 - (-0.5)²"
    assert fill("({p} - {y})² / 2", 5, p=-1.0, y=-2.0) == "(-1 - (-2))² / 2"
    assert fill("{w}·{v}", 3, w=-1.23456, v=-0.0) == "-1.23·0"
    assert fill("{s}²", 5, s=-3.0) == "(-3)²"
    assert fill("max(0, {s})", 5, s=-3.0) == "max(0, -3)"
    assert fill("({s} if {s} > 0 else 0.01·{s})", 5, s=-3.0) == "(-3 if -3 > 0 else 0.01·(-3))"
    assert fill("1 / (1 + exp(-{s}))", 5, s=-3.0) == "1 / (1 + exp(-(-3)))"
    assert signed_sum(["1·2", "-3·4", "5"]) == "1·2 - 3·4 + 5"
    assert signed_sum(["-1"]) == "-1"
    assert signed_sum([]) == "0"


class Balance(HTMLParser):
    """Checks that elements are closed in the order in which they were opened."""

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], set()

    def handle_starttag(self, tag, attrs):
        self.seen.add(tag)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_html_is_well_formed_and_stands_alone():
    net = network(loss="cross_entropy", output="softmax")
    for traced in (worked_example(), net.trace(*batch(net), optimizer=cbp.Adam(0.01)), net.trace(batch(net)[0][0], 1)):
        html = traced._repr_html_()
        parser = Balance()
        parser.feed(html)
        parser.close()
        assert parser.open == []
        assert not parser.seen & {"script", "link", "img", "iframe"}
        assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
        assert "@import" not in html
        assert "url(" not in html


def test_a_page_for_a_browser():
    traced = worked_example()
    page = traced.to_html(units=2, digits=3)
    assert page.startswith("<!doctype html>")
    assert "<title>step 1 - cbp trace</title>" in page
    assert "more" in page
    parser = Balance()
    parser.feed(page.replace("<!doctype html>", "").replace('<meta charset="utf-8">', ""))
    assert parser.open == []
    for limit in ({"units": 0}, {"digits": 1.5}):
        with pytest.raises((ValueError, TypeError), match=next(iter(limit))):
            traced.to_html(**limit)


def test_a_step_too_large_for_plain_python_is_refused():
    net = cbp.mlp([500, 1000, 1000, 10], seed=0)
    with pytest.raises(ValueError, match=r"^x: a trace keeps every number .* some [\d,]{9,} for 1 row.* fewer rows"):
        net.trace(np.zeros(500), np.zeros(10))
    picture = cbp.Network((512, 512, 16), [cbp.MaxPool2D(2), cbp.GlobalMaxPool(), cbp.Dense(1)], loss="mean_squared_error")
    with pytest.raises(ValueError, match=r"^x: a trace keeps every number"):
        picture.trace(np.zeros((512, 512, 16)), 0.0)
    thin = cbp.Network((8000,), [cbp.Dense(1), cbp.Dense(20)], loss="mean_squared_error")
    assert len(thin.trace(np.zeros(8000), np.zeros(20)).rows) == 1


def test_html_of_the_worked_example():
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", worked_example()._repr_html_()))
    for words in ("1·1 + 1·1 + 1·1 + 1 = 4", "(4 - 0)² / 2 = 8", "δ = 4·1 = 4", "should fall", "0.6", "1.68", "1.4112"):
        assert words in text


def test_html_escapes():
    net = cbp.Network(1, [cbp.Dense(1, "hard_sigmoid")], loss="half_squared_error", dtype="float64")
    html = net.trace([1.0], 0.5)._repr_html_()
    assert "-3 &lt; s &lt; 3" in html
    assert "-3 < s" not in html


def test_repr_is_one_line():
    assert repr(worked_example()).startswith("<Trace of step 1 with SGD(rate=0.1")
    assert "\n" not in repr(worked_example())


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
def test_traces_of_later_steps_are_as_narrow_and_their_formulas_hold(name):
    """With state that is not 0: what a formula of the state gives, computed by Python, is the state after the step."""
    optimizer, net = ALL_OPTIMIZERS[name], network()
    x, y = batch(net, 3)
    for _ in range(3):
        net.train_on_batch(x, y, optimizer=optimizer)
    traced = net.trace(x, y)
    assert max(map(len, str(traced).splitlines())) <= 100
    rule = OPTIMIZER_RULES[optimizer.rule]
    known = {"max": max, "min": min, "sign": lambda v: (v > 0) - (v < 0), "sqrt": math.sqrt}
    for parameter in traced.parameters:
        settings = {key: value for key, value in vars(traced.optimizer).items() if value is not None}
        values = settings | {"w": parameter.before, "g": parameter.clipped, "t": str(traced.step)} | parameter.state_before
        values |= {f"{slot}_new": value for slot, value in parameter.state_after.items()}
        for slot, formula in {**rule.slots, "": rule.update}.items():
            text = fill(formula, 17, **values)
            for written, meaning in {"·": "*", "²": "**2", "^": "**", "√": "sqrt"}.items():
                text = text.replace(written, meaning)
            text = re.sub(r"sqrt(-?[\d.e-]+)", r"sqrt(\1)", text)
            if slot:
                expected = parameter.state_after[slot]
            else:
                decay = settings["rate"] * settings["weight_decay"] * parameter.before if parameter.decays else 0
                expected = parameter.before - parameter.after - decay
            assert eval(text, known) == pytest.approx(expected, rel=1e-9, abs=1e-15), (slot, text)
