"""What ``python -m bench --instructions`` counts: one row, so many times; run under valgrind as a program.

It says which library is the core, then does the work: ``python -m bench.tasks.counted "2-3-1 b4" 100``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from bench.jobs import TRAINABLE
from bench.peers import PEERS
from bench.predictions import BY_NAME as PREDICTIONS
from bench.workloads import ONE_ROW
from cbp.engine import fit, runner
from cbp.engine.cpu import core

EPOCH = 8
"""Steps."""


def trained(name: str) -> tuple[Callable[[int], object], int]:
    job = TRAINABLE[name]
    peer = PEERS["cbp-rows" if job is ONE_ROW else "cbp"]
    return peer.trainer(job.trainers)(job, *job.data(EPOCH), job.weights()).train, EPOCH


def predicted(name: str) -> tuple[Callable[[int], object], int]:
    job = PREDICTIONS[name]
    predict, x = PEERS["cbp"].predictor()(job.net, job.net.weights()).one, job.net.data(1)[0][0]
    return lambda times: [predict(x) for _ in range(times)], 1


def main() -> None:
    name, times = sys.argv[1], int(sys.argv[2])
    # A fit that looks for Ctrl-C comes back to Python by the clock, which runs on while valgrind waits for a core.
    runner.PATIENCE = fit.PATIENCE = 1e9
    run, steps = (predicted if name in PREDICTIONS else trained)(name)
    print(json.dumps({"object": core.__file__, "build": core.BUILD, "steps": times * steps}))
    run(times)


if __name__ == "__main__":
    main()
