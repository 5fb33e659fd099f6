"""Runs whose batches are made ahead, and changed at random: resumed, they end as if nothing had been."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from child_tools import finish, start
from data_tools import write_images

import layerkit as lk

HOW = {
    "inline": {"prefetch": 0},
    "threads": {"prefetch": 4, "workers": 2},
    "processes": {"prefetch": 3, "workers": 2, "worker_type": "processes"},
}
AUGMENTED: list[dict[str, Any]] = [
    {"type": "pad_crop", "padding": 1},
    {"type": "rotate", "degrees": 20},
    {"type": "color_jitter", "brightness": 0.2},
]
END = 12


def run(how: str) -> dict[str, Any]:
    data = {
        "name": "data",
        "type": "ImageData",
        "top": ["data", "label"],
        "source": "list.txt",
        "batch_size": 3,
        "shuffle": True,
        "mirror": True,
        "transform": AUGMENTED,
        "scale": 0.01,
        **HOW[how],
    }
    fc = {"name": "fc", "type": "InnerProduct", "bottom": "data", "num_output": 17, "weight_filler": "xavier"}
    loss = {"name": "loss", "type": "SoftmaxWithLoss", "bottom": ["fc", "label"]}
    solver = {"base_lr": 0.01, "momentum": 0.9, "max_iter": END, "snapshot": 5, "snapshot_after_train": False}
    return {"name": "run", "net": {"layers": [data, fc, loss]}, "solver": solver}


def trained(solver: lk.Solver) -> np.ndarray:
    solver.solve()
    weights = solver.net.params["fc"].weight.data.copy()
    solver.close()
    return weights


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images with their list."""
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_images(7)
    return folder


@pytest.mark.parametrize("how", HOW)
def test_resumed_is_uninterrupted(how: str, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images)
    whole = trained(lk.Solver(run("inline")))
    first = lk.Solver(run(how), folder=tmp_path)
    first.step(8)  # beyond the snapshot at 5: batches were made ahead, of which nobody will know
    first.close()
    again = lk.Solver(run(how), folder=tmp_path)
    again.restore(tmp_path / "iter_5.state.safetensors")
    np.testing.assert_array_equal(trained(again), whole)


def test_a_run_whose_processes_read_for_it_ends_by_ctrl_c(images: Path, tmp_path: Path) -> None:
    tree = run("processes")
    tree["net"]["layers"][0] |= {"source": str(images / "list.txt"), "root_folder": f"{images}/"}
    tree["solver"] |= {"max_iter": 1_000_000, "snapshot": 0, "display": 10}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(tree))
    child = start(tmp_path, "-m", "layerkit", "train", "run.yaml")
    assert child.stdout is not None
    while not child.stdout.readline().lstrip().startswith("20/"):
        assert child.poll() is None, child.communicate()[1]
    child.send_signal(signal.SIGINT)
    status, out, err = finish(child)  # which ends only when all that hold its pipes have ended
    assert (status, "Traceback" in out + err) == (130, False), err
    assert list(tmp_path.glob("runs/run/iter_*.state.safetensors"))
