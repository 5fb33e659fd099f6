"""Tables in text files: what is told by their first rows, what columns become, and what is wrong with them."""

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit.datasets import select
from layerkit.datasets.files.tables.csv_files import Csv
from layerkit.datasets.files.tables.layout import inspect


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


IRIS = """\
sepal_length,sepal_width,petal_length,petal_width,species
5.1,3.5,1.4,0.2,setosa
6.3,3.3,6.0,2.5,virginica
4.9,3.0,1.4,0.2,setosa
7.0,3.2,4.7,1.4,versicolor
5.8,2.7,5.1,1.9,virginica
"""
TITANIC = """\
PassengerId,Survived,Pclass,Name,Sex,Age,Fare,Embarked
1,0,3,"Braund, Mr. Owen Harris",male,22,7.25,S
2,1,1,"Cumings, Mrs. John Bradley (Florence ""Briggs"" Thayer)",female,38,71.2833,C
3,1,3,"Heikkinen, Miss. Laina",female,,7.925,
4,1,1,"Futrelle, Mrs. Jacques Heath",female,35,53.1,S
"""


def opened(text, path="a.csv", **fields):
    Path(path).write_bytes(text if isinstance(text, bytes) else text.encode())
    return select(Csv(**fields), path, "train").open()


def everything(source):
    return source.read(np.arange(len(source)))


def refused(text, match, **fields):
    with pytest.raises(lk.DataError, match=match) as error:
        opened(text, **fields)
    assert "\n" not in str(error.value)


# -- what practitioners have ---------------------------------------------------------------------------------------


def test_iris_needs_no_fields():
    source = opened(IRIS)
    data, label = everything(source)
    assert source.header.class_names == ("setosa", "versicolor", "virginica")
    assert source.header.feature_names == ("sepal_length", "sepal_width", "petal_length", "petal_width")
    assert data.dtype == np.float32
    np.testing.assert_array_equal(data[:2], np.array([[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]], np.float32))
    assert label.tolist() == [0, 2, 0, 1, 2]
    assert select(None, "a.csv", "test").describe() == source.header


def test_titanic_with_columns_left_out_and_means():
    fields = {"label": "Survived", "ignore": ["PassengerId", "Name"], "missing": "mean", "categories": "Pclass"}
    source = opened(TITANIC, **fields)
    data, label = everything(source)
    names = ("Pclass=1", "Pclass=3", "Sex=female", "Sex=male", "Age", "Fare", "Embarked=C", "Embarked=S")
    assert source.header.feature_names == names
    assert label.tolist() == [0, 1, 1, 1]
    assert source.header.class_names == ()
    age = (22 + 38 + 35) / 3
    np.testing.assert_allclose(data[2], [0, 1, 1, 0, age, 7.925, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(data[1], [1, 0, 1, 0, 38, 71.2833, 1, 0], rtol=1e-6)


@pytest.mark.parametrize(("missing", "rows", "age"), [("zero", 4, 0), ("mean", 4, 95 / 3), ("drop", 3, 35)])
def test_missing_values(missing, rows, age):
    source = opened(TITANIC, label="Survived", columns=["Age", "Embarked"], missing=missing)
    data, _ = everything(source)
    assert len(data) == rows
    assert data[2, 0] == pytest.approx(age)


def test_the_columns_may_be_numbered_and_the_label_left_out():
    source = opened(IRIS, columns=[-2, 1], label=None)
    (data,) = everything(source)
    assert data[1].tolist() == pytest.approx([2.5, 6.3])
    assert source.header.feature_names == ("petal_width", "sepal_length")
    assert list(source.header.shapes) == ["data"]


def test_labels_that_are_numbers_stay_what_they_are():
    _, whole = everything(opened("x,y\n1,3\n2,1\n3,2\n"))
    assert (whole.dtype, whole.tolist()) == (np.int64, [3, 1, 2])
    _, real = everything(opened("x,y\n1,0.5\n2,-1e3\n3,2\n"))
    assert (real.dtype, real.tolist()) == (np.float32, [0.5, -1000, 2])
    source = opened("x,y\n1,30\n2,4\n3,30\n", categories="y")
    assert source.header.class_names == ("4", "30")
    assert everything(source)[1].tolist() == [1, 0, 1]


# -- how a table is written ----------------------------------------------------------------------------------------

DIALECTS = [
    pytest.param(d, e, b, q, id=f"{d!r} {e!r} {b!r} {q}")
    for d, e, (b, q) in itertools.product(
        ",;\t|", ["\n", "\r\n"], [(b"", csv.QUOTE_MINIMAL), (b"\xef\xbb\xbf", csv.QUOTE_ALL)]
    )
]


@pytest.mark.parametrize(("delimiter", "end", "mark", "quoting"), DIALECTS)
@pytest.mark.parametrize("header", [True, False])
def test_what_pythons_csv_module_writes_is_read(delimiter, end, mark, quoting, header):
    rows = [["a, b", 0.1, "x;y"], ['say "so"', -2e-3, "z|\t"], ["größe\nzwei", 3.0, "x;y"], ["a, b", 4.0, "z|\t"]]
    names = [["what is", "the value", "of it"]] if header else []
    with open("a.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(names + rows)
    source = opened(mark + Path("a.csv").read_bytes(), delimiter=delimiter, header=header)
    data, label = everything(source)
    texts = ["a, b", "größe\nzwei", 'say "so"']
    assert source.header.class_names == ("x;y", "z|")  # without the tab at its end
    assert source.header.feature_names == (
        *(f"{'what is' if header else 'column 1'}={text}" for text in texts),
        "the value" if header else "column 2",
    )
    assert data[:, :3].tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]]
    assert data[:, 3].tolist() == pytest.approx([0.1, -2e-3, 3, 4])
    assert label.tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("text", "delimiter", "names"),
    [
        ("a,b\n1,2\n", ",", ("a", "b")),
        ("1,2\n3,4\n", ",", None),
        ("a;b\n1,5;2,5\n3,5;4,5\n", ";", ("a", "b")),
        ("a b|c, d\n1|x\n2|y\n", "|", ("a b", "c, d")),
        ("x\ty\n1\t2\n", "\t", ("x", "y")),
        ("7\n8\n", ",", None),
        ("x\n8\n", ",", ("x",)),
        ("?,3\n1,4\n", ",", None),
        ("p,x\np,y\ne,x\n", ",", None),
        ("class,shape\np,y\ne,x\np,x\n", ",", ("class", "shape")),
        ('\n"a","b"\n\n1,2\n', ",", ("a", "b")),
        ('"x, y", "z"\n1, 2\n', ",", ("x, y", "z")),
    ],
)
def test_delimiter_and_header_are_told(text, delimiter, names):
    Path("a.csv").write_text(text)
    layout = inspect("a.csv", None, None)
    assert (layout.delimiter, layout.names) == (delimiter, names)


def test_a_single_column_and_a_single_row():
    (data,) = everything(opened("7\n", label=None))
    assert data.tolist() == [[7]]
    data, label = everything(opened("1,2"))
    assert (data.tolist(), label.tolist()) == ([[1]], [2])


def test_spaces_around_cells_do_not_count():
    source = opened('age, job, income\n 39 , "State-gov", <=50K\n50,Self-emp , >50K\n38,State-gov, <=50K\n')
    assert source.header.feature_names == ("age", "job=Self-emp", "job=State-gov")
    assert source.header.class_names == ("<=50K", ">50K")
    assert everything(source)[0].tolist() == [[39, 0, 1], [50, 1, 0], [38, 0, 1]]


def test_many_numbers_are_read_as_numpy_reads_them():
    values = np.random.default_rng(0).normal(size=(1500, 7))
    np.savetxt("a.tsv", values, delimiter="\t", fmt="%.9g")
    data, label = everything(select(None, "a.tsv", "train").open())
    np.testing.assert_allclose(data, values[:, :6], rtol=1e-6)
    np.testing.assert_allclose(label, values[:, 6], rtol=1e-6)


# -- several files -------------------------------------------------------------------------------------------------


def test_parts_in_files_have_the_classes_categories_and_means_of_the_one_to_train_with():
    Path("train.csv").write_text("size,colour,kind\n1,red,cat\n3,blue,dog\n5,red,ant\n")
    Path("test.csv").write_text("kind,colour,size,more\ndog,red,,1\ncat,blue,7,2\n")
    parts = {"train": "train.csv", "test": "test.csv"}
    chosen = select(Csv(missing="mean"), None, "test", parts=parts)
    assert chosen.dataset.like == "train.csv"
    source = chosen.open()
    assert source.header.class_names == ("ant", "cat", "dog")
    data, label = everything(source)
    assert data.tolist() == [[3, 0, 1], [7, 1, 0]]
    assert label.tolist() == [2, 1]
    assert select(Csv(), None, "train", parts=parts).open().header.class_names == ("ant", "cat", "dog")


@pytest.mark.parametrize("header", [True, False])
def test_a_table_without_the_label_of_the_one_that_it_is_like(header):
    names = ("size,colour,kind\n", "size,colour\n") if header else ("", "")
    Path("train.csv").write_text(names[0] + "1,red,cat\n3,blue,dog\n5,red,ant\n")
    source = opened(names[1] + "7,blue\n", like="train.csv", label=None, header=header)
    assert source.header.feature_names[1:] == (
        ("colour=blue", "colour=red") if header else ("column 2=blue", "column 2=red")
    )
    (data,) = everything(source)
    assert data.tolist() == [[7, 1, 0]]


def test_a_table_without_a_label_lacks_nothing_else():
    Path("train.csv").write_text("size,colour,kind\n1,red,cat\n3,blue,dog\n")
    refused("colour\nred\nred\n", "'a.csv' has no column 'size'", like="train.csv", label=None)
    whole = opened("size,colour,kind\n1,red,cat\n", like="train.csv", label=None)  # where no part has a label
    assert whole.header.shapes == {"data": (5,)}


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("size,kind\n1,cat\n2,cow\n", r"'a\.csv', line 3, column 'kind': 'cow' is none of those .*: 'cat', 'dog'"),
        ("size,kind\n1,cat\n2,dogs\n", "did you mean 'dog'"),
        ("length,kind\n1,cat\n", r"'a\.csv' has no column 'size'"),
        ("1,cat\n2,dog\n", r"'a\.csv' has 2 columns and no header, but 'train\.csv' has 2 columns"),
    ],
)
def test_another_file_that_does_not_fit(text, match):
    Path("train.csv").write_text("size,kind\n1,cat\n3,dog\n")
    refused(text, match, like="train.csv")


def test_phases_with_other_classes_are_refused():
    """Else a label would mean one class in training and another one in the test."""
    Path("train.csv").write_text("size,kind\n1,ant\n2,cat\n3,dog\n")
    Path("test.csv").write_text("size,kind\n1,cat\n3,dog\n")
    run = """
    net:
      layers:
        - {name: table, type: Data, top: [data, label], batch_size: 2, source: {train: train.csv, test: test.csv}}
        - {name: scores, type: InnerProduct, bottom: data, num_output: 3, weight_filler: xavier}
        - {name: loss, type: SoftmaxWithLoss, bottom: [scores, label]}
    solver: {base_lr: 0.5, max_iter: 2, test_iter: all, test_interval: 2}
    """
    with pytest.raises(lk.ConfigError, match="class 0 is 'cat' in phase test, but 'ant' in phase train; a table or a"):
        lk.Solver(run)
    parts = run.replace("source: {train: train.csv, test: test.csv}", "parts: {train: train.csv, test: test.csv}")
    lk.Solver(parts).close()
    told = run.replace("batch_size: 2,", "batch_size: 2, dataset: {type: csv, like: train.csv},")
    lk.Solver(told).close()


def test_shares_of_one_file_in_yaml_are_trained_and_tested():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    with open("points.csv", "w", newline="") as file:
        csv.writer(file).writerows([("x", "y", "side"), *((a, b, "left" if a < b else "right") for a, b in x.tolist())])
    run = """
    net:
      layers:
        - name: points
          type: Data
          top: [data, label]
          source: points.csv
          parts: {train: 0.75, test: 0.25}
          split: stratified
          batch_size: 30
        - {name: scores, type: InnerProduct, bottom: data, num_output: 2, weight_filler: xavier}
        - {name: loss, type: SoftmaxWithLoss, bottom: [scores, label]}
        - {name: accuracy, type: Accuracy, bottom: [scores, label], include: test}
    solver: {base_lr: 0.5, max_iter: 100, test_iter: all}
    """
    solver = lk.Solver(run)
    assert solver.solve()["accuracy"] > 0.9
    solver.close()


def test_a_file_that_changes_is_read_again():
    assert len(opened("1,2\n")) == 1
    assert len(opened("1,2\n3,4\n")) == 2


# -- what is wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields", "match"),
    [
        (IRIS.replace("4.9", "4,9"), {}, r"'a\.csv', line 4: 6 values for 5 columns"),
        (IRIS.replace("4.9", "x"), {}, r"'a\.csv', line 4, column 'sepal_length': 'x' is no number"),
        (IRIS.replace("4.9", "1_0"), {}, r"line 4, column 'sepal_length': '1_0' is no number"),
        (IRIS.replace("4.9", ""), {}, r"line 4, column 'sepal_length': the value is missing; say 'missing: mean, zero"),
        (IRIS.replace("4.9", "inf"), {}, r"line 4, column 'sepal_length': .* finite in single precision: inf"),
        (IRIS.replace("4.9", "1e39"), {}, "finite in single precision: 1e"),
        (IRIS.replace("setosa", "?"), {"missing": "mean"}, r"line 2, column 'species': .*say 'missing: drop"),
        (TITANIC.replace("Laina", "Laina\n\n"), {"label": 2}, r"line 4, column 'Age'"),
        ('a,b\n"x\ny",1\nz,?\n', {}, r"line 4, column 'b'"),
        ("5,?\n", {}, r"line 1, column 2: the value is missing"),
        ("", {}, "'a.csv' holds no rows"),
        ("\n\n", {}, "'a.csv' holds no rows"),
        ("a,b\n", {}, "holds no rows below its header"),
        (
            "a;b\n1,5;2\n-2;1\n3,25;2\n",
            {},
            r"column 'a' holds numbers with a comma, such as '1,5'; write them with a p",
        ),
        ("a,a,b\n1,2,3\n", {}, "two columns of the name 'a'"),
        (",a,b\n0,1,2\n1,2,3\n", {}, "column 1 has no name in the header, like an index .* 'ignore: 1'"),
        ("a,b\n?,1\n", {"missing": "drop"}, "in each row a value is missing"),
        ("a\n1\n", {}, "has no column left for the samples"),
        (IRIS, {"label": "specie"}, r"'a\.csv' has no column 'specie'; did you mean 'species'"),
        (IRIS, {"label": 6}, "has the columns 1 to 5, or -1 from the end, but no 6"),
        (IRIS, {"columns": 0}, "but no 0"),
        (IRIS, {"columns": ["species"]}, "column 'species' is the label and nothing else"),
        ("1,2\n3,4\n", {"label": "x"}, "has no header, so there is no column 'x': give its number"),
        (b"a,b\n1,2\n\xff,3\n", {}, r"'a\.csv', line 3: this is not text in UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), {}, r"'a\.csv', line 1: this is not text in UTF-8"),
        ("a,b\n1," + "2" * 200_000 + "\n", {}, "field larger than field limit"),
    ],
)
def test_what_cannot_be_read_is_one_sentence_with_its_place(text, fields, match):
    refused(text, match, **fields)


def test_texts_that_are_no_categories_are_told_what_to_do():
    rows = "".join(f"person {i},{i % 2}\n" for i in range(150))
    refused(f"name,label\n{rows}", "column 'name' holds 150 different texts, too many .* by 'ignore'")
    data, _ = everything(opened(f"name,label\n{rows}", categories="name"))
    assert data.shape == (150, 150)
    refused("a,name\n" + "".join(f"1,n{i}\n" for i in range(150)), "is no label; name the label's column")


def test_a_file_that_is_not_there():
    with pytest.raises(lk.DataError, match=r"there is no file 'none\.csv'"):
        select(None, "none.csv", "train").describe()
    with pytest.raises(lk.DataError, match="'csv' needs a source, the path of a table"):
        select("csv", None, "train").open()
    Path("folder.csv").mkdir()
    with pytest.raises(lk.DataError, match=r"'folder\.csv' cannot be read: Is a directory"):
        select(None, "folder.csv", "train").open()


def test_means_and_places_are_those_of_the_file_whatever_its_size():
    rows = [f"{i},{i % 7}" for i in range(3000)]
    rows[2500] = "?,1"
    text = "a,b\n" + "\n".join(rows) + "\n"
    refused(text, "line 2502, column 'a': the value is missing")
    data, _ = everything(opened(text, missing="mean"))
    assert data[2500, 0] == pytest.approx(math.fsum(set(range(3000)) - {2500}) / 2999)
