"""Embedding against NumPy and PyTorch; sparse updates against dense ones that are taken back; checks of its inputs."""

import numpy as np
import pytest
from cases import ALL_OPTIMIZERS, close

import cbp
from cbp.engine import arrays, plan

TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
VOCABULARY, STEPS = 40, 6


def network(layers=None, *, sparse=False, dtype="float64", units=5, **settings):
    """A table, something over time, three classes."""
    layers = layers or [cbp.Dense(4, "tanh"), cbp.GlobalAveragePool(), cbp.Dense(3, "softmax")]
    table = cbp.Embedding(VOCABULARY, units, sparse=sparse)
    return cbp.Network(STEPS, [table, *layers], loss="cross_entropy", dtype=dtype, seed=3, **settings)


def samples(rng, count, most=VOCABULARY):
    return rng.integers(most, size=(count, STEPS)), rng.integers(3, size=count)


@pytest.mark.parametrize("units", [1, 5, 16, 20])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sparse", [False, True])
def test_rows_of_the_table_and_their_gradient(units, dtype, sparse):
    rng = np.random.default_rng(0)
    net = cbp.Network(STEPS, [cbp.Embedding(VOCABULARY, units, sparse=sparse)], loss="mean_squared_error", dtype=dtype)
    x, _ = samples(rng, 9, 10)
    d = rng.normal(size=(9, STEPS, units)).astype(dtype)
    table = net.parameters["0.weight"]
    assert table.shape == (VOCABULARY, units)
    np.testing.assert_array_equal(net.predict(x), table[x])
    np.testing.assert_array_equal(net.predict_one(x[0].tolist()), table[x[0]])
    d_input, gradient = net.backward(x, d)
    wanted = np.zeros((VOCABULARY, units), dtype)
    np.add.at(wanted, x, d)  # in the order of the samples, as the core
    np.testing.assert_array_equal(gradient.reshape(wanted.shape), wanted)
    assert d_input.shape == x.shape
    assert not d_input.any()


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients(sparse):
    rng = np.random.default_rng(1)
    x, y = samples(rng, 7)
    net = network([cbp.Residual([cbp.Dense(5, "tanh")]), cbp.Flatten(), cbp.Dense(3, "softmax")], sparse=sparse, l2=0.02)
    assert cbp.check_gradients(net, x, y).error < 1e-6


@pytest.mark.oracle
@pytest.mark.parametrize("sparse", [False, True])
def test_ten_steps_of_pytorch(sparse):
    """SparseAdam for a sparse table: its moments wait until a row occurs again, its bias correction does not."""
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    rng = np.random.default_rng(2)
    net = network(sparse=sparse)
    weights = {name: torch.nn.Parameter(torch.tensor(np.array(view))) for name, view in net.parameters.items()}
    table = weights.pop("0.weight")
    options = {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-30}  # SparseAdam adds its epsilon elsewhere
    if sparse:
        optimizers = [torch.optim.Adam(list(weights.values()), **options), torch.optim.SparseAdam([table], **options)]
    else:
        optimizers = [torch.optim.Adam([*weights.values(), table], **options)]
    optimizer = cbp.Adam(0.05, beta1=0.8, beta2=0.9, epsilon=1e-30)
    for _ in range(10):
        x, y = samples(rng, 5)
        h = torch.nn.functional.embedding(torch.tensor(x), table, sparse=sparse)
        h = torch.tanh(h @ weights["1.weight"] + weights["1.bias"]).mean(1)
        loss = torch.nn.functional.cross_entropy(h @ weights["3.weight"] + weights["3.bias"], torch.tensor(y))
        for each in optimizers:
            each.zero_grad()
        loss.backward()
        for each in optimizers:
            each.step()
        assert net.train_on_batch(x, y, optimizer=optimizer) == pytest.approx(loss.item(), rel=1e-11)
    close(net.parameters["0.weight"], table.detach().numpy(), 1e-11)
    for name, value in weights.items():
        close(net.parameters[name], value.detach().numpy(), 1e-11)


# --- sparse -------------------------------------------------------------------------------------------------------------


def step_with_waiting_rows(net, x, y, optimizer, **arguments):
    """A dense step, of which rows that do not occur in x are taken back."""
    states = list(net.optimizer_state.values())
    before = [net.parameters["0.weight"].copy()] + [state["0.weight"].copy() for state in states]
    net.train_on_batch(x, y, optimizer=optimizer, **arguments)
    absent = ~np.isin(np.arange(VOCABULARY), x)
    after = [net.parameters["0.weight"]] + [state["0.weight"] for state in net.optimizer_state.values()]
    for now, then in zip(after, before, strict=True):
        now[absent] = then[absent]


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
@pytest.mark.parametrize("penalties", [{}, {"l1": 0.01, "l2": 0.1}])
def test_a_sparse_step_is_a_dense_one_in_which_absent_rows_wait(name, penalties):
    optimizer = ALL_OPTIMIZERS[name]
    rng = np.random.default_rng(4)
    sparse, dense = network(sparse=True, **penalties), network(**penalties)
    dense.set_optimizer(optimizer)
    for count in (5, 1, 9, 5):
        x, y = samples(rng, count)
        sparse.train_on_batch(x, y, optimizer=optimizer)
        step_with_waiting_rows(dense, x, y, optimizer)
    np.testing.assert_array_equal(sparse.get_vector(), dense.get_vector())
    for slot, state in sparse.optimizer_state.items():
        np.testing.assert_array_equal(state["0.weight"], dense.optimizer_state[slot]["0.weight"])


def test_plain_sgd_is_the_same_sparse_and_dense():
    rng = np.random.default_rng(5)
    x, y = samples(rng, 50)
    found = []
    for sparse in (False, True):
        net = network(sparse=sparse, dtype="float32")
        net.fit(x, y, epochs=3, batch_size=8, optimizer=cbp.SGD(0.5))
        found.append(net.get_vector())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("sparse", [False, True])
def test_threads_and_pieces_give_the_same_bits(sparse, dtype, monkeypatch):
    """Pieces of 12 rows, in shuffled order: the update of a row that occurs in an early piece comes after the last one."""
    rng = np.random.default_rng(6)
    x, y = samples(rng, 70)
    lengths = rng.integers(1, STEPS + 1, 70)
    found = []
    for threads, piece in ((1, None), (1, 1), (2, None), (3, 1), (5, None), (5, 1)):
        if piece:
            monkeypatch.setattr(plan, "PIECE", piece)
        net = network(sparse=sparse, dtype=dtype)
        assert net._plan.piece(40) == (12 if piece else 40)
        for given in (x, x.astype(np.uint8)[:, ::-1], x.astype(dtype)):
            net.fit(given, y, epochs=2, batch_size=40, optimizer=cbp.Adam(0.01), threads=threads, lengths=lengths)
        found.append(net.get_vector())
        monkeypatch.undo()
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("sparse", [False, True])
def test_steps_after_the_length_do_not_occur(sparse):
    rng = np.random.default_rng(7)
    x, y = samples(rng, 6, VOCABULARY - 2)
    lengths = np.array([1, 2, 3, 4, 5, 6])
    padded = np.where(np.arange(STEPS) < lengths[:, None], x, VOCABULARY - 1)
    net, other = network(sparse=sparse), network(sparse=sparse)
    for _ in range(3):
        net.train_on_batch(x, y, lengths=lengths, optimizer=cbp.Adam(0.1))
        other.train_on_batch(padded, y, lengths=lengths, optimizer=cbp.Adam(0.1))
    np.testing.assert_array_equal(net.get_vector(), other.get_vector())
    np.testing.assert_array_equal(net.parameters["0.weight"][VOCABULARY - 1], network().parameters["0.weight"][VOCABULARY - 1])


def test_a_batch_that_diverges_leaves_no_traces():
    """The third piece of the batch overflows; what the first two have begun is not used by the next batch."""
    rng = np.random.default_rng(8)
    x, y = samples(rng, 36)
    layers = [cbp.GlobalAveragePool(), cbp.Dense(3)]

    def make():
        return cbp.Network(STEPS, [cbp.Embedding(VOCABULARY, 5, sparse=True), *layers], loss="mean_squared_error", seed=1,
                           dtype="float64")

    targets = np.eye(3)[y]
    far = targets.copy()
    far[-1] = 1e200
    net, other = make(), make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "PIECE", 1)
        with pytest.raises(cbp.DivergedError):
            net.fit(x, far, epochs=1, batch_size=None, optimizer=cbp.Adam(0.1), shuffle=False)
        net.fit(x, targets, epochs=1, batch_size=None, optimizer=cbp.Adam(0.1), shuffle=False)
    other.fit(x, targets, epochs=1, batch_size=None, optimizer=cbp.Adam(0.1), shuffle=False)
    np.testing.assert_array_equal(net.get_vector(), other.get_vector())


def test_a_sample_of_weight_0_occurs_without_a_gradient():
    rng = np.random.default_rng(9)
    x, y = samples(rng, 3)
    net = network()
    close(net.gradient(x, y, [1, 0, 2])[1], net.gradient(x[[0, 2]], y[[0, 2]], [1, 2])[1], 1e-14)


def test_a_large_vocabulary():
    """Nothing in a step walks over all rows: this takes milliseconds, a dense step would take 100 times as long."""
    vocabulary = 300_000
    layers = [cbp.Embedding(vocabulary, 16, sparse=True, init=0.5), cbp.GlobalAveragePool(), cbp.Dense(2, "softmax")]
    net = cbp.Network(4, layers, loss="cross_entropy", seed=0)
    x = np.random.default_rng(10).integers(vocabulary, size=(64, 4))
    net.fit(x, x[:, 0] % 2, epochs=50, batch_size=16, threads=2)
    moved = (net.parameters["0.weight"] != 0.5).any(1)
    np.testing.assert_array_equal(np.flatnonzero(moved), np.unique(x))
    assert net.evaluate(x, x[:, 0] % 2)["accuracy"] > 0.9


# --- inputs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "int64", "uint64", "float16", "float32", "float64"])
@pytest.mark.parametrize("own", TOLERANCE)
def test_any_dtype_that_holds_whole_numbers(dtype, own):
    rng = np.random.default_rng(11)
    x, _ = samples(rng, 5, 2)
    net = network(dtype=own)
    wanted = net.predict(x)
    np.testing.assert_array_equal(net.predict(x.astype(dtype)), wanted)
    np.testing.assert_array_equal(net.predict(np.asfortranarray(x.astype(dtype))), wanted)
    np.testing.assert_array_equal(net.predict(x.tolist()), wanted)
    np.testing.assert_array_equal(net.predict_one(x.astype(dtype)[1]), net.predict_one(x[1].tolist()))


def test_integers_stay_where_they_are():
    x = np.random.default_rng(12).integers(VOCABULARY, size=(20, STEPS), dtype=np.int32)
    inputs = arrays.inputs(network()._model.form, x)
    assert inputs.array is x


@pytest.mark.parametrize(("place", "value", "dtype", "shown"), [
    ((0, 0), -1, "int64", "-1"), ((3, 5), VOCABULARY, "int64", "40"), ((2, 1), 255, "uint8", "255"),
    ((4, 0), 1.5, "float32", "1.5"), ((1, 2), -0.5, "float64", "-0.5"), ((4, 5), 2**63, "uint64", str(2**63)),
])
def test_inputs_outside_the_vocabulary(place, value, dtype, shown):
    net = network()
    x, y = samples(np.random.default_rng(13), 5)
    x = x.astype(dtype)
    x[place] = value
    before = net.get_vector()
    message = (rf"X holds {shown} at index \({place[0]}, {place[1]}\); the inputs of an Embedding with a vocabulary of 40 "
               rf"must be whole numbers from 0 to 39")
    for call in (lambda: net.predict(x), lambda: net.fit(x, y), lambda: net.train_on_batch(x, y), lambda: net.evaluate(x, y),
                 lambda: net.backward(x, np.zeros((5, 3)))):
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(ValueError, match=r"^validation_data\[0\] holds"):
        net.fit(np.zeros((5, STEPS)), y, validation_data=(x, y))
    with pytest.raises(ValueError, match=rf"x holds {shown} at index {place[1]}; the inputs"):
        net.predict_one(x[place[0]])
    np.testing.assert_array_equal(net.get_vector(), before)


def test_inputs_are_looked_at_block_by_block(monkeypatch):
    monkeypatch.setattr("cbp.engine.check.BLOCK", 100)
    x, _ = samples(np.random.default_rng(14), 30)
    net = network()
    net.predict(x)
    x[29, 3] = VOCABULARY
    with pytest.raises(ValueError, match=r"X holds 40 at index \(29, 3\)"):
        net.predict(x)


def test_inputs_that_are_no_numbers():
    net = network()
    with pytest.raises(ValueError, match=r"X holds nan at index \(0, 0\); every value must be finite"):
        net.predict(np.full((2, STEPS), np.nan))
    with pytest.raises(TypeError, match="X must hold numbers"):
        net.predict(np.full((2, STEPS), "word"))


def test_a_vocabulary_that_float32_cannot_count():
    layers = [cbp.Embedding(2**24 + 1, 1, sparse=True), cbp.Flatten(), cbp.Dense(1)]
    with pytest.raises(ValueError, match=r"vocabulary of 16777217; .* so it needs dtype='float64'"):
        cbp.Network(2, layers, loss="mean_squared_error")
    assert np.float32(2**24) != np.float32(2**24 - 1)
    assert np.float32(2**24) == np.float32(2**24 + 1)


# --- specification ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "options", "error", "message"), [
    ((0, 3), {}, ValueError, "vocabulary must be a whole number of at least 1, got 0"),
    ((3, 0), {}, ValueError, "units must be a whole number of at least 1, got 0"),
    ((3.5, 3), {}, TypeError, "vocabulary must be a whole number"),
    ((3, 3), {"sparse": 1}, TypeError, "sparse must be True or False, got 1"),
    ((3, 3), {"init": "he"}, ValueError, "init"),
])
def test_wrong_arguments(arguments, options, error, message):
    with pytest.raises(error, match=message):
        cbp.Embedding(*arguments, **options)


def test_wrong_places():
    with pytest.raises(ValueError, match=r"layers\[0\]: Embedding\(9, 2\) needs inputs \(time,\) of whole .* \(4, 3\)"):
        cbp.Network((4, 3), [cbp.Embedding(9, 2)], loss="mean_squared_error")
    with pytest.raises(ValueError, match=r"layers\[1\]: Embedding\(9, 2\) must be the first layer"):
        cbp.Network(4, [cbp.Dense(3), cbp.Embedding(9, 2)], loss="mean_squared_error")


def test_start_files_and_repr(tmp_path):
    net = cbp.Network(4, [cbp.Embedding(2000, 8, sparse=True), cbp.Flatten(), cbp.Dense(2)], loss="mean_squared_error", seed=0)
    start = net.parameters["0.weight"]
    assert abs(start.mean()) < 0.03
    assert abs(start.std() - 1) < 0.03
    assert cbp.layers.base.brief(net.layers[0]) == "Embedding(2000, 8, sparse=True)"
    net.save(tmp_path / "model.cbp")
    again = cbp.load(tmp_path / "model.cbp")
    assert again.layers == net.layers
    np.testing.assert_array_equal(again.parameters["0.weight"], start)
    given = np.arange(6.0).reshape(3, 2)
    table = cbp.Network(1, [cbp.Embedding(3, 2, init=given)], loss="mean_squared_error")
    np.testing.assert_array_equal(table.predict([[2], [0]])[:, 0], given[[2, 0]])
