"""Model files in the file system: replaced as a whole or not at all, and nothing but regular files read."""

import errno
import os
import random
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cases import dumps

import cbp
from cbp.modelfile import temporaries


def network(number=0):
    net = cbp.mlp([5, 7, 3], seed=number)
    net.metadata["number"] = number
    return net


NET = network()
DATA = dumps(NET)


# Writing


class PathLike:
    def __init__(self, path):
        self.path = str(path)

    def __fspath__(self):
        return self.path


@pytest.mark.parametrize("kind", [str, Path, PathLike, os.fsencode])
def test_a_path_may_be_anything_that_names_a_file(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    net = network()
    for path in ("net.cbp", tmp_path / "ä b.cbp"):
        net.save(kind(path))
        assert dumps(cbp.load(kind(path))) == DATA


@pytest.mark.parametrize("path", [3, None, 1.5, ["net.cbp"]])
def test_what_is_no_path_is_refused(path):
    net = network()
    with pytest.raises(TypeError, match=r"path must be a string or an os\.PathLike, got"):
        net.save(path)
    with pytest.raises(TypeError, match=r"path must be a string or an os\.PathLike, got"):
        cbp.load(path)


def test_places_that_cannot_be_written(tmp_path):
    net = network()
    (tmp_path / "file").write_text("text")
    os.symlink("loop", tmp_path / "loop")
    for path, error, message in (
        (tmp_path / "no" / "net.cbp", FileNotFoundError, "the folder to save into does not exist: '.*no'"),
        (tmp_path / "file" / "net.cbp", NotADirectoryError, "the folder to save into does not exist: '.*file'"),
        (tmp_path, IsADirectoryError, "Is a directory"),
        (f"{tmp_path}/new/", IsADirectoryError, "the path to save to names no file"),
        ("", FileNotFoundError, "the path to save to names no file"),
        (tmp_path / "loop", OSError, "Too many levels of symbolic links"),
        ("/dev/null", ValueError, "path must name a file, '/dev/null' is a device"),
        (tmp_path / ("x" * 300), OSError, "File name too long"),
    ):
        with pytest.raises(error, match=message):
            net.save(path)
    assert sorted(os.listdir(tmp_path)) == ["file", "loop"]


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_write_protected_file_stays(tmp_path, monkeypatch):
    (tmp_path / "net.cbp").write_text("text")
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # the tests may run as root
    with pytest.raises(PermissionError, match=r"the file is write-protected: '.*net\.cbp'"):
        NET.save(tmp_path / "net.cbp")
    assert (tmp_path / "net.cbp").read_text() == "text"


def test_a_folder_that_refuses_new_files_is_named_by_the_file(tmp_path, monkeypatch):
    def refusing(*args, **settings):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "temporary")

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(PermissionError, match=r"while making a temporary file beside it: '.*net\.cbp'"):
        NET.save(tmp_path / "net.cbp")


def test_a_new_file_has_the_usual_mode_and_a_replaced_one_keeps_its_own(tmp_path):
    net = network()
    path = tmp_path / "net.cbp"
    old = os.umask(0o027)
    try:
        net.save(path)
        assert mode(path) == 0o640
        for kept in (0o600, 0o666, 0o755):
            path.chmod(kept)
            net.save(path)
            assert mode(path) == kept
    finally:
        os.umask(old)


def test_a_link_is_followed(tmp_path):
    net = network()
    (tmp_path / "models").mkdir()
    os.symlink("models/net-1.cbp", tmp_path / "latest.cbp")
    for _ in range(2):  # a link to nothing, then a link to a file
        net.save(tmp_path / "latest.cbp")
        assert (tmp_path / "latest.cbp").is_symlink()
        assert os.listdir(tmp_path / "models") == ["net-1.cbp"]
    assert (tmp_path / "latest.cbp").read_bytes() == DATA


def failing(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def interrupted(*args, **kwargs):
    raise KeyboardInterrupt


@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "cbp.modelfile.files._compare"])
@pytest.mark.parametrize(("problem", "error"), [(failing, OSError), (interrupted, KeyboardInterrupt)])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(step, problem, error, tmp_path, monkeypatch):
    net = network()
    net.save(tmp_path / "net.cbp")
    before = (tmp_path / "net.cbp").read_bytes()
    net.parameters["0.weight"][...] = 0
    with monkeypatch.context() as patch:
        patch.setattr(step, problem)
        for name in ("net.cbp", "new.cbp"):
            with pytest.raises(error):
                net.save(tmp_path / name)
    assert os.listdir(tmp_path) == ["net.cbp"]
    assert (tmp_path / "net.cbp").read_bytes() == before


@pytest.mark.parametrize(("code", "raises"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)])
def test_a_file_system_that_cannot_flush_folders_will_do(code, raises, tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=os.strerror(code)) if raises else nullcontext():
        NET.save(tmp_path / "net.cbp")
    assert (tmp_path / "net.cbp").read_bytes() == DATA


def test_a_folder_that_cannot_be_listed_will_do(tmp_path, monkeypatch):
    real = os.open

    def opening(path, *args, **settings):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return real(path, *args, **settings)

    monkeypatch.setattr(os, "open", opening)
    NET.save(tmp_path / "net.cbp")
    assert (tmp_path / "net.cbp").read_bytes() == DATA


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"x", lambda data: b"x" + data[1:]])
def test_what_reads_back_differently_does_not_get_the_name(change, tmp_path, monkeypatch):
    net = network()
    fsync = os.fsync

    def damage(descriptor):
        fsync(descriptor)
        (temporary,) = tmp_path.iterdir()
        temporary.write_bytes(change(temporary.read_bytes()))

    monkeypatch.setattr(os, "fsync", damage)
    with pytest.raises(OSError, match="reads back"):
        net.save(tmp_path / "net.cbp")
    assert not os.listdir(tmp_path)


def test_threads_saving_to_one_file_leave_one_of_their_networks(tmp_path):
    nets = [network(number) for number in range(4)]

    def work(net):
        for _ in range(10):
            net.save(tmp_path / "net.cbp")
            assert cbp.load(tmp_path / "net.cbp").metadata["number"] in range(4)

    threads = [threading.Thread(target=work, args=(net,)) for net in nets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.listdir(tmp_path) == ["net.cbp"]


SAVING = """
import os, sys
import cbp
net = cbp.mlp([300, 100, 10], loss="mean_squared_error", output="identity", seed=0)
for line in sys.stdin:   # a process for each, which starts at once since all is imported
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    for number in range(1_000_000):
        net.set_vector(0 * net.get_vector() + number)
        net.save(sys.argv[1])
        if number == 0:
            print(os.getpid(), flush=True)
"""


def test_a_killed_save_leaves_a_file_that_loads(tmp_path):
    path = tmp_path / "net.cbp"
    rng = random.Random(0)
    command = [sys.executable, "-c", SAVING, path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as parent:
        for _ in range(20):
            parent.stdin.write("\n")
            child = int(parent.stdout.readline())
            time.sleep(rng.random() / 30)
            os.kill(child, signal.SIGKILL)
            assert len(np.unique(cbp.load(path).get_vector())) == 1
        parent.stdin.close()
        assert parent.wait(60) == 0


# Reading


def test_places_that_hold_no_file_are_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for path, kind in ((".", "a folder"), ("pipe", "a pipe"), ("socket", "a socket"), ("/dev/zero", "a device")):
            with pytest.raises(cbp.ModelFileError, match=f"^{re.escape(path)}: not a file but {kind}"):
                cbp.load(path)


def test_a_name_that_turns_into_a_pipe_while_it_is_opened_does_not_hang(tmp_path, monkeypatch):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", lambda *args, **kwargs: SimpleNamespace(st_mode=0o100644))
        with pytest.raises(cbp.ModelFileError, match="not a file but a pipe"):
            cbp.load(str(path))


def test_errors_of_the_system_stay_what_they_are(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError):
        cbp.load(tmp_path / "no.cbp")
    (tmp_path / "net.cbp").write_bytes(DATA)
    monkeypatch.setattr(os, "open", lambda *args: os.stat("/no/such/file"))
    with pytest.raises(FileNotFoundError):
        cbp.load(tmp_path / "net.cbp")


def test_the_message_names_the_file(tmp_path):
    (tmp_path / "net.cbp").write_bytes(DATA[:-1])
    with pytest.raises(cbp.ModelFileError, match=re.escape(f"{tmp_path / 'net.cbp'}: truncated")):
        cbp.load(tmp_path / "net.cbp")


def test_a_file_that_shrinks_while_it_is_read(tmp_path, monkeypatch):
    before = SimpleNamespace(st_mode=stat.S_IFREG, st_size=len(DATA), st_blksize=4096)
    monkeypatch.setattr(os, "fstat", lambda file: before)
    for size in (100, len(DATA) - 1):
        (tmp_path / "net.cbp").write_bytes(DATA[:size])
        with pytest.raises(cbp.ModelFileError, match="truncated while it was read"):
            cbp.load(tmp_path / "net.cbp")


# What killed processes leave

HOLDING = """
import os, signal, sys, time
import cbp
from cbp.modelfile import files
net = cbp.mlp([5, 7, 3], seed=9)
def stop(*arguments):
    print("writing", flush=True)
    time.sleep(600)
files._compare = stop
net.save(sys.argv[1])
"""


@pytest.fixture
def writer(tmp_path):
    """Processes that stand in the middle of a save into the folder; they are killed at the end."""
    processes = []

    def start():
        process = subprocess.Popen([sys.executable, "-c", HOLDING, tmp_path / "net.cbp"], stdout=subprocess.PIPE)
        processes.append(process)
        assert process.stdout.readline() == b"writing\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()


def temporary_files(folder):
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_the_next_save_removes_what_a_killed_one_left_and_nothing_that_is_written(writer, tmp_path):
    dead, _ = writer(), writer()
    assert len(temporary_files(tmp_path)) == 2
    NET.save(tmp_path / "other.cbp")
    assert len(temporary_files(tmp_path)) == 2
    dead.kill()
    dead.wait()
    NET.save(tmp_path / "other.cbp")
    assert len(temporary_files(tmp_path)) == 1
    assert (tmp_path / "other.cbp").read_bytes() == DATA


def test_only_own_leavings_are_removed(tmp_path, monkeypatch):
    own = temporaries._beginning()
    for name in ("notes.tmp", ".cbp-0123456789abcdef.tmp", f"{own}0123.tmp", ".cbp-00000000-0123456789abcdef.tmp"):
        (tmp_path / name).write_text("kept")
    (tmp_path / f"{own}{1:016x}.tmp").symlink_to("notes.tmp")
    os.mkfifo(tmp_path / f"{own}{2:016x}.tmp")
    (tmp_path / f"{own}{3:016x}.tmp").mkdir()
    before = sorted(os.listdir(tmp_path))
    (tmp_path / f"{own}{4:016x}.tmp").write_text("left")
    with monkeypatch.context() as patch:
        user = os.geteuid()
        patch.setattr(os, "geteuid", lambda: user + 1)
        NET.save(tmp_path / "net.cbp")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, f"{own}{4:016x}.tmp", "net.cbp"])
    NET.save(tmp_path / "net.cbp")
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "net.cbp"])


def test_many_leavings_are_removed_by_several_saves(tmp_path, monkeypatch):
    """What may not be removed is not in the way of the others for ever."""
    monkeypatch.setattr(temporaries, "_MOST_REMOVED", 10)
    own = temporaries._beginning()
    for number in range(35):
        (tmp_path / f"{own}{number:016x}.tmp").write_text("left")
    for number in range(35, 55):
        (tmp_path / f"{own}{number:016x}.tmp").symlink_to("nowhere")
    NET.save(tmp_path / "net.cbp")
    assert len(temporary_files(tmp_path)) >= 45
    for _ in range(200):
        NET.save(tmp_path / "net.cbp")
    assert len(temporary_files(tmp_path)) == 20


def test_without_locks_nothing_is_removed_and_all_is_saved(tmp_path, monkeypatch):
    def flock(*arguments):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    left = tmp_path / f"{temporaries._beginning()}{1:016x}.tmp"
    left.write_text("left")
    monkeypatch.setattr(temporaries.fcntl, "flock", flock)
    NET.save(tmp_path / "net.cbp")
    assert left.exists()
    assert (tmp_path / "net.cbp").read_bytes() == DATA


@pytest.mark.parametrize("how", ["removed", "locked"])
def test_a_file_that_another_save_takes_for_abandoned_is_made_again(how, tmp_path, monkeypatch):
    """Between its creation and its lock a file looks like what a killed process left."""
    real, others = temporaries._lock, []

    def lock(descriptor):
        (name,) = temporary_files(tmp_path)
        if not others:
            others.append(os.open(tmp_path / name, os.O_WRONLY))
            if how == "locked":
                real(others[0])
            else:
                os.unlink(tmp_path / name)
        return real(descriptor)

    monkeypatch.setattr(temporaries, "_lock", lock)
    NET.save(tmp_path / "net.cbp")
    os.close(others[0])
    assert os.listdir(tmp_path) == ["net.cbp"]
    assert (tmp_path / "net.cbp").read_bytes() == DATA


def test_threads_that_save_into_one_folder_remove_nothing_of_each_other(tmp_path):
    failed = []

    def save(number):
        for _ in range(20):
            try:
                NET.save(tmp_path / f"{number}.cbp")
            except OSError as problem:
                failed.append(problem)

    threads = [threading.Thread(target=save, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(os.listdir(tmp_path)) == [f"{number}.cbp" for number in range(4)]


def test_a_failed_or_interrupted_save_leaks_no_descriptor(tmp_path, monkeypatch):
    NET.save(tmp_path / "net.cbp")
    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "fsync", interrupted)
    for _ in range(5):
        with pytest.raises(KeyboardInterrupt):
            NET.save(tmp_path / "net.cbp")
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_absolute_path_needs_no_folder_to_stand_in(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    cbp.mlp([2, 1], seed=0).save(tmp_path / "net.cbp")
    assert (tmp_path / "net.cbp").stat().st_size > 0
