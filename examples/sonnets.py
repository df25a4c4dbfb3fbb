"""A network reads Shakespeare's sonnets character by character, and then
writes on its own.

    python examples/sonnets.py --temperature 0.5

At every step the network sees one character and says how likely each character
is to be the next. Its state has to know what came before. To write, it gets
one character at a time, one is drawn from what it answers, and that one comes
next.
"""

import argparse
from pathlib import Path

import numpy as np

import cbp

STEPS = 64  # characters of one training sequence

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--quick", action="store_true", help="train for one epoch only")
parser.add_argument("--temperature", type=float, default=0.5, metavar="T",
                    help="below 1 the likely characters come more often, above 1 less often (default 0.5)")
parser.add_argument("--length", type=int, default=600, metavar="N", help="characters to write (default 600)")
options = parser.parse_args()
if options.temperature <= 0:
    parser.error(f"--temperature must be above 0, got {options.temperature}")


def encode(text: str) -> np.ndarray:
    """The numbers of the characters in the alphabet."""
    return np.array([alphabet.index(character) for character in text])


def sequences(codes: np.ndarray, apart: int) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of the text, and the same one character later: what is to be answered at each step."""
    stretches = np.lib.stride_tricks.sliding_window_view(codes, STEPS + 1)[::apart]
    return stretches[:, :-1], stretches[:, 1:]


text = (Path(__file__).parent / "data" / "sonnets.txt").read_text(encoding="ascii")
alphabet = sorted(set(text))
poems = text.split("\n\n")
learnt, held_out = encode("\n\n".join(poems[:-6])), encode("\n\n".join(poems[-6:]))

layers = [
    cbp.Embedding(len(alphabet), 32),
    cbp.Dropout(0.3),  # without it the network soon knows the sonnets by heart and gets worse on others
    cbp.LSTM(128, return_sequences=True),
    cbp.Dropout(0.5),
    cbp.Dense(len(alphabet), "softmax"),
]
net = cbp.Network(STEPS, layers, loss="cross_entropy", seed=0)
X, y = sequences(learnt, apart=8)
validation = sequences(held_out, apart=STEPS)
print(f"{len(learnt):,} characters to learn from, {len(alphabet)} different ones; the last {len(held_out):,} are held out")
history = net.fit(X, y, epochs=1 if options.quick else 16, optimizer=cbp.Adam(3e-3), validation_data=validation, threads="auto")

share = np.bincount(learnt, minlength=len(alphabet)) / len(learnt)
scores = net.evaluate(*validation)
print(f"trained for {history.epochs} epochs in {history.seconds[-1]:.1f} s\n")
print("guessing the next character       bits  likeliest is right")
print(f"from how frequent each is         {-np.mean(np.log2(share[held_out])):.2f}  {np.mean(held_out == share.argmax()):.0%}")
print(f"from what came before (network)   {scores['loss'] / np.log(2):.2f}  {scores['accuracy']:.0%}")


def write(length: int, temperature: float, seed: int) -> str:
    """What the network writes after an empty line."""
    random = np.random.default_rng(seed)
    written = "\n"
    net.reset_state()
    net.predict_step(alphabet.index("\n"))
    for _ in range(length):
        likely = net.predict_step(alphabet.index(written[-1])).astype(float) ** (1 / temperature)
        written += random.choice(alphabet, p=likely / likely.sum())
    return written.strip()


print(f"\nwritten by the network at temperature {options.temperature:g}:\n")
print(write(options.length, options.temperature, seed=1))
