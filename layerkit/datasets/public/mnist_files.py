"""The four IDX files that MNIST and sets made after it consist of, in a folder or an archive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.files import idx
from layerkit.datasets.files.idx import IdxHeader
from layerkit.datasets.public import archives, places
from layerkit.datasets.source import ArraySource, Header, Source
from layerkit.errors import DataError
from layerkit.words import counted

_PREFIX = {"train": "train", "test": "t10k"}
_SAMPLE: dict[str, Shape] = {"images": (28, 28), "labels": ()}
_MOST = 100 << 20  # bytes of a member of an archive; MNIST's largest file has 47,040,016


@dataclass(frozen=True)
class MnistFiles:
    """A set of 28x28 images in files of MNIST's names: data (1, 28, 28) and label () are bytes."""

    name: str
    """As `dataset` says it."""
    title: str
    """For messages."""
    class_names: tuple[str, ...]

    def describe(self, source: str | None, part: str) -> Header:
        """Shapes are known without the files; the length is read from their headers, None if they lie in an archive.

        `source` is a folder or an archive, None for the places where sets are looked for. Raises DataError for files
        that are there but broken.
        """
        paths = self._paths(source, part)
        length = None
        if len(paths) == len(_SAMPLE):
            length = _length({kind: (str(path), idx.header(path)) for kind, path in paths.items()})
        byte = np.dtype(np.uint8)
        return Header({"data": (1, 28, 28), "label": ()}, {"data": byte, "label": byte}, length, self.class_names)

    def open_source(self, source: str | None, part: str) -> Source:
        """The samples of one part. Raises DataError for files that are missing (with how to get them) or broken."""
        if source is not None and Path(source).is_file():
            found = _in_archive(Path(source), part)
        else:
            found = {kind: (str(path), idx.read(path)) for kind, path in self._paths(source, part).items()}
        missing = [_names(part, kind)[0] for kind in _SAMPLE if kind not in found]
        if missing:
            raise places.missing(f"{self.title}'s {' and '.join(missing)} (or .gz)", self.name, source)
        _length({kind: (where, IdxHeader(array.shape, array.dtype)) for kind, (where, array) in found.items()})
        arrays = {"data": found["images"][1][:, np.newaxis], "label": found["labels"][1]}
        return ArraySource(str(Path(found["labels"][0]).parent), arrays, self.class_names)

    def _paths(self, source: str | None, part: str) -> dict[str, Path]:
        """The file of each kind, in the first place that has both, else one."""
        found = [_in_folder(place, part) for place in places.find(self.name, source)]
        return max(found, key=len)


def _names(part: str, kind: str) -> tuple[str, ...]:
    axes = 1 + len(_SAMPLE[kind])
    stem = f"{_PREFIX[part]}-{kind}"
    plain = (f"{stem}-idx{axes}-ubyte", f"{stem}.idx{axes}-ubyte")  # unpacked files are found under both names
    return (*plain, *(f"{name}.gz" for name in plain))


def _in_folder(folder: Path, part: str) -> dict[str, Path]:
    paths = {kind: [folder / name for name in _names(part, kind)] for kind in _SAMPLE}
    first = {kind: next((path for path in paths[kind] if path.is_file()), None) for kind in _SAMPLE}
    return {kind: path for kind, path in first.items() if path is not None}


def _in_archive(path: Path, part: str) -> dict[str, tuple[str, Array]]:
    kinds = {name: kind for kind in _SAMPLE for name in _names(part, kind)}
    found: dict[str, tuple[str, Array]] = {}
    for member in archives.members(path, dict.fromkeys(kinds, _MOST)):
        kind = kinds[member.name]
        if kind not in found:
            with archives.reading(member.where):
                found[kind] = member.where, idx.read_from(member.file, member.where, member.size)
    return found


def _length(found: dict[str, tuple[str, IdxHeader]]) -> int:
    """The number of samples. Raises DataError where arrays are not bytes of the shape of images and as many labels."""
    for kind, (where, header) in found.items():
        if header.shape[1:] != _SAMPLE[kind] or header.dtype != np.uint8:
            wanted = "x".join(["N", *map(str, _SAMPLE[kind])])
            holds = f"{shape_text(header.shape)} of {header.dtype}"
            raise DataError(f"'{where}' must hold {kind}, {wanted} of uint8, but holds {holds}")
    (images, many), (labels, others) = found["images"], found["labels"]
    count, other = many.shape[0], others.shape[0]
    if count != other:
        raise DataError(f"'{images}' holds {counted(count, 'image')}, but '{labels}' holds {counted(other, 'label')}")
    return count
