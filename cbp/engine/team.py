"""The threads of one ``fit``: how many, when they work, and that they end.

The core splits every step into parts whose numbers do not depend on who computes them, so the number of threads is free to
change from one slice of time to the next without changing a bit of the result. ``threads="auto"`` uses that: it measures.
"""

from __future__ import annotations

import _thread
import os
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

from cbp.engine import check
from cbp.engine.cpu import core as _core
from cbp.engine.plan import Plan
from cbp.errors import not_by_handler, quoted

Threads = int | Literal["auto"]

LEAST_STEP = 100e-6
"""Seconds; a step that takes less is not worth waking anybody for."""
LEAST_RUN = 20e-3
"""Seconds; the same for a whole run and starting threads."""
TRIAL = 2e-3
TRIALS = 6
"""A decision comes from so many trials of so many seconds, alone and together in turns; the first two only warm up."""
KEEP = 1.0
"""Seconds that a decision holds."""
SECONDS_PER_PRODUCT = 3e-11
"""Roughly, of one thread: a multiplication of a row's way forward, with its part of the way back."""
SECONDS_PER_UPDATE = 3e-10
"""Roughly, of one thread: the update of a parameter."""
MARGIN = 1.03
"""How much faster the team must be: where it is not, the cores are left to others."""


def checked(threads: object) -> Threads:
    """The argument ``threads``."""
    if isinstance(threads, str):
        if threads == "auto":
            return "auto"
        raise ValueError(f"threads must be a whole number of at least 1, or 'auto', got {quoted(threads)}")
    return check.integer("threads", threads, below=_core.MOST_THREADS + 1)


def cores() -> int:
    """The processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Tempo:
    """Decides from measurements whether the team works in the next slice of time, or the caller alone."""

    def __init__(self) -> None:
        self._together = False
        self._trials = 0
        self._best = {False: 0.0, True: 0.0}
        self._rows = 0
        self._seconds = 0.0

    @property
    def together(self) -> bool:
        return self._together

    def patience(self, usual: float) -> float:
        """Seconds that the next slice should take."""
        return TRIAL if self._trials < TRIALS else usual

    def measured(self, rows: int, seconds: float) -> None:
        """A slice is over: so many rows in so many seconds."""
        self._rows += rows
        self._seconds += seconds
        if self._seconds < (KEEP if self._trials == TRIALS else TRIAL):
            return
        if self._trials == TRIALS:
            self._trials, self._best = 0, {False: 0.0, True: 0.0}
        else:
            self._end_trial(self._rows / self._seconds)
        self._rows, self._seconds = 0, 0.0

    def _end_trial(self, speed: float) -> None:
        self._trials += 1
        if self._trials > 2:
            self._best[self._together] = max(self._best[self._together], speed)
        if self._trials < TRIALS:
            self._together = not self._together
        else:
            self._together = self._best[True] > MARGIN * self._best[False]


class Crew:
    """Python threads that wait in the core for work, from ``start`` to the end of the block of ``guard``.

    Raw threads, and a guard in C: Ctrl-C inside ``threading.Thread.start`` breaks its bookkeeping, and at the entry of an
    ``__exit__`` in Python it would leave the threads waiting for ever.

    Parameters
    ----------
    threads : int or "auto"
    step, run : float
        Estimates of how many seconds a step and the whole run take with one thread; for ``"auto"``.
    """

    def __init__(self, threads: Threads, *, step: float = 0.0, run: float = 0.0):
        self.tempo: Tempo | None = None
        if not isinstance(threads, int):
            pays = step >= LEAST_STEP and run >= LEAST_RUN
            members = min(cores(), _core.MOST_THREADS, round(step / LEAST_STEP * 2)) if pays else 1
            self.tempo = Tempo() if members > 1 else None
        else:
            members = threads
        self.threads = members
        self._team = _core.Team(members) if members > 1 else None

    @classmethod
    def of_run(cls, threads: Threads, plan: Plan, samples: int, batch_size: int | None, epochs: int) -> Crew:
        """The threads of a run over so many samples."""
        rows = samples if batch_size is None else min(batch_size, samples)
        step = SECONDS_PER_PRODUCT * plan.work * rows + SECONDS_PER_UPDATE * plan.size
        return cls(threads, step=step, run=step * epochs * samples / rows)

    @property
    def team(self) -> _core.Team | None:
        """Who works in the next slice; None: the caller alone."""
        return None if self.tempo is not None and not self.tempo.together else self._team

    @property
    def guard(self) -> AbstractContextManager[Any]:
        """Lets the threads end."""
        return nullcontext() if self._team is None else self._team

    def start(self) -> None:
        """Start the threads; "auto" does without where the system has none to give."""
        if self._team is None:
            return
        try:
            for member in range(1, self.threads):
                _thread.start_new_thread(self._team.work, (member,))
        except not_by_handler(RuntimeError):
            if self.tempo is None:
                raise
            self.tempo = self._team = None
