"""``cbp predict``: a model and a table become predictions."""

from __future__ import annotations

import csv
import io
from argparse import Namespace
from typing import Any

import numpy as np
import numpy.typing as npt

from cbp.cli import scores, table
from cbp.cli.columns import METADATA, Encoding, Label, significant
from cbp.cli.output import UsageError, check_output, emit_file, emit_json, say, write_file
from cbp.cli.table import Table, counted, listed
from cbp.errors import ModelFileError, plain, quoted
from cbp.loading import load
from cbp.network import Network

__all__ = ["encode", "load_model", "predict"]


def predict(options: Namespace) -> None:
    """Print or write one prediction for every row of the table."""
    if options.output != "-":
        check_output(options.output, options.model, options.data)
    net, encoding = load_model(options.model)
    target = encoding.target
    if options.proba and not target.classes:
        raise UsageError(f"--proba: {plain(options.model)} predicts a number, {quoted(target.name)}, and has no classes")
    data = table.read(options.data)
    outputs = net.predict(encode(encoding, data))
    predictions = target.decode(outputs)
    score = scores.of_known(target, data, outputs)
    as_csv = _as_csv(encoding, predictions, outputs if options.proba else None)
    if options.output != "-":
        write_file(options.output, as_csv)
        say(f"{counted(len(predictions), 'prediction')} written to {plain(options.output)}")
    if options.json:
        document: dict[str, Any] = {
            "model": options.model, "task": target.task, "target": target.name, "classes": list(target.classes),
            "predictions": predictions,
        }  # fmt: skip
        if options.proba:
            document["probabilities"] = [[significant(value) for value in row] for row in outputs.tolist()]
        emit_json(document | {"score": score})
    elif options.output == "-":
        emit_file(as_csv)
    if score:
        say(f"compared with the column {quoted(target.name)} of {data.source}: {scores.text(score)}")


def load_model(path: str) -> tuple[Network, Encoding]:
    """A network and how it reads a table; raises ModelFileError where it knows none."""
    net = load(path)
    if METADATA not in net.metadata:
        why = "since it was not made by cbp train or cbp demo"
        raise ModelFileError(f"{plain(path)}: this model knows no columns, {why}; use it from Python, with cbp.load")
    encoding = Encoding.from_dict(net.metadata[METADATA], path)
    outputs = encoding.target.outputs
    answers = [(outputs,), ()] if outputs == 1 else [(outputs,)]  # of one sample
    if net.input_shape != (len(encoding.inputs),) or net.output_shape not in answers:
        raise ModelFileError(f"{plain(path)}: the columns that the model describes do not fit its network")
    return net, encoding


def encode(encoding: Encoding, data: Table) -> npt.NDArray[np.float32]:
    """The inputs that a table gives, with a remark on columns that the model does not know."""
    X = encoding.encode(data)
    extra = encoding.unknown(data)
    if extra:
        say(f"note: {data.source}: {counted(len(extra), 'column')} unknown to the model and not read: {listed(extra)}")
    return X


def _as_csv(encoding: Encoding, predictions: list[Label], outputs: npt.NDArray[Any] | None) -> str:
    """A table with the prediction, and with the probability of every class where ``outputs`` are given."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    target = encoding.target
    if outputs is None:
        writer.writerow([target.name])
        writer.writerows([_cell(prediction)] for prediction in predictions)
    else:
        writer.writerow([target.name, *(f"P({label})" for label in target.classes)])
        for prediction, row in zip(predictions, outputs.tolist(), strict=True):
            writer.writerow([_cell(prediction), *(f"{probability:.4f}" for probability in row)])
    return text.getvalue()


def _cell(prediction: Label) -> str:
    return f"{prediction:.7g}" if isinstance(prediction, float) else str(prediction)
