"""The formats that samples can be written in, told by the name of the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from layerkit.datasets import hdf5
from layerkit.datasets.image_writer import Encoding, FolderWriter, is_image_tree
from layerkit.datasets.npz_writer import NpzWriter
from layerkit.datasets.placing import Writer
from layerkit.errors import DataError

Make = Callable[[Path, tuple[str, ...], Encoding | None], Writer]
"""Makes a writer for a path, with the names of the classes and how images are encoded."""


class Format(NamedTuple):
    """How samples lie in a file or folder."""

    name: str
    suffixes: tuple[str, ...]
    make: Make
    one_size: bool
    """Whether all samples must have one shape."""
    arrays: bool = True
    """Whether it holds any arrays by their names, and not only images with labels."""
    encodes: bool = False
    """Whether images can be encoded in it."""
    names_classes: bool = False
    """Whether it keeps the names of the classes."""
    ours: Callable[[Path], bool] = lambda folder: False
    """Whether a folder holds nothing else than such samples, and so may be replaced."""


FORMATS = (
    Format("NPZ", (".npz",), lambda path, names, encoding: NpzWriter(path), one_size=True),
    Format("HDF5", (".h5", ".hdf5"), lambda path, names, encoding: hdf5.Writer(str(path)), one_size=True),
    Format(
        "a folder of images",
        ("",),
        lambda path, names, encoding: FolderWriter(path, names, encoding or "png"),
        one_size=False,
        arrays=False,
        encodes=True,
        names_classes=True,
        ours=is_image_tree,
    ),
)


def format_of(path: Path) -> Format:
    """The format of a target, by its name. Raises DataError where the name tells none."""
    for each in FORMATS:
        if path.suffix.lower() in each.suffixes:
            return each
    known = ", ".join(suffix for each in FORMATS for suffix in each.suffixes if suffix)
    raise DataError(
        f"cannot write {str(path)!r}: its name must end in {known}, or have no ending for a folder of images"
    )
