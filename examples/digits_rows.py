"""Handwritten digits read row by row, by three recurrent networks.

    python examples/digits_rows.py

A sequence is an array (time, features): here an image of 8 x 8 pixels is 8
steps, each a row of 8 pixels. A recurrent layer reads one row after the other
and keeps what it has seen in its state; the last state is all that the dense
layer gets.
"""

import argparse
import time

import cbp

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="train for a few epochs only")
epochs = 5 if parser.parse_args().quick else 60

X, y = cbp.datasets.digits()
X = X.reshape(-1, 8, 8)
X, X_test, y, y_test = cbp.datasets.split(X, y, test=0.25, seed=0)
print(f"{len(X)} images to learn from, {len(X_test)} held out, {epochs} epochs\n")

print("layer  parameters  held out  seconds")
for layer in (cbp.RNN(64), cbp.GRU(64), cbp.LSTM(64)):
    net = cbp.Network((8, 8), [layer, cbp.Dropout(0.3), cbp.Dense(10, "softmax")], loss="cross_entropy", seed=0)
    start = time.perf_counter()
    net.fit(X, y, epochs=epochs, optimizer=cbp.Adam(3e-3))
    seconds = time.perf_counter() - start
    accuracy = net.evaluate(X_test, y_test)["accuracy"]
    print(f"{type(layer).__name__:<5}  {net.get_vector().size:>10,}  {accuracy:>8.4f}  {seconds:>7.1f}")
