"""`cifar10`: 60,000 photographs of 32x32 pixels in ten classes: 50,000 to train with and 10,000 to test with.

Pixels are 0..255 in sample shape (3, 32, 32), red, green, blue; labels 0..9. The files of the binary version are read
from a folder: data_batch_1.bin to data_batch_5.bin and test_batch.bin (there or in cifar-10-batches-bin), or the
published archive cifar-10-binary.tar.gz as it is; or from an archive that holds them.

Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009; the format is described on the
set's page.
"""

from __future__ import annotations

from layerkit.datasets.public.cifar_files import CifarFiles

ARCHIVE = "cifar-10-binary.tar.gz"
INSIDE = "cifar-10-batches-bin"
"""The folder that the archive unpacks to."""
CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FILES = {"train": tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test": ("test_batch.bin",)}

_FILES = CifarFiles("cifar10", "CIFAR-10", ARCHIVE, INSIDE, FILES, {"label": CLASS_NAMES}, 10_000)

describe = _FILES.describe
open_source = _FILES.open_source
