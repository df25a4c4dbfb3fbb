"""Bounds on the gradient, averages of the parameters, batches that make one update, and rates of arrays, against PyTorch's."""

import numpy as np
import pytest

import cbp
from cbp.averages import ExponentialMovingAverage, StochasticWeightAverage

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
from torch.nn import utils as torch_utils  # noqa: E402
from torch.optim import swa_utils  # noqa: E402

STEPS = 15


def pair():
    """The same net here and there, in float64."""
    net = cbp.mlp([3, 6, 2], hidden="tanh", dtype="float64", seed=0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2)).double()
    with torch.no_grad():
        for ours, other in zip(net.parameters.values(), module.parameters(), strict=True):
            other.copy_(torch.from_numpy(ours.T.copy()))
    return net, module


def batches():
    rng = np.random.default_rng(2)
    return [(rng.normal(size=(8, 3)), rng.normal(size=(8, 2))) for _ in range(STEPS)]


def backward(module, X, y):
    torch.nn.functional.mse_loss(module(torch.from_numpy(X)), torch.from_numpy(y)).backward()


def assert_same(arrays, module, tolerance=1e-12):
    for ours, other in zip(arrays, module.parameters(), strict=True):
        np.testing.assert_allclose(ours, other.detach().numpy().T, rtol=tolerance, atol=tolerance)


BOUNDS = {
    "value": ({"clip_value": 0.03}, lambda parameters: torch_utils.clip_grad_value_(parameters, 0.03)),
    "array": ({"clip_array": 0.2}, lambda parameters: [torch_utils.clip_grad_norm_([one], 0.2) for one in parameters]),
    "norm": ({"clip_norm": 0.3}, lambda parameters: torch_utils.clip_grad_norm_(parameters, 0.3)),
}


@pytest.mark.parametrize("bound", BOUNDS)
def test_bounds(bound):
    """PyTorch divides by the norm plus 1e-6, which is the tolerance."""
    (settings, clip), (net, module) = BOUNDS[bound], pair()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    for X, y in batches():
        net.train_on_batch(X, y, optimizer=cbp.Adam(0.02, **settings))
        optimizer.zero_grad()
        backward(module, X, y)
        clip(list(module.parameters()))
        optimizer.step()
    assert_same(net.parameters.values(), module, 1e-12 if bound == "value" else 1e-6)


@pytest.mark.parametrize(("average", "rule"), [
    (ExponentialMovingAverage(0.9), {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.9)}), (StochasticWeightAverage(1), {}),
], ids=["exponential", "stochastic"])
def test_averages(average, rule):
    net, module = pair()
    averaged = swa_utils.AveragedModel(module, **rule)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    for X, y in batches():
        net.train_on_batch(X, y, optimizer=cbp.SGD(0.1, momentum=0.9, average=average))
        optimizer.zero_grad()
        backward(module, X, y)
        optimizer.step()
        averaged.update_parameters(module)
        assert_same(net.optimizer_state["average"].values(), averaged.module)
        with torch.no_grad():
            np.testing.assert_allclose(net.predict(X, averaged=True), averaged(torch.from_numpy(X)).numpy(), rtol=1e-11)


def test_batches_that_make_one_update():
    net, module = pair()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    X, y = (np.concatenate(parts) for parts in zip(*batches(), strict=True))
    net.fit(X, y, epochs=1, batch_size=8, accumulate=5, shuffle=False, optimizer=cbp.Adam(0.02))
    for first in range(0, len(X), 40):
        optimizer.zero_grad()
        for start in range(first, first + 40, 8):
            rows = slice(start, start + 8)
            (torch.nn.functional.mse_loss(module(torch.from_numpy(X[rows])), torch.from_numpy(y[rows])) / 5).backward()
        optimizer.step()
    assert net.step == 3
    assert_same(net.parameters.values(), module)


def test_rates_and_decay_of_arrays_and_what_is_frozen():
    net, module = pair()
    net.rate_multipliers = {"0": 0.1, "1.bias": 2.0}
    net.freeze("0.bias")
    module[0].bias.requires_grad_(False)
    optimizer = torch.optim.AdamW([
        {"params": [module[0].weight], "lr": 0.002}, {"params": [module[2].weight]},
        {"params": [module[2].bias], "lr": 0.04, "weight_decay": 0.0},
    ], lr=0.02, weight_decay=0.1)
    for X, y in batches():
        net.train_on_batch(X, y, optimizer=cbp.AdamW(0.02, weight_decay=0.1))
        optimizer.zero_grad()
        backward(module, X, y)
        optimizer.step()
    assert_same(net.parameters.values(), module)
