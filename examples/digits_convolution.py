"""Handwritten digits by two convolutional networks: a plain one, and a
depthwise-separable one with fewer parameters.

    python examples/digits_convolution.py

An image is an array (height, width, channels): here 8 x 8 pixels of one
channel. A convolution slides a window over the image and computes the same
weighted sums at every place, so it needs few parameters and finds a stroke
wherever it lies. A separable convolution does that in two steps: a window for
each channel alone (depthwise), then sums over the channels of each pixel
(pointwise).
"""

import argparse
import time

import cbp

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
epochs = 3 if parser.parse_args().quick else 80


def network(second: cbp.layers.Layer) -> cbp.Network:
    layers = [
        cbp.Conv2D(32, 3, "relu", padding="same"),  # one channel in: nothing to separate yet
        cbp.MaxPool2D(2),
        second,
        cbp.MaxPool2D(2),
        cbp.Flatten(),
        cbp.Dropout(0.5),
        cbp.Dense(10, "softmax"),
    ]
    return cbp.Network((8, 8, 1), layers, loss="cross_entropy", seed=0)


networks = {
    "plain": network(cbp.Conv2D(64, 3, "relu", padding="same")),
    "separable": network(cbp.SeparableConv2D(64, 3, "relu", padding="same")),
}

X, y = cbp.datasets.digits()
X = X.reshape(-1, 8, 8, 1)
X, X_test, y, y_test = cbp.datasets.split(X, y, test=0.25, seed=0)
print(f"{len(X)} images to learn from, {len(X_test)} held out, {epochs} epochs\n")

print("network    parameters  held out  errors  seconds")
for name, net in networks.items():
    start = time.perf_counter()
    net.fit(X, y, epochs=epochs, optimizer=cbp.Adam(3e-3))
    seconds = time.perf_counter() - start
    wrong = (net.predict(X_test).argmax(axis=1) != y_test).sum()
    accuracy = 1 - wrong / len(y_test)
    print(f"{name:<9}  {net.get_vector().size:>10,}  {accuracy:>8.4f}  {wrong:>6}  {seconds:>7.1f}")
