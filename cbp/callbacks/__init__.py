"""Callbacks: what goes with a training from epoch to epoch, ``net.fit(X, y, callbacks=[cbp.EarlyStopping(patience=10)])``.

They are told of the beginning and the end of a run and of every epoch; the epochs themselves stay in the core, and a run
without callbacks and validation is not divided into epochs at all.
"""

from cbp.callbacks.base import CALLBACKS, Callback, listed
from cbp.callbacks.live import *  # noqa: F403
from cbp.callbacks.rates import *  # noqa: F403
from cbp.callbacks.reports import *  # noqa: F403
from cbp.callbacks.saving import *  # noqa: F403
from cbp.callbacks.stopping import *  # noqa: F403

__all__ = ["CALLBACKS", "Callback", "listed", *(kind.__name__ for kind in CALLBACKS.values())]
