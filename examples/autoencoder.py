"""An autoencoder squeezes the 64 pixels of a digit through 8 numbers and draws
the digit again from them.

    python examples/autoencoder.py --plot digits.png

The network is trained to answer its own input. Beside it stand the 8 principal
components, which are the best that a linear network of this shape can do.
"""

import argparse
import importlib.util

import numpy as np

import cbp

CODE = 8  # numbers that are left of a digit


def text(images: np.ndarray) -> str:
    """Images (n, 64) side by side, the darker a character the more ink."""
    shades = np.array(list("  .:-=+*#%@"))
    marks = shades[np.rint(images.clip(0, 1) * 10).astype(int)].reshape(-1, 8, 8)
    lines = ("   ".join("".join(np.repeat(row, 2)) for row in rows) for rows in marks.swapaxes(0, 1))
    return "\n".join(line.rstrip() for line in lines)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
parser.add_argument("--plot", metavar="FILE", help="draw the digits to this file (needs matplotlib)")
options = parser.parse_args()
if options.plot and importlib.util.find_spec("matplotlib") is None:
    parser.error("--plot needs matplotlib: pip install matplotlib")

X, y = cbp.datasets.digits()
X, X_test, y, y_test = cbp.datasets.split(X, y, test=0.25, seed=0)

layers = [
    cbp.Dense(128, "relu"),
    cbp.Dense(CODE),
    cbp.Dense(128, "relu"),
    cbp.Dense(64, "sigmoid"),
]
net = cbp.Network(64, layers, loss="mean_squared_error", seed=0)
net.fit(X, X, epochs=20 if options.quick else 200, optimizer=cbp.Adam(2e-3))
drawn = net.predict(X_test)

mean = X.mean(axis=0)
components = np.linalg.svd(X - mean, full_matrices=False)[2][:CODE]
linear = (X_test - mean) @ components.T @ components + mean

print(f"{len(X_test)} digits that the network has not seen, drawn again from {CODE} numbers each\n")
print("drawn by                mean squared error")
for name, images in (("the mean of all digits", mean), (f"{CODE} principal components", linear), ("the network", drawn)):
    print(f"{name:<22}              {np.mean((images - X_test) ** 2):.4f}")

shown = [int(np.flatnonzero(y_test == digit)[0]) for digit in range(10)]  # the first of each
print(f"\nfour digits\n\n{text(X_test[shown[:4]])}\n\nthe network's drawings\n\n{text(drawn[shown[:4]])}")

if options.plot:
    import matplotlib

    matplotlib.use("Agg")  # draws to a file, also where there is no screen
    from matplotlib import pyplot

    rows = {"digit": X_test, "network": drawn, f"{CODE} principal\ncomponents": linear}
    figure, axes = pyplot.subplots(len(rows), len(shown), figsize=(10, 3.1), layout="constrained")
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for place, index in zip(line, shown, strict=True):
            place.imshow(images[index].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
            place.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(options.plot, dpi=120)
    print(f"\ndrawn to {options.plot}")
