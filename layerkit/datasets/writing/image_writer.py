"""Writes a folder that has a folder of image files for each class. Needs Pillow."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.datasets.files import decode
from layerkit.datasets.files.decode import Encoding
from layerkit.datasets.transforms.base import channels_hint
from layerkit.datasets.writing.placing import beside, explained, put
from layerkit.errors import DataError

ENDINGS: dict[Encoding, str] = {"jpeg": ".jpg", "png": ".png"}


class FolderWriter:
    """See Writer. A folder that has a folder of image files for each class, named by the class, or by its number.

    A reader that numbers the classes in the order of the folders' names gives them the same numbers again unless the
    class names have another order. Samples without labels lie in the folder itself.

    Raises DataError where the folder cannot be made.
    """

    def __init__(self, path: Path, class_names: tuple[str, ...] = (), encoding: Encoding = "png"):
        decode.expect_pillow()
        self._path = path
        self._class_names = class_names
        self._encoding = encoding
        self._rows = 0
        self._temporary = beside(path)
        with explained(path):
            self._temporary.mkdir()

    def append(self, **arrays: Array) -> None:
        """Add images, uint8 (k, 1|3, H, W) in red, green, blue, with whole numbers as labels, (k,)."""
        expect_images(f"the folder {str(self._path)!r}", arrays)
        labels = arrays.get("label")
        for row, image in enumerate(arrays["data"]):
            folder = self._temporary
            if labels is not None:
                folder /= self._folder(int(labels[row]))
            with explained(self._path):
                folder.mkdir(exist_ok=True)
                content = decode.encode(image, self._encoding, f"sample {self._rows}")
                (folder / f"{self._rows:08d}{ENDINGS[self._encoding]}").write_bytes(content)
            self._rows += 1

    def close(self) -> None:
        """Give the folder its name. Raises DataError."""
        with explained(self._path):
            put(self._temporary, self._path)

    def abandon(self) -> None:
        """Remove the folder, unless it has its name."""
        shutil.rmtree(self._temporary, ignore_errors=True)

    def _folder(self, label: int) -> str:
        if not self._class_names:
            return f"{label:04d}"  # so that the order of names is that of numbers
        if not 0 <= label < len(self._class_names):
            raise DataError(f"there is no class {label}; they go from 0 to {len(self._class_names) - 1}")
        name = self._class_names[label]
        if name in ("", ".", "..") or any(sign in name for sign in "/\\:\0"):
            raise DataError(f"the class {name!r} cannot be the name of a folder")
        return name


def expect_images(what: str, arrays: dict[str, Array]) -> None:
    """Raise DataError unless the arrays are bytes of images, `data`, and if any whole numbers, `label`.

    `what` is to hold them.
    """
    others = [name for name in arrays if name not in ("data", "label")]
    if "data" not in arrays or others:
        raise DataError(f"{what} holds images as 'data' and numbers as 'label', not the arrays {', '.join(arrays)}")
    data, labels = arrays["data"], arrays.get("label")
    if data.ndim != 4 or data.shape[1] not in (1, 3) or data.dtype != np.uint8:
        found = f"{shape_text(data.shape[1:])} of {data.dtype}{channels_hint(data.shape[1:])}"
        raise DataError(f"{what} holds images of 1 or 3 channels of bytes, but the samples are {found}")
    if labels is not None and (labels.ndim != 1 or (labels != labels.astype(np.int64)).any()):
        found = f"{shape_text(labels.shape[1:])} of {labels.dtype}"
        raise DataError(f"{what} holds a whole number as the label of each image, but the labels are {found}")


def is_image_tree(path: Path) -> bool:
    """Whether a folder holds nothing but image files of ours, and folders of such files."""
    folders = [path, *(entry for entry in path.iterdir() if entry.is_dir())]
    files = [entry for folder in folders for entry in folder.iterdir() if entry not in folders]
    return all(entry.is_file() and entry.suffix in ENDINGS.values() for entry in files)
