"""The binary files of CIFAR-10 and CIFAR-100, in a folder or an archive: records of one or two labels and a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from layerkit.blob import Array
from layerkit.datasets.public import archives, places
from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.errors import DataError

_PIXELS = 3 * 32 * 32  # bytes of a picture: red, green and blue, each row by row


@dataclass(frozen=True)
class CifarFiles:
    """A set of 32x32 photographs: data (3, 32, 32), label and further labels, all bytes."""

    name: str
    """As `dataset` says it."""
    title: str
    """For messages."""
    archive: str
    """The published archive, which is read as it is."""
    inside: str
    """The folder that the archive unpacks to."""
    files: Mapping[str, tuple[str, ...]]
    """Part -> its files."""
    labels: Mapping[str, tuple[str, ...]]
    """Name of each label array, in the order of a record -> its class names."""
    samples: int
    """How many a file may hold at most."""

    def describe(self, source: str | None, part: str) -> Header:
        """Shapes are known without the files; the length is theirs, None where there are none or only the archive.

        `source` is a folder or an archive, None for the places where sets are looked for. Raises DataError for files
        that are there but broken.
        """
        length = None
        for place in places.find(self.name, source):
            paths = self._in_folder(place, part)
            if len(paths) == len(self.files[part]):
                length = sum(self._length(str(path), path.stat().st_size) for path in paths)
            if length is not None or (place / self.archive).is_file():
                break
        shapes = {"data": (3, 32, 32), "label": ()} | dict.fromkeys(self.labels, ())
        return Header(shapes, dict.fromkeys(shapes, np.dtype(np.uint8)), length, self.labels["label"])

    def open_source(self, source: str | None, part: str) -> Source:
        """The samples of one part. Raises DataError for files that are missing (with how to get them) or broken."""
        if source is not None and Path(source).is_file():
            return self._source(source, self._in_archive(Path(source), part))
        best: list[Path] = []
        for place in places.find(self.name, source):
            paths = self._in_folder(place, part)
            if len(paths) == len(self.files[part]):
                return self._source(str(place), {str(path): _read(path) for path in paths})
            if (place / self.archive).is_file():
                return self._source(str(place), self._in_archive(place / self.archive, part))
            best = max(best, paths, key=len)
        there = {path.name for path in best}
        missing = ", ".join(name for name in self.files[part] if name not in there)
        raise places.missing(f"{self.title}'s {missing} (or {self.archive})", self.name, source)

    def _in_folder(self, folder: Path, part: str) -> list[Path]:
        """The files of a part that are there."""
        either = [(folder / name, folder / self.inside / name) for name in self.files[part]]
        first = [next((path for path in paths if path.is_file()), None) for paths in either]
        return [path for path in first if path is not None]

    def _in_archive(self, path: Path, part: str) -> dict[str, bytes]:
        """The contents of a part's files, by a name for messages."""
        found: dict[str, tuple[str, bytes]] = {}
        most = self.samples * self._record
        for member in archives.members(path, dict.fromkeys(self.files[part], most)):
            with archives.reading(path):
                found[member.name] = member.where, member.file.read()
        missing = [name for name in self.files[part] if name not in found]
        if missing:
            raise DataError(f"'{path}' is not {self.title}'s binary version: it holds no {missing[0]}")
        return dict(found[name] for name in self.files[part])

    def _source(self, where: str, contents: Mapping[str, bytes]) -> Source:
        records = np.concatenate([self._records(name, content) for name, content in contents.items()])
        labels = {name: records[:, i] for i, name in enumerate(self.labels)}
        for name, values in labels.items():
            self._check(where, name, values)
        data = records[:, len(labels) :].reshape(-1, 3, 32, 32)
        arrays = {"data": data, "label": labels["label"]} | labels
        return ArraySource(where, arrays, self.labels["label"])

    def _check(self, where: str, name: str, values: Array) -> None:
        """Raise DataError for a further label that names no class; those of `label` are the source's to check."""
        wrong = np.flatnonzero(values >= len(self.labels[name]))
        if name != "label" and wrong.size:
            label, most = values[wrong[0]], len(self.labels[name]) - 1
            raise DataError(f"{where}: {name} label {label} of sample {wrong[0]} does not lie within 0 to {most}")

    def _records(self, name: str, content: bytes) -> Array:
        return np.frombuffer(content, np.uint8).reshape(self._length(name, len(content)), self._record)

    @property
    def _record(self) -> int:
        """Bytes of a sample: its labels, then its picture."""
        return len(self.labels) + _PIXELS

    def _length(self, name: str, size: int) -> int:
        """How many samples a file of this many bytes holds; raises DataError where that is no whole number."""
        if size == 0 or size % self._record:
            whole = f"no whole samples of {self._record:,} bytes"
            raise DataError(f"'{name}' is damaged: it has {size:,} bytes, which are {whole}")
        return size // self._record


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' cannot be read: {error.strerror or error}") from error
