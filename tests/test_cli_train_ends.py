"""How `layerkit train` ends: finished, early, by its time or interrupted; and what it then says and leaves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from train_tools import MLP, sets

from layerkit import arrayfile, events, snapshot, solver

SHORT = sets(max_iter=20, test_interval=5, snapshot=5, display=10)
WORSE = sets(base_lr=0.0, early_stopping="{metric: accuracy, patience: 2}")


def test_an_early_end_is_told_and_its_best_weights_are_there(command: Any) -> None:
    answer = command("train", MLP, *SHORT, *WORSE)
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    best = str(Path("runs/mlp/best.safetensors"))
    assert re.fullmatch(rf" 0/20  best accuracy 0\.\d{{4}}  {re.escape(best)}", lines[2])
    assert re.fullmatch(r"stopped early after 10 iterations in \d+\.\d s", lines[-2])
    assert re.fullmatch(r"best accuracy 0\.\d{4} at iteration 0", lines[-1])
    log = events.read("runs/mlp/events.jsonl")
    assert [event["event"] for event in log][:3] == ["start", "test", "best"]
    assert (log[-1]["reason"], log[-1]["best"]["at"]) == ("early_stopping", 0)
    assert snapshot.read_weights_info(best).iteration == 0
    found = command("test", MLP, "--weights", best)
    assert f"accuracy {log[-1]['best']['value']:.6g}" in found.out


def test_an_early_ended_run_that_is_resumed_says_so(command: Any) -> None:
    uneven = sets(snapshot=4)  # no snapshot falls due where it ends, so the last one is written after the test there
    command("train", MLP, *SHORT, *WORSE, *uneven)
    before = Path("runs/mlp/best.safetensors").read_bytes()
    answer = command("train", MLP, *SHORT, *WORSE, *uneven, "--resume")
    assert answer.status == 0
    assert "early_stopping has ended this run; more: a greater patience in solver.early_stopping" in answer.err
    assert answer.out.splitlines()[-2].startswith("stopped early after 0 iterations")
    assert Path("runs/mlp/best.safetensors").read_bytes() == before


def test_a_run_in_epochs_that_is_resumed_at_its_end_names_its_field(command: Any) -> None:
    epochs = [*sets(max_epochs=1, max_iter="null", test_interval=0, snapshot=0, display="1 epoch")]
    lines = command("train", MLP, *epochs).out.splitlines()
    assert lines[0] == "mlp: 9,610 weights, 23 iterations, seed 0"
    assert (
        "that is max_epochs already; more: --set solver.max_epochs=2" in command("train", MLP, *epochs, "--resume").err
    )


def test_max_time_ends_well_and_resumes(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(solver.TimeLimit, "look", lambda self: True)
        answer = command("train", MLP, *SHORT, *sets(max_time="1s"))
    assert (answer.status, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert re.fullmatch(r"stopped at max_time after 0 iterations in \d+\.\d s", lines[-2])
    assert lines[-1] == "the same command with --resume goes on from there"
    answer = command("train", MLP, *SHORT, *sets(max_time="1h"), "--resume")
    assert answer.status == 0
    assert answer.out.splitlines()[-1].startswith("finished after 20 iterations")


def test_a_loss_that_is_not_finite_is_one_line_and_its_batch_is_left(command: Any) -> None:
    answer = command("train", MLP, *SHORT, *sets(base_lr="1e37", display=0))
    assert answer.status == 2
    assert answer.err.count("\n") == 1
    assert re.search(
        r"at iteration \d+, first in the .* of (layer|blob) '\w+'.*the batch is in runs.mlp.batch_\d+\.npz", answer.err
    )
    (batch,) = Path("runs/mlp").glob("batch_*.npz")
    assert arrayfile.load(batch)[0]["data"].shape == (64, 1, 8, 8)


def test_force_replaces_what_these_leave(command: Any) -> None:
    command("train", MLP, *SHORT, *WORSE)
    np.savez("runs/mlp/batch_3.npz", data=np.zeros(2))
    command("train", MLP, *sets(max_iter=2, test_interval=0, snapshot=0), "--force")
    names = {path.name for path in Path("runs/mlp").iterdir()}
    assert names == {"config.yaml", "events.jsonl", "iter_2.safetensors", "iter_2.state.safetensors"}


def test_a_damaged_snapshot_is_told_of_and_an_older_one_taken(command: Any) -> None:
    run = ["train", "configs/mlp.yaml", "--set", "name=hurt", "--set", "solver.max_iter=20"]
    assert command(*run, "--set", "solver.snapshot=10", "--set", "solver.test_interval=0").status == 0
    states = sorted(Path("runs/hurt").glob("iter_*.state.safetensors"))
    states[1].write_bytes(states[1].read_bytes()[:-100])
    again = command(*run, "--resume", "--set", "solver.snapshot=0", "--set", "solver.snapshot_after_train=false")
    assert again.status == 0
    assert re.search(r"note: passed over a snapshot: '.*iter_20\.state\.safetensors' is cut short", again.err)
    assert "going on from runs/hurt/iter_10.state.safetensors at iteration 10" in again.err
    states[0].write_bytes(b"")
    broken = command(*run, "--resume")
    assert broken.status == 2
    assert re.fullmatch(r"nothing to resume: '?.*iter_\d0\.state\.safetensors.*\n", broken.err)


def test_check_knows_the_outputs_that_steer_a_run(command: Any) -> None:
    for field in ("early_stopping", "keep_best"):
        answer = command("check", "configs/mlp.yaml", "--set", f"solver.{field}=acuracy")
        assert answer.status == 2
        assert "did you mean 'accuracy'?" in answer.err
        assert command("check", "configs/mlp.yaml", "--set", f"solver.{field}=accuracy").status == 0
