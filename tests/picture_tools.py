"""What the tests of pictures of snapshots share: untrained nets over small images."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import layerkit as lk
from layerkit.report.plotting import feeding

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 3, 4, 5), dtype=np.uint8)
WHITE, BLUE, ORANGE = (255, 255, 255), (59, 130, 246), (240, 120, 24)


def saved(*layers: str, order: str = "RGB", shape: tuple[int, ...] = (3, 4, 5)) -> Path:
    """A snapshot of an untrained net with these layers, over images in a file `data.npz`."""
    data = PIXELS if shape == (3, 4, 5) else np.random.default_rng(1).normal(size=(6, *shape)).astype(np.float32)
    np.savez("data.npz", data=data, label=np.arange(6) % 2)
    more = ", channel_order: BGR" if order == "BGR" else ""
    lines = [f"{{name: d, type: Data, top: [data, label], source: data.npz, batch_size: 3{more}}}"]
    text = "\n".join(f"    - {line}" for line in (*lines, *layers))
    run = f"name: tiny\nnet:\n  layers:\n{text}\nsolver: {{base_lr: 0.1, max_iter: 1}}\n"
    return Path(lk.Solver(run).snapshot("tiny"))


LINEAR = (
    "{name: fc, type: InnerProduct, bottom: data, num_output: 2, weight_filler: xavier}",
    "{name: loss, type: SoftmaxWithLoss, bottom: [fc, label]}",
)
CONV = (
    "{name: conv, type: Convolution, bottom: data, num_output: 7, kernel_size: [2, 3], weight_filler: xavier}",
    "{name: relu, type: ReLU}",
    "{name: next, type: Convolution, num_output: 2, kernel_size: 3, pad: 1, weight_filler: xavier}",
    *(line.replace("bottom: data, ", "") for line in LINEAR),
)


def feed(name: str | None, part: str | None = None) -> feeding.Feed:
    return feeding.Feed(name, part, io.BytesIO(), lambda sentence: pytest.fail(sentence))


def image(number: int = 0) -> str:
    """A file with one of the images."""
    Image.fromarray(PIXELS[number].transpose(1, 2, 0)).save(f"{number}.png")
    return f"{number}.png"
