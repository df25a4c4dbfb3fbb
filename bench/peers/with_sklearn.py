"""scikit-learn's multilayer perceptron, by its public interface."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from bench.workloads import MOMENTUM, Array, Targets, Workload

ACTIVATION = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}
SOLVER = {"sgd": "sgd", "momentum": "sgd", "adam": "adam"}


class Trainer:
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        self.X = X
        self.y = y.ravel() if y.ndim == 2 and y.shape[1] == 1 else y
        # its loss is a mean over the outputs, its gradient that of the sum over them
        self.factor = 1 if workload.classifies else workload.sizes[-1]
        self.model = (MLPClassifier if workload.classifies else MLPRegressor)(
            hidden_layer_sizes=workload.sizes[1:-1], activation=ACTIVATION[workload.hidden],
            solver=SOLVER[workload.optimizer], learning_rate_init=workload.rate,
            momentum=MOMENTUM if workload.optimizer == "momentum" else 0.0, nesterovs_momentum=False,
            alpha=0.0, batch_size=workload.batch, shuffle=False,
            max_iter=1, tol=0.0, n_iter_no_change=10**9, warm_start=True,
        )
        warnings.simplefilter("ignore", ConvergenceWarning)
        self.model.fit(X, self.y)
        # A warm start keeps the weights and makes a new optimizer, so these weights are where training begins.
        for mine, weight in zip(self.model.coefs_, weights, strict=True):
            mine[...] = weight
        for bias in self.model.intercepts_:
            bias[...] = 0
        if any(array.dtype != workload.dtype for array in self.model.coefs_):
            raise RuntimeError(f"scikit-learn does not train in {workload.dtype} here")

    def train(self, epochs: int) -> None:
        self.losses(epochs)

    def losses(self, epochs: int) -> list[float]:
        self.model.set_params(max_iter=epochs).fit(self.X, self.y)
        return [float(loss) * self.factor for loss in self.model.loss_curve_[-epochs:]]


class Learner(Trainer):
    def __init__(self, workload: Workload, X: Array, y: Targets, weights: list[Array]):
        super().__init__(workload, X, y, weights)
        # partial_fit goes on with the optimizer that it finds; that of the fit above has steps behind it already
        del self.model._optimizer

    def epoch(self, X: Array, y: Targets) -> float:
        return float(self.model.partial_fit(X, y).loss_curve_[-1]) * self.factor

    def accuracy(self, X: Array, y: Targets) -> float:
        return float((self.model.predict(X) == y).mean())
