"""Makes what tests share importable (cases, facts, oracles): with --import-mode=importlib their folder is not on the path."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))
from cases import seed_of


def pytest_collection_modifyitems(items):
    """What is tiny comes first."""
    items.sort(key=lambda item: item.path.name != "test_tiny.py")


@pytest.fixture(autouse=True)
def _every_test_draws_its_own_numbers(request):
    """A module's generator RNG starts anew in every test, by the name of the test, not where the tests before it left it."""
    generator = getattr(request.module, "RNG", None)
    if generator is not None:
        generator.bit_generator.state = np.random.default_rng(seed_of(request.node.name)).bit_generator.state
