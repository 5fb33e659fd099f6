"""`fashion_mnist`: 70,000 pictures of clothes of 28x28 pixels: 60,000 to train with and 10,000 to test with.

Pixels are 0..255 in sample shape (1, 28, 28), labels 0..9; each class has 6,000 and 1,000. The files are named and made
as MNIST's.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine Learning
Algorithms", 2017, https://arxiv.org/abs/1708.07747.
"""

from __future__ import annotations

from layerkit.datasets.public.mnist_files import MnistFiles

CLASS_NAMES = (
    "T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

_FILES = MnistFiles("fashion_mnist", "Fashion-MNIST", CLASS_NAMES)

describe = _FILES.describe
open_source = _FILES.open_source
