"""The campaign itself: a few seconds of it find nothing, and what is planted is found, with its seed."""

import sys
import time

import pytest
from places import ROOT

import cbp
from campaign import __main__, oracle, stacks
from campaign.child import KINDS, kind_of
from campaign.parent import Campaign

PLANTED = f"""
import os, sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
import cbp
import campaign.child, facts

def wrap(owner, name, wrapper):
    plain = getattr(owner, name)
    setattr(owner, name, lambda *arguments, **settings: wrapper(plain, *arguments, **settings))

"""
CHILD = "\ncampaign.child.main(sys.argv[1:])\n"

CHANGED = """
def fit(plain, net, *arguments, **settings):
    try:
        return plain(net, *arguments, **settings)
    except ValueError:
        net._numbers.epoch += 1
        raise
wrap(cbp.Network, "fit", fit)
"""
UNDOCUMENTED = """
def decode(plain, *arguments):
    try:
        return plain(*arguments)
    except ValueError as problem:
        raise KeyError(str(problem))
wrap(cbp.modelfile.canonical_json, "decode", decode)
"""
THREADS = """
def fit(plain, net, *arguments, threads=1, **settings):
    history = plain(net, *arguments, **settings)
    if threads != 1:
        net.set_vector(net.get_vector() * (1 + 2e-7))
    return history
wrap(cbp.Network, "fit", fit)
"""
FAULTS = {
    "a slope": ("wrap(cbp.Network, 'backward', lambda plain, *a, **k: tuple(d * 1.001 for d in plain(*a, **k)))",
                "sequences", "differences of the oracle give"),
    "a value": ("for row in facts.ACTIVATIONS.values():\n"
                "    object.__setattr__(row, 'numpy', lambda z, f=row.numpy: f(z) * 1.0001)", "sequences", "is allowed"),
    "a refusal that changes something": (CHANGED, "sequences", "and changed settings"),
    "an exception nobody knows": (UNDOCUMENTED, "files", "KeyError"),
    "bits that depend on threads": (THREADS, "sequences", "other bits"),
    "a crash": ("wrap(cbp.Network, 'evaluate', lambda plain, *a, **k: os.kill(os.getpid(), 11))", "sequences",
                "the process died: signal SIGSEGV"),
    "a hang": ("wrap(cbp.Network, 'evaluate', lambda plain, *a, **k: time.sleep(1000))", "sequences", "took more than"),
}  # fmt: skip


def campaign(first, last, **settings):
    settings.setdefault("kinds", ["sequences", "files"])
    found = Campaign(first, last, settings.pop("kinds"), time.monotonic() + 300, say=lambda text: None, **settings)
    found.run()
    return found


def test_some_cases_find_nothing():
    found = campaign(0, 30)
    assert not found.findings, found.findings[0]
    assert found.counts["networks"] == sum(kind_of(seed) == "sequences" for seed in range(30))
    assert found.counts["agreements"] > 20
    assert found.counts["slopes"] > 20
    assert found.counts["refused files"] > 20


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_planted_is_found(name, tmp_path):
    fault, kind, words = FAULTS[name]
    script = tmp_path / "child.py"
    script.write_text(PLANTED + fault + CHILD)
    settings = {"kinds": [kind], "command": [sys.executable, str(script)], "limit": 3 if name == "a hang" else 120}
    found = campaign(1000, 1200, most=1, **settings)
    assert len(found.findings) == 1
    first = found.findings[0]
    assert words in first.what
    assert first.script[0].startswith("net = cbp.Network(")
    if name in ("a value", "a crash"):
        again = campaign(first.seed, first.seed + 1, **settings)
        assert [(one.seed, one.script) for one in again.findings] == [(first.seed, first.script)]


def test_cases_behind_a_crash_are_run(tmp_path):
    """Of cases 1 and 2 the first crashes."""
    script = tmp_path / "child.py"
    script.write_text(PLANTED + "wrap(campaign.child, 'run_case', lambda plain, seed, tell: (tell('case', seed, ''), "
                                "os.abort() if seed == 1 else None, tell('done', {'seen': 1})))" + CHILD)
    found = campaign(0, 4, kinds=list(KINDS), command=[sys.executable, str(script)])
    assert [one.seed for one in found.findings] == [1]
    assert found.counts["seen"] == 3


def test_a_seed_is_always_the_same_case(capsys):
    tables = []
    for _ in range(2):
        assert __main__.main(["--case", "3"]) == 0
        tables.append(capsys.readouterr().out)
    assert tables[0] == tables[1]
    assert "networks" in tables[0]


def test_every_layer_has_an_oracle():
    assert set(oracle.RULES) == set(cbp.layers.LAYERS.values())


def test_without_pytorch_there_are_no_stacks(monkeypatch, capsys):
    monkeypatch.setattr(stacks, "find_spec", lambda name: None)
    assert __main__.main(["--case", str(next(seed for seed in range(100) if kind_of(seed) == "torch"))]) == 0
    assert "PyTorch is not installed" in capsys.readouterr().out
