"""A campaign: random networks, calls, files and PyTorch stacks for as long as one likes, each held against an oracle.

``python -m tests.campaign --minutes 10 --seed 0`` runs it. ``parent.py`` watches a process of ``child.py``, which runs one case
after the other; a case is what its seed makes of it.
"""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))  # facts, oracles and cases lie there, as for all tests
