"""PyTorch as a reader: its DataLoader over a Dataset and torchvision's transforms, as its tutorials have them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset
from torchvision import datasets, transforms

from bench.data.rows import Row

AT_ONCE = 1000
"""Images that are transformed beforehand in one go."""


class ArrayImages(Dataset[tuple[Any, int]]):
    """Images of arrays in memory; what torchvision's MNIST and CIFAR10 do with an item."""

    def __init__(self, path: Path, transform: Any):
        with np.load(path) as arrays:
            images = arrays["data"].transpose(0, 2, 3, 1)  # as they store them
            self.images = np.ascontiguousarray(images[..., 0] if images.shape[-1] == 1 else images)
            self.labels = arrays["label"].tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


class ForEver(Sampler[int]):
    """Epoch after epoch, so that the loader never has to start anew."""

    def __init__(self, length: int, shuffle: bool):
        self.length, self.shuffle = length, shuffle

    def __iter__(self) -> Iterator[int]:
        while True:
            yield from torch.randperm(self.length).tolist() if self.shuffle else range(self.length)


def batches(row: Row, source: Path, workers: int, shuffle: bool) -> Iterator[tuple[Any, Any]]:
    """The row's batches for ever: data and labels."""
    transform = transforms.Compose([_step(name, options) for name, options in row.steps])
    dataset: Any
    if row.dataset == "folder":
        dataset = datasets.ImageFolder(str(source), transform)
    elif row.dataset == "images":
        dataset = ArrayImages(source, transform)
    else:
        dataset = _ready(ArrayImages(source, transform))
    loader = DataLoader(dataset, row.batch, sampler=ForEver(len(dataset), shuffle), num_workers=workers)
    yield from loader


def _step(name: str, options: Any) -> Any:
    if "interpolation" in options:
        options = {**options, "interpolation": transforms.InterpolationMode(options["interpolation"])}
    return getattr(transforms, name)(**options)


def _ready(images: ArrayImages) -> TensorDataset:
    """All of them transformed."""
    data = torch.stack([images[index][0] for index in range(len(images))])
    return TensorDataset(data, torch.tensor(images.labels))
