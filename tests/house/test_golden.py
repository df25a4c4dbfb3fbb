"""Seeded runs give what they gave when tests/golden.json was written: a change of bits is a decision, not an accident."""

import golden
import pytest


@pytest.fixture(scope="module")
def differing():
    return dict(golden.differences(list(golden.CASES)))


@pytest.mark.parametrize("family", sorted({name.partition("/")[0] for name in golden.CASES}))
def test_the_bits_are_those_that_were_recorded(differing, family):
    assert {name: what for name, what in differing.items() if name.startswith(f"{family}/")} == {}


def test_a_case_that_was_recorded_is_still_run():
    assert not golden.recorded()["cases"].keys() - golden.CASES.keys()
