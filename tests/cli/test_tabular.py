"""Reading tables, and what their columns become."""

import io
import json
import sys

import numpy as np
import pytest

from cbp import ModelFileError
from cbp.cli import table as tables
from cbp.cli.columns import Category, Encoding, Number, Target
from cbp.cli.learn import MAX_CATEGORIES, guess_task, learn
from cbp.cli.table import TableError


@pytest.fixture
def read(tmp_path):
    """Reads a table from text or bytes."""

    def read(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tables.read(str(path))

    return read


def all_rows(table):
    return np.arange(len(table))


# ------------------------------------------------------------------------------------------------------------ reading


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "a,b\n1,x\n2,y",
        "a,b\r\n1,x\r\n2,y\r\n",
        "a,b\r1,x\r2,y\r",
        "\ufeffa,b\n1,x\n2,y\n",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        "a, b\n1, x\n2 ,y \n",
        '"a","b"\n"1","x"\n"2","y"\n',
        'a, "b"\n1, "x"\n2, "y"\n',
        "\n  \na,b\n\n1,x\n\n2,y\n\n\n",
    ],
)
def test_the_same_table_in_many_forms(read, content):
    table = read(content)
    assert table.columns == {"a": ["1", "2"], "b": ["x", "y"]}
    assert len(table) == 2


def test_cells_with_delimiters_quotes_and_lines(read):
    table = read('name,"size, cm"\n"Smith, ""J.""","1\n2"\nx,3\n')
    assert table.columns == {"name": ['Smith, "J."', "x"], "size, cm": ["1\n2", "3"]}
    assert table.lines == [2, 4]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("a b c\n1\n", ["a b c"]),
        ("height, cm;weight, kg;kind\n180;80;a\n170;70;b\n", ["height, cm", "weight, kg", "kind"]),
        ("a,b;c\n1,2;3\n", ["a", "b;c"]),
        ("größe;größe²\n1;1\n", ["größe", "größe²"]),
    ],
)
def test_the_delimiter_is_found(read, content, names):
    assert list(read(content).columns) == names


def test_one_column(read):
    assert read("a\n1\n\n2\n").columns == {"a": ["1", "2"]}


def test_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("a,é\n1,2\n".encode())))
    table = tables.read("-")
    assert table.columns == {"a": ["1"], "é": ["2"]}
    assert table.source == "standard input"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("\ufeff", "the file is empty"),
        ("a,b\n", "names 2 columns and has no rows"),
        ("a\n", "names 1 column and has no rows"),
        ("a,b,a\n1,2,3\n", "line 1: two columns are called 'a'"),
        ("a, a\n1,2\n", "line 1: two columns are called 'a'"),
        (",a\n0,1\n", "line 1: column 1 has no name"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cell, line 1 names 2 columns"),
        ("a,b\n1,2\n\n3,4,5\n", "line 4 has 3 cells, line 1 names 2 columns"),
        ('a,b\n"1\n2",2\n3\n', "line 4 has 1 cell"),
        ('a,b\n1,2\n"3,4\n5,6\n', "line 3: a quoted cell is not closed"),
        ('a,b\n"1"x,2\n', "line 2: "),
        (b"a,b\n1,2\nM\xfcller,2\n", "line 3 is not UTF-8 .*iconv"),
        ("a,b\n1,2\n".encode("utf-16"), "UTF-16"),
        (b"a,b\n1,\0\n", "not a text file"),
        ("a,b\n1," + "x" * 200_000 + "\n", "line 2: .*limit"),
    ],
)
def test_what_is_no_table_is_refused(read, content, message):
    with pytest.raises(TableError, match=message) as caught:
        read(content)
    assert "data.csv: " in str(caught.value)


def test_a_large_table(read):
    text = "a,b,c\n" + "".join(f"{i},{i / 7!r},{'xyz'[i % 3]}\n" for i in range(50_000))
    table = read(text)
    assert len(table) == 50_000
    assert table.numbers("b")[-1] == 49_999 / 7
    assert learn(table, all_rows(table), target="a", task="regression").inputs == ["b", "c=x", "c=y", "c=z"]


# -------------------------------------------------------------------------------------------------------------- cells


@pytest.mark.parametrize("cell", ["1", "-1.5", "1e5", "+2E-3", ".5", "5.", "0", " 7 "])
def test_numbers(read, cell):
    assert read(f"a,b\n{cell},1\n").numbers("a").tolist() == [float(cell)]


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "missing value"),
        ("NA", "missing value"),
        ("nan", "missing value"),
        ("NaN", "missing value"),
        ("?", "missing value"),
        ("null", "missing value"),
        ("inf", "not a finite number"),
        ("-Infinity", "not a finite number"),
        ("1e999", "not a finite number"),
        ("1_000", "is not a number"),
        ("abc", "is not a number"),
        ("1,5", r"'1,5' has a decimal comma; write '1\.5'"),
    ],
)
def test_a_cell_that_is_no_number_is_named(read, cell, problem):
    table = read(f'a,b\n\n1,1\n"{cell}",2\n3,3\n')
    with pytest.raises(TableError, match=rf"row 2 \(line 4\), column 'a': .*{problem}"):
        table.numbers("a")
    with pytest.raises(TableError, match=r"row 2 \(line 4\), column 'a': "):
        learn(table, all_rows(table), target="b", task="regression")


@pytest.mark.parametrize("cell", ["", "NA", "nan", "?", "N/A"])
def test_a_missing_text_is_named(read, cell):
    table = read(f"a,b\nx,1\ny,2\n{cell},3\n")
    with pytest.raises(TableError, match=r"row 3 \(line 4\), column 'a': missing value"):
        learn(table, all_rows(table), target="b", task="regression")


def test_a_decimal_comma_is_explained(read):
    table = read("a;b\n1,5;1\n2,5;2\n")
    with pytest.raises(TableError, match=r"'1,5' has a decimal comma; write '1\.5'"):
        learn(table, all_rows(table), target="b", task="regression")


def test_a_decimal_comma_among_whole_numbers_is_no_category(read):
    table = read("a;b\n1;1\n2,5;2\n3,5;3\n")
    with pytest.raises(TableError, match=r"row 2 .*'2,5' has a decimal comma"):
        learn(table, all_rows(table), target="b", task="regression")


def test_one_stray_text_in_a_column_of_numbers(read):
    table = read("a,b\n1,1\n2,2\nthree,3\n")
    with pytest.raises(TableError, match=r"row 3 .*'three' is not a number, while 2 of 3 cells .*--text a"):
        learn(table, all_rows(table), target="b", task="regression")
    encoding = learn(table, all_rows(table), target="b", task="regression", text=["a"])
    assert encoding.inputs == ["a=1", "a=2", "a=three"]


def test_a_part_of_a_table_keeps_its_row_numbers(read):
    part = read("a,b\n1,1\nx,2\n").only(1)
    with pytest.raises(TableError, match=r"row 2 \(line 3\), column 'a'"):
        part.numbers("a")


def test_an_unknown_column_is_suggested(read):
    with pytest.raises(TableError, match=r"no column is called 'hieght'; did you mean 'height'\?"):
        read("height,b\n1,2\n").column("hieght")


# ----------------------------------------------------------------------------------------------------------- encoding


def test_numbers_are_standardised_and_texts_become_categories(read):
    table = read("size,colour,kind\n1,red,a\n2,blue,b\n3,red,a\n")
    encoding = learn(table, all_rows(table), target="kind", task="classification")
    scale = np.sqrt(2 / 3)
    assert encoding.columns == (Number("size", 2.0, scale), Category("colour", ("blue", "red")))
    assert encoding.inputs == ["size", "colour=blue", "colour=red"]
    X = encoding.encode(table)
    assert X.dtype == np.float32
    np.testing.assert_allclose(X, [[-1 / scale, 0, 1], [0, 1, 0], [1 / scale, 0, 1]], rtol=1e-6)
    assert encoding.target.classes == ("a", "b")
    assert encoding.target.encode(table).tolist() == [0, 1, 0]
    assert encoding.target.decode(np.array([[0.2, 0.8], [0.9, 0.1]])) == ["b", "a"]


def test_a_target_of_numbers_is_standardised_and_transformed_back(read):
    table = read("x,y\n1,10\n2,20\n3,60\n")
    target = learn(table, all_rows(table), target="y", task="regression").target
    y = target.encode(table)
    assert abs(float(y.mean())) < 1e-6
    assert float(y.std()) == pytest.approx(1)
    assert target.decode(y[:, None]) == pytest.approx([10, 20, 60])


def test_scales_come_from_the_training_rows_and_categories_from_all(read):
    table = read("x,c,y\n0,a,1\n2,a,2\n100,b,3\n")
    encoding = learn(table, np.array([0, 1]), target="y", task="regression")
    assert encoding.columns == (Number("x", 1.0, 1.0), Category("c", ("a", "b")))
    assert (encoding.target.mean, encoding.target.scale) == (1.5, 0.5)


def test_constant_columns_are_left_out(read):
    table = read("x,k,c,y\n1,0.1,a,1\n2,0.1,a,2\n3,0.1,a,3\n")
    encoding = learn(table, all_rows(table), target="y", task="regression")
    assert encoding.inputs == ["x"]
    assert encoding.left_out == ("k", "c")
    assert encoding.encode(read("x\n2\n")).tolist() == [[0]]


@pytest.mark.parametrize(
    ("content", "task", "message"),
    [
        ("x,y\n1,5\n2,5\n", "regression", "'y' is 5 in every row"),
        ("x,y\n1,a\n2,a\n", "classification", "'y' is a in every row"),
        ("x,y\n1,1\n1,2\n", "regression", "nothing to learn from"),
        ("y\n1\n2\n", "regression", "nothing to learn from"),
        ("x,y\n1,a\n2,b\n", "regression", r"row 1 \(line 2\), column 'y': 'a' is not a number"),
        ("x,y\n1e308,1\n-1e308,2\n", "regression", "too large or too small"),
        ("x,y\n" + "".join(f"{i},{i}\n" for i in range(30)), "classification", "too many to be classes.*regression"),
        ("x,y\n" + "".join(f"n{i},{i}\n" for i in range(MAX_CATEGORIES + 1)), "regression", "257 different texts.*--ignore x"),
    ],
)
def test_what_cannot_be_learnt_is_refused(read, content, task, message):
    table = read(content)
    with pytest.raises(TableError, match=message):
        learn(table, all_rows(table), target="y", task=task)


def test_columns_are_found_by_name(read):
    table = read("a,b,y\n1,x,1\n2,y,2\n")
    encoding = learn(table, all_rows(table), target="y", task="regression", ignore=[])
    other = read("new,b,a\nq,y,1\n")
    assert encoding.encode(other).tolist() == [[-1, 0, 1]]
    assert encoding.unknown(other) == ["new"]
    assert encoding.unknown(table) == []


def test_what_does_not_fit_the_model_is_named(read):
    table = read("a,b,y\n1,x,1\n2,y,2\n")
    encoding = learn(table, all_rows(table), target="y", task="regression")
    with pytest.raises(TableError, match="a column that the file lacks: 'b'; it has 'a'"):
        encoding.encode(read("a\n1\n"))
    with pytest.raises(TableError, match="columns that the file lacks: 'a', 'b'"):
        encoding.encode(read("c\n1\n"))
    with pytest.raises(TableError, match=r"row 2 \(line 3\), column 'b': unknown category 'z'.* 'x', 'y'"):
        encoding.encode(read("a,b\n1,x\n1,z\n"))
    with pytest.raises(TableError, match=r"row 1 \(line 2\), column 'a': '1e300' is too far"):
        encoding.encode(read("a,b\n1e300,x\n"))
    classes = learn(table, all_rows(table), target="b", task="classification")
    with pytest.raises(TableError, match=r"row 1 \(line 2\), column 'b': unknown class 'z'"):
        classes.target.encode(read("b\nz\n"))


@pytest.mark.parametrize(
    ("cells", "task"),
    [
        (["a", "b", "c"], "classification"),
        (["0", "1", "1", "0"], "classification"),
        (["1.0", "2.0"] * 3, "classification"),
        (["1", "2", "3"] * 10, "classification"),
        (["1", "2", "3"], "regression"),
        ([str(i) for i in range(100)], "regression"),
        ([str(i) for i in range(21)] * 10, "regression"),
        (["0.5", "1.5"] * 10, "regression"),
    ],
)
def test_the_task_is_guessed(read, cells, task):
    table = read("x,y\n" + "".join(f"1,{cell}\n" for cell in cells))
    assert guess_task(table, "y")[0] == task
    assert guess_task(table, "y", as_text=True)[0] == "classification"


def test_classes_that_are_numbers(read):
    table = read("x,y\n1,2.0\n2,10\n3,-1.5\n4,2\n")
    target = learn(table, all_rows(table), target="y", task="classification").target
    assert target.classes == (-1.5, 2, 10)
    assert target.encode(table).tolist() == [1, 2, 0, 1]
    assert [str(label) for label in target.classes] == ["-1.5", "2", "10"]


# ------------------------------------------------------------------------------------------------------- model files


def example():
    return Encoding(
        (Number("x", 1.5, 2.0), Category("c", ("a", "b"))), Target("y", (1, 2.5)), ("id",)
    ).to_dict()  # fmt: skip


def test_an_encoding_survives_json():
    encoding = Encoding.from_dict(json.loads(json.dumps(example())), "m.cbp")
    assert encoding.to_dict() == example()
    assert encoding.target.classes == (1, 2.5)


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d.pop("columns"),
        lambda d: d.pop("target"),
        lambda d: d.pop("left_out"),
        lambda d: d.update(columns={}),
        lambda d: d.update(target=[]),
        lambda d: d.update(left_out=[1]),
        lambda d: d["columns"].append(3),
        lambda d: d["columns"][0].pop("name"),
        lambda d: d["columns"][0].update(name=1),
        lambda d: d["columns"][0].update(scale=0),
        lambda d: d["columns"][0].update(scale=-1.0),
        lambda d: d["columns"][0].update(scale=True),
        lambda d: d["columns"][0].update(scale="1"),
        lambda d: d["columns"][0].update(mean=10**399),
        lambda d: d["columns"][0].update(mean=float("nan")),
        lambda d: d["columns"][1].update(categories=[]),
        lambda d: d["columns"][1].update(categories=["a", "a"]),
        lambda d: d["columns"][1].update(categories=["a", 1]),
        lambda d: d["columns"][1].update(categories="ab"),
        lambda d: d["target"].update(classes=["a", 1]),
        lambda d: d["target"].update(classes=[1, 1.0]),
        lambda d: d["target"].update(classes=[[], []]),
        lambda d: d["target"].update(classes=None),
        lambda d: d["target"].pop("mean"),
    ],
)
def test_a_damaged_description_is_refused(change):
    entry = example()
    change(entry)
    with pytest.raises(ModelFileError, match=r"^m\.cbp: its description of columns is damaged"):
        Encoding.from_dict(entry, "m.cbp")


@pytest.mark.parametrize("entry", [None, 3, "x", [], {}])
def test_something_else_is_refused(entry):
    with pytest.raises(ModelFileError):
        Encoding.from_dict(entry, "m.cbp")
