"""The shipped configs for photographs: their weights are those of the originals, and they train on small images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import layerkit as lk
from layerkit.graph import load, table

FOLDER = Path(__file__).parents[1] / "configs"
IMAGENET = ("alexnet", "caffenet", "googlenet", "vgg16", "resnet18", "resnet50", "mobilenet_v2")
CIFAR = ("cifar10_quick", "cifar10_full")

WEIGHTS = {
    "alexnet": 60_965_224,  # Caffe's bvlc_alexnet
    "caffenet": 60_965_224,  # bvlc_reference_caffenet
    "googlenet": 13_378_280,  # bvlc_googlenet with its two extra losses
    "vgg16": 138_357_544,  # Simonyan and Zisserman 2014, table 2: 138 million
    "resnet18": 11_689_512,  # without statistics, as PyTorch's and Keras's models count
    "resnet50": 25_557_032,
    "mobilenet_v2": 3_504_872,
    "cifar10_quick": 145_578,
    "cifar10_full": 89_578,
}

SMALL = {
    "alexnet": (67, {"fc6": 32, "fc7": 16}),
    "caffenet": (67, {"fc6": 32, "fc7": 16}),
    "googlenet": (224, {}),  # its last pooling wants 7x7 places
    "vgg16": (32, {"fc6": 32, "fc7": 16}),
    "resnet18": (64, {}),
    "resnet50": (64, {}),
    "mobilenet_v2": (64, {}),
}
"""The size of the images that a net is tried on, and layers that are made narrower."""


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four images and the list that names them."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 256, (60, 70, 3), np.uint8)).save(folder / f"{i}.jpeg")
    (folder / "list.txt").write_text("".join(f"{i}.jpeg {i}\n" for i in range(4)))
    return folder


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of CIFAR-10's six files with 40 samples each, whose brightest third tells the class."""
    folder = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(0)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        labels = np.arange(40, dtype=np.uint8) % 10
        images = rng.integers(0, 120, (40, 3, 32, 32), np.uint8)
        images[np.arange(40), labels % 3, 3 * (labels // 3) + 8] = 255
        records = np.concatenate([labels[:, None], images.reshape(40, -1)], axis=1)
        (folder / f"{name}.bin").write_bytes(records.tobytes())
    return folder


@pytest.mark.parametrize("name", [*IMAGENET, *CIFAR])
def test_the_weights_are_as_many_as_the_originals(name: str) -> None:
    """Counted from the plan: nothing is allocated."""
    rows = table.rows(load(str(FOLDER / f"{name}.yaml"), ["train"]).graphs["train"])
    assert sum(row.weights for row in rows) == WEIGHTS[name]


def test_the_extra_losses_of_googlenet_are_for_training_only() -> None:
    graphs = load(str(FOLDER / "googlenet.yaml")).graphs
    counts = {phase: sum(row.weights for row in table.rows(graph)) for phase, graph in graphs.items()}
    assert counts == {"train": 13_378_280, "test": 6_998_552, "predict": 6_998_552}
    weights = [node.loss_weights[0] for node in graphs["train"].nodes if node.spec.cls.loss]
    assert weights == [0.3, 0.3, 1.0]


@pytest.mark.parametrize("name", ["googlenet", "resnet50", "mobilenet_v2"])
def test_with_blocks_a_net_is_under_120_lines(name: str) -> None:
    assert len((FOLDER / f"{name}.yaml").read_text().splitlines()) < 120


@pytest.mark.parametrize("name", IMAGENET)
def test_a_net_for_photographs_trains_and_tests(name: str, photographs: Path) -> None:
    size, narrower = SMALL[name]
    data = {
        "source": photographs / "list.txt",
        "root_folder": f"{photographs}/",
        "batch_size": 2,
        "new_height": size + 4,
        "new_width": size + 4,
        "crop_size": size,
    }
    overrides = [f"net.layers.data.{field}={value}" for field, value in data.items()]
    overrides += [f"net.layers.{layer}.num_output={number}" for layer, number in narrower.items()]
    overrides += [f"solver.{field}" for field in ("max_iter=2", "iter_size=1", "test_iter=1", "test_interval=0")]
    solver = lk.Solver(FOLDER / f"{name}.yaml", overrides=overrides, keep=())
    before = solver.net.flat.data.copy()
    outputs = solver.solve()
    solver.close()
    assert all(np.isfinite(value) for value in outputs.values())
    assert outputs["loss3/loss3" if name == "googlenet" else "loss"] > 0
    assert (solver.net.flat.data != before).mean() > 0.5


@pytest.mark.parametrize("name", CIFAR)
def test_a_net_for_cifar10_learns(name: str, cifar10: Path) -> None:
    overrides = [f"net.layers.cifar.source={cifar10}", "net.layers.cifar.batch_size=40", "solver.test_interval=0"]
    overrides += ["solver.test_iter=1", "solver.max_iter=30"]
    solver = lk.Solver(FOLDER / f"{name}.yaml", overrides=overrides, keep=())
    before, after = solver.test(), solver.solve()
    solver.close()
    assert before["loss"] == pytest.approx(np.log(10), rel=0.05)
    assert after["loss"] < before["loss"]
