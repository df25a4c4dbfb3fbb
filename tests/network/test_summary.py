"""What a network says of itself: its table, what it costs, and how it looks in a notebook."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import cbp
from cbp.layers import summary

PRODUCTS = {
    "dense": ((4,), cbp.Dense(5, "tanh"), 4 * 5),
    "dense on steps": ((3, 4), cbp.Dense(5, bias=False), 3 * 4 * 5),
    "prelu": ((8, 3), cbp.PReLU(), 8 * 3),
    "embedding": ((6,), cbp.Embedding(100, 8), 0),
}
WINDOWS = {
    "conv_1d": ((7, 3), cbp.Conv1D(5, 3, stride=2, padding="same"), 4 * 5 * 3 * 3),
    "conv_2d": ((8, 6, 3), cbp.Conv2D(4, (3, 2)), 6 * 5 * 4 * (3 * 2) * 3),
    "conv_2d in groups": ((8, 8, 4), cbp.Conv2D(6, 3, groups=2, padding=1), 8 * 8 * 6 * 9 * 2),
    "depthwise": ((5, 5, 3), cbp.DepthwiseConv2D(3, multiplier=2), 3 * 3 * 6 * 9),
    "separable": ((5, 5, 3), cbp.SeparableConv2D(7, 3, multiplier=2), 3 * 3 * 6 * 9 + 3 * 3 * 6 * 7),
    "pool": ((8, 8, 3), cbp.AveragePool2D(2), 0),
}
STEPS = {
    "rnn": ((10, 3), cbp.RNN(4), 10 * (3 * 4 + 4 * 4)),
    "lstm": ((10, 3), cbp.LSTM(4, return_sequences=True), 10 * 4 * (3 * 4 + 4 * 4)),
    "gru": ((10, 3), cbp.GRU(4), 10 * 3 * (3 * 4 + 4 * 4)),
    "both ways": ((10, 3), cbp.Bidirectional(cbp.GRU(4)), 2 * 10 * 3 * (3 * 4 + 4 * 4)),
}
OTHERS = {
    "norm": ((8, 8, 3), cbp.GroupNorm(3), 8 * 8 * 3),
    "around": ((6,), cbp.Residual([cbp.Dense(8), cbp.Dense(6)]), 6 * 8 + 8 * 6),
    "around with a projection": ((6,), cbp.Residual([cbp.Dense(8)]), 6 * 8 + 6 * 8),
    "around with a stride": ((8, 8, 3), cbp.Residual([cbp.Conv2D(5, 3, stride=2, padding="same")]),
                             4 * 4 * 5 * 9 * 3 + 4 * 4 * 5 * 3),
}
COUNTED = PRODUCTS | WINDOWS | STEPS | OTHERS


@pytest.mark.parametrize("name", COUNTED)
def test_multiplications_by_hand(name):
    shape, layer, count = COUNTED[name]
    assert layer.multiplications(shape) == count
    (row,) = summary.rows([layer], shape)
    assert row.multiplications == count
    assert f"multiplications: {count:,} for a sample" in cbp.Network(shape, [layer], loss="mean_squared_error").summary()


@pytest.mark.parametrize("name", COUNTED)
def test_the_core_counts_alike_but_for_pads(name):
    """Its own estimate is of padded rows: never below, and with 16 of everything the same where all are products."""
    shape, layer, count = COUNTED[name]
    net = cbp.Network(shape, [layer], loss="mean_squared_error")
    if "embedding" not in name and "pool" not in name:
        assert net._plan.work >= count


def oracle(torch):
    """The same layers in PyTorch; recurrent ones step by step."""
    nn = torch.nn

    def steps(cell):
        def run(x):
            state = None
            for t in range(x.shape[1]):
                state = cell(x[:, t], state) if state is not None else cell(x[:, t])
        return run

    return {
        "dense": (nn.Linear(4, 5), (4,)), "dense on steps": (nn.Linear(4, 5), (3, 4)),
        "conv_2d": (nn.Conv2d(3, 4, (3, 2)), (3, 8, 6)),
        "conv_2d in groups": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (4, 8, 8)),
        "depthwise": (nn.Conv2d(3, 6, 3, groups=3), (3, 5, 5)),
        "separable": (nn.Sequential(nn.Conv2d(3, 6, 3, groups=3), nn.Conv2d(6, 7, 1)), (3, 5, 5)),
        "rnn": (steps(nn.RNNCell(3, 4)), (10, 3)), "lstm": (steps(nn.LSTMCell(3, 4)), (10, 3)),
        "gru": (steps(nn.GRUCell(3, 4)), (10, 3)),
    }


@pytest.mark.oracle
def test_multiplications_as_pytorch_counts_them():
    torch = pytest.importorskip("torch", reason="needs the extra 'oracle' (PyTorch)")
    from torch.utils.flop_counter import FlopCounterMode

    for name, (module, shape) in oracle(torch).items():
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, *shape))
        assert counter.get_total_flops() == 2 * COUNTED[name][2], name


def test_every_layer_with_weights_costs_something():
    """A new layer does not forget to tell: only a table that is read multiplies nothing."""
    import facts

    for kind, known in facts.LAYERS.items():
        for layer, shape in known.cases.values():
            learns = bool(layer.parameters(shape)) and kind is not cbp.Embedding
            assert (layer.multiplications(shape) > 0) >= learns, layer


def test_memory_is_what_the_network_holds():
    net = cbp.Network(16, [cbp.Dense(32, "relu"), cbp.Dense(16)], loss="mean_squared_error", dtype="float64")
    held = net._numbers.parameters.nbytes
    assert held == 8 * (16 * 32 + 32 + 32 * 16 + 16)
    assert f"memory: {held / 1024:.3g} KiB of parameters, 0 bytes of optimizer state, " in net.summary()
    row = net._plan.arena * 8
    assert row >= 8 * (2 * 32 + 2 * 16)
    assert f"{row} bytes for each row" in net.summary() or f"{row / 1024:.3g} KiB for each row" in net.summary()
    net.fit(np.ones((4, 16)), np.ones((4, 16)), epochs=1, optimizer="adam")
    assert f"{2 * held / 1024:.3g} KiB of optimizer state" in net.summary()


@pytest.mark.parametrize(("count", "text"), [
    (0, "0 bytes"), (999, "999 bytes"), (1000, "0.977 KiB"), (1024**2, "1 MiB"), (999.7 * 1024, "0.976 MiB"),
    (5 * 1024**3, "5 GiB"), (3000 * 1024**4, "3,000 TiB"),
])  # fmt: skip
def test_units(count, text):
    assert summary._size(count) == text


# --- in a notebook ------------------------------------------------------------------------------------------------------


class Reader(HTMLParser):
    """The elements, their balance and the words outside of style sheets."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words, self.attributes = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]
        self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [name for name, _ in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1] != "style":
            self.words.append(data)


PLAIN = {"div", "style", "p", "b", "svg", "title", "circle", "rect", "line", "path", "text",
         "table", "thead", "tbody", "tr", "th", "td"}
HOSTILE = ["<script>alert(1)</script>", "</table><img src=x onerror=alert(1)>", '" onmouseover="alert(1)', "'&lt;",
           "</title></svg>"]


def test_hostile_words_stay_words():
    for word in HOSTILE:
        kind = type(word, (cbp.Network,), {"__slots__": ()})
        net = kind(2, [cbp.Dense(3, "relu"), cbp.Dense(1)], loss="huber", seed=0)
        net.feature_names = [word, "y"]
        net.metadata = {word: word, "list": [word, {word: word}]}
        read = Reader(net._repr_html_())
        assert set(read.tags) <= PLAIN
        assert not {name for name in read.attributes if name.startswith("on") or name == "src"}
        words = "".join(read.words)
        assert words.count(word) >= 4  # the class twice, as heading and in the title; the feature; the notes


def test_the_document_has_table_and_drawing():
    net = cbp.Network((8, 8, 1), [cbp.Conv2D(4, 3, "relu"), cbp.Flatten(), cbp.Dense(10, "softmax")], loss="cross_entropy")
    text = net._repr_html_()
    read = Reader(text)
    for line in summary.written(net.layers, net.input_shape):
        for cell in line:
            assert not cell or cell in read.words
    assert "none yet" in read.words
    assert "Network: input → 0 Conv2D → 1 Flatten → 2 Dense" in read.words
    assert "6 × 6 × 4" in read.words
    assert text.count("<circle") == 6 + 6  # of more than 7 numbers 6 and dots
    assert text.count("<line") == 6 * 6  # all of the flat column with all of the last
    assert "metadata" not in read.words
    net.fit(np.ones((3, 8, 8, 1)), [0, 1, 2], epochs=1, batch_size=3)
    assert "1 epochs, 1 steps of this optimizer" in net._repr_html_()


def test_every_rule_beats_the_notebooks_own():
    """JupyterLab's rule for cells names three classes, two of them in :not."""
    (sheet,) = re.findall("<style>(.*?)</style>", cbp.mlp([2, 1])._repr_html_(), re.DOTALL)
    for rule in re.findall(r"([^{}]+)\{", sheet):
        assert all(part.strip().startswith(3 * ".cbp-network") for part in rule.split(","))


def test_colours_are_those_of_the_page():
    text = cbp.mlp([2, 3, 1])._repr_html_()
    assert set(re.findall(r"#\w{6}", text)) <= {"#7f7f7f"}  # with opacity, on any ground
    assert "currentColor" in text


@pytest.mark.parametrize("layers", [1, 12, 13, 40])
def test_a_long_network_is_not_drawn_as_a_whole(layers):
    net = cbp.Network(2, [cbp.Dense(2) for _ in range(layers)], loss="huber")
    drawing = re.search("<svg.*?</svg>", net._repr_html_())[0]
    shown = re.findall(r">(\d+ Dense)</text>", drawing)
    assert shown[-1] == f"{layers - 1} Dense"
    assert len(shown) == (layers if layers < 13 else 11)
    width = float(re.search(r'width="([\d.]+)"', drawing)[1])
    assert width < 1200
    for x in re.findall(r'<text x="([-\d.]+)"', drawing):
        assert 0 < float(x) < width


def test_names_and_notes_are_cut():
    net = cbp.mlp([500, 1])
    net.feature_names = [f"column {i} {'x' * 400}" for i in range(500)]
    net.metadata = {str(i): "y" * 10_000 for i in range(1000)}
    text = net._repr_html_()
    assert len(text) < 20_000
    assert "and 488 more" in text
    assert "and 988 more" in text
