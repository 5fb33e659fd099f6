"""`layerkit train` goes on: with --resume, from a snapshot, and from weights of other files."""

import os
from pathlib import Path

import numpy as np
import pytest
from train_tools import MLP, SHORT, same, sets, weights


def test_resumed_equals_uninterrupted(command):
    command("train", MLP, *SHORT, "--set", "name=whole")
    command("train", MLP, *SHORT, "--set", "name=parts", *sets(max_iter=10))
    answer = command("train", MLP, *SHORT, "--set", "name=parts", "--resume")
    assert answer.status == 0
    assert answer.err.replace("\\", "/").splitlines() == [
        "going on from runs/parts/iter_10.state.safetensors at iteration 10",
        "  changed since then: solver.max_iter: 10 -> 20",
    ]
    assert "finished after 10 iterations" in answer.out
    assert same("runs/whole/iter_20.safetensors", "runs/parts/iter_20.safetensors")
    assert not Path("runs/parts-2").exists()


def test_resume_takes_the_newest_folder_that_has_a_snapshot(command):
    for _ in range(2):
        command("train", MLP, *SHORT)
    for name in ("mlp-10", "mlp-x", "mlpx", "mlp-10-2"):
        Path("runs", name).mkdir()
    Path("runs/mlp-11").write_text("")
    answer = command("train", MLP, *SHORT, "--resume")
    assert "going on from runs/mlp-2/iter_20.state.safetensors" in answer.err.replace("\\", "/")
    assert "--set solver.max_iter=40" in answer.err
    assert "finished after 0 iterations" in answer.out


def test_resume_goes_on_with_its_own_run_alone(command):
    Path("mlp.yaml").write_text(Path(MLP).read_text().replace("name: mlp\n", ""))  # named by its file
    command("train", "mlp.yaml", *SHORT)
    command("train", MLP, *SHORT, "--set", "name=mlp-2")
    answer = command("train", "mlp.yaml", *SHORT, "--resume")
    assert "going on from runs/mlp/iter_20" in answer.err.replace("\\", "/")
    assert "changed since then" not in answer.err
    assert command("train", MLP, *SHORT, "--set", "name=mlp-3", "--resume").status == 2


def test_resume_takes_the_run_that_snapshotted_last(command):
    for _ in range(2):
        command("train", MLP, *SHORT)
    for state in Path("runs/mlp-2").glob("*.state.safetensors"):
        os.utime(state, (1, 1))
    answer = command("train", MLP, *SHORT, "--resume")
    assert "going on from runs/mlp/iter_20" in answer.err.replace("\\", "/")


@pytest.mark.parametrize("given", ["--snapshot", "--weights"])
def test_force_does_not_remove_what_the_run_starts_from(command, given):
    command("train", MLP, *SHORT)
    before = sorted(Path("runs/mlp").iterdir())
    name = "iter_20.state.safetensors" if given == "--snapshot" else "iter_20.safetensors"
    answer = command("train", MLP, *SHORT, "--force", given, f"runs/mlp/{name}")
    wanted = f"--force would remove runs/mlp/{name}; go on in runs/mlp with --resume, or leave --force out\n"
    assert (answer.status, answer.err.replace("\\", "/")) == (2, wanted)
    assert sorted(Path("runs/mlp").iterdir()) == before


def test_a_run_without_a_predict_net_says_so_at_the_start(command):
    layers = """
    - {name: digits, type: Data, top: [data, label], dataset: digits, batch_size: 10, include: train}
    - {name: fc, type: InnerProduct, bottom: data, num_output: 10}
    - {name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}
"""
    Path("a.yaml").write_text(f"net:\n  layers:{layers}solver: {{base_lr: 0.1, max_iter: 1}}\n")
    answer = command("train", "a.yaml")
    assert answer.status == 0
    assert answer.err.startswith("note: snapshots will hold no predict net: layer 'fc' (InnerProduct): bottom 'data'")


def test_a_snapshot_is_gone_on_from_in_a_new_folder(command):
    command("train", MLP, *SHORT)
    answer = command("train", MLP, *SHORT, "--snapshot", "runs/mlp/iter_10.state.safetensors")
    assert answer.status == 0
    assert same("runs/mlp/iter_20.safetensors", "runs/mlp-2/iter_20.safetensors")
    assert not Path("runs/mlp-2/iter_10.safetensors").exists()


def test_weights_to_start_from_come_from_several_files(command):
    command("train", MLP, *SHORT)
    trained = weights("runs/mlp/iter_20.safetensors")
    np.savez("one.npz", **{"fc1.weight": trained["fc1.weight"]})
    np.savez("two.npz", **{"fc2.weight": trained["fc2.weight"], "unknown": np.zeros(3)})
    answer = command(
        "train", MLP, *sets(max_iter=1, base_lr=0, test_interval=0), "--weights", "one.npz,two.npz", "--seed", "7"
    )
    assert answer.status == 0
    assert answer.err.splitlines()[:2] == [
        "1 of 4 weights from one.npz; 3 missing",
        "1 of 4 weights from two.npz; 3 missing, 1 skipped",
    ]
    started = weights("runs/mlp-2/iter_1.safetensors")
    assert np.array_equal(started["fc1.weight"], trained["fc1.weight"])
    assert np.array_equal(started["fc2.weight"], trained["fc2.weight"])
    assert not np.array_equal(started["fc2.bias"], trained["fc2.bias"])
