"""Names of the classes, as they lie in or beside files of samples: text, and nothing that could be run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.files.lists import read_names
from layerkit.errors import DataError

KEY = "class_names"
"""The array of an .npz file, or dataset of an HDF5 file, that holds them: texts, in the order of labels."""
FILE = "class_names.txt"
"""The file beside an LMDB database, which reads none but its own two."""
MOST = 1 << 20
"""More are none."""


def are_names(array: Any) -> bool:
    """Whether an array of an .npz file, or its header, holds names of classes."""
    return array.dtype.kind == "U" and len(array.shape) == 1 and array.shape[0] <= MOST


def without_names(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays of a file that hold samples."""
    return {name: array for name, array in arrays.items() if name != KEY or not are_names(array)}


def as_array(names: Sequence[str]) -> Array:
    """Names as an array of texts."""
    return np.array(list(names), dtype=np.str_)


def beside(database: str) -> tuple[str, ...]:
    """Names in the text file in a database's folder; none where there is no such file. Raises DataError."""
    path = Path(database)
    file = (path if path.is_dir() else path.parent) / FILE
    return tuple(read_names(str(file))) if file.is_file() else ()


def as_lines(names: Sequence[str]) -> str:
    """A text of one name a line. Raises DataError for a name that a line cannot hold."""
    for name in names:
        if name != name.strip() or len(name.splitlines()) != 1:
            raise DataError(f"the class {name!r} cannot be a line of {FILE}")
    return "".join(f"{name}\n" for name in names)
