"""The benchmark runs, says what it should in JSON, and its peers compute the same thing. No time is asserted."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from places import ROOT

TINY = ["--rounds", "2", "--seconds", "0.001", "--steps", "8"]


@pytest.fixture(autouse=True)
def _bench_is_importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False
    )


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """A run of small rows, of SGD and regression, of Adam and classes, and of a prediction, in the libraries there are."""
    path = tmp_path_factory.mktemp("bench") / "bench.json"
    ran = run_bench(
        "--group", "training,inference,levels", "--workload", "2-3-1", "--workload", "64-64-10", "--workload", "array", *TINY,
        "--peers", "cbp,numpy,sklearn,torch,jax-step,jax,onnx", "--json", str(path),
    )
    assert ran.returncode == 0, ran.stderr
    return ran, json.loads(path.read_text()), path


# --- whole runs ---------------------------------------------------------------------------------------------------------------


def test_json_holds_what_was_measured(ran):
    _, results, _ = ran
    rows = results["groups"]["training"]["rows"]
    assert results["format"] == 2
    assert [row["name"] for row in rows] == ["2-3-1 b4", "64-64-10 b32"]
    assert results["machine"]["cpu"]
    assert {"cbp", "numpy"} <= set(results["versions"])
    for row in rows:
        assert row["limit"]["us"] > 0
        assert row["share_of_limit"] > 0
        assert set(row["series"]) == set(results["versions"]) - {"onnx"}
        for name, one in row["series"].items():
            assert len(one["us"]) == len(one["cpu_per_wall"]) == 2
            assert one["median_us"] > 0
            assert ("ratio" in one) == (name != "cbp")


def test_all_peers_compute_the_same(ran):
    _, results, _ = ran
    for group, what in (("training", "losses"), ("inference", "outputs")):
        for row in results["groups"][group]["rows"]:
            expected = row["series"]["numpy"][what]
            for name, one in row["series"].items():
                assert one[what] == pytest.approx(expected, rel=1e-3, abs=1e-5), (row["name"], name)
                assert one["agrees"]


def test_levels_have_limits_of_their_own(ran):
    _, results, _ = ran
    levels = results["groups"]["levels"]
    assert levels["levels"]
    for row in levels["rows"]:
        for level in levels["levels"]:
            one = row["series"][level]
            assert one["limit"]["us"] > 0
            assert one["gflops"] > 0


def test_a_saved_run_prints_the_same_tables(ran):
    printed, _, path = ran
    again = run_bench("--load", str(path))
    assert again.returncode == 0, again.stderr
    assert "goals are met" in again.stdout
    assert again.stdout == printed.stdout


def test_a_run_beside_itself_is_the_same(ran):
    _, _, path = ran
    compared = run_bench("--compare", str(path), str(path))
    assert compared.returncode == 0, compared.stderr
    assert "training, 64-64-10 b32" in compared.stdout
    assert "0 faster, 0 slower" in compared.stdout
    assert "differs" not in compared.stdout


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "old.json").write_text('{"format": 1}')
    refused = run_bench("--load", str(tmp_path / "old.json"))
    assert refused.returncode == 1
    assert "format 1" in refused.stderr


def test_product_of_every_build_and_xor(tmp_path):
    ran = run_bench("--group", "tile,xor", *TINY, "--markdown", "--json", str(tmp_path / "tile.json"))
    assert ran.returncode == 0, ran.stderr
    assert "| 32x64x64" in ran.stdout
    groups = json.loads((tmp_path / "tile.json").read_text())["groups"]
    assert "v2" in groups["tile"]["gflops"]
    assert groups["xor"]["rows"][0]["series"]["cbp"]["epochs"] == 10_000


def test_threads_beside_one_thread():
    ran = run_bench("--group", "threads", "--workload", "64-64-10", *TINY)
    assert ran.returncode == 0, ran.stderr
    assert "auto / 1 thread, time" in ran.stdout
    assert "beside the others" in ran.stdout


def test_profile_shows_the_phases():
    ran = run_bench("--profile", "--workload", "64-64-10 b32 float64", *TINY)
    assert ran.returncode == 0, ran.stderr
    assert "64-64-10 b32 float64" in ran.stdout
    assert "weight gradient" in ran.stdout
    assert "█" in ran.stdout


def test_listing_names_groups_rows_and_peers():
    ran = run_bench("--list")
    assert ran.returncode == 0
    for name in ("784-512-512-10 b512", "variants: ", "  torch-compile", "train_on_batch"):
        assert name in ran.stdout


def test_all_peers_learn_the_same_from_convolutions_and_recurrences(tmp_path):
    path = tmp_path / "models.json"
    ran = run_bench(
        "--group", "convolution,recurrence", "--workload", "conv 16-32 8x8x1 b32", "--workload", "64 50x8 b32", *TINY,
        "--peers", "cbp,torch,jax,jax-tuned", "--json", str(path),
    )
    assert ran.returncode == 0, ran.stderr
    results = json.loads(path.read_text())
    rows = [row for group in ("convolution", "recurrence") for row in results["groups"][group]["rows"]]
    assert [row["name"] for row in rows] == ["conv 16-32 8x8x1 b32", "LSTM 64 50x8 b32", "GRU 64 50x8 b32"]
    for row in rows:
        assert set(row["series"]) == set(results["versions"])
        for name, one in row["series"].items():
            assert one["losses"] == pytest.approx(row["series"]["cbp"]["losses"], rel=1e-3), (row["name"], name)


# --- two checkouts ------------------------------------------------------------------------------------------------------------


def test_two_checkouts_are_measured_in_turns(tmp_path):
    path = tmp_path / "pair.json"
    ran = run_bench("--against", str(ROOT), "--group", "training,inference,stepping,levels", "--workload", "2-3-1 b4",
                    "--workload", "list", "--workload", "GRU", *TINY, "--json", str(path))
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(path.read_text())["rows"]
    assert [row["name"] for row in rows] == [
        "training, 2-3-1 b4", "inference, predict_one 4-32-16-4 tanh, list", "stepping, GRU 64, a step of 8 b1"
    ]
    for row in rows:
        assert {key: len(one["us"]) for key, one in row["series"].items()} == {"this": 6, "other": 6}
        assert row["series"]["other"]["ratio"] > 0


def test_another_checkout_is_where_the_other_cbp_comes_from(tmp_path):
    (tmp_path / "cbp").mkdir()
    (tmp_path / "cbp" / "__init__.py").write_text("raise RuntimeError('the other one')")
    ran = run_bench("--against", str(tmp_path), "--group", "xor", *TINY)
    assert ran.returncode == 1
    assert "RuntimeError: the other one" in ran.stdout


# --- instructions -------------------------------------------------------------------------------------------------------------

# As callgrind writes it: a function of the core that calls one of libm and one of its own, one of libm, one of the core again.
CALLGRIND = """\
# callgrind format
events: Ir
summary: 1260

ob=(3) /lib/libm.so.6
fl=(1) e_log.c
fn=(1) log
12 100
+1 20

ob=(28) /here/cbp/_core_v3.so
fl=(2) _core.c
fn=(2) run_epochs
100 7
* 3
fi=(5) inlined.c
-5 30
cob=(3)
cfn=(1)
calls=2 12
+2 120
cfn=(3) step
calls=1 300
* 1000

fn=(3)
300 1000
fe=(2)
ob=(3)
fn=(4) exp
5 100
"""


def test_instructions_are_those_of_the_object_alone():
    from bench.instructions import by_object

    found = by_object(CALLGRIND.splitlines(keepends=True))
    assert found == {"/lib/libm.so.6": 220, "/here/cbp/_core_v3.so": 1040}
    assert sum(found.values()) == 1260


def test_instructions_of_a_step_are_the_difference_of_two_runs(monkeypatch):
    from bench import instructions

    asked = []

    def counted(name, times, valgrind):
        asked.append((name, times))
        return 5_000 + 4_000 * times * 8, {"build": "v3", "steps": times * 8}

    monkeypatch.setattr(instructions, "counted", counted)
    found = instructions.count("2-3-1 b4", "valgrind")
    assert asked == [("2-3-1 b4", 5), ("2-3-1 b4", 405)]
    assert found == {"build": "v3", "steps": 3200, "instructions": 4000.0}
    assert instructions.table({"2-3-1 b4": found}).rows[1] == ["2-3-1 b4", "4,000.0", "3200"]


def test_without_valgrind_it_is_said_what_to_install(monkeypatch, capsys):
    from bench import instructions
    from bench.__main__ import main

    monkeypatch.setattr(instructions.shutil, "which", lambda name: None)
    assert main(["--instructions"]) == 1
    assert "apt-get install valgrind" in capsys.readouterr().err


def test_every_row_that_is_counted_runs():
    from bench.instructions import REPEATS

    for name in REPEATS:
        ran = subprocess.run([sys.executable, "-m", "bench.tasks.counted", name, "2"], cwd=ROOT, capture_output=True, text=True)
        about = json.loads(ran.stdout)
        assert about["object"].endswith((".so", ".pyd"))
        assert about["steps"] in (2, 16)


# --- arguments ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [
    ["--peers", "nympy"], ["--workload", "nothing"], ["--rounds", "-1"], ["--group", "training,trainig"],
    ["--group", "xor", "--workload", "784"], ["--compare", "only-one"], ["--against", "no such folder"],
])
def test_wrong_arguments_are_refused(arguments, capsys):
    from bench.options import parse

    with pytest.raises(SystemExit) as refusal:
        parse(arguments)
    assert refusal.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_rows_are_chosen_by_group_and_name():
    from bench.options import parse

    assert parse(["--group", "xor,tile"]).rows == {"xor": ["xor"], "tile": ["tile"]}
    assert parse(["--workload", "momentum"]).rows == {
        "variants": ["64-64-10 b32 momentum", "784-128-10 b128 momentum"], "kernels": ["optimizer momentum"]
    }
    assert parse(["--quick", "--group", "training"]).rows == {"training": ["64-64-10 b32", "784-128-10 b128"]}


def test_plot_without_matplotlib_is_refused_before_anything_is_measured(monkeypatch, capsys):
    from bench import options

    monkeypatch.setattr(options, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        options.parse(["--plot", "figure.png"])
    assert "pip install -e '.[plot]'" in capsys.readouterr().err


def test_missing_peer_is_named_with_what_installs_it(monkeypatch, capsys):
    from bench.__main__ import main
    from bench.peers import PEERS, Peer

    monkeypatch.setitem(PEERS, "jax", Peer("JAX", "not_a_package", "with_jax", "not at all"))
    assert main(["--peers", "jax", "--workload", "2-3-1"]) == 1
    assert "JAX is not installed and is left out: pip install -e '.[bench]'" in capsys.readouterr().err


# --- workloads and limits -----------------------------------------------------------------------------------------------------


def test_numpy_and_cbp_learn_the_same_from_every_workload():
    from bench.peers import PEERS
    from bench.workloads import BY_NAME

    for workload in BY_NAME.values():
        few = workload.data(2)
        assert few[0].dtype == workload.dtype
        ours, by_hand = (PEERS[name].trainer()(workload, *few, workload.weights()).losses(3) for name in ("cbp", "numpy"))
        assert ours == pytest.approx(by_hand, rel=1e-3), workload.name


def test_the_row_of_train_on_batch_trains():
    from bench.peers import PEERS
    from bench.workloads import ONE_ROW

    data, weights = ONE_ROW.data(5), ONE_ROW.weights()
    by_rows, whole = (PEERS[name].trainer()(ONE_ROW, *data, weights) for name in ("cbp-rows", "cbp"))
    by_rows.train(2)
    whole.train(2)
    np.testing.assert_allclose(by_rows.net.get_vector(), whole.net.get_vector(), rtol=1e-4, atol=1e-6)


def few_of_every_model():
    """Every model once, in small batches."""
    from bench.models import BY_NAME

    return list({model.title: replace(model, batch=4) for model in BY_NAME.values()}.values())


def test_pytorch_and_cbp_learn_the_same_from_every_model():
    pytest.importorskip("torch", reason="PyTorch is a peer of the benchmark")
    from bench.peers import PEERS

    for model in few_of_every_model():
        data, weights = model.data(3), model.weights()
        ours, theirs = (PEERS[name].trainer(model.trainers)(model, *data, weights).losses(3) for name in ("cbp", "torch"))
        assert ours == pytest.approx(theirs, rel=1e-4), model.title
        assert ours[0] != pytest.approx(ours[2], rel=1e-2), model.title


def test_every_kernel_of_the_core_has_a_row():
    """By the ops in the plans of the rows: another op, activation, loss, optimizer or layer has to get one."""
    import cbp
    from bench.kernels import KERNELS
    from cbp.engine.cpu import core
    from cbp.layers.base import parts

    ops = np.concatenate([kernel.network()._plan.ops for kernel in KERNELS])
    for what, field, names in ("op", "kind", core.OPS), ("activation", "activation", core.ACTIVATIONS):
        assert {name for name, number in names.items() if number not in ops[field]} == set(), what
    assert set(cbp.losses.LOSSES) == {kernel.loss for kernel in KERNELS}
    assert set(cbp.optimizers.OPTIMIZERS.values()) == {type(kernel.optimizer) for kernel in KERNELS}
    there = {type(part) for kernel in KERNELS for layer in kernel.layers for part in parts(layer)}
    assert set(cbp.layers.LAYERS.values()) == there


@pytest.mark.parametrize(("kind", "way"), [
    # ways through the op files that a field of the op chooses; with the gradient of the input
    ("convolution", lambda op: op["stride_h"] > 1), ("convolution", lambda op: op["dilation_h"] > 1),
    ("convolution", lambda op: op["pad_h"] > 0), ("convolution", lambda op: op["units"] <= 4),
    ("convolution", lambda op: op["units"] > 64), ("convolution", lambda op: op["in_h"] == 1),
    ("grouped", lambda op: op["groups"] < op["inputs"]), ("grouped", lambda op: op["groups"] == op["units"]),
    ("grouped", lambda op: op["stride_h"] > 1), ("grouped", lambda op: op["dilation_h"] > 1),
    ("max_pool", lambda op: op["stride_h"] < op["kernel_h"]), ("max_pool", lambda op: op["in_h"] == 1),
    ("average_pool", lambda op: op["stride_h"] < op["kernel_h"]), ("average_pool", lambda op: op["in_h"] == 1),
    ("batch_norm", lambda op: op["positions"] > 1), ("layer_norm", lambda op: op["positions"] > 1),
    ("dense", lambda op: op["positions"] > 1), ("lstm", lambda op: op["reverse"]), ("lstm", lambda op: op["sequences"]),
    ("gru", lambda op: op["sequences"]), ("rnn", lambda op: op["sequences"]),
])
def test_a_row_goes_this_way(kind, way):
    from bench.kernels import KERNELS
    from cbp.engine.cpu import core

    ops = [op for kernel in KERNELS for op in kernel.network()._plan.ops if op["kind"] == core.OPS[kind]]
    assert any(way(op) and op["d_input"] >= 0 for op in ops)


def test_kernels_with_few_words_and_with_many():
    from bench.kernels import KERNELS
    from cbp.engine.cpu import core

    sparse = {bool(op["sparse"]) for kernel in KERNELS for op in kernel.network()._plan.ops
              if op["kind"] == core.OPS["embedding"]}
    assert sparse == {False, True}


def test_cbp_learns_in_every_row_of_a_kernel():
    from bench.kernels import KERNELS
    from bench.peers import PEERS

    names = [kernel.name for kernel in KERNELS]
    assert len(names) == len(set(names))
    for kernel in KERNELS:
        losses = PEERS["cbp"].trainer(kernel.trainers)(kernel, *kernel.data(2), kernel.weights()).losses(3)
        assert np.isfinite(losses).all(), kernel.name
        assert losses[2] < losses[0] or kernel.random, kernel.name


def test_pytorch_and_cbp_learn_the_same_from_every_kernel():
    pytest.importorskip("torch", reason="PyTorch is a peer of the benchmark")
    from bench.kernels import KERNELS
    from bench.peers import PEERS
    from bench.unsupported import Unsupported

    compared = []
    for kernel in KERNELS:
        data, weights = kernel.data(2), kernel.weights()
        try:
            theirs = PEERS["torch"].trainer(kernel.trainers)(kernel, *data, weights).losses(3)
        except Unsupported:
            continue
        ours = PEERS["cbp"].trainer(kernel.trainers)(kernel, *data, weights).losses(3)
        if not kernel.random:
            compared.append(kernel.name)
            assert ours == pytest.approx(theirs, rel=1e-4), kernel.name
    assert len(compared) > 60


def test_operations_and_limit_of_a_known_network():
    from bench.limits import training_step
    from bench.workloads import BY_NAME

    rates = dict.fromkeys(("L1", "L2", "L3", "memory"), 100.0)
    single, double = BY_NAME["784-128-10 b128"], BY_NAME["784-128-10 b128 float64"]
    assert single.parameters == 784 * 128 + 128 + 128 * 10 + 10 == 101_770
    assert single.flops == 2 * 128 * (784 * 128 * 2 + 128 * 10 * 3) == 52_363_264
    parts = training_step(single, gflops=200.0, bandwidth=rates)
    assert parts["products_us"] == pytest.approx(261.81632)  # 52,363,264 operations at 200 a nanosecond
    assert parts["update_us"] == pytest.approx(28.4956)  # 28 bytes a parameter at 100 a nanosecond
    assert parts["activations_us"] == pytest.approx(2.82624)  # 128 x 138 numbers of 4 bytes, 4 times
    assert parts["us"] == pytest.approx(261.81632 + 28.4956 + 2.82624)
    assert training_step(double, gflops=200.0, bandwidth=rates)["us"] == pytest.approx(2 * parts["us"])


@pytest.mark.parametrize(("name", "parameters", "multiplies"), [
    # of a sample: forward and weight gradient in the first layer, the gradient of the input too behind it
    ("LeNet-5 28x28x1 b64", 156 + 2416 + 30_840 + 10_164 + 850,
     86_400 * 2 + (8 * 8 * 16 * 150 + 256 * 120 + 120 * 84 + 84 * 10) * 3),
    ("conv 16-32 8x8x1 b32", 160 + 4640 + 1290, 36 * 16 * 9 * 2 + (16 * 32 * 144 + 128 * 10) * 3),
    ("separable 32 32x32x32 b32", 288 + 1056 + 330, 1024 * 32 * 9 * 2 + (1024 * 32 * 32 + 320) * 3),
    ("LSTM 64 50x8 b1", 4 * (8 + 64 + 1) * 64 + 650, 50 * 256 * (8 * 2 + 64 * 3) + 640 * 3),
    ("GRU 64 50x8 b1", 3 * (8 + 64) * 64 + 4 * 64 + 650, 50 * 192 * (8 * 2 + 64 * 3) + 640 * 3),
])
def test_operations_of_convolutions_and_recurrences(name, parameters, multiplies):
    from bench.limits import training_step
    from bench.models import BY_NAME

    model = BY_NAME[name]
    assert model.parameters == parameters
    assert model.flops == 2 * model.batch * multiplies
    assert training_step(model, gflops=200.0, bandwidth={})["us"] == pytest.approx(model.flops / 200e3)


@pytest.mark.parametrize(("name", "update", "state"), [
    ("64-64-10 b32", 28, 16), ("64-64-10 b32 momentum", 20, 12), ("64-64-10 b32 SGD", 12, 8), ("64-64-10 b32 float64", 56, 32),
])
def test_bytes_of_an_update(name, update, state):
    from bench.workloads import BY_NAME

    workload = BY_NAME[name]
    assert workload.parameters == 4810
    assert workload.update_bytes == 4810 * update
    assert workload.state_bytes == 4810 * state


def test_limit_of_a_prediction_is_the_longer_of_its_products_and_its_weights():
    from bench.limits import prediction
    from bench.predictions import LARGE

    rates = dict.fromkeys(("L1", "L2", "L3", "memory"), 100.0)
    weights = 784 * 512 + 512 * 512 + 512 * 10
    one, many = (prediction(LARGE, rows, gflops=200.0, bandwidth=rates) for rows in (1, 64))
    assert one["us"] == one["weights_us"] == pytest.approx(weights * 4 / 100e3)
    assert many["us"] == many["products_us"] == pytest.approx(2 * 64 * weights / 200e3)


def test_the_smallest_cache_that_holds_the_data_sets_the_rate(monkeypatch):
    from bench import limits

    monkeypatch.setattr(limits.machine, "caches", lambda: {"L1": 1000, "L2": 10_000})
    rates = {"L1": 90.0, "L2": 120.0, "memory": 40.0}
    assert limits.cache_rate(rates, 500) == 120.0  # a larger cache showed more, so the first can do it too
    assert limits.cache_rate(rates, 20_000) == 40.0


def test_every_float64_workload_has_its_twin():
    from bench.groups.training import twin
    from bench.workloads import VARIANTS

    assert [twin(workload).name for workload in VARIANTS if workload.dtype == "float64"] == [
        "64-64-10 b32", "784-128-10 b128", "784-512-512-10 b256"
    ]


def test_digits_are_learnt_from_the_same_beginning():
    from bench.tasks.digits import Digits

    task = Digits("cbp", epochs=3)
    learnt = task.measure(0)
    assert learnt["losses_by_epoch"] == task.about["losses"]
    assert learnt["losses_by_epoch"][0] > learnt["losses_by_epoch"][2]
    assert 0.5 < learnt["accuracies"][2] <= 1
    assert learnt["epochs_to"] is None  # three epochs are not enough


# --- measuring ----------------------------------------------------------------------------------------------------------------


def test_a_process_that_fails_is_left_out_and_the_others_go_on():
    from bench.turns import How, Series, measure

    arguments = {"peer": "nobody", "workload": "2-3-1 b4", "seconds": 0.001, "most_steps": 8}
    wanted = [Series("bad", "training", arguments), Series("cbp", "xor", {})]
    row = measure("row", wanted, How(None, rounds=1, seconds=0.001), base="cbp", probe=False)
    assert row["series"]["bad"] == {"error": "KeyError: 'nobody'"}
    assert len(row["series"]["cbp"]["us"]) == 1


def test_a_group_that_fails_is_a_problem_and_the_others_are_saved(monkeypatch, tmp_path, capsys):
    from bench import __main__ as program
    from bench.child import MeasurementError
    from bench.groups.tile import Tile

    def fail(*_):
        raise MeasurementError("killed")

    monkeypatch.setattr(Tile, "run", fail)
    path = tmp_path / "run.json"
    assert program.main(["--group", "xor,tile", *TINY, "--json", str(path)]) == 1
    assert "problem: tile failed: killed" in capsys.readouterr().err
    assert list(json.loads(path.read_text())["groups"]) == ["xor"]


def test_a_quick_run_starts_what_is_slow_to_start_only_where_it_is_asked_for():
    from bench.turns import How

    peers = ("cbp", "torch-compile", "onnx")
    assert How(None, 1, 1.0, peers=peers).who("training", slow=False) == ["cbp", "torch-compile"]
    assert How(None, 1, 1.0, peers=peers, quick=True).who("training", slow=False) == ["cbp"]
    assert How(None, 1, 1.0, peers=peers, quick=True).who("training") == ["cbp", "torch-compile"]


def test_ratios_are_those_of_neighbours():
    from bench.turns import summarise

    series = {"cbp": {"us": [1.0, 2.0, 4.0]}, "torch": {"us": [3.0, 6.0, 8.0]}, "jax": {"unsupported": "no"}}
    summarise(series, "cbp")
    assert series["torch"]["ratio"] == 3.0
    assert series["torch"]["median_us"] == 6.0
    assert "ratio" not in series["cbp"]
    assert series["jax"] == {"unsupported": "no"}


def test_spread_is_half_the_distance_of_the_quartiles():
    from bench.turns import spread

    assert spread([8.0, 9.0, 10.0, 11.0, 12.0]) == pytest.approx(0.1)
    assert spread([3.0]) == 0


def test_every_thread_of_a_process_is_moved():
    from bench.worker import move

    allowed, done = os.sched_getaffinity(0), threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        move([min(allowed)])
        assert {min(os.sched_getaffinity(int(one))) for one in os.listdir("/proc/self/task")} == {min(allowed)}
        assert {len(os.sched_getaffinity(int(one))) for one in os.listdir("/proc/self/task")} == {1}
    finally:
        move(list(allowed))
        done.set()
        thread.join()


class FakeChild:
    """A process whose step takes 10 us alone, and 30 us while `others` are there."""

    others = 0
    about: dict = {}  # noqa: RUF012

    def __init__(self, *_):
        self.asked = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def ask(self, seconds):
        FakeChild.others += 1

    def answer(self):
        return {"us": 30.0 if FakeChild.others else 10.0}

    def measure(self, seconds):
        FakeChild.others = 0
        return self.answer()


def test_shares_of_a_machine_that_is_not_alone(monkeypatch):
    from bench import crowd
    from bench.turns import How, Series

    monkeypatch.setattr(crowd, "Child", FakeChild)
    one = Series("4", "training", {"workload": "net", "threads": 4})
    row = crowd.together(one, 4, How(None, rounds=3, seconds=0.001))
    assert row["beside_us"] == [[30.0] * 4] * 3
    assert row["kept"] == pytest.approx(1 / 3)
    monkeypatch.setattr(crowd, "spinning", lambda count, cores: FakeContext())
    monkeypatch.setattr(FakeChild, "measure", lambda self, seconds: {"us": 24.0 if FakeContext.busy else 10.0})
    row = crowd.beside_busy(one, 8, 4, How(None, rounds=3, seconds=0.001))
    assert row["fair"] == pytest.approx(3 / 2.4)  # 4 of 12 threads: a step may take three times as long


class FakeContext:
    busy = False

    def __enter__(self):
        FakeContext.busy = True

    def __exit__(self, *_):
        FakeContext.busy = False


def test_busy_processes_end(monkeypatch):
    from bench import crowd

    started, popen = [], subprocess.Popen
    monkeypatch.setattr(crowd.subprocess, "Popen", lambda *given: started.append(popen(*given)) or started[-1])
    with crowd.spinning(1, None):
        assert [process.poll() for process in started] == [None]
    assert started[0].returncode is not None


# --- reports ------------------------------------------------------------------------------------------------------------------


def results(**groups):
    machine = dict.fromkeys(("cpu", "cores", "system", "python", "core_build", "core_compiler", "blas"), "x")
    return {
        "format": 2, "machine": machine, "rounds": 3, "seconds_per_measurement": 0.1, "quick": False, "versions": {"cbp": "1"},
        "groups": groups, "failed": {},
    }


def training(median_us, spread=0.01, gflops=100.0, **ratios):
    series = {"cbp": {"us": [median_us], "median_us": median_us, "spread": spread, "cpu_per_wall": [1.0]}}
    series |= {
        peer: {"us": [ratio * median_us], "median_us": ratio * median_us, "spread": 0.01, "ratio": ratio, "cpu_per_wall": [1.0]}
        for peer, ratio in ratios.items()
    }
    bandwidth = dict.fromkeys(("L1", "L2", "L3", "memory"), 100.0)
    row = {"name": "64-64-10 b32", "series": series, "machine": {"gflops": gflops, "bandwidth": bandwidth},
           "limit": {"us": 3.0}, "share_of_limit": 3.0 / median_us}
    return {"rows": [row]}


def test_goals_that_are_missed_are_said():
    from bench import goals
    from bench.groups import GROUPS

    reached = GROUPS["training"].goals(training(4.0, jax=3.0, torch=40.0, sklearn=38.0))
    assert [(goal.measure, goal.met) for goal in reached] == [
        ("against JAX scan", False), ("against PyTorch", True), ("against sklearn", True), ("share of limit", True),
    ]
    table = goals.table("training", reached).markdown()
    assert "3.00 | ≥ 3.30" in table
    assert "against JAX scan |\n" in table
    assert goals.summary(reached) == (
        "3 of 4 goals are met.\n\nMissed:\n- 64-64-10 b32, against JAX scan: 3.00 of ≥ 3.30"
    )


def test_a_goal_can_be_a_most():
    from bench.goals import Reached

    assert Reached("xor", "ms", 10.0, 9.0, at_least=False).met
    assert not Reached("xor", "ms", 10.0, 11.0, at_least=False).met


def test_verdict_counts_ties_and_losses():
    from bench.report import verdict

    said = verdict(results(training=training(4.0, jax=0.9, numpy=1.02, torch=3.0)))
    assert "cbp is faster in 1 of 3 comparisons." in said
    assert "Tie (within 3%) with: NumPy on 64-64-10 b32 (1.02)." in said
    assert "Slower than: JAX scan on 64-64-10 b32 (0.90)." in said


def test_rows_that_were_disturbed_are_named():
    from bench.report import verdict

    group = training(4.0, jax=2.0)
    group["rows"][0]["series"]["jax"]["cpu_per_wall"] = [1.0, 0.5, 0.6]
    assert "Disturbed by other processes, do not trust: 64-64-10 b32 (training)." in verdict(results(training=group))


def test_what_a_peer_cannot_do_is_a_dash_and_what_failed_is_said():
    from bench.groups import GROUPS

    group = training(4.0, torch=3.0)
    group["rows"][0]["series"] |= {"jax": {"unsupported": "no"}, "sklearn": {"error": "no memory"}}
    table, _ = GROUPS["training"].tables(group)
    assert dict(zip(table.rows[0], table.rows[1], strict=True)) == {
        "net, batch": "64-64-10 b32", "limit": "3.00", "share": "75%", "cbp": "4.00", "PyTorch": "12.0 (3.00)", "JAX scan": "–",
        "sklearn": "failed",
    }


def test_peer_that_fails_or_computes_something_else_is_a_problem():
    from bench.report import problems

    series = {"torch": {"losses": [1.0, 0.5], "agrees": False}, "jax": {"error": "no memory"}, "onnx": {"unsupported": "no"}}
    assert problems(results(training={"rows": [{"name": "net", "series": series}]})) == [
        "training, net: PyTorch computes something else than its peers: 1, 0.5",
        "training, net: JAX scan failed: no memory",
    ]


@pytest.mark.parametrize(("change", "spread", "word"), [
    (1.10, 0.05, "faster"), (1.10, 0.12, "the same"), (0.90, 0.05, "slower"), (1.015, 0.0, "the same"),
])
def test_verdict_of_a_comparison(change, spread, word):
    from bench.compare import verdict

    assert verdict(change, spread) == word


def test_comparison_of_two_runs_names_what_else_differs():
    from bench.compare import text

    old, new = results(training=training(6.0)), results(training=training(4.0, gflops=110.0))
    new["machine"] = new["machine"] | {"core_build": "v3"}
    new["versions"] = {"cbp": "2"}
    said = text(old, new)
    assert "note: core_build differs: x | v3" in said
    assert "note: version of cbp differs: 1 | 2" in said
    assert "peak rate, new / old, was 1.100" in said
    assert "±1.4%" in said
    assert "1 faster, 0 slower, 0 the same" in said
    assert "no row in common" in text(old, results())


def test_table_of_a_profile():
    from bench.profile import table

    rounds = [{"forward": 2.0, "update": 6.0}, {"forward": 2.0, "update": 6.0}]
    made = table({"name": "net", "series": {"cbp": {"phases": rounds}}})
    assert made.title == "net: 8.00 µs a step"
    assert [row[:3] for row in made.rows[1:]] == [["forward", "2.00", "25.0%"], ["update", "6.00", "75.0%"]]
    assert [row[3].count("█") for row in made.rows[1:]] == [10, 30]


def test_figures_go_between_their_marks():
    from bench.readme import MARKS, README, between_marks

    page = f"before\n{MARKS[0]}\nold\n{MARKS[1]}\nafter\n"
    assert between_marks(page, "new") == f"before\n{MARKS[0]}\n\nnew\n\n{MARKS[1]}\nafter\n"
    assert all(README.read_text().count(mark) == 1 for mark in MARKS)


def test_equal_times_have_lanes_of_their_own_in_the_plot():
    from bench.peers import PEERS
    from bench.plot import STYLES, points

    lanes = points(training(4.0, jax=2.0, torch=2.0)["rows"])
    assert [name for name, pairs in lanes.items() if pairs] == ["torch", "jax"]
    assert lanes["torch"][0][0] == lanes["jax"][0][0] == 2.0
    assert lanes["torch"][0][1] != lanes["jax"][0][1]
    assert set(STYLES) == {name for name, peer in PEERS.items() if "training" in peer.does} - {"cbp"}


def test_plot_is_a_png_where_matplotlib_is_installed(tmp_path):
    from bench.plot import draw

    path, measured = tmp_path / "figure.png", results(training=training(4.0, jax=2.0, torch=30.0))
    if importlib.util.find_spec("matplotlib"):
        draw(measured, str(path))
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    else:
        with pytest.raises(ImportError):
            draw(measured, str(path))
