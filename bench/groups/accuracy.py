"""Time to accuracy on the bundled digits: the same weights and batches, so the curves agree and only the clock differs."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench import turns
from bench.goals import Reached
from bench.groups.training import check_agreement
from bench.peers import PEERS
from bench.table import DASH, Table, percent, ratio
from bench.turns import How, Series

NAME = "digits 64-64-10 b32"


class Accuracy:
    about = "seconds until the bundled digits are learnt"
    names = [NAME]  # noqa: RUF012
    quick = names

    def run(self, names: list[str], how: How) -> dict[str, Any]:
        series = [Series(peer, "digits", {"peer": peer}, PEERS[peer].environment) for peer in how.who("accuracy")]
        row = turns.measure(NAME, series, how, base="cbp", probe=False)
        check_agreement(row)
        return {"rows": [row]}

    def own(self, name: str, how: How) -> None:
        return None

    def tables(self, result: dict[str, Any]) -> list[Table]:
        (row,) = result["rows"]
        asked = next((one["asked"] for one in row["series"].values() if "asked" in one), 0)
        table = Table(
            f"{NAME}, Adam: milliseconds of training until {percent(asked)} of the validation data are right", "",
            "ms", "epochs", "ms of all", "(times cbp's)", "epochs in all", "last accuracy", "last loss",
        )
        for name, one in row["series"].items():
            if "median_us" not in one:
                table.add(PEERS[name].title, *["failed" if "error" in one else DASH] * 7)
                continue
            curve, losses = one["accuracies"][-1], one["losses_by_epoch"][-1]
            reached = [taken for taken in one["seconds_to"] if taken is not None]
            table.add(
                PEERS[name].title, f"{median(reached) * 1e3:.2f}" if reached else "never", str(one["epochs_to"][-1] or DASH),
                f"{one['median_us'] / 1e3:.1f}", ratio(one["ratio"]) if "ratio" in one else "", str(len(curve)),
                f"{curve[-1]:.2%}", f"{losses[-1]:.4f}",
            )
        return [table]

    def goals(self, result: dict[str, Any]) -> list[Reached]:
        return []
