"""``python -m tests.campaign``."""

import argparse
import sys
import time

from campaign import stacks
from campaign.child import KINDS, kind_of
from campaign.parent import PER_SEED, Campaign


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description="Random cases against oracles.")
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default: 1)")
    parser.add_argument("--seed", type=int, default=0, help="which cases (default: 0)")
    parser.add_argument("--only", choices=list(KINDS), help="cases of one kind")
    parser.add_argument("--case", type=int, help="one case, by its own seed, as a finding names it")
    parser.add_argument("--limit", type=float, default=120.0, help="seconds that a case may take (default: 120)")
    options = parser.parse_args(arguments)
    first, count = options.seed * PER_SEED, PER_SEED
    if options.case is not None:
        first, count = options.case, 1
    kinds = [options.only] if options.only else list(KINDS)
    if options.case is not None:
        kinds = [kind_of(options.case)]
    if "torch" in kinds and not stacks.available():
        print("PyTorch is not installed: no random stacks")
        kinds.remove("torch")
    campaign = Campaign(first, first + count, kinds, time.monotonic() + 60 * options.minutes, options.limit)
    campaign.run()
    print(campaign.table())
    return 1 if campaign.findings else 0


if __name__ == "__main__":
    sys.exit(main())
