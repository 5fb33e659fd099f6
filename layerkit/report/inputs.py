"""Samples that a user hands to a net: image files, numbers in text or .npy files, folders of images, datasets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from layerkit import arrayfile
from layerkit.blob import Array, Shape, shape_text
from layerkit.datasets.files import decode
from layerkit.datasets.files.images import SUFFIXES
from layerkit.datasets.files.tables.csv_files import Csv
from layerkit.datasets.files.tables.layout import inspect, is_number
from layerkit.datasets.kinds import kind_of
from layerkit.datasets.picture import Picture
from layerkit.datasets.public.archives import expect_none
from layerkit.datasets.reading import blocks
from layerkit.datasets.selection import Selection
from layerkit.datasets.transforms.base import channels_hint, shape_words
from layerkit.errors import DataError, SnapshotError
from layerkit.prediction import fits
from layerkit.report import samples
from layerkit.words import counted

STDIN = "-"
_MOST = 1 << 28  # bytes of an image on standard input


class Sample(NamedTuple):
    """One sample as its source has it."""

    place: str
    """How it is named in answers and messages."""
    data: Array
    label: Array | None = None


@dataclass(frozen=True)
class Reader:
    """Reads inputs as samples of one shape, in which 0 stands for a height or width that may be any."""

    shape: Shape
    stdin: BinaryIO
    note: Callable[[str], object]
    """Is told what was done to an input without having been asked for."""
    part: str | None = None
    kind: str | None = None
    assignments: tuple[str, ...] = ()
    table: Mapping[str, Any] | None = None
    """What is known of the table that the net was trained with; see `SampleInfo.table`."""
    skip: Callable[[DataError], object] | None = None
    """Is told of each sample that cannot be used, which is then left out."""

    def read(self, names: Iterable[str]) -> Iterator[Sample]:
        """The samples of all inputs, one after the other. Raises DataError for one that cannot be used."""
        for name in names:
            yield from self._read(name)

    def _read(self, name: str) -> Iterator[Sample]:
        path = Path(name)
        suffix = path.suffix.lower()
        if name == STDIN:
            yield from self._of_stdin()
        elif self.kind is not None or self.assignments or not path.exists():
            yield from self._of_dataset(name)
        elif path.is_dir() and (files := _images_in(path)):
            if self.part is not None or _has_parts(name):
                grey = len(self.shape) == 3 and self.shape[0] == 1
                for place, data, label in self._raw(name, ("color=false",) if grey else ()):
                    yield from self._usable(partial(self._fitted, place, self._resized(place, data), label))
                return
            for file in files:
                yield from self._usable(partial(self._of_image, file))
        elif suffix == ".npy":
            yield from self._of_array(name)
        elif suffix in Csv.suffixes and self.table is not None and not self._is_bare(name):
            yield from self._of_dataset(name)
        elif suffix in Csv.suffixes or (suffix == ".txt" and _is_of_numbers(path)):
            with path.open("rb") as stream:
                yield from self._of_numbers(name, stream)
        elif suffix in (".yaml", ".yml") or path.is_dir() or kind_of(name) is not None:
            yield from self._of_dataset(name)
        else:
            expect_none(name)
            yield from self._usable(partial(self._of_image, name))

    def _usable(self, make: Callable[[], Sample]) -> Iterator[Sample]:
        """What is made, if it can be; nothing where samples are left out. Raises DataError otherwise."""
        try:
            sample = make()
        except DataError as error:
            if self.skip is None:
                raise
            self.skip(error)
        else:
            yield sample

    def _of_dataset(self, name: str) -> Iterator[Sample]:
        for sample in self._raw(name, self.assignments):
            yield from self._usable(partial(self._fitted, *sample))

    def _is_bare(self, name: str) -> bool:
        """Whether a table has no header, and as many columns of numbers as the net takes numbers."""
        layout = inspect(name, None, header=False)
        return (layout.width,) == self.shape and all(map(is_number, layout.sample[0]))

    def _raw(self, name: str, assignments: Iterable[str]) -> Iterator[Sample]:
        """The samples of a dataset as they are, whatever their shape."""
        found = samples.find(name, self.kind, assignments)
        part = found.choose(self.part, "test")
        opener = found.parts[part]
        if isinstance(opener, Selection) and not found.layers:
            opener = self._as_trained(name, opener)
        source = opener.open()
        for error in source.left_out:
            self._unread(0, error)
        if source.note:
            self.note(f"{name}: {source.note}")
        try:
            data = found.data(part, source)
            for block in blocks(source, skip=None if self.skip is None else self._unread):
                labels = block.arrays.get("label")
                for row, index in enumerate(block.indices.tolist()):
                    label = None if labels is None else labels[row]
                    yield Sample(f"{name}{source.mark(index)}", block.arrays[data][row], label)
        finally:
            source.close()

    def _unread(self, index: int, error: DataError) -> None:
        """Pass over a sample that its source cannot give."""
        assert self.skip is not None
        self.skip(error)

    def _as_trained(self, name: str, chosen: Selection) -> Selection:
        """The samples read as those of the training were. Raises DataError where they need not mean what those did."""
        if self.table is not None:
            chosen = replace(chosen, dataset=chosen.dataset.trained_with(self.table, self.skip is not None))
        if own := chosen.dataset.own_numbers(chosen.source):
            what = "which need not mean what it did in training"
            raise DataError(f"{name!r} {own}, {what}: name the table of the training by --set like=TRAIN.csv")
        return chosen

    def _of_array(self, name: str) -> Iterator[Sample]:
        try:
            array = arrayfile.mapped(name)["data"]
        except SnapshotError as error:
            raise DataError(str(error)) from None
        if fits(array.shape, self.shape):
            yield self._fitted(name, array)
        elif array.ndim:
            for i, sample in enumerate(array):
                yield from self._usable(partial(self._fitted, f"{name}[{i}]", sample))
        else:
            raise DataError(f"{name} holds a single number, not samples of {shape_words(self.shape)}")

    def _of_stdin(self) -> Iterator[Sample]:
        start = self.stdin.peek(1)[:1024] if hasattr(self.stdin, "peek") else b""
        if not start:
            raise DataError("there is nothing on standard input")
        if any(byte < 9 or byte > 126 for byte in start):
            yield from self._usable(partial(self._of_image, STDIN, self.stdin.read(_MOST)))
        else:
            yield from self._of_numbers(STDIN, self.stdin)

    def _of_numbers(self, name: str, stream: BinaryIO) -> Iterator[Sample]:
        """A sample a line, numbers with commas, semicolons, tabs or spaces between them; a first line may be titles.

        Raises DataError, naming the line.
        """
        some = False
        for number, line in enumerate(stream, 1):
            words = line.decode("utf-8", "replace").translate(_COMMAS).split()
            if not words or words[0].startswith("#"):
                continue
            values = [_number(word) for word in words]
            if not some and not any(map(math.isfinite, values)):
                some = True
                continue
            some = True
            yield from self._usable(partial(self._of_words, f"{name}:{number}", words, values))

    def _of_words(self, place: str, words: list[str], values: list[float]) -> Sample:
        for word, value in zip(words, values, strict=True):
            if not math.isfinite(value):
                hint = "; a table with texts is read from a file" if place.startswith(f"{STDIN}:") else _AS_TABLE
                raise DataError(f"{place}: {word!r} is no number{hint}")
        return self._fitted(place, np.array(values))

    def _of_image(self, name: str, content: bytes | None = None) -> Sample:
        where = "standard input" if name == STDIN else name
        if len(self.shape) != 3 or self.shape[0] not in (1, 3):
            raise DataError(f"{where}: the net takes samples of {shape_words(self.shape)}, which are no images")
        image = decode.decode(name if content is None else content, where, color=self.shape[0] == 3)
        return Sample(name, self._resized(where, image))

    def _resized(self, where: str, image: Array) -> Array:
        """An image in the size that the net takes; it is noted where it had another one."""
        if len(self.shape) != 3 or image.ndim != 3:
            return image
        height, width = (want or have for want, have in zip(self.shape[1:], image.shape[1:], strict=True))
        if image.shape[1:] == (height, width):
            return image
        self.note(f"{where}: resized from {shape_text(image.shape[1:])} to {height}x{width}, which the net takes")
        return Picture.of(image).resized(height, width, "bilinear").pixels()

    def _fitted(self, place: str, data: Array, label: Array | None = None) -> Sample:
        """A sample in the net's shape, from an array of that shape or of as many numbers in a row."""
        if data.ndim == 1 and len(self.shape) != 1 and 0 not in self.shape and data.size == math.prod(self.shape):
            data = data.reshape(self.shape)
        if not fits(data.shape, self.shape):
            wanted = shape_words(self.shape)
            if data.ndim == 1 and len(self.shape) > 1 and 0 not in self.shape:
                wanted += f", {counted(math.prod(self.shape), 'number')}"
            wanted += channels_hint(data.shape)
            raise DataError(f"{place}: it is {shape_text(data.shape)}, but the net takes samples of {wanted}")
        return Sample(place, data, label)


_AS_TABLE = "; a table with texts is read as a dataset, by --kind"
_COMMAS = str.maketrans(",;\t", "   ")


def _number(word: str) -> float:
    """The number that a word says; nan if it says none."""
    try:
        return float(word)
    except ValueError:
        return math.nan


def _is_of_numbers(path: Path) -> bool:
    """Whether a file of text is rows of numbers, and no dataset as a list of files is one."""
    if kind_of(str(path)) is None:
        return True
    with path.open("rb") as stream:
        words = next((words for line in stream if (words := line.split()) and not line.startswith(b"#")), [b""])
    return math.isfinite(_number(words[0].decode("utf-8", "replace").strip(",;")))


def _has_parts(folder: str) -> bool:
    """Whether a folder is a dataset of parts, of which only one is meant."""
    kind = kind_of(folder)
    return kind is not None and bool(kind().parts_at(folder))


def _images_in(folder: Path) -> list[str]:
    """Image files in a folder and below it, sorted."""
    return sorted(str(path) for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
