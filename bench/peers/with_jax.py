"""JAX: the whole epoch is one jitted scan, or every step one jitted call; both give their arguments' memory to their results."""

from __future__ import annotations

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


class Trainer:
    def __init__(
        self, workload: Workload, X: Array, y: Targets, weights: list[Array], scan: bool = True, unroll: int = 1
    ):
        jax.config.update("jax_enable_x64", workload.dtype == "float64")
        self.workload, self.unroll = workload, unroll
        parameters = [(jnp.asarray(weight), jnp.zeros(weight.shape[1], weight.dtype)) for weight in weights]
        mean, variance = (jax.tree.map(jnp.zeros_like, parameters) for _ in range(2))
        self.state: State = (parameters, mean, variance, jnp.zeros((), workload.dtype))
        if workload.classifies:
            y = np.eye(workload.sizes[-1], dtype=workload.dtype)[y]
        shape = (-1, workload.batch)
        X, y = jnp.asarray(X.reshape(*shape, X.shape[1])), jnp.asarray(y.reshape(*shape, y.shape[1]))
        self.calls = [(X, y)] if scan else list(zip(X, y, strict=True))
        self.call = self._epoch if scan else self._one

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for X, y in self.calls:
                self.state, _ = self.call(self.state, X, y, with_loss=False)
        jax.block_until_ready(self.state)

    def losses(self, epochs: int) -> list[float]:
        means = []
        for _ in range(epochs):
            losses = []
            for X, y in self.calls:
                self.state, loss = self.call(self.state, X, y, with_loss=True)
                losses.append(loss.mean())
            means.append(float(sum(losses)) / len(losses))
        return means

    @partial(jax.jit, static_argnames=("self", "with_loss"), donate_argnames="state")
    def _epoch(self, state: State, X: Traced, y: Traced, with_loss: bool) -> tuple[State, Traced | None]:
        return jax.lax.scan(partial(self._step, with_loss), state, (X, y), unroll=self.unroll)

    @partial(jax.jit, static_argnames=("self", "with_loss"), donate_argnames="state")
    def _one(self, state: State, x: Traced, y: Traced, with_loss: bool) -> tuple[State, Traced | None]:
        return self._step(with_loss, state, (x, y))

    def _step(self, with_loss: bool, state: State, batch: Batch) -> tuple[State, Traced | None]:
        parameters, mean, variance, step = state
        loss, gradient = jax.value_and_grad(self._loss)(parameters, *batch)
        rate, step = self.workload.rate, step + 1
        if self.workload.optimizer == "sgd":
            parameters = jax.tree.map(lambda w, g: w - rate * g, parameters, gradient)
        elif self.workload.optimizer == "momentum":
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

    def _loss(self, parameters: Any, x: Traced, y: Traced) -> Traced:
        *hidden, (weight, bias) = parameters
        for inner_weight, inner_bias in hidden:
            x = HIDDEN[self.workload.hidden](x @ inner_weight + inner_bias)
        output = x @ weight + bias
        if self.workload.classifies:
            return -(jax.nn.log_softmax(output) * y).sum(axis=1).mean()
        return ((output - y) ** 2).sum(axis=1).mean() / 2
