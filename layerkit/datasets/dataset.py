"""Dataset: what samples there are and where they come from, as `dataset` says it in YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError
from layerkit.fields import Tagged


class Dataset(Tagged):
    """Base of every kind of dataset: a known set, or a format of files. `dataset: digits` is `dataset: {type: digits}`.

    A subclass adds `type`, its fields, and the two methods. `source` is the path that the layer gives beside it, None
    where there is none; `part` is one of `parts`, or any name where the dataset is one part by itself.
    """

    shorthand: ClassVar[str | None] = "type"

    parts: ClassVar[tuple[str, ...]] = ("train", "test")
    """The parts it has; none where it is one part by itself."""
    in_memory: ClassVar[bool] = False
    """Whether its samples exist in this process only, so that no other process can open it."""
    overlaps: ClassVar[bool] = False
    """Whether samples share values with their neighbours, so that it may only be divided in its order."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Endings of the files by which it is known where no dataset is named, such as `.npz`."""

    type: str = ""

    @classmethod
    def knows(cls, path: Path) -> bool:
        """Whether a path, which need not exist, is of this kind; it is asked only where no dataset is named."""
        return path.name.lower().endswith(cls.suffixes) if cls.suffixes else False

    def parts_at(self, source: str | None) -> tuple[str, ...]:
        """The parts that it has at a path; by default the same everywhere."""
        return self.parts

    def own_parts(self, source: str | None) -> tuple[str, ...]:
        """Those of `parts_at` that are not another one by another name."""
        return self.parts_at(source)

    def describe(self, source: str | None, part: str) -> Header:
        """What the samples are, from headers and known facts. Raises DataError for what is missing, broken or unfit."""
        raise NotImplementedError(f"{type(self).__name__} does not describe its samples")

    def open(self, source: str | None, part: str) -> Source:
        """The samples of a part. Raises DataError for what is missing, broken, unfit, or not finite."""
        raise NotImplementedError(f"{type(self).__name__} opens nothing")

    def beside(self, paths: Mapping[str, str]) -> Dataset:
        """The dataset of a part whose fellows lie in files of their own, `paths`, by part.

        What all parts must have alike, such as the names of the classes, it then takes from the file to train with.
        """
        return self

    def own_numbers(self, source: str | None) -> str:
        """How a sample depends on the other samples of its file, in words that follow its name; empty if it does not.

        A net that was trained with another file would take such a sample for something else. Raises DataError.
        """
        return ""

    def trained_with(self, table: Mapping[str, Any], skip: bool) -> Dataset:
        """The dataset whose files are read as those were that a net was trained with; see `Header.table`.

        With `skip` its sources leave out what cannot be used; see `Source.left_out`.
        """
        return self

    def no_source(self, source: str | None) -> None:
        """Raise DataError if a set that needs no files is given a path."""
        if source is not None:
            raise DataError(f"the dataset {self.type!r} is bundled and takes no source, but is given {source!r}")

    def path(self, source: str | None, what: str) -> str:
        """The source of a dataset that needs one. Raises DataError, saying `what` it is, where there is none."""
        if source is None:
            raise DataError(f"the dataset {self.type!r} needs a source, {what}")
        return source
