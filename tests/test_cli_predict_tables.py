"""`layerkit predict` with tables: what a snapshot knows of the one it was trained with, and what needs more."""

import json
from pathlib import Path

import numpy as np
import pytest

import layerkit as lk
from layerkit import arrayfile
from layerkit.datasets.files.tables.learned import Learned

TRAIN = "size,colour,kind\n1,red,cat\n3,blue,dog\n6,red,ant\n2,green,dog\n"


def snapshot_of(source, name="own.safetensors", features=4, classes=3, **fields):
    """A snapshot of a net of a table, which is not trained."""
    layers = [
        {"name": "d", "type": "Data", "top": ["data", "label"], "source": source, "batch_size": 3, **fields},
        {"name": "a", "type": "InnerProduct", "bottom": "data", "num_output": classes, "weight_filler": "xavier"},
        {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["a", "label"]},
    ]
    lk.Solver({"net": {"layers": layers}, "solver": {"base_lr": 0.1, "max_iter": 1}}).snapshot(Path(name).stem)
    assert lk.load(name).blobs["data"].shape[1:] == (features,)
    return name


@pytest.fixture
def table(command):
    """`table(text, ...)` is what a net of TRAIN is given for a new table, and how messages went."""
    Path("train.csv").write_text(TRAIN)
    name = snapshot_of("train.csv", dataset={"type": "csv", "missing": "mean"})
    Path("train.csv").unlink()

    def run(text, *arguments, path="new.csv"):
        Path(path).write_text(text)
        answer = command("predict", name, path, "--blob", "data", "-o", "f.npz", "--force", *arguments)
        if answer.status:
            return None, answer.err
        with np.load("f.npz") as found:
            return {key: found[key].tolist() for key in found}, answer.err

    return run


def test_a_new_table_is_read_as_that_of_the_training_was(table):
    # categories blue, green, red; columns in another order, one too many, another delimiter, no label
    found, _ = table("weight;colour;size\n9;red;5\n8;blue;7\n")
    assert found == {"data": [[5, 0, 0, 1], [7, 1, 0, 0]]}
    found, _ = table("kind,size,colour\ndog,,green\ncat,4,\n")
    assert found == {"data": [[3, 0, 1, 0], [4, 0, 0, 0]], "label": [2, 1]}  # the mean of 1, 3, 6 and 2
    found, _ = table("size\tcolour\tkind\n1\tred\t\n", path="new.tsv")
    assert found == {"data": [[1, 0, 0, 1]]}  # whose class nobody knows
    found, _ = table("size,colour,kind\n1,red,cow\n", "--set", "label=null", "--kind", "csv", path="new.data")
    assert found == {"data": [[1, 0, 0, 1]]}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "size,colour\n1,pink\n",
            "'new.csv', line 2, column 'colour': 'pink' is none of those that are known of this column: "
            "'blue', 'green', 'red'\n",
        ),
        ("size\n1\n", "'new.csv' has no column 'colour'; it has: 'size'\n"),
        ("siz,colour\n1,red\n", "'new.csv' has no column 'size'; did you mean 'siz'?\n"),
        ("size,colour\nlarge,red\n", "'new.csv', line 2, column 'size': 'large' is no number, "),
        ("size,colour,kind\n1,red,cow\n", "'new.csv', line 2, column 'kind': 'cow' is none of those that are known "),
    ],
)
def test_what_is_otherwise_is_one_sentence(table, text, sentence):
    found, said = table(text)
    assert found is None
    assert said.startswith(sentence)
    assert said.count("\n") == 1


def test_answers_name_lines_and_dropped_rows_are_told(command):
    Path("train.csv").write_text(TRAIN)
    name = snapshot_of("train.csv", dataset={"type": "csv", "missing": "drop"})
    Path("new.csv").write_text('size,colour\n1,red\n,red\n4,"blue\n"\n?,?\n5,green\n')
    answer = command("predict", name, "new.csv", "--json")
    assert [json.loads(line)["input"] for line in answer.out.splitlines()] == ["new.csv:2", "new.csv:4", "new.csv:7"]
    assert answer.err == "new.csv: rows in which a value is missing are left out, 2 of them (missing: drop)\n"
    assert command("predict", name, "new.csv", "--set", "missing=zero").out.count("\n") == 5


def test_rows_that_cannot_be_used_are_left_out_and_told(table):
    text = "size,colour,kind\n1,pink,cat\n2,red,dog\nlarge,blue,cat\n1e300,red,cat\n3,red,cow\n4,blue,\n5,,ant\n"
    found, said = table(text, "--skip")
    assert found == {"data": [[2, 0, 0, 1], [5, 0, 0, 0]], "label": [2, 0]}
    lines = said.splitlines()
    assert [line.split(": ")[1] for line in lines[:-1]] == [
        f"'new.csv', line {number}, column '{name}'"
        for number, name in ((2, "colour"), (4, "size"), (5, "size"), (6, "kind"), (7, "kind"))
    ]
    assert lines[-1] == "wrote f.npz: data of 2 samples; 5 left out"
    found, said = table("size,colour\n1,pink\n", "--skip")
    assert found is None
    assert said.startswith("'new.csv', line 2, column 'colour': 'pink' is none of those")


def test_a_table_without_names_goes_by_places(command):
    Path("train.csv").write_text("cat,1,red\ndog,3,blue\nant,6,red\n")
    name = snapshot_of("train.csv", dataset={"type": "csv", "label": 1}, features=3)
    with_label, without = "dog,5,red\n", "5,red\n"
    for text in (with_label, without):
        Path("new.csv").write_text(text)
        assert command("predict", name, "new.csv", "--blob", "data", "-o", "f.npz", "--force").status == 0
        assert np.load("f.npz")["data"].tolist() == [[5, 0, 1]]
    Path("new.csv").write_text("5\n")
    what = "has 1 column, but the table of the training, without a header, 3"
    assert command("predict", name, "new.csv").err == f"'new.csv' {what}\n"


def test_bare_numbers_for_a_net_of_a_table_with_names(command):
    Path("train.csv").write_text("x,y,kind\n1,2,a\n3,4,b\n")
    name = snapshot_of("train.csv", features=2, classes=2)
    Path("new.csv").write_text("5,6\n7,8\n")
    assert command("predict", name, "new.csv", "--blob", "data", "-o", "f.npz").status == 0
    assert np.load("f.npz")["data"].tolist() == [[5, 6], [7, 8]]


def metadata(name):
    arrays, about = arrayfile.load(name)
    (key,) = about
    return arrays, key, json.loads(about[key])


def test_a_snapshot_from_before_knows_no_table(command):
    Path("train.csv").write_text("size,colour,kind\n1,red,cat\n3,blue,dog\n5,red,ant\n")
    name = snapshot_of("train.csv", features=3)
    arrays, key, about = metadata(name)
    del about["samples"]["data"]["table"]
    arrayfile.save(name, arrays, {key: json.dumps(about)})
    Path("new.csv").write_text("size,colour,kind\n1,red,cat\n3,green,dog\n")
    end = "which need not mean what it did in training: name the table of the training by --set like=TRAIN.csv\n"
    answer = command("predict", name, "new.csv", "--kind", "csv")
    assert answer == (2, "", f"'new.csv' numbers the categories of column 'colour' by itself, {end}")
    mean = command("predict", name, "new.csv", "--set", "ignore=[colour]", "--set", "missing=mean")
    assert mean.err == f"'new.csv' fills in the means of its own columns, {end}"
    Path("new.csv").write_text("colour,kind,size\nred,dog,3\n")
    told = command("predict", name, "new.csv", "--set", "like=train.csv", "--blob", "data", "-o", "f.npz")
    assert told.status == 0
    with np.load("f.npz") as f:
        assert f["data"].tolist() == [[3, 0, 1]]
        assert f["label"].tolist() == [2]
    Path("new.csv").write_text("size,colour\n3,red\n")
    alone = command("predict", name, "new.csv", "--set", "label=null", "--set", "like=train.csv")
    assert alone.out.startswith("new.csv:2: ")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"features": [{"index": 7}]}, "a column lies beyond the 3 that there are"),
        ({"names": ["a"]}, "there are 1 names of 3 columns"),
        ({"features": [{"index": 0}, {"index": 1}]}, "a table whose rows are 2 numbers does not fit the input 'data'"),
        ({"width": 1 << 40}, "width: Input should be less than 1048576"),
        ({"missing": "run"}, "missing: Input should be"),
        ({"code": "os.remove"}, "code: Extra inputs are not permitted"),
    ],
)
def test_a_snapshot_that_lies_about_its_table_is_refused(command, change, sentence):
    Path("train.csv").write_text(TRAIN)
    name = snapshot_of("train.csv")
    arrays, key, about = metadata(name)
    about["samples"]["data"]["table"].update(change)
    arrayfile.save(name, arrays, {key: json.dumps(about)})
    answer = command("predict", name, "train.csv")
    assert answer.status == 2
    assert answer.err.startswith(f"{name}: the predict net inside cannot be used: ")
    assert sentence in answer.err
    assert answer.err.count("\n") == 1


def test_what_is_learned_is_plain_data(command):
    Path("train.csv").write_text(TRAIN)
    _, _, about = metadata(snapshot_of("train.csv"))
    table = about["samples"]["data"]["table"]
    assert Learned.from_data(table).numbers == 4
    assert table["names"] == ["size", "colour", "kind"]
    assert [each["categories"] for each in table["features"]] == [None, ["blue", "green", "red"]]
