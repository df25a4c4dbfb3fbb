"""Callbacks that write down what every epoch measured."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any, ClassVar

from cbp.callbacks.base import CALLBACKS, Callback
from cbp.engine import check
from cbp.modelfile import files

if TYPE_CHECKING:
    from cbp.engine.run import Run

__all__ = []


__all__ += ["CSVLogger"]
@CALLBACKS.add
class CSVLogger(Callback):
    """Write a line for every epoch into a CSV file: ``epoch``, the number in the network's life, and all that was measured.

    Parameters
    ----------
    path : str or os.PathLike
        The file; it is written anew.
    append : bool
        Go on with a file that has the same columns.

    Raises
    ------
    ValueError, OSError
        In ``fit``, before anything is changed: nothing can be written there, or the file has other columns.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "run.csv")
    >>> net = cbp.mlp([2, 1], seed=0)
    >>> history = net.fit([[0.0, 1.0]], [1.0], epochs=2, callbacks=cbp.CSVLogger(path))
    >>> with open(path) as file:
    ...     file.readline()
    'epoch,loss,mean_absolute_error,rate,seconds\\n'
    """

    name: ClassVar[str] = "csv_logger"
    aliases: ClassVar[tuple[str, ...]] = ("csvlogger", "csv")

    def __init__(self, path: str | os.PathLike[str], append: bool = False):
        self.path = files.name_of(path)
        self.append = check.boolean("append", append)
        self._file: IO[str] | None = None

    def on_fit_begin(self, run: Run) -> None:
        header = ",".join(("epoch", *run.names))
        old = ""
        if self.append and os.path.exists(self.path):
            with open(self.path, encoding="utf-8") as file:
                old = file.readline().strip()
            if old and old != header:
                raise ValueError(f"CSVLogger: {self.path} has the columns {old}, and this run has {header}; append=False "
                                 f"begins a new file")
        mode = "a" if self.append else "w"
        self._file = open(self.path, mode, encoding="utf-8")  # noqa: SIM115 - closed when the run is over
        if not old:
            self._write(header)

    def on_epoch_end(self, run: Run) -> None:
        self._write(",".join([str(run.network.epoch), *(repr(run.logs[name]) for name in run.names)]))

    def _write(self, line: str) -> None:
        assert self._file is not None
        self._file.write(f"{line}\n")
        self._file.flush()  # a run that is killed has written what it measured

    def on_fit_end(self, run: Run) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def __repr__(self) -> str:
        return f"CSVLogger({self.path!r})"


__all__ += ["Log"]
@CALLBACKS.add
class Log(Callback):
    """Write a line for every epoch to the logger ``cbp`` of the standard library, and one at the end.

    Parameters
    ----------
    every : int
        Only every so many epochs, and the last one.
    level : int
        Of the lines, as in ``logging``; 20 is ``logging.INFO``.

    Examples
    --------
    >>> import logging, sys
    >>> logger = logging.getLogger("cbp")
    >>> logger.setLevel("INFO")
    >>> handler = logging.StreamHandler(sys.stdout)
    >>> logger.addHandler(handler)
    >>> net = cbp.Network(1, [cbp.Dense(1, init=1.0)], loss="mean_squared_error")
    >>> history = net.fit([[1.0]], [1.0], epochs=2, optimizer="sgd", callbacks=cbp.Log())
    epoch 1 of 2: loss 0, mean_absolute_error 0, rate 0.01
    epoch 2 of 2: loss 0, mean_absolute_error 0, rate 0.01
    training is over after 2 epochs
    >>> logger.removeHandler(handler)
    """

    name: ClassVar[str] = "log"
    aliases: ClassVar[tuple[str, ...]] = ("logger", "logging")

    def __init__(self, every: int = 1, level: int = 20):
        self.every = check.integer("every", every)
        self.level = check.integer("level", level, minimum=0)

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch % self.every and run.epoch < run.epochs:
            return
        shown = ", ".join(f"{name} {value:.5g}" for name, value in run.logs.items() if name != "seconds")
        self._say("epoch %d of %d: %s", run.epoch, run.epochs, shown)

    def on_fit_end(self, run: Run) -> None:
        best = f", with the weights of epoch {run.kept_epoch}" if run.kept_epoch else ""
        self._say("training is over after %d epochs%s%s", run.epoch, f": {run.stopped}" if run.stopped else "", best)

    def _say(self, message: str, *values: object) -> None:
        import logging  # here: it is slow to import

        logging.getLogger("cbp").log(self.level, message, *values)

    def __repr__(self) -> str:
        return f"Log(every={self.every})"


__all__ += ["TensorBoard"]
@CALLBACKS.add
class TensorBoard(Callback):
    """Write the curves into a folder that TensorBoard shows. Needs tensorboardX (``pip install 'cbp[tensorboard]'``).

    Parameters
    ----------
    folder : str or os.PathLike
        Of this run.

    Raises
    ------
    ImportError
        Without tensorboardX, when ``fit`` begins.

    Examples
    --------
    >>> cbp.TensorBoard("runs/first")
    TensorBoard('runs/first')
    """

    name: ClassVar[str] = "tensorboard"
    aliases: ClassVar[tuple[str, ...]] = ("tensor_board", "summarywriter")

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = files.name_of(folder)
        self._writer: Any = None

    def on_fit_begin(self, run: Run) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ImportError("TensorBoard writes with tensorboardX: pip install 'cbp[tensorboard]'") from None
        self._writer = SummaryWriter(self.folder)

    def on_epoch_end(self, run: Run) -> None:
        for name, value in run.logs.items():
            self._writer.add_scalar(name, value, run.network.epoch)
        self._writer.flush()

    def on_fit_end(self, run: Run) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer = None

    def __repr__(self) -> str:
        return f"TensorBoard({self.folder!r})"
