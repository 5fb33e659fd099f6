"""`layerkit train` and `layerkit test`: folders, seeds, what is refused, and what a test tells."""

import re
from pathlib import Path

import numpy as np
import pytest
from train_tools import MLP, SHORT, same, sets

from layerkit import events, text
from layerkit.net import Net
from layerkit.solver import Solver
from layerkit.spec import load_run

# -- a run and its folder ------------------------------------------------------------------------------------------


def test_a_run_leaves_config_events_and_snapshots(command):
    answer = command("train", MLP, *SHORT)
    assert (answer.status, answer.err) == (0, "")
    assert sorted(path.name for path in Path("runs/mlp").iterdir()) == [
        "config.yaml",
        "events.jsonl",
        "iter_10.safetensors",
        "iter_10.state.safetensors",
        "iter_20.safetensors",
        "iter_20.state.safetensors",
    ]
    resolved = load_run("runs/mlp/config.yaml").resolved()
    assert resolved == load_run(MLP, SHORT[1::2]).resolved()
    assert text.parse(Path("runs/mlp/config.yaml").read_text())["solver"]["max_iter"] == 20
    kinds = [event["event"] for event in events.read("runs/mlp/events.jsonl")]
    assert kinds == ["start", "test", "display", "snapshot", "test", "display", "snapshot", "test", "stop"]


def test_a_pipe_gets_plain_lines(command):
    lines = command("train", MLP, *SHORT).out.splitlines()
    assert lines[0] == "mlp: 9,610 weights, 20 iterations, seed 0"
    assert re.fullmatch(r" 0/20  test  loss \d\.\d{4}  accuracy 0\.\d{4}  \(360 samples\)", lines[1])
    displayed = [line for line in lines if "samples/s" in line]
    assert re.fullmatch(r" 0/20  loss 2\.\d+ +lr 0\.1 +[\d,]+ samples/s  eta -", displayed[0])
    assert re.fullmatch(r"10/20  loss \d\.\d+ +lr 0\.1 +[\d,]+ samples/s  eta 0:00:\d\d", displayed[1])
    assert "20/20  snapshot " + str(Path("runs/mlp/iter_20.safetensors")) in lines
    assert re.fullmatch(r"finished after 20 iterations in \d+\.\d s", lines[-1])
    assert not any("\x1b" in line for line in lines)


def test_quiet_prints_nothing(command):
    assert command("train", MLP, *SHORT, "--quiet") == (0, "", "")
    assert command("train", MLP, *SHORT, "--quiet") == (0, "", "")  # not even that runs/mlp was there


def test_later_runs_go_to_folders_of_their_own(command):
    command("train", MLP, *SHORT)
    second = command("train", MLP, *SHORT)
    third = command("train", MLP, *SHORT)
    assert "runs/mlp exists, so this run goes to runs/mlp-2" in second.err.replace("\\", "/")
    assert "runs/mlp-3" in third.err.replace("\\", "/")
    assert same("runs/mlp/iter_20.safetensors", "runs/mlp-3/iter_20.safetensors")


def test_force_replaces_a_run_and_nothing_else(command):
    command("train", MLP, *SHORT)
    Path("runs/mlp/notes.txt").write_text("mine")
    answer = command("train", MLP, *sets(max_iter=5, test_interval=0), "--force")
    assert (answer.status, answer.err) == (0, "")
    assert sorted(path.name for path in Path("runs/mlp").iterdir()) == [
        "config.yaml",
        "events.jsonl",
        "iter_5.safetensors",
        "iter_5.state.safetensors",
        "notes.txt",
    ]
    assert events.read("runs/mlp/events.jsonl")[0]["max_iter"] == 5


def test_force_without_an_older_run_is_an_ordinary_run(command):
    assert command("train", MLP, *SHORT, "--force").status == 0


def test_a_run_that_cannot_begin_leaves_no_folder(command):
    answer = command("train", "configs/lenet.yaml")
    assert answer.status == 2
    assert "cannot be found in the folder 'data/mnist'" in answer.err.replace("\\\\", "/")
    assert not Path("runs").exists()


def test_the_seed_decides(command):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        command("train", MLP, *SHORT, "--seed", str(seed), "--set", f"name={name}")
    assert same("runs/a/iter_20.safetensors", "runs/b/iter_20.safetensors")
    assert not same("runs/a/iter_20.safetensors", "runs/c/iter_20.safetensors")
    assert text.parse(Path("runs/c/config.yaml").read_text())["solver"]["random_seed"] == 2


@pytest.mark.parametrize("name", ["a/b", "..", "../up"])
def test_a_name_that_leads_elsewhere_is_refused(command, name):
    answer = command("train", MLP, "--set", f"name='{name}'")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert not Path("runs").exists()


def test_runs_is_a_file(command):
    Path("runs").write_text("")
    answer = command("train", MLP, *SHORT)
    assert answer.status == 2
    assert answer.err.startswith("cannot make the folder ")
    assert answer.err.count("\n") == 1


def test_the_runs_folder_is_a_file(command):
    Path("runs").mkdir()
    Path("runs/mlp").write_text("")
    answer = command("train", MLP, *SHORT, "--force")
    assert (answer.status, answer.err) == (2, f"{str(Path('runs/mlp'))!r} is no folder\n")


def test_two_runs_never_share_a_folder(command, monkeypatch):
    real = Solver.open

    def meanwhile(self):
        Path("runs/mlp").mkdir(parents=True)
        real(self)

    monkeypatch.setattr(Solver, "open", meanwhile)
    answer = command("train", MLP, *SHORT)
    assert answer.status == 2
    assert "made by another run" in answer.err


def test_a_full_disk_is_one_sentence(command, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", full)
        answer = command("train", MLP, *SHORT)
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert answer.err.endswith("No space left on device\n")
    monkeypatch.setattr("os.fsync", full)
    answer = command("train", MLP, *SHORT, "--force")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "the disk is full" in answer.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["configs/lecture/branch.yaml"], "the run 'branch' has no 'solver', so there is nothing to train by\n"),
        (["configs/lecture/linear_classifier.yaml"], "has no 'solver', so there is nothing to train by\n"),
        (["configs/lecture/branch.yaml", "--set", "solver={base_lr: 1, max_iter: 1}"], "or give it a Data layer\n"),
        ([MLP, "--resume", "--weights", "w"], "give one of --resume, --snapshot and --weights\n"),
        ([MLP, "--resume", "--force"], "and --force replaces it; give one\n"),
        ([MLP, "--resume"], "holds a snapshot of this run\n"),
        ([MLP, "--snapshot", "none.state.safetensors"], "there is no file 'none.state.safetensors'\n"),
        ([MLP, "--weights", "none.safetensors"], "there is no file 'none.safetensors'\n"),
        ([MLP, "--weights", "other.npz"], "fc1.weight, fc1.bias, fc2.weight, fc2.bias\n"),
        (
            [MLP, "--weights", "wrong.npz"],
            "but the net's is 128x64; to train layer 'fc1' afresh, give it another name\n",
        ),
        ([MLP, "--strict"], "--strict says what --weights may differ in; give that too, or leave --strict out\n"),
        ([MLP, *sets(base_lr="1e30")], "lower base_lr, or look for extreme values in the data\n"),
    ],
)
def test_what_can_be_mended_is_one_sentence_and_status_2(command, arguments, sentence):
    np.savez("other.npz", **{"ip1.weight": np.zeros((3, 4), np.float32)})
    np.savez("wrong.npz", **{"fc1.weight": np.zeros((3, 4), np.float32)})
    answer = command("train", *arguments)
    assert answer.status == 2
    assert answer.err.endswith(sentence)
    assert answer.err.count("\n") == 1


# -- a folder that is given ----------------------------------------------------------------------------------------


def test_a_given_folder_takes_the_run_and_is_gone_on_in(command):
    command("train", MLP, *SHORT, "--folder", "whole")
    answer = command("train", MLP, *SHORT, *sets(max_iter=10), "--folder", "deep/here")
    assert (answer.status, answer.err) == (0, "")
    assert not Path("runs").exists()
    answer = command("train", MLP, *SHORT, "--folder", "deep/here", "--resume")
    assert answer.err.startswith("going on from deep/here/iter_10.state.safetensors at iteration 10\n")
    assert same("whole/iter_20.safetensors", "deep/here/iter_20.safetensors")


def test_a_given_folder_is_only_replaced_by_force(command):
    assert command("train", MLP, "--folder", "here", "--resume").err == (
        "nothing to resume: the folder here holds no snapshot\n"
    )
    Path("here").mkdir()
    answer = command("train", MLP, *SHORT, "--folder", "here")
    assert (answer.status, answer.err) == (
        2,
        "here exists; go on in it with --resume, or replace what is in it with --force\n",
    )
    assert command("train", MLP, *SHORT, "--folder", "here", "--force").status == 0
    assert Path("here/iter_20.safetensors").exists()


# -- test ----------------------------------------------------------------------------------------------------------


def test_testing_a_snapshot_gives_what_training_saw(command):
    command("train", MLP, *SHORT)
    seen = [event["outputs"] for event in events.read("runs/mlp/events.jsonl") if event["event"] == "test"][-1]
    answer = command("test", MLP, "--weights", "runs/mlp/iter_20.safetensors")
    assert (answer.status, answer.err) == (0, "360 samples\n")
    found = {name: float(value) for name, value in map(str.split, answer.out.splitlines())}
    assert found == pytest.approx(seen, rel=1e-5)


def test_testing_some_batches(command):
    command("train", MLP, *SHORT)
    answer = command("test", MLP, "--weights", "runs/mlp/iter_20.safetensors", "--iterations", "2")
    assert answer.err == "200 samples\n"


def test_testing_draws_by_the_runs_seed(command, monkeypatch):
    seeds = []
    real = Net.load_weights
    monkeypatch.setattr(Net, "load_weights", lambda net, *given: seeds.append(net.seed) or real(net, *given))
    command("train", MLP, *sets(max_iter=0, test_interval=0))
    command("test", MLP, "--weights", "runs/mlp/iter_0.safetensors", *sets(random_seed=7))
    assert seeds == [7]
