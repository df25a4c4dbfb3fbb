"""The command line, through ``main`` and as a process."""

import csv
import io
import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cbp
from cbp import cli

COMMANDS = ["demo", "train", "predict", "trace", "info"]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs a command line in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        capsys.readouterr()
        code = cli.main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


@pytest.fixture
def ok(run):
    """Runs a command line that must succeed: (standard output, standard error)."""

    def ok(*arguments):
        code, out, err = run(*arguments)
        assert code == 0, err
        return out, err

    return ok


@pytest.fixture
def refused(run):
    """Runs a command line that must fail, and checks the one message."""

    def refused(*arguments, match, code=1):
        got, out, err = run(*arguments)
        assert got == code, err
        assert out == ""
        errors = [line for line in err.splitlines() if line.startswith("cbp: error: ")]
        assert len(errors) == 1, err
        assert re.search(match, errors[0]), err

    return refused


def process(*arguments, **settings):
    """``python -m cbp`` in a process of its own."""
    environment = os.environ | settings.pop("env", {})
    return subprocess.run(
        [sys.executable, "-m", "cbp", *map(str, arguments)], capture_output=True, timeout=120, env=environment, **settings
    )


def write(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def flowers(path, rows=90):
    """A table for classification: two numbers, a text, an identifier, a constant."""
    draw = random.Random(0)
    kinds = {"iris": (2.0, "blue"), "poppy": (5.0, "red"), "tulip": (8.0, "red")}
    records = []
    for row in range(rows):
        kind = list(kinds)[row % 3]
        centre, colour = kinds[kind]
        length = centre + draw.uniform(-1, 1)
        records.append([f"id{row}", f"{length:.3f}", f"{length * 10 + draw.uniform(-3, 3):.2f}", colour, "garden", kind])
    write(path, ["id", "length", "width", "colour", "place", "kind"], records)
    return path


def houses(path, rows=80):
    """A table for regression: the price follows from area and city."""
    draw = random.Random(1)
    records = []
    for _ in range(rows):
        area, city = draw.uniform(40, 200), draw.choice(["Bern", "Zürich"])
        records.append([f"{area:.1f}", city, f"{3000 * area + 200_000 * (city == 'Bern'):.0f}"])
    write(path, ["area", "city", "price"], records)
    return path


TRAIN = ["--epochs", "30", "--hidden", "16", "--rate", "0.01"]


@pytest.fixture
def kind_model(ok):
    """flowers.csv and kind.cbp in the present folder."""
    flowers("flowers.csv")
    ok("train", "flowers.csv", "--target", "kind", "--ignore", "id", "-o", "kind.cbp", *TRAIN)
    return "kind.cbp"


@pytest.fixture
def price_model(ok):
    """houses.csv and price.cbp in the present folder."""
    houses("houses.csv")
    ok("train", "houses.csv", "--target", "price", "-o", "price.cbp", *TRAIN, "--epochs", "100")
    return "price.cbp"


def table(text):
    """The rows of a CSV text as dictionaries."""
    return list(csv.DictReader(io.StringIO(text)))


# -------------------------------------------------------------------------------------------------- help and usage


def test_version(ok):
    assert ok("--version") == (f"cbp {cbp.__version__}\n", "")


def test_help_names_every_command(ok):
    out, _ = ok("--help")
    for command in COMMANDS:
        assert re.search(rf"^ +{command} ", out, re.MULTILINE)
    assert "examples:" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_has_examples_and_fits_a_terminal(command, ok, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out, err = ok(command, "--help")
    assert err == ""
    assert f"cbp {command}" in out.split("examples:")[1]
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ([], "COMMAND"),
        (["tain"], "invalid choice: 'tain'"),
        (["train"], "required: DATA, --target"),
        (["train", "a.csv"], "--target"),
        (["train", "a.csv", "--target", "y", "--frobnicate"], "--frobnicate"),
        (["train", "a.csv", "--target", "y", "--epoch", "3"], "--epoch"),
        (["train", "a.csv", "--target", "y", "--epochs", "0"], "--epochs: must be a whole number from 1 .* got '0'"),
        (["train", "a.csv", "--target", "y", "--epochs", "1.5"], "--epochs: must be a whole number"),
        (["train", "a.csv", "--target", "y", "--batch-size", "-1"], "--batch-size"),
        (["train", "a.csv", "--target", "y", "--threads", "0"], "--threads: must be a whole number from 1 to 256, got '0'"),
        (["train", "a.csv", "--target", "y", "--threads", "all"], "--threads: must be a whole number"),
        (["train", "a.csv", "--target", "y", "--rate", "0"], "--rate: must be a number above 0, got '0'"),
        (["train", "a.csv", "--target", "y", "--rate", "nan"], "--rate: must be a number above 0"),
        (["train", "a.csv", "--target", "y", "--l2", "-1"], "--l2: must be a number of at least 0"),
        (["train", "a.csv", "--target", "y", "--validation", "1"], "--validation: must be a number from 0 to below 1"),
        (["train", "a.csv", "--target", "y", "--validation", "x"], "--validation: must be a number from 0 to below 1"),
        (["train", "a.csv", "--target", "y", "--hidden", "8,"], "--hidden: must be numbers of units"),
        (["train", "a.csv", "--target", "y", "--hidden", "0"], "--hidden: must be numbers of units"),
        (["train", "a.csv", "--target", "y", "--activation", "softmax"], "--activation: invalid choice"),
        (["train", "a.csv", "--target", "y", "--optimizer", "bfgs"], "--optimizer: invalid choice"),
        (["train", "a.csv", "--target", "y", "--task", "ranking"], "--task: invalid choice"),
        (["train", "a.csv", "--target", "y", "--seed", str(2**63)], "--seed"),
        (["predict", "m.cbp"], "DATA"),
        (["trace"], "MODEL"),
        (["trace", "m.cbp"], "cbp trace MODEL DATA"),
        (["trace", "m.cbp", "a.csv", "--row", "0"], "--row"),
        (["trace", "xor", "a.csv"], "leave DATA out"),
        (["trace", "xor", "--rate", "1"], "leave --rate out"),
        (["trace", "xor", "--html", "-", "--json"], "standard output is taken by --json"),
        (["info"], "MODEL"),
    ],
)
def test_a_wrong_command_line_is_2(arguments, match, refused):
    refused(*arguments, match=match, code=2)


# ------------------------------------------------------------------------------------------------------------- demo


def test_demo(ok):
    out, err = ok("demo", "--csv", "digits.csv")
    assert max(map(len, out.splitlines())) <= 80
    assert float(re.search(r"held-out accuracy (0\.\d+)", out)[1]) >= 0.96
    assert "40/40" in err
    rows = [line.split() for line in out.splitlines() if re.match(r"  [0-9]  ", line)]
    counts = [[int(cell.replace("·", "0")) for cell in row[1:11]] for row in rows]
    assert len(counts) == 10
    assert sum(map(sum, counts)) == 449
    assert "█" in out
    assert "but it is a " in out

    for command, purpose in re.findall(r"^  (cbp .*?)   (.*)$", out, re.MULTILINE):
        assert purpose
        ok(*command.split()[1:])
    out, err = ok("predict", "digits.cbp", "digits.csv")
    assert len(table(out)) == 449
    accuracy = re.search(r"accuracy (0\.\d+)", err)[1]
    assert float(accuracy) >= 0.96


def test_demo_as_json(ok):
    out, err = ok("demo", "--json", "--seed", "4", "-o", "d.cbp", "--epochs", "20")
    document = json.loads(out)
    assert document["accuracy"] >= 0.95
    assert document["model"] == "d.cbp"
    assert np.array(document["confusion"]).sum() == document["held_out_images"] == 449
    assert len(document["history"]["val_accuracy"]) == 20
    assert "20/20" in err
    assert cbp.load("d.cbp").output_shape == (10,)


def test_demo_without_unicode(tmp_path):
    done = process("demo", "--epochs", "2", cwd=tmp_path, env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode("ascii")
    assert "##" in out
    assert "?" not in out.replace("What to try next", "")


def test_demo_needs_a_place_for_its_model(refused):
    refused("demo", "-o", "no/such/d.cbp", match="no/such: there is no such folder")
    refused("demo", "-o", ".", match="this is a folder")


# ------------------------------------------------------------------------------------------------------------ train


def test_train_and_predict_classes(ok):
    flowers("flowers.csv")
    out, err = ok("train", "flowers.csv", "--target", "kind", "--ignore", "id", "-o", "kind.cbp", *TRAIN)
    assert re.match(r"18 held-out rows: accuracy (1\.0|0\.9)\d* \(always guessing the most frequent class: 0\.\d+\)\n", out)
    assert "saved to kind.cbp" in out
    assert "task: classification, because the target holds text" in err
    assert "note: 1 column left out, the same in every row to train on: 'place'" in err
    assert "30/30" in err

    out, err = ok("predict", "kind.cbp", "flowers.csv")
    predictions = [row["kind"] for row in table(out)]
    assert len(predictions) == 90
    assert set(predictions) == {"iris", "poppy", "tulip"}
    assert "compared with the column 'kind' of flowers.csv: accuracy" in err


def test_train_and_predict_numbers(ok):
    houses("houses.csv")
    out, err = ok("train", "houses.csv", "--target", "price", "-o", "price.cbp", *TRAIN, "--epochs", "100")
    assert "task: regression, because the target holds 80 different numbers" in err
    assert float(re.search(r"R² (\S+)", out)[1]) > 0.95
    out, err = ok("predict", "price.cbp", "houses.csv")
    prices = [float(row["price"]) for row in table(out)]
    truth = [float(row["price"]) for row in table(Path("houses.csv").read_text("utf-8"))]
    assert np.corrcoef(prices, truth)[0, 1] > 0.97
    assert abs(np.mean(prices) - np.mean(truth)) < 0.1 * np.mean(truth)
    assert "R²" in err


def test_train_as_json(ok):
    flowers("flowers.csv")
    out, _ = ok("train", "flowers.csv", "--target", "kind", "--ignore", "id", "--json", *TRAIN)
    document = json.loads(out)
    assert document["task"] == "classification"
    assert document["classes"] == ["iris", "poppy", "tulip"]
    assert document["inputs"] == ["length", "width", "colour=blue", "colour=red"]
    assert document["left_out"] == ["id", "place"]
    assert document["score"]["accuracy"] >= 0.9
    assert document["training_rows"] == 72
    assert document["held_out_rows"] == 18
    assert sorted(document["history"]) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    net = cbp.load("model.cbp")
    assert net.get_vector().size == document["parameters"]
    assert net.epoch == 30


def test_training_is_repeatable(ok):
    flowers("flowers.csv")
    vectors = []
    for seed in (1, 1, 2):
        ok("train", "flowers.csv", "--target", "kind", "--ignore", "id", "--seed", seed, "--epochs", "3")
        vectors.append(cbp.load("model.cbp").get_vector().tobytes())
    assert vectors[0] == vectors[1] != vectors[2]


def test_pieces_of_training_equal_one_run(ok):
    houses("houses.csv")
    ok("train", "houses.csv", "--target", "price", "--epochs", "23", "--validation", "0", "--seed", "5")
    trained = cbp.load("model.cbp")
    entry = trained.metadata["table"]
    from cbp.cli import columns
    from cbp.cli import table as tables

    encoding, data = columns.Encoding.from_dict(entry, ""), tables.read("houses.csv")
    net = cbp.mlp([3, 64, 64, 1], seed=5)
    net.fit(encoding.encode(data), encoding.target.encode(data), epochs=23, optimizer=cbp.Adam())
    assert net.get_vector().tobytes() == trained.get_vector().tobytes()


def test_options_reach_the_network(ok):
    houses("houses.csv")
    ok("train", "houses.csv", "--target", "price", "--hidden", "5,4", "--activation", "tanh", "--optimizer", "sgd",
       "--rate", "0.05", "--l2", "0.001", "--batch-size", "16", "--epochs", "2", "--seed", "7", "-o", "a.cbp")  # fmt: skip
    net = cbp.load("a.cbp")
    assert [layer.units for layer in net.layers] == [5, 4, 1]
    assert [layer.activation for layer in net.layers] == ["tanh", "tanh", "identity"]
    assert net.optimizer == cbp.SGD(0.05)
    assert (net.l2, net.seed, net.step, net.epoch) == (0.001, 7, 8, 2)
    ok("train", "houses.csv", "--target", "price", "--hidden", "none", "--epochs", "1", "-o", "linear.cbp")
    assert len(cbp.load("linear.cbp").layers) == 1


@pytest.mark.parametrize("threads", ["2", "auto"])
def test_threads_give_the_same_model(ok, threads):
    houses("houses.csv")
    ok("train", "houses.csv", "--target", "price", "--epochs", "3", "-o", "one.cbp")
    ok("train", "houses.csv", "--target", "price", "--epochs", "3", "-o", "more.cbp", "--threads", threads)
    assert Path("more.cbp").read_bytes() == Path("one.cbp").read_bytes()


def test_few_whole_numbers_are_classes_and_task_overrules(ok):
    write("a.csv", ["x", "y"], [[i, i % 2] for i in range(40)])
    _, err = ok("train", "a.csv", "--target", "y", "--epochs", "1")
    assert "task: classification, because the target holds 2 different whole numbers" in err
    out, _ = ok("predict", "model.cbp", "a.csv", "--json")
    assert set(json.loads(out)["predictions"]) <= {0, 1}
    _, err = ok("train", "a.csv", "--target", "y", "--epochs", "1", "--task", "regression")
    assert "task:" not in err
    out, _ = ok("predict", "model.cbp", "a.csv", "--json")
    assert json.loads(out)["task"] == "regression"


def test_a_tiny_table_holds_nothing_out(ok):
    write("xor.csv", ["a", "b", "y"], [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]])
    out, err = ok("train", "xor.csv", "--target", "y", "--hidden", "16", "--activation", "tanh", "--rate", "0.05")
    assert "none are held out" in err
    assert "4 training rows: accuracy 1.0000 " in out
    out, _ = ok("train", "xor.csv", "--target", "y", "--validation", "0.25", "--epochs", "1", "--json")
    assert json.loads(out)["held_out_rows"] == 1


def test_codes_can_be_read_as_text(ok):
    write("a.csv", ["code, old", "y"], [[i % 4, f"{i % 4 * 3 % 4}.5"] for i in range(40)])
    out, _ = ok("train", "a.csv", "--target", "y", "--text", '"code, old",y', "--epochs", "1", "--json")
    document = json.loads(out)
    assert document["inputs"] == [f"code, old={code}" for code in range(4)]
    assert document["classes"] == ["0.5", "1.5", "2.5", "3.5"]


def test_learning_by_heart_is_remarked_on(ok):
    draw = random.Random(2)
    write("noise.csv", ["a", "b", "y"], [[draw.random(), draw.random(), draw.random()] for _ in range(40)])
    _, err = ok("train", "noise.csv", "--target", "y", "--epochs", "300", "--rate", "0.01")
    assert "note: the network learnt the training rows by heart, held-out loss" in err
    best = int(re.search(r"the model is that of epoch (\d+), whose held-out loss was best", err)[1])
    assert f"stopped after epoch {best + 20}, " in err


def test_training_that_goes_astray_is_remarked_on(ok):
    write("line.csv", ["a", "b", "y"], [[i, i * 7 % 11, i * 3.7] for i in range(40)])
    arguments = ["train", "line.csv", "--target", "y", "--hidden", "none", "--optimizer", "sgd"]
    for more in (["--rate", "1.02"], ["--rate", "1.5"], ["--rate", "1.5", "--validation", "0"]):
        _, err = ok(*arguments, *more, "--epochs", "20")
        assert re.search(r"note: the training loss went astray, to \S+ at the end: try a lower --rate\n", err), more
        assert "--hidden" not in err
    progress = [line for line in err.splitlines() if re.match(r"epoch| *\d+/20", line)]
    assert len({len(line) for line in progress}) == 1, err
    assert "note:" not in ok(*arguments, "--rate", "0.01", "--epochs", "20")[1]


def test_advice_names_only_options_that_can_help(ok):
    draw = random.Random(2)
    write("noise.csv", [*"abcdefghy"], [[draw.random() for _ in range(9)] for _ in range(20)])
    _, err = ok("train", "noise.csv", "--target", "y", "--hidden", "none", "--epochs", "400", "--rate", "0.01",
                "--patience", "none", "--seed", "2")  # fmt: skip
    assert re.search(r"held-out loss \S+ then \S+: --l2 0.01 may do better", err)


def test_quiet(ok):
    houses("houses.csv")
    _, err = ok("train", "houses.csv", "--target", "price", "--epochs", "3", "-q")
    assert "epoch" not in err


def test_standard_input(ok, monkeypatch):
    content = Path(houses("houses.csv")).read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    ok("train", "-", "--target", "price", "--epochs", "2")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    out, err = ok("predict", "model.cbp", "-")
    assert len(table(out)) == 80
    assert "of standard input" in err


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("x,y\n1,2\n,3\n4,5\n", r"bad\.csv: row 2 \(line 3\), column 'x': missing value"),
        ("x,y\n1,2\n2,\n4,5\n", r"bad\.csv: row 2 \(line 3\), column 'y': missing value"),
        ("x,y\n1,2\n2,3,4\n", r"bad\.csv: line 3 has 3 cells"),
        ("x,z\n1,2\n", r"bad\.csv: no column is called 'y'; it has 'x', 'z'"),
        ("x,y\n1,1\n2,1\n", r"'y' is 1 in every row"),
        ("", r"bad\.csv: the file is empty"),
        ("x,y\n1,\xe9\n".encode("latin-1"), r"bad\.csv: line 2 is not UTF-8"),
    ],
)
def test_bad_data_is_1(content, match, refused):
    Path("bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused("train", "bad.csv", "--target", "y", match=match)
    assert not Path("model.cbp").exists()


def test_bad_files_are_1(refused, tmp_path):
    refused("train", "none.csv", "--target", "y", match="none.csv: No such file")
    refused("train", tmp_path, "--target", "y", match="[Dd]irectory|denied")
    houses("houses.csv")
    refused("train", "houses.csv", "--target", "price", "-o", "no/m.cbp", match="no: there is no such folder")
    refused("train", "houses.csv", "--target", "price", "--ignore", "citi", match="did you mean 'city'")


def test_devices_without_end_are_refused(refused, price_model):
    for device in "/dev/zero", "/dev/full", "/dev/urandom":
        refused("train", device, "--target", "y", match=f"{device}: this is a device, .* give a CSV file, or - for standard")
        refused("predict", price_model, device, match="this is a device")
        refused("trace", price_model, device, match="this is a device")
    refused("train", "/dev/null", "--target", "y", match="the file is empty")


@pytest.mark.parametrize(("option", "words"), [
    ("--lr", "did you mean --rate"), ("--learning-rate", "did you mean --rate"), ("--learning_rate", "did you mean --rate"),
    ("--verbose", "progress is shown, unless --quiet is given"), ("--epoch", "did you mean --epochs"),
    ("--batch_size", "did you mean --batch-size"), ("--xyzzy", "unrecognized arguments: --xyzzy 1$"),
])  # fmt: skip
def test_options_under_other_names_are_answered_with_those_of_cbp(option, words, refused):
    refused("train", "x.csv", "--target", "y", option, "1", match=words, code=2)


def test_info_lists_the_names_of_features(run):
    net = cbp.mlp([2, 1], seed=0)
    net.feature_names = ("width", "height")
    net.save("named.cbp")
    assert "'width', 'height'" in run("info", "named.cbp")[1]
    assert json.loads(run("info", "named.cbp", "--json")[1])["feature_names"] == ["width", "height"]


def test_files_that_are_read_are_not_replaced(refused, price_model):
    before = Path("houses.csv").read_bytes()
    refused("train", "houses.csv", "--target", "price", "-o", "houses.csv", match="would be replaced", code=2)
    refused("predict", price_model, "houses.csv", "-o", "./houses.csv", match="would be replaced", code=2)
    refused("predict", price_model, "houses.csv", "-o", price_model, match="would be replaced", code=2)
    refused("train", "houses.csv", "--target", "price", "--ignore", "price", match="is the target", code=2)
    assert Path("houses.csv").read_bytes() == before


def test_a_diverging_training_is_1(refused):
    houses("houses.csv")
    refused("train", "houses.csv", "--target", "price", "--optimizer", "sgd", "--rate", "1e6", match="lower --rate")
    assert not Path("model.cbp").exists()


def test_ctrl_c_is_130(refused, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    houses("houses.csv")
    monkeypatch.setattr(cbp.Network, "fit", interrupted)
    refused("train", "houses.csv", "--target", "price", match="interrupted", code=130)


# ---------------------------------------------------------------------------------------------------------- predict


def test_probabilities(ok, kind_model):
    out, _ = ok("predict", kind_model, "flowers.csv", "--proba")
    rows = table(out)
    assert list(rows[0]) == ["kind", "P(iris)", "P(poppy)", "P(tulip)"]
    for row in rows:
        shares = {name[2:-1]: float(value) for name, value in row.items() if name != "kind"}
        assert max(shares, key=shares.get) == row["kind"]
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)


def test_predict_as_json_equals_python(ok, kind_model):
    out, _ = ok("predict", kind_model, "flowers.csv", "--proba", "--json")
    document = json.loads(out)
    assert document["classes"] == ["iris", "poppy", "tulip"]
    assert document["score"]["accuracy"] >= 0.9
    from cbp.cli import columns
    from cbp.cli import table as tables

    net = cbp.load(kind_model)
    encoding = columns.Encoding.from_dict(net.metadata["table"], kind_model)
    outputs = net.predict(encoding.encode(tables.read("flowers.csv")))
    np.testing.assert_allclose(document["probabilities"], outputs, rtol=1e-6)
    assert document["predictions"] == [document["classes"][index] for index in outputs.argmax(axis=1)]
    assert "probabilities" not in json.loads(ok("predict", kind_model, "flowers.csv", "--json")[0])


def test_predictions_to_a_file(ok, price_model):
    printed, _ = ok("predict", price_model, "houses.csv")
    out, err = ok("predict", price_model, "houses.csv", "-o", "out.csv")
    assert out == ""
    assert "80 predictions written to out.csv" in err
    assert Path("out.csv").read_text("utf-8") == printed
    out, _ = ok("predict", price_model, "houses.csv", "-o", "out.csv", "--json")
    assert len(json.loads(out)["predictions"]) == 80


def test_columns_in_another_order_and_extra_ones(ok, price_model):
    original = table(Path("houses.csv").read_text("utf-8"))
    write("new.csv", ["note", "city", "area"], [["n", row["city"], row["area"]] for row in original])
    out, err = ok("predict", price_model, "new.csv")
    assert out == ok("predict", price_model, "houses.csv")[0]
    assert "note: new.csv: 1 column unknown to the model and not read: 'note'" in err
    assert "compared" not in err


def test_columns_that_training_left_out_may_be_there_or_not(ok, kind_model):
    rows = table(Path("flowers.csv").read_text("utf-8"))
    write("new.csv", ["colour", "width", "length"], [[row["colour"], row["width"], row["length"]] for row in rows])
    out, err = ok("predict", kind_model, "flowers.csv")
    assert "unknown" not in err
    assert ok("predict", kind_model, "new.csv")[0] == out


def test_a_target_with_gaps_is_not_compared(ok, price_model):
    write("new.csv", ["area", "city", "price"], [["50", "Bern", ""], ["60", "Bern", "1"]])
    out, err = ok("predict", price_model, "new.csv")
    assert len(table(out)) == 2
    assert "compared" not in err


def test_a_class_that_is_new_counts_as_wrong(ok, kind_model):
    lines = Path("flowers.csv").read_text("utf-8").splitlines()[:4]
    Path("new.csv").write_text("\n".join([*lines[:3], lines[3].replace("tulip", "rose")]) + "\n")
    _, err = ok("predict", kind_model, "new.csv")
    assert "accuracy 0.6667" in err


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("area,price\n1,2\n", r"a column that the file lacks: 'city'"),
        ("area,city\n1,Rom\n", r"row 1 \(line 2\), column 'city': unknown category 'Rom'.*'Bern', 'Zürich'"),
        ("area,city\n1,Bern\nbig,Bern\n", r"row 2 \(line 3\), column 'area': 'big' is not a number"),
        ('area,city\n"80,5",Bern\n', r"row 1 \(line 2\), column 'area': '80,5' has a decimal comma; write '80\.5'"),
        ("area,city\n1,Bern\n,Bern\n", r"row 2 \(line 3\), column 'area': missing value"),
    ],
)
def test_data_that_does_not_fit_the_model_is_1(content, match, refused, price_model):
    Path("new.csv").write_text(content, encoding="utf-8")
    refused("predict", price_model, "new.csv", match=match)


def test_models_that_cannot_predict_tables_are_1(refused, price_model):
    refused("predict", "none.cbp", "houses.csv", match="none.cbp: No such file")
    refused("predict", "houses.csv", "houses.csv", match="houses.csv: not a cbp model")
    refused("predict", price_model, "houses.csv", "--proba", match="has no classes", code=2)
    net = cbp.mlp([2, 1])
    net.save("python.cbp")
    refused("predict", "python.cbp", "houses.csv", match="knows no columns, since it was not made by cbp train or cbp demo")
    net.metadata["table"] = cbp.load(price_model).metadata["table"]
    net.save("python.cbp")
    refused("predict", "python.cbp", "houses.csv", match="do not fit its network")
    net.metadata["table"] = {"columns": 3}
    net.save("python.cbp")
    refused("predict", "python.cbp", "houses.csv", match="description of columns is damaged")
    refused("info", "python.cbp", match="description of columns is damaged")


# ----------------------------------------------------------------------------------------------------- trace and info


def test_trace_of_the_worked_example(ok):
    out, err = ok("trace", "xor")
    assert err == ""
    assert out == f"{cbp.trace.worked_example()}\n"
    document = json.loads(ok("trace", "xor", "--json")[0])
    assert document["rows"][0]["output_before"] == [4]
    assert document["rows"][0]["output_after"] == [pytest.approx(1.68)]


def test_trace_of_a_row(ok, kind_model):
    out, _ = ok("trace", kind_model, "flowers.csv", "--row", "3")
    assert out.startswith("Row 3 (line 4) of flowers.csv: kind is tulip\n  x1  length\n  x2  width\n  x3  colour=blue\n")
    assert "ŷ3  tulip" in out
    document = json.loads(ok("trace", kind_model, "flowers.csv", "--row", "3", "--json")[0])
    assert document["optimizer"]["name"] == "adam"
    assert document["step"] == cbp.load(kind_model).step + 1
    from cbp.cli import columns
    from cbp.cli import table as tables

    net = cbp.load(kind_model)
    encoding = columns.Encoding.from_dict(net.metadata["table"], kind_model)
    x = encoding.encode(tables.read("flowers.csv"))[2]
    assert list(document["rows"][0]["inputs"].values()) == pytest.approx(x.tolist())
    assert document["rows"][0]["output_before"] == pytest.approx(net.predict_one(x).tolist(), rel=1e-4)


def test_trace_with_another_optimizer(ok, price_model):
    out, _ = ok("trace", price_model, "houses.csv", "--optimizer", "sgd", "--rate", "0.1", "--json")
    assert json.loads(out)["optimizer"]["name"] == "sgd"
    assert json.loads(out)["optimizer"]["rate"] == 0.1


def test_trace_as_a_page(ok, refused, price_model):
    out, err = ok("trace", price_model, "houses.csv", "--html", "t.html")
    assert out == ""
    assert "the trace is in t.html" in err
    assert Path("t.html").read_text("utf-8").startswith("<!doctype html>")
    ok("trace", "xor", "--html", "t.html")
    refused("trace", price_model, "houses.csv", "--html", price_model, match="would be replaced", code=2)


def test_trace_as_a_page_says_what_its_names_stand_for(ok):
    write("a<b>.csv", ["<i>", "kind"], [[i, "a&b" if i % 2 else "<c>"] for i in range(30)])
    ok("train", "a<b>.csv", "--target", "kind", "--epochs", "1")
    ok("trace", "model.cbp", "a<b>.csv", "--row", "2", "--html", "t.html")
    page = Path("t.html").read_text("utf-8")
    assert "<title>row 2 (line 3) of a&lt;b&gt;.csv - cbp trace</title>" in page
    assert "Row 2 (line 3) of a&lt;b&gt;.csv: kind is a&amp;b" in page
    for entry in ("<code>x1</code> &lt;i&gt;", "<code>ŷ1</code> &lt;c&gt;", "<code>ŷ2</code> a&amp;b"):
        assert page.index(entry) < page.index("<summary>The row")


def test_trace_as_a_page_on_standard_output(ok, price_model):
    out, _ = ok("trace", price_model, "houses.csv", "--html", "-")
    assert not Path("-").exists()
    ok("trace", price_model, "houses.csv", "--html", "t.html")
    assert out == Path("t.html").read_text("utf-8")


def test_trace_as_json_says_what_its_names_stand_for(ok, kind_model, price_model):
    document = json.loads(ok("trace", kind_model, "flowers.csv", "--row", "3", "--json")[0])
    assert document["row"] == {"source": "flowers.csv", "number": 3, "line": 4}
    assert document["inputs"] == {"x1": "length", "x2": "width", "x3": "colour=blue", "x4": "colour=red"}
    assert document["outputs"] == {"ŷ1": "iris", "ŷ2": "poppy", "ŷ3": "tulip"}
    assert list(document["inputs"]) == list(document["rows"][0]["inputs"])
    document = json.loads(ok("trace", price_model, "houses.csv", "--json")[0])
    assert document["outputs"] == {"ŷ": "price"}


def test_trace_of_large_layers(ok, price_model):
    short, _ = ok("trace", price_model, "houses.csv")
    assert "more units" in short
    everything, _ = ok("trace", price_model, "houses.csv", "--all")
    assert " more " not in everything
    assert "h16" in everything
    ok("trace", price_model, "houses.csv", "--html", "short.html")
    ok("trace", price_model, "houses.csv", "--html", "all.html", "--all")
    assert Path("all.html").stat().st_size > Path("short.html").stat().st_size


def test_trace_of_what_is_not_there_is_1(refused, price_model):
    refused("trace", price_model, "houses.csv", "--row", "81", match="--row 81: houses.csv has 80 rows")
    write("new.csv", ["area", "city"], [["50", "Bern"], ["60", "Rom"]])
    refused("trace", price_model, "new.csv", match="there is no column 'price'")
    write("new.csv", ["area", "city", "price"], [["50", "Bern", 1], ["60", "Rom", 1]])
    refused("trace", price_model, "new.csv", "--row", "2", match=r"row 2 \(line 3\), column 'city': unknown category")


def test_info(ok, kind_model):
    out, err = ok("info", kind_model)
    assert err == ""
    assert cbp.load(kind_model).summary() in out
    for part in ("cross_entropy", "Adam(rate=0.01", "30 epochs", "90 steps", "'iris', 'poppy', 'tulip'", "accuracy"):
        assert part in out
    assert re.search(r"^length +number: \(value - \d", out, re.MULTILINE)
    assert re.search(r"^colour +one of 'blue', 'red'$", out, re.MULTILINE)
    assert re.search(r"^place +left out$", out, re.MULTILINE)


def test_info_as_json(ok, kind_model):
    document = json.loads(ok("info", kind_model, "--json")[0])
    net = cbp.load(kind_model)
    assert document["parameters"] == net.get_vector().size == sum(layer["parameters"] for layer in document["layers"])
    assert document["layers"][0] == {"kind": "Dense", "activation": "relu", "output_shape": [16], "parameters": 80}
    assert document["optimizer"]["name"] == "adam"
    assert document["optimizer"]["rate"] == 0.01
    assert (document["step"], document["epoch"], document["loss"]) == (net.step, net.epoch, "cross_entropy")
    assert document["metadata"] == net.metadata


def test_info_of_a_model_from_python(ok):
    cbp.mlp([2, 3, 1], seed=0).save("p.cbp")
    out, _ = ok("info", "p.cbp")
    assert "not trained yet" in out
    assert "made in Python" in out
    assert json.loads(ok("info", "p.cbp", "--json")[0])["optimizer"] is None


# -------------------------------------------------------------------------------------------------------- as a process


def test_as_a_process(tmp_path):
    done = process("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, b"cbp", b"")
    done = process("info", "none.cbp", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr.startswith(b"cbp: error: none.cbp: ")
    done = process(cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")


HELP = [[*command, "--help"] for command in ([], ["demo"], ["train"], ["predict"], ["trace"], ["info"])]


@pytest.mark.parametrize("buffer", [True, False], ids=["with buffer", "without buffer"])
@pytest.mark.parametrize("arguments", [["trace", "xor"], ["trace", "xor", "--json"], ["--version"], *HELP], ids=" ".join)
def test_a_closed_pipe_is_quiet(arguments, buffer, tmp_path):
    command = [sys.executable, "-m", "cbp", *arguments]
    reader, writer = os.pipe()
    os.close(reader)
    env = {**os.environ, "PYTHONUNBUFFERED": "" if buffer else "1"}
    done = subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=subprocess.PIPE, timeout=120, env=env)
    os.close(writer)
    assert done.stderr == b""
    assert done.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no such device here")
def test_help_that_finds_no_room_is_a_failure(tmp_path):
    for buffer in "", "1":
        with open("/dev/full", "wb") as full:
            done = subprocess.run([sys.executable, "-m", "cbp", "--help"], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE,
                                  timeout=120, env={**os.environ, "PYTHONUNBUFFERED": buffer})
        assert (done.returncode, done.stderr) == (1, b"cbp: error: No space left on device\n")


def test_remarks_that_nobody_reads_do_not_stop_the_work(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "cbp", "demo", "--epochs", "2"]
    done = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=writer, timeout=120)
    os.close(writer)
    assert done.returncode == 0
    assert b"held-out accuracy" in done.stdout
    assert (tmp_path / "digits.cbp").exists()


def test_ctrl_c_ends_a_process_quietly(tmp_path):
    houses(tmp_path / "houses.csv")
    command = [sys.executable, "-m", "cbp", "train", "houses.csv", "--target", "price", "--epochs", "99999999"]
    def answer_ctrl_c():  # a shell's background processes ignore it, and so would this one
        signal.signal(signal.SIGINT, signal.default_int_handler)

    training = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=answer_ctrl_c)
    while b"99999999" not in training.stderr.readline():
        pass
    training.send_signal(signal.SIGINT)
    out, err = training.communicate(timeout=120)
    assert training.returncode == 130
    assert out == b""
    assert err.endswith(b"cbp: error: interrupted\n")
    assert b"Traceback" not in err
    assert not (tmp_path / "model.cbp").exists()


def test_text_that_standard_output_cannot_show(tmp_path):
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = process("trace", "xor", env=plain, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"->" in done.stdout
    assert b"?" not in done.stdout
    write(tmp_path / "a.csv", ["größe", "art"], [[i, "süß" if i % 2 else "säuer"] for i in range(30)])
    done = process("train", "a.csv", "--target", "art", "--epochs", "1", env=plain, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = process("predict", "model.cbp", "a.csv", env=plain, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.decode("utf-8").split()) <= {"art", "süß", "säuer"}


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path, capsys, monkeypatch):
    """A folder that takes no new files; being root, the test has to say so itself."""
    table = tmp_path / "a.csv"
    table.write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(40)))

    def refuse(*_):
        raise PermissionError(13, "Permission denied, while making a temporary file beside it", "m.cbp")

    monkeypatch.setattr("cbp.modelfile.files._write", refuse)
    monkeypatch.setattr("cbp.Network.fit", lambda *_, **__: pytest.fail("trained"))
    assert cli.main(["train", str(table), "--target", "y", "-o", str(tmp_path / "m.cbp")]) == 1
    assert "cbp: error: m.cbp: Permission denied" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv"]


def test_predictions_that_cannot_be_written_leave_the_old_file(tmp_path, capsys, monkeypatch):
    table, model, out = (tmp_path / name for name in ("a.csv", "m.cbp", "out.csv"))
    table.write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(40)))
    assert cli.main(["train", str(table), "--target", "y", "--epochs", "1", "-q", "-o", str(model)]) == 0
    out.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cbp.modelfile.files._compare", full)
    assert cli.main(["predict", str(model), str(table), "-o", str(out)]) == 1
    assert f"cbp: error: {out}: No space left on device" in capsys.readouterr().err
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "m.cbp", "out.csv"]


def test_control_characters_in_names_do_not_reach_the_terminal(tmp_path, capsys):
    table, model = tmp_path / "a.csv", tmp_path / "m.cbp"
    table.write_text("x\x1b[2J,y\n" + "".join(f"{i},{2 * i}\n" for i in range(40)))
    assert cli.main(["train", str(table), "--target", "y", "--epochs", "1", "-o", str(model)]) == 0
    assert cli.main(["info", str(model)]) == 0
    printed = capsys.readouterr()
    assert "\x1b" not in printed.out + printed.err
    assert r"x\x1b[2J" in printed.out


NASTY = "n\x1b[2J\u202e\u200b\n\x9b31m"
"""A name that clears the terminal, turns the direction of writing, and goes on on another line."""
ACTING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202e]")


@pytest.fixture
def nasty(tmp_path, ok, capsys):
    """A table whose columns, categories and classes are nasty, and a model of it; both have long names too."""
    table, model = tmp_path / "a.csv", tmp_path / "m.cbp"
    rows = [[NASTY, "L" * 100_000, "class"]]
    rows += [[f"{NASTY}{i % 3}", f"{i}", f"{NASTY}{i % 2}"] for i in range(30)]
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    ok("train", table, "--target", "class", "--epochs", "1", "-o", model)
    return table, model


def test_names_from_files_neither_act_on_the_terminal_nor_fill_it(nasty, run, tmp_path):
    table, model = nasty
    lines = {}
    for command in ("info", "predict", "trace"):
        code, out, err = run(command, model, *([table] if command != "info" else []))
        assert code == 0, err
        lines[command] = out.count("\n")
        shown = out + err if command != "predict" else err
        assert not ACTING.search(shown), command
        assert max(map(len, shown.split("\n"))) < 1000, command
        assert r"n\x1b[2J" in out
        assert not re.search(r"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]", out), command
    other = tmp_path / "b.csv"
    other.write_text("q\n1\n", encoding="utf-8")
    for arguments in (
        ("predict", model, other), ("train", table, "--target", "q" + NASTY),
        ("train", table, "--target", NASTY, "--task", "regression"),
        ("train", table, "--target", "class", "--activation", NASTY * 1000), ("info", tmp_path / (NASTY + ".cbp")),
    ):
        code, out, err = run(*arguments)
        assert code in (1, 2)
        assert not ACTING.search(out + err), arguments
        assert len(err) < 3500, arguments


def test_a_program_gets_the_classes_and_a_terminal_nothing_that_acts(nasty, ok, monkeypatch, tmp_path):
    table, model = nasty
    ok("predict", model, table, "-o", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert {row[0] for row in csv.reader(file)} <= {"class", f"{NASTY}0", f"{NASTY}1"}
    assert "\u202e" in ok("predict", model, table)[0]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert not ACTING.search(ok("predict", model, table)[0])


def test_a_page_shows_names_as_text(nasty, ok, tmp_path):
    table, model = nasty
    ok("trace", model, table, "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", page)
    assert r"n\x1b[2J" in page


@pytest.mark.parametrize("option", ["--ignore", "--text"])
def test_names_on_two_lines_are_a_wrong_command_line(option, capsys):
    assert cli.main(["train", "a.csv", "--target", "y", option, "a\nb"]) == 2
    assert "separated by commas" in capsys.readouterr().err


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_streams(closed, tmp_path):
    command = f'"{sys.executable}" -m cbp info nowhere.cbp {closed}'
    run = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "Traceback" not in run.stderr


# --- what the best epoch is, and how it is found ------------------------------------------------------------------------------


def kinds(name, rows=200):
    draw = random.Random(5)
    classes = [draw.choices(["iris", "poppy", "tulip"], [7, 2, 1])[0] for _ in range(rows)]
    write(name, ["a", "b", "kind"], [[draw.gauss(len(kind), 1), draw.gauss(0, 1), kind] for kind in classes])


def test_the_best_epoch_is_saved_not_the_last(ok):
    kinds("kinds.csv")
    out, err = ok("train", "kinds.csv", "--target", "kind", "--epochs", "400", "--rate", "0.01", "--patience", "7", "--json")
    document = json.loads(out)
    losses = document["history"]["val_loss"]
    best = losses.index(min(losses)) + 1
    assert (document["best_epoch"], document["epochs_run"]) == (best, best + 7) == (best, len(losses))
    assert document["stopped"].endswith("for 7 epochs")
    assert f"stopped after epoch {best + 7}, the model is that of epoch {best}, whose held-out loss was best" in err
    assert document["score"]["accuracy"] == pytest.approx(document["history"]["val_accuracy"][best - 1], abs=1e-6)
    assert sum(map(sum, document["confusion"])) == document["held_out_rows"] == 40


def test_all_epochs_and_the_best_of_them(ok):
    kinds("kinds.csv")
    out, _ = ok("train", "kinds.csv", "--target", "kind", "--epochs", "40", "--patience", "none", "--metric", "f1", "--json")
    document = json.loads(out)
    scores = document["history"]["val_f1"]
    assert len(scores) == 40
    assert document["best_epoch"] == scores.index(max(scores)) + 1
    assert document["stopped"] is None


def test_the_held_out_rows_are_of_every_class(ok):
    kinds("kinds.csv")
    out, _ = ok("train", "kinds.csv", "--target", "kind", "--epochs", "1", "--json")
    rows = [line.rsplit(",", 1)[1] for line in Path("kinds.csv").read_text().splitlines()[1:]]
    for label, counts in zip(("iris", "poppy", "tulip"), json.loads(out)["confusion"], strict=True):
        assert abs(sum(counts) - rows.count(label) / 5) < 1


def test_the_table_of_confusions_is_printed(ok):
    kinds("kinds.csv")
    out, _ = ok("train", "kinds.csv", "--target", "kind", "--epochs", "5")
    assert re.search(r"^true \\ answered +iris +poppy +tulip +precision +recall +f1$", out, re.MULTILINE)
    assert re.search(r"^poppy( +\d+){3}( +[01]\.\d{3}){3}$", out, re.MULTILINE)


def test_schedule_clip_and_weights_reach_the_training(ok):
    kinds("kinds.csv")
    ok("train", "kinds.csv", "--target", "kind", "--epochs", "3", "--schedule", "cosine", "--clip", "0.5", "--optimizer", "sgd",
       "--rate", "0.1", "-o", "a.cbp", "--class-weight", "balanced")  # fmt: skip
    net = cbp.load("a.cbp")
    assert net.optimizer == cbp.SGD(cbp.schedules.Cosine(0.1, steps=15), clip_norm=0.5)
    ok("train", "kinds.csv", "--target", "kind", "--epochs", "3", "--schedule", "cosine", "--clip", "0.5", "--optimizer", "sgd",
       "--rate", "0.1", "-o", "b.cbp")  # fmt: skip
    assert not np.array_equal(net.get_vector(), cbp.load("b.cbp").get_vector())
    for name in "linear", "one_cycle":
        ok("train", "kinds.csv", "--target", "kind", "--epochs", "2", "--schedule", name)


@pytest.mark.parametrize(("more", "message"), [
    (["--patience", "0"], "argument --patience: must be a whole number from 1"),
    (["--metric", "nope"], "argument --metric: metrics: unknown name 'nope'"),
    (["--metric", "r2"], "--metric: metrics: 'r2' does not suit this network"),
    (["--metric", "f1", "--validation", "0"], "--metric: no rows are held out"),
    (["--patience", "3", "--validation", "0"], "--patience: no rows are held out"),
    (["--schedule", "nope"], "argument --schedule: invalid choice: 'nope'"),
    (["--clip", "0"], "argument --clip: must be a number above 0"),
    (["--class-weight", "even"], "argument --class-weight: invalid choice: 'even'"),
])
def test_what_these_options_refuse(refused, tmp_path, more, message):
    kinds(tmp_path / "kinds.csv")
    refused("train", "kinds.csv", "--target", "kind", "-o", "no.cbp", *more, match=re.escape(message), code=2)
    assert not os.path.exists("no.cbp")


def test_weights_of_classes_of_a_number(refused, tmp_path):
    houses(tmp_path / "houses.csv")
    refused("train", "houses.csv", "--target", "price", "--class-weight", "balanced", "-o", "no.cbp", code=2,
            match="--class-weight: class_weight needs targets that are one class for every sample")
