"""Cases of ImageData and WindowData, over small images that are made for them."""

import numpy as np
from sample_tools import (
    AHEAD,
    FOLDER,
    LABELS,
    LIST,
    MEAN,
    NARROW,
    PIXELS,
    TRANSFORMED,
    WINDOWS,
    cropped,
    grey,
    skipped,
    transformed,
)

from layerkit.checks import Case

ROOT = {"root_folder": f"{FOLDER}/"}
LISTED = {"source": str(LIST), **ROOT}
WINDOW = {"source": str(WINDOWS), "batch_size": 4, "crop_size": 5, **ROOT}


def images(rows, change=lambda pixels, mean: pixels - mean):
    """Rows of the images, changed, and their labels."""

    def formula(bottoms, weights, params):
        mean = np.reshape(params.mean_value or [0.0], (-1, 1, 1))
        return [
            np.array([change(PIXELS[row].astype(float), mean) * params.scale for row in rows]),
            [LABELS[row] for row in rows],
        ]

    return formula


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


def middle(bottoms, weights, params):
    return [PIXELS[:2, :, 1:5, 1:5], LABELS[:2]]


def less_the_mean_image(bottoms, weights, params):
    return [(PIXELS[:2, :, 1:5, 1:5] - MEAN[:, 1:5, 1:5]) * 0.5, LABELS[:2]]


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


CASES = [
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
        params={**LISTED, "batch_size": 2, **TRANSFORMED},
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
