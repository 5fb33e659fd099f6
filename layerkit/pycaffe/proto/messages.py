"""Caffe's messages as protobuf classes, made at run time from the table of fields that layerkit reads prototxts by.

The classes lie in a descriptor pool of their own, so that a Caffe that is installed beside layerkit does not mind.
Fields that only branches of Caffe have are there under their names, for texts; where branches give one number to
several fields, BVLC's field keeps it, and the others, which then have no number that all agree on, get one from
FIRST_OWN on. In binary files only BVLC's fields and those of branches without such a clash are what Caffe wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from layerkit.convert.schema import FieldType, table
from layerkit.datasets.optional import need

FIRST_OWN = 20_000
"""The first number of fields that have none, or one that another field has; above those that protobuf reserves."""
TOP_ENUMS = ("Phase",)
"""The enumerations that stand beside the messages; Caffe has all others inside the messages that use them."""
_PACKED = {("BlobProto", "data"), ("BlobProto", "diff"), ("BlobProto", "double_data"), ("BlobProto", "double_diff"),
           ("BlobShape", "dim")}  # fmt: skip
_SCALARS = ("double", "float", "int64", "uint64", "int32", "bool", "string", "bytes", "uint32")


@cache
def classes() -> Mapping[str, Any]:
    """Messages' classes by name, the enumerations beside them, and their values: what caffe_pb2 holds.

    Raises DataError, with how to install it, where protobuf is not there.
    """
    what = "caffe_pb2"
    pool_of = need("google.protobuf.descriptor_pool", "protobuf", what, "caffe")
    factory = need("google.protobuf.message_factory", "protobuf", what, "caffe")
    wrapper = need("google.protobuf.internal.enum_type_wrapper", "protobuf", what, "caffe")
    pool = pool_of.DescriptorPool()
    pool.Add(_file())
    found = {name: factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in table().messages}
    for name in TOP_ENUMS:
        enum = pool.FindEnumTypeByName(f"caffe.{name}")
        found |= {name: wrapper.EnumTypeWrapper(enum), **{value.name: value.number for value in enum.values}}
    return found


def _file() -> Any:
    """The description of all messages, as caffe.proto would give it."""
    protos = need("google.protobuf.descriptor_pb2", "protobuf", "caffe_pb2", "caffe")
    known = table()
    file = protos.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for name in TOP_ENUMS:
        _add_enum(file.enum_type, name, known.enums[name])
    for name, fields in known.messages.items():
        message = file.message_type.add(name=name)
        for enum in dict.fromkeys(field.type for field in fields.values()):
            if enum in known.enums and enum not in TOP_ENUMS:
                _add_enum(message.enum_type, enum, known.enums[enum])
        for (field, kind), number in zip(fields.items(), _numbers(fields.values()), strict=True):
            _add_field(message, field, kind, number)
    return file


def _add_enum(where: Any, name: str, values: Mapping[str, int]) -> None:
    enum = where.add(name=name)
    for value, number in values.items():
        enum.value.add(name=value, number=number)


def _numbers(fields: Iterable[FieldType]) -> list[int]:
    """Each field's number: its own, unless it has none or one before it has it, BVLC's being before all others."""
    listed = list(fields)
    given: dict[int, int] = {}
    for i in sorted(range(len(listed)), key=lambda i: bool(listed[i].branch)):
        number = listed[i].number
        if number is not None:
            given.setdefault(number, i)
    keeps = {i: number for number, i in given.items()}
    return [keeps.get(i, FIRST_OWN + i) for i in range(len(listed))]


def _add_field(message: Any, name: str, kind: FieldType, number: int) -> None:
    field = message.field.add(name=name, number=number)
    field.label = field.LABEL_REPEATED if kind.repeated else field.LABEL_OPTIONAL
    if kind.type in _SCALARS:
        field.type = getattr(field, f"TYPE_{kind.type.upper()}")
    elif kind.type in table().messages:
        field.type, field.type_name = field.TYPE_MESSAGE, f".caffe.{kind.type}"
    else:
        inside = "" if kind.type in TOP_ENUMS else f"{message.name}."
        field.type, field.type_name = field.TYPE_ENUM, f".caffe.{inside}{kind.type}"
    if kind.default is not None:
        field.default_value = kind.default
    if (message.name, name) in _PACKED:
        field.options.packed = True
