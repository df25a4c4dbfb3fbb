"""All that is trained, by name."""

from __future__ import annotations

from bench import kernels, models, workloads
from bench.kernels import Kernel
from bench.models import Model
from bench.workloads import Workload

Job = Workload | Model | Kernel

TRAINABLE: dict[str, Job] = {**workloads.BY_NAME, **models.BY_NAME, **kernels.BY_NAME}
