"""Every example in configs/README.md is what it says: valid, or wrong in exactly the way that is printed below it."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple, get_args

import h5py
import numpy as np
import pytest

from layerkit import graph
from layerkit.datasets.files import decode
from layerkit.datasets.transforms import TransformParams
from layerkit.datasets.writing.lmdb_writer import write_lmdb
from layerkit.errors import ConfigError
from layerkit.policies import POLICIES
from layerkit.spec import AverageSpec, EarlyStoppingSpec, PlateauSpec, SolverSpec
from layerkit.updaters import UPDATERS

GUIDE = Path(__file__).parents[1] / "configs" / "README.md"
TEXT = GUIDE.read_text(encoding="utf-8")


FILES = {
    "iris.csv": "sepal length,sepal width,petal length,petal width,species\n"
    + "5.1,3.5,1.4,0.2,setosa\n7.0,3.2,4.7,1.4,versicolor\n6.3,3.3,6.0,2.5,virginica\n" * 10,
    "titanic.csv": "PassengerId,Survived,Pclass,Name,Sex,Age,Ticket,Cabin,Embarked\n"
    + '1,0,3,"Braund, Mr. Owen",male,22,A/5 21171,,S\n2,1,1,"Heikkinen, Miss. Laina",female,,3101282,C85,C\n' * 5,
    "play.txt": "To be, or not to be, that is the question:\n" * 20,
}
"""What examples read that no other example writes."""


class Example(NamedTuple):
    """One fenced block."""

    line: int
    kind: str
    body: str


EXAMPLES = [
    Example(TEXT.count("\n", 0, match.start()) + 1, match[1], match[2])
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
]
YAML = [
    (example, after if after is not None and after.kind == "text" else None)
    for example, after in zip(EXAMPLES, [*EXAMPLES[1:], None], strict=True)
    if example.kind == "yaml"
]


def write_data():
    """Small files of each kind, under the names that the section on them uses."""
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 9, 11), dtype=np.uint8)
    for part in ("train", "val"):
        for name, image in zip(("cat", "dog"), pixels, strict=False):
            Path(f"pets/{part}/{name}").mkdir(parents=True)
            Path(f"pets/{part}/{name}/1.png").write_bytes(decode.encode(image, "png", name))
        Path(f"{part}.txt").write_text(f"{part}/cat/1.png 0\n{part}/dog/1.png 1\n")
    Path("names.txt").write_text("cat\ndog\n")
    for path in ("train_lmdb", "test_lmdb"):
        write_lmdb(path, zip(pixels, range(4), strict=True))
    with h5py.File("more.h5", "w") as file:
        file["images/x"], file["images/y"] = pixels, np.arange(4)


@pytest.fixture
def saved(folder, monkeypatch):
    """All files that examples speak of: those with a name as their first line, those that Python writes, and data."""
    write_data()
    monkeypatch.setattr("layerkit.datasets.registered._parts", {})
    for example in EXAMPLES:
        if example.kind == "python" and "savez" in example.body:
            exec(example.body, {})
    for name, content in FILES.items():
        (folder / name).write_text(content)
    for example in EXAMPLES:
        named = re.match(r"# (\w+\.yaml)\n", example.body)
        if named:
            (folder / named[1]).write_text(example.body)


def test_every_fence_is_of_a_known_kind():
    assert {example.kind for example in EXAMPLES} == {"yaml", "text", "console", "python"}
    assert TEXT.count("```") == 2 * len(EXAMPLES)
    assert sum(error is not None for _, error in YAML) == sum(example.kind == "text" for example in EXAMPLES)


@pytest.mark.usefixtures("saved")
@pytest.mark.parametrize(("example", "error"), [pytest.param(*each, id=f"line{each[0].line}") for each in YAML])
def test_a_yaml_example_is_valid_or_wrong_as_printed(example, error):
    Path("example.yaml").write_text(example.body)
    if error is None:
        for built in graph.load("example.yaml").graphs.values():
            assert built.nodes
    else:
        with pytest.raises(ConfigError) as caught:
            graph.load("example.yaml")
        assert f"{caught.value}\n" == error.body


@pytest.mark.usefixtures("saved")
def test_two_examples_that_are_said_to_be_the_same_are():
    section = TEXT[TEXT.index("## What may be left out") : TEXT.index("## Parameters and fillers")]
    short, long = (body for kind, body in re.findall(r"^```(\w+)\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))
    trees = [[graph.as_tree(node.spec) for node in graph.load(body).graphs["train"].nodes] for body in (short, long)]
    assert trees[0] == trees[1]


@pytest.mark.usefixtures("saved")
def test_console_examples_print_what_is_shown(command):
    shown = [example for example in EXAMPLES if example.kind == "console"]
    assert shown
    for example in shown:
        before = [each for each in EXAMPLES if each.kind == "yaml" and each.line < example.line][-1]
        Path("example.yaml").write_text(before.body)
        first, output = example.body.split("\n", 1)
        answer = command(*shlex.split(first.removeprefix("$ layerkit ")))
        assert answer.out + answer.err == output


@pytest.mark.usefixtures("saved")
def test_the_python_examples_run(capsys):
    examples = [example for example in EXAMPLES if example.kind == "python"]
    assert len(examples) == 3
    for example in examples:
        exec(example.body, {})
    recorded = next(example.body for example, _ in YAML if example.body.startswith("name: recorded\n"))
    assert capsys.readouterr().out == f"(2, 3)\n{recorded}\n"


def test_the_guide_names_every_field_of_the_solver():
    section = TEXT[TEXT.index("## The solver") : TEXT.index("## Several files")]
    table = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    of_policies = {"gamma", "power", "stepsize", "stepvalue", "start_factor", "peak", "end_factor"}
    of_policies |= {"restart_iter", "restart_mult", "lr_table", "plateau"}
    fields = set(SolverSpec.model_fields) - of_policies
    assert table == fields | set(POLICIES) | set(UPDATERS)
    for name in (
        of_policies
        | set(PlateauSpec.model_fields)
        | set(AverageSpec.model_fields)
        | set(EarlyStoppingSpec.model_fields)
    ):
        assert re.search(rf"\b{name}\b", section), name


def test_the_guide_names_every_transform_and_its_fields():
    section = TEXT[TEXT.index("## Transforms") : TEXT.index("## Files, and code of your own")]
    rows = re.findall(r"^\| `(\w+)` (\*?) ?\|[^|]*\| (.*) \|$", section, re.MULTILINE)
    (union,) = get_args(TransformParams.model_fields["transform"].annotation)
    kinds = {kind.model_fields["type"].default: kind for kind in get_args(get_args(union)[0])}
    assert {name for name, _, _ in rows} == set(kinds)
    for name, star, fields in rows:
        assert bool(star) == kinds[name].random
        assert set(re.findall(r"`(\w+)`", fields)) == set(kinds[name].model_fields) - {"type"}


def test_links_lead_somewhere():
    headings = {
        re.sub(r"[^\w -]", "", line[3:]).lower().replace(" ", "-") for line in re.findall(r"^## .*", TEXT, re.M)
    }
    targets = set(re.findall(r"\]\(#([\w-]+)\)", TEXT))
    assert targets == headings
