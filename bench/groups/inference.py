"""Predictions, and training on a single row, called from Python with one's own arrays."""

from __future__ import annotations

from typing import Any

from bench import limits, turns
from bench.goals import Reached
from bench.groups.training import check_agreement, of_peer, speed, steadiness
from bench.peers import PEERS
from bench.predictions import BY_NAME, ONE_ROW_MOST_US, PREDICTIONS, Prediction
from bench.progress import say
from bench.table import Table
from bench.turns import How, Row, Series
from bench.workloads import ONE_ROW


class Inference:
    about = "predictions, and training on one row, called from Python"
    names = [*(prediction.name for prediction in PREDICTIONS), ONE_ROW.name]  # noqa: RUF012
    quick = names

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        return {"rows": [one_row(how) if name == ONE_ROW.name else predict(BY_NAME[name], how) for name in say(names)]}

    def own(self, name: str, how: How) -> Series | None:
        return of_peer("cbp-rows", ONE_ROW, how) if name == ONE_ROW.name else of_prediction("cbp", BY_NAME[name])

    def tables(self, result: dict[str, Any]) -> list[Table]:
        return [speed("Microseconds a call", result["rows"]), steadiness(result["rows"])]

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        return [goal for row in result["rows"] for goal in reached(row)]


def one_row(how: How) -> Row:
    """`train_on_batch` of cbp stands under its name, beside the steps of a batch of one row in other libraries."""
    peers = [*(["cbp-rows"] if "cbp" in how.peers else []), *how.who("row", slow=False)]
    row = turns.measure(ONE_ROW.name, [of_peer(peer, ONE_ROW, how) for peer in peers], how, base="cbp-rows")
    check_agreement(row)
    if "cbp-rows" in row["series"]:
        row["series"] = {"cbp": row["series"].pop("cbp-rows"), **row["series"]}
    return row


def predict(prediction: Prediction, how: How) -> Row:
    series = [of_prediction(peer, prediction) for peer in how.who("inference")]
    row = turns.measure(prediction.name, series, how, base="cbp")
    if prediction.bounded and "machine" in row:
        row["limit"] = limits.prediction(prediction.net, prediction.rows, **row["machine"])
        if "median_us" in row["series"].get("cbp", {}):
            row["share_of_limit"] = row["limit"]["us"] / row["series"]["cbp"]["median_us"]
    check_agreement(row, "outputs")
    return row


def of_prediction(peer: str, prediction: Prediction) -> Series:
    return Series(peer, "predicting", {"peer": peer, "prediction": prediction.name}, PEERS[peer].environment)


def reached(row: Row) -> list[Reached]:
    own, found = row["series"].get("cbp", {}), []
    if "median_us" not in own:
        return found
    prediction = BY_NAME.get(row["name"])
    most = prediction.most_us if prediction else ONE_ROW_MOST_US
    if most:
        found.append(Reached(row["name"], "µs", most, own["median_us"], "number", at_least=False))
    if prediction and prediction.least_share and "share_of_limit" in row:
        found.append(Reached(row["name"], "share of limit", prediction.least_share, row["share_of_limit"], "share"))
    if prediction and prediction.least_ratio and "ratio" in row["series"].get("onnx", {}):
        found.append(Reached(row["name"], "against ONNX Runtime", prediction.least_ratio, row["series"]["onnx"]["ratio"]))
    return found
