"""Taking a public set from a folder or an archive that the user already has.

Files are found by their names, whatever folder they lie in, and are taken only if their bytes, or what is gzipped in
them, have a published SHA-256: a set under its name is the same everywhere. Files that differ can still be used, as the
`source` of a layer.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from layerkit.datasets.public import archives, disk
from layerkit.datasets.public.archives import Member
from layerkit.datasets.public.download import Progress
from layerkit.datasets.public.published import Content, PublishedFile
from layerkit.errors import DataError

_DEPTH = 4  # folders below the one that is named
_BLOCK = 1 << 20
_SLACK = 1 << 20  # bytes that packing may add


class Identity(NamedTuple):
    """What a file is, by its bytes."""

    name: str
    """The name that it is kept under."""
    contents: tuple[Content, ...]
    """What it holds."""


def identify(path: Path, file: PublishedFile) -> Identity | None:
    """What `path` is of a published file: all of it, packed anew or unpacked; None where its bytes are others.

    Raises DataError where it cannot be read.
    """
    found = disk.sha256(path)
    if found == file.sha256:
        return Identity(file.name, file.contents)
    for content in file.contents:
        if found == content.sha256:
            return Identity(content.names[0], (content,))
    if len(file.contents) == 1 and _sha256_inside(path, file.contents[0].size) == file.contents[0].sha256:
        return Identity(file.name, file.contents)
    return None


def lacking(files: Sequence[PublishedFile], folder: Path) -> list[PublishedFile]:
    """Which of the files a folder does not hold, packed or unpacked, with the published contents."""
    return [file for file in files if set(file.contents) - _covered(file, folder)]


def refuse_others(files: Sequence[PublishedFile], folder: Path) -> None:
    """Raise DataError where a file in a folder would be read in place of a published one without being that."""
    for file in files:
        for path in (folder / name for name in file.names() if name != file.name):  # that is replaced
            if path.is_file() and identify(path, file) is None:
                raise DataError(f"'{path}' is not what was published, but would be read; move it away and fetch again")


def take(files: Sequence[PublishedFile], source: Path, folder: Path, progress: Progress | None = None) -> None:
    """Copy `files` from `source`, a folder or a zip, tar or tar.gz, into `folder`: all of them or none.

    Raises DataError where one is missing or has another SHA-256, an archive is broken or a member too large, or the
    disk refuses it.
    """
    if not source.exists():
        raise DataError(f"there is no folder or archive '{source}'")
    disk.make_folder(folder)
    with disk.saving(folder):
        temporary = Path(tempfile.mkdtemp(prefix=".taken.", dir=folder))
    try:
        for name in _take(files, source, temporary, progress):
            disk.put_in_place(temporary / name, folder / name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _take(files: Sequence[PublishedFile], source: Path, temporary: Path, progress: Progress | None) -> list[str]:
    """Copy what is found into `temporary`; the names that lie there then."""
    by_name = {name: file for file in files for name in file.names()}
    taken: dict[str, tuple[Content, ...]] = {}
    wrong: list[DataError] = []
    with closing(_offers(files, source)) as offers:
        for offer in offers:
            file = by_name[offer.name]
            held = {content for contents in taken.values() for content in contents}
            if held.issuperset(file.contents):
                continue
            copy = temporary / "copy"
            _copy(offer, copy, progress)
            identity = identify(copy, file)
            if identity is None:
                found = f"its SHA-256 is {disk.sha256(copy)} instead of {file.names()[offer.name]}"
                hint = "to use it as it is, name its folder or archive as the source of a layer"
                wrong.append(DataError(f"'{offer.where}' is not what was published: {found}; {hint}"))
            elif not held.issuperset(identity.contents):
                with disk.saving(copy):
                    os.replace(copy, temporary / identity.name)
                taken[identity.name] = identity.contents
    held = {content for contents in taken.values() for content in contents}
    missing = [content.names[0] for file in files for content in file.contents if content not in held]
    if missing:
        raise wrong[0] if wrong else DataError(f"'{source}' holds no {', '.join(missing)}")
    return list(taken)


def _offers(files: Sequence[PublishedFile], source: Path) -> Generator[Member]:
    """The files in `source` that have one of the names, and `source` itself if it may be one of the files."""
    limits = {name: _limit(file) for file in files for name in file.names()}
    if source.is_dir():
        for path in _walk(source, limits):
            yield from _offer(path, path.name, limits[path.name])
        return
    size = source.stat().st_size
    for file in files:
        if size == file.size and disk.sha256(source) == file.sha256:
            yield from _offer(source, file.name, size)
            return
    yield from archives.members(source, limits)


def _offer(path: Path, name: str, limit: int) -> Iterator[Member]:
    with archives.reading(path), open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit:
            raise DataError(f"'{path}' is too large: it has {size:,} bytes, and at most {limit:,} can be right")
        yield Member(name, str(path), size, file)


def _walk(root: Path, names: dict[str, int]) -> list[Path]:
    """The files with these names, packed ones first, at most some folders deep; folders that are links are left out."""
    found = []
    for folder, inside, files in os.walk(root):
        if len(Path(folder).relative_to(root).parts) >= _DEPTH:
            inside.clear()
        found += [Path(folder, name) for name in files if name in names and Path(folder, name).is_file()]
    return sorted(found, key=lambda path: (not path.name.endswith(".gz"), len(path.parts), path))


def _limit(file: PublishedFile) -> int:
    return max(file.size, *(content.size for content in file.contents)) + _SLACK


def _copy(offer: Member, path: Path, progress: Progress | None) -> None:
    disk.check_room(path, offer.size)
    done = 0
    with disk.saving(path), open(path, "wb") as copy:
        while block := _block(offer):
            copy.write(block)
            done += len(block)
            if progress is not None:
                progress(offer.name, done, offer.size)
        copy.flush()
        os.fsync(copy.fileno())


def _block(offer: Member) -> bytes:
    with archives.reading(offer.where):
        return offer.file.read(_BLOCK)


def _covered(file: PublishedFile, folder: Path) -> set[Content]:
    paths = [folder / name for name in file.names()]
    found = [identify(path, file) for path in paths if path.is_file()]
    return {content for identity in found if identity is not None for content in identity.contents}


def _sha256_inside(path: Path, size: int) -> str | None:
    """The SHA-256 of what is gzipped in a file, None where that is nothing, broken, or more than `size` bytes."""
    digest, left = hashlib.sha256(), size
    try:
        with gzip.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                left -= len(block)
                if left < 0:
                    return None
    except (OSError, EOFError, zlib.error):
        return None
    return digest.hexdigest()
