"""Named arrays in files: reads safetensors and npz, writes safetensors, never pickle; knows no net.

A file is replaced whole or not at all: what is written goes to a temporary file in the same folder, is flushed to the
disk and then renamed, so a process killed at any moment leaves either the old file or the new one.

The format is written here rather than by the safetensors library because that library writes a strided array's bytes
in the wrong order, orders metadata differently in every process, and does not flush; it does all the reading.
Files written here carry a CRC-32 of metadata, names, types, shapes and values, which `load` checks; it is noted how it
stood after each array, so that the array that is damaged can be named.

Source: the format's description, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from layerkit.errors import SnapshotError
from layerkit.words import counted

Array = npt.NDArray[Any]
AnyPath = str | os.PathLike[str]

CHECKSUM = "layerkit.crc32"
"""The metadata entry that holds the checksum; `load` and `metadata` take it out again.

It is the CRC-32 after metadata, names, types and shapes, then after the values of each array in the order of names:
`1a2b3c4d 5e6f7a8b ...`. The last is that of everything; the others only tell where a damaged file begins to differ.
"""

BOMB_SIZE = 1 << 30
BOMB_RATIO = 200
"""An npz that declares more than BOMB_SIZE bytes, and more than BOMB_RATIO times its own size, is refused."""

_TYPES = {
    "F64": "f8", "F32": "f4", "F16": "f2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
    "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
_CODES = {np.dtype(code): name for name, code in _TYPES.items()}
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Numbers of the errors that say that a file finds no room."""


class ArrayHeader(NamedTuple):
    """What a file says of one array before its values are read."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def save(path: AnyPath, arrays: Mapping[str, Array], metadata: Mapping[str, str] | None = None) -> None:
    """Write `arrays` and `metadata` to a .safetensors file, atomically; equal contents give equal bytes.

    Raises SnapshotError where the path or a type cannot be written or the disk is full; an older file then stays.
    """
    _suffix(path, (".safetensors",), "write")
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))  # so that each array lies aligned
    for name in order:
        if arrays[name].dtype.newbyteorder("=") not in _CODES or name == "__metadata__":
            raise SnapshotError(f"cannot write {_name(path)}: it cannot hold {name!r} of type {arrays[name].dtype}")
    notes = dict(sorted((metadata or {}).items()))
    header: dict[str, Any] = {"__metadata__": {**notes, CHECKSUM: _checksum(arrays, notes)}}
    end = 0
    for name in order:
        start, end = end, end + arrays[name].nbytes
        dtype = _CODES[arrays[name].dtype.newbyteorder("=")]
        header[name] = {"dtype": dtype, "shape": list(arrays[name].shape), "data_offsets": [start, end]}
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise SnapshotError(f"cannot write {_name(path)}: a name or its metadata is not valid Unicode text") from None
    text += b" " * (-len(text) % 8)
    start_of_file = struct.pack("<Q", len(text)) + text
    _replace(path, (start_of_file, *map(_raw, map(arrays.__getitem__, order))), len(start_of_file) + end)


def write_bytes(path: AnyPath, data: bytes) -> None:
    """Write a file atomically, as `save` does. Raises SnapshotError, and an older file then stays."""
    _replace(path, (data,), len(data))


def write_text(path: AnyPath, text: str) -> None:
    """Write a UTF-8 text file with the line ends as they are, atomically. Raises SnapshotError."""
    write_bytes(path, text.encode())


def load(path: AnyPath, only: str | None = None) -> tuple[dict[str, Array], dict[str, str]]:
    """The arrays and metadata of a .safetensors file, or the arrays of an .npz file in its order (and no metadata).

    Of an .npz file it may be one array `only`, if that is there.

    Raises SnapshotError, in one sentence, for a file that is missing, cut short, altered, foreign, declares absurd
    sizes, or holds pickled objects.
    """
    if _suffix(path, (".safetensors", ".npz"), "read") == ".npz":
        return _load_npz(path, only), {}
    with _reading(path, "safetensors"), safe_open(path, framework="np") as file:
        arrays = {name: file.get_tensor(name) for name in _headers(path, file)}
        notes = dict(sorted((file.metadata() or {}).items()))
    checksum = notes.pop(CHECKSUM, None)
    if checksum is not None:
        _check(path, checksum, arrays, notes)
    return arrays, notes


def load_one(path: AnyPath) -> Array:
    """The array of an .npy file, or the only one of an .npz or .safetensors file.

    Raises SnapshotError as `load` does, and for a file of several arrays or none.
    """
    if _suffix(path, (".npy", ".npz", ".safetensors"), "read") == ".npy":
        with _reading(path, "npy"), open(path, "rb") as file:
            _npy_header(path, file, os.path.getsize(path), os.path.basename(path))
            file.seek(0)
            return np.asarray(np.lib.format.read_array(file, allow_pickle=False))
    arrays, _ = load(path)
    if len(arrays) != 1:
        raise SnapshotError(f"{_name(path)} must hold one array, but it holds {', '.join(arrays) or 'none'}")
    return next(iter(arrays.values()))


def metadata(path: AnyPath) -> dict[str, str]:
    """The metadata of a .safetensors file, from its header alone. Raises SnapshotError as `load` does."""
    _suffix(path, (".safetensors",), "read metadata from")
    with _reading(path, "safetensors"), safe_open(path, framework="np") as file:
        notes = dict(sorted((file.metadata() or {}).items()))
    notes.pop(CHECKSUM, None)
    return notes


def header(path: AnyPath) -> dict[str, ArrayHeader]:
    """Shape and type of each array of an .npz (in its order) or .safetensors file; no values are read.

    Raises SnapshotError as `load` does.
    """
    if _suffix(path, (".safetensors", ".npz"), "read") == ".npz":
        with _reading(path, "npz"), zipfile.ZipFile(path) as archive:
            return {name: _member_header(path, archive, info) for name, info in _members(path, archive)}
    with _reading(path, "safetensors"), safe_open(path, framework="np") as file:
        return _headers(path, file)


def mapped(path: AnyPath) -> dict[str, Array]:
    """The arrays of an .npz file in its order, or `data`, that of an .npy file; read-only, and read when they are used.

    Arrays that are compressed are read at once. No checksum is compared. Raises SnapshotError as `load` does.
    """
    if _suffix(path, (".npy", ".npz"), "read") == ".npy":
        with _reading(path, "npy"):
            return {"data": _mapped(path, 0, os.path.getsize(path), os.path.basename(path))}
    arrays = {}
    with _reading(path, "npz"), zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        for name, info in _members(path, archive):
            if info.compress_type == zipfile.ZIP_STORED:
                file.seek(info.header_offset)
                magic, sizes, more = struct.unpack(
                    "<4s22xHH", file.read(30)
                )  # the name and more stand before the array
                if magic != b"PK\3\4":
                    raise SnapshotError(f"{_name(path)} is damaged: {info.filename!r} is not where it should be")
                arrays[name] = _mapped(path, file.tell() + sizes + more, info.file_size, info.filename)
            else:
                arrays[name] = _read_member(path, archive, info)
        return arrays


def _mapped(path: AnyPath, start: int, size: int, name: str) -> Array:
    with open(path, "rb") as file:
        file.seek(start)
        (shape, dtype), fortran = _npy_start(path, file, start + size, name)
        if 0 in shape:
            return np.empty(shape, dtype)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


def _headers(path: AnyPath, file: Any) -> dict[str, ArrayHeader]:
    found = {}
    for name in file.keys():  # noqa: SIM118 (it is no mapping)
        part = file.get_slice(name)
        code = part.get_dtype()
        if code not in _TYPES:
            raise SnapshotError(f"{_name(path)} holds {name!r} of type {code}, which layerkit does not read")
        found[name] = ArrayHeader(tuple(part.get_shape()), np.dtype(_TYPES[code]))
    return found


def _load_npz(path: AnyPath, only: str | None) -> dict[str, Array]:
    with _reading(path, "npz"), zipfile.ZipFile(path) as archive:
        members = [each for each in _members(path, archive) if only in (None, each[0])]
        return {name: _read_member(path, archive, info) for name, info in members}


def _read_member(path: AnyPath, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    _member_header(path, archive, info)  # its size is known to be sound before memory is taken
    with archive.open(info) as file:
        array: Array = np.lib.format.read_array(file, allow_pickle=False)
        file.read()  # to the end, where zipfile compares the CRC
        return array


def _members(path: AnyPath, archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    declared = sum(info.file_size for info in archive.infolist())
    if declared > max(BOMB_SIZE, BOMB_RATIO * os.path.getsize(path)):
        raise SnapshotError(
            f"{_name(path)} is refused: it declares {size_text(declared)} of arrays, far more than it holds"
        )
    if not _complete(path, len(archive.infolist())):
        raise SnapshotError(f"{_name(path)} is damaged: it lists fewer arrays than it counts")
    seen = set()
    for info in archive.infolist():
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others take what memory they ask
            raise SnapshotError(f"{_name(path)} is no NumPy .npz file: {info.filename!r} is packed in another way")
        name = info.filename.removesuffix(".npy")
        if name == info.filename or name in seen:
            raise SnapshotError(
                f"{_name(path)} is no NumPy .npz file: it holds {info.filename!r}, which is no new array"
            )
        seen.add(name)
        yield name, info


def _complete(path: AnyPath, entries: int) -> bool:
    """Whether a zip's closing record counts `entries`: a flipped length in its directory hides entries from zipfile."""
    with open(path, "rb") as file:
        file.seek(-22, os.SEEK_END)
        magic, _, count, _ = struct.unpack("<4s6sH10s", file.read())
    return magic != b"PK\5\6" or count in (entries, 0xFFFF)  # a comment follows the record, or it is a zip64


def _member_header(path: AnyPath, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> ArrayHeader:
    with archive.open(info) as file:
        return _npy_header(path, file, info.file_size, info.filename)


def _npy_header(path: AnyPath, file: IO[bytes], file_size: int, name: str) -> ArrayHeader:
    return _npy_start(path, file, file_size, name)[0]


def _npy_start(path: AnyPath, file: IO[bytes], end: int, name: str) -> tuple[ArrayHeader, bool]:
    """What an array's header says, and whether its first axis varies fastest; its last byte must lie before `end`."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    start = file.tell()
    if dtype.kind not in "biufcSU":
        what = "pickled objects" if dtype.hasobject else f"values of type {dtype}"
        raise SnapshotError(f"{_name(path)} holds {what} in {name!r}, which layerkit does not read")
    count = 1
    for size in shape:  # in Python's integers, which do not overflow
        count *= size
    if count < 0 or start + count * dtype.itemsize != end:
        raise SnapshotError(f"{_name(path)} is damaged: the size of {name!r} does not match its header")
    return ArrayHeader(tuple(shape), dtype), fortran


_ODD_HEADER = (OSError, struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What comes of a header that is no mapping of arrays: the file is damaged in another way."""


def _first_cut_off(path: AnyPath) -> str | None:
    """The first array of a .safetensors file whose values do not all lie within the file; None if that is not known."""
    with contextlib.suppress(*_ODD_HEADER), open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        start, size = 8 + length, os.path.getsize(path)
        if start > size:
            return None
        header = json.loads(file.read(length))
        ends = {name: entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"}
        return next((name for name in sorted(ends, key=ends.__getitem__) if start + ends[name] > size), None)
    return None


@contextlib.contextmanager
def _reading(path: AnyPath, kind: str) -> Iterator[None]:
    """Turn whatever reading a broken file raises into one sentence."""
    if os.path.isdir(path):
        raise SnapshotError(f"{_name(path)} is a folder, not a file")
    if not os.path.exists(path):
        raise SnapshotError(f"there is no file {_name(path)}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numpy warns of odd headers that it then reads or refuses
            yield
    except SnapshotError:
        raise
    except OSError as error:
        raise SnapshotError(f"cannot read {_name(path)}: {_reason(error)}") from error
    except Exception as error:
        # zipfile, zlib, numpy and safetensors each have their own exceptions for broken bytes, some undocumented
        cut = _first_cut_off(path) if kind == "safetensors" else None
        if cut is not None:
            raise SnapshotError(f"{_name(path)} is cut short: it ends before the values of {cut!r} do") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SnapshotError(f"{_name(path)} is damaged or no {kind} file: {reason[:200]}") from error


def _replace(path: AnyPath, parts: Iterable[bytes | memoryview], size: int) -> None:
    """Put `parts` in the place of the file `path`: temporary file, flush, rename, flush the folder."""
    target = Path(os.path.realpath(path))  # a link keeps pointing to the file that is replaced
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            # not tempfile: its files can be read by their owner alone, and the rename would keep that
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
            with open(descriptor, "wb", buffering=0) as file:
                for part in parts:
                    _write_all(file.fileno(), part)
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:  # an interrupt leaves no litter either
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(target.parent)
    except OSError as error:
        reason = _reason(error)
        if error.errno in FULL:
            reason = f"the disk is full; the file needs {size_text(size)}"
        elif not target.parent.is_dir():
            reason = f"there is no folder {str(target.parent)!r}"
        raise SnapshotError(f"cannot write {_name(path)}: {reason}") from error


def _write_all(descriptor: int, part: bytes | memoryview) -> None:
    rest = memoryview(part)
    while rest:
        rest = rest[os.write(descriptor, rest[: 1 << 26]) :]  # in pieces: one write moves at most 2 GiB


def sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where the system lets a folder be opened (Windows does not)."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _raw(array: Array) -> memoryview:
    """The values in C order and little-endian, as bytes; no copy where they lie so already."""
    flat = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1)
    return flat.view(np.uint8).data


def _checksum(arrays: Mapping[str, Array], notes: Mapping[str, str]) -> str:
    about = [(name, _CODES[arrays[name].dtype.newbyteorder("=")], arrays[name].shape) for name in sorted(arrays)]
    crcs = [zlib.crc32(json.dumps([sorted(notes.items()), about]).encode())]
    for name in sorted(arrays):
        crcs.append(zlib.crc32(_raw(arrays[name]), crcs[-1]))
    return " ".join(f"{crc:08x}" for crc in crcs)


def _check(path: AnyPath, said: str, arrays: Mapping[str, Array], notes: Mapping[str, str]) -> None:
    """Raise SnapshotError where a file's contents differ from its checksum, naming the first array that is to blame."""
    now, then = _checksum(arrays, notes).split(), said.split()
    if now[-1:] == then[-1:]:
        return
    first = next((i for i, (a, b) in enumerate(zip(now, then, strict=False)) if a != b), 0)
    what = f"the values of {sorted(arrays)[first - 1]!r}" if first and len(now) == len(then) else "its contents"
    raise SnapshotError(f"{_name(path)} is damaged: {what} do not match its checksum")


def _suffix(path: AnyPath, known: tuple[str, ...], verb: str) -> str:
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in known:
        raise SnapshotError(f"cannot {verb} {_name(path)}: its name must end in {' or '.join(known)}")
    return suffix


def _name(path: AnyPath) -> str:
    return repr(os.fspath(path))


def _reason(error: OSError) -> str:
    return " ".join((error.strerror or str(error) or type(error).__name__).split())


def size_text(count: int) -> str:
    """A number of bytes for a message."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else counted(count, "byte")


__all__ = ["ArrayHeader", "header", "load", "load_one", "mapped", "metadata", "save", "write_bytes", "write_text"]
