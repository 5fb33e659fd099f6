"""Caffe's files of weights: `.caffemodel`, also `.caffemodel.h5`.

Of a file only names, types, bottoms, tops and blobs are read. Parameters come from a prototxt, by their names,
for branches of Caffe use one field number for different things.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from layerkit import arrayfile, wire
from layerkit.blob import Array
from layerkit.convert.old import type_of
from layerkit.convert.schema import table
from layerkit.datasets.files import blobproto
from layerkit.datasets.optional import need
from layerkit.errors import SnapshotError
from layerkit.wire import Message, WireError

MODEL = ".caffemodel"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
_MAX_DEPTH = 20


@dataclass(frozen=True)
class SavedLayer:
    """What a caffemodel holds of one layer."""

    name: str
    type: str
    """As layerkit and Caffe's present layers call it; empty where the file does not say."""
    bottoms: tuple[str, ...] = ()
    tops: tuple[str, ...] = ()
    blobs: tuple[Array, ...] = ()
    """Its weights in Caffe's order, float32 or float64."""


@dataclass
class FieldNumbers:
    """The numbers of the fields of one kind of message, by name."""

    kind: str
    fields: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = table().messages[self.kind]
        self.fields = {name: number for name, each in known.items() if (number := each.number) is not None}

    def __getitem__(self, name: str) -> int:
        return self.fields[name]


def read(path: str | os.PathLike[str]) -> list[SavedLayer]:
    """The layers of a `.caffemodel` file of any age, or of a `.caffemodel.h5` file, in their order.

    Raises SnapshotError for a file that is missing, broken or something else.
    """
    content = read_bytes(path)
    if content.startswith(HDF5_MAGIC):
        return list(_read_hdf5(path))
    try:
        found = list(_layers(Message(content)))
    except WireError as error:
        raise SnapshotError(f"{os.fspath(path)!r} is no caffemodel, or is damaged: {error}") from None
    if not found:
        raise SnapshotError(f"{os.fspath(path)!r} is no caffemodel: it holds no layers")
    return found


def write(path: str | os.PathLike[str], name: str, layers: Iterable[SavedLayer]) -> None:
    """Write a `.caffemodel` that Caffe 1.0 reads, atomically. Raises SnapshotError."""
    net, numbers, blob = (
        FieldNumbers("NetParameter"),
        FieldNumbers("LayerParameter"),
        FieldNumbers("LayerParameter")["blobs"],
    )
    parts = [wire.data(net["name"], name)]
    for layer in layers:
        fields = [wire.data(numbers["name"], layer.name), wire.data(numbers["type"], layer.type)]
        fields += [wire.data(numbers["bottom"], bottom) for bottom in layer.bottoms]
        fields += [wire.data(numbers["top"], top) for top in layer.tops]
        fields += [wire.data(blob, blobproto.serialise(array)) for array in layer.blobs]
        parts.append(wire.data(net["layer"], b"".join(fields)))
    arrayfile.write_bytes(path, b"".join(parts))


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """A file's bytes. Raises SnapshotError."""
    name = os.fspath(path)
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise SnapshotError(f"there is no file {name!r}") from None
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        reason = error.strerror if isinstance(error, OSError) else error
        raise SnapshotError(f"cannot read {name!r}: {reason}") from None


def _layers(net: Message) -> Iterator[SavedLayer]:
    numbers, new, v1, v0 = map(FieldNumbers, ("NetParameter", "LayerParameter", "V1LayerParameter", "V0LayerParameter"))
    words = {number: word for word, number in table().enums["LayerType"].items()}
    for layer in net.messages(numbers["layers"]):
        inner = next(layer.messages(v1["layer"]), Message(b""))
        old = v0["name"] in inner
        name = inner.text(v0["name"]) if old else layer.text(v1["name"])
        word = inner.text(v0["type"]) if old else words.get(layer.integer(v1["type"]), "")
        blobs = [*layer.messages(v1["blobs"]), *inner.messages(v0["blobs"])]
        yield _saved(name, type_of(word), layer.texts(v1["bottom"]), layer.texts(v1["top"]), blobs)
    for layer in net.messages(numbers["layer"]):
        blobs = list(layer.messages(new["blobs"]))
        ends = layer.texts(new["bottom"]), layer.texts(new["top"])
        yield _saved(layer.text(new["name"]), layer.text(new["type"]), *ends, blobs)


def _saved(name: str, kind: str, bottoms: Sequence[str], tops: Sequence[str], blobs: Iterable[Message]) -> SavedLayer:
    try:
        arrays = tuple(map(blobproto.parse, blobs))
    except WireError as error:
        raise WireError(f"of layer {name!r}, {error}") from None
    return SavedLayer(name, kind, tuple(bottoms), tuple(tops), arrays)


def _read_hdf5(path: str | os.PathLike[str]) -> Iterator[SavedLayer]:
    h5py = need("h5py", "h5py", "HDF5")
    try:
        with h5py.File(path, "r") as file:
            for name, group in file["data"].items():
                yield from _groups(h5py, name, group, _MAX_DEPTH)
    except SnapshotError:
        raise
    except Exception as error:  # of a broken file HDF5 reports whatever it stumbles over
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SnapshotError(f"{os.fspath(path)!r} is no caffemodel in HDF5 that can be read: {reason}") from error


def _groups(h5py: Any, name: str, group: Any, depth: int) -> Iterator[SavedLayer]:
    """The layers of a group: itself, if it holds arrays, and those inside, for a name may have slashes."""
    arrays = {}
    for key, item in group.items():
        if isinstance(item, h5py.Dataset):
            expect_array(item, f"layer {name!r}")
            arrays[int(key)] = item[()]
        elif depth:
            yield from _groups(h5py, f"{name}/{key}", item, depth - 1)
    yield SavedLayer(name, "", blobs=tuple(arrays[index] for index in sorted(arrays)))


def expect_array(dataset: Any, where: str) -> None:
    """Raise SnapshotError unless a dataset of HDF5 holds floats, and no more than a file of its size can hold."""
    stored = dataset.id.get_storage_size()
    if dataset.dtype.kind != "f" or dataset.size * dataset.dtype.itemsize > max(arrayfile.BOMB_SIZE, 2 * stored):
        raise SnapshotError(f"the HDF5 file holds for {where} something else than numbers")
