"""`mnist`: 70,000 handwritten digits of 28x28 pixels: 60,000 to train with and 10,000 to test with.

Pixels are 0..255 in sample shape (1, 28, 28), labels 0..9. The four IDX files, as Caffe's examples have them, are read
from a folder or an archive, gzipped or not. Other sets in files of these names (EMNIST's digits) work too.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits"; the format is described there.
"""

from __future__ import annotations

from layerkit.datasets.public.mnist_files import MnistFiles

CLASS_NAMES = tuple("0123456789")

_FILES = MnistFiles("mnist", "MNIST", CLASS_NAMES)

describe = _FILES.describe
open_source = _FILES.open_source
