"""Metrics: how good answers are, ``net.evaluate(X, y, metrics=["f1", cbp.metrics.TopK(3)])``.

A metric is a specification with a name; ``METRICS`` has all of them. They are computed from the outputs, as ``predict`` gives
them, in float64 and with NumPy alone. Where scikit-learn has a metric, its numbers are those that scikit-learn gives for
``predict(X).astype(np.float64)``; ``docs/metrics.md`` says what is meant where it has none.

Outputs with positions, steps or pixels, count position by position, those after the end of a sequence (``lengths``) not at all;
a position has the weight of its sample.
"""

from cbp.metrics.base import METRICS, Metric
from cbp.metrics.checked import Measure, Metrics, checked, get
from cbp.metrics.confusion import ConfusionMatrix
from cbp.metrics.counts import *  # noqa: F403
from cbp.metrics.function import Function
from cbp.metrics.probability import *  # noqa: F403
from cbp.metrics.ranking import *  # noqa: F403
from cbp.metrics.regression import *  # noqa: F403
from cbp.metrics.task import Task

__all__ = [
    *(kind.__name__ for kind in METRICS.values()), "Function", "ConfusionMatrix",
    "METRICS", "Measure", "Metric", "Metrics", "Task", "checked", "get",
]
