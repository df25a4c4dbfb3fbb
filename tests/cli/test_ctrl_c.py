"""Ctrl-C at any time, from the first import to the exit of the interpreter: exit code 130, no traceback. Other ends."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from places import ROOT

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

# Python imports it before anything else, and it sends the signal when a module is about to be imported, or at exit.
HOOK = """
    import atexit, os, signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)
    def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
    class Finder:
        def find_spec(self, name, path=None, target=None):
            if name == os.environ["INTERRUPT_AT"]:
                interrupt()
    sys.meta_path.insert(0, Finder())
    if os.environ["INTERRUPT_AT"] == "exit":
        atexit.register(interrupt)
"""


@pytest.fixture
def command(tmp_path):
    """The two ways to start the command, and the variables with which Python sends itself a signal."""
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(HOOK))
    script = tmp_path / "bin" / "cbp"
    script.parent.mkdir()
    script.write_text("import re\nimport sys\nfrom cbp.cli import main\nsys.exit(main())\n")
    # Nothing is installed: the folders are given, and the current one is not looked at.
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "INTERRUPT_AT": ""}

    def start(way, *arguments, at="", **options):
        begin = [script] if way == "script" else ["-m", "cbp"]
        return subprocess.Popen([sys.executable, *begin, *arguments], env={**variables, "INTERRUPT_AT": at}, cwd=tmp_path,
                                stdin=subprocess.DEVNULL, text=True,
                                **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})

    return start


def ended(process, timeout=120):
    out, err = process.communicate(timeout=timeout)
    return process.returncode, out, err


@pytest.mark.parametrize("way", ["script", "module"])
@pytest.mark.parametrize("at", ["numpy", "numpy.linalg", "cbp._core_v3", "cbp.network", "cbp.modelfile", "cbp.pytorch",
                                "cbp.cli.options", "cbp.cli.demo", "exit"])
def test_while_it_is_imported_and_at_exit(command, way, at):
    arguments = ("--help",) if at == "exit" else ("demo", "--epochs", "1")
    code, _, err = ended(command(way, *arguments, at=at))
    assert code == 130
    assert err in ("", "cbp: error: interrupted\n")


@pytest.mark.parametrize("way", ["script", "module"])
def test_a_program_that_imports_cbp_is_left_alone(command, tmp_path, way):
    """It sees the KeyboardInterrupt."""
    program = tmp_path / "program.py"
    program.write_text("try:\n    import cbp\nexcept KeyboardInterrupt:\n    print('seen')\n")
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "INTERRUPT_AT": "cbp.network"}
    begin = [program] if way == "script" else ["-m", "program"]
    result = subprocess.run([sys.executable, *begin], env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=120,
                            check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "seen\n", "")


def table(tmp_path, rows=2000):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, 3))
    lines = [f"{a:.6f},{b:.6f},{c:.6f},{a + b:.6f}" for a, b, c in X]
    path = tmp_path / "table.csv"
    path.write_text("a,b,c,y\n" + "\n".join(lines) + "\n")
    return path


LONG = ("train", "table.csv", "--target", "y", "--epochs", "1000000", "-o", "model.cbp")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("way", ["script", "module"])
def test_during_training(command, tmp_path, way, number):
    table(tmp_path)
    process = command(way, *LONG)
    while "/1000000" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(number)
    code, out, err = ended(process)
    assert code == (130 if number == signal.SIGINT else -signal.SIGTERM)
    assert "Traceback" not in out + err
    assert not (tmp_path / "model.cbp").exists()


@pytest.mark.parametrize("arguments", [("demo", "--epochs", "1"), ("demo", "--json", "--epochs", "1"), ("info", "model.cbp"),
                                       ("predict", "model.cbp", "table.csv")], ids=" ".join)
def test_a_closed_pipe(command, tmp_path, arguments):
    table(tmp_path)
    if "model.cbp" in arguments:
        assert ended(command("module", *LONG[:-4], "--epochs", "1", "-o", "model.cbp"))[0] == 0
    reading, writing = os.pipe()
    os.close(reading)
    process = command("module", *arguments, stdout=writing)
    os.close(writing)
    code, _, err = ended(process)
    assert code == 141
    assert "Traceback" not in err
    assert "Exception ignored" not in err
