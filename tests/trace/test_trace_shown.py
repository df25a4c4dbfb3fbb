"""What a learner finds in the trace of layers whose weights are shared: names, formulas, places of use."""

import itertools
import json
import math
import pickle
import re

import numpy as np
import pytest
from trace_cases import CASES, data, dense, network

import cbp
from cbp.trace import equations
from cbp.trace.blocks import Equation
from cbp.trace.formulas import Limits
from cbp.trace.text import columns

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


def test_the_place_that_a_tap_meets():
    """The formula that a layer states, computed, gives the sources of its units."""
    for layer in (
        cbp.Conv1D(1, 3), cbp.Conv1D(1, 3, padding="same"), cbp.Conv1D(1, 2, stride=2), cbp.Conv1D(1, 2, dilation=3),
        cbp.Conv1D(1, 3, stride=3, dilation=2, padding=2),
    ):  # fmt: skip
        net = network((9, 1), [layer, cbp.Flatten(), dense(1)])
        traced = net.trace(np.ones((9, 1)), 1.0)
        first = traced.rows[0].layers[0]
        place = re.sub(r"(\d)\(", r"\1*(", re.search(r"input\[(.*?)\]", first.rules[0])[1])
        for t, unit in enumerate(first.units, 1):
            read = [f"x[t={eval(place, {'t': t, 'k': k})}]" for k in range(1, layer.kernel_size + 1)]
            assert [term.source for term in unit.terms][:-1] == [name for name in read if name in traced.input_names]


def test_layers_inside_a_residual_block_are_told_apart():
    net = network((2, 2), [cbp.Residual([cbp.GRU(2, return_sequences=True), dense(3)]), cbp.Flatten(), dense(1)])
    traced = net.trace(np.ones((2, 2)), 1.0)
    groups = list(dict.fromkeys(unit.group for unit in traced.rows[0].layers[0].units))
    assert groups == ["a, GRU, t = 1", "a, GRU, t = 2", "b, Dense", "s, skip", "sum"]
    assert traced.unit("h[t=2].3").formula == "hb[t=2].3 + hs[t=2].3"
    assert traced.parameter("Ua_z[1,2]").name == "0.0.recurrent"
    assert traced.parameter("ws[2,3]").name == "0.skip.weight"


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
    assert traced.unit("v[1]").back_symbols == ("-x̂1⁽¹⁾/(2·(v[1] + ε))", "-x̂1⁽²⁾/(2·(v[1] + ε))")
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
    assert max(map(columns, lines)) <= 100
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
                assert sum(term.product for term in unit.terms) == pytest.approx(unit.weighted_sum, rel=1e-12, abs=1e-14)
            if not unit.direction and isinstance(unit.derivative, float):
                handed_back = unit.derivative * sum(term.product for term in unit.back_terms)
                assert handed_back == pytest.approx(unit.delta, rel=1e-12, abs=1e-14)


WRITTEN = {"·": "*", "²": "**2", "√": "sqrt", "|": "", "if": " if ", "else": " else "}


def computed(text):
    """A side of an equation in numbers, computed by Python."""
    for sign, meaning in WRITTEN.items():
        text = text.replace(sign, meaning)
    known = {name: getattr(math, name) for name in ("exp", "tanh", "sqrt", "log")}
    return eval(text, known | {"max": max, "σ": lambda s: 1 / (1 + math.exp(-s)), "Φ": lambda s: 0.5 * math.erfc(-s / 2**0.5),
                               "φ": lambda s: math.exp(-s * s / 2) / math.sqrt(2 * math.pi)})  # fmt: skip


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_every_equation_holds(case, rows):
    """The numbers of each formula, computed, give the number behind it."""
    net = network(*CASES[case], l2=0.01)
    weights = [1.0, 0.5, 2.0][:rows]
    traced = net.trace(*data(net, rows=rows), optimizer=cbp.SGD(0.1), sample_weight=weights)
    limits = Limits(17, 10, 1000, 10**6, 10**6, 1000)
    written = [equations.gradient(traced, parameter, limits) for parameter in traced.parameters if parameter.symbol]
    written += [
        [Equation("g", "", equations.connection_gradient(traced, parameter, limits), str(parameter.gradient))]
        for parameter in traced.parameters if not parameter.symbol
    ]  # fmt: skip
    for row in traced.rows:
        for unit in (unit for layer in row.layers for unit in layer.units):
            named = traced.layered
            written += [
                equations.forward(unit, limits, named=named), equations.backward(traced, row, unit, limits, named=named),
            ]  # fmt: skip
    checked = 0
    for equation in itertools.chain.from_iterable(written):
        if equation.numbers:
            result = float(equation.result.partition("   (")[0])
            assert computed(equation.numbers) == pytest.approx(result, rel=1e-9, abs=1e-12), equation
            checked += 1
    assert checked > 20


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


def mixed(rows=1):
    """A layer with connections, whose weights are called after them, and with parameters that have names of their own."""
    net = network((3,), [cbp.Residual([dense(3, "tanh"), cbp.BatchNorm()]), dense(1)])
    return net.trace(*data(net, rows=rows), optimizer=cbp.SGD(0.1))


@pytest.mark.parametrize("connections", [20, 4])
def test_gradients_of_a_layer_with_connections_and_shared_parameters(connections):
    trace = mixed(rows=2)
    lines = trace.to_text(connections=connections).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("  For example"))
    start = next(i for i, line in enumerate(lines) if i > start and line.startswith("  Layer 1, Residual"))
    head = next(i for i, line in enumerate(lines) if i > start and line.startswith("    parameter "))
    equations = lines[start + 1 : head]
    assert {line.split()[0] for line in equations if re.match(" {4}[^ ]", line)} == {
        f"{letter}b[{c}]" for letter in "γβ" for c in (1, 2, 3)
    }
    assert lines[start].endswith(", the largest gradients") == (connections == 4)
    page = trace._repr_html_()
    assert "<tr><th></th>" not in page
    assert re.search(r"<th>γb\[1\]</th><td><div><span>row 1</span>.*?</div><div>(<div>)?<span>row 2</span>", page)


def test_a_table_that_shows_all_connections_does_not_speak_of_the_largest():
    net = network((12,), [cbp.LayerNorm(), dense(1)])
    trace = net.trace(*data(net, rows=1), optimizer=cbp.SGD(0.1))
    assert "  Layer 2, Dense, identity, output 1\n    connection" in trace.to_text(units=10, connections=13)
    assert "  Layer 2, Dense, identity, output 1, the largest gradients\n    connection" in trace.to_text(connections=12)
