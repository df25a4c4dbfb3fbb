"""JAX: an epoch is one jitted scan; the losses are built from the models' layers.

A convolution is `lax.conv_general_dilated` with the channels last, or, tuned, a product with the patches that slices of the
image make: XLA is slow at the gradients of a convolution on CPUs, 5 times on LeNet-5 and 60 times where it is depthwise. A
recurrence is a scan over the time, before which one product applies the weights to the inputs of all steps.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array as Traced
from jax import lax

from bench.models import Convolution, Dense, GlobalAverage, Layer, MaxPool, Model, Recurrent, Separable, Weights
from bench.peers import with_jax
from bench.workloads import Array

LAYOUT = ("NHWC", "HWIO", "NHWC")
Weight = dict[str, Traced]
State = tuple[Traced, ...]  # of an LSTM h and c, of a GRU h


def convolution(p: Weight, x: Traced) -> Traced:
    return jax.nn.relu(lax.conv_general_dilated(x, p["weight"], (1, 1), "VALID", dimension_numbers=LAYOUT) + p["bias"])


def separable(p: Weight, x: Traced) -> Traced:
    inner = lax.conv_general_dilated(
        x, p["depthwise"][:, :, None], (1, 1), "SAME", dimension_numbers=LAYOUT, feature_group_count=x.shape[-1]
    )
    return jax.nn.relu(inner @ p["pointwise"] + p["bias"])


def max_pool(x: Traced, size: int) -> Traced:
    window = (1, size, size, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def slices(x: Traced, size: int) -> list[Traced]:
    """What every tap of a kernel sees of an image, in the order of the kernel's rows."""
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    return [x[:, i : i + height, j : j + width] for i in range(size) for j in range(size)]


def convolution_by_slices(p: Weight, x: Traced) -> Traced:
    size, *_, filters = p["weight"].shape
    return jax.nn.relu(jnp.concatenate(slices(x, size), axis=-1) @ p["weight"].reshape(-1, filters) + p["bias"])


def separable_by_slices(p: Weight, x: Traced) -> Traced:
    size, _, channels = p["depthwise"].shape
    edge = (size // 2, size // 2)
    taps = slices(jnp.pad(x, ((0, 0), edge, edge, (0, 0))), size)
    inner = sum(tap * row for tap, row in zip(taps, p["depthwise"].reshape(-1, channels), strict=True))
    return jax.nn.relu(inner @ p["pointwise"] + p["bias"])


def max_pool_by_shape(x: Traced, size: int) -> Traced:
    rows, height, width, channels = x.shape
    return x.reshape(rows, height // size, size, width // size, size, channels).max(axis=(2, 4))


def zeros(x: Traced, units: int, count: int) -> State:
    return (jnp.zeros((len(x), units), x.dtype),) * count


def lstm(p: Weight, x: Traced, unroll: int = 1, state: State | None = None) -> State:
    """The state after the last step."""
    recurrent, units = p["recurrent"].reshape(len(p["recurrent"]), -1), p["recurrent"].shape[-1]
    given = x.swapaxes(0, 1) @ p["weight"].reshape(x.shape[-1], -1) + p["bias"].reshape(-1)

    def step(state: State, z: Traced) -> tuple[State, None]:
        h, c = state
        i, f, g, o = jnp.split(z + h @ recurrent, 4, axis=1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    state, _ = lax.scan(step, zeros(x, units, 2) if state is None else state, given, unroll=unroll)
    return state


def gru(p: Weight, x: Traced, unroll: int = 1, state: State | None = None) -> State:
    """The state after the last step."""
    recurrent, units = p["recurrent"].reshape(len(p["recurrent"]), -1), p["recurrent"].shape[-1]
    given = x.swapaxes(0, 1) @ p["weight"].reshape(x.shape[-1], -1) + p["bias"][:3].reshape(-1)

    def step(state: State, z: Traced) -> tuple[State, None]:
        (h,) = state
        own = h @ recurrent
        gates = jax.nn.sigmoid(z[:, : 2 * units] + own[:, : 2 * units])
        reset, update = jnp.split(gates, 2, axis=1)
        new = jnp.tanh(z[:, 2 * units :] + reset * (own[:, 2 * units :] + p["bias"][3]))
        return ((1 - update) * new + update * h,), None

    state, _ = lax.scan(step, zeros(x, units, 1) if state is None else state, given, unroll=unroll)
    return state


def applied(layer: Layer, p: Weight, x: Traced, tuned: bool, unroll: int) -> Traced:
    if isinstance(layer, Convolution):
        return (convolution_by_slices if tuned else convolution)(p, x)
    if isinstance(layer, Separable):
        return (separable_by_slices if tuned else separable)(p, x)
    if isinstance(layer, MaxPool):
        return (max_pool_by_shape if tuned else max_pool)(x, layer.size)
    if isinstance(layer, GlobalAverage):
        return x.mean(axis=(1, 2))
    if isinstance(layer, Recurrent):
        return (lstm if layer.gates == 4 else gru)(p, x, unroll)[0]
    if isinstance(layer, Dense):
        z = x @ p["weight"] + p["bias"]
        return jax.nn.relu(z) if layer.activation == "relu" else jax.nn.log_softmax(z)
    return x.reshape(len(x), -1)


@cache  # JAX compiles again for a function that it does not know
def loss_of(unroll: int) -> with_jax.Loss:
    """The loss with the loop over the time unrolled by so much; by more than 1 stands for all that is tuned."""

    def loss(model: Model, parameters: Any, x: Traced, y: Traced) -> Traced:
        for layer, p in zip(model.layers, parameters, strict=True):
            x = applied(layer, p, x, unroll > 1, unroll)
        return -(x * y).sum(axis=1).mean()

    return loss


class Trainer(with_jax.Trainer):
    @staticmethod
    def parameters(weights: Weights) -> Any:
        return [{name: jnp.asarray(array) for name, array in arrays.items()} for arrays in weights]

    def loop(self, unroll: int) -> tuple[with_jax.Loss, int]:
        """Unrolled is the loop over the time, not the one over the epoch."""
        return loss_of(unroll), 1


class Stepper:
    def __init__(self, model: Model, weights: Weights):
        layer = model.layers[0]
        self.weights = Trainer.parameters(weights)[0]
        self.call = jax.jit(lstm if layer.gates == 4 else gru, static_argnames="unroll", donate_argnames="state")
        self.state = tuple(jnp.zeros((1, layer.units), model.dtype) for _ in range(2 if layer.gates == 4 else 1))

    def step(self, x: Array) -> Array:
        self.state = self.call(self.weights, x[None, None], state=self.state)
        return np.asarray(self.state[0])[0]
