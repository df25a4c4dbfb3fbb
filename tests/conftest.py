"""Makes what tests share importable (cases, facts, oracles): with --import-mode=importlib their folder is not on the path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
