"""What holds for every verb: help with an example in 80 columns, data on standard output, and nothing but text."""

import sys
from pathlib import Path

import pytest
import typer

from layerkit.cli.main import app
from layerkit.errors import DataError
from layerkit.layers.data.ahead import spec_of
from layerkit.layers.data.data import Data

ESCAPE = "\x1b"
ROOT = typer.main.get_command(app)


def verbs(group=ROOT, *path):
    """Every verb's words, those of groups too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from verbs(command, *path, name)
        yield (*path, name)


@pytest.mark.parametrize("verb", sorted(verbs()), ids=" ".join)
def test_help_has_an_example_and_fits_80_columns(command, monkeypatch, verb):
    monkeypatch.setenv("FORCE_COLOR", "1")  # help is text in any case
    answer = command(*verb, "--help")
    assert (answer.status, answer.err) == (0, "")
    assert f"Example: layerkit {' '.join(verb)} " in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert ESCAPE not in answer.out
    assert all(parameter.help for parameter in _command(verb).params if hasattr(parameter, "help"))


def _command(verb):
    found = ROOT
    for word in verb:
        found = found.commands[word]
    return found


def test_every_verb_is_in_the_readme():
    text = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert [verb for verb, *_ in verbs() if f"`layerkit {verb}" not in text] == []


@pytest.fixture
def asked(command):
    """`asked("plot run --table")` runs a command, after a short run into the folder `run` if it speaks of that."""

    def answer(line):
        if " run" in line:
            train(command)
        return command(*line.split(" "))

    return answer


def train(command):
    settings = ("--set", "solver.max_iter=2", "--set", "solver.test_interval=1", "--set", "solver.display=1")
    assert command("train", "configs/mlp.yaml", *settings, "--folder", "run", "--quiet").status == 0


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        ("test configs/mlp.yaml --weights run/iter_2.safetensors --iterations 1", "loss "),
        ("predict run/iter_2.safetensors digits --top 1", "digits"),
        ("check configs/mlp.yaml", "configs/mlp.yaml: ok"),
        ("check configs/mlp.yaml --phase predict", "name: mlp"),
        ("summary configs/mlp.yaml", "layer "),
        ("time configs/mlp.yaml --iterations 1 --json", "{"),
        ("plot run --table", ""),
        ("new", "alexnet "),
        ("layers", "activation:"),
        ("layers ReLU", "ReLU (activation): "),
        ("doctor", "layerkit "),
        ("data info", "dataset "),
        ("data info moons", "moons: "),
        ("draw configs/mlp.yaml", ""),
    ],
)
def test_data_goes_to_standard_output_and_is_plain_text(asked, monkeypatch, line, begins):
    """Piped, and with NO_COLOR, as the tests run: no escape codes, and nothing on standard error."""
    monkeypatch.setenv("NO_COLOR", "1")
    answer = asked(line)
    assert (answer.status, answer.err) == (0, "100 samples\n" if line.startswith("test") else "")
    assert answer.out.startswith(begins)
    assert answer.out.endswith("\n")
    assert ESCAPE not in answer.out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("new mlp", "wrote mlp.yaml"),
        ("draw configs/mlp.yaml -o net.svg", "wrote net.svg"),
        ("convert configs/mlp.yaml -o net.prototxt", "wrote net.prototxt"),
        ("data convert moons a.npz --part test", "wrote a.npz"),
        ("predict run/iter_2.safetensors digits --blob fc1 -o a.npz", "wrote a.npz"),
        ("plot run --csv tables", "tables.train.csv: 2 rows"),
    ],
)
def test_messages_go_to_standard_error(asked, line, said):
    answer = asked(line)
    assert answer.status == 0
    assert said in answer.err
    assert answer.out == ""
    assert ESCAPE not in answer.err


def test_what_windows_lacks_is_said_in_one_sentence(command, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    answer = command("sweep", "configs/mlp.yaml", "--set", "solver.base_lr=0.1,0.2")
    assert answer.status == 2
    assert "on Windows, train with each value by itself: layerkit train FILE --set A.B=VALUE" in answer.err
    with pytest.raises(DataError, match="on Windows use worker_type: threads"):
        spec_of(Data(Data.Params(dataset="digits", batch_size=1)))
