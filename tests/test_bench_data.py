"""tools/bench.py data without PyTorch: what it reads, layerkit's side, its comparison, its table, and a wrong use."""

import io
import json
import re
from dataclasses import replace
from functools import partial

import bench_tools
import numpy as np
import pytest
from bench_tools import part
from PIL import Image

from layerkit.datasets.transforms import TransformParams


@pytest.fixture(scope="module")
def bench():
    with bench_tools.loaded() as script:
        yield script


def small(monkeypatch):
    """As in the rows, but few."""
    made = part("data.made")
    sizes = {"mnist": (70, 1, 28, 28), "cifar": (110, 3, 32, 32)}
    arrays = {name: (f"{name}.npz", partial(made.arrays, shape=shape)) for name, shape in sizes.items()}
    files = {"small": (224, 224), "photos": (375, 500)}
    folders = {
        name: (name, partial(made.folder, count=3, height=height, width=width))
        for name, (height, width) in files.items()
    }
    monkeypatch.setattr(made, "MADE", {**arrays, **folders})
    return made


# -- what is read ------------------------------------------------------------------------------------------------------


def test_rows_and_what_they_read_fit(bench):
    rows, made, session = part("data.rows"), part("data.made"), part("data.session")
    for row in rows.ROWS.values():
        assert row.files in made.MADE
        TransformParams.model_validate({key: row.layer[key] for key in ("transform", "scale") if key in row.layer})
        assert row.random == any("Random" in name for name, _ in row.steps)
    assert set(session.NETS) == {"lenet", "cifar10_quick"}
    assert all((session.CONFIGS / f"{name}.yaml").is_file() for name in session.NETS)
    assert {files for _, files in session.NETS.values()} <= set(made.MADE)


def test_a_photo_has_detail_at_every_scale_and_takes_as_many_bytes_as_one(bench, tmp_path):
    made = part("data.made")
    photo = made.photo(375, 500, 1)
    assert (photo.shape, photo.dtype) == ((375, 500, 3), np.uint8)
    grey = photo.mean(axis=2)
    differences = [np.abs(grey[:, step:] - grey[:, :-step]).mean() for step in (1, 4, 16, 64)]
    assert sorted(differences) == differences
    made.folder(tmp_path / "photos", 1, 375, 500)
    assert 60_000 < (tmp_path / "photos/class0/0000.jpg").stat().st_size < 160_000


def test_data_is_made_once(bench, monkeypatch, tmp_path):
    made = small(monkeypatch)
    path = made.make(tmp_path, "mnist")
    before = path.stat().st_mtime_ns
    assert made.make(tmp_path, "mnist").stat().st_mtime_ns == before
    with np.load(path) as arrays:
        assert arrays["data"].shape == (70, 1, 28, 28)
        assert set(arrays["label"].tolist()) <= set(range(10))


# -- layerkit's side ---------------------------------------------------------------------------------------------------


def obey(tmp_path, *orders):
    worker, sides = part("data.worker"), part("sides")
    lines, answers = io.StringIO("".join(json.dumps(order) + "\n" for order in orders)), io.StringIO()
    made = worker.Worker(sides.READERS["threads"], tmp_path, 1)
    part("worker").obey(made, lines, answers)
    made._stream = iter(())  # which ends its threads
    return [json.loads(line) for line in answers.getvalue().splitlines()]


@pytest.mark.parametrize("name", ["mnist", "mnist_affine", "cifar_augmented", "jpeg", "jpeg_test", "jpeg_train"])
def test_layerkit_reads_every_kind_of_row(bench, monkeypatch, tmp_path, name):
    rows = part("data.rows")
    row = rows.ROWS[name]
    monkeypatch.setitem(rows.ROWS, name, replace(row, batch=2))
    monkeypatch.setattr(part("data.worker"), "LOOKED_AT", 2)
    source = str(small(monkeypatch).make(tmp_path, row.files))
    opened, looked, run = obey(
        tmp_path,
        {"do": "open", "row": name, "source": source, "workers": 1, "shuffle": False},
        {"do": "look", "file": "seen.npz"},
        {"do": "run", "work": "read", "seconds": 0.01},
    )
    assert (opened, looked) == ({}, {"dtype": "float32"})
    assert run["seconds"] > 0
    with np.load(tmp_path / "seen.npz") as seen:
        side = {"mnist": 28, "cifar": 32}.get(row.files, 224)
        channels = 1 if row.files == "mnist" else 3
        assert seen["data"].shape == (2, channels, side, side)
        assert seen["mean"].shape == seen["std"].shape == (channels,)
        if name == "jpeg":
            with Image.open(tmp_path / "small/class0/0000.jpg") as image:
                pixels = np.asarray(image).transpose(2, 0, 1) / 255
            wanted = (pixels - np.reshape(rows.MEAN, (3, 1, 1))) / np.reshape(rows.STD, (3, 1, 1))
            np.testing.assert_allclose(seen["data"][0], wanted, atol=1e-5)


def test_a_net_tells_how_long_it_waits(bench, monkeypatch, tmp_path):
    source = str(small(monkeypatch).make(tmp_path, "mnist"))
    monkeypatch.setattr(part("data.layerkit_reader"), "WARM_UP", 1)
    config = str(part("data.session").CONFIGS / "lenet.yaml")
    (found,) = obey(tmp_path, {"do": "waiting", "config": config, "layer": "mnist", "source": source, "seconds": 0.05})
    assert found["step_s"] > 0
    assert 0 < found["share"] < 1


# -- comparison --------------------------------------------------------------------------------------------------------


def seen(tmp_path, name, **fields):
    random = np.random.default_rng(0)
    data = random.normal(size=(2, 3, 4, 5)).astype(np.float32)
    arrays = {"data": data, "label": np.arange(2), "mean": np.zeros(3), "std": np.full(3, 2.0), **fields}
    np.savez(tmp_path / name, **arrays)
    return tmp_path / name, data


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("cifar", {}, None),
        ("cifar", {"data": np.zeros((2, 3, 5, 5), np.float32)}, r"its batches are float32 \(2, 3, 5, 5\), torch's"),
        ("cifar", {"label": np.arange(2) + 1}, "its labels are not torch's"),
        ("cifar", {"data": 1}, "its values differ from torch's by 1 at most, more than 1e-05"),
        ("cifar_augmented", {"data": 1}, None),
        ("cifar_augmented", {"mean": np.full(3, 0.1)}, None),
        ("cifar_augmented", {"std": np.full(3, 2.5)}, "by 0.25 standard deviations on average, more than 0.1"),
    ],
)
def test_what_differs_is_said(bench, tmp_path, name, fields, sentence):
    agree, row = part("data.agree"), part("data.rows").ROWS[name]
    theirs, data = seen(tmp_path, "theirs.npz")
    if isinstance(fields.get("data"), int):
        fields = {"data": data + np.float32(fields["data"])}
    ours, _ = seen(tmp_path, "ours.npz", **fields)
    found = agree.fault(row, ours, theirs)
    assert found is None if sentence is None else re.search(sentence, found)


# -- table -------------------------------------------------------------------------------------------------------------

RESULTS = {
    "machine": {
        "processor": "Abacus", "cores": 4, "threads": 2, "system": "Linux x86_64", "python": "3", "numpy": "2",
        "torch": None,
    },
    "rounds": 3,
    "rows": {
        "mnist": {
            "fault": None,
            "workers": {
                "1": {
                    "turns": {
                        "threads": [1e-6, 2e-6, 4e-6],
                        "processes": [1e-5, 2e-5, 5e-5],
                        "torch": [1e-4, 1e-4, 1e-4],
                    },
                    "foreign": [0.5, 0.25, 1.0],
                }
            },
        },
        "jpeg": {"fault": "its labels are not torch's", "workers": {}},
        "cifar": {"fault": "ended with status 1"},
    },
    "waiting": {"lenet": {"step_s": 0.0042, "share": 0.0123}, "cifar10_quick": {"fault": "it is gone"}},
}  # fmt: skip


def test_markdown(bench):
    text = part("data.table").markdown(RESULTS)
    assert text.startswith("Abacus, 2 threads of 4 cores, Linux x86_64; Python 3, numpy 2; 3 rounds, medians.")
    speeds = "500,000 | 50,000 | 10,000 | 50.00x (25.00-100.00) | 5.00x (2.00-10.00)"
    assert f"| 28x28, scaled | 64 | 1 | {speeds} | 0.50, 1.00 |" in text
    assert "| JPEG 224x224, normalized: its labels are not torch's | 32 | - | - |" in text
    assert "| lenet | 64 | 4.20 | 1.2% |" in text
    assert "| cifar10_quick: it is gone | 100 | - | - |" in text
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


# -- use ---------------------------------------------------------------------------------------------------------------


def test_each_package_that_is_missing_is_named(bench, monkeypatch, capsys):
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None if name == "torchvision" else object())
    assert bench.main(["data"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert "torchvision" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--rows", "mnist,imagenet"], "bench: there is no row 'imagenet'; there are: mnist, mnist_tensors, "),
        (["--nets", "alexnet"], "bench: there is no net 'alexnet'; there are: lenet, cifar10_quick\n"),
    ],
)
def test_unknown_names_list_the_known_ones(bench, capsys, arguments, sentence):
    assert bench.main(["data", *arguments]) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_workers_are_numbers_from_1_on(bench, capsys):
    with pytest.raises(SystemExit) as caught:
        bench.main(["data", "--workers", "1,0"])
    assert caught.value.code == 2
    assert "'0' is not a whole number from 1 on" in capsys.readouterr().err


def test_a_side_that_fails_is_a_fault_and_the_others_go_on(bench):
    process = part("process")

    def measure(name):
        raise process.SideError(f"{name} has no disk")

    assert process.attempt(measure, "mnist") == {"fault": "mnist has no disk"}
    assert process.attempt(dict) == {}
