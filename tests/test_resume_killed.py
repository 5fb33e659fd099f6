"""Real processes that are killed, interrupted or run out of disk: resumed, they end as if nothing had been."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from child_tools import finish, start

from layerkit import arrayfile, events, snapshot

END = 1000
RUN = f"""
name: run
threads: 1
net:
  layers:
    - {{name: digits, type: Data, top: [data, label], dataset: digits, batch_size: {{train: 50, test: 100}},
       scale: 0.0625}}
    - {{name: fc1, type: InnerProduct, bottom: data, num_output: 12, weight_filler: xavier}}
    - {{name: relu, type: ReLU, top: fc1}}
    - {{name: drop, type: Dropout, dropout_ratio: 0.3}}
    - {{name: fc2, type: InnerProduct, num_output: 10, weight_filler: xavier}}
    - {{name: loss, type: SoftmaxWithLoss, bottom: [fc2, label]}}
    - {{name: accuracy, type: Accuracy, bottom: [fc2, label], include: test}}
solver: {{type: Adam, base_lr: 0.01, momentum: 0.9, momentum2: 0.99, lr_policy: inv, gamma: 0.01, power: 0.75,
  average: {{type: ema, decay: 0.9}}, average_loss: 4, max_iter: {END}, snapshot: 5, display: 1, test_interval: 25}}
"""


def train(folder: Path, *options: str, limit: int = resource.RLIM_INFINITY) -> tuple[int, str, str]:
    """Status, output and errors of `layerkit train`, in a process whose files may have `limit` bytes."""
    limited = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))"
    code = f"{limited}; from layerkit.cli.main import main; main()"
    return finish(start(folder, "-c", code, "train", "run.yaml", "--quiet", *options))


def lives(folder: Path, kills: int) -> dict[str, int]:
    """What killer.py says of a run in `folder` that it killed so often."""
    (folder / "run.yaml").write_text(RUN)
    status, out, err = finish(start(folder, str(Path(__file__).with_name("killer.py")), str(folder), str(kills), "1"))
    assert status == 0, err
    found: dict[str, int] = json.loads(out)
    return found


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's folder after it went through at once."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert lives(folder, 0)["lives"] == 1
    return folder / "runs" / "run"


def course(folder: Path) -> list[dict[str, Any]]:
    """The record of a run less its starts and stops, times and speeds."""
    kept = [event for event in events.read(folder / "events.jsonl") if event["event"] not in ("start", "stop")]
    return [{key: value for key, value in event.items() if key not in ("time", "samples_per_s")} for event in kept]


def assert_same_snapshot(found: Path, wanted: Path, iteration: int) -> None:
    """That two runs came to the same weights, update state and generators."""
    for suffix in (".safetensors", snapshot.STATE_SUFFIX):
        files = [arrayfile.load(folder / f"iter_{iteration}{suffix}") for folder in (found, wanted)]
        assert files[0][0].keys() == files[1][0].keys()
        for name, array in files[0][0].items():
            np.testing.assert_array_equal(array, files[1][0][name], err_msg=name)
        abouts = [json.loads(notes["layerkit"]) for _, notes in files]
        assert abouts[0].get("generators") == abouts[1].get("generators")


def test_killed_50_times_the_run_ends_as_if_nothing_had_been(tmp_path: Path, uninterrupted: Path) -> None:
    assert lives(tmp_path, 50)["kills"] == 50
    run = tmp_path / "runs" / "run"
    assert_same_snapshot(run, uninterrupted, END)
    last = f"iter_{END}.safetensors"
    assert (run / last).read_bytes() == (uninterrupted / last).read_bytes()
    assert course(run) == course(uninterrupted)
    assert [event["iter"] for event in course(run) if event["event"] == "display"] == list(range(END))
    assert [event["iter"] for event in course(run) if event["event"] == "snapshot"] == list(range(5, END + 1, 5))
    assert not list(run.glob(".*"))


def test_ctrl_c_snapshots_and_ends_cleanly_and_the_run_resumes(tmp_path: Path, uninterrupted: Path) -> None:
    (tmp_path / "run.yaml").write_text(RUN)
    run = tmp_path / "runs" / "run"
    child = start(tmp_path, "-m", "layerkit", "train", "run.yaml", "--quiet")
    _wait_until((run / "iter_100.state.safetensors").exists, child)
    child.send_signal(signal.SIGINT)
    status, out, err = finish(child)
    assert status == 130, err
    assert "Traceback" not in out + err
    last = events.read(run / "events.jsonl")[-1]
    assert (last["event"], last["reason"]) == ("stop", "interrupted")
    assert snapshot.newest_state(run) == run / f"iter_{last['iter']}.state.safetensors"
    status, _, err = train(tmp_path, "--resume")
    assert status == 0, err
    at = last["iter"]
    assert [event for event in course(run) if event["event"] != "snapshot" or event["iter"] != at or at % 5 == 0] == (
        course(uninterrupted)
    )
    assert_same_snapshot(run, uninterrupted, END)


def _wait_until(ready: Any, child: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not ready() and child.poll() is None and time.monotonic() < end:
        time.sleep(0.005)


# -- a disk that fills up ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the run has made ten iterations."""
    folder = tmp_path_factory.mktemp("ten")
    (folder / "run.yaml").write_text(RUN)
    assert train(folder, "--set", "solver.max_iter=10") == (0, "", "")
    return folder


@pytest.mark.parametrize("failing", ["weights", "state", "record", "config"])
def test_a_disk_that_fills_up_costs_no_snapshot(tmp_path: Path, ten: Path, uninterrupted: Path, failing: str) -> None:
    shutil.copytree(ten, tmp_path, dirs_exist_ok=True)
    run = tmp_path / "runs" / "run"
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    size = {name: len(content) for name, content in before.items()}
    weights, state = size["iter_10.safetensors"], size["iter_10.state.safetensors"]
    assert size["config.yaml"] < size["events.jsonl"] < weights < state
    limit, where = {
        "weights": (weights - 1, "iter_15.safetensors"),
        "state": ((weights + state) // 2, "iter_15.state.safetensors"),
        "record": (size["events.jsonl"] + 300, "event log"),
        "config": (size["config.yaml"] - 100, "config.yaml"),
    }[failing]
    status, out, err = train(tmp_path, "--resume", limit=limit)
    assert (status, out, err.count("\n")) == (2, "", 1), err
    assert where in err
    assert "the disk is full" in err or (failing == "record" and "File too large" in err)
    for name in ("iter_5.safetensors", "iter_5.state.safetensors", "iter_10.safetensors", "iter_10.state.safetensors"):
        assert (run / name).read_bytes() == before[name]
    assert not list(run.glob(".*"))  # no temporary file
    assert snapshot.newest_state(run) == run / "iter_10.state.safetensors"
    assert train(tmp_path, "--resume", "--set", "solver.max_iter=20") == (0, "", "")
    assert_same_snapshot(run, uninterrupted, 20)
