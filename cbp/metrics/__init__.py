"""Metrics: how good answers are, ``net.evaluate(X, y, metrics=["f1", cbp.metrics.TopK(3)])``.

A metric is a specification with a name; :data:`METRICS` has all of them. They are computed from the outputs, as ``predict`` gives
them, in float64 and with NumPy alone. Where scikit-learn has a metric, its numbers are those that scikit-learn gives for
``predict(X).astype(np.float64)``. ``docs/metrics.md`` says more.

Outputs with positions, steps or pixels, count position by position, those after the end of a sequence (``lengths``) not at all;
a position has the weight of its sample.
"""

from cbp.metrics.base import METRICS, Metric
from cbp.metrics.checked import Measure, Metrics, checked, get
from cbp.metrics.confusion import ConfusionMatrix
from cbp.metrics.counts import F1, Accuracy, BalancedAccuracy, Precision, Recall, SubsetAccuracy
from cbp.metrics.function import Function
from cbp.metrics.probability import Brier, LogLoss
from cbp.metrics.ranking import ROCAUC, AveragePrecision, TopK
from cbp.metrics.regression import (
    R2,
    ExplainedVariance,
    MeanAbsoluteError,
    MeanSquaredError,
    Pinball,
    RootMeanSquaredError,
)
from cbp.metrics.task import Task

__all__ = [
    "METRICS", "Metric", "Function", "get",
    *(kind.__name__ for kind in METRICS.values()),
    "ConfusionMatrix", "Measure", "Metrics", "Task", "checked",
]
