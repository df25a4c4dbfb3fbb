"""A schedule by hand, an optimizer of the same kind with other numbers for every call, against PyTorch's with another lr."""

from dataclasses import replace

import facts
import numpy as np
import pytest

import cbp

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")

RATES = [0.05 * 0.9**t for t in range(40)]
KNOWN = {name: replace(optimizer, weight_decay=0.0) for row in facts.OPTIMIZERS.values() if row.torch
         for name, optimizer in row.plain.items()}


def train_on_batch(net, X, y, optimizer):
    net.train_on_batch(X, y, optimizer=optimizer)


def fit(net, X, y, optimizer):
    net.fit(X, y, epochs=1, batch_size=None, optimizer=optimizer)


@pytest.mark.parametrize("rows", [3, 300], ids=["straight to the core", "the ordinary way"])
@pytest.mark.parametrize("train", [train_on_batch, fit])
@pytest.mark.parametrize("name", KNOWN)
def test_a_schedule_by_hand(name, train, rows):
    theirs, settings = facts.OPTIMIZERS[KNOWN[name].name].torch(torch.optim, KNOWN[name])
    rng = np.random.default_rng(1)
    net = cbp.mlp([3, 5, 2], hidden="tanh", dtype="float64", seed=0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2)).double()
    with torch.no_grad():
        for ours, other in zip(net.parameters.values(), module.parameters(), strict=True):
            other.copy_(torch.from_numpy(ours.T.copy()))
    optimizer = theirs(module.parameters(), lr=1.0, **settings)
    for step, rate in enumerate(RATES, 1):
        X, y = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2))
        train(net, X, y, replace(KNOWN[name], rate=rate))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(module(torch.from_numpy(X)), torch.from_numpy(y)).backward()
        optimizer.step()
        assert net.step == step
    for ours, other in zip(net.parameters.values(), module.parameters(), strict=True):
        np.testing.assert_allclose(ours, other.detach().numpy().T, rtol=1e-9, atol=1e-11)
