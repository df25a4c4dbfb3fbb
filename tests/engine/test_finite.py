"""What is said where a number is not finite: which it is, where it stands, and how one gets rid of it."""

import warnings

import numpy as np
import pytest

import cbp

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((40, 2)), RNG.standard_normal((40, 1))
REMEDY = r"write finite values to network\.|network\.set_optimizer"

CALLS = {
    "fit": lambda net: net.fit(X, Y, epochs=2),
    "fit with validation": lambda net: net.fit(X, Y, epochs=2, validation_data=(X, Y)),
    "train_on_batch": lambda net: net.train_on_batch(X, Y),
    "trace": lambda net: net.trace(X[:2], Y[:2]),
}
QUESTIONS = {
    "predict": lambda net: net.predict(X, lengths=None),
    "evaluate": lambda net: net.evaluate(X, Y),
    "gradient": lambda net: net.gradient(X, Y),
    "backward": lambda net: net.backward(X, Y),
}


def trained(**options):
    net = cbp.Network(2, [cbp.Dense(4, "tanh"), cbp.BatchNorm(), cbp.Dense(1)], loss="mean_squared_error", seed=0, **options)
    net.fit(X, Y, epochs=1)
    return net


def spoil_weight(net, value):
    net.parameters["0.weight"][1, 2] = value
    return r"parameters\['0\.weight'\] holds {} at index \(1, 2\)"


def spoil_statistic(net, value):
    net.statistics["1.mean"][3] = value
    return r"statistics\['1\.mean'\] holds {} at index \(3,\)"


def spoil_state(net, value):
    net.optimizer_state["variance"]["2.weight"][0, 0] = value
    return r"optimizer_state\['variance'\]\['2\.weight'\] holds {} at index \(0, 0\)"


def everything(net):
    state = [row for slot in net.optimizer_state.values() for row in slot.values()]
    return [array.tobytes() for array in (*net.parameters.values(), *net.statistics.values(), *state)], net.step, net.epoch


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("spoil", [spoil_weight, spoil_statistic, spoil_state])
@pytest.mark.parametrize("call", CALLS)
def test_a_step_names_the_number_and_the_remedy_and_no_rate(call, spoil, value):
    net = trained()
    words = spoil(net, value).format(value)
    before = everything(net)
    with pytest.raises(ValueError, match=rf"{words}.*({REMEDY})") as caught:
        CALLS[call](net)
    assert "rate" not in str(caught.value)
    assert everything(net) == before


@pytest.mark.parametrize("spoil", [spoil_weight, spoil_statistic])
@pytest.mark.parametrize("question", QUESTIONS)
def test_a_question_warns_of_the_number(question, spoil):
    net = trained()
    words = spoil(net, np.nan).format("nan")
    with pytest.warns(RuntimeWarning, match=rf"(is|holds) nan: {words}.*({REMEDY})") as caught:
        QUESTIONS[question](net)
    assert len(caught) == 1
    assert caught[0].filename == __file__


@pytest.mark.parametrize("ask", [lambda net: net.predict(X[:1]), lambda net: net.predict_one(X[0]), lambda net: net.predict(X)])
def test_a_few_rows_straight_through_the_core_warn_too(ask):
    net = plain()
    net.parameters["0.weight"][0, 1] = np.inf
    with pytest.warns(RuntimeWarning, match=r"output holds \S+: parameters\['0\.weight'\] holds inf at index \(0, 1\)"):
        ask(net)


def test_many_such_values_are_counted():
    net = trained()
    net.parameters["2.weight"][...] = np.nan
    with pytest.raises(ValueError, match="4 of its 4 values are not finite"):
        net.fit(X, Y)


def test_fresh_state_is_the_remedy():
    net = trained()
    spoil_state(net, np.nan)
    net.set_optimizer(cbp.Adam(1e-3))
    assert net.fit(X, Y, epochs=1).epochs == 1


@pytest.mark.parametrize(("rule", "slot"), [
    (cbp.Adam(), "variance"), (cbp.RMSprop(), "variance"), (cbp.Adagrad(), "squares")])
@pytest.mark.parametrize("call", CALLS)
def test_state_below_0_is_named_where_the_optimizer_needs_none(call, rule, slot):
    net = trained()
    net.set_optimizer(rule)
    net.fit(X, Y, epochs=1)
    net.optimizer_state[slot]["2.weight"][1, 0] = -1
    before = everything(net)
    told = rf"optimizer_state\['{slot}'\]\['2\.weight'\] holds -1\.0 at index \(1, 0\); .* at least 0; network\.set_optimizer"
    with pytest.raises(ValueError, match=told):
        CALLS[call](net)
    assert everything(net) == before


def plain(**options):
    return cbp.mlp([2, 4, 1], seed=0, **options)


@pytest.mark.parametrize(("x", "y"), [(X * 1e30, Y), (X, Y * 1e30)])
@pytest.mark.parametrize("train", [lambda net, x, y: net.fit(x, y), lambda net, x, y: net.train_on_batch(x, y)])
def test_a_divergence_before_any_update_is_no_question_of_the_rate(train, x, y):
    with pytest.raises(cbp.DivergedError, match=r"first batch.*before any update.*Standardise X and y.*float64") as caught:
        train(plain(), x, y)
    assert "lower rate" not in str(caught.value)
    train(plain(dtype="float64"), x, y)


def test_a_divergence_after_updates_is_one():
    net = plain()
    with pytest.raises(cbp.DivergedError, match=r"epoch \d+: .*lower rate, or standardise"):
        net.fit(X, Y, epochs=50, optimizer=cbp.SGD(1e3))
    net, rule = plain(), cbp.SGD(1e18)
    net.train_on_batch(X, Y, optimizer=rule)
    with pytest.raises(cbp.DivergedError, match=r"lower rate, or .*as it was before this batch; the rate is 1e\+18"):
        net.train_on_batch(X, Y, optimizer=rule)


def test_a_trace_tells_them_apart_too():
    with pytest.raises(cbp.DivergedError, match=r"first batch.*Standardise X and y\. The rate"):
        plain(dtype="float64").trace(X[0] * 1e200, 1.0)
    with pytest.raises(cbp.DivergedError, match="lower rate"):
        plain(dtype="float64").trace(X[0], 1.0, optimizer=cbp.SGD(1e300))


@pytest.mark.parametrize("held_out", [(X * 1e30, Y), (X, Y * 1e30)])
def test_a_validation_loss_that_overflows_warns_once(held_out):
    net = plain()
    with pytest.warns(RuntimeWarning, match=r"val_loss is inf after epoch 1, in history too.*validation_data") as caught:
        history = net.fit(X, Y, epochs=4, validation_data=held_out)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert history.epochs == 4
    assert np.isinf(history.val_loss).all()
    assert np.isfinite(history.loss).all()


def test_it_names_the_first_such_epoch():
    net = plain()
    with pytest.warns(RuntimeWarning, match="val_loss is inf after epoch.*a lower rate helps") as caught:
        history = net.fit(X, Y, epochs=60, optimizer=cbp.Adam(0.05), validation_data=(X * 8e18, Y))
    first = int(np.argmax(~np.isfinite(history.val_loss))) + 1
    assert first > 1
    assert f"after epoch {first}," in str(caught[0].message)


def test_a_weight_that_is_not_finite_is_a_divergence_and_no_validation_loss():
    net = plain(loss="mean_absolute_error")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(cbp.DivergedError, match=r"epoch 1: .*lower rate"):
            net.fit(X, Y, epochs=50, batch_size=None, optimizer=cbp.SGD(1e38, weight_decay=1e38), validation_data=(X, Y))
    assert net.history.epochs == 0


def test_a_warning_that_is_an_error_leaves_a_network_in_order():
    net = plain()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="val_loss"):
            net.fit(X, Y, epochs=4, validation_data=(X, Y * 1e30))
    assert net.history.epochs == net.epoch == 1


def test_questions_about_numbers_that_are_too_large():
    with pytest.warns(RuntimeWarning, match=r"loss is inf: .*more than float32 holds.*float64"):
        assert plain().evaluate(X, Y * 1e30)["loss"] == np.inf
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(plain(dtype="float64").evaluate(X, Y * 1e30)["loss"])
    with pytest.warns(RuntimeWarning, match="loss is inf"):
        plain().gradient(X, Y * 1e30)


@pytest.mark.parametrize("weight", [1e-45, 1e-38, 1e38, 3e38])
def test_extreme_weights_of_samples_are_no_matter(weight):
    """They count by their share."""
    net, equal = plain(), plain()
    loss = net.train_on_batch(X, Y, sample_weight=np.full(len(X), weight))
    assert loss == pytest.approx(equal.train_on_batch(X, Y), rel=1e-5)
    np.testing.assert_allclose(net.get_vector(), equal.get_vector(), atol=1e-5)
