"""Images that a text file lists, a path and a label a line, as Caffe's tools write and read such files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from layerkit.datasets.files import decode, images
from layerkit.datasets.files.lists import below, labelled
from layerkit.datasets.files.named import NamedImages
from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError

_SOURCE = "a text file with a path, a space and a label a line"


class ImageList(NamedImages):
    """Images that a text file lists, a path and a label a line.

    Between them is a space; a label is a whole number. Paths are those of files in `root`, which nothing may lead out
    of; without it they start from the current directory, and any file may be listed. Images may differ in size.
    """

    parts: ClassVar[tuple[str, ...]] = ()

    type: Literal["image_list"] = "image_list"
    root: str | None = Field(None, description="Folder that paths start from; no file outside of it is read.")

    @classmethod
    def knows(cls, path: Path) -> bool:
        """Whether it is a text file whose first line has an image file's name and a number."""
        if path.suffix.lower() not in (".txt", ".lst", ".list"):
            return False
        try:
            return next(labelled(str(path))).path.lower().endswith(images.SUFFIXES)
        except DataError:
            return False

    def describe(self, source: str | None, part: str) -> Header:
        """The size of the list's first image; how many there are is known once it is opened."""
        listed = labelled(self.path(source, _SOURCE))
        if self.root is not None:
            listed = (below(each, self.root) for each in listed)
        decode.expect_pillow()
        shape = images.first_shape(listed, self.color, self.min_side, self.root)
        return images.header(shape, None, self.names())

    def open(self, source: str | None, part: str) -> Source:
        """The listed images, none of which is decoded yet."""
        listed = list(labelled(self.path(source, _SOURCE)))
        if self.root is not None:
            listed = [below(each, self.root) for each in listed]
        return images.ImageFiles(listed, self.color, min_side=self.min_side, class_names=self.names(), root=self.root)
