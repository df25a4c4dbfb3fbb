"""JAX: an epoch is one jitted scan, or a step one jitted call, whose results take the memory of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array as Traced

from bench.workloads import MOMENTUM, Array, Targets, Workload

HIDDEN = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}
State = tuple[Any, Any, Any, Traced]  # parameters, mean (or momentum), variance, step
Batch = tuple[Traced, Traced]
Loss = Callable[..., Traced]  # of a workload, parameters, inputs and targets


class Trainer:
    def __init__(
        self, workload: Workload, X: Array, y: Targets, weights: list[Array], scan: bool = True, unroll: int = 1
    ):
        jax.config.update("jax_enable_x64", workload.dtype == "float64")
        self.workload = workload
        parameters = self.parameters(weights)
        mean, variance = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
        self.state: State = (parameters, mean, variance, jnp.zeros((), workload.dtype))
        if workload.classifies:
            y = np.eye(workload.classes, dtype=workload.dtype)[y]
        X, y = (jnp.asarray(array.reshape(-1, workload.batch, *array.shape[1:])) for array in (X, y))
        self.calls = [(X, y)] if scan else list(zip(X, y, strict=True))
        loss, unroll = self.loop(unroll)
        self.call = partial(epoch, loss=loss, unroll=unroll) if scan else partial(one_step, loss=loss)

    @staticmethod
    def parameters(weights: list[Array]) -> Any:
        """A weight and a bias for every layer."""
        return [(jnp.asarray(weight), jnp.zeros(weight.shape[1], weight.dtype)) for weight in weights]

    def loop(self, unroll: int) -> tuple[Loss, int]:
        """The loss, and by how much the loop over an epoch is unrolled."""
        return loss_of, unroll

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for X, y in self.calls:
                self.state, _ = self.call(self.state, X, y, workload=self.workload, with_loss=False)
        jax.block_until_ready(self.state)

    def losses(self, epochs: int) -> list[float]:
        means = []
        for _ in range(epochs):
            losses = []
            for X, y in self.calls:
                self.state, loss = self.call(self.state, X, y, workload=self.workload, with_loss=True)
                losses.append(loss.mean())
            means.append(float(sum(losses)) / len(losses))
        return means


@partial(jax.jit, static_argnames=("workload", "loss", "with_loss", "unroll"), donate_argnames="state")
def epoch(
    state: State, X: Traced, y: Traced, *, workload: Workload, loss: Loss, with_loss: bool, unroll: int
) -> tuple[State, Traced | None]:
    return jax.lax.scan(partial(step_of, workload, loss, with_loss), state, (X, y), unroll=unroll)


@partial(jax.jit, static_argnames=("workload", "loss", "with_loss"), donate_argnames="state")
def one_step(
    state: State, x: Traced, y: Traced, *, workload: Workload, loss: Loss, with_loss: bool
) -> tuple[State, Traced | None]:
    return step_of(workload, loss, with_loss, state, (x, y))


def step_of(workload: Workload, loss_of: Loss, with_loss: bool, state: State, batch: Batch) -> tuple[State, Traced | None]:
    parameters, mean, variance, step = state
    loss, gradient = jax.value_and_grad(partial(loss_of, workload))(parameters, *batch)
    rate, step = workload.rate, step + 1
    if workload.optimizer == "sgd":
        parameters = jax.tree.map(lambda w, g: w - rate * g, parameters, gradient)
    elif workload.optimizer == "momentum":
        mean = jax.tree.map(lambda v, g: MOMENTUM * v + g, mean, gradient)
        parameters = jax.tree.map(lambda w, v: w - rate * v, parameters, mean)
    else:
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, gradient)
        variance = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, variance, gradient)
        scale1, scale2 = rate / (1 - 0.9**step), 1 / (1 - 0.999**step)
        parameters = jax.tree.map(
            lambda w, m, v: w - scale1 * m / (jnp.sqrt(v * scale2) + 1e-8), parameters, mean, variance
        )
    return (parameters, mean, variance, step), (loss if with_loss else None)


def loss_of(workload: Workload, parameters: Any, x: Traced, y: Traced) -> Traced:
    *hidden, (weight, bias) = parameters
    for inner_weight, inner_bias in hidden:
        x = HIDDEN[workload.hidden](x @ inner_weight + inner_bias)
    output = x @ weight + bias
    if workload.classifies:
        return -(jax.nn.log_softmax(output) * y).sum(axis=1).mean()
    return ((output - y) ** 2).sum(axis=1).mean() / 2
