"""facts.py has a row for all that is public of these families, and what the rows say fits the package."""

import facts
import pytest

import cbp
from cbp import layers, losses, optimizers, schedules


def public_layers():
    kinds = {value for value in vars(layers).values() if isinstance(value, type) and issubclass(value, layers.Layer)}
    return kinds - {layers.Layer}


def test_everything_public_has_a_row():
    assert set(facts.ACTIVATIONS) == set(layers.ACTIVATIONS)
    assert set(facts.LOSSES) == set(losses.LOSSES)
    assert set(facts.OPTIMIZERS) == set(optimizers.OPTIMIZERS)
    assert set(facts.SCHEDULES) == set(schedules.SCHEDULES)
    assert set(facts.LAYERS) == public_layers()


def test_names_of_cases_are_distinct():
    for rows, field in ((facts.LAYERS, "cases"), (facts.LAYERS, "traced"), (facts.OPTIMIZERS, "plain"),
                        (facts.SCHEDULES, "plain")):
        names = [name for row in rows.values() for name in getattr(row, field)]
        assert len(names) == len(set(names))


def test_every_optimizer_is_in_its_row():
    for name, row in facts.OPTIMIZERS.items():
        assert {type(optimizer) for optimizer in (row.plain | row.options).values()} == {optimizers.OPTIMIZERS[name]}
        assert set(row.golden) == set(row.plain)
        assert {slot for optimizer in row.plain.values() for slot in optimizer.slots} == set(row.slots)


def test_every_schedule_is_in_its_row():
    for name, row in facts.SCHEDULES.items():
        assert {type(schedule) for schedule in row.plain.values()} == {schedules.SCHEDULES[name]}
        assert set(row.formulas) == set(row.plain) >= set(row.torch)


def test_every_layer_is_in_its_row():
    for kind, row in facts.LAYERS.items():
        assert {type(layer) for layer, _ in row.cases.values()} == {kind}


@pytest.mark.parametrize("activation", facts.ACTIVATIONS)
@pytest.mark.parametrize("loss", facts.LOSSES)
def test_a_loss_takes_the_outputs_that_it_is_defined_for(loss, activation):
    """The package knows ranges by name; here they are those of the values."""
    layers = [cbp.Dense(2, activation)]
    if facts.suits(facts.LOSSES[loss], facts.ACTIVATIONS[activation]):
        cbp.Network(3, layers, loss=loss)
    else:
        with pytest.raises(ValueError, match=f"loss '{loss}' needs .* got '{activation}'"):
            cbp.Network(3, layers, loss=loss)


@pytest.mark.parametrize("loss", facts.LOSSES)
def test_the_usual_activation_of_a_loss_suits_it(loss):
    row = facts.LOSSES[loss]
    assert facts.suits(row, facts.ACTIVATIONS[row.output])
