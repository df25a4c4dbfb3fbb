"""Gradient descent with a rate that falls as an exponential moving average does.

    python examples/ema_schedule.py --plot rate.png

After every step the rate becomes d * rate + (1 - d) * end: large steps first,
small ones at the end. Beside it stand two networks that keep the first and the
last rate; all three begin with the same weights and see the same batches.
"""

import argparse
import importlib.util

import cbp
from cbp.schedules import Constant, ExponentialMovingAverage

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
parser.add_argument("--plot", metavar="FILE", help="draw rate and loss to this file (needs matplotlib)")
options = parser.parse_args()
if options.plot and importlib.util.find_spec("matplotlib") is None:
    parser.error("--plot needs matplotlib: pip install matplotlib")

X, y = cbp.datasets.digits()
X, X_test, y, y_test = cbp.datasets.split(X, y, test=0.25, seed=0)

START, END, DECAY = 1.0, 0.02, 0.995
schedules = {
    f"{START:g} to {END:g}": ExponentialMovingAverage(START, END, DECAY),
    f"always {START:g}": Constant(START),
    f"always {END:g}": Constant(END),
}
histories = {}
print("rate                 loss    held out: loss   accuracy")
for name, schedule in schedules.items():
    net = cbp.mlp([64, 32, 10], output="softmax", seed=0)
    history = net.fit(X, y, epochs=8 if options.quick else 30, batch_size=16, optimizer=cbp.SGD(schedule))
    histories[name] = history
    held_out = net.evaluate(X_test, y_test)
    print(f"{name:<18} {history.loss[-1]:>7.4f} {held_out['loss']:>17.4f} {held_out['accuracy']:>10.1%}")

if options.plot:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, sharex=True, figsize=(6, 5), layout="constrained")
    for name, history in histories.items():
        epochs = range(1, history.epochs + 1)
        above.semilogy(epochs, history.rate, label=name)
        below.semilogy(epochs, history.loss, label=name)
    above.set_ylabel("rate at the epoch's end")
    below.set_ylabel("loss")
    below.set_xlabel("epoch")
    below.legend(title="rate")
    figure.savefig(options.plot, dpi=80)
    print(f"\ndrawn to {options.plot}")
