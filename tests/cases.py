"""Networks, targets and optimizers that several test files run through, and how close two numbers must be."""

import numpy as np

import cbp
from cbp.layers import ACTIVATIONS
from cbp.losses import LOSSES

NUMBERS = tuple(ACTIVATIONS)

# Every loss with the activations of the last layer that it is defined for.
OUTPUTS = {
    "mean_squared_error": NUMBERS,
    "half_squared_error": NUMBERS,
    "mean_absolute_error": NUMBERS,
    "huber": NUMBERS,
    "binary_cross_entropy": ("sigmoid", "hard_sigmoid", "softmax"),
    "cross_entropy": ("softmax",),
    "poisson": ("softplus", "relu", "sigmoid", "hard_sigmoid", "softmax"),
    "hinge": NUMBERS,
}
LOSS_OUTPUTS = [(loss, output) for loss in LOSSES for output in OUTPUTS[loss]]

# One of every rule, and one with every option of it.
OPTIMIZERS = {
    "sgd": cbp.SGD(0.05),
    "momentum": cbp.SGD(0.05, momentum=0.9),
    "nesterov": cbp.SGD(0.05, momentum=0.8, nesterov=True),
    "adam": cbp.Adam(0.01),
    "adamw": cbp.AdamW(0.01),
    "rmsprop": cbp.RMSprop(0.01),
    "adagrad": cbp.Adagrad(0.05),
}
OPTIMIZER_OPTIONS = {
    "sgd, decay": cbp.SGD(0.05, weight_decay=0.3),
    "momentum, decay": cbp.SGD(0.02, momentum=0.5, weight_decay=0.3),
    "nesterov, decay": cbp.SGD(0.02, momentum=0.5, nesterov=True, weight_decay=0.3),
    "adam, options": cbp.Adam(0.02, beta1=0.5, beta2=0.9, epsilon=1e-3, weight_decay=0.2),
    "adam, no memory": cbp.Adam(0.02, beta1=0.0, beta2=0.0),
    "adamw, options": cbp.AdamW(0.02, beta1=0.7, beta2=0.95, epsilon=1e-5, weight_decay=0.5),
    "rmsprop, options": cbp.RMSprop(0.02, rho=0.5, epsilon=1e-3, weight_decay=0.2),
    "rmsprop, no memory": cbp.RMSprop(0.02, rho=0.0),
    "adagrad, options": cbp.Adagrad(0.1, epsilon=1e-3, weight_decay=0.2),
}


def inputs(rng, rows, features=4):
    return rng.normal(size=(rows, features))


def targets(loss, rng, rows, units=3):
    """Targets that this loss is defined for; for cross_entropy labels or probabilities, by chance."""
    if loss == "cross_entropy":
        return rng.integers(units, size=rows) if rng.random() < 0.5 else rng.dirichlet(np.ones(units), size=rows)
    if loss == "binary_cross_entropy":
        return rng.random((rows, units))
    if loss == "poisson":
        return rng.poisson(2.0, (rows, units)).astype(float)
    if loss == "hinge":
        return rng.choice([-1.0, 1.0], (rows, units))
    return rng.normal(size=(rows, units))


def network(hidden="tanh", output="identity", loss="mean_squared_error", *, seed=0, bias=(True, True, True), **settings):
    """4 inputs, two hidden layers of 5 and 3 units, 3 outputs, with biases that are not 0."""
    settings.setdefault("dtype", "float64")
    units = (5, 3, 3)
    layers = [cbp.Dense(n, f, bias=b) for n, f, b in zip(units, (hidden, hidden, output), bias, strict=True)]
    net = cbp.Network(4, layers, loss=loss, seed=seed, **settings)
    rng = np.random.default_rng(seed)
    for name, view in net.parameters.items():
        if name.endswith("bias"):
            view[...] = rng.normal(scale=0.5, size=view.shape)
    return net


def close(actual, expected, tolerance):
    """Equal up to ``tolerance``, measured against the largest of the numbers that are compared."""
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape
    scale = np.abs(expected).max(initial=0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


def small_trained_classifier():
    """A network with optimizer state and notes, always the same."""
    rng = np.random.default_rng(0)
    net = cbp.mlp([3, 4, 4, 2], hidden="tanh", output="softmax", seed=1)
    net.fit(rng.normal(size=(8, 3)), rng.integers(0, 2, 8), epochs=2, batch_size=4)
    net.metadata["names"] = ["ä", "b"]
    return net
