"""fork(): the child has one thread, that which called it. What the others held is free there."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")

PRELUDE = """
import copy, multiprocessing, os, pickle, signal, sys, threading, time, traceback
import numpy as np
import cbp
from cbp.engine import runner, team

rng = np.random.default_rng(0)
X, y = rng.standard_normal((600, 20)), rng.integers(0, 3, 600)
folder = sys.argv[1]

def network(*sizes):
    return cbp.mlp([20, *sizes, 3], output="softmax", seed=1)

def child(function):
    'Run the function in a forked process; its number.'
    number = os.fork()
    if number == 0:
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
            code = 1
        os._exit(code)
    return number

def ended_well(number):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(number, os.WNOHANG)
        if done:
            assert status == 0, status
            return
        time.sleep(0.002)
    os.kill(number, signal.SIGKILL)
    raise SystemExit("the child hangs")

def use(net):
    'All that a network is for; its numbers may lie between two updates.'
    path = os.path.join(folder, f"{os.getpid()}.cbp")
    net.save(path)
    assert np.array_equal(cbp.load(path).get_vector(), net.get_vector())
    assert np.array_equal(pickle.loads(pickle.dumps(copy.deepcopy(net))).get_vector(), net.get_vector())
    step = net.step
    net.predict(X), net.predict_one(X[0]), net.evaluate(X, y)
    for _ in range(3):
        net.train_on_batch(X[:4], y[:4])
    assert net.step == step + 3
    for threads in (1, 2, 3):
        net.fit(X, y, epochs=1, threads=threads)
    net.set_optimizer("sgd")
    net.train_on_batch(X, y)
    assert net.step == 1
    assert not net._training.busy()

def meanwhile(function):
    'Let another thread do this again and again.'
    def repeat():
        while True:
            function()
    threading.Thread(target=repeat, daemon=True).start()

class Hooked:
    'The core, and after its n-th slice a call.'
    def __init__(self, number, call):
        self.number, self.call, self.core = number, call, runner._core
    def __getattr__(self, name):
        value = getattr(self.core, name)
        if name != "run_epochs":
            return value
        def run_epochs(*arguments):
            value(*arguments)
            self.number -= 1
            if self.number == 0:
                self.call()
        return run_epochs
"""

SCRIPTS = {
    "while another thread trains": """
        for threads in (1, 3):
            net = network(200, 100)
            meanwhile(lambda net=net, threads=threads: net.fit(X, y, epochs=3, threads=threads))
            while not net.step:
                time.sleep(0.001)
            for _ in range(15):
                time.sleep(rng.random() / 50)
                ended_well(child(lambda: use(net)))
    """,
    "while another thread takes small steps": """
        net = network(5)
        meanwhile(lambda: net.train_on_batch(X[:2], y[:2]))
        for _ in range(20):
            time.sleep(rng.random() / 100)
            ended_well(child(lambda: use(net)))
    """,
    "while other threads save and copy": """
        net = network(300, 300)
        net.fit(X, y, epochs=1)
        meanwhile(lambda: net.save(os.path.join(folder, "net.cbp")))
        meanwhile(lambda: copy.deepcopy(net))
        for _ in range(20):
            time.sleep(rng.random() / 100)
            ended_well(child(lambda: use(net)))
    """,
    "while another thread carries a state on": """
        net = cbp.Network((50, 4), [cbp.LSTM(64, stateful=True), cbp.Dense(1)], loss="mean_squared_error", seed=0)
        sequences = np.zeros((40, 50, 4))
        meanwhile(lambda: net.predict(sequences))
        for _ in range(10):
            time.sleep(rng.random() / 50)
            ended_well(child(lambda: (net.reset_state(), net.predict(sequences), net.train_on_batch(sequences, np.zeros(40)))))
    """,
    "out of a thread": """
        net = network(200, 100)
        meanwhile(lambda: net.fit(X, y, epochs=3))
        numbers = []
        def work():
            for _ in range(5):
                time.sleep(0.01)
                numbers.append(child(lambda: use(net)))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        for number in numbers:
            ended_well(number)
    """,
    "and new threads in the child": """
        # The system gives the numbers of threads again: a new one may have that of the one that trained in the parent.
        net = network(200, 100)
        meanwhile(lambda: net.fit(X, y, epochs=3))
        def in_threads():
            for _ in range(3):
                thread = threading.Thread(target=use, args=(net,))
                thread.start()
                thread.join()
        while not net.step:
            time.sleep(0.001)
        for _ in range(10):
            time.sleep(rng.random() / 50)
            ended_well(child(in_threads))
    """,
    "of a fork": """
        net = network(200, 100)
        meanwhile(lambda: net.fit(X, y, epochs=3))
        time.sleep(0.1)
        def again():
            meanwhile(lambda: net.fit(X, y, epochs=3))
            time.sleep(0.05)
            ended_well(child(lambda: use(net)))
        for _ in range(5):
            ended_well(child(again))
    """,
    "by multiprocessing": """
        context = multiprocessing.get_context("fork")
        net = network(200, 100)
        meanwhile(lambda: net.fit(X, y, epochs=3, threads=2))
        while not net.step:
            time.sleep(0.001)
        for _ in range(3):
            with context.Pool(2) as pool:
                pool.map_async(use, [net_ for net_ in (network(5), network(6))]).get(60)
            process = context.Process(target=use, args=(net,))
            process.start()
            process.join(60)
            assert process.exitcode == 0
    """,
    "out of a handler during fit": """
        # The child returns into the run and goes on alone, with the same bits; the parent is not disturbed.
        team.LEAST_RUN = team.LEAST_STEP = 1e-9
        team.cores = lambda: 3
        runner.PATIENCE = 0.0
        expected = network(40, 30)
        history = expected.fit(X, y, epochs=4, validation_data=(X, y))
        for threads in (1, 2, 3, 7, "auto"):
            for number in (1, 2, 3, 8):
                net, numbers = network(40, 30), []
                def fork():
                    numbers.append(os.fork())
                runner._core = Hooked(number, fork)
                found = net.fit(X, y, epochs=4, validation_data=(X, y), threads=threads)
                runner._core = runner._core.core
                right = np.array_equal(net.get_vector(), expected.get_vector()) and all(
                    np.array_equal(found[name], history[name]) for name in history if name != "seconds")
                if numbers[0] == 0:
                    try:
                        use(net)
                    except BaseException:
                        traceback.print_exc()
                        right = False
                    os._exit(0 if right else 1)
                assert right
                ended_well(numbers[0])
    """,
    "out of a handler at any moment": """
        expected = network(40, 30)
        expected.fit(X, y, epochs=4)
        net, numbers = network(40, 30), []
        def handler(signum, frame):
            numbers.append(os.fork())
        signal.signal(signal.SIGALRM, handler)
        for moment in rng.random(60):
            net, numbers[:] = network(40, 30), []
            signal.setitimer(signal.ITIMER_REAL, 1e-4 + moment * 0.05)
            net.fit(X, y, epochs=4, threads=3)
            signal.setitimer(signal.ITIMER_REAL, 0)
            right = np.array_equal(net.get_vector(), expected.get_vector())
            if numbers == [0]:
                os._exit(0 if right else 1)
            assert right
            for number in numbers:
                ended_well(number)
    """,
    "while the threads are started": """
        import _thread
        start = _thread.start_new_thread
        expected = network(40, 30)
        expected.fit(X, y, epochs=4)
        for member in (1, 2, 3):
            net, numbers, ends = network(40, 30), [], []
            def begin(work, arguments, member=member, numbers=numbers, ends=ends):
                ended = threading.Event()
                start(lambda member: (work(member), ended.set()), arguments)
                ends.append(ended)
                if arguments == (member,):
                    numbers.append(os.fork())
                    ends.clear()
            _thread.start_new_thread = begin
            net.fit(X, y, epochs=4, threads=4)
            _thread.start_new_thread = start
            right = np.array_equal(net.get_vector(), expected.get_vector()) and all(ended.wait(20) for ended in ends)
            if numbers[0] == 0:
                os._exit(0 if right else 1)
            assert right
            ended_well(numbers[0])
    """,
    "and the handler's child trains another network": """
        runner.PATIENCE = 0.0
        net, numbers = network(40, 30), []
        def fork():
            def work():
                use(network(40))
                net.save(os.path.join(folder, "of the child.cbp"))
                net.predict(X)
                try:
                    net.fit(X, y)
                except RuntimeError as problem:
                    assert "interrupted" in str(problem)
                else:
                    raise SystemExit("trained within a training")
            numbers.append(child(work))
        runner._core = Hooked(2, fork)
        net.fit(X, y, epochs=2, threads=3)
        ended_well(numbers[0])
        use(cbp.load(os.path.join(folder, "of the child.cbp")))
    """,
    "and Ctrl-C in the child": """
        signal.signal(signal.SIGINT, signal.default_int_handler)
        runner.PATIENCE = 0.001
        for threads in (1, 3):
            net, numbers = network(40, 30), []
            runner._core = Hooked(3, lambda: numbers.append(os.fork()))
            try:
                def stop():
                    time.sleep(0.2)
                    os.kill(numbers[0] or os.getpid(), signal.SIGINT)
                    os.kill(os.getpid(), signal.SIGINT)
                threading.Thread(target=lambda: (time.sleep(0.3), stop())).start()
                net.fit(X, y, epochs=10**9, threads=threads)
            except KeyboardInterrupt:
                if numbers[0] == 0:
                    os._exit(0)
            runner._core = runner._core.core
            ended_well(numbers[0])
            use(net)
    """,
    "in the middle of a copy": """
        from cbp.engine import snapshot
        net, numbers, copied = network(40), [], snapshot._copied
        def fork(arrays):
            if not numbers:
                numbers.append(os.fork())
            return copied(arrays)
        snapshot._copied = fork
        net.save(os.path.join(folder, f"a{os.getpid()}.cbp"))
        if numbers[0] == 0:
            os._exit(0 if not net._training.busy() else 1)
        ended_well(numbers[0])
        use(net)
    """,
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_fork(script, tmp_path):
    """In a process of its own, which the time limit only keeps from hanging for ever."""
    code = PRELUDE + textwrap.dedent(SCRIPTS[script]) + "\nprint('sound', flush=True)\nos._exit(0)\n"
    # Python 3.12 and later warn of forks where there are threads, which is what is tested here.
    command = [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code, str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "sound\n"
    assert result.stderr == ""
