"""`layerkit new --data`: what it writes for each sort of samples and family checks clean, trains, and says why."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import layerkit as lk
from layerkit import graph
from layerkit.starters import MODELS, Facts, look

RNG = np.random.default_rng(8)
KIND = {"play.txt": ("--kind", "text")}
"""What has to be said of a file whose name does not tell it."""


def species(folder):
    """A table with three classes and a column of text."""
    rows = [(f"{k + RNG.normal():.3f}", f"{100 * RNG.normal():.2f}", "wet" if k else "dry", "abc"[k])
            for k in RNG.integers(0, 3, 150)]  # fmt: skip
    with (folder / "species.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("length", "weight", "place", "kind"), *rows])
    return "species.csv"


def prices(folder):
    """A table with a large label."""
    table = RNG.normal(size=(200, 3))
    label = -3e5 + 1e5 * table[:, 0] * table[:, 1]
    np.savetxt(folder / "prices.csv", np.c_[table, label], delimiter=",", header="a,b,c,price", comments="")
    return "prices.csv"


def play(folder):
    (folder / "play.txt").write_text("the cat sat on the mat. " * 120)
    return "play.txt"


def pets(folder):
    """Images of different sizes in folders for their classes: reddish ones and bluish ones."""
    for name, channel in (("cat", 0), ("dog", 2)):
        (folder / "pets" / name).mkdir(parents=True)
        for i in range(10):
            pixels = RNG.integers(0, 100, (30 + i, 40, 3), dtype=np.uint8)
            pixels[..., channel] += 100
            Image.fromarray(pixels).save(folder / "pets" / name / f"{i}.png")
    return "pets"


def colours(folder):
    """Small colour images in a train and a test part would be a known set; here they are one array file."""
    label = RNG.integers(0, 2, 120)
    data = RNG.integers(0, 100, (120, 3, 12, 14)) + 60 * label[:, None, None, None]
    np.savez(folder / "colours.npz", data=data.astype(np.uint8), label=label)
    return "colours.npz"


def digits(folder):
    return "digits"


@pytest.mark.parametrize(
    ("source", "model"),
    [
        (digits, "linear"),
        (digits, "cnn"),
        (species, "linear"),
        (species, "mlp"),
        (prices, "regression"),
        (play, "rnn"),
        (pets, "cnn"),
        (colours, "resnet"),
    ],
)
def test_a_starter_checks_clean_and_learns(command, folder, source, model):
    given = source(folder)
    answer = command("new", "--data", given, *KIND.get(given, ()), "--model", model)
    path = Path(f"{Path(given).stem}_{model}.yaml")
    assert answer == (0, "", f"wrote {path}; train it with: layerkit train {path}\n")
    checked = command("check", str(path))
    assert (checked.status, checked.err) == (0, "")

    text = path.read_text()
    assert text.startswith("# yaml-language-server: $schema=file://")
    assert max(map(len, text.splitlines()[1:])) <= 120
    assert "{facts" not in text
    solver = lk.Solver(str(path))
    before = solver.test()["loss"]
    solver.step(20)
    assert solver.test()["loss"] < 0.9 * before


@pytest.mark.parametrize(
    ("source", "model"), [(digits, "cnn"), (species, "mlp"), (prices, "regression"), (play, "rnn")]
)
def test_without_a_family_it_takes_what_suits(command, folder, source, model):
    given = source(folder)
    told = ("--data", given, *KIND.get(given, ()))
    assert command("new", "mine", *told).status == 0
    left = Path("mine.yaml").read_text()
    assert command("new", *told, "--model", model, "-o", "mine.yaml", "--force").status == 0
    assert Path("mine.yaml").read_text() == left


def test_what_is_written_is_what_was_found(command, folder):
    command("new", "--data", species(folder), "-o", "a.yaml")
    text = Path("a.yaml").read_text()
    assert "source: species.csv" in text
    assert "split: stratified" in text
    assert "3 classes" in text
    assert len(re.search(r"mean: \[(.*?)\]", text)[1].split(",")) == 4  # two numbers and two categories
    command("new", "--data", pets(folder), "-o", "b.yaml")
    text = Path("b.yaml").read_text()
    assert "- {type: random_resized_crop, size: 64}\n          - mirror\n" in text
    means = [float(each) for each in re.search(r"mean: \[(.*?)\]", text)[1].split(",")]
    assert means == pytest.approx([100, 50, 100], abs=5)
    command("new", "--data", "digits", "-o", "c.yaml")
    assert "parts:" not in Path("c.yaml").read_text()  # there is a part to test with


def test_fields_of_the_kind_are_written_too(command, folder):
    prices(folder)
    told = ("--kind", "csv", "--set", "label=a", "--set", "ignore=[price]")
    assert command("new", "--data", "prices.csv", *told, "-o", "a.yaml").status == 0
    assert "dataset: {type: csv, label: a, ignore: [price]}" in Path("a.yaml").read_text()
    summary = json.loads(command("summary", "a.yaml", "--json").out)
    assert summary["rows"][0]["outputs"][0][1:] == [2]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--data", "digits", "--model", "cmm"), "there is no model family 'cmm'; there are: linear, mlp, cnn, "),
        (("--data", "moons", "--model", "cnn"), "images, (C, H, W) with sides of at least 6, not 2; try --model mlp"),
        (("--data", "shakespeare", "--model", "mlp"), "try --model rnn"),
        (("--data", "regression", "--model", "linear"), "try --model regression"),
        (("--data", "digits", "--model", "rnn"), "the model family 'rnn' needs a text, but has digits: "),
        (("--data", "shapes"), "'shapes' has labels of 32x32, which no starter is for; "),
        (("--data", "parity"), "'parity' has labels of 32, which no starter is for; "),
        (("--data", "configs/mlp.yaml"), "is a run already; give the samples themselves"),
        (("--data", "nothing.csv"), "there is no file or folder 'nothing.csv'"),
        (("mlp", "--model", "cnn"), "--model goes with --data"),
        (("mlp", "--data", "digits", "-o", "a.yaml"), "give one"),
    ],
)
def test_what_cannot_be_written_is_one_sentence(command, arguments, said):
    answer = command("new", *arguments)
    assert (answer.status, answer.out) == (2, "")
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert not list(Path().glob("*.yaml"))


@pytest.mark.parametrize(("labels", "task"), [((0, 7, 31), "numbers"), ((0, 1, 3), "classes"), ((4, 4, 4), "numbers")])
def test_whole_numbers_are_classes_where_most_of_them_are_there(folder, labels, task):
    np.savez(folder / "some.npz", data=RNG.normal(size=(30, 3)), label=np.tile(labels, 10))
    assert look("some.npz", None, [], None).task == task


def test_the_widths_in_its_comment_are_those_of_the_net(command, folder):
    command("new", "net", "--data", colours(folder), "--model", "cnn")
    (said,) = re.findall("halves the image, (.*) pixels wide", Path("net.yaml").read_text())
    built = graph.load("net.yaml", ["train"]).graphs["train"]
    widths = [built.shapes[built.last[name]][3] for name in ("data", "stage1/pool", "stage2/pool")]
    assert said.split(", ") == [*map(str, widths)] == ["14", "7", "4"]


def test_only_images_to_train_with_are_mirrored(command, folder):
    command("new", "net", "--data", colours(folder), "--model", "cnn")
    before, _, tested = Path("net.yaml").read_text().partition("test:\n")
    assert "- mirror\n" in before
    assert "mirror" not in tested


def test_a_column_that_is_always_the_same_is_not_divided_by_its_spread(folder):
    data = np.c_[np.full(40, 5.0), np.linspace(0, 1, 40)]
    np.savez(folder / "some.npz", data=data, label=np.tile([0, 1], 20))
    facts = look("some.npz", None, [], None)
    assert facts.means == pytest.approx([5, 0.5])
    assert facts.stds == pytest.approx([1, data[:, 1].std()])


@pytest.mark.parametrize(("divided", "epochs"), [(False, 84), (True, 67)])
def test_about_a_thousand_updates_are_made_of_what_is_not_kept_for_tests(divided, epochs):
    facts = Facts("some", {}, divided, 1000, (4,), varies=False, task="classes", classes=2)
    assert facts.batch == 64
    assert facts.epochs == epochs == -(-1000 // ((1000 if divided else 800) // 64))


def test_a_starter_overwrites_nothing_unasked(command):
    Path("mine.yaml").write_text("mine")
    answer = command("new", "mine", "--data", "digits")
    assert (answer.status, answer.err) == (2, "mine.yaml exists; --force overwrites it\n")
    assert Path("mine.yaml").read_text() == "mine"


def test_the_help_names_every_family(command):
    said = " ".join(command("new", "--help").out.split())
    assert all(family in said for family in MODELS)
