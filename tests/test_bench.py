"""The benchmark runs, says what it should in JSON, and its peers compute the same thing. No time is asserted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TINY = ["--rounds", "2", "--seconds", "0.001", "--steps", "8"]


@pytest.fixture
def bench_path(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=170, check=False
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A run of two small workloads, one of SGD and regression, one of Adam and classes, in all peers there are."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    ran = run_bench("--workload", "2-3-1", "--workload", "64-64-10", *TINY, "--json", str(path))
    assert ran.returncode == 0, ran.stderr
    assert "cbp is faster in" in ran.stdout
    return json.loads(path.read_text())


def test_json_holds_what_was_measured(results):
    assert [workload["name"] for workload in results["workloads"]] == ["2-3-1 b4", "64-64-10 b32"]
    assert results["machine"]["cpu"]
    assert {"cbp", "numpy"} <= set(results["versions"])
    for workload in results["workloads"]:
        assert workload["limit"]["us"] > 0
        assert workload["share_of_limit"] > 0
        assert set(workload["peers"]) == set(results["versions"])
        for name, peer in workload["peers"].items():
            assert len(peer["us"]) == len(peer["cpu_per_wall"]) == 2
            assert peer["median_us"] > 0
            assert ("ratio" in peer) == (name != "cbp")


def test_all_peers_compute_the_same_losses(results):
    for workload in results["workloads"]:
        expected = workload["peers"]["numpy"]["losses"]
        assert expected[0] > expected[1] > expected[2]
        for name, peer in workload["peers"].items():
            assert peer["losses"] == pytest.approx(expected, rel=1e-3), (workload["name"], name)
            assert peer["losses_agree"]


def test_product_of_every_build(tmp_path):
    ran = run_bench("--workload", "tile", *TINY, "--markdown", "--json", str(tmp_path / "tile.json"))
    assert ran.returncode == 0, ran.stderr
    assert "| 32x64x64" in ran.stdout
    assert "v2" in json.loads((tmp_path / "tile.json").read_text())["tile"]["gflops"]


def test_listing_names_workloads_and_peers():
    ran = run_bench("--list")
    assert ran.returncode == 0
    assert "784-512-512-10 b256" in ran.stdout
    assert "sklearn" in ran.stdout


@pytest.mark.parametrize("arguments", [["--peers", "nympy"], ["--workload", "nothing"], ["--rounds", "-1"]])
def test_wrong_arguments_are_refused(arguments):
    ran = run_bench(*arguments)
    assert ran.returncode == 2
    assert "error:" in ran.stderr


def test_missing_peer_is_named_with_what_installs_it(bench_path, monkeypatch, capsys):
    from bench.__main__ import main
    from bench.peers import PEERS, Peer

    monkeypatch.setitem(PEERS, "jax", Peer("JAX", "not_a_package", "with_jax", "not at all"))
    assert main(["--peers", "jax", "--workload", "2-3-1"]) == 1
    assert "JAX is not installed and is left out: pip install -e '.[bench]'" in capsys.readouterr().err


def test_operations_and_limit_of_a_known_network(bench_path):
    from bench.measure import limit
    from bench.workloads import BY_NAME

    workload = BY_NAME["784-128-10 b128"]
    assert workload.parameters == 784 * 128 + 128 + 128 * 10 + 10
    assert workload.flops == 2 * 128 * (784 * 128 * 2 + 128 * 10 * 3)
    rates = dict.fromkeys(("L1", "L2", "L3", "memory"), 100.0)
    parts = limit(workload, gflops=200.0, bandwidth=rates)
    assert parts["products_us"] == pytest.approx(workload.flops / 200e3)
    assert parts["update_us"] == pytest.approx(workload.parameters * 28 / 100e3)
    assert parts["us"] == pytest.approx(sum(value for name, value in parts.items() if name != "us"))


def test_peer_that_computes_something_else_is_a_problem(bench_path):
    from bench.report import problems

    peers = {"torch": {"losses": [1.0, 0.5], "losses_agree": False}, "jax": {"error": "no memory"}}
    found = problems([{"name": "net", "peers": peers}])
    assert found == [
        "net: PyTorch computes other losses than its peers: 1, 0.5",
        "net: JAX failed: no memory",
    ]


def test_spread_is_half_the_distance_of_the_quartiles(bench_path):
    from bench.measure import spread

    assert spread([8.0, 9.0, 10.0, 11.0, 12.0]) == pytest.approx(0.1)
    assert spread([3.0]) == 0
