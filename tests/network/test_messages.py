"""What stands in messages: text from outside is escaped and short, whoever it comes from."""

import numpy as np
import pytest

import cbp
from cbp.errors import plain, quoted


@pytest.mark.parametrize(("given", "shown"), [
    ("plain ä 漢 🙂", "plain ä 漢 🙂"), ("a\x1b[2J\x9b", r"a\x1b[2J\x9b"), ("a\nb\r\t", r"a\nb\r\t"),
    ("\u202e\u2066", r"\u202e\u2066"),
    ("\u200b\ufeff\u2028", r"\u200b\ufeff\u2028"), ("\ud800", r"\ud800"), ("\U000e0041", r"\U000e0041"), (3, "3"),
])
def test_text_is_shown_on_one_line_without_what_acts_on_a_terminal(given, shown):
    assert plain(given) == shown
    assert plain(given).isprintable()


def test_long_text_is_cut():
    assert plain("x" * 200) == "x" * 200
    assert plain("x" * 201) == "x" * 200 + "..."
    assert plain("\x1b" * 200) == (r"\x1b" * 50) + "..."
    assert quoted(list(range(10**5))) == repr(list(range(1000)))[:200] + "..."


class Broken:
    def __repr__(self):
        raise RuntimeError


def test_values_that_cannot_be_written_have_their_type():
    assert quoted(Broken()) == "a value of type Broken"
    assert quoted(10**5000) == "a value of type int"
    assert quoted(np.eye(2)) == "array([[1., 0.],        [0., 1.]])"


LONG = "\x1b[31m\u202e" + "x" * 131_000
REFUSED = {
    "units": lambda: cbp.Dense(LONG), "activation": lambda: cbp.Dense(1, LONG), "init": lambda: cbp.Dense(1, init=LONG),
    "large": lambda: cbp.Dense(10**5000), "padding": lambda: cbp.Conv1D(1, 1, padding=LONG), "shape": lambda: cbp.Reshape(LONG),
    "layers": lambda: cbp.Network(1, [LONG], loss="huber"), "loss": lambda: cbp.mlp([1, 1], loss=LONG),
    "sizes": lambda: cbp.mlp(LONG), "list": lambda: cbp.mlp([[0] * 100_000, 1]),
    "inputs": lambda: cbp.Network([None] * 10**5, []),
    "dtype": lambda: cbp.mlp([1, 1], dtype=LONG), "seed": lambda: cbp.mlp([1, 1], seed=LONG), "rate": lambda: cbp.Adam(LONG),
    "rate list": lambda: cbp.Adam([0.1] * 10**5), "nesterov": lambda: cbp.SGD(0.1, momentum=0.5, nesterov=LONG),
    "optimizer": lambda: cbp.mlp([1, 1]).set_optimizer(LONG), "x": lambda: cbp.mlp([1, 1]).predict([[LONG]]),
    "threads": lambda: cbp.mlp([1, 1]).fit([[0.0]], [0.0], threads=LONG), "save": lambda: cbp.mlp([1, 1]).save([LONG]),
    "layers inside": lambda: cbp.Network(1, [cbp.Residual([cbp.Dense(2)] * 5000 + [cbp.Conv1D(1, 1)])], loss="huber"),
    "initializer": lambda: cbp.initializers.get(LONG), "find": lambda: cbp.losses.get(LONG),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_huge_argument_makes_no_huge_message(case):
    with pytest.raises((TypeError, ValueError)) as caught:
        REFUSED[case]()
    assert len(str(caught.value)) < 1500
    assert str(caught.value).isprintable()


def test_a_network_without_steps_says_what_takes_a_sample():
    with pytest.raises(ValueError, match=r"predict_step\(\) takes a step of a sequence.*predict_one\(\) takes one of them"):
        cbp.mlp([3, 1], seed=0).predict_step(np.ones(3))
