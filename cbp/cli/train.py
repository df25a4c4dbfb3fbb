"""``cbp train``: a table becomes a model."""

from __future__ import annotations

import time
from argparse import Namespace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.cli import scores, table
from cbp.cli.columns import METADATA, Encoding
from cbp.cli.fit import curves_of, fit
from cbp.cli.learn import guess_task, learn
from cbp.cli.output import UsageError, check_model, emit, emit_json, say
from cbp.cli.rates import scheduled
from cbp.cli.table import Table, TableError, counted, listed
from cbp.engine.validation import held_out as divided
from cbp.errors import DivergedError, plain, quoted
from cbp.history import History
from cbp.layers import Dense
from cbp.network import Network

__all__ = ["train"]

HELD_OUT = 0.2
"""The share of the rows that is held out unless the user says otherwise."""

PATIENCE = 20
"""Epochs without a better held-out loss after which training stops, unless the user says otherwise."""

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
    rows, held_out = _split(data, task, options)
    encoding = learn(data, rows, target=options.target, task=task, ignore=options.ignore, text=options.text)
    constant = encoding.left_out[len(options.ignore) :]
    if constant:
        why = "left out, the same in every row to train on"
        say(f"note: {counted(len(constant), 'column')} {why}: {listed(constant)}")
    X, y = encoding.encode(data), encoding.target.encode(data)

    net = _network(encoding, options)
    say(f"{counted(len(rows), 'row')} to train on, {len(held_out):,} held out; {_described(encoding, net)}")
    started = time.perf_counter()
    history = _fit(net, X, y, rows, held_out, encoding, options)
    seconds = time.perf_counter() - started
    curves = curves_of(history)
    _remark(curves, history, options)

    scored_on, scored = ("held-out rows", held_out) if len(held_out) else ("training rows", rows)
    score = scores.of_outputs(encoding.target, net.predict(X[scored]), y[scored], y[rows])
    matrix = None
    if encoding.target.classes:
        matrix = net.confusion(X[scored], y[scored], labels=[str(label) for label in encoding.target.classes])
    net.metadata[METADATA] = encoding.to_dict() | {"scored_on": scored_on, "score": score}
    net.save(options.output)
    if options.json:
        emit_json({
            "model": options.output, "task": task, "target": options.target, "classes": list(encoding.target.classes),
            "inputs": encoding.inputs, "left_out": list(encoding.left_out), "parameters": int(net.get_vector().size),
            "training_rows": len(rows), "held_out_rows": len(held_out), "scored_on": scored_on, "score": score,
            "epochs": options.epochs, "epochs_run": history.epochs, "best_epoch": history.best_epoch,
            "stopped": history.stopped, "seed": options.seed, "seconds": round(seconds, 3), "history": curves,
            **({"confusion": matrix.counts.tolist()} if matrix else {}),
        })  # fmt: skip
    else:
        emit(f"{len(scored):,} {scored_on}: {scores.text(score)}")
        if matrix is not None:
            emit(str(matrix))
        emit(f"saved to {plain(options.output)}; to use it: cbp predict {plain(options.output)} NEW.csv")


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


def _split(data: Table, task: str, options: Namespace) -> tuple[Rows, Rows]:
    """The rows to train on and the rows to hold out, both in the order of the table; of every class the same share."""
    rows, fraction = len(data), options.validation
    if fraction is None and rows < FEW_ROWS:
        say(f"note: the table has {counted(rows, 'row')}, so none are held out; --validation says otherwise")
    chosen = (HELD_OUT if rows >= FEW_ROWS else 0.0) if fraction is None else fraction
    if not chosen:
        for name in ("patience", "metric"):
            if getattr(options, name) is not None:
                raise UsageError(f"--{name}: no rows are held out; --validation 0.2 holds out a fifth of them")
        return np.arange(rows), np.arange(0)
    if rows < 2:
        raise TableError("--validation: the table has one row, and it cannot be divided")
    classes = np.zeros(rows, np.intp)
    if task == "classification":
        classes = np.unique(data.texts(options.target), return_inverse=True)[1]
    return divided(chosen, classes, None, rows, options.seed)


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
) -> History:
    target = encoding.target
    if not (target.classes or options.quiet):
        say(f"loss and mean error below: in standard deviations of {plain(target.name)}, which are {target.scale:.4g}")
    try:
        return fit(
            net, X[rows], y[rows], epochs=options.epochs, batch_size=options.batch_size,
            optimizer=scheduled(options, len(rows)),
            held_out=(X[held_out], y[held_out]) if len(held_out) else None, metric=options.metric,
            patience=(options.patience or PATIENCE) if len(held_out) else None, class_weight=options.class_weight,
            quiet=options.quiet, threads=options.threads,
        )  # fmt: skip
    except (ValueError, TypeError) as problem:
        if isinstance(problem, DivergedError) or not str(problem).startswith(("metrics", "class_weight")):
            raise
        option = "--metric" if str(problem).startswith("metrics") else "--class-weight"
        raise UsageError(f"{option}: {problem}") from None
    except DivergedError:
        advice = "try a lower --rate (no model was saved)"
        raise DivergedError(f"training diverged: the loss or a weight is no longer finite; {advice}") from None


def _remark(curves: dict[str, list[float]], history: History, options: Namespace) -> None:
    """Say which epoch was the best, and so where training went astray, or learnt by heart: then the network gets worse on the
    held-out rows alone."""
    training, held_out = curves["loss"], curves.get("val_loss", [])
    watched = held_out or training
    lowest = int(np.argmin(held_out)) if held_out else 0
    worse = watched[lowest] < 0.8 * _end(watched)
    if held_out and history.best_epoch is not None and not options.quiet:
        measure = "held-out loss" if options.metric is None else f"held-out {options.metric}"
        ended = f"stopped after epoch {history.epochs}, " if history.stopped else ""
        say(f"{ended}the model is that of epoch {history.best_epoch}, whose {measure} was best")
    if _end(training) > HOPELESS or (worse and _end(training) > training[lowest]):
        say(f"note: the training loss went astray, to {training[-1]:.4g} at the end: try a lower --rate")
    elif worse:
        advice = "--l2 0.01 or smaller --hidden" if options.hidden else "--l2 0.01"
        say(f"note: the network learnt the training rows by heart, held-out loss {held_out[lowest]:.4f} then "
            f"{held_out[-1]:.4f}: {advice} may do better")


def _end(losses: list[float]) -> float:
    """Where a curve ends: the median of its last tenth."""
    return float(np.median(losses[-max(1, len(losses) // 10) :]))
