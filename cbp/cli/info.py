"""``cbp info``: what a model file holds."""

from __future__ import annotations

from argparse import Namespace
from math import prod
from typing import Any

from cbp.cli import scores
from cbp.cli.columns import METADATA, Category, Encoding
from cbp.cli.output import aligned, emit, emit_json
from cbp.cli.table import listed
from cbp.errors import plain
from cbp.loading import load
from cbp.network import Network

__all__ = ["info"]

SHOWN = 24
"""Columns that are listed, so that the rest stays in sight."""


def info(options: Namespace) -> None:
    """Print the network, its training, and the columns that it reads."""
    net = load(options.model)
    encoding = Encoding.from_dict(net.metadata[METADATA], options.model) if METADATA in net.metadata else None
    if options.json:
        emit_json(_document(options.model, net))
        return
    emit(net.summary())
    emit()
    rows = [["optimizer", "none, not trained yet" if net.optimizer is None else repr(net.optimizer)]]
    rows.append(["trained", f"{net.epoch:,} epochs, {net.step:,} steps of this optimizer"])
    if encoding is None:
        if net.feature_names is not None:
            rows.append(["features", listed(net.feature_names)])
        rows.append(["columns", "none: made in Python, and used there with cbp.load"])
    else:
        rows += _about_table(encoding, net.metadata[METADATA])
    for line in aligned(rows, left=2):
        emit(line)
    if encoding is not None:
        emit()
        lines = aligned(_columns(encoding), left=2)
        for line in lines[: SHOWN + 1]:
            emit(line)
        if len(lines) > SHOWN + 1:
            emit(f"and {len(lines) - SHOWN - 1} more, which --json lists")


def _about_table(encoding: Encoding, entry: dict[str, Any]) -> list[list[str]]:
    target, score = encoding.target, entry.get("score")
    kind = f"one of {listed(target.classes)}" if target.classes else "a number"
    rows = [["predicts", f"{plain(target.name)}: {kind}"]]
    if isinstance(score, dict) and all(isinstance(value, float) for value in score.values()):
        rows.append(["score", f"{scores.text(score)}, on the {plain(entry.get('scored_on'))}"])
    return rows


def _columns(encoding: Encoding) -> list[list[str]]:
    rows = [["column", "read as"]]
    for column in encoding.columns:
        if isinstance(column, Category):
            rows.append([plain(column.name), f"one of {listed(column.categories)}"])
        else:
            rows.append([plain(column.name), f"number: (value - {column.mean:.6g}) / {column.scale:.6g}".replace("- -", "+ ")])
    return rows + [[plain(name), "left out"] for name in encoding.left_out]


def _document(path: str, net: Network) -> dict[str, Any]:
    """What ``--json`` prints."""
    shape, layers = net.input_shape, []
    for layer in net.layers:
        parameters = sum(prod(array.shape) for array in layer.parameters(shape).values())
        shape = layer.output_shape(shape)
        layers.append({
            "kind": type(layer).__name__, "activation": getattr(layer, "activation", None), "output_shape": list(shape),
            "parameters": parameters,
        })  # fmt: skip
    optimizer = None if net.optimizer is None else {"name": net.optimizer.name} | vars(net.optimizer)
    return {
        "model": path, "input_shape": list(net.input_shape), "output_shape": list(net.output_shape), "layers": layers,
        "parameters": sum(layer["parameters"] for layer in layers), "dtype": str(net.dtype), "loss": net.loss.name,
        "l1": net.l1, "l2": net.l2, "optimizer": optimizer, "step": net.step, "epoch": net.epoch, "seed": net.seed,
        "feature_names": net.feature_names, "metadata": net.metadata,
    }  # fmt: skip
