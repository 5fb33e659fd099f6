"""ONNX files as they come: parsed, held against ONNX's own rules, their constants as arrays. Nothing in them is run."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from layerkit.blob import Array
from layerkit.convert.onnx.package import onnx
from layerkit.errors import DataError

OLDEST = 7
"""The first version of operators that is read: before it, shapes stretched over each other in another way."""
MOST_DEPTH = 20
"""Bodies inside bodies that are followed."""
FLOATS = ("float16", "bfloat16", "float64")
"""Types of constants that are read as float32."""


def load(path: str | os.PathLike[str]) -> Any:
    """The model of a file. Raises DataError, in one sentence, for a file that is missing, damaged or foreign."""
    name = os.fspath(path)
    package = onnx("reading ONNX")
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {name!r}: {error.strerror or error}") from None
    try:
        model = package.ModelProto.FromString(data)
    except Exception:  # protobuf's implementations each have their own
        raise DataError(f"{name!r} is damaged or no ONNX model: its bytes cannot be parsed") from None
    if not model.graph.node:
        raise DataError(f"{name!r} is no ONNX model that can be used: it has no nodes")
    if not all(isinstance(each, str) for each in _names(model.graph)):  # protobuf gives bytes that are no text as such
        raise DataError(f"{name!r} is damaged or no ONNX model: a name in it is no text")
    if version(model) < OLDEST:
        raise DataError(
            f"{name!r} uses version {version(model)} of ONNX's operators, and what is read begins with {OLDEST}; "
            f"onnx.version_converter brings it up to date"
        )
    for tensor in model.graph.initializer:
        if tensor.data_location == package.TensorProto.EXTERNAL:
            tensor.CopyFrom(_external(tensor, path))
    for info in model.graph.output:  # whose shapes may be left out, and are not looked at here
        info.type.tensor_type.shape.SetInParent()
    try:
        package.checker.check_model(model)
    except Exception as error:  # a C++ exception of the checker's, or what it makes of bytes that are no text
        reason = " ".join(str(error).partition("\n")[0].split())[:300]
        raise DataError(f"{name!r} is damaged or no valid ONNX model: {reason}") from None
    return model


def _names(graph: Any, depth: int = 0) -> Iterator[Any]:
    """Every name in a graph, and in the bodies inside it."""
    yield graph.name
    yield from (each.name for each in (*graph.input, *graph.output, *graph.initializer))
    for node in graph.node:
        yield from (node.op_type, node.name, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            if attribute.HasField("g") and depth < MOST_DEPTH:
                yield from _names(attribute.g, depth + 1)


def version(model: Any) -> int:
    """The version of ONNX's own operators that a model uses."""
    return next((int(each.version) for each in model.opset_import if each.domain in ("", "ai.onnx")), 0)


def constant(proto: Any, path: str | os.PathLike[str]) -> Array:
    """The values of a tensor; floating-point numbers as float32. Raises DataError where they are not what it says."""
    name, package = os.fspath(path), onnx()
    if any(length < 0 for length in proto.dims):
        raise DataError(f"{name!r} is damaged: the constant {proto.name!r} has a negative length")
    try:
        array = np.asarray(package.numpy_helper.to_array(proto))
    except Exception as error:  # whatever numpy says of bytes that do not fit the shape
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"{name!r} is damaged: the constant {proto.name!r} cannot be read: {reason}") from None
    return array.astype(np.float32) if array.dtype.name in FLOATS else array


def _external(proto: Any, path: str | os.PathLike[str]) -> Any:
    """The same tensor with its values, which lie in a file beside the model."""
    said = {each.key: each.value for each in proto.external_data}
    location = said.get("location", "")
    beside = Path(path).parent / location
    if not location or Path(location).name != location or beside.is_symlink():
        raise DataError(f"{os.fspath(path)!r} refers to {location!r} for values, which is no file beside it")
    try:
        size = int(onnx().helper.tensor_dtype_to_np_dtype(proto.data_type).itemsize) * math.prod(proto.dims)
        start = said.get("offset", "0")
        with beside.open("rb") as file:
            file.seek(int(start))
            data = file.read(size) if 0 <= size <= beside.stat().st_size else b""
    except (OSError, ValueError, OverflowError, KeyError):
        size, data = -1, b""
    if len(data) != size:
        raise DataError(f"the values of {proto.name!r} are not in {location!r}, which {os.fspath(path)!r} refers to")
    whole = onnx().TensorProto()
    whole.name, whole.data_type, whole.raw_data = proto.name, proto.data_type, data
    whole.dims.extend(proto.dims)
    return whole
