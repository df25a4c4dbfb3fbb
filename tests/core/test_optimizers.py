"""Optimizers beside their formulas in NumPy, the rows of facts.py."""

import numpy as np
import pytest
from cases import ALL_OPTIMIZERS, inputs, network, seed_of, targets
from facts import OPTIMIZERS


@pytest.mark.parametrize("name", ALL_OPTIMIZERS)
def test_steps_are_those_of_the_formula(name):
    """Ten steps: the parameters and the state after each, with decay of the weights alone."""
    optimizer, rng = ALL_OPTIMIZERS[name], np.random.default_rng(seed_of(name))
    net = network("silu", loss="half_squared_error", seed=1)
    x, y = inputs(rng, 7), targets("half_squared_error", rng, 7)
    is_weight = np.concatenate([np.full(view.size, name.endswith("weight")) for name, view in net.parameters.items()])
    w, state = net.get_vector(), [np.zeros_like(net.get_vector()) for _ in optimizer.slots]
    for t in range(1, 11):
        update, *state = OPTIMIZERS[optimizer.name].step(optimizer, t, net.gradient(x, y)[1], *state)
        w = w - optimizer.rate * optimizer.weight_decay * w * is_weight - update
        net.train_on_batch(x, y, optimizer=optimizer)
        np.testing.assert_allclose(net.get_vector(), w, rtol=1e-12, atol=1e-13)
        for slot, right in zip(optimizer.slots, state, strict=True):
            found = np.concatenate([view.reshape(-1) for view in net.optimizer_state[slot].values()])
            np.testing.assert_allclose(found, right, rtol=1e-12, atol=1e-15)
        w, state = net.get_vector(), [np.concatenate([v.reshape(-1) for v in net.optimizer_state[s].values()])
                                      for s in optimizer.slots]  # fmt: skip
