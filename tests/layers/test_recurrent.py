"""Recurrent layers: against the equations, against PyTorch, against themselves on longer sequences."""

import copy
import itertools

import numpy as np
import pytest
from cases import close
from oracles.recurrent_oracle import Twin, naive, naive_row

import cbp
from cbp import GRU, LSTM, RNN, Bidirectional, Dense
from cbp.layers.recurrent import STATE_ACTIVATIONS
from cbp.optimizers import Adam

KINDS = (RNN, LSTM, GRU)
TIME, INPUTS = 7, 3


def network(layers, *, time=TIME, inputs=INPUTS, dtype="float64", seed=0, **settings):
    """A network with biases that are not 0."""
    settings.setdefault("loss", "mean_squared_error")
    net = cbp.Network((time, inputs), layers, dtype=dtype, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    for name, view in net.parameters.items():
        if name.endswith("bias"):
            view[...] = rng.normal(scale=0.5, size=view.shape)
    return net


def data(net, rows, *, lengths=False, seed=0):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(rows, *net.input_shape)), rng.normal(size=(rows, *net.output_shape))
    return x, y, rng.integers(1, net.input_shape[0] + 1, rows) if lengths else None


# --- the equations ----------------------------------------------------------------------------------------------------

STACKS = {
    "last": lambda kind, **how: [kind(5, **how)],
    "sequence": lambda kind, **how: [kind(18, return_sequences=True, **how)],
    "stack": lambda kind, **how: [kind(4, return_sequences=True, **how), kind(17, **how), Dense(2)],
    "both ways": lambda kind, **how: [Bidirectional(kind(5, return_sequences=True, **how)), Bidirectional(kind(3, **how))],
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 2e-6)])
def test_the_equations(kind, stack, lengths, dtype, tolerance):
    for rows, bias in ((1, True), (3, False), (5, True), (50, True)):
        net = network(STACKS[stack](kind, bias=bias), dtype=dtype)
        x, _, given = data(net, rows, lengths=lengths)
        expected = naive(net, x.astype(dtype), given)
        close(net.predict(x, lengths=given), expected, tolerance)


@pytest.mark.parametrize("activation", STATE_ACTIVATIONS)
def test_activations_of_the_state(activation):
    net = network([RNN(5, activation, return_sequences=True), RNN(3, activation)], seed=3)
    x, y, _ = data(net, 4)
    assert cbp.check_gradients(net, x, y).error < 1e-6
    if activation in ("tanh", "sigmoid", "relu", "identity"):
        close(net.predict(x), naive(net, x), 1e-14)


@pytest.mark.parametrize("kind", KINDS)
def test_reverse_reads_from_the_end(kind):
    forward, backward = (network([kind(5, return_sequences=True, reverse=reverse)]) for reverse in (False, True))
    x, _, lengths = data(forward, 6, lengths=True)
    assert np.array_equal(backward.predict(x), forward.predict(x[:, ::-1])[:, ::-1])
    for row, length, found in zip(x, lengths, backward.predict(x, lengths=lengths), strict=True):
        part = network([kind(5, return_sequences=True, reverse=True)], time=int(length))
        assert np.array_equal(found[:length], part.predict_one(row[:length]))
        assert not found[length:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_steps_after_the_length_are_not_looked_at(kind):
    net = network([Bidirectional(kind(4, return_sequences=True)), kind(3, return_sequences=True), Dense(2)])
    x, y, lengths = data(net, 9, lengths=True)
    other = x.copy()
    for row, length in zip(other, lengths, strict=True):
        row[length:] = 1e6
    assert np.array_equal(net.predict(x, lengths=lengths)[:, 0], net.predict(other, lengths=lengths)[:, 0])
    assert net.gradient(x, y, lengths=lengths)[0] == net.gradient(other, y, lengths=lengths)[0]
    assert np.array_equal(net.gradient(x, y, lengths=lengths)[1], net.gradient(other, y, lengths=lengths)[1])


def test_the_forget_gate_starts_open_and_every_gate_orthogonal():
    net = cbp.Network((2, 3), [LSTM(8)], loss="mean_squared_error", dtype="float64", seed=1)
    assert np.array_equal(net.parameters["0.bias"], np.repeat([[0.0], [1.0], [0.0], [0.0]], 8, axis=1))
    gates = net.parameters["0.recurrent"].transpose(1, 0, 2)
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(8), atol=1e-12)
    assert not np.allclose(gates[0], gates[1])
    bound = np.sqrt(6 / (3 + 8))
    assert 0.8 * bound < np.abs(net.parameters["0.weight"]).max() <= bound


# --- gradients --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("lengths", [False, True])
def test_gradients(kind, stack, lengths):
    net = network(STACKS[stack](kind), time=4)
    for rows in (1, 5):
        x, y, given = data(net, rows, lengths=lengths)
        assert cbp.check_gradients(net, x, y, lengths=given, limit=150).error < 1e-6


GRID = list(itertools.product(KINDS, (False, True), (False, True), (None, 3), (False, True)))


@pytest.mark.oracle
@pytest.mark.parametrize(("kind", "sequences", "reverse", "bptt", "lengths"), GRID)
def test_a_layer_trains_as_in_pytorch(kind, sequences, reverse, bptt, lengths):
    for rows in (1, 6):
        net = network([kind(5, return_sequences=sequences, reverse=reverse, bptt=bptt), Dense(2)], seed=rows)
        train_both(net, rows, lengths)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("lengths", [False, True])
def test_a_stack_trains_as_in_pytorch(kind, stack, lengths):
    for rows, bias in ((2, True), (11 if lengths else 53, True), (5, False)):
        train_both(network(STACKS[stack](kind, bias=bias), seed=rows), rows, lengths)


def train_both(net, rows, lengths):
    """Outputs and their gradients, then ten steps."""
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    torch.set_num_threads(1)
    x, y, given = data(net, rows, lengths=lengths)
    twin = Twin(torch, net, Adam(0.01))
    read = torch.tensor(x, requires_grad=True)
    outputs = twin.forward(read, given)
    if not lengths:
        close(net.predict(x), outputs.detach().numpy(), 1e-13)
        outputs.backward(torch.as_tensor(y))
        d_input, gradient = net.backward(x, y)
        close(d_input, read.grad.numpy(), 1e-12)
        flat = np.concatenate([p.grad.numpy().reshape(-1) for p in twin.parameters.values()])
        close(gradient, flat, 1e-12)
    for _ in range(10):
        _, gradient = net.gradient(x, y, lengths=given)
        loss = net.train_on_batch(x, y, optimizer=Adam(0.01), lengths=given)
        expected, expected_gradient = twin.step(x, y, given)
        assert loss == pytest.approx(expected, rel=1e-11)
        close(gradient, expected_gradient, 1e-10)
    close(net.get_vector(), twin.vector, 1e-10)


@pytest.mark.oracle
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_are_those_of_a_packed_sequence(kind):
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    net = network([kind(5)])
    x, _, lengths = data(net, 8, lengths=True)
    twin = Twin(torch, net)
    packed = torch.nn.utils.rnn.pack_padded_sequence(torch.tensor(x), torch.tensor(lengths), batch_first=True,
                                                     enforce_sorted=False)
    parameters = {name.removeprefix("0."): values for name, values in twin.parameters.items()}
    _, (last, *_) = twin.run(net.layers[0], parameters, packed.data, None, packed.batch_sizes)
    close(net.predict(x, lengths=lengths), last[0][packed.unsorted_indices].detach().numpy(), 1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_among_other_layers(kind):
    net = network([cbp.Conv1D(4, 3, "tanh"), cbp.LayerNorm(), Bidirectional(kind(3, return_sequences=True)),
                   cbp.Residual([kind(6, return_sequences=True)]), cbp.BatchNorm(), kind(4), Dense(2)])
    x, y, _ = data(net, 5)
    assert cbp.check_gradients(net, x, y, limit=200).error < 1e-6


@pytest.mark.parametrize("kind", KINDS)
def test_truncation_at_the_end_is_none(kind):
    for reverse in (False, True):
        whole, cut = (network([kind(5, bptt=bptt, reverse=reverse)]) for bptt in (None, TIME))
        x, y, _ = data(whole, 4)
        assert np.array_equal(whole.gradient(x, y)[1], cut.gradient(x, y)[1])


# --- the same bits ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_threads_and_pieces_give_the_same_bits(kind, dtype, monkeypatch):
    results = []
    for threads, piece in ((1, None), (3, None), (1, 12), (2, 24)):
        net = network([kind(20, return_sequences=True), Bidirectional(kind(6)), Dense(2)], dtype=dtype)
        if piece is not None:
            monkeypatch.setattr(net._plan, "piece", lambda rows, apart=False, piece=piece: min(rows, piece))
        x, y, lengths = data(net, 110, lengths=True)
        net.fit(x, y, epochs=2, batch_size=60, lengths=lengths, threads=threads)
        results.append(net.get_vector())
    for vector in results[1:]:
        assert np.array_equal(vector, results[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_sample_of_weight_0_teaches_nothing_even_if_it_overflows(kind):
    # Outputs of a layer before that overflow in float32: inf, whose products with 0 are NaN.
    net = network([Dense(4), kind(5, return_sequences=True), kind(3)], dtype="float32")
    net.parameters["0.weight"][...] *= 10
    x, y, _ = data(net, 6)
    x[2] = 1e38
    weight = np.ones(6)
    weight[2] = 0
    kept = np.arange(6) != 2
    _, gradient = net.gradient(x, y, sample_weight=weight)
    _, expected = net.gradient(x[kept], y[kept])
    close(gradient, expected, 1e-6)


# --- state from batch to batch ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [1, 5])
def test_stateful_predictions_of_stretches_are_those_of_the_whole(kind, rows):
    layers = [kind(5, return_sequences=True, stateful=True), kind(4, return_sequences=True, stateful=True)]
    whole = network([kind(5, return_sequences=True), kind(4, return_sequences=True)], time=3 * TIME)
    net = network(layers)
    net.set_vector(whole.get_vector())
    x = np.random.default_rng(1).normal(size=(rows, 3 * TIME, INPUTS))
    for _ in range(2):
        found = [net.predict(part) for part in np.split(x, 3, axis=1)]
        assert np.array_equal(np.concatenate(found, axis=1), whole.predict(x))
        net.reset_state()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [2, 5])
def test_stateful_training_is_truncation_of_the_whole(kind, rows):
    """With a rate of 0 the batches' gradients, each of its own mean, are those of the stretches of one long sequence."""
    whole = network([kind(5, return_sequences=True, bptt=TIME)], time=2 * TIME)
    net = network([kind(5, return_sequences=True, stateful=True)])
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(rows, 2 * TIME, INPUTS)), rng.normal(size=(rows, 2 * TIME, 5))
    losses = [net.train_on_batch(x[:, part], y[:, part], optimizer=cbp.SGD(1e-300)) for part in halves()]
    assert np.mean(losses) == pytest.approx(whole.evaluate(x, y)["loss"], rel=1e-13)
    # One epoch of both stretches as two batches, momentum keeping the sum of their gradients.
    fitted = network([kind(5, return_sequences=True, stateful=True)])
    stretches = np.concatenate([x[:, part] for part in halves()]), np.concatenate([y[:, part] for part in halves()])
    for _ in range(2):
        fitted.set_optimizer(cbp.SGD(1e-300, momentum=1 - 1e-16))
        fitted.fit(*stretches, epochs=1, batch_size=rows, shuffle=False)
        state = fitted.optimizer_state["velocity"]
        total = np.concatenate([state[name].reshape(-1) for name in fitted.parameters])
        close(total / 2, whole.gradient(x, y)[1], 1e-11)


def halves():
    return slice(0, TIME), slice(TIME, 2 * TIME)


def test_stateful_in_pieces_and_with_threads(monkeypatch):
    results = []
    for threads, piece in ((1, None), (3, None), (1, 12)):
        net = network([LSTM(6, stateful=True), Dense(2)])
        if piece is not None:
            monkeypatch.setattr(net._plan, "piece", lambda rows, apart=False, piece=piece: min(rows, piece))
        x, y, lengths = data(net, 130, lengths=True)
        net.fit(x, y, epochs=2, batch_size=50, shuffle=False, lengths=lengths, threads=threads)
        net.predict(x[:50])
        results.append((net.get_vector(), net.predict(x[:50])))
    for vector, outputs in results[1:]:
        assert np.array_equal(vector, results[0][0])
        assert np.array_equal(outputs, results[0][1])


def test_the_state_is_left_alone_by_what_does_not_go_on_from_it():
    net = network([GRU(5, stateful=True), Dense(2)])
    plain = network([GRU(5), Dense(2)])
    x, y, _ = data(net, 4)
    first, second = net.predict(x), net.predict(x)
    assert np.array_equal(first, plain.predict(x))
    assert not np.allclose(first, second)
    assert net.evaluate(x, y) == plain.evaluate(x, y)
    assert np.array_equal(net.gradient(x, y)[1], plain.gradient(x, y)[1])
    assert np.array_equal(net.backward(x, y)[0], plain.backward(x, y)[0])
    third = net.predict(x)
    net.reset_state()
    assert np.array_equal(net.predict(x), first)
    assert np.array_equal(net.predict(x), second)
    assert np.array_equal(net.predict(x), third)
    net.fit(x, y, epochs=1, batch_size=2, shuffle=False, validation_data=(x, y))
    assert np.array_equal(copy.deepcopy(net).predict(x), net.predict(x))  # neither a copy nor the end of fit has a state


def test_a_call_that_fails_leaves_the_state():
    net = network([LSTM(5, stateful=True), Dense(2)], dtype="float32")
    x, y, _ = data(net, 4)
    net.predict(x)
    expected = copy.deepcopy(net)
    expected.predict(x)
    with pytest.raises(ValueError, match=r"X has 3 samples, but stateful layers hold the state of the 4 .*net\.reset_state"):
        net.predict(x[:3])
    with pytest.raises(ValueError, match=r"X has 2 samples.*net\.reset_state"):
        net.train_on_batch(x[:2], y[:2])
    with pytest.raises(cbp.DivergedError):
        net.train_on_batch(x, 1e3 * y, optimizer=cbp.SGD(1e38))
    assert np.array_equal(net.predict(x), expected.predict(x))


def test_stateful_training_needs_the_order():
    net = network([LSTM(5, stateful=True), Dense(2)])
    x, y, _ = data(net, 6)
    before = net.get_vector()
    with pytest.raises(ValueError, match=r"shuffle must be False .* stateful"):
        net.fit(x, y, batch_size=3)
    assert np.array_equal(net.get_vector(), before)
    net.fit(x, y, epochs=1, batch_size=None)  # one batch: nothing to shuffle
    net.fit(x, y, epochs=1, batch_size=3, shuffle=False)
    assert not np.array_equal(net.get_vector(), before)


# --- one step after the other -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_those_of_the_whole_sequence(kind, dtype):
    net = network([kind(7, return_sequences=True), kind(20, return_sequences=True), Dense(3, "tanh")], dtype=dtype)
    last = network([kind(7, return_sequences=True, stateful=True), kind(20), Dense(3, "tanh")], dtype=dtype)
    x = np.random.default_rng(0).normal(size=(TIME, INPUTS)).astype(dtype)
    for _ in range(2):
        found = np.array([net.predict_step(step) for step in x])
        assert np.array_equal(found, net.predict_one(x))
        assert np.array_equal([last.predict_step(step.tolist()) for step in x], found)
        net.reset_state()
        last.reset_state()
    assert found.dtype == dtype


def test_steps_of_layers_that_act_on_each_step_alone():
    inside = cbp.Residual([LSTM(6, return_sequences=True), cbp.Dropout(0.3), Dense(4)])
    net = network([cbp.LayerNorm(), Dense(6, "relu"), inside, cbp.BatchNorm(), cbp.GaussianNoise(0.1), GRU(5), Dense(2)])
    x, y, _ = data(net, 20)
    net.fit(x, y, epochs=2)
    for t in range(TIME):
        found = net.predict_step(x[0, t])
    assert np.array_equal(found, net.predict(x)[0])


def test_steps_of_an_embedding():
    layers = [cbp.Embedding(10, 4), GRU(5, return_sequences=True), Dense(10, "softmax")]
    net = cbp.Network((TIME,), layers, loss="cross_entropy", dtype="float64", seed=0)
    x = np.random.default_rng(0).integers(10, size=TIME)
    assert np.array_equal([net.predict_step(symbol) for symbol in x], net.predict_one(x))
    net.reset_state()
    assert np.array_equal([net.predict_step(int(symbol)) for symbol in x], net.predict_one(x))
    for wrong in (10, -1, 1.5):
        with pytest.raises(ValueError, match=r"x holds .* vocabulary of 10 must be whole numbers from 0 to 9"):
            net.predict_step(wrong)
    with pytest.raises(ValueError, match=r"x must be one time step, a whole number, got the shape \(2,\)"):
        net.predict_step([1, 2])


def test_steps_follow_training_and_have_a_state_of_their_own():
    net = network([LSTM(5, stateful=True), Dense(2)])
    x, y, _ = data(net, 1)
    net.predict_step(x[0, 0])
    net.fit(x, y, epochs=1)
    net.predict(x)
    net.reset_state()
    for t in range(3):
        found = net.predict_step(x[0, t])
    net.predict(x)
    expected = naive_row(net.layers[0], {k.removeprefix("0."): v for k, v in net.parameters.items()}, x[0], 3)[0]
    close(found, expected @ net.parameters["1.weight"] + net.parameters["1.bias"], 1e-13)


@pytest.mark.parametrize(("given", "message"), [
    (np.zeros(2), r"x must be one time step, of the shape \(3,\), got the shape \(2,\); whole sequences go to predict"),
    (np.zeros((7, 3)), r"x must be one time step"),
    ([0, 0, np.nan], r"x holds nan at index 2"),
])
def test_wrong_steps(given, message):
    net = network([LSTM(5)])
    with pytest.raises(ValueError, match=message):
        net.predict_step(given)


@pytest.mark.parametrize("layer", [
    Bidirectional(LSTM(4)), LSTM(4, reverse=True), GRU(4, reverse=True), cbp.Flatten(), cbp.Conv1D(4, 3),
    cbp.GlobalMaxPool(),
])
def test_layers_that_need_other_steps(layer):
    net = network([layer])
    with pytest.raises(ValueError, match=f"predict_step.. cannot take {type(layer).__name__}.* step by step"):
        net.predict_step(np.zeros(3))


def test_steps_need_a_sequence():
    with pytest.raises(ValueError, match=r"inputs of this network have the shape \(4,\)"):
        cbp.mlp([4, 2]).predict_step(np.zeros(4))


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: LSTM(0), ValueError, "units must be a whole number of at least 1, got 0"),
    (lambda: GRU(2.5), TypeError, "units must be a whole number"),
    (lambda: LSTM(4, bptt=0), ValueError, "bptt must be a whole number of at least 1, got 0"),
    (lambda: RNN(4, reverse=1), TypeError, "reverse must be True or False, got 1"),
    (lambda: RNN(4, stateful="yes"), TypeError, "stateful must be True or False"),
    (lambda: RNN(4, "softmax"), ValueError, "activation of an RNN must be one of .*tanh.*, got 'softmax'"),
    (lambda: RNN(4, "tan"), ValueError, "activation"),
    (lambda: LSTM(4, recurrent_init="ortho"), ValueError, "init"),
    (lambda: Bidirectional(Dense(4)), TypeError, r"layer must be an RNN, LSTM or GRU, such as cbp\.LSTM\(8\), got Dense"),
    (lambda: Bidirectional(LSTM(4, reverse=True)), ValueError, "must not be reverse=True"),
    (lambda: Bidirectional(GRU(4, stateful=True)), ValueError, "must not be stateful=True"),
])
def test_wrong_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_without_a_time_axis(kind):
    for layer in (kind(4), Bidirectional(kind(4))):
        with pytest.raises(ValueError, match=rf"layers\[1\]: {kind.__name__}\(4\) takes sequences \(time, features\), its "
                                             r"input has the shape \(5,\); .* return_sequences=True"):
            cbp.Network(3, [Dense(5), layer], loss="mean_squared_error")


@pytest.mark.parametrize("lengths", [[0, 1], [1, 8], [1], [1.5, 2]])
def test_wrong_lengths(lengths):
    net = network([LSTM(4)])
    x, y, _ = data(net, 2)
    for call in (lambda: net.predict(x, lengths=lengths), lambda: net.fit(x, y, lengths=lengths)):
        with pytest.raises((ValueError, TypeError), match="lengths"):
            call()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_holds_every_argument(kind):
    layer = kind(4, return_sequences=True, reverse=True, bptt=2, stateful=True, bias=False, init="zeros", recurrent_init="ones")
    net = network([layer, Bidirectional(kind(3, bptt=3)), Dense(1)])
    again = copy.deepcopy(net)  # goes through a file in memory
    assert again.layers == net.layers
    assert np.array_equal(again.get_vector(), net.get_vector())
    x, _, _ = data(net, 2)
    assert np.array_equal(again.predict(x), net.predict(x))
