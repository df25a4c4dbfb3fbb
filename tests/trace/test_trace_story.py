"""The document that a trace is told in, and its writers, which know nothing of networks."""

import dataclasses
import inspect
import re
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pytest
from trace_cases import CASES, data, network

import cbp
from cbp.trace import blocks, html, story, svg, text, worked_example
from cbp.trace.blocks import Drawing, Entry, Equation, Equations, Heading, Image, More, Move, Paragraph, Part, Section, Table
from cbp.trace.formulas import PAGE

EVERY = {
    Heading: Heading("Of the heading", "a rule"),
    Paragraph: Paragraph("a formula", "label"),
    Equations: Equations(
        (Entry("u1", (Equation("s", "names", "2 + 3", "5"),), Move("↑", "up it goes")),), More(1234, "units"), "group"
    ),
    blocks.Updates: blocks.Updates("For one:", Entry("w1", (Equation("w", "", "1 - 0.5", "0.5"),))),
    Table: Table(("name", "value"), (("r1", Equation("", "", "1·2", "2")), ("r2", Move("=", "rests"))), (1,)),
    Image: Image("x", (("10", "20"), ("30", "40"))),
    Drawing: Drawing(
        "A picture", ((blocks.Circle("c1", "7", ()),), (blocks.Circle("c2", "8", (Move("↓", "note"),)),)),
        (blocks.Line((0, 0), (1, 0), 1.0, Move("↑", "1 → 2")),),
    ),
}  # fmt: skip


def document(*given):
    sections = (Section("forward", "Forward: all of it", given),)
    return blocks.Story({"Fact": ["one", "two"]}, (Part("Row 1 of 2", "caption", sections), More(1, "rows")),
                        Section("result", "Result <of> the step", ()))  # fmt: skip


def words(page):
    found = []
    parser = HTMLParser()
    parser.handle_data = found.append
    parser.feed(page.partition("</style>")[2])
    return re.sub(r"\s+", " ", " ".join(found))


@pytest.mark.parametrize("writer", [text, html, svg])
def test_writers_know_blocks_alone(writer):
    imports = re.findall(r"^from cbp(\S*) import (.*)$", inspect.getsource(writer), re.MULTILINE)
    assert {module for module, _ in imports} <= {".trace", ".trace.blocks", ".pictures", ".pictures.markup"}
    assert {names for module, names in imports if module == ".trace"} <= {"blocks", "blocks, svg"}


def test_there_is_an_example_of_every_block():
    assert set(EVERY) == set(get_args(blocks.Block))
    assert all(dataclasses.is_dataclass(block) and block.__dataclass_params__.frozen for block in EVERY)


@pytest.mark.parametrize("block", EVERY.values(), ids=lambda block: type(block).__name__)
def test_both_writers_write_every_block(block):
    page, plain = words(html.write(document(block))), text.write(document(block))
    shown = {
        Heading: ("Of the heading", "a rule"), Paragraph: ("a formula", "label"), Table: ("name", "r1", "1·2 = 2", "rests"),
        Equations: ("u1", "2 + 3 = 5", "up it goes", "… 1,234 more units", "group"), Image: ("10", "40"),
        blocks.Updates: ("For one:", "w = 1 - 0.5 = 0.5"), Drawing: (),
    }[type(block)]  # fmt: skip
    for written in (*shown, "Row 1 of 2", "… 1 more row", "Fact", "one → two"):
        assert written.casefold() in page.casefold()
        assert written.casefold() in plain.casefold()


def test_a_drawing_is_for_pages_alone():
    drawing = EVERY[Drawing]
    assert text.write(document(drawing)) == text.write(document())
    drawn = svg.draw(drawing)
    assert drawn in html.write(document(drawing))
    for written in ("A picture", "c1", "c2", "note", "1 → 2"):
        assert written in drawn


def test_writers_escape():
    page = html.write(document(Heading("a < b"), Equations((Entry("<u>", (Equation("s", "", "1 < 2", "3"),)),))))
    for written in ("Result &lt;of&gt; the step", "a &lt; b", "&lt;u&gt;", "1 &lt; 2"):
        assert written in page


def test_sides_that_are_equal_are_written_once():
    assert str(Equation("a", "", "1", "1")) == "a = 1"
    assert str(Equation("", "x", "0.5·2", "1")) == "x = 0.5·2 = 1"
    assert str(Equation("g", "", "", "0")) == "g = 0"


def test_a_story_says_of_whom_and_when():
    told = story.tell(worked_example(), PAGE)
    row, step = told.parts
    assert [section.phase for part in (row, step) for section in part.sections] == ["forward", "loss", "backward", "update"]
    assert told.result.phase == "result"
    forward = [block for block in row.sections[0].blocks if isinstance(block, Equations)]
    assert [block.layer for block in forward] == [0, 1]
    assert [[entry.name for entry in block.entries] for block in forward] == [["h1", "h2", "h3"], ["ŷ"]]
    assert forward[1].entries[0].equations[0] == Equation("s", "", "1·1 + 1·1 + 1·1 + 1", "4")
    output = next(block for block in row.sections[2].blocks if isinstance(block, Equations)).entries[0]
    assert output.move == Move("↓", "↓ should fall")
    drawing = row.sections[0].blocks[0]
    assert [[circle.name for circle in column] for column in drawing.columns] == [["x1", "x2"], ["h1", "h2", "h3"], ["ŷ"]]


@pytest.mark.parametrize("case", CASES)
def test_text_and_page_show_the_same(case):
    """Every name, equation and cell of the document stands in both."""
    net = network(*CASES[case], l1=0.01)
    told = story.tell(net.trace(*data(net, rows=2), optimizer=cbp.SGD(0.1)), PAGE)
    page, plain = (re.sub(r"\s+", "", written) for written in (words(html.write(told)), text.write(told)))
    for part in (part for part in told.parts if isinstance(part, Part)):
        for block in (block for section in part.sections for block in section.blocks):
            for entry in block.entries if isinstance(block, Equations) else ():
                for side in (side for equation in entry.equations for side in equation.sides):
                    assert re.sub(r"\s+", "", side) in page
                    assert re.sub(r"\s+", "", side) in plain
            for row in block.rows if isinstance(block, Table) else ():
                assert all(str(cell.result if isinstance(cell, Equation) else cell) in page for cell in map(_plain, row))


def _plain(cell):
    return re.sub(r"\s+", "", cell) if isinstance(cell, str) else cell


def test_a_network_that_is_too_large_is_not_drawn():
    net = cbp.Network(7, [cbp.Dense(1)], loss="half_squared_error", seed=1)
    assert "<svg" not in net.trace(np.ones(7), 1.0).to_html()
    assert "<svg" in worked_example().to_html()
