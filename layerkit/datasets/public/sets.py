"""The public sets by name, each with its files in a folder or an archive, or where they were fetched to."""

from __future__ import annotations

from typing import Literal

from layerkit.datasets.dataset import Dataset
from layerkit.datasets.public import cifar10, cifar100, fashion_mnist, mnist
from layerkit.datasets.source import Header, Source


class Mnist(Dataset):
    """MNIST's handwritten digits; its source is a folder or archive."""

    type: Literal["mnist"] = "mnist"

    def describe(self, source: str | None, part: str) -> Header:
        return mnist.describe(source, part)

    def open(self, source: str | None, part: str) -> Source:
        return mnist.open_source(source, part)


class FashionMnist(Dataset):
    """Fashion-MNIST's clothes; its source is a folder or archive."""

    type: Literal["fashion_mnist"] = "fashion_mnist"

    def describe(self, source: str | None, part: str) -> Header:
        return fashion_mnist.describe(source, part)

    def open(self, source: str | None, part: str) -> Source:
        return fashion_mnist.open_source(source, part)


class Cifar10(Dataset):
    """CIFAR-10's photographs; its source is a folder or archive."""

    type: Literal["cifar10"] = "cifar10"

    def describe(self, source: str | None, part: str) -> Header:
        return cifar10.describe(source, part)

    def open(self, source: str | None, part: str) -> Source:
        return cifar10.open_source(source, part)


class Cifar100(Dataset):
    """CIFAR-100's photographs; its source is a folder or archive.

    They have a fine label and a coarse one.
    """

    type: Literal["cifar100"] = "cifar100"

    def describe(self, source: str | None, part: str) -> Header:
        return cifar100.describe(source, part)

    def open(self, source: str | None, part: str) -> Source:
        return cifar100.open_source(source, part)
