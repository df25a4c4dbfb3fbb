"""Gradient descent on the digits with a learning rate that is an exponential
moving average: it begins large and comes down to a small one.

    python examples/ema_schedule.py --plot rate_and_loss.png

After every step the rate becomes 0.995 times itself plus 0.005 times 0.02.
Beside it stand constant rates: those it begins and ends with, and one between.
"""

import argparse
import importlib.util

import numpy as np

import cbp

START, END, DECAY = 1.0, 0.02, 0.995

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
parser.add_argument("--plot", metavar="FILE", help="draw rate and loss to this file (needs matplotlib)")
options = parser.parse_args()
if options.plot and importlib.util.find_spec("matplotlib") is None:
    parser.error("--plot needs matplotlib: pip install matplotlib")

X, y = cbp.datasets.digits()
X, X_test, y, y_test = cbp.datasets.split(X, y, test=0.25, seed=0)
epochs, seeds = (10, range(3)) if options.quick else (30, range(10))

rates = {
    f"EMA {START} to {END}": cbp.schedules.ExponentialMovingAverage(START, END, DECAY),
    f"constant {START}": START,
    "constant 0.5": 0.5,
    f"constant {END}": END,
}
print(f"{epochs} epochs of gradient descent on {len(X)} digits, means of {len(seeds)} networks\n")
print("rate                 loss     held out: loss     accuracy   of the worst")
histories = {}
for name, rate in rates.items():
    found = []
    for seed in seeds:
        net = cbp.mlp([64, 32, 10], output="softmax", loss="cross_entropy", seed=seed)
        history = net.fit(X, y, epochs=epochs, batch_size=32, optimizer=cbp.SGD(rate))
        held_out = net.evaluate(X_test, y_test)
        found.append((history.loss[-1], held_out["loss"], held_out["accuracy"]))
        histories.setdefault(name, history)  # of the first seed
    loss, test_loss, accuracy = np.mean(found, axis=0)
    worst = min(accuracy for *_, accuracy in found)
    print(f"{name:<20} {loss:.4f}             {test_loss:.4f}   {accuracy:.1%}      {worst:.1%}")

if options.plot:
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, also where there is no screen
    from matplotlib import pyplot

    figure, (upper, lower) = pyplot.subplots(2, figsize=(7, 5), sharex=True, height_ratios=(1, 2), layout="constrained")
    for name, history in histories.items():
        epoch = np.arange(1, history.epochs + 1)
        rate = history.rate if "rate" in history else np.full(history.epochs, rates[name])
        style = {"linewidth": 2.5 if "rate" in history else 1.2, "label": name}
        upper.plot(epoch, rate, **style)
        lower.plot(epoch, history.loss, **style)
    upper.set(ylabel="rate", yscale="log")
    lower.set(xlabel="epoch", ylabel="loss", yscale="log")
    lower.legend()
    figure.savefig(options.plot, dpi=75)
    print(f"\ndrawn to {options.plot}")
