"""Schedules against PyTorch's, whose rates are asked for step after step."""

import numpy as np
import pytest

from cbp import schedules as of

torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
scheduler = torch.optim.lr_scheduler

STEPS = 60
PAIRS = {
    "constant": (of.Constant(0.1), lambda o: scheduler.LambdaLR(o, lambda t: 1.0)),
    "staircase": (of.ExponentialDecay(0.1, 0.3, 7, staircase=True), lambda o: scheduler.StepLR(o, 7, 0.3)),
    "exponential": (of.ExponentialDecay(0.1, 0.9), lambda o: scheduler.ExponentialLR(o, 0.9)),
    "steps": (of.Steps(0.1, 0.5, at=[10, 25, 26]), lambda o: scheduler.MultiStepLR(o, [10, 25, 26], 0.5)),
    "polynomial": (of.Polynomial(0.1, 0.0, steps=40, power=1.7), lambda o: scheduler.PolynomialLR(o, 40, 1.7)),
    "line": (of.Polynomial(0.02, 0.1, steps=20), lambda o: scheduler.LinearLR(o, 0.2, 1.0, 20)),
    "restarts": (of.Cosine(0.1, 0.01, steps=9, restarts=1), lambda o: scheduler.CosineAnnealingWarmRestarts(o, 9, 1, 0.01)),
    "longer restarts": (of.Cosine(0.1, steps=5, restarts=2), lambda o: scheduler.CosineAnnealingWarmRestarts(o, 5, 2)),
    "one cycle": (of.OneCycle(0.1, STEPS), lambda o: scheduler.OneCycleLR(o, 0.1, STEPS, cycle_momentum=False)),
    "one cycle, other numbers": (
        of.OneCycle(0.1, STEPS, rising=0.45, first=10, last=100),
        lambda o: scheduler.OneCycleLR(
            o, 0.1, STEPS, pct_start=0.45, div_factor=10, final_div_factor=100, cycle_momentum=False)),
    "sequence": (
        of.Sequence([0.01, of.ExponentialDecay(0.1, 0.9)], at=[10]),
        lambda o: scheduler.SequentialLR(o, [scheduler.ConstantLR(o, 0.1, 1000), scheduler.ExponentialLR(o, 0.9)], [10])),
}


def rates_of(make):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    theirs, found = make(optimizer), []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if theirs.last_epoch < STEPS - 1:
            theirs.step()
    return found


@pytest.mark.filterwarnings("ignore:The epoch parameter in `scheduler.step:UserWarning")
@pytest.mark.parametrize("name", PAIRS)
def test_rates(name):
    ours, make = PAIRS[name]
    np.testing.assert_allclose(ours.rates(0, STEPS), rates_of(make), rtol=1e-10, atol=1e-12)


def test_a_cosine_is_theirs_up_to_its_end():
    """From there theirs rises again, by an accident of its recursion that its documentation warns of; ours stays."""
    theirs = rates_of(lambda o: scheduler.CosineAnnealingLR(o, 30, 0.01))
    ours = of.Cosine(0.1, 0.01, steps=30).rates(0, STEPS)
    np.testing.assert_allclose(ours[:31], theirs[:31], rtol=1e-10)
    assert (ours[30:] == 0.01).all()
