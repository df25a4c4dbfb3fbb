"""Where the time of a training step goes, phase by phase. For ``python -m bench --profile``."""

from __future__ import annotations

import numpy.typing as npt

from cbp.engine import arrays
from cbp.engine.cpu import core as _core
from cbp.engine.model import Model
from cbp.engine.runner import Runner
from cbp.engine.specs import Optimizer
from cbp.engine.team import Crew


def profile_fit(
    model: Model, X: npt.ArrayLike, y: npt.ArrayLike, *, epochs: int, batch_size: int, optimizer: Optimizer, threads: int = 1,
) -> dict[str, float]:
    """Train, without shuffling; the seconds that every phase took in the calling thread.

    Waiting for the other threads is part of the phase after it: ``"loss"`` or ``"rest"``. The clock is read at the end of every
    phase, which takes some 25 ns: in networks of a few units the shares tell more than the sum.
    """
    data = arrays.data(model.form, X, y)
    crew = Crew(threads)
    with crew.guard:
        crew.start()
        model.numbers.hold(optimizer)
        runner = Runner(model, data, mode="train", batch_size=batch_size, optimizer=optimizer, crew=crew, profile=True)
        runner.begin(_core.clock())
        runner.epochs(epochs)
    return runner.phases
