"""Model files that were changed: by chance, or in their description with a checksum that fits again. Loading one gives
``ModelFileError`` or a network that works, in little time and memory."""

import json
import os
import resource
import struct
import time
import zlib
from contextlib import suppress
from itertools import islice

import numpy as np
from cases import dumps, loads

import cbp
from campaign.case import Case, Finding, stranger
from campaign.networks import random_batch, random_network, random_optimizer

SECONDS = 1.0
MEGABYTES = 50
"""What loading may cost, the memory beside twice the file's size."""
MOST_NUMBERS = 2**20
"""Samples and outputs of a changed network may have so many, or it is not asked for more than its description."""


LONGEST = 2**21
"""Characters that a change may add to a description."""


def sanitized():
    """Whether a sanitizer watches, which takes time and memory of its own."""
    return "san" in os.environ.get("LD_PRELOAD", "")


class File(Case):
    """The file of a random network, changed again and again."""

    def run(self):
        net, text = random_network(self.rng)
        self.say(text)
        if self.chance(0.7):
            batch = random_batch(self.rng, net, 3)
            with suppress(cbp.DivergedError):
                net.fit(**batch.given, epochs=1, batch_size=None, optimizer=random_optimizer(self.rng))
            self.say("net.fit(...)")
        net.metadata["note"] = ["ä", {"a": 1}]
        self.data = dumps(net)
        for _ in range(20):
            how = self.pick([self.damaged, self.spliced, self.edited, self.edited, self.renamed])
            changed, text = how()
            self.say(f"# {text}")
            self.counts["files"] += 1
            self.tried(changed, text)

    # --- changes --------------------------------------------------------------------------------------------------------------

    def damaged(self):
        """Bits and bytes."""
        data = bytearray(self.data)
        told = []
        for _ in range(self.pick([1, 1, 2, 5])):
            place = int(self.rng.integers(min(len(data), self.pick([9, 600, len(data)]))))
            end = min(len(data), place + int(self.pick([1, 1, 4, 50])))
            match self.pick(["flip", "flip", "noise", "cut", "put", "double", "end"]):
                case "flip":
                    bit = int(self.rng.integers(8))
                    data[place] ^= 1 << bit
                    told.append(f"bit {bit} of byte {place} flipped")
                case "noise":
                    data[place:end] = self.rng.bytes(end - place)
                    told.append(f"bytes {place}:{end} random")
                case "cut":
                    del data[place:end]
                    told.append(f"bytes {place}:{end} cut")
                case "put":
                    data[place:place] = b'["{9'[: int(self.rng.integers(1, 5))]
                    told.append(f"bytes put at {place}")
                case "double":
                    data[place:place] = data[place:end]
                    told.append(f"bytes {place}:{end} doubled")
                case "end":
                    del data[place + 9 :]
                    told.append(f"ends at {place + 9}")
            if not data:
                data = bytearray(b"\0")
        return bytes(data), ", ".join(told)

    def spliced(self):
        """The beginning of this file and the end of another."""
        other = dumps(random_network(self.rng)[0])
        here, there = int(self.rng.integers(len(self.data))), int(self.rng.integers(len(other)))
        return self.data[:here] + other[there:], f"first {here} bytes, then another file from {there}"

    def taken_apart(self):
        size = struct.unpack("<Q", self.data[:8])[0]
        entries = json.loads(self.data[8 : 8 + size])
        metadata = entries.pop("__metadata__")
        return entries, metadata, json.loads(metadata["cbp"]), self.data[8 + size :]

    def edited(self):
        """Values, keys and items of the description, with a checksum that fits."""
        entries, metadata, description, data = self.taken_apart()
        told = [self.edit(description) for _ in range(self.pick([1, 1, 1, 2, 4]))]
        metadata["cbp"] = json.dumps(description)
        metadata["crc32"] = f"{zlib.crc32(data, zlib.crc32(metadata['cbp'].encode())):08x}"
        return assembled(entries, metadata, data), "; ".join(told)

    def renamed(self):
        """Entries of the header, where the checksum says nothing."""
        entries, metadata, _, data = self.taken_apart()
        told = self.edit(entries) if entries else "nothing"
        if self.chance(0.3):
            told += "; " + self.edit(metadata)
        return assembled(entries, metadata, data), told

    def edit(self, root):
        """One change somewhere inside; what it was."""
        some = islice(containers(root), 20_000)  # after an edit that repeats, all would take seconds
        holders = [(path, holder) for path, holder in some if len(holder)]
        path, holder = self.pick(holders)
        key = self.pick(list(holder) if isinstance(holder, dict) else list(range(len(holder))))
        match self.pick(["value", "value", "value", "drop", "add", "repeat"]):
            case "value":
                old, holder[key] = holder[key], self.value(holder[key])
                return f"{path}[{key!r}]: {short(old)} -> {short(holder[key])}"
            case "drop":
                holder.pop(key)
                return f"{path}[{key!r}] dropped"
            case "add" if isinstance(holder, dict):
                holder[self.pick(["x", "required", "\u202e", ""])] = self.value(1)
                return f"{path}: a key added"
        if isinstance(holder, list):
            times = min(int(self.pick([2, 3, 40, 20_000])), 2 + LONGEST // len(json.dumps(holder)))
            holder[key:key] = [holder[key]] * times
            return f"{path}[{key!r}] repeated {times} times"
        return "nothing"

    def value(self, old):
        near = [old + 1, old - 1, old * 2, -old, old * 1000] if isinstance(old, (int, float)) else []
        wild = [0, 1, -1, 2**31, 2**53, 2**63, 10**30, 1e308, -0.5, True, None, "", "x", "relu", "same", [], {}, [1, 2],
                {"a": 1}, "\x1b[31m", "a" * 5000]
        return self.pick([*near, *near, *near, *wild])

    # --- what must hold -------------------------------------------------------------------------------------------------------

    def tried(self, data, text):
        """Load it; ask and train what comes."""
        started, before = time.process_time(), peak()
        try:
            net = loads(data)
        except cbp.ModelFileError as refused:
            self.counts["refused files"] += 1
            if wrong := stranger(refused):
                raise Finding(f"{text}: {wrong}") from refused
            net = None
        except Exception as problem:
            raise Finding(f"{text}: load raised {type(problem).__name__}: {problem}") from problem
        took, grown = time.process_time() - started, peak() - before
        if not sanitized() and (took > SECONDS or grown > MEGABYTES + 2 * len(data) / 2**20):
            raise Finding(f"{text}: loading {len(data)} bytes took {took:.2f} s and {grown:.0f} MB")
        if net is not None:
            self.counts["files with a network"] += 1
            self.used(net, text, len(data))

    def used(self, net, text, size):
        """Predict and train one sample. Numbers of a changed file may be anything, so nothing is expected of the results."""
        numbers = max(np.prod(net.input_shape, dtype=float), np.prod(net.output_shape, dtype=float))
        if numbers > MOST_NUMBERS or net._plan.on_the_way > 256 * MOST_NUMBERS:  # cbp.load has a limit for these
            return
        started, before = time.process_time(), peak()
        batch = random_batch(self.rng, net, 2)
        for what, function in {
            "predict": lambda: net.predict(batch.x), "fit": lambda: net.fit(batch.x, batch.y, epochs=1, batch_size=None),
            "train_on_batch": lambda: net.train_on_batch(batch.x, batch.y), "dumps": lambda: dumps(net),
        }.items():
            try:
                function()
            except Exception as problem:
                if wrong := stranger(problem):
                    raise Finding(f"{text}: {what} of the loaded network: {wrong}") from problem
        took, grown = time.process_time() - started, peak() - before
        if not sanitized() and (took > 20 * SECONDS or grown > 10 * MEGABYTES + 50 * size / 2**20):
            raise Finding(f"{text}: two samples through the loaded network ({size} bytes) took {took:.2f} s and {grown:.0f} MB")


def assembled(entries, metadata, data):
    header = json.dumps({"__metadata__": metadata, **entries}).encode()
    return struct.pack("<Q", len(header)) + header + data


def containers(value, path=""):
    """Dicts and lists, with their places."""
    if isinstance(value, (dict, list)):
        yield path, value
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from containers(item, f"{path}[{key!r}]")


def short(value):
    text = repr(value)
    return text if len(text) < 60 else text[:57] + "..."


def peak():
    """The most memory that this process had, in megabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
