"""``cbp train``: a table becomes a model."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp import datasets
from cbp.cli import scores, table
from cbp.cli.columns import METADATA, Encoding
from cbp.cli.fit import fit
from cbp.cli.learn import guess_task, learn
from cbp.cli.output import UsageError, check_model, emit, emit_json, say
from cbp.cli.table import Table, TableError, counted, listed
from cbp.errors import DivergedError, plain, quoted
from cbp.layers import Dense
from cbp.network import Network
from cbp.optimizers import OPTIMIZERS, Optimizer

__all__ = ["optimizer", "train"]

HELD_OUT = 0.2
"""The share of the rows that is held out unless the user says otherwise."""

FEW_ROWS = 20
"""Below this many rows none are held out unless the user asks for it: a score on three rows says nothing."""

HOPELESS = 10.0
"""A training loss that only a diverging run ends with: standardised numbers that are all guessed to be 0 give 1, and
so do, or little more, classes that are all guessed to be as likely."""

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.intp]


def train(options: Namespace) -> None:
    """Read the table, train on most of its rows, save the model, and report the score on the rest."""
    check_model(options.output, options.data)
    data = table.read(options.data)
    task = _task(data, options)
    rows, held_out = _split(len(data), options.validation, options.seed)
    encoding = learn(data, rows, target=options.target, task=task, ignore=options.ignore, text=options.text)
    constant = encoding.left_out[len(options.ignore) :]
    if constant:
        why = "left out, the same in every row to train on"
        say(f"note: {counted(len(constant), 'column')} {why}: {listed(constant)}")
    X, y = encoding.encode(data), encoding.target.encode(data)

    net = _network(encoding, options)
    say(f"{counted(len(rows), 'row')} to train on, {len(held_out):,} held out; {_described(encoding, net)}")
    started = time.perf_counter()
    curves = _fit(net, X, y, rows, held_out, encoding, options)
    seconds = time.perf_counter() - started
    _remark(curves, hidden=bool(options.hidden))

    scored_on, scored = ("held-out rows", held_out) if len(held_out) else ("training rows", rows)
    score = scores.of_outputs(encoding.target, net.predict(X[scored]), y[scored], y[rows])
    net.metadata[METADATA] = encoding.to_dict() | {"scored_on": scored_on, "score": score}
    net.save(options.output)
    if options.json:
        emit_json({
            "model": options.output, "task": task, "target": options.target, "classes": list(encoding.target.classes),
            "inputs": encoding.inputs, "left_out": list(encoding.left_out), "parameters": int(net.get_vector().size),
            "training_rows": len(rows), "held_out_rows": len(held_out), "scored_on": scored_on, "score": score,
            "epochs": options.epochs, "seed": options.seed, "seconds": round(seconds, 3), "history": curves,
        })  # fmt: skip
    else:
        emit(f"{len(scored):,} {scored_on}: {scores.text(score)}")
        emit(f"saved to {plain(options.output)}; to use it: cbp predict {plain(options.output)} NEW.csv")


def optimizer(options: Namespace) -> Optimizer:
    """The optimizer that ``--optimizer`` and ``--rate`` describe."""
    kind: Any = OPTIMIZERS[options.optimizer or "adam"]
    chosen: Optimizer = kind() if options.rate is None else kind(rate=options.rate)
    return chosen


def _task(data: Table, options: Namespace) -> str:
    """The task, given or guessed; the columns that options name must exist."""
    for name in (options.target, *options.ignore, *options.text):
        data.column(name)
    if options.target in options.ignore:
        raise UsageError(f"--ignore: {quoted(options.target)} is the target")
    if options.task is not None:
        return str(options.task)
    task, reason = guess_task(data, options.target, as_text=options.target in options.text)
    say(f"task: {task}, because {reason}; --task says otherwise")
    return task


def _split(rows: int, fraction: float | None, seed: int) -> tuple[Rows, Rows]:
    """The rows to train on and the rows to hold out, both in the order of the table."""
    if fraction is None and rows < FEW_ROWS:
        say(f"note: the table has {counted(rows, 'row')}, so none are held out; --validation says otherwise")
    chosen = (HELD_OUT if rows >= FEW_ROWS else 0.0) if fraction is None else fraction
    count = round(rows * chosen)
    if chosen:
        if rows < 2:
            raise TableError("--validation: the table has one row, and it cannot be divided")
        count = min(max(count, 1), rows - 1)
    order = datasets.permutation(rows, seed)
    return np.sort(order[count:]), np.sort(order[:count])


def _network(encoding: Encoding, options: Namespace) -> Network:
    hidden = [Dense(units, options.activation) for units in options.hidden]
    classes = len(encoding.target.classes)
    last = Dense(classes, "softmax") if classes else Dense(1)
    loss = "cross_entropy" if classes else "mean_squared_error"
    return Network(len(encoding.inputs), [*hidden, last], loss=loss, seed=options.seed, l2=options.l2)


def _described(encoding: Encoding, net: Network) -> str:
    sizes = [len(encoding.inputs), *(layer.units for layer in net.layers if isinstance(layer, Dense))]
    parameters = counted(net.get_vector().size, "parameter")
    return f"{counted(len(encoding.columns), 'column')}, network {' -> '.join(map(str, sizes))} with {parameters}"


def _fit(
    net: Network, X: Array, y: Array, rows: Rows, held_out: Rows, encoding: Encoding, options: Namespace
) -> dict[str, list[float]]:
    target = encoding.target
    if not (target.classes or options.quiet):
        say(f"loss and mean error below: in standard deviations of {plain(target.name)}, which are {target.scale:.4g}")
    try:
        return fit(
            net, X[rows], y[rows], epochs=options.epochs, batch_size=options.batch_size, optimizer=optimizer(options),
            held_out=(X[held_out], y[held_out]) if len(held_out) else None, quiet=options.quiet,
            threads=options.threads,
        )  # fmt: skip
    except DivergedError:
        advice = "try a lower --rate (no model was saved)"
        raise DivergedError(f"training diverged: the loss or a weight is no longer finite; {advice}") from None


def _remark(curves: dict[str, list[float]], *, hidden: bool) -> None:
    """Say so where training went astray, or learnt by heart: then the network gets worse on the held-out rows alone."""
    training, held_out = curves["loss"], curves.get("val_loss", [])
    watched = held_out or training
    best = int(np.argmin(held_out)) if held_out else 0
    worse = watched[best] < 0.8 * _end(watched)
    if _end(training) > HOPELESS or (worse and _end(training) > training[best]):
        say(f"note: the training loss went astray, to {training[-1]:.4g} at the end: try a lower --rate")
    elif worse:
        advice = "fewer --epochs, --l2 0.01 or smaller --hidden" if hidden else "fewer --epochs or --l2 0.01"
        where = f"{held_out[best]:.4f}, after epoch {best + 1} of {len(held_out)}"
        say(f"note: the held-out loss was lowest, {where}: {advice} may do better")


def _end(losses: list[float]) -> float:
    """Where a curve ends: the median of its last tenth."""
    return float(np.median(losses[-max(1, len(losses) // 10) :]))
