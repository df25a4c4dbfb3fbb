"""One time step a call of a recurrent net that keeps its state, called from Python with one's own arrays."""

from __future__ import annotations

from typing import Any

from bench import turns
from bench.goals import Reached
from bench.groups.training import check_agreement, speed, steadiness
from bench.models import STEP_MOST_US, STEPS
from bench.peers import PEERS
from bench.progress import say
from bench.table import Table
from bench.turns import How, Row, Series


class Stepping:
    about = "one time step a call of LSTM and GRU, called from Python"
    names = [model.name for model in STEPS]  # noqa: RUF012
    quick = names

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        return {"rows": [one_step(name, how) for name in say(names)]}

    def own(self, name: str, how: How) -> Series | None:
        return of_peer("cbp", name)

    def tables(self, result: dict[str, Any]) -> list[Table]:
        return [speed("Microseconds a time step", result["rows"]), steadiness(result["rows"])]

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        return [
            Reached(row["name"], "µs", STEP_MOST_US, row["series"]["cbp"]["median_us"], "number", at_least=False)
            for row in result["rows"] if row["name"] == STEPS[0].name and "median_us" in row["series"].get("cbp", {})
        ]


def one_step(name: str, how: How) -> Row:
    row = turns.measure(name, [of_peer(peer, name) for peer in how.who("state")], how, base="cbp")
    check_agreement(row, "outputs")
    return row


def of_peer(peer: str, name: str) -> Series:
    return Series(peer, "stepping", {"peer": peer, "model": name}, PEERS[peer].environment)
