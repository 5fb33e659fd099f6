"""Cases of the layers that arrays come from, over small files that are made here."""

import atexit
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
from draw_tools import drawn
from PIL import Image

from layerkit.checks import Case

GIVEN = "its tops are filled by the caller"

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
    with h5py.File(FOLDER / f"{name}.h5", "w") as file:
        for key, array in SAMPLES.items():
            file[key] = array[part]


def digits(bottoms, weights, params):
    """The first three of the test part in its order, by the package's own file."""
    import layerkit.datasets.bundled.digits as module

    held = np.load(module.FILE)
    data, label = held["data"][1437:1440, np.newaxis], held["label"][1437:1440]
    return [(data.astype(float) - params.mean_value[0]) * params.scale, label]


def stored(names, rows, factor=1.0):
    """The rows of the stored arrays, the first of them times a factor."""
    return lambda bottoms, weights, params: [
        np.array([SAMPLES[name][row] for row in rows]) * (factor if i == 0 else 1) for i, name in enumerate(names)
    ]


def shuffled_files(bottoms, weights, params):
    """By hand from the same generator: each file's samples in an order, then the files in an order."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))
    parts = [rng.permutation(2), 2 + rng.permutation(3)]
    rows = [row for file in rng.permutation(2) for row in parts[file]]
    return stored(["data", "label"], rows[:4])(bottoms, weights, params)


def shuffled_samples(bottoms, weights, params):
    rows = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,))).permutation(5)
    return stored(["data", "label"], rows[:4])(bottoms, weights, params)


def balanced_samples(bottoms, weights, params):
    """Each of the five classes has one sample, so that only the orders are drawn."""
    rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))
    members = [rng.permutation([row])[0] for row in range(5)]
    rows = rng.permutation(np.array(members)[rng.permutation(5)])
    return stored(["data", "label"], rows[:4])(bottoms, weights, params)


def images(rows, change=lambda pixels, mean: pixels - mean):
    """Rows of the images, changed, and their labels."""

    def formula(bottoms, weights, params):
        mean = np.reshape(params.mean_value or [0.0], (-1, 1, 1))
        return [
            np.array([change(PIXELS[row].astype(float), mean) * params.scale for row in rows]),
            [LABELS[row] for row in rows],
        ]

    return formula


def grey(bottoms, weights, params):
    """The usual weights of red, green and blue, in whole numbers, as Pillow has them."""
    red, green, blue = (IMAGES[:2, ..., i].astype(int) for i in range(3))
    return [((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16)[:, np.newaxis], LABELS[:2]]


def resized(bottoms, weights, params):
    """Every pixel by itself: where its centre falls, between which four, rounded to a byte."""
    top = np.zeros((2, 3, 8, 4))
    for n, c, y, x in np.ndindex(top.shape):
        at = [min(max((i + 0.5) * old / new - 0.5, 0), old - 1) for i, old, new in ((y, 6, 8), (x, 7, 4))]
        low = [int(each) for each in at]
        total = 0.0
        for dy, dx in np.ndindex(2, 2):
            weight = abs(1 - dy - (at[0] - low[0])) * abs(1 - dx - (at[1] - low[1]))
            total += weight * PIXELS[n, c, min(low[0] + dy, 5), min(low[1] + dx, 6)]
        top[n, c, y, x] = np.floor(total + 0.5)
    return [top, LABELS[:2]]


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


def middle(bottoms, weights, params):
    return [PIXELS[:2, :, 1:5, 1:5], LABELS[:2]]


def transformed(bottoms, weights, params, count=2):
    """As red, green and blue: the middle 5 x 6, normalized; then as the net has them, a crop of 3 and the mean."""
    part = (PIXELS[:count, :, 0:5, 0:6] - np.array([3.0, 2.0, 1.0]).reshape(3, 1, 1)) / 4
    return [part[:, :, 1:4, 1:4] - 7, LABELS[:2]]


def less_the_mean_image(bottoms, weights, params):
    return [(PIXELS[:2, :, 1:5, 1:5] - MEAN[:, 1:5, 1:5]) * 0.5, LABELS[:2]]


def skipped(bottoms, weights, params):
    skip = np.random.default_rng(np.random.SeedSequence(0)).integers(4)
    return [PIXELS[[(skip + i) % 5 for i in range(3)]], [LABELS[(skip + i) % 5] for i in range(3)]]


def windows():
    """Windows of 5 x 5 pixels, which need no warping; of a mean image of 6 x 7, the 5 x 5 from (1, 1) on."""

    def formula(bottoms, weights, params):
        data, labels = np.zeros((4, 3, params.crop_size, params.crop_size)), []
        mean = MEAN[:, 1:6, 1:6] if params.mean_file else np.reshape(params.mean_value or [0.0], (-1, 1, 1))
        foreground = int(4 * params.fg_fraction)
        for row in range(4):
            rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(row,)))
            image = int(rng.integers(5))
            turn = params.mirror and rng.random() < 0.5
            is_background = row < 4 - foreground
            x, y = (2, 1) if is_background else (1, 0)
            part = PIXELS[image, :, y : y + 5, x : x + 5]
            data[row] = ((part[..., ::-1] if turn else part) - mean) * params.scale
            labels.append(0 if is_background else image + 1)
        return [data, labels]

    return formula


def surrounded(bottoms, weights, params):
    """Windows of 5 x 5 with 2 pixels around them are 10 x 10 of the image, half a pixel more than 9; no warping."""
    data, labels = np.zeros((4, 3, 10, 10)), []
    for row in range(4):
        rng = np.random.default_rng(np.random.SeedSequence(0, spawn_key=(row,)))
        image = int(rng.integers(5))
        turn = rng.random() < 0.5
        y, left, right = (1, 0, 3) if row < 3 else (2, 1, 2)  # rows and columns that lie outside of the image
        x = right if turn else left
        data[row, :, y : y + 6, x : x + 7] = PIXELS[image][..., ::-1] if turn else PIXELS[image]
        labels.append(0 if row < 3 else image + 1)
    return [data, labels]


ROOT = {"root_folder": f"{FOLDER}/"}
LISTED = {"source": str(LIST), **ROOT}
FILES = {"dataset": {"type": "image_list", "root": str(FOLDER)}, "source": str(LIST), "shuffle": False}
WINDOW = {"source": str(WINDOWS), "batch_size": 4, "crop_size": 5, **ROOT}
AHEAD = {
    "prefetch": 0,
    "workers": 2,
    "worker_type": "processes",
}  # none is started for 0; test_layers_ahead.py starts some
WRITES = "it has no tops; what it writes is looked at in test_layers_data.py"

CASES = [
    Case("Input", "image", params={"shape": [2, 3, 4, 5]}, no_formula=GIVEN),
    Case("Input", "two", params={"shape": [[8, 5], [8]]}, num_tops=2, no_formula=GIVEN),
    Case("Input", "alike", params={"shape": [[8, 5]]}, num_tops=2, no_formula=GIVEN),
    Case(
        "Data",
        "digits",
        params={"dataset": "digits", "part": "test", "batch_size": 3, "mean_value": 8, "scale": 0.25, "shuffle": False},
        num_tops=2,
        formula=digits,
    ),
    Case(
        "Data",
        "named arrays of a file",
        params={"source": NPZ, "arrays": ["more", "label"], "batch_size": 3, "scale": 2.0},
        phase="test",
        num_tops=2,
        formula=stored(["more", "label"], [0, 1, 2], 2.0),
    ),
    Case("Data", "shuffled", params={"source": NPZ, "batch_size": 4}, num_tops=2, formula=shuffled_samples),
    Case(
        "Data",
        "a share of a file, at random",
        params={
            "source": NPZ,
            "batch_size": 4,
            "parts": {"train": 0.6, "test": 0.4},
            "split_seed": 3,
            "shuffle": False,
        },
        num_tops=2,
        formula=stored(
            ["data", "label"], [sorted(np.random.default_rng(3).permutation(5)[:3])[i % 3] for i in range(4)]
        ),
    ),
    Case(
        "Data",
        "a share of a file, in order, with a smaller last batch",
        params={
            "source": NPZ,
            "batch_size": 4,
            "parts": {"train": 0.6, "test": 0.4},
            "split": "in_order",
            "last_batch": "keep",
            "on_error": "skip",
        },
        phase="test",
        num_tops=2,
        formula=stored(["data", "label"], [3, 4]),
    ),
    Case(
        "Data",
        "classes alike",
        params={
            "source": NPZ,
            "batch_size": 4,
            "balanced": True,
            **AHEAD,
        },
        num_tops=2,
        formula=balanced_samples,
    ),
    Case(
        "Data",
        "pictures, less a mean image, cropped and mirrored to train",
        params={
            **PICTURES,
            "batch_size": 4,
            "shuffle": False,
            "mean_file": str(FOLDER / "mean.npy"),
            "crop_size": 5,
            "mirror": True,
        },
        num_tops=2,
        formula=lambda *given: [cropped(*given)[0], np.arange(4)],
    ),
    Case(
        "Data",
        "pictures, transformed to test",
        params={
            **PICTURES,
            "batch_size": 5,
            "transform": [
                {"type": "center_crop", "size": [5, 6]},
                "mirror",
                {"type": "normalize", "mean": [1, 2, 3], "std": 4},
            ],
            "crop_size": 3,
            "mean_value": 7,
        },
        phase="test",
        num_tops=2,
        formula=lambda *given: [transformed(*given, count=5)[0], np.arange(5)],
    ),
    Case(
        "Data",
        "grey",
        params={**FILES, "batch_size": 2, "force_gray": True, "shuffle": False},
        num_tops=2,
        formula=grey,
    ),
    Case(
        "Data",
        "in colour, some skipped",
        params={
            **FILES,
            "batch_size": 3,
            "force_color": True,
            "rand_skip": 4,
            "shuffle": False,
            "channel_order": "BGR",
        },
        num_tops=2,
        formula=skipped,
    ),
    Case(
        "Data",
        "blue first",
        params={"source": str(FOLDER / "colors.npz"), "batch_size": 2, "channel_order": "BGR", "shuffle": False},
        formula=lambda bottoms, weights, params: [PIXELS[:2]],
    ),
    Case(
        "HDF5Data",
        "over two files and around",
        params={"source": str(H5), "batch_size": 7, "arrays": ["data", "label", "more"]},
        num_tops=3,
        formula=stored(["data", "label", "more"], [0, 1, 2, 3, 4, 0, 1]),
    ),
    Case(
        "HDF5Data",
        "shuffled",
        params={"source": str(H5), "batch_size": 4, "arrays": ["data", "label"], "shuffle": True, **AHEAD},
        num_tops=2,
        formula=shuffled_files,
    ),
    *(
        Case("HDF5Output", f"{len(x)}-axes", [x, (3,)], {"file_name": str(OUTPUT)}, num_tops=0, no_formula=WRITES)
        for x in ((3,), (3, 4), (3, 2, 4), (3, 1, 2, 4), (3, 5, 1, 2, 4))
    ),
    Case(
        "ImageData",
        "as they are",
        params={**LISTED, "batch_size": 3, "mean_value": [100, 110, 120], "scale": 0.5},
        num_tops=2,
        formula=images([0, 1, 2]),
    ),
    Case("ImageData", "grey", params={**LISTED, "batch_size": 2, "is_color": False}, num_tops=2, formula=grey),
    Case(
        "ImageData",
        "resized",
        params={**LISTED, "batch_size": 2, "new_height": 8, "new_width": 4},
        num_tops=2,
        formula=resized,
    ),
    Case(
        "ImageData",
        "cropped and mirrored to train",
        params={**LISTED, "batch_size": 4, "crop_size": 5, "mirror": True},
        num_tops=2,
        formula=cropped,
    ),
    Case(
        "ImageData",
        "cropped to test",
        params={**LISTED, "batch_size": 2, "crop_size": 4},
        phase="test",
        num_tops=2,
        formula=middle,
    ),
    Case(
        "ImageData",
        "transformed to test",
        params={
            **LISTED,
            "batch_size": 2,
            "transform": [
                {"type": "center_crop", "size": [5, 6]},
                "mirror",
                {"type": "normalize", "mean": [1, 2, 3], "std": 4},
            ],
            "crop_size": 3,
            "mean_value": 7,
        },
        phase="test",
        num_tops=2,
        formula=transformed,
    ),
    Case(
        "ImageData",
        "cropped, less a mean image",
        params={**LISTED, "batch_size": 2, "crop_size": 4, "scale": 0.5, "mean_file": str(FOLDER / "mean.npy")},
        phase="test",
        num_tops=2,
        formula=less_the_mean_image,
    ),
    Case(
        "ImageData",
        "shuffled",
        params={**LISTED, "batch_size": 4, "shuffle": True, "on_error": "skip", **AHEAD},
        num_tops=2,
        formula=lambda *given: images(
            np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,))).permutation(5)[:4]
        )(*given),
    ),
    Case("ImageData", "some skipped", params={**LISTED, "batch_size": 3, "rand_skip": 4}, num_tops=2, formula=skipped),
    Case("WindowData", "warped", params=WINDOW, num_tops=2, formula=windows()),
    Case(
        "WindowData",
        "less a mean image, mirrored",
        params={**WINDOW, "mean_file": str(FOLDER / "mean.npy"), "mirror": True, **AHEAD},
        num_tops=2,
        formula=windows(),
    ),
    Case(
        "WindowData",
        "mostly foreground, mirrored, from memory",
        params={
            **WINDOW,
            "fg_fraction": 0.75,
            "mirror": True,
            "cache_images": True,
            "mean_value": [100, 110, 120],
            "scale": 0.5,
        },
        num_tops=2,
        formula=windows(),
    ),
    Case(
        "WindowData",
        "with its surroundings",
        params={**WINDOW, "crop_size": 10, "context_pad": 2, "mirror": True},
        num_tops=2,
        formula=surrounded,
    ),
    Case(
        "WindowData",
        "made square",
        params={
            **WINDOW,
            "source": str(NARROW),
            "crop_size": 10,
            "context_pad": 2,
            "mirror": True,
            "crop_mode": "square",
        },
        num_tops=2,
        formula=surrounded,
    ),
    Case(
        "WindowData",
        "no overlap is foreground",
        params={**WINDOW, "fg_threshold": 0.7, "bg_threshold": 0.4, "fg_fraction": 0.0},
        num_tops=2,
        formula=windows(),
    ),
]
