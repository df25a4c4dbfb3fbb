"""README and docs, executed: every python block runs, and prints what the text block behind it says."""

import contextlib
import importlib.util
import io
import re

import pytest
from places import ROOT

import cbp

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page):
    """(line, python source, text that it prints or None) of every python block of a page."""
    text = page.read_text(encoding="utf-8")
    found = list(BLOCK.finditer(text))
    for index, block in enumerate(found):
        if block[1] != "python":
            continue
        line = text[: block.start()].count("\n") + 2
        follows = found[index + 1] if index + 1 < len(found) else None
        directly = follows and follows[1] == "text" and not text[block.end() : follows.start()].strip()
        yield line, block[2], follows[2] if directly else None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    for line, source, expected in blocks(page):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile("\n" * (line - 1) + source, str(page), "exec"), namespace)
        assert printed.getvalue() == (expected or ""), f"{page.name}, line {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def script(name):
    """A script beside the pages, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_tables_are_those_of_the_code(page):
    text = page.read_text(encoding="utf-8")
    assert script("tables").renewed(text) == text, "python docs/tables.py writes the tables anew"


@pytest.mark.parametrize(("page", "registry"), [
    ("schedules.md", cbp.schedules.SCHEDULES), ("training.md", cbp.callbacks.CALLBACKS), ("updates.md", cbp.averages.AVERAGES),
])
def test_a_page_has_all_members_of_its_family(page, registry):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8").replace("| a function |", "Function")
    assert [kind.__name__ for kind in registry.values() if kind.__name__ not in text] == []


def test_the_picture_of_the_house_is_that_of_the_imports():
    picture = (ROOT / "docs" / "house.svg").read_text(encoding="utf-8")
    assert script("house").svg() == picture, "python docs/house.py draws it anew"
