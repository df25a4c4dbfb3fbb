"""PyTorch as the oracle: the same losses, gradients and parameters over whole training runs.

A ``Twin`` computes what a network computes, with PyTorch's own functions, autograd and optimizers. Where definitions differ:
cbp's penalties and its decoupled decay act on weights and not on biases; ``torch.nn.functional.softplus`` turns into a line
at 20, and the derivative of ``hardsigmoid`` is 1/6 in float32 there, also in float64.
"""

import facts
import numpy as np
import pytest
from cases import (
    ALL_LOSSES,
    ALL_OPTIMIZERS,
    LOSS_OUTPUTS,
    LOSSES,
    OPTIMIZERS,
    OUTPUTS,
    close,
    inputs,
    network,
    seed_of,
    targets,
)
from facts import ACTIVATIONS

import cbp
from cbp.engine.cpu import core

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
torch.set_num_threads(1)  # several would cost more than these tiny products
F = torch.nn.functional
pytestmark = pytest.mark.oracle

TIGHT = 1e-11
"""Relative, for float64: five steps of a few hundred roundings of 1e-16, some of them amplified by Adam's division."""

ROWS = 7  # odd, so that no sum of signs cancels to 0 in one library and to 1e-17 in the other
STEPS = 5


def activate(name, z):
    row = facts.ACTIVATIONS[name]
    return row.function(torch, z) if row.function else row.module(torch.nn)(z)


def loss_of(loss, z, p, y, output):
    """The loss of every sample, from the last weighted sums z, the outputs p, the targets y."""
    row = facts.LOSSES[loss.name]
    return row.torch_fused(F, loss, z, y) if row.torch_fused and output == row.output else row.torch(F, loss, z, p, y)


class Twin:
    """A network's copy in PyTorch, in float64."""

    def __init__(self, net, optimizer=None):
        self.net = net
        self.parameters = {
            name: torch.tensor(np.array(view, np.float64), requires_grad=True) for name, view in net.parameters.items()
        }
        self.rule = None if optimizer is None else Rule(optimizer, self.parameters)

    def forward(self, x):
        for index, layer in enumerate(self.net.layers):
            z = x @ self.parameters[f"{index}.weight"]
            if layer.bias:
                z = z + self.parameters[f"{index}.bias"]
            x = activate(layer.activation, z)
        return z, x

    def loss(self, x, y, sample_weight=None):
        """Mean loss, penalties included."""
        z, p = self.forward(torch.as_tensor(x))
        y = torch.as_tensor(y)
        each = loss_of(self.net.loss, z, p, y, self.net.layers[-1].activation)
        w = torch.ones(len(x), dtype=torch.float64) if sample_weight is None else torch.as_tensor(sample_weight)
        weights = [p for name, p in self.parameters.items() if name.endswith("weight")]
        penalty = sum(self.net.l1 * p.abs().sum() + self.net.l2 / 2 * (p**2).sum() for p in weights)
        return (w * each).sum() / w.sum() + penalty

    def gradient(self, x, y, sample_weight=None):
        """Loss and flat gradient, which also stays in the parameters' ``grad``."""
        for parameter in self.parameters.values():
            parameter.grad = None
        loss = self.loss(x, y, sample_weight)
        loss.backward()
        return loss.item(), flat(parameter.grad for parameter in self.parameters.values())

    def step(self, x, y, sample_weight=None):
        loss, gradient = self.gradient(x, y, sample_weight)
        self.rule.step()
        return loss, gradient

    @property
    def vector(self):
        return flat(self.parameters.values())


class Rule:
    """PyTorch's optimizer for one of cbp's; decoupled decay on weights, by a parameter group or by hand."""

    def __init__(self, optimizer, parameters):
        self.row, self.parameters = facts.OPTIMIZERS[optimizer.name], parameters
        kind, settings = self.row.torch(torch.optim, optimizer)
        decays = settings.pop("weight_decay", None) is not None
        self.decay_by_hand = 0.0 if decays else optimizer.rate * optimizer.weight_decay
        groups = [{"params": [p], **({"weight_decay": optimizer.weight_decay * name.endswith("weight")} if decays else {})}
                  for name, p in parameters.items()]
        self.torch = kind(groups, lr=optimizer.rate, **settings)

    def step(self):
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                if name.endswith("weight"):
                    parameter *= 1 - self.decay_by_hand
        self.torch.step()

    def state(self, slot):
        """One state array over all parameters."""
        return flat(self.torch.state[parameter][self.row.slots[slot]] for parameter in self.parameters.values())


def flat(tensors):
    return np.concatenate([tensor.detach().numpy().reshape(-1) for tensor in tensors])


def train_both(net, optimizer, x, y, sample_weight=None, tolerance=TIGHT):
    """Some steps on one batch in both: losses, gradients, final parameters and optimizer state agree."""
    twin = Twin(net, optimizer)
    for _ in range(STEPS):
        _, gradient = net.gradient(x, y, sample_weight)
        loss = net.train_on_batch(x, y, optimizer=optimizer, sample_weight=sample_weight)
        expected, expected_gradient = twin.step(x, y, sample_weight)
        assert loss == pytest.approx(expected, rel=tolerance)
        close(gradient, expected_gradient, tolerance)
    close(net.get_vector(), twin.vector, tolerance)
    for slot, arrays in net.optimizer_state.items():
        state = np.concatenate([view.reshape(-1) for view in arrays.values()])
        if slot in twin.rule.row.begins:
            state[state == 0] = getattr(optimizer, twin.rule.row.begins[slot])
        close(state, twin.rule.state(slot), tolerance)
    return twin


KNOWN = {name: optimizer for name, optimizer in ALL_OPTIMIZERS.items() if facts.OPTIMIZERS[optimizer.name].torch}
"""Optimizers that PyTorch has too."""
RULES = {name: optimizer for name, optimizer in KNOWN.items() if name in OPTIMIZERS}


def output_of(hidden, loss, optimizer):
    """The activation of the last layer in the test of this triple; which pairs that covers, a test below tells.

    A new name moves it in other triples, so the numbers of a test are drawn by all four names.
    """
    choice = list(ACTIVATIONS).index(hidden) + 7 * list(LOSSES).index(loss) + list(RULES).index(optimizer)
    return OUTPUTS[loss][choice % len(OUTPUTS[loss])]


TRIPLES = [(hidden, loss, optimizer) for hidden in ACTIVATIONS for loss in LOSSES for optimizer in RULES]


def test_the_triples_cover_every_pair_with_the_last_activation():
    chosen = [(hidden, loss, optimizer, output_of(hidden, loss, optimizer)) for hidden, loss, optimizer in TRIPLES]
    assert {(loss, output) for _, loss, _, output in chosen} == set(LOSS_OUTPUTS)
    assert {(hidden, output) for hidden, _, _, output in chosen} == {(a, b) for a in ACTIVATIONS for b in ACTIVATIONS}
    assert {(rule, output) for _, _, rule, output in chosen} == {(a, b) for a in RULES for b in ACTIVATIONS}


# --- the full product: hidden activation x loss x optimizer -----------------------------------------------------------


@pytest.mark.parametrize(("hidden", "loss", "optimizer"), TRIPLES)
def test_training(hidden, loss, optimizer):
    output = output_of(hidden, loss, optimizer)
    seed = seed_of(hidden, output, loss, optimizer)
    rng = np.random.default_rng(seed)
    net = network(hidden, output, loss, seed=seed)
    x, y = inputs(rng, ROWS), targets(loss, rng, ROWS)
    sample_weight = rng.random(ROWS) if seed % 2 else None
    train_both(net, RULES[optimizer], x, y, sample_weight)


@pytest.mark.parametrize("optimizer", sorted(set(KNOWN) - set(RULES)))
@pytest.mark.parametrize(("loss", "output"), [("cross_entropy", "softmax"), ("huber", "identity")])
def test_options_of_optimizers(loss, output, optimizer):
    rng = np.random.default_rng(3)
    net = network("silu", output, loss, l1=0.01, l2=0.02, bias=(True, False, True))
    train_both(net, KNOWN[optimizer], inputs(rng, ROWS), targets(loss, rng, ROWS), rng.random(ROWS))


@pytest.mark.parametrize("bias", [(True, True, True), (False, True, True), (True, False, False), (False, False, False)])
@pytest.mark.parametrize(("l1", "l2"), [(0.03, 0.0), (0.0, 0.05), (0.02, 0.04)])
@pytest.mark.parametrize("loss", LOSSES)
def test_penalties_and_missing_biases(loss, l1, l2, bias):
    rng = np.random.default_rng(4)
    net = network("tanh", OUTPUTS[loss][-1], loss, l1=l1, l2=l2, bias=bias)
    train_both(net, cbp.Adam(0.01), inputs(rng, ROWS), targets(loss, rng, ROWS), rng.random(ROWS))


@pytest.mark.parametrize("name", sorted(set(ALL_LOSSES) - set(LOSSES)))
def test_parameters_of_losses(name):
    loss = ALL_LOSSES[name]
    rng = np.random.default_rng(seed_of(name))
    net = network(output=facts.LOSSES[loss.name].output, loss=loss)
    x, y = inputs(rng, ROWS), 2 * targets(loss, rng, ROWS)
    train_both(net, cbp.SGD(0.05), x, y)


def test_labels_one_hot_rows_and_probabilities_of_cross_entropy():
    rng = np.random.default_rng(6)
    net = network(output="softmax", loss="cross_entropy")
    x, labels = inputs(rng, ROWS), rng.integers(3, size=ROWS)
    soft = rng.dirichlet(np.ones(3), size=ROWS) * (1 + rng.uniform(-9e-4, 9e-4, (ROWS, 1)))  # sums that are allowed
    for y in (labels, np.eye(3)[labels], soft):
        expected_loss, expected = Twin(net).gradient(x, y)
        loss, gradient = net.gradient(x, y)
        assert loss == pytest.approx(expected_loss, rel=TIGHT)
        close(gradient, expected, TIGHT)


# --- float32 ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_float32(hidden, loss):
    """The same steps in float32, against float64. A number goes through some 50 roundings of 6e-8 a step, mostly of mixed
    signs; a wrong formula is wrong in the second digit."""
    rng = np.random.default_rng(7)
    net = network(hidden, OUTPUTS[loss][-1], loss, dtype="float32")
    x = inputs(rng, ROWS).astype(np.float32)
    y = targets(loss, rng, ROWS)
    y = y if y.ndim == 1 else y.astype(np.float32)
    sample_weight = rng.random(ROWS).astype(np.float32)
    wide = [a if a.dtype.kind == "i" else a.astype(np.float64) for a in (x, y, sample_weight)]
    twin = Twin(net, cbp.SGD(0.05, momentum=0.9))
    for _ in range(STEPS):
        loss_before = net.train_on_batch(x, y, optimizer=cbp.SGD(0.05, momentum=0.9), sample_weight=sample_weight)
        expected, _ = twin.step(*wide)
        assert loss_before == pytest.approx(expected, rel=2e-6)
    close(net.get_vector(), twin.vector, 2e-6)


# --- fit: batches, order, epochs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 8, 100])
@pytest.mark.parametrize("weighted", [False, True])
def test_fit(batch_size, shuffle, weighted):
    """Epochs of batches, the last one shorter, in the order that the generator gives for seed and epoch."""
    rng = np.random.default_rng(8)
    rows, epochs = 14, 4
    x, y = inputs(rng, rows), rng.integers(3, size=rows)
    w = rng.random(rows) if weighted else np.ones(rows)
    net = network("gelu", "softmax", "cross_entropy", seed=9, l1=0.003, l2=0.01)
    twin = Twin(net, cbp.Adam(0.01))
    losses = []
    for epoch in range(epochs):
        order = np.arange(rows)
        if shuffle:
            core.permutation(net.seed, epoch, order)
        weights = [p.detach() for name, p in twin.parameters.items() if name.endswith("weight")]
        penalty = sum(0.003 * p.abs().sum() + 0.005 * (p**2).sum() for p in weights).item()
        total = 0.0
        for start in range(0, rows, batch_size or rows):
            batch = order[start : start + (batch_size or rows)]
            with torch.no_grad():
                now = sum(0.003 * p.abs().sum() + 0.005 * (p**2).sum() for p in weights).item()
            loss, _ = twin.step(x[batch], y[batch], w[batch])
            total += (loss - now) * w[batch].sum()
        losses.append(total / w.sum() + penalty)  # the penalty of an epoch is the one at its beginning
    history = net.fit(x, y, epochs=epochs, batch_size=batch_size, optimizer=cbp.Adam(0.01), shuffle=shuffle,
                      sample_weight=w if weighted else None)
    np.testing.assert_allclose(history["loss"], losses, rtol=TIGHT)
    close(net.get_vector(), twin.vector, TIGHT)
    assert net.evaluate(x, y, w)["loss"] == pytest.approx(twin.loss(x, y, w).item(), rel=TIGHT)


# --- vector-Jacobian products -----------------------------------------------------------------------------------------


def vector_jacobian(net, x, d):
    """What autograd says to ``net.backward(x, d)``."""
    twin, tensor = Twin(net), torch.tensor(x, requires_grad=True)
    _, p = twin.forward(tensor)
    d_input, *gradients = torch.autograd.grad(p, [tensor, *twin.parameters.values()], torch.as_tensor(d))
    return p, d_input, flat(gradients)


@pytest.mark.parametrize("output", ACTIVATIONS)
@pytest.mark.parametrize("hidden", ACTIVATIONS)
def test_backward(hidden, output):
    rng = np.random.default_rng(10)
    net = network(hidden, output, l2=0.1)  # a penalty is no part of a vector-Jacobian product
    for rows in (1, ROWS):
        x, d = inputs(rng, rows), rng.normal(size=(rows, 3))
        p, expected, expected_gradient = vector_jacobian(net, x, d)
        d_input, gradient = net.backward(x, d)
        close(net.predict(x), p.detach(), TIGHT)
        close(d_input, expected, TIGHT)
        close(gradient, expected_gradient, TIGHT)


@pytest.mark.parametrize("rows", [1024, 1025, 2500])
def test_backward_of_many_rows(rows):
    rng = np.random.default_rng(11)
    net = network("softplus", "softmax")
    x, d = inputs(rng, rows), rng.normal(size=(rows, 3))
    _, expected, expected_gradient = vector_jacobian(net, x, d)
    d_input, gradient = net.backward(x, d)
    close(d_input, expected, TIGHT)
    close(gradient, expected_gradient, TIGHT)


# --- the fused losses where probabilities round to 0 and 1 ------------------------------------------------------------


def of_sums(output, loss, dtype):
    """A network whose last weighted sums are its inputs."""
    return cbp.Network(3, [cbp.Dense(3, output, bias=False, init=np.eye(3))], loss=loss, dtype=dtype)


SUMS = np.array([[0.0, 0.0, 0.0], [30.0, -30.0, 0.0], [100.0, 99.0, -100.0], [-800.0, 800.0, 0.0], [1e4, -1e4, 1e-3],
                 [-1e4, -1e4, -1e4], [88.75, 89.0, 710.0], [1e-30, -1e-30, 5.0]])  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("output", "loss"), [("softmax", "cross_entropy"), ("sigmoid", "binary_cross_entropy")])
@pytest.mark.parametrize("row", range(len(SUMS)))
def test_extreme_sums(output, loss, row, dtype):
    """Finite, and right up to some roundings of the sums themselves, of which the loss is a difference."""
    net = of_sums(output, loss, dtype)
    x = SUMS[row : row + 1].astype(dtype).astype(np.float64)
    rounding = 4 * float(np.finfo(dtype).eps) * max(1.0, np.abs(x).max())
    fractions = np.array([[0.0, 1.0, 0.25]])
    for y in [np.array([0]), np.array([1]), np.array([2])] if loss == "cross_entropy" else [fractions, 1 - fractions]:
        expected_loss, expected = Twin(net).gradient(x, y)
        got_loss, gradient = net.gradient(x, y)
        assert got_loss == pytest.approx(expected_loss, rel=0, abs=rounding)
        np.testing.assert_allclose(gradient, expected, rtol=0, atol=rounding)
