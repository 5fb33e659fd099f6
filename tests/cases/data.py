"""Cases of Input, Data, HDF5Data and HDF5Output, over small files that are made for them."""

import numpy as np
from sample_tools import (
    AHEAD,
    FOLDER,
    H5,
    LIST,
    NPZ,
    OUTPUT,
    PICTURES,
    PIXELS,
    SAMPLES,
    TRANSFORMED,
    cropped,
    grey,
    skipped,
    transformed,
)

from layerkit.checks import Case

GIVEN = "its tops are filled by the caller"
FILES = {"dataset": {"type": "image_list", "root": str(FOLDER)}, "source": str(LIST), "shuffle": False}
WRITES = "it has no tops; what it writes is looked at in test_layers_data.py"


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
            **TRANSFORMED,
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
]
