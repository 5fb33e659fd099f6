"""Completion: what a real process answers to each shell, by the protocol of the script that it prints for it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import layerkit
from layerkit.cli import complete

SOURCE = "from layerkit.cli.main import main; import sys; sys.argv[0] = 'layerkit'; main()"
SHELLS = ("bash", "zsh", "fish")


def asked(shell: str, line: str) -> list[str]:
    """What the shell is told to offer at the end of a line."""
    words = line.split(" ")
    answer = run(
        {
            "_LAYERKIT_COMPLETE": f"complete_{shell}",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
            "_TYPER_COMPLETE_ARGS": line,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
    )
    assert answer.stderr == ""
    if shell == "zsh":  # (("name":"help" ...)) or (name ...)
        return [part.split(":")[0].strip('"()') for part in answer.stdout.split("((")[-1].splitlines()]
    return [each.split("\t")[0] for each in answer.stdout.splitlines()]


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess:
    root = str(Path(layerkit.__file__).parents[1])
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("COVERAGE_PROCESS")}
    return subprocess.run(
        [sys.executable, "-c", SOURCE, *arguments],
        env={**inherited, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_answers(shell):
    assert asked(shell, "layerkit s") == ["sweep", "summary"]


def test_a_script_for_the_shell_is_shown():
    answer = run({"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}, "--show-completion", "zsh")
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "_LAYERKIT_COMPLETE=complete_zsh" in answer.stdout


@pytest.mark.parametrize(
    ("function", "typed", "offered"),
    [
        (complete.phases, "t", ["test", "train"]),
        (complete.engines, "", ["auto", "numpy", "onednn"]),
        (complete.layer_types, "pool", ["Pooling"]),
        (complete.sets, "mo", ["moons"]),
        (complete.sets, "cs", []),
        (complete.kinds, "cs", ["csv"]),
        (complete.public_sets, "cifar", ["cifar10", "cifar100"]),
        (complete.families, "r", ["regression", "resnet", "rnn"]),
        (complete.shipped, "ml", ["mlp"]),
    ],
)
def test_values_are_those_that_begin_so(function, typed, offered):
    assert function(typed) == offered


def test_every_argument_whose_values_are_known_completes_them():
    """By the commands themselves, so that none is forgotten."""
    import typer

    from layerkit.cli.main import app

    root = typer.main.get_command(app)
    wanted = {
        ("layers", "types"): "Pooling",
        ("new", "name"): "mlp",
        ("new", "data"): "digits",
        ("new", "model"): "cnn",
        ("new", "kind"): "csv",
        ("data", "info", "source"): "digits",
        ("data", "convert", "source"): "digits",
        ("data", "mean", "source"): "digits",
        ("data", "fetch", "name"): "mnist",
        **{(verb, "phase"): "train" for verb in ("check", "summary", "draw", "time")},
        **{(verb, "engine"): "numpy" for verb in ("train", "test", "check", "summary", "time", "sweep")},
    }
    for (*path, name), value in wanted.items():
        found = root
        for verb in path:
            found = found.commands[verb]
        parameter = next(each for each in found.params if each.name == name)
        context = found.make_context(path[-1], [], resilient_parsing=True)
        assert value in [item.value for item in parameter.shell_complete(context, "")], (*path, name)
