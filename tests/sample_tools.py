"""Small files that the cases of sources read, and what of their images is wanted of several of them."""

import atexit
import shutil
import tempfile
from pathlib import Path

import numpy as np
from data_tools import write_h5
from draw_tools import drawn
from PIL import Image

FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

RNG = np.random.default_rng(7)
SAMPLES = {"data": RNG.normal(size=(5, 2, 3)), "label": np.arange(5) + 3, "more": RNG.normal(size=(5, 4))}
NPZ = str(FOLDER / "samples.npz")
np.savez(NPZ, **SAMPLES)

IMAGES = RNG.integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)  # N, H, W, red green blue
PIXELS = IMAGES.transpose(0, 3, 1, 2)[:, ::-1]  # as a net sees them: N, blue green red, H, W
MEAN = RNG.normal(100, 20, (3, 6, 7)).astype(np.float32).astype(float)
np.save(FOLDER / "mean.npy", MEAN)
PICTURES = {"source": str(FOLDER / "pictures.npz"), "channel_order": "BGR"}
np.savez(PICTURES["source"], data=IMAGES.transpose(0, 3, 1, 2), label=np.arange(5))
np.savez(FOLDER / "colors.npz", data=IMAGES.transpose(0, 3, 1, 2))
LABELS = [4, 0, 2, 9, 1]
for i, image in enumerate(IMAGES):
    Image.fromarray(image).save(FOLDER / f"{i}.png")
LIST = FOLDER / "images.txt"
LIST.write_text("".join(f"{i}.png {label}\n" for i, label in enumerate(LABELS)))

WINDOWS = FOLDER / "windows.txt"
WINDOWS.write_text("".join(f"# {i}\n{i}.png\n3\n6\n7\n2\n{i + 1} 0.6 1 0 5 4\n7 0.3 2 1 6 5\n" for i in range(5)))

NARROW = FOLDER / "narrow.txt"
NARROW.write_text("".join(f"# {i}\n{i}.png\n3\n6\n7\n2\n{i + 1} 0.6 2 0 4 4\n7 0.3 3 1 5 5\n" for i in range(5)))

H5 = FOLDER / "files.txt"
OUTPUT = FOLDER / "out.h5"
H5.write_text(f"{FOLDER / 'a.h5'}\n{FOLDER / 'b.h5'}\n")
for name, part in (("a", slice(0, 2)), ("b", slice(2, 5))):
    write_h5(FOLDER / f"{name}.h5", **{key: array[part] for key, array in SAMPLES.items()})

TRANSFORMED = {
    "transform": [
        {"type": "center_crop", "size": [5, 6]},
        "mirror",
        {"type": "normalize", "mean": [1, 2, 3], "std": 4},
    ],
    "crop_size": 3,
    "mean_value": 7,
}
"""What `transformed` does, as fields of a layer."""


def grey(bottoms, weights, params):
    """The usual weights of red, green and blue, in whole numbers, as Pillow has them."""
    red, green, blue = (IMAGES[:2, ..., i].astype(int) for i in range(3))
    return [((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[:, np.newaxis], LABELS[:2]]


def cropped(bottoms, weights, params):
    """In the train phase: a random place, then a random turn."""
    tops, pixels = [], PIXELS - MEAN if params.mean_file else PIXELS
    key = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0, 0))).integers(1 << 63)
    for row in range(4):
        u = [drawn((int(key),), 0, row, column) for column in range(3)]
        y, x = int(u[0] * (6 - 5 + 1)), int(u[1] * (7 - 5 + 1))
        part = pixels[row, :, y : y + 5, x : x + 5]
        tops.append(part[..., ::-1] if u[2] < 0.5 else part)
    return [np.array(tops), LABELS[:4]]


def transformed(bottoms, weights, params, count=2):
    """As red, green and blue: the middle 5 x 6, normalized; then as the net has them, a crop of 3 and the mean."""
    part = (PIXELS[:count, :, 0:5, 0:6] - np.array([3.0, 2.0, 1.0]).reshape(3, 1, 1)) / 4
    return [part[:, :, 1:4, 1:4] - 7, LABELS[:2]]


def skipped(bottoms, weights, params):
    skip = np.random.default_rng(np.random.SeedSequence(0)).integers(4)
    return [PIXELS[[(skip + i) % 5 for i in range(3)]], [LABELS[(skip + i) % 5] for i in range(3)]]


AHEAD = {
    "prefetch": 0,
    "workers": 2,
    "worker_type": "processes",
}  # none is started for 0; test_layers_ahead.py starts some
