"""What the README says is so: its commands, its net, its Python, its lists."""

import re
import shlex
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer

import layerkit as lk
from layerkit import engines, registry, text
from layerkit.cli.main import app
from layerkit.errors import ConfigError
from layerkit.spec import load_run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line.strip() for line in README.splitlines() if line.startswith("    python3 -m venv ")]


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_it_opens_with_the_two_commands():
    top = README.split("\nlayerkit is ")[0]
    assert len(COMMANDS) == 2
    assert all(f"    {command}\n" in top for command in COMMANDS)
    assert COMMANDS[0].endswith("layerkit train configs/mlp.yaml")
    assert COMMANDS[1].endswith("pytest -n auto")


def test_continuous_integration_runs_the_second_command():
    script = (ROOT / ".ci" / "run").read_text()
    (extract,) = re.findall(r"^command=\$\((.*)\)$", script, re.MULTILINE)
    done = subprocess.run(["bash", "-c", extract], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == COMMANDS[1]


def test_its_net_is_the_shipped_one():
    (shown,) = blocks("yaml")
    assert text.parse(shown) == load_run(ROOT / "configs" / "mlp.yaml").resolved()


def test_its_mistake_is_reported_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (shown,) = blocks("yaml")
    Path("mlp.yaml").write_text(shown.replace("num_output: 128", "num_ouput: 128"))
    with pytest.raises(ConfigError) as caught:
        lk.Net("mlp.yaml")
    assert f"    {caught.value}\n" in README


def test_its_first_command_and_what_it_tells_to_do_next(command, capsys):
    training = shlex.split(COMMANDS[0].split(" && ")[-1])[1:]
    answer = command(*training)
    assert answer.status == 0
    shown = re.findall(r"^    +(\d+/1000  (?:test|snapshot)|mlp: 9,610 weights)", README, re.MULTILINE)
    assert shown
    assert all(start in answer.out for start in shown)
    (line,) = (line for line in README.splitlines() if line.startswith("    .venv/bin/python -c "))
    exec(shlex.split(line)[2], {})
    numbers = [float(number) for number in re.findall(r"\d\.\d+(?:e-\d+)?", capsys.readouterr().out)]
    assert len(numbers) == 10
    assert numbers[1] > 0.9
    if engines.missing("onednn") is None:  # which the tour is shown with
        _take_the_tour(command)


def _take_the_tour(command):
    """What its commands print, one after the other, has the shape that is shown.

    Compares columns, layers, units and axes; numbers count by being there, engines and a drawing's marks not at all.
    """
    sections = README.split("## A tour\n")[1].split("\n## Python\n")[0]
    steps = re.findall(r"^    \$ layerkit (.*)\n((?:    (?!\$).*\n|\n(?=    ))+)", sections, re.MULTILINE)
    assert len(steps) == 14
    for line, shown in steps:
        answer = command(*shlex.split(line.split(" | ")[0]))
        assert answer.status == 0, answer.err
        printed = [_shape(each) for each in (answer.out + answer.err).splitlines()]
        for each in shown.splitlines():
            assert any(_shape(each) == found[: len(_shape(each))] for found in printed), (line, each)


def _shape(line: str) -> list[str]:
    """A line's words, each number as #; of a drawing its axis alone."""
    drawn = line.split("|")[0] if "|" in line else line
    words = re.sub(r"(?<![\w:])-?[\d.,]*\d(?![\w:])", "#", drawn).split()
    return [word for word in words if not re.match(r"(?:x64|jit|avx|numpy)", word)]


@pytest.mark.parametrize(
    ("line", "columns"),
    [
        ("summary configs/mlp.yaml", 6),  # the last one depends on the machine
        ("check configs/mlp.yaml --gradients", 2),
        ("trace configs/lecture/sum_times.yaml --input x=-2,y=5,z=-4", None),
        ("data info digits", None),
    ],
)
def test_its_tour_shows_what_is_printed(command, line, columns):
    shown = README.split(f"    $ layerkit {line}\n")[1].split("\n\n\n")[0]
    shown = re.match(r"(?:    (?!\$).*\n|\n(?=    ))+", shown)[0].splitlines()
    answer = command(*line.split())
    assert answer.status == 0
    printed = [_cells(each, columns) for each in answer.out.splitlines()]
    for each in shown:
        assert _cells(each.strip(), columns) in printed, each


def _cells(line: str, count: int | None) -> list[str]:
    return re.split(r"  +", line.strip())[:count]


def test_its_tour_has_ten_commands_that_are_there():
    tour = README.split("## A tour\n")[1].split("\n## ")[0]
    told = re.findall(r"^    \$ layerkit (\w+)", tour, re.MULTILINE)
    assert len(told) == 11
    assert {*told} <= {*typer.main.get_command(app).commands}


def test_its_python_runs(folder, capsys, monkeypatch):
    monkeypatch.setattr(registry, "_types", dict(registry._types))
    space = {}
    for block in blocks("python"):
        exec(block, space)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:] == ["(64, 128)", "(128, 64)", "1"]
    assert len(blocks("python")[1].strip().splitlines()) <= 26  # a layer of about 20 lines and its imports
    assert "SoftSign" in lk.layer_types()


def test_it_lists_every_verb():
    shown = re.findall(r"^\| `layerkit (\w+)", README, re.MULTILINE)
    assert sorted(shown) == sorted(typer.main.get_command(app).commands)


def test_it_says_how_many_layer_types_there_are():
    built_in = [name for name in lk.layer_types() if registry.family(name) != "plug-in"]
    assert f"Layers: {len(built_in)} types" in README


def test_every_link_to_a_file_leads_to_one():
    for name in ("README.md", "configs/README.md", "tools/README.md"):
        path = ROOT / name
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{name}: {target}"


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("net", ["siamese", "pairs", "left_point", "ContrastiveLoss"]),
        ("curve", ["mlp", "loss (log)", "accuracy", "test"]),
    ],
)
def test_its_pictures_are_small_and_made_by_the_tools(name, texts):
    path = ROOT / "tools" / "pictures" / f"{name}.svg"
    assert f"](tools/pictures/{name}.svg)" in README
    assert path.stat().st_size < 60_000
    written = [text.text for text in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]
    assert set(texts) <= set(written)
    assert f"{name}.svg" in (ROOT / "tools" / "make_pictures.py").read_text()


def test_every_script_is_explained():
    explained = (ROOT / "tools" / "README.md").read_text()
    for path in (ROOT / "tools").iterdir():
        if path.is_file() and path.name != "README.md":
            assert f"`{path.name}`" in explained
