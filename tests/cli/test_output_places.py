"""Where a model cannot be saved the command says so before it trains, not after."""

import os
import subprocess
import sys

import pytest

TABLE = "a,b,y\n" + "".join(f"{k},{k % 7},{k % 3}\n" for k in range(60))


def run(*arguments, folder):
    return subprocess.run([sys.executable, "-m", "cbp", *arguments], capture_output=True, text=True, timeout=120, check=False,
                          cwd=folder)


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices with names are POSIX's")
@pytest.mark.parametrize("command", [["train", "table.csv", "--target", "y"], ["demo"]], ids=["train", "demo"])
@pytest.mark.parametrize(("place", "words"), [
    ("/dev/null", "a device"), ("pipe", "a pipe"), ("folder", "folder"), ("link", "a pipe"),
    ("none/model.cbp", "no such folder"),
])  # fmt: skip
def test_no_place_for_a_model(tmp_path, command, place, words):
    (tmp_path / "table.csv").write_text(TABLE)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    result = run(*command, "-o", place, "--epochs", "999999999", folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("cbp: error: ")
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["folder", "link", "pipe", "table.csv"]


def test_targets_that_are_numbers_go_all_the_way(tmp_path):
    """A model of one output: trained on (rows,), it answers (rows,)."""
    (tmp_path / "table.csv").write_text("a,b,y\n" + "".join(f"{k},{k % 7},{2 * k + k % 7 + 0.5}\n" for k in range(60)))
    trained = run("train", "table.csv", "--target", "y", "-o", "m.cbp", "--epochs", "300", folder=tmp_path)
    assert "R² 0.9" in trained.stdout
    predicted = run("predict", "m.cbp", "table.csv", folder=tmp_path)
    assert len(predicted.stdout.splitlines()) == 61
    assert "R² 0.9" in predicted.stderr
    assert run("info", "m.cbp", folder=tmp_path).returncode == 0
    traced = run("trace", "m.cbp", "table.csv", "--row", "3", folder=tmp_path)
    assert traced.stdout.startswith("Row 3 (line 4) of table.csv: y is 6.5")
