"""An .npz file that is written batch by batch, uncompressed, as `np.savez` does it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from layerkit.blob import Array, Shape
from layerkit.datasets.files.class_names import KEY, as_array
from layerkit.datasets.writing.placing import beside, expect_shape, explained, put


class NpzWriter:
    """See Writer. How many samples an array holds stands before them, so each is collected in a file of its own first.

    Names of classes are an array of texts. Raises DataError where the file cannot be written.
    """

    def __init__(self, path: Path, class_names: tuple[str, ...] = ()):
        self._path = path
        self._class_names = class_names
        self._temporary = beside(path)
        self._files: dict[str, IO[bytes]] = {}
        self._collected: list[Path] = []
        self._held: dict[str, tuple[Shape, np.dtype[Any]]] = {}
        self._rows: dict[str, int] = {}

    def append(self, **arrays: Array) -> None:
        """Add samples to each array. Raises DataError for samples of another shape."""
        for name, array in arrays.items():
            if name not in self._files:
                self._begin(name, array)
            shape, dtype = self._held[name]
            expect_shape(self._path, name, shape, array.shape[1:])
            with explained(self._path):
                self._files[name].write(np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8).data)
            self._rows[name] += len(array)

    def close(self) -> None:
        """Put the arrays together. Raises DataError."""
        with explained(self._path):
            with open(self._temporary, "xb") as made:
                with zipfile.ZipFile(made, "w") as archive:
                    for name, file in self._files.items():
                        file.seek(0)
                        with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                            member.write(self._header(name))
                            shutil.copyfileobj(file, member, 1 << 20)
                    if self._class_names and KEY not in self._files:
                        with archive.open(f"{KEY}.npy", "w") as member:
                            np.lib.format.write_array(member, as_array(self._class_names), allow_pickle=False)
                made.flush()
                os.fsync(made.fileno())
            put(self._temporary, self._path)

    def abandon(self) -> None:
        """Remove the temporary files."""
        for file in self._files.values():
            file.close()
        for path in (*self._collected, self._temporary):
            with contextlib.suppress(OSError):  # a folder that cannot be written to has been complained of already
                path.unlink()

    def _begin(self, name: str, array: Array) -> None:
        collected = beside(self._path)
        with explained(self._path):
            self._files[name] = open(collected, "xb+")  # noqa: SIM115 (closed by `abandon`)
        self._collected.append(collected)
        self._held[name] = array.shape[1:], array.dtype
        self._rows[name] = 0

    def _header(self, name: str) -> bytes:
        shape, dtype = self._held[name]
        header = io.BytesIO()
        described = {
            "shape": (self._rows[name], *shape),
            "fortran_order": False,
            "descr": np.lib.format.dtype_to_descr(dtype),
        }
        np.lib.format.write_array_header_1_0(header, described)
        return header.getvalue()
