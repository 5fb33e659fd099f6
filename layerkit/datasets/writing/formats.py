"""The formats that samples can be written in, told by the name of the target."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple

from layerkit.datasets.files import hdf5
from layerkit.datasets.files.decode import Encoding
from layerkit.datasets.writing.image_writer import FolderWriter, is_image_tree
from layerkit.datasets.writing.lmdb_writer import LmdbWriter, is_lmdb
from layerkit.datasets.writing.npz_writer import NpzWriter
from layerkit.datasets.writing.placing import Writer
from layerkit.errors import DataError

Make = Callable[[Path, tuple[str, ...], Encoding | None], Writer]
"""Makes a writer for a path, with the names of the classes and how images are encoded."""


class Format(NamedTuple):
    """How samples lie in a file or folder."""

    name: str
    suffixes: tuple[str, ...]
    """Endings of names."""
    make: Make
    one_size: bool
    """Whether all samples must have one shape."""
    holds: Literal["arrays", "samples", "images"] = "arrays"
    """Any arrays by their names; only `data` of any kind with a `label`; or only images with labels."""
    encodes: bool = False
    """Whether images can be encoded in it."""
    ours: Callable[[Path], bool] = lambda folder: False
    """Whether a folder holds nothing else than such samples, and so may be replaced."""


FORMATS = (
    Format("NPZ", (".npz",), lambda path, names, encoding: NpzWriter(path, names), one_size=True),
    Format("HDF5", (".h5", ".hdf5"), lambda path, names, encoding: hdf5.Writer(str(path), names), one_size=True),
    Format(
        "LMDB",
        (".lmdb", "_lmdb"),
        lambda path, names, encoding: LmdbWriter(path, encoding, names),
        one_size=False,
        holds="samples",
        encodes=True,
        ours=is_lmdb,
    ),
    Format(
        "a folder of images",
        (),
        lambda path, names, encoding: FolderWriter(path, names, encoding or "png"),
        one_size=False,
        holds="images",
        encodes=True,
        ours=is_image_tree,
    ),
)


def format_of(path: Path) -> Format:
    """The format of a target, by its name. Raises DataError where the name tells none."""
    *files, folder = FORMATS
    for each in files:
        if path.name.lower().endswith(each.suffixes):
            return each
    if not path.suffix:
        return folder
    known = ", ".join(suffix for each in files for suffix in each.suffixes)
    raise DataError(
        f"cannot write {str(path)!r}: its name must end in {known}, or have no ending for a folder of images"
    )
