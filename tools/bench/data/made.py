"""Data of the right shape: arrays in an .npz file, and JPEG files in a folder for each class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

SEED = 1
CLASSES = 10
QUALITY = 90
"""Of JPEGs; a photo of 500x375 then takes about 110 kB, as one of ImageNet does."""


def arrays(path: Path, shape: tuple[int, ...]) -> None:
    """Bytes of this shape, (N, C, H, W), and labels."""
    random = np.random.default_rng(SEED)
    data = random.integers(256, size=shape, dtype=np.uint8)
    np.savez(path, data=data, label=random.integers(CLASSES, size=len(data)))


def folder(path: Path, count: int, height: int, width: int) -> None:
    """JPEGs of one size, in a folder for each class."""
    from PIL import Image

    for number in range(count):
        place = path / f"class{number % CLASSES}" / f"{number:04}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo(height, width, SEED + number)).save(place, quality=QUALITY)


def photo(height: int, width: int, seed: int) -> npt.NDArray[np.uint8]:
    """Clouds (H, W, 3) whose detail falls off with its fineness as a photograph's does; most of it is in the lightness.

    Source: D. Field, "Relations between the statistics of natural images and the response properties of cortical
    cells", 1987: the amplitude of a spatial frequency is about one by that frequency.
    """
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, np.newaxis], np.fft.rfftfreq(width))
    waves = np.fft.rfft2(random.standard_normal((3, height, width))) / np.maximum(frequency, 1 / 64) ** 1.2
    light, blue, red = np.fft.irfft2(waves, (height, width))
    planes = np.stack([light + 0.2 * red, light - 0.1 * blue - 0.1 * red, light + 0.2 * blue], axis=-1)
    return np.clip(120 + 50 * planes / planes.std(), 0, 255).astype(np.uint8)


MADE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "mnist": ("mnist.npz", lambda path: arrays(path, (60_000, 1, 28, 28))),
    "cifar": ("cifar.npz", lambda path: arrays(path, (50_000, 3, 32, 32))),
    "small": ("small", lambda path: folder(path, 160, 224, 224)),
    "photos": ("photos", lambda path: folder(path, 160, 375, 500)),
}
"""What there is: where it lies in the folder of a run, and what makes it."""


def make(where: Path, name: str) -> Path:
    """Make one of `MADE` in a folder, unless it lies there; its path."""
    file, maker = MADE[name]
    if not (where / file).exists():
        maker(where / file)
    return where / file
