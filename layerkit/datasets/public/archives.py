"""Archives of a user: zip, tar and tar.gz, read member by member; nothing is unpacked that was not asked for.

A member is known by its name without its folders, so that no path in an archive is ever followed. Links are no members.
"""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, BinaryIO, NamedTuple, cast

from layerkit.errors import DataError

_PASSED_OVER = 1 << 31  # bytes of members that nobody asked for, which a tar file is read through: beyond, it is a bomb


_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".7z", ".rar")
_SETS = ("fashion_mnist", "mnist", "cifar100", "cifar10")  # the longer ones first, which have the others in them


class Member(NamedTuple):
    """A file in an archive, open at its beginning until the next member is asked for."""

    name: str
    """Without its folders."""
    where: str
    """The archive and the whole name, for messages."""
    size: int
    """Bytes, unpacked; reading gives no more."""
    file: BinaryIO


def expect_none(path: str) -> None:
    """Raise DataError, with what to do, for a path that is by its name one of an archive."""
    name = os.path.basename(path).lower()
    if not name.endswith(_SUFFIXES):
        return
    plain = "".join(filter(str.isalnum, name))
    known = next((each for each in _SETS if each.replace("_", "") in plain), None)
    hint = "unpack it, and give the file or folder that was in it"
    if known is not None:
        hint = f"`layerkit data fetch {known} --from {path}` takes the set {known} from it"
    raise DataError(f"{path!r} is an archive, and no source by itself: {hint}")


def members(path: Path, limits: Mapping[str, int]) -> Iterator[Member]:
    """The members whose names, without folders, are keys of `limits`: the first of each name, as they are packed.

    Raises DataError for an archive that is broken, a member of more bytes than its limit, or one that holds far too
    much else. What goes wrong while a member's file is read is for `reading`, around it.
    """
    with reading(path):
        is_zip = path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)
        yield from _zip(path, limits) if is_zip else _tar(path, limits)


@contextmanager
def reading(path: Path | str) -> Iterator[None]:
    """Turn whatever reading a broken archive or member raises into one sentence."""
    try:
        yield
    except DataError:
        raise
    except (
        Exception
    ) as error:  # gzip, zlib, zipfile and tarfile each have their own for broken bytes, some undocumented
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise DataError(f"'{path}' cannot be read: {' '.join(reason.split()) or type(error).__name__}") from error


def _zip(path: Path, limits: Mapping[str, int]) -> Iterator[Member]:
    left = dict(limits)
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name = PurePosixPath(info.filename).name
            if info.is_dir() or name not in left:
                continue
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others take what memory they ask
                raise DataError(
                    f"'{path}': '{_shown(info.filename)}' in it is packed in a way that layerkit does not read"
                )
            _check(path, info.filename, info.file_size, left.pop(name))
            with archive.open(info) as file:
                yield Member(name, f"{path}/{_shown(info.filename)}", info.file_size, cast(BinaryIO, file))


def _tar(path: Path, limits: Mapping[str, int]) -> Iterator[Member]:
    left, passed = dict(limits), 0
    mode = "r:gz" if _is_gzip(path) else "r:"
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in archive:  # one after the other, so that nothing is unpacked that is too large
            name = PurePosixPath(member.name).name
            if not member.isreg() or name not in left:
                passed += member.size
                if passed > _PASSED_OVER:
                    raise DataError(f"'{path}' is refused: '{_shown(member.name)}' in it is too large")
                continue
            _check(path, member.name, member.size, left.pop(name))
            file: IO[bytes] | None = archive.extractfile(member)
            if file is not None:
                yield Member(name, f"{path}/{_shown(member.name)}", member.size, cast(BinaryIO, file))
            if not left:
                return


def _check(path: Path, name: str, size: int, limit: int) -> None:
    if size > limit:
        raise DataError(f"'{path}' is refused: '{_shown(name)}' in it is too large; it declares {size:,} bytes")


def _shown(name: str) -> str:
    """A name for messages, which are one line."""
    return repr(name[:80])[1:-1]


def _is_gzip(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"
