"""The command line's grammar: commands, options and their help."""

from __future__ import annotations

import argparse
import csv
import difflib
import math
import re
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from cbp.activations import ACTIVATIONS
from cbp.cli.rates import SCHEDULES
from cbp.errors import plain
from cbp.habits import own_word
from cbp.optimizers import OPTIMIZERS

__all__ = ["USAGE", "Parser", "build"]

USAGE = 2
"""The exit code for a wrong command line."""

_EXAMPLES = """examples:
  cbp demo                                learn to read handwritten digits, in seconds
  cbp train flowers.csv --target species  make model.cbp from a table
  cbp predict model.cbp new.csv           predict that column for other rows
  cbp info model.cbp                      what is in a model
  cbp trace xor                           one step of backpropagation, number by number

"cbp COMMAND --help" tells all about a command. Results go to standard output,
remarks and progress to standard error; with --json the result is one JSON
document. The exit code is 0 after success, 1 after a failure (a file, its
data), 2 for a wrong command line."""

_DEMO = """The digits come with cbp: the test part of "Optical Recognition of Handwritten
Digits" by E. Alpaydin and C. Kaynak, UCI Machine Learning Repository, CC BY
4.0. The accuracy is that on a quarter of them, from which it does not learn.

examples:
  cbp demo
  cbp demo --csv digits.csv && cbp predict digits.cbp digits.csv"""

_TRAIN = """The table is a CSV file (comma, semicolon or tab; UTF-8) whose first line names
the columns. Columns of numbers are standardised; a column of text becomes one
input for each of its categories; the model remembers how. Missing values are
refused. Rows are held out, of every class the same share, and the model is that
of the epoch which was best on them; training stops when they have not become
better for some time. The score at the end is that on these rows: the network
has not learnt from them, but they have chosen the epoch.

examples:
  cbp train flowers.csv --target species
  cbp train houses.csv --target price --ignore id,street -o houses.cbp
  zcat big.csv.gz | cbp train - --target y --task classification"""

_PREDICT = """Columns are found by name: their order does not matter, and those that the
model does not know are not read. Where the table holds the target too, the
score is printed on standard error.

examples:
  cbp predict model.cbp new.csv
  cbp predict model.cbp new.csv --proba -o predictions.csv
  cbp predict model.cbp - < new.csv | head"""

_TRACE = """For every unit: its incoming terms, weighted sum, activation, derivative and
delta. For every weight: its gradient, and its value before and after the step.
Of large layers the first units and the largest terms and weights are shown, the
rest counted; --all shows all of them, and --json holds them in any case. The
model is not changed.

examples:
  cbp trace xor
  cbp trace model.cbp data.csv --row 3
  cbp trace model.cbp data.csv --optimizer sgd --rate 0.1 --html trace.html"""

_INFO = """examples:
  cbp info model.cbp
  cbp info model.cbp --json"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints look like all of cbp's."""

    def __init__(self, **settings: Any):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **settings)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As ever; the parser of a command refuses what it does not know itself, as it knows its own options."""
        known, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return known, rest

    def error(self, message: str) -> NoReturn:
        message += self._instead(message)
        self.exit(USAGE, f"cbp: error: {plain(message, 1000)}\nTo see what is possible: {self.prog} --help\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        """As ever; but help that could not be written is an error, which argparse hides where output has no buffer."""
        if file is sys.stdout:
            file.write(message)
        else:
            super()._print_message(message, file)

    def _instead(self, message: str) -> str:
        """Where an option is not known: this command's own one for the same, else nothing."""
        unknown = re.search(r"unrecognized arguments: .*?--([a-z0-9_-]+)", message, re.IGNORECASE)
        if unknown is None:
            return ""
        word = unknown[1].lower().replace("-", "_")
        own = {option[2:].replace("-", "_"): option for option in self._option_string_actions if option.startswith("--")}
        if word in _OF_PROGRESS and "quiet" in own:
            return "; progress is shown, unless --quiet is given"
        right = next((name for name in own if word in _WORDS.get(name, "").split()), None) or own_word(word, own)
        right = right or next(iter(difflib.get_close_matches(word, own, n=1)), None)
        return f"; did you mean {own[right]}?" if right else ""


_OF_PROGRESS = ("verbose", "verbosity", "progress")
_WORDS = {
    "quiet": "silent no_progress", "hidden": "layers hidden_layers hidden_layer_sizes hidden_sizes units",
    "activation": "hidden_activation", "validation": "test_size val_split validation_split validation_fraction",
    "threads": "jobs", "output": "out model save", "target": "label y target_column", "ignore": "drop exclude",
    "text": "categorical categories", "proba": "probabilities predict_proba",
}
"""The option of a command: what others call it, beside what :mod:`cbp.habits` knows of arguments."""


def build() -> Parser:
    """The parser; ``options.command`` names the module and the function that do the work."""
    about = "Train small neural networks on the CPU, use them, and see every number of what they compute."
    parser = Parser(prog="cbp", description=about, epilog=_EXAMPLES)
    parser.add_argument("--version", action="version", version=f"cbp {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)
    for add in (_add_demo, _add_train, _add_predict, _add_trace, _add_info):
        add(commands)
    return parser


def _version() -> str:
    import cbp

    return cbp.__version__


def _command(commands: Any, name: str, summary: str, epilog: str) -> Parser:
    about = summary[0].upper() + summary[1:] + "."
    parser: Parser = commands.add_parser(name, help=summary, description=about, epilog=epilog)
    parser.set_defaults(command=(name, name))
    parser.add_argument("--json", action="store_true", help="print the result as one JSON document")
    return parser


def _add_demo(commands: Any) -> None:
    add = _command(commands, "demo", "learn to read handwritten digits, and show how well", _DEMO).add_argument
    add("-o", "--output", metavar="FILE", default="digits.cbp", help="where the model goes (default: digits.cbp)")
    add("--csv", metavar="FILE", help="write the held-out digits there, as a table to try the other commands on")
    add("--epochs", metavar="N", type=_whole(1), default=40, help="passes over the images (default: 40)")
    add("--seed", metavar="N", type=_seed, default=0, help=_SEED_HELP)


def _add_train(commands: Any) -> None:
    add = _command(commands, "train", "train a network on a table and save it", _TRAIN).add_argument
    add("data", metavar="DATA", help="the table, a CSV file; - for standard input")
    add("--target", metavar="COLUMN", required=True, help="the column to predict")
    add("-o", "--output", metavar="MODEL", default="model.cbp", help="where the model goes (default: model.cbp)")
    task = "whether the target is one of a few classes or a number (default: classes for text and few whole numbers)"
    add("--task", choices=["classification", "regression"], help=task)
    add("--ignore", metavar="COLUMNS", type=_names, default=[], help="columns to leave out, as id,name")
    codes = "columns whose numbers are only codes, as zip,month: read them as text"
    add("--text", metavar="COLUMNS", type=_names, default=[], help=codes)
    hidden = "units of the hidden layers; none for a linear model (default: 64,64)"
    add("--hidden", metavar="UNITS", type=_sizes, default=[64, 64], help=hidden)
    names = [name for name, row in ACTIVATIONS.items() if not row.joint]
    activation = f"of the hidden layers: {', '.join(names)} (default: relu)"
    add("--activation", metavar="NAME", choices=names, default="relu", help=activation)
    add("--epochs", metavar="N", type=_whole(1), default=100, help="passes over the rows (default: 100)")
    add("--batch-size", metavar="N", type=_whole(1), default=32, help="rows in a step (default: 32)")
    _add_optimizer(add, "adam")
    l2 = "penalty on large weights, l2 / 2 times the sum of their squares (default: 0)"
    add("--l2", metavar="NUMBER", type=_number(0), default=0.0, help=l2)
    validation = "share of the rows to hold out; 0 for none (default: 0.2, and 0 below 20 rows)"
    add("--validation", metavar="FRACTION", type=_fraction, help=validation)
    patience = "epochs without a better held-out loss after which training stops; none to run all epochs (default: 20)"
    add("--patience", metavar="N", type=_patience, help=patience)
    metric = "what the best epoch is chosen by in the place of the held-out loss, as f1, roc_auc, r2 (see docs/metrics.md)"
    add("--metric", metavar="NAME", type=_metric, help=metric)
    schedule = f"how the rate falls over the run: {', '.join(SCHEDULES)} (default: not at all)"
    add("--schedule", metavar="NAME", choices=[*SCHEDULES], help=schedule)
    clip = "bound on the norm of the gradient of a step (default: none)"
    add("--clip", metavar="NUMBER", type=_number(0, excluded=True), help=clip)
    balanced = "balanced: rare classes count as much as frequent ones"
    add("--class-weight", metavar="HOW", choices=["balanced"], help=balanced)
    add("--seed", metavar="N", type=_seed, default=0, help=_SEED_HELP)
    threads = "threads that share a step of a large network, or auto; the model is the same for any number (default: 1)"
    add("--threads", metavar="N", type=_threads, default=1, help=threads)
    add("-q", "--quiet", action="store_true", help="no lines of progress")


def _add_predict(commands: Any) -> None:
    add = _command(commands, "predict", "predict the target for every row of a table", _PREDICT).add_argument
    add("model", metavar="MODEL", help="a model of cbp train or cbp demo")
    add("data", metavar="DATA", help="the table, a CSV file; - for standard input")
    add("-o", "--output", metavar="FILE", default="-", help="where the predictions go, as CSV (default: standard output)")
    add("--proba", action="store_true", help="add the probability of every class")


def _add_trace(commands: Any) -> None:
    add = _command(commands, "trace", "show one training step, number by number", _TRACE).add_argument
    add("model", metavar="MODEL", help="a model of cbp train or cbp demo; or xor, an example that needs no files")
    add("data", metavar="DATA", nargs="?", help="the table, target included; - for standard input")
    add("--row", metavar="N", type=_whole(1), help="the row of the table, from 1 (default: 1)")
    _add_optimizer(add, None)
    add("--all", action="store_true", help="show every unit, term and weight, of large layers too")
    add("--html", metavar="FILE", help="write the trace there, as a page for a browser; - for standard output")


def _add_info(commands: Any) -> None:
    add = _command(commands, "info", "show what a model holds", _INFO).add_argument
    add("model", metavar="MODEL", help="a model file of cbp")


def _add_optimizer(add: Callable[..., Any], default: str | None) -> None:
    which = f"{', '.join(OPTIMIZERS)} (default: {default or 'as the model was trained'})"
    add("--optimizer", metavar="NAME", choices=[*OPTIMIZERS], default=default, help=which)
    rate = "size of the steps (default: that of the optimizer)"
    add("--rate", metavar="NUMBER", type=_number(0, excluded=True), help=rate)


# --------------------------------------------------------------------------------------------------- values of options


def _whole(minimum: int, below: int = 10**9) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if not minimum <= value < below:
            raise argparse.ArgumentTypeError(f"must be a whole number from {minimum} to {below - 1}, got {text!r}")
        return value

    return whole


def _patience(text: str) -> int:
    return 10**9 if text == "none" else _whole(1)(text)


def _metric(text: str) -> str:
    from cbp.metrics import get  # here: most commands do without

    try:
        get(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None
    return text


def _threads(text: str) -> int | str:
    return text if text == "auto" else _whole(1, below=257)(text)


_seed = _whole(0, below=2**63)
_SEED_HELP = "decides which rows are held out, the first weights and the order of the rows (default: 0)"


def _number(minimum: float, *, excluded: bool = False) -> Callable[[str], float]:
    def number(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= minimum and not (excluded and value == minimum)):
            wanted = f"above {minimum:g}" if excluded else f"of at least {minimum:g}"
            raise argparse.ArgumentTypeError(f"must be a number {wanted}, got {text!r}")
        return value

    return number


def _fraction(text: str) -> float:
    try:
        value = _number(0)(text)
    except argparse.ArgumentTypeError:
        value = 1.0
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to below 1, such as 0.2, got {text!r}")
    return value


def _sizes(text: str) -> list[int]:
    try:
        return [] if text == "none" else [_whole(1)(part) for part in text.split(",")]
    except argparse.ArgumentTypeError:
        wanted = "must be numbers of units, such as 64,64, or none"
        raise argparse.ArgumentTypeError(f"{wanted}, got {text!r}") from None


def _names(text: str) -> list[str]:
    """Names separated by commas; one that holds a comma stands in double quotes, as in a CSV file."""
    try:
        return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip()]
    except csv.Error:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of names separated by commas") from None
