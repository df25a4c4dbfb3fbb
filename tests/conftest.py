"""Makes tests/cases.py importable: with --import-mode=importlib the folder of the tests is not on the path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
