"""Watches the process that runs cases: counts, keeps findings, restarts it after a crash, ends a case that takes too long."""

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from places import ROOT

from campaign.child import kind_of

PER_SEED = 10**6
"""Cases of one ``--seed``; those of the next begin behind them."""
START = 120.0
"""Seconds that a child may take to begin: on a loaded machine imports are slow."""
CHILD = [sys.executable, "-m", "tests.campaign.child"]


def read(stream, lines):
    """Put the lines of a stream into a queue, and None at their end."""
    for line in stream:
        lines.put(line)
    lines.put(None)


@dataclass
class Found:
    """One finding: the case, what was wrong, and what was done."""

    seed: int
    what: str
    script: list[str]

    def __str__(self):
        lines = "\n".join(f"    {line}" for line in self.script)
        return f"\nFINDING in case {self.seed} (python -m tests.campaign --case {self.seed})\n{lines}\n  {self.what}\n"


@dataclass
class Campaign:
    """One run.

    Attributes
    ----------
    first, last : int
        Cases from the first to before the last.
    kinds : list of str
    until : float
        The time (of ``time.monotonic``) at which it ends.
    limit : float
        Seconds that a case may take.
    most : int
        Findings, after which it ends.
    command : list of str
        Starts a child; a test plants faults in it.
    """

    first: int
    last: int
    kinds: list
    until: float
    limit: float = 120.0
    most: int = 50
    command: list = field(default_factory=lambda: CHILD)
    say: object = print
    counts: Counter = field(default_factory=Counter)
    findings: list = field(default_factory=list)
    seed: int | None = None
    script: list = field(default_factory=list)

    def run(self):
        """All cases, or as many as there is time for."""
        self.started = time.monotonic()
        first = self.first
        while first < self.last and time.monotonic() < self.until and len(self.findings) < self.most:
            self.seed = None
            ended = self.watched(first)
            if ended and self.seed is None:
                break
            first = self.last if ended else self.seed + 1
        self.line("")

    def watched(self, first):
        """One child until its end; whether that was the end of all."""
        with tempfile.TemporaryFile() as errors:
            child = subprocess.Popen([*self.command, str(first), ",".join(self.kinds), str(self.last)], cwd=ROOT, text=True,
                                     stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
            lines = queue.SimpleQueue()
            reader = threading.Thread(target=read, args=(child.stdout, lines), daemon=True)
            reader.start()
            begun = time.monotonic()
            try:
                while True:
                    now = time.monotonic()
                    if now >= self.until or len(self.findings) >= self.most:
                        return True
                    if now - begun > (max(self.limit, START) if self.seed is None else self.limit):
                        self.found(f"took more than {self.limit:g} s" if self.seed is not None else "no case began")
                        return self.seed is None
                    try:
                        line = lines.get(timeout=min(1.0, self.limit))
                    except queue.Empty:
                        self.progress()
                        continue
                    if line is None:
                        return self.died(child, errors)
                    words = json.loads(line)
                    if words[0] == "end":
                        return True
                    if words[0] == "case":
                        begun = now
                    self.heard(*words)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                reader.join()
                child.stdout.close()

    def heard(self, word, *rest):
        """What the child told."""
        if word == "case":
            self.seed, self.script = rest[0], []
            self.progress()
        elif word == "line":
            self.script.append(rest[0])
        elif word == "finding":
            self.found(rest[0])
        elif word == "done":
            self.counts.update(rest[0])
            self.counts[f"cases of {kind_of(self.seed)}"] += 1

    def died(self, child, errors):
        """A child that ended by itself before the end of its cases."""
        code = child.wait()
        errors.seek(0)
        tail = errors.read()[-6000:].decode(errors="replace")
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        self.found(f"the process died: {how}\n{tail}")
        return self.seed is None

    def found(self, what):
        finding = Found(-1 if self.seed is None else self.seed, what, list(self.script))
        self.findings.append(finding)
        self.line("")
        self.say(str(finding))

    # --- what is shown --------------------------------------------------------------------------------------------------------

    def progress(self):
        done = sum(count for name, count in self.counts.items() if name.startswith("cases of "))
        seconds = time.monotonic() - self.started
        self.line(f"{seconds:6.0f} s  {done} cases  {len(self.findings)} findings  now case {self.seed}")

    def line(self, text):
        """On a terminal, over the line before."""
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{text:<79}" + ("" if text else "\r"))
            sys.stderr.flush()

    def table(self):
        """All counts."""
        rows = [*sorted(self.counts.items()), ("findings", len(self.findings))]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {count:>10,}" for name, count in rows)
