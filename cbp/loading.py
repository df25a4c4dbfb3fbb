"""Networks from model files, of strangers too."""

from __future__ import annotations

import os

from cbp import modelfile
from cbp.engine import check
from cbp.habits import understood
from cbp.network import Network

__all__ = ["load"]


@understood
def load(path: str | os.PathLike[str], *, limit: int | None = 2**30) -> Network:
    """Read a network that :meth:`Network.save` wrote, with its optimizer's state; training goes on where it stood.

    Nothing in the file is executed.

    Parameters
    ----------
    path : str or os.PathLike
        The file. It may come from a stranger: the worst that it can do is to be refused.
    limit : int or None
        The most bytes that one sample may take on its way through the network, in training: a file of a kilobyte can describe a
        network that takes gigabytes. None: as many as it takes.

    Raises
    ------
    ModelFileError
        The file is damaged, is no model file, or describes a network beyond the limit.
    FileNotFoundError, PermissionError, OSError
        The file cannot be opened or read.

    Examples
    --------
    >>> cbp.mlp([2, 3, 1], seed=0).save("small.cbp")
    >>> cbp.load("small.cbp", limit=2**20)
    Network(2, [Dense(3, 'relu'), Dense(1, 'identity')], loss='mean_squared_error', dtype='float32', seed=0)
    """
    most = None if limit is None else check.integer("limit", limit)
    network = modelfile.restored(Network, modelfile.load(path), path)
    needed = network._plan.on_the_way * network.dtype.itemsize
    if most is not None and needed > most:
        raise modelfile.refusal(path, f"one sample takes {needed:,} bytes on its way through the network, more than the limit "
                                      f"of {most:,}; cbp.load(path, limit=None) takes it as it is")
    return network
