"""What the tests of data layers share: nets of one source, and small files in the current directory."""

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

import layerkit as lk
from layerkit import datasets

RNG = np.random.default_rng(3)
IMAGES = """
layers:
- {name: images, type: ImageData, top: [data, label], source: list.txt, new_height: 4, new_width: 4}
"""
"""A net that reads what `write_images` writes."""


def layer(kind, name="data", top=("data", "label"), **fields):
    return {"name": name, "type": kind, "top": list(top), **fields}


def net(*layers, phase="train", **options):
    return lk.Net({"layers": list(layers)}, phase, **options)


def write_h5(name="a.h5", **arrays):
    with h5py.File(name, "w") as file:
        for key, array in arrays.items():
            file[key] = array


def write_files(*names):
    Path("files.txt").write_text("\n".join(names) + "\n")


def write_image(name, height=4, width=5, mode="RGB", **options):
    image = Image.fromarray(RNG.integers(0, 256, (height, width, 3), dtype=np.uint8))
    image.convert(mode).save(name, **options)
    return np.asarray(image)


def write_images(count=5, **options):
    pixels = [write_image(f"{i}.png", **options) for i in range(count)]
    Path("list.txt").write_text("".join(f"{i}.png {i + 10}\n" for i in range(count)))
    return pixels


def batches(source, count):
    """The labels of the next batches of a net."""
    found = []
    for _ in range(count):
        source.forward()
        found.append(source.blobs["label"].data.astype(int).tolist())
    return found


def digits(part="train"):
    """The bundled digits and their labels."""
    source = datasets.open_source("digits", None, part)
    return source.read(np.arange(len(source)))


def pixels(path):
    """What an image file holds, (H, W) or (H, W, 3)."""
    with Image.open(path) as image:
        return np.asarray(image)


def listing():
    """What lies in the current folder."""
    return sorted(os.listdir())


def in_threads(read: Callable[[int], Iterable], count: int = 4) -> list:
    """All that `read(seed)` gives, in one list, for as many seeds, each in a thread of its own at the same time."""
    found = []
    threads = [threading.Thread(target=lambda seed=seed: found.extend(read(seed))) for seed in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found
