"""The process that runs cases: ``python -m tests.campaign.child FIRST KINDS LAST`` runs those from FIRST to before LAST.

It tells on its standard output, a JSON list a line, which case begins, each line of its script before that runs, and how it
ended: so the parent knows where it was when it died or hangs.
"""

import faulthandler
import json
import os
import sys
import traceback
import warnings

from campaign import stacks
from campaign.case import Finding
from campaign.mutations import File
from campaign.sequences import Sequence

KINDS = {"sequences": Sequence, "files": File, "torch": stacks.Stack}
"""What ``--only`` may name."""
TURNS = ["sequences"] * 6 + ["files", "torch"] * 2
"""A case's kind follows from its seed: with ``--only`` and without it, a seed is the same case."""


NOT_FINITE = r".*\b(holds|is) -?(nan|inf)\b"
"""What cbp warns of results that are not finite; any other warning is a finding, but of metrics that data do not define."""


def kind_of(seed):
    return TURNS[seed % len(TURNS)]


def run_case(seed, tell):
    """Run a case and tell of it. An exception that is no finding is one all the same: of cbp or of the campaign."""
    kind = kind_of(seed)
    tell("case", seed, kind)
    case = KINDS[kind](seed, lambda line: tell("line", line))
    found = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore" if kind == "torch" else "error")
        warnings.filterwarnings("ignore", NOT_FINITE, RuntimeWarning)
        warnings.filterwarnings("ignore", "metrics: .* is not defined here", RuntimeWarning)
        try:
            case.run()
        except Finding as finding:
            found = str(finding)
        except Exception:
            found = traceback.format_exc()
    if found:
        tell("finding", found)
    tell("done", dict(case.counts))


def main(arguments):
    """Cases from the first to before the last."""
    first, kinds, last = int(arguments[0]), arguments[1].split(","), int(arguments[2])
    faulthandler.enable()
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else prints goes to the errors

    def tell(*words):
        pipe.write(json.dumps(words) + "\n")
        pipe.flush()

    for seed in range(first, last):
        if kind_of(seed) in kinds:
            run_case(seed, tell)
    tell("end")


if __name__ == "__main__":
    main(sys.argv[1:])
