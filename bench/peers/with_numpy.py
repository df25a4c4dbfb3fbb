"""NumPy by hand: what a careful user writes, with flat vectors for the update and no array made inside a step."""

from __future__ import annotations

import numpy as np

from bench.peers import batches
from bench.workloads import MOMENTUM, Array, Targets, Workload


def relu(z: Array) -> None:
    np.maximum(z, 0, out=z)


def tanh(z: Array) -> None:
    np.tanh(z, out=z)


def sigmoid(z: Array) -> None:
    np.negative(z, out=z)
    np.exp(z, out=z)
    z += 1
    np.reciprocal(z, out=z)


def softmax(z: Array) -> None:
    z -= z.max(axis=1, keepdims=True)
    np.exp(z, out=z)
    z /= z.sum(axis=1, keepdims=True)


def relu_slope(a: Array, out: Array) -> None:
    np.sign(a, out=out)


def tanh_slope(a: Array, out: Array) -> None:
    np.multiply(a, a, out=out)
    np.subtract(1, out, out=out)


def sigmoid_slope(a: Array, out: Array) -> None:
    np.subtract(1, a, out=out)
    out *= a


ACTIVATE = {"relu": relu, "tanh": tanh, "sigmoid": sigmoid}
SLOPE = {"relu": relu_slope, "tanh": tanh_slope, "sigmoid": sigmoid_slope}


class Trainer:
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        self.batches = batches(X, y, workload.batch)
        self.workload = workload
        self.values, self.gradient, self.mean, self.variance, self.work, self.work2 = np.zeros(
            (6, workload.parameters), workload.dtype
        )
        self.weights, self.biases = self._views(self.values)
        self.d_weights, self.d_biases = self._views(self.gradient)
        for view, weight in zip(self.weights, weights, strict=True):
            view[...] = weight
        self.outputs = [np.zeros((workload.batch, units), workload.dtype) for units in workload.sizes[1:]]
        self.deltas = [np.zeros_like(output) for output in self.outputs]
        self.spare = [np.zeros_like(output) for output in self.outputs]
        self.rows = np.arange(workload.batch)
        self.update = {"sgd": self._sgd, "momentum": self._momentum, "adam": self._adam}[workload.optimizer]
        self.step = 0

    def train(self, epochs: int) -> None:
        for _ in range(epochs):
            for x, y in self.batches:
                self._forward(x)
                self._backward(x, y)
                self.update()

    def losses(self, epochs: int) -> list[float]:
        means = []
        for _ in range(epochs):
            total = 0.0
            for x, y in self.batches:
                self._forward(x)
                total += self._loss(y)
                self._backward(x, y)
                self.update()
            means.append(total / len(self.batches))
        return means

    def _views(self, flat: Array) -> tuple[list[Array], list[Array]]:
        weights, biases, start = [], [], 0
        for inputs, units in self.workload.layers():
            weights.append(flat[start : start + inputs * units].reshape(inputs, units))
            biases.append(flat[start + inputs * units :][:units])
            start += (inputs + 1) * units
        return weights, biases

    def _forward(self, x: Array) -> None:
        last = len(self.outputs) - 1
        for index, (weight, bias, out) in enumerate(zip(self.weights, self.biases, self.outputs, strict=True)):
            np.matmul(x, weight, out=out)
            out += bias
            if index == last:
                break
            ACTIVATE[self.workload.hidden](out)
            x = out
        if self.workload.classifies:
            softmax(out)

    def _loss(self, y: Targets) -> float:
        if self.workload.classifies:
            return -float(np.log(self.outputs[-1][self.rows, y]).mean())
        return float(((self.outputs[-1] - y) ** 2).sum(axis=1).mean()) / 2

    def _backward(self, x: Array, y: Targets) -> None:
        delta, output = self.deltas[-1], self.outputs[-1]
        if self.workload.classifies:
            np.copyto(delta, output)
            delta[self.rows, y] -= 1
        else:
            np.subtract(output, y, out=delta)
        delta *= 1 / self.workload.batch
        for index in range(len(self.weights) - 1, -1, -1):
            below = self.outputs[index - 1] if index else x
            np.matmul(below.T, delta, out=self.d_weights[index])
            np.sum(delta, axis=0, out=self.d_biases[index])
            if index:
                spare = self.spare[index - 1]
                delta = np.matmul(delta, self.weights[index].T, out=self.deltas[index - 1])
                SLOPE[self.workload.hidden](below, spare)
                delta *= spare

    def _sgd(self) -> None:
        np.multiply(self.gradient, self.workload.rate, out=self.work)
        self.values -= self.work

    def _momentum(self) -> None:
        self.mean *= MOMENTUM
        self.mean += self.gradient
        np.multiply(self.mean, self.workload.rate, out=self.work)
        self.values -= self.work

    def _adam(self) -> None:
        self.step += 1
        correction = (1 - 0.999**self.step) ** 0.5
        self.mean *= 0.9
        np.multiply(self.gradient, 0.1, out=self.work)
        self.mean += self.work
        np.multiply(self.gradient, self.gradient, out=self.work)
        self.work *= 0.001
        self.variance *= 0.999
        self.variance += self.work
        np.sqrt(self.variance, out=self.work)
        self.work += 1e-8 * correction
        np.divide(self.mean, self.work, out=self.work2)
        self.work2 *= self.workload.rate * correction / (1 - 0.9**self.step)
        self.values -= self.work2


class Predictor:
    def __init__(self, workload: Workload, weights: list[Array]):
        self.weights, self.activate = weights, ACTIVATE[workload.hidden]
        self.biases = [np.zeros(weight.shape[1], weight.dtype) for weight in weights]
        self.classifies, self.dtype = workload.classifies, workload.dtype

    def many(self, X: Array) -> Array:
        *hidden, (weight, bias) = zip(self.weights, self.biases, strict=True)
        for inner_weight, inner_bias in hidden:
            X = X @ inner_weight
            X += inner_bias
            self.activate(X)
        output = X @ weight
        output += bias
        if self.classifies:
            softmax(output)
        return output

    def one(self, x: Array) -> Array:
        return self.many(x) if not self.classifies else self.many(x[np.newaxis])[0]

    def one_of_floats(self, x: list[float]) -> Array:
        return self.one(np.array(x, self.dtype))
