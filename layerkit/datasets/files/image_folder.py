"""Images in a folder for each class, as many datasets are handed out."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from layerkit.datasets.files import decode, images
from layerkit.datasets.files.lists import Listed
from layerkit.datasets.files.named import NamedImages
from layerkit.datasets.public.archives import expect_none
from layerkit.datasets.source import Header, Source
from layerkit.errors import DataError, did_you_mean

_PARTS = {"train": ("train",), "validation": ("validation", "val", "valid"), "test": ("test",)}


class ImageFolder(NamedImages):
    """Images in a folder for each class, of one part or of several.

    They are `root/class/*.jpg`, or `root/train/class/*.jpg` and so on for each part. Classes are numbered in the order
    of their names, those of the train part for all parts. Files in folders below a class's belong to it; hidden ones,
    and files that do not end as an image's, are passed over. It has parts if there is a folder `train` of folders, and
    either one called test, validation, val or valid beside it, or nothing else; a part for validation stands in for
    test where there is none. Links are followed.
    """

    parts: ClassVar[tuple[str, ...]] = ()

    type: Literal["image_folder"] = "image_folder"

    @classmethod
    def knows(cls, path: Path) -> bool:
        """Whether it is a folder of folders of images."""
        try:
            top = _parts(path).get("train", path)
            return any(next(_files(folder), None) is not None for folder in _folders(top))
        except DataError:
            return False

    def parts_at(self, source: str | None) -> tuple[str, ...]:
        """Those for which it has folders; none where its folders are classes."""
        return () if source is None else tuple(_parts(Path(source)))

    def own_parts(self, source: str | None) -> tuple[str, ...]:
        parts = {} if source is None else _parts(Path(source))
        return tuple({folder: part for part, folder in reversed(parts.items())}.values())[::-1]

    def describe(self, source: str | None, part: str) -> Header:
        """The classes, and the size of the first image; how many there are is known once it is opened."""
        listed, names = self._found(source, part)
        decode.expect_pillow()
        return images.header(images.first_shape(listed, self.color, self.min_side), None, names)

    def open(self, source: str | None, part: str) -> Source:
        """The images, none of which is decoded yet. Raises DataError for a class without one, unless in a test part."""
        listed, names = self._found(source, part)
        return images.ImageFiles(list(listed), self.color, min_side=self.min_side, class_names=names)

    def _found(self, source: str | None, part: str) -> tuple[Iterator[Listed], tuple[str, ...]]:
        """A part's images, class by class, and the names of all classes."""
        root = Path(self.path(source, "a folder with a folder of images for each class"))
        if root.is_file():
            expect_none(str(root))
        parts = _parts(root)
        first = parts.get("train", root)
        names = self.names() or tuple(folder.name for folder in _folders(first))
        if not names:
            raise DataError(f"the folder {str(first)!r} is empty: it needs a folder of images for each class")
        here = parts.get(part, first)
        return _listed(here, names, may_lack=here != first), names


def _listed(root: Path, names: tuple[str, ...], may_lack: bool) -> Iterator[Listed]:
    """Images in the order of their labels and paths. `may_lack` is whether classes may have none."""
    folders = {folder.name: folder for folder in _folders(root)}
    for name in folders:
        if name not in names:
            hint = did_you_mean(name, names) or f"; there are {len(names)}, from {names[0]!r} to {names[-1]!r}"
            raise DataError(f"{str(folders[name])!r} is the folder of no class{hint}")
    found = False
    for label, name in enumerate(names):
        place, empty = f"class {name!r}", not may_lack
        for path in _files(folders[name]) if name in folders else ():
            empty, found = False, True
            yield Listed(path, label, place)
        if empty:
            raise DataError(f"the class {name!r} has no images in {str(root / name)!r}")
    if not found:
        raise DataError(f"the folder {str(root)!r} holds no images")


def _parts(root: Path) -> dict[str, Path]:
    """The folders of the parts, by their names; none where the folders are classes."""
    if not root.is_dir():
        return {}
    folders = {folder.name: folder for folder in _folders(root)}
    if "train" not in folders or not _folders(folders["train"]):
        return {}
    found = {part: folders[name] for part, names in _PARTS.items() for name in reversed(names) if name in folders}
    if len(found) == 1 and len(folders) > 1:
        return {}
    if "test" not in found and "validation" in found:
        found["test"] = found["validation"]
    return found


def _folders(root: Path) -> list[Path]:
    """The folders in one that are not hidden, sorted by name."""
    return [Path(entry.path) for entry in _entries(str(root)) if entry.is_dir()]


def _files(folder: Path) -> Iterator[str]:
    """Paths of the images in a folder and below it, in the order of their names."""
    return _walk(str(folder), ())


def _walk(folder: str, above: tuple[tuple[int, int], ...]) -> Iterator[str]:
    status = os.stat(folder)
    here = status.st_dev, status.st_ino
    if here in above:
        raise DataError(f"{folder!r} is a link to a folder that it lies in")
    for entry in _entries(folder):
        if entry.name.lower().endswith(images.SUFFIXES):
            if entry.is_file():
                yield entry.path
        elif entry.is_dir():
            yield from _walk(entry.path, (*above, here))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder and is not hidden, sorted by name. Raises DataError."""
    try:
        with os.scandir(folder) as entries:
            return sorted((each for each in entries if not each.name.startswith(".")), key=lambda each: each.name)
    except FileNotFoundError:
        raise DataError(f"there is no folder {folder!r}") from None
    except OSError as error:
        raise DataError(f"the folder {folder!r} cannot be read: {error.strerror or error}") from None
