"""The examples in their short form: each runs without a warning and does better than a naive answer."""

import importlib.util
import re
import subprocess
import sys

import pytest
from places import ROOT

EXAMPLES = ROOT / "examples"
MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
NO_MATPLOTLIB = "import runpy, sys; sys.modules['matplotlib'] = None; sys.argv.pop(0); runpy.run_path(sys.argv[0])"
PNG = b"\x89PNG\r\n\x1a\n"


def python(folder, *arguments, expected=0):
    """What a fresh interpreter prints, for which a warning is an error."""
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=280, check=False)
    assert result.returncode == expected, result.stderr
    return result.stdout if expected == 0 else result.stderr


def row(text, name):
    """The numbers behind a name at the beginning of a line; of 87% it is 0.87."""
    (line,) = re.findall(rf"^ *{re.escape(name)} (.*)$", text, re.MULTILINE)
    return [float(number.rstrip("%")) / (100 if number.endswith("%") else 1) for number in line.replace(",", "").split()]


def digits_convolution(text):
    plain, separable = row(text, "plain"), row(text, "separable")
    assert separable[0] < plain[0] / 3  # parameters
    assert min(plain[1], separable[1]) > 0.9  # held out
    for _, accuracy, errors, _ in (plain, separable):
        assert round(accuracy, 4) == round(1 - errors / 449, 4)


def digits_rows(text):
    for name in ("RNN", "GRU", "LSTM"):
        assert row(text, name)[1] > 0.85


def ema_schedule(text):
    """The loss comes down much further than at the small rate, and no network is lost as some are at the large one."""
    average, large, small = (row(text, name) for name in ("EMA 1.0 to 0.02", "constant 1.0", "constant 0.02"))
    loss, _, accuracy, worst = average
    assert loss < small[0] / 3
    assert accuracy > max(0.93, large[2], small[2])
    assert worst > 0.9


def mackey_glass(text):
    last, line, network = (row(text, name)[0] for name in ("the last value", "a straight line", "the network"))
    assert network < line / 2 < last / 2


def adding_problem(text):
    assert "over 10 steps" in text
    (naive,) = row(text, "who always answers 1:")
    first, last = row(text, "1"), row(text, "10")
    assert max(last) < min(naive / 2, *first)


def autoencoder(text):
    mean, linear, network = (row(text, name)[0] for name in (
        "the mean of all digits", "8 principal components", "the network"))
    assert network < linear < mean
    digits, drawings = text.split("four digits\n\n")[1].split("\n\nthe network's drawings\n\n")
    for picture in (digits, drawings):
        lines = picture.split("\n\n")[0].rstrip("\n").split("\n")
        assert len(lines) == 8
        assert any("@@" in line or "%%" in line for line in lines)


def sonnets(text):
    frequent, network = row(text, "from how frequent each is"), row(text, "from what came before (network)")
    assert network[0] < frequent[0] - 0.5  # bits
    assert network[1] > frequent[1] + 0.1
    written = text.split("written by the network at temperature 0.5:\n\n")[1]
    words = re.findall("[a-z]+", written)
    assert len(words) > 60
    assert {"the", "and", "in", "that", "of"} & set(words)


CHECKS = {check.__name__: check for check in (
    digits_convolution, digits_rows, ema_schedule, mackey_glass, adding_problem, autoencoder, sonnets)}
WITH_PICTURE = sorted(path.stem for path in EXAMPLES.glob("*.py") if '"--plot"' in path.read_text(encoding="utf-8"))


def test_every_example_is_tested():
    assert sorted(path.stem for path in EXAMPLES.glob("*.py")) == sorted(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_example(name, tmp_path):
    picture = tmp_path / "picture.png"
    draw = name in WITH_PICTURE and MATPLOTLIB
    text = python(tmp_path, EXAMPLES / f"{name}.py", "--quick", *(("--plot", picture) if draw else ()))
    CHECKS[name](text)
    if draw:
        assert f"drawn to {picture}" in text
        assert picture.read_bytes().startswith(PNG)


@pytest.mark.parametrize("name", CHECKS)
def test_help(name, tmp_path):
    text = python(tmp_path, EXAMPLES / f"{name}.py", "--help")
    assert f"python examples/{name}.py" in text
    assert "--quick" in text


@pytest.mark.parametrize("name", WITH_PICTURE)
def test_picture_without_matplotlib(name, tmp_path):
    """The message comes before the network learns."""
    message = python(tmp_path, "-c", NO_MATPLOTLIB, EXAMPLES / f"{name}.py", "--quick", "--plot", "picture.png", expected=2)
    assert message.endswith("error: --plot needs matplotlib: pip install matplotlib\n")
    assert not list(tmp_path.iterdir())


def test_temperature_is_checked(tmp_path):
    message = python(tmp_path, EXAMPLES / "sonnets.py", "--temperature", "0", expected=2)
    assert message.endswith("error: --temperature must be above 0, got 0.0\n")


def test_sonnets_are_sonnets():
    text = (EXAMPLES / "data" / "sonnets.txt").read_text(encoding="ascii")
    poems = text.rstrip("\n").split("\n\n")
    assert len(poems) == 60
    assert {poem.count("\n") + 1 for poem in poems} == {14}
    assert not [line for line in text.split("\n") if line != line.strip()]
