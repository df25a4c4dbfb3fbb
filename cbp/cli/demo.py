"""``cbp demo``: a network learns to read handwritten digits, in a second or two, and shows how well."""

from __future__ import annotations

import csv
import io
import time
from argparse import Namespace
from typing import Any

import numpy as np
import numpy.typing as npt

import cbp
from cbp import datasets
from cbp.cli.columns import METADATA, Encoding, Number, Target
from cbp.cli.fit import curves_of, fit
from cbp.cli.output import aligned, can_show, check_model, check_output, emit, emit_json, say, write_file

__all__ = ["demo"]

HIDDEN = (256, 128)
BATCH_SIZE = 32

Array = npt.NDArray[Any]


def demo(options: Namespace) -> None:
    """Train, print what the network does on digits that it has not seen, and save it."""
    check_model(options.output)
    if options.csv is not None:
        check_output(options.csv)
    X, y = datasets.digits()
    X_train, X_test, y_train, y_test = datasets.split(X, y, test=0.25, seed=options.seed)
    say(f"handwritten digits: {len(X_train):,} images of 8 x 8 pixels to learn from, {len(X_test)} held out")
    net = cbp.mlp([64, *HIDDEN, 10], hidden="relu", output="softmax", seed=options.seed)
    optimizer = cbp.AdamW(1e-3, weight_decay=0.1)
    say(f"network: 64 pixels -> {' -> '.join(f'{units} relu' for units in HIDDEN)} -> 10 softmax, "
        f"{net.get_vector().size:,} parameters")  # fmt: skip
    started = time.perf_counter()
    history = fit(net, X_train, y_train, epochs=options.epochs, batch_size=BATCH_SIZE, optimizer=optimizer,
                  held_out=(X_test, y_test))
    seconds = time.perf_counter() - started
    outputs = net.predict(X_test)
    accuracy = float((outputs.argmax(axis=1) == y_test).mean())
    say(f"trained for {options.epochs} epochs in {seconds:.2f} s")
    say()

    net.metadata[METADATA] = _encoding().to_dict() | {"scored_on": "held-out rows", "score": {"accuracy": accuracy}}
    net.save(options.output)
    if options.csv is not None:
        _write_csv(options.csv, X_test, y_test)
    if options.json:
        emit_json({
            "accuracy": round(accuracy, 4), "training_images": len(X_train), "held_out_images": len(X_test),
            "confusion": confusion(y_test, outputs).tolist(), "model": options.output, "csv": options.csv,
            "epochs": options.epochs, "seed": options.seed, "seconds": round(seconds, 3), "history": curves_of(history),
        })  # fmt: skip
        return
    _report(X_test, y_test, outputs)
    emit()
    _next_steps(options)


def confusion(y: Array, outputs: Array) -> npt.NDArray[np.int64]:
    """How often each digit (row) was taken for each (column)."""
    counts = np.zeros((10, 10), np.int64)
    np.add.at(counts, (y, outputs.argmax(axis=1)), 1)
    return counts


def _report(X: Array, y: Array, outputs: Array) -> None:
    predicted = outputs.argmax(axis=1)
    right = predicted == y
    emit(f"held-out accuracy {right.mean():.4f}: {right.sum()} of {len(y)} digits that the network had never seen")
    emit()
    emit("How each digit (row) was read (column):")
    emit()
    for line in _confusion_table(confusion(y, outputs)):
        emit(line)
    emit()
    emit("The first four of them:")
    emit()
    for line in _gallery(X, y, outputs, np.arange(4)):
        emit(line)
    mistakes = np.flatnonzero(~right)
    if len(mistakes):
        emit()
        shown = mistakes[np.argsort(-outputs[mistakes].max(axis=1), kind="stable")[:4]]
        emit("The mistakes:" if len(mistakes) <= 4 else "Four mistakes, those that the network was surest of:")
        emit()
        for line in _gallery(X, y, outputs, shown):
            emit(line)


def _confusion_table(counts: npt.NDArray[np.int64]) -> list[str]:
    nothing = "·" if can_show("·") else "."
    rows = [["", *map(str, range(10)), "", "right"]]
    for digit, line in enumerate(counts.tolist()):
        share = f"{line[digit] / max(sum(line), 1):.1%}"
        rows.append([str(digit), *(str(count) if count else nothing for count in line), "", share])
    return ["  " + line for line in aligned(rows)]


def _gallery(X: Array, y: Array, outputs: Array, chosen: Array) -> list[str]:
    """Images side by side, 16 characters wide, each with what the network says below it."""
    pictures = [[*picture(X[index]), "", *_caption(int(y[index]), outputs[index])] for index in chosen]
    return [f"  {'   '.join(part.ljust(16) for part in parts)}".rstrip() for parts in zip(*pictures, strict=True)]


def picture(pixels: Array) -> list[str]:
    """Eight lines of text for the 64 pixels of a digit, each pixel two characters wide, since those are tall."""
    shades = " ░▒▓█" if can_show("░▒▓█") else " .:*#"
    levels = np.rint(pixels.reshape(8, 8) * (len(shades) - 1)).astype(int)
    return ["".join(shades[level] * 2 for level in row) for row in levels.tolist()]


def _caption(digit: int, output: Array) -> list[str]:
    best = int(output.argmax())
    says = f"says {best} ({_percent(output[best])})"
    return [says if best == digit else f"{says},", "right" if best == digit else f"but it is a {digit}"]


def _percent(probability: float) -> str:
    return ">99%" if probability > 0.99 else f"{probability:.0%}"


def _encoding() -> Encoding:
    """What lets ``cbp predict`` read a table of digits: pixels from 0 to 16, by row and column."""
    columns = tuple(Number(name, 0.0, 16.0) for name in _column_names())
    return Encoding(columns, Target("digit", tuple(range(10))))


def _column_names() -> list[str]:
    return [f"row{row}col{column}" for row in range(1, 9) for column in range(1, 9)]


def _write_csv(path: str, X: Array, y: Array) -> None:
    pixels = np.rint(X * 16).astype(int).tolist()
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_column_names(), "digit"])
    writer.writerows([*row, digit] for row, digit in zip(pixels, y.tolist(), strict=True))
    write_file(path, text.getvalue())


def _next_steps(options: Namespace) -> None:
    emit(f"The network is in {options.output}. What to try next:")
    steps = [(f"cbp info {options.output}", "what is in the file")]
    if options.csv is None:
        steps.append(("cbp demo --csv digits.csv", "a table to try the commands on"))
    else:
        steps += [
            (f"cbp predict {options.output} {options.csv}", "read the digits in the table"),
            (f"cbp trace {options.output} {options.csv} --html t.html", "how it read the first of them"),
            (f"cbp train {options.csv} --target digit", "train on that table"),
        ]
    steps += [
        ("cbp trace xor", "one step, number by number"),
        ("cbp train --help", "train on a table of your own"),
    ]
    width = max(len(command) for command, _ in steps)
    for command, purpose in steps:
        emit(f"  {command.ljust(width)}   {purpose}")
