"""Images, arrays and Caffe's messages, as pycaffe's `caffe.io` has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from layerkit.blob import Array, shape_text
from layerkit.errors import ShapeError
from layerkit.pycaffe.images import load_image, oversample, resize_image
from layerkit.pycaffe.proto import caffe_pb2
from layerkit.pycaffe.proto.messages import classes
from layerkit.pycaffe.transformer import Transformer

_LEGACY = ("num", "channels", "height", "width")


def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """The data of a BlobProto, or with `return_diff` its diff, in its shape."""
    values = np.array(blob.diff if return_diff else blob.data, np.float32)
    if any(blob.HasField(name) for name in _LEGACY):
        return values.reshape([getattr(blob, name) for name in _LEGACY])
    return values.reshape(list(blob.shape.dim))


def array_to_blobproto(arr: Array, diff: Array | None = None) -> Any:
    """A BlobProto of an array of any shape, and of its diff if there is one."""
    blob = classes()["BlobProto"]()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(np.asarray(arr, float).flat)
    if diff is not None:
        blob.diff.extend(np.asarray(diff, float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """Arrays as the bytes of a BlobProtoVector."""
    content: bytes = classes()["BlobProtoVector"](blobs=map(array_to_blobproto, arraylist)).SerializeToString()
    return content


arraylist_to_blobprotovecor_str = arraylist_to_blobprotovector_str
"""The name as pycaffe spells it."""


def blobprotovector_str_to_arraylist(content: bytes) -> list[Array]:
    """The arrays of a BlobProtoVector's bytes."""
    return [blobproto_to_array(blob) for blob in classes()["BlobProtoVector"].FromString(content).blobs]


def array_to_datum(arr: Array, label: int | None = None) -> Any:
    """A Datum of pixels (C, H, W): uint8 as bytes, all else as floats. Raises ShapeError for another number of axes."""
    if arr.ndim != 3:
        raise ShapeError(f"a Datum holds an image of channels, height and width, not an array {shape_text(arr.shape)}")
    datum = classes()["Datum"]()
    datum.channels, datum.height, datum.width = arr.shape
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(np.asarray(arr, float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> Array:
    """The pixels of a Datum, (C, H, W): uint8 or float64; its label is `datum.label`."""
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        return np.frombuffer(datum.data, np.uint8).reshape(shape).copy()
    return np.array(datum.float_data, float).reshape(shape)


__all__ = [
    "Transformer",
    "array_to_blobproto",
    "array_to_datum",
    "arraylist_to_blobprotovecor_str",
    "arraylist_to_blobprotovector_str",
    "blobproto_to_array",
    "blobprotovector_str_to_arraylist",
    "caffe_pb2",
    "datum_to_array",
    "load_image",
    "oversample",
    "resize_image",
]
