"""A forecast of a chaotic series, 6 steps ahead, by a recurrent network,
beside two naive ones.

    python examples/mackey_glass.py --plot forecast.png

The series of Mackey and Glass (1977), Oscillation and chaos in physiological
control systems, models how many blood cells a body has when it notices their
lack only after some time:

    dx/dt = 0.2 x(t - 17) / (1 + x(t - 17)^10) - 0.1 x(t)

It nearly repeats itself every 50 steps or so, and never does.
"""

import argparse
import importlib.util

import numpy as np

import cbp

WINDOW = 40  # values that the network sees
AHEAD = 6  # how far it looks


def mackey_glass(length: int) -> np.ndarray:
    """The series at the times 0, 1, 2, ..., after 300 steps in which it forgets how it began."""
    per_step = 10  # Euler steps of a tenth
    delay = 17 * per_step
    x = [1.2] * (delay + 1)
    for _ in range((length + 300) * per_step):
        past = x[-1 - delay]
        x.append(x[-1] + (0.2 * past / (1 + past**10) - 0.1 * x[-1]) / per_step)
    return np.array(x[-length * per_step :: per_step])


def windows(series: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every stretch of the series as one sample (time, features), and the value that lies ahead of it."""
    X = np.lib.stride_tricks.sliding_window_view(series[:-AHEAD], WINDOW)
    return X[:, :, np.newaxis], series[WINDOW + AHEAD - 1 :]


def rms(errors: np.ndarray) -> float:
    return float(np.sqrt(np.mean(errors**2)))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
parser.add_argument("--plot", metavar="FILE", help="draw the forecast to this file (needs matplotlib)")
options = parser.parse_args()
if options.plot and importlib.util.find_spec("matplotlib") is None:
    parser.error("--plot needs matplotlib: pip install matplotlib")

series = mackey_glass(3000)
mean = series[:2000].mean()
X, y = windows(series[:2000] - mean)
X_test, y_test = windows(series[2000:] - mean)

net = cbp.Network((WINDOW, 1), [cbp.GRU(32), cbp.Dense(1)], loss="mean_squared_error", seed=0)
net.fit(X, y, epochs=10 if options.quick else 60, optimizer=cbp.Adam(3e-3))
forecast = net.predict(X_test)

last = X_test[:, -1, 0]
slope = last - X_test[:, -2, 0]
print(f"Mackey-Glass series, {AHEAD} steps ahead, {len(y_test)} forecasts of values that the network has not seen\n")
print("forecast           root mean squared error")
print(f"the last value                      {rms(last - y_test):.4f}")
print(f"a straight line                     {rms(last + AHEAD * slope - y_test):.4f}")
print(f"the network                         {rms(forecast - y_test):.4f}")

if options.plot:
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, also where there is no screen
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 4), layout="constrained")
    shown = slice(0, 300)
    axes.plot(y_test[shown] + mean, label="the series", linewidth=3, color="0.75")
    axes.plot(last[shown] + mean, ":", label=f"the value {AHEAD} steps before", color="tab:orange")
    axes.plot(forecast[shown] + mean, label=f"the network, from {AHEAD} steps before", color="tab:blue")
    axes.set(xlabel="step", ylabel="x", title="Mackey-Glass series")
    axes.legend(loc="upper center", ncols=3, bbox_to_anchor=(0.5, -0.15))
    figure.savefig(options.plot, dpi=120)
    print(f"\ndrawn to {options.plot}")
