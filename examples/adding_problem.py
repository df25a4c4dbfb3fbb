"""The adding problem: can a network remember two numbers for a hundred steps?

    python examples/adding_problem.py --plot adding.png

A sequence has 100 steps with two features, a random number between 0 and 1 and
a mark. Two steps are marked, one in each half; the answer is the sum of their
numbers. Who always answers 1, the mean, has a mean squared error of 1/6. The
task is from Hochreiter and Schmidhuber (1997), Long short-term memory. A
simple recurrent layer does not learn it: the gradient that tells it to keep a
number fades on its way back through the steps, or explodes.
"""

import argparse
import importlib.util

import numpy as np

import cbp


def sequences(count: int, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    X = np.zeros((count, steps, 2))
    X[:, :, 0] = random.uniform(size=(count, steps))
    rows = np.arange(count)
    first = random.integers(0, steps // 2, count)
    second = random.integers(steps // 2, steps, count)
    X[rows, first, 1] = 1
    X[rows, second, 1] = 1
    return X, X[rows, first, 0] + X[rows, second, 0]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="10 steps and fewer sequences instead of 100 steps")
parser.add_argument("--plot", metavar="FILE", help="draw the errors to this file (needs matplotlib)")
options = parser.parse_args()
if options.plot and importlib.util.find_spec("matplotlib") is None:
    parser.error("--plot needs matplotlib: pip install matplotlib")

steps, count, epochs = (10, 2_000, 10) if options.quick else (100, 10_000, 12)
X, y = sequences(count, steps, seed=1)
X_test, y_test = sequences(1_000, steps, seed=2)
naive = np.mean((y_test - 1) ** 2)

errors = {}
for name, layer in (("RNN", cbp.RNN(64)), ("LSTM", cbp.LSTM(64))):
    net = cbp.Network((steps, 2), [layer, cbp.Dense(1)], loss="mean_squared_error", seed=0)
    history = net.fit(X, y, epochs=epochs, optimizer=cbp.Adam(2e-3), validation_data=(X_test, y_test), threads="auto")
    errors[name] = history.val_loss

print(f"adding problem over {steps} steps, {count:,} sequences to learn from; mean squared error of {len(y_test):,} others\n")
print("epoch    RNN    LSTM")
for epoch, (rnn, lstm) in enumerate(zip(errors["RNN"], errors["LSTM"], strict=True), 1):
    print(f"{epoch:>5}  {rnn:.4f}  {lstm:.4f}")
print(f"\nwho always answers 1: {naive:.4f}")

if options.plot:
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, also where there is no screen
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for name, curve in errors.items():
        axes.semilogy(np.arange(1, epochs + 1), curve, marker="o", label=name)
    axes.axhline(naive, color="0.6", linestyle="--", label="always 1")
    axes.set(xlabel="epoch", ylabel="mean squared error", title=f"Adding problem over {steps} steps")
    axes.legend()
    figure.savefig(options.plot, dpi=120)
    print(f"\ndrawn to {options.plot}")
