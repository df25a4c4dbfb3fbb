"""One place for the names of a family: a passage elsewhere that writes out many of them is a second list, and fails.

A passage is a statement of a module, a block of Cython, a paragraph or a table of a page. Examples name a few members; how many
are still examples, ``LIMITS`` says. Where a list in a page comes from the code, it stands between the two lines
``<!-- generated: ... -->`` and ``<!-- end -->``, and a test holds it against the code.
"""

import ast
import re
from fnmatch import fnmatchcase

import facts
import pytest
from places import ROOT

import cbp

FAMILIES = {
    "activation": set(facts.ACTIVATIONS),
    "loss": {*facts.LOSSES, *(kind.__name__ for kind in cbp.losses.LOSSES.values())},
    "optimizer": {*facts.OPTIMIZERS, *(kind.__name__ for kind in cbp.optimizers.OPTIMIZERS.values())},
    "layer": {kind.__name__ for kind in facts.LAYERS},
    "metric": {name for kind in cbp.metrics.METRICS.values() for name in (kind.name, kind.__name__)},
}
LIMITS = {"activation": 6, "loss": 4, "optimizer": 3, "layer": 9, "metric": 6}
"""Most members in a passage. Of layers more than of others: a network that is made of many is no list."""

PLACES = {
    "activation": ["cbp/activations.py", "cbp/kernels/activations.pxd", "cbp/trace/rules/activations.py", "tests/facts.py"],
    "loss": ["cbp/losses.py", "cbp/kernels/losses.pxd", "cbp/trace/rules/losses.py", "tests/facts.py"],
    "optimizer": ["cbp/optimizers.py", "cbp/kernels/optimizers.pxd", "cbp/trace/rules/optimizers.py", "tests/facts.py"],
    "metric": ["cbp/metrics/*.py", "tests/metrics/*.py"],
    "layer": ["cbp/layers/*.py", "cbp/trace/layers/*.py", "cbp/pytorch/modules.py", "tests/facts.py"],
}
FROZEN = ["CHANGELOG.md", "tests/golden.py"]
"""Records of what was, which do not grow with a family."""

STILL = {
    ("loss", "bench/peers/kernels/with_torch.py"),
    ("optimizer", "bench/peers/kernels/with_torch.py"), ("layer", "bench/peers/kernels/with_torch.py"),
    ("layer", "bench/kernels.py"),
}
"""Second lists that are still to go; nothing may be added."""


def python(text):
    """Words of every statement of a module: names, attributes, imports, and strings that are nothing else."""
    for statement in ast.parse(text).body:
        words = set()
        for node in ast.walk(statement):
            for field in ("value", "attr", "id", "name"):
                word = getattr(node, field, None)
                if isinstance(word, str):
                    words.add(word)
        yield words


def cython(text):
    """Words of every block that begins at the margin: quoted ones."""
    for block in re.split(r"\n(?=[^\s)\]}])", text):
        yield set(re.findall(r"[\"'](\w+)[\"']", block))


def markdown(text):
    """Words of every paragraph, item or table."""
    text = re.sub(r"<!-- generated:.*?<!-- end -->", "", text, flags=re.DOTALL)
    for block in re.split(r"\n\s*\n|\n(?=- )", text):
        yield set(re.findall(r"\w+", block))


READERS = {".py": python, ".pyi": python, ".pyx": cython, ".pxd": cython, ".pxi": cython, ".md": markdown}


def lists(suffix, text):
    """Families of which a passage of the text writes out too many."""
    found = set()
    for words in READERS[suffix](text):
        for family, names in FAMILIES.items():
            members = {word.lower() if family == "optimizer" else word for word in words & names}  # Adam is adam
            if len(members) > LIMITS[family]:
                found.add(family)
    return found


def files():
    for top in ("cbp", "tests", "bench", "docs", "examples", "."):
        for path in sorted((ROOT / top).glob("*") if top == "." else (ROOT / top).rglob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix in READERS and name not in FROZEN:
                yield name, path


def test_no_family_is_written_out_a_second_time():
    found = {(family, name) for name, path in files() for family in lists(path.suffix, path.read_text(encoding="utf-8"))
             if not any(fnmatchcase(name, place) for place in PLACES[family])}
    assert found - STILL == set(), "a second list of the names of a family"
    assert STILL - found == set(), "no longer a list: take it out of STILL"


@pytest.mark.parametrize(("suffix", "text", "family"), [
    (".py", "def f():\n    return [{names}]\n", "activation"),
    (".py", "def f(x):\n" + "    if x == {one}: pass\n" * 5, "loss"),
    (".py", "KINDS = ({plain})\n", "layer"),
    (".pyx", "cdef int f(x):\n    return {{{names}}}[x]\n\n\ncdef int g(): pass\n", "optimizer"),
    (".md", "Words.\n\n| {plain} |\n|---|\n", "loss"),
])  # fmt: skip
def test_lists_are_found(suffix, text, family):
    names = sorted(FAMILIES[family])
    quoted = iter(map(repr, names))
    text = re.sub(r"\{one\}", lambda _: next(quoted), text) if "{one}" in text else text.format(
        names=", ".join(map(repr, names)), plain=", ".join(names))
    assert lists(suffix, text) >= {family}


def test_a_generated_table_is_no_second_list():
    table = f"<!-- generated: losses -->\n| {', '.join(facts.LOSSES)} |\n<!-- end -->\n"
    assert lists(".md", f"Losses:\n{table}\nMore.") == set()
    assert lists(".md", f"Losses:\n{table}\n{', '.join(facts.LOSSES)}.") == {"loss"}


# A member's name, and in how many files it may stand beside pages, examples and tests of its own. These were added after the
# house had its places, so that the files are those which an addition has to touch.
TOUCHED = {"mish": 4, "lion": 4, "quantile": 4, "prelu": 8}


@pytest.mark.parametrize(("name", "most"), TOUCHED.items())
def test_an_addition_touches_few_files(name, most):
    word = re.compile(rf"(?<![a-z]){name}(?![a-z])", re.IGNORECASE)
    found = []
    for path, text in ((path, file.read_text(encoding="utf-8")) for path, file in files()):
        text = re.sub(r"<!-- generated:.*?<!-- end -->", "", text, flags=re.DOTALL)
        told = path.endswith(".md") or (path.startswith(("examples/", "tests/")) and path != "tests/facts.py")
        if word.search(text.replace("_", " ")) and not told:
            found.append(path)
    assert len(found) <= most, found
