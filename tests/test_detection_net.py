"""A small SSD: it learns to find squares, on every engine, and its predict net is derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import layerkit as lk
from layerkit import engines
from layerkit.layers.detection.boxes import overlaps


def head(name: str, bottom: str, size: int) -> str:
    """Priors of one feature map, three a place, and what is predicted for each: boxes and three classes' scores."""
    layers = [f"{{name: {name}_prior, type: PriorBox, bottom: [{bottom}, data], min_size: {size}, aspect_ratio: 2}}"]
    for kind, values in (("loc", 4), ("conf", 3)):
        conv = f"type: Convolution, num_output: {3 * values}, kernel_size: 3, pad: 1, weight_filler: xavier"
        layers += [
            f"{{name: {name}_{kind}, bottom: {bottom}, {conv}}}",
            f"{{name: {name}_{kind}_last, type: Permute, order: [0, 2, 3, 1]}}",
            f"{{name: {name}_{kind}_flat, type: Flatten}}",
        ]
    return "".join(f"    - {layer}\n" for layer in layers)


def ssd(*more: str) -> str:
    """Two feature maps, of 4 x 4 and 2 x 2 places, on images of 16 x 16 pixels."""
    conv = "type: Convolution, kernel_size: 3, stride: 2, pad: 1, weight_filler: msra"
    layers = [
        "{name: in, type: Input, top: [data, truth], shape: [[4, 1, 16, 16], [1, 1, 6, 8]]}",
        f"{{name: c1, bottom: data, num_output: 8, {conv}}}",
        "{name: r1, type: ReLU, top: c1}",
        f"{{name: c2, bottom: c1, num_output: 12, {conv}}}",
        "{name: r2, type: ReLU, top: c2}",
        f"{{name: c3, bottom: c2, num_output: 12, {conv}}}",
        "{name: r3, type: ReLU, top: c3}",
    ]
    joined = [
        "{name: loc, type: Concat, bottom: [fine_loc_flat, coarse_loc_flat]}",
        "{name: conf, type: Concat, bottom: [fine_conf_flat, coarse_conf_flat]}",
        "{name: prior, type: Concat, bottom: [fine_prior, coarse_prior], axis: 2}",
        *more,
    ]
    lines = ["net:\n  layers:\n", *(f"    - {layer}\n" for layer in layers), head("fine", "c2", 5)]
    return "".join([*lines, head("coarse", "c3", 9), *(f"    - {layer}\n" for layer in joined)])


SOLVER = "solver: {base_lr: 0.02, momentum: 0.9, max_iter: 60, display: 0}\n"
LOSS = "{name: loss, type: MultiBoxLoss, bottom: [loc, conf, prior, truth], num_classes: 3, code_type: CENTER_SIZE}"
FOUND = (
    "{name: scores, type: Reshape, bottom: conf, shape: [0, -1, 3], include: test}",
    "{name: prob, type: Softmax, axis: 2, include: test}",
    "{name: flat, type: Flatten, include: test}",
    "{name: found, type: DetectionOutput, bottom: [loc, flat, prior], num_classes: 3, code_type: CENTER_SIZE, "
    "confidence_threshold: 0.4, nms_param: {nms_threshold: 0.3}, include: test}",
)


@dataclass
class Scene:
    """Dark and bright squares, one or two an image, on grey."""

    images: Any
    truth: Any


def scene() -> Scene:
    images, truth = np.zeros((4, 1, 16, 16)), np.full((1, 1, 6, 8), -1.0)
    squares = [(0, 1, 1, 2, 6), (0, 2, 9, 8, 5), (1, 2, 2, 9, 6), (2, 1, 8, 3, 8), (3, 1, 3, 3, 9)]
    for i, (image, label, x, y, side) in enumerate(squares):
        images[image, 0, y : y + side, x : x + side] = 1 if label == 1 else -1
        truth[0, 0, i] = [image, label, 0, x / 16, y / 16, (x + side) / 16, (y + side) / 16, 0]
    return Scene(images, truth)


@pytest.mark.parametrize("engine", engines.names())
def test_a_small_ssd_learns_to_find_squares(engine, tmp_path):
    if (why := engines.missing(engine)) is not None:
        pytest.skip(f"{engine} cannot run here: {why}")
    seen = scene()
    solver = lk.Solver(ssd(LOSS, *FOUND) + SOLVER, engine=engine)
    train = solver.net
    train.blobs["data"].data[...], train.blobs["truth"].data[...] = seen.images, seen.truth
    losses = []
    for _ in range(60):
        solver.step(1)
        losses.append(float(train.blobs["loss"].data))
    assert np.isfinite(losses).all()
    assert losses[5] < losses[0]
    assert np.mean(losses[-5:]) < 0.2 * losses[0]

    net = lk.Net(ssd(LOSS, *FOUND), "predict", engine=engine, weights=solver.snapshot(tmp_path / "ssd"))
    assert "loss" not in net.layers
    rows = net.forward(data=seen.images)["found"][0, 0]
    assert len(rows) == 5
    for image, label, _, *box, _ in seen.truth[0, 0, :5]:
        own = rows[(rows[:, 0] == image) & (rows[:, 1] == label)]
        assert overlaps(own[:, 3:], np.array(box)).max() > 0.6


def outputs(*layers: str) -> set[str]:
    return set(lk.Net(ssd(*layers), "predict").outputs)


def test_a_predict_net_finds_objects_or_else_gives_all_three_predictions():
    assert outputs(LOSS, *FOUND) == {"found"}
    assert outputs(LOSS, *(each.replace("test", "predict") for each in FOUND)) == {"found"}
    assert "found" in outputs(LOSS.replace("code_type", "include: train, code_type"), *FOUND)
    assert outputs(LOSS) == {"loc", "conf", "prior"}
    assert lk.Net(ssd(LOSS), "predict").inputs == ["data"]
