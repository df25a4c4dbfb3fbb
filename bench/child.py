"""A measuring process, seen from the one that starts it and asks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Self

from bench.peers import ONE_THREAD

ROOT = Path(__file__).resolve().parent.parent
ANSWER_SECONDS = 300


class MeasurementError(RuntimeError):
    """A measuring process ended before it answered."""


class Child:
    """One process that does one task of ``bench/tasks``, pinned to `cores`.

    While it imports and compiles it is pinned to as many other cores, `start`, if they are given: several processes can
    get ready side by side before they take turns on the same core. Of two checkouts of cbp it measures the one in the folder
    `checkout`, if that is given. It becomes ready on `with`.
    """

    def __init__(
        self, task: str, cores: list[int] | None, arguments: dict[str, Any], environment: dict[str, str] | None = None,
        start: list[int] | None = None, checkout: str | None = None,
    ):
        request = json.dumps(
            {"task": task, "cores": cores, "start": start or cores, "arguments": arguments, "checkout": checkout}
        )
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in __exit__
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.worker", request], cwd=ROOT, stderr=self.errors, text=True,
            env=os.environ | ONE_THREAD | (environment or {}), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        self.about: dict[str, Any] = {}

    def __enter__(self) -> Self:
        try:
            self.about = self.answer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def measure(self, seconds: float) -> dict[str, Any]:
        self.ask(seconds)
        return self.answer()

    def ask(self, seconds: float) -> None:
        """Begin a measurement; several processes that were asked measure at the same time."""
        try:
            self.process.stdin.write(f"{seconds}\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
        except BrokenPipeError:
            raise MeasurementError(self._last_words()) from None

    def answer(self) -> dict[str, Any]:
        watchdog = threading.Timer(ANSWER_SECONDS, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        watchdog.cancel()
        if not line:
            raise MeasurementError(self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self.process.wait()
        self.errors.seek(0)
        said = [line for line in self.errors.read().splitlines() if line.strip()]
        return said[-1].strip() if said else f"ended with {self.process.returncode}"
