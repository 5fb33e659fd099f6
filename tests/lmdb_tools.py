"""What the tests of LMDB share: databases made by its own library, and images for them."""

import io

import lmdb
import numpy as np
from data_tools import RNG
from PIL import Image

from layerkit.datasets.files.lmdb import Lmdb


def write(values, path="db", **options):
    """A database of these values, under Caffe's keys, by LMDB itself; `values` may be a mapping of keys."""
    pairs = values if isinstance(values, dict) else {b"%08d" % i: value for i, value in enumerate(values)}
    with lmdb.open(path, map_size=1 << 28, **options) as environment, environment.begin(write=True) as transaction:
        for key, value in pairs.items():
            transaction.put(key, value)


def pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def encoded(image, kind="png"):
    """The file of an image (3, H, W) in red, green, blue, or (1, H, W)."""
    file = io.BytesIO()
    flat = image.transpose(1, 2, 0) if len(image) == 3 else image[0]
    Image.fromarray(np.ascontiguousarray(flat)).save(file, kind)
    return file.getvalue()


def opened(path="db", **fields):
    return Lmdb(**fields).open(path, "train")
